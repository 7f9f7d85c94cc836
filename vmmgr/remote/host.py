"""One machine: its connection, how to become root there, and batches of commands with their results."""

from __future__ import annotations

import logging
import os
import shlex
import threading
import time
from typing import TYPE_CHECKING

from vmmgr.errors import ConnectionLostError, SudoError, UnreachableError
from vmmgr.remote.agent import SHELL, Agent
from vmmgr.remote.batch import ENVIRONMENT, KILL_AFTER, Decoded, Line, Result, check_words, decode, encode, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paramiko import Channel

    from vmmgr.remote.channel import Output
    from vmmgr.remote.connection import Connection
    from vmmgr.remote.target import Settings, Target

_LOG = logging.getLogger(__name__)
_MARGIN = 20.0
"""Seconds that an exec may take longer than its commands, for the way there and back."""
_SESSIONS = 8
"""Channels at a time; sshd's MaxSessions is 10 by default."""

_SUDO = "sudo -n /bin/sh"
_SUDO_ASKING = "sudo -k -S -p '' /bin/sh"
"""Always reads the password from the first line of input: -k, so that a remembered login does not leave it to the shell."""
_SUDO_PROBE = f"sudo -n -k /bin/sh </dev/null 2>/dev/null && echo free || {_SUDO_ASKING}"
_STREAM = f'{ENVIRONMENT}printf "\\n%s begin 0\\n" "$1" >&2\nshift\nexec timeout -k {KILL_AFTER} "$@"'


class BatchLostError(ConnectionLostError):
    """The connection broke, or the shell was killed, while a batch was running.

    Attributes:
        results: of the commands that had ended before.
        line: the command under way; its outcome is not known.
    """

    def __init__(self, message: str, results: list[Result], line: Line) -> None:
        super().__init__(message)
        self.results = results
        self.line = line


class Host:
    """One machine of a site; safe to use from several threads."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        sudo_password: str | None,
        relay: Callable[[], Channel] | None = None,
        agent: Agent | None = None,
    ) -> None:
        self.name = target.name
        self.execs = 0
        self.connections = 0
        self._target, self._settings, self._password, self._relay = target, settings, sudo_password, relay
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._slots = threading.BoundedSemaphore(_SESSIONS)
        self._connection: Connection | Agent | None = agent
        self._shell: str | None = None

    def connect(self) -> Connection | Agent:
        """Return the open connection, opening it first if need be.

        Raises:
            ConnectError: it cannot be opened.
        """
        from vmmgr.remote.connection import Connection

        with self._lock:
            if self._closed.is_set():
                msg = f"The connection to {self.name} is closed for good"
                raise RuntimeError(msg)
            if self._connection is None:
                self._connection = Connection(self._target, self._settings, relay=self._relay)
            if not self._connection.is_connected:
                self._connection.open()
                self.connections += 1
            connection = self._connection
        if self._closed.is_set():  # while this thread was connecting
            connection.close()
        return connection

    def close(self) -> None:
        """Close the connection for good; if a thread is still connecting, it will, and is not waited for."""
        self._closed.set()
        if self._lock.acquire(blocking=False):
            try:
                if self._connection:
                    self._connection.close()
            finally:
                self._lock.release()

    def run(self, lines: Sequence[Line], *, stop_on_failure: bool = False, together: bool = False) -> list[Result]:
        """Run commands in one exec, as root: one after the other, or ``together`` at the same time.

        Raises:
            ConnectError: nothing was run.
            BatchLostError: some were run, and it is not known which.
        """
        nonce = os.urandom(16).hex()
        program = encode(lines, stop_on_failure=stop_on_failure, together=together, nonce=nonce)
        limit = sum(line.timeout + KILL_AFTER for line in lines) + _MARGIN
        began = time.monotonic()
        output = self._execute("", [program], limit)
        decoded = decode(output.stdout, output.stderr, nonce)
        results = [
            Result(self.name, line.argv, frame.exit_code, frame.stdout, frame.stderr)
            for line, frame in zip(lines, decoded.frames, strict=False)
        ]
        for line, result in zip(lines, results, strict=False):
            _LOG.debug("%s: %s: exit code %d", self.name, line.shown, result.exit_code)
        _LOG.debug("%s: %d of %d commands in %.3f s", self.name, len(results), len(lines), time.monotonic() - began)
        self._check(decoded, output, lines, results)
        return results + [Result(self.name, line.argv, -1, b"", b"", skipped=True) for line in lines[len(results) :]]

    def _check(self, decoded: Decoded, output: Output, lines: Sequence[Line], results: list[Result]) -> None:
        """Raise unless the program came to its end."""
        if decoded.complete:
            return
        if not decoded.began and output.exit_status is not None:
            raise self._no_shell(output)
        if len(results) == len(lines):  # the last answers are here, only the end of the program is not
            return
        line = lines[len(results)]
        reason = "did not answer in time" if output.late else "was lost, or its shell was killed,"
        msg = (
            f"The connection to {self.name} {reason} while this command was under way: {line.shown}\n"
            f"If it changes something, it may or may not have done so, and it may still be running on {self.name}."
        )
        raise BatchLostError(msg, results, line)

    def stream(self, argv: Sequence[str], chunks: Iterable[bytes | memoryview], *, timeout: float) -> Result:
        """Run one command as root with binary data as its input.

        A command that ends early ends the sending; its exit code and stderr tell why. If ``chunks`` raises, the
        command sees its input end there, so it must be one that recognises input that is not complete.

        Args:
            argv: the command; it shows in the host's process list.
            chunks: the data.
            timeout: seconds for everything.

        Raises:
            ConnectError: nothing was run.
            ConnectionLostError: the exit code did not arrive.
        """
        line = Line(tuple(argv), timeout=timeout)
        check_words(line.argv, line)
        began = time.monotonic()
        nonce = os.urandom(16).hex()
        arguments = shlex.join(["-c", _STREAM, "sh", nonce, seconds(timeout), *line.argv])
        output = self._execute(f" {arguments}", chunks, timeout + KILL_AFTER + _MARGIN)
        took = time.monotonic() - began
        _LOG.debug("%s: %s: exit code %s in %.3f s", self.name, line.shown, output.exit_status, took)
        if output.exit_status is None:
            reason = "did not answer in time" if output.late else "was lost"
            msg = f"The connection to {self.name} {reason} while data was sent to this command: {line.shown}"
            raise ConnectionLostError(msg)
        _, began_there, stderr = output.stderr.partition(f"\n{nonce} begin 0\n".encode())
        if not began_there:
            raise self._no_shell(output)
        return Result(self.name, line.argv, output.exit_status, output.stdout, stderr)

    def open_relay(self, argv: Sequence[str]) -> Channel:
        """Run a command that passes on what it reads and writes, as the login and not as root, until the channel is closed.

        Such a channel is one more than ``_SESSIONS``; there is one for each guest that is reached through this machine.

        Raises:
            ConnectError: nothing was run.
        """
        connection = self.connect()
        assert not isinstance(connection, Agent)
        channel = connection.open_channel()
        channel.exec_command(shlex.join(argv))
        return channel

    def _execute(self, arguments: str, stdin: Iterable[bytes | memoryview], limit: float) -> Output:
        """Run the root shell with ``arguments`` in a channel of its own."""
        connection = self.connect()
        with self._slots:
            if self._shell is None:
                self._shell = self._find_shell(connection)
            if self._shell == _SUDO_ASKING:
                stdin = _after(f"{self._password}\n".encode(), stdin)
            return self._run_in(connection, self._shell + arguments, stdin, limit)

    def _run_in(
        self, connection: Connection | Agent, command: str, stdin: Iterable[bytes | memoryview], limit: float
    ) -> Output:
        self.execs += 1
        return connection.execute(command, stdin, limit=limit)

    def _find_shell(self, connection: Connection | Agent) -> str:
        """Find the command that gives a root shell; with a password, find out whether sudo wants it and takes it.

        Raises:
            SudoError: sudo does not take the password.
        """
        if connection.is_root:
            return SHELL
        if self._password is None:
            return _SUDO
        output = self._run_in(connection, _SUDO_PROBE, [f"{self._password}\n".encode()], _MARGIN)
        if output.exit_status != 0:
            raise self._no_shell(output)
        return _SUDO if output.stdout.strip().endswith(b"free") else _SUDO_ASKING

    def _no_shell(self, output: Output) -> SudoError | UnreachableError:
        """Say why no shell came up: sudo, or the login's own shell."""
        connection = self.connect()
        words = (output.stderr or output.stdout).decode(errors="replace").split()
        said = " ".join(words) or f"exit code {output.exit_status}"
        if connection.is_root:
            return UnreachableError(f"{connection.where} does not run /bin/sh for this login. It said: {said}")
        return SudoError(
            f"{connection.where}: sudo does not let {connection.user} run /bin/sh as root"
            f"{'' if self._password is None else ' with the password given'}. It said: {said}\n"
            f"{'Add' if self._password is None else 'Give the right password, or add'} this line to sudoers there: "
            f"{connection.user} ALL=(root) NOPASSWD:EXEC: /bin/sh"
        )


def _after(first: bytes, rest: Iterable[bytes | memoryview]) -> Iterable[bytes | memoryview]:
    yield first
    yield from rest
