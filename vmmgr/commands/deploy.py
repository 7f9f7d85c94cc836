"""``deploy`` and ``undeploy``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vmmgr.app import filled
from vmmgr.commands.base import SiteCommand, add_name
from vmmgr.commands.create import whole

if TYPE_CHECKING:
    from vmmgr.operations.preflight import DeployRequest


class Deploy(SiteCommand):
    """Make a running VM a guest node, in which Pacemaker runs and monitors services: install and start its remote daemon there."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        _add_way(parser)
        parser.add_argument(
            "--remote_name", "--remote-name", type=filled, metavar="NAME", help="of the guest node; default: VM-guest"
        )
        parser.add_argument("--port", type=_port, metavar="PORT", help="at which Pacemaker reaches it; default: 3121")
        parser.add_argument(
            "--connect-timeout", type=whole, metavar="SECONDS", help="that Pacemaker may take to connect; default: 60"
        )
        parser.add_argument(
            "--packages",
            type=filled,
            metavar="DIR",
            help="folder with the packages as .deb or .rpm files, for a guest without package sources",
        )
        parser.add_argument("--check", action="store_true", help="only look whether it can be done")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Deploy, or look whether it can be done, and say so."""
        from vmmgr.operations.deploy import deploy

        request = request_of(parsed_args)
        self.say(self.operate(lambda context: deploy(context, request, check=parsed_args.check)))


class Undeploy(SiteCommand):
    """Take back what deploy did: the VM is no guest node, and what was installed in the guest is removed."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        _add_way(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Undeploy and say so."""
        from vmmgr.operations.undeploy import undeploy

        options = parsed_args
        self.say(self.operate(lambda context: undeploy(context, options.name, address=options.address, user=options.user)))


def request_of(options: argparse.Namespace) -> DeployRequest:
    """Return what is to be deployed; the folder of packages is read."""
    from vmmgr.operations.packagefolder import read_folder
    from vmmgr.operations.preflight import DeployRequest

    return DeployRequest(
        vm=options.name,
        address=options.address,
        user=options.user,
        node=options.remote_name,
        port=options.port,
        connect_timeout=options.connect_timeout,
        packages=None if options.packages is None else read_folder(Path(options.packages)),
    )


def _add_way(parser: argparse.ArgumentParser) -> None:
    """Add the options for the way into the guest."""
    parser.add_argument(
        "--address",
        type=filled,
        metavar="ADDRESS",
        help="of the guest; default: what its settings, its agent or its hypervisor tell",
    )
    parser.add_argument(
        "--user", type=filled, metavar="USER", help="login in the guest; default: as the workstation's ssh_config says"
    )


def _port(text: str) -> int:
    """Read a TCP port from the command line."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no TCP port; those are 1 to 65535")
    return int(text)
