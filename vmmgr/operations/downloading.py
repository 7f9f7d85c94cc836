"""Make a folder of packages for guests without package sources, on a machine that has them; no site is contacted."""

from __future__ import annotations

import platform
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vmmgr.command import CommandFailedError
from vmmgr.errors import RefusedError, UsageError, VmMgrError
from vmmgr.hooks import template_folders
from vmmgr.local import run_here
from vmmgr.operations.interruption import Interruption
from vmmgr.operations.packagefolder import read_folder
from vmmgr.plugins import find_drivers, load_class
from vmmgr.rendering import Renderer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmmgr.drivers.base import GuestDriver
    from vmmgr.operations.reporting import Reporter


def download(folder: Path, reporter: Reporter) -> str:
    """Fill a new or an empty folder with what ``deploy`` installs, by this machine's package manager; return the sentence that says so.

    The guest need have no more than its package manager and systemd; root is not needed here.

    Raises:
        UsageError: The folder has something in it, or cannot be written to.
        RefusedError: There is no package manager here that a guest driver knows.
        VmMgrError: Its sources do not have the packages, or do not answer. The folder then is as it was.
        KeyboardInterrupt: Likewise.
    """
    program, driver = _driver()
    with Interruption(reporter) as interruption, interruption.at_once(), _workplace(folder) as work:
        reporter.say(f"Downloading with {program} what a guest needs.")
        try:
            with reporter.progress("packages", None) as advance:
                run_here(driver.download(str(work)), lambda: advance(_size(work)))
        except CommandFailedError as error:
            said = " / ".join(error.result.error_text.splitlines()[-3:])
            raise VmMgrError(
                f"The packages cannot be had from this machine's package sources: {program}: {said or error}"
            ) from error
        found = read_folder(work)
        for path in found.files:
            path.rename(folder / path.name)
    return f"{folder} has {len(found.files)} packages, {found.size >> 20} MiB, for guests with {_system()} on {platform.machine()}."


def _driver() -> tuple[str, GuestDriver]:
    """Return the first guest driver whose program this machine has, and that."""
    specs = [offer.spec for offer in find_drivers() if offer.spec and not offer.problem and offer.spec.kind == "guest"]
    for spec in specs:
        if shutil.which(spec.program):
            return spec.program, cast("type[GuestDriver]", load_class(spec))(Renderer(template_folders()))
    known = ", ".join(spec.program for spec in specs)
    raise RefusedError(
        f"This machine has no package manager that vm-mgr knows ({known}); download on one with the same system as the guest."
    )


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Make the folder if it is not there, and one to work in inside of it; in the end that is gone, after a failure both are."""
    made = False
    try:
        if not folder.exists():
            folder.mkdir()
            made = True
        elif any(folder.iterdir()):
            raise UsageError(f"The folder {str(folder)!r} is not empty; name one that is, or that is not there yet.")
        work = Path(tempfile.mkdtemp(prefix=".vm-mgr-", dir=folder))
    except OSError as error:
        raise UsageError(f"The folder {str(folder)!r} cannot be written to: {error.strerror}.") from error
    try:
        yield work.absolute()
    except BaseException:
        shutil.rmtree(folder if made else work, ignore_errors=True)
        raise
    shutil.rmtree(work)


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder, though files come and go there."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total


def _system() -> str:
    """Return what this machine's system calls itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()
