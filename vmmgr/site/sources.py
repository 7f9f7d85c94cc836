"""Reading inventories: YAML and JSON files and folders of them here, everything else through ``ansible-inventory``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmmgr.errors import ConfigurationError
from vmmgr.site import hostnames, values
from vmmgr.site.files import VAULT_HEADER, parse, read_text
from vmmgr.site.foreign import ask_ansible
from vmmgr.site.inventory import Inventory
from vmmgr.site.varfiles import VariableFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

# what Ansible leaves out of a folder of inventories: its own folders, hidden files, INVENTORY_IGNORE_EXTS
_IGNORED_NAMES = re.compile(
    r"\..*|host_vars|group_vars|vars_plugins|.*(~|\.(pyc|pyo|swp|bak|rpm|md|txt|rst|orig|ini|cfg|retry))", re.DOTALL
)
_YAML_ENDINGS = (".yaml", ".yml", ".json")


class _ForeignError(Exception):
    """The file is an inventory, but not one that is read here; the text says what was found."""


def read_inventory(sources: Sequence[Path], environ: Mapping[str, str]) -> tuple[Inventory, VariableFiles]:
    """Return the merged content of inventory files and folders, and the variable files beside them.

    Raises:
        ConfigurationError: one cannot be used, or it needs ``ansible-inventory`` and that is missing or fails.
    """
    for source in sources:
        values.existing(source, "The inventory")
    files = VariableFiles([source if source.is_dir() else source.parent for source in sources])
    inventory = Inventory(files)
    try:
        for path in (path for source in sources for path in _files(source)):
            _add_file(inventory, path)
    except _ForeignError as found:
        # Ansible itself merges the variable files then
        files = VariableFiles([])
        inventory = Inventory(files)
        _add_answer(inventory, ask_ansible(sources, str(found), environ), sources[0])
    return inventory, files


def _files(source: Path) -> Iterator[Path]:
    if not source.is_dir():
        yield source
        return
    try:
        paths = sorted(source.iterdir())
    except OSError as error:
        raise ConfigurationError(f"The inventory {source} cannot be read: {error.strerror}.") from None
    for path in paths:
        if not _IGNORED_NAMES.fullmatch(path.name):
            yield from _files(path)


def _add_file(inventory: Inventory, path: Path) -> None:
    """Add the groups of a YAML inventory. Raises _ForeignError if it is an inventory of another kind."""
    for name, content in _groups(path).items():
        _add_group(inventory, name, content, parent=None, path=path)


def _groups(path: Path) -> dict[object, object]:
    text = read_text(path)
    if text.startswith(VAULT_HEADER):
        raise _ForeignError(f"{path} is encrypted with Ansible Vault")
    try:
        value = parse(text, path)
    except ConfigurationError:
        # Ansible reads these endings as YAML only
        if path.suffix in _YAML_ENDINGS and not text.startswith("#!"):
            raise
        value = None
    if isinstance(value, dict) and "plugin" in value:
        raise _ForeignError(f"{path} is the configuration of an inventory plugin")
    if isinstance(value, dict) and all(item is None or isinstance(item, dict) for item in value.values()):
        return value
    if text.startswith("#!"):
        raise _ForeignError(f"{path} is a script (a dynamic inventory)")
    if path.suffix in _YAML_ENDINGS:
        raise ConfigurationError(f"{path} is not an inventory: GROUP: {{hosts: ..., vars: ..., children: ...}} is expected.")
    raise _ForeignError(f"{path} is not YAML, so probably an inventory in INI format")


def _add_group(inventory: Inventory, name: object, content: object, *, parent: str | None, path: Path) -> None:
    if not isinstance(name, str):
        raise ConfigurationError(f"{path}: the group name {values.shown(name)} is not text; put it between quotes.")
    group = inventory.add_group(name, parent)
    sections = _mapping(content, f"{path}: group {name!r}")
    for key, value in _mapping(sections.get("vars"), f"{path}: the vars of group {name!r}").items():
        group.variables[str(key)] = value
    for child, below in _mapping(sections.get("children"), f"{path}: the children of group {name!r}").items():
        _add_group(inventory, child, below, parent=name, path=path)
    where = f"{path}, group {name!r}"
    for key, variables in _mapping(sections.get("hosts"), f"{path}: the hosts of group {name!r}").items():
        hosts, port = hostnames.expand(key, where)
        own: dict[str, object] = {} if port is None else {"ansible_port": port}
        own |= {str(item): value for item, value in _mapping(variables, f"{where}: host {key!r}").items()}
        for host in hosts:
            inventory.add_host(host, name, own, path.parent)


def _mapping(value: object, what: str) -> dict[object, object]:
    """Return a mapping; nothing is an empty one, and a text is a name without content, as Ansible has it."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {value: None}
    if isinstance(value, dict):
        return value
    raise ConfigurationError(f"{what} must be a mapping (NAME: VALUE lines), not {values.shown(value)}.")


def _add_answer(inventory: Inventory, answer: dict[str, object], source: Path) -> None:
    """Add what ``ansible-inventory --list`` printed: groups with hosts and children, variables in ``_meta``."""
    folder = source if source.is_dir() else source.parent
    where = "The answer of ansible-inventory"
    meta = _mapping(answer.pop("_meta", None), where)
    variables = _mapping(meta.get("hostvars"), where)
    for name, content in answer.items():
        inventory.add_group(name)
        sections = _mapping(content, where)
        for child in _names(sections.get("children"), where):
            inventory.add_group(child, name)
        for host in _names(sections.get("hosts"), where):
            names, _ = hostnames.expand(host, where)
            own = {str(key): value for key, value in _mapping(variables.get(host), where).items()}
            inventory.add_host(names[0], name, own, folder)


def _names(value: object, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise ConfigurationError(f"{where} is not as expected: {values.shown(value)} is not a list of names.")
