"""``drivers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmmgr.commands.base import LocalLister

if TYPE_CHECKING:
    import argparse


class Drivers(LocalLister):
    """List the drivers, where each comes from, and what is wrong with those that cannot be used."""

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Load each driver and print the table."""
        del parsed_args
        from vmmgr.plugins import find_drivers, problem_of

        rows = []
        for offer in find_drivers():
            spec = offer.spec
            problem = problem_of(offer)
            names = (spec.kind, spec.name, spec.program) if spec else (None, None, None)
            rows.append((*names, offer.origin, "broken" if problem else "usable", problem))
        return ("Kind", "Name", "Program", "Origin", "State", "Problem"), rows
