"""``help``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cliff.help import HelpCommand

from vmmgr.commands.base import StrictMixin
from vmmgr.topics import TOPICS

if TYPE_CHECKING:
    import argparse


class Help(StrictMixin, HelpCommand):  # type: ignore[misc]  # as in commands.base
    """Tell all that there is, the options of one command, or what there is to know of a topic."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to tell of; `vmmgr.app` sees to it."""
        parser = super().get_parser(prog_name)
        parser._actions[-1].help = f"a command, or one of {', '.join(TOPICS)}"  # noqa: SLF001 - cliff made it
        return parser
