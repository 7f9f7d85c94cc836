"""Locks, builds and their names."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest
from lab import build, state
from lab.plan import Lab, LabError, Options, parse_hosts

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event
    from pathlib import Path


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a base folder of its own."""
    monkeypatch.setenv("VMMGR_LAB_DIR", str(tmp_path))
    return tmp_path


def make(folder: Path, log: Path) -> None:
    """Build a part."""
    (folder / "part").write_text("whole")


def test_a_build_is_made_once(base: Path) -> None:
    """A second call finds the first one's result and makes nothing."""
    build.build_once(base / "root-1", make)
    build.build_once(base / "root-1", lambda folder, log: pytest.fail("built again"))
    assert (base / "root-1/part").read_text() == "whole"


def test_a_failed_build_is_not_taken_for_good_and_is_swept(base: Path) -> None:
    """What a failure leaves has another name, and ``remove_unfinished`` removes it and the lock."""

    def fail(folder: Path, log: Path) -> None:
        (folder / "half").touch()
        raise LabError("no network")

    with pytest.raises(LabError, match="no network"):
        build.build_once(base / "root-1", fail)
    assert not (base / "root-1").exists()
    assert (base / "root-1.unfinished/half").exists()
    build.remove_unfinished()
    assert [path.name for path in base.iterdir()] == ["build-root.log"]


def hold(entered: Event, leave: Event) -> None:
    """Hold the lock of root builds in another process."""
    with build.lock("build-root") as had:
        assert had
        entered.set()
        leave.wait(10)


def test_a_build_under_way_is_left_alone(base: Path) -> None:
    """``remove_unfinished`` does not touch what another process builds; its lock is refused to a second one."""
    context = multiprocessing.get_context("fork")
    entered, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(entered, leave))
    other.start()
    try:
        assert entered.wait(10)
        (base / "root-1.unfinished").mkdir()
        build.remove_unfinished()
        assert (base / "root-1.unfinished").exists()
        with build.lock("build-root", wait=False) as had:
            assert not had
    finally:
        leave.set()
        other.join(10)
    build.remove_unfinished()
    assert not (base / "root-1.unfinished").exists()


def test_digest_changes_with_each_part(tmp_path: Path) -> None:
    """Another package, another file content, another division into parts: another name."""
    file = tmp_path / "recipe"
    file.write_text("a")
    first = build.digest("x", file)
    file.write_text("b")
    assert len({first, build.digest("x", file), build.digest("xb"), build.digest("x", "")}) == 4


def test_a_lab_whose_bridge_is_gone_is_not_up(base: Path) -> None:
    """After a reboot of the machine ``lab.json`` says complete, and the lab is not up all the same."""
    lab = Lab("a", state.lab_folder("a"), "10.199.255", Options(parse_hosts("3hv")), base, base, base)
    lab.folder.mkdir(parents=True)
    state.save(lab, complete=True)
    assert state.load("a") == (lab, False)
    with pytest.raises(LabError, match="lab a is not up"):
        state.running("a")


@pytest.mark.parametrize("name", ["", "../a", "A", "a/b", "-a", "a" * 21])
def test_names_that_are_paths_or_too_long_are_refused(name: str) -> None:
    """A lab's name is a folder's name, and ``down`` removes that folder."""
    with pytest.raises(LabError, match="cannot name a lab"):
        state.lab_folder(name)
