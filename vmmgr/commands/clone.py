"""``clone``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmmgr.app import filled
from vmmgr.commands.base import SiteCommand, add_force, add_name, add_waiting, check_force
from vmmgr.commands.create import add_settings, commands_of, filled_pair

if TYPE_CHECKING:
    import argparse

    from vmmgr.operations.inheritance import Wishes

_CLEARABLE = ("pacemaker_meta", "pacemaker_params", "pacemaker_utilization")


class Clone(SiteCommand):
    """Make a new VM of the disks of another one, which may run and is not changed, and start it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options; their names are vm_manager's."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("--dst_name", "--dst-name", dest="clone", required=True, metavar="VM", help="name of the clone")
        parser.add_argument(
            "--xml",
            type=filled,
            metavar="FILE",
            help="libvirt domain XML for the clone, without the RBD disks; default: the source's",
        )
        parser.add_argument(
            "--pause", action="store_true", help="hold a source that runs still for a moment: by its guest agent, or paused"
        )
        parser.add_argument(
            "--full", action="store_true", help="wait until the data is copied; otherwise Ceph does it meanwhile"
        )
        parser.add_argument(
            "--metadata", nargs="+", type=filled_pair, default=[], action="extend", metavar="KEY=VALUE",
            help="the user's own metadata, over the source's",
        )  # fmt: skip
        parser.add_argument("--disable", dest="enable", action="store_false", help="do not give it to the cluster yet")
        parser.add_argument("--nostart", dest="start", action="store_false", help="do not start it yet")
        add_force(parser)
        add_waiting(parser)
        group = add_settings(parser, inherited=True)
        group.add_argument(
            "--clear_constraint", "--clear-constraint", action="store_true", help="neither pinned to a host nor preferring one"
        )
        for name in _CLEARABLE:
            option = f"--clear-{name.replace('_', '-')}"
            group.add_argument(option, action="append_const", dest="clear", const=name, default=[], help="not the source's")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Clone it and say where the clone runs."""
        from vmmgr.operations.clone import clone
        from vmmgr.operations.cloneplan import CloneRequest

        options = parsed_args
        check_force(options)
        request = CloneRequest(
            source=options.name,
            name=options.clone,
            wishes=wishes_of(options),
            pause=options.pause,
            full=options.full,
            enable=options.enable,
            start=options.start,
            force=options.force,
            wait=options.wait,
            timeout=options.timeout,
        )
        self.tell(self.operate(lambda context: clone(context, request)))


def wishes_of(options: argparse.Namespace) -> Wishes:
    """Return how the clone is to differ from its source."""
    from vmmgr.operations.definition import Settings
    from vmmgr.operations.domain import read_domain_file
    from vmmgr.operations.inheritance import Wishes

    given: dict[str, Any] = {item.name: getattr(options, item.name, None) for item in fields(Settings)}
    given |= {name: dict(getattr(options, name)) for name in _CLEARABLE} | {"commands": commands_of(options)}
    clear = {*options.clear, *(("pinned_host", "preferred_host") if options.clear_constraint else ())}
    return Wishes(
        base_xml=None if options.xml is None else read_domain_file(Path(options.xml)),
        settings={name: value for name, value in given.items() if value not in (None, {})},
        metadata=dict(options.metadata),
        clear=frozenset(clear),
    )
