"""What holds for all unit tests."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def pytest_collection_finish() -> None:
    """Spare the collector thousands of tests and modules that live to the end; going through them took a tenth of the time."""
    gc.freeze()
    gc.set_threshold(100_000)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the names for the shell's completion away from those of whoever runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
