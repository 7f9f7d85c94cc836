"""VMs of vm_manager 2.0 are managed like our own, and ours have all that vm_manager looks for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.scenarios.site import status, until
from tests.scenarios.test_rollback import data, spoil
from tests.scenarios.vmmanager import VmManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenarios.site import LabSite

# A site as SEAPATH's playbooks leave it: its agent, crmsh, hardened, an observer, no fencing.
RUN_ON = ("crmsh-hardened",)
pytestmark = pytest.mark.thorough
OCTET = 140


@pytest.fixture(scope="module")
def theirs(site: LabSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VmManager]:
    """A VM with two disks that vm_manager has made, running on its preferred host."""
    folder = tmp_path_factory.mktemp("theirs")
    base = (folder / site.domain(folder, "theirs", OCTET)).read_text()
    vm = VmManager(site, "theirs", base, site.hypervisors[1], {"owner": "Zoë"}, {"migration-threshold": "3"})
    vm.create(site.image("tiny"))
    yield vm
    if site.traces(vm.name):
        site.vm_mgr("repair", "-n", vm.name, "--force")
        site.discard(vm.name)


def definition(site: LabSite, vm: str) -> list[str]:
    """Return a VM's resource and constraints, with their target role, as canonical XML."""
    cib = site.cib()
    found = [*cib.iterfind(f".//primitive[@id='{vm}']"), *cib.iterfind(f"configuration/constraints/*[@rsc='{vm}']")]
    return sorted(ET.canonicalize(ET.tostring(item), strip_text=True) for item in found)


def test_start_stop_disable_enable_of_theirs(site: LabSite, theirs: VmManager) -> None:
    """A VM of vm_manager's is seen, stopped and started, and comes back from disable with everything that it had there."""
    vm, preferred = theirs.name, theirs.preferred_host
    until(lambda: status(site, vm) == ("Started", preferred), 60, f"{vm} runs on {preferred}")
    assert {"Name": vm, "Status": "Started", "Node": preferred, "Details": ""} in site.done("list", "-f", "json").rows
    before, metadata = definition(site, vm), site.metadata(vm)
    assert f"cli-prefer-{vm}" in "".join(before)
    assert f"cli-ban-{vm}-on-{site.observers[0]}" in "".join(before)
    site.booted(OCTET)
    site.done("stop", "-n", vm)
    assert status(site, vm) == ("Stopped", None)
    site.done("start", "-n", vm)
    assert definition(site, vm) == before
    site.booted(OCTET)
    site.done("disable", "-n", vm)
    assert status(site, vm) == ("Disabled", None)
    site.done("enable", "-n", vm)
    assert definition(site, vm) == before
    assert site.runs_on(vm) == [preferred]
    assert site.metadata(vm) == metadata


def test_enable_of_what_they_disabled(site: LabSite, theirs: VmManager) -> None:
    """Disabled by vm_manager, a VM has only its metadata: from these the same resource is made, placed as ours are."""
    vm = theirs.name
    (made,) = (text for text in definition(site, vm) if text.startswith("<primitive"))
    site.done("stop", "--force", "-n", vm)
    theirs.disable()
    assert status(site, vm) == ("Disabled", None)
    site.done("enable", "-n", vm)
    assert plain(site, vm) == plain_of(made)
    ids = [item.get("id") for item in site.cib().iterfind(f"configuration/constraints/rsc_location[@rsc='{vm}']")]
    assert sorted(str(name) for name in ids) == [f"prefer-{vm}-on{theirs.preferred_host}", f"{vm}-hypervisors-only"]


def plain(site: LabSite, vm: str) -> dict[str, str]:
    """Return what is set for a VM's resource, whatever the ids."""
    primitive = site.primitive(vm)
    assert primitive is not None
    return plain_of(ET.tostring(primitive, encoding="unicode"))


def plain_of(text: str) -> dict[str, str]:
    """Return agent, parameters, meta attributes and operations of a resource, each time in seconds."""
    primitive = ET.fromstring(text)
    found = {"agent": ":".join(primitive.get(key, "") for key in ("class", "provider", "type"))}
    for pair in primitive.iterfind("*/nvpair"):
        # the agent notes its own utilization when it starts
        found[pair.get("name", "")] = pair.get("value", "")
    for operation in primitive.iterfind("operations/op"):
        interval, timeout = (operation.get(key, "0").removesuffix("s") for key in ("interval", "timeout"))
        found[f"{operation.get('name')} every {interval} s"] = timeout
    return {key: value for key, value in found.items() if key not in ("cpu", "host_memory", "hv_memory", "is-managed")}


def test_their_domain_is_what_the_agent_starts(site: LabSite, theirs: VmManager) -> None:
    """A domain XML changed in Ceph, as SEAPATH's way of changing a VM is, counts at the next start; no file has to be written."""
    vm = theirs.name
    site.done("stop", "--force", "-n", vm)
    changed = site.metadata(vm)["xml"].replace("<vcpu>1</vcpu>", "<vcpu>2</vcpu>")
    site.on(site.anywhere, "rbd", "image-meta", "set", f"system_{vm}", "xml", changed)
    site.done("start", "-n", vm)
    (host,) = site.runs_on(vm)
    assert ">2</vcpu>" in site.on(host, "virsh", "dumpxml", vm)


def test_metadata_of_theirs(site: LabSite, theirs: VmManager) -> None:
    """What vm_manager has set is read and changed; its settings are shown and protected."""
    vm = ["-n", theirs.name]
    assert site.done("get_metadata", *vm, "--metadata_name", "owner").out.strip() == "Zoë"
    site.done("set_metadata", *vm, "--metadata_name", "owner", "--metadata_value", "Anna")
    assert site.metadata(theirs.name)["owner"] == "Anna"
    assert {"vm_name", "_base_xml", "_priority"} <= set(site.done("list_metadata", *vm, "-f", "value").out.split())
    assert site.vm_mgr("set_metadata", *vm, "--metadata_name", "_priority", "--metadata_value", "9").code in (2, 3)


def test_snapshots_of_theirs(site: LabSite, theirs: VmManager) -> None:
    """Snapshots that vm_manager took disk by disk are listed, partial ones as such, and removed; ours can be as it needs them."""
    vm = ["-n", theirs.name]
    theirs.create_snapshot("whole")
    theirs.create_snapshot("half", disks=1)
    listed = {row["Name"]: row["Details"] for row in site.done("list_snapshots", *vm, "-f", "json").rows}
    assert set(listed) == {"whole", "half"}
    assert ("partial" in listed["half"], "partial" in listed["whole"]) == (True, False)
    site.done("create_snapshot", *vm, "--snap_name", "ours", "--compatible")
    names = [{snapshot["name"] for snapshot in site.rbd("snap", "ls", disk)} for disk in theirs.disks]
    assert names == [{"whole", "half", "ours"}, {"whole", "ours"}]
    site.done("remove_snapshot", *vm, "--snap_name", "whole")
    assert [row["Name"] for row in site.done("list_snapshots", *vm, "-f", "json").rows] == ["half", "ours"]
    site.done("purge", *vm)
    assert [site.rbd("snap", "ls", disk) for disk in theirs.disks] == [[], []]


def test_rollback_of_theirs(site: LabSite, theirs: VmManager) -> None:
    """Running, it is rolled back to a snapshot of vm_manager's, and runs again; its definition and metadata are as before."""
    vm, disk = theirs.name, theirs.disks[1]
    site.done("stop", "--force", "-n", vm)
    theirs.create_snapshot("before")
    whole = data(site, disk)
    spoil(site, disk)
    assert data(site, disk) != whole
    site.done("start", "-n", vm)
    definition_before, metadata = definition(site, vm), site.metadata(vm)
    site.booted(OCTET)
    answer = site.done("rollback", "-n", vm, "--snap_name", "before")
    assert "stay as they are" in answer.err  # vm_manager keeps no metadata with a snapshot
    assert data(site, disk) == whole
    assert status(site, vm) == ("Started", theirs.preferred_host)
    assert (definition(site, vm), site.metadata(vm)) == (definition_before, metadata)
    rows = site.done("list_snapshots", "-n", vm, "-f", "json").rows
    assert [row["Name"].startswith("vm-mgr-before-rollback-") for row in rows] == [False, True]
    site.done("purge", "-n", vm)


def test_clone_of_theirs(site: LabSite, theirs: VmManager) -> None:
    """The clone has all that vm_manager looks for, with the source's settings; the source runs on and is as before."""
    vm, clone = theirs.name, "theirclone"
    until(lambda: "hv_memory" in str(definition(site, vm)), 60, "the agent has written down what the VM uses")
    before = definition(site, vm), site.metadata(vm)
    site.done("clone", "-n", vm, "--dst_name", clone, "--pause")
    try:
        assert (definition(site, vm), site.metadata(vm)) == before
        assert (status(site, vm), status(site, clone)) == (("Started", theirs.preferred_host),) * 2
        metadata, model = site.metadata(clone), VmManager(site, clone, "", theirs.preferred_host, {})
        assert {item["image"] for item in site.rbd("group", "image", "ls", clone)} == set(model.disks)
        kept = set(before[1]) - {"vm_name", "xml", "_base_xml"}
        assert {key: metadata[key] for key in kept} == {key: before[1][key] for key in kept}
        assert metadata["vm_name"] == clone
        model.base_xml = metadata["_base_xml"]
        assert shape(metadata["xml"]) == shape(model.xml())
        assert ET.fromstring(metadata["xml"]).findtext("uuid") not in {None, ET.fromstring(before[1]["xml"]).findtext("uuid")}
        # their VM names no login for migrations, which means root to vm_manager; root cannot log in on this site
        settings = {key: value.replace(vm, clone) for key, value in plain(site, vm).items()}
        assert plain(site, clone) == settings | {"migration_user": "libvirtadmin"}
        until(lambda: all("parent" not in site.rbd("info", image) for image in model.disks), 120, "Ceph has copied the data")
    finally:
        site.discard(clone)
    assert site.traces(clone) == []


def test_colocations_of_theirs(site: LabSite, theirs: VmManager) -> None:
    """A colocation that vm_manager made is listed and can be removed; one that we make is the same, element by element."""
    vm, name = theirs.name, f"colocation-{theirs.name}-withother"
    theirs.run("crm", "configure", "primitive", "other", "ocf:pacemaker:Dummy")
    theirs.run("crm", "configure", "colocation", name, "700:", vm, "(", "other", ")")
    try:
        made = colocations(site)
        (row,) = site.done("list_colocations", "-n", vm, "-f", "json").rows
        assert row["Id"] == name
        site.done("remove_colocation", "-n", vm, "other")
        assert colocations(site) == []
        site.done("add_colocation", "-n", vm, "other", "--yes")
        assert colocations(site) == made
        site.done("remove_colocation", "--id", name)
    finally:
        theirs.run("crm", "configure", "delete", "--force", "other")


def colocations(site: LabSite) -> list[str]:
    """Return the colocations of the cluster as canonical XML."""
    found = site.cib().iterfind("configuration/constraints/rsc_colocation")
    return [ET.canonicalize(ET.tostring(item), strip_text=True) for item in found]


def test_theirs_is_replaced(site: LabSite, theirs: VmManager, tmp_path: Path) -> None:
    """A VM of vm_manager's gives way to one of ours, which has its own settings and nothing of the old disks."""
    vm = theirs.name
    id_before = site.rbd("info", theirs.disks[0])["id"]
    xml = site.domain(tmp_path, vm, OCTET)
    site.done("create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--force", "--nostart", "--metadata", "owner=us")
    assert site.rbd("info", theirs.disks[0])["id"] != id_before
    assert theirs.disks[1] not in site.rbd("ls")
    assert site.metadata(vm)["owner"] == "us"
    assert f"cli-prefer-{vm}" not in "".join(definition(site, vm))
    assert status(site, vm) == ("Stopped", None)


def test_remove_of_theirs(site: LabSite, theirs: VmManager) -> None:
    """Nothing of it is left: no image, group, constraint or file."""
    site.discard(theirs.name)
    assert site.traces(theirs.name) == []


def test_ours_has_what_vm_manager_looks_for(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Names, metadata, domain and resource of our VM, point by point; what is deliberately another way is its placement."""
    xml, preferred = site.domain(tmp_path, vm, OCTET + 1), site.hypervisors[1]
    site.done(
        "create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--additional-disk", site.image("tiny"), "--nostart",
        "--preferred-host", preferred, "--priority", "5", "--stop-timeout", "40", "--metadata", "owner=Zoë",
        "--migration-user", "root", "--pacemaker-meta", "migration-threshold=3",
    )  # fmt: skip
    model = VmManager(site, vm, (tmp_path / f"{vm}.xml").read_text(), preferred, {"owner": "Zoë"}, {"migration-threshold": "3"})
    assert {item["image"] for item in site.rbd("group", "image", "ls", vm)} == set(model.disks)
    metadata = site.metadata(vm)
    domain = metadata.pop("xml")
    assert metadata == {
        "vm_name": vm, "_base_xml": model.base_xml, "_disk_bus": "virtio", "_additional_disks": "1", "owner": "Zoë",
        "_preferred_host": preferred, "_priority": "5", "_stop_timeout": "40", "_pacemaker_meta": '{"migration-threshold": "3"}',
        # vm_manager leaves these out and takes the same values
        "_migration_user": "root", "_migrate_to_timeout": "120", "_migration_downtime": "0",
    }  # fmt: skip
    assert shape(domain) == shape(model.xml())
    expected = {
        "agent": "ocf:seapath:VirtualDomain", "config": f"/etc/pacemaker/{vm}.xml", "hypervisor": "qemu:///system",
        "force_stop": "false", "seapath": "true", "migration_transport": "ssh", "migration_user": "root",
        "migration_downtime": "0", "allow-migrate": "false", "priority": "5", "migration-threshold": "3",
        "target-role": "Stopped", "start every 0 s": "120", "stop every 0 s": "40", "migrate_from every 0 s": "60",
        "migrate_to every 0 s": "120", "monitor every 10 s": "60",
    }  # fmt: skip
    assert plain(site, vm) == expected
    # one rule without probes instead of a ban per observer; a finite preference instead of an absolute one
    ours = {item.get("id"): item for item in site.cib().iterfind(f"configuration/constraints/rsc_location[@rsc='{vm}']")}
    assert set(ours) == {f"{vm}-hypervisors-only", f"prefer-{vm}-on{preferred}"}
    assert ours[f"{vm}-hypervisors-only"].get("resource-discovery") == "never"
    assert ours[f"prefer-{vm}-on{preferred}"].get("score") == "1000"
    site.done("remove", "-n", vm)


def test_ours_with_all_other_settings(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Pinned, moved live, with parameters, utilization and a line for crm: keys and values are those of vm_manager."""
    pinned, line = site.hypervisors[0], f"location near-{vm} {vm} 3: {site.hypervisors[1]}"
    site.done(
        "create", "-n", vm, "--xml", site.domain(tmp_path, vm, OCTET + 2), "-i", site.image("tiny"), "--nostart", "--pinned-host",
        pinned, "--enable-live-migration", "--migration-user", "libvirtadmin", "--migrate-to-timeout", "90",
        "--migration-downtime", "50", "--pacemaker-params", "autoset_utilization_cpu=false", "--pacemaker-utilization", "cpu=2",
        "--disk-bus", "scsi", "--add-crm-config-cmd", line,
    )  # fmt: skip
    expected = {
        "_live_migration": "true", "_migration_user": "libvirtadmin", "_migrate_to_timeout": "90", "_migration_downtime": "50",
        "_pinned_host": pinned, "_crm_config_cmd": line, "_pacemaker_params": '{"autoset_utilization_cpu": "false"}',
        "_pacemaker_utilization": '{"cpu": "2"}', "_disk_bus": "scsi",
    }  # fmt: skip
    metadata = site.metadata(vm)
    assert {key: metadata.get(key) for key in expected} == expected
    assert not {"_preferred_host", "_additional_disks"} & set(metadata)
    made = plain(site, vm)
    assert {made[key] for key in ("allow-migrate", "migration_user", "migration_downtime", "migrate_to every 0 s")} == {
        "true", "libvirtadmin", "50", "90",
    }  # fmt: skip
    (primitive,) = site.cib().iterfind(f".//primitive[@id='{vm}']")
    assert [pair.get("value") for pair in primitive.iterfind("utilization/nvpair[@name='cpu']")] == ["2"]
    ours = {item.get("id"): item for item in site.cib().iterfind(f"configuration/constraints/rsc_location[@rsc='{vm}']")}
    assert set(ours) == {f"{vm}-hypervisors-only", f"pin-{vm}-on{pinned}", f"near-{vm}"}
    pin = ours[f"pin-{vm}-on{pinned}"].attrib
    assert (pin["node"], pin["score"], pin["resource-discovery"]) == (pinned, "INFINITY", "exclusive")
    assert ours[f"near-{vm}"].get("score") == "3"
    site.done("remove", "-n", vm)


def shape(domain: str) -> str:
    """Return a domain as canonical XML, without the monitors: vm_manager lists all machines, we list Ceph's own.

    Nor with the UUID, which is made for a domain that was given without one.
    """
    root = ET.fromstring(domain)
    for uuid in root.findall("uuid"):
        root.remove(uuid)
    for source in root.iterfind("devices/disk/source"):
        assert source.findall("host")
        for host in source.findall("host"):
            source.remove(host)
    return ET.canonicalize(ET.tostring(root), strip_text=True)
