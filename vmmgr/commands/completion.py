"""``completion``."""

from __future__ import annotations

import argparse
from contextlib import suppress
from importlib.resources import files
from typing import Any

from cliff.command import Command

from vmmgr.commands.base import StrictMixin
from vmmgr.text import one_line

# How a shell is given a word and what it means.
_LINES = {"bash": "{0}", "fish": "{0}\t{1}", "zsh": "{0}:{1}"}


class Completion(StrictMixin, Command):  # type: ignore[misc]  # as in commands.base
    """Print what makes a shell complete the commands, options and names of vm-mgr: `eval "$(vm-mgr completion bash)"`.

    With WORDs, print what the last of them may become; so the shell asks. `vm-mgr help shell-completion` tells more.
    """

    app: Any

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the shell and the words."""
        parser = super().get_parser(prog_name)
        parser.add_argument("shell", choices=sorted(_LINES), metavar="SHELL", help="bash, fish or zsh")
        parser.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="the command line behind the program")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Print the shell's script, or the proposals."""
        if not parsed_args.words:
            script = files("vmmgr.etc").joinpath("completion", f"vm-mgr.{parsed_args.shell}")
            print(script.read_text(encoding="utf-8"), end="", file=self.app.stdout)
            return
        from vmmgr.completion import proposals

        with suppress(Exception):  # an error message at a TAB would spoil the line that is being typed
            for word, meaning in proposals(self.app, parsed_args.words):
                print(_LINES[parsed_args.shell].format(word, one_line(meaning)).rstrip(":\t"), file=self.app.stdout)
