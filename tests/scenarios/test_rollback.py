"""Rollback on real sites: the data are back, all else is as it was, and what was broken off is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from tests.scenarios.site import status, until
from tests.scenarios.test_verbs import defined

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("pcs-hardened", "crmsh-root")


def images(vm: str) -> tuple[str, str]:
    """Return the names of a VM's two disks."""
    return f"system_{vm}", f"data_{vm}_0"


def create(site: LabSite, vm: str, folder: Path, *options: str) -> None:
    """Create a VM with two disks."""
    tiny, xml = site.image("tiny"), site.domain(folder, vm, 108)
    site.done("create", "-n", vm, "--xml", xml, "-i", tiny, "--additional-disk", tiny, *options)


def data(site: LabSite, image: str) -> str:
    """Return the SHA-256 of what is on a disk."""
    return site.on(site.anywhere, "sh", "-c", f"rbd export --no-progress {image} - 2>/dev/null | sha256sum").split()[0]


def spoil(site: LabSite, *disks: str) -> None:
    """Write over the first 64 KiB of disks, behind everybody's back."""
    for image in disks:
        site.on(site.anywhere, "rbd", "bench", "--io-type=write", "--io-size=4K", "--io-total=64K", image)


def snapshots(site: LabSite, vm: str) -> list[str]:
    """Return the names of a VM's snapshots."""
    return [row["Name"] for row in site.done("list_snapshots", "-n", vm, "-f", "json").rows]


@pytest.mark.thorough
def test_a13_13_role_and_constraints_stay(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A VM that runs is rolled back and runs again, with the constraints it had; metadata and domain XML are those of the snapshot."""
    create(site, vm, tmp_path, "--nostart", "--metadata", "note=before")
    site.on(site.anywhere, "crm_resource", "--resource", vm, "--ban", "--node", site.hypervisors[0])
    site.done("create_snapshot", "-n", vm, "--snap_name", "old")
    whole, metadata = [data(site, image) for image in images(vm)], site.metadata(vm)
    spoil(site, f"data_{vm}_0")  # it has to boot from the other
    site.done("set_metadata", "-n", vm, "--metadata_name", "note", "--metadata_value", "after")
    site.on(
        site.anywhere,
        "rbd",
        "image-meta",
        "set",
        f"system_{vm}",
        "xml",
        metadata["xml"].replace("</domain>", "<!-- newer --></domain>"),
    )
    site.done("enable", "-n", vm)  # gives the hypervisors that XML
    site.done("start", "-n", vm)
    assert "newer" in site.files(vm)[site.hypervisors[1]]
    before = defined(site, vm)
    site.booted(108)

    answer = site.done("rollback", "-n", vm, "--snap_name", "old")
    assert f"VM {vm} is rolled back to old." in answer.out
    assert status(site, vm) == ("Started", site.hypervisors[1])
    assert defined(site, vm) == before
    assert site.metadata(vm) == metadata
    assert site.files(vm) == dict.fromkeys(site.hypervisors, metadata["xml"])
    assert data(site, f"data_{vm}_0") == whole[1]  # what the guest does to its system by now is its own affair
    (safety,) = [name for name in snapshots(site, vm) if name.startswith("vm-mgr-before-rollback-")]

    site.done("stop", "--force", "-n", vm)
    site.done("rollback", "-n", vm, "--snap-name", "old")
    assert status(site, vm) == ("Stopped", None)
    assert [data(site, image) for image in images(vm)] == whole
    site.done("rollback", "-n", vm, "--snap-name", safety, "--no-safety")
    assert site.metadata(vm)["note"] == "after"
    assert data(site, f"data_{vm}_0") != whole[1]
    site.done("remove", "-n", vm)
    assert site.traces(vm) == []


def test_snapshots_of_others(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Snapshots of each image, as vm_manager takes them: rolled back as well, partial ones refused, and killed half way, taken back."""
    create(site, vm, tmp_path, "--disable")
    for image in images(vm):
        site.on(site.anywhere, "rbd", "snap", "create", "--no-progress", f"{image}@foreign")
    whole, metadata = [data(site, image) for image in images(vm)], site.metadata(vm)
    spoil(site, *images(vm))
    spoiled = [data(site, image) for image in images(vm)]

    slow = tmp_path / "templates" / "rbd" / "rollback_snapshot.j2"
    slow.parent.mkdir(parents=True)
    script = 'rbd --no-progress snap rollback --pool="$1" --image="$2" --snap="$3" && sleep 20'
    slow.write_text(f"sh -c '{script}' sh {{{{ pool }}}} {{{{ image }}}} {{{{ snapshot }}}}\n")
    plant = {"inventory": site.environ["VMMGR_INVENTORY"], "templates": str(tmp_path / "templates")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"sites": {"slow": plant}}))
    choice = ("--config", str(tmp_path / "config.yaml"), "--site", "slow")
    client = site.start_vm_mgr("rollback", "-n", vm, "--snap_name", "foreign", *choice)
    until(lambda: data(site, f"system_{vm}") == whole[0], 60, "the first disk is rolled back")
    client.kill()
    client.wait()
    assert "in progress: rollback" in site.done("status", "-n", vm, "-f", "json").rows["Details"]
    assert "is taken back" in site.done("repair", "-n", vm, "--force").out
    assert [data(site, image) for image in images(vm)] == spoiled
    assert snapshots(site, vm) == ["foreign"]

    answer = site.done("rollback", "-n", vm, "--snap_name", "foreign", "--no-safety")
    assert "stay as they are" in answer.err
    assert [data(site, image) for image in images(vm)] == whole
    assert (site.metadata(vm), status(site, vm), snapshots(site, vm)) == (metadata, ("Disabled", None), ["foreign"])

    site.on(site.anywhere, "rbd", "snap", "rm", "--no-progress", f"data_{vm}_0@foreign")
    for snapshot, said in (("foreign", f"not in it: data_{vm}_0"), ("unknown", "has no snapshot 'unknown'")):
        refused = site.vm_mgr("rollback", "-n", vm, "--snap_name", snapshot)
        assert (refused.code, said in refused.err) == (3, True), refused.err
    site.done("remove", "-n", vm)
    assert site.traces(vm) == []
