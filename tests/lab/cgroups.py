"""The processes of a lab, kept in cgroups of version 2.

The kernel keeps the account of what a lab started, also of what a killed ``up`` left behind: nothing is found by a
name or by a process id that may have been given away since. ``cgroup.kill`` (Linux 5.14) ends a whole folder.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .plan import LabError
from .report import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def mount_point() -> Path:
    """Return where the machine has its cgroups of version 2.

    Raises:
        LabError: nowhere.
    """
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise LabError("this machine has no cgroup2 file system mounted; mount -t cgroup2 none /sys/fs/cgroup/unified.")


def folder(*names: str) -> Path:
    """Return the folder of a tag, or of a part of that lab."""
    return mount_point().joinpath(*names)


def enter(path: Path) -> None:
    """Move this process to a folder, which is made; all that it starts from now on belongs there."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").write_text(str(os.getpid()))


def populated(path: Path) -> bool:
    """Tell whether any process lives in the folder or below."""
    try:
        return "populated 1" in (path / "cgroup.events").read_text()
    except OSError:
        return False


def processes(path: Path) -> Iterator[int]:
    """Yield the ids of all processes in the folder and below."""
    for file in path.rglob("cgroup.procs"):
        try:
            yield from map(int, file.read_text().split())
        except OSError:  # that part has just ended
            continue


def kill(path: Path) -> None:
    """Kill every process in the folder and below, and wait for their end.

    Raises:
        LabError: some outlived it for ten seconds.
    """
    if not path.exists():
        return
    (path / "cgroup.kill").write_text("1")
    wait_until(lambda: not populated(path), step=f"end of the processes in {path}", seconds=10, every=0.05)


def remove(path: Path) -> None:
    """Remove the folder and all below; no process may be left there."""
    for below, _, _ in os.walk(path, topdown=False):
        os.rmdir(below)  # noqa: PTH106 - a Path for each of some hundred folders
