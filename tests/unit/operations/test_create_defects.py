"""What vm_manager's create and enable get wrong, each with a test that it is right here; docs/defects.rst has the list."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from fakeremote import Fault
from fakesite import FakeSite, Image
from workbench import Bench, add_vm, creating

from vmmgr.errors import RefusedError, UsageError, VmMgrError
from vmmgr.model import Status
from vmmgr.operations.definition import PREFERENCE, Settings
from vmmgr.operations.membership import enable

if TYPE_CHECKING:
    from workbench import Clock

    from vmmgr.images import DiskImage


def test_a13_01_options_have_their_effect(clock: Clock, disk: DiskImage) -> None:
    """--disable leaves the VM out of the cluster, --enable-live-migration allows migrations."""
    bench = Bench(FakeSite(), clock)
    assert bench.run(creating(disk, "off", enable=False)).status is Status.DISABLED
    assert bench.site.primitive("off") is None
    bench = Bench(FakeSite(), clock)
    bench.run(creating(disk, settings=Settings(live_migration=True)))
    primitive = bench.site.primitive("web")
    assert primitive is not None
    assert primitive.find("meta_attributes/nvpair[@name='allow-migrate'][@value='true']") is not None


def test_a13_07_a_slow_start_is_no_failure(clock: Clock, disk: DiskImage) -> None:
    """A VM that takes more than a minute to start is waited for; one that does not start stays, with the reason."""
    bench = Bench(FakeSite(), clock)
    bench.site.delay = 50
    assert bench.run(creating(disk)).status is Status.STARTED
    assert bench.site.seconds > 60
    bench = Bench(FakeSite(), clock)
    bench.site.broken = {"bad": "start"}
    with pytest.raises(VmMgrError, match="start failed on hv1: no memory"):
        bench.run(creating(disk, "bad"))
    assert "system_bad" in bench.site.images
    assert bench.site.primitive("bad") is not None


@pytest.mark.parametrize("force", [True, False])
def test_a13_08_images_of_others_are_left_alone(clock: Clock, disk: DiskImage, *, force: bool) -> None:
    """An image that has a name of the new VM's is named, and nothing is touched."""
    site = FakeSite()
    site.images["system_web"] = Image(4096, data="precious")
    before = site.state()
    with pytest.raises(RefusedError, match="web"):
        Bench(site, clock).run(creating(disk, force=force))
    assert site.state() == before


@pytest.mark.parametrize("at", ["create_image", "import_diff", "set_metadata", "write_file"])
def test_a13_09_an_interruption_leaves_nothing(clock: Clock, disk: DiskImage, at: str) -> None:
    """Ctrl-C before the cluster has the VM undoes all that was done."""
    names: list[str] = []
    bench = Bench(FakeSite(), clock)
    bench.remote.before = lambda _index, name: names.append(name)
    bench.run(creating(disk))
    site = FakeSite()
    before, bench = site.state(), Bench(site, clock)
    bench.remote.faults = {names.index(at): Fault("SIGINT", effect=True)}
    with pytest.raises(KeyboardInterrupt):
        bench.run(creating(disk))
    assert site.state() == before


def test_a13_10_a_broken_off_enable_can_be_repeated(clock: Clock) -> None:
    """There is one change of the CIB: either all of the resource is there, managed, or nothing of it."""
    site = FakeSite()
    add_vm(site, "web", enabled=False, pinned_host="hv2")
    bench = Bench(site, clock)
    bench.remote.before = lambda _index, name: setattr(site.hosts["obs1"], "quorate", name != "define")
    with pytest.raises(VmMgrError, match="no quorum"):
        bench.run(lambda context: enable(context, "web"))
    assert site.primitive("web") is None
    assert site.definitions == 0
    site.hosts["obs1"].quorate = True
    assert Bench(site, clock).run(lambda context: enable(context, "web")).node == "hv2"
    assert site.definitions == 1


def test_a13_19_whoever_is_no_hypervisor_is_kept_out_by_one_rule(clock: Clock, disk: DiskImage) -> None:
    """Observers and all nodes that are no members, later ones too, are excluded by a rule, and not even probed."""
    bench = Bench(FakeSite(), clock)
    bench.run(creating(disk))
    (rule,) = bench.site.constraints.iterfind("rsc_location[@rsc='web']")
    assert rule.get("resource-discovery") == "never"
    kinds = {(item.get("attribute"), item.get("operation"), item.get("value")) for item in rule.iter("expression")}
    assert kinds == {("#kind", "ne", "cluster"), ("#uname", "eq", "obs1")}


@pytest.mark.parametrize("host", ["obs1", "hv.*", "hv9", "$(reboot)"])
def test_a13_20_a_preferred_host_is_a_hypervisor(clock: Clock, disk: DiskImage, host: str) -> None:
    """Its score is finite; an observer, a pattern or an unknown host is refused."""
    bench = Bench(FakeSite(), clock)
    with pytest.raises(UsageError, match="is no hypervisor of site test; its hypervisors are hv1, hv2"):
        bench.run(creating(disk, settings=Settings(preferred_host=host)))
    bench.run(creating(disk, settings=Settings(preferred_host="hv2")))
    (found,) = bench.site.constraints.iterfind("rsc_location[@node='hv2']")
    assert found.get("score") == str(PREFERENCE)


@pytest.mark.parametrize("name", ["web;reboot", "$(reboot)", "-n", "web\n", "a b", ""])
def test_a13_22_no_name_reaches_a_shell(clock: Clock, disk: DiskImage, name: str) -> None:
    """A name that is none is refused before anybody is asked anything."""
    bench = Bench(FakeSite(), clock)
    with pytest.raises(UsageError, match="cannot be the name of a VM"):
        bench.run(creating(disk, name))
    assert bench.remote.log == []


@pytest.mark.parametrize(("bus", "prefix"), [("virtio", "vd"), ("scsi", "sd"), ("sata", "sd"), ("usb", "sd"), ("ide", "hd")])
def test_a13_24_any_number_of_disks_on_any_bus(clock: Clock, disk: DiskImage, bus: str, prefix: str) -> None:
    """Thirty disks have thirty device names, and they are those of the bus."""
    bench = Bench(FakeSite(), clock)
    bench.run(creating(disk, disks=30, disk_bus=bus, start=False))
    root = ET.fromstring(bench.site.images["system_web"].metadata["xml"])
    targets = [(target.get("dev", ""), target.get("bus")) for target in root.iter("target")]
    assert targets[:2] == [(f"{prefix}a", bus), (f"{prefix}b", bus)]
    assert targets[26:] == [(f"{prefix}a{letter}", bus) for letter in "abcd"]
    assert bench.site.images["system_web"].metadata["_additional_disks"] == "29"


def test_a13_25_the_monitors_are_those_of_ceph(clock: Clock, disk: DiskImage) -> None:
    """The domain names the monitors that Ceph itself tells, with their ports, whatever the machines are called."""
    bench = Bench(FakeSite(), clock)
    bench.run(creating(disk))
    root = ET.fromstring(bench.site.images["system_web"].metadata["xml"])
    assert [(host.get("name"), host.get("port")) for host in root.iter("host")] == [
        ("10.0.0.1", "6789"), ("10.0.0.2", "6789"), ("10.0.0.3", "6789"),
    ]  # fmt: skip
