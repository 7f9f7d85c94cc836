"""The distribution: it builds, installs into an empty environment, runs from anywhere, and leaks no common names."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_wheel_and_sdist_hold_templates_and_drivers(built: tuple[Path, Path]) -> None:
    """Everything stands under vmmgr/ in the wheel, and the sdist has real files where the checkout has links."""
    names = zipfile.ZipFile(built[0]).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"vmmgr", next(top for top in tops if top.endswith(".dist-info"))}
    for template in ROOT.glob("templates/*/*.j2"):
        assert f"vmmgr/templates/{template.parent.name}/{template.name}" in names
    assert "vmmgr/drivers/pacemaker/cib.py" in names
    assert "vmmgr/etc/vm-mgr.yaml" in names
    with tarfile.open(built[1]) as archive:
        assert not [member.name for member in archive if member.issym()]


def test_installed_program_runs_from_anywhere(installed: Path) -> None:
    """The program and its drivers work in an environment that has nothing but the wheel."""
    version = subprocess.run([installed / "vm-mgr", "--version"], cwd="/", check=True, capture_output=True, text=True)
    assert version.stdout.startswith("vm-mgr ")
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
