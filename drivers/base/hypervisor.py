"""What a driver for the hypervisors offers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from vmmgr.drivers.base.driver import Driver

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.drivers.libvirt.addresses import Address, Reach
    from vmmgr.drivers.libvirt.host import Hypervisor
    from vmmgr.model import Quiescence
    from vmmgr.remote.channel import Output


class HypervisorDriver(Driver):
    """Talks to the hypervisor's own daemon, and keeps the files that it starts VMs from."""

    @abstractmethod
    def inspect(self, file: str) -> Command[Hypervisor]:
        """Read what a hypervisor has: agents, domains, secrets, and the hash of ``file`` if it exists."""

    @abstractmethod
    def validate(self, domain_xml: str) -> Command[None]:
        """Have the hypervisor check a domain without defining or starting it."""

    @abstractmethod
    def write_file(self, file: str, content: str) -> Command[None]:
        """Write a file at once, verified by its hash."""

    @abstractmethod
    def remove_file(self, file: str) -> Command[None]:
        """Remove a file, if it is there."""

    @abstractmethod
    def state(self, vm: str) -> Command[str]:
        """Read what the hypervisor says of a domain: ``running``, ``paused``, ``in shutdown`` …; fail where it has none."""

    @abstractmethod
    def destroy(self, vm: str) -> Command[None]:
        """Cut the power of a domain, if it runs here."""

    @abstractmethod
    def quiesce(self, vm: str, token: str, *, freeze: bool, pause: bool) -> Command[tuple[Quiescence, str]]:
        """Make the guest of a domain that runs here hold still; the hypervisor itself ends that after some seconds.

        Args:
            vm: The domain.
            token: A word that tells this from any other time, for ``release``.
            freeze: Whether to have the guest's agent freeze its file systems.
            pause: Whether to suspend the domain where that is not asked for, or does not succeed.

        Returns:
            How it holds still now, and why not better; ``before`` where somebody else had paused it already.
        """

    @abstractmethod
    def release(self, vm: str, token: str, *, strict: bool = False) -> Command[Quiescence]:
        """End what ``quiesce`` began [how the guest had held still up to now]; nothing happens where that has ended.

        A ``strict`` one then fails with a ``VmMgrError``, so that what comes after it in the same exec is not run.
        """

    @abstractmethod
    def addresses(self, vm: str) -> Command[tuple[Address, ...]]:
        """Read the addresses of a domain that runs here, from its guest's agent, from DHCP leases and from the ARP table."""

    @abstractmethod
    def reach(self, address: str, port: int) -> Command[Reach]:
        """Read what becomes of a TCP connection from this hypervisor to a guest."""

    @abstractmethod
    def relay(self, address: str, port: int) -> Command[None]:
        """Read from a TCP port of a guest, and send there what comes on standard input, until either ends; root is not needed."""

    @abstractmethod
    def agent_run(self, vm: str, program: bytes) -> Command[Output]:
        """Run a shell program as root in the guest of a domain that runs here, by the guest's agent [exit code and output].

        The program is secret: it stands on no command line, neither here nor in the guest. The command takes as long as the program.
        """

    @abstractmethod
    def agent_write(self, vm: str, file: str) -> Command[None]:
        """Write standard input into a file of such a guest, by its agent; the data may show in the process list of this machine."""
