"""What a guest's agent is asked, and what it answers or a hostile one might (qemu-ga 7.2, as virsh 9.0.0 prints it)."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.drivers.libvirt.agent import OUTPUT_LIMIT, parse_ended, request
from vmmgr.errors import ConnectionLostError, OutcomeUnknownError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

ENDED = '{"return":{"err-data":"bm8K","exitcode":3,"out-data":"ZG9uZQo=","exited":true}}'
KILLED = '{"return":{"signal":9,"exited":true}}'


def test_recorded_answers(answer: Any) -> None:
    """An exit code and what both streams had; a stream that had nothing is left out; a signal leaves no exit code."""
    ended = parse_ended(answer(f"{ENDED}\n\n"))
    assert (ended.exit_status, ended.stdout, ended.stderr) == (3, b"done\n", b"no\n")
    killed = parse_ended(answer(KILLED))
    assert (killed.exit_status, killed.stdout, killed.stderr) == (None, b"", b"")


@pytest.mark.parametrize(
    "said",
    [
        "Guest agent is not responding: QEMU guest agent is not connected",
        "internal error: unable to execute QEMU agent command 'guest-exec': Command guest-exec has been disabled",
        "failed to get domain 'web'",
    ],
)
def test_nothing_was_run(answer: Any, said: str) -> None:
    """The reason is told, and what the guest needs."""
    with pytest.raises(UnreachableError) as caught:
        parse_ended(answer(exit_code=69, stderr=f"error: {said}\n\n".encode()))
    assert str(caught.value).startswith(f"On hv1, the guest's agent runs no commands: {said}. The domain needs a channel")


def test_it_is_not_known_what_was_run(answer: Any) -> None:
    """An agent that was started anew meanwhile does not know what it had started; the last reason is told, and no more than is read."""
    stderr = (
        b"error: first\n" * 2 + b"error: unable to execute QEMU agent command 'guest-exec-status': Invalid parameter 'pid'\n\n"
    )
    with pytest.raises(ConnectionLostError, match=r"given: unable .*: Invalid parameter 'pid'\. They may or may not have done"):
        parse_ended(answer(exit_code=75, stderr=stderr))
    with pytest.raises(ConnectionLostError, match="no reason was given"):
        parse_ended(answer(exit_code=75))
    with pytest.raises(ConnectionLostError) as caught:
        parse_ended(answer(exit_code=75, stderr=b"x" * 100_000))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", '{"return":{}}', '{"return":[]}', '{"return":{"exited":"yes","exitcode":0}}', '{"return":{"exited":true}}',
        '{"return":{"exited":true,"exitcode":"0"}}', '{"return":{"exited":true,"exitcode":99999999999999999999}}',
        '{"return":{"exited":true,"exitcode":-1}}', '{"return":{"exited":true,"exitcode":0,"out-data":7}}',
        '{"return":{"exited":true,"exitcode":0,"out-data":"$(touch x)"}}', '{"return":{"exited":true,"exitcode":0,"err-data":"größe"}}',
        '{"return":' + "[" * 100_000, '{"return":{"exited":false}}', '{"return":{"exited":true,"exitcode":' + "9" * 10_000 + "}}",
    ],
)  # fmt: skip
def test_hostile_answers(answer: Any, text: str) -> None:
    """Nothing that the guest writes is more than an answer that cannot be understood."""
    with pytest.raises(CommandFailedError, match="gave an answer that cannot be understood"):
        parse_ended(answer(text))


def test_a_program_that_wrote_too_much(answer: Any) -> None:
    """What is missing may be anywhere after it."""
    data = b64encode(bytes(OUTPUT_LIMIT)).decode()
    with pytest.raises(OutcomeUnknownError, match="On hv1, a command in the guest wrote more than 1 MiB of output"):
        parse_ended(answer(f'{{"return":{{"exited":true,"exitcode":0,"err-data":"{data}"}}}}'))


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_the_guest_s_part(tmp_path: Path, shell: str) -> None:
    """Really run: the program is read from standard input; both streams, cut off, and the exit code come back; nothing is left."""
    arguments = json.loads(request(b"echo out; head -c 3000000 /dev/zero >&2; sleep 2 & exit 7\n"))["arguments"]
    program = b64decode(arguments["input-data"])
    done = subprocess.run([shell, *arguments["arg"]], input=program, capture_output=True, check=False, timeout=20)
    assert (done.returncode, done.stdout, len(done.stderr)) == (7, b"out\n", OUTPUT_LIMIT)
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    script = arguments["arg"][1].replace("/dev/shm", "/nowhere")
    done = subprocess.run([shell, "-c", script], input=b"pwd", capture_output=True, check=False, env=environment, timeout=20)
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == []
