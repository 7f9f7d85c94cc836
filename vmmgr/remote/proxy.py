"""Run a ProxyCommand and talk to it through a socket.

Paramiko's own ProxyCommand spins for ever when the command has ended, and never reads its stderr.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile


class Proxy:
    """A running ProxyCommand; ``socket`` is what the command connects to."""

    def __init__(self, command: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs:
            # a session of its own, so that Ctrl-C leaves the way to the host open for undoing what was begun
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                start_new_session=True,
            )

    @property
    def complaint(self) -> str:
        """What the command wrote to stderr so far."""
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        return self._errors.read(2000).decode(errors="replace").strip()

    def close(self) -> None:
        """End the command."""
        self.socket.close()
        self._process.terminate()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
