"""Run one command over one channel of an open transport: all input in, all output out, no deadlock, nothing decoded.

Fabric's own ``run()`` decodes each block of 1000 bytes by itself, joins the output anew for every block, and sends its
input one character at a time; so this works on the channel underneath.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vmmgr.errors import OutcomeUnknownError
from vmmgr.remote.background import in_background

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from paramiko import Channel

OUTPUT_LIMIT = 64 << 20
"""Bytes of one stream that are accepted; no command of ours has a reason to write more."""

_BLOCK = 1 << 16
_PACKET = (32 << 10) - 64
"""Bytes that Paramiko puts into one packet for OpenSSH's sshd, which takes 32 KiB with all that is around them."""
_GRACE = 5.0
"""Seconds of silence after the command's end before a process that it left behind, holding the stream, is given up on."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command left behind.

    Attributes:
        exit_status: None if it is unknown: the connection broke, the command was killed, or the time was up.
        late: whether the time was up.
    """

    exit_status: int | None
    stdout: bytes
    stderr: bytes
    late: bool


class _Collector(threading.Thread):
    """Take everything from one stream of a channel."""

    def __init__(self, channel: Channel, receive: Callable[[int], bytes]) -> None:
        super().__init__(daemon=True)
        self._channel, self._receive = channel, receive
        self._blocks: list[bytes] = []
        self._size = 0
        self.last = time.monotonic()

    def run(self) -> None:
        """Receive until the end of the stream, the channel's time limit or one byte too many."""
        try:
            while not self.overflown and (block := self._receive(_BLOCK)):
                self._blocks.append(block)
                self._size += len(block)
                self.last = time.monotonic()
        except TimeoutError:
            return
        if self.overflown:
            self._channel.close()

    @property
    def overflown(self) -> bool:
        """Whether the stream is longer than accepted."""
        return self._size > OUTPUT_LIMIT

    @property
    def data(self) -> bytes:
        """All bytes so far."""
        return b"".join(self._blocks)


def execute(channel: Channel, command: str, stdin: Iterable[bytes | memoryview], *, limit: float) -> Output:
    """Run a command with ``stdin`` as its input and return when it has ended.

    A command that ends before it has read everything is no error: its exit status and stderr tell why. What ``stdin``
    raises, Ctrl-C included, closes the channel (the command sees its input end) and is raised again.

    A signal raises its exception in the main thread, at whatever instruction. Inside Paramiko that can leave a lock behind, for
    which everybody would wait from then on; so other threads do what takes one, and this one waits for them.

    Args:
        channel: a new session channel.
        command: for the login shell of the host.
        stdin: blocks of bytes; taken one at a time, as fast as the command reads, in another thread.
        limit: seconds for everything.

    Raises:
        OutcomeUnknownError: the output is longer than ``OUTPUT_LIMIT``.
        SSHException: the connection is not usable at all.
    """
    deadline = time.monotonic() + limit
    channel.settimeout(limit)
    out, err = _Collector(channel, channel.recv), _Collector(channel, channel.recv_stderr)
    sending = in_background(partial(_send, channel, command, stdin))
    try:
        out.start()
        err.start()
        if wait([sending], limit).done:
            sending.result()
        _wait(channel, (out, err), deadline)
        status = channel.exit_status if channel.exit_status_ready() and channel.exit_status != -1 else None
    finally:
        # the sending ends as well, for whoever has the source of the input may close it now
        wait([in_background(channel.close), sending], _GRACE)
    if out.overflown or err.overflown:
        msg = (
            f"A command wrote more than {OUTPUT_LIMIT >> 20} MiB of output and was cut off; what it had to do may be half done."
        )
        raise OutcomeUnknownError(msg)
    return Output(status, out.data, err.data, late=status is None and time.monotonic() >= deadline)


def _send(channel: Channel, command: str, stdin: Iterable[bytes | memoryview]) -> None:
    """Begin the command and send all input and its end, unless the command ends first."""
    channel.exec_command(command)
    blocks = iter(stdin)
    while not channel.exit_status_ready() and (block := next(blocks, None)) is not None:
        try:
            start = 0
            while start < len(block):  # each call sends one packet as full as it may be; sendall would copy the rest every time
                start += channel.send(bytes(block[start : start + _PACKET]))
        except OSError:  # it has ended, the connection broke, or it does not read: the exit status will tell
            return
    try:
        channel.shutdown_write()
    except (OSError, EOFError):
        return


def _wait(channel: Channel, collectors: tuple[_Collector, _Collector], deadline: float) -> None:
    """Wait for the end of both streams and for the exit status, each as long as there is reason to."""
    while any(collector.is_alive() for collector in collectors) and (now := time.monotonic()) < deadline:
        if channel.exit_status_ready() and now - max(collector.last for collector in collectors) > _GRACE:
            return
        for collector in collectors:
            collector.join(0.1 if channel.exit_status_ready() else min(1.0, deadline - now))
    while not channel.exit_status_ready() and time.monotonic() < deadline:
        time.sleep(0.001)
