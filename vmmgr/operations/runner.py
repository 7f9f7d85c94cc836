"""Runs an operation on the live site: sends what it asks for, and has it undone when it fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from vmmgr.errors import ConnectError, ConnectionLostError, VmMgrError
from vmmgr.operations.interruption import Interruption
from vmmgr.operations.journal import Journal
from vmmgr.operations.steps import (
    Change,
    ChangeEach,
    Join,
    NextControl,
    Pause,
    Read,
    ReadEach,
    Request,
    Role,
    Say,
    Stream,
    Where,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vmmgr.command import Command
    from vmmgr.operations.reporting import Reporter
    from vmmgr.operations.steps import Step, Steps
    from vmmgr.remote import Remote, Result
    from vmmgr.site.model import Site

T = TypeVar("T")

# Seconds between two renewals of a lease while data is sent: a fifth of what operations.lease grants.
RENEWAL = 120.0
# What another host can take over from: for a change, only what is known to have run nothing.
_NOTHING_RUN, _ANY_LOSS = (ConnectError,), (ConnectError, ConnectionLostError)


class Runner:
    """Runs operations on one site, one after the other.

    Attributes:
        hosts: The host that was chosen for each role so far.
    """

    def __init__(self, site: Site, remote: Remote, reporter: Reporter) -> None:
        self._site = site
        self._remote = remote
        self._reporter = reporter
        self._excluded: set[str] = set()
        self._journal = Journal(self._send, reporter)
        self.hosts: dict[Role, str] = {}

    def run(self, operation: Steps[T]) -> T:
        """Run an operation to its end and return its value.

        Raises:
            VmMgrError: It failed; what it had done was undone, or the error says what was not.
            KeyboardInterrupt: It was interrupted, likewise.
        """
        self._journal = Journal(self._send, self._reporter)
        with Interruption(self._reporter) as interruption:
            try:
                return self._drive(operation, interruption)
            except (Exception, KeyboardInterrupt) as error:  # a mistake in vm-mgr is no reason to leave things half done
                self._journal.take_back(error)
                raise

    def _drive(self, operation: Steps[T], interruption: Interruption) -> T:
        """Answer the requests of an operation; errors are raised inside it, where it can deal with them."""
        answer: Any = None
        error: VmMgrError | KeyboardInterrupt | None = None
        while True:
            try:
                request = operation.send(answer) if error is None else operation.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer, error = None, None
            try:
                interruption.check()
                answer = self._answer(request, interruption)
            except (VmMgrError, KeyboardInterrupt) as failure:
                error = failure

    def _answer(self, request: Request, interruption: Interruption) -> Any:
        match request:
            case Change():
                return self._change(request.where, request.steps)
            case ChangeEach():
                return self._change_each(request)
            case Say():
                self._reporter.say(request.text, warning=request.warning)
            case NextControl():
                return self._next_control()
            case _:
                with interruption.at_once():
                    return self._watch(request)
        return None

    def _watch(self, request: Read | ReadEach | Stream | Join | Pause) -> Any:
        """Answer what can be broken off at any time."""
        match request:
            case Read():
                results = self._run(request.where, request.commands, _ANY_LOSS)
                return [command.parse(result) for command, result in zip(request.commands, results, strict=True)]
            case ReadEach():
                return self._read_each(request.commands)
            case Stream():
                return self._stream(request)
            case Join():
                return self._remote.join(request.ways)
            case Pause():
                time.sleep(request.seconds)
                return True

    def _host(self, where: Where) -> str:
        """Return the host for a role, connecting to it if this is the first time."""
        if isinstance(where, str):
            return where
        if where not in self.hosts:
            if where is Role.CONTROL:
                machines = [machine for machine in self._site.control_candidates if machine.name not in self._excluded]
            else:
                known = self.hosts.get(Role.CONTROL)
                machines = sorted(self._site.hypervisors, key=lambda machine: machine.name != known)
            self.hosts[where] = self._remote.connect_first(machines)
        return self.hosts[where]

    def _next_control(self) -> bool:
        self._excluded.add(self.hosts.pop(Role.CONTROL))
        try:
            self._host(Role.CONTROL)
        except ConnectError:
            self._excluded.clear()
            return False
        return True

    def _run(
        self, where: Where, commands: Sequence[Command[Any]], losses: tuple[type[VmMgrError], ...], *, stop: bool = False
    ) -> list[Result]:
        """Run commands in one exec: in order up to the first failure with ``stop``, otherwise all at the same time.

        After one of ``losses``, another host takes over from the control host.
        """
        lines = [_line(command) for command in commands]
        while True:
            host = self._host(where)
            try:
                return self._remote.run(host, lines, stop_on_failure=stop, together=not stop)
            except losses:
                if where is not Role.CONTROL or not self._next_control():
                    raise

    def _send(self, where: Where, command: Command[Any]) -> object:
        """Run one command that may be repeated."""
        (result,) = self._run(where, [command], _ANY_LOSS)
        return command.parse(result)

    def _read_each(self, commands: Mapping[Where, tuple[Command[Any], ...]]) -> dict[Where, list[Any] | VmMgrError]:
        hosts = {where: self._host(where) for where in commands}
        batches: dict[str, list[Any]] = {}
        begins: dict[Where, int] = {}
        for where, batch in commands.items():
            lines = batches.setdefault(hosts[where], [])
            begins[where] = len(lines)
            lines += map(_line, batch)
        answers: dict[Where, list[Any] | VmMgrError] = {}
        results = self._remote.run_many(batches, together=True)
        for where, batch in commands.items():
            try:
                answer = results[hosts[where]]
                if isinstance(answer, _ANY_LOSS) and where is Role.CONTROL and self._next_control():
                    answer = self._run(where, batch, _ANY_LOSS)
                    begins[where] = 0
                if isinstance(answer, VmMgrError):
                    raise answer
                own = answer[begins[where] : begins[where] + len(batch)]
                answers[where] = [command.parse(result) for command, result in zip(batch, own, strict=True)]
            except VmMgrError as error:
                answers[where] = error
        return answers

    def _change(self, where: Where, steps: Sequence[Step]) -> list[Any]:
        try:
            results = self._run(where, [step.command for step in steps], _NOTHING_RUN, stop=True)
        except ConnectionLostError as error:
            self._journal.lost(where, steps, getattr(error, "results", []))
            raise
        return self._journal.record(where, steps, results)

    def _change_each(self, request: ChangeEach) -> list[str]:
        """Change on several hosts; every host's part is recorded before the first error is raised."""
        batches = {host: [_line(step.command) for step in batch] for host, batch in request.steps.items()}
        errors: list[VmMgrError] = []
        left_out: list[str] = []
        for host, results in self._remote.run_many(batches, stop_on_failure=True).items():
            try:
                if isinstance(results, ConnectionLostError):
                    self._journal.lost(host, request.steps[host], getattr(results, "results", []))
                if isinstance(results, ConnectError) and request.leave_out:
                    left_out.append(host)
                    continue
                if isinstance(results, VmMgrError):
                    raise results
                self._journal.record(host, request.steps[host], results)
            except VmMgrError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return left_out

    def _stream(self, request: Stream) -> Any:
        host = self._host(request.where)
        with self._reporter.progress(request.title, request.total) as advance:
            chunks = self._renewing(request.chunks(advance), request)
            result = self._remote.stream(host, request.command.argv, chunks, timeout=request.command.timeout)
        return request.command.parse(result)

    def _renewing(self, chunks: Iterator[bytes | memoryview], request: Stream) -> Iterator[bytes | memoryview]:
        renewed = time.monotonic()
        for chunk in chunks:
            yield chunk
            if time.monotonic() - renewed > RENEWAL:
                self._send(Role.CONTROL, request.renew())
                renewed = time.monotonic()


def _line(command: Command[Any]) -> Any:
    from vmmgr.remote import Line

    return Line(command.argv, stdin=command.stdin, timeout=command.timeout, waits=command.waits)
