"""The script that waits on the control host for something new in the CIB, really run."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from vmmgr.drivers.crmsh import Crmsh
from vmmgr.drivers.pacemaker.cib import Cib

if TYPE_CHECKING:
    from pathlib import Path

    from vmmgr.rendering import Renderer

HEAD = '<cib crm_feature_set="3.16.1" epoch="14" num_updates="4" admin_epoch="0" have-quorum="1"/>'


def seconds(renderer: Renderer, folder: Path, cibadmin: str, pause: float = 0.0) -> float:
    """Wait for news of the CIB with ``HEAD`` where ``cibadmin`` does this; return how long it took."""
    tool = folder / "cibadmin"
    tool.write_text(f"#!/bin/sh\n{cibadmin}\n")
    tool.chmod(0o755)
    command = Crmsh(renderer).news(Cib(ET.fromstring(HEAD)), pause)
    began = time.monotonic()
    done = subprocess.run(command.argv, check=False, capture_output=True, env={"PATH": f"{folder}:/usr/bin:/bin"})
    assert (done.returncode, done.stdout, done.stderr, command.waits, command.changes) == (0, b"", b"", True, False)
    return time.monotonic() - began


@pytest.mark.parametrize("change", ['epoch="14"', 'num_updates="4"', 'admin_epoch="0"'])
def test_any_part_of_the_version_is_news(renderer: Renderer, tmp_path: Path, change: str) -> None:
    """A change of configuration or status is told at once; the same number in another place is none."""
    other = HEAD.replace(change, change.replace('="', '="9'))
    looked = tmp_path / "looked"
    seconds(renderer, tmp_path, f"echo x >> {looked}; echo '{other}'")
    assert len(looked.read_text().split()) == 1


def test_it_goes_on_until_there_is_news(renderer: Renderer, tmp_path: Path) -> None:
    """It looks again and again, and ends with the first look that is another."""
    file = tmp_path / "looks"
    newer = HEAD.replace('num_updates="4"', 'num_updates="5"')
    script = f"echo x >> {file}; if [ $(wc -l < {file}) -lt 4 ]; then echo '{HEAD}'; else echo '{newer}'; fi"
    seconds(renderer, tmp_path, script)
    assert len(file.read_text().split()) == 4


def test_no_news_ends_as_well(renderer: Renderer, tmp_path: Path) -> None:
    """Where nothing happens it ends after some seconds, so that the deadline of the wait is kept."""
    assert seconds(renderer, tmp_path, f"echo '{HEAD}'") >= 1.4


def test_a_cluster_that_does_not_answer_is_left_to_the_reading(renderer: Renderer, tmp_path: Path) -> None:
    """What is read next says what is wrong."""
    file = tmp_path / "looks"
    seconds(renderer, tmp_path, f"echo x >> {file}; exit 102")
    assert len(file.read_text().split()) == 1


def test_the_pause_comes_first(renderer: Renderer, tmp_path: Path) -> None:
    """However much is going on, looks are not closer together than that."""
    assert seconds(renderer, tmp_path, "echo '<cib/>'", pause=0.4) >= 0.4
