"""A site in order, whose answers were recorded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from recordedsite import RecordedRemote


@pytest.fixture
def remote() -> RecordedRemote:
    """A site in order."""
    return RecordedRemote()


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no plugins but those of a test."""
    monkeypatch.setattr("vmmgr.hooks.entry_points", lambda **_: ())
