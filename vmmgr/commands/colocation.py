"""``add_colocation``, ``list_colocations`` and ``remove_colocation``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmmgr.app import filled
from vmmgr.commands.base import SiteCommand, SiteLister, add_name
from vmmgr.text import one_line

if TYPE_CHECKING:
    import argparse

    from vmmgr.operations.colocation import Known

COLUMNS = ("Id", "Resources", "Kind", "Strength", "Score", "Details")


class AddColocation(SiteCommand):
    """Have a VM run where other VMs or resources of the cluster run, where that is possible."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("resources", nargs="+", metavar="RESOURCE", help="a VM, or another resource of the cluster")
        parser.add_argument(
            "--strong", action="store_true", help="run there only: the VM is stopped where one of the others cannot run"
        )
        parser.add_argument("--apart", action="store_true", help="run on another host than the others, not on the same")
        _add_yes(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Add it and say what it means."""
        from vmmgr.operations.colocation import add_colocation

        options = parsed_args
        self.say(
            self.operate(
                lambda context: add_colocation(
                    context, options.name, options.resources, strong=options.strong, apart=options.apart, yes=options.yes
                )
            )
        )


class ListColocations(SiteLister):
    """List the colocations, with those that are kept for disabled VMs."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filter."""
        parser = super().get_parser(prog_name)
        parser.add_argument("-n", "--name", metavar="VM", help="only those of this VM")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the table."""
        from vmmgr.operations.colocation import list_colocations

        found = self.operate(lambda context: list_colocations(context, parsed_args.name))
        return COLUMNS, [_row(item) for item in found]


class RemoveColocation(SiteCommand):
    """Remove the colocation of a VM with these resources, or the one of an id."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        parser.add_argument("-n", "--name", metavar="VM", help="name of the VM; with RESOURCE")
        parser.add_argument("resources", nargs="*", metavar="RESOURCE", help="all that the VM is colocated with")
        parser.add_argument("--id", type=filled, help="of the colocation, instead of the VM and the resources")
        _add_yes(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove it and say so."""
        from vmmgr.operations.colocation import remove_colocation

        options = parsed_args
        self.say(
            self.operate(
                lambda context: remove_colocation(context, options.name, options.resources, options.id, yes=options.yes)
            )
        )


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="even if running VMs are moved, restarted or stopped for it")


def _row(known: Known) -> tuple[str, str, str, str, str, str]:
    item = known.colocation
    members = ", ".join(name for name in (item.dependent, *item.others) if name)
    details = f"kept for the disabled {', '.join(known.keepers)}" if known.keepers else ""
    texts = (item.id, members, item.kind, item.strength, item.score_text, details)
    return tuple(map(one_line, texts))  # type: ignore[return-value]  # six of them
