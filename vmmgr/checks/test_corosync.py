"""Corosync: who is in the cluster, and over what they talk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from vmmgr.checks import explained
from vmmgr.checks.reading import assert_alike, listed, outputs, unlike

if TYPE_CHECKING:
    from vmmgr.checks.answers import Node, Nodes
    from vmmgr.site.model import Site

_CMAP = "corosync-cmapctl nodelist. quorum. runtime.members."
_LINKS = "corosync-cmapctl -m stats stats.knet."
_CONFIGURATION = "cat /etc/corosync/corosync.conf"
_KEY = "sha256sum < /etc/corosync/authkey"


def cmap(host: Node, *more: str) -> dict[str, str]:
    """Return what Corosync keeps on a machine, ``KEY (TYPE) = VALUE`` (corosync-cmapctl(8)); skip the check where it does not run."""
    answers = host.each([_CMAP, *more])
    if answers[0].failed:
        pytest.skip(f"Corosync does not run on {host}")
    lines = "".join(answer.stdout for answer in answers)
    return dict(re.findall(r"^(\S+) \(\w+\) = (.*)$", lines, re.MULTILINE))


def nodes(values: dict[str, str]) -> dict[str, str]:
    """Return the names of the machines in Corosync's list by their ids."""
    places = [key.rpartition(".")[0] for key in values if re.fullmatch(r"nodelist\.node\.\d+\.nodeid", key)]
    return {values[f"{place}.nodeid"]: values.get(f"{place}.name", values.get(f"{place}.ring0_addr", "")) for place in places}


def has_joined(values: dict[str, str], number: str) -> bool:
    """Whether the machine of that id is a member."""
    return values.get(f"runtime.members.{number}.status") == "joined"


@explained(
    why="It has no vote, no VM can run there, and one more failure may stop the whole site.",
    remedy="On {host}: `systemctl start corosync pacemaker`; `journalctl -u corosync` tells what was in the way.",
)
def test_members(host: Node, cluster: Node) -> None:
    """The machine is a member of the cluster."""
    values = cmap(cluster)
    joined = [name for number, name in nodes(values).items() if has_joined(values, number)]
    assert host.name in joined, f"{cluster} has only {listed(joined)} as members"


@explained(
    why="Without quorum Pacemaker stops every VM, and vm-mgr changes nothing.",
    remedy="Bring back the machines that are missing; see corosync-members.",
)
def test_quorum(cluster: Node) -> None:
    """The members have quorum."""
    answer = cluster.run("corosync-quorumtool -s")
    if "Quorate:" not in answer.stdout:
        pytest.skip(f"Corosync does not run on {cluster}")
    assert re.search(r"^Quorate: +Yes", answer.stdout, re.MULTILINE), f"the part of the cluster with {cluster} has no quorum"


@explained(
    why="Cut into halves, neither has quorum, and everything stops; an even number tolerates no more failures than one machine less.",
    remedy="Add an observer, or a quorum device.",
)
def test_odd(cluster: Node) -> None:
    """The cluster has an odd number of machines, or something else that decides between halves."""
    values = cmap(cluster)
    decided = values.get("quorum.auto_tie_breaker") == "1" or "quorum.device.model" in values
    count = len(nodes(values))
    assert count % 2 or decided, f"{count} machines: {listed(list(nodes(values).values()))}"


@explained(
    why="The machines still reach each other, but a further fault takes one out of the cluster.",
    remedy="Check the cable, switch and address of that link; `corosync-cfgtool -s` on {host} shows all links.",
)
def test_links(host: Node) -> None:
    """All of its links to the other members are up."""
    state = cmap(host, _LINKS)
    names = nodes(state)
    places = [(key, found) for key in state if (found := re.fullmatch(r"stats\.knet\.node(\d+)\.(link\d+)\.enabled", key))]
    down = [
        f"{found[2]} to {names.get(found[1], found[1])}"
        for key, found in places
        if state[key] == "1" and state.get(key.replace("enabled", "connected")) == "0" and has_joined(state, found[1])
    ]
    assert not down, f"down: {listed(down)}"


@explained(
    why="A machine with another configuration may not come back into the cluster after its next start.",
    remedy="Copy /etc/corosync/corosync.conf from a machine that is right to {host}, then `corosync-cfgtool -R` there.",
)
def test_configuration(host: Node, hosts: Nodes) -> None:
    """corosync.conf says the same on all machines."""
    files = {name: settings(text) for name, text in outputs(hosts.beside(host, _CONFIGURATION)).items()}
    others = unlike(host.name, files)
    mine = files.get(host.name, ())
    strange = [line for line in mine if others and line not in files[others[0]]]
    assert not others, f"other than on {listed(others)}: {'; '.join(strange) or 'lines are missing'}"


def settings(text: str) -> tuple[str, ...]:
    """Return the lines of a corosync.conf that mean something."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


@explained(
    why="A machine with another key is not let into the cluster after its next start.",
    remedy="Copy /etc/corosync/authkey from a machine that is right to {host}, mode 0400, and restart Corosync there.",
)
def test_key(host: Node, hosts: Nodes) -> None:
    """Corosync's key is the same on all machines."""
    assert_alike(host, hosts, _KEY)


@explained(
    why="Corosync lets any machine with a vote decide about the site, and vm-mgr does not know this one.",
    remedy="Add it to the inventory, or take it out of /etc/corosync/corosync.conf.",
)
def test_inventory(cluster: Node, site: Site) -> None:
    """The machines of Corosync are those of the inventory."""
    known = {machine.name for machine in site.machines}
    strange = [name for name in nodes(cmap(cluster)).values() if name not in known]
    assert not strange, f"not in the inventory: {listed(strange)}"
