"""crmsh, the cluster shell that SEAPATH, SUSE and Debian sites use (``crm``)."""

from __future__ import annotations

from vmmgr.drivers.pacemaker.driver import PacemakerDriver


class Crmsh(PacemakerDriver):
    """Changes the cluster with ``crm``."""

    folder = "crmsh"
