"""Colocations on real sites: what Pacemaker does is what was said beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("pcs-hardened", "crmsh-root")
pytestmark = pytest.mark.thorough


def colocations(site: LabSite, *words: str) -> dict[str, str]:
    """Return the details of the colocations that are listed, by id."""
    return {row["Id"]: row["Details"] for row in site.done("list_colocations", *words, "-f", "json").rows}


def test_together_and_apart(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A running VM stays where it is until --yes, and then does what was told; disabled ones keep their colocations."""
    tiny, other = site.image("tiny"), f"{vm}_2"
    site.done("create", "-n", vm, "--xml", site.domain(tmp_path, vm, 130), "-i", tiny, "--enable-live-migration")
    site.done("create", "-n", other, "--xml", site.domain(tmp_path, other, 131), "-i", tiny, "--disable")
    (host,) = site.runs_on(vm)
    place = f"{vm}-fixed"
    site.on(site.anywhere, "cibadmin", "--create", "--scope=resources", "--xml-text", dummy(place))
    until(lambda: where(site, place), 30, f"{place} runs")
    # vm_manager's id and score; a disabled VM keeps it, and enabling that brings it back
    assert "It holds once" in site.done("add_colocation", "-n", other, vm).err
    assert colocations(site) == {f"colocation-{other}-with{vm}": f"kept for the disabled {other}"}
    site.done("enable", "-n", other, "--nostart")
    assert colocations(site, "-n", vm) == {f"colocation-{other}-with{vm}": ""}
    assert "already" in site.done("add_colocation", "-n", other, vm).err
    again = site.vm_mgr("add_colocation", "-n", other, vm, "--strong")
    assert (again.code, f"--id colocation-{other}-with{vm}" in again.err) == (3, True)
    site.done("remove_colocation", "-n", other, vm)
    assert "no colocation" in site.done("remove_colocation", "-n", other, vm).err
    # a resource that is where the VM is, so that one of them has to go
    site.on(site.anywhere, "crm_resource", "--resource", place, "--move", "--node", host)
    until(lambda: where(site, place) == [host], 30, f"{place} runs on {host}")
    site.booted(130)
    epoch = site.epoch()
    refused = site.vm_mgr("add_colocation", "-n", vm, place, "--apart", "--strong")
    assert (refused.code, f"VM {vm} moves from {host}" in refused.err, "--yes" in refused.err) == (3, True, True)
    assert (site.epoch(), site.runs_on(vm)) == (epoch, [host])
    site.done("add_colocation", "-n", vm, place, "--apart", "--strong", "--yes")
    until(lambda: site.runs_on(vm) not in ([], [host]), 60, f"{vm} runs elsewhere than {host}")
    apart = f"colocation-apart-strong-{vm}-with{place}"
    assert colocations(site) == {apart: ""}
    site.done("remove_colocation", "--id", apart, "--yes")
    assert colocations(site) == {}
    site.on(site.anywhere, "cibadmin", "--delete", "--xpath", f"//rsc_location[@rsc='{place}']")
    site.on(site.anywhere, "cibadmin", "--delete", "--xpath", f"//primitive[@id='{place}']")
    # a failure that Pacemaker has counted goes with its VM
    site.on(site.anywhere, "crm_resource", "--fail", "--resource", other, "--node", host)
    until(lambda: failures(site, other), 60, "the failure is counted")
    site.done("remove", "-n", other)
    assert failures(site, other) == []
    site.discard(vm)


def failures(site: LabSite, vm: str) -> list[str]:
    """Return what Pacemaker remembers of a VM's failures."""
    names = [pair.get("name", "") for pair in site.cib().iterfind("status//nvpair")]
    return [name for name in names if name.startswith((f"fail-count-{vm}#", f"last-failure-{vm}#"))]


def dummy(name: str) -> str:
    """Return a resource that only pretends to run."""
    return f'<primitive id="{name}" class="ocf" provider="pacemaker" type="Dummy"/>'


def where(site: LabSite, resource: str) -> list[str]:
    """Return the hosts on which Pacemaker runs a resource."""
    said = site.on(site.anywhere, "crm_resource", "--resource", resource, "--locate")
    return [line.split()[-1] for line in said.splitlines() if "is running on" in line]
