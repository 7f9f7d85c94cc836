"""Finds drivers, the built-in ones and those of installed plugins, and the plugins' checks. A broken plugin is reported and never fatal."""

from __future__ import annotations

import importlib
from dataclasses import astuple, dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from vmmgr import hookspecs
from vmmgr.drivers import builtin
from vmmgr.errors import ConfigurationError
from vmmgr.hookspecs import GROUP, KINDS, DriverSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vmmgr.drivers.base import Driver


@dataclass(frozen=True, slots=True)
class Offer:
    """A driver as found.

    Attributes:
        spec: What the plugin says of it; None where the plugin could not even say that.
        origin: ``built-in``, or the name and version of the distribution that it comes from.
        problem: Why it cannot be used; empty if it can.
    """

    spec: DriverSpec | None
    origin: str
    problem: str = ""


def find_drivers(plugins: Iterable[EntryPoint] | None = None) -> list[Offer]:
    """Return every driver that is offered, built-in ones first, each with its state.

    Args:
        plugins: The entry points to look at; None for those of the group ``vmmgr``.
    """
    offers = [Offer(spec, "built-in") for spec in builtin.vmmgr_drivers()]
    for plugin in _installed(entry_points) if plugins is None else plugins:
        origin = _origin(plugin)
        try:
            offers += [Offer(spec, origin) for spec in _specs_of(plugin)]
        except (Exception, SystemExit) as error:
            offers.append(Offer(None, origin, f"{type(error).__name__}: {error}"))
    return _without_duplicates(offers)


def usable_driver(kind: str, name: str) -> DriverSpec:
    """Return the driver of that kind and name.

    Raises:
        ConfigurationError: There is none, or it is broken; the message names those that there are.
    """
    offers = [offer for offer in find_drivers() if offer.spec and offer.spec.kind == kind]
    for offer in offers:
        if offer.spec and offer.spec.name == name:
            if offer.problem:
                raise ConfigurationError(f"The {kind} driver {name} of {offer.origin} cannot be used: {offer.problem}.")
            return offer.spec
    known = ", ".join(offer.spec.name for offer in offers if offer.spec)
    raise ConfigurationError(f"There is no {kind} driver {name!r}; there is {known}. `vm-mgr drivers` shows them all.")


def load_class(spec: DriverSpec) -> type[Driver]:
    """Import the class of a driver and make sure that it is one.

    Raises:
        ConfigurationError: It cannot be imported, is not a driver of its kind, or leaves a method out.
    """
    from vmmgr.drivers import base

    module, _, name = spec.target.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"The driver {spec.name} cannot be loaded from {spec.target}: {reason}.") from error
    wanted: Any = {"cluster": base.ClusterDriver, "storage": base.StorageDriver, "hypervisor": base.HypervisorDriver}[spec.kind]
    if not (isinstance(found, type) and issubclass(found, wanted)):
        raise ConfigurationError(f"The driver {spec.name} ({spec.target}) is not a {wanted.__name__}.")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigurationError(f"The driver {spec.name} ({spec.target}) lacks {', '.join(missing)}.")
    return found


def problem_of(offer: Offer) -> str:
    """Return why a driver cannot be used; empty if it can. The class is imported for that."""
    if offer.problem or offer.spec is None:
        return offer.problem
    try:
        load_class(offer.spec)
    except ConfigurationError as error:
        return str(error)
    return ""


def template_folders(specs: Iterable[DriverSpec]) -> list[Path]:
    """Return the template folders that plugins bring along."""
    return [Path(spec.templates) for spec in specs if spec.templates]


def check_folders(plugins: Iterable[EntryPoint] | None = None) -> tuple[list[Path], list[tuple[str, str]]]:
    """Return the folders of checks that plugins bring along; and the plugins that are broken, each with the reason.

    Args:
        plugins: The entry points to look at; None for those of the group ``vmmgr``.
    """
    folders, problems = [], []
    for plugin in _installed(entry_points) if plugins is None else plugins:
        try:
            named = [Path(folder) for answer in _manager(plugin).hook.vmmgr_checks() for folder in answer]
            if missing := [folder for folder in named if not folder.is_dir()]:
                raise ValueError(f"{missing[0]} is no folder")
            folders += named
        except (Exception, SystemExit) as error:
            problems.append((_origin(plugin), f"{type(error).__name__}: {error}"))
    return folders, problems


@cache
def _installed(search: Callable[..., Iterable[EntryPoint]]) -> tuple[EntryPoint, ...]:
    """Search the installed distributions once only: each search reads the list of every one of them."""
    return tuple(search(group=GROUP))


def _origin(plugin: EntryPoint) -> str:
    return f"{plugin.dist.name} {plugin.dist.version}" if plugin.dist else plugin.value


def _manager(plugin: EntryPoint) -> pluggy.PluginManager:
    """Return a manager for one plugin alone, so that nothing it does can harm the others."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin.load(), name=plugin.name)
    manager.check_pending()
    return manager


def _specs_of(plugin: EntryPoint) -> list[DriverSpec]:
    specs: list[Any] = [spec for answer in _manager(plugin).hook.vmmgr_drivers() for spec in answer]
    for spec in specs:
        if not isinstance(spec, DriverSpec) or spec.kind not in KINDS:
            raise ValueError(f"{spec!r} is not a DriverSpec of a known kind ({', '.join(KINDS)})")
        if not all(isinstance(value, str) for value in astuple(spec)):
            raise ValueError(f"{spec!r} has something else than text in it")
    return specs


def _without_duplicates(offers: list[Offer]) -> list[Offer]:
    first: dict[tuple[str, str], str] = {}
    checked = []
    for offer in offers:
        spec = offer.spec
        if spec and (spec.kind, spec.name) in first:
            taken = first[spec.kind, spec.name]
            checked.append(Offer(spec, offer.origin, f"the name is taken by the one of {taken}"))
            continue
        if spec:
            first[spec.kind, spec.name] = offer.origin
        checked.append(offer)
    return checked
