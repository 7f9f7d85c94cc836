"""What documentation shows beside the sessions of ``test_readme.py``: a site of one's own, the checks, a lost workstation, a power cut."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.scenarios.site import ROOT, VM_MGR, all_online, status, until
from tests.scenarios.test_readme import block, run, sessions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("crmsh-root",)
HERE = "tests/scenarios/test_pages.py"


def typed(site: LabSite, script: str, folder: Path, *, alone: bool = False) -> str:
    """Run lines of a page in a folder that is the user's home; alone, only his own files tell where the site is."""
    more = {"HOME": str(folder), "PATH": f"{VM_MGR.parent}:{site.env()['PATH']}"}
    more |= {"VMMGR_INVENTORY": "", "VMMGR_KNOWN_HOSTS": ""} if alone else {}
    command = ["sh", "-ec", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=site.env(more), timeout=300)
    print(f"{script}{done.stdout}{done.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_site_of_ones_own(site: LabSite, tmp_path: Path) -> None:
    """docs/howto-site.rst from the keys to the first VM, with the lab's addresses in place of the plant's names."""
    keys, look, inventory, configuration, check, domain, create = (
        block("docs/howto-site.rst", f"{HERE}::test_a_site_of_ones_own, {part}")
        for part in ("keys", "first look", "inventory", "configuration", "check", "domain", "first VM")
    )
    net = site.environ["LAB_NET"]
    there = {"hv1.plant": f"{net}.11", "hv2.plant": f"{net}.12", "observer.plant": f"{net}.13", "observer:": "obs1:"}
    there["ansible_user: ansible"] = f"ansible_user: {site.environ['LAB_USER']}"
    for name, value in there.items():
        keys, inventory = keys.replace(name, value), inventory.replace(name, value)
    own = tmp_path / ".config/vm-mgr"
    for folder in (own, tmp_path / ".ssh", tmp_path / "inventories"):
        folder.mkdir(parents=True)
    (tmp_path / "inventories/plant.yaml").write_text(inventory)
    here = "".join(line for line in keys.splitlines(keepends=True) if not line.endswith("on each machine\n"))
    assert typed(site, here, tmp_path, alone=True).count("(ED25519)") == 3
    known = (tmp_path / "plant.known_hosts").read_text()
    (tmp_path / ".ssh/known_hosts").write_text(known)
    typed(site, look, tmp_path, alone=True)
    (tmp_path / ".ssh/known_hosts").unlink()
    (own / "plant.known_hosts").write_text(known)
    (own / "config.yaml").write_text(configuration)
    typed(site, check, tmp_path, alone=True)
    (tmp_path / "web.xml").write_text(domain.replace('type="kvm"', 'type="qemu"').replace(">1024<", ">128<"))
    shutil.copy(site.image("tiny"), tmp_path / "web.qcow2")
    assert "| web  | Started |" in typed(site, create, tmp_path, alone=True)
    site.discard("web")


@pytest.mark.thorough
def test_checks(site: LabSite, tmp_path: Path) -> None:
    """All ways to check that docs/checks.rst shows find nothing on a site in order."""
    (tmp_path / ".config/vm-mgr").mkdir(parents=True)
    own = {"plant": {"inventory": site.environ["VMMGR_INVENTORY"]}}
    (tmp_path / ".config/vm-mgr/config.yaml").write_text(json.dumps({"sites": own}))
    commands = "".join(block("docs/checks.rst", f"{HERE}::test_checks{part}") for part in ("", ", in a CI"))
    for line in commands.splitlines():
        assert line.startswith("$ ")
        typed(site, f"{line[2:]}\n", tmp_path)
    assert ET.parse(tmp_path / "report.xml").getroot().find("testsuite") is not None


@pytest.mark.thorough
def test_repair(site: LabSite, tmp_path: Path, big_image: str) -> None:
    """The session of docs/howto-repair.rst, on what a create left that was killed, when its mark has run out."""
    (tmp_path / "web.xml").write_text(site.lab("domain", "web", "124"))
    client = site.start_vm_mgr("create", "-n", "web", "--xml", str(tmp_path / "web.xml"), "--image", big_image)
    until(lambda: "system_web" in site.rbd("ls"), 30, "the import has begun")
    client.kill()
    client.communicate()
    let_the_mark_run_out(site, "web")
    ((_, commands),) = sessions("docs/howto-repair.rst")
    for command, shown in commands:
        run(site, tmp_path, command, shown, site.env())
    assert not site.traces("web")


def let_the_mark_run_out(site: LabSite, vm: str) -> None:
    """Have the mark of an operation end now, as if its time were over."""
    pair = site.cib().find(f".//nvpair[@name='vm-mgr-{vm}']")
    assert pair is not None
    pair.set("value", json.dumps(json.loads(pair.get("value", "")) | {"until": int(time.time()) - 1}))
    site.on(site.anywhere, "cibadmin", "--modify", "--xml-text", ET.tostring(pair, encoding="unicode"))


@pytest.mark.thorough
def test_power_cut(site: LabSite, tmp_path: Path) -> None:
    """The tutorial's blocks that need its lab: the first files, and the power cut, after which the VM runs on the other hypervisor."""
    for name, there in (("tests", ROOT / "tests"), (".venv", VM_MGR.parent.parent)):
        (tmp_path / name).symlink_to(there)
    files, cut = (block("docs/tutorial.rst", f"{HERE}::test_power_cut, {part}") for part in ("files", "cut"))
    typed(site, files.replace("--name demo", f"--name {site.name}"), tmp_path)
    site.done("create", "-n", "web", "--xml", str(tmp_path / "web.xml"), "--image", str(tmp_path / "web.qcow2"))
    (first,) = site.runs_on("web")
    other = next(host for host in site.hypervisors if host != first)
    typed(site, cut.replace("--name demo hv1", f"--name {site.name} {first}"), tmp_path)
    until(lambda: site.runs_on("web") == [other], 120, f"web runs on {other}")
    until(lambda: status(site, "web") == ("Started", other), 60, "vm-mgr says so")
    site.lab("power-on", first)
    until(lambda: len(site.powered()) == len(site.hypervisors), 90, f"{first} is back")
    until(lambda: all_online(site), 90, "all nodes are online")
    site.discard("web")
