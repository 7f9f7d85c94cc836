"""What a disk image is to the rest of vm-mgr: a size, and pieces of non-zero data in ascending order."""

from __future__ import annotations

import errno
import os
import sys
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from vmmgr.errors import UsageError, VmMgrError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOW = 4 << 20  # bytes read at a time; RBD's default object size, so that a record never touches two objects
BLOCK = 64 << 10  # bytes that are dropped together when all of them are zero
MAX_SIZE = 16 << 40  # bytes; more than any disk of a substation, and less than what a damaged header claims
_ZEROS = bytes(BLOCK)


class DiskImage(ABC):
    """An open disk image.

    Attributes:
        path: the file that the user named, also if what is read is a converted copy of it.
        format: what that file is: "qcow2", "raw", or a format that qemu-img converted ("vmdk", ...).
        virtual_size: bytes that the guest sees.
        done: bytes of ``allocated`` that the running ``extents()`` has read so far.
    """

    def __init__(self, path: Path, image_format: str, file: BinaryIO, virtual_size: int) -> None:
        """Take over ``file``, which must be unbuffered, as its position is also moved below Python's file object.

        Raises:
            UsageError: ``virtual_size`` is no size of a disk.
        """
        self.path, self.format, self.virtual_size, self.done = path, image_format, virtual_size, 0
        self._file, self._opened = file, os.fstat(file.fileno())
        if not 0 < virtual_size <= MAX_SIZE or virtual_size % 512:
            raise UsageError(
                f"{str(path)!r} claims a virtual size of {virtual_size} bytes: it must be a multiple of 512 between 512 bytes "
                "and 16 TiB, so give another image."
            )

    @abstractmethod
    def regions(self) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of what may hold data, ascending; everything between them reads as zeros."""

    @abstractmethod
    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset`` of the virtual disk: fewer only if the file has no more."""

    @cached_property
    def allocated(self) -> int:
        """Bytes that ``extents()`` reads, zeros among them included: what progress is measured against.

        An estimate: preallocated space counts as a hole until the kernel has read ahead into it.
        """
        return sum(end - start for start, end in _windows(self.regions()))

    def extents(self) -> Iterator[tuple[int, bytes | memoryview]]:
        """Yield (offset, data) of everything that is not zero: ascending, at most 4 MiB each, none across a 4 MiB border.

        Raises:
            VmMgrError: The file cannot be read, ends too early, or changed meanwhile.
        """
        self.done = 0
        for start, end in _windows(self.regions()):
            yield from _nonzero(start, self._read_fully(start, end - start))
            self.done = min(self.done + end - start, self.allocated)
        now = os.fstat(self._file.fileno())
        # a file that shrank may just have fewer regions, which would pass for zeros
        if (now.st_size, now.st_mtime_ns) != (self._opened.st_size, self._opened.st_mtime_ns):
            raise VmMgrError(f"{str(self.path)!r} changed while it was read: stop what writes to it and start again.")

    def _read_fully(self, offset: int, length: int) -> bytes:
        try:
            data = self.read(offset, length)
        except Exception as error:  # whatever a reader of damaged files comes upon: OSError, zlib.error, EOFError, ...
            raise VmMgrError(f"{str(self.path)!r} cannot be read at offset {offset} of the disk: {error}.") from error
        if len(data) != length:
            raise VmMgrError(
                f"{str(self.path)!r} is truncated: of {length} bytes at offset {offset} of the disk it has {len(data)}; "
                "fetch the file again."
            )
        return data


class RawImage(DiskImage):
    """A raw image; the holes of a sparse file are skipped without reading them."""

    def __init__(self, path: Path, file: BinaryIO, image_format: str = "raw") -> None:
        super().__init__(path, image_format, file, os.fstat(file.fileno()).st_size)

    def regions(self) -> Iterator[tuple[int, int]]:
        """Yield what the file system says to be data."""
        descriptor, start = self._file.fileno(), 0
        while (start := next_data(descriptor, start)) < self.virtual_size:
            end = min(next_hole(descriptor, start), self.virtual_size)
            yield start, end
            start = end

    def read(self, offset: int, length: int) -> bytes:
        """Read the file itself."""
        return os.pread(self._file.fileno(), length, offset)


def next_data(descriptor: int, offset: int) -> int:
    """Return the first offset from ``offset`` on that is not in a hole of the file (lseek(2), SEEK_DATA)."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        # ENXIO: only a hole up to the end. Anything else: this file system knows no holes.
        return sys.maxsize if error.errno == errno.ENXIO else offset


def next_hole(descriptor: int, offset: int) -> int:
    """Return where the data at ``offset`` of the file end (lseek(2), SEEK_HOLE)."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_HOLE)
    except OSError:  # no holes on this file system; or the file has just shrunk, which reading it will tell
        return sys.maxsize


def _windows(regions: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Cut regions at 4 MiB borders and join the neighbours between which there is less than a block."""
    first, last = 0, 0
    for start, end in regions:
        for border in range(start - start % WINDOW, end, WINDOW):
            piece = max(start, border)
            if not last or piece - last >= BLOCK or piece == border:
                if last:
                    yield first, last
                first = piece
            last = min(end, border + WINDOW)
    if last:
        yield first, last


def _nonzero(offset: int, data: bytes) -> Iterator[tuple[int, bytes | memoryview]]:
    """Yield the runs of blocks of ``data`` that are not all zero, with their offsets on the disk."""
    start = None
    for at in range(0, len(data), BLOCK):
        block = data[at : at + BLOCK]
        if block != _ZEROS[: len(block)]:
            start = at if start is None else start
        elif start is not None:
            yield offset + start, memoryview(data)[start:at]
            start = None
    if start is not None:
        yield offset + start, memoryview(data)[start:] if start else data
