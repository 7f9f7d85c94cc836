"""A driver for guests that vm-mgr has none for."""

from __future__ import annotations

from vmmgr.drivers.guest import GuestTools


class Appliance(GuestTools):
    """The site's own appliances: images without a package manager that have Pacemaker's remote daemon in them.

    So nothing is installed and nothing removed; service and port are seen to as everywhere.
    """

    folder = "appliance"
    suffix = ".none"
