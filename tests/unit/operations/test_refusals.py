"""What is refused before anything is touched: exit code 3, every reason in one message, and the site as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakesite import FakeSite, Image
from workbench import Bench, add_vm, creating

from vmmgr.errors import ConnectError, RefusedError, UsageError
from vmmgr.operations.definition import Settings
from vmmgr.operations.listing import list_vms
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove
from vmmgr.operations.running import start, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench import Clock

    from vmmgr.images import DiskImage

VERBS: dict[str, Callable[..., Any]] = {"start": start, "stop": stop, "disable": disable, "enable": enable, "remove": remove}
READS = {
    "node", "cib", "simulate", "groups", "images", "disks", "store_get", "inspect", "validate", "monitors", "metadata", "nothing",
}  # fmt: skip


def refused(bench: Bench, operation: Callable[..., Any]) -> list[str]:
    """Run an operation that must be refused without a single changing command; return its problems."""
    before = bench.site.state()
    with pytest.raises(RefusedError) as caught:
        bench.run(operation)
    assert bench.site.state() == before
    assert {event.name for event in bench.remote.log} <= READS
    assert caught.value.exit_code == 3
    return list(caught.value.problems)


def verb(name: str, vm: str = "web") -> Callable[..., Any]:
    """Return a verb as an operation."""
    return lambda context: VERBS[name](context, vm)


@pytest.mark.parametrize("name", VERBS)
def test_unknown_vm(clock: Clock, name: str) -> None:
    """Nothing can be done with a VM that does not exist."""
    (problem,) = refused(Bench(FakeSite(), clock), verb(name))
    assert problem.startswith("There is no VM web; `vm-mgr list`")


@pytest.mark.parametrize("name", VERBS)
def test_resource_that_is_no_vm(clock: Clock, name: str) -> None:
    """A typo cannot stop or remove the cluster's other resources, such as its fencing."""
    assert "There is no VM fence" in refused(Bench(FakeSite(), clock), verb(name, "fence"))[0]


@pytest.mark.parametrize("name", [*VERBS, "create"])
def test_no_quorum_anywhere(clock: Clock, disk: DiskImage, name: str) -> None:
    """Where no machine's partition has quorum, nothing is changed."""
    site = FakeSite()
    add_vm(site, "web", enabled=name != "enable")
    for host in site.hosts.values():
        host.quorate = False
    bench = Bench(site, clock)
    (problem,) = refused(bench, creating(disk, "new") if name == "create" else verb(name))
    assert "no quorum" in problem
    assert bench.remote.connected == ["obs1", "hv1", "hv2"]


def test_reading_without_quorum_says_so(clock: Clock) -> None:
    """Without quorum anywhere, what a machine says is told, with a warning; also when the next one does not answer."""
    site = FakeSite()
    add_vm(site, "web")
    for host in site.hosts.values():
        host.quorate = False
    site.hosts["hv1"].answers = False
    site.hosts["hv2"].answers = False
    bench = Bench(site, clock)
    assert [state.name for state in bench.run(list_vms)] == ["web"]
    assert "without quorum" in bench.told.warnings[0]


def test_partition_with_quorum_is_found(clock: Clock) -> None:
    """A machine without quorum, and one where Pacemaker does not answer, are passed over for one that has it."""
    site = FakeSite()
    add_vm(site, "web")
    site.hosts["obs1"].quorate = False
    site.hosts["hv1"].answers = False
    bench = Bench(site, clock)
    bench.run(verb("stop"))
    assert {host for host, names in bench.remote.batches if "set_meta" in names} == {"hv2"}
    assert bench.told.warnings == []


def test_pacemaker_answers_nowhere(clock: Clock) -> None:
    """A cluster that does not answer is an error of its own (exit code 4), never a status."""
    site = FakeSite()
    for host in site.hosts.values():
        host.answers = False
    with pytest.raises(ConnectError, match="Pacemaker does not answer on hv2") as caught:
        Bench(site, clock).run(list_vms)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(("kind", "status"), [("running", "Started"), ("disabled", "Disabled"), ("no group", "Disabled")])
def test_name_taken(clock: Clock, disk: DiskImage, kind: str, status: str) -> None:
    """A VM of that name is in the way, whatever its status; also an image of that name without a group: it is somebody's."""
    site = FakeSite()
    add_vm(site, "web", running=kind == "running", enabled=kind == "running")
    if kind == "no group":
        site.groups.clear()
    assert f"VM web exists already ({status})" in refused(Bench(site, clock), creating(disk))[0]


def test_data_image_that_a_removal_would_take_along(clock: Clock, disk: DiskImage) -> None:
    """Any image that would count as the new VM's is in the way, also one with a higher number than it gets."""
    site = FakeSite()
    site.images["data_web_7"] = Image(1, "precious")
    site.images["data_web_x"] = Image(1, "nobody's")
    assert refused(Bench(site, clock), creating(disk)) == ["The RBD image data_web_7 exists already; rename or remove it."]


def test_resource_of_another_kind_has_the_name(clock: Clock, disk: DiskImage) -> None:
    """A resource that is no VM is in the way of create, and of enable."""
    site = FakeSite()
    assert "resource or node fence already" in refused(Bench(site, clock), creating(disk, "fence"))[0]
    add_vm(site, "fence", enabled=False)
    assert "resource fence already, which is no VM" in refused(Bench(site, clock), verb("enable", "fence"))[0]


def test_all_problems_in_one_message(clock: Clock, disk: DiskImage) -> None:
    """Names, machines, agents, secrets, domain and UUID: whoever is refused learns of everything at once."""
    site = FakeSite()
    site.images["data_web_0"] = Image(1)
    site.hosts["hv1"].node["standby"] = "true"
    site.hosts["hv1"].agents.clear()
    site.hosts["hv2"].secrets = []
    site.hosts["hv2"].domains["web"] = "99999999-0000-4000-8000-000000000000"
    site.hosts["hv2"].refuses_domain = "unsupported machine type"
    problems = refused(Bench(site, clock), creating(disk, settings=Settings(pinned_host="hv1")))
    for words in (
        "image data_web_0 exists already",
        "hv1, which the VM is to be pinned to, is offline, in standby",
        "hv1 lacks the resource agent",
        "libvirt on hv2 has no secret for Ceph",
        "hv2 says: unsupported machine type",
        "libvirt on hv2 has a domain web",
        "UUID 99999999-0000-4000-8000-000000000000",
    ):
        assert [problem for problem in problems if words in problem], words


def test_hypervisors_that_differ(clock: Clock, disk: DiskImage) -> None:
    """Hypervisors with different secrets, or with no agent in common, could not all start the VM."""
    site = FakeSite()
    site.hosts["hv2"].secrets = [("22222222-2222-3333-4444-555555555555", "client.libvirt secret")]
    site.hosts["hv2"].agents = ["seapath"]
    agents, secrets = refused(Bench(site, clock), creating(disk))
    assert "hv1, hv2 have no resource agent" in agents
    assert "different libvirt secrets" in secrets


def test_hypervisor_out_of_reach(clock: Clock, disk: DiskImage) -> None:
    """A hypervisor that is on needs the domain XML; if it cannot be reached, nothing is made."""
    site = FakeSite()
    site.hosts["hv2"].reachable = False
    assert refused(Bench(site, clock), creating(disk)) == ["hv2 does not answer."]


def test_no_hypervisor_can_run_it(clock: Clock, disk: DiskImage) -> None:
    """With every hypervisor in standby no VM is made."""
    site = FakeSite()
    for name in ("hv1", "hv2"):
        site.hosts[name].node["standby"] = "true"
    assert "No hypervisor is online, out of standby" in refused(Bench(site, clock), creating(disk))[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": Settings(pinned_host="obs1")}, "'obs1' is no hypervisor of site test"),
        ({"settings": Settings(preferred_host="nowhere")}, "'nowhere' is no hypervisor"),
        ({"disk_bus": "floppy"}, "'floppy' is no disk bus"),
        ({"metadata": {"_priority": "1"}}, "'_priority' is a setting of the VM"),
        ({"metadata": {"xml": "1"}}, "'xml' is a setting of the VM"),
        ({"name": "1web"}, "'1web' cannot be the name of a VM"),
        ({"name": "we b"}, "'we b' cannot be the name"),
        ({"name": "a.b"}, "'a.b' cannot be the name"),
        ({"name": "web\n"}, "cannot be the name"),
    ],
)
def test_wrong_values_contact_nobody(clock: Clock, disk: DiskImage, options: dict[str, Any], words: str) -> None:
    """A value that is wrong in itself is refused before any machine is contacted."""
    bench = Bench(FakeSite(), clock)
    with pytest.raises(UsageError, match=words):
        bench.run(creating(disk, **options))
    assert bench.remote.connected == []


@pytest.mark.parametrize("host", ["obs1", "hv.", "hv1|hv2", ".*", "hv1\n", '"; id; "'])
@pytest.mark.parametrize("option", ["pinned_host", "preferred_host"])
def test_a13_20_only_hypervisors_of_the_inventory_are_hosts(clock: Clock, disk: DiskImage, option: str, host: str) -> None:
    """Neither an observer nor a pattern is a host to run on."""
    bench = Bench(FakeSite(), clock)
    with pytest.raises(UsageError, match="is no hypervisor of site test; its hypervisors are hv1, hv2"):
        bench.run(creating(disk, settings=Settings(**{option: host})))
    assert bench.remote.connected == []


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("vm", ["", "a b", "a'b", '"]|//*', "-f", "../x", "a\n", "$(id)", "x" * 300])
def test_hostile_names_contact_nobody(clock: Clock, name: str, vm: str) -> None:
    """What could break out of an XPath, a path or an option is no name of a VM."""
    with pytest.raises(UsageError, match="cannot be the name of a VM"):
        (bench := Bench(FakeSite(), clock)).run(verb(name, vm))
    assert bench.remote.connected == []


def test_start_and_stop_of_a_disabled_vm(clock: Clock) -> None:
    """A disabled VM has to be enabled first; the message says how."""
    site = FakeSite()
    add_vm(site, "web", enabled=False)
    for name in ("start", "stop"):
        assert "`vm-mgr enable -n web`" in refused(Bench(site, clock), verb(name))[0]


@pytest.mark.parametrize("name", ["start", "stop", "disable", "remove"])
def test_unmanaged_vm(clock: Clock, name: str) -> None:
    """What Pacemaker does not manage cannot be stopped by it, so that is not waited for."""
    site = FakeSite()
    add_vm(site, "web")
    site.runs["web"].managed = False
    assert "Pacemaker does not manage VM web now (unmanaged)" in refused(Bench(site, clock), verb(name))[0]


@pytest.mark.parametrize("name", ["disable", "remove"])
def test_vm_in_a_group(clock: Clock, name: str) -> None:
    """A member of a resource group has no life of its own."""
    site = FakeSite()
    add_vm(site, "web")
    (primitive,) = site.resources.findall("primitive[@id='web']")
    site.resources.remove(primitive)
    group = type(primitive)("group", {"id": "both"})
    group.append(primitive)
    site.resources.append(group)
    assert "part of a group" in refused(Bench(site, clock), verb(name))[0]


@pytest.mark.parametrize("image", ["system_web", "data_web_0"])
def test_remove_while_clones_depend(clock: Clock, image: str) -> None:
    """A VM stays while clones need one of its disks; they are named before it is stopped."""
    site = FakeSite()
    add_vm(site, "web", disks=2)
    site.take(image, "base")
    site.images[image].clones = ["system_copy"]
    assert "The clones rbd/system_copy still depend" in refused(Bench(site, clock), verb("remove"))[0]


def test_remove_while_somebody_has_the_disk_open(clock: Clock) -> None:
    """A VM whose disk somebody else has open gets back what was done to it, and runs on."""
    site = FakeSite()
    add_vm(site, "web", running=False)
    site.images["system_web"].watchers = ["10.9.9.9:0/1"]
    before = site.state()
    with pytest.raises(RefusedError, match="system_web by 10"):
        Bench(site, clock).run(verb("remove"))
    assert site.state() == before
    assert site.seconds > 30


def test_disable_of_what_would_be_lost(clock: Clock) -> None:
    """A VM that has no disks in the pool could not be enabled again."""
    site = FakeSite()
    add_vm(site, "web")
    site.images.clear()
    site.groups.clear()
    assert "has no disks in the pool" in refused(Bench(site, clock), verb("disable"))[0]


def test_enable_of_incomplete_vms(clock: Clock) -> None:
    """A VM without group, image or domain XML cannot be enabled, and the message says what is missing."""
    site = FakeSite()
    for name in ("groupless", "imageless", "textless"):
        add_vm(site, name, enabled=False)
    del site.groups["groupless"]
    del site.images["system_imageless"]
    del site.images["system_textless"].metadata["xml"]
    assert "no group" in refused(Bench(site, clock), verb("enable", "groupless"))[0]
    assert "no image system_imageless" in refused(Bench(site, clock), verb("enable", "imageless"))[0]
    assert "no metadata 'xml'" in refused(Bench(site, clock), verb("enable", "textless"))[0]


def test_enable_with_unusable_metadata_writes_nothing(clock: Clock) -> None:
    """Metadata that somebody spoilt is named before the domain XML is written anywhere."""
    site = FakeSite()
    add_vm(site, "web", enabled=False)
    site.images["system_web"].metadata["_stop_timeout"] = "soon"
    site.hosts["hv1"].files.clear()
    with pytest.raises(UsageError, match="_stop_timeout of the VM is 'soon'"):
        Bench(site, clock).run(verb("enable"))
    assert site.hosts["hv1"].files == {}


def test_control_host_without_a_cluster_tool(clock: Clock) -> None:
    """A cluster that vm-mgr has no tool for there is refused with the tools that would do."""
    site = FakeSite(tool="vi")
    add_vm(site, "web")
    assert "obs1 has no crm or pcs" in refused(Bench(site, clock), verb("stop"))[0]
