"""The parts that all labs share and that take long to make: kept under a name that says what they were made from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .report import run, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FILES = Path(__file__).with_name("files")
MACHINE_PACKAGES = (
    "cpio", "dosfstools", "fdisk", "ipmitool", "iproute2", "mmdebstrap", "mtools", "openipmi", "openssh-client",
    "qemu-utils", "syslinux", "syslinux-common", "util-linux",
)  # fmt: skip


def base_folder() -> Path:
    """Return the folder of everything the lab keeps: $VMMGR_LAB_DIR, else /var/tmp/vm-mgr-lab."""
    return Path(os.environ.get("VMMGR_LAB_DIR") or "/var/tmp/vm-mgr-lab")


@contextmanager
def lock(name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock of the base folder; it ends with the process, however that ends. Its file is there meanwhile.

    Yields:
        whether it was had; without ``wait`` another process may hold it.
    """
    base_folder().mkdir(parents=True, exist_ok=True)
    path = base_folder() / f"{name}.lock"
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    yield False
                    return
                say(f"waiting for another process that holds {path}")
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_open_as(path, file.fileno()):
                continue  # whoever held it has removed the file, and a third one may have made another
            try:
                yield True
            finally:
                path.unlink()
            return


def _is_open_as(path: Path, descriptor: int) -> bool:
    """Tell whether the open file is the one that the path names now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


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
        _sweep(stem)
        work = target.with_name(f"{target.name}.unfinished")
        work.mkdir(parents=True)
        log = target.with_name(f"build-{stem}.log")
        log.write_text("")
        say(f"building {target.name} (log: {log})")
        make(work, log)
        work.rename(target)
        say(f"built {target.name}")


def remove_unfinished() -> None:
    """Remove what interrupted builds have left; a build that another process does right now stays."""
    for stem in ("root", "guests"):
        with lock(f"build-{stem}", wait=False) as had:
            if had:
                _sweep(stem)


def _sweep(stem: str) -> None:
    """Remove the unfinished builds of a kind; the caller holds its lock."""
    for remains in base_folder().glob(f"{stem}-*.unfinished"):
        shutil.rmtree(remains)


def remove_all() -> None:
    """Remove every build, finished or not, with its log, and the client's key, which the guests let in."""
    with lock("build-root"), lock("build-guests"):
        for pattern in ("root-*", "guests-*", "keys"):
            for path in base_folder().glob(pattern):
                shutil.rmtree(path)
        for path in base_folder().glob("build-*.log"):
            path.unlink()


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
