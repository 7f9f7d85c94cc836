"""What the machines of a site answered, and what is yet to be asked; the backend that testinfra reads it through."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from _pytest.outcomes import Skipped  # pytest.skip.Exception, which mypy does not take for a class
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from vmmgr.errors import VmMgrError
from vmmgr.remote import Line, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmmgr.command import Command
    from vmmgr.remote import Remote

T = TypeVar("T")

# Seconds for one command of a check: on a healthy site none takes a tenth of it, not even Ceph's.
TIMEOUT = 15.0


class NotAskedYet(Skipped):
    """A check wants to know what no machine was asked so far; it is run again when that is known."""


class NoAnswer(Skipped):
    """The machine does not answer, so what would be checked there is not known."""


class Answers:
    """All answers so far.

    Attributes:
        lost: The machines that do not answer, each with the error.
        asked: How often something was asked for that was not known.
        at_once: Ask at once for what is not known yet, instead of raising ``NotAskedYet``.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._known: dict[tuple[str, tuple[str, ...]], Result] = {}
        self._took: dict[tuple[str, tuple[str, ...]], float] = {}
        self._wanted: dict[str, dict[tuple[str, ...], Line]] = {}
        self.lost: dict[str, VmMgrError] = {}
        self.asked = 0
        self.at_once = False

    def known(self, host: str, argv: tuple[str, ...]) -> Result | None:
        """Return the answer of a machine to a command, if there is one."""
        return self._known.get((host, argv))

    def took(self, host: str, argv: tuple[str, ...]) -> float:
        """Return the seconds that it took to ask for a known answer, on all machines."""
        return self._took[host, argv]

    def get(self, host: str, line: Line) -> Result:
        """Return the answer of a machine to a command.

        Raises:
            NotAskedYet: It will be known after ``fetch``.
            NoAnswer: The machine does not answer.
        """
        if (found := self.known(host, line.argv)) is not None:
            return found
        if host in self.lost:
            raise NoAnswer(f"{host} does not answer: {self.lost[host]}")
        self._wanted.setdefault(host, {})[line.argv] = line
        self.asked += 1
        if not self.at_once:
            raise NotAskedYet
        self.fetch()
        return self.get(host, line)

    def fetch(self) -> None:
        """Ask every machine for all that is wanted of it, at the same time and in one exec each."""
        wanted, self._wanted = self._wanted, {}
        began = time.monotonic()
        answers = self._remote.run_many({host: list(lines.values()) for host, lines in wanted.items()}, together=True)
        took = time.monotonic() - began
        for host, answer in answers.items():
            if isinstance(answer, VmMgrError):
                self.lost[host] = answer
                continue
            for result in answer:
                self._known[host, result.argv] = result
                self._took[host, result.argv] = took


def shell(line: str) -> tuple[str, ...]:
    """Return the arguments that run a shell line."""
    return "/bin/sh", "-c", line


class Backend(BaseBackend):  # type: ignore[misc]
    """testinfra's way to one machine: what is run is a shell line, as root, with the output as bytes."""

    NAME = "vm-mgr"

    def __init__(self, answers: Answers, host: str) -> None:
        super().__init__(host)
        self.answers = answers
        self._encoding = "utf-8"

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        """Return what a command gave; see ``Answers.get`` for what is raised."""
        argv = shell(self.get_command(command, *args))
        result = self.answers.get(self.hostname, Line(argv, timeout=TIMEOUT))
        return CommandResult(self, result.exit_code, argv[-1].encode(errors="surrogateescape"), result.stdout, result.stderr)

    def decode(self, data: bytes) -> str:
        """Return text, whatever the bytes; testinfra would ask the machine for its encoding."""
        return data.decode(errors="replace")


class Node(Host):  # type: ignore[misc]
    """testinfra's host, with its name in the cluster."""

    def __init__(self, answers: Answers, name: str) -> None:
        super().__init__(Backend(answers, name))
        self.backend.set_host(self)
        self.name = name

    def ask(self, command: Command[T]) -> T:
        """Run a command of a driver and return its value.

        Raises:
            CommandFailedError: It failed, or its answer cannot be understood.
        """
        line = Line(command.argv, stdin=command.stdin, timeout=command.timeout)
        return command.parse(self.backend.answers.get(self.name, line))

    def each(self, commands: Sequence[str]) -> list[CommandResult]:
        """Run several commands, all of them in the same round.

        Raises:
            NoAnswer: The machine does not answer.
        """
        answers = [answer for answer in gathered([partial(self.run, command) for command in commands]) if answer is not None]
        if len(answers) < len(commands):
            raise NoAnswer(f"{self} does not answer")
        return answers

    def __str__(self) -> str:
        return self.name


class Nodes(dict[str, Node]):
    """All machines of the site by name."""

    def each(self, command: str, *args: str, of: Sequence[str] | None = None) -> dict[str, CommandResult]:
        """Run a command on every machine, or on those named, and return the answers of those that do answer."""
        names = list(self) if of is None else of
        answers = gathered([partial(self[name].run, command, *args) for name in names])
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}

    def beside(self, node: Node, command: str, *args: str, of: Sequence[str] | None = None) -> dict[str, CommandResult]:
        """Return what ``each`` does, to compare one machine with the others.

        Raises:
            NoAnswer: That machine does not answer.
        """
        answers = self.each(command, *args, of=of)
        node.run(command, *args)
        return answers


def gathered(questions: Sequence[Callable[[], CommandResult]]) -> list[CommandResult | None]:
    """Return the answers to questions of which none needs the answer to another one; None where a machine does not answer."""
    answers: list[CommandResult | None] = []
    later: NotAskedYet | None = None
    for ask in questions:
        try:
            answers.append(ask())
        except NoAnswer:
            answers.append(None)
        except NotAskedYet as error:  # the others are to be asked in the same round
            later = error
    if later is not None:
        raise later
    return answers
