"""Rollback: what comes back, what stays, what is refused, and what a repair makes of a broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakeremote import Fault, Killed
from fakesite import FakeSite
from journeys import journey
from workbench import Bench, add_vm, constrain

from vmmgr.drivers.pacemaker.guestnode import GuestNode
from vmmgr.errors import PartlyDoneError, RefusedError, UsageError, VmMgrError
from vmmgr.model import Status, VmState
from vmmgr.operations.guestnode import add_guest_node, remove_guest_node
from vmmgr.operations.removal import repair
from vmmgr.operations.rollback import rollback
from vmmgr.operations.servicerunning import remove_service
from vmmgr.operations.services import ServiceRequest, add_service
from vmmgr.operations.snapshots import SnapshotRequest, create_snapshot

if TYPE_CHECKING:
    from fakeremote import Event
    from workbench import Clock

    from vmmgr.images import DiskImage

SAFETY = "vm-mgr-before-rollback-20231114-221320"
KILL, FAIL, LOST = Fault("kill", effect=True), Fault("fail"), Fault("lost", effect=True)


def to_old(context: Any, **options: Any) -> Any:
    """Roll the VM ``web`` back to the snapshot ``old``."""
    return rollback(context, "web", "old", **options)


def resources_of(site: FakeSite) -> list[str]:
    """Return the resources and constraints, as they stand in the CIB."""
    items = (*site.resources, *site.constraints)
    return sorted(ET.tostring(item, encoding="unicode").strip() for item in items)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("", Status.STARTED), (" stopped", Status.STOPPED), (" disabled", Status.DISABLED), (" unsafe", Status.STARTED)],
)
def test_a13_13_role_constraints_metadata_and_xml(clock: Clock, disk: DiskImage, kind: str, status: Status) -> None:
    """A VM is afterwards what it was before in the cluster, and on its disks, in metadata and XML what it was at the snapshot."""
    route = journey(f"rollback{kind}", disk, clock)
    if status is not Status.DISABLED:
        constrain(route.prepared, '<rsc_colocation id="together" rsc="web" with-rsc="db" score="700"/>')
        constrain(route.prepared, '<rsc_location id="cli-ban-web-on-hv2" rsc="web" node="hv2" score="-INFINITY"/>')
    before, definitions = resources_of(route.prepared), route.prepared.definitions
    outcome = route.run(clock)
    site = outcome.site
    assert (outcome.error, outcome.value.status) == (None, status)
    assert (resources_of(site), site.definitions, site.leases()) == (before, definitions, [])
    assert [site.images[name].data for name in ("system_web", "data_web_0")] == ["data of system_web", "data of data_web_0"]
    metadata = site.images["system_web"].metadata
    assert (metadata["owner"], metadata["gone"], metadata.get("new")) == ("ann", "x", None)
    assert metadata["_priority"] == "7"  # a setting of the resource, which stays as well
    assert "newer" not in metadata["xml"]
    files = {host.files.get("/etc/pacemaker/web.xml") for host in site.hosts.values() if host.name.startswith("hv")}
    assert status is Status.DISABLED or files == {metadata["xml"]}


def test_a_guest_node_stays_one(clock: Clock) -> None:
    """Where its guest was none yet, that is refused, for Pacemaker would restart the VM for it; services come back with it otherwise."""
    add_vm(site := FakeSite(), "web")
    bench = Bench(site, clock)
    bench.run(lambda context: create_snapshot(context, SnapshotRequest("web", "bare")))
    bench.run(lambda context: add_guest_node(context, "web", GuestNode("guest1", "10.0.0.9")))
    bench.run(lambda context: create_snapshot(context, SnapshotRequest("web", "node")))
    bench.run(lambda context: add_service(context, ServiceRequest("web", "shop", ("systemd", "shop"))))
    before = site.state()
    with pytest.raises(RefusedError, match="was no guest node yet when snapshot bare was taken"):
        bench.run(lambda context: rollback(context, "web", "bare"))
    assert site.state() == before
    assert bench.run(lambda context: rollback(context, "web", "node")).status is Status.STARTED
    assert site.guest_nodes() == {"guest1": "web"}
    bench.run(lambda context: remove_service(context, "web", "shop"))
    bench.run(lambda context: remove_guest_node(context, "web"))
    assert bench.run(lambda context: rollback(context, "web", "bare")).status is Status.STARTED


def test_a13_12_all_disks_or_none(clock: Clock, disk: DiskImage) -> None:
    """When the second disk cannot be rolled back, the first is brought back to what it was just before, and the VM runs again."""
    route = journey("rollback compatible", disk, clock)
    commands = [event.name for event in route.commands(clock)]
    second = len(commands) - 1 - commands[::-1].index("rollback_snapshot")
    assert commands.count("rollback_snapshot") == 2
    outcome = route.run(clock, {second: FAIL})
    assert isinstance(outcome.error, VmMgrError)
    outcome.site.settle()
    assert outcome.site.state() == route.prepared.state()
    assert {"rollback_snapshot", "rollback_group_snapshot"} <= {event.name for event in outcome.bench.remote.log}


def test_a_safety_snapshot_stays(clock: Clock, disk: DiskImage) -> None:
    """What was there before can be gone back to, with its metadata; without one nothing is left behind."""
    route = journey("rollback", disk, clock)
    site = route.run(clock).site
    assert site.group_snapshots["web"] == {"old": "ok", SAFETY: "ok"}
    bench = Bench(site, clock)
    bench.run(lambda context: rollback(context, "web", SAFETY, safety=False))
    assert site.images["system_web"].data == "newer data of system_web"
    assert site.images["system_web"].metadata == route.prepared.images["system_web"].metadata
    assert journey("rollback unsafe", disk, clock).run(clock).site.group_snapshots["web"] == {"old": "ok"}


def test_two_in_the_same_second(clock: Clock, disk: DiskImage) -> None:
    """Each has a safety snapshot of its own."""
    site = journey("rollback stopped", disk, clock).run(clock).site
    site.seconds = 0
    bench = Bench(site, clock)
    for number in (2, 3):
        bench.run(lambda context: rollback(context, "web", "old"))
        assert bench.told.said[-1] == f"What was there before is in snapshot {SAFETY}-{number}."
    assert site.group_snapshots["web"].keys() == {"old", SAFETY, f"{SAFETY}-2", f"{SAFETY}-3"}


def test_one_disk_has_a_safety_snapshot_that_vm_manager_sees(clock: Clock) -> None:
    """A snapshot of the image, not of the group; a foreign snapshot leaves metadata and XML as they are, and says so."""
    site = FakeSite()
    add_vm(site, "web", running=False)
    site.take("system_web", "old")
    site.images["system_web"].data = "newer"
    before = dict(site.images["system_web"].metadata)
    bench = Bench(site, clock)
    assert bench.run(to_old) == VmState("web", Status.STOPPED)
    assert [item.name for item in site.images["system_web"].snapshots] == ["old", SAFETY]
    assert (site.images["system_web"].data, site.images["system_web"].metadata) == ("data of system_web", before)
    assert any("Nothing was written down of snapshot old" in text for text in bench.told.said)
    assert site.group_snapshots == {}


def obstacle(site: FakeSite, kind: str) -> None:
    """Put something in the way of a rollback to ``old``."""
    if kind == "partial":
        site.take("system_web", "old")
    elif kind == "unfinished":
        site.take_group("web", "old")
        site.group_snapshots["web"]["old"] = "incomplete"
    elif kind != "unknown":
        site.take_group("web", "old")
    if kind == "unmanaged":
        site.runs["web"].managed = False
    elif kind == "outside":
        site.groups["web"].discard("data_web_0")
    elif kind == "member":
        group = ET.SubElement(site.resources, "group", id="both")
        primitive = site.primitive("web")
        assert primitive is not None
        site.resources.remove(primitive)
        group.append(primitive)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("unknown", "VM web has no snapshot 'old'; `vm-mgr list_snapshots -n web` shows what it has."),
        ("partial", "The snapshot old of VM web is partial, so the VM cannot be rolled back to it as a whole: not in it: data_web_0."),
        ("unfinished", "The snapshot old of VM web is partial, so .*: Ceph did not finish it"),
        ("unmanaged", "Pacemaker does not manage VM web now"),
        ("outside", "Not all disks of VM web are in its group: data_web_0"),
        ("member", "The resource of VM web is part of a group"),
    ],
)  # fmt: skip
def test_refused_beforehand(clock: Clock, kind: str, said: str) -> None:
    """What cannot be rolled back is refused before the VM is stopped or marked."""
    site = FakeSite()
    add_vm(site, "web", disks=2)
    obstacle(site, kind)
    before = site.state()
    with pytest.raises(RefusedError, match=said):
        Bench(site, clock).run(to_old)
    assert site.state() == before


def test_names_that_cannot_be(clock: Clock) -> None:
    """They are refused before anybody is contacted; an unknown VM is told from one without snapshots."""
    bench = Bench(FakeSite(), clock)
    for vm, snapshot in (("a b", "old"), ("web", ""), ("web", "a\0b")):
        with pytest.raises(UsageError, match="cannot be the name of"):
            bench.run(lambda context, vm=vm, snapshot=snapshot: rollback(context, vm, snapshot))
    assert bench.remote.log == []
    with pytest.raises(RefusedError, match="There is no VM web"):
        bench.run(to_old)


def test_disks_that_somebody_else_has_open(clock: Clock) -> None:
    """They are waited for as long as Ceph remembers a client that is gone; then it is refused, and the VM is as before."""
    site = FakeSite()
    add_vm(site, "web", running=False)
    site.take("system_web", "old")
    site.images["system_web"].watchers = ["10.9.9.9:0/1"]
    before = site.state()
    with pytest.raises(RefusedError, match=r"The disks of VM web are in use \(system_web by 10\.9\.9\.9:0/1\); end that first"):
        Bench(site, clock).run(to_old)
    assert site.state() == before


def test_a_vm_that_does_not_start(clock: Clock, disk: DiskImage) -> None:
    """It is rolled back, and that it does not start is told with Pacemaker's reason."""
    route = journey("rollback", disk, clock)
    route.prepared.broken["web"] = "start"
    outcome = route.run(clock)
    assert outcome.exit_code == 1
    assert "VM web is rolled back to old, and does not start. VM web is Failed instead of Started" in str(outcome.error)
    assert outcome.site.images["system_web"].data == "data of system_web"
    assert outcome.site.leases() == []


def at(events: list[Event], name: str, *, last: bool = False) -> int:
    """Return the index of a command."""
    found = [index for index, event in enumerate(events) if event.name == name]
    return found[-1 if last else 0]


@pytest.mark.parametrize(
    "case",
    [
        ("", "lease_take", False, "had not begun to change the disks; all is as it was before", False),
        ("", "create_group_snapshot", False, "had not begun to change the disks; all is as it was before", False),
        ("", "records_put", False, "was broken off half way and is taken back; all is as it was before", False),
        ("", "rollback_group_snapshot", False, "was broken off half way and is taken back; all is as it was before", False),
        (" compatible", "rollback_snapshot", False, "was broken off half way and is taken back", False),
        (" stopped", "write_file", True, "was broken off half way and is taken back", False),
        ("", "lease_renew", True, "had come to its end; its target role is as before", True),
        ("", "set_meta", True, "had come to its end; its target role is as before", True),
        (" unsafe", "set_meta", False, "had not begun to change the disks", False),
        (" unsafe", "lease_renew", False, "is finished; there was no safety snapshot to take it back to", True),
        (" unsafe", "set_metadata", False, "is finished; there was no safety snapshot to take it back to", True),
    ],
)
def test_repair_says_which_way_it_went(clock: Clock, disk: DiskImage, case: tuple[str, str, bool, str, bool]) -> None:
    """Killed after each phase: taken back where a safety snapshot allows it, finished otherwise, and it says which."""
    kind, after, last, said, complete = case
    route = journey(f"rollback{kind}", disk, clock)
    perfect = route.run(clock)
    outcome = route.run(clock, {at(perfect.bench.remote.log, after, last=last): KILL})
    assert isinstance(outcome.error, Killed)
    site = outcome.site
    site.seconds += 2000
    assert said in Bench(site, clock, "bob@lab").run(lambda context: repair(context, "web"))
    for one in (site, perfect.site, route.prepared):
        one.settle()
    assert site.state() == (perfect.site if complete else route.prepared).state()
    assert site.violations == []


def test_what_cannot_be_taken_back_stays_stopped_and_marked(clock: Clock, disk: DiskImage) -> None:
    """If the way back fails too, the safety snapshot stays, the VM is not started, and a later repair takes it back."""
    route = journey("rollback compatible", disk, clock)
    events = route.commands(clock)
    first = at(events, "rollback_snapshot")
    undos = range(first + 1, first + 40)
    bench = Bench(route.prepared.clone(), clock)
    bench.remote.faults = {first: FAIL}

    def hook(index: int, command: str) -> None:
        if command == "rollback_group_snapshot" and index in undos:
            bench.remote.faults[index] = FAIL

    bench.remote.before = hook
    with pytest.raises(PartlyDoneError, match=r"(?s)could not be undone.*`vm-mgr repair -n web`"):
        bench.run(to_old)
    site = bench.site
    site.settle()
    assert (site.leases(), site.target_role("web"), site.runs["web"].node) == (["web"], "Stopped", None)
    assert site.group_snapshots["web"] == {SAFETY: "ok"}
    site.seconds += 2000
    assert "is taken back" in Bench(site, clock, "bob@lab").run(lambda context: repair(context, "web"))
    site.settle()
    assert site.state() == route.prepared.state()


def test_while_it_is_unknown_what_a_rollback_does_nothing_goes_the_other_way(clock: Clock, disk: DiskImage) -> None:
    """A connection that is lost during a rollback leaves it alone and marked: it may still go on over there."""
    route = journey("rollback", disk, clock)
    outcome = route.run(clock, {at(route.commands(clock), "rollback_group_snapshot"): LOST})
    assert outcome.exit_code == 5
    assert "Nothing was undone, for it is not known what was done" in str(outcome.error)
    assert [event.name for event in outcome.bench.remote.log].count("rollback_group_snapshot") == 1
    assert outcome.site.leases() == ["web"]
    assert outcome.site.target_role("web") == "Stopped"


@pytest.mark.parametrize("fault", [FAIL, LOST, Fault("lost"), Fault("SIGTERM", effect=True), KILL])
@pytest.mark.parametrize(("kind", "after"), [("", "rollback_group_snapshot"), (" unsafe", "lease_renew")])
def test_a_broken_repair_can_be_repaired(clock: Clock, disk: DiskImage, kind: str, after: str, fault: Fault) -> None:
    """Whatever goes wrong at whatever command of the repair, the VM stays marked until a later one has come to its end."""
    route = journey(f"rollback{kind}", disk, clock)
    broken = route.run(clock, {at(route.commands(clock), after): KILL}).site
    broken.seconds += 2000
    perfect = broken.clone()
    clean = Bench(perfect, clock, "bob@lab")
    clean.run(lambda context: repair(context, "web"))
    perfect.settle()
    for index, event in enumerate(clean.remote.log):
        copy = broken.clone()
        bench = Bench(copy, clock, "bob@lab")
        bench.remote.faults = {index: fault}
        try:
            bench.run(lambda context: repair(context, "web"))
        except (VmMgrError, KeyboardInterrupt, Killed):
            assert "web" in copy.leases() or event.name == "lease_drop", event
        copy.seconds += 20000
        Bench(copy, clock, "eve@home").run(lambda context: repair(context, "web"))
        copy.settle()
        assert copy.state() == perfect.state(), event
        assert copy.violations == [], event
