"""Each verb when all goes well: what is true afterwards, in which order it came about, and what it cost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakesite import FakeSite
from journeys import journey
from workbench import Bench, add_vm, creating

from vmmgr.errors import RefusedError
from vmmgr.model import Status, VmState
from vmmgr.operations.definition import Settings
from vmmgr.operations.listing import list_vms, vm_status
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove, repair
from vmmgr.operations.running import start, stop
from vmmgr.operations.waiting import VmFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench import Clock

    from vmmgr.images import DiskImage
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps

LOOK = ["cib", "simulate"]
WAITING = (LOOK, ["news", *LOOK], ["disks"])


def test_create_makes_all_that_vm_manager_would(clock: Clock, disk: DiskImage) -> None:
    """A new VM has its images in a group, its metadata, its file on each hypervisor, and runs; no mark is left."""
    bench = Bench(FakeSite(), clock)
    state = bench.run(creating(disk, disks=2, metadata={"owner": "ann"}, settings=Settings(preferred_host="hv2", priority=7)))
    site = bench.site
    assert state == VmState("web", Status.STARTED, "hv1")
    assert site.groups == {"web": {"system_web", "data_web_0"}}
    metadata = site.images["system_web"].metadata
    assert metadata["vm_name"] == "web"
    assert metadata["owner"] == "ann"
    assert (metadata["_additional_disks"], metadata["_preferred_host"], metadata["_priority"]) == ("1", "hv2", "7")
    assert site.images["system_web"].data == site.images["data_web_0"].data != ""
    assert {host.files["/etc/pacemaker/web.xml"] for host in site.hosts.values() if host.files} == {metadata["xml"]}
    assert [host.name for host in site.hosts.values() if host.files] == ["hv1", "hv2"]
    for word in ("rbd/system_web", "rbd/data_web_0", 'dev="vda"', 'dev="vdb"', 'name="10.0.0.3" port="6789"'):
        assert word in metadata["xml"]
    assert site.leases() == []
    assert site.definitions == 1


def test_a13_01_create_without_giving_it_to_the_cluster(clock: Clock, disk: DiskImage) -> None:
    """``--disable`` makes everything but the resource."""
    bench = Bench(FakeSite(), clock)
    assert bench.run(creating(disk, enable=False)) == VmState("web", Status.DISABLED)
    assert bench.site.definitions == 0
    assert "/etc/pacemaker/web.xml" in bench.site.hosts["hv2"].files


def test_create_without_starting(clock: Clock, disk: DiskImage) -> None:
    """``--nostart`` gives the VM to the cluster with the target role Stopped."""
    bench = Bench(FakeSite(), clock)
    assert bench.run(creating(disk, start=False)) == VmState("web", Status.STOPPED)


def test_with_the_agent_of_seapath_no_file_is_written(clock: Clock, disk: DiskImage) -> None:
    """SEAPATH's agent reads the domain XML from the image's metadata, so no file is laid out."""
    bench = Bench(FakeSite(agent="seapath"), clock)
    bench.run(creating(disk))
    primitive = bench.site.primitive("web")
    assert primitive is not None
    assert primitive.get("provider") == "seapath"
    assert primitive.find("instance_attributes/nvpair[@name='seapath'][@value='true']") is not None
    assert not any(host.files for host in bench.site.hosts.values())


def test_create_goes_images_files_cluster(clock: Clock, disk: DiskImage) -> None:
    """Images come first, then group, metadata and files, and the CIB last."""
    names = [event.name for event in journey("create", disk, clock).commands(clock)]
    order = ("lease_take", "create_image", "import_diff", "create_group", "set_metadata", "write_file", "define", "lease_drop")
    assert [name for name in dict.fromkeys(names) if name in order] == list(order)


def test_a13_11_remove_goes_cluster_files_images(clock: Clock, disk: DiskImage) -> None:
    """The CIB comes first, then files, and the images last; snapshots go before their image."""
    names = [event.name for event in journey("remove", disk, clock).commands(clock)]
    order = (
        "lease_take", "set_meta", "delete", "remove_file", "unprotect", "purge_snapshots", "remove_group", "remove_image",
        "store_remove", "lease_drop",
    )  # fmt: skip
    assert [name for name in dict.fromkeys(names) if name in order] == list(order)


@pytest.mark.parametrize("tool", ["crm", "pcs"])
def test_a_vm_comes_and_goes_without_a_trace(clock: Clock, disk: DiskImage, tool: str) -> None:
    """After create, stop, start, disable, enable and remove the site is as before, with either tool."""
    site = FakeSite(tool)
    add_vm(site, "db")
    before = site.state()
    bench = Bench(site, clock)
    assert bench.run(creating(disk)).status is Status.STARTED
    assert bench.run(lambda context: stop(context, "web")).status is Status.STOPPED
    assert bench.run(lambda context: start(context, "web")).status is Status.STARTED
    enabled = site.state()
    assert bench.run(lambda context: disable(context, "web")) == VmState("web", Status.DISABLED)
    assert [state.status for state in bench.run(list_vms)] == [Status.STARTED, Status.DISABLED]
    assert bench.run(lambda context: enable(context, "web")).status is Status.STARTED
    assert site.state() == enabled
    bench.run(lambda context: remove(context, "web"))
    assert site.state() == before
    assert site.violations == []


@pytest.mark.parametrize("tool", ["crm", "pcs"])
@pytest.mark.parametrize(
    ("name", "definitions"), [("create", 1), ("start", 0), ("stop", 0), ("disable", 1), ("enable", 1), ("remove", 1)]
)
def test_a13_10_one_change_of_definition(clock: Clock, disk: DiskImage, name: str, tool: str, definitions: int) -> None:
    """Every verb changes the definition in the CIB once at most, by the tool of the site."""
    route = journey(name, disk, clock, tool)
    outcome = route.run(clock)
    assert outcome.error is None
    assert outcome.site.definitions - route.prepared.definitions == definitions
    used = {event.argv[0] for event in outcome.bench.remote.log}
    assert not used & ({"crm", "pcs"} - {tool})


@pytest.mark.parametrize(
    ("name", "execs"),
    [
        ("create", {"obs1": 3, "hv1": 3, "hv2": 2}),
        ("create stopped", {"obs1": 3, "hv1": 3, "hv2": 2}),
        ("create disabled", {"obs1": 3, "hv1": 3, "hv2": 2}),
        ("start", {"obs1": 2}),
        ("stop", {"obs1": 2}),
        ("disable", {"obs1": 3}),
        ("enable", {"obs1": 2, "hv1": 1, "hv2": 1}),
        ("enable metadata", {"obs1": 2, "hv1": 1, "hv2": 1}),
        ("remove", {"obs1": 3, "hv1": 2, "hv2": 1}),
        ("remove disabled", {"obs1": 2, "hv1": 2, "hv2": 1}),
    ],
)
def test_execs(clock: Clock, disk: DiskImage, name: str, execs: dict[str, int]) -> None:
    """A verb costs this many execs on each host, waiting and bulk data aside; no host is asked that has nothing to do."""
    remote = journey(name, disk, clock).run(clock).bench.remote
    counted: dict[str, int] = {}
    for host, commands in remote.batches:
        if commands not in WAITING:
            counted[host] = counted.get(host, 0) + 1
    assert counted == execs
    assert sorted(remote.connected) == sorted(execs)


@pytest.mark.parametrize("usable", ["hv1 hv2 hv3", "hv1"])
@pytest.mark.parametrize("start", [True, False])
def test_execs_where_a_hypervisor_speaks_for_the_cluster(clock: Clock, disk: DiskImage, usable: str, *, start: bool) -> None:
    """Without observers one host has both roles, and still no more than three execs beside the lease, waiting and bulk data."""
    site = FakeSite(hosts="hv1 hv2 hv3")
    for host in site.hosts.values():
        if host.name not in usable:
            host.reachable, host.node = False, {"online": "false"}
    bench = Bench(site, clock)
    bench.run(creating(disk, disks=2, start=start))
    counts = [_count(bench)]
    bench.run(lambda context: disable(context, "web"))
    for host in site.hosts.values():
        host.files.clear()
    bench.run(lambda context: enable(context, "web", start=start))
    counts.append(_count(bench))
    assert max(max(count.values()) for count in counts) <= 3
    assert {host.name for host in site.hosts.values() if host.files} == set(usable.split())


def _count(bench: Bench) -> Counter[str]:
    return Counter(host for host, commands in bench.remote.batches if commands not in WAITING and "lease_take" not in commands)


def test_a13_28_reading_costs_one_exec(clock: Clock) -> None:
    """``list`` and ``status`` take one exec on the control host, however many VMs there are."""
    site = FakeSite()
    for name in ("a", "b", "c"):
        add_vm(site, name)
    bench = Bench(site, clock)
    assert [state.name for state in bench.run(list_vms)] == ["a", "b", "c"]
    assert dict(bench.remote.execs) == {"obs1": 1}
    assert [state.name for state in bench.run(lambda context: list_vms(context, "[ab]*"))] == ["a", "b"]
    assert bench.run(lambda context: vm_status(context, "b")) == VmState("b", Status.STARTED, "hv1")
    assert dict(bench.remote.execs) == {"obs1": 1}
    assert bench.remote.connected == ["obs1"]


@pytest.mark.parametrize(("operation", "status"), [(stop, Status.STOPPED), (start, Status.STARTED)])
def test_start_and_stop_do_without_ceph(clock: Clock, operation: Any, status: Status) -> None:
    """Neither asks Ceph anything, so a VM can be stopped while Ceph does not answer, and its state is told without disks."""
    site = FakeSite()
    add_vm(site, "web", running=operation is stop)
    bench = Bench(site, clock)
    assert bench.run(lambda context: operation(context, "web")) == VmState(
        "web", status, "hv1" if status is Status.STARTED else None
    )
    assert not {event.argv[0] for event in bench.remote.log} & {"rbd", "rados", "ceph"}


def test_start_of_a_disabled_vm_looks_at_its_disks(clock: Clock) -> None:
    """Only for what the cluster does not know does Ceph say whether it is disabled or unknown."""
    site = FakeSite()
    add_vm(site, "web", enabled=False)
    bench = Bench(site, clock)
    with pytest.raises(RefusedError, match="VM web is disabled"):
        bench.run(lambda context: start(context, "web"))
    with pytest.raises(RefusedError, match="There is no VM nobody"):
        bench.run(lambda context: start(context, "nobody"))
    assert dict(bench.remote.execs) == {"obs1": 2}


def test_starting_what_runs_changes_nothing(clock: Clock) -> None:
    """A VM that is already there stays as it is, for each verb, in one exec."""
    site = FakeSite()
    add_vm(site, "on")
    add_vm(site, "off", running=False)
    add_vm(site, "out", enabled=False)
    before, bench = site.state(), Bench(site, clock)
    for operation in (
        lambda context: start(context, "on"),
        lambda context: stop(context, "off"),
        lambda context: disable(context, "out"),
        lambda context: repair(context, "on"),
    ):
        bench.run(operation)
        assert dict(bench.remote.execs) == {"obs1": 1}
    assert site.state() == before


def test_enabling_what_is_enabled_completes_its_files(clock: Clock) -> None:
    """A hypervisor that was off when the domain XML was written gets it; where all is well, nothing is written."""
    site = FakeSite()
    add_vm(site, "on")
    before, bench = site.state(), Bench(site, clock)
    bench.run(lambda context: enable(context, "on"))
    assert dict(bench.remote.execs) == {"obs1": 1, "hv1": 1, "hv2": 1}
    assert bench.told.said == ["VM on is enabled already."]
    del site.hosts["hv1"].files["/etc/pacemaker/on.xml"]
    site.hosts["hv2"].files["/etc/pacemaker/on.xml"] = "another"
    bench.run(lambda context: enable(context, "on"))
    assert bench.told.said[1:] == ["hv1, hv2 got the domain XML of VM on.", "VM on is enabled already."]
    assert site.state() == before


def test_nothing_is_waited_for_with_no_wait(clock: Clock) -> None:
    """``--no-wait`` returns what is seen right after the change."""
    site = FakeSite()
    site.delay = 5
    add_vm(site, "web")
    state = Bench(site, clock).run(lambda context: stop(context, "web", wait=False))
    assert state == VmState("web", Status.STOPPING, "hv1")


def test_a13_02_stop_by_force_cuts_the_power(clock: Clock) -> None:
    """With ``--force`` a VM that never shuts down is off, and Pacemaker knows that it is to be."""
    site = FakeSite()
    add_vm(site, "web")
    site.broken["web"] = "hang"
    bench = Bench(site, clock)
    assert bench.run(lambda context: stop(context, "web", force=True)).status is Status.STOPPED
    assert bench.remote.connected == ["obs1", "hv1"]
    assert site.target_role("web") == "Stopped"


def test_stop_by_force_when_the_node_cannot_be_reached(clock: Clock) -> None:
    """The power of a VM on a node out of reach cannot be cut; that is said, and Pacemaker stops it as usual."""
    site = FakeSite()
    add_vm(site, "web")
    site.hosts["hv1"].reachable = False
    bench = Bench(site, clock)
    assert bench.run(lambda context: stop(context, "web", force=True)).status is Status.STOPPED
    assert any("cannot be cut" in warning and "hv1" in warning for warning in bench.told.warnings)


def test_stopping_a_failed_vm_does_not_start_it_again(clock: Clock) -> None:
    """A failed VM gets its new target role before its failures are forgotten, else Pacemaker would try it once more."""
    site = FakeSite()
    add_vm(site, "web", running=False)
    site.find(".//primitive[@id='web']/meta_attributes/nvpair[@name='target-role']").set("value", "Started")
    site.broken["web"] = "start"
    site.settle()
    bench = Bench(site, clock)
    assert bench.run(lambda context: stop(context, "web")).status is Status.STOPPED
    names = [event.name for event in bench.remote.log]
    assert names.index("set_meta") < names.index("cleanup")


@pytest.mark.parametrize("verb", [stop, start, disable, remove])
def test_a_blocked_vm_is_tried_again(clock: Clock, verb: Callable[[Context, str], Steps[object]]) -> None:
    """After a failed stop Pacemaker does nothing more with a VM; each verb makes it forget that, and gets on."""
    site = FakeSite()
    add_vm(site, "web")
    site.broken["web"] = "stop"
    bench = Bench(site, clock)
    with pytest.raises(VmFailedError, match="blocked"):
        bench.run(lambda context: stop(context, "web"))
    del site.broken["web"]
    bench.run(lambda context: verb(context, "web"))
    assert bench.run(lambda context: vm_status(context, "web")).status is {
        stop: Status.STOPPED, start: Status.STARTED, disable: Status.DISABLED, remove: Status.UNDEFINED,
    }[verb]  # fmt: skip


def test_starting_a_failed_vm_tries_again(clock: Clock) -> None:
    """A failed VM starts when its reason is gone: its failures are forgotten first."""
    site = FakeSite()
    add_vm(site, "web", running=False)
    bench = Bench(site, clock)
    site.broken["web"] = "start"
    with pytest.raises(Exception, match="no memory"):
        bench.run(lambda context: start(context, "web"))
    site.broken.clear()
    assert bench.run(lambda context: start(context, "web")).status is Status.STARTED


def test_removing_a_vm_without_its_image(clock: Clock) -> None:
    """What is left of a VM whose image somebody removed by hand can be removed as well."""
    site = FakeSite()
    before = site.state()
    add_vm(site, "web", running=False)
    del site.images["system_web"]
    site.groups["web"] = set()
    Bench(site, clock).run(lambda context: remove(context, "web"))
    assert site.state() == before


def test_names_that_other_tools_gave(clock: Clock) -> None:
    """A VM whose name has dots can be stopped, disabled, enabled and removed."""
    site = FakeSite()
    before = site.state()
    add_vm(site, "web.old")
    bench = Bench(site, clock)
    bench.run(lambda context: stop(context, "web.old"))
    bench.run(lambda context: disable(context, "web.old"))
    assert bench.run(lambda context: enable(context, "web.old")).status is Status.STARTED
    bench.run(lambda context: remove(context, "web.old"))
    assert site.state() == before


def test_a_hypervisor_that_is_off_is_named_and_blocks_nothing(clock: Clock, disk: DiskImage) -> None:
    """With one hypervisor off a VM is made, stopped and removed; who was left out is said."""
    site = FakeSite()
    site.hosts["hv2"].reachable = False
    site.hosts["hv2"].node["online"] = "false"
    bench = Bench(site, clock)
    assert bench.run(creating(disk)).node == "hv1"
    bench.run(lambda context: remove(context, "web"))
    assert [warning for warning in bench.told.warnings if "hv2" in warning]
    assert site.groups == {}


def test_remove_leaves_out_a_hypervisor_that_only_the_cluster_reaches(clock: Clock) -> None:
    """A file on a hypervisor that is on, but out of the workstation's reach, does not keep a VM from being removed."""
    site = FakeSite()
    add_vm(site, "web")
    site.hosts["hv2"].reachable = False
    bench = Bench(site, clock)
    bench.run(lambda context: remove(context, "web"))
    assert site.images == {}
    assert "/etc/pacemaker/web.xml" not in site.hosts["hv1"].files
    assert any("hv2" in warning for warning in bench.told.warnings)


def test_a13_21_unmanaged_and_grouped_vms_are_found(clock: Clock) -> None:
    """Where a VM runs is read from XML: it is found in a group as well, and while Pacemaker leaves it alone."""
    site = FakeSite()
    for name in ("free", "grouped"):
        add_vm(site, name)
    (primitive,) = site.resources.findall("primitive[@id='grouped']")
    site.resources.remove(primitive)
    ET.SubElement(site.resources, "group", id="both").append(primitive)
    site.runs["free"].managed = False
    states = {state.name: state for state in Bench(site, clock).run(list_vms)}
    assert {name: (state.status, state.node) for name, state in states.items()} == dict.fromkeys(
        states, (Status.STARTED, "hv1")
    )
    assert (sorted(states), states["free"].details) == (["free", "grouped"], ("unmanaged",))
