"""qcow2 images: what qemu-img wrote is read as qemu-img reads it; what cannot be read is refused with a reason."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import sys
from pathlib import Path

import pytest

from vmmgr.errors import UsageError, VmMgrError
from vmmgr.images import DiffStream, open_image

library = pytest.importorskip("dissect.hypervisor.disk.qcow2", reason="the extra qcow2 is not installed")

DIGESTS = dict(
    line.split()[::-1] for line in Path(__file__).with_name("fixtures").joinpath("sha256sums").read_text().splitlines()
)


def header(**fields: int) -> bytes:
    """Return a qcow2 header of version 3 for a disk of 1 GiB with clusters of 64 KiB."""
    values = {
        "version": 3, "backing": 0, "backing_length": 0, "bits": 16, "size": 1 << 30, "crypt": 0, "l1": 2, "l1_at": 0x30000,
        "features": 0, "length": 112, "compression": 0,
    } | fields  # fmt: skip
    return struct.pack(
        ">4sIQIIQIIQQIIQQQQIIB7x",
        b"QFI\xfb", values["version"], values["backing"], values["backing_length"], values["bits"], values["size"],
        values["crypt"], values["l1"], values["l1_at"], 0x10000, 1, 0, 0, values["features"], 0, 0, 4, values["length"],
        values["compression"],
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(DIGESTS) - {"extended.qcow2"}))
def test_same_disk_as_qemu_img(fixture, apply, name):
    """Every kind of qcow2 gives exactly the disk that qemu-img convert gives."""
    if name.startswith("zstd") and not library.HAS_ZSTD:
        pytest.skip("backports.zstd is not installed")
    with open_image(fixture(name.removesuffix(".qcow2"))) as image:
        assert image.format == "qcow2"
        disk, _ = apply(DiffStream(image))
    assert hashlib.sha256(disk).hexdigest() == DIGESTS[name]


def test_only_data_are_read(fixture):
    """Unallocated and zero clusters are skipped from the tables, holes of a preallocated image from the file system."""
    with open_image(fixture("zeroed")) as image:
        assert image.allocated < image.virtual_size // 10
        assert not [start for start, end in image.regions() if start < (1 << 20) + 36864 and end > 1 << 20]  # write -z
    path = fixture("preallocated")
    sparse = path.with_name("sparse.qcow2")
    with path.open("rb") as source, sparse.open("wb") as target:
        for at in range(0, path.stat().st_size, 4096):
            if any(block := source.read(4096)):
                target.seek(at)
                target.write(block)
        target.truncate(path.stat().st_size)
    with open_image(path) as full, open_image(sparse) as image:
        assert image.allocated < image.virtual_size // 4 < full.allocated
        assert list(map(bytes, DiffStream(image))) == list(map(bytes, DiffStream(full)))


def test_tables_do_not_pile_up(fixture):
    """However many tables an image has, they do not stay in memory: 128 of an image with clusters of 2 MiB are 1 GiB."""
    with open_image(fixture("cluster512")) as image:
        list(image.extents())
        assert image._disk.l2_table.cache_info().currsize <= 1


def test_huge_empty_image(tmp_path):
    """A qcow2 of 16 TiB without data is gone through at once."""
    path = tmp_path / "huge.qcow2"
    entries = (16 << 40) >> 29
    path.write_bytes(header(size=16 << 40, l1=entries).ljust(0x30000, b"\0") + bytes(8 * entries))
    with open_image(path) as image:
        assert (image.virtual_size, image.allocated, list(image.extents())) == (16 << 40, 0, [])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"version": 4}, "version 4"),
        ({"crypt": 2}, "encrypted"),
        ({"features": 4}, "data in another file.*qemu-img convert"),
        ({"features": 2}, "corrupt.*qemu-img check -r all"),
        ({"features": 1 << 9}, r"unknown here \(bits 0x200\)"),
        ({"features": 8, "compression": 7}, r"unknown way \(7\)"),
        ({"bits": 63}, r"2\^63"),
        ({"bits": 8}, r"2\^8"),
        ({"size": 0, "l1": 0}, "0 bytes"),
        ({"size": (1 << 30) + 1, "l1": 3}, "multiple of 512"),
        ({"size": (16 << 40) + 512, "l1": 32769}, "16 TiB"),
        ({"size": 1 << 63}, "damaged header"),
        ({"l1": 1}, "a table of 1 entries does not fit"),
        ({"l1": 0xFFFF_FFFF}, "a table of 4294967295 entries"),
        ({"l1_at": 1 << 40}, "damaged qcow2 image: Read 0 bytes"),
    ],
)
def test_refused_headers(tmp_path, fields, sentence):
    """Each thing that a header can say and vm-mgr cannot read is refused in its own words, with the file's name."""
    path = tmp_path / "odd.qcow2"
    path.write_bytes(header(**fields).ljust(0x40000, b"\0"))
    with pytest.raises(UsageError, match=rf"odd\.qcow2'.*{sentence}"), open_image(path):
        pass


def test_cut_header(tmp_path):
    """A file that ends within the header is refused."""
    path = tmp_path / "cut.qcow2"
    path.write_bytes(header()[:50])
    with pytest.raises(UsageError, match=r"cut\.qcow2' ends within its header"), open_image(path):
        pass


def test_backing_file_is_named(tmp_path):
    """An image with a backing file is refused with that file's name, hostile characters made harmless, and two ways out."""
    path = tmp_path / "over.qcow2"
    path.write_bytes(header(backing=112, backing_length=13) + b"/ba\x1bse\n.qcow2x")
    with (
        pytest.raises(UsageError, match=r"backing file '/ba\\x1bse\\n\.qcow2'.*qemu-img convert.*qemu-img rebase -b ''"),
        open_image(path),
    ):
        pass


def test_download_that_broke_off(fixture):
    """A file that lacks its second half is refused when it is opened, with the place."""
    path = fixture("plain")
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UsageError, match=r"plain\.qcow2' is damaged or truncated: its data for offset \d+"), open_image(path):
        pass


def test_last_cluster_cut(fixture):
    """A file that lacks only a part of its last cluster fails where that cluster is read: no zeros instead."""
    path = fixture("plain")
    os.truncate(path, path.stat().st_size - 65536 + 512)
    with open_image(path) as image, pytest.raises(VmMgrError, match=r"plain\.qcow2' is truncated: .* at offset \d+"):
        list(image.extents())


def test_damaged_table(fixture):
    """A table that points behind the end of the file, or to where no cluster starts, is refused when it is opened."""
    path = fixture("plain")
    content = bytearray(path.read_bytes())
    l1_at = int.from_bytes(content[40:48], "big")
    l2_at = int.from_bytes(content[l1_at : l1_at + 8], "big") & 0x00FF_FFFF_FFFF_FE00
    for at, value, sentence in (
        (l1_at, 1 << 50, "its table for offset 0 of the disk"),
        (l2_at, 1 << 50, "its data for offset 0 of the disk"),
        (l2_at, 0x50200, "its data for offset 0 of the disk"),
    ):
        path.write_bytes(content[:at] + value.to_bytes(8, "big") + content[at + 8 :])
        with pytest.raises(UsageError, match=rf"plain\.qcow2' is damaged or truncated: {sentence}"), open_image(path):
            pass


@pytest.mark.parametrize("name", ["zlib", "zstd"])
def test_damaged_compressed_data(fixture, name):
    """Compressed data that do not unpack to a whole cluster are an error with the place."""
    if name == "zstd" and not library.HAS_ZSTD:
        pytest.skip("backports.zstd is not installed")
    path = fixture(name)
    content = path.read_bytes()
    l1_at = int.from_bytes(content[40:48], "big")
    l2_at = int.from_bytes(content[l1_at : l1_at + 8], "big") & 0x00FF_FFFF_FFFF_FE00
    data_at = int.from_bytes(content[l2_at : l2_at + 8], "big") & ((1 << 54) - 1)
    path.write_bytes(content[:data_at] + b"\xff" * 20 + content[data_at + 20 :])
    with open_image(path) as image, pytest.raises(VmMgrError, match=rf"{name}\.qcow2' .*at offset 0 of the disk"):
        list(image.extents())


def test_extended_entries_are_left_to_qemu_img(fixture, apply, monkeypatch):
    """Extended L2 entries are never read by the library, which miscounts them: qemu-img reads them, or the error says so."""
    path = fixture("extended")
    if shutil.which("qemu-img"):
        with open_image(path) as image:
            assert hashlib.sha256(apply(DiffStream(image))[0]).hexdigest() == DIGESTS["extended.qcow2"]
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"extended\.qcow2' .*extended L2 entries.*install qemu-img"), open_image(path):
        pass


def test_version2_with_extensions_is_left_to_qemu_img(fixture, monkeypatch):
    """The library takes what follows a header of version 2 for fields of version 3: such images are kept from it."""
    path = fixture("version2")
    with path.open("r+b") as file:
        file.seek(72)
        file.write(struct.pack(">II8s", 0x12345678, 8, b"whatever"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="version 2 with header extensions"), open_image(path):
        pass


def test_without_the_library(fixture, monkeypatch):
    """Without dissect.hypervisor and qemu-img the error tells both ways out."""
    monkeypatch.setitem(sys.modules, "dissect.hypervisor.disk.qcow2", None)
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(UsageError, match=r"dissect\.hypervisor is not installed; `pip install 'vm-mgr\[qcow2\]'`.*qemu-img"),
        open_image(fixture("plain")),
    ):
        pass


def test_without_zstd(fixture, monkeypatch):
    """A zstd image without a zstd module is an error that names the package."""
    monkeypatch.setattr(library, "HAS_ZSTD", False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match=r"compressed with zstd.*backports\.zstd"), open_image(fixture("zstd")):
        pass
