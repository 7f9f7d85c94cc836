"""The pages for integrators against the code: all is there that a plugin can meet, and the examples work."""

from __future__ import annotations

import importlib.util
import re
import types
from pathlib import Path
from typing import Any

import pytest

from vmmgr import errors, hooks, hookspecs
from vmmgr.drivers import base
from vmmgr.hookspecs import Operation

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference.rst").read_text(encoding="utf-8")
PLUGINS = (DOCS / "plugins.rst").read_text(encoding="utf-8")
HOOKS = [name for name in vars(hookspecs) if name.startswith("vmmgr_")]
METHODS = [
    (name, method)
    for name, each in vars(base).items()
    if isinstance(each, type) and issubclass(each, base.Driver)
    for method in sorted(each.__abstractmethods__)
]


def section(title: str) -> str:
    """Return a section of the reference."""
    _, found, text = REFERENCE.partition(f"\n{title}\n{'-' * len(title)}\n")
    assert found, f"docs/reference.rst has no section {title}"
    return re.split(r"\n\n[^\n]+\n-{3,}\n", text)[0]


def test_the_reference_is_that_of_this_code() -> None:
    """The page is what docs/reference.py writes now."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.text() == REFERENCE, "run `.venv/bin/python docs/reference.py`"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    """Each hook has an entry with its first sentence, and a word in the page that tells how it is used."""
    first = (getattr(hookspecs, hook).__doc__ or "").partition("\n")[0]
    assert re.search(rf"^``{hook}\(.*\) -> .*``\n   {re.escape(first)}", section("Hooks"), re.MULTILINE)


@pytest.mark.parametrize(("driver", "method"), METHODS)
def test_every_method_of_a_driver_is_documented(driver: str, method: str) -> None:
    """Each method that a driver must have stands with its parameters in the section of its kind."""
    first = (getattr(getattr(base, driver), method).__doc__ or "").partition("\n")[0]
    assert len(first) > 10
    assert re.search(rf"^``{method}\(self.*\) -> .*``\n   {re.escape(first)}", section(driver), re.MULTILINE)


def test_every_exit_code_is_documented() -> None:
    """Each exit code has its word, and each error its line; the README has the codes, too."""
    text = section("Exit codes and errors")
    readme = (DOCS.parent / "README.rst").read_text(encoding="utf-8").partition("Exit codes: ")[2].partition(".")[0]
    for code, word in errors.OUTCOMES.items():
        assert re.search(rf"^   {code} \| ``{word}`` \| .* \| \w+", text, re.MULTILINE)
        assert re.search(rf"\b{code}\b", readme)
    for name, each in vars(errors).items():
        if isinstance(each, type) and issubclass(each, errors.VmMgrError):
            assert f" {each.exit_code} | ``{errors.OUTCOMES[each.exit_code]}`` | ``{name}`` | " in text


def test_the_example_of_a_plugin_works() -> None:
    """The plugin of docs/plugins.rst can be loaded, and does what it says."""
    (code,) = [block for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", PLUGINS) if "hookimpl" in block]
    module = types.ModuleType("plant")
    exec(re.sub("^    ", "", code, flags=re.MULTILINE), vars(module))
    entry: Any = types.SimpleNamespace(name="plant", value="plant", dist=None, load=lambda: module)
    (plugin,) = hooks.load_plugins([entry])
    assert (plugin.problem, plugin.hooks) == ("", ["vmmgr_before"])
    reasons = [plugin.ask("vmmgr_before", operation=Operation(verb, "prot-1", {})) for verb in ("remove", "stop")]
    assert reasons == [["prot-1 protects the plant; nobody removes it from here."], []]


def test_the_pages_speak_of_what_there_is() -> None:
    """Files and hooks that the page for integrators names are there."""
    names = re.findall(r"``((?:etc|docs|vmmgr|tests|sample_site)/[\w./-]+|vmmgr_\w+)``", PLUGINS)
    assert len(names) > 8
    for name in names:
        place = DOCS.parent / ("etc/sample-site" if name.startswith("sample_site") else "") / name
        assert name in HOOKS or place.exists(), f"docs/plugins.rst names {name}"
