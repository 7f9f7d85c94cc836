"""``help``."""

from __future__ import annotations

from cliff.help import HelpCommand

from vmmgr.commands.base import StrictMixin


class Help(StrictMixin, HelpCommand):  # type: ignore[misc]  # as in commands.base
    """Tell all that there is, or the options of one command."""
