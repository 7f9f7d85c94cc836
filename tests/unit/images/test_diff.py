"""The stream that rbd import-diff reads."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys

import pytest

from vmmgr.errors import UsageError, VmMgrError
from vmmgr.images import DiffStream, available_compressions, compress, open_image


def test_bytes_of_a_small_disk(raw_disk):
    """The stream is, byte for byte, what Ceph's doc/dev/rbd-diff.rst describes."""
    with open_image(raw_disk(1 << 20, {0: b"a" * 65536, 983040: b"b" * 65536})) as image:
        stream = b"".join(DiffStream(image))
    header = b"rbd diff v1\ns\x00\x00\x10\x00\x00\x00\x00\x00"
    first = b"w" + bytes(8) + b"\x00\x00\x01\x00\x00\x00\x00\x00" + b"a" * 510 + b"\x55\xaa" + b"a" * 65024
    second = b"w\x00\x00\x0f\x00\x00\x00\x00\x00" + b"\x00\x00\x01\x00\x00\x00\x00\x00" + b"b" * 65536
    assert stream == header + first + second + b"e"


def test_digest_and_size(raw_disk):
    """The digest and the size are those of the bytes that were yielded, also when it is read a second time."""
    with open_image(raw_disk(1 << 20)) as image:
        stream = DiffStream(image)
        for _ in range(2):
            sent = b"".join(stream)
            assert (stream.sha256, stream.size) == (hashlib.sha256(sent).hexdigest(), len(sent))


def test_blocks_have_a_useful_size(raw_disk):
    """Scattered small data are joined to blocks of 256 KiB or more; dense data come as they were read, never copied."""
    with open_image(raw_disk(64 << 20, {at << 18: b"x" * 4096 for at in range(256)})) as image:
        sizes = [len(block) for block in DiffStream(image)]
    assert all(256 << 10 <= size <= 512 << 10 for size in sizes[:-1])
    with open_image(raw_disk(64 << 20, {32 << 20: b"y" * (16 << 20)})) as image:
        blocks = list(DiffStream(image))
        data = [extent for _, extent in image.extents()]
    assert [len(block) for block in blocks[1::2]] == [4 << 20] * 4
    assert all(block == extent for block, extent in zip(blocks[1::2], data[1:], strict=True))
    assert sum(len(block) for block in blocks[::2]) < 80 << 10


def test_progress_ends_at_what_is_allocated(raw_disk):
    """Progress never goes back and ends with everything, though blocks of zeros are not sent."""
    told: list[int] = []
    with open_image(raw_disk(32 << 20, {8 << 20: b"x" * (8 << 20), 20 << 20: bytes(4 << 20)})) as image:
        for _ in DiffStream(image, told.append):
            pass
        assert told == sorted(told)
        assert told[-1] == image.allocated


def test_broken_off_stream_has_no_end(raw_disk):
    """When the file turns out to be too short, the error comes before the final record, so import-diff fails as well."""
    path = raw_disk(16 << 20, {0: b"x" * (16 << 20)})
    with open_image(path) as image:
        blocks = iter(DiffStream(image))
        sent = [next(blocks)]
        os.truncate(path, 9 << 20)
        with pytest.raises(VmMgrError, match=r"disk\.raw' is truncated: .* at offset 8388608 of the disk it has 1048576"):
            sent.extend(blocks)
    assert not sent[-1].endswith(b"e")


def test_gzip_round_trip():
    """What gzip packs, any gunzip unpacks to the same bytes."""
    blocks = [b"a" * 300_000, bytes(range(256)) * 1000, b"e"]
    packed = b"".join(compress(blocks, "gzip"))
    assert gzip.decompress(packed) == b"".join(blocks)
    assert len(packed) < 10_000


def test_zstd_round_trip():
    """What zstd packs is one frame with the same bytes."""
    if "zstd" not in available_compressions():
        pytest.skip("neither Python 3.14 nor backports.zstd is here")
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    blocks = [b"a" * 300_000, bytes(range(256)) * 1000, b"e"]
    assert zstd.decompress(b"".join(compress(blocks, "zstd"))) == b"".join(blocks)


def test_unknown_compression_is_refused_at_once():
    """A wrong method is refused when it is named, not when the first block is drawn, and the choice is listed."""
    with pytest.raises(UsageError, match=r"'lzma\\n'.*gzip"):
        compress([], "lzma\n")


def test_without_zstd(monkeypatch):
    """A workstation without zstd still has gzip, and says what zstd would need."""
    monkeypatch.setitem(sys.modules, "compression" if sys.version_info >= (3, 14) else "backports", None)
    assert available_compressions() == ("gzip",)
    with pytest.raises(UsageError, match=r"backports\.zstd"):
        compress([], "zstd")
