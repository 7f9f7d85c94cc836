"""The distribution, built and installed once for all tests of it."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.installing import pip

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build the man page, an sdist, and a wheel out of that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([ROOT / "script/docs", "man"], check=True, env=os.environ | {"PYTHON": sys.executable})
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


@pytest.fixture(scope="session")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Collect all that is needed, install from that without a network, and return the folder of the programs."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    wheels = str(tmp_path_factory.mktemp("wheels"))
    pip(folder, "wheel", "--wheel-dir", wheels, f"{built[0]}[qcow2]")
    pip(folder, "install", "--no-index", "--find-links", wheels, "vm-mgr[qcow2]")
    return folder / "bin"
