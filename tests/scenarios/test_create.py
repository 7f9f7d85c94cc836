"""Create with all that a site may ask of it, on the nodes: further commands of the cluster's tool, and --force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import status

if TYPE_CHECKING:
    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-root", "pcs-hardened")


def located(site: LabSite, vm: str) -> dict[str, str]:
    """Return the scores of the location constraints of a VM, by node."""
    items = site.cib().iterfind(f"configuration/constraints/rsc_location[@rsc='{vm}']")
    return {item.get("node", ""): item.get("score", "") for item in items if item.get("node")}


@pytest.mark.thorough
def test_cluster_commands(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Lines for the site's tool are part of the one change; a refused one leaves nothing; disable and enable keep what they made."""
    crm = site.name.endswith("crmsh-root")
    first, last = site.hypervisors[:2]
    lines = {
        True: (f"location near-{vm} {vm} 3: {first}", f"location far-{vm} {vm} rule -5: '#uname' eq {last}", "order no nobody"),
        False: (
            f"constraint location add near-{vm} {vm} {first} 3", f"constraint location {vm} avoids {last}=5",
            f"constraint order {vm} then nobody",
        ),
    }[crm]  # fmt: skip
    create = ["create", "-n", vm, "--xml", site.domain(tmp_path, vm, 120), "-i", site.image("tiny"), "--nostart"]
    refused = site.vm_mgr(*create, "--add-cluster-cmd", lines[0], "--add-cluster-cmd", lines[2])
    assert (refused.code, "nobody" in refused.err) == (3, True), refused.err
    assert site.traces(vm) == []
    foreign = site.vm_mgr(*create, "--add-crm-config-cmd", lines[0])
    if not crm:
        assert (foreign.code, "--add-cluster-cmd" in foreign.err) == (3, True), foreign.err
    else:
        assert foreign.code == 0, foreign.err
        site.done("remove", "-n", vm)
    assert site.traces(vm) == []

    epoch = int(site.epoch())
    site.done(*create, "--add-cluster-cmd", lines[0], "--add-cluster-cmd", lines[1])
    # the lease, the definition with the lines, the end of the lease
    assert int(site.epoch()) - epoch == 3
    assert located(site, vm)[first] == "3"
    assert site.metadata(vm)["_crm_config_cmd" if crm else "_pcs_config_cmd"] == "\n".join(lines[:2])
    count = len(site.cib().findall(f"configuration/constraints/*[@rsc='{vm}']"))
    site.done("disable", "-n", vm)
    assert located(site, vm) == {}
    site.done("enable", "-n", vm, "--nostart")
    assert status(site, vm) == ("Stopped", None)
    assert located(site, vm)[first] == "3"
    assert len(site.cib().findall(f"configuration/constraints/*[@rsc='{vm}']")) == count
    site.done("remove", "-n", vm)
    assert site.traces(vm) == []


def test_force(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A VM that cannot start does not take the place of one that runs: that comes back with its data; one that starts does."""
    xml = site.domain(tmp_path, vm, 121)
    create = ["create", "-n", vm, "-i", site.image("tiny"), "--stop-timeout", "20", "--force"]
    site.done(*create, "--xml", xml, "--metadata", "generation=1")
    site.on(site.anywhere, "rbd", "snap", "create", f"system_{vm}@before")
    size = site.rbd("info", f"system_{vm}")["id"]
    site.booted(121)
    bad = tmp_path / "bad.xml"
    bad.write_text(Path(xml).read_text().replace("/dev/urandom", "/dev/no-such-device"))
    failed = site.vm_mgr(*create, "--xml", str(bad), "--metadata", "generation=2")
    assert failed.code == 1, failed.err
    assert f"The old VM {vm} is put back as it was" in failed.err
    assert "go its snapshots: before" in failed.err
    assert len(site.runs_on(vm)) == 1
    assert site.rbd("info", f"system_{vm}")["id"] == size
    assert site.metadata(vm)["generation"] == "1"
    assert [item["name"] for item in site.rbd("snap", "ls", f"system_{vm}")] == ["before"]
    assert site.files(vm) == dict.fromkeys(site.hypervisors, site.metadata(vm)["xml"])
    assert [name for name in (*site.rbd("ls"), *site.rbd("group", "ls")) if vm in name] == [f"system_{vm}", vm]

    site.done(*create, "--xml", xml, "--metadata", "generation=3", "--nostart")
    assert status(site, vm) == ("Stopped", None)
    assert site.metadata(vm)["generation"] == "3"
    assert site.rbd("info", f"system_{vm}")["id"] != size
    assert [name for name in (*site.rbd("ls"), *site.rbd("group", "ls")) if vm in name] == [f"system_{vm}", vm]
    site.done("remove", "-n", vm)
    assert site.traces(vm) == []
