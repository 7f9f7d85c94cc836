"""The domain XML: what is put in, what is kept, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from vmmgr.drivers.libvirt.host import Secret
from vmmgr.errors import UsageError
from vmmgr.operations.domain import RbdSource, add_disks, named_domain, parse_domain, read_domain_file, text_of, uuid_of

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = RbdSource("pool", (("10.0.0.1", 6789), ("fd00::1", 3300)), Secret("1-2", "client.ha secret"))


def with_disks(text: str, count: int, bus: str = "virtio") -> ET.Element:
    """Return a domain with RBD disks."""
    root = named_domain(text, "web")
    add_disks(root, tuple(f"image{index}" for index in range(count)), bus, SOURCE)
    return root


@pytest.mark.parametrize(
    ("bus", "first", "last"),
    [
        ("virtio", "vda", "vdab"),
        ("scsi", "sda", "sdab"),
        ("sata", "sda", "sdab"),
        ("usb", "sda", "sdab"),
        ("ide", "hda", "hdab"),
    ],
)
def test_a13_24_device_names(bus: str, first: str, last: str) -> None:
    """Disks are named as their bus has it, past the letter z too."""
    targets = [target.get("dev") for target in with_disks("<domain/>", 28, bus).iterfind("devices/disk/target")]
    assert (targets[0], targets[25], targets[26], targets[27]) == (first, first[:2] + "z", last[:2] + "aa", last)


def test_disks_that_are_there_keep_their_names() -> None:
    """A disk of the user's, such as a CD-ROM, keeps its name, and no other gets it."""
    cdrom = '<domain><devices><disk type="file" device="cdrom"><target dev="vdb" bus="virtio"/></disk></devices></domain>'
    targets = [target.get("dev") for target in with_disks(cdrom, 3).iterfind("devices/disk/target")]
    assert targets == ["vdb", "vda", "vdc", "vdd"]


def test_a_disk_is_as_vm_manager_has_it() -> None:
    """A disk is raw, on the network, with the user and the secret of the site and all its monitors."""
    disk = with_disks("<domain/>", 1).find("devices/disk")
    assert disk is not None
    assert ET.tostring(disk, encoding="unicode") == (
        '<disk type="network" device="disk"><driver name="qemu" type="raw" cache="writeback" />'
        '<auth username="ha"><secret type="ceph" uuid="1-2" /></auth>'
        '<source protocol="rbd" name="pool/image0"><host name="10.0.0.1" port="6789" /><host name="fd00::1" port="3300" /></source>'
        '<target dev="vda" bus="virtio" /></disk>'
    )


def test_name_and_uuid_are_set() -> None:
    """The name is the VM's, whatever stood there; a UUID is made where there is none, else kept in its usual form."""
    assert named_domain("<domain><name>old</name></domain>", "web").findtext("name") == "web"
    assert len(uuid_of(named_domain("<domain/>", "web"))) == 36
    assert named_domain("<domain/>", "web")[0].text == "web"
    given = "<domain><uuid> ABCDEF00-0000-4000-8000-000000000000\n</uuid></domain>"
    assert uuid_of(named_domain(given, "web")) == "abcdef00-0000-4000-8000-000000000000"
    with pytest.raises(UsageError, match="'xyz' of the domain XML is none"):
        named_domain("<domain><uuid>xyz</uuid></domain>", "web")


def test_what_the_user_wrote_is_kept() -> None:
    """Comments and QEMU's own namespace survive, with the usual prefix."""
    text = (
        "<!-- made by hand --><domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><!-- mine --><name>x</name>"
        "<qemu:commandline><qemu:arg value='-s'/></qemu:commandline></domain><!-- end -->"
    )
    kept = text_of(named_domain(text, "web"))
    assert "<!-- mine -->" in kept
    assert '<qemu:arg value="-s" />' in kept
    assert 'xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0"' in kept


@pytest.mark.parametrize("name", ["a&b", "<x/>", '"', "]]>", "é"])
def test_hostile_values_stay_values(name: str) -> None:
    """Whatever a name or an image is called, it is text in the document and nothing else."""
    root = named_domain("<domain/>", name)
    add_disks(root, (name,), "virtio", SOURCE)
    again = parse_domain(text_of(root), "again")
    assert again.findtext("name") == name
    assert [source.get("name") for source in again.iterfind("devices/disk/source")] == [f"pool/{name}"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE domain [<!ENTITY a 'b'>]><domain/>", "declares a document type"),
        ("<domain>", "is no XML"),
        ("", "is no XML"),
        ("<network/>", "The root of .* is <network>"),
        ("<domain xmlns='urn:x'/>", "The root of"),
    ],
)
def test_what_is_no_domain(text: str, words: str) -> None:
    """What is no domain, or could do harm when it is read, is refused with its origin."""
    with pytest.raises(UsageError, match=words) as caught:
        parse_domain(text, "my.xml")
    assert "my.xml" in str(caught.value)


def test_deep_nesting_is_refused() -> None:
    """A document that is nested without end is refused, and is no crash."""
    with pytest.raises(UsageError, match="nested"):
        text_of(named_domain("<domain>" + "<a>" * 30000 + "</a>" * 30000 + "</domain>", "web"))


def test_files(tmp_path: Path) -> None:
    """A file is read as it is; one that is missing, too large, not UTF-8 or no domain is named."""
    path = tmp_path / "web.xml"
    path.write_text("<domain><name>ü</name></domain>")
    assert read_domain_file(path) == "<domain><name>ü</name></domain>"
    for content, words in (
        (b"\xff\xfe<", "is no XML in UTF-8"),
        (b" " * (4 << 20) + b"<", "larger than 4 MiB"),
        (b"x", "no XML"),
    ):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=words):
            read_domain_file(path)
    for missing in (tmp_path / "none.xml", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_domain_file(missing)
