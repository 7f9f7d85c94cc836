"""``enable`` and ``disable``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.commands.base import SiteCommand, add_name, add_waiting, seconds

if TYPE_CHECKING:
    import argparse


class Enable(SiteCommand):
    """Bring a disabled VM back into the cluster, with its settings and constraints, and start it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("--nostart", dest="start", action="store_false", help="do not start it")
        add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Enable it and say where it runs."""
        from vmmgr.operations.membership import enable

        options = parsed_args
        self.tell(
            self.operate(
                lambda context: enable(context, options.name, start=options.start, wait=options.wait, timeout=options.timeout)
            )
        )


class Disable(SiteCommand):
    """Stop a VM and take it out of the cluster; its disks, settings and constraints are kept."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long it may take to stop; default: its own")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Disable it and say so."""
        from vmmgr.operations.membership import disable

        self.tell(self.operate(lambda context: disable(context, parsed_args.name, timeout=parsed_args.timeout)))
