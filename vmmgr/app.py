"""The program: its global options, its commands by exact name, and errors turned into messages and exit codes."""

from __future__ import annotations

import argparse
import logging
import sys
from difflib import get_close_matches
from importlib.metadata import EntryPoint, version
from textwrap import fill
from typing import TYPE_CHECKING, Any

from cliff.app import App
from cliff.commandmanager import CommandManager

from vmmgr.errors import VmMgrError
from vmmgr.text import printable
from vmmgr.topics import TOPICS, topic

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each verb and the class that does it; nothing of it is imported before it is used.
COMMANDS = {
    "add_colocation": "vmmgr.commands.colocation:AddColocation",
    "add_pacemaker_remote": "vmmgr.commands.guestnode:AddPacemakerRemote",
    "add_service": "vmmgr.commands.services:AddService",
    "check": "vmmgr.commands.check:Check",
    "clone": "vmmgr.commands.clone:Clone",
    "completion": "vmmgr.commands.completion:Completion",
    "create": "vmmgr.commands.create:Create",
    "create_snapshot": "vmmgr.commands.snapshots:CreateSnapshot",
    "deploy": "vmmgr.commands.deploy:Deploy",
    "disable": "vmmgr.commands.membership:Disable",
    "drivers": "vmmgr.commands.drivers:Drivers",
    "enable": "vmmgr.commands.membership:Enable",
    "get_metadata": "vmmgr.commands.metadata:GetMetadata",
    "help": "vmmgr.commands.help:Help",
    "list": "vmmgr.commands.listing:List",
    "list_colocations": "vmmgr.commands.colocation:ListColocations",
    "list_metadata": "vmmgr.commands.metadata:ListMetadata",
    "list_services": "vmmgr.commands.services:ListServices",
    "list_snapshots": "vmmgr.commands.snapshots:ListSnapshots",
    "purge": "vmmgr.commands.snapshots:Purge",
    "remove": "vmmgr.commands.removal:Remove",
    "remove_colocation": "vmmgr.commands.colocation:RemoveColocation",
    "remove_pacemaker_remote": "vmmgr.commands.guestnode:RemovePacemakerRemote",
    "remove_service": "vmmgr.commands.services:RemoveService",
    "remove_snapshot": "vmmgr.commands.snapshots:RemoveSnapshot",
    "repair": "vmmgr.commands.removal:Repair",
    "rollback": "vmmgr.commands.rollback:Rollback",
    "set_metadata": "vmmgr.commands.metadata:SetMetadata",
    "show": "vmmgr.commands.show:ShowVm",
    "start": "vmmgr.commands.running:Start",
    "start_service": "vmmgr.commands.services:StartService",
    "status": "vmmgr.commands.listing:Show",
    "stop": "vmmgr.commands.running:Stop",
    "stop_service": "vmmgr.commands.services:StopService",
    "undeploy": "vmmgr.commands.deploy:Undeploy",
}


class Commands(CommandManager):
    """Finds commands in ``COMMANDS``, by their whole names only: a site must not be stopped by a prefix."""

    def load_commands(self, namespace: str) -> None:
        """Fill in the commands without importing any."""
        self.commands.update({name: EntryPoint(name, target, namespace) for name, target in COMMANDS.items()})

    def find_command(self, argv: list[str]) -> tuple[Any, str, list[str]]:
        """Return the class, the name and the arguments of a command.

        Raises:
            ValueError: There is no such command; cliff then suggests one.
        """
        name = argv[0].replace("-", "_") if not argv[0].startswith("-") else argv[0]
        if name not in self.commands:
            raise ValueError(f"There is no command {argv[0]!r}; `vm-mgr --help` shows those that there are.")
        return self.commands[name].load(), name, argv[1:]


class GlobalParser(argparse.ArgumentParser):
    """Leaves all that follows the command to the command: cliff's own would take ``create -i`` for its inventory."""

    @classmethod
    def adopt(cls, parser: argparse.ArgumentParser) -> GlobalParser:
        """Return cliff's parser as one of this class, with whole option names only."""
        parser.__class__ = cls
        parser.prog = VmMgr.NAME  # whatever file was started
        parser.allow_abbrev = False
        for action in parser._actions:  # noqa: SLF001 - cliff writes the name of its own class into the version
            if isinstance(action, argparse._VersionAction):  # noqa: SLF001
                action.version = f"{VmMgr.NAME} {version('vm-mgr')}"
        return parser  # type: ignore[return-value]  # it has just become one

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the options before the command, and the command with all that follows it."""
        options = self.parse_args(args, namespace)
        return options, options.command

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the options before the command strictly."""
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options


def add_site_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose the site; they may stand before the command or after it."""
    group = parser.add_argument_group("the site")
    group.add_argument(
        "--site",
        type=filled,
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="of the configuration file; default: $VMMGR_SITE",
    )
    group.add_argument(
        "--inventory", action="append", type=filled, default=argparse.SUPPRESS, metavar="FILE",
        help="Ansible inventory of the site, may be repeated; default: $VMMGR_INVENTORY",
    )  # fmt: skip
    group.add_argument(
        "--config",
        type=filled,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="configuration file; default: $VMMGR_CONFIG, or as `vm-mgr help site` tells",
    )


def filled(text: str) -> str:
    """Take any value from the command line but an empty one, which is what an unset variable of a script leaves."""
    if not text:
        raise argparse.ArgumentTypeError("the value is empty; fill it in, or leave the option out")
    return text


class VmMgr(App):
    """``vm-mgr``."""

    NAME = "vm-mgr"

    def __init__(self) -> None:
        super().__init__(
            description="Manages highly available virtual machines on Pacemaker, Ceph and libvirt sites, over SSH.",
            version=None,
            command_manager=Commands("vmmgr.commands", convert_underscores=False),
        )
        self.command_manager.commands.clear()  # of cliff's own
        self.command_manager.load_commands("vmmgr.commands")

    def parser_of(self, verb: str) -> argparse.ArgumentParser:
        """Return the parser of a command."""
        command = self.command_manager.commands[verb].load()(self, None, cmd_name=verb)
        return command.get_parser(f"{self.NAME} {verb}")

    def build_option_parser(
        self, description: str | None, version: str | None, argparse_kwargs: dict[str, Any] | None = None
    ) -> argparse.ArgumentParser:
        """Add the options that choose the site."""
        parser = GlobalParser.adopt(super().build_option_parser(description, version, argparse_kwargs))
        add_site_options(parser)
        parser.add_argument("-i", dest="inventory", action="append", type=filled, metavar="FILE", help="short for --inventory")
        parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND …")
        parser.epilog = f"`{self.NAME} help TOPIC` tells of {', '.join(TOPICS)}."
        return parser

    def configure_logging(self) -> None:
        """Show only what -v asks for; the libraries' own messages from the third -v on."""
        super().configure_logging()
        libraries = logging.DEBUG if self.options.verbose_level > 3 else logging.WARNING
        for name in ("paramiko", "invoke", "fabric", "stevedore", "cliff"):
            logging.getLogger(name).setLevel(libraries)

    def run(self, argv: list[str]) -> int:
        """Run a command line and return the exit code; without a command, show the help."""
        try:
            return super().run(argv)
        except VmMgrError as error:
            # raised again by run_subcommand below
            complain(str(error))
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        except Exception as error:
            if self.options.debug:
                raise
            complain(f"This should not have happened: {type(error).__name__}: {error}. With --debug, vm-mgr shows where.")
            return 1

    def interact(self) -> None:
        """Show the help instead of cliff's interactive shell, with no more than the names of the commands, which are not imported."""
        self.parser.print_help(sys.stderr)
        print(f"\nCommands, which `{self.NAME} --help` explains:", file=sys.stderr)
        print(fill(", ".join(COMMANDS), initial_indent="  ", subsequent_indent="  "), file=sys.stderr)
        raise SystemExit(2)

    def run_subcommand(self, argv: list[str]) -> int:
        """Run a command; unlike cliff's, messages go to stderr and errors keep their class."""
        if argv[0] == "help":  # cliff's own takes a prefix for a command, and an unknown one for a mistake of ours
            if argv[1:] and argv[1] in TOPICS:
                print(topic(argv[1]), file=self.stdout)
                return 0
            argv = [argv[1], "--help"] if argv[1:] and argv[1] not in ("-h", "--help") else argv
        try:
            command_class, name, arguments = self.command_manager.find_command(argv)
        except ValueError as error:
            similar = get_close_matches(argv[0].replace("-", "_"), COMMANDS)
            hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
            complain(f"{error}{hint}")
            return 2
        command = command_class(self, self.options, cmd_name=name)
        parsed = command.get_parser(f"{self.NAME} {name}").parse_args(arguments)
        try:
            return int(command.run(parsed) or 0)
        except VmMgrError:
            if self.options.debug:
                logging.getLogger("vmmgr").exception("The error came from here:")
            raise


def complain(text: str) -> None:
    """Print what is wrong; a part of it may be what a node said."""
    print(f"{VmMgr.NAME}: {printable(text)}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run vm-mgr; the return value is the exit code."""
    return VmMgr().run(list(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
