"""The way to a fake site, with everything that can go wrong on it."""

from __future__ import annotations

import hashlib
import signal
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakecommands import Commands, ExitError, command_name
from fakesite import Guest

from vmmgr.errors import ConnectionLostError, SudoError, UnreachableError, VmMgrError
from vmmgr.remote import BatchLostError, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fakesite import FakeSite, Host

    from vmmgr.remote import Line, Way
    from vmmgr.site.model import Machine


class Killed(BaseException):
    """The workstation is gone: nothing may run after it, no undo either."""


@dataclass
class Fault:
    """What happens at one command: ``kind`` says what the client sees, ``effect`` whether the command worked."""

    kind: str
    effect: bool = False
    rest: bool = False


@dataclass
class Event:
    """A command that was run."""

    host: str
    argv: tuple[str, ...]
    name: str

    def __str__(self) -> str:
        return f"{self.host}: {self.name} {' '.join(self.argv[4:] if self.argv[0] == 'sh' else self.argv[1:])[:90]}"


class FakeRemote:
    """Stands in for ``vmmgr.remote.Remote``: the same answers and errors, no network; one host after the other.

    Attributes:
        before: Called with (index, name of the command) before each command, for what others do meanwhile.
        faults: What goes wrong, by the index of the command.
        log: The commands that were run.
        batches: The names of the commands of each exec, with its host.
        changes: What was sent to change something: for each exec its host, and the arguments and the document of each command.
    """

    def __init__(self, site: FakeSite) -> None:
        self.site = site
        self.commands = Commands(site)
        self.before: Callable[[int, str], None] = lambda _index, _name: None
        self.faults: dict[int, Fault] = {}
        self.log: list[Event] = []
        self.execs: Counter[str] = Counter()
        self.streams: Counter[str] = Counter()
        self.connected: list[str] = []
        self.batches: list[tuple[str, list[str]]] = []
        self.changes: list[tuple[str, list[tuple[tuple[str, ...], str | None]]]] = []
        self.killed = False
        self.guests: dict[str, Guest] = {}
        self.users: list[str | None] = []

    def connect_first(self, machines: Sequence[Machine], **_: object) -> str:
        for machine in machines:
            if self.site.hosts[machine.name].reachable:
                self._connect(machine.name)
                return machine.name
        raise UnreachableError("No machine answers.")

    def join(self, ways: Sequence[Way]) -> str:
        """Reach a guest by the first way that works."""
        for way in ways:
            guest = next((guest for guest in self.site.guests.values() if guest.address == way.target.address), None)
            vm = next((vm for vm, found in self.site.guests.items() if found is guest), "")
            if not guest or not self.site.runs[vm].node:
                continue
            if not way.agent and (way.through or "workstation") not in guest.unreachable and guest.refuses:
                raise guest.refuses
            if guest.agent if way.agent else (way.through or "workstation") not in guest.unreachable:
                self.guests[way.target.name] = guest
                self.users.append(way.target.user)
                return way.target.name
        raise UnreachableError(f"{ways[0].target.name} does not answer.")

    def machine(self, name: str) -> Host:
        """Return a machine of the site, or a guest that was joined."""
        return self.guests[name] if name in self.guests else self.site.hosts[name]

    def run(self, host: str, lines: Sequence[Line], *, stop_on_failure: bool = False, together: bool = False) -> list[Result]:
        self._connect(host)
        self.execs[host] += 1
        self.batches.append((host, [command_name(line.argv) for line in lines]))
        if stop_on_failure:
            self.changes.append((host, [(line.argv, line.stdin) for line in lines]))
        results: list[Result] = []
        for position, line in enumerate(lines):
            if results and stop_on_failure and results[-1].exit_code != 0:
                results.append(Result(host, line.argv, -1, b"", b"", skipped=True))
                continue
            fault = self._begin(host, line.argv)
            if fault and fault.kind == "lost":
                rest = lines[position + 1 :] if fault.rest else ()
                for item in [*([line] if fault.effect else []), *rest]:
                    if self._result(host, item).exit_code != 0 and stop_on_failure:
                        break
                raise BatchLostError(f"The connection to {host} was lost: {line.shown}", results, line)
            results.append(self._result(host, line, fault))
        return results

    def run_many(
        self, batches: dict[str, Sequence[Line]], *, stop_on_failure: bool = False, together: bool = False
    ) -> dict[str, list[Result] | VmMgrError]:
        answers: dict[str, list[Result] | VmMgrError] = {}
        for host, lines in batches.items():
            try:
                answers[host] = self.run(host, lines, stop_on_failure=stop_on_failure, together=together)
            except VmMgrError as error:
                answers[host] = error
        return answers

    def stream(self, host: str, argv: Sequence[str], chunks: Iterable[bytes], *, timeout: float) -> Result:
        self._connect(host)
        self.streams[host] += 1
        self.changes.append((host, [(tuple(argv), None)]))
        fault = self._begin(host, tuple(argv))
        data = b"".join(chunks)
        if fault and fault.kind == "lost":
            raise ConnectionLostError(f"The connection to {host} was lost while data was sent")
        if fault and fault.kind in {"fail", "late"}:
            return Result(host, tuple(argv), 124 if fault.kind == "late" else 1, b"", b"injected")
        if command_name(tuple(argv)) == "receive":
            self.guests[host].folders[argv[-1].partition("=")[2]] = data
            self._end(fault)
            return Result(host, tuple(argv), 0, b"", b"")
        image = self.site.images.get(argv[6])
        if image is None:
            return Result(host, tuple(argv), 2, b"", b"no such image")
        image.data = hashlib.sha256(data).hexdigest()
        self._end(fault)
        return Result(host, tuple(argv), 0, image.data.encode() + b"\n", b"")

    def _connect(self, host: str) -> None:
        if self.killed:
            raise AssertionError("something runs after the workstation was killed")
        machine = self.machine(host)
        if isinstance(machine, Guest) and not machine.sudo:
            raise SudoError(f"{host}: sudo does not let the login run /bin/sh as root.")
        if not machine.reachable:
            raise UnreachableError(f"{host} does not answer.")
        if host not in self.connected:
            self.connected.append(host)

    def _begin(self, host: str, argv: tuple[str, ...]) -> Fault | None:
        index, name = len(self.log), command_name(argv)
        self.log.append(Event(host, argv, name))
        self.before(index, name)
        fault = self.faults.get(index)
        if fault and fault.kind in {"SIGINT", "SIGTERM"}:
            signal.raise_signal(signal.Signals[fault.kind])
        return fault

    def _result(self, host: str, line: Line, fault: Fault | None = None) -> Result:
        if fault and fault.kind in {"fail", "late"} and not fault.effect:
            return Result(host, line.argv, 124 if fault.kind == "late" else 1, b"", b"injected")
        try:
            output = self.commands.execute(self.machine(host), line.argv, line.stdin or "")
            answer = Result(host, line.argv, 0, output.encode(errors="surrogateescape"), b"")
        except ExitError as error:
            answer = Result(host, line.argv, error.code, error.output.encode(), error.said.encode())
        self._end(fault)
        if fault and fault.kind in {"fail", "late"}:
            return Result(host, line.argv, 124 if fault.kind == "late" else 1, b"", b"injected")
        return answer

    def _end(self, fault: Fault | None) -> None:
        if fault and fault.kind == "kill":
            self.killed = True
            raise Killed
