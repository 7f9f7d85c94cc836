"""Helpers for the tests of the site: inventories written on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from vmmgr.site import Site, load_site

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parent / "data"


class Load(Protocol):
    """Writes an inventory and loads it as a site."""

    def __call__(self, text: str, *, environ: Mapping[str, str] | None = None, name: str = "site.yaml") -> Site: ...


@pytest.fixture
def data() -> Path:
    """The folder of the inventories in SEAPATH's shapes."""
    return DATA


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the home and the current folder, and leave no configuration of this machine visible."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr("vmmgr.site.configuration.SYSTEM_FILE", folder / "no-system-file.yaml")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that writes an inventory and loads it."""

    def write_and_load(text: str, *, environ: Mapping[str, str] | None = None, name: str = "site.yaml") -> Site:
        path = tmp_path / name
        path.write_text(text)
        return load_site(site=None, inventories=[path], config=None, environ=environ or {})

    return write_and_load
