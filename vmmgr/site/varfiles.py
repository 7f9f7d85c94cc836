"""The folders group_vars/ and host_vars/ beside the inventory files.

As Ansible's plugin ``host_group_vars`` reads them: for NAME either the file or folder NAME, or else the first of NAME.yml,
NAME.yaml and NAME.json. In a folder, files of these endings or none count, in the order of their names, also in folders below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.errors import ConfigurationError
from vmmgr.site.files import VAULT_HEADER, parse, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_ENDINGS = (".yml", ".yaml", ".json")


class VariableFiles:
    """Variables from the files beside the inventories.

    Attributes:
        encrypted: the files that were met and left out because Ansible Vault encrypted them, in the order they were met.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.encrypted: dict[Path, None] = {}
        self._folders = folders
        self._read: dict[Path, dict[str, object]] = {}

    def read(self, kind: str, names: Iterable[str]) -> dict[str, object]:
        """Return the merged variables of hosts or groups; later folders win, within a folder later names.

        Args:
            kind: "group_vars" or "host_vars".
            names: the names of groups or hosts, the one with the lowest precedence first.

        Raises:
            ConfigurationError: a file cannot be read, is not YAML or holds no mapping.
        """
        merged: dict[str, object] = {}
        names = [name for name in names if "/" not in name and "\0" not in name and name not in ("", ".", "..")]
        for folder in self._folders:
            for name in names:
                for path in self._paths(folder / kind / name):
                    merged |= self._content(path)
        return merged

    def _paths(self, base: Path) -> list[Path]:
        try:
            return list(_files(base))
        except OSError as error:
            raise ConfigurationError(f"The variable files {base} cannot be read: {error.strerror}.") from None

    def _content(self, path: Path) -> dict[str, object]:
        if path not in self._read:
            text = read_text(path)
            if text.startswith(VAULT_HEADER):
                self.encrypted[path] = None
                text = ""
            value = parse(text, path) or {}
            if not isinstance(value, dict):
                raise ConfigurationError(f"{path} does not hold NAME: VALUE lines (a YAML mapping).")
            self._read[path] = {key: item for key, item in value.items() if isinstance(key, str)}
        return self._read[path]


def _files(base: Path) -> Iterator[Path]:
    """Yield the files that hold the variables of one name, given its path without ending."""
    if base.is_dir():
        yield from _files_in(base)
    elif base.exists():
        yield base
    else:
        candidates = (base.with_name(base.name + ending) for ending in _ENDINGS)
        yield from [path for path in candidates if path.is_file()][:1]


def _files_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        if path.is_dir() and not path.suffix:
            yield from _files_in(path)
        elif path.is_file() and (not path.suffix or path.suffix in _ENDINGS):
            yield path
