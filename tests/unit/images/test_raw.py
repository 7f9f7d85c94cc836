"""Raw images: holes, zeros, borders, and files that change."""

from __future__ import annotations

import os
import random

import pytest

from vmmgr.errors import VmMgrError
from vmmgr.images import DiffStream, open_image
from vmmgr.images.disk import WINDOW

MIB = 1 << 20


@pytest.mark.parametrize("seed", range(6))
def test_random_disks_come_out_the_same(raw_disk, apply, seed):
    """Whatever the layout of data, zeros and holes, the diff restores the disk, in ascending writes within 4 MiB objects."""
    chance = random.Random(seed)
    size = 13 * MIB + 512 * chance.randrange(1, 5)
    data = {}
    for _ in range(chance.randrange(1, 30)):
        length = chance.choice([1, 512, 4096, 65536, 70_001, 3 * MIB])
        data[chance.randrange(size - length)] = chance.choice([b"\0", chance.randbytes(1)]) * length
    path = raw_disk(size, data)
    with open_image(path) as image:
        assert (image.format, image.virtual_size, image.path) == ("raw", size, path)
        disk, writes = apply(DiffStream(image))
    assert disk == path.read_bytes()
    ends = [offset + length for offset, length in writes]
    assert all(offset >= end for (offset, _), end in zip(writes[1:], ends, strict=False))
    assert all(offset // WINDOW == (end - 1) // WINDOW for (offset, _), end in zip(writes, ends, strict=True))


def test_zeros_are_not_sent(raw_disk, apply):
    """Blocks of 64 KiB of written zeros are left out, inside of data and between them."""
    with open_image(raw_disk(8 * MIB, {0: b"x" * MIB, MIB: bytes(MIB), 2 * MIB: b"y" * MIB})) as image:
        _, writes = apply(DiffStream(image))
    assert writes == [(0, MIB), (2 * MIB, MIB)]


def test_large_holes_cost_nothing(raw_disk):
    """One terabyte of hole is skipped, not read."""
    path = raw_disk(1 << 40, {(1 << 40) - 4096: b"z" * 4096})
    with open_image(path) as image:
        assert image.allocated < MIB
        assert sum(len(data) for _, data in image.extents()) < MIB


def test_file_system_without_holes(raw_disk, apply, monkeypatch):
    """Where lseek knows no SEEK_DATA the whole file is read, with the same result."""

    def lseek(*_arguments):
        raise OSError(22, "Invalid argument")

    path = raw_disk(6 * MIB, {5 * MIB: b"q" * 5000})
    with open_image(path) as image:
        monkeypatch.setattr(os, "lseek", lseek)
        assert image.allocated == 6 * MIB
        disk, _ = apply(DiffStream(image))
    assert disk == path.read_bytes()


def test_a_file_that_loses_its_end_is_no_hole(raw_disk):
    """A file cut at a hole while it is read is an error, though no single read fails."""
    path = raw_disk(32 * MIB, {0: b"x" * MIB, 8 * MIB: b"x" * MIB, 24 * MIB: b"y" * MIB})
    with open_image(path) as image:
        extents = image.extents()
        next(extents)
        os.truncate(path, 16 * MIB)
        with pytest.raises(VmMgrError, match=r"disk\.raw' changed while it was read"):
            list(extents)


def test_a_file_that_is_written_meanwhile(raw_disk):
    """A disk in use by a running VM would be sent as a mixture of two moments: an error, before the final record."""
    path = raw_disk(8 * MIB, {0: b"x" * (6 * MIB)})
    with open_image(path) as image:
        extents = image.extents()
        next(extents)
        os.utime(path, ns=(1, 1))
        with pytest.raises(VmMgrError, match="changed while it was read"):
            list(extents)


def test_read_errors_name_file_and_offset(raw_disk, monkeypatch):
    """A bad sector is reported with the file and the place, never replaced by zeros."""

    def pread(*_arguments):
        raise OSError(5, "Input/output error")

    with open_image(raw_disk(8 * MIB)) as image:
        monkeypatch.setattr(os, "pread", pread)
        with pytest.raises(VmMgrError, match=r"disk\.raw' cannot be read at offset 0 of the disk: .*Input/output error"):
            list(image.extents())
