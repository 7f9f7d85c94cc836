"""Reading YAML files, with Ansible's tags, bounded in size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from vmmgr.errors import ConfigurationError
from vmmgr.site.values import printable

if TYPE_CHECKING:
    from pathlib import Path

# far more than any real inventory; it bounds what a file of aliases within aliases can make us read
MAX_SIZE = 4 * 1024 * 1024
VAULT_HEADER = "$ANSIBLE_VAULT;"


class Opaque:
    """A value that only Ansible can read, such as ``!vault``; it hurts only when it is needed."""

    def __init__(self, tag: str) -> None:
        self.tag = tag

    def __repr__(self) -> str:
        return f"a {self.tag} value"


class Verbatim(str):
    """Text tagged ``!unsafe``: Ansible does not evaluate expressions in it."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """SafeLoader plus Ansible's tags."""


def _opaque(_loader: yaml.SafeLoader, tag: str, _node: yaml.Node) -> Opaque:
    return Opaque(f"!{tag}")


def _verbatim(loader: yaml.SafeLoader, node: yaml.Node) -> object:
    return Verbatim(loader.construct_scalar(node)) if isinstance(node, yaml.ScalarNode) else Opaque("!unsafe")


_Loader.add_multi_constructor("!", _opaque)
_Loader.add_constructor("!unsafe", _verbatim)


def read_text(path: Path) -> str:
    """Return the content of a file of at most ``MAX_SIZE`` bytes.

    Raises:
        ConfigurationError: it cannot be read, is larger, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise ConfigurationError(f"{path} has more than 4 MiB: that is no inventory or configuration.")
        return content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} cannot be read: it is not text in UTF-8.") from None


def parse(text: str, path: Path) -> object:
    """Return the value of a YAML (or JSON) text.

    Raises:
        ConfigurationError: it is not YAML; the message has line and column.
    """
    try:
        # _Loader is a SafeLoader
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        raise ConfigurationError(f"{place}: not valid YAML: {printable(str(error.problem))}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {printable(str(error))}.") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: not usable: its values are nested too deeply.") from None


def read_mapping(path: Path) -> dict[object, object]:
    """Return the content of a YAML file that holds a mapping; an empty file is an empty mapping.

    Raises:
        ConfigurationError: the file cannot be read or holds something else.
    """
    value = parse(read_text(path), path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} does not hold NAME: VALUE lines (a YAML mapping).")
    return value
