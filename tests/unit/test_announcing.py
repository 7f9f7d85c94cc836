"""Hooks around an operation: who is asked and told what, and what becomes of plugins that fail."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr import errors, hooks, session
from vmmgr.announcing import announced
from vmmgr.app import main
from vmmgr.errors import OutcomeUnknownError, RefusedError, UnreachableError, UsageError, VmMgrError
from vmmgr.hookspecs import Operation, Outcome, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = Operation("start", "web", {"wait": True}, "plant", "ann@desk")
INVENTORY = """
hypervisors: {hosts: {hv1: {ansible_host: 127.0.0.2}, hv2: {ansible_host: 127.0.0.3}}}
observers: {hosts: {obs: {ansible_host: 127.0.0.4}}}
all: {vars: {ansible_port: 1}}
"""


class Site:
    """A plugin that notes what it is told, and answers as it is made."""

    def __init__(self, before: Callable[[], Any] = lambda: None, after: Callable[[], Any] = lambda: None) -> None:
        self.answers = before, after
        self.told: list[Any] = []

    @hookimpl
    def vmmgr_before(self, operation: Operation) -> Any:
        """Note it."""
        self.told.append(operation)
        return self.answers[0]()

    @hookimpl
    def vmmgr_after(self, operation: Operation, outcome: Outcome) -> Any:
        """Note it."""
        self.told.append((operation, outcome))
        return self.answers[1]()


class Said(list[tuple[str, bool]]):
    """A reporter."""

    def say(self, text: str, *, warning: bool = False) -> None:
        """Note it."""
        self.append((text, warning))


def failing(error: BaseException) -> Callable[[], Any]:
    """Return a function that raises."""

    def fail() -> Any:
        raise error

    return fail


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that has these objects be the installed plugins, called one, two …; an error is one that is broken."""

    def put(*plugins: Any) -> None:
        entries = [
            SimpleNamespace(name=name, value=name, dist=None, load=failing(plugin) if isinstance(plugin, Exception) else lambda plugin=plugin: plugin)
            for name, plugin in zip(("one", "two", "three"), plugins, strict=False)
        ]  # fmt: skip
        monkeypatch.setattr(hooks, "entry_points", lambda group: entries)

    return put


def test_an_operation_is_announced_and_its_end_is_told(install: Callable[..., None]) -> None:
    """Every plugin is asked first; then it is done; then every plugin is told the outcome. Nothing is said to the user."""
    one, two, said = Site(), Site(), Said()
    install(one, two, object())
    with announced(START, said):  # type: ignore[arg-type]
        assert one.told == two.told == [START]
    assert one.told == two.told == [START, (START, Outcome("done", 0))]
    assert said == []


def test_all_reasons_are_told_and_nothing_is_done(install: Callable[..., None]) -> None:
    """A reason of any plugin refuses the operation; all plugins are asked, and told that it was refused."""
    one, two, three = Site(lambda: "Not on Fridays."), Site(), Site(lambda: "Not this name.")
    install(one, two, three)
    with pytest.raises(RefusedError) as caught, announced(START, Said()):  # type: ignore[arg-type]
        pytest.fail("it must not be done")
    assert caught.value.problems == ("one: Not on Fridays.", "three: Not this name.")
    refused = (START, Outcome("refused", 3, "one: Not on Fridays.\nthree: Not this name"))
    assert one.told[1] == two.told[1] == three.told[1] == refused


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (failing(RuntimeError("no licence")), "RuntimeError: no licence"),
        (failing(SystemExit(3)), "SystemExit: 3"),
        (failing(VmMgrError("No rules today.")), "No rules today"),
        (lambda: False, "TypeError: False is no text"),
        (lambda: ["x"], "TypeError: ['x'] is no text"),
    ],
)
def test_a_rule_that_cannot_be_asked_is_not_passed_by(
    install: Callable[..., None], answer: Callable[[], Any], reason: str
) -> None:
    """What a plugin raises, or answers beside the question, refuses the operation, with the way out."""
    install(Site(answer))
    with pytest.raises(RefusedError) as caught, announced(START, Said()):  # type: ignore[arg-type]
        pytest.fail("it must not be done")
    assert str(caught.value) == f"one cannot say whether this may be done here: {reason}. Mend or uninstall it."


class OwnError(VmMgrError):
    """An error of a plugin's driver."""

    exit_code = 7


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (VmMgrError("Failed."), Outcome("failed", 1, "Failed")),
        (UsageError("No such host."), Outcome("usage", 2, "No such host")),
        (RefusedError("In use."), Outcome("refused", 3, "In use")),
        (UnreachableError("Gone."), Outcome("unreachable", 4, "Gone")),
        (OutcomeUnknownError("Who knows."), Outcome("unknown", 5, "Who knows")),
        (KeyboardInterrupt(), Outcome("interrupted", 130)),
        (OwnError("Broken."), Outcome("failed", 7, "Broken")),
        (ZeroDivisionError("a mistake"), Outcome("failed", 1, "ZeroDivisionError: a mistake")),
    ],
)
def test_an_operation_that_ends_otherwise_is_told_so(
    install: Callable[..., None], error: BaseException, outcome: Outcome
) -> None:
    """Each way to end has its outcome, with the exit code that vm-mgr ends with, and is raised on."""
    one = Site()
    install(one)
    with pytest.raises(type(error)) as caught, announced(START, Said()):  # type: ignore[arg-type]
        raise error
    assert caught.value is error
    assert one.told[1:] == [(START, outcome)]


@pytest.mark.parametrize("fault", [RuntimeError("disk full"), SystemExit(9), KeyboardInterrupt()])
@pytest.mark.parametrize("end", [None, VmMgrError("Failed."), KeyboardInterrupt()])
def test_whoever_is_told_cannot_change_the_outcome(
    install: Callable[..., None], fault: BaseException, end: BaseException | None
) -> None:
    """A plugin that fails afterwards is told as a warning; the outcome stays, and the next plugin is told."""
    two, said = Site(), Said()
    install(Site(after=failing(fault)), two)
    with pytest.raises(type(end)) if end else nullcontext(), announced(START, said):  # type: ignore[arg-type]
        if end:
            raise end
    assert said == [(f"one took no note of this: {type(fault).__name__}: {fault}.", True)]
    assert len(two.told) == 2


def test_a_dry_run_asks_and_tells_nothing(install: Callable[..., None]) -> None:
    """Policies hold for what would be done; what was not done leaves no trail."""
    one, dry = Site(), Operation("start", "web", {}, dry_run=True)
    install(one)
    with announced(dry, Said()):  # type: ignore[arg-type]
        pass
    install(refusing := Site(lambda: "No."))
    with pytest.raises(RefusedError), announced(dry, Said()):  # type: ignore[arg-type]
        pass
    assert (one.told, refusing.told) == ([dry], [dry])


def test_a_broken_plugin_is_told_and_left_out(install: Callable[..., None]) -> None:
    """A plugin that cannot be loaded may have had rules: that it is not asked is a warning."""
    two, said = Site(), Said()
    install(ImportError("no module x"), two)
    with announced(START, said):  # type: ignore[arg-type]
        pass
    assert said == [("The plugin one is not used: ImportError: no module x.", True)]
    assert len(two.told) == 2


def test_templates_that_are_left_out_are_told(install: Callable[..., None]) -> None:
    """What a plugin would have run otherwise is run as vm-mgr has it: that is a warning."""

    class Lost:
        @hookimpl
        def vmmgr_templates(self) -> list[str]:
            return ["/nowhere/templates"]

    install(Lost())
    said = Said()
    with announced(START, said):  # type: ignore[arg-type]
        pass
    problem = "/nowhere/templates, which vmmgr_templates names, is no folder"
    assert said == [(f"The templates of one are not used: {problem}.", True)]


def test_every_exit_code_has_its_word() -> None:
    """The exit codes of all errors are those that plugins are told of."""
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, VmMgrError)]
    assert {each.exit_code for each in classes} | {0, 130} == set(errors.OUTCOMES)
    assert len(set(errors.OUTCOMES.values())) == len(errors.OUTCOMES)


def test_the_program_asks_before_anybody_is_contacted(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is refused opens no connection; what is not fails here, for nobody answers, and both are told; reading asks nobody."""
    (tmp_path / "site.yaml").write_text(INVENTORY)
    monkeypatch.setattr(session, "who", lambda: "ann@desk")
    monkeypatch.setenv("VMMGR_INVENTORY", str(tmp_path / "site.yaml"))
    reach, reached = session.reach, []
    monkeypatch.setattr(session, "reach", lambda site: reached.append(site.name) or reach(site))
    install(one := Site(lambda: "Not on Fridays."))
    assert main(["stop", "-n", "web", "--force"]) == 3
    assert capsys.readouterr().err == "vm-mgr: one: Not on Fridays.\n"
    assert reached == []
    operation, outcome = one.told[1]
    assert (operation.verb, operation.vm, operation.who, operation.dry_run) == ("stop", "web", "ann@desk", False)
    assert operation.options == {"force": True, "no_wait": False, "timeout": None}
    assert outcome == Outcome("refused", 3, "one: Not on Fridays")
    install(two := Site())
    assert main(["start", "-n", "web"]) == 4
    assert [two.told[1][1].exit_code, reached] == [4, [operation.site]]
    assert main(["start", "-n", "web", "--dry-run"]) == 4
    assert two.told[2].dry_run
    assert main(["list"]) == 4
    assert len(two.told) == 3
