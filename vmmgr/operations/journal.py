"""Remembers what an operation has done, and takes it back when the operation fails."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmmgr.command import CommandFailedError
from vmmgr.errors import OutcomeUnknownError, PartlyDoneError, VmMgrError
from vmmgr.operations.lease import TakenOverError
from vmmgr.operations.steps import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmmgr.command import Command
    from vmmgr.operations.reporting import Reporter
    from vmmgr.operations.steps import Where
    from vmmgr.remote import Result

_LOOK = "See `vm-mgr status` for what came of it."
# Seconds to wait before an undo that failed is tried again: what was broken off may still have an image open.
_PAUSES = (1.0, 4.0)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A step that was done, or if it is not ``certain``, one that may have been."""

    where: Where
    step: Step
    undo: Command[Any]
    certain: bool


class Journal:
    """The undo list of one operation."""

    def __init__(self, send: Callable[[Where, Command[Any]], object], reporter: Reporter) -> None:
        """Start an empty list; ``send`` runs a command that may be repeated, and raises what its parser raises."""
        self._send, self._reporter = send, reporter
        self._entries: list[_Entry] = []
        self._committed: Step | None = None
        self._unsure = False

    def record(self, where: Where, steps: Sequence[Step], results: Sequence[Result]) -> list[Any]:
        """Read the results of steps; those that succeeded leave their undo behind, up to the first that failed."""
        values = []
        for step, result in zip(steps, results, strict=False):
            try:
                values.append(step.command.parse(result))
            except CommandFailedError:
                # what ran out of time may have done its work, or go on doing it; a tool may also fail after its work
                if result.timed_out:
                    self.lost(where, [step], [])
                elif not (step.commits or step.exclusive):
                    self._done(where, step, certain=False)
                raise
            self._done(where, step)
        return values

    def lost(self, where: Where, steps: Sequence[Step], results: Sequence[Result]) -> None:
        """Note what may have been done by steps whose answers did not arrive: all of it has to be taken back."""
        self.record(where, steps, results)
        for step in steps[len(results) :]:
            if step.commits and step.command.changes:
                self._entries.clear()
                self._committed = Step(step.command, commits=True, afterwards=step.afterwards or _LOOK)
                return
            self._unsure = self._unsure or step.exclusive
            self._done(where, step, certain=False)

    def _done(self, where: Where, step: Step, *, certain: bool = True) -> None:
        if step.commits:
            self._entries.clear()
            self._committed = step
        elif step.undo is not None:
            self._entries.append(_Entry(where, step, step.undo, certain))

    def take_back(self, cause: BaseException) -> None:
        """Undo, newest first, what was done; say what cannot be undone.

        Raises:
            PartlyDoneError: Something remains, or its outcome is not known (``OutcomeUnknownError``).
        """
        said = str(cause) or ("Interrupted." if isinstance(cause, KeyboardInterrupt) else type(cause).__name__)
        if self._committed is not None:
            if self._committed.afterwards:
                kind = OutcomeUnknownError if isinstance(cause, OutcomeUnknownError) else PartlyDoneError
                raise kind(f"{said}\n{self._committed.afterwards}") from cause
            return
        if not self._entries:
            return
        mark = next((entry for entry in self._entries if entry.step.holds), None)
        hint = mark.step.afterwards if mark else ""
        if self._unsure:
            raise OutcomeUnknownError(
                f"{said}\nNothing was undone, for it is not known what was done.\n{hint}".rstrip()
            ) from cause
        if mark and (problem := self._attempt(mark.where, mark.step.holds)):
            if mark.certain or not isinstance(problem, TakenOverError):
                raise PartlyDoneError(f"{said}\nNothing was undone. {problem}\n{hint}") from cause
            # it was never there, and so nothing that comes after it
            del self._entries[self._entries.index(mark) :]
        if not self._entries:
            return
        self._reporter.say("Undoing what was done so far.")
        if failures := self._undo():
            raise PartlyDoneError("\n".join([said, "This could not be undone:", *failures, hint]).rstrip()) from cause

    def _undo(self) -> list[str]:
        failures: list[str] = []
        while self._entries:
            entry = self._entries.pop()
            if (entry.step.holds or entry.step.anchor) and failures:
                break  # the mark stays, and with it what came before
            if failure := self._attempt(entry.where, entry.undo):
                failures.append(f"{failure}\nTo do it by hand: {entry.undo}")
        return failures

    def _attempt(self, where: Where, command: Command[Any] | None) -> VmMgrError | None:
        """Run a command until it succeeds; return its error if it does not."""
        failure: VmMgrError | None = None
        for pause in (*_PAUSES, 0.0):
            try:
                self._send(where, command) if command else None
            except CommandFailedError as error:
                failure = error
                time.sleep(pause)
            except VmMgrError as error:
                return error
            else:
                return None
        return failure
