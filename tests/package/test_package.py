"""The distribution: it builds, installs into an empty environment, runs from anywhere, and leaks no common names."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.installing import interpreter, pip

ROOT = Path(__file__).parents[2]
# The unit tests that tell whether a library does what is needed of it.
ON_LIBRARIES = ("test_app.py", "test_completion.py", "test_rendering.py", "test_plugins.py", "commands", "remote", "site")


def test_wheel_and_sdist_hold_templates_and_drivers(built: tuple[Path, Path]) -> None:
    """Everything stands under vmmgr/ in the wheel, and the sdist has real files where the checkout has links."""
    names = zipfile.ZipFile(built[0]).namelist()
    tops = {name.split("/")[0] for name in names}
    own = next(top for top in tops if top.endswith(".dist-info")).removesuffix(".dist-info")
    assert tops == {"vmmgr", f"{own}.dist-info", f"{own}.data"}
    assert [name for name in names if ".data/" in name] == [f"{own}.data/data/share/man/man1/vm-mgr.1"]
    for template in ROOT.glob("templates/*/*.j2"):
        assert f"vmmgr/templates/{template.parent.name}/{template.name}" in names
    assert "vmmgr/drivers/pacemaker/cib.py" in names
    assert "vmmgr/etc/vm-mgr.yaml" in names
    for shell in ("bash", "fish", "zsh"):
        assert f"vmmgr/etc/completion/vm-mgr.{shell}" in names
    for topic in ROOT.glob("vmmgr/topics/*.rst"):
        assert f"vmmgr/topics/{topic.name}" in names
    with tarfile.open(built[1]) as archive:
        assert not [member.name for member in archive if member.issym()]


def test_installed_program_runs_from_anywhere(installed: Path) -> None:
    """The program and its drivers work in an environment that has nothing but the wheel."""
    version = subprocess.run([installed / "vm-mgr", "--version"], cwd="/", check=True, capture_output=True, text=True)
    assert version.stdout.startswith("vm-mgr ")
    for words in (["help", "statuses"], ["completion", "zsh"], ["create", "--help"]):
        assert subprocess.run([installed / "vm-mgr", *words], cwd="/", check=True, capture_output=True).stdout
    assert "create_snapshot" in (installed.parent / "share/man/man1/vm-mgr.1").read_text(encoding="utf-8")
    drivers = [installed / "vm-mgr", "drivers", "-f", "value", "-c", "Name", "-c", "State"]
    listed = subprocess.run(drivers, cwd="/", check=True, capture_output=True, text=True)
    names = ["crmsh", "pcs", "rbd", "libvirt", "apt", "dnf", "zypper"]
    assert listed.stdout.split("\n") == [*(f"{name} usable" for name in names), ""]


def test_checks_are_installed(installed: Path) -> None:
    """The packaged checks are found by the program and by a plain pytest, in a folder that is nobody's."""
    listed = [installed / "vm-mgr", "check", "--list", "-f", "value", "-c", "Code"]
    codes = subprocess.run(listed, cwd="/", check=True, capture_output=True, text=True).stdout.split()
    assert "hosts-answer" in codes
    shown = subprocess.run(
        [installed / "python", "-m", "pytest", "--help"], cwd="/", check=True, capture_output=True, text=True
    )
    assert "--vmmgr-site" in shown.stdout


@pytest.mark.parametrize("name", ["drivers", "templates", "etc", "tests"])
def test_no_common_name_becomes_importable(installed: Path, name: str) -> None:
    """The folders of the source tree are no packages of their own once installed."""
    code = f"import importlib.util as u; print(u.find_spec({name!r}))"
    found = subprocess.run([installed / "python", "-I", "-c", code], cwd="/", check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "None"


def try_with(python: Path) -> None:
    """Run the unit tests that have to do with libraries, in an environment that has the wheel and pytest."""
    tests = [f"tests/unit/{name}" for name in ON_LIBRARIES]
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_the_oldest_libraries_will_do(built: tuple[Path, Path], tmp_path: Path) -> None:
    """With exactly the oldest versions that are allowed, on the oldest Python, everything works that libraries have to do with."""
    with zipfile.ZipFile(built[0]) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        needed = re.findall(r"^Requires-Dist: ([^;\n]+)$", wheel.read(metadata).decode(), re.MULTILINE)
    assert all(">=" in requirement for requirement in needed)
    if sys.version_info[:2] != (3, 11):
        pytest.skip("these versions have no builds for another Python than 3.11, the oldest one")
    venv.create(tmp_path, with_pip=True)
    pip(tmp_path, "install", str(built[0]), "pytest", *(requirement.replace(">=", "==") for requirement in needed))
    try_with(tmp_path / "bin/python")


@pytest.mark.parametrize("version", ["3.12", "3.13", "3.14"])
def test_newer_pythons(built: tuple[Path, Path], version: str, tmp_path: Path) -> None:
    """The same with the newest libraries on a newer Python, where the machine has it."""
    python = interpreter(version)
    if not python:
        pytest.skip(f"there is no Python {version} on this machine")
    subprocess.run([python, "-m", "venv", tmp_path], check=True)
    pip(tmp_path, "install", str(built[0]), "pytest")
    try_with(tmp_path / "bin/python")
