"""A clone's own UUID and MAC addresses, and the files that it must not share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from vmmgr.operations.domain import parse_domain
from vmmgr.operations.identity import common_devices, common_disks, macs_of, rename_files, renew

if TYPE_CHECKING:
    from collections.abc import Iterator

UUID = "aaaaaaaa-0000-4000-8000-000000000000"


def domain(devices: str = "", more: str = "", uuid: str = UUID) -> ET.Element:
    """Return a domain with these devices."""
    return parse_domain(f"<domain><name>web</name><uuid>{uuid}</uuid>{more}<devices>{devices}</devices></domain>", "test")


def interface(mac: str) -> str:
    """Return a network interface."""
    return f"<interface type='bridge'><mac address='{mac}'/></interface>"


@pytest.mark.parametrize(
    ("old", "prefix"),
    [
        ("52:54:00:aa:bb:cc", "52:54:00:"),
        ("02:00:0A:AA:BB:CC", "02:00:0a:"),  # the site's own policy
        ("00:50:56:aa:bb:cc", "52:54:00:"),  # a maker's, who gave it to some device
        ("01:00:5e:aa:bb:cc", "52:54:00:"),  # of a group
        ("nonsense", "52:54:00:"),
        ("", "52:54:00:"),
    ],
)
def test_a_new_mac_keeps_what_is_the_sites_own_choice(old: str, prefix: str) -> None:
    """The first half of an address stays where no maker of hardware owns it."""
    root = domain(interface(old))
    renew(root)
    (new,) = macs_of(root)
    assert new.startswith(prefix)
    assert new != old.lower()
    assert re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", new)


def test_every_interface_gets_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another VM or another interface has is not chosen, however the dice fall."""
    dice: Iterator[bytes] = iter([b"\1\1\1", b"\2\2\2", b"\2\2\2", b"\2\2\2", b"\3\3\3", b"\4\4\4"])
    monkeypatch.setattr("vmmgr.operations.identity.secrets.token_bytes", lambda _size: next(dice))
    root = domain(interface("52:54:00:01:01:01") + interface("52:54:00:09:09:09"))
    taken = {"52:54:00:03:03:03", "52:54:00:01:01:01", "52:54:00:09:09:09"}
    renew(root, taken)
    assert [item.get("address") for item in root.iter("mac")] == ["52:54:00:02:02:02", "52:54:00:04:04:04"]


def test_uuid_goes_with_all_that_repeats_it() -> None:
    """The UUID is dropped, also where the firmware tells it to the guest, and the generation of the VM is a new one."""
    more = (
        f"<genid>{UUID}</genid><sysinfo type='smbios'><system><entry name='uuid'>{UUID}</entry>"
        "<entry name='serial'>7</entry></system></sysinfo>"
    )
    root = domain(more=more)
    renew(root)
    text = ET.tostring(root, encoding="unicode")
    assert UUID not in text
    assert '<entry name="serial">7</entry>' in text
    assert root.findtext("genid")


def test_what_nobody_else_has_is_kept() -> None:
    """Of a domain that the user wrote for the clone, only what another VM has is changed."""
    root = domain(interface("52:54:00:AA:00:01") + interface("52:54:00:aa:00:02"))
    renew(root, {"52:54:00:aa:00:01"})
    assert root.findtext("uuid") == UUID
    first, second = (item.get("address") for item in root.iter("mac"))
    assert first not in (None, "52:54:00:AA:00:01")
    assert second == "52:54:00:aa:00:02"
    other = domain(uuid=UUID.upper())
    renew(other, {UUID})
    assert other.find("uuid") is None


@pytest.mark.parametrize(
    ("path", "renamed"),
    [
        ("/var/log/libvirt/qemu/web.serial", "/var/log/libvirt/qemu/web2.serial"),
        ("/var/lib/libvirt/qemu/nvram/web_VARS.fd", "/var/lib/libvirt/qemu/nvram/web2_VARS.fd"),
        ("/srv/web/web", "/srv/web/web2"),
        ("/srv/web/log", "/srv/web/log"),  # no such folder may be there
        ("/srv/webcam.log", "/srv/webcam.log"),
        ("web.log", "web2.log"),
        ("/", "/"),
    ],
)
def test_files_get_the_name_of_the_clone(path: str, renamed: str) -> None:
    """Where the name of the source is a word of a file's name, the clone's takes its place."""
    devices = f"<serial type='file'><source path='{path}'/><log file='{path}'/></serial>"
    source, root = domain(devices, f"<os><nvram>{path}</nvram></os>"), domain(devices, f"<os><nvram>{path}</nvram></os>")
    rename_files(root, "web", "web2")
    assert root.findtext("os/nvram") == renamed
    assert [item.get("path") or item.get("file") for item in root.iterfind("devices/serial/*")] == [renamed, renamed]
    assert common_devices(root, source) == ([] if renamed != path else [f"file {path}"])


def test_hostile_names_are_no_patterns() -> None:
    """A name of the source that another tool chose is taken as it is."""
    root = domain(
        "<serial type='file'><source path='/log/a.b'/></serial><serial type='file'><source path='/log/axb'/></serial>"
    )
    rename_files(root, "a.b", r"\1")
    assert [item.get("path") for item in root.iter("source")] == [r"/log/\1", "/log/axb"]


def test_what_both_would_use_is_told() -> None:
    """Ports, sockets and devices of the hypervisor are told; what libvirt chooses at each start is nobody's."""
    devices = (
        "<graphics type='vnc' port='5901'/><graphics type='vnc' port='-1' autoport='yes'/>"
        "<interface type='vhostuser'><source type='unix' path='/run/socket'/><target dev='net0'/></interface>"
        "<serial type='pty'><source path='/dev/pts/3'/></serial><vsock><cid auto='no' address='3'/></vsock>"
        "<hostdev mode='subsystem' type='pci'><source><address bus='0x3' slot='0x0'/></source></hostdev>"
    )
    assert common_devices(domain(devices), domain(devices)) == [
        "file /run/socket", "port 5901", "network device net0", "vsock address 3", "hypervisor's device 0x3 0x0",
    ]  # fmt: skip
    assert common_devices(domain(devices), domain()) == []


def test_disks_that_both_would_write_to() -> None:
    """A disk of the hypervisor is told unless it cannot be written, or is meant for several."""

    def disk(place: str, more: str = "", device: str = "disk") -> str:
        return f"<disk type='file' device='{device}'><source {place}/>{more}</disk>"

    devices = (
        disk("file='/data/a.raw'") + disk("dev='/dev/sdb'") + disk("file='/seed.iso'", device="cdrom")
        + disk("file='/b.raw'", "<readonly/>") + disk("file='/c.raw'", "<shareable/>") + "<disk device='cdrom'/>"
    )  # fmt: skip
    assert common_disks(domain(devices), domain(devices)) == ["/data/a.raw", "/dev/sdb"]
    assert common_disks(domain(disk("file='/other.raw'")), domain(devices)) == []
