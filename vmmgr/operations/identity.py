"""What only one VM may have: its UUID and MAC addresses, and what it writes to. A clone gets its own (libvirt.org/formatdomain)."""

from __future__ import annotations

import re
import secrets
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from xml.etree import ElementTree as ET

# The prefix of QEMU's and libvirt's own addresses.
_QEMU_PREFIX = "52:54:00"
_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_CHARACTER_DEVICES = ("serial", "console", "parallel", "channel")
# Attributes of devices that two domains on one hypervisor cannot both have, with what they are.
_NUMBERS = (
    ("graphics", "port", "port"),
    ("interface/target", "dev", "network device"),
    ("vsock/cid", "address", "vsock address"),
)
_UNSET = ("", "-1")


def macs_of(root: ET.Element) -> set[str]:
    """Return the MAC addresses of a domain, in lower case."""
    return {_address(item) for item in root.iterfind("devices/interface/mac")}


def renew(root: ET.Element, taken: Collection[str] | None = None) -> None:
    """Change a domain's MAC addresses, and drop its UUID for a new one to be made.

    Args:
        root: The domain.
        taken: UUIDs and MAC addresses, in lower case: only what is among them is changed; None for all.
    """
    avoid = {*macs_of(root), *(taken or ())}
    for item in root.iterfind("devices/interface/mac"):
        if taken is None or _address(item) in taken:
            item.set("address", _new_mac(_address(item), avoid))
            avoid.add(_address(item))
    for element in root.findall("uuid"):
        if taken is not None and (element.text or "").strip().lower() not in taken:
            continue
        root.remove(element)
        # libvirt takes no other one here than the domain's own
        for system in root.iterfind("sysinfo/system"):
            for entry in system.findall("entry[@name='uuid']"):
                system.remove(entry)
        for generation in root.iterfind("genid"):
            generation.text = str(uuid.uuid4())


def rename_files(root: ET.Element, source: str, name: str) -> None:
    """Have a clone write to files of its own, where the names of the files have that of the source as a word."""
    for element, attribute in _written(root):
        renamed = _renamed(_place(element, attribute), source, name)
        if attribute:
            element.set(attribute, renamed)
        else:
            element.text = renamed


def common_disks(root: ET.Element, other: ET.Element) -> list[str]:
    """Return the disks that two domains would both write to."""
    found = _writable_disks(other)
    return [disk for disk in _writable_disks(root) if disk in found]


def common_devices(root: ET.Element, other: ET.Element) -> list[str]:
    """Return the files, ports and devices that two domains on one hypervisor would both use."""
    found = _used(other)
    return [item for item in _used(root) if item in found]


def _writable_disks(root: ET.Element) -> list[str]:
    disks = []
    for disk in root.iterfind("devices/disk"):
        place = disk.find("source")
        mark = disk.find("readonly") if disk.find("shareable") is None else disk.find("shareable")
        harmless = disk.get("device") in ("cdrom", "floppy") or mark is not None
        words = () if place is None or harmless else ("file", "dev", "name", "volume", "path")
        disks += [place.get(word, "") for word in words if place is not None and place.get(word)][:1]
    return disks


def _used(root: ET.Element) -> list[str]:
    used = [f"file {_place(*written)}" for written in _written(root)]
    for path, attribute, words in _NUMBERS:
        values = [item.get(attribute, "") for item in root.iterfind(f"devices/{path}")]
        used += [f"{words} {value}" for value in values if value not in _UNSET]
    for item in root.iterfind("devices/hostdev/source"):
        address = " ".join(value for element in item.iter() for value in element.attrib.values())
        used.append(f"hypervisor's device {address}")
    return list(dict.fromkeys(used))


def _written(root: ET.Element) -> Iterator[tuple[ET.Element, str]]:
    """Yield where the files are named that QEMU writes, each with the attribute, or with none where the text is the name."""
    for element in root.iterfind("os/nvram"):
        if (element.text or "").strip():
            yield element, ""
        yield from ((item, "file") for item in element.iterfind("source") if item.get("file"))
    for kind in _CHARACTER_DEVICES:
        for device in root.iterfind(f"devices/{kind}"):
            if device.get("type") != "pty":
                yield from ((item, "path") for item in device.iterfind("source") if item.get("path"))
            yield from ((item, "file") for item in device.iterfind("log") if item.get("file"))
    yield from ((item, "path") for item in root.iterfind("devices/interface/source") if item.get("path"))


def _place(element: ET.Element, attribute: str) -> str:
    return (element.get(attribute, "") if attribute else element.text or "").strip()


def _renamed(path: str, source: str, name: str) -> str:
    """Put the new name in the place of the old one in the last part of a path, where it is a word of its own."""
    pure = PurePosixPath(path)
    last = re.sub(rf"(?<![A-Za-z0-9]){re.escape(source)}(?![A-Za-z0-9])", lambda _match: name, pure.name)
    return path if last == pure.name else str(pure.with_name(last))


def _address(mac: ET.Element) -> str:
    return mac.get("address", "").strip().lower()


def _new_mac(old: str, avoid: Collection[str]) -> str:
    """Return a new address. The first half stays where it is the site's own choice; makers of hardware own the others."""
    local = _MAC.fullmatch(old) and int(old[:2], 16) & 0b11 == 0b10
    while True:
        address = f"{old[:8] if local else _QEMU_PREFIX}:{secrets.token_bytes(3).hex(':')}"
        if address not in avoid:
            return address
