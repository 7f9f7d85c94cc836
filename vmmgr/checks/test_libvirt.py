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
    after = set(hypervisor.check_output(_ORDER).replace("After=", " ").split())
    assert after & _DAEMONS, "pacemaker.service is not ordered after libvirtd.service"


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
