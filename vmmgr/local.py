"""Runs a driver's command on this machine, which takes no connection."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, TypeVar

from vmmgr.remote.batch import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.command import Command

T = TypeVar("T")

# Seconds between two looks at a command that runs.
_INTERVAL = 0.2


def run_here(command: Command[T], watch: Callable[[], None]) -> T:
    """Run a command to its end, or to the end of its time, and return its value; ``watch`` is called while it runs.

    Raises:
        CommandFailedError: It failed, as the driver sees it.
        KeyboardInterrupt: There was one; the command and all that it runs were ended.
    """
    began = time.monotonic()
    with subprocess.Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C"},
        start_new_session=True,  # so that all that it runs can be ended with it
    ) as process:
        try:
            while True:
                try:
                    out, err = process.communicate(timeout=_INTERVAL)
                    break
                except subprocess.TimeoutExpired:
                    watch()
                if time.monotonic() - began > command.timeout:
                    os.killpg(process.pid, signal.SIGTERM)
                    process.communicate()
                    return command.parse(Result("this machine", command.argv, 124, b"", b""))
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    return command.parse(Result("this machine", command.argv, process.returncode, out, err))
