"""The options of deploy and undeploy, and what they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmmgr import session
from vmmgr.app import main
from vmmgr.commands.deploy import Deploy, request_of
from vmmgr.operations import undeploy as undeploying
from vmmgr.operations.preflight import DeployRequest

if TYPE_CHECKING:
    from pathlib import Path


def options(*words: str) -> Any:
    """Read a command line of deploy."""
    command = Deploy(None, None, cmd_name="deploy")
    return command.get_parser("deploy").parse_args(words)


def test_nothing_need_be_said_but_the_vm() -> None:
    """Everything else can be found out."""
    assert request_of(options("-n", "web")) == DeployRequest("web")
    assert options("-n", "web").check is False


def test_every_option_becomes_what_it_says(tmp_path: Path) -> None:
    """Each option has its place in the request; the folder of packages is read."""
    (tmp_path / "pacemaker-remote_2.1.5-1_all.deb").write_bytes(b"123")
    words = ["--address", "10.0.0.9", "--user", "admin", "--remote-name", "node1", "--port", "3122"]
    words += ["--connect-timeout", "90", "--packages", str(tmp_path), "--check"]
    parsed = options("--name", "web", *words)
    request = request_of(parsed)
    assert (request.vm, request.address, request.user, request.node) == ("web", "10.0.0.9", "admin", "node1")
    assert (request.port, request.connect_timeout) == (3122, 90)
    assert request.packages is not None
    assert (request.packages.version, request.packages.size) == ("2.1.5", 3)
    assert parsed.check is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "0"], "'0' is no TCP port; those are 1 to 65535"),
        (["--port", "65536"], "'65536' is no TCP port"),
        (["--connect-timeout", "-1"], "--connect-timeout"),
        (["--packages", "/nowhere"], "The folder of packages '/nowhere' cannot be read"),
    ],
)
def test_mistakes_are_told_before_anything_is_contacted(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """Exit code 2, and the value in the message."""
    try:
        code: Any = main(["deploy", "-n", "web", *words])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_undeploy_calls_its_operation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The way into the guest goes along; what comes back is printed."""
    calls: list[Any] = []
    monkeypatch.setattr(undeploying, "undeploy", lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setattr(session, "run_on_site", lambda operation, **_: operation("context") or "VM web is no guest node.")
    assert main(["undeploy", "-n", "web", "--address", "10.0.0.9", "--user", "admin"]) == 0
    assert calls == [(("context", "web"), {"address": "10.0.0.9", "user": "admin"})]
    assert capsys.readouterr().out == "VM web is no guest node.\n"
