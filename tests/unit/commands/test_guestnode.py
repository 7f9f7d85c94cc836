"""The commands for guest nodes: vm_manager's options and their other spellings in, one operation, a sentence out."""

from __future__ import annotations

from typing import Any

import pytest

from vmmgr import session
from vmmgr.app import main
from vmmgr.drivers.pacemaker.guestnode import GuestNode
from vmmgr.operations import guestnode

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What the operations are called with; none is run."""
    noted: list[Call] = []

    def run_on_site(operation: Any, **_options: Any) -> str:
        operation("context")
        return "Done."

    monkeypatch.setattr(session, "run_on_site", run_on_site)
    for name in ("add_guest_node", "remove_guest_node"):
        monkeypatch.setattr(guestnode, name, lambda *args, name=name, **words: noted.append((name, args, words)))
    return noted


WAITING = {"wait": True, "timeout": None}


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        (
            ["add_pacemaker_remote", "-n", "web", "--remote_name", "node", "--remote_address", "192.0.2.7"],
            ("add_guest_node", ("context", "web", GuestNode("node", "192.0.2.7")), WAITING),
        ),
        (
            [
                "add-pacemaker-remote", "--name", "web", "--remote-name", "node", "--remote-address", "g7", "--remote-port", "3122",
                "--remote-timeout", "30", "--no-wait",
            ],
            ("add_guest_node", ("context", "web", GuestNode("node", "g7", 3122, 30)), WAITING | {"wait": False}),
        ),
        (
            [
                "add_pacemaker_remote", "-n", "web", "--remote_name", "node", "--remote_address", "g7", "--remote_port", "1",
                "--remote_timeout", "2", "--timeout", "9",
            ],
            ("add_guest_node", ("context", "web", GuestNode("node", "g7", 1, 2)), WAITING | {"timeout": 9.0}),
        ),
        (["remove_pacemaker_remote", "-n", "web"], ("remove_guest_node", ("context", "web"), {})),
    ],
)  # fmt: skip
def test_vm_managers_options(calls: list[Call], capsys: pytest.CaptureFixture[str], argv: list[str], call: Call) -> None:
    """The values go to the operation, and its sentence is printed."""
    assert main(argv) == 0
    assert capsys.readouterr().out == "Done.\n"
    assert calls == [call]


@pytest.mark.parametrize(
    ("missing", "words"), [("--remote_name", "--remote_name"), ("--remote_address", "--remote_address"), ("-n", "--name")]
)
def test_what_is_needed(calls: list[Call], capsys: pytest.CaptureFixture[str], missing: str, words: str) -> None:
    """Without a name, an address or a VM there is nothing to do."""
    given = {"-n": "web", "--remote_name": "node", "--remote_address": "g7"}
    argv = [word for key, value in given.items() if key != missing for word in (key, value)]
    with pytest.raises(SystemExit, match="2"):
        main(["add_pacemaker_remote", *argv])
    assert words in capsys.readouterr().err
    assert calls == []
