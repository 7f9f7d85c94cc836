"""Snapshots on real sites: what vm-mgr takes, what vm_manager or rbd takes, and what removing leaves."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenarios.site import slow_site, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-root", "pcs-hardened")


def listed(site: LabSite, vm: str) -> dict[str, Any]:
    """Return the rows of list_snapshots by name."""
    return {row["Name"]: row for row in site.done("list_snapshots", "-n", vm, "-f", "json").rows}


def on_images(site: LabSite, vm: str) -> dict[str, list[str]]:
    """Return what rbd says of the snapshots of each image: the user's own by name, others by their kind."""
    images = [name for name in site.rbd("ls") if name.endswith(vm) or f"_{vm}_" in name]
    found = {image: site.rbd("snap", "ls", "--all", image) for image in images}
    return {
        image: [item["name"] if item["namespace"]["type"] == "user" else item["namespace"]["type"] for item in items]
        for image, items in found.items()
    }


def test_snapshots_of_two_disks(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Offline, running, compatible, by hand and partial: listed for what they are, and removed as asked."""
    second = tmp_path / "second.raw"
    second.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    xml = site.domain(tmp_path, vm, 131)
    site.done("create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--additional-disk", str(second), "--nostart")
    site.done("create_snapshot", "-n", vm, "--snap_name", "cold")
    site.done("start", "-n", vm)
    take_while_it_runs(site, vm)
    rows = add_foreign_ones(site, vm)
    refuse_what_is_wrong(site, vm)
    assert list(listed(site, vm)) == list(rows)
    remove_and_purge(site, vm)
    site.done("create_snapshot", "-n", vm, "--snap_name", "last")
    site.discard(vm)
    assert site.traces(vm) == []


def take_while_it_runs(site: LabSite, vm: str) -> None:
    """Take snapshots of a running VM without an agent: the guest is paused where images are taken one by one, and goes on."""
    epoch = int(site.epoch())
    answer = site.done("create_snapshot", "-n", vm, "--snap-name", "warm")
    assert "could not be frozen" in answer.err
    assert "consistency: crash" in answer.out
    assert int(site.epoch()) - epoch == 2  # the mark and its end
    site.done("create_snapshot", "-n", vm, "--snap_name", "pair", "--compatible")
    (host,) = site.runs_on(vm)
    assert site.on(host, "virsh", "domstate", vm).strip() == "running"
    assert site.on(host, "systemctl", "list-units", "--all", "--no-legend", "vm-mgr-*").strip() == ""


def add_foreign_ones(site: LabSite, vm: str) -> dict[str, Any]:
    """Take snapshots by hand, one of them of one disk only; return the rows of all, which say what each is."""
    system, data, host = f"system_{vm}", f"data_{vm}_0", site.anywhere
    site.on(host, "rbd", "snap", "create", f"{data}@byhand")
    for image in (system, data):
        site.on(host, "rbd", "snap", "create", f"{image}@theirs")
    site.on(host, "rbd", "snap", "protect", f"{system}@theirs")
    rows = listed(site, vm)
    assert list(rows) == ["cold", "warm", "pair", "byhand", "theirs"]
    assert [row["Consistency"] for row in rows.values()] == ["offline", "crash", "crash", "unknown", "unknown"]
    assert [row["Details"] for row in rows.values()] == ["", "", "", f"partial; not of {system}", "protected"]
    assert [row["By"] != "" for row in rows.values()] == [True, True, True, False, False]
    assert isinstance(rows["pair"]["Used"], int)
    assert on_images(site, vm) == {
        system: ["group", "group", "pair", "theirs"], data: ["group", "group", "pair", "byhand", "theirs"],
    }  # fmt: skip
    return rows


def refuse_what_is_wrong(site: LabSite, vm: str) -> None:
    """A name that is taken, wrong, unknown or protected, and a date that is none, are refused with their exit codes."""
    for words, code, said in (
        (("create_snapshot", "-n", vm, "--snap_name", "warm"), 3, "has a snapshot warm already"),
        (("create_snapshot", "-n", vm, "--snap_name", "-rf"), 2, "--snap_name"),
        (("create_snapshot", "-n", vm, "--snap_name=-rf"), 2, "'-rf' cannot be the name of a snapshot"),
        (("remove_snapshot", "-n", vm, "--snap_name", "nope"), 3, "has no snapshot 'nope'"),
        (("remove_snapshot", "-n", vm, "--snap_name", "theirs"), 3, f"is protected on system_{vm}"),
        (("purge", "-n", vm, "--date", "tomorrow"), 2, "'tomorrow' is no date"),
    ):
        answer = site.vm_mgr(*words)
        assert (answer.code, said in answer.err) == (code, True), f"{words}: {answer.code}: {answer.err}"


def remove_and_purge(site: LabSite, vm: str) -> None:
    """Remove one, then purge by number, by rule and all; what is protected stays and is told until it is not."""
    system, data, host = f"system_{vm}", f"data_{vm}_0", site.anywhere
    site.done("remove_snapshot", "-n", vm, "--snap_name", "byhand")
    site.done("purge", "-n", vm, "--number", "1")
    assert list(listed(site, vm)) == ["warm", "pair", "theirs"]
    answer = site.vm_mgr("purge", "-n", vm, "--keep-last", "1")
    assert (answer.code, list(listed(site, vm))) == (0, ["theirs"])
    site.on(host, "rbd", "snap", "create", f"{data}@late")
    answer = site.vm_mgr("purge", "-n", vm)
    assert (answer.code, "theirs" in answer.err, list(listed(site, vm))) == (5, True, ["theirs"])
    assert site.vm_mgr("purge", "-n", vm).code == 3
    site.on(host, "rbd", "snap", "unprotect", f"{system}@theirs")
    site.done("purge", "-n", vm, "--date", "31/12/2199 00:00:00")
    assert on_images(site, vm) == {system: [], data: []}
    assert "has no such snapshots" in site.done("purge", "-n", vm).out
    assert [name for name in site.traces(vm) if name.startswith("vm-mgr-snapshots")] == []


@pytest.mark.thorough
def test_clones_keep_what_they_need(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A snapshot that a clone depends on can be removed: Ceph keeps its data out of sight until the clone is flattened."""
    site.done("create", "-n", vm, "--xml", site.domain(tmp_path, vm, 132), "-i", site.image("tiny"), "--disable")
    image, clone, host = f"system_{vm}", f"clone_{vm}", site.anywhere
    site.done("create_snapshot", "-n", vm, "--snap_name", "base")
    site.on(host, "rbd", "clone", "--rbd-default-clone-format=2", f"{image}@base", clone)
    try:
        site.done("remove_snapshot", "-n", vm, "--snap_name", "base")
        assert (listed(site, vm), on_images(site, vm)[image]) == ({}, ["trash"])
        assert json.loads(site.on(host, "rbd", "--format=json", "info", clone))["parent"]["image"] == image
        answer = site.vm_mgr("remove", "-n", vm)
        assert (answer.code, clone in answer.err) == (3, True)
        site.on(host, "rbd", "flatten", clone)
        until(lambda: on_images(site, vm)[image] == [], 20, "nothing depends on the image")
    finally:
        site.on(host, "rbd", "rm", clone)
    site.done("remove", "-n", vm)
    assert site.traces(vm) == []


@pytest.mark.thorough
def test_guest_never_stays_paused(site: LabSite, vm: str, tmp_path: Path) -> None:
    """The workstation is killed while the guest is held still: its hypervisor lets it go on, and repair cleans up."""
    second = tmp_path / "second.raw"
    second.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    xml = site.domain(tmp_path, vm, 133)
    site.done("create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--additional-disk", str(second))
    (host,) = site.runs_on(vm)
    words = ["--config", slow_site(site, tmp_path), "--site", "slow", "create_snapshot", "-n", vm, "--snap_name", "lost"]
    with site.start_vm_mgr(*words, "--compatible") as process:
        until(lambda: site.on(host, "virsh", "domstate", vm).strip() == "paused", 60, "the guest is paused")
        process.kill()
    began = time.monotonic()
    until(lambda: site.on(host, "virsh", "domstate", vm).strip() == "running", 40, "the guest goes on")
    print(f"paused for {time.monotonic() - began:.1f} s after the kill")
    assert "in progress: create_snapshot" in site.done("status", "-n", vm, "-f", "json").rows["Details"]
    assert site.vm_mgr("create_snapshot", "-n", vm, "--snap_name", "other").code == 3
    # what is still being run there must not be taken for the past
    until(lambda: site.on(host, "sh", "-c", "pgrep -x sleep -a | grep 'sleep 37' || true") == "", 60, "nothing of it runs")
    site.done("repair", "--force", "-n", vm)
    assert (listed(site, vm), site.runs_on(vm)) == ({}, [host])
    site.discard(vm)
    assert site.traces(vm) == []
