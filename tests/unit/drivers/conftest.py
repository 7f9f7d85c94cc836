"""Recorded outputs of the tools, as answers of a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmmgr.remote.batch import Result
from vmmgr.rendering import Renderer

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def answer() -> Callable[..., Result]:
    """Return a function that makes an answer of the node hv1."""

    def make(stdout: bytes | str = b"", exit_code: int = 0, stderr: bytes = b"") -> Result:
        return Result("hv1", ("tool", "read"), exit_code, stdout.encode() if isinstance(stdout, str) else stdout, stderr)

    return make


@pytest.fixture
def recorded(answer: Callable[..., Result]) -> Callable[[str], Result]:
    """Return a function that reads ``TOOL-VERSION/FILE`` as an answer."""
    return lambda name: answer((DATA / name).read_bytes())


@pytest.fixture
def renderer() -> Renderer:
    """The packaged templates."""
    return Renderer()
