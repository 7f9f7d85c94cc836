"""Finds drivers: the built-in ones, and those of installed plugins. A broken one is reported and never fatal."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from vmmgr.drivers import builtin
from vmmgr.errors import ConfigurationError, VmMgrError
from vmmgr.hooks import FAULTS, load_plugins, said
from vmmgr.hookspecs import KINDS, DriverSpec

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import EntryPoint

    from vmmgr.drivers.base import Driver
    from vmmgr.hooks import Plugin
    from vmmgr.rendering import Renderer


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
    for plugin in load_plugins(plugins):
        try:
            offers += [Offer(spec, plugin.origin) for spec in _specs_of(plugin)]
        except FAULTS as error:
            offers.append(Offer(None, plugin.origin, said(error)))
        if plugin.problem:
            offers.append(Offer(None, plugin.origin, plugin.problem))
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
        ConfigurationError: It cannot be imported, is not a driver of its kind, leaves a method out or has it otherwise.
    """
    from vmmgr.drivers import base

    module, _, name = spec.target.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except FAULTS as error:
        raise ConfigurationError(f"The driver {spec.name} cannot be loaded from {spec.target}: {said(error)}.") from error
    wanted: Any = {
        "cluster": base.ClusterDriver,
        "storage": base.StorageDriver,
        "hypervisor": base.HypervisorDriver,
        "guest": base.GuestDriver,
    }[spec.kind]
    if not (isinstance(found, type) and issubclass(found, wanted)):
        raise ConfigurationError(f"The driver {spec.name} ({spec.target}) is not a {wanted.__name__}.")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigurationError(f"The driver {spec.name} ({spec.target}) lacks {', '.join(missing)}.")
    for method in sorted(wanted.__abstractmethods__):
        own = getattr(found, method)
        if getattr(own, "__module__", "").startswith("vmmgr."):  # the tests call each of our own, and looking takes time
            continue
        expected = inspect.signature(getattr(wanted, method))
        if not _takes(own, expected):
            right = f"{method}{expected}".replace("'", "")  # annotations are quoted
            raise ConfigurationError(f"The driver {spec.name} ({spec.target}) must have {right}.")
    return found


def problem_of(offer: Offer, renderer: Renderer) -> str:
    """Return why a driver cannot be used with these templates; empty if it can. The class is imported for that."""
    if offer.problem or offer.spec is None:
        return offer.problem
    try:
        load_class(offer.spec).check_templates(renderer)
    except VmMgrError as error:
        return str(error)
    return ""


def _takes(method: Any, expected: inspect.Signature) -> bool:
    """Whether a method can be called as the base class says: by position, by name, and without what has a default there."""
    parameters = expected.parameters
    needed = {name: name for name, each in parameters.items() if each.default is each.empty}
    by_name = {name: name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}
    try:
        own = inspect.signature(method)
        own.bind(**needed)
        given = own.bind(*(name for name in parameters if name not in by_name), **by_name).arguments
    except (TypeError, ValueError):
        return False
    return all(value == name for name, value in given.items() if name in parameters)


def _specs_of(plugin: Plugin) -> list[DriverSpec]:
    specs: list[Any] = [spec for answer in plugin.ask("vmmgr_drivers") for spec in answer]
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
