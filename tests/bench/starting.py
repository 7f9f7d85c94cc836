"""How long vm-mgr takes to start, against the interpreter itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.bench.measuring import VM_MGR, interleaved, run

if TYPE_CHECKING:
    from tests.bench.measuring import Bench

ROUNDS = 15


def measure(bench: Bench) -> None:
    """Measure `--help` and `--version`."""
    env = bench.lab.env()
    helps, versions, bare = interleaved(
        ROUNDS,
        lambda: run([str(VM_MGR), "--help"], env=env).seconds,
        lambda: run([str(VM_MGR), "--version"], env=env).seconds,
        lambda: run([sys.executable, "-c", "pass"], env=env).seconds,
    )
    bench.report.difference("--help / python -c pass", helps, bare, None)
    bench.report.difference("--version / python -c pass", versions, bare, None)
