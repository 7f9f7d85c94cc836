"""A bare Debian guest becomes a node of the cluster, and what stands in the way of that."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import until
from tests.scenarios.test_readme import run, sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.site import Answer, LabSite

# the login that may least: no forwarding of any kind
RUN_ON = ("crmsh-hardened", "pcs-hardened", "pcs-root")
KEY = "/etc/pacemaker/authkey"
UNIT = "[Service]\\nExecStart=/bin/sleep infinity\\n"


@dataclass(frozen=True)
class Guest:
    """A Debian guest: its address, and a known hosts file that has its key."""

    site: LabSite
    address: str
    known_hosts: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of a workstation that knows it."""
        return {"VMMGR_KNOWN_HOSTS": str(self.known_hosts)}

    def sh(self, script: str) -> str:
        """Run a script in it, as root, not through vm-mgr."""
        options = ["-i", self.site.environ["VMMGR_KEY"], "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "BatchMode=yes"]
        command = ["ssh", *options, f"root@{self.address}", script]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def deploy(self, vm: str, *words: str) -> Answer:
        """Deploy from the folder of packages."""
        packages = self.site.environ["LAB_PACKAGES"]
        return self.site.vm_mgr("deploy", "-n", vm, "--user", "root", "--packages", packages, *words, env=self.env)


def booted(site: LabSite, folder: Path, octet: int) -> Guest:
    """Wait until a Debian guest answers, and note its host key, as its console would show it."""
    site.booted(octet, 180)
    address, file = f"{site.environ['LAB_NET']}.{octet}", folder / "known_hosts"

    def scanned() -> str:
        """Return its key; a guest whose port is open may still take its time to answer there."""
        scan = ["ssh-keyscan", "-t", "ed25519", address]
        return subprocess.run(scan, check=False, capture_output=True, text=True, timeout=60).stdout

    until(scanned, 60, f"sshd of {address} answers")
    file.write_text(Path(site.environ["VMMGR_KNOWN_HOSTS"]).read_text() + scanned())
    return Guest(site, address, file)


def domain(site: LabSite, folder: Path, vm: str, octet: int) -> str:
    """Write the domain XML of a Debian guest, and return its path."""
    path = Path(site.domain(folder, vm, octet))
    path.write_text(path.read_text().replace(">128<", ">256<"))
    return str(path)


@contextlib.contextmanager
def without_a_way(address: str) -> Iterator[None]:
    """Let the workstation reach a guest no more."""
    subprocess.run(["ip", "route", "add", "unreachable", f"{address}/32"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", "unreachable", f"{address}/32"], check=True)


def test_the_howto(site: LabSite, tmp_path: Path) -> None:
    """Each command of the page in turn, from this machine's own package sources on; nodes and guest have the same key after it.

    In the end nothing is left in the guest.
    """
    shutil.copy(site.image("debian"), tmp_path / "debian.qcow2")
    domain(site, tmp_path, "web", 134)
    guest, epoch = None, ""
    for section, commands in sessions("docs/howto-deploy.rst"):
        print(f"== {section}")
        for command, shown in commands:
            began = time.monotonic()
            run(site, tmp_path, command, shown, site.env(guest.env if guest else None))
            print(f"-- {time.monotonic() - began:.1f} s")
            if guest is None and section != "Download":
                guest = booted(site, tmp_path, 134)
                guest.sh(f"printf '{UNIT}' > /etc/systemd/system/shop.service; systemctl daemon-reload")
            if section == "Deploy":
                assert_deployed(site, guest, epoch)
                epoch = site.epoch()
    assert guest is not None
    assert (
        guest.sh(
            "dpkg-query --show pacemaker-remote 2>/dev/null || true; find /etc/pacemaker /var/lib/vm-mgr -type f 2>/dev/null || true"
        )
        == ""
    )
    site.discard("web")
    assert site.traces("web") == []


def assert_deployed(site: LabSite, guest: Guest, epoch: str) -> None:
    """The guest node is online, the key is the nodes', for those only who may read it; and a second time changed nothing."""
    assert "GuestOnline: [ web-guest ]" in site.on(site.anywhere, "crm_mon", "-1")
    seen = {site.on(host, "sh", "-c", f"sha256sum < {KEY}") for host in (*site.hypervisors, *site.observers)}
    assert seen == {guest.sh(f"sha256sum < {KEY}")}
    assert guest.sh(f"stat -c %U:%G:%a {KEY}; systemctl is-active pacemaker_remote") == "root:haclient:640\nactive\n"
    assert guest.sh("ls -d /var/tmp/vm-mgr-* 2>/dev/null || true") == ""
    assert site.runs_on("web")
    assert epoch in {"", site.epoch()}


@pytest.mark.thorough
def test_what_stands_in_the_way(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Each with a clear message and exit code, nothing changed; then it is deployed through the hypervisor alone."""
    site.done("create", "-n", vm, "--xml", domain(site, tmp_path, vm, 135), "-i", site.image("debian"))
    guest = booted(site, tmp_path, 135)
    epoch = site.epoch()

    guest.sh("useradd --create-home plain; cp -r /root/.ssh ~plain/; chown -R plain: ~plain/.ssh")
    answer = guest.deploy(vm, "--user", "plain")
    assert (answer.code, "sudo" in answer.err) == (4, True)

    guest.sh(
        "fallocate -l $(($(df --output=avail -B1 / | tail -1) - 30000000)) /var/full; mv /etc/pacemaker /etc/p 2>/dev/null; true"
    )
    answer = guest.deploy(vm, "--check")
    assert answer.code == 3
    assert "MiB left on /usr, /var or /var/tmp" in answer.err
    guest.sh("rm /var/full")

    guest.sh("mkdir -p /etc/pacemaker; echo another > /etc/pacemaker/authkey")
    answer = guest.deploy(vm)
    assert (answer.code, "another key than the cluster's nodes" in answer.err) == (3, True)
    guest.sh("rm -r /etc/pacemaker")

    guest.sh("mv /usr/bin/apt-get /usr/bin/apt-got")
    answer = guest.deploy(vm, "--check")
    assert (answer.code, "no package manager that vm-mgr knows" in answer.err) == (3, True)
    guest.sh("mv /usr/bin/apt-got /usr/bin/apt-get")

    blocked = site.hypervisors[-1]
    site.on(blocked, "ip", "route", "add", "prohibit", f"{guest.address}/32")
    answer = guest.deploy(vm)
    assert answer.code == 3
    assert f"{guest.address} port 3121/tcp cannot be reached from {blocked}." in answer.err
    site.on(blocked, "ip", "route", "del", "prohibit", f"{guest.address}/32")

    answer = site.vm_mgr("deploy", "-n", vm, "--user", "root", "--packages", site.environ["LAB_PACKAGES"])
    assert (answer.code, "host key that is not known here" in answer.err) == (4, True)
    answer = guest.deploy(vm, "--address", f"{site.environ['LAB_NET']}.250")
    assert answer.code in {3, 4}
    assert site.epoch() == epoch

    with without_a_way(guest.address):
        check_two_at_once(site, guest, vm)
    assert "no guest node" in site.vm_mgr("undeploy", "-n", vm, "--user", "root", env=guest.env).out
    site.done("stop", "-n", vm)
    answer = guest.deploy(vm)
    assert (answer.code, f"VM {vm} is Stopped" in answer.err) == (3, True)
    site.discard(vm)


def check_two_at_once(site: LabSite, guest: Guest, vm: str) -> None:
    """Deploy through the hypervisor; a second one meanwhile is told who works on what."""
    words = ["deploy", "-n", vm, "--user", "root", "--packages", site.environ["LAB_PACKAGES"]]
    with site.start_vm_mgr(*words, env=guest.env) as first:
        until(lambda: "deploy" in site.done("status", "-n", vm, "-f", "json").rows["Details"], 60, "the first is at work")
        answer = guest.deploy(vm)
        assert (answer.code, "is being worked on (in progress: deploy by" in answer.err) == (3, True)
        out, err = first.communicate(timeout=400)
    print(out, err)
    assert first.returncode == 0, err
    assert out == f"VM {vm} is guest node {vm}-guest, and online.\n"
    assert guest.deploy(vm).out.endswith("nothing was changed.\n")
