"""More of what the verbs do, where neither the tool nor the number of hosts makes a difference."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tests.scenarios.site import status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("pcs-hardened", "crmsh-root")


def raw_sha256(image: str) -> str:
    """Return the SHA-256 of the disk that an image on the workstation describes."""
    code = (
        "import hashlib, sys; from pathlib import Path; from vmmgr.images import open_image\n"
        "digest, end = hashlib.sha256(), 0\n"
        "with open_image(Path(sys.argv[1])) as image:\n"
        "    for offset, data in image.extents():\n"
        "        digest.update(bytes(offset - end)); digest.update(data); end = offset + len(data)\n"
        "    digest.update(bytes(image.virtual_size - end))\n"
        "print(digest.hexdigest())"
    )
    return subprocess.run([sys.executable, "-c", code, image], check=True, capture_output=True, text=True).stdout.strip()


def test_image_is_bit_identical(site: LabSite, vm: str, tmp_path: Path) -> None:
    """What is in the pool is the disks that were on the workstation, and the VM boots from the first."""
    disks = {f"system_{vm}": "debian", f"data_{vm}_0": "tiny"}
    import_disks(site, vm, tmp_path, disks)
    assert status(site, vm) == ("Disabled", None)
    assert {item["image"] for item in site.rbd("group", "image", "ls", vm)} == set(disks)
    targets = [target.get("dev") for target in ET.fromstring(site.metadata(vm)["xml"]).iter("target") if target.get("dev")]
    assert targets == ["vda", "vdb"]
    site.done("remove", "-n", vm)
    assert site.traces(vm) == []


def test_compressed_on_the_way(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A disk that was compressed for the link is the same in the pool."""
    import_disks(site, vm, tmp_path, {f"system_{vm}": "tiny"}, "--compress")
    site.done("remove", "-n", vm)


def import_disks(site: LabSite, vm: str, folder: Path, disks: dict[str, str], *options: str) -> None:
    """Create a disabled VM, and compare each RBD image with the guest's image that it was made of."""
    first, *others = (site.image(guest) for guest in disks.values())
    more = [word for other in others for word in ("--additional-disk", other)]
    site.done("create", "-n", vm, "--xml", site.domain(folder, vm, 102), "-i", first, *more, "--disable", *options)
    for image, guest in disks.items():
        export = f"rbd export {image} - 2>/dev/null | sha256sum"
        assert site.on(site.hypervisors[0], "sh", "-c", export).split()[0] == raw_sha256(site.image(guest))


def test_stop_with_force(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A guest that does not heed its power button is switched off at once, instead of after its stop timeout."""
    xml = site.domain(tmp_path, vm, 104)
    empty = tmp_path / "empty.raw"
    empty.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    site.done("create", "-n", vm, "--xml", xml, "-i", str(empty), "--stop-timeout", "120")
    answer = site.done("stop", "--force", "-n", vm)
    assert site.runs_on(vm) == []
    assert answer.seconds < 60
    site.done("remove", "-n", vm)


def test_hypervisor_that_was_away_gets_the_domain_xml(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Enable of an enabled VM writes its domain XML where it is missing or another one, and changes nothing else."""
    xml = site.domain(tmp_path, vm, 106)
    site.done("create", "-n", vm, "--xml", xml, "-i", site.image("tiny"), "--nostart")
    right, epoch = site.files(vm), site.epoch()
    first, second = site.hypervisors[:2]
    site.on(first, "rm", f"/etc/pacemaker/{vm}.xml")
    site.on(second, "sh", "-c", f"echo other > /etc/pacemaker/{vm}.xml")
    answer = site.done("enable", "-n", vm)
    assert "got the domain XML" in answer.err
    assert site.files(vm) == right
    assert site.epoch() == epoch
    assert "got" not in site.done("enable", "-n", vm).err
    site.done("remove", "-n", vm)


def test_many_formats(site: LabSite) -> None:
    """The lists come in all formats that programs read, and the drivers are told."""
    assert site.done("list", "-f", "csv").out.splitlines()[0] == '"Name","Status","Node","Details"'
    assert site.done("list", "-f", "yaml").out.strip() == "[]"
    assert site.done("list", "-f", "value").out == ""
    assert {row["Name"] for row in site.done("drivers", "-f", "json").rows} >= {"crmsh", "pcs", "rbd", "libvirt"}
