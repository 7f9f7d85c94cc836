"""Snapshots: what is taken, how consistent it is, what is known of it, and what goes when."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fakeremote import Fault, Killed
from fakesite import FakeSite
from workbench import Bench, add_vm

from vmmgr.disks import Consistency, ImageSnapshot, VmSnapshot
from vmmgr.errors import PartlyDoneError, RefusedError, UsageError, VmMgrError
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.purging import purge, remove_snapshot
from vmmgr.operations.removal import remove, repair
from vmmgr.operations.retention import Retention
from vmmgr.operations.snapshots import SnapshotRequest, create_snapshot, list_snapshots

if TYPE_CHECKING:
    from workbench import Clock

RECORDS = "vm-mgr-snapshots.web"


@pytest.fixture
def site() -> FakeSite:
    """A running VM with two disks, whose guest has an agent."""
    site = FakeSite()
    add_vm(site, "web", disks=2)
    site.agents.add("web")
    site.settle()
    return site


def take(bench: Bench, snapshot: str, **options: Any) -> Consistency:
    """Take a snapshot of the VM ``web``."""
    return bench.run(lambda context: create_snapshot(context, SnapshotRequest("web", snapshot, **options)))


def names(bench: Bench) -> list[str]:
    """Return the names of the VM's snapshots."""
    return [snapshot.name for snapshot, _ in bench.run(lambda context: list_snapshots(context, "web"))]


def test_a13_12_all_disks_at_one_instant(clock: Clock, site: FakeSite) -> None:
    """Several disks are one snapshot of their group, taken while the guest's file systems are frozen; and it is listed whole."""
    bench = Bench(site, clock)
    assert take(bench, "before") is Consistency.FILESYSTEM
    taken = [event.name for event in bench.remote.log if event.host == "hv1"]
    assert taken == ["assert_unchanged", "lease_take", "quiesce", "create_group_snapshot", "release", "disks"]
    assert bench.remote.execs == {"obs1": 2, "hv1": 1}
    assert site.state()["still"] == []
    ((snapshot, record),) = bench.run(lambda context: list_snapshots(context, "web"))
    assert record is not None
    assert (snapshot.name, snapshot.grouped, list(snapshot.images), snapshot.partial) == (
        "before", True, ["system_web", "data_web_0"], False,
    )  # fmt: skip
    assert (record.who, record.consistency) == ("ann@desk", Consistency.FILESYSTEM)
    assert record.metadata == site.images["system_web"].metadata


def test_a13_12_one_that_fails_half_way_is_undone(clock: Clock, site: FakeSite) -> None:
    """Where the second disk's snapshot fails, the first one's is removed, and the guest goes on."""
    before = site.state()
    bench = Bench(site, clock)
    site.take("data_web_0", "new")
    site.images["data_web_0"].snapshots.clear()

    def interfere(_index: int, command: str) -> None:
        if command == "quiesce":
            site.take("data_web_0", "new")

    bench.remote.before = interfere
    with pytest.raises(VmMgrError, match="File exists"):
        take(bench, "new", compatible=True)
    assert site.images["system_web"].snapshots == []
    assert [item.name for item in site.images["data_web_0"].snapshots] == ["new"]  # it is somebody else's
    site.images["data_web_0"].snapshots.clear()
    assert site.state() == before


def test_one_disk_is_an_image_snapshot(clock: Clock, site: FakeSite) -> None:
    """vm_manager understands that of a VM with one disk."""
    site.groups["web"].remove("data_web_0")
    del site.images["data_web_0"]
    assert take(Bench(site, clock), "before") is Consistency.FILESYSTEM
    assert [(item.name, item.kind) for item in site.images["system_web"].snapshots] == [("before", "user")]


@pytest.mark.parametrize(
    ("agent", "freeze", "compatible", "reached", "held"),
    [
        (True, True, False, Consistency.FILESYSTEM, "frozen"),
        (True, True, True, Consistency.FILESYSTEM, "frozen"),
        (True, False, False, Consistency.CRASH, None),
        (True, False, True, Consistency.CRASH, "paused"),
        (False, True, False, Consistency.CRASH, "awake"),
        (False, True, True, Consistency.CRASH, "paused"),
    ],
)
def test_how_the_guest_is_held(
    clock: Clock, site: FakeSite, *, agent: bool, freeze: bool, compatible: bool, reached: Consistency, held: str | None
) -> None:
    """Frozen by its agent if that is wanted and answers; else paused where the disks are taken one after the other; else not."""
    site.agents = {"web"} if agent else set()
    bench = Bench(site, clock)
    during: list[object] = []

    def look(_index: int, command: str) -> None:
        if command in {"create_snapshot", "create_group_snapshot"}:
            still = site.runs["web"].still
            during.append(still[0] if still else None)

    bench.remote.before = look
    assert take(bench, "before", freeze=freeze, compatible=compatible) is reached
    assert set(during) == {{"frozen": "domfsthaw", "paused": "resume", "awake": None, None: None}[held]}
    assert site.runs["web"].still is None
    warned = "could not be frozen (error: Guest agent is not responding" in "".join(bench.told.warnings)
    assert warned is (freeze and not agent)


def test_off_is_offline(clock: Clock, site: FakeSite) -> None:
    """A VM that is off needs no holding still; one whose disk somebody has open is as good as running."""
    bench = Bench(site, clock)
    bench.run(lambda context: disable(context, "web"))
    assert take(bench, "cold") is Consistency.OFFLINE
    site.images["data_web_0"].watchers = ["10.0.0.8:0/1"]
    assert take(bench, "warm") is Consistency.CRASH


def test_frozen_too_long(clock: Clock, site: FakeSite) -> None:
    """Where the hypervisor had to end it, nothing is claimed; one disk after the other is then worth nothing and undone."""
    bench = Bench(site, clock)

    def slow(_index: int, command: str) -> None:
        if command == "release":
            site.seconds += 60

    bench.remote.before = slow
    assert take(bench, "slow") is Consistency.CRASH
    assert "did not stay frozen" in bench.told.warnings[-1]
    with pytest.raises(VmMgrError, match="did not hold still until all disks were taken"):
        take(bench, "compatible", compatible=True)
    assert names(bench) == ["slow"]
    assert site.leases() == []


def test_hypervisor_out_of_reach(clock: Clock, site: FakeSite) -> None:
    """A guest that nobody can freeze from here is taken as after a power cut, and that is said."""
    bench = Bench(site, clock)
    site.hosts["hv1"].reachable = False
    assert take(bench, "before") is Consistency.CRASH
    assert "cannot be told to hold still" in bench.told.warnings[0]
    with pytest.raises(VmMgrError, match="hv1 does not answer"):
        take(bench, "compatible", compatible=True)
    assert names(bench) == ["before"]


def test_killed_while_frozen(clock: Clock, site: FakeSite) -> None:
    """A workstation that is lost leaves nothing frozen: the hypervisor ends it; repair removes what nobody knows about."""
    bench = Bench(site, clock)
    bench.remote.before = lambda _index, _command: None
    clean = Bench(site.clone(), clock)
    take(clean, "before")
    index = next(index for index, event in enumerate(clean.remote.log) if event.name == "release") - 1
    clock.sites.append(site)
    bench.remote.faults = {index: Fault("kill", effect=True)}
    with pytest.raises(Killed):
        take(bench, "before")
    assert site.state()["still"] == ["web"]
    site.seconds += 20
    assert site.state()["still"] == []
    other = Bench(site, clock, "bob@lab")
    said = other.run(lambda context: repair(context, "web", force=True))
    assert said == "What create_snapshot had left of snapshot before of VM web is removed."
    assert (names(other), site.leases()) == ([], [])


def test_refusals(clock: Clock, site: FakeSite) -> None:
    """What is in the way is told beforehand, and nothing is touched."""
    site.take("system_web", "manual")
    bench = Bench(site, clock)
    before = site.state()
    with pytest.raises(RefusedError, match="has a snapshot manual already"):
        take(bench, "manual")
    with pytest.raises(RefusedError, match="There is no VM nope"):
        bench.run(lambda context: create_snapshot(context, SnapshotRequest("nope", "x")))
    with pytest.raises(RefusedError, match="has no snapshot 'nope'"):
        bench.run(lambda context: remove_snapshot(context, "web", "nope"))
    with pytest.raises(RefusedError, match="There is no VM nope"):
        bench.run(lambda context: purge(context, "nope", Retention()))
    for name in ("", "-rf", ".x", "a b", "a@b", "a/b", "x" * 129, "a\n", "größe"):
        with pytest.raises(UsageError, match="cannot be the name of a snapshot"):
            take(bench, name)
    with pytest.raises(UsageError, match="cannot be the name of a snapshot"):
        bench.run(lambda context: remove_snapshot(context, "web", ""))
    assert site.state() == before
    site.groups["web"].remove("data_web_0")
    with pytest.raises(RefusedError, match="Not all disks of VM web are in its group: data_web_0"):
        take(bench, "whole")
    assert take(bench, "whole", compatible=True)
    del site.images["system_web"]
    with pytest.raises(RefusedError, match="has no image system_web"):
        take(bench, "none")


def test_vm_managers_are_listed_and_removed(clock: Clock, site: FakeSite) -> None:
    """Snapshots of single images are a VM's too; one that a disk lacks is partial, whatever its name; removal takes all parts."""
    for image in ("system_web", "data_web_0"):
        site.take(image, "both")
    site.take("data_web_0", "-rf @/\n")
    bench = Bench(site, clock)
    listed = {item.name: (item.missing, record) for item, record in bench.run(lambda context: list_snapshots(context, "web"))}
    assert listed == {"both": ((), None), "-rf @/\n": (("system_web",), None)}
    for name in listed:
        bench.run(lambda context, name=name: remove_snapshot(context, "web", name))
    assert names(bench) == []
    assert RECORDS not in site.store


def test_one_name_twice_is_removed_twice(clock: Clock, site: FakeSite) -> None:
    """vm_manager, which does not see those of the group, may have taken one of the same name."""
    bench = Bench(site, clock)
    take(bench, "a")
    site.take("system_web", "a")
    assert names(bench) == ["a", "a"]
    bench.run(lambda context: remove_snapshot(context, "web", "a"))
    assert (names(bench), RECORDS in site.store) == ([], False)


def test_records_do_not_outlive_their_snapshots(clock: Clock, site: FakeSite) -> None:
    """A later snapshot of the same name, taken by hand, is not taken for ours; records survive disable and go with the VM."""
    bench = Bench(site, clock)
    take(bench, "a", compatible=True)
    for image in ("system_web", "data_web_0"):
        site.images[image].snapshots.clear()
        site.take(image, "a")
    ((_, record),) = bench.run(lambda context: list_snapshots(context, "web"))
    assert record is None
    take(bench, "b")
    assert [item["name"] for item in json.loads(site.store[RECORDS])["snapshots"]] == ["b"]
    bench.run(lambda context: disable(context, "web"))
    bench.run(lambda context: enable(context, "web"))
    assert RECORDS in site.store
    bench.run(lambda context: remove(context, "web"))
    assert (site.store, site.group_snapshots) == ({}, {})


def test_records_that_cannot_be_read(clock: Clock, site: FakeSite) -> None:
    """Snapshots are listed without them; nothing is written over them."""
    bench = Bench(site, clock)
    take(bench, "a")
    for text in ('{"version": 2}', "nonsense", "[]", '{"version": 1, "snapshots": [3]}'):
        site.store[RECORDS] = text
        ((_, record),) = bench.run(lambda context: list_snapshots(context, "web"))
        assert record is None
        assert "vm-mgr-snapshots.web" in bench.told.warnings[-1]
        before = site.state()
        with pytest.raises(VmMgrError, match="cannot be read"):
            take(bench, "b")
        assert "lease_take" not in [event.name for event in bench.remote.log]
        with pytest.raises(VmMgrError, match="cannot be read"):
            bench.run(lambda context: remove_snapshot(context, "web", "a"))
        assert site.state() == before


def test_a13_16_what_purge_leaves_is_named(clock: Clock, site: FakeSite) -> None:
    """Protected snapshots stay protected, and are named with the clones that may need them; the exit code says so."""
    site.take("system_web", "kept", protected=True)
    site.take("system_web", "gone")
    site.images["system_web"].clones.append("copy")
    bench = Bench(site, clock)
    with pytest.raises(RefusedError, match="kept of VM web is protected on system_web"):
        bench.run(lambda context: remove_snapshot(context, "web", "kept"))
    with pytest.raises(PartlyDoneError, match=r"kept of VM web is protected on system_web.* depend on these images: rbd/copy"):
        bench.run(lambda context: purge(context, "web", Retention()))
    assert bench.told.said[-1] == "Removed of VM web: gone."
    assert site.leases() == []
    assert [(item.name, item.protected) for item in site.images["system_web"].snapshots] == [("kept", True)]
    with pytest.raises(RefusedError, match="kept of VM web is protected"):
        bench.run(lambda context: purge(context, "web", Retention()))


def test_purge_of_nothing(clock: Clock, site: FakeSite) -> None:
    """Where there is nothing to remove, nothing is changed."""
    before = site.state()
    assert Bench(site, clock).run(lambda context: purge(context, "web", Retention())) == []
    assert site.state() == before


NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday


def series(*hours_ago: float) -> list[VmSnapshot]:
    """Return snapshots of so many hours ago, in the order given."""
    times = [NOW - timedelta(hours=hours) for hours in hours_ago]
    return [
        VmSnapshot(f"{hours:g}", grouped=False, images={"i": ImageSnapshot(1, "x", time)})
        for hours, time in zip(hours_ago, times, strict=True)
    ]


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(), ""),
        (Retention(oldest=2), "49 25 11 2 1"),
        (Retention(oldest=99), ""),
        (Retention(before=NOW - timedelta(hours=25)), "25 11 2 1"),
        (Retention(keep_last=2), "2 1"),
        (Retention(keep_last=99), "400 200 49 25 11 2 1"),
        (Retention(keep_daily=2), "25 1"),
        (Retention(keep_daily=3), "49 25 1"),
        (Retention(keep_weekly=2), "200 1"),
        (Retention(keep_weekly=3), "400 200 1"),
        (Retention(keep_last=3, keep_daily=2, keep_weekly=2), "200 25 11 2 1"),
    ],
)
def test_what_a_rule_keeps(retention: Retention, left: str) -> None:
    """The newest of each of the latest days and weeks in UTC, and so many of the newest; what one rule keeps is kept."""
    snapshots = series(400, 200, 49, 25, 11, 2, 1)
    gone = retention.to_remove(snapshots)
    assert " ".join(item.name for item in snapshots if item not in gone) == left
    assert retention.to_remove([]) == []


def test_the_remainder_of_a_removal_is_old() -> None:
    """A snapshot of the group that no image has any more has no time; it is taken for the oldest."""
    empty = VmSnapshot("empty", grouped=True, images={})
    assert Retention(before=NOW).to_remove([empty, *series(-1)]) == [empty]
    assert re.match("empty", Retention(keep_daily=1).to_remove([empty, *series(1)])[0].name)
