"""The configuration file: which sites there are, where their inventories are, and settings for each.

The first of these is read: ``--config``, $VMMGR_CONFIG, $XDG_CONFIG_HOME/vm-mgr/config.yaml (without that variable
~/.config/vm-mgr/config.yaml), /etc/vm-mgr/config.yaml. Relative paths in it start at its own folder. A sample with every key
is in etc/vm-mgr.yaml.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmmgr.errors import ConfigurationError
from vmmgr.site import values
from vmmgr.site.files import read_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SYSTEM_FILE = Path("/etc/vm-mgr/config.yaml")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is configured for a site; None where nothing is. Paths are absolute."""

    inventory: tuple[Path, ...] | None = None
    user: str | None = None
    key: tuple[Path, ...] | None = None
    known_hosts: tuple[Path, ...] | None = None
    cluster_driver: str | None = None
    sudo: str | None = None
    pool: str | None = None
    templates: Path | None = None
    checks: Path | None = None
    connect_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """The content of a configuration file; empty if there is none."""

    path: Path | None = None
    default_site: str | None = None
    sites: Mapping[str, Settings] = field(default_factory=dict)


def word(value: object, what: str, _folder: Path) -> str:
    """Check a name, such as a driver's or a pool's."""
    return values.checked(value, values.WORD, what)


def user(value: object, what: str, _folder: Path) -> str:
    """Check a login name."""
    return values.checked(value, values.USER, what)


def paths(value: object, what: str, folder: Path) -> tuple[Path, ...]:
    """Check one path or a list of paths, all of which must exist."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ConfigurationError(f"{what} is an empty list: a path or a list of paths is expected.")
    return tuple(values.existing(values.path(item, what, folder), what) for item in items)


def _folder(value: object, what: str, folder: Path) -> Path:
    found = values.existing(values.path(value, what, folder), what)
    if not found.is_dir():
        raise ConfigurationError(f"{what} is {found}, which is not a folder.")
    return found


def _sudo(value: object, what: str, _folder: Path) -> str:
    if value in ("nopasswd", "password"):
        return str(value)
    raise ConfigurationError(f'{what} is {values.shown(value)}: "nopasswd" or "password" is expected.')


def _seconds(value: object, what: str, _folder: Path) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 300:
        return float(value)
    raise ConfigurationError(f"{what} is {values.shown(value)}: a number of seconds above 0, up to 300, is expected.")


_READERS: dict[str, Callable[[object, str, Path], object]] = {
    "inventory": paths,
    "user": user,
    "key": paths,
    "known_hosts": paths,
    "cluster_driver": word,
    "sudo": _sudo,
    "pool": word,
    "templates": _folder,
    "checks": _folder,
    "connect_timeout": _seconds,
}


def read_configuration(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """Return the content of the configuration file that applies.

    Args:
        path: the file of the command line, if one was given.
        environ: the environment's variables.

    Raises:
        ConfigurationError: a file that was named is missing, or the file is not as it should be.
    """
    found = _find(path, environ)
    if found is None:
        return Configuration()
    content = read_mapping(found)
    _refuse_unknown(content, ("default_site", "sites"), str(found))
    default = content.get("default_site")
    raw_sites = content.get("sites")
    if raw_sites is None:
        raw_sites = {}
    if not isinstance(raw_sites, dict):
        raise ConfigurationError(f"{found}: sites is {values.shown(raw_sites)}: NAME: {{...}} lines are expected.")
    sites = {}
    for name, raw in raw_sites.items():
        sites[values.checked(name, values.WORD, f"{found}: the name of a site")] = _settings(raw, name, found)
    if default is not None:
        default = values.checked(default, values.WORD, f"{found}: default_site")
        if default not in sites:
            raise ConfigurationError(f"{found}: default_site is {default!r}, but {known_sites(sites)}.")
    return Configuration(found, default, sites)


def known_sites(sites: Mapping[str, Settings]) -> str:
    """Return the names of the configured sites as a part of a sentence."""
    return f"the configured sites are {', '.join(sites)}" if sites else "no site is configured"


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        return values.existing(Path.cwd() / path.expanduser(), "The configuration file (--config)")
    if environ.get("VMMGR_CONFIG"):
        what = "The configuration file ($VMMGR_CONFIG)"
        return values.existing(values.path(environ["VMMGR_CONFIG"], what, Path.cwd()), what)
    # the XDG Base Directory Specification: a relative path there is invalid and to be ignored
    base = Path(environ.get("XDG_CONFIG_HOME", ""))
    home = base if base.is_absolute() else Path("~/.config").expanduser()
    candidates = (home / "vm-mgr" / "config.yaml", SYSTEM_FILE)
    return next((candidate for candidate in candidates if values.is_file(candidate)), None)


def _settings(raw: object, name: object, path: Path) -> Settings:
    where = f"{path}: site {name}"
    if not isinstance(raw, dict):
        raise ConfigurationError(f"{where} is {values.shown(raw)}: KEY: VALUE lines are expected, at least inventory.")
    _refuse_unknown(raw, tuple(_READERS), where)
    read: dict[str, Any] = {
        key: _READERS[key](value, f"{where}: {key}", path.parent) for key, value in raw.items() if value is not None
    }
    return Settings(**read)


def _refuse_unknown(content: dict[object, object], known: tuple[str, ...], where: str) -> None:
    unknown = [values.shown(key) for key in content if key not in known]
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {', '.join(unknown)}; there are {', '.join(known)}.")
