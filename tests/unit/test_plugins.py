"""Finding drivers: what a plugin can do wrong, and that it harms nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Protocol

import pytest

from vmmgr import plugins
from vmmgr.errors import ConfigurationError
from vmmgr.hookspecs import DriverSpec
from vmmgr.plugins import check_folders, find_drivers, load_class, problem_of, template_folders, usable_driver

if TYPE_CHECKING:
    from pathlib import Path

BUILT_IN = [("cluster", "crmsh"), ("cluster", "pcs"), ("storage", "rbd"), ("hypervisor", "libvirt")]

HEAD = """
from vmmgr.hookspecs import DriverSpec, hookimpl
from vmmgr.drivers.crmsh import Crmsh
from vmmgr.drivers.base import ClusterDriver

class Native(Crmsh):
    folder = "native"

class Incomplete(ClusterDriver):
    def cib(self): ...

def function(renderer): ...

@hookimpl
def vmmgr_drivers():
"""
GOOD = 'DriverSpec("cluster", "native", "{module}:Native", "cibadmin", "/opt/native/templates")'


class Plug(Protocol):
    """Writes a plugin and returns its entry point."""

    def __call__(self, body: str, name: str = "fake_plugin") -> EntryPoint: ...


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Return a function that writes a plugin whose hook has this body; a body that begins with ! is the whole module."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(body: str, name: str = "fake_plugin") -> EntryPoint:
        text = body[1:] if body.startswith("!") else f"{HEAD}    {body}\n"
        (tmp_path / f"{name}.py").write_text(text.replace("{module}", name))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return EntryPoint(name, name, "vmmgr")

    return write


def names(offers: list[plugins.Offer]) -> list[tuple[str, str] | None]:
    """Return kind and name of each offer."""
    return [(offer.spec.kind, offer.spec.name) if offer.spec else None for offer in offers]


def test_the_built_in_drivers_are_whole() -> None:
    """Without plugins there are four drivers, in the order in which auto tries them, and each can be used."""
    offers = find_drivers(())
    assert names(offers) == BUILT_IN
    assert [(offer.origin, problem_of(offer)) for offer in offers] == [("built-in", "")] * 4
    assert template_folders(offer.spec for offer in offers if offer.spec) == []


def test_a_plugins_driver_is_found_and_loaded(plug: Plug) -> None:
    """A good plugin's driver stands after the built-in ones, with its templates, and its class can be loaded."""
    offers = find_drivers([plug(f"return [{GOOD}]")])
    assert names(offers) == [*BUILT_IN, ("cluster", "native")]
    assert problem_of(offers[-1]) == ""
    assert offers[-1].spec is not None
    assert load_class(offers[-1].spec).__name__ == "Native"
    assert [str(folder) for folder in template_folders([offers[-1].spec])] == ["/opt/native/templates"]


def test_nothing_of_a_driver_is_imported_before_it_is_used(plug: Plug, tmp_path: Path) -> None:
    """Looking drivers up does not import their classes."""
    (tmp_path / "heavy.py").write_text("raise SystemExit('imported')")
    offers = find_drivers([plug('return [DriverSpec("storage", "x", "heavy:X", "x")]')])
    assert offers[-1].problem == ""
    assert "heavy" not in sys.modules
    assert "SystemExit: imported" in problem_of(offers[-1])


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("!import there_is_no_such_module", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("!raise SystemExit(3)", "SystemExit: 3"),
        ("!x = (", "SyntaxError: "),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("return 3", "TypeError: "),
        ("return ['text']", "ValueError: 'text' is not a DriverSpec of a known kind (cluster, storage, hypervisor)"),
        ("return [None]", "ValueError: None is not a DriverSpec"),
        ('return [DriverSpec("network", "x", "a:B", "x")]', "is not a DriverSpec of a known kind"),
        ('return [DriverSpec(["cluster"], "x", "a:B", "x")]', "is not a DriverSpec of a known kind"),
        ('return [DriverSpec("cluster", ["x"], "a:B", "x")]', "has something else than text in it"),
        ('return [DriverSpec("cluster", "x", None, "x")]', "has something else than text in it"),
        ("!from vmmgr.hookspecs import hookimpl\n@hookimpl\ndef vmmgr_driver(): return []", "PluginValidationError: unknown hook"),
        ("!from vmmgr.hookspecs import hookimpl\n@hookimpl\ndef vmmgr_drivers(site): return []", "PluginValidationError: "),
    ],
)  # fmt: skip
def test_a_broken_plugin_is_reported_and_harms_nobody(plug: Plug, body: str, problem: str) -> None:
    """Whatever a plugin does wrong, it is told as its problem, and the drivers of others stay."""
    good = plug(f"return [{GOOD}]", "good_plugin")
    offers = find_drivers([plug(body), good])
    assert names(offers) == [*BUILT_IN, None, ("cluster", "native")]
    assert problem in offers[4].problem
    assert offers[4].origin == "fake_plugin"
    assert [problem_of(offer) for offer in (*offers[:4], offers[5])] == [""] * 5


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("there_is_no_such_module:X", "ModuleNotFoundError: No module named"),
        ("fake_plugin:Absent", "AttributeError: "),
        ("fake_plugin", "AttributeError: "),
        ("", "ValueError: Empty module name"),
        (".relative:X", "TypeError: "),
        ("fake_plugin:function", r"\(fake_plugin:function\) is not a ClusterDriver"),
        ("vmmgr.drivers.rbd:Rbd", "is not a ClusterDriver"),
        ("fake_plugin:Incomplete", r"lacks assert_absent, assert_lease, assert_unchanged, cleanup, define, delete, "),
    ],
)
def test_a_class_that_is_no_driver_is_told(plug: Plug, target: str, problem: str) -> None:
    """A target that cannot be loaded, or is not a whole driver of its kind, is named with what is wrong."""
    offer = find_drivers([plug(f'return [DriverSpec("cluster", "x", "{target}", "x")]')])[-1]
    assert offer.spec is not None
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load_class(offer.spec)
    assert problem_of(offer) == str(caught.value)
    assert str(caught.value).startswith("The driver x ")


@pytest.mark.parametrize("body", ["return None", "return []", "!x = 1"])
def test_a_plugin_may_offer_nothing(plug: Plug, body: str) -> None:
    """No answer, an empty one and no hook at all are no problem."""
    assert names(find_drivers([plug(body)])) == BUILT_IN


def test_the_first_of_a_name_stays(plug: Plug) -> None:
    """A second driver of the same kind and name is reported; the same name of another kind is free."""
    again = plug('return [DriverSpec("cluster", "pcs", "a:B", "x"), DriverSpec("storage", "pcs", "a:B", "x")]')
    also = plug('return [DriverSpec("storage", "pcs", "c:D", "x")]', "other_plugin")
    offers = find_drivers([again, also])
    assert [offer.problem for offer in offers[4:]] == [
        "the name is taken by the one of built-in", "", "the name is taken by the one of fake_plugin",
    ]  # fmt: skip


def test_a_driver_is_chosen_by_its_name(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    """A usable one is returned even if another claims its name; a name that there is not is answered with those that there are."""
    entry = plug(f'return [{GOOD}, DriverSpec("cluster", "pcs", "a:B", "x")]')
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry])
    assert usable_driver("cluster", "pcs").target == "vmmgr.drivers.pcs:Pcs"
    assert usable_driver("cluster", "native").program == "cibadmin"
    with pytest.raises(ConfigurationError, match="There is no cluster driver 'rbd'; there is crmsh, pcs, native, pcs"):
        usable_driver("cluster", "rbd")
    with pytest.raises(ConfigurationError, match="There is no storage driver 'native'; there is rbd"):
        usable_driver("storage", "native")


def test_an_installed_plugin_is_found_by_the_program(plug: Plug, tmp_path: Path) -> None:
    """`vm-mgr drivers` shows an installed distribution's driver with its origin, and a broken one with its problem; exit code 0."""
    plug(f"return [{GOOD}]", "good_plugin")
    plug("!raise RuntimeError('broken')", "bad_plugin")
    for name in ("good", "bad"):
        info = tmp_path / f"{name}_dist-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[vmmgr]\nx = {name}_plugin\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "error", "-m", "vmmgr", "drivers", "-f", "csv", "--quote", "none"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    rows = answer.stdout.splitlines()
    assert rows[0] == "Kind,Name,Program,Origin,State,Problem"
    assert "cluster,native,cibadmin,good-dist 1.2,usable," in rows
    assert ",,,bad-dist 1.2,broken,RuntimeError: broken" in rows
    assert "cluster,crmsh,crm,built-in,usable," in rows
    assert answer.stderr == ""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return ['{folder}']", ""),
        ("return ['{folder}/nowhere']", "ValueError: {folder}/nowhere is no folder"),
        ("return [None]", "TypeError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_folders_of_checks(plug: Plug, tmp_path: Path, body: str, problem: str) -> None:
    """A plugin's folders are found; one that is broken is told with the reason, and harms nobody."""
    module = f"!from vmmgr.hookspecs import hookimpl\n@hookimpl\ndef vmmgr_checks():\n    {body}"
    wrong = plug(module.replace("{folder}", str(tmp_path)), "checking")
    right = plug(f"!from vmmgr.hookspecs import hookimpl\n@hookimpl\ndef vmmgr_checks(): return ['{tmp_path}']", "other")
    found, problems = check_folders([wrong, right, plug(f"return [{GOOD}]", "drivers_only")])
    assert found == [tmp_path] * (1 if problem else 2)
    assert [origin for origin, _ in problems] == ["checking"] * bool(problem)
    assert all(said.startswith(problem.replace("{folder}", str(tmp_path))) for _, said in problems)


def test_specs_cannot_be_changed() -> None:
    """A description is a value: equal when its parts are, and fixed."""
    spec = DriverSpec("cluster", "a", "b:C", "d")
    assert spec == DriverSpec("cluster", "a", "b:C", "d", "")
    with pytest.raises(AttributeError):
        spec.name = "b"  # type: ignore[misc]
