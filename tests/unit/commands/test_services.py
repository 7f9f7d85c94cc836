"""The commands for services and ``show``: options in, one operation, a sentence, a table or a page out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vmmgr import session
from vmmgr.app import main
from vmmgr.disks import Disk, Disks
from vmmgr.model import ServiceState, Status, VmState
from vmmgr.operations import servicerunning, services, showing
from vmmgr.operations.servicedefinition import ServiceRequest
from vmmgr.operations.showing import Facts

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
WAITING = {"wait": True, "timeout": None}
RUNNING = ServiceState("web", "beat", "web.beat", "systemd:beat", Status.STARTED)


class Site:
    """Stands for the site: it notes what each operation was called with, and answers."""

    def __init__(self) -> None:
        self.answer: Any = RUNNING
        self.calls: list[Call] = []

    def run_on_site(self, operation: Any, **_options: Any) -> Any:
        """Stand for vmmgr.session.run_on_site."""
        operation("context")
        return self.answer


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose operations are stubbed where the commands find them."""
    stub = Site()
    monkeypatch.setattr(session, "run_on_site", stub.run_on_site)
    for module, names in (
        (services, ["add_service", "list_services"]),
        (servicerunning, ["start_service", "stop_service", "remove_service"]),
        (showing, ["show"]),
    ):
        for name in names:
            monkeypatch.setattr(module, name, lambda *args, name=name, **words: stub.calls.append((name, args, words)))
    return stub


@pytest.mark.parametrize(
    ("argv", "request_"),
    [
        (["--systemd", "nginx.service"], ServiceRequest("web", "beat", ("systemd", "nginx"))),
        (["--ocf", "ocf:pacemaker:Dummy"], ServiceRequest("web", "beat", ("ocf", "pacemaker", "Dummy"))),
        (["--ocf", "IPaddr2", "ip=192.0.2.9", "x=a=b"], ServiceRequest("web", "beat", ("ocf", "heartbeat", "IPaddr2"), {"ip": "192.0.2.9", "x": "a=b"})),
        (
            ["--container", "registry/nginx:1", "run_opts=-p 80:80"],
            ServiceRequest("web", "beat", ("ocf", "heartbeat", "podman"), {"image": "registry/nginx:1", "name": "web.beat", "run_opts": "-p 80:80"}),
        ),
        (
            ["--container", "nginx", "--engine", "docker"],
            ServiceRequest("web", "beat", ("ocf", "heartbeat", "docker"), {"image": "nginx", "name": "web.beat"}),
        ),
        (
            [
                "--systemd", "n", "--interval", "1", "--monitor-timeout", "2", "--start-timeout", "3", "--stop-timeout", "4", "--attempts", "5",
                "--restart-vm-after", "1", "--nostart",
            ],
            ServiceRequest("web", "beat", ("systemd", "n"), {}, 1, 2, 3, 4, 5, 1, start=False),
        ),
    ],
)  # fmt: skip
def test_add_service(site: Site, capsys: pytest.CaptureFixture[str], argv: list[str], request_: ServiceRequest) -> None:
    """What is to run, with its parameters and times, goes to the operation; how it is doing is printed."""
    assert main(["add_service", "-n", "web", "beat", *argv]) == 0
    assert capsys.readouterr().out == "Service beat of VM web is Started.\n"
    assert site.calls == [("add_service", ("context", request_), WAITING)]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "--systemd"),
        (["--systemd", "a", "--ocf", "b"], "not allowed with"),
        (["--ocf", "pacemaker:Dummy", "beat"], "'beat' is not of the form KEY=VALUE; the name of the service stands before"),
        (["--ocf", "a:b:c"], "'b:c' is neither"),
        (["--systemd", "x", "--interval", "-1"], "whole number"),
        (["--systemd", "x", "--engine", "lxc"], "invalid choice"),
    ],
)
def test_usage(site: Site, capsys: pytest.CaptureFixture[str], argv: list[str], words: str) -> None:
    """What cannot be meant is a usage error, and nobody is asked."""
    try:
        code = main(["add_service", "-n", "web", "beat", *argv])
    except SystemExit as end:
        code = int(end.code or 0)
    assert (code, words in capsys.readouterr().err) == (2, True)
    assert site.calls == []


@pytest.mark.parametrize(
    ("argv", "call"),
    [
        (["start_service", "-n", "web", "beat"], ("start_service", ("context", "web", "beat"), WAITING)),
        (["start_service", "-n", "web", "beat", "--no-wait"], ("start_service", ("context", "web", "beat"), WAITING | {"wait": False})),
        (["stop_service", "--name", "web", "beat", "--timeout", "3"], ("stop_service", ("context", "web", "beat"), WAITING | {"timeout": 3.0})),
        (["stop_service", "-n", "web", "beat", "--no-wait"], ("stop_service", ("context", "web", "beat"), WAITING | {"wait": False})),
        (["remove_service", "-n", "web", "beat", "--timeout", "9"], ("remove_service", ("context", "web", "beat"), {"timeout": 9.0})),
    ],
)  # fmt: skip
def test_other_verbs(site: Site, capsys: pytest.CaptureFixture[str], argv: list[str], call: Call) -> None:
    """The options go to the operation."""
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert out == f"Service beat of VM web is {'removed' if argv[0] == 'remove_service' else 'Started'}.\n"
    assert site.calls == [call]


def test_a_reason_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """Why a service is as it is stands behind its status."""
    site.answer = ServiceState("web", "beat", "web.beat", "systemd:beat", Status.STOPPED, 0, ("VM web does not run",))
    assert main(["start_service", "-n", "web", "beat"]) == 0
    assert capsys.readouterr().out == "Service beat of VM web is Stopped: VM web does not run.\n"


def test_a_failure_that_is_over_is_not_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A service that was restarted is Started, and that is all."""
    site.answer = ServiceState("web", "beat", "web.beat", "systemd:beat", Status.STARTED, 1, ("monitor failed on n: x",))
    assert main(["start_service", "-n", "web", "beat"]) == 0
    assert capsys.readouterr().out == "Service beat of VM web is Started.\n"


def test_list_services(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The columns are the interface; nothing that a node said steers the terminal."""
    site.answer = [RUNNING, ServiceState("w", "b\x1b", "x", "ocf:p:D", Status.FAILED, 2, ("monitor failed on n: a\nb",))]
    assert main(["list_services", "-n", "web", "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"VM": "web", "Service": "beat", "Kind": "systemd:beat", "Status": "Started", "Failures": 0, "Reason": ""},
        {
            "VM": "w", "Service": "b\\x1b", "Kind": "ocf:p:D", "Status": "Failed", "Failures": 2,
            "Reason": "monitor failed on n: a\\nb",
        },
    ]  # fmt: skip
    assert site.calls == [("list_services", ("context", "web"), {})]


def test_show(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """One page, a value a line."""
    disks = Disks("web", (Disk("system_web", 3 << 30),), {"owner": "ann", "_priority": "3", "xml": "<x/>"})
    state = VmState("web", Status.STARTED, "hv1", ("paused",))
    site.answer = Facts(state, disks, "u-u", {"remote-node": "n"}, (RUNNING,), ("c1", "c2"))
    assert main(["show", "-n", "web", "-f", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "Name": "web", "Status": "Started", "Node": "hv1", "Details": "paused", "UUID": "u-u", "Disks": "system_web (3.0 GiB)",
        "Snapshots": "", "Settings": "priority=3", "Metadata": "owner", "Guest node": "remote-node=n",
        "Services": "beat (systemd:beat): Started", "Constraints": "c1, c2",
    }  # fmt: skip
    assert site.calls == [("show", ("context", "web"), {})]
