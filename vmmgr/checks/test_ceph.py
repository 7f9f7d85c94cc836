"""Ceph: whether the disks are safe, and whether VMs can open them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.checks import explained
from vmmgr.checks.reading import ceph, complaint, listed

if TYPE_CHECKING:
    from vmmgr.checks.answers import Node
    from vmmgr.site.model import Site

_HEALTH = "ceph --connect-timeout 5 health detail --format=json"
_POOLS = "osd pool ls detail"
# Ceph's own codes (docs.ceph.com, "Health checks") for which there is a check of its own here.
_MONITORS = {"MON_DOWN"}
_SPACE = {
    "OSD_NEARFULL", "OSD_BACKFILLFULL", "OSD_FULL", "POOL_NEAR_FULL", "POOL_NEARFULL", "POOL_BACKFILLFULL", "POOL_FULL",
}  # fmt: skip
# The client as which libvirt's secret lets VMs open their disks; SEAPATH calls it so, too.
CLIENT = "client.libvirt"


def health(cluster: Node) -> dict[str, str]:
    """Return what Ceph itself finds wrong: its code and its words."""
    checks = ceph(cluster, "health detail")["checks"]
    return {code: check["summary"]["message"] for code, check in checks.items() if not check.get("muted")}


@explained(
    why="Ceph itself sees a risk for the disks, or can no longer serve them.",
    remedy='`ceph health detail` tells more; docs.ceph.com explains each code under "Health checks".',
)
def test_health(cluster: Node) -> None:
    """Ceph finds nothing wrong with itself, but for what other checks tell of."""
    answer = cluster.run(_HEALTH)
    assert answer.succeeded, f"Ceph does not answer on {cluster}: {complaint(answer)}"
    checks = json.loads(answer.stdout_bytes)["checks"]
    told = [f"{code}: {check['summary']['message']}" for code, check in checks.items() if code not in _MONITORS | _SPACE]
    assert not told, "; ".join(told)


@explained(
    why="When half of the monitors are gone, every VM stands still at its next write.",
    remedy="`systemctl start ceph-mon.target` on the machine of the one that is missing.",
)
def test_monitors(cluster: Node) -> None:
    """All monitors are in quorum."""
    state = ceph(cluster, "quorum_status")
    missing = {monitor["name"] for monitor in state["monmap"]["mons"]} - set(state["quorum_names"])
    assert not missing, f"not in quorum: {listed(sorted(missing))}"


@explained(
    why="When it is full, every VM stands still at its next write; to come back from that takes hours.",
    remedy="Remove snapshots (`vm-mgr purge`) or VMs that are no longer needed, or add a disk.",
)
def test_space(cluster: Node) -> None:
    """Neither the pools nor the disks under them are nearly full."""
    told = [f"{code}: {message}" for code, message in health(cluster).items() if code in _SPACE]
    assert not told, "; ".join(told)


def pool(cluster: Node, site: Site) -> dict[str, Any] | None:
    """Return the pool of the site's disks, if it is there."""
    return next((item for item in ceph(cluster, _POOLS) if item["pool_name"] == site.pool), None)


@explained(
    why="The disks of the VMs are there.",
    remedy="`ceph osd pool create NAME; rbd pool init NAME`, or name the right one as `pool` in the site's configuration.",
)
def test_pool(cluster: Node, site: Site) -> None:
    """The pool of the site's disks is there, and for RBD."""
    found = pool(cluster, site)
    assert found is not None, f"there is no pool {site.pool}"
    assert "rbd" in found["application_metadata"], f"pool {site.pool} is for {listed(list(found['application_metadata']))}"


@explained(
    why="With one copy, a broken disk destroys VMs; and where min_size is no less than size, every VM stands still as soon as a copy is missing.",
    remedy="`ceph osd pool set POOL size N`, one copy per hypervisor, and `ceph osd pool set POOL min_size N-1`, or 1 with two hypervisors.",
)
def test_copies(cluster: Node, site: Site) -> None:
    """The disks have several copies, and VMs go on when one is missing."""
    found = pool(cluster, site)
    if found is None:
        pytest.skip(f"there is no pool {site.pool}")
    assert found["size"] > found["min_size"], f"size is {found['size']} and min_size is {found['min_size']}"


@explained(
    why="When a hypervisor has failed, its VMs' locks on their disks must be broken, else they start elsewhere with disks that they cannot write.",
    remedy=f"`ceph auth caps {CLIENT} mon 'profile rbd' mgr 'profile rbd' osd 'profile rbd pool=POOL'`.",
)
def test_client(cluster: Node, site: Site) -> None:
    """The client of libvirt may open disks, and break the locks of a dead hypervisor."""
    # the whole answer has the key, which is no business of the workstation's
    answer = cluster.run(f"ceph --connect-timeout 5 auth get {CLIENT} 2>/dev/null | grep '^[[:space:]]*caps '")
    ceph(cluster, "quorum_status")
    caps = dict(re.findall(r'caps (\w+) = "(.*)"', answer.stdout))
    assert caps, f"there is no {CLIENT}"
    mon, osd = caps.get("mon", ""), caps.get("osd", "")
    breaks = "profile rbd" in mon or "allow *" in mon or re.search("blocklist|blacklist", mon)
    opens = re.search(rf"profile rbd(?! pool=(?!{re.escape(site.pool)}\b))|allow (\*|rwx)", osd)
    assert breaks, f"mon {mon!r} lets it break no locks"
    assert opens, f"osd {osd!r} lets it not write to pool {site.pool}"
