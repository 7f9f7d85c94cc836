"""What an operation can ask for. An operation is a generator: it yields these requests and is sent their answers.

So an operation reads from top to bottom like the procedure that an administrator would write down, contacts nobody itself,
and can be run live, or in a test against recorded answers. ``vmmgr.operations.runner`` runs it live.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.remote import Result, Way

T = TypeVar("T")


class Role(Enum):
    """A host by what it has to do."""

    CONTROL = "control"
    """The one that speaks for the cluster: the first observer that answers, else any hypervisor."""
    HYPERVISOR = "hypervisor"
    """One that can do libvirt and image work."""


Where = Role | str
"""A role, or the name of a host."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a change.

    Attributes:
        command: What to run.
        undo: What takes it back if the operation fails later; it must be harmless when there is nothing to take back.
        commits: From here on nothing is undone. A failure after it is reported together with ``afterwards``.
        afterwards: What to do when something fails after the commit; empty where the state is then a regular one.
        exclusive: It makes what nobody else may have made. Its failure means that nothing was done, and while its outcome is
            not known nothing is undone: what has the name may be somebody else's.
        anchor: What a repair would start from. It and what came before it stay when something that came after it could not be
            taken back.
        holds: For the step that marks the VM: tells whether the mark still is this operation's, or fails. Without it nothing
            is undone, for somebody else has taken over; and the mark stays when what came after it could not be undone.
    """

    command: Command[Any]
    undo: Command[Any] | None = None
    commits: bool = False
    afterwards: str = ""
    exclusive: bool = False
    anchor: bool = False
    holds: Command[Any] | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Run commands that change nothing, at the same time and in one exec. Answer: the list of their values.

    A dry run leaves out those that wait.
    """

    where: Where
    commands: tuple[Command[Any], ...]


@dataclass(frozen=True, slots=True)
class ReadEach:
    """Read on several hosts at the same time, with one exec each. Answer: for each its values, or the error that it met.

    A role may stand beside the name of the host that has it; both then share the exec.
    """

    commands: Mapping[Where, tuple[Command[Any], ...]]


@dataclass(frozen=True, slots=True)
class Change:
    """Run the steps in one exec, up to the first that fails. Answer: the list of their values.

    For a role, another host takes over when the one that has it cannot be reached, as long as nothing was run.
    """

    where: Where
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class ChangeEach:
    """Change on several hosts at the same time. Answer: the hosts that were left out.

    Attributes:
        steps: For each host; all of them must succeed.
        leave_out: Go without the hosts that cannot be reached.
    """

    steps: Mapping[str, tuple[Step, ...]]
    leave_out: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """Send data to a command. Answer: the command's value.

    Attributes:
        chunks: Makes the data; it is given a function to call with the number of bytes of ``total`` that are done.
        title: What is being sent, for the progress bar.
        total: Bytes.
        renew: Run on the control host from time to time, so that the lease of this operation does not end meanwhile.
    """

    where: Where
    command: Command[Any]
    chunks: Callable[[Callable[[int], None]], Iterator[bytes | memoryview]]
    title: str
    total: int
    renew: Callable[[], Command[Any]]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds. Answer: whether to go on waiting; False in a dry run, where nothing comes of it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the user something: progress, or with ``warning`` what needs attention."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """Connect to a guest by the first of these ways that works. Answer: the name by which it is a host from then on."""

    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class NextControl:
    """Leave the present control host for the next one. Answer: whether there is one."""


Request = Read | ReadEach | Change | ChangeEach | Stream | Pause | Say | Join | NextControl
Steps = Generator[Request, Any, T]
"""An operation, or a part of one, that returns a ``T``."""


def telling_host(step: Step, expected: str) -> Step:
    """Return the step with the name of the host that did it as its value; a dry run takes the expected one for it."""

    def parse(result: Result) -> str:
        step.command.parse(result)
        return result.host

    return replace(step, command=replace(step.command, parse=parse, foretold=expected))


def read(where: Where, command: Command[T]) -> Steps[T]:
    """Run one reading command and return its value."""
    (value,) = yield Read(where, (command,))
    return value  # type: ignore[no-any-return]


def change(where: Where, *steps: Step) -> Steps[list[Any]]:
    """Run the steps in one exec and return their values."""
    return (yield Change(where, steps))  # type: ignore[no-any-return]
