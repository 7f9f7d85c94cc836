"""What stands in the way of deploy, or goes wrong half way: a clear sentence and exit code, and all is as before."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.scenarios.site import until
from tests.scenarios.test_deploy import KEY, booted, domain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.site import LabSite
    from tests.scenarios.test_deploy import Guest

# the login that may least: no forwarding of any kind
RUN_ON = ("crmsh-hardened", "pcs-hardened")
pytestmark = pytest.mark.thorough
VM = "faulty"
DROP_IN = "/etc/systemd/system/pacemaker_remote.service.d"


@pytest.fixture(scope="module")
def guest(site: LabSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A bare Debian guest for all tests, each of which leaves it bare, but for the last ones."""
    folder = tmp_path_factory.mktemp("guest")
    site.done("create", "-n", VM, "--xml", domain(site, folder, VM, 135), "-i", site.image("debian"))
    try:
        yield booted(site, folder, 135)
    finally:
        site.vm_mgr("repair", "-n", VM, "--force")
        site.discard(VM)


def state(site: LabSite, guest: Guest) -> dict[str, str]:
    """Return all that a deployment changes: the cluster's configuration, the nodes' keys, packages and files in the guest."""
    configuration = site.cib().find("configuration")
    assert configuration is not None
    nodes = (*site.hypervisors, *site.observers)
    keys = {node: site.on(node, "sh", "-c", f"sha256sum {KEY} 2>&1 || true") for node in nodes}
    inside = guest.sh(
        "dpkg-query -W; find /etc/pacemaker /var/lib/vm-mgr /var/tmp -type f 2>/dev/null | sort | xargs --no-run-if-empty sha256sum; "
        "systemctl is-active pacemaker_remote; systemctl is-enabled pacemaker_remote 2>/dev/null; true"
    )
    return {"cluster": ET.tostring(configuration, encoding="unicode"), "guest": inside, **keys}


def failure(site: LabSite, guest: Guest, code: int, *words: str) -> str:
    """Deploy with further options, and return why that fails; nothing is left of it."""
    before = state(site, guest)
    answer = guest.deploy(VM, *words)
    assert (answer.code, answer.out) == (code, ""), answer.err
    assert state(site, guest) == before
    return answer.err


@contextlib.contextmanager
def broken(guest: Guest, harm: str, mend: str) -> Iterator[None]:
    """Break something in the guest, and mend it afterwards."""
    guest.sh(harm)
    try:
        yield
    finally:
        guest.sh(mend)


@contextlib.contextmanager
def blocked(site: LabSite, host: str, guest: Guest) -> Iterator[None]:
    """Let a hypervisor connect to Pacemaker's port in the guest no more, and to nothing else."""
    rule = ("to", f"{guest.address}/32", "ipproto", "tcp", "dport", "3121", "prohibit")
    site.on(host, "ip", "rule", "add", *rule)
    try:
        yield
    finally:
        site.on(host, "ip", "rule", "del", *rule)


@contextlib.contextmanager
def without_a_way(address: str) -> Iterator[None]:
    """Let the workstation reach a guest no more."""
    subprocess.run(["ip", "route", "add", "unreachable", f"{address}/32"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", "unreachable", f"{address}/32"], check=True)


# --- refused beforehand ----------------------------------------------------------------------------------------------


def test_a_login_that_cannot_be_root(site: LabSite, guest: Guest) -> None:
    """It is told which login, and what it lacks."""
    guest.sh("useradd --create-home plain; cp -r /root/.ssh ~plain/; chown -R plain: ~plain/.ssh")
    said = failure(site, guest, 4, "--user", "plain")
    assert f"guest {VM} (plain@{guest.address} port 22): sudo does not let plain run /bin/sh as root." in said


def test_a_full_disk(site: LabSite, guest: Guest) -> None:
    """What is left, and what it takes."""
    fill = "fallocate -l $(($(df --output=avail -B1 / | tail -1) - 8000000)) /var/full"
    with broken(guest, fill, "rm /var/full"):
        said = failure(site, guest, 3, "--check")
    assert re.search(rf"VM {VM} has [67] MiB left on /usr, /var or /var/tmp, and 1[0-9] MiB are needed; make room\.", said)


def test_an_unknown_system(site: LabSite, guest: Guest) -> None:
    """Its name, and what would do."""
    rename = "mv /usr/bin/apt-get /usr/bin/apt; mv /etc/os-release /etc/os; echo 'PRETTY_NAME=\"Plan 9\"' > /etc/os-release"
    with broken(guest, rename, "mv /usr/bin/apt /usr/bin/apt-get; mv /etc/os /etc/os-release"):
        said = failure(site, guest, 3)
    assert f"VM {VM} runs Plan 9, which has no package manager that vm-mgr knows (apt-get, dnf, zypper)." in said


def test_a_port_that_one_hypervisor_cannot_reach(site: LabSite, guest: Guest) -> None:
    """That one is named, whether or not the VM runs there."""
    for host in site.hypervisors:
        with blocked(site, host, guest):
            said = failure(site, guest, 3)
        assert f"{guest.address} port 3121/tcp cannot be reached from {host}." in said


def test_the_guests_host_key(site: LabSite, guest: Guest) -> None:
    """One that is not known, and one that is another than it was; neither is got around by way of the hypervisor.

    The guest's agent, which asks for no key, is off (test_guest_agent.py).
    """
    own, known = guest.known_hosts, guest.known_hosts.with_name("known_hosts_of_the_site")
    site_only = own.read_text().splitlines()
    line = next(text for text in site_only if text.startswith(guest.address))
    others = [text for text in site_only if not text.startswith(guest.address)]
    words = ("deploy", "-n", VM, "--address", guest.address, "--user", "root", "--packages", site.environ["LAB_PACKAGES"])
    before = state(site, guest)
    for replaced, said in (
        (None, "host key that is not known here"),
        (others[0].split()[1:], "host key other than the known one"),
    ):
        lines = others if replaced is None else [*others, " ".join([line.split()[0], *replaced])]
        known.write_text("\n".join(lines) + "\n")
        with broken(guest, "systemctl stop qemu-guest-agent", "systemctl start qemu-guest-agent"):
            answer = site.vm_mgr(*words, env={"VMMGR_KNOWN_HOSTS": str(known)})
        assert (answer.code, answer.out, said in answer.err) == (4, "", True)
        assert (
            "the guest's agent runs no commands: Guest agent is not responding: QEMU guest agent is not connected."
            in answer.err
        )
    assert state(site, guest) == before


def test_a_guest_that_cannot_be_reached(site: LabSite, guest: Guest) -> None:
    """Nobody has this address: neither the workstation nor any hypervisor gets an answer."""
    address = f"{site.environ['LAB_NET']}.250"
    said = failure(site, guest, 3, "--address", address)
    assert f"{address} port 3121/tcp cannot be reached from {', '.join(site.hypervisors)}." in said
    assert f"guest {VM} through" in said


# --- goes wrong half way ---------------------------------------------------------------------------------------------


def test_a_folder_that_lacks_a_package(site: LabSite, guest: Guest, tmp_path: Path) -> None:
    """The package manager's words say which."""
    for path in Path(site.environ["LAB_PACKAGES"]).iterdir():
        if not path.name.startswith("libqb"):
            (tmp_path / path.name).symlink_to(path)
    assert "libqb100" in failure(site, guest, 1, "--packages", str(tmp_path))


def test_a_package_that_cannot_be_configured(site: LabSite, guest: Guest) -> None:
    """What was unpacked until then is removed."""
    with broken(guest, "mv /usr/sbin/addgroup /usr/sbin/adds", "mv /usr/sbin/adds /usr/sbin/addgroup"):
        said = failure(site, guest, 1)
    assert f"On guest {VM}, " in said


def test_a_daemon_that_does_not_start(site: LabSite, guest: Guest) -> None:
    """What systemd says of it is told; packages and key are removed, in the guest and on the nodes."""
    unit = "[Service]\\nExecStart=\\nExecStart=/bin/false\\n"
    with broken(guest, f"mkdir -p {DROP_IN}; printf '{unit}' > {DROP_IN}/broken.conf", f"rm -r {DROP_IN}"):
        said = failure(site, guest, 1)
    # between two of systemd's attempts, or after the last one
    assert re.search(rf"pacemaker_remote does not run in guest {VM}: (activating|failed) / .*status=1/FAILURE", said)


# --- deployed at last ------------------------------------------------------------------------------------------------


def test_two_at_once(site: LabSite, guest: Guest) -> None:
    """Through the hypervisor alone; a second one meanwhile is told who works on what."""
    words = ["deploy", "-n", VM, "--user", "root", "--packages", site.environ["LAB_PACKAGES"]]
    with without_a_way(guest.address), site.start_vm_mgr(*words, env=guest.env) as first:
        until(lambda: "deploy" in site.done("status", "-n", VM, "-f", "json").rows["Details"], 60, "the first is at work")
        answer = guest.deploy(VM)
        assert (answer.code, "is being worked on (in progress: deploy by" in answer.err) == (3, True)
        out, err = first.communicate(timeout=400)
    print(out, err)
    assert first.returncode == 0, err
    assert out == f"VM {VM} is guest node {VM}-guest, and online.\n"
    assert guest.deploy(VM).out.endswith("nothing was changed.\n")


def test_another_key_that_is_in_use(site: LabSite, guest: Guest) -> None:
    """A guest that a cluster is connected to, with a key that the nodes do not have, belongs to another cluster."""
    assert guest.deploy(VM).code == 0
    hide = f"mv {KEY} {KEY}.own; echo another > {KEY}; mv /var/lib/vm-mgr /var/lib/vm-mgr.own"
    with broken(guest, hide, f"mv {KEY}.own {KEY}; mv /var/lib/vm-mgr.own /var/lib/vm-mgr"):
        said = failure(site, guest, 3)
        assert f"VM {VM} has another key than the cluster's nodes in {KEY}, and another cluster may be connected to it." in said
        answer = site.vm_mgr("undeploy", "-n", VM, "--user", "root", env=guest.env)
        assert (answer.code, "another key than the cluster's nodes" in answer.err) == (3, True)


def test_a_key_that_came_with_the_package(site: LabSite, guest: Guest) -> None:
    """Debian's package makes one: it lets Pacemaker not in, and deploy replaces it and says so; packages of the guest's own stay."""
    assert guest.deploy(VM).code == 0
    guest.sh("mv /var/lib/vm-mgr/packages /root")
    assert site.vm_mgr("undeploy", "-n", VM, "--user", "root", env=guest.env).out.endswith("which were there before, stay.\n")
    guest.sh(f"head -c 4096 /dev/urandom > {KEY}; systemctl enable --now pacemaker_remote")
    until(lambda: ":3121 " in guest.sh("ss -Htnl"), 200, "the daemon listens")
    (host,) = site.runs_on(VM)
    process = site.on(host, "pgrep", "-f", f"guest={VM},")
    node = ("--remote_name", f"{VM}-guest", "--remote_address", guest.address, "--remote_timeout", "20")
    answer = site.vm_mgr("add_pacemaker_remote", "-n", VM, *node)
    assert (answer.code, f"The guest of VM {VM} does not let Pacemaker in as {VM}-guest" in answer.err) == (1, True)
    assert f"{VM}-guest" not in site.on(site.anywhere, "crm_mon", "-1")
    answer = guest.deploy(VM)
    assert answer.out == f"VM {VM} is guest node {VM}-guest, and online.\n"
    assert site.on(host, "pgrep", "-f", f"guest={VM},") == process
    assert f"VM {VM} has another key in {KEY}, which no cluster uses now" in answer.err
    assert guest.sh(f"sha256sum < {KEY}") == site.on(site.anywhere, "sh", "-c", f"sha256sum < {KEY}")


def test_a_guest_that_is_gone(site: LabSite, guest: Guest) -> None:
    """A stopped VM has no guest to install anything in; the cluster's part is taken back without it, once no service needs it."""
    assert guest.deploy(VM).code == 0
    site.done("add_service", "-n", VM, "dummy", "--ocf", "pacemaker:Dummy")
    site.done("stop", "--force", "-n", VM)
    for verb in ("deploy", "undeploy"):
        answer = site.vm_mgr(verb, "-n", VM, "--user", "root", env=guest.env)
        assert (answer.code, f"VM {VM} is Stopped" in answer.err or "The services dummy" in answer.err) == (3, True)
    answer = site.vm_mgr("remove_pacemaker_remote", "-n", VM)
    assert answer.code == 3
    assert f"The services dummy run in VM {VM} as guest node {VM}-guest; `vm-mgr remove_service` first." in answer.err
    site.done("remove_service", "-n", VM, "dummy")
    assert site.done("remove_pacemaker_remote", "-n", VM).out == f"VM {VM} is no guest node.\n"
    assert f"{VM}-guest" not in site.on(site.anywhere, "crm_mon", "-1")
    answer = site.vm_mgr("remove_pacemaker_remote", "-n", "nobody")
    assert (answer.code, "There is no VM nobody" in answer.err) == (3, True)
