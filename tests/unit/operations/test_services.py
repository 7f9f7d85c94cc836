"""Services in VMs: tied to their guest node, told from VMs, and where their VM goes they go too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakesite import FakeSite
from journeys import NODE, SERVICE
from workbench import Bench, add_vm, constrain, creating

from vmmgr.errors import RefusedError, UsageError, VmMgrError
from vmmgr.model import ServiceState, Status
from vmmgr.operations.clone import clone
from vmmgr.operations.cloneplan import CloneRequest
from vmmgr.operations.guestnode import add_guest_node, remove_guest_node
from vmmgr.operations.listing import list_vms, vm_status
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove
from vmmgr.operations.running import start, stop
from vmmgr.operations.servicedefinition import ServiceRequest
from vmmgr.operations.servicerunning import remove_service, start_service, stop_service
from vmmgr.operations.services import add_service, list_services
from vmmgr.operations.waiting import TimeUpError, VmFailedError

if TYPE_CHECKING:
    from workbench import Clock

    from vmmgr.images import DiskImage


@pytest.fixture
def bench(clock: Clock) -> Bench:
    """A site with the VMs web, a guest node, and db."""
    site = FakeSite()
    add_vm(site, "web")
    add_vm(site, "db")
    bench = Bench(site, clock)
    bench.run(lambda context: add_guest_node(context, "web", NODE))
    return bench


def add(bench: Bench, request: ServiceRequest = SERVICE, **options: Any) -> ServiceState:
    """Add a service."""
    return bench.run(lambda context: add_service(context, request, **options))


def listed(bench: Bench, vm: str | None = None) -> list[tuple[str, str, str, str]]:
    """Return what is listed: VM, service, status and reason."""
    found = bench.run(lambda context: list_services(context, vm))
    return [(state.vm, state.name, str(state.status), "; ".join(state.details)) for state in found]


def details(bench: Bench, vm: str = "web") -> tuple[str, ...]:
    """Return the details of a VM's status."""
    return bench.run(lambda context: vm_status(context, vm)).details


def test_a_service_runs_in_its_guest_node_only(bench: Bench) -> None:
    """One change of definition: resource, operations and the constraint that ties it; it is no VM, and cannot be one."""
    changes = bench.site.definitions
    state = add(bench)
    assert state == ServiceState("web", "beat", "web.beat", "ocf:pacemaker:Dummy", Status.STARTED)
    assert bench.site.definitions == changes + 1
    primitive = bench.site.primitive("web.beat")
    assert primitive is not None
    pairs = {pair.get("name"): pair.get("value") for pair in primitive.iter("nvpair")}
    assert pairs == {"fake": "x", "migration-threshold": "3", "target-role": "Started"}
    operations = {op.get("name"): (op.get("interval"), op.get("timeout"), op.get("on-fail")) for op in primitive.iter("op")}
    assert operations == {"start": ("0s", "100s", None), "stop": ("0s", "100s", None), "monitor": ("10s", "60s", None)}
    (tie,) = bench.site.constraints.findall("rsc_location[@rsc='web.beat']")
    assert [tie.get(key) for key in ("node", "score", "resource-discovery")] == ["web-node", "INFINITY", "exclusive"]
    assert [vm.name for vm in bench.run(list_vms)] == ["db", "web"]
    assert listed(bench) == listed(bench, "web") == [("web", "beat", "Started", "")]
    assert listed(bench, "db") == []
    assert details(bench) == ("services: 1 of 1 started",)


def test_kinds_and_times(bench: Bench) -> None:
    """A systemd unit has no provider; times and what happens at a failure are as asked."""
    request = ServiceRequest(
        "web", "n", ("systemd", "nginx"), interval=5, monitor_timeout=6, start_timeout=7, stop_timeout=8, restart_vm_after=1
    )
    assert add(bench, request).kind == "systemd:nginx"
    primitive = bench.site.primitive("web.n")
    assert primitive is not None
    assert primitive.get("provider") is None
    operations = {op.get("name"): (op.get("interval"), op.get("timeout"), op.get("on-fail")) for op in primitive.iter("op")}
    assert operations == {"start": ("0s", "7s", None), "stop": ("0s", "8s", None), "monitor": ("5s", "6s", "fence")}


def test_repeated_changes_nothing_and_says_so(bench: Bench) -> None:
    """The same again is there already, also while it is stopped; another one of that name is in the way."""
    add(bench)
    bench.run(lambda context: stop_service(context, "web", "beat"))
    before = bench.site.state()
    bench.told.said.clear()
    assert add(bench, wait=False).status is Status.STOPPED
    assert bench.told.said == ["VM web has the service beat already."]
    with pytest.raises(RefusedError, match=r"another service \(ocf:pacemaker:Dummy\) beat.*remove_service -n web beat"):
        add(bench, replace(SERVICE, params={}))
    assert bench.site.state() == before


def test_refusals(bench: Bench) -> None:
    """Unknown, disabled and mere VMs, and what Pacemaker could not keep; nothing is changed."""
    add_vm(bench.site, "off", enabled=False)
    before = bench.site.state()
    for vm, words in (
        ("nobody", "no VM nobody"),
        ("off", "off is disabled"),
        ("db", "db is no guest node.*add_pacemaker_remote"),
    ):
        with pytest.raises(RefusedError, match=words):
            add(bench, replace(SERVICE, vm=vm))
    constrain_option(bench.site, "stonith-enabled", "false")
    with pytest.raises(RefusedError, match="without fencing"):
        add(bench, replace(SERVICE, restart_vm_after=1))
    for verb in (start_service, stop_service, remove_service):
        with pytest.raises(RefusedError, match="VM web has no service nginx"):
            bench.run(lambda context, verb=verb: verb(context, "web", "nginx"))
    bench.site.find("configuration/crm_config/cluster_property_set").remove(
        bench.site.find("configuration/crm_config/cluster_property_set/nvpair")
    )
    assert bench.site.state() == before


def constrain_option(site: FakeSite, name: str, value: str) -> None:
    """Set an option of the cluster."""
    ET.SubElement(site.find("configuration/crm_config/cluster_property_set"), "nvpair", id=name, name=name, value=value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "a.b"}, "'a.b' cannot be the name of a service"),
        ({"name": "-x"}, "cannot be the name of a service"),
        ({"vm": "a b"}, "cannot be the name of a VM"),
        ({"agent": ("systemd", "a/b")}, "'a/b' is neither a systemd unit"),
        ({"agent": ("ocf", "heartbeat", "")}, "neither"),
        ({"agent": ("ocf", "heartbeat", "VirtualDomain")}, "a VM is no service"),
        ({"params": {"a b": "x"}}, "'a b' is no parameter"),
        ({"interval": 0}, "0 s"),
        ({"attempts": 0}, "after 0 failures"),
        ({"restart_vm_after": 3}, "--restart-vm-after 3 cannot be kept"),
        ({"restart_vm_after": 0}, "cannot be kept"),
    ],
)
def test_wrong_values(wrong: dict[str, Any], words: str) -> None:
    """Values that cannot be right are refused before anybody is asked."""
    with pytest.raises(UsageError, match=words):
        replace(SERVICE, **wrong)


def test_hostile_values_stay_values(bench: Bench) -> None:
    """Whatever a parameter holds is one value in the CIB."""
    hostile = "a\"b'<c>&amp;$(touch pwned)\n]]>"
    add(bench, replace(SERVICE, params={"fake": hostile}))
    primitive = bench.site.primitive("web.beat")
    assert primitive is not None
    assert [pair.get("value") for pair in primitive.iterfind("instance_attributes/nvpair")] == [hostile]


def test_a_service_that_does_not_start(bench: Bench) -> None:
    """It stays, as Failed, with Pacemaker's reason; a start tries again."""
    bench.site.broken["web.beat"] = "start"
    with pytest.raises(
        VmFailedError, match="Service beat of VM web is Failed instead of Started: start failed on web-node: no memory"
    ):
        add(bench)
    assert listed(bench) == [("web", "beat", "Failed", "start failed on web-node: no memory")]
    assert details(bench) == ("services: 0 of 1 started",)
    del bench.site.broken["web.beat"]
    assert bench.run(lambda context: start_service(context, "web", "beat")).status is Status.STARTED


def test_start_and_stop(bench: Bench) -> None:
    """The target role is set once, waited for, and said where it is so already."""
    add(bench)
    assert bench.run(lambda context: stop_service(context, "web", "beat")).status is Status.STOPPED
    assert bench.site.runs["web"].node == "hv1"
    bench.run(lambda context: stop_service(context, "web", "web.beat"))
    assert bench.told.said[-1] == "Service beat of VM web is Stopped already."
    assert bench.run(lambda context: start_service(context, "web", "beat", wait=False)).status is Status.STARTING
    bench.site.settle()
    bench.site.broken["web.beat"] = "hang"
    with pytest.raises(TimeUpError, match=r"Service beat of VM web is still .* after 3 s.*list_services -n web"):
        bench.run(lambda context: stop_service(context, "web", "beat", timeout=3))


def test_a_service_without_a_role_is_stopped_while_its_vm_is(bench: Bench) -> None:
    """It does not run, and would again with its VM; so it is told to stop."""
    add(bench)
    primitive = bench.site.primitive("web.beat")
    assert primitive is not None
    attributes = primitive.find("meta_attributes")
    assert attributes is not None
    attributes.remove(next(pair for pair in attributes if pair.get("name") == "target-role"))
    bench.run(lambda context: stop(context, "web"))
    bench.run(lambda context: stop_service(context, "web", "beat"))
    assert bench.site.target_role("web.beat") == "Stopped"


def test_unmanaged(bench: Bench) -> None:
    """What Pacemaker does not manage is not started, stopped or removed."""
    add(bench)
    bench.site.runs["web.beat"].managed = False
    for verb in (start_service, stop_service, remove_service):
        with pytest.raises(RefusedError, match=r"does not manage service beat of VM web now \(unmanaged\)"):
            bench.run(lambda context, verb=verb: verb(context, "web", "beat"))


def test_removed(bench: Bench) -> None:
    """It is stopped, its failures are forgotten, and it goes with its constraints in one change; one that does not stop stays."""
    before = bench.site.state()
    add(bench)
    bench.site.broken["web.beat"] = "hang"
    with pytest.raises(VmMgrError, match="did not stop in its time"):
        bench.run(lambda context: remove_service(context, "web", "beat", timeout=3))
    assert bench.site.target_role("web.beat") == "Started"
    del bench.site.broken["web.beat"]
    constrain(bench.site, '<rsc_order id="after" first="db" then="web.beat"/>')
    changes = bench.site.definitions
    bench.run(lambda context: remove_service(context, "web", "beat"))
    assert bench.site.definitions == changes + 1
    assert bench.site.state() == before


def test_services_go_where_their_vm_goes(bench: Bench) -> None:
    """Stop and start take them along; disable puts them aside and enable brings them back; remove removes them."""
    add(bench)
    constrain(bench.site, '<rsc_order id="after" first="db" then="web.beat"/>')
    bench.run(lambda context: stop(context, "web"))
    assert listed(bench) == [("web", "beat", "Stopped", "VM web does not run")]
    assert bench.run(lambda context: start_service(context, "web", "beat")).status is Status.STOPPED  # nothing to wait for
    bench.run(lambda context: start(context, "web"))
    bench.site.settle()
    before = bench.site.state()
    bench.run(lambda context: disable(context, "web"))
    assert bench.site.primitive("web.beat") is None
    assert not [item for item in bench.site.constraints if "beat" in ET.tostring(item, encoding="unicode")]
    assert listed(bench) == listed(bench, "web") == [("web", "beat", "Disabled", "")]
    with pytest.raises(RefusedError, match="web is disabled"):
        bench.run(lambda context: stop_service(context, "web", "beat"))
    with pytest.raises(RefusedError, match="services beat run in VM web"):
        bench.run(lambda context: remove_guest_node(context, "web"))
    bench.run(lambda context: enable(context, "web"))
    bench.site.settle()
    assert bench.site.state() == before
    bench.run(lambda context: remove(context, "web"))
    assert "With VM web go the services in it: web.beat." in bench.told.said
    assert not [item for item in bench.site.cib.iter() if "beat" in item.get("id", "")]
    assert bench.site.store == {}


def test_a_guest_node_with_services_stays_one(bench: Bench) -> None:
    """They would have nowhere to run: that is refused."""
    add(bench)
    before = bench.site.state()
    with pytest.raises(RefusedError, match="services beat run in VM web as guest node web-node"):
        bench.run(lambda context: remove_guest_node(context, "web"))
    assert bench.site.state() == before


def test_clones_carry_neither_node_nor_services(bench: Bench) -> None:
    """The clone is a mere VM; its source is left as it was."""
    add(bench)
    bench.run(lambda context: clone(context, CloneRequest("web", "copy")))
    primitive = bench.site.primitive("copy")
    assert primitive is not None
    assert "remote-node" not in ET.tostring(primitive, encoding="unicode")
    assert not [key for key in bench.site.images["system_copy"].metadata if key.startswith("_remote")]
    assert listed(bench, "copy") == []
    assert details(bench) == ("services: 1 of 1 started",)


def test_replaced_vms_lose_their_services(bench: Bench, disk: DiskImage) -> None:
    """``create --force`` makes another VM; what goes with the old one is said, and goes with its constraints."""
    add(bench)
    constrain(bench.site, '<rsc_order id="after" first="db" then="web.beat"/>')
    bench.run(creating(disk, force=True))
    assert "With the old VM web go its services: web.beat." in bench.told.warnings
    assert not [item for item in bench.site.cib.iter() if "beat" in item.get("id", "") or item.get("id") == "after"]


def test_a_replacement_that_fails_brings_them_back(bench: Bench, disk: DiskImage) -> None:
    """The old VM comes back with its services."""
    add(bench)
    before = bench.site.state()
    count = [0]

    def meanwhile(_index: int, name: str) -> None:
        count[0] += name == "redefine"
        bench.site.broken = {"web": "start"} if count[0] == 1 else {}

    bench.remote.before = meanwhile
    with pytest.raises(VmMgrError, match="is put back as it was"):
        bench.run(creating(disk, force=True))
    bench.site.settle()
    after = bench.site.state()
    assert after["cib"] == before["cib"]


def test_a_lost_connection_is_told(bench: Bench) -> None:
    """A VM that runs and whose guest node is away says so."""
    add(bench)
    bench.site.deaf.add("web-node")
    assert details(bench)[0] == "guest node web-node offline"
