"""Runs an operation on the live site: sends what it asks for, remembers how to undo it, and undoes it when it fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from vmmgr.errors import ConnectError, ConnectionLostError, OutcomeUnknownError, PartlyDoneError, VmMgrError
from vmmgr.operations.interruption import Interruption
from vmmgr.operations.steps import (
    Change,
    ChangeEach,
    NextControl,
    Pause,
    Read,
    ReadEach,
    Request,
    Role,
    Say,
    Step,
    Stream,
    Where,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vmmgr.command import Command
    from vmmgr.operations.reporting import Reporter
    from vmmgr.operations.steps import Steps
    from vmmgr.remote import Remote, Result
    from vmmgr.site.model import Site

T = TypeVar("T")

# Seconds between two renewals of a lease while data is sent: a fifth of what operations.lease grants.
RENEWAL = 120.0


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
        self._undo: list[tuple[str, Command[Any]]] = []
        self._committed: Step | None = None
        self.hosts: dict[Role, str] = {}

    def run(self, operation: Steps[T]) -> T:
        """Run an operation to its end and return its value.

        Raises:
            VmMgrError: It failed; what it had done was undone, or the error says what was not.
            KeyboardInterrupt: It was interrupted, likewise.
        """
        self._undo, self._committed = [], None
        with Interruption(self._reporter) as interruption:
            try:
                return self._drive(operation, interruption)
            except (VmMgrError, KeyboardInterrupt) as error:
                with interruption.put_off():
                    self._take_back(error)
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
                answer = self._answer(request, interruption)
            except (VmMgrError, KeyboardInterrupt) as failure:
                error = failure

    def _answer(self, request: Request, interruption: Interruption) -> Any:
        match request:
            case Read():
                return self._read(request)
            case ReadEach():
                return self._read_each(request.commands)
            case Change():
                with interruption.put_off():
                    return self._change(self._host(request.where), request.steps)
            case ChangeEach():
                with interruption.put_off():
                    return self._change_each(request.steps)
            case Stream():
                return self._stream(request)
            case Pause():
                time.sleep(request.seconds)
            case Say():
                self._reporter.say(request.text, warning=request.warning)
            case NextControl():
                return self._next_control()
        return None

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

    def _read(self, request: Read) -> list[Any]:
        """Read; another host takes over when the one that has the role is lost, for reading twice does no harm."""
        host = self._host(request.where)
        try:
            results = self._remote.run(host, [_line(command) for command in request.commands])
        except (ConnectError, ConnectionLostError):
            if request.where is not Role.CONTROL or not self._next_control():
                raise
            return self._read(request)
        return [command.parse(result) for command, result in zip(request.commands, results, strict=True)]

    def _read_each(self, commands: Mapping[str, tuple[Command[Any], ...]]) -> dict[str, list[Any] | VmMgrError]:
        batches = {host: [_line(command) for command in batch] for host, batch in commands.items()}
        answers: dict[str, list[Any] | VmMgrError] = {}
        for host, results in self._remote.run_many(batches).items():
            try:
                if isinstance(results, VmMgrError):
                    raise results
                answers[host] = [command.parse(result) for command, result in zip(commands[host], results, strict=True)]
            except VmMgrError as error:
                answers[host] = error
        return answers

    def _change(self, host: str, steps: Sequence[Step]) -> list[Any]:
        try:
            results = self._remote.run(host, [_line(step.command) for step in steps], stop_on_failure=True)
        except ConnectionLostError as error:
            self._lost(host, steps, getattr(error, "results", []))
            raise
        return self._record(host, steps, results)

    def _change_each(self, steps: Mapping[str, tuple[Step, ...]]) -> None:
        """Change on several hosts; every host's part is recorded before the first error is raised."""
        batches = {host: [_line(step.command) for step in batch] for host, batch in steps.items()}
        errors: list[VmMgrError] = []
        for host, results in self._remote.run_many(batches, stop_on_failure=True).items():
            try:
                if isinstance(results, ConnectionLostError):
                    self._lost(host, steps[host], getattr(results, "results", []))
                if isinstance(results, VmMgrError):
                    raise results
                self._record(host, steps[host], results)
            except VmMgrError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _record(self, host: str, steps: Sequence[Step], results: Sequence[Result]) -> list[Any]:
        """Read the results of steps; those that succeeded leave their undo behind, up to the first that failed."""
        values = []
        for step, result in zip(steps, results, strict=False):
            try:
                values.append(step.command.parse(result))
            except VmMgrError:
                # what ran out of time may have done its work, or go on doing it
                if result.timed_out:
                    self._lost(host, [step], [])
                raise
            self._done(host, step)
        return values

    def _done(self, host: str, step: Step) -> None:
        if step.commits:
            self._undo.clear()
            self._committed = step
        elif step.undo is not None:
            self._undo.append((host, step.undo))

    def _lost(self, host: str, steps: Sequence[Step], results: Sequence[Result]) -> None:
        """Note what may have been done by steps whose answers did not arrive: all of it has to be taken back."""
        self._record(host, steps, results)
        for step in steps[len(results) :]:
            if step.commits and step.command.changes:
                self._undo.clear()
                self._committed = Step(step.command, commits=True, afterwards=step.afterwards or _LOOK)
                return
            self._done(host, step)

    def _stream(self, request: Stream) -> Any:
        host = self._host(request.where)
        with self._reporter.progress(request.title, request.total) as advance:
            chunks = self._renewing(request.chunks(advance), request)
            result = self._remote.stream(host, request.command.argv, chunks, timeout=request.command.timeout)
        return request.command.parse(result)

    def _renewing(self, chunks: Iterator[bytes], request: Stream) -> Iterator[bytes]:
        renewed = time.monotonic()
        for chunk in chunks:
            yield chunk
            if time.monotonic() - renewed > RENEWAL:
                command = request.renew()
                (result,) = self._remote.run(self._host(Role.CONTROL), [_line(command)])
                command.parse(result)
                renewed = time.monotonic()

    def _take_back(self, cause: BaseException) -> None:
        """Undo, newest first, what was done; say what cannot be undone."""
        if self._committed is not None:
            if self._committed.afterwards and isinstance(cause, VmMgrError):
                kind = OutcomeUnknownError if isinstance(cause, OutcomeUnknownError) else PartlyDoneError
                raise kind(f"{cause}\n{self._committed.afterwards}") from cause
            return
        if self._undo:
            self._reporter.say("Undoing what was done so far.")
        failures = [failure for host, command in reversed(self._undo) if (failure := self._undo_one(host, command))]
        if failures:
            raise PartlyDoneError("\n".join([str(cause) or "Interrupted.", "This could not be undone:", *failures])) from cause

    def _undo_one(self, host: str, command: Command[Any]) -> str | None:
        try:
            (result,) = self._remote.run(host, [_line(command)])
            command.parse(result)
        except VmMgrError as error:
            return f"{error}\nTo do it by hand on {host}: {command}"
        return None


_LOOK = "See `vm-mgr status` for what came of it."


def _line(command: Command[Any]) -> Any:
    from vmmgr.remote import Line

    return Line(command.argv, stdin=command.stdin, timeout=command.timeout)
