"""The sample of a site's plugin: pip installs it, all of it takes effect, and vm-mgr works whatever is wrong with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.installing import pip

ROOT = Path(__file__).parents[2]
ORIGIN = "sample-site 1.0"
BUILT_IN = ["crmsh", "pcs", "rbd", "libvirt", "apt", "dnf", "zypper"]
# All that the sample brings, as `vm-mgr drivers` tells it.
PARTS = [
    ("cluster", "locked-crmsh"),
    ("guest", "appliance"),
    ("hook", "vmmgr_after"),
    ("hook", "vmmgr_before"),
    ("template", "appliance/download"),
    ("template", "appliance/install"),
    ("template", "appliance/packages"),
    ("template", "appliance/uninstall"),
    ("template", "locked-crmsh/define"),
    ("template", "locked-crmsh/delete"),
    ("template", "locked-crmsh/locked"),
    ("template", "locked-crmsh/redefine"),
    ("template", "rbd/create_image"),
    ("check", "substation-location"),
    ("check", "substation-names"),
]
# Addresses at which nobody answers.
INVENTORY = """
hypervisors: {hosts: {hv1: {ansible_host: 127.0.0.2}, hv2: {ansible_host: 127.0.0.3}}}
observers: {hosts: {obs: {ansible_host: 127.0.0.4}}}
all: {vars: {ansible_port: 1}}
"""


class Workstation(NamedTuple):
    """An environment with vm-mgr, and the sample installed beside it."""

    programs: Path
    packages: Path
    home: Path

    def run(self, program: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a program of that environment, from anywhere."""
        environment = os.environ | {
            "PYTHONPATH": str(self.packages), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(self.home),
            "VMMGR_INVENTORY": str(self.home / "site.yaml"), "SAMPLE_SITE_TRAIL": str(self.home / "trail.jsonl"),
        }  # fmt: skip
        argv = [self.programs / program, *map(str, words)]
        return subprocess.run(argv, cwd="/", env=environment, capture_output=True, text=True, check=False)

    def parts(self) -> list[dict[str, Any]]:
        """Return what `vm-mgr drivers` tells."""
        answer = self.run("vm-mgr", "drivers", "-f", "json")
        assert (answer.returncode, answer.stderr) == (0, "")
        rows: list[dict[str, Any]] = json.loads(answer.stdout)
        return rows

    def change(self, file: str, old: str, new: str) -> None:
        """Change a file of the sample."""
        path = self.packages / "sample_site" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture(scope="session")
def packages(built: tuple[Path, Path], installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip installed the sample, as it is in the sdist, and nothing else."""
    folder = tmp_path_factory.mktemp("sample")
    shutil.unpack_archive(built[1], folder, filter="data")
    (source,) = folder.glob("vm?mgr-*/etc/sample-site")
    options = ["--no-deps", "--target", str(folder / "installed")]
    pip(installed.parent, "install", *options, str(source))
    return folder / "installed"


@pytest.fixture
def workstation(installed: Path, packages: Path, tmp_path: Path) -> Workstation:
    """A workstation with a copy of the installed sample that a test may break."""
    (tmp_path / "site.yaml").write_text(INVENTORY)
    return Workstation(installed, shutil.copytree(packages, tmp_path / "packages"), tmp_path)


def test_everything_is_told_with_its_origin(workstation: Workstation) -> None:
    """All that the sample brings is usable, and told as coming from it; vm-mgr's own stays built-in."""
    rows = workstation.parts()
    assert [(row["Kind"], row["Name"]) for row in rows if row["Origin"] == ORIGIN] == PARTS
    assert [row["Name"] for row in rows if row["Origin"] == "built-in"] == BUILT_IN
    assert {row["State"] for row in rows} == {"usable"}


def test_the_naming_policy_and_the_trail(workstation: Workstation) -> None:
    """A wrong name is refused before anybody is contacted; both that and what fails leave a line, a dry run and a reading none."""
    vm_xml, image = workstation.home / "vm.xml", workstation.home / "vm.raw"
    vm_xml.write_text("<domain type='kvm'><name>x</name></domain>")
    image.write_bytes(bytes(512))
    create = ("vm-mgr", "create", "--xml", vm_xml, "--image", image, "--image-format", "raw", "--metadata", "pin=s3cret", "-n")
    rule = "VM names begin with what the VM is for, prot-, scada-, gw-; 'web' does not."
    for words in ((*create, "web"), (*create, "web", "--dry-run"), ("vm-mgr", "clone", "-n", "prot-1", "--dst_name", "web")):
        refused = workstation.run(*words)
        assert (refused.returncode, refused.stdout, refused.stderr) == (3, "", f"vm-mgr: {ORIGIN}: {rule}\n")
    for words in ((*create, "prot-1"), ("vm-mgr", "start", "-n", "web"), ("vm-mgr", "list")):
        assert workstation.run(*words).returncode == 4
    text = (workstation.home / "trail.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["verb"], line["vm"], line["result"], line["exit_code"]) for line in lines] == [
        ("create", "web", "refused", 3),
        ("clone", "prot-1", "refused", 3),
        ("create", "prot-1", "unreachable", 4),
        ("start", "web", "unreachable", 4),
    ]
    assert all("@" in line["who"] and line["time"] and line["message"] for line in lines)
    assert "s3cret" not in text


def test_a_trail_that_cannot_be_written_is_a_warning(workstation: Workstation) -> None:
    """The exit code and the message are those of the operation."""
    (workstation.home / "trail.jsonl").mkdir()
    answer = workstation.run("vm-mgr", "start", "-n", "web")
    assert answer.returncode == 4
    assert f"Warning: {ORIGIN} took no note of this: IsADirectoryError: " in answer.stderr


def test_driver_and_templates_take_effect(workstation: Workstation) -> None:
    """The driver is found by its name and renders templates of its own; the replaced template is the plugin's."""
    code = (
        "from vmmgr.operations.context import Context; from vmmgr.site.model import Site; import json\n"
        "context = Context(Site('plant', (), cluster_driver='locked-crmsh'), 'ann@desk')\n"
        "driver = context.cluster('hv1', frozenset({'crm'}))\n"
        "guest = context.guest(next(name for name, program in context.guest_programs.items() if program == 'pacemaker-remoted'))\n"
        "commands = driver.delete(['web']), context.storage.create_image('a b', 1), guest.install('')\n"
        "print(json.dumps([command.argv for command in commands]))"
    )
    delete, create, install = json.loads(workstation.run("python", "-c", code).stdout)
    assert delete[:2] == ["sh", "-c"]
    assert delete[3:] == ["/run/lock/site-scripts.lock", "crm", "--force", "configure", "delete", "web"]
    assert create == ["rbd", "create", "--object-size=8M", "--pool=rbd", "--image=a b", "--size=1B"]
    assert install == ["true"]


def test_a_guest_driver_from_before_downloads_is_usable(workstation: Workstation) -> None:
    """One without a template for them was complete before, and guests can be deployed with it."""
    (workstation.packages / "sample_site/templates/appliance/download.j2").unlink()
    assert {row["State"] for row in workstation.parts()} == {"usable"}


@pytest.mark.parametrize("driver", ["cluster-locked-crmsh", "guest-appliance"])
def test_the_drivers_conform(workstation: Workstation, driver: str) -> None:
    """The suite that holds vm-mgr's own drivers to the rules holds that of an installed plugin to them, too."""
    suite = ROOT / "tests/conformance/test_drivers.py"
    answer = workstation.run("pytest", "-q", "-p", "no:cacheprovider", "-k", driver, suite)
    assert answer.returncode == 0, answer.stdout
    assert " passed" in answer.stdout


def test_the_checks_are_listed(workstation: Workstation) -> None:
    """`vm-mgr check` has the sample's checks beside its own, with why and what to do."""
    answer = workstation.run("vm-mgr", "check", "--list", "-f", "json")
    checks = {row["Code"]: row for row in json.loads(answer.stdout)}
    assert {name for kind, name in PARTS if kind == "check"} < set(checks)
    assert checks["substation-location"]["Remedy"].startswith("On {host}: ")


def without_template(workstation: Workstation) -> None:
    """Lose a template."""
    (workstation.packages / "sample_site/templates/locked-crmsh/delete.j2").unlink()


PLUGIN, CLUSTER = "plugin.py", "cluster.py"
# What breaks: how, what then is told to be broken, and the beginning of the reason. The first three are the plugin as a whole.
BREAKS: dict[str, tuple[Any, tuple[str | None, str | None], str]] = {
    "import error": ((PLUGIN, "from pathlib", "import there_is_none\nfrom pathlib"), (None, None), "ModuleNotFoundError: No module named 'there"),
    "wrong signature of a hook": (
        (PLUGIN, "(operation: Operation)", "(operation: Operation, node: str)"), (None, None), "PluginValidationError: ",
    ),
    "other version": ((PLUGIN, "API = 1", "API = 2"), (None, None), "it states VMMGR_API = 2, and this vm-mgr has version 1 "),
    "missing method": (
        (CLUSTER, "(Crmsh)", "(__import__('vmmgr.drivers.base').drivers.base.ClusterDriver)"), ("cluster", "locked-crmsh"),
        "The driver locked-crmsh (sample_site.cluster:LockedCrmsh) lacks assert_absent, ",
    ),
    "wrong signature of a method": (
        (CLUSTER, '    folder = "', '    def delete(self): ...\n    folder = "'), ("cluster", "locked-crmsh"),
        "The driver locked-crmsh (sample_site.cluster:LockedCrmsh) must have delete(self, ids: Sequence[str]) -> Command[None].",
    ),
    "missing template": (without_template, ("cluster", "locked-crmsh"), "Template locked-crmsh/delete.j2 was not found in "),
    "duplicate name": ((PLUGIN, '"locked-crmsh"', '"crmsh"'), ("cluster", "crmsh"), "the name is taken by the one of built-in"),
}  # fmt: skip


@pytest.mark.parametrize("case", BREAKS)
def test_broken_in_any_way_it_is_told_and_harms_nobody(workstation: Workstation, case: str) -> None:
    """`vm-mgr drivers` names the part and the reason; all other parts are usable; verbs work, and warn of a plugin left out."""
    how, part, reason = BREAKS[case]
    how(workstation) if callable(how) else workstation.change(*how)
    rows = workstation.parts()
    (broken,) = [row for row in rows if row["State"] == "broken"]
    assert (broken["Kind"], broken["Name"], broken["Origin"]) == (*part, ORIGIN)
    assert broken["Problem"].startswith(reason)
    left = [
        name
        for name in BUILT_IN
        if ("built-in", "usable", name) in {(row["Origin"], row["State"], row["Name"]) for row in rows}
    ]
    assert left == BUILT_IN
    assert workstation.run("vm-mgr", "--help").returncode == 0
    assert workstation.run("vm-mgr", "list").returncode == 4
    start = workstation.run("vm-mgr", "start", "-n", "web")
    assert start.returncode == 4
    assert (f"Warning: The plugin {ORIGIN} is not used: {reason}" in start.stderr) == (part == (None, None))
