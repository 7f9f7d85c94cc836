"""Pacemaker: whether it can do what it is there for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from vmmgr.checks import explained
from vmmgr.checks.reading import CRM_MON, assert_alike, complaint, crm_mon, listed, outputs, unlike

if TYPE_CHECKING:
    from vmmgr.checks.answers import Node, Nodes

_VERSION = "pacemakerd --version"
_GUEST_KEY = "test ! -e /etc/pacemaker/authkey || sha256sum < /etc/pacemaker/authkey"


def node(cluster: Node, host: Node) -> ET.Element:
    """Return what Pacemaker says of a machine; skip the check where it does not know it or does not have it online."""
    found = next((item for item in crm_mon(cluster).iterfind("nodes/node") if item.get("name") == host.name), None)
    if found is None or not is_online(found):
        pytest.skip(f"{host} is not online in Pacemaker")
    return found


def is_online(item: ET.Element) -> bool:
    """Whether a machine takes part; while it is only a member of Corosync, it is online, pending, and in standby."""
    return item.get("online") == "true" and item.get("pending") != "true"


@explained(
    why="No VM can run there, and none can be moved there when another machine fails.",
    remedy="On {host}: `systemctl start pacemaker`; `journalctl -u pacemaker` tells what was in the way.",
)
def test_online(host: Node, cluster: Node) -> None:
    """The machine is online in Pacemaker."""
    answer = cluster.run(CRM_MON)
    assert answer.succeeded, f"Pacemaker does not answer on {cluster}: {complaint(answer)}"
    online = [item.get("name", "") for item in crm_mon(cluster).iterfind("nodes/node") if is_online(item)]
    assert host.name in online, f"online are only {listed(online)}"


@explained(
    why="While versions differ, new features stay off, and a machine that leaves may not be let in again.",
    remedy="Finish the update of all machines.",
)
def test_version(host: Node, hosts: Nodes) -> None:
    """Pacemaker has the same version on all machines."""
    versions = {name: text.split("\n")[0] for name, text in outputs(hosts.beside(host, _VERSION)).items()}
    others = unlike(host.name, versions)
    assert not others, f"{versions[host.name] or 'none'}, but {versions[others[0]] or 'none'} on {listed(others)}"


@explained(
    why="Without one nobody decides: no VM is started, moved or recovered.",
    remedy="If this lasts for more than a minute, look into `journalctl -u pacemaker` for elections that do not end.",
)
def test_dc(cluster: Node) -> None:
    """One machine speaks for all: there is a designated controller."""
    dc = crm_mon(cluster).find("summary/current_dc")
    assert dc is not None, "none has been elected"
    assert dc.get("present") == "true", "none has been elected"


def fencing_is_on(cluster: Node) -> bool:
    """Whether Pacemaker may switch machines off."""
    options = crm_mon(cluster).find("summary/cluster_options")
    return options is not None and options.get("stonith-enabled") == "true"


@explained(
    why="When a machine is cut off, Pacemaker starts its VMs elsewhere though they may still run there, which destroys their disks.",
    remedy="Configure a fence device for each machine, then `crm_attribute --name stonith-enabled --update true`.",
)
def test_stonith(cluster: Node) -> None:
    """Fencing is on."""
    assert fencing_is_on(cluster), "stonith-enabled is false"


@explained(
    why="When this machine fails, its VMs are not recovered before an administrator says that it is off.",
    remedy="Configure a fence device that has {host} in its pcmk_host_list, or mend the one that is not Started.",
)
def test_fencing(host: Node, cluster: Node, hosts: Nodes) -> None:
    """A fence device that works can switch the machine off."""
    others = [name for name in hosts if name != host.name]  # a device may not run on the machine that it is for
    answers = hosts.each("stonith_admin --list=%s --output-as=xml", host.name, of=others)
    state = crm_mon(cluster)
    if not fencing_is_on(cluster):
        pytest.skip("fencing is off")
    dc = state.find("summary/current_dc")
    if dc is None or dc.get("with_quorum") != "true" or not any(answer.succeeded for answer in answers.values()):
        pytest.skip("nothing is Started without a designated controller and quorum")
    known = {
        item.text or ""
        for answer in answers.values()
        if answer.succeeded
        for item in ET.fromstring(answer.stdout_bytes).iterfind("list/item")  # noqa: S314 - see crm_mon
    }
    assert known, "no fence device is for it"
    resources = [item for item in state.iterfind("resources//resource") if item.get("id") in known]
    working = [item for item in resources if item.get("role") == "Started" and item.get("failed") == "false"]
    assert working, "; ".join(f"{item.get('id')} is {item.get('role')}" for item in resources)


@explained(
    why="No VM can run there.",
    remedy="`crm_attribute --node {host} --name standby --delete` when the work on it is done.",
)
def test_standby(host: Node, cluster: Node) -> None:
    """The machine is not in standby."""
    assert node(cluster, host).get("standby") == "false", "in standby"


@explained(
    why="Pacemaker neither starts, stops nor recovers anything there.",
    remedy="`crm_attribute --node {host} --name maintenance --delete`, or `crm_attribute --name maintenance-mode --delete` for the "
    "whole cluster, when the work is done.",
)
def test_maintenance(host: Node, cluster: Node) -> None:
    """Neither the machine nor the cluster is in maintenance."""
    options = crm_mon(cluster).find("summary/cluster_options")
    assert options is None or options.get("maintenance-mode") != "true", "the whole cluster is in maintenance"
    assert node(cluster, host).get("maintenance") == "false", "in maintenance"


@explained(
    why="Pacemaker keeps a resource away from a machine where it has failed, so that there may be nowhere left to go.",
    remedy="Find the reason on {host} in `journalctl -u pacemaker`, then `crm_resource --cleanup --resource NAME`.",
)
def test_failures(host: Node, cluster: Node) -> None:
    """No action has failed there since the last cleanup."""
    failures = [item for item in crm_mon(cluster).iterfind("failures/failure") if item.get("node") == host.name]
    told = [f"{item.get('op_key') or item.get('id')}: {item.get('exitreason') or item.get('exitstatus')}" for item in failures]
    assert not told, "; ".join(told)


@explained(
    why="A VM that runs well is moved or restarted when its former machine comes back, or when Pacemaker finds a better place.",
    remedy="`crm_attribute --type rsc_defaults --name resource-stickiness --update 1`.",
)
def test_stickiness(cluster: Node) -> None:
    """A VM stays where it is."""
    answer = cluster.run("crm_attribute --type rsc_defaults --name resource-stickiness --query --quiet")
    if answer.rc not in (0, 105):  # CRM_EX_NOSUCH: it is not set, and 0 is Pacemaker's default
        pytest.skip(f"Pacemaker does not answer on {cluster}")
    value = answer.stdout.strip()
    assert value == "INFINITY" or (value.isdecimal() and int(value) > 0), f"resource-stickiness is {value or 'not set'}"


@explained(
    why="A guest node is managed from whichever machine runs its VM: with another key, it is lost when its VM moves there.",
    remedy="Copy /etc/pacemaker/authkey from a machine that is right to {host}.",
)
def test_authkey(host: Node, hosts: Nodes) -> None:
    """The key of guest nodes is the same on all machines, or there is none anywhere."""
    assert_alike(host, hosts, _GUEST_KEY)


@explained(
    why="Whoever can read it can give orders to every guest node; and Pacemaker, which runs as hacluster, has to read it.",
    remedy="On {host}: `chown root:haclient /etc/pacemaker/authkey; chmod 0640 /etc/pacemaker/authkey`.",
)
def test_authkey_mode(host: Node) -> None:
    """Only root and Pacemaker can read the key of guest nodes."""
    answer = host.run("stat --format='%a %U %G' /etc/pacemaker/authkey")
    if answer.failed:
        pytest.skip("there is no such key")
    mode, owner, group = answer.stdout.split()
    assert mode in ("640", "440", "600", "400"), f"mode {mode}"
    readable = group == "haclient" if mode in ("640", "440") else owner == "hacluster"
    assert readable, f"it is {owner}'s and {group}'s, with mode {mode}, so that Pacemaker cannot read it"
