"""Inventories in the shapes that SEAPATH has and had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import ConfigurationError, UsageError
from vmmgr.site import Site, load_site

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Load


def of(*paths: Path) -> Site:
    """Load inventories without any configuration."""
    return load_site(site=None, inventories=paths, config=None, environ={})


def names(machines: object) -> list[str]:
    """Return the names of machines."""
    return [machine.name for machine in machines]  # type: ignore[attr-defined]


def test_three_hypervisors(data: Path) -> None:
    """The current shape: addresses, login, evaluated host names; expressions that only Ansible can evaluate do not hurt."""
    site = of(data / "three-hypervisors.yaml")
    assert site.name == "three-hypervisors"
    assert names(site.hypervisors) == ["node1", "node2", "node3"]
    assert site.observers == ()
    assert site.warnings == ()
    assert site.migration_user == "libvirtadmin"
    node = site.machine("node2")
    assert (node.address, node.user, node.port) == ("192.168.200.122", "ansible", None)
    assert (node.hostname, node.cluster_address) == ("node2", "192.168.55.2")
    assert (site.cluster_driver, site.sudo, site.pool, site.templates) == ("auto", "nopasswd", "rbd", None)


def test_observer_comes_first_for_control(data: Path) -> None:
    """The observer is the first candidate for control though it stands last in the inventory; addresses are evaluated."""
    site = of(data / "observer.yaml")
    assert names(site.machines) == ["hv1", "hv2", "quorum"]
    assert names(site.control_candidates) == ["quorum", "hv1", "hv2"]
    assert [machine.address for machine in site.machines] == ["192.168.1.11", "192.168.1.12", "192.168.1.13"]
    assert (site.machine("quorum").observer, site.machine("quorum").hypervisor) == (True, False)


def test_older_shape(data: Path) -> None:
    """Groups of groups under all are read, and the switched off check of host keys is told once, for all machines."""
    site = of(data / "older.yaml")
    assert names(site.control_candidates) == ["observer", "hypervisor1", "hypervisor2"]
    assert {machine.user for machine in site.machines} == {"admin"}
    assert site.warnings == (
        "hypervisor1, hypervisor2, observer: the inventory switches the check of host keys off; vm-mgr always checks them.",
    )


def test_unknown_machine_names_the_known_ones(data: Path) -> None:
    """Asking for a machine that does not exist ends with the names of those that do."""
    with pytest.raises(UsageError, match=r"Site older has no machine 'nod\\n'; it has hypervisor1, hypervisor2, observer\."):
        of(data / "older.yaml").machine("nod\n")


def test_several_files_are_merged(data: Path, tmp_path: Path) -> None:
    """A later file overrides the variables of an earlier one and leaves the rest."""
    later = tmp_path / "from-here.yaml"
    later.write_text("all: {hosts: {node1: {ansible_host: 10.9.9.9}}}\nobservers: {hosts: {extra: {ansible_host: 10.9.9.8}}}\n")
    site = of(data / "three-hypervisors.yaml", later)
    assert site.machine("node1").address == "10.9.9.9"
    assert site.machine("node1").user == "ansible"
    assert names(site.observers) == ["extra"]
    assert site.warnings == (
        "The cluster has an even number of machines (4): cut into halves, neither has quorum. Add an observer.",
    )


def test_folder_of_inventories(tmp_path: Path) -> None:
    """All files of a folder count in the order of their names, except those that Ansible leaves out too."""
    folder = tmp_path / "inventories"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "below").mkdir()
    (folder / "group_vars" / "all.yml").write_text("ansible_user: from_vars")
    (folder / "10-a.yaml").write_text("hypervisors: {hosts: {n1: , n2: {ansible_host: old}}}")
    (folder / "20-b.yaml").write_text("hypervisors: {hosts: {n2: {ansible_host: new}}}")
    (folder / "below" / "c.yml").write_text("observers: {hosts: {n3: }}")
    for ignored in (".hidden.yaml", "x.yaml~", "README.md", "hosts.ini", "x.bak"):
        (folder / ignored).write_text("hypervisors: {hosts: {wrong: }}")
    site = of(folder)
    assert names(site.machines) == ["n1", "n2", "n3"]
    assert site.machine("n2").address == "new"
    assert {machine.user for machine in site.machines} == {"from_vars"}


def test_host_in_both_groups_is_a_hypervisor(load: Load) -> None:
    """A host that is hypervisor and observer runs virtual machines, is listed once, and the user is told."""
    site = load("hypervisors: {hosts: {a: , b: }}\nobservers: {hosts: {b: , c: }}")
    assert names(site.control_candidates) == ["c", "a", "b"]
    assert site.warnings == ("b: in the groups hypervisors and observers, and taken as a hypervisor.",)


def test_standalone_machine_is_left_out(load: Load) -> None:
    """A standalone hypervisor is not part of the cluster, unless cluster_machines has it too."""
    site = load(
        "hypervisors: {hosts: {a: , alone: , both: }}\nobservers: {hosts: {c: }}\n"
        "standalone_machine: {hosts: {alone: , both: }}\ncluster_machines: {hosts: {a: , both: , c: }}"
    )
    assert names(site.machines) == ["a", "both", "c"]
    assert site.warnings == ("alone: standalone, not part of the cluster, and left out.",)


def test_only_standalone(load: Load) -> None:
    """An inventory of a standalone machine is refused, and says so."""
    with pytest.raises(ConfigurationError, match="no host in the group hypervisors apart from the standalone one"):
        load("hypervisors: {hosts: {one: }}\nstandalone_machine: {hosts: {one: }}")


@pytest.mark.parametrize(
    "text", ["all: {hosts: {a: }}", "hypervisors:\nobservers: {hosts: {a: }}", "hypervisors: {hosts: }", "{}"]
)
def test_no_hypervisor(load: Load, text: str) -> None:
    """Without any hypervisor there is nothing to manage, however the empty group is written."""
    with pytest.raises(
        ConfigurationError, match="no host in the group hypervisors, so there is no cluster to manage; its groups"
    ):
        load(text)


def test_two_names_for_one_address(load: Load) -> None:
    """Two machines with one address are a slip that would send commands to the wrong node."""
    with pytest.raises(ConfigurationError, match=r"a and b have the same address 10.0.0.1"):
        load("hypervisors: {hosts: {a: {ansible_host: 10.0.0.1}, b: {ansible_host: 10.0.0.1}}}")


def test_one_address_with_several_ports(load: Load) -> None:
    """Machines behind one address are told apart by their ports."""
    site = load("hypervisors: {hosts: {a: {ansible_port: 1}, b: {ansible_port: '2'}}, vars: {ansible_host: gate}}")
    assert [(machine.address, machine.port) for machine in site.machines] == [("gate", 1), ("gate", 2)]
