"""qcow2 images, read with dissect.hypervisor where it can, refused or left to qemu-img where it cannot.

The header is checked here first, so that every refusal has its own sentence and needs no library. The format is described
in QEMU's docs/interop/qcow2.rst.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from vmmgr.errors import UsageError, VmMgrError
from vmmgr.images.disk import DiskImage, next_data, next_hole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OFFSET = 0x00FF_FFFF_FFFF_FE00  # the bits of an L1 or L2 entry that are an offset in the file
_COMPRESSED = 1 << 62
_READS_AS_ZERO = 1
_CORRUPT, _DATA_FILE, _EXTENDED_L2 = 1 << 1, 1 << 2, 1 << 4  # incompatible features
_KNOWN_FEATURES = 0b11111
_MAX_L1 = (32 << 20) // 8  # entries: QEMU's own limit, QCOW_MAX_L1_SIZE


class Header(NamedTuple):
    """The fields of a qcow2 header that decide whether and how the image can be read."""

    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    size: int
    encryption: int
    l1_entries: int
    features: int
    compression: int
    has_more: bool  # bytes that are not zero after the fields of version 2


def read_header(path: Path, file: BinaryIO) -> Header:
    """Read the header of a qcow2 file and check that the file is complete in itself.

    Raises:
        UsageError: The header is damaged, or the image needs something besides this file, or is encrypted.
    """
    raw = os.pread(file.fileno(), 112, 0)
    if len(raw) < 112:
        raise UsageError(f"{str(path)!r} ends within its header: fetch the file again.")
    fields = struct.unpack_from(">IQIIQII", raw, 4)
    features, header_length = struct.unpack_from(">Q20xI", raw, 72) if fields[0] > 2 else (0, 72)
    compression = raw[104] if header_length > 104 else 0
    header = Header._make((*fields, features, compression, any(raw[72:])))
    _check_whole(path, file, header)
    _check_numbers(path, header)
    return header


def _check_whole(path: Path, file: BinaryIO, header: Header) -> None:
    """Refuse an image that does not hold a whole, readable disk."""
    name = str(path)
    if header.version not in {2, 3}:
        raise UsageError(f"{name!r} is qcow2 version {header.version}: only 2 and 3 are known.")
    if header.backing_offset:
        backing = os.pread(file.fileno(), min(header.backing_length, 1023), header.backing_offset)
        raise UsageError(
            f"{name!r} holds only the differences from its backing file {os.fsdecode(backing)!r}: make one complete image "
            "of both with `qemu-img convert -O qcow2 OLD NEW` (or `qemu-img rebase -b '' IMAGE`), and give that."
        )
    if header.encryption:
        raise UsageError(f"{name!r} is encrypted: decrypt it with `qemu-img convert`, and give the result.")
    if header.features & _DATA_FILE:
        raise UsageError(
            f"{name!r} keeps its data in another file: make one complete image with `qemu-img convert -O qcow2 OLD NEW`, "
            "and give that."
        )
    if header.features & _CORRUPT:
        raise UsageError(f"{name!r} is marked as corrupt: repair it with `qemu-img check -r all`, or use another copy.")
    if unknown := header.features & ~_KNOWN_FEATURES:
        raise UsageError(f"{name!r} uses features of qcow2 that are unknown here (bits {unknown:#x}): convert it to raw.")


def _check_numbers(path: Path, header: Header) -> None:
    """Refuse numbers that no writer of qcow2 produces, before a library trusts them."""
    if header.compression > 1:
        raise UsageError(f"{str(path)!r} is compressed in an unknown way ({header.compression}): convert it to raw.")
    if not 9 <= header.cluster_bits <= 21:
        raise UsageError(f"{str(path)!r} has a damaged header: clusters of 2^{header.cluster_bits} bytes do not exist.")
    entry_bits = 4 if header.features & _EXTENDED_L2 else 3
    span_bits = 2 * header.cluster_bits - entry_bits  # one L1 entry stands for a whole L2 table, one cluster long
    if not (header.size + (1 << span_bits) - 1) >> span_bits <= header.l1_entries <= _MAX_L1:
        raise UsageError(
            f"{str(path)!r} has a damaged header: a table of {header.l1_entries} entries does not fit a disk of "
            f"{header.size} bytes."
        )


def reason_to_convert(header: Header) -> str | None:
    """Say in a few words why dissect.hypervisor cannot be used for this image, None if it can."""
    try:
        import dissect.hypervisor.disk.qcow2 as library
    except ImportError:
        return "the Python package dissect.hypervisor is not installed"
    if header.features & _EXTENDED_L2:
        return "it has extended L2 entries"  # dissect.hypervisor 3.21 counts their subclusters wrongly
    if header.version == 2 and header.has_more:
        return "it is of version 2 with header extensions"  # these would be taken for the fields of version 3
    if header.compression and not library.HAS_ZSTD:
        return "it is compressed with zstd, and the Python package backports.zstd is not installed"
    return None


class Qcow2Image(DiskImage):
    """A qcow2 image: dissect.hypervisor reads the data, its tables say here where there are none."""

    def __init__(self, path: Path, file: BinaryIO, header: Header) -> None:
        """Open the image and go once through its tables.

        Raises:
            UsageError: A table is damaged, or the file ends before its data.
        """
        from dissect.hypervisor.disk.qcow2 import QCow2

        super().__init__(path, "qcow2", file, header.size)
        self._hole = self._data = (0, 0)  # the parts of the file that were last found to be a hole, and data
        try:
            self._disk: Any = QCow2(file)
            self._l1: list[int] = self._disk.l1_table
            self._stream = self._disk.open()
            self._cluster: int = self._disk.cluster_size
            self._packed_offset: int = self._disk.cluster_offset_mask
        except Exception as error:  # what the library raises on damaged files is not documented
            raise UsageError(f"{str(path)!r} is a damaged qcow2 image: {error}.") from error
        try:
            _ = self.allocated
        except VmMgrError as error:
            raise UsageError(str(error)) from error

    def regions(self) -> Iterator[tuple[int, int]]:
        """Yield the clusters that are allocated, do not read as zeros, and are no hole of the file.

        Raises:
            VmMgrError: A table is damaged or points behind the end of the file.
        """
        span = self._cluster * self._disk.l2_size
        for base, entry in zip(range(0, self.virtual_size, span), self._l1, strict=False):
            if not entry & _OFFSET:
                continue
            table, first = self._table(entry & _OFFSET, base), None
            end = min(base + span, self.virtual_size)
            for index, start in enumerate(range(base, end, self._cluster)):
                if self._holds_data(table.entry(index), start):
                    first = start if first is None else first
                elif first is not None:
                    yield first, start
                    first = None
            if first is not None:
                yield first, end
            # the library keeps 128 tables, of up to 10 MB each once they are Python integers
            self._disk.l2_table.cache_clear()

    def read(self, offset: int, length: int) -> bytes:
        """Read from the virtual disk."""
        data: bytes = self._stream.readoffset(offset, length)
        return data

    def _table(self, position: int, base: int) -> Any:
        try:
            return self._disk.l2_table(position)
        except Exception as error:  # EOFError of cstruct, OSError
            raise VmMgrError(
                f"{str(self.path)!r} is damaged or truncated: its table for offset {base} of the disk cannot be read "
                f"at {position} of the file; fetch the file again."
            ) from error

    def _holds_data(self, entry: int, start: int) -> bool:
        """Tell whether the cluster with this L2 entry can differ from zeros; ``start`` is its offset on the disk."""
        if entry & _COMPRESSED:
            position, misplaced = entry & self._packed_offset, 0
        elif entry & _READS_AS_ZERO or not entry & _OFFSET:
            return False
        else:
            position = entry & _OFFSET
            misplaced = position % self._cluster
        if misplaced or position >= self._opened.st_size:
            raise VmMgrError(
                f"{str(self.path)!r} is damaged or truncated: its data for offset {start} of the disk should be at "
                f"{position} of a file of {self._opened.st_size} bytes; fetch the file again."
            )
        return bool(entry & _COMPRESSED) or not self._in_hole(position, position + self._cluster)

    def _in_hole(self, start: int, end: int) -> bool:
        """Tell whether this part of the file is a hole, as in an image with preallocation; asks once per hole or extent."""
        if self._hole[0] <= start and end <= self._hole[1]:
            return True
        if self._data[0] <= start < self._data[1]:
            return False
        data = next_data(self._file.fileno(), start)
        if data > start:
            self._hole = start, data
        else:
            self._data = start, next_hole(self._file.fileno(), start)
        return end <= data
