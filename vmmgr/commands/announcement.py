"""What plugins are told of a command line: the options as the user knows them, and no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from vmmgr.hookspecs import Operation

# What may hold passwords: a VM's metadata, and what is handed on to the cluster's tool.
SECRET = ("metadata", "metadata_value", "add_cluster_cmd", "add_crm_config_cmd")
# What has a place of its own in an Operation, or says nothing.
_OTHERS = ("help", "name", "dry_run")


def describe(verb: str, parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> Operation:
    """Return what is asked for, but for the site and who asks."""
    from vmmgr.hookspecs import Operation

    options = dict(_options(parser, parsed))
    return Operation(verb, getattr(parsed, "name", None) or "", options, dry_run=parsed.dry_run)


def _options(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Yield each option's long name and value; one without a value is true if it was given, whatever it is turned into."""
    for action in parser._actions:  # noqa: SLF001 - the only way to the options' names
        spelling = next((text for text in action.option_strings if text.startswith("--")), action.dest)
        name = spelling.lstrip("-").replace("-", "_")
        if name in _OTHERS or action.default == "==SUPPRESS==":  # of the site
            continue
        value = getattr(parsed, action.dest)
        if action.nargs == 0:
            yield name, action.const in value if isinstance(value, list) else value == action.const
        else:
            yield name, _plain(value, secret=name in SECRET)


def _plain(value: object, *, secret: bool) -> object:
    """Return a value as JSON has it; of a secret list of pairs, the keys are left."""
    if isinstance(value, list):
        return [_plain(item, secret=secret) for item in value]
    if isinstance(value, tuple):
        key, *rest = value
        return [key, *(_plain(item, secret=secret) for item in rest)]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return "***" if secret else str(value)
