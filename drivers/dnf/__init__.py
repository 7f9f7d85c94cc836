"""dnf, the package manager of Fedora, RHEL and their relatives."""

from __future__ import annotations

from vmmgr.drivers.guest import GuestTools


class Dnf(GuestTools):
    """Installs with ``dnf``."""

    folder = "dnf"
    suffix = ".rpm"
