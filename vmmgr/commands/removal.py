"""``remove`` and ``repair``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.commands.base import SiteCommand, add_name, seconds

if TYPE_CHECKING:
    import argparse


class Remove(SiteCommand):
    """Stop a VM and remove it with its disks and their snapshots. Nothing of it can be brought back."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long it may take to stop; default: its own")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove it and say so."""
        from vmmgr.operations.removal import remove

        self.operate(lambda context: remove(context, parsed_args.name, timeout=parsed_args.timeout))
        self.say(f"VM {parsed_args.name} is removed.")


class Repair(SiteCommand):
    """Finish or clean what an operation on a VM left when its workstation or connection was lost."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument(
            "--force", action="store_true", help="even if the operation may still be in progress; only when you know it is dead"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Repair it and say what was done."""
        from vmmgr.operations.removal import repair

        self.say(self.operate(lambda context: repair(context, parsed_args.name, force=parsed_args.force)))
