"""The pip of an environment that a test has made."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def pip(environment: Path, *words: str) -> None:
    """Call the pip of an environment."""
    subprocess.run([environment / "bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check", *words], check=True)
