"""libvirt and QEMU on the hypervisors, by virsh(1); and the domain XML files that the resource agent starts VMs from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from vmmgr.command import Command, CommandFailedError, succeeded, text_of
from vmmgr.drivers.base import HypervisorDriver
from vmmgr.drivers.libvirt.addresses import parse_addresses, parse_reach
from vmmgr.drivers.libvirt.agent import parse_ended, request
from vmmgr.drivers.libvirt.host import parse_hypervisor
from vmmgr.errors import VmMgrError
from vmmgr.model import Quiescence

if TYPE_CHECKING:
    from vmmgr.drivers.libvirt.addresses import Address, Reach
    from vmmgr.drivers.libvirt.host import Hypervisor
    from vmmgr.remote.batch import Result
    from vmmgr.remote.channel import Output

# Seconds after which the hypervisor lets a guest go on by itself: a snapshot takes one, on a busy site a few.
_STILL = 20
# Seconds for an agent that does not answer, which the script gives 10, and for a hypervisor that has much to do.
_TIMEOUT = 60.0
# EX_TEMPFAIL of sysexits.h, with which a strict release ends.
_TOO_LATE = 75


class Libvirt(HypervisorDriver):
    """Builds ``virsh`` commands, and small scripts for files."""

    folder = "libvirt"

    def inspect(self, file: str) -> Command[Hypervisor]:
        return Command(self.renderer.argv("libvirt/inspect", file=file), parse_hypervisor)

    def validate(self, domain_xml: str) -> Command[None]:
        return Command(self.renderer.argv("libvirt/validate"), succeeded, stdin=domain_xml)

    def write_file(self, file: str, content: str) -> Command[None]:
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        return Command(
            self.renderer.argv("libvirt/write_file", file=file, sha256=sha256), succeeded, stdin=content, changes=True
        )

    def remove_file(self, file: str) -> Command[None]:
        return Command(self.renderer.argv("libvirt/remove_file", file=file), succeeded, changes=True)

    def state(self, vm: str) -> Command[str]:
        return Command(self.renderer.argv("libvirt/state", vm=vm), lambda result: text_of(result).strip())

    def destroy(self, vm: str) -> Command[None]:
        return Command(self.renderer.argv("libvirt/destroy", vm=vm), succeeded, changes=True)

    def quiesce(self, vm: str, token: str, *, freeze: bool, pause: bool) -> Command[tuple[Quiescence, str]]:
        words = {name: "yes" if on else "no" for name, on in (("freeze", freeze), ("pause", pause))}
        argv = self.renderer.argv("libvirt/quiesce", vm=vm, token=token, seconds=_STILL, **words)
        return Command(argv, _parse_quiescence, changes=True, timeout=_TIMEOUT, foretold=(Quiescence.FROZEN, ""))

    def release(self, vm: str, token: str, *, strict: bool = False) -> Command[Quiescence]:
        argv = self.renderer.argv("libvirt/release", vm=vm, token=token, strict="yes" if strict else "no")

        def parse(result: Result) -> Quiescence:
            if strict and result.exit_code == _TOO_LATE:
                raise VmMgrError(f"VM {vm} did not hold still until all of its disks were taken on {result.host}. Try again.")
            return _parse_released(result)

        return Command(argv, parse, changes=True, timeout=_TIMEOUT, foretold=Quiescence.FROZEN)

    def addresses(self, vm: str) -> Command[tuple[Address, ...]]:
        return Command(self.renderer.argv("libvirt/addresses", vm=vm), parse_addresses)

    def reach(self, address: str, port: int) -> Command[Reach]:
        return Command(self.renderer.argv("libvirt/reach", address=address, port=port), parse_reach)

    def relay(self, address: str, port: int) -> Command[None]:
        return Command(self.renderer.argv("libvirt/relay", address=address, port=port), succeeded)

    def agent_run(self, vm: str, program: bytes) -> Command[Output]:
        return Command(self.renderer.argv("libvirt/agent_run", vm=vm), parse_ended, stdin=request(program), changes=True)

    def agent_write(self, vm: str, file: str) -> Command[None]:
        return Command(self.renderer.argv("libvirt/agent_write", vm=vm, file=file), succeeded, changes=True)


def _parse_quiescence(result: Result) -> tuple[Quiescence, str]:
    """Read the lines ``STATE REASON``: the last has the state, the first the reason for it."""
    lines = [line.partition(" ") for line in text_of(result).split("\n") if line]
    try:
        return Quiescence(lines[-1][0]), lines[0][2].strip()
    except (LookupError, ValueError) as error:
        raise CommandFailedError(result) from error


def _parse_released(result: Result) -> Quiescence:
    ended = text_of(result).split()
    if "domfsthaw" in ended:
        return Quiescence.FROZEN
    return Quiescence.PAUSED if "resume" in ended else Quiescence.AWAKE
