"""One host: its power switch, and commands inside it."""

from __future__ import annotations

import fcntl
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from . import cgroups
from .build import FILES
from .plan import Host, Lab, LabError
from .report import run, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
)  # fmt: skip


def cgroup(lab: Lab, host: Host) -> Path:
    """Return the folder of the host's processes: its supervisor and, in ``inside``, all that runs in it."""
    return cgroups.folder(lab.tag, host.name)


def is_on(lab: Lab, host: Host) -> bool:
    """Tell whether the host has power."""
    return cgroups.populated(cgroup(lab, host))


def power_on(lab: Lab, host: Host, *, firmware_seconds: int = 0) -> None:
    """Switch the host on, unless it is; its firmware takes that long before the system boots."""
    folder = lab.host_folder(host)
    with (folder / "power.lock").open("w") as switch:
        fcntl.flock(switch, fcntl.LOCK_EX)  # two fencing requests at once must not start it twice
        if is_on(lab, host):
            return
        cgroup(lab, host).mkdir(parents=True, exist_ok=True)
        words = (str(firmware_seconds), cgroup(lab, host), lab.netns(host), FILES / "init.sh", folder, lab.root, host.name)
        console = lab.log(f"{host.name}.console")
        with console.open("ab") as log:
            subprocess.Popen(
                ["sh", FILES / "supervise.sh", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd="/",
            )  # fmt: skip
        wait_until(lambda: is_on(lab, host), step=f"{host.name}: power on", seconds=5, log=console, every=0.02)


def power_off(lab: Lab, host: Host) -> None:
    """Cut the host's power: every process in it is gone at once, and nothing was told beforehand."""
    cgroups.kill(cgroup(lab, host))


def wait_for_ssh(lab: Lab, host: Host, seconds: float = 60) -> None:
    """Wait until the host's sshd greets.

    Raises:
        LabError: it did not in that time, or it is off.
    """
    console = lab.log(f"{host.name}.console")

    def greets() -> bool:
        if not is_on(lab, host):
            raise LabError(f"{host.name}: it went off before its sshd answered. Log: {console}")
        try:
            with socket.create_connection((lab.address(host), 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    wait_until(greets, step=f"{host.name}: sshd", seconds=seconds, log=console, every=0.1)


def first_process(lab: Lab, host: Host) -> int:
    """Return the machine's process id of the host's systemd.

    Raises:
        LabError: the host is off, or not so far yet.
    """
    try:
        inside = (cgroup(lab, host) / "inside/init.scope/cgroup.procs").read_text().split()
        for pid in inside:
            status = Path("/proc", pid, "status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
            if numbers[-1] == "1":
                return int(pid)
    except OSError:
        pass
    raise LabError(f"{host.name} is off, or has not booted yet; lab power-on {host.name} switches it on.")


def command(lab: Lab, host: Host, words: Sequence[str]) -> list[str]:
    """Return the command that runs the words inside the host, as root, with an environment of the host's own.

    Raises:
        LabError: the host is off.
    """
    pid = str(first_process(lab, host))
    return ["nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p", "-C", "--", "env", "-i", *ENVIRONMENT, *words]


def execute(lab: Lab, host: Host, words: Sequence[str], *, step: str, stdin: str | None = None, timeout: float = 60) -> str:
    """Run a command inside the host and return what it prints.

    Raises:
        LabError: it failed; names host, step and log.
    """
    log = lab.log(f"{host.name}.setup")
    return run(command(lab, host, words), step=f"{host.name}: {step}", log=log, stdin=stdin, timeout=timeout)


def execute_script(lab: Lab, host: Host, script: str, *words: str, timeout: float = 60) -> str:
    """Run one of the scripts of ``files`` inside the host, with arguments."""
    text = (FILES / script).read_text()
    return execute(lab, host, ["sh", "-s", "--", *words], step=script, stdin=text, timeout=timeout)


def memory(folder: Path) -> int:
    """Return the bytes of memory of all processes in a cgroup folder, shared pages counted once in all."""
    total = 0
    for pid in cgroups.processes(folder):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total
