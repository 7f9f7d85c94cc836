"""``list_metadata``, ``get_metadata`` and ``set_metadata``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmmgr.app import filled
from vmmgr.commands.base import SiteCommand, SiteLister, SiteReader, add_name
from vmmgr.errors import UsageError
from vmmgr.text import one_line, printable

if TYPE_CHECKING:
    import argparse

# The formats in which a value can be given as it is; in the others it could make rows of its own, or steer the terminal.
_EXACT = ("json", "yaml", "csv")


class ListMetadata(SiteLister):
    """List the metadata of a VM: the user's own keys, and the settings, which begin with '_' (and xml, vm_name)."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("--long", action="store_true", help="show the values too")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the keys, or keys and values."""
        from vmmgr.operations.metadata import vm_metadata

        metadata = self.operate(lambda context: vm_metadata(context, parsed_args.name))
        show = _readable if parsed_args.formatter in _EXACT else one_line
        rows = [(show(key), show(value)) for key, value in metadata.items()]
        return (("Key", "Value"), rows) if parsed_args.long else (("Key",), [row[:1] for row in rows])


class GetMetadata(SiteReader):
    """Print one value of a VM's metadata, exactly as it is; on a terminal, what would steer it is escaped."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        add_key(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Write the value's bytes, and nothing after them, unless a terminal needs the line's end."""
        from vmmgr.operations.metadata import metadata_value

        value = self.operate(lambda context: metadata_value(context, parsed_args.name, parsed_args.key))
        if self.app.stdout.isatty():
            print(printable(value), file=self.app.stdout)
        else:
            self.app.stdout.buffer.write(value.encode(errors="surrogateescape"))


class SetMetadata(SiteCommand):
    """Set or unset a key of a VM's metadata that is the user's own."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        add_key(parser)
        value = parser.add_mutually_exclusive_group(required=True)
        value.add_argument(
            "--metadata_value", "--metadata-value", dest="value", metavar="VALUE",
            help="the value; one that begins with '-' as --metadata_value=VALUE",
        )  # fmt: skip
        value.add_argument(
            "--from-file", type=filled, metavar="FILE", help="take the value from a file, byte by byte; - is standard input"
        )
        value.add_argument("--unset", action="store_true", help="remove the key")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Set it and say so."""
        from vmmgr.operations.metadata import check_user_key, set_metadata, unset_metadata

        options = parsed_args
        if options.unset:
            self.say(self.operate(lambda context: unset_metadata(context, options.name, options.key)))
            return
        check_user_key(options.key)  # before something is read
        value = options.value if options.from_file is None else _read(options.from_file)
        self.say(self.operate(lambda context: set_metadata(context, options.name, options.key, value)))


def add_key(parser: argparse.ArgumentParser) -> None:
    """Add the option for the key."""
    parser.add_argument(
        "--metadata_name", "--metadata-name", dest="key", required=True, type=filled, metavar="KEY", help="the key"
    )


def _read(file: str) -> str:
    """Return what is in a file, one byte more than a value may have at most.

    Raises:
        UsageError: It cannot be read.
    """
    from vmmgr.operations.metadata import LONGEST

    try:
        if file == "-":
            data = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(LONGEST + 1)
    except OSError as error:
        raise UsageError(f"The value cannot be read from {file!r}: {error.strerror}.") from error
    return data.decode(errors="surrogateescape")


def _readable(text: str) -> str:
    r"""Return the text with bytes that are no UTF-8 as ``\xff``."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")
