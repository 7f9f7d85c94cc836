"""Makes packages of the shared root absent on one host: an observer has no libvirt, a pcs site has no crmsh.

Files are whited out and the package database forgets the packages, so the host is as if they had never been there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .overlay import Overlay

VM_PACKAGES = re.compile(r"libvirt-(daemon|clients|login).*|python3-libvirt|qemu-(system|utils|block).*|ovmf|seabios|ipxe-qemu")
VM_FILES = (
    "usr/lib/ocf/resource.d/heartbeat/VirtualDomain",
    "usr/lib/ocf/resource.d/heartbeat/vmware",
    "usr/lib/ocf/resource.d/heartbeat/Xen",
)
TOOL_PACKAGES = {"crmsh": re.compile(r"crmsh"), "pcs": re.compile(r"pcs")}


def hide_packages(overlay: Overlay, names: re.Pattern[str]) -> None:
    """Hide every file of the packages whose whole name matches, the links that enable their units, and their entries."""
    info = overlay.root / "var/lib/dpkg/info"
    units: set[str] = set()
    for listing in info.glob("*.list"):
        if not names.fullmatch(listing.stem.partition(":")[0]):
            continue
        for path in files_of(overlay.root, listing.read_text().splitlines()):
            overlay.hide(path)
            units.add(Path(path).name)
    for link in (overlay.root / "etc/systemd/system").glob("*.wants/*"):
        if link.name in units:
            overlay.hide(str(link.relative_to(overlay.root)))
    database = (overlay.upper if (overlay.upper / "var/lib/dpkg/status").exists() else overlay.root) / "var/lib/dpkg/status"
    overlay.write("var/lib/dpkg/status", without_packages(database.read_text(), names))


def files_of(root: Path, listed: Iterable[str]) -> Iterator[str]:
    """Yield what a package's list names and the root has, folders left out, relative and with /bin and /lib resolved."""
    for line in listed:
        path = root / line.lstrip("/")
        # packages list /lib as their folder, which is a link to usr/lib: it stays, and a whiteout goes where it points
        if (path.is_symlink() or path.is_file()) and not path.is_dir():
            yield str(path.parent.resolve().relative_to(root.resolve()) / path.name)


def without_packages(status: str, names: re.Pattern[str]) -> str:
    """Return a dpkg status file without the paragraphs of the packages whose whole name matches."""
    kept = [part for part in status.split("\n\n") if not names.fullmatch(part.partition("\n")[0].removeprefix("Package: "))]
    return "\n\n".join(kept)
