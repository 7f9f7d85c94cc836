"""The verbs on a tiny VM, against the time that Pacemaker itself takes."""

from __future__ import annotations

import socket
import time
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.journal import pacemaker
from tests.bench.processes import note_execs

if TYPE_CHECKING:
    from tests.bench.measuring import Bench

VM, OCTET = "tiny", 101
# Of each round, in this order.
VERBS = ("create", "stop", "start", "stop", "start", "disable", "enable", "remove")
# Seconds more than Pacemaker itself; pcs, a Python program that reads the CIB several times, is granted 0.4 s of its own.
GOALS = {
    "crmsh": {"start": 0.6, "stop": 0.6, "create": 1.5},
    "pcs": {"start": 1.0, "stop": 1.0, "create": 1.9},
}


def measure(bench: Bench) -> None:
    """Measure every verb, round by round."""
    xml = bench.lab.domain(bench.folder, VM, OCTET)
    taken: dict[str, list[tuple[float, float, float]]] = {}
    bench.vm_mgr("create", "-n", VM, "--xml", xml, "--image", bench.lab.image("tiny"))  # wakes libvirt up
    settle(bench, up=True)
    bench.vm_mgr("remove", "-n", VM)
    for turn in range(bench.rounds):
        for index, verb in enumerate(VERBS):
            more = ("--xml", xml, "--image", bench.lab.image("tiny")) if verb == "create" else ()
            settle(bench, up=verb not in ("create", "start", "enable"))
            ran = bench.vm_mgr("-vv", verb, "-n", VM, *more)
            taken.setdefault(verb, []).append((ran.seconds, *pacemaker(bench, ran, VM)))
            if turn == bench.rounds - 1 and verb not in VERBS[:index]:
                note_execs(bench, verb, ran)
    bench.report.note(f"{bench.tools}: its own start on the host, part of each change", f"{_tool(bench):.2f} s")
    for verb, rounds in taken.items():
        ours, span, operations = zip(*rounds, strict=True)
        goal = GOALS[bench.tools].get(verb)
        bench.report.difference(f"{verb} / Pacemaker (its operation {median(operations):.2f} s)", ours, span, goal)


def _tool(bench: Bench) -> float:
    """Return the seconds that the cluster tool takes to do nothing at all."""
    program = "crm" if bench.tools == "crmsh" else "pcs"
    script = f"for i in 1 2 3 4 5 6; do date +%s.%N; {program} --version >/dev/null; done"
    times = [float(line) for line in bench.lab.on(bench.lab.anywhere, "sh", "-c", script).split()]
    return median(after - before for before, after in pairwise(times))


def settle(bench: Bench, *, up: bool, octet: int = OCTET) -> None:
    """Wait until Pacemaker has nothing to do, and until the guest, if it is up, heeds the power button."""
    if up:
        _wait_for_guest(f"{bench.lab.environ['LAB_NET']}.{octet}")
    bench.lab.on(bench.lab.anywhere, "crm_resource", "--wait", "--timeout=60")
    time.sleep(1)


def _wait_for_guest(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection((address, 22), 1).close()
        except ConnectionRefusedError:
            break
        except OSError:
            time.sleep(0.2)
        else:
            break
    time.sleep(2)  # the network is up a little before the daemon that hears the button
