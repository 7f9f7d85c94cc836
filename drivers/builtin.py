"""The drivers that come with vm-mgr, offered through the same hook as anybody else's."""

from __future__ import annotations

from vmmgr.hookspecs import DriverSpec, hookimpl


@hookimpl
def vmmgr_drivers() -> list[DriverSpec]:
    """Offer the built-in drivers; ``auto`` takes the first cluster driver whose program the node has, and for guests likewise."""
    return [
        DriverSpec("cluster", "crmsh", "vmmgr.drivers.crmsh:Crmsh", "crm"),
        DriverSpec("cluster", "pcs", "vmmgr.drivers.pcs:Pcs", "pcs"),
        DriverSpec("storage", "rbd", "vmmgr.drivers.rbd:Rbd", "rbd"),
        DriverSpec("hypervisor", "libvirt", "vmmgr.drivers.libvirt:Libvirt", "virsh"),
        DriverSpec("guest", "apt", "vmmgr.drivers.apt:Apt", "apt-get"),
        DriverSpec("guest", "dnf", "vmmgr.drivers.dnf:Dnf", "dnf"),
        DriverSpec("guest", "zypper", "vmmgr.drivers.zypper:Zypper", "zypper"),
    ]
