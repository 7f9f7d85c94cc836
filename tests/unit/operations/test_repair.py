"""Repair: for whom, when, and what happens when the repair itself goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from fakeremote import Fault, Killed
from fakesite import FakeSite
from journeys import Journey, journey
from workbench import Bench

from vmmgr.errors import PartlyDoneError, RefusedError, VmMgrError
from vmmgr.operations.listing import vm_status
from vmmgr.operations.removal import repair

if TYPE_CHECKING:
    from workbench import Clock

    from vmmgr.images import DiskImage

KILL = Fault("kill", effect=True)


def broken_off(route: Journey, clock: Clock, after: str) -> FakeSite:
    """Return the site of a verb whose workstation was lost right after a command."""
    index = max(index for index, event in enumerate(route.commands(clock)) if event.name == after)
    outcome = route.run(clock, {index: KILL})
    assert isinstance(outcome.error, Killed)
    assert outcome.site.leases() == ["web"]
    return outcome.site


def repaired(site: FakeSite, clock: Clock, *, force: bool = False) -> str:
    """Repair the VM from another workstation."""
    return Bench(site, clock, "bob@lab").run(lambda context: repair(context, "web", force=force))


def test_while_it_may_be_alive_only_by_force(clock: Clock, disk: DiskImage) -> None:
    """Until its lease ends, an operation is repaired only by ``--force``; the refusal says who and how."""
    site = broken_off(journey("create", disk, clock), clock, "import_diff")
    with pytest.raises(RefusedError, match="create by ann@desk since") as caught:
        repaired(site, clock)
    assert "--force" in caught.value.problems[-1]
    assert repaired(site, clock, force=True) == "What create had left of VM web is removed."
    assert site.images.keys() == {"system_db"}


def test_lease_ends_by_the_nodes_clock(clock: Clock, disk: DiskImage) -> None:
    """A lease of 600 s is in progress until then, and unfinished from then on."""
    site = broken_off(journey("create", disk, clock), clock, "create_image")
    bench = Bench(site, clock, "bob@lab")
    site.seconds = 599
    assert "in progress" in bench.run(lambda context: vm_status(context, "web")).details[0]
    site.seconds = 600
    assert "unfinished" in bench.run(lambda context: vm_status(context, "web")).details[0]
    repaired(site, clock)
    assert site.leases() == []


@pytest.mark.parametrize(
    ("name", "after", "said"),
    [
        ("create", "set_metadata", "What create had left of VM web is removed."),
        ("create", "define", "The create of VM web had come to its end; only its mark was left."),
        ("create disabled", "write_file", "What create had left of VM web is removed."),
        (
            "remove",
            "set_meta",
            "The remove of VM web had not begun to take it out of the cluster; it stays, and may be stopped.",
        ),
        ("remove", "delete", "What remove had left of VM web is removed."),
        ("remove disabled", "lease_take", "What remove had left of VM web is removed."),
        (
            "disable",
            "store_put",
            "The disable of VM web had not begun to take it out of the cluster; it stays, and may be stopped.",
        ),
        ("disable", "delete", "The disable of VM web had come to its end; only its mark was left."),
    ],
)
def test_says_what_it_did(clock: Clock, disk: DiskImage, name: str, after: str, said: str) -> None:
    """A repair tells whether it finished or cleaned, and what is left."""
    site = broken_off(journey(name, disk, clock), clock, after)
    site.seconds = 700
    assert repaired(site, clock) == said
    assert repaired(site, clock) == "Nothing was left unfinished on VM web."


@pytest.mark.parametrize(
    "fault", [Fault("fail"), Fault("lost"), Fault("lost", effect=True), Fault("SIGTERM", effect=True), KILL]
)
@pytest.mark.parametrize(("name", "after"), [("create", "set_metadata"), ("remove", "delete"), ("disable", "store_put")])
def test_broken_repair_can_be_repaired(clock: Clock, disk: DiskImage, name: str, after: str, fault: Fault) -> None:
    """Whatever goes wrong during a repair, the VM stays marked until a later repair has come to its end."""
    site = broken_off(journey(name, disk, clock), clock, after)
    site.seconds = 700
    perfect = site.clone()
    clean = Bench(perfect, clock, "bob@lab")
    clean.run(lambda context: repair(context, "web"))
    for index, event in enumerate(clean.remote.log):
        copy = site.clone()
        bench = Bench(copy, clock, "bob@lab")
        bench.remote.faults = {index: fault}
        try:
            bench.run(lambda context: repair(context, "web"))
        except (VmMgrError, KeyboardInterrupt, Killed):
            assert "web" in copy.leases() or copy.state() == perfect.state(), event
        copy.seconds += 2000
        repaired(copy, clock)
        assert copy.leases() == [], event
        copy.settle()
        perfect.settle()
        assert copy.state() == perfect.state(), event


@pytest.mark.parametrize(
    ("name", "after", "seconds", "refused"),
    [
        ("create", "create_image", 0, False), ("create", "create_image", -100, True), ("create", "create_image", 700, True),
        ("remove", "delete", -5000, False), ("remove", "delete", 10, False), ("remove", "delete", 100, True),
    ],
)  # fmt: skip
def test_an_image_of_somebody_else_survives_the_repair(
    clock: Clock, disk: DiskImage, *, name: str, after: str, seconds: int, refused: bool
) -> None:
    """An image that was made before a create or after a remove, by the storage's own account, has the name by chance."""
    site = broken_off(journey(name, disk, clock), clock, after)
    site.images["system_web"].created += seconds
    site.seconds = 2000
    before = site.state()
    if not refused:
        assert repaired(site, clock) == f"What {name} had left of VM web is removed."
        return
    with pytest.raises(
        RefusedError, match=r"The RBD image system_web was made at 2023-11-14 22:.* UTC, so it has nothing to do"
    ):
        repaired(site, clock)
    assert site.state() == before


def test_the_time_of_the_first_operation_is_handed_down(clock: Clock, disk: DiskImage) -> None:
    """A repair that is repaired in its turn still knows what was made by the operation that was broken off first."""
    site = broken_off(journey("create", disk, clock), clock, "set_metadata")
    for _ in range(2):
        site.seconds += 700
        bench = Bench(site, clock, "bob@lab")
        bench.remote.before = lambda index, command, bench=bench: bench.remote.faults.update(
            {index + 1: KILL} if command == "assert_lease" else {}
        )
        with pytest.raises(Killed):
            bench.run(lambda context: repair(context, "web"))
    assert site.leases() == ["web"]
    site.images["system_web"].created -= 100
    site.seconds += 700
    with pytest.raises(RefusedError, match="nothing to do with the repair after create of VM web"):
        repaired(site, clock)


def test_a13_11_an_image_that_is_opened_during_a_remove_keeps_its_vm(clock: Clock, disk: DiskImage) -> None:
    """Whoever opens a disk at the last moment leaves no orphan: the VM stays listed and marked, and a repair removes the rest."""
    route = journey("remove", disk, clock)
    site = route.prepared.clone()
    bench = Bench(site, clock)

    def opened(_index: int, command: str) -> None:
        if command == "remove_group":
            site.images["data_web_0"].watchers = ["10.9.9.9:0/1"]

    bench.remote.before = opened
    with pytest.raises(PartlyDoneError, match=r"still has watchers(.|\n)*`vm-mgr repair -n web` removes the rest"):
        bench.run(route.operation)
    state = bench.run(lambda context: vm_status(context, "web"))
    assert "in progress: remove by ann@desk" in state.details[0]
    assert "data_web_0" in site.images
    site.images["data_web_0"].watchers = []
    site.seconds += 5000
    assert repaired(site, clock) == "What remove had left of VM web is removed."
    assert site.images.keys() == {"system_db"}


def test_two_repairs_at_once(clock: Clock, disk: DiskImage) -> None:
    """Of two repairs one does it; the other is told, or finds nothing left to do."""
    site = broken_off(journey("create", disk, clock), clock, "set_metadata")
    site.seconds = 700
    bob, eve = Bench(site, clock, "bob@lab"), Bench(site, clock, "eve@home")
    first: list[str] = []

    def hook(_index: int, command: str) -> None:
        if command == "assert_unchanged" and not first:
            first.append("")
            first[0] = eve.run(lambda context: repair(context, "web"))

    bob.remote.before = hook
    assert bob.run(lambda context: repair(context, "web")) == "Nothing was left unfinished on VM web."
    assert first == ["What create had left of VM web is removed."]


def test_repair_while_somebody_has_the_disk_open(clock: Clock, disk: DiskImage) -> None:
    """A repair that is refused gives the mark back as it was, with the first one's name."""
    site = broken_off(journey("create", disk, clock), clock, "set_metadata")
    site.seconds = 700
    site.images["system_web"].watchers = ["10.9.9.9:0/1"]
    before = site.state()
    with pytest.raises(RefusedError, match="are in use"):
        repaired(site, clock)
    assert site.state() == before


@pytest.mark.parametrize(
    ("verb", "notes", "missing"),
    [("remove_service", {}, "'service'"), ("create", {"replaces": "Started"}, "'old'"), ("create", {"since": "x"}, "")],
)
def test_a_mark_that_was_altered_by_hand(clock: Clock, verb: str, notes: dict[str, str], missing: str) -> None:
    """A repair says so where it lacks what it needs, and leaves all as it is; the time of the mark itself takes the place of another."""
    site = FakeSite()
    value = json.dumps({"verb": verb, "who": "eve", "since": 0, "until": 0, "notes": notes})
    mark = ET.SubElement(site.find("configuration/crm_config"), "cluster_property_set", id="vm-mgr-web")
    ET.SubElement(mark, "nvpair", id="vm-mgr-web-abcd", name="web", value=value)
    if missing:
        with pytest.raises(VmMgrError, match=f"lacks {missing}, so it was altered by hand"):
            repaired(site, clock)
    else:
        repaired(site, clock)
        assert site.leases() == []
