"""What several checks read, and how machines are compared. What does not answer is a finding of one check, and skips the others."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testinfra.backend.base import CommandResult

    from vmmgr.checks.answers import Node, Nodes
    from vmmgr.site.model import Site

T = TypeVar("T")

CRM_MON = "crm_mon -1 --output-as=xml"
"""Tells of the cluster as Pacemaker sees it (crm_mon(8)); exit code 0 means that Pacemaker runs."""


VIRSH = "virsh --connect qemu:///system"


def complaint(answer: CommandResult) -> str:
    """Return what a command that failed had to say, in one line."""
    said = " ".join((answer.stderr or answer.stdout).split())
    return said or ("no answer in time" if answer.rc in (124, 137) else f"exit code {answer.rc}")


def crm_mon(cluster: Node) -> ET.Element:
    """Return the answer of crm_mon; skip the check where Pacemaker does not run."""
    answer = cluster.run(CRM_MON)
    if answer.failed:
        pytest.skip(f"Pacemaker does not answer on {cluster}")
    return ET.fromstring(answer.stdout_bytes)  # noqa: S314 - expat since 2.4.1 limits entity expansion itself


def ceph(cluster: Node, words: str) -> Any:
    """Return the JSON of a ceph command; skip the check where Ceph does not answer."""
    answer = cluster.run(f"ceph --connect-timeout 5 {words} --format=json")
    if answer.failed:
        pytest.skip(f"Ceph does not answer on {cluster}")
    return json.loads(answer.stdout_bytes)


def virsh(hypervisor: Node, words: str) -> str:
    """Return what virsh prints; skip the check where libvirt does not answer."""
    answer = hypervisor.run(f"{VIRSH} {words}")
    if answer.failed:
        pytest.skip(f"libvirt does not answer on {hypervisor}")
    return str(answer.stdout)


def hypervisors(site: Site) -> list[str]:
    """Return the names of the hypervisors."""
    return [machine.name for machine in site.hypervisors]


def outputs(answers: Mapping[str, CommandResult]) -> dict[str, str]:
    """Return what each machine printed; a command that failed printed nothing."""
    return {name: answer.stdout if answer.succeeded else "" for name, answer in answers.items()}


def unlike(name: str, values: Mapping[str, T]) -> list[str]:
    """Return the machines that a machine differs from, unless most of all are like it: then the others are the odd ones."""
    if name not in values or 2 * Counter(values.values())[values[name]] > len(values):
        return []
    return [other for other in values if values[other] != values[name]]


def assert_alike(host: Node, hosts: Nodes, command: str) -> None:
    """Fail unless a file, whose hash the command prints, is that of the other machines."""
    hashes = outputs(hosts.beside(host, command))
    others = unlike(host.name, hashes)
    assert not others, f"{'another one than' if hashes[host.name] else 'none, unlike'} on {listed(others)}"


def listed(names: list[str]) -> str:
    """Return names as a part of a sentence."""
    return ", ".join(names)
