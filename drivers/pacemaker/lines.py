"""Further commands of the cluster's own tool for a VM, and what becomes of one that the tool refuses."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from vmmgr.command import succeeded
from vmmgr.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmmgr.remote.batch import Result

# What the templates redefine.j2 end with when the tool refuses a line (EX_DATAERR of sysexits.h).
_LINE_REFUSED = 65
# crmsh colours its messages whatever they are written to.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class LineRefusedError(RefusedError):
    """The cluster's tool refuses a further command for a VM; nothing was changed."""


def counted(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the words of all lines, with before each line the number of its words."""
    return [word for line in lines for word in (str(len(line)), *line)]


def lines_taken(lines: Sequence[Sequence[str]]) -> Callable[[Result], None]:
    """Accept success.

    Raises:
        LineRefusedError: The tool refused one of the lines.
        CommandFailedError: Anything else went wrong.
    """

    def parse(result: Result) -> None:
        number = result.stdout.strip()
        if result.exit_code == _LINE_REFUSED and number.isdigit() and 0 < int(number) <= len(lines):
            said = [text for text in _COLOUR.sub("", result.stderr.decode(errors="replace")).splitlines() if text.strip()]
            line = shlex.join(lines[int(number) - 1])
            raise LineRefusedError(f"On {result.host}, the cluster's tool refuses the line {line!r}: {' / '.join(said[-3:])}")
        succeeded(result)

    return parse
