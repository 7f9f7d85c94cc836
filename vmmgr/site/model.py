"""What vm-mgr knows of a site before it contacts it: its machines, how to reach them, and a few settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmmgr.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

# the default of Site.connect_timeout, in seconds; a dead machine must not keep an operator waiting
CONNECT_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the cluster and the way to it. ``None`` means: as the workstation's ssh_config says.

    Attributes:
        name: the name in the inventory, which is also Pacemaker's node name.
        address: host name or IP address to connect to.
        key_files: private keys, to be tried in this order before those of the agent; all exist.
        observer: it only votes; no virtual machine runs there. Never true together with ``hypervisor``.
        jump: ``[user@]host[:port]``, several separated by commas, as of ``ssh -J``. Not set together with ``proxy_command``.
        proxy_command: a shell command of the workstation, with ssh_config's ``%h``, ``%p``, ``%r``.
        identities_only: offer no keys but ``key_files``, whatever the agent has.
        hostname: the machine's own name, by which Ceph's orchestrator knows it.
        cluster_address: its address in the cluster's network, which a workstation often cannot reach.
    """

    name: str
    address: str
    port: int | None = None
    user: str | None = None
    key_files: tuple[Path, ...] = ()
    observer: bool = False
    hypervisor: bool = False
    jump: str | None = None
    proxy_command: str | None = None
    identities_only: bool = False
    hostname: str | None = None
    cluster_address: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster of machines and the settings for working with it.

    Attributes:
        machines: in the order of the inventory; names are unique, at least one is a hypervisor.
        warnings: whole sentences to show to the user once.
        known_hosts: files of host keys besides OpenSSH's usual ones; all exist.
        cluster_driver: a driver's name, or "auto" for the one that fits what the nodes have.
        sudo: "nopasswd", or "password" if sudo on the nodes asks for one.
        pool: the Ceph pool of the disks.
        templates: folder with the site's own command templates.
        checks: folder with the site's own checks.
        connect_timeout: seconds to wait for a machine to answer.
        migration_user: login for live migration between hypervisors (SEAPATH's ``livemigration_user``).
    """

    name: str
    machines: tuple[Machine, ...]
    warnings: tuple[str, ...] = ()
    known_hosts: tuple[Path, ...] = ()
    cluster_driver: str = "auto"
    sudo: str = "nopasswd"
    pool: str = "rbd"
    templates: Path | None = None
    checks: Path | None = None
    connect_timeout: float = CONNECT_TIMEOUT
    migration_user: str | None = None

    @property
    def observers(self) -> tuple[Machine, ...]:
        """The machines that only vote."""
        return tuple(machine for machine in self.machines if machine.observer)

    @property
    def hypervisors(self) -> tuple[Machine, ...]:
        """The machines that run virtual machines."""
        return tuple(machine for machine in self.machines if machine.hypervisor)

    @property
    def control_candidates(self) -> tuple[Machine, ...]:
        """The machines to give commands to the cluster on, the preferred ones first: observers do nothing else."""
        return self.observers + self.hypervisors

    def machine(self, name: str) -> Machine:
        """Return the machine of that name.

        Raises:
            UsageError: there is none.
        """
        for machine in self.machines:
            if machine.name == name:
                return machine
        known = ", ".join(machine.name for machine in self.machines)
        raise UsageError(f"Site {self.name} has no machine {name!r}; it has {known}.")
