"""Runs commands and says what they took: vm-mgr's, and those of the OpenSSH client that it is compared with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.report import Report
    from tests.scenarios.site import LabSite

VM_MGR = Path(sys.executable).with_name("vm-mgr")


class RunError(Exception):
    """A command ended with another exit code than 0."""


@dataclass(frozen=True)
class Ran:
    """What one call took.

    Attributes:
        began: Seconds since the epoch.
        seconds: From its start to its end.
        memory: The most that it had in memory, MiB (getrusage(2), ru_maxrss).
        out: What it wrote to stdout.
        err: What it wrote to stderr.
    """

    began: float
    seconds: float
    memory: float
    out: str
    err: str


@dataclass
class Bench:
    """A lab that is up.

    Attributes:
        folder: For files on the workstation.
        rounds: How often each verb is measured; ``start`` and ``stop`` twice as often.
        size: MiB of random data to import.
        vms: How many VMs there are when there are many.
    """

    lab: LabSite
    report: Report
    folder: Path
    tools: str
    rounds: int
    size: int
    vms: int

    def vm_mgr(self, *words: str) -> Ran:
        """Call vm-mgr; a call that fails is told in the table and made again, for it undoes what it did."""
        for _ in range(2):
            try:
                return run([str(VM_MGR), *words], env=self.lab.env())
            except RunError as error:
                print(error, flush=True)
                self.report.note(f"FAILED, and was called again: {words[0]}", str(error).splitlines()[-1][-60:])
        return run([str(VM_MGR), *words], env=self.lab.env())

    def ssh_options(self) -> list[str]:
        """Return the options of the OpenSSH client: its own defaults, no shared connection, the one key that fits."""
        options = {
            "BatchMode": "yes",
            "ControlPath": "none",
            "IdentitiesOnly": "yes",
            "IdentityFile": self.lab.environ["VMMGR_KEY"],
            "UserKnownHostsFile": self.lab.environ["VMMGR_KNOWN_HOSTS"],
        }
        return ["-F", "none", *(f"-o{name}={value}" for name, value in options.items())]

    def login(self, host: str) -> str:
        """Return user and address of a host."""
        inventory = Path(self.lab.environ["VMMGR_INVENTORY"]).read_text()
        found = re.search(rf"^ +{host}:\n +ansible_host: (\S+)", inventory, re.MULTILINE)
        assert found, f"{host} is not in the inventory"
        return f"root@{found[1]}"

    def ssh(self, host: str, program: str) -> Ran:
        """Run a shell program on a host, as `ssh HOST sh -s`."""
        return run(["ssh", *self.ssh_options(), self.login(host), "sh", "-s"], stdin=program)


def run(command: Sequence[str], *, env: dict[str, str] | None = None, stdin: str = "") -> Ran:
    """Run a command that must succeed.

    Raises:
        RunError: It did not; the message ends with what it wrote to stderr.
    """
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        given.write(stdin)
        given.seek(0)
        began, start = time.time(), time.perf_counter()
        process = subprocess.Popen(command, stdin=given, stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        ran = Ran(began, seconds, usage.ru_maxrss / 1024, out.read(), err.read())
    if process.returncode:
        raise RunError(f"{' '.join(command)} ended with {process.returncode}: {ran.err.strip()}")
    return ran


def interleaved(rounds: int, *calls: Callable[[], Any]) -> list[list[Any]]:
    """Make every call once in each round, so that all of them meet the same load of the machine, and return their values."""
    taken: list[list[Any]] = [[] for _ in calls]
    for _ in range(rounds):
        for values, call in zip(taken, calls, strict=True):
            values.append(call())
    return taken
