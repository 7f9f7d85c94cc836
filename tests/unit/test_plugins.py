"""Finding drivers: what a plugin can do wrong, and that it harms nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Protocol

import pytest

from vmmgr import hooks, plugins
from vmmgr.errors import ConfigurationError
from vmmgr.hooks import check_folders
from vmmgr.hookspecs import API, DriverSpec
from vmmgr.operations.context import Context
from vmmgr.parts import Part, parts
from vmmgr.plugins import find_drivers, load_class, problem_of, usable_driver
from vmmgr.rendering import Renderer, TemplateError
from vmmgr.site.model import Site

if TYPE_CHECKING:
    from pathlib import Path

RENDERER = Renderer()
BUILT_IN = [
    ("cluster", "crmsh"), ("cluster", "pcs"), ("storage", "rbd"), ("hypervisor", "libvirt"),
    ("guest", "apt"), ("guest", "dnf"), ("guest", "zypper"),
]  # fmt: skip

HEAD = """
from vmmgr.hookspecs import DriverSpec, hookimpl
from vmmgr.drivers.crmsh import Crmsh
from vmmgr.drivers.base import ClusterDriver

class Native(Crmsh):
    pass

class Incomplete(ClusterDriver):
    def cib(self): ...

def function(renderer): ...

@hookimpl
def vmmgr_drivers():
"""
GOOD = 'DriverSpec("cluster", "native", "{module}:Native", "cibadmin")'


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
    """Without plugins there are seven drivers, in the order in which auto tries them, and each can be used."""
    offers = find_drivers(())
    assert names(offers) == BUILT_IN
    assert [(offer.origin, problem_of(offer, RENDERER)) for offer in offers] == [("built-in", "")] * len(BUILT_IN)


def test_a_plugins_driver_is_found_and_loaded(plug: Plug) -> None:
    """A good plugin's driver stands after the built-in ones, and its class can be loaded."""
    offers = find_drivers([plug(f"return [{GOOD}]")])
    assert names(offers) == [*BUILT_IN, ("cluster", "native")]
    assert problem_of(offers[-1], RENDERER) == ""
    assert offers[-1].spec is not None
    assert load_class(offers[-1].spec).__name__ == "Native"


def test_nothing_of_a_driver_is_imported_before_it_is_used(plug: Plug, tmp_path: Path) -> None:
    """Looking drivers up does not import their classes."""
    (tmp_path / "heavy.py").write_text("raise SystemExit('imported')")
    offers = find_drivers([plug('return [DriverSpec("storage", "x", "heavy:X", "x")]')])
    assert offers[-1].problem == ""
    assert "heavy" not in sys.modules
    assert "SystemExit: imported" in problem_of(offers[-1], RENDERER)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("!import there_is_no_such_module", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
        ("!raise SystemExit(3)", "SystemExit: 3"),
        ("!x = (", "SyntaxError: "),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("return 3", "TypeError: "),
        ("return ['text']", "ValueError: 'text' is not a DriverSpec of a known kind (cluster, storage, hypervisor, guest)"),
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
    assert problem in offers[len(BUILT_IN)].problem
    assert offers[len(BUILT_IN)].origin == "fake_plugin"
    assert [problem_of(offer, RENDERER) for offer in (*offers[: len(BUILT_IN)], offers[-1])] == [""] * (len(BUILT_IN) + 1)


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
    assert problem_of(offer, RENDERER) == str(caught.value)
    assert str(caught.value).startswith("The driver x ")


HOOKIMPL = "!from vmmgr.hookspecs import DriverSpec, hookimpl\n"


@pytest.mark.parametrize("stated", ["2", "0", "'1'", "None"])
def test_another_version_is_told_before_anything_is_asked(plug: Plug, stated: str) -> None:
    """A plugin for another version of hooks and drivers is left out, and both versions are told; the present one is taken."""
    whole = f"VMMGR_API = {{}}\n@hookimpl\ndef vmmgr_drivers(): return [{GOOD.format(module='x')}]\n"
    broken = find_drivers([plug(HOOKIMPL + whole.format(stated) + "@hookimpl\ndef vmmgr_later(): ...")])
    assert names(broken) == [*BUILT_IN, None]
    assert broken[-1].problem == (
        f"it states VMMGR_API = {stated}, and this vm-mgr has version {API} of hooks and drivers; "
        "install releases of the two that fit each other"
    )
    assert names(find_drivers([plug(HOOKIMPL + whole.format(API))])) == [*BUILT_IN, ("cluster", "native")]


@pytest.mark.parametrize(
    "method",
    [
        "def set_meta(self, vm, key): ...",
        "def set_meta(self, vm, value, key): ...",
        "def set_meta(self, resource, key, value): ...",
        "def set_meta(self, vm, key, value, more): ...",
        "def set_meta(self, vm, key, value, *, more): ...",
        "set_meta = 3",
        "def define(self, document, /): ...",
    ],
)
def test_a_method_that_cannot_be_called_is_told(plug: Plug, method: str) -> None:
    """Each method must take what vm-mgr gives it, whether by position or by name; the right signature is told."""
    head = "!from vmmgr.drivers.crmsh import Crmsh\nclass Other(Crmsh):\n    folder = 'crmsh'\n    "
    plug(head + method, "other_plugin")
    with pytest.raises(ConfigurationError) as caught:
        load_class(DriverSpec("cluster", "x", "other_plugin:Other", "x"))
    right = "define(self, document: str)" if "define" in method else "set_meta(self, vm: str, key: str, value: str)"
    assert str(caught.value) == f"The driver x (other_plugin:Other) must have {right} -> Command[None]."


@pytest.mark.parametrize(
    "method", ["def set_meta(self, vm, key, value, more=1): ...", "def set_meta(self, *args, **kwargs): ..."]
)
def test_a_method_may_take_more(plug: Plug, method: str) -> None:
    """What is optional, or takes anything, can be called as well."""
    plug(f"!from vmmgr.drivers.crmsh import Crmsh\nclass Other(Crmsh):\n    {method}", "other_plugin")
    assert load_class(DriverSpec("cluster", "x", "other_plugin:Other", "x"))


def test_the_templates_of_a_driver_must_be_there(plug: Plug, tmp_path: Path) -> None:
    """A driver with a folder of its own needs every template that is its own; a missing or unreadable one is named."""
    plug("!from vmmgr.drivers.crmsh import Crmsh\nclass Other(Crmsh): folder = 'other'", "other_plugin")
    offer = plugins.Offer(DriverSpec("cluster", "x", "other_plugin:Other", "x"), "here")
    (tmp_path / "other").mkdir()
    for name in ("define", "delete"):
        (tmp_path / "other" / f"{name}.j2").write_text("crm {{ x }}")
    assert problem_of(offer, Renderer([tmp_path])).startswith(f"Template other/redefine.j2 was not found in {tmp_path}, ")
    (tmp_path / "other" / "redefine.j2").write_text("crm {% if %}")
    assert problem_of(offer, Renderer([tmp_path])).startswith("Template other/redefine.j2 cannot be rendered: ")
    (tmp_path / "other" / "redefine.j2").write_text("crm")
    assert problem_of(offer, Renderer([tmp_path])) == ""


def test_a_driver_without_its_templates_is_refused_before_it_is_used(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver of a site is not made, so nothing is changed half."""
    plug("!from vmmgr.drivers.crmsh import Crmsh\nclass Other(Crmsh): folder = 'other'", "other_plugin")
    entry = plug('return [DriverSpec("cluster", "other", "other_plugin:Other", "crm")]')
    monkeypatch.setattr(hooks, "entry_points", lambda group: [entry])
    context = Context(Site("plant", (), cluster_driver="other"), "ann@desk")
    with pytest.raises(TemplateError, match=r"Template other/define\.j2 was not found in "):
        context.cluster("hv1", frozenset({"crm"}))


def test_templates_of_plugins_come_after_the_sites_and_before_our_own(
    plug: Plug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each replaces the one after it; a folder that is not there harms nobody."""
    for folder in ("site", "plugin"):
        (tmp_path / folder / "pacemaker").mkdir(parents=True)
        (tmp_path / folder / "pacemaker/cib.j2").write_text(folder)
    (tmp_path / "plugin/pacemaker/simulate.j2").write_text("plugin")
    templates = HOOKIMPL + "@hookimpl\ndef vmmgr_templates(): return [{folder!r}]"
    entries = [
        plug(templates.format(folder=str(tmp_path / name)), f"{name}_plugin") for name in ("absent", "plugin")
    ]  # fmt: skip
    monkeypatch.setattr(hooks, "entry_points", lambda group: entries)
    own = Context(Site("plant", (), templates=tmp_path / "site"), "ann@desk").renderer
    assert [own.argv(f"pacemaker/{name}") for name in ("cib", "simulate")] == [("site",), ("plugin",)]
    assert own.argv("pacemaker/foresee") == Renderer().argv("pacemaker/foresee")
    assert [part for part in parts() if part.origin == "absent_plugin"] == [
        Part(None, None, "absent_plugin", problem=f"{tmp_path / 'absent'}, which vmmgr_templates names, is no folder")
    ]


def test_everything_is_listed_with_where_it_comes_from(plug: Plug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks, templates and checks of plugins are told with their origin; a second of a name and what cannot be read, as such."""
    (tmp_path / "rbd").mkdir()
    (tmp_path / "rbd/groups.j2").write_text("rbd {{ pool }}")
    (tmp_path / "rbd/images.j2").write_text("rbd {% if %}")
    (tmp_path / "test_ups.py").write_text("import heavy\ndef test_battery_low(host): ...\ndef helper(): ...\n")
    (tmp_path / "test_torn.py").write_text("def (")
    text = HOOKIMPL + f"@hookimpl\ndef vmmgr_templates(): return [{str(tmp_path)!r}]\n"
    text += f"@hookimpl\ndef vmmgr_checks(): return [{str(tmp_path)!r}]\n@hookimpl\ndef vmmgr_before(operation): return None\n"
    entries = [plug(text, name) for name in ("one_plugin", "two_plugin")]
    monkeypatch.setattr(hooks, "entry_points", lambda group: entries)
    found = parts()
    assert [(part.kind, part.name) for part in found[: len(BUILT_IN)]] == BUILT_IN
    taken = "the name is taken by the one of one_plugin"
    assert [(part.kind, part.name, part.origin, part.problem.partition(" (")[0]) for part in found[len(BUILT_IN) :]] == [
        ("hook", "vmmgr_before", "one_plugin", ""),
        ("hook", "vmmgr_before", "two_plugin", ""),
        ("template", "rbd/groups", "one_plugin", ""),
        ("template", "rbd/images", "one_plugin", "Template rbd/images.j2 cannot be rendered: Expected an expression, got 'end of statement block'."),
        ("template", "rbd/groups", "two_plugin", taken),
        ("template", "rbd/images", "two_plugin", taken),
        ("check", "torn", "one_plugin", "SyntaxError: invalid syntax"),
        ("check", "ups-battery-low", "one_plugin", ""),
        ("check", "torn", "two_plugin", taken),
        ("check", "ups-battery-low", "two_plugin", taken),
    ]  # fmt: skip
    assert "heavy" not in sys.modules


@pytest.mark.parametrize("body", ["return None", "return []", "!x = 1"])
def test_a_plugin_may_offer_nothing(plug: Plug, body: str) -> None:
    """No answer, an empty one and no hook at all are no problem."""
    assert names(find_drivers([plug(body)])) == BUILT_IN


def test_the_first_of_a_name_stays(plug: Plug) -> None:
    """A second driver of the same kind and name is reported; the same name of another kind is free."""
    again = plug('return [DriverSpec("cluster", "pcs", "a:B", "x"), DriverSpec("storage", "pcs", "a:B", "x")]')
    also = plug('return [DriverSpec("storage", "pcs", "c:D", "x")]', "other_plugin")
    offers = find_drivers([again, also])
    assert [offer.problem for offer in offers[len(BUILT_IN) :]] == [
        "the name is taken by the one of built-in", "", "the name is taken by the one of fake_plugin",
    ]  # fmt: skip


def test_a_driver_is_chosen_by_its_name(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    """A usable one is returned even if another claims its name; a name that there is not is answered with those that there are."""
    entry = plug(f'return [{GOOD}, DriverSpec("cluster", "pcs", "a:B", "x")]')
    monkeypatch.setattr(hooks, "entry_points", lambda group: [entry])
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
        ("return ['{folder}/nowhere']", "{folder}/nowhere, which vmmgr_checks names, is no folder"),
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
    assert spec == DriverSpec("cluster", name="a", target="b:C", program="d")
    with pytest.raises(AttributeError):
        spec.name = "b"  # type: ignore[misc]
