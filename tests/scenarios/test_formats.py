"""Disk images of every format that a workstation may have, in the pool bit for bit."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

# the login that may least: the data go through sudo
RUN_ON = ("pcs-hardened", "crmsh-root")
SIZE = 8 << 20
# How qemu-img makes each; the first three are read without it.
FORMATS = {
    "raw": ("raw",),
    "compressed.qcow2": ("qcow2", "-c"),
    "zstd.qcow2": ("qcow2", "-c", "-o", "compression_type=zstd"),
    "sparse.vmdk": ("vmdk", "-o", "subformat=monolithicSparse"),
    "stream.vmdk": ("vmdk", "-o", "subformat=streamOptimized"),
    "vdi": ("vdi",),
    "vhdx": ("vhdx",),
}
OWN = ("raw", "compressed.qcow2", "zstd.qcow2")


def converted(folder: Path, source: Path | str, name: str, *options: str) -> str:
    """Convert a raw disk and return the path of the image."""
    path = folder / f"disk.{name}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", *(options or FORMATS[name]), source, path], check=True)
    return str(path)


def disk(path: Path) -> Path:
    """Write a raw disk: a boot sector, holes, what can be compressed and what cannot, up to the last byte."""
    noise = random.Random(7)
    with path.open("wb") as file:
        file.write(bytes(510) + b"\x55\xaa")
        for offset, data in {
            1 << 20: b"text " * 60000,
            3 << 20: noise.randbytes(1 << 20),
            SIZE - 700: noise.randbytes(700),
        }.items():
            file.seek(offset)
            file.write(data)
    return path


def sums(site: LabSite, vm: str, count: int) -> list[str]:
    """Return the checksums of a VM's disks."""
    images = [f"system_{vm}", *(f"data_{vm}_{index}" for index in range(count - 1))]
    script = 'for image; do rbd --no-progress export "$image" - | sha256sum; done'
    return site.on(site.hypervisors[0], "sh", "-c", script, "sh", *images).split()[::2]


def test_formats(site: LabSite, vm: str, xml: str, tmp_path: Path) -> None:
    """Each format, with qemu-img and dissect and with one of them, is the same disk in the pool; else it is refused at once."""
    source = disk(tmp_path / "source")
    expected = hashlib.sha256(source.read_bytes()).hexdigest()
    images = {name: converted(tmp_path, source, name) for name in FORMATS}
    hidden = tmp_path / "hidden" / "dissect"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden by a test')\n")
    without = {"qemu-img": {"PATH": str(hidden)}, "dissect": {"PYTHONPATH": str(hidden.parent)}}

    def create(names: tuple[str, ...], env: dict[str, str]) -> tuple[int, str]:
        first, *others = (images[name] for name in names)
        more = [word for other in others for word in ("--additional-disk", other)]
        answer = site.vm_mgr("create", "-n", vm, "--xml", xml, "--image", first, *more, "--disable", env=env)
        return answer.code, answer.err

    for names, env in ((tuple(FORMATS), {}), (OWN, without["qemu-img"]), (OWN[1:], without["dissect"])):
        code, said = create(names, env)
        assert code == 0, said
        assert sums(site, vm, len(names)) == [expected] * len(names)
        site.done("remove", "-n", vm)
    for name in FORMATS.keys() - set(OWN):
        code, said = create((name,), without["qemu-img"])
        assert (code, "cannot be read here: install qemu-img" in said) == (2, True), said
    code, said = create(OWN[1:2], without["qemu-img"] | without["dissect"])
    assert (code, "`pip install 'vm-mgr[qcow2]'`, or install qemu-img" in said) == (2, True), said
    images["overlay"] = str(tmp_path / "overlay.qcow2")
    backing = ["-b", images["compressed.qcow2"], "-F", "qcow2"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, images["overlay"]], check=True)
    code, said = create(("overlay",), {})
    assert (code, f"only the differences from its backing file '{images['compressed.qcow2']}'" in said) == (2, True), said
    assert site.traces(vm) == []


@pytest.mark.thorough
def test_interrupted_stream_of_a_converted_image(site: LabSite, vm: str, xml: str, big_image: str, tmp_path: Path) -> None:
    """Nothing is left on the site, nor of the copy on the workstation."""
    room = tmp_path / "room"
    room.mkdir()
    vmdk = converted(tmp_path, big_image, "vmdk", "vmdk")
    client = site.start_vm_mgr("create", "-n", vm, "--xml", xml, "-i", vmdk, "--disable", env={"TMPDIR": str(room)})
    until(lambda: f"system_{vm}" in site.rbd("ls"), 60, "the import has begun")
    assert list(room.iterdir())
    client.send_signal(signal.SIGINT)
    _, said = client.communicate(timeout=60)
    assert (client.returncode, "Undoing" in said) == (130, True), said
    assert site.traces(vm) == []
    assert not list(room.iterdir())
