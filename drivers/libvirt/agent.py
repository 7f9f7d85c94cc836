"""Shell programs for a guest's own agent (qemu-ga-ref(7)): what it is asked, and what it answers.

The answers were written by the guest, and it may be hostile. libvirt has read and written them anew, so that each is one line of
JSON; it takes none above 10 MiB (QEMU_AGENT_MAX_RESPONSE), where it gives the agent up until that is started again, and passes on
none above 4 MiB (REMOTE_STRING_MAX). The agent forgets what it has answered. So the output of a program is kept short inside the guest.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from vmmgr.command import CommandFailedError, text_of
from vmmgr.errors import ConnectionLostError, OutcomeUnknownError, UnreachableError
from vmmgr.remote.channel import Output

if TYPE_CHECKING:
    from vmmgr.remote.batch import Result

OUTPUT_LIMIT = 1 << 20
"""Bytes of each stream that a program may write; both in base64 are one answer of 2.7 MiB."""

# EX_UNAVAILABLE and EX_TEMPFAIL of sysexits.h, with which the template ends when the agent has run nothing, and when it did not say.
_NOTHING_RUN, _NOT_KNOWN = 69, 75
_ADVICE = (
    "The domain needs a channel org.qemu.guest_agent.0, and the guest needs qemu-guest-agent, which must be allowed guest-exec and "
    "guest-file-open; docs/howto-deploy.rst tells how."
)
# Files take the output first: the agent waits for the end of both streams, which a daemon that was started may never close.
_SHELL = f"""umask 077
dir=$(mktemp -d -p /dev/shm vm-mgr.XXXXXXXX 2>/dev/null || mktemp -d) || exit
trap 'rm -rf "$dir"' EXIT
/bin/sh >"$dir/out" 2>"$dir/err"; code=$?
head -c {OUTPUT_LIMIT} "$dir/out"; head -c {OUTPUT_LIMIT} "$dir/err" >&2
exit "$code" """


def request(program: bytes) -> str:
    """Return what asks an agent to run a shell program as root; there is no single quote in it, which would end virsh's argument."""
    arguments = {"path": "/bin/sh", "arg": ["-c", _SHELL], "capture-output": True, "input-data": b64encode(program).decode()}
    return json.dumps({"execute": "guest-exec", "arguments": arguments}).replace("'", "\\u0027")


def parse_ended(result: Result) -> Output:
    """Read the last answer to guest-exec-status: exit code and output, the code None where a signal has ended the shell.

    Raises:
        UnreachableError: The agent runs nothing.
        ConnectionLostError: It did not tell what became of the program.
        OutcomeUnknownError: The program wrote more than ``OUTPUT_LIMIT``.
        CommandFailedError: There was no answer in time, or it makes no sense.
    """
    said = (result.error_text.splitlines() or ["no reason was given"])[-1].removeprefix("error: ")[:400]
    if result.exit_code == _NOTHING_RUN:
        raise UnreachableError(f"On {result.host}, the guest's agent runs no commands: {said}. {_ADVICE}")
    if result.exit_code == _NOT_KNOWN:
        raise ConnectionLostError(
            f"On {result.host}, the guest's agent did not tell what became of the commands that it was given: {said}. They may or may "
            "not have done what they change, and may still be running."
        )
    text = text_of(result)
    try:
        answer = json.loads(text)["return"]
        output = Output(_exit_code(answer), _data(answer, "out-data"), _data(answer, "err-data"), late=False)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise CommandFailedError(result) from error
    if max(len(output.stdout), len(output.stderr)) >= OUTPUT_LIMIT:
        raise OutcomeUnknownError(
            f"On {result.host}, a command in the guest wrote more than {OUTPUT_LIMIT >> 20} MiB of output, and what came after that is "
            "not known; what it had to do may be half done."
        )
    return output


def _exit_code(answer: Any) -> int | None:
    """Return the exit code of a shell that has ended."""
    if answer["exited"] is not True:
        raise ValueError(answer["exited"])
    if "signal" in answer:
        return None
    code = answer["exitcode"]
    if not isinstance(code, int) or not 0 <= code <= 255:
        raise ValueError(code)
    return int(code)


def _data(answer: Any, key: str) -> bytes:
    """Return what one stream had; an empty one is left out."""
    return b64decode(answer.get(key, ""), validate=True)
