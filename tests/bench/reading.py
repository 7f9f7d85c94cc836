"""``list`` and ``status``, with one VM and with many, against the same commands through the OpenSSH client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.bench import many
from tests.bench.measuring import interleaved
from tests.bench.processes import note_execs, records

if TYPE_CHECKING:
    from tests.bench.measuring import Bench

ROUNDS = 11
GOAL = 1.8
VM, OCTET = "one", 120


def measure(bench: Bench) -> None:
    """Measure with one VM, then with many; they stay, for the lab goes."""
    xml = bench.lab.domain(bench.folder, VM, OCTET)
    bench.vm_mgr("create", "-n", VM, "--xml", xml, "--image", bench.lab.image("tiny"), "--nostart")
    bench.lab.on(bench.lab.anywhere, "crm_resource", "--wait", "--timeout=60")
    _compare(bench, "1 VM, Stopped")
    bench.report.note(f"{bench.vms} VMs are", many.make(bench, VM, bench.vms - 1))
    memory = _compare(bench, f"{bench.vms} VMs")
    bench.report.note(f"list, {bench.vms} VMs: peak memory", f"{memory:.0f} MiB")


def _compare(bench: Bench, site: str) -> float:
    """Add the rows for a site; return the most memory that `list` took, in MiB."""
    log = bench.vm_mgr("-vv", "list")
    host, program = payload(bench, log.err)
    lists, states, bare = interleaved(
        ROUNDS,
        lambda: bench.vm_mgr("list"),
        lambda: bench.vm_mgr("status", "-n", VM),
        lambda: bench.ssh(host, program).seconds,
    )
    bench.report.ratio(f"list, {site} / ssh", [ran.seconds for ran in lists], bare, GOAL)
    bench.report.ratio(f"status, {site} / ssh", [ran.seconds for ran in states], bare, GOAL)
    if site.startswith("1 "):
        note_execs(bench, "list", log)
    return max(float(ran.memory) for ran in lists)


def payload(bench: Bench, log: str) -> tuple[str, str]:
    """Return the host and the very commands that the log of `list -vv` has, as a shell program."""
    found = records(log, [*bench.lab.hypervisors, *bench.lab.observers])
    commands = [match[1] for _, text in found if (match := re.match(r"(.*): exit code 0$", text, re.DOTALL | re.MULTILINE))]
    return found[0][0], "export LC_ALL=C\n" + "".join(f"{command}\n" for command in commands)
