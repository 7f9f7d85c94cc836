"""A folder of package files on the workstation, which a guest without package sources gets as one tar stream."""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from vmmgr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SUFFIXES = (".deb", ".rpm")
# The package with the remote daemon, and its version: pacemaker-remote_2.1.5-1_amd64.deb, pacemaker-remote-2.1.5-9.el9.x86_64.rpm
_REMOTE = re.compile(r"pacemaker-remote[_-]([0-9][0-9A-Za-z.:~+%]*)")


@dataclass(frozen=True, slots=True)
class PackageFolder:
    """The package files of a folder.

    Attributes:
        files: Sorted by name; all are of the same kind.
        suffix: Of that kind: ``.deb`` or ``.rpm``.
        size: Bytes of all files.
        version: Of the remote daemon among them.
    """

    files: tuple[Path, ...]
    suffix: str
    size: int
    version: str

    def stream(self, advance: Callable[[int], None]) -> Iterator[bytes]:
        """Yield the files as a tar archive; ``advance`` is told the bytes of the files that are done."""
        buffer, done = _Buffer(), 0
        with tarfile.open(fileobj=cast("IO[bytes]", buffer), mode="w|", format=tarfile.GNU_FORMAT, dereference=True) as archive:
            for path in self.files:
                archive.add(path, arcname=path.name, recursive=False, filter=_anonymous)
                done += path.stat().st_size
                advance(done)
                yield from buffer.taken()
        yield from buffer.taken()


class _Buffer:
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def write(self, block: bytes) -> int:
        self._blocks.append(bytes(block))
        return len(block)

    def taken(self) -> Iterator[bytes]:
        blocks, self._blocks = self._blocks, []
        yield from blocks


def read_folder(folder: Path) -> PackageFolder:
    """Look what a folder has; other files than packages are passed over.

    Raises:
        UsageError: It cannot be read, has packages of two kinds, or none with the remote daemon.
    """
    try:
        files = tuple(sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file()))
        size = sum(path.stat().st_size for path in files)
    except OSError as error:
        raise UsageError(f"The folder of packages {str(folder)!r} cannot be read: {error.strerror}.") from error
    kinds = sorted({path.suffix for path in files})
    if len(kinds) > 1:
        raise UsageError(f"{str(folder)!r} has packages of two kinds, {' and '.join(kinds)}; a guest takes those of one.")
    found = [match for path in files if (match := _REMOTE.match(path.name))]
    if not found:
        raise UsageError(f"{str(folder)!r} has no .deb or .rpm file of pacemaker-remote; put it there with all that it needs.")
    return PackageFolder(files, kinds[0], size, found[0][1])


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose files they are, and let root read them."""
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    info.mode = 0o644
    return info
