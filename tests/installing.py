"""The pip of an environment that a test has made, and the Pythons that a machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# Where the usual tools keep Pythons that are not on PATH, below the home folder; pyenv's may be elsewhere.
_KEPT = (".local/share/uv/python/cpython-{0}.*/bin", ".asdf/installs/python/{0}.*/bin")


def pip(environment: Path, *words: str) -> None:
    """Call the pip of an environment."""
    subprocess.run([environment / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=True)


def interpreter(version: str) -> Path | None:
    """Return a Python of a version such as ``3.12`` that can make environments: the one on PATH, else one that pyenv, uv or asdf keeps."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv").glob(f"versions/{version}.*/bin")
    kept = [folder for pattern in _KEPT for folder in Path.home().glob(pattern.format(version))]
    path = os.pathsep.join([os.environ["PATH"], *map(str, sorted(pyenv)), *map(str, sorted(kept))])
    found = (shutil.which(f"python{version}", path=folder) for folder in path.split(os.pathsep))
    return next((Path(python) for python in found if python and _makes_environments(python)), None)


def _makes_environments(python: str) -> bool:
    """Whether it runs, and has pip for new environments; the python3.12 that pyenv has on PATH may only say that it is not chosen."""
    return subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode == 0
