"""What Ceph 16.2.15 answers about clones, and what the scripts make of it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.disks import Flattening, InUseError
from vmmgr.drivers.rbd import Rbd

if TYPE_CHECKING:
    from pathlib import Path

    from vmmgr.command import Command
    from vmmgr.rendering import Renderer

# Written by `ceph --format=json rbd task list` while it copied; a task that waits has no progress yet.
TASKS = [
    {
        "sequence": 1, "id": "2f114746-f3c3-483c-8c54-4de4d2bbd42a", "message": "Flattening image rbd/system_b",
        "refs": {"action": "flatten", "pool_name": "rbd", "pool_namespace": "", "image_name": "system_b", "image_id": "10a1fc7f7007"},
        "in_progress": True, "progress": 0.25,
    },
    {
        "sequence": 2, "id": "3f", "message": "Flattening image rbd/data_b_0",
        "refs": {"action": "flatten", "pool_name": "rbd", "pool_namespace": "", "image_name": "data_b_0", "image_id": "1"},
    },
    {"sequence": 3, "id": "4f", "refs": {"action": "remove", "pool_name": "rbd", "image_name": "data_b_1"}},
    {"sequence": 4, "id": "5f", "refs": {"action": "flatten", "pool_name": "other", "image_name": "data_b_1"}},
]  # fmt: skip
INFO = '{"name":"x","parent":{"pool":"rbd","image":"system_a","snapshot":"1ff7","trash":false}}'


RECORDED = "ceph-16.2.15/disks.txt"


@pytest.fixture
def rbd(renderer: Renderer) -> Rbd:
    """A driver for the pool ``rbd``."""
    return Rbd(renderer, "rbd")


def run(command: Command[Any], folder: Path, **tools: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command's script with tools that answer so."""
    for name, script in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(command.argv, check=False, capture_output=True, env={"PATH": f"{folder}:/usr/bin:/bin"})


def test_a_snapshot_that_is_gone_is_as_good_as_removed(rbd: Rbd, tmp_path: Path) -> None:
    """Taking away what is not there succeeds, so that what follows in the same exec is run; a refusal stays one."""
    for code, expected in ((0, 0), (2, 0), (16, 16), (22, 22)):
        done = run(rbd.remove_snapshot("i", "s"), tmp_path, rbd=f"echo nothing; echo protected >&2; exit {code}")
        assert done.returncode == expected
        assert done.stdout == b""
        assert (b"protected" in done.stderr) is (expected != 0)


@pytest.mark.parametrize(("code", "complaint"), [(0, ""), (2, ""), (22, "exit code 22: no valid command found")])
def test_a_clone_that_is_not_flattened_is_told(rbd: Rbd, tmp_path: Path, answer: Any, code: int, complaint: str) -> None:
    """What Ceph's manager refuses is no failure, so that what follows in the same exec is run."""
    done = run(rbd.flatten_later("i"), tmp_path, ceph=f"echo no valid command found >&2; exit {code}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert rbd.flatten_later("i").parse(answer(done.stdout)) == complaint


def test_how_far_ceph_is(rbd: Rbd, answer: Any) -> None:
    """Of the images that depend on others, the manager's task is told where there is one."""
    images = ("system_b", "data_b_0", "data_b_1", "data_b_2")
    said = json.dumps(TASKS) + "\nsystem_b\ndata_b_0\ndata_b_1\n"
    assert rbd.flattening(images).parse(answer(said)) == {
        "system_b": Flattening("2f114746-f3c3-483c-8c54-4de4d2bbd42a", 0.25), "data_b_0": Flattening("3f", 0.0), "data_b_1": None,
    }  # fmt: skip
    assert rbd.flattening(images).parse(answer("[]\n")) == {}
    for garbage in ("", "\n", "[3]\n", "[{}]\n", '[{"refs": []}]\n'):
        with pytest.raises(CommandFailedError, match="cannot be understood"):
            rbd.flattening(images).parse(answer(garbage))


def test_images_with_a_parent_are_named(rbd: Rbd, tmp_path: Path) -> None:
    """An image that is gone depends on nothing; without the manager nothing is under way; any other failure is one."""
    script = f"case $* in *gone*) exit 2 ;; *broken*) exit 5 ;; *clone*) echo '{INFO}' ;; *) echo '{{}}' ;; esac"
    done = run(rbd.flattening(["plain", "clone", "gone"]), tmp_path, rbd=script, ceph="printf '\\n[]\\n'")
    assert (done.returncode, done.stdout) == (0, b"[]\nclone\n")
    done = run(rbd.flattening(["clone"]), tmp_path, rbd=script, ceph="exit 22")
    assert (done.returncode, done.stdout) == (0, b"[]\nclone\n")
    assert run(rbd.flattening(["broken"]), tmp_path, rbd=script, ceph="echo '[]'").returncode != 0


@pytest.mark.parametrize(
    ("known", "watchers", "code"),
    [
        ([], [], 0),
        ([], ["10.0.0.9:0/7"], 75),
        (["10.0.0.9:0/7"], ["10.0.0.9:0/7"], 0),
        (["10.0.0.9:0/77"], ["10.0.0.9:0/7"], 75),
        (["10.0.0.9:0/7", "[2001:db8::1]:0/2"], ["[2001:db8::1]:0/2", "10.0.0.9:0/7"], 0),
    ],
)
def test_who_has_the_disks_open(rbd: Rbd, tmp_path: Path, known: list[str], watchers: list[str], code: int) -> None:
    """Only those who are known may have an image open, all others are told."""
    status = json.dumps({"watchers": [{"address": item, "client": 1, "cookie": 2} for item in watchers]}, separators=(",", ":"))
    done = run(rbd.assert_unused(["system_a"], known), tmp_path, rbd=f"echo '{status}'")
    assert done.returncode == code
    assert (b"system_a was opened by" in done.stderr) is (code == 75)
    assert run(rbd.assert_unused(["system_a"], known), tmp_path, rbd="exit 2").returncode == 2


def test_opened_disks_are_told_from_a_failure(rbd: Rbd, answer: Any) -> None:
    """What the guard found is told in the user's words."""
    with pytest.raises(InUseError, match="began to use the disks meanwhile: system_a was opened by x"):
        rbd.assert_unused(["system_a"], []).parse(answer(b"", 75, b"system_a was opened by x\n"))
    with pytest.raises(CommandFailedError):
        rbd.assert_unused(["system_a"], []).parse(answer(b"", 1))


def test_the_parent_of_a_disk(rbd: Rbd, recorded: Any) -> None:
    """A disk that is whole by itself has none."""
    answer = recorded(RECORDED)
    text = answer.stdout.decode().replace("info {", f"info {{{INFO[1:-1].partition(',')[2]},", 1)
    disks = rbd.disks("rec1").parse(type(answer)("hv1", answer.argv, 0, text.encode(), b"")).disks
    assert {disk.parent for disk in disks} == {"rbd/system_a", ""}
