"""The verbs on real sites, each checked against what the nodes themselves say."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.scenarios.site import all_online, status, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite


def role(site: LabSite, vm: str) -> str | None:
    """Return the target role of a VM as the CIB has it."""
    primitive = site.primitive(vm)
    assert primitive is not None
    pair = primitive.find("meta_attributes/nvpair[@name='target-role']")
    return None if pair is None else pair.get("value")


@pytest.mark.sites("crmsh-root", "pcs-hardened", "crmsh-hardened", "pcs-root", "three")
def test_main_road(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Create, list, status, stop, start, disable, enable, remove: each does what it says, on the nodes."""
    xml = site.domain(tmp_path, vm, 101)
    site.done("create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--metadata", "owner=Zoë = 1")
    assert len(site.runs_on(vm)) == 1
    assert status(site, vm) == ("Started", site.runs_on(vm)[0])
    assert site.rbd("group", "image", "ls", vm)[0]["image"] == f"system_{vm}"
    metadata = site.metadata(vm)
    assert metadata["vm_name"] == vm
    assert metadata["owner"] == "Zoë = 1"
    # SEAPATH's agent writes them itself, with a line break at the end
    assert {host: text.strip() for host, text in site.files(vm).items()} == dict.fromkeys(
        site.hypervisors, metadata["xml"].strip()
    )

    listed = {row["Name"]: row for row in site.done("list", "-f", "json").rows}
    assert listed[vm] == {"Name": vm, "Status": "Started", "Node": site.runs_on(vm)[0], "Details": ""}

    site.booted(101)
    site.done("stop", "-n", vm)
    assert site.runs_on(vm) == []
    assert role(site, vm) == "Stopped"
    assert status(site, vm) == ("Stopped", None)
    assert "already" in site.done("stop", "-n", vm).err

    site.done("start", "-n", vm)
    assert len(site.runs_on(vm)) == 1
    assert role(site, vm) == "Started"
    assert "already" in site.done("start", "-n", vm).err

    site.booted(101)
    site.done("disable", "-n", vm)
    assert site.runs_on(vm) == []
    assert site.primitive(vm) is None
    assert status(site, vm) == ("Disabled", None)
    assert f"system_{vm}" in site.rbd("ls")
    assert "already" in site.done("disable", "-n", vm).err

    site.done("enable", "-n", vm)
    assert len(site.runs_on(vm)) == 1

    site.booted(101)
    site.done("remove", "-n", vm)
    assert site.traces(vm) == []
    assert site.runs_on(vm) == []
    assert status(site, vm) == ("Undefined", None)
    assert site.vm_mgr("remove", "-n", vm).code == 3


@pytest.mark.sites("crmsh-root", "pcs-hardened")
def test_same_cib_from_either_tool(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A resource with all its options is the same, id by id, whichever tool made it, and survives disable and enable."""
    xml = site.domain(tmp_path, vm, 103)
    host = site.hypervisors[1]
    epoch = int(site.epoch())
    site.done(
        "create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--preferred-host", host, "--priority", "7", "--stop-timeout",
        "41", "--enable-live-migration", "--migration-user", "root", "--pacemaker-meta", "migration-threshold=3",
        "--pacemaker-params", "autoset_utilization_cpu=false", "autoset_utilization_host_memory=false",
        "autoset_utilization_hv_memory=false", "--pacemaker-utilization", "cpu=1", "ram=128",
    )  # fmt: skip
    # the lease, the definition in one change, the end of the lease
    assert int(site.epoch()) - epoch == 3
    made = defined(site, vm)
    # of the resource and its constraints alone: no name of a site in it but the observers and the preferred host
    assert made == expected_definition(site, vm, host)
    assert site.runs_on(vm) == [host]
    site.on(site.anywhere, "crm_resource", "--resource", vm, "--ban", "--node", site.hypervisors[0])
    before = defined(site, vm)
    site.booted(103)
    site.done("disable", "-n", vm)
    site.done("enable", "-n", vm, "--nostart")
    assert status(site, vm) == ("Stopped", None)
    site.done("start", "-n", vm)
    assert defined(site, vm) == before
    site.discard(vm)


def defined(site: LabSite, vm: str) -> list[str]:
    """Return the resource and its constraints as canonical XML, in the order of their ids."""
    cib = site.cib()
    items = [
        *cib.iterfind(f"configuration/resources/primitive[@id='{vm}']"),
        *cib.iterfind(f"configuration/constraints/*[@rsc='{vm}']"),
    ]
    return sorted(ET.canonicalize(ET.tostring(item), strip_text=True) for item in items)


def expected_definition(site: LabSite, vm: str, host: str) -> list[str]:
    """Return what the cluster must be told of the VM of the test above."""
    params = {
        "config": f"/etc/pacemaker/{vm}.xml", "hypervisor": "qemu:///system", "force_stop": "false", "migration_transport": "ssh",
        "migration_user": "root", "migration_downtime": "0", **({"seapath": "true"} if site.agent == "seapath" else {}),
        "autoset_utilization_cpu": "false", "autoset_utilization_host_memory": "false", "autoset_utilization_hv_memory": "false",
    }  # fmt: skip
    meta = {"allow-migrate": "true", "priority": "7", "migration-threshold": "3", "target-role": "Started"}
    operations = [("start", "0s", "120s"), ("stop", "0s", "41s"), ("migrate_from", "0s", "60s"), ("migrate_to", "0s", "120s")]
    operations.append(("monitor", "10s", "60s"))

    def pairs(kind: str, values: dict[str, str]) -> str:
        inner = "".join(f'<nvpair id="{vm}-{kind}-{key}" name="{key}" value="{value}"/>' for key, value in values.items())
        return f'<{kind} id="{vm}-{kind}">{inner}</{kind}>'

    ops = "".join(
        f'<op id="{vm}-{name}-{every}" name="{name}" interval="{every}" timeout="{t}"/>' for name, every, t in operations
    )
    primitive = (
        f'<primitive id="{vm}" class="ocf" provider="{site.agent}" type="VirtualDomain">{pairs("instance_attributes", params)}'
        f"{pairs('meta_attributes', meta)}<operations>{ops}</operations>{pairs('utilization', {'cpu': '1', 'ram': '128'})}</primitive>"
    )
    rule = f"{vm}-hypervisors-only-rule"
    expressions = f'<expression id="{rule}-kind" attribute="#kind" operation="ne" value="cluster"/>' + "".join(
        f'<expression id="{rule}-{name}" attribute="#uname" operation="eq" value="{name}"/>' for name in site.observers
    )
    location = (
        f'<rsc_location id="{vm}-hypervisors-only" rsc="{vm}" resource-discovery="never">'
        f'<rule id="{rule}" score="-INFINITY" boolean-op="or">{expressions}</rule></rsc_location>'
    )
    preference = f'<rsc_location id="prefer-{vm}-on{host}" rsc="{vm}" node="{host}" score="1000"/>'
    return sorted(ET.canonicalize(text) for text in (primitive, location, preference))


def started_elsewhere(site: LabSite, vm: str, host: str) -> bool:
    """Whether vm-mgr says that the VM runs on another host; Ceph itself may not answer for some seconds."""
    answer = site.vm_mgr("status", "-n", vm, "-f", "json")
    assert answer.code in (0, 4), answer.err
    return answer.code == 0 and answer.rows["Status"] == "Started" and answer.rows["Node"] != host


@pytest.mark.thorough  # the demo cuts the power, too
def test_power_cut(site: LabSite, vm: str, tmp_path: Path) -> None:
    """The power of the VM's hypervisor is cut: the VM runs on the other, and vm-mgr says so."""
    xml = site.domain(tmp_path, vm, 105)
    site.done("create", "-n", vm, "--xml", xml, "-i", site.image("tiny"))
    (first,) = site.runs_on(vm)
    site.lab("power-off", first)
    until(lambda: started_elsewhere(site, vm, first), 120, f"{vm} runs on another hypervisor than {first}")
    assert status(site, vm)[1] in site.runs_on(vm)
    site.lab("power-on", first)
    until(lambda: len(site.powered()) == len(site.hypervisors), 90, f"{first} is back")
    until(lambda: "HEALTH_ERR" not in site.on(site.anywhere, "timeout", "60", "ceph", "health"), 60, "Ceph is well")
    until(lambda: all_online(site), 90, "all nodes are online")
    site.discard(vm)
    assert site.traces(vm) == []
