"""What one host has of its own on top of the root file system that all hosts share."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Overlay:
    """The upper layer of a host's root. Paths are relative to the root: ``etc/hostname``."""

    root: Path
    upper: Path

    def folder(self, path: str, *, mode: int | None = None, owner: str | None = None) -> Path:
        """Make a folder, and those above, with the mode and owner that they have in the root.

        An overlay takes a folder's mode and owner from its upper layer, so a plain mkdir would change them.
        """
        made = self.upper
        made.mkdir(parents=True, exist_ok=True)
        for name in Path(path).parts:
            made /= name
            if made.exists():
                continue
            made.mkdir(mode=0o755)
            below = self.root / made.relative_to(self.upper)
            if below.exists():
                like = below.stat()
                os.chown(made, like.st_uid, like.st_gid)
                made.chmod(stat.S_IMODE(like.st_mode))
        if mode is not None:
            made.chmod(mode)
        if owner:
            os.chown(made, *self.ids(owner))
        return made

    def write(self, path: str, data: str | bytes, *, mode: int = 0o644, owner: str = "root:root") -> None:
        """Write a file; ``owner`` is USER:GROUP, names of the root."""
        file = self.folder(str(Path(path).parent)) / Path(path).name
        file.write_bytes(data.encode() if isinstance(data, str) else data)
        os.chown(file, *self.ids(owner))
        file.chmod(mode)

    def hide(self, path: str) -> None:
        """Make a file or folder of the root absent: an overlay's whiteout is the character device 0, 0."""
        place = self.folder(str(Path(path).parent)) / Path(path).name
        if not place.exists():
            os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))

    def ids(self, owner: str) -> tuple[int, int]:
        """Return the user's and the group's number for USER:GROUP."""
        user, group = owner.split(":")
        return self._number("passwd", user), self._number("group", group)

    def _number(self, table: str, name: str) -> int:
        """Return the third field of that name's line in /etc/passwd or /etc/group of the root."""
        for line in (self.root / "etc" / table).read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2])
        raise KeyError(f"no {name} in {self.root}/etc/{table}")
