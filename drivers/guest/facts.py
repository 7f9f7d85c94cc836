"""What a guest tells of itself: the answers of the templates ``guest/survey`` and ``packages``."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmmgr.command import CommandFailedError, text_of

if TYPE_CHECKING:
    from vmmgr.remote.batch import Result


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest's system.

    Attributes:
        system: What it calls itself, such as ``Debian GNU/Linux 12 (bookworm)``.
        tools: The package managers that it has, of those asked for.
        free: The bytes that can still be written to /usr, /var or /var/tmp, whichever has the least.
        active: Whether the remote daemon runs.
        enabled: Whether it starts with every boot.
        connected: Whether a cluster is connected to it; also where that cannot be found out.
        firewalls: The firewalls that are active.
        closed: Those of them that keep the port closed.
        installed_here: Whether the guest has it written down that ``install`` installed something.
    """

    system: str
    tools: tuple[str, ...]
    free: int
    active: bool
    enabled: bool
    connected: bool
    firewalls: tuple[str, ...]
    closed: tuple[str, ...]
    installed_here: bool


@dataclass(frozen=True, slots=True)
class Packages:
    """Versions of the package with the remote daemon; empty where there is none."""

    installed: str
    candidate: str


def parse_guest(result: Result) -> Guest:
    """Read the lines ``KIND VALUE``."""
    found: dict[str, list[str]] = {}
    for line in text_of(result).splitlines():
        kind, _, value = line.partition(" ")
        found.setdefault(kind, []).append(value.strip())
    free = [int(text) for text in found.get("free", ()) if re.fullmatch("[0-9]{1,15}", text)]
    if not free:
        raise CommandFailedError(result)
    firewalls = [line.partition(" ")[::2] for line in found.get("firewall", ())]
    return Guest(
        system=_system(found.get("os", [])),
        tools=tuple(found.get("tool", ())),
        free=min(free) * 1024,
        active="active" in found.get("service", ()),
        enabled="enabled" in found.get("service", ()),
        connected="cluster" in found,
        firewalls=tuple(name for name, _ in firewalls),
        closed=tuple(name for name, state in firewalls if state != "open"),
        installed_here="record" in found,
    )


def parse_packages(result: Result) -> Packages:
    """Read two lines, of which the second may be missing; apt says ``(none)`` for no candidate."""
    installed, candidate, *_ = (line.strip() for line in [*text_of(result).splitlines(), "", ""])
    return Packages(installed, "" if candidate == "(none)" else candidate)


def _system(lines: list[str]) -> str:
    """Return the name of a system from its os-release(5), whose values are quoted as for a shell."""
    values = dict(line.partition("=")[::2] for line in lines)
    for key in ("PRETTY_NAME", "NAME", "ID"):
        try:
            if words := shlex.split(values.get(key, "")):
                return " ".join(words)
        except ValueError:
            continue
    return "a system without a name"
