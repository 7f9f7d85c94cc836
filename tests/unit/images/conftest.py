"""What the tests of disk images share: the fixtures that qemu-img made, and a reader of diffs that shares no code with vm-mgr."""

from __future__ import annotations

import io
import lzma
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIXTURES = Path(__file__).with_name("fixtures")


@pytest.fixture
def fixture(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that unpacks the qcow2 fixture of a name and returns its path."""

    def unpack(name: str) -> Path:
        path = tmp_path / f"{name}.qcow2"
        path.write_bytes(lzma.decompress((FIXTURES / f"{name}.qcow2.xz").read_bytes()))
        return path

    return unpack


@pytest.fixture
def raw_disk(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a sparse raw disk with a boot signature from {offset: data}."""

    def make(size: int, data: dict[int, bytes] | None = None, name: str = "disk.raw") -> Path:
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
            for offset, content in [*(data or {}).items(), (510, b"\x55\xaa")]:
                file.seek(offset)
                file.write(content)
        return path

    return make


def apply(blocks: Iterable[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """Do what import-diff does with a version 1 diff (Ceph's doc/dev/rbd-diff.rst), on an empty image.

    Returns:
        The disk, and (offset, length) of every write.
    """
    stream = io.BytesIO(b"".join(blocks))
    assert stream.readline() == b"rbd diff v1\n"
    assert stream.read(1) == b"s"
    disk = bytearray(int.from_bytes(stream.read(8), "little"))
    writes = []
    while (tag := stream.read(1)) != b"e":
        assert tag == b"w"
        offset, length = struct.unpack("<QQ", stream.read(16))
        data = stream.read(length)
        assert len(data) == length > 0
        assert offset + length <= len(disk)
        disk[offset : offset + length] = data
        writes.append((offset, length))
    assert not stream.read()
    return bytes(disk), writes


@pytest.fixture(name="apply")
def _apply() -> Callable[[Iterable[bytes]], tuple[bytes, list[tuple[int, int]]]]:
    return apply
