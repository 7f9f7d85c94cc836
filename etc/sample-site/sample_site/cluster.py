"""A variation of vm-mgr's driver for crmsh."""

from __future__ import annotations

from vmmgr.drivers.crmsh import Crmsh


class LockedCrmsh(Crmsh):
    """Changes the cluster with ``crm``, and never while one of the site's own scripts does: they take the same lock.

    All that is different stands in the templates; to change what is run with which values, or how an answer is read, write a
    method of ``vmmgr.drivers.base.ClusterDriver`` anew.
    """

    folder = "locked-crmsh"
