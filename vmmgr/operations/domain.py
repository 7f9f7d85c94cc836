"""The libvirt domain of a VM: the user's XML, with the name, a UUID and the RBD disks put in (libvirt.org/formatdomain.html)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from itertools import count, product
from string import ascii_lowercase
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vmmgr.drivers.libvirt.host import Secret

# The device names that go with a bus; libvirt derives the disk's address from them.
BUSES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd"}
# Far more than any domain has; a file of this size is something else.
_MAX_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 100

# So that QEMU's own settings in a domain keep their usual prefix when the document is written again.
ET.register_namespace("qemu", "http://libvirt.org/schemas/domain/qemu/1.0")


@dataclass(frozen=True, slots=True)
class RbdSource:
    """How QEMU reaches the images: the pool, the monitors (address, port) and the secret of the Ceph user."""

    pool: str
    monitors: tuple[tuple[str, int], ...]
    secret: Secret


def read_domain_file(path: Path) -> str:
    """Return the text of a domain XML file on the workstation.

    Raises:
        UsageError: It cannot be read, is no XML, or has another root than ``domain``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"The domain XML {str(path)!r} cannot be read: {error.strerror}.") from error
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{str(path)!r} is larger than 4 MiB, so it is no domain XML.")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{str(path)!r} is no XML in UTF-8: byte {error.start} cannot be decoded.") from error
    parse_domain(text, str(path))
    return text


def parse_domain(text: str, origin: str) -> ET.Element:
    """Return the root of a domain.

    Raises:
        UsageError: The text is no XML, declares a document type, or has another root than ``domain``.
    """
    if "<!DOCTYPE" in text:
        raise UsageError(f"{origin!r} declares a document type, which a domain never needs; remove the <!DOCTYPE …>.")
    try:
        root = ET.fromstring(text, ET.XMLParser(target=ET.TreeBuilder(insert_comments=True)))  # noqa: S314 - no DTD, see above
    except ET.ParseError as error:
        raise UsageError(f"{origin!r} is no XML: {error}.") from error
    if root.tag != "domain":
        raise UsageError(f"The root of {origin!r} is <{root.tag}>; a libvirt domain begins with <domain>.")
    level = [root]
    for _ in range(_MAX_DEPTH):
        level = [child for element in level for child in element]
    if level:
        raise UsageError(f"{origin!r} is nested more than {_MAX_DEPTH} elements deep, so it is no domain XML.")
    return root


def named_domain(base_xml: str, name: str) -> ET.Element:
    """Return the domain with the VM's name, and with a new UUID where it has none."""
    root = parse_domain(base_xml, "domain XML")
    _set_text(root, "name", name, 0)
    given = (root.findtext("uuid") or "").strip()
    try:
        domain_uuid = uuid.UUID(given) if given else uuid.uuid4()
    except ValueError as error:
        raise UsageError(f"The UUID {given!r} of the domain XML is none; correct it, or leave it out for a new one.") from error
    _set_text(root, "uuid", str(domain_uuid), 1)
    return root


def uuid_of(root: ET.Element) -> str:
    """Return the UUID of a domain, in lower case."""
    return (root.findtext("uuid") or "").strip().lower()


def text_of(root: ET.Element) -> str:
    """Return the document as text, with a line break at its end."""
    return ET.tostring(root, encoding="unicode") + "\n"


def add_disks(root: ET.Element, images: tuple[str, ...], bus: str, source: RbdSource) -> None:
    """Append the RBD disks to a domain, as vm_manager does: raw, network, with the first free device names."""
    devices = root.find("devices")
    if devices is None:
        devices = ET.SubElement(root, "devices")
    taken = {target.get("dev", "") for target in devices.iterfind("disk/target")}
    free = (device for device in _device_names(BUSES[bus]) if device not in taken)
    for image, device in zip(images, free, strict=False):
        devices.append(_disk(image, device, bus, source))


def _disk(image: str, device: str, bus: str, source: RbdSource) -> ET.Element:
    disk = ET.Element("disk", type="network", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="raw", cache="writeback")
    auth = ET.SubElement(disk, "auth", username=source.secret.user)
    ET.SubElement(auth, "secret", type="ceph", uuid=source.secret.uuid)
    network = ET.SubElement(disk, "source", protocol="rbd", name=f"{source.pool}/{image}")
    for address, port in source.monitors:
        ET.SubElement(network, "host", name=address, port=str(port))
    ET.SubElement(disk, "target", dev=device, bus=bus)
    return disk


def _device_names(prefix: str) -> Iterator[str]:
    """Yield vda, vdb, …, vdz, vdaa, and so on."""
    for length in count(1):
        for letters in product(ascii_lowercase, repeat=length):
            yield prefix + "".join(letters)


def _set_text(root: ET.Element, tag: str, text: str, position: int) -> None:
    element = root.find(tag)
    if element is None:
        element = ET.Element(tag)
        root.insert(position, element)
    element.text = text
