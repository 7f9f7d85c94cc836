"""Commands as data: what a driver wants run on a node, and how to read the answer. Nothing here runs anything."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vmmgr.errors import VmMgrError

if TYPE_CHECKING:
    from collections.abc import Callable
    from xml.etree import ElementTree as ET

    from vmmgr.remote.batch import Result

T_co = TypeVar("T_co", covariant=True)

# Seconds that a command may take where its driver states nothing else: ten times what a healthy site needs.
DEFAULT_TIMEOUT = 20.0


class CommandFailedError(VmMgrError):
    """A command on a node ended with an exit code that means failure, or its answer makes no sense.

    Attributes:
        result: The answer of the node.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        said = [line for line in result.stderr.decode(errors="replace").splitlines() if line.strip()]
        if result.timed_out:
            reason = "took longer than it may and was ended"
        elif result.exit_code == 0:
            reason = "gave an answer that cannot be understood"
        else:
            reason = f"failed with exit code {result.exit_code}"
        super().__init__(f"On {result.host}, `{shorten(result.argv)}` {reason}{': ' + ' / '.join(said[-3:]) if said else '.'}")


@dataclass(frozen=True, slots=True)
class Command(Generic[T_co]):
    """One program call on a node.

    Attributes:
        argv: The program and its arguments; no shell sees them.
        parse: Turns the answer into a value, or raises ``CommandFailedError``.
        stdin: A text document for the program's standard input.
        changes: Whether it changes anything; a command that only reads may be repeated and is run by ``--dry-run``.
        timeout: Seconds after which the node ends it.
        edit: What it does to the CIB, done to the root of one; None where it leaves the CIB alone, or where nobody can foretell.
        foretold: The value that a dry run takes for the answer of a command that changes something.
        secret: Whether its document must not be shown to anybody.
        waits: It waits for something that others do; what is read in the same exec is read after it. A dry run goes without it.
    """

    argv: tuple[str, ...]
    parse: Callable[[Result], T_co]
    stdin: str | None = None
    changes: bool = False
    timeout: float = DEFAULT_TIMEOUT
    edit: Callable[[ET.Element], None] | None = None
    foretold: Any = None
    secret: bool = False
    waits: bool = False

    def __str__(self) -> str:
        """Return the command ready to be pasted into a shell."""
        return shlex.join(self.argv)


def shorten(argv: tuple[str, ...], limit: int = 400) -> str:
    """Return a command for an error message: ready to paste, its middle left out where it is very long."""
    text = shlex.join(argv)
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"


def succeeded(result: Result) -> None:
    """Accept exit code 0 only.

    Raises:
        CommandFailedError: The command failed or ran out of time.
    """
    if result.exit_code != 0:
        raise CommandFailedError(result)


def text_of(result: Result) -> str:
    """Return the standard output of a command that succeeded."""
    succeeded(result)
    return result.text
