"""What VMs need on every hypervisor, to start there, to move there, and to be left alone."""

from __future__ import annotations

import hashlib
import shlex
from typing import TYPE_CHECKING

import pytest

from vmmgr.checks import explained
from vmmgr.checks.reading import VIRSH, complaint, hypervisors, listed, outputs, unlike
from vmmgr.command import Command
from vmmgr.drivers.pacemaker.cib import Cib, duration, parse_cib

if TYPE_CHECKING:
    from vmmgr.checks.answers import Node, Nodes
    from vmmgr.operations.context import Context
    from vmmgr.site.model import Site

_AGENTS = "cd /usr/lib/ocf/resource.d && for file in */VirtualDomain; do test ! -x $file || sha256sum $file; done"
_HASH = "test ! -e %s || sha256sum < %s"
_STOP_LIMIT = "systemctl show pacemaker.service --property=TimeoutStopUSec --value"
# Seconds that a monitor of a VM may take at least: on a host that runs short of memory a healthy one takes half a minute.
_MONITOR = 60.0


def cib(cluster: Node) -> Cib:
    """Return the cluster's configuration; skip the check where Pacemaker does not answer."""
    if cluster.run("cibadmin --query").failed:
        pytest.skip(f"Pacemaker does not answer on {cluster}")
    return cluster.ask(Command(("/bin/sh", "-c", "cibadmin --query"), parse_cib))


def parameters(state: Cib, vm: str) -> dict[str, str]:
    """Return the parameters of a VM's resource."""
    primitive = state.primitive(vm)
    pairs = primitive.iterfind("instance_attributes/nvpair") if primitive is not None else ()
    return {pair.get("name", ""): pair.get("value", "") for pair in pairs}


@explained(
    why="Where the agent is missing no VM can run; where it is another one, a VM may behave differently after it has moved.",
    remedy="Install the same packages on {host} as on the other hypervisors, and undo what was edited there by hand.",
)
def test_agent(hypervisor: Node, hosts: Nodes, site: Site) -> None:
    """The resource agents for VMs are there, and the same on all hypervisors."""
    found = outputs(hosts.beside(hypervisor, _AGENTS, of=hypervisors(site)))
    assert found[hypervisor.name], "there is no VirtualDomain"
    others = unlike(hypervisor.name, {name: text for name, text in found.items() if text})
    assert not others, f"VirtualDomain is another one than on {listed(others)}"


@explained(
    why="Where its domain XML is missing or an old one, a VM does not start, or starts as it was, or twice on the same disks.",
    remedy="`vm-mgr enable -n VM` gives every hypervisor the right one.",
)
def test_domain(hypervisor: Node, cluster: Node, hosts: Nodes, site: Site, context: Context) -> None:
    """Every VM's domain XML is the right one on all hypervisors."""
    state = cib(cluster)
    wrong = []
    for file, vm in state.config_files().items():
        primitive = state.primitive(vm)
        if primitive is None or primitive.get("provider") == "seapath":  # which writes the file itself before each start
            continue
        hashes = outputs(hosts.beside(hypervisor, _HASH, file, file, of=hypervisors(site)))
        if others := unlike(hypervisor.name, hashes):
            text = cluster.ask(context.storage.metadata(f"system_{vm}")).get("xml")
            right = f"{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()}  -\n" if text else None
            if hashes[hypervisor.name] != right:
                wrong.append(
                    f"{vm} has {'another one than' if hashes[hypervisor.name] else 'none, unlike'} on {listed(others)}"
                )
    assert not wrong, "; ".join(wrong)


@explained(
    why="A monitor that runs out of time makes Pacemaker restart a VM that was only slow to answer.",
    remedy="`crm configure edit VM` or `pcs resource update VM op monitor timeout=60s`.",
)
def test_monitor(cluster: Node) -> None:
    """Every VM's monitor has time enough for a hypervisor that is busy."""
    state = cib(cluster)
    limits = {vm: state.operation_timeout(vm, "monitor") for vm in state.vm_names()}
    short = [f"{vm} has {limit:g} s" for vm, limit in limits.items() if limit < _MONITOR]
    assert not short, "; ".join(short)


@explained(
    why="When the machine shuts down, systemd kills Pacemaker before its VMs have stopped, and their guests are cut off.",
    remedy="On {host}: `systemctl edit pacemaker`, and write the two lines [Service] and TimeoutStopSec= with more than that.",
)
def test_shutdown(hypervisor: Node, cluster: Node) -> None:
    """At a shutdown Pacemaker has time enough to stop the slowest VM."""
    granted = hypervisor.check_output(_STOP_LIMIT)
    state = cib(cluster)
    limit = sum(duration(word) for word in granted.split()) if granted != "infinity" else float("inf")
    slow = {vm: state.operation_timeout(vm, "stop") for vm in state.vm_names()}
    longer = [f"{vm} may take {seconds:g} s" for vm, seconds in slow.items() if seconds >= limit]
    assert not longer, f"systemd grants Pacemaker {granted}: {'; '.join(longer)}"


@explained(
    why="A VM cannot move live: it is stopped and started instead, or stays where it should not.",
    remedy="As root on {host}, log in to that account on the other one by ssh: it takes root's public key there, and the host key here.",
)
def test_migration(hypervisor: Node, cluster: Node, hosts: Nodes, site: Site) -> None:
    """Live migration gets from this hypervisor to the others."""
    state = cib(cluster)
    users = {parameters(state, vm).get("migration_user", "root") for vm in state.vm_names() if moves_live(state, vm)}
    others = [name for name in hypervisors(site) if name != hypervisor.name]
    ways = [(user, other) for user in sorted(users or {site.migration_user or "root"}) for other in others]
    uris = [f"qemu+ssh://{user}@{other}/system?no_tty=1" for user, other in ways]
    answers = hypervisor.each([f"timeout 8 virsh --connect {shlex.quote(uri)} uri" for uri in uris])
    working = {name for name, answer in hosts.each(f"{VIRSH} version", of=others).items() if answer.succeeded}
    refused = [
        f"{user}@{other}: {complaint(answer)}"
        for (user, other), answer in zip(ways, answers, strict=True)
        if answer.failed and other in working  # what is wrong with the other one is told there
    ]
    assert not refused, "; ".join(refused)


def moves_live(state: Cib, vm: str) -> bool:
    """Whether a VM may move live."""
    primitive = state.primitive(vm)
    pairs = primitive.iterfind("meta_attributes/nvpair") if primitive is not None else ()
    return any(pair.get("name") == "allow-migrate" and pair.get("value") == "true" for pair in pairs)
