"""What a dry run found out, as text: the commands of each exec ready to paste, and the difference of the configuration."""

from __future__ import annotations

import copy
import re
import shlex
from dataclasses import dataclass
from difflib import unified_diff
from itertools import count
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vmmgr.command import Command

_HEAD = "# What would be run, in this order; where a command fails, the rest of its block is left out."


@dataclass(frozen=True, slots=True)
class Exec:
    """What would be run on a host at one go.

    Attributes:
        host: Where.
        commands: In their order, up to the first that fails.
        data: What would be sent to the standard input of a single command; empty where the commands have documents instead.
    """

    host: str
    commands: tuple[Command[Any], ...]
    data: str = ""

    def __str__(self) -> str:
        """Return a comment that names the host, and the commands as a shell reads them."""
        source = [f"# Its standard input: {self.data}"] if self.data else []
        return "\n".join([f"# On {self.host}:", *source, *(pasted(item) for item in self.commands)])


def script(plan: Sequence[Exec | str], new: Mapping[str, str]) -> str:
    """Return all that would be run and said.

    Args:
        plan: What would be run, and the sentences that would be said on the way.
        new: The values that another run would make anew, each with its kind.
    """
    if not any(isinstance(item, Exec) for item in plan):
        return "# Nothing would be changed."
    text = "\n\n".join(f"# It says: {item}".replace("\n", "\n# ") if isinstance(item, str) else str(item) for item in plan)
    made = [f"{value} ({kind})" for value, kind in new.items() if value in text]
    anew = f"\n\n# Made anew by each run, with the times and checksums that go with it: {', '.join(made)}." if made else ""
    return f"{_HEAD}\n\n{text}{anew}"


def difference(now: ET.Element | None, then: ET.Element | None) -> str:
    """Return how the configuration in one CIB differs from that in another, as a unified diff."""
    lines = unified_diff(
        configuration(now).splitlines(),
        configuration(then).splitlines(),
        "configuration now",
        "configuration then",
        lineterm="",
    )
    text = "\n".join(lines)
    return (
        f"# The configuration of the cluster in the end:\n{text}"
        if text
        else "# The cluster's configuration is as before in the end."
    )


def pasted(command: Command[Any]) -> str:
    """Return a command as a shell reads it, its document included, to the last byte."""
    line = " ".join(map(_quoted, command.argv))
    document = command.stdin
    if document is None:
        return line
    if command.secret:
        return f"{line}  # its standard input is secret and not shown"
    if not document.endswith("\n") or _unprintable(document):
        return f"printf %s {_quoted(document)} | {line}"
    lines = document.splitlines()
    end = next(word for word in ("EOF" * times for times in count(1)) if word not in lines)
    return f"{line} <<'{end}'\n{document}{end}"


def _quoted(word: str) -> str:
    """Quote a word for a shell; what a terminal would not show stands as octal numbers for printf."""
    parts = re.split(r"(\n)", word)
    if not any(map(_unprintable, parts)):
        return shlex.quote(word)
    pieces = []
    for character in re.findall(r"[^\x00-\x7f]|[\x00-\x7f]", word, re.DOTALL):
        if character == "\n" or character.isprintable():
            pieces.append(character)
        else:
            pieces.append("\0" + "".join(f"\\{byte:03o}" for byte in character.encode(errors="surrogateescape")) + "\0")
    split = "".join(pieces).replace("\0\0", "").split("\0")
    return "".join(f"\"$(printf '{part}')\"" if index % 2 else shlex.quote(part) for index, part in enumerate(split) if part)


def _unprintable(text: str) -> bool:
    return not text.replace("\n", "").isprintable()


def configuration(cib: ET.Element | None) -> str:
    """Write the configuration in a CIB, one element on each line."""
    section = None if cib is None else cib.find("configuration")
    if section is None:
        return ""
    indented = copy.deepcopy(section)
    ET.indent(indented)
    indented.tail = None
    return ET.tostring(indented, encoding="unicode")
