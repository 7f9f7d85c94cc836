"""The status of a VM out of what Pacemaker and Ceph say, case by case."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from vmmgr.drivers.pacemaker.cib import Cib
from vmmgr.model import Node, Resource, Simulation, Status, VmState
from vmmgr.operations.observation import View
from vmmgr.operations.status import state_of

AGENT = "ocf:heartbeat:VirtualDomain"
LEASE = (
    '<cluster_property_set id="vm-mgr-web"><nvpair id="vm-mgr-web-t" name="x" '
    'value="{&quot;verb&quot;: &quot;create&quot;, &quot;who&quot;: &quot;ann@desk&quot;, &quot;since&quot;: 0, &quot;until&quot;: 600}"/>'
    "</cluster_property_set>"
)
SPOILT_LEASE = '<cluster_property_set id="vm-mgr-web"><nvpair id="vm-mgr-web-t" name="x" value="?"/></cluster_property_set>'
MAINTENANCE = '<cluster_property_set id="o"><nvpair id="m" name="maintenance-mode" value="true"/></cluster_property_set>'
FAILURE = (
    '<node_state><lrm><lrm_resources><lrm_resource id="web"><lrm_rsc_op operation="start" rc-code="1" on_node="hv2" '
    'exit-reason="no memory"/></lrm_resource></lrm_resources></lrm></node_state>'
)


def view(
    now: Resource | None = None,
    later: Resource | None = None,
    *,
    config: str = "",
    status: str = "",
    groups: str = "web",
    images: str = "system_web",
    quorate: bool = True,
    clock: int = 100,
    nodes: str = "hv1 hv2",
) -> View:
    """Return the site at a moment, with one VM."""
    root = ET.fromstring(
        f'<cib have-quorum="{int(quorate)}"><configuration><crm_config>{config}</crm_config><resources/></configuration>'
        f"<status>{status}</status></cib>"
    )
    known = {
        name.strip("!*"): Node(name.strip("!*"), "member", "!" not in name, standby=False, maintenance="*" in name)
        for name in nodes.split()
    }
    simulation = Simulation(known, {"web": now} if now else {}, {"web": later or now} if now else {})
    return View("obs1", clock, frozenset(), Cib(root), simulation, frozenset(groups.split()), frozenset(images.split()))


def vm(role: str, node: str = "", target: str = "Started", flags: str = "") -> Resource:
    """Return a VM's resource; the flags say what is unusual."""
    return Resource(
        "web", AGENT, role, target, (node,) if node else (), "unmanaged" not in flags, "blocked" in flags, "failed" in flags
    )


ON, OFF = vm("Started", "hv1"), vm("Stopped")
TO_STOP = vm("Started", "hv1", "Stopped")


@pytest.mark.parametrize(
    ("seen", "status", "node", "details"),
    [
        (view(groups="", images=""), "Undefined", None, ()),
        (view(), "Disabled", None, ()),
        (view(groups=""), "Disabled", None, ("incomplete: no group",)),
        (view(images=""), "Disabled", None, ("incomplete: no image system_web",)),
        (view(ON), "Started", "hv1", ()),
        (view(ON, groups="", images=""), "Started", "hv1", ("no disks in the pool",)),
        (view(vm("Started", "hv1", "")), "Started", "hv1", ()),
        (view(vm("Stopped", "", "Stopped")), "Stopped", None, ()),
        (view(vm("Stopped", "", "stopped")), "Stopped", None, ()),
        (view(vm("Starting", "hv1")), "Starting", "hv1", ()),
        (view(OFF, ON), "Starting", None, ()),
        (view(vm("Stopping", "hv1", "Stopped")), "Stopping", "hv1", ()),
        (view(TO_STOP, vm("Stopped")), "Stopping", "hv1", ()),
        (view(ON, OFF), "Stopping", "hv1", ()),
        (view(vm("Migrating", "hv1")), "Starting", "hv1", ("migrating",)),
        (view(vm("Started", "hv1", flags="failed"), ON), "Starting", "hv1", ("recovering",)),
        (view(vm("Started", "hv1", flags="failed"), OFF, status=FAILURE), "Failed", "hv1", ("start failed on hv2: no memory",)),
        (view(vm("Started", "hv1", "Stopped", "failed"), OFF), "Stopping", "hv1", ()),
        (view(vm("Started", "hv1", flags="blocked failed")), "Failed", "hv1", ("blocked",)),
        (view(ON, vm("Started", "hv2"), nodes="!hv1 hv2"), "Starting", "hv1", ("recovering",)),
        (view(ON, OFF, nodes="!hv1 !hv2"), "Failed", "hv1", ("no node can run it",)),
        (view(OFF, OFF), "Failed", None, ("no node can run it",)),
        (view(OFF, OFF, quorate=False), "Failed", None, ("no quorum",)),
        (view(OFF, OFF, status=FAILURE), "Failed", None, ("start failed on hv2: no memory",)),
        (view(vm("Started", "hv1", flags="unmanaged")), "Started", "hv1", ("unmanaged",)),
        (view(vm("Stopped", flags="unmanaged")), "Stopped", None, ("unmanaged",)),
        (view(vm("Started", "hv1", flags="unmanaged failed")), "Failed", "hv1", ("unmanaged",)),
        (view(vm("Started", "hv1", flags="unmanaged"), nodes="*hv1"), "Started", "hv1", ("maintenance",)),
        (view(vm("Stopped", flags="unmanaged"), config=MAINTENANCE), "Stopped", None, ("maintenance",)),
        (
            view(config=LEASE, groups="", images="", clock=599),
            "Disabled",
            None,
            ("in progress: create by ann@desk since 1970-01-01 00:00:00 UTC",),
        ),
        (
            view(ON, config=LEASE, clock=600),
            "Started",
            "hv1",
            ("unfinished: create by ann@desk since 1970-01-01 00:00:00 UTC",),
        ),
        (
            view(config=SPOILT_LEASE),
            "Disabled",
            None,
            ("unfinished: unknown operation by somebody since 1970-01-01 00:00:00 UTC",),
        ),
        (view(Resource("web", "stonith:fence_ipmilan", "Started", "", ("hv1",), True, False, False), groups="", images=""),
         "Undefined", None, ()),
    ],
)  # fmt: skip
def test_status(seen: View, status: str, node: str | None, details: tuple[str, ...]) -> None:
    """Each case has one status, the node where there is one, and the details that the status alone does not tell."""
    assert state_of(seen, "web") == VmState("web", Status(status), node, details)


def test_list_names_what_is_left_of_anything() -> None:
    """VMs are found by their group, their resource, their system image, and the mark of an operation."""
    seen = view(config=LEASE.replace("web", "marked"), groups="grouped", images="system_imaged data_grouped_0 other")
    assert seen.vm_names == ["grouped", "imaged", "marked"]


def test_images_of_a_vm() -> None:
    """A VM's images are known by their names; those of VMs with similar names are not its own."""
    seen = view(images="system_a data_a_0 data_a_10 data_a_2 data_a_b_0 system_a_b data_aa_0 data_a_ data_a_x")
    assert seen.images_of("a") == ["system_a", "data_a_0", "data_a_10", "data_a_2"]
