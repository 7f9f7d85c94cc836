"""libvirt and QEMU on the hypervisors, by virsh(1); and the domain XML files that the resource agent starts VMs from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from vmmgr.command import Command, succeeded
from vmmgr.drivers.base import HypervisorDriver
from vmmgr.drivers.libvirt.host import parse_hypervisor

if TYPE_CHECKING:
    from vmmgr.drivers.libvirt.host import Hypervisor


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

    def destroy(self, vm: str) -> Command[None]:
        return Command(self.renderer.argv("libvirt/destroy", vm=vm), succeeded, changes=True)
