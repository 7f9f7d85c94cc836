"""Running programs and waiting, and what is said when either fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lab.plan import LabError
from lab.report import at_once, run, wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_failure_names_step_code_output_and_log(tmp_path: Path) -> None:
    """A failed program is reported with all that is needed to go on."""
    log = tmp_path / "log"
    with pytest.raises(LabError, match=r"hv1: mkfs: sh ended with 3\.\nno space\nLog: ") as caught:
        run(["sh", "-c", "echo no space >&2; exit 3"], step="hv1: mkfs", log=log)
    assert str(log) in str(caught.value)
    assert log.read_text() == "# hv1: mkfs\nno space\n"


def test_a_program_that_hangs_is_ended() -> None:
    """A time limit holds."""
    with pytest.raises(LabError, match=r"step: sleep did not end within 0 s"):
        run(["sleep", "5"], step="step", timeout=0.05)


def test_waiting_returns_what_the_probe_answers() -> None:
    """The first true answer ends the wait."""
    answers = iter([None, 0, 7])
    assert wait_until(lambda: next(answers), step="", seconds=5, every=0) == 7


def test_waiting_ends_with_the_step() -> None:
    """A deadline that passes names the step."""
    with pytest.raises(LabError, match="hv2: sshd: not within 0 s"):
        wait_until(lambda: False, step="hv2: sshd", seconds=0, every=0)


def test_the_first_failure_of_many_is_raised() -> None:
    """Work side by side does not swallow a failure, and results keep their order."""
    assert at_once(lambda n: n * 2, [1, 2, 3]) == [2, 4, 6]

    def work(item: int) -> int:
        if item == 2:
            raise LabError("second")
        return item

    with pytest.raises(LabError, match="second"):
        at_once(work, [1, 2, 3])
