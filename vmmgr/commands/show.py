"""``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmmgr.commands.base import COLUMNS, SiteShow, add_name, row
from vmmgr.commands.snapshots import Size
from vmmgr.text import one_line

if TYPE_CHECKING:
    import argparse


class ShowVm(SiteShow):
    """Show all that is known of one VM: its state, disks, settings, constraints, and the services in it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the name."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the page."""
        from vmmgr.operations.showing import show

        facts = self.operate(lambda context: show(context, parsed_args.name))
        disks = [f"{disk.image} ({Size(disk.size).human_readable()})" for disk in facts.disks.disks]
        services = [f"{item.name} ({item.kind}): {item.status}" for item in facts.services]
        node = [f"{key}={value}" for key, value in facts.guest_node.items()]
        page = {
            "UUID": [facts.uuid],
            "Disks": disks,
            "Snapshots": sorted({item.name for item in facts.disks.snapshots()}),
            "Settings": [f"{key}={value}" for key, value in facts.settings.items()],
            "Metadata": facts.notes,
            "Guest node": node,
            "Services": services,
            "Constraints": list(facts.constraints),
        }
        texts = (one_line(", ".join(items)) for items in page.values())
        return (*COLUMNS, *page), (*row(facts.state), *texts)
