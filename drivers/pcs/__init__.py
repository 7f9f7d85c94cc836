"""pcs, the cluster tool of Red Hat's family (``pcs``); only what works without its daemon pcsd is used."""

from __future__ import annotations

from vmmgr.drivers.pacemaker.driver import PacemakerDriver


class Pcs(PacemakerDriver):
    """Changes the cluster with ``pcs``."""

    folder = "pcs"
