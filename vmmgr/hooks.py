"""Loads plugins and calls their hooks. Each stands alone: whatever one of them does wrong, it is told and harms nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from vmmgr import hookspecs
from vmmgr.errors import ConfigurationError, VmMgrError
from vmmgr.hookspecs import API, GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What code of others may raise that says nothing about vm-mgr.
FAULTS = (Exception, SystemExit)


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin.

    Attributes:
        origin: The name and version of the distribution that it comes from.
        manager: Calls its hooks, and nobody else's.
        problem: Why it cannot be used; empty if it can.
    """

    origin: str
    manager: pluggy.PluginManager
    problem: str = ""

    @property
    def hooks(self) -> list[str]:
        """The hooks that it implements."""
        found = [caller for module in self.manager.get_plugins() for caller in self.manager.get_hookcallers(module) or ()]
        return sorted(caller.name for caller in found)

    def ask(self, hook: str, **arguments: Any) -> list[Any]:
        """Return what it answers to a hook, nothing where it does not implement it; whatever it raises is raised."""
        answers: list[Any] = getattr(self.manager.hook, hook)(**arguments) if not self.problem else []
        return answers


def load_plugins(entries: Iterable[EntryPoint] | None = None) -> tuple[Plugin, ...]:
    """Return the plugins, broken ones too.

    Args:
        entries: Their entry points; None for those of the group ``vmmgr`` that are installed.
    """
    return _installed(entry_points) if entries is None else tuple(map(_load, entries))


def said(error: BaseException) -> str:
    """Return an error of a plugin as a part of a sentence."""
    return str(error).rstrip(".") if isinstance(error, VmMgrError) else f"{type(error).__name__}: {error}"


def named_folders(
    hook: str, plugins: Iterable[EntryPoint] | None = None
) -> tuple[list[tuple[Path, str]], list[tuple[str, str]]]:
    """Return the folders that plugins name in answer to a hook, each with its origin; and who answers amiss, with the reason.

    Args:
        hook: ``vmmgr_templates`` or ``vmmgr_checks``.
        plugins: The entry points to look at; None for those of the group ``vmmgr``.
    """
    folders, problems = [], []
    for plugin in load_plugins(plugins):
        try:
            named = [Path(folder) for answer in plugin.ask(hook) for folder in answer]
            if missing := [folder for folder in named if not folder.is_dir()]:
                raise ConfigurationError(f"{missing[0]}, which {hook} names, is no folder")
            folders += [(folder, plugin.origin) for folder in named]
        except FAULTS as error:
            problems.append((plugin.origin, said(error)))
    return folders, problems


def template_folders() -> list[Path]:
    """Return the folders of templates that plugins bring along."""
    return [folder for folder, _origin in named_folders("vmmgr_templates")[0]]


def check_folders(plugins: Iterable[EntryPoint] | None = None) -> tuple[list[Path], list[tuple[str, str]]]:
    """Return the folders of checks that plugins bring along; and the plugins that are broken, each with the reason.

    Args:
        plugins: The entry points to look at; None for those of the group ``vmmgr``.
    """
    folders, problems = named_folders("vmmgr_checks", plugins)
    broken = [(plugin.origin, plugin.problem) for plugin in load_plugins(plugins) if plugin.problem]
    return [folder for folder, _origin in folders], broken + problems


@cache
def _installed(search: Callable[..., Iterable[EntryPoint]]) -> tuple[Plugin, ...]:
    """Search the installed distributions once only: each search reads the list of every one of them."""
    return tuple(map(_load, search(group=GROUP)))


def _load(entry: EntryPoint) -> Plugin:
    origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    try:
        module = entry.load()
        _check_version(getattr(module, "VMMGR_API", API))
        manager.register(module, name=entry.name)
        manager.check_pending()
    except FAULTS as error:
        return Plugin(origin, manager, said(error))
    return Plugin(origin, manager)


def _check_version(stated: object) -> None:
    if stated != API:
        raise ConfigurationError(
            f"it states VMMGR_API = {stated!r}, and this vm-mgr has version {API} of hooks and drivers; "
            "install releases of the two that fit each other"
        )
