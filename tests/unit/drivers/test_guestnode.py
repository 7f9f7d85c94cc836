"""Guest nodes and the services in them, as Pacemaker 2.1.5 has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from vmmgr.drivers.pacemaker import edits
from vmmgr.drivers.pacemaker.cib import Cib, parse_cib
from vmmgr.drivers.pacemaker.guestnode import (
    GuestNode,
    ban,
    bans,
    guest_nodes,
    is_off,
    meta_set,
    not_kept_off,
    remote_attributes,
)
from vmmgr.drivers.pacemaker.services import failures_of, fencing_is_on, kind_of, services_of, stop_timeout
from vmmgr.drivers.pacemaker.simulation import parse_simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.remote.batch import Result


def made(resources: str = "", constraints: str = "", options: str = "", status: str = "") -> Cib:
    """Write a CIB by hand."""
    return Cib(
        ET.fromstring(
            f"<cib><configuration><crm_config><cluster_property_set>{options}</cluster_property_set></crm_config>"
            f"<resources>{resources}</resources><constraints>{constraints}</constraints></configuration>"
            f"<status>{status}</status></cib>"
        )
    )


@pytest.fixture
def cib(recorded: Callable[[str], Result]) -> Cib:
    """The recorded CIB with a guest node and services."""
    return parse_cib(recorded("pacemaker-2.1.5/cib-services.xml"))


def test_a_recorded_guest_node(cib: Cib) -> None:
    """Its name, its VM, its attributes, and the resources in it with their failures."""
    assert guest_nodes(cib) == {"gn-node": "gn"}
    primitive = cib.primitive("gn")
    assert primitive is not None
    assert remote_attributes(primitive) == {"remote-node": "gn-node", "remote-addr": "192.0.2.150"}
    assert [(item.get("id"), kind_of(item)) for item in services_of(cib, "gn")] == [
        ("gn.beat", "systemd:beat"),
        ("gn.dum", "ocf:pacemaker:Dummy"),
    ]
    assert [failures_of(cib, name) for name in ("gn.beat", "gn.dum", "gn")] == [1, 1, 0]
    assert cib.last_failure("gn.dum") == "monitor failed on gn-node: it was no longer running"
    assert list(cib.vm_names()) == ["gn"]
    assert fencing_is_on(cib)
    assert not_kept_off(cib, "gn-node") == ([], [])


def test_a_guest_that_refuses_the_key(recorded: Any) -> None:
    """Pacemaker's words for it, with which it restarts the VM."""
    cib = parse_cib(recorded("pacemaker-2.1.5/cib-refused.xml"))
    assert cib.last_failure("gn-node") == "start failed on hv2: Key was rejected by service"
    simulation = parse_simulation(recorded("pacemaker-2.1.5/sim-refused.xml"))
    assert (simulation.nodes["gn-node"].kind, simulation.nodes["gn-node"].online) == ("guest", False)
    assert ("gn", "move") in [(plan.resource, plan.action) for plan in simulation.plans]


def test_recorded_nodes(recorded: Any) -> None:
    """A guest node is told from the cluster's own machines; Pacemaker has a resource for its connection."""
    simulation = parse_simulation(recorded("pacemaker-2.1.5/sim-services.xml"))
    assert {node.name: (node.kind, node.usable) for node in simulation.nodes.values()} == {
        "gn-node": ("guest", False), "hv1": ("member", True), "hv2": ("member", True), "obs1": ("member", True),
    }  # fmt: skip
    assert (simulation.resources["gn-node"].role, simulation.resources["gn.beat"].nodes) == ("Started", ("gn-node",))


def test_attributes() -> None:
    """Pacemaker's own values are left out."""
    assert GuestNode("n", "a").attributes() == {"remote-node": "n", "remote-addr": "a"}
    assert GuestNode("n", "a", 1, 2).attributes() == {
        "remote-node": "n", "remote-addr": "a", "remote-port": "1", "remote-connect-timeout": "2",
    }  # fmt: skip


def test_where_further_attributes_go() -> None:
    """Into the first set of the resource's own that always holds; otherwise into a new one."""
    sets = '<meta_attributes id-ref="x"/><meta_attributes id="r"><rule id="q"/></meta_attributes><meta_attributes id="m"/>'
    assert meta_set(ET.fromstring(f'<primitive id="p">{sets}</primitive>')) == "m"
    assert meta_set(ET.fromstring('<primitive id="p"/>')) == "p-meta_attributes"


VM = '<primitive id="{0}" class="ocf" provider="heartbeat" type="VirtualDomain"/>'
DUMMY = '<primitive id="{0}" class="ocf" provider="pacemaker" type="Dummy"/>'


def test_who_has_to_be_kept_off() -> None:
    """VMs and others without a rule, a ban or a place of their own; fence devices never run in a guest."""
    resources = (
        "".join(map(VM.format, ("free", "ruled", "banned", "pinned", "elsewhere")))
        + DUMMY.format("ip")
        + f'<clone id="c">{DUMMY.format("inner")}</clone><primitive id="f" class="stonith" type="x"/>'
    )
    constraints = (
        '<rsc_location id="1" rsc="ruled"><rule id="r" score="-INFINITY"><expression id="e" attribute="#kind" operation="ne" '
        'value="cluster"/></rule></rsc_location>'
        '<rsc_location id="2" rsc="banned" node="n" score="-INFINITY"/>'
        '<rsc_location id="3" rsc="pinned" node="hv1" score="INFINITY" resource-discovery="exclusive"/>'
        '<rsc_location id="4" rsc="elsewhere" node="other" score="-INFINITY"/>'
    )
    assert not_kept_off(made(resources, constraints), "n") == (["free", "elsewhere"], ["ip", "c"])
    option = '<nvpair id="s" name="symmetric-cluster" value="False"/>'
    assert not_kept_off(made(resources, constraints, option), "n") == ([], [])


def test_bans_are_known_by_their_ids() -> None:
    """What an administrator forbids by another name stays his."""
    mine = ET.tostring(ban("db", "n"), encoding="unicode")
    cib = made(VM.format("db"), f'{mine}<rsc_location id="own" rsc="db" node="n" score="-INFINITY"/>')
    assert bans(cib, "n") == ["cli-ban-db-on-n"]
    assert bans(cib, "m") == []


def test_services_are_tied_by_whomever() -> None:
    """A resource that may only run in the guest node is a service of its VM; one that prefers it is not."""
    vm = VM.format("web").replace(
        "/>", '><meta_attributes id="m"><nvpair id="p" name="remote-node" value="n"/></meta_attributes></primitive>'
    )
    places = "".join(
        f'<rsc_location id="{name}" rsc="{name}" node="{node}" score="{score}"/>'
        for name, node, score in (
            ("in", "n", "INFINITY"),
            ("likes", "n", "5"),
            ("out", "n", "-INFINITY"),
            ("other", "hv1", "INFINITY"),
        )
    )
    cib = made(vm + "".join(map(DUMMY.format, ("in", "likes", "out", "other"))), places)
    assert [item.get("id") for item in services_of(cib, "web")] == ["in"]
    assert services_of(cib, "nobody") == []
    assert services_of(made(VM.format("web")), "web") == []


@pytest.mark.parametrize(
    ("counts", "expected"), [({}, 0), ({"monitor_10000": "2", "start_0": "INFINITY"}, 3), ({"start_0": "1000000"}, 1)]
)
def test_failures_are_counted(counts: dict[str, str], expected: int) -> None:
    """All operations together; a start that is not tried again is one."""
    pairs = "".join(f'<nvpair id="{op}" name="fail-count-web.beat#{op}" value="{value}"/>' for op, value in counts.items())
    other = '<nvpair id="x" name="fail-count-web.beat2#start_0" value="7"/>'
    status = f'<node_state><transient_attributes><instance_attributes id="i">{pairs}{other}</instance_attributes></transient_attributes></node_state>'
    assert failures_of(made(status=status), "web.beat") == expected


@pytest.mark.parametrize(("value", "off"), [("false", True), ("No", True), ("0", True), ("true", False), ("", False)])
def test_options_that_are_on_by_themselves(value: str, *, off: bool) -> None:
    """Pacemaker's words for no, and nothing else, switch them off."""
    option = f'<nvpair id="s" name="stonith-enabled" value="{value}"/>'
    assert is_off(made(options=option), "stonith-enabled") is off
    assert fencing_is_on(made(options=option)) is not off
    assert fencing_is_on(made())


def test_a_document_is_merged() -> None:
    """As cibadmin --modify does: what is there by its id is changed in place, and what is not comes last."""
    there = '<primitive id="p" class="ocf" type="x"><meta_attributes id="m"><nvpair id="a" name="a" value="1"/></meta_attributes></primitive>'
    cib = made(there + DUMMY.format("q"))
    more = (
        '<primitive id="p"><meta_attributes id="m"><nvpair id="a" name="a" value="2"/><nvpair id="b" name="b" value="3"/></meta_attributes>'
        '</primitive><primitive id="r"/>'
    )
    edits.added(f"<cib><configuration><resources>{more}</resources></configuration></cib>")(cib.root)
    assert [item.get("id") for item in cib.root.iter("primitive")] == ["p", "q", "r"]
    primitive = cib.primitive("p")
    assert primitive is not None
    assert primitive.get("class") == "ocf"
    assert [(pair.get("id"), pair.get("value")) for pair in primitive.iter("nvpair")] == [("a", "2"), ("b", "3")]


def test_a_vm_stops_after_its_services(cib: Cib) -> None:
    """The slowest of them adds its time; a service, and a VM without one, has its own."""
    times = {"gn": "40s", "gn.beat": "100s", "gn.dum": "7s"}
    for name, text in times.items():
        primitive = cib.primitive(name)
        assert primitive is not None
        operations = primitive.find("operations")
        assert operations is not None
        for item in operations.findall("op[@name='stop']"):
            operations.remove(item)
        ET.SubElement(operations, "op", id=f"{name}-stop", name="stop", timeout=text)
    assert [stop_timeout(cib, name) for name in times] == [140.0, 100.0, 7.0]
