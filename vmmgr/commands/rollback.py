"""``rollback``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.commands.base import SiteCommand, add_name, seconds

if TYPE_CHECKING:
    import argparse


class Rollback(SiteCommand):
    """Roll a VM back to a snapshot: all its disks or none, its metadata and domain XML. It runs afterwards if it ran before."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument(
            "--snap_name", "--snap-name", dest="snapshot", required=True, metavar="SNAPSHOT", help="the snapshot to go back to"
        )
        parser.add_argument(
            "--no-safety", dest="safety", action="store_false",
            help="take no snapshot before; the rollback can then not be taken back, only finished",
        )  # fmt: skip
        parser.add_argument(
            "--timeout", type=seconds, metavar="SECONDS", help="how long it may take to stop, and to start; default: its own"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Roll it back and say what became of it."""
        from vmmgr.operations.rollback import rollback

        options = parsed_args
        state = self.operate(
            lambda context: rollback(context, options.name, options.snapshot, safety=options.safety, timeout=options.timeout)
        )
        self.say(f"VM {options.name} is rolled back to {options.snapshot}.")
        self.tell(state)
