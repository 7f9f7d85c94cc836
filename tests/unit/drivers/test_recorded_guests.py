"""The templates for guests against what the real apt, dnf and zypper said to them: ``tests/recording.py`` recorded it.

Each tool answers as it did then, and only the calls that were made then: a template that makes others must be recorded anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.drivers.apt import Apt
from vmmgr.drivers.dnf import Dnf
from vmmgr.drivers.guest.facts import Packages
from vmmgr.drivers.zypper import Zypper
from vmmgr.remote.batch import Result

if TYPE_CHECKING:
    from vmmgr.rendering import Renderer

DATA = Path(__file__).parents[2] / "data"
DRIVERS = {"apt": Apt, "dnf": Dnf, "zypper": Zypper}
RECORDINGS = {
    f"{file.parent.name.partition('-')[0]}-{file.stem}": file
    for name in DRIVERS
    for file in sorted(DATA.glob(f"{name}-*/*.json"))
}
TOOL = f"""#!{sys.executable}
import json, os, sys
argv = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
with open(os.environ["CALLS"]) as file:
    calls = json.load(file)
if not calls or calls[0]["argv"] != argv:
    sys.exit(f"never recorded: {{argv}}")
with open(os.environ["CALLS"], "w") as file:
    json.dump(calls[1:], file)
sys.stdout.write(calls[0]["stdout"])
sys.stderr.write(calls[0]["stderr"])
sys.exit(calls[0]["code"])
"""


def recorded(name: str) -> Any:
    """Return a recording."""
    return json.loads(RECORDINGS[name].read_text())


def answered(name: str, renderer: Renderer) -> Any:
    """Return what a driver makes of a recorded answer."""
    found, driver = recorded(name), DRIVERS[name.partition("-")[0]](renderer)
    command: Any = {"packages": driver.packages, "install": lambda: driver.install(""), "uninstall": driver.uninstall}[
        found["verb"]
    ]()
    return command.parse(Result("web", command.argv, found["code"], found["stdout"].encode(), found["stderr"].encode()))


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_template_calls_and_answers_as_recorded(name: str, renderer: Renderer, tmp_path: Path) -> None:
    """Exit code, answer, messages and what is written down in the guest are those of then, and no tool is called otherwise."""
    found, record, folder = recorded(name), tmp_path / "lib/packages", tmp_path / "folder"
    folder.mkdir()
    places = {found["values"]["record"]: str(record), "/folder": str(folder)}
    text = json.dumps(found["calls"])
    for old, new in places.items():
        text = text.replace(old, new)
    calls = json.loads(text)
    for call in calls:
        for word in (*call["argv"], *(word.partition(":")[2] for word in call["argv"])):
            if word.endswith((".deb", ".rpm")):
                Path(word).touch()
    if found["record"][0]:
        record.parent.mkdir()
        record.write_text(found["record"][0])
    (tmp_path / "calls").write_text(text)
    for tool in ("apt-get", "apt-cache", "dpkg-query", "dnf", "rpm", "zypper"):
        (tmp_path / tool).write_text(TOOL)
        (tmp_path / tool).chmod(0o755)
    values = found["values"] | {"record": str(record), "folder": found["values"]["folder"] and str(folder)}
    argv = renderer.argv(f"{name.partition('-')[0]}/{found['verb']}", **values)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "LC_ALL": "C"}
    done = subprocess.run(argv, check=False, env=environment, capture_output=True, text=True, timeout=60)
    assert "never recorded" not in done.stderr, done.stderr
    assert json.loads((tmp_path / "calls").read_text()) == []
    assert (done.returncode, done.stdout) == (found["code"], found["stdout"])
    assert (record.read_text() if record.exists() else "") == found["record"][1]


@pytest.mark.parametrize("name", DRIVERS)
def test_what_drivers_make_of_it(name: str, renderer: Renderer) -> None:
    """Versions, names, and nothing where nothing is left to do."""
    assert answered(f"{name}-unknown", renderer) == Packages("", "")
    version = "2.1.7" if name == "apt" else "2.1.7-1.el9"
    assert answered(f"{name}-available", renderer) == Packages("", version)
    assert answered(f"{name}-present", renderer) == Packages(version, version)
    names = {"gawk", "libcurl", "libqb", "pacemaker-libs", "pacemaker-remote", "resource-agents"}
    for situation, expected in {"installed": names, "folder": names, "other-package": names - {"libcurl"}}.items():
        found = answered(f"{name}-{situation}", renderer)
        assert {package.removesuffix(".x86_64") for package in found} - {"libcurl-minimal"} == expected - {"libcurl"} | (
            set() if situation == "other-package" or "libcurl-minimal.x86_64" in found else {"libcurl"}
        )
    assert "booth" in answered(f"{name}-needed", renderer)
    for situation in ("removed", "nothing", "partly"):
        assert answered(f"{name}-{situation}", renderer) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("apt-no-sources", "Unable to locate package pacemaker-remote"),
        ("apt-no-such-package", "Unable to locate package no-such-package"),
        ("apt-incomplete", "Depends: libqb but it is not"),
        ("dnf-no-sources", "There are no enabled repositories"),
        ("dnf-no-such-package", "Unable to find a match: no-such-package"),
        ("dnf-incomplete", "nothing provides libqb needed by pacemaker-libs"),
        ("dnf-untrusted", "GPG check FAILED"),
        ("dnf-unsigned", "GPG check FAILED"),
        ("zypper-no-sources", "No provider of 'pacemaker-remote' found"),
        ("zypper-no-such-package", "No provider of 'no-such-package' found"),
        ("zypper-incomplete", "nothing provides libqb needed by"),
        ("zypper-untrusted", "Signatures public key is not available"),
        ("zypper-unsigned", "File is unsigned"),
    ],
)
def test_the_reason_of_a_failure_is_told(name: str, reason: str, renderer: Renderer) -> None:
    """It is in the last words of the package manager, of which the message has three lines."""
    with pytest.raises(CommandFailedError) as caught:
        answered(name, renderer)
    assert reason in str(caught.value)
