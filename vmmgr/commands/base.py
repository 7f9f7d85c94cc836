"""What all commands share: the strict parser, the VM's name, and running an operation on the chosen site."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cliff.command import Command
from cliff.lister import Lister
from cliff.show import ShowOne

from vmmgr.errors import UsageError
from vmmgr.text import one_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmmgr.hookspecs import Operation
    from vmmgr.model import VmState
    from vmmgr.names import Names
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps

T = TypeVar("T")

COLUMNS = ("Name", "Status", "Node", "Details")


class StrictMixin:
    """Takes whole names of options only, and spares cliff what costs time at the start."""

    app_dist_name = "vm-mgr"

    def _load_hooks(self) -> None:
        # cliff would search all installed distributions for hooks of this command
        self._hooks: list[Any] = []

    def get_epilog(self) -> str:
        """Return nothing; cliff would look up which distribution the command comes from."""
        return ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Return a parser that takes whole option names only."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)  # type: ignore[misc]
        parser.allow_abbrev = False
        return parser

    def _generate_columns_and_selector(self, parsed_args: argparse.Namespace, column_names: Sequence[str]) -> Any:
        # cliff passes over an unknown column in silence as long as another one is known
        known = [name.lower() for name in column_names]
        for column in parsed_args.columns:
            if column.lower() not in known:
                raise UsageError(f"There is no column {column!r}; there are {', '.join(column_names)}.")
        return super()._generate_columns_and_selector(parsed_args, column_names)  # type: ignore[misc]


class SiteMixin(StrictMixin):
    """Runs operations on a site."""

    app: Any
    app_args: Any
    dry_run = False
    announce: Operation | None = None

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that choose the site, as they stand before the command too."""
        from vmmgr.app import add_site_options

        parser = super().get_parser(prog_name)
        add_site_options(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; what stands after it about the site comes before what stands before it."""
        for option in ("site", "inventory", "config"):
            if hasattr(parsed_args, option):
                setattr(self.app_args, option, getattr(parsed_args, option))
        self.dry_run = getattr(parsed_args, "dry_run", False)
        return super().run(parsed_args)  # type: ignore[misc,no-any-return]

    def operate(self, operation: Callable[[Context], Steps[T]]) -> T:
        """Run an operation on the site that the global options choose; with --dry-run, print what it would change."""
        from vmmgr.session import run_on_site

        return run_on_site(
            operation,
            **self.chosen(),
            quiet=self.app_args.verbose_level == 0,
            preview=(lambda text: print(printable(text), file=self.app.stdout)) if self.dry_run else None,
            announce=self.announce,
        )

    def chosen(self) -> dict[str, Any]:
        """Return what the command line says of the site: ``site``, ``inventories`` and ``config``."""
        options = vars(self.app_args)
        return {
            "site": options.get("site"),
            "inventories": [Path(name) for name in options.get("inventory") or ()],
            "config": Path(options["config"]) if "config" in options else None,
        }

    def names(self) -> Names:
        """Return where the names of the site are kept for the shell's completion."""
        from vmmgr.names import Names

        return Names(**self.chosen(), environ=os.environ)

    def say(self, text: str) -> None:
        """Print a sentence, unless -q; with --dry-run it is marked as what would be said in the end."""
        if self.app_args.verbose_level:
            print(printable(f"\nIt would end with: {text}" if self.dry_run else text), file=self.app.stdout)

    def tell(self, state: VmState) -> None:
        """Print the state of a VM as a sentence."""
        self.say(f"VM {state.name} is {state.status}{f' on {state.node}' if state.node else ''}.")


# The mixins override what cliff's classes set for themselves
class SiteReader(SiteMixin, Command):  # type: ignore[misc]
    """A command that prints something that is neither a table nor a sentence."""


class SiteCommand(SiteMixin, Command):  # type: ignore[misc]
    """A command that changes something; it prints a sentence."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add ``--dry-run``."""
        self.parser = super().get_parser(prog_name)
        self.parser.add_argument(
            "--dry-run", action="store_true", help="change nothing; check everything, and print what would be run and changed"
        )
        return self.parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run the command; plugins are told of it."""
        from vmmgr.commands.announcement import describe

        self.announce = describe(self.cmd_name or "", self.parser, parsed_args)
        return super().run(parsed_args)


class SiteLister(SiteMixin, Lister):  # type: ignore[misc]
    """A command that prints a table of many."""


class SiteShow(SiteMixin, ShowOne):  # type: ignore[misc]
    """A command that prints one thing."""


class LocalLister(StrictMixin, Lister):  # type: ignore[misc]
    """A command that prints a table and contacts nobody."""


def add_name(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add ``-n/--name``."""
    parser.add_argument("-n", "--name", required=required, metavar="VM", help="name of the VM")


def add_waiting(parser: argparse.ArgumentParser) -> None:
    """Add the options for how long to wait for Pacemaker."""
    parser.add_argument("--no-wait", dest="wait", action="store_false", help="do not wait until Pacemaker has done it")
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="how long to wait; default: what Pacemaker itself grants"
    )


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add ``--force`` of the verbs that make a VM."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a VM of that name, once the new one is ready; it comes back if that does not run",
    )


def check_force(options: argparse.Namespace) -> None:
    """Refuse not to wait for a VM that is to replace another one.

    Raises:
        UsageError: It says why.
    """
    if options.force and not options.wait:
        raise UsageError("--force waits until the new VM runs, for only then the old one goes; leave out --no-wait.")


def seconds(text: str) -> float:
    """Read a positive number of seconds from the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def row(state: VmState) -> tuple[str, str, str | None, str]:
    """Return a VM's state as ``COLUMNS``."""
    node = None if state.node is None else one_line(state.node)
    return one_line(state.name), str(state.status), node, one_line("; ".join(state.details))
