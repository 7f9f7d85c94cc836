"""Clone: what the new VM has of its source and what not, and that the source is as before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakeremote import Fault, Killed
from fakesite import FakeSite, Image
from journeys import cloning, journey
from workbench import DOMAIN, Bench, add_vm

from vmmgr.disks import InUseError
from vmmgr.errors import RefusedError, UsageError, VmMgrError
from vmmgr.model import Status, VmState
from vmmgr.operations.removal import remove, repair

if TYPE_CHECKING:
    from workbench import Clock

    from vmmgr.images import DiskImage

FULL = (
    "<domain type='kvm'><name>src</name><uuid>00000001-0000-4000-8000-000000000000</uuid><devices>"
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/></interface>"
    "<serial type='file'><source path='/var/log/src.serial'/></serial></devices></domain>"
)
SHARED = "<serial type='file'><source path='/var/log/guest.log'/></serial>"


@pytest.fixture
def bench(clock: Clock) -> Bench:
    """A site with a VM ``src`` that runs, and one ``db``."""
    site = FakeSite()
    add_vm(site, "db")
    add_vm(site, "src", pinned_host="hv1", priority=7, live_migration=True, pacemaker_meta={"a": "1", "remote-node": "n"})
    site.images["system_src"].metadata |= {"xml": FULL, "_base_xml": FULL, "owner": "ann", "_seapath_alloc": "x"}
    return Bench(site, clock)


def metadata(bench: Bench, vm: str = "web") -> dict[str, str]:
    """Return the metadata of a VM."""
    return bench.site.images[f"system_{vm}"].metadata


def test_a_running_vm_is_cloned_and_not_touched(bench: Bench) -> None:
    """The clone runs beside its source, on the data of that moment; the source has no snapshot and no other setting."""
    before = bench.site.state(without="web")
    assert bench.run(cloning()) == VmState("web", Status.STARTED, "hv1")
    site = bench.site
    assert site.state(without="web") == before
    assert site.images["system_web"].data == "data of system_src"
    assert site.groups["web"] == {"system_web"}
    assert site.runs["src"].node == "hv1"
    assert site.definitions == 1
    assert site.leases() == []


def test_a_clone_is_another_machine(bench: Bench) -> None:
    """Name, UUID, MAC address and log file are its own, in the domain that runs and in the one that a clone of it is made of."""
    bench.run(cloning())
    for key in ("xml", "_base_xml"):
        root = ET.fromstring(metadata(bench)[key])
        text = metadata(bench)[key]
        assert "00000001-0000" not in text
        assert "52:54:00:00:00:01" not in text
        assert root.findtext("name") == ("web" if key == "xml" else "src")
        assert "/var/log/web.serial" in text
    root = ET.fromstring(metadata(bench)["xml"])
    assert [disk.get("name") for disk in root.iterfind("devices/disk/source")] == ["rbd/system_web"]
    assert {host.files["/etc/pacemaker/web.xml"] for host in bench.site.hosts.values() if host.files} == {
        metadata(bench)["xml"]
    }


def test_settings_of_the_source_are_taken_over(bench: Bench) -> None:
    """Unless told otherwise, the clone is run as its source; the user's and unknown metadata are there too."""
    bench.run(cloning())
    source, copy = metadata(bench, "src"), metadata(bench)
    own = {"vm_name", "xml", "_base_xml", "_pacemaker_meta"}
    assert {key: text for key, text in copy.items() if key not in own} == {
        key: text for key, text in source.items() if key not in own
    } | {"_disk_bus": "virtio"}
    assert (copy["_pinned_host"], copy["_live_migration"], copy["_priority"]) == ("hv1", "true", "7")


@pytest.mark.parametrize(
    ("given", "clear", "expected"),
    [
        ({}, [], ("hv1", None)),
        ({"preferred_host": "hv2"}, [], (None, "hv2")),
        ({"pinned_host": "hv2"}, [], ("hv2", None)),
        ({}, ["pinned_host", "preferred_host"], (None, None)),
        ({"preferred_host": "hv2"}, ["pinned_host", "preferred_host"], (None, "hv2")),
    ],
)
def test_a13_3_hosts_are_inherited_unless_told_otherwise(
    bench: Bench, given: dict[str, str], clear: list[str], expected: tuple[str | None, str | None]
) -> None:
    """The clone belongs to the source's host; to another one or to none if that is asked for."""
    bench.run(cloning(settings=given, clear=frozenset(clear)))
    assert (metadata(bench).get("_pinned_host"), metadata(bench).get("_preferred_host")) == expected
    wanted = {f"{kind}{host}" for kind, host in zip(("pin-web-on", "prefer-web-on"), expected, strict=True) if host}
    found = {item.get("id") for item in bench.site.constraints if item.get("rsc") == "web"}
    assert found == wanted | {"web-hypervisors-only"}


def test_dictionaries_are_merged(bench: Bench) -> None:
    """What is given goes over what the source has; what is cleared starts anew."""
    bench.run(cloning(settings={"pacemaker_meta": {"b": "2"}}))
    assert metadata(bench)["_pacemaker_meta"] == '{"a": "1", "b": "2"}'
    bench.run(lambda context: remove(context, "web"))
    bench.run(cloning(settings={"pacemaker_meta": {"b": "2"}}, clear=frozenset({"pacemaker_meta"})))
    assert metadata(bench)["_pacemaker_meta"] == '{"b": "2"}'
    assert metadata(bench)["_pinned_host"] == "hv1"


def test_a13_1_clone_disabled(bench: Bench) -> None:
    """``--disable`` makes everything but the resource."""
    assert bench.run(cloning(enable=False)) == VmState("web", Status.DISABLED)
    assert bench.site.primitive("web") is None
    assert metadata(bench)["vm_name"] == "web"


def test_without_starting(bench: Bench) -> None:
    """``--nostart`` gives the clone to the cluster with the target role Stopped."""
    assert bench.run(cloning(start=False)) == VmState("web", Status.STOPPED)


def test_a13_17_nothing_that_names_the_source_is_copied(bench: Bench) -> None:
    """Neither the remote node nor the lines for the cluster's tool come along; the lines are told, to be repeated by hand."""
    metadata(bench, "src").update({
        "_remote_node": "srcnode", "_remote_node_address": "10.0.0.1", "_remote_node_port": "3121", "_remote_node_timeout": "60s",
        "_crm_config_cmd": "location here src 7: hv2",
    })  # fmt: skip
    bench.run(cloning(metadata={"owner": "bob"}))
    assert not any(key.startswith(("_remote", "_crm")) for key in metadata(bench))
    primitive = bench.site.primitive("web")
    assert primitive is not None
    assert not any(pair.get("name", "").startswith("remote") for pair in primitive.iter("nvpair"))
    assert metadata(bench)["owner"] == "bob"
    assert any("location here src 7: hv2" in warning for warning in bench.told.warnings)


def test_a_domain_of_its_own(bench: Bench) -> None:
    """Of ``--xml``, what is given stands unless another VM has it: the source, or one that only a hypervisor knows of."""
    bench.site.hosts["hv2"].domains["other"] = "00000009-0000-4000-8000-000000000000"
    bench.run(cloning(base_xml=DOMAIN))
    assert "99999999-0000-4000-8000-000000000000" in metadata(bench)["xml"]
    for text in (FULL, FULL.replace("00000001-0000", "00000009-0000")):
        bench.run(lambda context: remove(context, "web"))
        bench.run(cloning(base_xml=text))
        assert "-0000-4000-8000-000000000000" not in metadata(bench)["xml"]
        assert "/var/log/src.serial" in metadata(bench)["xml"]
        assert any("file /var/log/src.serial" in warning for warning in bench.told.warnings)


def test_a_vm_of_vm_manager_without_base_xml(bench: Bench) -> None:
    """Where nobody kept the domain as it was given, it is made of the one that runs, without its disks."""
    disk = "<disk type='network'><source protocol='rbd' name='rbd/system_src'/><target dev='vda'/></disk>"
    metadata(bench, "src")["xml"] = FULL.replace("<devices>", f"<devices>{disk}")
    del metadata(bench, "src")["_base_xml"]
    bench.run(cloning())
    root = ET.fromstring(metadata(bench)["xml"])
    assert [disk.get("name") for disk in root.iterfind("devices/disk/source")] == ["rbd/system_web"]
    assert "system_src" not in metadata(bench)["_base_xml"]


def test_what_both_would_write(bench: Bench) -> None:
    """A log file without the source's name is told; a disk of the hypervisor is refused, before anything is touched."""
    metadata(bench, "src")["xml"] = metadata(bench, "src")["_base_xml"] = FULL.replace("<devices>", f"<devices>{SHARED}")
    bench.run(cloning())
    assert "both use file /var/log/guest.log" in bench.told.warnings[0]
    bench.run(lambda context: remove(context, "web"))
    disk = "<disk type='file'><source file='/data/local.raw'/></disk>"
    metadata(bench, "src")["xml"] = metadata(bench, "src")["_base_xml"] = FULL.replace("<devices>", f"<devices>{disk}")
    before = bench.site.state()
    with pytest.raises(RefusedError, match=r"\(/data/local.raw\), and a clone would write to the same"):
        bench.run(cloning())
    assert bench.site.state() == before


def test_several_disks_of_a_stopped_vm(clock: Clock, disk: DiskImage) -> None:
    """All disks are cloned under the clone's names; the clone's domain has them in the same order."""
    site = journey("clone", disk, clock).prepared
    bench = Bench(site, clock)
    assert bench.run(cloning()).status is Status.STARTED
    assert site.groups["web"] == {"system_web", "data_web_0"}
    assert [site.images[name].data for name in ("system_web", "data_web_0")] == ["data of system_src", "data of data_src_0"]
    names = [item.get("name") for item in ET.fromstring(metadata(bench)["xml"]).iterfind("devices/disk/source")]
    assert names == ["rbd/system_web", "rbd/data_web_0"]
    assert metadata(bench)["_additional_disks"] == "1"
    names = [event.name for event in bench.remote.log]
    order = ("create_snapshot", "assert_unused", "clone_image", "remove_snapshot", "create_group", "define", "flatten_later")
    assert [name for name in dict.fromkeys(names) if name in order] == list(order)


def test_several_disks_of_a_running_vm(clock: Clock, disk: DiskImage) -> None:
    """Ceph cannot clone several disks of one instant by itself: the source must be allowed to hold still for that."""
    site = journey("clone paused", disk, clock).prepared
    bench, before = Bench(site, clock), site.state()
    with pytest.raises(RefusedError, match=r"runs and has several disks.*--pause") as caught:
        bench.run(cloning())
    assert caught.value.exit_code == 3
    assert site.state() == before
    assert bench.run(cloning(pause=True)).status is Status.STARTED
    assert site.runs["src"].node == "hv1"
    assert any("for a moment" in said for said in bench.told.said)


@pytest.mark.parametrize("kind", ["", " forced"])
@pytest.mark.parametrize("hosts", ["obs1 hv1 hv2", "hv1 hv2 hv3"])
def test_a_source_that_does_not_hold_still(clock: Clock, disk: DiskImage, hosts: str, kind: str) -> None:
    """Where the hypervisor had to let the source go on before all disks were taken, nothing is cloned and nobody is stopped."""
    route = journey(f"clone paused{kind}", disk, clock, hosts=hosts)
    site = route.prepared.clone()
    before, bench, seen = site.state(), Bench(site, clock), set()

    def slow(_index: int, command: str) -> None:
        seen.add(command)
        site.seconds += 60 if command == "release" else 0

    bench.remote.before = slow
    with pytest.raises(VmMgrError, match=r"VM src did not hold still until all of its disks were taken on hv1\. Try again"):
        bench.run(route.operation)
    assert site.state() == before
    assert not seen & {"clone_image", "set_meta", "create_group"}


def test_a_clone_may_have_the_identity_of_what_it_replaces(bench: Bench) -> None:
    """UUID and MAC address of the VM that goes are free for the clone; those of others, the source's above all, are not."""
    text = FULL.replace("00000001-0000", "0000000A-0000").replace("52:54:00:00:00:01", "52:54:00:00:00:0B")
    bench.run(cloning(base_xml=text))
    for _ in range(2):
        bench.run(cloning(base_xml=text, force=True))
        assert "0000000a-0000" in metadata(bench)["xml"]
        assert "52:54:00:00:00:0b" in metadata(bench)["xml"].lower()
    bench.run(cloning(base_xml=FULL, force=True))
    assert "00000001-0000" not in metadata(bench)["xml"]
    assert "52:54:00:00:00:01" not in metadata(bench)["xml"]


def test_force_with_what_ceph_does_not_copy(bench: Bench) -> None:
    """A clone that takes a place is told of as any other when its data stays with the source's."""
    add_vm(bench.site, "web")
    bench.site.manager_gone = True
    assert bench.run(cloning(force=True)).status is Status.STARTED
    assert "`rbd flatten` for it" in bench.told.warnings[-1]
    bench.site.manager_gone = False
    with pytest.raises(RefusedError, match=r"The disks of VM web still depend on rbd/system_src; .*`rbd flatten`"):
        bench.run(cloning(force=True))


def test_somebody_starts_the_source_meanwhile(clock: Clock, disk: DiskImage) -> None:
    """Disks that were opened between the first and the last snapshot are of no one instant: nothing is cloned, nothing is left."""
    site = journey("clone", disk, clock).prepared
    before, bench = site.state(), Bench(site, clock)

    def hook(_index: int, command: str) -> None:
        site.images["data_src_0"].watchers = ["10.0.0.9:0/7"] if command == "assert_unused" else []

    bench.remote.before = hook
    with pytest.raises(InUseError, match=r"data_src_0 was opened by 10\.0\.0\.9:0/7"):
        bench.run(cloning())
    assert site.state() == before


def test_disks_that_somebody_else_has_open(clock: Clock, disk: DiskImage) -> None:
    """Of several disks that are in use though the VM does not run, nobody can tell what is on them; Ceph's copying is harmless."""
    site = journey("clone", disk, clock).prepared
    site.images["system_src"].watchers = ["10.0.0.9:0/7"]
    bench = Bench(site, clock)
    with pytest.raises(RefusedError, match=r"does not run, and yet its disks are in use \(system_src by 10\.0\.0\.9:0/7\)"):
        bench.run(cloning())
    site.slow_manager = True
    site.take("system_db", "x", kind="trash")
    site.images["system_src"].parent = ("system_db", site.images["system_db"].snapshots[0].id)
    site.flattening["system_src"] = 0.1
    assert bench.run(cloning()).status is Status.STARTED


@pytest.mark.parametrize(
    ("source", "name", "error", "words"),
    [
        ("src", "src", UsageError, "needs another name"),
        ("src", "no name", UsageError, "cannot be the name of a VM"),
        ("nobody", "web", RefusedError, "There is no VM nobody"),
        ("src", "db", RefusedError, "VM db exists already"),
    ],
)
def test_wrong_names(bench: Bench, source: str, name: str, error: type[VmMgrError], words: str) -> None:
    """Clone onto itself and a bad name are wrong usage; an unknown source and an existing clone are refused."""
    before = bench.site.state()
    from vmmgr.operations.clone import clone
    from vmmgr.operations.cloneplan import CloneRequest

    with pytest.raises(error, match=words):
        bench.run(lambda context: clone(context, CloneRequest(source, name)))
    assert bench.site.state() == before


def test_everything_in_the_way_is_told_at_once(bench: Bench) -> None:
    """An image of the clone's name and a missing disk of the source are told together; a13_8: nothing is overwritten."""
    bench.site.images["data_web_0"] = Image(1)
    metadata(bench, "src")["_additional_disks"] = "1"
    with pytest.raises(RefusedError) as caught:
        bench.run(cloning())
    assert "data_web_0 exists already" in str(caught.value)
    assert "no image data_src_0" in str(caught.value)


def test_unusable_settings_of_the_source(bench: Bench) -> None:
    """A host that is gone from the site is no host for the clone; the way out is told."""
    metadata(bench, "src")["_pinned_host"] = "old7"
    with pytest.raises(RefusedError, match=r"belongs to old7.*--clear-constraint"):
        bench.run(cloning())
    with pytest.raises(UsageError, match="'nowhere' is no hypervisor"):
        bench.run(cloning(settings={"pinned_host": "nowhere"}))
    assert bench.run(cloning(clear=frozenset({"pinned_host", "preferred_host"}))).status is Status.STARTED


def test_full_waits_until_nothing_is_shared(bench: Bench) -> None:
    """``--full`` tells how far Ceph is, and ends when the source can be removed; without it, that is refused until then."""
    bench.site.slow_manager = True
    bench.run(cloning())
    with pytest.raises(RefusedError, match="rbd/system_web still depend on the disks of VM src"):
        bench.run(lambda context: remove(context, "src"))
    bench.run(lambda context: remove(context, "web"))
    bench.run(cloning(full=True))
    assert bench.site.images["system_web"].parent is None
    assert next(said for said in bench.told.said if "Copying" in said) == "Copying the data: 20 %."
    bench.run(lambda context: remove(context, "src"))


def test_ceph_does_not_copy_in_the_background(bench: Bench) -> None:
    """The clone runs all the same, the user is told what to do, and ``--full`` has it copied in the foreground."""
    bench.site.manager_gone = True
    copy = Bench(bench.site.clone(), bench.context.clock.__self__)  # type: ignore[attr-defined]
    assert copy.run(cloning()).status is Status.STARTED
    assert "`rbd flatten` for it" in copy.told.warnings[-1]
    assert "no valid command found" in copy.told.warnings[-1]
    assert copy.site.leases() == []
    assert copy.site.images["system_web"].parent is not None
    bench.run(cloning(full=True))
    assert bench.site.images["system_web"].parent is None


def test_a_look_that_fails_is_not_the_end(bench: Bench) -> None:
    """A busy Ceph that does not answer one question in time is asked again."""
    bench.site.slow_manager = True
    index = [event.name for event in run_copy(bench, full=True).remote.log].index("flattening")
    bench.remote.faults = {index: Fault("late"), index + 1: Fault("late")}
    bench.run(cloning(full=True))
    assert bench.site.images["system_web"].parent is None
    assert bench.site.leases() == []


def run_copy(bench: Bench, *, full: bool = False) -> Bench:
    """Clone on a copy of the site."""
    copy = Bench(bench.site.clone(), bench.context.clock.__self__)  # type: ignore[attr-defined]
    copy.run(cloning(full=full))
    return copy


@pytest.mark.parametrize("after", ["create_snapshot", "clone_image", "remove_snapshot", "set_metadata"])
def test_a_repair_frees_the_source_too(bench: Bench, after: str) -> None:
    """While a clone is unfinished its source is not removed; the repair of the clone takes the snapshot from the source."""
    before = bench.site.state()
    index = [event.name for event in run_copy(bench).remote.log].index(after)
    bench.remote.faults = {index: Fault("kill", effect=True)}
    with pytest.raises(Killed):
        bench.run(cloning())
    bench.remote.faults = {}
    with pytest.raises(RefusedError, match="in progress: clone by"):
        bench.run(lambda context: remove(context, "src"))
    bench.site.seconds += 700
    with pytest.raises(RefusedError, match="`vm-mgr repair -n web`"):
        bench.run(lambda context: remove(context, "src"))
    assert bench.run(lambda context: repair(context, "web")) == "What clone had left of VM web is removed."
    assert bench.site.state() == before


def test_a13_18_two_clones_at_once(bench: Bench) -> None:
    """Of two clones of one name one is made, the other is refused; the source may be cloned by several."""
    other, seen = Bench(bench.site, bench.context.clock.__self__, "bob@lab"), []  # type: ignore[attr-defined]

    def hook(_index: int, command: str) -> None:
        if command == "assert_unchanged" and not seen:
            seen.append(other.run(cloning()))

    bench.remote.before = hook
    with pytest.raises(RefusedError, match="VM web exists already"):
        bench.run(cloning())
    assert seen[0].status is Status.STARTED


def test_a_clone_of_a_clone(bench: Bench) -> None:
    """A clone that is still being copied can be cloned; both are machines of their own."""
    from vmmgr.operations.clone import clone
    from vmmgr.operations.cloneplan import CloneRequest

    bench.site.slow_manager = True
    bench.run(cloning())
    bench.run(lambda context: clone(context, CloneRequest("web", "web2", full=True)))
    texts = [metadata(bench, vm)["xml"] for vm in ("web", "web2")]
    found: list[Any] = [ET.fromstring(text) for text in texts]
    assert found[0].findtext("uuid") != found[1].findtext("uuid")
    assert len({root.find("devices/interface/mac").get("address") for root in found}) == 2
    assert "/var/log/web2.serial" in texts[1]
