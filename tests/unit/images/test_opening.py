"""What becomes of a path on the command line: an open image, or one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vmmgr.errors import UsageError, VmMgrError
from vmmgr.images import DiffStream, open_image
from vmmgr.images.formats import detect

needs_qemu_img = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


def refusal(path: Path, image_format: str | None = None) -> str:
    """Return the sentence with which a path is refused."""
    with pytest.raises(UsageError) as caught, open_image(path, image_format):
        pass
    return str(caught.value)


def test_paths_that_are_no_file(tmp_path):
    """Everything that is not a regular file with content is refused with what it is; a pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert "missing' cannot be opened: No such file or directory." in refusal(tmp_path / "missing")
    assert "is a directory: give a regular file" in refusal(tmp_path)
    assert "pipe' is a pipe" in refusal(tmp_path / "pipe")
    assert "'/dev/null' is a character device" in refusal(Path("/dev/null"))
    assert "empty' is an empty file" in refusal(tmp_path / "empty")
    assert "Too many levels of symbolic links" in refusal(tmp_path / "loop")
    assert "embedded null" in refusal(Path("a\0b"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_file(raw_disk):
    """A file without permission is refused with the reason."""
    path = raw_disk(1 << 20)
    path.chmod(0)
    assert "Permission denied" in refusal(path)


def test_name_with_control_characters(tmp_path):
    """A hostile file name cannot write to the terminal."""
    assert "\x1b" not in refusal(tmp_path / "\x1b[2J")


@pytest.mark.parametrize(
    ("start", "sentence"),
    [
        (b"\x1f\x8b\x08", "is a gzip file, not a disk image: unpack it first"),
        (b"BZh9", "is a bzip2 file"),
        (b"\xfd7zXZ\0", "is an xz file"),
        (b"\x28\xb5\x2f\xfd", "is a zstd file"),
        (b"PK\x03\x04", "is a zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
        (b"disk.ovf".ljust(257, b"\0") + b"ustar", "is a tar archive (as an OVA file is)"),
        (b"#!/bin/sh\n", "looks like no disk image"),
        (b"\x7fELF", "looks like no disk image"),
        (b"", "say so with `--image-format raw`"),
    ],
)
def test_files_that_are_no_image(tmp_path, start, sentence):
    """Archives and files of any other kind are refused, also when their size would suit a disk."""
    path = tmp_path / "thing"
    path.write_bytes(start.ljust(1 << 16, b"\0"))
    assert sentence in refusal(path)


@pytest.mark.parametrize(
    ("offset", "magic", "found"),
    [
        (510, b"\x55\xaa", "raw"),
        (512, b"EFI PART", "raw"),
        (1080, b"\x53\xef", "raw"),
        (0, b"XFSB", "raw"),
        (65600, b"_BHRfS_M", "raw"),
        (32769, b"CD001", "raw"),
        (512, b"LABELONE", "raw"),
        (4086, b"SWAPSPACE2", "raw"),
        (0, b"LUKS\xba\xbe", "raw"),
        (0, b"QFI\xfb\0\0\0\3", "qcow2"),
        (0, b"QFI\xfb\0\0\0\1", "qcow"),
        (0, b"QED\0", "qed"),
        (0, b"KDMV", "vmdk"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"conectix", "vpc"),
        (64, b"\x7f\x10\xda\xbe", "vdi"),
    ],
)
def test_formats_by_content(offset, magic, found):
    """Each format, and what a raw disk can start with, is known by its magic number."""
    assert detect("x", bytes(offset) + magic + bytes(600), bytes(512)) == found


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is not installed")
def test_real_file_system(tmp_path):
    """A disk that mkfs made, without a partition table, is raw."""
    path = tmp_path / "data.img"
    with path.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", path], check=True)
    with open_image(path) as image:
        assert image.format == "raw"


def test_fixed_vhd_is_not_raw():
    """A VHD of fixed size is a raw disk with a footer that must not get onto the VM's disk."""
    assert detect("x", bytes(510) + b"\x55\xaa", b"conectix".ljust(512, b"\0")) == "vpc"


def test_raw_on_demand(tmp_path, apply):
    """What looks like no disk is taken as one when the user says that it is; also a disk that is all zeros."""
    path = tmp_path / "blank.img"
    path.write_bytes(bytes(8192))
    with open_image(path, "raw") as image:
        assert apply(DiffStream(image)) == (bytes(8192), [])


def test_wrong_demand(raw_disk):
    """A format that the file does not have, or that cannot be named, is refused."""
    path = raw_disk(1 << 20)
    assert "is not qcow2 but raw" in refusal(path, "qcow2")
    assert "'vmdk' is no image format that can be named: use raw or qcow2" in refusal(path, "vmdk")


def test_odd_size(raw_disk):
    """A raw file of no whole number of sectors is truncated, even when raw was demanded."""
    path = raw_disk((1 << 20) + 100)
    assert "has 1048676 bytes, which is no multiple of 512" in refusal(path)
    assert "truncate -s %512" in refusal(path, "raw")


@needs_qemu_img
@pytest.mark.parametrize("name", ["vmdk", "vdi", "vpc", "vhdx", "qed", "qcow"])
def test_conversion(raw_disk, tmp_path, monkeypatch, apply, name):
    """The other formats are converted to a sparse copy, which is gone afterwards."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "room"))
    (tmp_path / "room").mkdir()
    source = raw_disk(4 << 20, {1 << 20: b"data" * 1000})
    path = tmp_path / f"disk.{name}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", name, source, path], check=True)
    with open_image(path) as image:
        assert (image.format, image.path, len(list((tmp_path / "room").iterdir()))) == (name, path, 1)
        disk, _ = apply(DiffStream(image))
    assert disk.rstrip(b"\0") == source.read_bytes().rstrip(b"\0")  # vpc rounds the size up to whole cylinders
    assert not list((tmp_path / "room").iterdir())


@needs_qemu_img
def test_image_in_several_files(raw_disk, tmp_path):
    """A VMDK that names other files is refused with their names: a hostile one could name any file of the user."""
    path = tmp_path / "flat.vmdk"
    options = ["-o", "subformat=monolithicFlat"]
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", *options, raw_disk(1 << 20), path], check=True)
    assert "needs other files" in refusal(path)
    assert "flat-flat.vmdk" in refusal(path)


@needs_qemu_img
def test_damaged_foreign_image(tmp_path):
    """qemu-img's own words are passed on when it cannot read an image."""
    path = tmp_path / "broken.vdi"
    path.write_bytes((bytes(64) + b"\x7f\x10\xda\xbe").ljust(1024, b"\0"))
    assert "qemu-img cannot read" in refusal(path)


def test_without_qemu_img(tmp_path, monkeypatch):
    """Without qemu-img the error says what to install."""
    path = tmp_path / "disk.vmdk"
    path.write_bytes(b"KDMV".ljust(1024, b"\0"))
    monkeypatch.setenv("PATH", "")
    assert "is vmdk and cannot be read here: install qemu-img (package qemu-utils or qemu-img)" in refusal(path)


def test_unusable_temporary_folder(tmp_path, monkeypatch):
    """A TMPDIR that does not exist is named."""
    path = tmp_path / "disk.vmdk"
    path.write_bytes(b"KDMV".ljust(1024, b"\0"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert "none': No such file or directory; set TMPDIR" in refusal(path)


def test_failing_conversion(tmp_path, monkeypatch):
    """A conversion that fails, as on a full disk, says why and how to use another folder, and leaves no copy behind."""
    program = tmp_path / "bin" / "qemu-img"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n[ $1 = info ] && echo '{\"virtual-size\": 512}' && exit\nprintf 'no\\033 space left\\n' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    path = tmp_path / "disk.vmdk"
    path.write_bytes(b"KDMV".ljust(1024, b"\0"))
    with pytest.raises(VmMgrError, match=r"no space left .*set TMPDIR") as caught, open_image(path):
        pass
    assert "\x1b" not in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bin", "disk.vmdk"]
