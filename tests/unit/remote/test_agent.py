"""A guest that is entered by its own agent: real templates and a real sshd, and a virsh whose guest is this machine."""

from __future__ import annotations

import hashlib
import shutil
import threading
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.drivers.libvirt import Libvirt
from vmmgr.errors import ConnectionLostError, OutcomeUnknownError, UnreachableError, VmMgrError
from vmmgr.remote import AgentCommands, BatchLostError, Line, Way
from vmmgr.rendering import Renderer

from . import fakevirsh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmmgr.command import Command
    from vmmgr.remote import Remote

    from .conftest import Server

GUEST = "guest web by its agent on n1"
NOT_CONNECTED = "Guest agent is not responding: QEMU guest agent is not connected"
NOT_NOW = "Guest agent is not responding: Guest agent not available for now"


@pytest.fixture
def virsh(tmp_path: Path) -> Path:
    """The folder of a virsh that only pretends."""
    folder = tmp_path / "virsh"
    folder.mkdir()
    shutil.copy(Path(fakevirsh.__file__), folder / "virsh")
    (folder / "virsh").chmod(0o755)
    return folder


@pytest.fixture
def way(server: Server, virsh: Path) -> Way:
    """The way to the guest, with that virsh first in the path."""
    driver = Libvirt(Renderer())

    def found(command: Command[Any]) -> Command[Any]:
        return replace(command, argv=("env", f"PATH={virsh}:/usr/bin:/bin", *command.argv))

    commands = AgentCommands(
        lambda program: found(driver.agent_run("web", program)), lambda file: found(driver.agent_write("web", file))
    )
    return Way(server.machine(GUEST), "n1", agent=commands)


@pytest.fixture
def joined(server: Server, virsh: Path, way: Way) -> Iterator[Remote]:
    """Connections to the hypervisor ``n1`` and, by its agent, the guest."""
    with server.remote() as remote:
        assert remote.join([way]) == GUEST
        yield remote
    if (virsh / "file").exists():
        assert not Path((virsh / "file").read_text()).parent.exists()


def test_guest_is_a_host_by_its_agent(joined: Remote, virsh: Path) -> None:
    """A batch has its arguments, documents, exit codes and both streams, in one exec of the hypervisor's."""
    before = joined.execs["n1"]
    (virsh / "pending").write_text("2")
    lines = [
        Line(("printf", "größe %s", "'\"\\ $(x)")),
        Line(("cat",), stdin="document\n"),
        Line(("sh", "-c", "echo no >&2; exit 3")),
        Line(("true",)),
    ]
    results = joined.run(GUEST, lines, stop_on_failure=True)
    assert [result.exit_code for result in results] == [0, 0, 3, -1]
    assert [result.host for result in results] == [GUEST] * 4
    assert (results[0].text, results[1].text, results[2].error_text) == ("größe '\"\\ $(x)", "document\n", "no")
    assert joined.execs["n1"] == before + 1


def test_programs_stand_on_no_command_line(joined: Remote, virsh: Path) -> None:
    """Neither a document nor an argument is in what virsh was called with, in whatever form; the data of a stream may be."""
    secret = b64encode(bytes(range(200))).decode()
    (result,) = joined.run(GUEST, [Line(("cat",), stdin=secret)])
    assert result.text == secret
    joined.stream(GUEST, ("cat",), [b"packages"], timeout=20)
    calls = (virsh / "calls").read_text()
    assert b64encode(b"packages").decode() in calls
    assert "input-data" not in calls
    assert secret not in calls


def test_a_stream_arrives_whole(joined: Remote, virsh: Path) -> None:
    """In pieces that an argument may have; the folder that it lay in meanwhile was for root only, and is gone."""
    data = bytes(range(256)) * 1000 + b"end"
    result = joined.stream(GUEST, ("sha256sum",), [data[:100_000], memoryview(data[100_000:])], timeout=60)
    assert result.exit_code == 0
    assert result.text.split()[0] == hashlib.sha256(data).hexdigest()
    assert (virsh / "calls").read_text().count("guest-file-write") == 3
    assert (virsh / "mode").read_text() == "700"
    failed = joined.stream(GUEST, ("sh", "-c", "cat >/dev/null; echo full >&2; exit 7"), [b"x"], timeout=60)
    assert (failed.exit_code, failed.error_text) == (7, "full")


def test_a_stream_that_breaks_off_runs_nothing(
    joined: Remote, virsh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its source fails or the agent takes it no more: the command does not see a part of it."""

    def broken() -> Iterator[bytes]:
        yield b"part"
        raise VmMgrError("no source")

    touch = ("touch", str(tmp_path / "ran"))
    with pytest.raises(VmMgrError, match="no source"):
        joined.stream(GUEST, touch, broken(), timeout=20)
    (virsh / "refuses").write_text(
        "internal error: unable to execute QEMU agent command 'guest-file-write': failed to write to file\n"
    )
    (virsh / "only").write_text("guest-file-write")
    with pytest.raises(VmMgrError, match="failed to write to file"):
        joined.stream(GUEST, touch, [b"data"], timeout=20)
    (virsh / "refuses").unlink()
    monkeypatch.setattr("vmmgr.remote.agent.secrets.token_hex", lambda _size: "none/none")
    with pytest.raises(VmMgrError, match=r"has no place for data: mkdir: .*No such file"):
        joined.stream(GUEST, touch, [b"data"], timeout=20)
    assert not (tmp_path / "ran").exists()


def test_an_agent_that_runs_nothing_is_no_way(server: Server, way: Way, virsh: Path) -> None:
    """Virsh's reason is told, and what the guest needs where it is known that nothing was run."""
    for said, is_known in {NOT_CONNECTED: True, NOT_NOW: False}.items():
        (virsh / "refuses").write_text(said)
        with server.remote() as remote, pytest.raises(UnreachableError) as caught:
            remote.join([way])
        assert said in str(caught.value)
        assert ("must be allowed guest-exec" in str(caught.value)) is is_known


def test_an_agent_that_is_switched_off_later(joined: Remote, virsh: Path) -> None:
    """A refusal has run nothing; where it is not known whether it has, that is said."""
    (virsh / "refuses").write_text(NOT_CONNECTED)
    with pytest.raises(UnreachableError, match="is not connected"):
        joined.run(GUEST, [Line(("true",))])
    (virsh / "refuses").write_text(NOT_NOW)
    with pytest.raises(ConnectionLostError, match=r"not available for now\. They may or may not have done"):
        joined.run(GUEST, [Line(("true",))])
    (virsh / "only").write_text("guest-exec-status")
    with pytest.raises(ConnectionLostError, match="did not tell what became of the commands"):
        joined.run(GUEST, [Line(("true",))])
    assert (virsh / "calls").read_text().count("guest-exec-status") == 1 + 3


def test_time_is_up(joined: Remote, virsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command is ended in the guest when its time is up; the agent may take only a little longer to say so."""
    (result, after) = joined.run(GUEST, [Line(("sleep", "20"), timeout=0.2), Line(("echo", "on"))])
    assert (result.timed_out, after.text) == (True, "on\n")
    monkeypatch.setattr("vmmgr.remote.host._MARGIN", 1.0)
    monkeypatch.setattr("vmmgr.remote.host.KILL_AFTER", 0.5)
    (virsh / "pending").write_text("1000")
    with pytest.raises(ConnectionLostError, match=rf"(?s)commands for {GUEST} may or .* took longer than it may"):
        joined.run(GUEST, [Line(("true",), timeout=0.5)])


def test_the_hypervisor_is_lost(server: Server, joined: Remote, virsh: Path) -> None:
    """With it goes what is known of the commands; the next ones have a new connection."""
    (virsh / "pending").write_text("1000")
    timer = threading.Timer(1.0, server.break_connections)
    timer.start()
    with pytest.raises(
        ConnectionLostError, match=rf"^The connection to n1 was lost, .* The commands for {GUEST} may or may not"
    ):
        joined.run(GUEST, [Line(("true",))])
    (virsh / "pending").write_text("0")
    assert joined.run(GUEST, [Line(("echo", "on"))])[0].text == "on\n"


def test_a_shell_that_is_killed(joined: Remote) -> None:
    """What had ended before is told, and what was under way."""
    kill = Line(("sh", "-c", "kill -KILL $(ps -o ppid= -p $(ps -o ppid= -p $$))"))
    with pytest.raises(BatchLostError) as caught:
        joined.run(GUEST, [Line(("echo", "first")), kill])
    assert [result.text for result in caught.value.results] == ["first\n"]
    assert caught.value.line == kill


def test_too_much_output(joined: Remote) -> None:
    """It is cut off in the guest, for libvirt would give up the agent."""
    with pytest.raises(OutcomeUnknownError, match="wrote more than 1 MiB of output"):
        joined.run(GUEST, [Line(("head", "-c", "3000000", "/dev/zero"))])
    (result,) = joined.run(GUEST, [Line(("head", "-c", "1000000", "/dev/zero"))])
    assert len(result.stdout) == 1_000_000


def test_a_daemon_that_is_left_behind_holds_nobody_up(joined: Remote) -> None:
    """It has the streams of the shell that started it, which the agent never sees."""
    (result,) = joined.run(GUEST, [Line(("sh", "-c", "sleep 3 & echo started"))])
    assert result.text == "started\n"


def test_a_hostile_guest(joined: Remote, virsh: Path) -> None:
    """Whatever it answers, the outcome is unknown, which is said in a sentence."""
    (virsh / "answers").write_text("\x1b[2J$(reboot)\n`reboot`\n'; reboot; '")
    with pytest.raises(ConnectionLostError, match="gave an answer that cannot be understood"):
        joined.run(GUEST, [Line(("true",))])


def test_a_hostile_guest_cannot_forge_results(joined: Remote, virsh: Path) -> None:
    """Without the nonce of this program, an output is none of its commands' results."""
    out = b64encode(b"\n00 begin 0\n\n00 0 0\n\n00 end 0\n").decode()
    (virsh / "answers").write_text(f'{{"return":{{"exited":true,"exitcode":0,"out-data":"{out}","err-data":"{out}"}}}}')
    with pytest.raises(UnreachableError, match="does not run /bin/sh"):
        joined.run(GUEST, [Line(("true",))])
