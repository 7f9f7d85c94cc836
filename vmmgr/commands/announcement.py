"""What plugins are told of a command line: the options as the user knows them, and no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from vmmgr.hookspecs import Operation

# What may hold passwords: a VM's metadata, what is handed on to the cluster's tool, and the parameters of a service's agent.
SECRET = ("metadata", "metadata_value", "add_cluster_cmd", "add_crm_config_cmd")
PARAMETERS = ("ocf", "container")
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
            yield name, _plain(name, value)


def _plain(name: str, value: object) -> object:
    """Return a value as JSON has it; of secret pairs, the keys are left."""
    match value:
        case list():
            return [_plain(name, item) for item in value]
        case (key, content):
            return [key, _plain(name, content)]
        case None | bool() | int() | float():
            return value
    text = str(value)
    if name in PARAMETERS and "=" in text:
        return f"{text.partition('=')[0]}=***"
    return "***" if name in SECRET else text
