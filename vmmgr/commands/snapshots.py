"""``create_snapshot``, ``list_snapshots``, ``remove_snapshot`` and ``purge``."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cliff.columns import FormattableColumn

from vmmgr.commands.base import SiteCommand, SiteLister, add_name
from vmmgr.errors import UsageError
from vmmgr.text import one_line

if TYPE_CHECKING:
    from vmmgr.disks import VmSnapshot
    from vmmgr.operations.records import Record

COLUMNS = ("Name", "Time", "Used", "Consistency", "By", "Details")


class CreateSnapshot(SiteCommand):
    """Take a snapshot of all disks of a VM at one instant, with the guest's file systems frozen if its agent answers.

    The consistency that was reached is said and recorded: offline (the VM was off), filesystem (frozen by the guest's agent,
    whose freeze hooks ran too) or crash (as after a power cut). A VM with several disks gets a snapshot of their RBD group, which
    vm_manager does not see; --compatible takes one of each disk instead, for which a guest without agent is paused for a moment.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        add_snapshot(parser, "name of the snapshot: letters, digits, '.', '_' and '-'")
        parser.add_argument("--compatible", action="store_true", help="so that vm_manager can use it: a snapshot of each disk")
        parser.add_argument(
            "--no-freeze", dest="freeze", action="store_false", help="do not have the guest's agent freeze anything"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Take it and say what it holds."""
        from vmmgr.operations.snapshots import SnapshotRequest, create_snapshot

        options = parsed_args
        request = SnapshotRequest(options.name, options.snapshot, options.compatible, options.freeze)
        consistency = self.operate(lambda context: create_snapshot(context, request))
        self.say(f"Snapshot {options.snapshot} of VM {options.name} is taken, consistency: {consistency}.")


class ListSnapshots(SiteLister):
    """List the snapshots of a VM, the oldest first, whoever took them; times are in UTC.

    Used is what changed since the snapshot before, as far as Ceph can tell: it cannot for snapshots of several disks.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the name."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the table."""
        from vmmgr.operations.snapshots import list_snapshots

        found = self.operate(lambda context: list_snapshots(context, parsed_args.name))
        self.names().keep(f"snapshots of {parsed_args.name}", [snapshot.name for snapshot, _record in found])
        return COLUMNS, [_row(snapshot, record) for snapshot, record in found]


class RemoveSnapshot(SiteCommand):
    """Remove a snapshot of a VM from all disks that have it. One that is protected is left."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        add_snapshot(parser, "name of the snapshot")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove it and say so."""
        from vmmgr.operations.purging import remove_snapshot

        self.operate(lambda context: remove_snapshot(context, parsed_args.name, parsed_args.snapshot))
        self.say(f"Snapshot {parsed_args.snapshot} of VM {parsed_args.name} is removed.")


class Purge(SiteCommand):
    """Remove the snapshots of a VM: all of them, or those that a rule chooses. Protected ones are left, and named.

    The three --keep rules work together: what any of them keeps is kept. Days and weeks are those of UTC.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument(
            "--date",
            type=moment,
            metavar="DATE",
            help="those taken before: 'DD/MM/YYYY HH:MM:SS' or ISO 8601, in UTC unless it says otherwise",
        )
        parser.add_argument("--number", type=count, metavar="N", help="so many, beginning with the oldest")
        parser.add_argument("--keep-last", type=count, metavar="N", help="all but the N newest")
        parser.add_argument(
            "--keep-daily", type=count, metavar="N", help="all but the newest of each of the N last days that have any"
        )
        parser.add_argument(
            "--keep-weekly", type=count, metavar="N", help="all but the newest of each of the N last weeks that have any"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove them and name them."""
        from vmmgr.operations.purging import purge
        from vmmgr.operations.retention import Retention

        options = parsed_args
        keep = options.keep_last, options.keep_daily, options.keep_weekly
        if [options.date, options.number, any(keep) or None].count(None) < 2:
            raise UsageError("--date, --number and the --keep options are different rules; give one of them.")
        retention = Retention(options.date, options.number, *(number or 0 for number in keep))
        names = self.operate(lambda context: purge(context, options.name, retention))
        self.say(f"Removed of VM {options.name}: {', '.join(names)}." if names else f"VM {options.name} has no such snapshots.")


class Size(FormattableColumn[int | None]):
    """Bytes, with a unit where people read them."""

    def human_readable(self) -> str:
        """Return the number with the largest unit that leaves at least 1."""
        if self._value is None:
            return ""
        size, units = float(self._value), ["B", "KiB", "MiB", "GiB", "TiB"]
        while size >= 1024 and len(units) > 1:
            size, units = size / 1024, units[1:]
        return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


def add_snapshot(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``--snap_name``, as vm_manager spells it, and ``--snap-name``."""
    parser.add_argument("--snap_name", "--snap-name", dest="snapshot", required=True, metavar="SNAPSHOT", help=words)


def moment(text: str) -> datetime:
    """Read a date of vm_manager's form or of ISO 8601; without an offset it is UTC."""
    try:
        try:
            found = datetime.strptime(text, "%d/%m/%Y %H:%M:%S")
        except ValueError:
            found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date; write it as '31/12/2026 23:59:59' or '2026-12-31T23:59:59'"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def count(text: str) -> int:
    """Read a number of snapshots."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _row(snapshot: VmSnapshot, record: Record | None) -> tuple[object, ...]:
    """Return a snapshot as ``COLUMNS``."""
    details = [f"not of {image}" for image in snapshot.missing]
    if not snapshot.complete:
        details.append("not completed")
    if snapshot.partial:
        details.insert(0, "partial")
    if snapshot.protected:
        details.append("protected")
    time = f"{snapshot.time:%Y-%m-%dT%H:%M:%SZ}" if snapshot.time else ""
    consistency, who = (str(record.consistency), one_line(record.who)) if record else ("unknown", "")
    return one_line(snapshot.name), time, Size(snapshot.used), consistency, who, one_line("; ".join(details))
