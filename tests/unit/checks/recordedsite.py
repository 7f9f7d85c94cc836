"""A site of recorded answers: what the machines of a lab in order said, with single answers changed by a test."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vmmgr.checks.running import Selection, run_checks
from vmmgr.errors import UnreachableError, VmMgrError
from vmmgr.remote import Result
from vmmgr.site.model import Machine, Site

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vmmgr.checks.running import Finding
    from vmmgr.remote import Line

RECORDED = Path(__file__).parents[2] / "data/checks"
SITE = Site(
    "recorded",
    (
        Machine("hv1", "192.0.2.1", hypervisor=True),
        Machine("hv2", "192.0.2.2", hypervisor=True),
        Machine("obs1", "192.0.2.3", observer=True),
    ),
    migration_user="libvirtadmin",
)


class Said(NamedTuple):
    """An answer to a command."""

    out: str = ""
    code: int = 0
    err: str = ""


class RecordedRemote:
    """Stands in for ``vmmgr.remote.Remote``.

    Attributes:
        changed: Answers that take the place of recorded ones, by host and the beginning of the command.
        otherwise: Answers to commands that were not recorded.
        lost: The machines that do not answer.
        execs: How often each machine was asked.
        asked: The commands that were asked, by host.
    """

    def __init__(self) -> None:
        self._recorded = json.loads((RECORDED / "healthy.json").read_text(encoding="utf-8"))
        self.changed: dict[tuple[str, str], Said] = {}
        self.otherwise: Mapping[str, Said] = {}
        self.lost: dict[str, VmMgrError] = {}
        self.execs: Counter[str] = Counter()
        self.asked: list[tuple[str, str]] = []

    def run_many(self, batches: Mapping[str, Sequence[Line]], *, together: bool) -> dict[str, list[Result] | VmMgrError]:
        assert together
        return {host: self._answer(host, lines) for host, lines in batches.items()}

    def _answer(self, host: str, lines: Sequence[Line]) -> list[Result] | VmMgrError:
        self.execs[host] += 1
        self.asked += [(host, line.argv[-1]) for line in lines]
        return self.lost.get(host) or [self._said(host, line.argv) for line in lines]

    def _said(self, host: str, argv: tuple[str, ...]) -> Result:
        command = argv[-1] if argv[:2] == ("/bin/sh", "-c") else " ".join(argv)
        known = self._recorded["obs1"] | self._recorded[host]  # any machine can speak for the cluster
        changed = [
            said
            for (at, start), said in self.changed.items()
            if at in (host, "all") and (command == start or (start not in known and command.startswith(start)))
        ]
        said = changed[0] if changed else Said(*known[command]) if command in known else self.otherwise[command]
        return Result(host, argv, said.code, said.out.encode(errors="surrogateescape"), said.err.encode())

    def recorded(self, host: str, start: str) -> str:
        """Return the recorded output of the command that begins like that."""
        return next(said[0] for command, said in self._recorded[host].items() if command.startswith(start))

    def edit(self, host: str, start: str, old: str, new: str) -> None:
        """Change something in a recorded answer."""
        text = self.recorded(host if host != "all" else "hv1", start)
        assert old in text
        self.changed[host, start] = Said(text.replace(old, new))


def check(remote: RecordedRemote, site: Site = SITE, **selection: object) -> list[Finding]:
    """Run the checks."""
    return run_checks(site, remote, Selection(**selection))  # type: ignore[arg-type]


def found(findings: Sequence[Finding]) -> dict[tuple[str, str], str]:
    """Return what was seen, by code and host, where a check did not pass."""
    return {(finding.check.code, finding.host): finding.seen for finding in findings if finding.result in ("failed", "error")}


def lose(remote: RecordedRemote, *hosts: str) -> None:
    """Let machines not answer."""
    for host in hosts:
        remote.lost[host] = UnreachableError(f"{host} (root@192.0.2.9 port 22) refuses the connection.")
