"""Lays a VM out as vm_manager 2.0 does, with the commands that it issues on a hypervisor, and with nothing of vm-mgr's."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.scenarios.site import LAB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.site import LabSite


@dataclass
class VmManager:
    """A VM that vm_manager makes, as if called on a hypervisor with the options given."""

    site: LabSite
    name: str
    base_xml: str
    preferred_host: str
    metadata: dict[str, str]
    pacemaker_meta: dict[str, str] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The hypervisor that vm_manager is called on."""
        return self.site.hypervisors[0]

    @property
    def disks(self) -> tuple[str, str]:
        """The images: the system's, and one more."""
        return f"system_{self.name}", f"data_{self.name}_0"

    def run(self, *words: str) -> str:
        """Run one of its commands."""
        return self.site.on(self.host, *words)

    def create(self, image: str) -> None:
        """``vm_manager_cmd create --preferred-host … --additional-disk … --metadata … --pacemaker-meta … --stop-timeout 40``."""
        system, data = self.disks
        self.run("rbd", "group", "create", self.name)
        self.upload(image, "/root/os.qcow2")
        self.run("/usr/bin/qemu-img", "convert", "-W", "-f", "qcow2", "-O", "raw", "/root/os.qcow2", f"rbd:rbd/{system}")
        self.run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "/root/data.qcow2", "8M")
        self.run("/usr/bin/qemu-img", "convert", "-W", "-f", "qcow2", "-O", "raw", "/root/data.qcow2", f"rbd:rbd/{data}")
        for disk in self.disks:
            self.run("rbd", "group", "image", "add", self.name, disk)
        settings = {
            "vm_name": self.name, "xml": self.xml(), "_base_xml": self.base_xml, "_stop_timeout": "40",
            "_preferred_host": self.preferred_host, "_priority": "5", **self.metadata, "_disk_bus": "virtio",
            "_pacemaker_meta": json.dumps(self.pacemaker_meta), "_additional_disks": "1",
        }  # fmt: skip
        for key, value in settings.items():
            self.run("rbd", "image-meta", "set", system, key, value)
        self.enable()

    def enable(self) -> None:
        """``vm_manager_cmd enable``: one change of the cluster after the other, and managed at the end."""
        meta = {
            "allow-migrate": "false",
            "is-managed": "false",
            "priority": "5",
            "target-role": "Started",
        } | self.pacemaker_meta
        operations = (("start", "120"), ("stop", "40"), ("migrate_from", "60"), ("migrate_to", "120"))
        self.run(
            "crm", "configure", "primitive", self.name, "ocf:seapath:VirtualDomain",
            "params", "force_stop=false", "migration_downtime=0", f"config=/etc/pacemaker/{self.name}.xml",
            "hypervisor='qemu:///system'", "seapath='true'", "migration_transport=ssh", "migration_user='root'",
            "meta", *(f"{key}='{value}'" for key, value in meta.items()),
            *(word for name, seconds in operations for word in ("op", name, f"timeout='{seconds}'")),
            "op", "monitor", "timeout='60'", "interval='10'",
        )  # fmt: skip
        for observer in self.site.observers:
            self.run("crm", "resource", "ban", self.name, observer)
        self.run("crm", "resource", "move", self.name, self.preferred_host)
        self.run("crm", "resource", "manage", self.name)

    def disable(self) -> None:
        """``vm_manager_cmd disable`` of a stopped VM."""
        self.run("crm", "configure", "delete", self.name)

    def create_snapshot(self, name: str, disks: int = 2) -> None:
        """``vm_manager_cmd create_snapshot``: disk after disk; broken off after some of them where that is asked for."""
        for disk in self.disks[:disks]:
            self.run("rbd", "snap", "create", "--no-progress", f"{disk}@{name}")

    def upload(self, file: str, path: str) -> None:
        """Put a file of the workstation's on the hypervisor, as Ansible does for vm_manager."""
        command = [sys.executable, str(LAB), "exec", "--name", self.site.name, self.host, "sh", "-c", f"cat > {path}"]
        subprocess.run(command, input=Path(file).read_bytes(), check=True, timeout=60)

    def xml(self) -> str:
        """Return the domain as vm_manager completes it: its name first, the disks last, all machines as monitors."""
        root = ET.fromstring(self.base_xml)
        for name in root.findall("name"):
            root.remove(name)
        element = ET.Element("name")
        element.text = self.name
        root.insert(0, element)
        devices = root.find("devices")
        assert devices is not None
        for disk in self.disk_elements():
            devices.append(disk)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode")

    def disk_elements(self) -> Iterator[ET.Element]:
        """Yield the disks of the domain."""
        machines = [*self.site.hypervisors, *self.site.observers]
        hosts = "".join(f'<host name="{machine}" port="6789"/>' for machine in machines)
        for image, target in zip(self.disks, ("vda", "vdb"), strict=True):
            yield ET.fromstring(
                f'<disk type="network" device="disk"><driver name="qemu" type="raw" cache="writeback"/>'
                f'<auth username="libvirt"><secret type="ceph" uuid="{self.site.environ["LAB_SECRET_UUID"]}"/></auth>'
                f'<source protocol="rbd" name="rbd/{image}">{hosts}</source><target dev="{target}" bus="virtio"/></disk>'
            )
