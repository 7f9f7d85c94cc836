"""The import of a disk image, against copying it to a hypervisor and converting it there, as vm_manager is used."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from tests.bench.measuring import interleaved, run
from tests.bench.processes import records

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bench.measuring import Bench, Ran

MIB = 1 << 20
VIRTUAL = 4096 * MIB
# Pieces of the data, evenly spread over the disk.
PIECES = 64
ROUNDS = 3
VM, OCTET = "imported", 150


def measure(bench: Bench) -> None:
    """Measure the import with and without compression, and the way over a copy."""
    image, xml = make_image(bench), bench.lab.domain(bench.folder, VM, OCTET)
    host = bench.lab.hypervisors[0]

    def ours(*more: str) -> Ran:
        ran = bench.vm_mgr("-vv", "create", "-n", VM, "--disable", "--xml", xml, "--image", str(image), *more)
        bench.vm_mgr("remove", "-n", VM)
        return ran

    plain, compressed, copied = interleaved(ROUNDS, ours, lambda: ours("--compress"), lambda: _copied(bench, host, image))
    data = f"{bench.size} MiB random in 4 GiB"
    hosts = [*bench.lab.hypervisors, *bench.lab.observers]
    bench.report.ratio(
        f"the import alone, {data} / scp + qemu-img convert", [_stream(ran, hosts) for ran in plain], copied, 1.0
    )
    what = f"create --disable, {data}"
    bench.report.ratio(f"{what} / scp + qemu-img convert", [ran.seconds for ran in plain], copied, None)
    bench.report.ratio(f"{what}, --compress / the same", [ran.seconds for ran in compressed], copied, None)
    bench.report.note("create: peak memory", f"{max(ran.memory for ran in plain):.0f} MiB")
    bench.report.note("create --compress: peak memory", f"{max(ran.memory for ran in compressed):.0f} MiB")


def _stream(ran: Ran, hosts: list[str]) -> float:
    """Return the seconds from the begin of the stream to the answer that all of it is in the image, as ``-vv`` tells."""
    times = [re.search(r": exit code 0 in ([\d.]+) s$", text, re.MULTILINE) for _host, text in records(ran.err, hosts)]
    (found,) = [time for time in times if time]
    return float(found[1])


def make_image(bench: Bench) -> Path:
    """Make a qcow2 file that holds random data, which no compression makes smaller, in pieces all over the disk."""
    raw, image = bench.folder / "random.raw", bench.folder / "random.qcow2"
    with raw.open("wb") as file:
        file.truncate(VIRTUAL)
        for piece in range(PIECES):
            file.seek(piece * (VIRTUAL // PIECES))
            file.write(os.urandom(bench.size * MIB // PIECES))
    run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(image)])
    raw.unlink()
    return image


def _copied(bench: Bench, host: str, image: Path) -> float:
    """Copy the file to a hypervisor and convert it into RBD there; return the seconds."""
    there = "/var/tmp/bench.qcow2"
    sent = run(["scp", "-q", *bench.ssh_options(), str(image), f"{bench.login(host)}:{there}"])
    converted = bench.ssh(host, f"qemu-img convert -f qcow2 -O raw {there} rbd:rbd/bench\n")
    bench.lab.on(host, "sh", "-c", f"rm {there}; rbd --no-progress rm rbd/bench")
    return float(sent.seconds + converted.seconds)
