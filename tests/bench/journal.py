"""How long Pacemaker itself takes, as the journals of its controllers say.

That is from the moment at which the DC begins to act on the CIB change that made it start or stop the VM (``S_IDLE ->
S_POLICY_ENGINE``) to the result of the last probe, start or stop of the VM. It holds the scheduler, the probes that precede the
first start, and the operations; it does not hold what the tool needs that makes the CIB change. A verb that stops and starts the
VM has two such spans. The hosts share the clock of the machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bench.measuring import Bench, Ran

_LINE = re.compile(r"^([\d.]+) (\S+) pacemaker-controld\[\d+\]: +\w+: (.*)$", re.MULTILINE)


def pacemaker(bench: Bench, ran: Ran, vm: str) -> tuple[float, float]:
    """Return Pacemaker's time for what ``ran`` made it do to the VM, and that of its last operation alone, in seconds."""
    lines = _lines(bench, ran.began)
    begun = [at for at, text in lines if re.search(rf"Initiating \w+ operation {vm}_(monitor_0|start_0|stop_0) ", text)]
    ended = [at for at, text in lines if re.search(rf"Result of (probe|start|stop) operation for {vm} on ", text)]
    asked = [at for at, text in lines if re.search(rf"Requesting local execution of (start|stop) operation for {vm} ", text)]
    assert all((begun, ended, asked)), "the journals do not tell what Pacemaker did"
    woken = [at for at, text in lines if "S_IDLE -> S_POLICY_ENGINE" in text]
    spans: dict[float, float] = {}  # when the DC woke up, and when it had what it wanted
    for at in begun:
        since = max((moment for moment in woken if moment <= at), default=begun[0])
        until = min((moment for moment in woken if moment > at), default=float("inf"))
        spans[since] = max((moment for moment in ended if at <= moment < until), default=since)
    return sum(last - first for first, last in spans.items()), max(ended) - asked[-1]


def _lines(bench: Bench, began: float) -> list[tuple[float, str]]:
    """Return when the controllers wrote what, on all hosts, sorted."""
    found: list[tuple[float, str]] = []
    for host in [*bench.lab.hypervisors, *bench.lab.observers]:
        lines = _LINE.finditer(journal(bench, host, "pacemaker-controld", began))
        found += [(float(line[1]), line[3]) for line in lines if float(line[1]) >= began]
    return sorted(found)


def journal(bench: Bench, host: str, program: str, began: float) -> str:
    """Return what a program on a host has written since then, all of it: journald takes its time to file what it was given."""
    bench.lab.on(host, "journalctl", "--sync")
    since = f"--since=@{began:.0f}"
    return bench.lab.on(host, "journalctl", "--boot", "--output=short-unix", since, f"--identifier={program}")
