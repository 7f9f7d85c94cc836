"""Ctrl-C and its like: at once where nothing can be half done, after the present step where something could be."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    from vmmgr.operations.reporting import Reporter

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While it is active, the usual signals raise ``KeyboardInterrupt`` inside ``at_once``, and wait for ``check`` elsewhere."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._at_once = False
        self._pending = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # it is what signal.signal returned

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal break off what is under way."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def check(self) -> None:
        """Let a signal that came meanwhile have its effect.

        Raises:
            KeyboardInterrupt: There was one.
        """
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self._at_once:
            self._at_once = False  # what is done about it is not to be interrupted in its turn
            raise KeyboardInterrupt
        self._pending = True
        self._reporter.say("Interrupted; the present step is finished first.")
