"""``list`` and ``status``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from vmmgr.app import filled
from vmmgr.commands.base import COLUMNS, SiteLister, SiteShow, add_name, row
from vmmgr.model import Status

if TYPE_CHECKING:
    import argparse


class List(SiteLister):
    """List the VMs with their statuses and nodes."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filter."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "-n",
            "--name",
            type=filled,
            metavar="PATTERN",
            help="only VMs of this name; * and ? stand for any text and character",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the table."""
        from vmmgr.operations.listing import list_vms

        states = self.operate(lambda context: list_vms(context, parsed_args.name))
        names = [state.name for state in states]
        (self.names().add if parsed_args.name else self.names().keep)("vms", names)
        if not states and self.app_args.verbose_level and sys.stderr.isatty():  # a person would see nothing at all
            print("There is no such VM." if parsed_args.name else "There are no VMs.", file=sys.stderr)
        return COLUMNS, [row(state) for state in states]


class Show(SiteShow):
    """Show the status of one VM: Undefined, Disabled, Failed, Started, Starting, Stopping or Stopped."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the name."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the state."""
        from vmmgr.operations.listing import vm_status

        state = self.operate(lambda context: vm_status(context, parsed_args.name))
        if state.status is not Status.UNDEFINED:
            self.names().add("vms", [state.name])
        return COLUMNS, row(state)
