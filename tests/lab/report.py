"""What the lab says while it works, how it runs programs, and how it waits."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from .plan import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

T = TypeVar("T")
R = TypeVar("R")
_started = time.monotonic()


def say(text: str) -> None:
    """Print a line with the seconds since the program started; on a pipe too, at once."""
    print(f"{time.monotonic() - _started:6.1f}s  {text}", flush=True)


def run(
    argv: Sequence[str | Path], *, step: str, log: Path | None = None, stdin: str | None = None, timeout: float = 120
) -> str:
    """Run a program and return its standard output.

    Args:
        argv: program and arguments.
        step: what it is for, as a failure will name it.
        log: file that gets what it prints, both streams.
        stdin: what it reads; nothing by default.
        timeout: seconds after which it is killed.

    Raises:
        LabError: it failed or took too long; names the step, the last lines printed and the log.
    """
    words = [str(word) for word in argv]
    where = f"\nLog: {log}" if log else ""
    try:
        done = subprocess.run(
            words, input=stdin or "", capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{step}: {words[0]} did not end within {timeout:.0f} s.{where}") from None
    if log:
        with log.open("a") as file:
            file.write(f"# {step}\n{done.stdout}{done.stderr}")
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise LabError(f"{step}: {words[0]} ended with {done.returncode}.\n{last}{where}")
    return done.stdout


def wait_until(probe: Callable[[], T | None], *, step: str, seconds: float, log: Path | None = None, every: float = 0.2) -> T:
    """Call a probe until it answers something true, and return that.

    Raises:
        LabError: the deadline passed; names the step and where to read more.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            where = f" Log: {log}" if log else ""
            raise LabError(f"{step}: not within {seconds:.0f} s.{where}")
        time.sleep(every)


def at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do the work for all items side by side and return the results in order; the first failure is raised."""
    todo = list(items)
    with ThreadPoolExecutor(max_workers=len(todo) or 1) as pool:
        return list(pool.map(work, todo))
