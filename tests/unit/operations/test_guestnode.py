"""Guest nodes: one change of the CIB, the VM goes on, vm_manager's metadata say the same, and no other VM runs in there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakesite import FakeSite
from workbench import Bench, add_vm, constrain

from vmmgr.drivers.pacemaker.guestnode import GuestNode
from vmmgr.errors import RefusedError, UsageError
from vmmgr.operations.guestnode import NotOnlineError, add_guest_node, remove_guest_node
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.running import start, stop
from vmmgr.operations.waiting import TimeUpError

if TYPE_CHECKING:
    from workbench import Clock

NODE = GuestNode("web-node", "192.0.2.7", 3122, 30)
ATTRIBUTES = {
    "remote-node": "web-node", "remote-addr": "192.0.2.7", "remote-port": "3122", "remote-connect-timeout": "30",
}  # fmt: skip
METADATA = {
    "_remote_node": "web-node", "_remote_node_address": "192.0.2.7", "_remote_node_port": "3122", "_remote_node_timeout": "30",
}  # fmt: skip


@pytest.fixture
def bench(clock: Clock) -> Bench:
    """A site with the VMs web and db, both running."""
    site = FakeSite()
    add_vm(site, "web")
    add_vm(site, "db")
    return Bench(site, clock)


def add(bench: Bench, node: GuestNode = NODE, vm: str = "web", **options: Any) -> str:
    """Make a VM a guest node."""
    return bench.run(lambda context: add_guest_node(context, vm, node, **options))


def remove(bench: Bench, vm: str = "web") -> str:
    """Make it a mere VM."""
    return bench.run(lambda context: remove_guest_node(context, vm))


def attributes(site: FakeSite, vm: str = "web") -> dict[str, str]:
    """Return the meta attributes of a VM that have to do with a guest node."""
    primitive = site.primitive(vm)
    assert primitive is not None
    pairs = primitive.iterfind("meta_attributes/nvpair")
    return {pair.get("name", ""): pair.get("value", "") for pair in pairs if pair.get("name", "").startswith("remote-")}


def metadata(site: FakeSite, vm: str = "web") -> dict[str, str]:
    """Return vm_manager's metadata of a guest node."""
    return {key: value for key, value in site.images[f"system_{vm}"].metadata.items() if key.startswith("_remote_node")}


def test_a_running_vm_becomes_a_guest_node_and_goes_on(bench: Bench) -> None:
    """One change of definition, vm_manager's metadata, the VM where it was, and online; the other way leaves no trace."""
    before, changes = bench.site.state(), bench.site.definitions
    assert add(bench) == "VM web is guest node web-node, and online."
    assert (attributes(bench.site), metadata(bench.site)) == (ATTRIBUTES, METADATA)
    assert (bench.site.definitions, bench.site.runs["web"].node) == (changes + 1, "hv1")
    assert bench.told.warnings == []
    assert remove(bench) == "VM web is no guest node."
    assert bench.site.state() == before
    assert bench.site.definitions == changes + 2


def test_repeated_changes_nothing_and_says_so(bench: Bench) -> None:
    """What is so already is said, Pacemaker's own values included; the metadata are completed where they are not right."""
    plain = GuestNode("web-node", "192.0.2.7")
    add(bench, plain)
    before = bench.site.state()
    assert add(bench, replace(plain, port=3121, connect_timeout=60)) == "VM web is guest node web-node, and online."
    assert bench.site.state() == before
    assert bench.told.said == ["VM web is guest node web-node already."]
    del bench.site.images["system_web"].metadata["_remote_node"]
    bench.site.images["system_web"].metadata["_remote_node_port"] = "9"
    add(bench, plain)
    assert bench.site.state() == before
    bench.told.said.clear()
    remove(bench)
    changed = bench.site.state()
    assert remove(bench) == "VM web is no guest node."
    assert bench.told.said == ["VM web is no guest node already."]
    assert bench.site.state() == changed


def test_another_guest_node_is_not_changed(bench: Bench) -> None:
    """A connection that is in use is not moved elsewhere: that is refused, with the way out."""
    add(bench)
    before = bench.site.state()
    for other in (replace(NODE, name="other"), replace(NODE, address="192.0.2.8"), replace(NODE, port=None)):
        with pytest.raises(RefusedError, match=r"remote-port=3122.*remove_pacemaker_remote -n web"):
            add(bench, other)
    assert bench.site.state() == before


@pytest.mark.parametrize("taken", ["hv1", "obs1", "web", "db", "fence", "off", "db-node"])
def test_the_name_is_its_own(bench: Bench, taken: str) -> None:
    """No node, resource, VM, disabled or not, or other guest node has the name of the node."""
    add_vm(bench.site, "off", enabled=False)
    add(bench, replace(NODE, name="db-node"), "db")
    before = bench.site.state()
    with pytest.raises(RefusedError, match=f"{taken} "):
        add(bench, replace(NODE, name=taken))
    assert bench.site.state() == before


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (replace(NODE, name="-n"), "'-n' cannot be the name of a guest node"),
        (replace(NODE, name="a b"), "cannot be the name"),
        (replace(NODE, name="x\n"), "cannot be the name"),
        (replace(NODE, name=""), "cannot be the name"),
        (replace(NODE, address="-h"), "'-h' is neither an IP address nor a host name"),
        (replace(NODE, address="a;b"), "neither"),
        (replace(NODE, address="300.1.1.1"), "neither"),
        (replace(NODE, address=""), "neither"),
        (replace(NODE, address="fe80::1%br0 -oProxyCommand=x"), "neither"),
        (replace(NODE, port=0), "0 is no TCP port"),
        (replace(NODE, port=65536), "65536 is no TCP port"),
        (replace(NODE, connect_timeout=0), "a second at least"),
    ],
)
def test_wrong_values(bench: Bench, node: GuestNode, words: str) -> None:
    """Values that cannot be right are refused before anybody is asked."""
    with pytest.raises(UsageError, match=words):
        add(bench, node)
    assert bench.remote.log == []


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "fe80::7%br0", "guest-7.example.org", "web"])
def test_addresses(bench: Bench, address: str) -> None:
    """IP addresses of both kinds and host names are addresses."""
    add(bench, replace(NODE, address=address))
    assert attributes(bench.site)["remote-addr"] == address


def test_unknown_vm(bench: Bench) -> None:
    """There is none of that name."""
    for verb in (add, remove):
        with pytest.raises(RefusedError, match="There is no VM nobody"):
            verb(bench, vm="nobody")


def test_a_guest_that_a_hypervisor_cannot_reach(bench: Bench) -> None:
    """Pacemaker would restart the VM there: that is refused, unless the VM does not run; and it is not asked twice."""
    bench.site.cut_off.add("hv2")
    before = bench.site.state()
    with pytest.raises(RefusedError, match=r"192.0.2.7 port 3122/tcp cannot be reached from hv2\."):
        add(bench)
    assert bench.site.state() == before
    bench.run(lambda context: stop(context, "web"))
    add(bench)
    assert attributes(bench.site) == ATTRIBUTES


def test_not_online(bench: Bench) -> None:
    """A guest that does not answer is told with Pacemaker's reason and the way out; what was set stays."""
    bench.site.deaf.add("web-node")
    with pytest.raises(TimeUpError, match=r"not online as such after 60 s.*remove_pacemaker_remote -n web"):
        add(bench)
    assert attributes(bench.site) == ATTRIBUTES
    with pytest.raises(TimeUpError, match="after 5 s"):
        add(bench, timeout=5)
    assert add(bench, wait=False) == "VM web is guest node web-node."


def test_a_guest_that_lets_nobody_in(bench: Bench) -> None:
    """Pacemaker would restart the VM for a wrong key, everywhere, until it gives it up: so it is made a mere VM again, and why is told."""
    before = bench.site.state()
    bench.site.locked.add("web-node")
    with pytest.raises(NotOnlineError, match=r"start failed on hv1: Key was rejected by service\. Make sure that"):
        add(bench)
    assert bench.told.warnings == [
        "VM web is made a mere VM again. Pacemaker may have begun to restart it for the failed connection."
    ]
    assert bench.site.state() == before


def test_a_guest_node_that_is_cut_off_stays_one(bench: Bench) -> None:
    """What others made of the VM before is not taken away by a command that only says it again."""
    add(bench)
    before = attributes(bench.site)
    bench.site.locked.add("web-node")
    with pytest.raises(NotOnlineError, match="Key was rejected by service"):
        add(bench)
    assert attributes(bench.site) == before
    assert bench.told.said == ["VM web is guest node web-node already."]


def test_stopped_and_disabled_vms(bench: Bench) -> None:
    """What is set of a VM that does not run holds once it does (unlike A.13 no. 26)."""
    add_vm(bench.site, "down", running=False)
    add_vm(bench.site, "off", enabled=False)
    assert add(bench, replace(NODE, name="down-node"), "down") == "VM down is guest node down-node, online once it runs."
    assert add(bench, replace(NODE, name="off-node"), "off") == "VM off is guest node off-node once it is enabled."
    bench.run(lambda context: start(context, "down"))
    bench.run(lambda context: enable(context, "off"))
    assert attributes(bench.site, "off") == ATTRIBUTES | {"remote-node": "off-node"}
    assert set(bench.site.guest_nodes()) == {"down-node", "off-node"}


def test_a13_26_disabled_vms_are_set_up_and_taken_back(bench: Bench) -> None:
    """Of a VM that vm-mgr disabled, what is kept is changed; the metadata and what comes back always agree."""
    bench.run(lambda context: disable(context, "web"))
    add(bench)
    assert metadata(bench.site) == METADATA
    bench.run(lambda context: enable(context, "web"))
    assert attributes(bench.site) == ATTRIBUTES
    bench.run(lambda context: disable(context, "web"))
    remove(bench)
    assert metadata(bench.site) == {}
    bench.run(lambda context: enable(context, "web"))
    assert attributes(bench.site) == {}
    bench.run(lambda context: disable(context, "web"))
    # a key that is missing does not keep the others
    bench.site.images["system_web"].metadata |= {"_remote_node_address": "192.0.2.9"}
    remove(bench)
    assert metadata(bench.site) == {}


def test_a_name_that_was_taken_meanwhile(bench: Bench) -> None:
    """A disabled guest node whose name somebody else has by now is not enabled, and that is said."""
    add(bench)
    bench.run(lambda context: disable(context, "web"))
    add(bench, NODE, "db")
    with pytest.raises(RefusedError, match="web-node is VM db"):
        bench.run(lambda context: enable(context, "web"))


def test_other_vms_stay_off(bench: Bench) -> None:
    """VMs of other tools have no rule for guest nodes: vm_manager's ban is added in the same change, and goes with the node."""
    location = bench.site.constraints.find("rsc_location[@rsc='db']")
    assert location is not None
    bench.site.constraints.remove(location)
    before, changes = bench.site.state(), bench.site.definitions
    add(bench)
    ban = bench.site.constraints.find("rsc_location[@id='cli-ban-db-on-web-node']")
    assert ban is not None
    assert (ban.get("rsc"), ban.get("node"), ban.get("score")) == ("db", "web-node", "-INFINITY")
    assert bench.site.definitions == changes + 1
    remove(bench)
    assert bench.site.state() == before
    bench.run(lambda context: disable(context, "web"))
    add(bench)
    assert bench.site.constraints.find("rsc_location[@id='cli-ban-db-on-web-node']") is None
    bench.run(lambda context: enable(context, "web"))
    assert bench.site.constraints.find("rsc_location[@id='cli-ban-db-on-web-node']") is not None


def test_other_resources_are_named(bench: Bench) -> None:
    """What else Pacemaker might try in the guest is told, for it is somebody else's; what is kept off is not."""
    for name in ("ip", "pinned"):
        bench.site.resources.append(_dummy(name))
    constrain(bench.site, '<rsc_location id="p" rsc="pinned" node="hv1" score="INFINITY" resource-discovery="exclusive"/>')
    add(bench)
    (warning,) = bench.told.warnings
    assert "may try ip on the guest node web-node" in warning


def _dummy(name: str) -> Any:
    from xml.etree import ElementTree as ET

    return ET.fromstring(f'<primitive id="{name}" class="ocf" provider="pacemaker" type="Dummy"/>')


def test_part_of_a_group(bench: Bench) -> None:
    """A VM whose resource belongs to a group is left alone."""
    from xml.etree import ElementTree as ET

    primitive = bench.site.primitive("web")
    assert primitive is not None
    bench.site.resources.remove(primitive)
    ET.SubElement(bench.site.resources, "group", id="g").append(primitive)
    with pytest.raises(RefusedError, match="part of a group"):
        add(bench)
