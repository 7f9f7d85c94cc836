"""Turn a list of commands into one shell program, and its output back into one result per command.

The program goes over the standard input of ``/bin/sh``, so that nothing of it shows in a process list. It is one ``{ … }``:
the shell reads it to the end before it runs anything, so a connection that breaks while it is being sent runs nothing.
Commands that only read may run at the same time.
After each command the shell prints a marker with a random nonce on both streams. The nonce stands in the text of the
program only, in no variable, and the commands never see that text: their own input is /dev/null or their document.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmmgr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

KILL_AFTER = 5
"""Seconds between the TERM and the KILL that a command gets when its time is up."""

ENVIRONMENT = (
    "export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nunset LANGUAGE CDPATH\numask 077\n"
)

_PROGRAM = """{{
{environment}mark() {{
    printf '\\n%s %s %s\\n' {nonce} "$1" "$2"
    printf '\\n%s %s %s\\n' {nonce} "$1" "$2" >&2
    return "$2"
}}
end() {{ mark end 0; exit 0; }}
run() {{ timeout -k {kill_after} "$@"; }}
mark begin 0
{commands}end
}}
"""

# In memory where that can be had: what is read may be secret, and a full disk must not hide what the site says.
_FOLDER = """dir=$(mktemp -d -p /dev/shm vm-mgr.XXXXXXXX 2>/dev/null || mktemp -d) || {{ {failure}end; }}
trap 'rm -rf "$dir"' EXIT
trap 'exit 143' HUP INT TERM PIPE
"""
_NO_FOLDER = 73  # EX_CANTCREAT of sysexits.h


@dataclass(frozen=True, slots=True)
class Line:
    """One command.

    Attributes:
        argv: the command and its arguments, exactly as it is to see them.
        stdin: a text document for its standard input, sent as UTF-8 and exactly as it is; None for an empty input.
        timeout: seconds; after that the command is ended on the host.
        secret: indexes into ``argv`` that no message and no log may show.
        waits: what is run together with it begins only when it has ended.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    timeout: float = 30.0
    secret: frozenset[int] = frozenset()
    waits: bool = False

    @property
    def shown(self) -> str:
        """The command ready to paste into a shell, secrets masked."""
        return shlex.join("***" if index in self.secret else word for index, word in enumerate(self.argv))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one command; ``exit_code`` is -1 if it was skipped because an earlier one had failed."""

    host: str
    argv: tuple[str, ...]
    exit_code: int
    stdout: bytes
    stderr: bytes
    skipped: bool = False

    @property
    def timed_out(self) -> bool:
        """Whether its time was up: 124 from timeout(1), or 137 if it took a KILL to end it."""
        return self.exit_code in (124, 137)

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode(errors="replace")

    @property
    def error_text(self) -> str:
        """Standard error as text, without the white space around it."""
        return self.stderr.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Frame:
    """The exit code and the output of one command, cut out of the whole output."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """The whole output.

    Attributes:
        began: whether the shell has run the program at all.
        frames: one for each command that has ended, in order.
        complete: whether the program came to its end.
    """

    began: bool
    frames: tuple[Frame, ...]
    complete: bool


def encode(lines: Sequence[Line], *, nonce: str, stop_on_failure: bool = False, together: bool = False) -> bytes:
    """Write the shell program that runs the commands one after the other, or ``together``: all at the same time.

    Raises:
        UsageError: an argument or a document has a NUL, which no command can be given.
    """
    after = " || end" if stop_on_failure else ""
    if together and len(lines) > 1:
        commands = _together(lines)
    else:
        commands = "".join(f"{_command(line)}\nmark {index} $?{after}\n" for index, line in enumerate(lines))
    program = _PROGRAM.format(environment=ENVIRONMENT, nonce=nonce, kill_after=KILL_AFTER, commands=commands)
    return program.encode(errors="surrogateescape")


def _together(lines: Sequence[Line]) -> str:
    """Start every command, its output in files of its own, then tell of one after the other as if they had run like that."""
    numbers = range(len(lines))
    failure = "".join(f"mark {index} {_NO_FOLDER}; " for index in numbers)
    starts = "".join(
        f'{{ {_command(line)}\n}} >"$dir/{index}" 2>"$dir/{index}.err" {f"; code{index}=$?" if line.waits else f"& pid{index}=$!"}\n'
        for index, line in enumerate(lines)
    )
    ends = "".join(
        f'{f"code=$code{index}" if line.waits else f"""wait "$pid{index}"; code=$?"""}; '
        f'cat "$dir/{index}"; cat "$dir/{index}.err" >&2; mark {index} "$code"\n'
        for index, line in enumerate(lines)
    )
    return f"{_FOLDER.format(failure=failure)}{starts}{ends}"


def _command(line: Line) -> str:
    """Quote one command for the program; a document comes from the builtin printf, exact to the last byte."""
    check_words((*line.argv, line.stdin or ""), line)
    call = f"run {seconds(line.timeout)} {shlex.join(line.argv)}"
    if line.stdin is None:
        return f"{call} </dev/null"
    return f"printf %s {shlex.quote(line.stdin)} 2>/dev/null | {call}"


def check_words(words: Sequence[str], line: Line) -> None:
    """Refuse what the kernel cannot hand to a command.

    Raises:
        UsageError: a word holds a NUL.
    """
    if any("\0" in word for word in words):
        msg = f"The command {line.shown!r} or its input holds a NUL character, which cannot be sent. Remove it."
        raise UsageError(msg)


def seconds(timeout: float) -> str:
    """Write a time limit as timeout(1) reads it: never 0, which would mean none, and never with an exponent."""
    return f"{max(timeout, 0.001):.3f}".rstrip("0").rstrip(".")


def decode(stdout: bytes, stderr: bytes, nonce: str) -> Decoded:
    """Cut the two streams at the markers; what stands before the first one is a login's banner and dropped."""
    out, err = _cut(stdout, nonce), _cut(stderr, nonce)
    frames = []
    for index in range(len(out)):
        label = str(index)
        if label not in out or label not in err:
            break
        frames.append(Frame(out[label][0], out[label][1], err[label][1]))
    return Decoded("begin" in out, tuple(frames), "end" in out and "end" in err)


def _cut(stream: bytes, nonce: str) -> dict[str, tuple[int, bytes]]:
    """Return for each marker its exit code and the bytes since the marker before."""
    parts: dict[str, tuple[int, bytes]] = {}
    start = 0
    for marker in re.finditer(rb"\n%s (\w+) (\d+)\n" % nonce.encode(), stream):
        parts[marker[1].decode()] = (int(marker[2]), stream[start : marker.start()])
        start = marker.end()
    return parts
