"""apt, the package manager of Debian and its relatives."""

from __future__ import annotations

from vmmgr.drivers.guest import GuestTools


class Apt(GuestTools):
    """Installs with ``apt-get``."""

    folder = "apt"
    suffix = ".deb"
