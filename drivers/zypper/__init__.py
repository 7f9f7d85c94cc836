"""zypper, the package manager of SUSE."""

from __future__ import annotations

from vmmgr.drivers.guest import GuestTools


class Zypper(GuestTools):
    """Installs with ``zypper``."""

    folder = "zypper"
    suffix = ".rpm"
