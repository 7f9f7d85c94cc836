"""All verbs on one VM, in an order in which each finds what it needs; whoever goes through it decides how a verb is run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.scenarios.site import until
from vmmgr.app import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenarios.site import LabSite

VM, CLONE, OCTET = "parity", "parity2", 140
READING = frozenset({"get_metadata", "list", "list_colocations", "list_metadata", "list_snapshots", "show", "status"})
# These need a guest that can be a node of the cluster; test_deploy.py and test_services.py have one.
IN_A_GUEST = {
    "deploy", "undeploy", "add_pacemaker_remote", "remove_pacemaker_remote",
    *(f"{verb}_service" for verb in ("add", "remove", "start", "stop")), "list_services",
}  # fmt: skip
# All others but those that are not about a VM, and the repair of what was broken off.
VERBS = frozenset(COMMANDS) - IN_A_GUEST - {"check", "completion", "drivers", "help", "repair"}
OTHERS = """<primitive id="parity-{0}" class="ocf" provider="pacemaker" type="Dummy">
<meta_attributes id="parity-{0}-meta"><nvpair id="parity-{0}-role" name="target-role" value="Stopped"/></meta_attributes></primitive>"""
# What an administrator may have added: every kind of constraint that can name a VM.
BY_HAND = """<constraints>
<rsc_location id="parity-night" rsc="parity"><rule id="parity-night-rule" score="7">
<date_expression id="parity-night-date" operation="date_spec"><date_spec id="parity-night-spec" hours="0-6"/></date_expression></rule></rsc_location>
<rsc_location id="parity-both" node="{host}" score="3"><resource_set id="parity-both-0"><resource_ref id="parity"/>
<resource_ref id="parity-a"/></resource_set></rsc_location>
<rsc_order id="parity-order" first="parity-a" then="parity" kind="Optional"/>
<rsc_order id="parity-orders"><resource_set id="parity-orders-0" sequential="false"><resource_ref id="parity-a"/><resource_ref id="parity-b"/>
</resource_set><resource_set id="parity-orders-1"><resource_ref id="parity"/></resource_set></rsc_order>
<rsc_colocation id="parity-pair" rsc="parity-b" with-rsc="parity" score="-5"/>
<rsc_ticket id="parity-ticket" rsc="parity" ticket="shift" loss-policy="stop"/>
</constraints>"""


def journey(site: LabSite, folder: Path) -> Iterator[tuple[str, ...]]:
    """Yield the words of one verb after the other; each has to be done, with success, before the next is asked for."""
    for other in "abc":
        site.on(site.anywhere, "cibadmin", "--create", "--scope=resources", "--xml-text", OTHERS.format(other))
    yield from _while_it_runs(site, _creating(site, folder))
    yield from _copied(site)
    yield from _constrained(site)
    yield from _replaced(site, _creating(site, folder))
    yield "remove", "-n", VM
    # what the other one is told beside it is no business of the VM's
    rest = [f"{VM}-both", f"{VM}-both-0", f"{VM}-a"]
    left = site.traces(VM)
    assert left == [f"{VM}-{other}{part}" for other in "abc" for part in ("", "-meta", "-role")] + rest, left
    for name in (f"{VM}-both", *rest[2:], f"{VM}-b", f"{VM}-c"):
        site.on(site.anywhere, "cibadmin", "--delete", "--xpath", f"//*[@id='{name}']")


def _creating(site: LabSite, folder: Path) -> tuple[str, ...]:
    """Return how the VM is created: with two disks, and nothing that the agent would write into the cluster by itself."""
    data = folder / "data.raw"
    data.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    return (
        "create", "-n", VM, "--xml", site.domain(folder, VM, OCTET), "-i", site.image("tiny"), "--additional-disk", str(data),
        "--preferred-host", site.hypervisors[1], "--pacemaker-meta", "migration-threshold=3", "--pacemaker-utilization", "cpu=1",
        "--pacemaker-params", "autoset_utilization_cpu=false", "autoset_utilization_host_memory=false",
        "autoset_utilization_hv_memory=false",
    )  # fmt: skip


def _while_it_runs(site: LabSite, create: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Create it, look at it, and roll it back while it runs; then stop it, and start it."""
    name = ("-n", VM)
    yield create
    yield "list", "-f", "json"
    yield "status", *name, "-f", "json"
    yield "show", *name, "-f", "json"
    yield "create_snapshot", *name, "--snap_name", "first"
    yield "set_metadata", *name, "--metadata_name", "owner", "--metadata_value", "Zoë"
    yield "list_metadata", *name, "-f", "value"
    yield "get_metadata", *name, "--metadata_name", "owner"
    site.booted(OCTET)
    yield "rollback", *name, "--snap_name", "first"
    assert "owner" not in site.metadata(VM)
    site.booted(OCTET)
    yield "stop", *name
    yield "start", *name
    yield "stop", *name, "--force"


def _copied(site: LabSite) -> Iterator[tuple[str, ...]]:
    """Take snapshots of it and remove them, and clone it."""
    name = ("-n", VM)
    yield "create_snapshot", *name, "--snap_name", "second", "--compatible"
    yield "create_snapshot", *name, "--snap_name", "third"
    yield "list_snapshots", *name, "-f", "json", "-c", "Name", "-c", "Consistency", "-c", "By", "-c", "Details"
    yield "remove_snapshot", *name, "--snap_name", "second"
    yield "purge", *name, "--keep-last", "1"
    assert [item["snapshot"] for item in site.rbd("group", "snap", "ls", VM)] == ["third"]
    yield "clone", *name, "--dst_name", CLONE, "--nostart"
    images = [f"{kind}_{CLONE}{number}" for kind, number in (("system", ""), ("data", "_0"))]
    until(lambda: all("parent" not in site.rbd("info", image) for image in images), 60, "Ceph has copied the data")
    yield "remove", "-n", CLONE
    yield "purge", *name


def _constrained(site: LabSite) -> Iterator[tuple[str, ...]]:
    """Constrain it in every way, and take it out of the cluster and back; the constraints are then what they were."""
    name = ("-n", VM)
    yield "add_colocation", *name, f"{VM}-a"
    yield "add_colocation", *name, f"{VM}-a", f"{VM}-b", "--apart", "--strong"
    yield "list_colocations", *name, "-f", "json"
    by_hand = BY_HAND.format(host=site.hypervisors[1])
    site.on(site.anywhere, "cibadmin", "--modify", "--allow-create", "--scope=constraints", "--xml-text", by_hand)
    before = configuration(site)
    yield "disable", *name
    assert not [item for item in configuration(site) if f'"{VM}"' in item]
    # while it is disabled, the cluster cannot have it
    yield "add_colocation", *name, f"{VM}-c"
    yield "enable", *name, "--nostart"
    yield "remove_colocation", *name, f"{VM}-c"
    assert configuration(site) == before
    # the ticket is in the way, so that nothing has to be waited for
    yield "start", *name, "--no-wait"
    yield "stop", *name


def _replaced(site: LabSite, create: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Put another VM into its place, which has its constraints with others."""
    image = site.rbd("info", f"system_{VM}")["id"]
    yield *create, "--force", "--nostart", "--metadata", "generation=2"
    assert site.rbd("info", f"system_{VM}")["id"] != image
    yield "remove_colocation", "--id", f"colocation-{VM}-with{VM}-a"


def configuration(site: LabSite) -> list[str]:
    """Return all that the cluster's configuration has, as canonical XML, without regard to the order."""
    found = site.cib().iterfind("configuration/*/*")
    return sorted(ET.canonicalize(ET.tostring(item), strip_text=True) for item in found if item.get("id") != "foreign")
