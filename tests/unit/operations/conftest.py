"""A fake site to run operations on, through the real runner, the real drivers and the real templates."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from workbench import Clock

from vmmgr.images import open_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmmgr.images import DiskImage


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiskImage]:
    """A disk of 1 MiB with some data at its beginning."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    with path.open("wb") as file:
        file.write(b"data" * 1024)
        file.truncate(1 << 20)
    with open_image(path, "raw") as image:
        yield image


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let no test wait: the runner sleeps in the time of the test's site."""
    clock = Clock()
    monkeypatch.setattr("vmmgr.operations.runner.time", clock)
    monkeypatch.setattr("vmmgr.operations.journal.time", clock)
    monkeypatch.setattr("vmmgr.hooks.entry_points", lambda **_: ())
    return clock
