"""What may stand at the end of a command line: shells ask at every TAB, so nothing heavy is imported and nobody contacted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vmmgr.app import COMMANDS
from vmmgr.names import Names
from vmmgr.topics import TOPICS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from vmmgr.app import VmMgr

# In place of words: the shell is to propose files.
FILES = ":files"
# Names that are to be new, as (verb, destination of the option): those that there are would be no help.
_NEW = {("create", "name"), ("clone", "clone"), ("create_snapshot", "snapshot")}


def proposals(app: VmMgr, words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield what the last of the words may become, and what each means.

    Args:
        app: The program, for its parsers.
        words: All words after the program's name; the last one, which may be empty, is the one to be completed. Bash takes
            the equals sign of ``--name=web`` for a word of its own.
    """
    *before, current = [word for word in words[:-1] if word != "="] + [words[-1].removeprefix("=")]
    line = _Line(app.parser)
    while before:
        word = before.pop(0)
        if line.verb is None and line.option is None and not word.startswith("-"):
            verb = word.replace("-", "_")
            if verb not in COMMANDS:
                return
            line.enter(verb, app.parser_of(verb))
        else:
            line.take(word)
    yield from line.proposals(current)


class _Line:
    """A command line up to the word that is to be completed."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.verb: str | None = None
        self.option: argparse.Action | None = None
        """The option that the next word is a value of."""
        self._parser = parser
        self._given: dict[str, list[str]] = {}
        self._before: dict[str, list[str]] = {}

    def enter(self, verb: str, parser: argparse.ArgumentParser) -> None:
        """Go on behind the verb; what is said there of the site replaces what was said before."""
        self.verb, self._parser = verb, parser
        self._before, self._given = self._given, {}

    def take(self, word: str) -> None:
        """Go on behind an option or a value."""
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            option = self._find(name)
            takes = option is not None and option.nargs != 0
            if option and takes and equals:
                self._given.setdefault(option.dest, []).append(value)
            self.option = option if takes and not equals else None
        elif self.option is not None:
            self._given.setdefault(self.option.dest, []).append(word)
            self.option = self.option if self.option.nargs == "+" else None

    def proposals(self, current: str) -> Iterator[tuple[str, str]]:
        """Yield what the word may become."""
        name, equals, _ = current.partition("=")
        if current.startswith("-") and equals:
            option = self._find(name)
            found = ((f"{name}={word}", "") for word in (self._values(option) if option else ()) if word != FILES)
            yield from (pair for pair in found if pair[0].startswith(current))
        elif current.startswith("-") and (self.option is None or self.option.nargs == "+"):
            yield from self._options(current)
        elif self.option is not None:
            yield from self._matching(self._values(self.option), current)
        elif self.verb is None:
            yield from self._matching(COMMANDS, current)
        else:
            for positional in self._parser._get_positional_actions():  # noqa: SLF001 - argparse has no other way to ask
                yield from self._matching(self._values(positional), current)

    def _find(self, name: str) -> argparse.Action | None:
        return self._parser._option_string_actions.get(name)  # noqa: SLF001

    def _options(self, current: str) -> Iterator[tuple[str, str]]:
        """Yield one spelling of each option that fits, a long one if there is."""
        for option in self._parser._actions:  # noqa: SLF001
            spellings = sorted(option.option_strings, key=lambda text: not text.startswith("--"))
            for spelling in [text for text in spellings if text.startswith(current)][:1]:
                yield spelling, option.help or ""

    def _matching(self, words: Sequence[str] | dict[str, str], current: str) -> Iterator[tuple[str, str]]:
        yield from ((word, "") for word in words if word.startswith(current) or word == FILES)

    def _values(self, option: argparse.Action) -> Sequence[str]:
        """Return what may be the value of an option or the word of an argument, by the name that its help has for it."""
        if option.choices:
            return list(option.choices)
        if option.dest == "site":
            return self._sites()
        if (self.verb, option.dest) in _NEW:
            return ()
        match option.metavar or option.dest:
            case "VM" | "PATTERN" | "RESOURCE":
                return self._names().known("vms")
            case "HOST":
                return self._names().known("hypervisors")
            case "host":
                return self._names().known("machines")
            case "SNAPSHOT":
                return self._names().known(f"snapshots of {self._last('name')}")
            case "FILE" | "DIR":
                return (FILES,)
            case "cmd":
                return (*COMMANDS, *TOPICS)
        return ()

    def _names(self) -> Names:
        inventories = [Path(name) for name in self._all("inventory")]
        return Names(self._last("site"), inventories, self._config(), os.environ)

    def _all(self, destination: str) -> list[str]:
        return self._given.get(destination) or self._before.get(destination, [])

    def _last(self, destination: str) -> str | None:
        return (self._all(destination) or [None])[-1]  # type: ignore[list-item]

    def _config(self) -> Path | None:
        config = self._last("config")
        return None if config is None else Path(config)

    def _sites(self) -> Sequence[str]:
        from vmmgr.errors import ConfigurationError
        from vmmgr.site.configuration import read_configuration

        with suppress(ConfigurationError):
            return list(read_configuration(self._config(), os.environ).sites)
        return ()
