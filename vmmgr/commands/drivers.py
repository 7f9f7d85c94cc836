"""``drivers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmmgr.commands.base import LocalLister

if TYPE_CHECKING:
    import argparse


class Drivers(LocalLister):
    """List the drivers, and the hooks, templates and checks of plugins: where each comes from, and what is wrong with it."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Load each driver and print the table."""
        del parsed_args
        from vmmgr.parts import parts

        rows = [
            (part.kind, part.name, part.program, part.origin, "broken" if part.problem else "usable", part.problem)
            for part in parts()
        ]
        return ("Kind", "Name", "Program", "Origin", "State", "Problem"), rows
