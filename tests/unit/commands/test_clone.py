"""``clone``: options in, one request out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmmgr import session
from vmmgr.app import main
from vmmgr.model import Status, VmState
from vmmgr.operations import clone
from vmmgr.operations.cloneplan import CloneRequest
from vmmgr.operations.inheritance import Wishes

if TYPE_CHECKING:
    from pathlib import Path

XML = "<domain type='kvm'><name>x</name></domain>"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[CloneRequest]:
    """What the operation was asked for."""
    asked: list[CloneRequest] = []

    def run_on_site(operation: Any, **_options: Any) -> Any:
        operation("context")
        return VmState("web2", Status.STARTED, "hv1")

    monkeypatch.setattr(session, "run_on_site", run_on_site)
    monkeypatch.setattr(clone, "clone", lambda _context, request: asked.append(request))
    return asked


def test_what_is_not_given_is_as_with_the_source(requests: list[CloneRequest], capsys: pytest.CaptureFixture[str]) -> None:
    """Without options, nothing differs; both spellings of the clone's name are taken."""
    assert main(["clone", "-n", "web", "--dst_name", "web2"]) == 0
    assert main(["clone", "--name", "web", "--dst-name", "web2"]) == 0
    assert requests == [CloneRequest("web", "web2")] * 2
    assert capsys.readouterr().out == "VM web2 is Started on hv1.\n" * 2


def test_vm_managers_options(requests: list[CloneRequest], tmp_path: Path) -> None:
    """Each of vm_manager's options for clone arrives, in its spelling."""
    file = tmp_path / "vm.xml"
    file.write_text(XML)
    options = [
        "--xml", str(file), "--nostart", "--clear_constraint", "--clear-pacemaker-meta", "--clear-pacemaker-params",
        "--clear-pacemaker-utilization", "--disable", "--metadata", "a=b", "c=d", "--preferred-host", "hv1",
        "--enable-live-migration", "--migration-user", "root", "--stop-timeout", "5", "--migrate-to-timeout", "6",
        "--migration-downtime", "7", "--add-crm-config-cmd", "show", "--priority", "8", "--pacemaker-meta", "m=1",
        "--pacemaker-params", "p=2", "--pacemaker-utilization", "u=3",
    ]  # fmt: skip
    assert main(["clone", "-n", "web", "--dst_name", "web2", *options]) == 0
    settings = {
        "preferred_host": "hv1", "live_migration": True, "migration_user": "root", "stop_timeout": 5, "migrate_to_timeout": 6,
        "migration_downtime": 7, "priority": 8, "pacemaker_meta": {"m": "1"}, "pacemaker_params": {"p": "2"},
        "pacemaker_utilization": {"u": "3"}, "commands": {"crmsh": ("show",)},
    }  # fmt: skip
    clear = {"pinned_host", "preferred_host", "pacemaker_meta", "pacemaker_params", "pacemaker_utilization"}
    wishes = Wishes(XML, settings, {"a": "b", "c": "d"}, frozenset(clear))
    assert requests == [CloneRequest("web", "web2", wishes, enable=False, start=False)]


def test_our_own_options(requests: list[CloneRequest]) -> None:
    """Zero and "no" are given values too; what is cleared is cleared one by one."""
    options = [
        "--pause", "--full", "--no-wait", "--timeout", "9", "--no-live-migration", "--priority", "0", "--pinned-host", "hv2",
        "--add-cluster-cmd", "show", "--clear-pacemaker-params",
    ]  # fmt: skip
    assert main(["clone", "-n", "web", "--dst-name", "web2", *options]) == 0
    settings = {"live_migration": False, "priority": 0, "pinned_host": "hv2", "commands": {"": ("show",)}}
    wishes = Wishes(settings=settings, clear=frozenset({"pacemaker_params"}))
    assert requests == [CloneRequest("web", "web2", wishes, pause=True, full=True, wait=False, timeout=9.0)]
    assert main(["clone", "-n", "web", "--dst-name", "web2", "--clear-constraint"]) == 0
    assert requests[-1].wishes.clear == {"pinned_host", "preferred_host"}


def test_force_waits(requests: list[CloneRequest]) -> None:
    """The old VM goes only when the clone runs, so that has to be waited for."""
    assert main(["clone", "-n", "web", "--dst_name", "web2", "--force"]) == 0
    assert requests == [CloneRequest("web", "web2", force=True)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-n", "web"], "--dst_name"),
        (["--dst_name", "web2"], "-n"),
        (["-n", "web", "--dst_name", "web2", "--xml", "/nowhere.xml"], "cannot be read"),
        (["-n", "web", "--dst_name", "web2", "--stop-timeout", "soon"], "'soon' is not a whole number"),
        (["-n", "web", "--dst_name", "web2", "--metadata", "empty="], "has no value"),
        (["-n", "web", "--dst_name", "web2", "--force", "--no-wait"], "leave out --no-wait"),
    ],
)
def test_wrong_use(requests: list[CloneRequest], capsys: pytest.CaptureFixture[str], options: list[str], words: str) -> None:
    """What is missing or wrong is told, and nothing is asked for."""
    try:
        code = main(["clone", *options])
    except SystemExit as end:
        code = int(str(end.code))
    assert code == 2
    assert words in capsys.readouterr().err
    assert requests == []
