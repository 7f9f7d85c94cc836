"""``add_pacemaker_remote`` and ``remove_pacemaker_remote``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.commands.base import SiteCommand, add_name, add_waiting
from vmmgr.commands.create import whole

if TYPE_CHECKING:
    import argparse


class AddPacemakerRemote(SiteCommand):
    """Make a VM whose guest runs pacemaker_remote a node of the cluster, so that Pacemaker can run services in it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument(
            "--remote_name",
            "--remote-name",
            required=True,
            metavar="NODE",
            help="its name as a node; no other node or resource may have it",
        )
        parser.add_argument(
            "--remote_address", "--remote-address", required=True, metavar="ADDRESS",
            help="where the hypervisors reach the guest: IP address or host name",
        )  # fmt: skip
        parser.add_argument(
            "--remote_port", "--remote-port", type=whole, metavar="PORT", help="where pacemaker_remote listens (3121)"
        )
        parser.add_argument(
            "--remote_timeout",
            "--remote-timeout",
            type=whole,
            metavar="SECONDS",
            help="that Pacemaker grants a connection (60)",
        )
        add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Make it one and say so."""
        from vmmgr.drivers.pacemaker.guestnode import GuestNode
        from vmmgr.operations.guestnode import add_guest_node

        options = parsed_args
        node = GuestNode(options.remote_name, options.remote_address, options.remote_port, options.remote_timeout)
        self.say(
            self.operate(
                lambda context: add_guest_node(context, options.name, node, wait=options.wait, timeout=options.timeout)
            )
        )


class RemovePacemakerRemote(SiteCommand):
    """Make a VM that is a node of the cluster a mere VM again; what was installed in its guest stays there."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the name."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove it from the cluster's nodes and say so."""
        from vmmgr.operations.guestnode import remove_guest_node

        self.say(self.operate(lambda context: remove_guest_node(context, parsed_args.name)))
