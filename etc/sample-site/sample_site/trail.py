"""Who did what to which VM: a line of JSON for each operation, appended to a file on the workstation."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmmgr.hookspecs import Operation, Outcome


def note(operation: Operation, outcome: Outcome) -> None:
    """Append a line; an error is for vm-mgr to tell."""
    file = Path(os.environ.get("SAMPLE_SITE_TRAIL") or Path.home() / ".local/state/sample-site.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **asdict(operation), **asdict(outcome)})
    with file.open("a", encoding="utf-8") as trail:
        trail.write(f"{line}\n")
