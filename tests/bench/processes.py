"""How often vm-mgr connects to each host for a verb, and how many commands it has run there in how many execs."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.bench.journal import journal

if TYPE_CHECKING:
    from tests.bench.measuring import Bench, Ran


def note_execs(bench: Bench, verb: str, ran: Ran) -> None:
    """Add a row for the log that ``-vv`` wrote; the sshd of each host says how many connections there were."""
    cells = []
    hosts: defaultdict[str, list[str]] = defaultdict(list)
    for host, commands in executions(ran.err, [*bench.lab.hypervisors, *bench.lab.observers]):
        hosts[host].append(commands)
    for host, execs in sorted(hosts.items()):
        lines = journal(bench, host, "sshd", ran.began).splitlines()
        logins = [float(line.split()[0]) for line in lines if "Accepted publickey" in line]
        connections = sum(ran.began <= at <= ran.began + ran.seconds for at in logins)
        cells.append(f"{host}: {connections} conn., {len(execs)} execs of {_summed(execs)}")
    bench.report.note(f"{verb}: connections, execs of N commands", "; ".join(cells))


def records(log: str, hosts: list[str]) -> list[tuple[str, str]]:
    """Return host and text of what ``-vv`` logged of the hosts; a command may have several lines."""
    parts = re.split(rf"^({'|'.join(hosts)}): ", log, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def executions(log: str, hosts: list[str]) -> list[tuple[str, str]]:
    """Return host and number of commands of each exec, in order; ``stream`` for one that was sent data."""
    found = []
    for host, text in records(log, hosts):
        if batch := re.match(r"(\d+) of \d+ commands in [\d.]+ s$", text, re.MULTILINE):
            found.append((host, batch[1]))
        elif re.search(r": exit code \d+ in [\d.]+ s$", text, re.MULTILINE):
            found.append((host, "stream"))
    return found


def batches(log: str, hosts: list[str]) -> list[tuple[str, list[str]]]:
    """Return host and commands of each exec, in order; streams are not among them."""
    found = []
    commands: defaultdict[str, list[str]] = defaultdict(list)
    for host, text in records(log, hosts):
        if re.match(r"\d+ of \d+ commands in [\d.]+ s$", text, re.MULTILINE):
            found.append((host, commands.pop(host)))
        elif ended := re.search(r": exit code \d+$", text, re.MULTILINE):
            commands[host].append(text[: ended.start()])
    return found


def _summed(execs: list[str]) -> str:
    """Write runs of equal numbers as one: the looks of a wait are many."""
    runs: list[tuple[str, int]] = []
    for number in execs:
        if runs and runs[-1][0] == number:
            runs[-1] = (number, runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return ", ".join(f"{times}x{number}" if times > 1 else number for number, times in runs)
