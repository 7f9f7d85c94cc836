"""libvirt and QEMU on the hypervisors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.checks import explained
from vmmgr.checks.reading import VIRSH, ceph, complaint, hypervisors, listed, outputs, unlike, virsh

if TYPE_CHECKING:
    from vmmgr.checks.answers import Node, Nodes
    from vmmgr.site.model import Site

# The monolithic daemon and the one for QEMU alone, which newer distributions have.
_DAEMONS = {"libvirtd.service", "virtqemud.service"}
_ORDER = "systemctl show pacemaker.service resource-agents-deps.target --property=After"
# Stops before systemd ends the scopes of VMs, if it is active; the resource agent orders Pacemaker after it (its bsc#1074014).
_SCOPES_TARGET, _GUESTS = "virt-guest-shutdown.target", "libvirt-guests.service"
_SCOPES = "systemctl list-units --type=scope --plain --no-legend 'machine-qemu*'"
_SECRETS = f"{VIRSH} secret-list"
# Nothing of a secret leaves the hypervisor but its hash.
_VALUES = f"""{_SECRETS} | while read -r uuid kind name; do
case $kind in ceph) echo "$name $({VIRSH} secret-get-value "$uuid" | tr -d '\\n' | sha256sum)";; esac; done"""
_CEPH_KEY = "ceph --connect-timeout 5 auth get-key %s | tr -d '\\n' | sha256sum"
_CAPABILITIES = f"{VIRSH} capabilities"


@explained(
    why="No VM can start there, and Pacemaker, which cannot stop one either, may switch the machine off for that.",
    remedy="On {host}: `systemctl start libvirtd` (or virtqemud.socket); `journalctl -u libvirtd` tells what was in the way.",
)
def test_daemon(hypervisor: Node) -> None:
    """The daemon of libvirt answers."""
    answer = hypervisor.run(f"{VIRSH} version")
    assert answer.succeeded, complaint(answer)


def secrets(text: str) -> frozenset[tuple[str, str]]:
    """Return UUID and usage of the secrets for Ceph in the table of ``virsh secret-list``."""
    return frozenset(re.findall(r"^\s*([0-9a-f-]{36})\s+ceph\s+(.*?)\s*$", text, re.MULTILINE))


@explained(
    why="A VM's domain names the secret with which its disks are opened: where that is missing, the VM cannot start or move to.",
    remedy="Define it on {host} as on the other hypervisors: `virsh secret-dumpxml UUID` there, `virsh secret-define FILE` here, then "
    "`virsh secret-set-value`.",
)
def test_secret(hypervisor: Node, hosts: Nodes, site: Site) -> None:
    """The secret for Ceph is there, with the same UUID and usage name on all hypervisors."""
    texts = outputs(hosts.beside(hypervisor, _SECRETS, of=hypervisors(site)))
    virsh(hypervisor, "version")
    found = {name: secrets(text) for name, text in texts.items()}
    assert found[hypervisor.name], "there is none"
    others = unlike(hypervisor.name, {name: these for name, these in found.items() if these})
    assert not others, f"{listed(sorted(name for _, name in found[hypervisor.name]))}, unlike on {listed(others)}"


@explained(
    why="A VM can neither start there nor move there: Ceph refuses to open its disks.",
    remedy="On {host}: `ceph auth get-key client.libvirt > FILE; virsh secret-set-value UUID --file FILE`, and remove the file.",
)
def test_key(hypervisor: Node, cluster: Node) -> None:
    """The secret holds the key that Ceph has for its client."""
    values = hypervisor.run(_VALUES).stdout
    virsh(hypervisor, "version")
    ceph(cluster, "quorum_status")
    for line in values.splitlines():
        usage, value = line.removesuffix(" -").rstrip().rsplit(None, 1)
        client = usage.split()[0]
        key = cluster.run(_CEPH_KEY, client if client.startswith("client.") else "client.libvirt").stdout.split()
        assert key[:1] == [value], f"{usage} holds another key than Ceph has for it"


@explained(
    why="When the machine shuts down, libvirt goes first: VMs are killed instead of stopped or moved, and Pacemaker waits for nothing.",
    remedy="On {host}: `systemctl edit pacemaker`, and write the two lines [Unit] and After=libvirtd.service.",
)
def test_ordering(hypervisor: Node) -> None:
    """At a shutdown Pacemaker stops before libvirt."""
    assert earlier(hypervisor.check_output(_ORDER)) & _DAEMONS, "pacemaker.service is not ordered after libvirtd.service"


def earlier(shown: str) -> set[str]:
    """Return the units that start before Pacemaker, and so stop after it."""
    return set(shown.replace("After=", " ").split())


@explained(
    why="When the machine shuts down, systemd ends the VMs at once, which are killed instead of stopped or moved by Pacemaker.",
    remedy="On {host}: `systemctl edit pacemaker`, and write the three lines [Unit], After=virt-guest-shutdown.target and "
    "Wants=virt-guest-shutdown.target; then `systemctl start virt-guest-shutdown.target`.",
)
def test_scopes(hypervisor: Node) -> None:
    """At a shutdown Pacemaker stops before systemd ends the VMs."""
    scopes, state, order = hypervisor.each([_SCOPES, f"systemctl is-active {_SCOPES_TARGET}", _ORDER])
    ordered = state.stdout.strip() == "active" and _SCOPES_TARGET in earlier(order.stdout)
    running = [line.split()[0] for line in scopes.stdout.splitlines()]
    assert ordered or not running, f"{listed(running)}: not ended after Pacemaker, for that goes by {_SCOPES_TARGET}"


@explained(
    why="When the machine shuts down, it shuts down all VMs by itself, while Pacemaker moves or stops them and takes them for failed.",
    remedy="On {host}: `systemctl edit pacemaker`, and write the two lines [Unit] and After=libvirt-guests.service. To stop that service "
    "instead would shut down the VMs.",
)
def test_guests(hypervisor: Node) -> None:
    """libvirt-guests.service leaves the VMs to Pacemaker."""
    state, order = hypervisor.each([f"systemctl is-active {_GUESTS}", _ORDER])
    assert state.stdout.strip() != "active" or _GUESTS in earlier(order.stdout), (
        "it is active, and pacemaker.service is not ordered after it"
    )


@explained(
    why="A VM that moves live needs the same CPU features at its destination, else it stops there or is refused.",
    remedy="Give the VMs of this site a named CPU model that all hypervisors have (`virsh cpu-baseline`), or do not let them move live.",
)
def test_cpu(hypervisor: Node, hosts: Nodes, site: Site) -> None:
    """The hypervisors have the same CPU, as libvirt sees it."""
    texts = outputs(hosts.beside(hypervisor, _CAPABILITIES, of=hypervisors(site)))
    virsh(hypervisor, "version")
    found = {name: cpu(text) for name, text in texts.items() if text}
    others = unlike(hypervisor.name, found)
    model, features = found[hypervisor.name]
    there = [f"{found[other][0]} with {len(found[other][1])} further features on {other}" for other in others]
    assert not others, f"{model} with {len(features)} further features, but {listed(there)}"


def cpu(capabilities: str) -> tuple[str, frozenset[str]]:
    """Return model and further features of a hypervisor's CPU (libvirt.org/formatcaps.html)."""
    host = ET.fromstring(capabilities).find("host/cpu")  # noqa: S314 - see crm_mon
    assert host is not None, "libvirt tells of no CPU"
    words = [host.findtext(tag, "") for tag in ("arch", "vendor", "model")]
    return " ".join(words), frozenset(item.get("name", "") for item in host.iterfind("feature"))
