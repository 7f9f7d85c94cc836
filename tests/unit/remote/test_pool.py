"""Several machines at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from paramiko import ChannelException, SSHException, Transport

from vmmgr.errors import AuthenticationError, HostKeyError, UnreachableError
from vmmgr.remote import Line, Remote

if TYPE_CHECKING:
    from tests.unit.remote.conftest import Machine, Server


def connect_first(server: Server, *machines: Machine, stagger: float = 1.5) -> tuple[str, float]:
    """Return the name of the first machine that answers, and how long it took."""
    with Remote(machines, server.settings()) as remote:
        began = time.monotonic()
        name = remote.connect_first(machines, stagger=stagger)
        took = time.monotonic() - began
        assert remote.run(name, [Line(("echo", "ok"))])[0].text == "ok\n"
        assert remote.connections[name] == 1
        return name, took


def test_the_first_is_preferred(server: Server) -> None:
    """A machine that answers is taken without another one being asked."""
    machines = [server.machine("n1"), server.machine("n2")]
    with Remote(machines, server.settings()) as remote:
        assert remote.connect_first(machines) == "n1"
        assert remote.connections == {"n1": 1}


def test_an_approached_machine_is_connected_to_once(server: Server) -> None:
    """What was begun early is what is used, and its failure is told by whoever asks for the machine, not before."""
    machine = server.machine("n1")
    with Remote([machine], server.settings()) as remote:
        remote.approach(machine)
        assert remote.connect_first([machine]) == "n1"
        remote.approach(machine)
        assert remote.connections == {"n1": 1}
    stranger = server.machine("n1", user="nobody-here")
    with Remote([stranger], server.settings()) as remote:
        remote.approach(stranger)
        with pytest.raises(AuthenticationError):
            remote.connect_first([stranger])


def test_silent_machine_is_passed_over(server: Server, silent_port: int) -> None:
    """A machine that takes the connection and says nothing costs little, also when closing."""
    name, took = connect_first(server, server.machine("n1", port=silent_port), server.machine("n2"), stagger=0.4)
    assert name == "n2"
    assert 0.4 <= took < 2


def test_dead_machine_is_passed_over_at_once(server: Server, dead_port: int) -> None:
    """A machine that refuses does not use up the time that it would have had."""
    name, took = connect_first(server, server.machine("n1", port=dead_port), server.machine("n2"), stagger=30)
    assert name == "n2"
    assert took < 5


def test_none_answers(server: Server, dead_port: int, silent_port: int) -> None:
    """The message names each machine with its own reason, the deadline holds, and closing does not wait."""
    machines = [
        server.machine("n1", port=dead_port),
        server.machine("n2", user="nobody-here"),
        server.machine("n3", port=silent_port),
    ]
    began = time.monotonic()
    with Remote(machines, server.settings(timeout=20)) as remote, pytest.raises(UnreachableError) as caught:
        remote.connect_first(machines, stagger=0.1, deadline=0.8)
    assert time.monotonic() - began < 5
    assert [line.split()[0] for line in sorted(str(caught.value).splitlines())] == ["n1", "n2", "n3"]
    assert "refuses the login" in str(caught.value)


def test_all_fail_alike(server: Server) -> None:
    """If all machines fail for one kind of reason, so does the whole."""
    machines = [server.machine("n1", user="nobody-here"), server.machine("n2", user="nobody-here")]
    with Remote(machines, server.settings()) as remote, pytest.raises(AuthenticationError):
        remote.connect_first(machines)
    with Remote(machines, server.settings(known_hosts="")) as remote, pytest.raises(HostKeyError):
        remote.connect_first(machines)


def test_no_machine(server: Server) -> None:
    """An empty list is an error in words."""
    with Remote([], server.settings()) as remote, pytest.raises(UnreachableError, match="no machine"):
        remote.connect_first([])


def test_run_many(server: Server, dead_port: int) -> None:
    """Machines work side by side; the failure of one is its own, and the order is kept."""
    machines = [server.machine("n1"), server.machine("n2", port=dead_port), server.machine("n3")]
    with Remote(machines, server.settings()) as remote:
        remote.run_many({"n1": [Line(("true",))], "n3": [Line(("true",))]})
        began = time.monotonic()
        found = remote.run_many({name: [Line(("sleep", "1")), Line(("echo", name))] for name in ("n3", "n2", "n1")})
        assert time.monotonic() - began < 1.9
    assert list(found) == ["n3", "n2", "n1"]
    assert isinstance(found["n2"], UnreachableError)
    assert isinstance(found["n1"], list)
    assert found["n1"][1].text == "n1\n"


def test_refused_sessions_wait_for_their_turn(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads are refused at the same time: Paramiko has the reason for one of them only, and the other tries again, too."""
    open_session = Transport.open_session
    refusals = [SSHException("Unable to open channel."), ChannelException(1, "open failed")]

    def refused(self: Transport, timeout: float | None = None) -> Any:
        if refusals:
            raise refusals.pop()
        return open_session(self, timeout=timeout)

    monkeypatch.setattr(Transport, "open_session", refused)
    with Remote([server.machine()], server.settings()) as remote:
        assert remote.run("n1", [Line(("echo", "1"))])[0].text == "1\n"
        assert remote.connections["n1"] == 1


def test_many_threads_on_one_connection(server: Server) -> None:
    """More commands at a time than sshd takes sessions wait for their turn."""
    from concurrent.futures import ThreadPoolExecutor

    with Remote([server.machine()], server.settings()) as remote, ThreadPoolExecutor(16) as executor:
        found = list(executor.map(lambda n: remote.run("n1", [Line(("echo", str(n)))])[0].text, range(16)))
        assert found == [f"{number}\n" for number in range(16)]
        assert remote.connections["n1"] == 1
