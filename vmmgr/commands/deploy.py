"""``deploy`` and ``undeploy``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vmmgr.app import filled
from vmmgr.commands.base import SiteCommand, add_name
from vmmgr.commands.create import whole
from vmmgr.errors import UsageError

if TYPE_CHECKING:
    from vmmgr.operations.preflight import DeployRequest


class Deploy(SiteCommand):
    """Make a running VM a guest node, in which Pacemaker runs and monitors services: install and start its remote daemon there."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser, required=False)
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
        parser.add_argument(
            "--download",
            type=filled,
            metavar="DIR",
            help="only make such a folder, out of the package sources of this machine, whose system must be the guest's",
        )
        parser.add_argument("--check", action="store_true", help="only look whether it can be done")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Deploy, look whether it can be done, or download what it takes, and say so."""
        if parsed_args.download is not None:
            self._download(parsed_args)
            return
        if parsed_args.name is None:
            self.parser.error("the following arguments are required: -n/--name")
        from vmmgr.operations.deploy import deploy

        request = request_of(parsed_args)
        self.say(self.operate(lambda context: deploy(context, request, check=parsed_args.check)))

    def _download(self, options: argparse.Namespace) -> None:
        """Make a folder of packages; nothing that is about a VM has a meaning then."""
        from vmmgr.operations.downloading import download
        from vmmgr.operations.reporting import TerminalReporter

        if others := [name for name in _given(self.parser, options) if name != "--download"]:
            raise UsageError(f"--download only makes a folder on this machine; leave out {', '.join(others)}.")
        self.say(download(Path(options.download), TerminalReporter(quiet=self.app_args.verbose_level == 0)))


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


def _given(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[str]:
    """Return the long names of the options that have another value than their default, but for those of the site."""
    actions = [action for action in parser._actions if action.default != argparse.SUPPRESS]  # noqa: SLF001 - the only way to them
    return [
        next(text for text in action.option_strings if text.startswith("--"))
        for action in actions
        if getattr(options, action.dest) != action.default
    ]


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
