"""Clones on real sites: machines of their own, on the data of one instant, whose sources are as before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from tests.scenarios.site import status, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-root", "pcs-hardened")


def traits(site: LabSite, vm: str) -> tuple[str | None, str | None]:
    """Return the UUID and the MAC address with which a VM runs."""
    root = ET.fromstring(site.on(site.runs_on(vm)[0], "virsh", "dumpxml", vm))
    mac = root.find("devices/interface/mac")
    assert mac is not None
    return root.findtext("uuid"), mac.get("address")


def parts(site: LabSite, vm: str) -> dict[str, Any]:
    """Return all of a VM that a clone must leave as it is."""
    configuration = site.cib().find("configuration")
    assert configuration is not None
    names = [item for item in configuration.iter() if vm in (item.get("id"), item.get("rsc"))]
    return {
        "cib": [ET.canonicalize(ET.tostring(item), strip_text=True) for item in names],
        "group": site.rbd("group", "image", "ls", vm),
        "metadata": site.metadata(vm),
        "files": site.files(vm),
        "snapshots": {image: site.rbd("snap", "ls", "--all", image) for image in (f"system_{vm}", f"data_{vm}_0")},
    }


def sums(site: LabSite, vm: str) -> list[str]:
    """Return the checksums of a VM's disks."""
    script = 'for image; do rbd --no-progress export "$image" - | sha256sum; done'
    return site.on(site.anywhere, "sh", "-c", script, "sh", f"system_{vm}", f"data_{vm}_0").split()[::2]


def test_clones(site: LabSite, vm: str, tmp_path: Path, empty_image: str) -> None:
    """A VM with two disks is cloned while it is stopped and while it runs, and a clone is cloned; all can run at once."""
    second, third = f"{vm}2", f"{vm}_3"
    site.done(
        "create", "-n", vm, "--xml", site.domain(tmp_path, vm, 107), "-i", site.image("tiny"), "--additional-disk", empty_image,
        "--nostart", "--priority", "7", "--preferred-host", site.hypervisors[1], "--metadata", "owner=ann",
    )  # fmt: skip
    try:
        from_stopped(site, vm, second)
        site.done("start", "-n", vm)
        from_running(site, vm, second, third)
    finally:
        for clone in (third, second):
            if site.traces(clone):
                site.vm_mgr("repair", "-n", clone, "--force")
                site.vm_mgr("stop", "--force", "-n", clone)
                site.done("remove", "-n", clone)
    site.discard(vm)
    assert site.traces(vm) == []


def from_stopped(site: LabSite, vm: str, clone: str) -> None:
    """Clone a stopped VM; the copies are bit for bit those of the source, and nothing is left on it."""
    before = parts(site, vm)
    site.done("clone", "-n", vm, "--dst_name", clone, "--disable", "--full", "--metadata", "owner=bob")
    assert parts(site, vm) == before
    assert sums(site, clone) == sums(site, vm)
    assert status(site, clone) == ("Disabled", None)
    metadata = site.metadata(clone)
    assert (metadata["owner"], metadata["_priority"], metadata["_preferred_host"]) == ("bob", "7", site.hypervisors[1])
    assert "parent" not in site.rbd("info", f"data_{clone}_0")
    refused = site.vm_mgr("clone", "-n", vm, "--dst_name", clone)
    assert (refused.code, "exists already" in refused.err) == (3, True)
    site.done("remove", "-n", clone)
    assert site.traces(clone) == []


def from_running(site: LabSite, vm: str, second: str, third: str) -> None:
    """Clone a running VM, and that clone while Ceph may still copy it: three machines run at the same time."""
    before = parts(site, vm)
    refused = site.vm_mgr("clone", "-n", vm, "--dst_name", second)
    assert (refused.code, "--pause" in refused.err) == (3, True)
    site.done("clone", "-n", vm, "--dst_name", second, "--pause", "--clear_constraint")
    assert "_preferred_host" not in site.metadata(second)
    assert [site.on(site.runs_on(vm)[0], "virsh", "domstate", vm).strip(), *status(site, second)[:1]] == ["running", "Started"]
    site.done("clone", "-n", second, "--dst_name", third, "--pause", "--nostart")
    site.done("start", "-n", third)
    assert len({trait for name in (vm, second, third) for trait in traits(site, name)}) == 6
    until(lambda: all("parent" not in site.rbd("info", f"system_{clone}") for clone in (second, third)), 120, "Ceph has copied")
    until(lambda: parts(site, vm)["snapshots"] == before["snapshots"], 60, "Ceph has forgotten the snapshots")
    assert parts(site, vm) == before


def test_a_lost_workstation_leaves_a_clone_to_be_repaired(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A clone that was killed is marked, keeps its source from being removed, and is cleaned with all that it left there."""
    clone = f"{vm}_c"
    site.done("create", "-n", vm, "--xml", site.domain(tmp_path, vm, 108), "-i", site.image("tiny"), "--disable")
    process = site.start_vm_mgr("clone", "-n", vm, "--dst_name", clone)
    until(
        lambda: any(clone in item.get("id", "") for item in site.cib().iter("cluster_property_set")), 60, "the clone is marked"
    )
    process.kill()
    process.communicate()
    refused = site.vm_mgr("remove", "-n", vm)
    assert refused.code == 3, refused.err
    assert "clone by" in refused.err or "still depend" in refused.err
    site.done("repair", "-n", clone, "--force")
    listed = json.loads(site.done("list", "-f", "json").out)
    assert all(row["Details"] == "" for row in listed if row["Name"] in (vm, clone))
    if site.traces(clone):  # it had come to its end
        until(lambda: not site.rbd("snap", "ls", "--all", f"system_{vm}"), 60, "Ceph has copied")
        site.discard(clone)
    assert site.rbd("snap", "ls", "--all", f"system_{vm}") == []
    assert site.traces(clone) == []
    site.done("remove", "-n", vm)


def identity(site: LabSite, vm: str) -> tuple[str, str]:
    """Return Ceph's number of a VM's system image, which is the same under every name, and what its metadata say of it."""
    return site.rbd("info", f"system_{vm}")["id"], site.metadata(vm)["generation"]


def test_force(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A VM that runs, with a snapshot, goes for a clone that runs then in its place; of the old one nothing is left."""
    source = f"{vm}_src"
    xml, tiny = site.domain(tmp_path, source, 121), site.image("tiny")
    site.done("create", "-n", source, "--xml", xml, "-i", tiny, "--additional-disk", tiny, "--nostart")
    words = ["--xml", site.domain(tmp_path, vm, 122), "-i", tiny, "--metadata", "generation=1", "--stop-timeout", "10"]
    site.done("create", "-n", vm, *words)
    site.on(site.anywhere, "rbd", "snap", "create", f"system_{vm}@before")
    before = parts(site, source)
    answer = site.done("clone", "-n", source, "--dst_name", vm, "--force", "--metadata", "generation=2")
    assert answer.err == f"Warning: With the old VM {vm} go its snapshots: before.\n"
    assert (identity(site, vm)[1], len(site.runs_on(vm))) == ("2", 1)
    assert site.files(vm) == dict.fromkeys(site.hypervisors, site.metadata(vm)["xml"])
    names = [f"data_{vm}_0", f"system_{vm}", vm]
    assert [name for name in (*site.rbd("ls"), *site.rbd("group", "ls")) if vm in name and source not in name] == names
    until(lambda: "parent" not in site.rbd("info", f"data_{vm}_0"), 60, "Ceph has copied")
    assert parts(site, source) == before
    site.done("remove", "-n", source)
    site.discard(vm)
    assert site.traces(vm) == []


@pytest.mark.thorough
def test_force_of_a_source_that_runs(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A clone that cannot start does not take the place of a VM that runs: that comes back with its data; one that starts does."""
    target = f"{vm}_old"
    xml, tiny = site.domain(tmp_path, vm, 122), site.image("tiny")
    site.done("create", "-n", vm, "--xml", xml, "-i", tiny, "--additional-disk", tiny, "--stop-timeout", "10")
    files = ["--xml", site.domain(tmp_path, target, 123), "-i", tiny]
    site.done("create", "-n", target, *files, "--metadata", "generation=1", "--stop-timeout", "10")
    site.on(site.anywhere, "rbd", "snap", "create", f"system_{target}@before")
    try:
        replaced(site, vm, target, tmp_path)
    finally:
        site.vm_mgr("repair", "-n", target, "--force")
        site.discard(target)
    assert site.traces(target) == []
    until(lambda: not site.rbd("snap", "ls", "--all", f"system_{vm}"), 60, "Ceph has forgotten the snapshots")
    site.discard(vm)


def replaced(site: LabSite, vm: str, target: str, folder: Path) -> None:
    """Replace a VM by a clone that does not start, and by one that does; the source runs on, and is not changed."""
    before, old = parts(site, vm), identity(site, target)
    clone = ["clone", "-n", vm, "--dst_name", target, "--force", "--pause"]
    bad = folder / "bad.xml"
    bad.write_text((folder / f"{vm}.xml").read_text().replace("/dev/urandom", "/dev/no-such-device"))
    failed = site.vm_mgr(*clone, "--xml", str(bad), "--metadata", "generation=2")
    assert failed.code == 1, failed.err
    assert f"The old VM {target} is put back as it was" in failed.err
    assert "go its snapshots: before" in failed.err
    assert (identity(site, target), len(site.runs_on(target))) == (old, 1)
    assert [item["name"] for item in site.rbd("snap", "ls", f"system_{target}")] == ["before"]
    assert all(text == site.metadata(target)["xml"] for text in site.files(target).values())
    assert [name for name in (*site.rbd("ls"), *site.rbd("group", "ls")) if target in name] == [f"system_{target}", target]
    assert parts(site, vm) == before

    site.done(*clone, "--metadata", "generation=3", "--full")
    assert (identity(site, target)[1], len(site.runs_on(target))) == ("3", 1)
    left = [name for name in (*site.rbd("ls"), *site.rbd("group", "ls")) if target in name]
    assert left == [f"data_{target}_0", f"system_{target}", target]
    assert "parent" not in site.rbd("info", f"data_{target}_0")
    assert len({*traits(site, vm), *traits(site, target)}) == 4
    assert len(site.runs_on(vm)) == 1
    assert parts(site, vm) == before


@pytest.mark.thorough
def test_force_from_a_lost_workstation(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Killed as soon as the clone's disks are there, it is marked, and a repair leaves the old VM as it was, and nothing else."""
    source = f"{vm}_src"
    tiny = site.image("tiny")
    site.done("create", "-n", source, "--xml", site.domain(tmp_path, source, 124), "-i", tiny, "--nostart")
    words = ["--metadata", "generation=1", "--stop-timeout", "10"]
    site.done("create", "-n", vm, "--xml", site.domain(tmp_path, vm, 125), "-i", tiny, *words)
    old = identity(site, vm)
    process = site.start_vm_mgr("clone", "-n", source, "--dst_name", vm, "--force", "--metadata", "generation=2")
    until(lambda: f"vm-mgr-new.system_{vm}" in site.rbd("ls"), 60, "the clone is there")
    process.kill()
    process.communicate()
    refused = site.vm_mgr("remove", "-n", source)
    assert (refused.code, f"VM {vm}" in refused.err) == (3, True), refused.err
    said = site.done("repair", "-n", vm, "--force").out
    assert said == f"VM {vm} is as it was before it was to be replaced.\n"
    assert (identity(site, vm), len(site.runs_on(vm))) == (old, 1)
    assert [name for name in (*site.rbd("ls"), *site.rbd("group", "ls")) if vm in name and source not in name] == [
        f"system_{vm}",
        vm,
    ]
    assert site.rbd("snap", "ls", "--all", f"system_{source}") == []
    site.done("remove", "-n", source)
    site.discard(vm)
    assert site.traces(vm) == []
