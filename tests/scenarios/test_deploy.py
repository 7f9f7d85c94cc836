"""A bare Debian guest becomes a node of the cluster, and a mere VM again."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.scenarios.site import until
from tests.scenarios.test_readme import run, sessions

if TYPE_CHECKING:
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

    def sh(self, script: str, data: bytes = b"", timeout: float = 120) -> str:
        """Run a script in it, as root, not through vm-mgr."""
        options = ["-i", self.site.environ["VMMGR_KEY"], "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "BatchMode=yes"]
        command = ["ssh", *options, f"root@{self.address}", script]
        done = subprocess.run(command, check=False, capture_output=True, input=data, timeout=timeout)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def deploy(self, vm: str, *words: str) -> Answer:
        """Deploy from the folder of packages."""
        packages = self.site.environ["LAB_PACKAGES"]
        return self.site.vm_mgr("deploy", "-n", vm, "--user", "root", "--packages", packages, *words, env=self.env)


def booted(site: LabSite, folder: Path, octet: int) -> Guest:
    """Wait until a Debian guest answers, and note its host key, as its console would show it."""
    site.booted(octet, 300)
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


def test_the_howto(site: LabSite, web: str, tmp_path: Path) -> None:
    """Each command of the page in turn, from this machine's own package sources on; nodes and guest have the same key after it.

    In the end nothing is left in the guest.
    """
    shutil.copy(site.image("debian"), tmp_path / "debian.qcow2")
    domain(site, tmp_path, web, 134)
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
    site.discard(web)
    assert site.traces(web) == []


def assert_deployed(site: LabSite, guest: Guest, epoch: str) -> None:
    """The guest node is online, the key is the nodes', for those only who may read it; and a second time changed nothing."""
    assert "GuestOnline: [ web-guest ]" in site.on(site.anywhere, "crm_mon", "-1")
    seen = {site.on(host, "sh", "-c", f"sha256sum < {KEY}") for host in (*site.hypervisors, *site.observers)}
    assert seen == {guest.sh(f"sha256sum < {KEY}")}
    assert guest.sh(f"stat -c %U:%G:%a {KEY}; systemctl is-active pacemaker_remote") == "root:haclient:640\nactive\n"
    assert guest.sh("ls -d /var/tmp/vm-mgr-* 2>/dev/null || true") == ""
    assert site.runs_on("web")
    assert epoch in {"", site.epoch()}
