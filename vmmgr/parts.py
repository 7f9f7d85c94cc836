"""All that vm-mgr can be made of, for ``vm-mgr drivers``: every driver, and the hooks, templates and checks of plugins."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vmmgr.checks import code_of
from vmmgr.errors import VmMgrError
from vmmgr.hooks import load_plugins, named_folders, said, template_folders
from vmmgr.plugins import find_drivers, problem_of
from vmmgr.rendering import Renderer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# The hooks whose answers are told part by part.
_OFFERS = ("vmmgr_drivers", "vmmgr_templates", "vmmgr_checks")


@dataclass(frozen=True, slots=True)
class Part:
    """A part and its state.

    Attributes:
        kind: That of a driver, or ``hook``, ``template`` or ``check``; None where a plugin cannot say what it has.
        name: Its name, one of its kind; None likewise.
        origin: ``built-in``, or the name and version of the distribution that it comes from.
        program: What a node must have for a driver; empty for everything else.
        problem: Why it cannot be used; empty if it can.
    """

    kind: str | None
    name: str | None
    origin: str
    program: str = ""
    problem: str = ""


def parts() -> list[Part]:
    """Return all parts, each with its state; drivers are imported for that, and checks are not."""
    renderer = Renderer(template_folders())
    found = []
    for offer in find_drivers():
        kind, name, program = (offer.spec.kind, offer.spec.name, offer.spec.program) if offer.spec else (None, None, "")
        found.append(Part(kind, name, offer.origin, program, problem_of(offer, renderer)))
    for plugin in load_plugins():
        found += [Part("hook", hook, plugin.origin) for hook in plugin.hooks if hook not in _OFFERS]
    return [*found, *_templates(renderer), *_checks()]


def _templates(renderer: Renderer) -> Iterator[Part]:
    folders, problems = named_folders("vmmgr_templates")
    found = []
    for folder, origin in folders:
        for file in sorted(folder.glob("*/*.j2")):
            name = str(file.relative_to(folder).with_suffix(""))
            found.append(Part("template", name, origin, problem=_problem(renderer, name)))
    yield from _first_stays(found)
    yield from (Part(None, None, origin, problem=problem) for origin, problem in problems)


def _problem(renderer: Renderer, template: str) -> str:
    try:
        renderer.check(template)
    except VmMgrError as error:
        return str(error)
    return ""


def _checks() -> Iterator[Part]:
    folders, problems = named_folders("vmmgr_checks")
    files = [(file, origin) for folder, origin in folders for file in sorted(folder.glob("test_*.py"))]
    yield from _first_stays(part for file, origin in files for part in _checks_in(file, origin))
    yield from (Part(None, None, origin, problem=problem) for origin, problem in problems)


def _checks_in(file: Path, origin: str) -> Iterator[Part]:
    """Yield the checks of a module, which is read and not imported: it would import pytest."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, OSError, ValueError) as error:
        yield Part("check", file.stem.removeprefix("test_"), origin, problem=said(error))
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield Part("check", code_of(file.stem, node.name), origin)


def _first_stays(found: Iterable[Part]) -> Iterator[Part]:
    first: dict[str | None, str] = {}
    for part in found:
        taken = first.setdefault(part.name, part.origin)
        yield part if taken == part.origin else replace(part, problem=f"the name is taken by the one of {taken}")
