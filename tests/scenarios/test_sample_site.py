"""The sample of a site's plugin on a real site: installed by pip into an environment of its own, all of it has its effect."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import venv
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.installing import pip
from tests.scenarios.site import ROOT, Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-hardened", "crmsh-root")
ORIGIN = "sample-site 1.0"
LOCK = "/run/lock/site-scripts.lock"
VM = "prot-1"


class Workstation(NamedTuple):
    """An environment with vm-mgr and the sample, and a configuration that asks for the sample's cluster driver."""

    site: LabSite
    environment: Path
    home: Path

    def vm_mgr(self, *words: str) -> Answer:
        """Call its vm-mgr."""
        began = time.monotonic()
        more = {
            "VMMGR_INVENTORY": "",
            "VMMGR_CONFIG": f"{self.home}/config.yaml",
            "SAMPLE_SITE_TRAIL": f"{self.home}/trail.jsonl",
        }
        command = [self.environment / "bin/vm-mgr", *words]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=300, env=self.site.env(more), cwd="/"
        )
        print(f"$ vm-mgr {' '.join(words)}\n{done.stdout}{done.stderr}", end="")
        return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def done(self, *words: str) -> Answer:
        """Call its vm-mgr and expect success."""
        answer = self.vm_mgr(*words)
        assert answer.code == 0, answer.err
        return answer

    def trail(self) -> list[dict[str, Any]]:
        """Return what the notification hook has written down."""
        return [json.loads(line) for line in (self.home / "trail.jsonl").read_text(encoding="utf-8").splitlines()]

    def found(self, *words: str) -> dict[str, set[tuple[str, str]]]:
        """Return what the sample's checks find, by result: code and host."""
        found: dict[str, set[tuple[str, str]]] = {}
        for row in self.vm_mgr("check", "--all", "-k", "substation", "-f", "json", *words).rows:
            found.setdefault(row["Result"], set()).add((row["Code"], row["Host"]))
        return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but what pip installs for vm-mgr and the sample."""
    folder = tmp_path_factory.mktemp("plugin")
    leave = shutil.ignore_patterns(".*", "build", "_build", "*.egg-info", "__pycache__", "tests")
    source = shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=leave)
    venv.create(folder / "venv", with_pip=True)
    pip(folder / "venv", "install", str(source), str(source / "etc/sample-site"))
    return folder / "venv"


@pytest.fixture
def workstation(site: LabSite, environment: Path, tmp_path: Path) -> Iterator[Workstation]:
    """A workstation of the site, which afterwards has nothing left of the test."""
    own = {"inventory": site.environ["VMMGR_INVENTORY"], "cluster_driver": "locked-crmsh"}
    (tmp_path / "config.yaml").write_text(json.dumps({"sites": {"plant": own}}))
    yield Workstation(site, environment, tmp_path)
    for vm in (VM, "web"):
        if site.traces(vm):
            site.discard(vm)


def control(site: LabSite) -> str:
    """Return the machine on which vm-mgr changes the cluster."""
    return (site.observers or site.hypervisors)[0]


def test_all_of_it_has_its_effect(workstation: Workstation) -> None:
    """Drivers, template, policy, trail and checks work on real machines, and each is told with where it comes from."""
    site, home = workstation.site, workstation.home
    site.on(control(site), "rm", "-f", LOCK)
    parts = {(row["Kind"], row["Name"]): row for row in workstation.done("drivers", "-f", "json").rows}
    for part in (
        ("cluster", "locked-crmsh"),
        ("guest", "appliance"),
        ("template", "rbd/create_image"),
        ("hook", "vmmgr_before"),
    ):
        assert (parts[part]["Origin"], parts[part]["State"]) == (ORIGIN, "usable")
    assert parts["cluster", "crmsh"]["Origin"] == "built-in"

    before = site.epoch()
    files = ("--xml", site.domain(home, VM, 120), "--image", site.image("tiny"), "--nostart")
    refused = workstation.vm_mgr("create", "-n", "web", *files)
    assert refused.code == 3
    assert f"{ORIGIN}: VM names begin with what the VM is for, prot-, scada-, gw-; 'web' does not." in refused.err
    assert (site.traces("web"), site.epoch()) == ([], before)

    workstation.done("create", "-n", VM, *files)
    assert site.primitive(VM) is not None
    site.on(control(site), "test", "-e", LOCK)
    assert site.rbd("info", f"system_{VM}")["object_size"] == 8 << 20
    lines = [(line["verb"], line["vm"], line["result"], line["exit_code"]) for line in workstation.trail()]
    assert lines == [("create", "web", "refused", 3), ("create", VM, "done", 0)]

    machines = [*site.hypervisors, *site.observers]
    nowhere = {("substation-location", machine) for machine in machines}
    assert workstation.found() == {"failed": nowhere, "passed": {("substation-names", "cluster")}}
    other = ("--xml", site.domain(home, "web", 121), *files[2:])
    site.done("create", "-n", "web", *other)  # by a workstation that has no such rule
    for machine in machines:
        site.on(machine, "sh", "-c", "echo LOCATION=cellar >> /etc/machine-info")
    assert workstation.found() == {"failed": {("substation-names", "cluster")}, "passed": nowhere}
    for machine in machines:
        site.on(machine, "sed", "-i", "/^LOCATION=/d", "/etc/machine-info")

    workstation.done("remove", "-n", VM)
    assert not site.traces(VM)


@pytest.mark.thorough
def test_a_lock_that_another_script_keeps(workstation: Workstation) -> None:
    """A change waits for it; where it takes too long, the message names the lock, and nothing is left of the VM."""
    site = workstation.site
    files = ("--xml", site.domain(workstation.home, VM, 120), "--image", site.image("tiny"), "--nostart")
    script = f"flock {LOCK} sleep 300 > /dev/null 2>&1 < /dev/null & echo $!"
    holder = site.on(control(site), "sh", "-c", script).strip()
    try:
        failed = workstation.vm_mgr("create", "-n", VM, *files)
    finally:
        site.on(control(site), "pkill", "-P", holder)
    assert failed.code == 1
    assert f"Another script of the site has kept the lock {LOCK} for 30 s; fuser {LOCK} shows which." in failed.err
    assert not site.traces(VM)
    site.on(control(site), "sh", "-c", f"flock {LOCK} sleep 25 > /dev/null 2>&1 < /dev/null &")
    workstation.done("create", "-n", VM, *files)
