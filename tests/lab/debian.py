"""Debian into a folder, from the package sources that this machine itself uses."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .plan import LabError
from .report import run

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))


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


def download(packages: Sequence[str], status: Path, target: Path, log: Path) -> None:
    """Download packages, with what a system that has this dpkg status lacks for them; this machine's own lists and cache are left alone."""
    with TemporaryDirectory() as name:
        own = Path(name)
        (own / "lists/partial").mkdir(parents=True)
        (target / "partial").mkdir(parents=True)
        folders = {"State::status": status, "State::lists": own / "lists", "Cache": own, "Cache::archives": target}
        options = [f"-oDir::{key}={path}" for key, path in folders.items()]
        apt = ["apt-get", "-y", "-oAPT::Sandbox::User=root", *options]
        run([*apt, "update"], step="apt-get update for the guest", log=log, timeout=300)
        install = ["--download-only", "--no-install-recommends", "install", *packages]
        run([*apt, *install], step="download packages for the guest", log=log, timeout=600)
    (target / "lock").unlink()
    (target / "partial").rmdir()


def suite() -> str:
    """Return the code name of this machine's distribution."""
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    raise LabError("/etc/os-release names no VERSION_CODENAME; the lab needs Debian 12.")
