"""What is read of the disks of a VM (Ceph 16.2.15), and what follows from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.disks import VmSnapshot
from vmmgr.drivers.rbd import Rbd

if TYPE_CHECKING:
    from vmmgr.disks import Disks
    from vmmgr.rendering import Renderer

RECORDED = "ceph-16.2.15/disks.txt"


@pytest.fixture
def rbd(renderer: Renderer) -> Rbd:
    """A driver for the pool ``rbd``."""
    return Rbd(renderer, "rbd")


@pytest.fixture
def disks(rbd: Rbd, recorded: Any) -> Disks:
    """A VM with four disks of its own, of which two are in the group, and one more there."""
    return rbd.disks("rec1").parse(recorded(RECORDED))


def test_the_disks_in_their_order(disks: Disks) -> None:
    """The system's first, data by number and not by letter, others last; who is in the group; the metadata of the system's."""
    assert disks.images == ("system_rec1", "data_rec1_0", "data_rec1_2", "data_rec1_10", "other")
    assert [disk.image for disk in disks.disks if not disk.grouped] == ["data_rec1_2", "data_rec1_10"]
    assert {disk.size for disk in disks.disks} == {8 << 20}
    assert disks.metadata == {"vm_name": "rec1", "note": "größe\ntwo"}
    assert (disks.strangers, disks.watchers, disks.children) == ((), {}, ("rbd/recclone",))
    assert disks.records == '{"version": 1}'


def test_metadata_of_any_bytes_do_no_harm(rbd: Rbd, recorded: Any, answer: Any) -> None:
    """Bytes that are no UTF-8, and a key with a quotation mark, hide nothing of the disks."""
    told = recorded(RECORDED).stdout.replace('"note":"größe'.encode(), b'"a"b":"\xff","note":"')
    disks = rbd.disks("rec1").parse(answer(told))
    assert disks.metadata == {"vm_name": "rec1", 'a"b': "\udcff", "note": "\ntwo"}
    assert len(disks.disks) == 5


def test_the_snapshots_of_an_image(disks: Disks) -> None:
    """Number, time in UTC, protection and size used of each; what a group's snapshot is called; what is in the trash."""
    old, new, both, gone = disks.disks[0].snapshots
    assert (old.id, old.name, old.kind, old.used, old.protected) == (52, "old", "user", 0, False)
    assert old.time == datetime(2026, 11, 23, 2, 59, 14, tzinfo=UTC)
    assert (new.name, new.protected, new.used) == ("new", True, 4 << 20)
    assert (both.kind, both.group, both.group_snapshot, both.used) == ("group", "rec1", "both", None)
    assert gone.kind == "trash"


def test_the_snapshots_of_a_vm(disks: Disks) -> None:
    """Those of images by their names, those of the group; each knows what it lacks. The trash holds none."""
    found = {snapshot.name: snapshot for snapshot in disks.snapshots()}
    assert list(found) == ["old", "new", "both"]
    assert (list(found["old"].images), found["old"].grouped, found["old"].partial) == (["system_rec1"], False, True)
    assert found["new"].protected == ("system_rec1",)
    assert (found["new"].used, found["both"].used) == (4 << 20, None)
    assert found["new"].time == datetime(2026, 11, 23, 2, 59, 17, tzinfo=UTC)
    assert (found["both"].grouped, found["both"].missing) == (True, ("data_rec1_2", "data_rec1_10", "other"))
    assert (disks.named("gone"), disks.named("nope")) == ([], [])


def test_snapshots_that_only_their_names_have_in_common(rbd: Rbd, recorded: Any) -> None:
    """A snapshot of the group and one of the images may have the same name; one that Ceph did not end is partial."""
    answer = recorded(RECORDED)
    text = (
        answer.stdout.decode()
        .replace('"state":"ok"', '"state":"incomplete"')
        .replace('"group snap":"both"', '"group snap":"old"')
    )
    answer = type(answer)("hv1", answer.argv, 0, text.replace('"snapshot":"both"', '"snapshot":"old"').encode(), b"")
    first, second = rbd.disks("rec1").parse(answer).named("old")
    assert (first.grouped, first.complete, second.grouped, second.complete) == (False, True, True, False)
    assert VmSnapshot("empty", grouped=True, images={}, complete=False).time is None


def test_a_vm_without_disks(rbd: Rbd, answer: Any) -> None:
    """An unknown VM has none; a group without images, or with members that are elsewhere, is told."""
    nothing = rbd.disks("nope").parse(answer("group []\nrecords\n"))
    assert (nothing.disks, nothing.snapshots(), nothing.records) == ((), [], "")
    strange = rbd.disks("x").parse(answer("member rbd/gone\nmember other/system_x\ngroup []\nrecords\n"))
    assert strange.strangers == ("rbd/gone", "other/system_x")


def test_a_missing_pool_is_a_failure(rbd: Rbd, answer: Any) -> None:
    """Exit code 2 of ``rbd`` means that the pool is not there: never that the VM has no disks."""
    with pytest.raises(CommandFailedError, match="error opening pool"):
        rbd.disks("x").parse(answer(b"", 2, b"rbd: error opening pool 'nope': (2) No such file or directory\n"))


def test_what_is_not_whole_is_refused(rbd: Rbd, recorded: Any, answer: Any) -> None:
    """No part of an answer is taken for the whole, up to the line that ends it."""
    whole = recorded(RECORDED).stdout
    for length in range(1, whole.index(b"\nrecords"), 97):
        with pytest.raises(CommandFailedError, match="cannot be understood"):
            rbd.disks("rec1").parse(answer(whole[:length]))
    for kind in (b"info ", b"snapshots ", b"status ", b"group "):
        lines = [line for line in whole.split(b"\n") if not line.startswith(kind)]
        with pytest.raises(CommandFailedError, match="cannot be understood"):
            rbd.disks("rec1").parse(answer(b"\n".join(lines)))


def test_what_is_gone_is_as_good_as_removed(rbd: Rbd, answer: Any) -> None:
    """Taking away what is not there succeeds, and so can be repeated; a refusal stays one."""
    command = rbd.remove_group_snapshot("g", "s")
    command.parse(answer(b"", 2, b"rbd: failed to remove snapshot: (2) No such file or directory"))
    with pytest.raises(CommandFailedError, match="protected"):
        command.parse(answer(b"", 16, b"rbd: snapshot 'u3' is protected from removal."))
    with pytest.raises(CommandFailedError):
        rbd.rollback_snapshot("i", "s").parse(answer(b"", 2))
