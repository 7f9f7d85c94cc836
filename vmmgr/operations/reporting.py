"""What an operation tells while it works: sentences on stderr, and a progress bar where stderr is a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from vmmgr.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Reporter(Protocol):
    """Where an operation's messages go."""

    def say(self, text: str, *, warning: bool = False) -> None:
        """Tell the user something."""

    def progress(self, title: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Show how far something of so many bytes is, None if nobody knows; the context gives a function that is told the bytes done."""


class TerminalReporter:
    """Writes to stderr; ``quiet`` leaves only warnings."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def say(self, text: str, *, warning: bool = False) -> None:
        """Write a line."""
        if warning or not self._quiet:
            with suppress(OSError):  # the terminal may be gone, which is no reason to leave things half done
                print(printable(f"Warning: {text}" if warning else text), file=sys.stderr)

    @contextmanager
    def progress(self, title: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Draw a bar on a terminal, and nothing on a pipe."""
        if self._quiet or not sys.stderr.isatty():
            yield lambda _done: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.update(task, completed=done)
