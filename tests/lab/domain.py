"""A libvirt domain for a guest of the lab, as ``vm-mgr create --xml`` takes it: without disks."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from .plan import LabError, guest_mac, stable_uuid

GUEST_OCTETS = range(100, 255)


def domain(net: str, name: str, octet: int, memory: int = 128) -> str:
    """Return the domain XML of a guest.

    Args:
        net: the lab's subnet, three bytes; the guest's address is in it.
        name: the guest's name.
        octet: last byte of its address.
        memory: MiB. The tiny guest runs with 96, the Debian guest with 256.

    Raises:
        LabError: the address is not one for guests.
    """
    if octet not in GUEST_OCTETS:
        raise LabError(f"a guest's last byte is {GUEST_OCTETS.start} to {GUEST_OCTETS.stop - 1}, not {octet}.")
    serial = quoteattr(f"/var/log/libvirt/qemu/{name}.serial")
    # software emulation: KVM is not to be had in a test machine, and qemu64 is the same CPU everywhere
    return f"""\
<domain type='qemu'>
  <name>{escape(name)}</name>
  <uuid>{stable_uuid(net, name)}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='allow'>qemu64</model>
  </cpu>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <interface type='bridge'>
      <mac address='{guest_mac(net, octet)}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'>
      <source path={serial}/>
    </serial>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>
    <memballoon model='virtio'/>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
  </devices>
</domain>
"""
