"""A folder of packages on the workstation, and the stream that a guest gets of it."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import UsageError
from vmmgr.operations.packagefolder import read_folder

if TYPE_CHECKING:
    from pathlib import Path


def put(folder: Path, **files: bytes) -> None:
    """Write files."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "version"),
    [("pacemaker-remote_2.1.5-1+deb12u1_amd64.deb", "2.1.5"), ("pacemaker-remote-2.1.7-5.el9.x86_64.rpm", "2.1.7")],
)
def test_version_is_in_the_name(tmp_path: Path, name: str, version: str) -> None:
    """Both kinds of files say which version they are; what is no package is passed over."""
    put(tmp_path, **{name: b"12345", "README": b"x"})
    found = read_folder(tmp_path)
    assert ([path.name for path in found.files], found.size, found.version, found.suffix) == ([name], 5, version, name[-4:])


def test_stream_is_an_archive_of_the_files(tmp_path: Path) -> None:
    """Tar on the other side unpacks the same bytes, with no owner and no folder of the workstation's."""
    content = os.urandom(300_000)
    put(tmp_path, **{"pacemaker-remote_2_all.deb": content, "a b.deb": b""})
    told: list[int] = []
    data = b"".join(read_folder(tmp_path).stream(told.append))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert [(item.name, item.uid, item.mode) for item in members] == [
            ("a b.deb", 0, 0o644), ("pacemaker-remote_2_all.deb", 0, 0o644),
        ]  # fmt: skip
        file = archive.extractfile(members[1])
        assert file is not None
        assert file.read() == content
    assert told == [0, 300_000]


def test_links_are_sent_as_what_they_stand_for(tmp_path: Path) -> None:
    """The guest has nothing that they could lead to."""
    (folder := tmp_path / "packages").mkdir()
    put(tmp_path, one=b"12345", two=b"67")
    (folder / "pacemaker-remote_2_all.deb").symlink_to(tmp_path / "one")
    for name in ("a.deb", "b.deb"):
        (folder / name).hardlink_to(tmp_path / "two")
    with tarfile.open(fileobj=io.BytesIO(b"".join(read_folder(folder).stream(lambda _: None)))) as archive:
        assert [(item.isreg(), item.size) for item in archive.getmembers()] == [(True, 2), (True, 2), (True, 5)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no .deb or .rpm file of pacemaker-remote"),
        (["bash_5_amd64.deb"], "has no .deb or .rpm file of pacemaker-remote"),
        (["pacemaker-remote_2_all.deb", "x.rpm"], "packages of two kinds, .deb and .rpm"),
    ],
)
def test_folders_that_are_of_no_use(tmp_path: Path, files: list[str], message: str) -> None:
    """What is missing is said before anything is contacted."""
    put(tmp_path, **dict.fromkeys(files, b""))
    with pytest.raises(UsageError, match=message):
        read_folder(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The name and the reason are told."""
    with pytest.raises(UsageError, match="nowhere' cannot be read: No such file or directory"):
        read_folder(tmp_path / "nowhere")
