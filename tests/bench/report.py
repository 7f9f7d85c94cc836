"""The table: what was measured, ours, theirs, the ratio or difference, the goal, and whether it is met; then what has no goal."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS = ("what", "ours", "theirs", "result", "goal", "met")


@dataclass
class Report:
    """The rows so far, and the load of the machine when each was made.

    Attributes:
        site: What it was measured on.
        notes: What is compared with nothing.
    """

    site: str
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loads: list[float] = field(default_factory=lambda: [os.getloadavg()[0]])

    def ratio(self, what: str, ours: Sequence[float], theirs: Sequence[float], goal: float | None) -> None:
        """Add the ratio of two medians of seconds."""
        one, other = median(ours), median(theirs)
        met = () if goal is None else (f"{goal:g} x", _met(one / other <= goal))
        self._add(what, f"{one:.2f} s", f"{other:.2f} s", f"{one / other:.2f} x", *met)

    def difference(self, what: str, ours: Sequence[float], theirs: Sequence[float], goal: float | None) -> None:
        """Add the median of the differences of the single runs: each run has a Pacemaker's time of its own."""
        gap = median(one - other for one, other in zip(ours, theirs, strict=True))
        met = () if goal is None else (f"+{goal:g} s", _met(gap <= goal))
        self._add(what, f"{median(ours):.2f} s", f"{median(theirs):.2f} s", f"{gap:+.2f} s", *met)

    def note(self, what: str, said: str) -> None:
        """Add something that is compared with nothing."""
        self.notes.append(f"{what}: {said}")
        print(f"{time.strftime('%H:%M:%S')}  {self.notes[-1]}", flush=True)

    def _add(self, *cells: str) -> None:
        row = (*cells, *[""] * (len(HEADINGS) - len(cells)))
        self.rows.append(row)
        self.loads.append(os.getloadavg()[0])
        print(f"{time.strftime('%H:%M:%S')}  {'  '.join(filter(None, row))}  (load {self.loads[-1]:.1f})", flush=True)

    def print(self) -> None:
        """Print all rows as a table of reStructuredText, and the notes as a list."""
        widths = [max(len(row[index]) for row in (HEADINGS, *self.rows)) for index in range(len(HEADINGS))]
        border = "  ".join("=" * width for width in widths)
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (HEADINGS, *self.rows)
        ]
        load = f"load {min(self.loads):.1f} to {max(self.loads):.1f} on {os.cpu_count()} CPUs"
        print(f"\n{self.site}; {time.strftime('%Y-%m')}; {load}\n")
        print("\n".join(line.rstrip() for line in (border, lines[0], border, *lines[1:], border)))
        print("".join(f"\n- {note}" for note in self.notes), flush=True)


def _met(yes: bool) -> str:
    return "yes" if yes else "no"
