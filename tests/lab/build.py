"""The parts that all labs share and that take long to make: kept under a name that says what they were made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .plan import LabError
from .report import run, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

FILES = Path(__file__).with_name("files")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
MACHINE_PACKAGES = (
    "cpio", "dosfstools", "fdisk", "ipmitool", "iproute2", "mmdebstrap", "mtools", "openipmi", "openssh-client",
    "qemu-utils", "syslinux", "syslinux-common", "util-linux",
)  # fmt: skip


def base_folder() -> Path:
    """Return the folder of everything the lab keeps: $VMMGR_LAB_DIR, else /var/tmp/vm-mgr-lab."""
    return Path(os.environ.get("VMMGR_LAB_DIR") or "/var/tmp/vm-mgr-lab")


@contextmanager
def lock(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock of the base folder; it ends with the process, however that ends.

    Yields:
        whether it was had; without ``wait`` another process may hold it.
    """
    base_folder().mkdir(parents=True, exist_ok=True)
    with (base_folder() / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def digest(*parts: str | bytes | Path) -> str:
    """Return twelve hex digits that change with any part; a path stands for its content."""
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(hashlib.sha256(data).digest())
    return total.hexdigest()[:12]


def build_once(target: Path, make: Callable[[Path, Path], None]) -> None:
    """Make a folder unless it is there; a build that was interrupted leaves nothing under that name.

    Args:
        target: where it will be.
        make: builds into the first path given, an empty folder, and logs to the second.
    """
    if target.exists():
        return
    stem = target.name.partition("-")[0]
    with lock(f"build-{stem}"):
        if target.exists():  # the other one, for whom we waited, has made it
            return
        for remains in target.parent.glob(f"{stem}-*.unfinished"):
            shutil.rmtree(remains)
        work = target.with_name(f"{target.name}.unfinished")
        work.mkdir(parents=True)
        log = target.with_name(f"build-{stem}.log")
        log.write_text("")
        say(f"building {target.name} (log: {log})")
        make(work, log)
        work.rename(target)
        say(f"built {target.name}")


def remove_all(stem: str) -> None:
    """Remove every build of a kind, finished or not."""
    for path in base_folder().glob(f"{stem}-*"):
        shutil.rmtree(path)


def debootstrap(target: Path, variant: str, packages: Sequence[str], log: Path) -> None:
    """Unpack and configure Debian packages into a folder, from the sources that this machine itself uses.

    It runs in a process namespace of its own that ends with this program, so nothing of it goes on after a kill.
    """
    source = next((path for path in SOURCES if path.exists() and path.stat().st_size), None)
    if not source:
        raise LabError(f"this machine has no package source in {SOURCES[0]} or {SOURCES[1]}.")
    confined = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    quick = ["--dpkgopt=force-unsafe-io", "--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Languages none"]
    small = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    command = ["mmdebstrap", "--mode=root", f"--variant={variant}", *quick, *small, f"--include={','.join(packages)}"]
    run([*confined, *command, suite(), target, source], step=f"mmdebstrap into {target}", log=log, timeout=900)


def suite() -> str:
    """Return the code name of this machine's distribution."""
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    raise LabError("/etc/os-release names no VERSION_CODENAME; the lab needs Debian 12.")


def missing_packages(wanted: Iterable[str] = MACHINE_PACKAGES) -> list[str]:
    """Return which of the packages this machine does not have."""
    status = Path("/var/lib/dpkg/status").read_text().split("\n\n")
    have = {part.partition("\n")[0].removeprefix("Package: ") for part in status if "\nStatus: install ok " in part}
    return [name for name in wanted if name not in have]


def install() -> None:
    """Install what the lab needs on this machine, with its own apt."""
    missing = missing_packages()
    if missing:
        say("apt-get install " + " ".join(missing))
        run(["apt-get", "update"], step="apt-get update", timeout=300)
        run(["apt-get", "install", "-y", "--no-install-recommends", *missing], step="apt-get install", timeout=600)
    say("this machine has what the lab needs")
