"""Commands, streams and sudo over a real connection."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from paramiko import Channel

from vmmgr.errors import ConnectionLostError, OutcomeUnknownError, SudoError, UnreachableError
from vmmgr.remote import BatchLostError, Line, Remote, channel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.remote.conftest import Server


def sh(script: str, timeout: float = 20) -> Line:
    """Return a command that is a shell script."""
    return Line(("sh", "-c", script), timeout=timeout)


def gone(pid: int) -> bool:
    """Wait for a process to end."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_one_exec_for_many_commands(remote: Remote) -> None:
    """A batch is one exec, and batches share one connection."""
    for _ in range(2):
        results = remote.run("n1", [Line(("echo", str(number))) for number in range(20)])
        assert [result.text for result in results] == [f"{number}\n" for number in range(20)]
    assert (remote.execs["n1"], remote.connections["n1"]) == (2, 1)


def test_results(remote: Remote) -> None:
    """A result has the host, the command, its exit code and both streams; what was skipped is marked."""
    lines = [sh("echo out; echo err >&2"), sh("exit 3"), Line(("touch", "/nowhere/x"))]
    first, second, third = remote.run("n1", lines, stop_on_failure=True)
    assert (first.host, first.argv, first.exit_code, first.text, first.error_text) == ("n1", lines[0].argv, 0, "out\n", "err")
    assert (second.exit_code, second.skipped, third.skipped) == (3, False, True)


def test_output_that_is_not_ascii(remote: Remote) -> None:
    """Characters are not cut at the borders of blocks."""
    text = "x" + "é日" * 1200
    assert len(text.encode()) == 6001
    assert remote.run("n1", [Line(("printf", "%s", text))])[0].text == text


def test_much_output(remote: Remote) -> None:
    """20 MB arrive intact."""
    result = remote.run("n1", [sh("head -c 20000000 /dev/zero | tr '\\0' x")])[0]
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(b"x" * 20_000_000).digest()


def test_much_on_stderr_while_sending(remote: Remote) -> None:
    """8 MB on stderr before the input is read block neither side."""
    done = remote.stream("n1", ["sh", "-c", "head -c 8000000 /dev/zero >&2; wc -c"], [b"x" * 4_000_000], timeout=20)
    assert (len(done.stderr), done.stdout.split()) == (8_000_000, [b"4000000"])


def test_too_much_output(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that never stops writing is an error, not the end of this machine's memory."""
    monkeypatch.setattr(channel, "OUTPUT_LIMIT", 1 << 20)
    with pytest.raises(OutcomeUnknownError, match="1 MiB"):
        remote.run("n1", [Line(("yes",))])


def test_time_limit_ends_the_process(remote: Remote, tmp_path: Path) -> None:
    """When the time is up the process on the host is gone, its children included."""
    result = remote.run("n1", [sh(f"sleep 60 & echo $$ $! >{tmp_path}/pid; wait", timeout=0.3)])[0]
    assert result.timed_out
    assert all(gone(int(pid)) for pid in (tmp_path / "pid").read_text().split())


def test_process_left_behind(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that outlives its command, holding its output open, is not waited for."""
    monkeypatch.setattr(channel, "_GRACE", 0.3)
    began = time.monotonic()
    result = remote.run("n1", [sh("sleep 30 & echo $!")])[0]
    os.kill(int(result.stdout), signal.SIGKILL)
    assert time.monotonic() - began < 5


def test_lost_connection(server: Server, remote: Remote, tmp_path: Path) -> None:
    """A connection that breaks is an error that names the command under way, and keeps the results before it."""
    lines = [Line(("echo", "done")), Line(("sleep", "3", "hunter2"), secret=frozenset({2})), Line(("echo", "never"))]
    lines[1] = Line(("sh", "-c", f"touch {tmp_path}/started; sleep 2", "hunter2"), secret=frozenset({3}))
    threading.Thread(target=kill_sessions, args=(server, tmp_path / "started"), daemon=True).start()
    with pytest.raises(BatchLostError) as caught:
        remote.run("n1", lines)
    assert [result.stdout for result in caught.value.results] == [b"done\n"]
    assert caught.value.line is lines[1]
    assert "may or may not" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert remote.run("n1", [Line(("echo", "again"))])[0].text == "again\n"
    assert remote.connections["n1"] == 2


def test_interrupted(remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C the command under way goes on, but no later one of the batch is begun."""
    monkeypatch.setattr(channel, "_wait", interrupt)
    lines = [sh(f"echo $PPID >{tmp_path}/pid; sleep 0.5; touch {tmp_path}/ended"), Line(("touch", str(tmp_path / "never")))]
    with pytest.raises(KeyboardInterrupt):
        remote.run("n1", lines)
    assert gone(int((tmp_path / "pid").read_text()))
    deadline = time.monotonic() + 3
    while not (tmp_path / "ended").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    assert (tmp_path / "ended").exists()
    assert not (tmp_path / "never").exists()


def interrupt(*_: object) -> None:
    """Do what Ctrl-C does, once the batch has begun."""
    time.sleep(0.3)
    raise KeyboardInterrupt


def kill_sessions(server: Server, started: Path) -> None:
    """Break every connection to the server once a file exists."""
    while not started.exists():
        time.sleep(0.01)
    server.break_connections()


def test_shell_that_is_killed(remote: Remote) -> None:
    """The same if only the shell is killed, which Fabric reports as the exit code -1."""
    with pytest.raises(BatchLostError) as caught:
        remote.run("n1", [Line(("true",)), sh("kill -9 $(ps -o ppid= -p $PPID)"), Line(("true",))])
    assert len(caught.value.results) == 1


def test_a_host_that_does_not_answer_in_time(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole exec has a limit on this side as well."""
    monkeypatch.setattr("vmmgr.remote.host._MARGIN", -5.0)
    with pytest.raises(BatchLostError, match="in time"):
        remote.run("n1", [sh("trap '' TERM; sleep 1; sleep 1", timeout=0.3)])


def test_stream(remote: Remote) -> None:
    """Binary input arrives intact: 3 MB with every byte in it; arguments arrive exactly."""
    data = bytes(range(256)) * 12_000
    done = remote.stream(
        "n1", ["sha256sum"], (data[start : start + 70_000] for start in range(0, len(data), 70_000)), timeout=20
    )
    assert done.text.split()[0] == hashlib.sha256(data).hexdigest()
    assert remote.stream("n1", ["printf", "%s|", "a b", "", "'$x'\n"], [], timeout=5).stdout == b"a b||'$x'\n|"


@pytest.mark.parametrize("left_behind", ["", "sleep 3 &"])
def test_stream_to_a_command_that_fails(remote: Remote, monkeypatch: pytest.MonkeyPatch, left_behind: str) -> None:
    """A command that ends early ends the sending, and its own words say why; also if it leaves a process behind."""
    monkeypatch.setattr(channel, "_GRACE", 0.2)
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 65536

    done = remote.stream("n1", ["sh", "-c", f"{left_behind} echo no such pool >&2; exit 2"], endless(), timeout=20)
    assert (done.exit_code, done.error_text) == (2, "no such pool")
    assert taken < 1000


@pytest.mark.parametrize("error", [OSError("disk error"), KeyboardInterrupt()])
def test_stream_whose_source_fails(remote: Remote, tmp_path: Path, error: BaseException) -> None:
    """An error on this side is raised as it is, and the command there sees its input end."""

    def failing() -> Iterator[bytes]:
        yield b"x" * 1000
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)
        raise error

    with pytest.raises(type(error)):
        remote.stream(
            "n1", ["sh", "-c", f"echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; cat"], failing(), timeout=20
        )
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Take Ctrl-C also where a shell runs the tests in the background, for which it has it ignored."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("interruptible")
def test_interrupted_while_paramiko_has_its_lock(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C just when a packet is sent ends the stream at once, and the connection can be used for what is to be undone."""
    send = Channel.send

    def interrupted(self: Channel, data: bytes) -> int:
        # there the exception would leave the lock behind, and everything would wait for it
        assert threading.current_thread() is not threading.main_thread()
        monkeypatch.undo()
        self.lock.acquire()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        self.lock.release()
        return int(send(self, data))

    monkeypatch.setattr(Channel, "send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        remote.stream("n1", ["cat"], iter(lambda: b"x" * 65536, b""), timeout=20)
    assert remote.run("n1", [Line(("echo", "again"))])[0].text == "again\n"
    assert remote.connections["n1"] == 1


def test_stream_over_a_connection_that_breaks(server: Server, remote: Remote, tmp_path: Path) -> None:
    """A connection that breaks while sending is an error, neither an endless wait nor an exit code."""
    threading.Thread(target=kill_sessions, args=(server, tmp_path / "started"), daemon=True).start()
    with pytest.raises(ConnectionLostError, match="sleep"):
        remote.stream("n1", ["sh", "-c", f"touch {tmp_path}/started; sleep 2"], iter(lambda: b"x" * 65536, b""), timeout=20)


def test_debug_log(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    """The log has every command with its exit code, ready to paste and masked."""
    with caplog.at_level(logging.DEBUG, "vmmgr"):
        remote.run("n1", [Line(("sh", "-c", "exit 4", "hunter2"), secret=frozenset({3}))])
    assert "n1: sh -c 'exit 4' '***': exit code 4" in caplog.text
    assert "hunter2" not in caplog.text


def test_sudo(remote: Remote, through_sudo: Path) -> None:
    """A login that is not root runs the batch and the stream through sudo -n /bin/sh."""
    assert remote.run("n1", [Line(("cat",), stdin="é")])[0].text == "é"
    assert remote.stream("n1", ["wc", "-c"], [b"\0" * 100_000], timeout=5).text.strip() == "100000"


def test_sudo_refused(remote: Remote, through_sudo: Path) -> None:
    """The message says what sudo said, and which line of sudoers is missing."""
    (through_sudo / "denied").touch()
    with pytest.raises(SudoError, match="may not run sudo") as caught:
        remote.run("n1", [Line(("true",))])
    assert "NOPASSWD" in str(caught.value)
    with pytest.raises(SudoError, match="may not run sudo"):
        remote.stream("n1", ["true"], [b"x"], timeout=5)


def test_sudo_wants_a_password(remote: Remote, through_sudo: Path) -> None:
    """A password that was not given is asked for by the message."""
    (through_sudo / "password").write_text("open sesame")
    with pytest.raises(SudoError, match="a password is required"):
        remote.run("n1", [Line(("true",))])


@pytest.mark.parametrize("needed", [True, False])
def test_sudo_with_a_password(server: Server, through_sudo: Path, needed: bool) -> None:
    """The password goes to sudo, never to the shell or the command, also where sudo does not ask for it."""
    if needed:
        (through_sudo / "password").write_text("open sesame")
    with Remote([server.machine()], server.settings(), sudo_password="open sesame") as remote:
        result = remote.run("n1", [Line(("cat",), stdin="doc")])[0]
        assert (result.text, result.stderr) == ("doc", b"")
        assert remote.stream("n1", ["cat"], [b"\0\n", b"x"], timeout=5).stdout == b"\0\nx"
        assert remote.execs["n1"] == 3


def test_sudo_with_a_wrong_password(server: Server, through_sudo: Path) -> None:
    """A wrong password is tried once, and nothing else is sent."""
    (through_sudo / "password").write_text("open sesame")
    with Remote([server.machine()], server.settings(), sudo_password="wrong") as remote:
        with pytest.raises(SudoError, match="1 incorrect password attempt"):
            remote.run("n1", [Line(("true",))])
        assert remote.execs["n1"] == 1


def test_login_without_a_shell(server: Server, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login whose shell only says goodbye is told apart from a lost connection."""
    monkeypatch.setattr("vmmgr.remote.host.Host._find_shell", lambda *_: "echo not available; exit 1;")
    monkeypatch.setattr("vmmgr.remote.connection.Connection.is_root", True)
    with pytest.raises(UnreachableError, match="not available"):
        remote.run("n1", [Line(("true",))])
