"""``start`` and ``stop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.commands.base import SiteCommand, add_name, add_waiting

if TYPE_CHECKING:
    import argparse


class Start(SiteCommand):
    """Start a VM and wait until it runs."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Start it and say where it runs."""
        from vmmgr.operations.running import start

        options = parsed_args
        self.tell(self.operate(lambda context: start(context, options.name, wait=options.wait, timeout=options.timeout)))


class Stop(SiteCommand):
    """Shut a VM down and wait until it has stopped."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("-f", "--force", action="store_true", help="cut its power instead of asking it to shut down")
        add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Stop it and say so."""
        from vmmgr.operations.running import stop

        options = parsed_args
        self.tell(
            self.operate(
                lambda context: stop(context, options.name, force=options.force, wait=options.wait, timeout=options.timeout)
            )
        )
