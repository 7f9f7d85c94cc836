"""A guest that is entered by its own agent: the hypervisor that runs it passes programs on, and no network of the guest's is needed.

It has as much of a ``Connection`` as a ``Host`` uses. Programs go over standard inputs all the way and show in no process list, so
they may hold secrets. The data of a stream goes into a file of the guest first, and shows in the hypervisor's process list.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from vmmgr.errors import ConnectError, ConnectionLostError, OutcomeUnknownError, UnreachableError, VmMgrError
from vmmgr.remote.batch import Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmmgr.remote.channel import Output
    from vmmgr.remote.host import Host
    from vmmgr.remote.target import AgentCommands

SHELL = "/bin/sh"
_SHORT = 60.0
"""Seconds for a program that does next to nothing, in a guest that is busy."""


class Agent:
    """The agent of one guest, not tried until ``open()``."""

    is_root = True
    user = "root"

    def __init__(self, name: str, hypervisor: Host, commands: AgentCommands) -> None:
        self.where = name
        self.is_connected = False
        self._hypervisor, self._commands = hypervisor, commands

    def open(self) -> None:
        """Make sure that it runs programs.

        Raises:
            ConnectError: It does not, or its hypervisor cannot be reached.
        """
        try:
            self._run(b"exit 0\n", _SHORT)
        except OutcomeUnknownError as error:  # nothing was to be done
            raise UnreachableError(str(error)) from error
        self.is_connected = True

    def close(self) -> None:
        """Forget that it was tried; the hypervisor's connection is its own."""
        self.is_connected = False

    def execute(self, command: str, stdin: Iterable[bytes | memoryview], *, limit: float) -> Output:
        """Run a shell command with ``stdin`` as its input; what the shell itself reads is a program, anything else is data.

        Args:
            command: ``/bin/sh``, alone or with arguments.
            stdin: what it reads.
            limit: seconds for sending the data, and again for running the command.

        Raises:
            ConnectError: nothing was run.
            ConnectionLostError: it is not known what was run.
            VmMgrError: the data did not arrive; nothing was run.
        """
        if command == SHELL:
            return self._run(b"".join(stdin), limit)
        # the agent lets everybody write the files that it makes, so they are in a folder of root's, whose name nobody can guess
        folder = f"/var/tmp/vm-mgr-{secrets.token_hex(16)}"  # noqa: S108
        write = self._commands.write(f"{folder}/data")
        made = self._run(f"mkdir -m 0700 {folder}\n".encode(), _SHORT)
        if made.exit_status != 0:
            raise VmMgrError(f"{self.where} has no place for data: {made.stderr.decode(errors='replace').strip()}")
        try:
            write.parse(self._hypervisor.stream(write.argv, stdin, timeout=limit))
        except BaseException:
            with suppress(VmMgrError):
                self._run(f"rm -rf {folder}\n".encode(), _SHORT)
            raise
        return self._run(f"exec 3<{folder}/data && rm -rf {folder} && exec {command} <&3\n".encode(), limit)

    def _run(self, program: bytes, limit: float) -> Output:
        """Run a shell program to its end, for which the hypervisor waits."""
        command = self._commands.run(program)
        line = Line(command.argv, stdin=command.stdin, timeout=limit)
        unknown = f"The commands for {self.where} may or may not have done what they change, and may still be running."
        try:
            (result,) = self._hypervisor.run([line])
        except ConnectionLostError as error:  # whose message has the whole script
            msg = f"The connection to {self._hypervisor.name} was lost, or there was no answer in time. {unknown}"
            raise ConnectionLostError(msg) from error
        try:
            return command.parse(result)
        except (ConnectError, OutcomeUnknownError):
            raise
        except VmMgrError as error:
            raise ConnectionLostError(f"{unknown} {error}") from error
