"""``vm-mgr check``: a site in order gives a clean report, and what is broken is named, that and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.site import LabSite

RUN_ON = ("pcs-hardened", "crmsh-root", "crmsh-hardened", "pcs-root", "three")
VM = "checked"
Where = tuple[str, str]


@dataclass(frozen=True)
class Fault:
    """Something to break.

    Attributes:
        code: The check that finds it.
        host: Where it is found: a host's name, or ``cluster``.
        breaking: What breaks it, a script for each host.
        mending: What mends it, likewise.
        also: What cannot but be found with it.
    """

    code: str
    host: str
    breaking: dict[str, str]
    mending: dict[str, str]
    also: tuple[Where, ...] = ()


def put(path: str, text: str) -> str:
    """Return the script that puts a program in the place of another one."""
    return f"printf '%s\\n' '#!/bin/sh' '{text}' > {path}; chmod +x {path}"


def kept(path: str, change: str) -> tuple[str, str]:
    """Return the scripts that change a file and bring it back."""
    return f"cp -a {path} {path}.kept; {change}", f"mv {path}.kept {path}"


def fault(code: str, host: str, at: str, scripts: tuple[str, str], *also: Where) -> Fault:
    """Return what is broken and mended on one host."""
    return Fault(code, host, {at: scripts[0]}, {at: scripts[1]}, also)


ALL = ("hv1", "hv2", "obs1")
COROSYNC = "/etc/corosync/corosync.conf"
SOCKETS = "libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"
SECRET = "set -e; uuid=$(virsh secret-list | awk '/ceph/ {print $1}')"
FOURTH = f"cp -a {COROSYNC} {COROSYNC}.kept; sed -i '$d' {COROSYNC}; printf '  node {{\\n name: hv4\\n nodeid: 4\\n ring0_addr: 127.0.0.9\\n }}\\n}}\\n' >> {COROSYNC}"
BACK = f"mv {COROSYNC}.kept {COROSYNC}"
FAULTS = (
    fault("hosts-answer", "obs1", "obs1", ("systemctl stop ssh", "systemctl start ssh")),
    fault("hosts-clock", "hv2", "hv2", (put("/usr/local/bin/date", '/bin/date -d "+1 hour" "$@"'), "rm /usr/local/bin/date")),
    fault("hosts-space", "obs1", "obs1", ("mount -t tmpfs -o size=1m full /var/log; head -c 1M /dev/zero > /var/log/full", "umount -l /var/log")),
    fault("hosts-sudo", "obs1", "obs1", ("echo 'ansible ALL=NOPASSWD:EXEC: ALL' > /etc/sudoers.d/more", "rm /etc/sudoers.d/more")),
    Fault("hosts-hardening", "hv1", dict.fromkeys(ALL, "sed -i.kept /noexec/d /etc/sudoers.d/lab"), dict.fromkeys(ALL, "mv /etc/sudoers.d/lab.kept /etc/sudoers.d/lab"),
          (("hosts-hardening", "hv2"), ("hosts-hardening", "obs1"))),
    fault("corosync-configuration", "obs1", "obs1", kept(COROSYNC, f"sed -i 's/token: 1500/token: 1600/' {COROSYNC}")),
    fault("corosync-key", "obs1", "obs1", kept("/etc/corosync/authkey", "head -c 256 /dev/urandom > /etc/corosync/authkey")),
    fault("pacemaker-version", "hv2", "hv2", (put("/usr/local/sbin/pacemakerd", "echo Pacemaker 2.1.4"), "rm /usr/local/sbin/pacemakerd")),
    fault("pacemaker-stonith", "cluster", "hv1", ("crm_attribute -n stonith-enabled -v false", "crm_attribute -n stonith-enabled -v true")),
    fault("pacemaker-standby", "hv2", "hv1", ("crm_attribute -N hv2 -n standby -v on", "crm_attribute -N hv2 -n standby -D")),
    fault("pacemaker-maintenance", "hv2", "hv1", ("crm_attribute -N hv2 -n maintenance -v true", "crm_attribute -N hv2 -n maintenance -D")),
    fault("pacemaker-failures", "hv2", "hv1", (f"crm_resource -F -r {VM} -N hv2", "crm_resource --cleanup")),
    fault("pacemaker-stickiness", "cluster", "hv1", ("crm_attribute -t rsc_defaults -n resource-stickiness -D", "crm_attribute -t rsc_defaults -n resource-stickiness -v 1")),
    fault("pacemaker-authkey", "hv2", "hv2", kept("/etc/pacemaker/authkey", "head -c 64 /dev/urandom > /etc/pacemaker/authkey")),
    fault("pacemaker-authkey-mode", "hv2", "hv2", ("chmod 644 /etc/pacemaker/authkey", "chmod 640 /etc/pacemaker/authkey")),
    fault("ceph-health", "cluster", "hv1", ("ceph osd set noout", "ceph osd unset noout")),
    fault("ceph-copies", "cluster", "hv1", ("ceph osd pool set rbd min_size 2", "ceph osd pool set rbd min_size 1")),
    fault("ceph-client", "cluster", "hv1", (
        "ceph auth caps client.libvirt mon 'allow r' osd 'profile rbd' mgr 'profile rbd'",
        "ceph auth caps client.libvirt mon 'profile rbd' osd 'profile rbd' mgr 'profile rbd'")),
    fault("libvirt-daemon", "hv2", "hv2", (f"systemctl stop {SOCKETS} libvirtd", f"systemctl start {SOCKETS} libvirtd")),
    fault("libvirt-secret", "hv2", "hv2", (
        f"{SECRET}; cp -a /etc/libvirt/secrets /root/secrets; virsh secret-undefine $uuid",
        "cp -a /root/secrets/. /etc/libvirt/secrets; rm -r /root/secrets; systemctl restart libvirtd")),
    fault("libvirt-key", "hv2", "hv2", (
        f"{SECRET}; cp -a /etc/libvirt/secrets /root/secrets; virsh secret-set-value $uuid --base64 AAAA",
        "cp -a /root/secrets/. /etc/libvirt/secrets; rm -r /root/secrets; systemctl restart libvirtd")),
    fault("libvirt-ordering", "hv2", "hv2", tuple(
        f"{script}; systemctl daemon-reload" for script in kept("/etc/systemd/system/pacemaker.service.d/override.conf", "sed -i /After=/d /etc/systemd/system/pacemaker.service.d/override.conf"))),  # type: ignore[arg-type]
    fault("libvirt-scopes", "hv2", "hv2", (
        "systemctl stop virt-guest-shutdown.target; systemd-run --quiet --scope --unit=machine-qemu-1-checked sleep 600 > /dev/null 2>&1 < /dev/null &",
        "systemctl stop machine-qemu-1-checked.scope; systemctl start virt-guest-shutdown.target")),
    fault("libvirt-guests", "hv2", "hv2", (
        "systemctl unmask libvirt-guests; systemctl start libvirt-guests", "systemctl stop libvirt-guests; systemctl mask libvirt-guests")),
    fault("libvirt-cpu", "hv2", "hv2", (put("/usr/local/bin/virsh", "/usr/bin/virsh \"$@\" | sed \"s,<vendor>.*</vendor>,<vendor>Intel</vendor>,\""), "rm /usr/local/bin/virsh"), ("libvirt-cpu", "hv1")),
    fault("vms-agent", "hv2", "hv2", kept("/usr/lib/ocf/resource.d/heartbeat/VirtualDomain", "echo '# edited' >> /usr/lib/ocf/resource.d/heartbeat/VirtualDomain"), ("vms-agent", "hv1")),
    fault("vms-domain", "hv2", "hv2", kept(f"/etc/pacemaker/{VM}.xml", f"echo '<domain/>' > /etc/pacemaker/{VM}.xml")),
    fault("vms-monitor", "cluster", "hv1", tuple(f"cibadmin --modify --xml-text '<op id=\"{VM}-monitor-10s\" timeout=\"{time}\"/>'" for time in ("5s", "60s"))),  # type: ignore[arg-type]
    fault("vms-shutdown", "hv2", "hv2", (
        "printf '[Service]\\nTimeoutStopSec=20\\n' > /etc/systemd/system/pacemaker.service.d/z.conf; systemctl daemon-reload",
        "rm /etc/systemd/system/pacemaker.service.d/z.conf; systemctl daemon-reload")),
    fault("vms-migration", "hv1", "hv1", ("mv /root/.ssh/id_ed25519 /root/.ssh/kept", "mv /root/.ssh/kept /root/.ssh/id_ed25519")),
    fault("corosync-members", "obs1", "obs1", ("systemctl stop pacemaker corosync", "systemctl start corosync pacemaker"), ("pacemaker-online", "obs1")),
    Fault("corosync-quorum", "cluster", dict.fromkeys(ALL[:2], "systemctl stop pacemaker corosync"), dict.fromkeys(ALL[:2], "systemctl start corosync pacemaker"),
          (("corosync-members", "hv1"), ("corosync-members", "hv2"), ("pacemaker-online", "hv1"), ("pacemaker-online", "hv2"))),
    Fault("corosync-odd", "cluster", dict.fromkeys(ALL, FOURTH) | {"obs1": f"{FOURTH}; corosync-cfgtool -R"}, dict.fromkeys(ALL, BACK) | {"obs1": f"{BACK}; corosync-cfgtool -R"},
          (("corosync-inventory", "cluster"),)),
    fault("pacemaker-online", "obs1", "obs1", ("systemctl stop pacemaker", "systemctl start pacemaker")),
    Fault("pacemaker-dc", "cluster", dict.fromkeys(ALL, "systemctl stop pacemaker") | {"obs1": "systemctl stop pacemaker; systemctl start pacemaker"},
          dict.fromkeys(ALL, "systemctl start pacemaker"), (("pacemaker-online", "hv1"), ("pacemaker-online", "hv2"), ("pacemaker-online", "obs1"))),
    fault("pacemaker-fencing", "obs1", "hv1", (
        "crm_resource -r fence-obs1 -p pcmk_host_list -v nobody", "crm_resource -r fence-obs1 -p pcmk_host_list -v obs1")),
    fault("ceph-monitors", "cluster", "obs1", ("systemctl stop ceph-mon@obs1", "systemctl reset-failed; systemctl start ceph-mon@obs1")),
    fault("ceph-space", "cluster", "hv1", ("ceph osd set-nearfull-ratio 0.001", "ceph osd set-nearfull-ratio 0.85")),
)  # fmt: skip
# Those that always run: machine, key, cluster, pool, hypervisor and VM. The others take five minutes more.
BRIEFLY = {
    "hosts-answer", "hosts-sudo", "corosync-key", "pacemaker-stonith", "pacemaker-standby", "ceph-copies", "libvirt-daemon", "vms-domain",
}  # fmt: skip


def chosen(*codes: str) -> list[object]:
    """Return the faults of these codes, as parameters."""
    return [pytest.param(fault, id=fault.code) for fault in FAULTS if fault.code in codes]


PARAMETERS = [
    pytest.param(fault, id=fault.code, marks=() if fault.code in BRIEFLY else pytest.mark.thorough) for fault in FAULTS
]


def findings(site: LabSite, *words: str) -> set[Where]:
    """Return what a check finds: code and host."""
    answer = site.vm_mgr("check", "-f", "json", *words)
    found = {(row["Code"], row["Host"]) for row in answer.rows if row["Result"] in ("failed", "error")}
    assert answer.code == int(bool(found)), answer.err
    return found


def becomes(site: LabSite, wanted: set[Where], seconds: float = 60) -> None:
    """Wait until a check finds just that; the cluster and Ceph need a moment to notice."""
    deadline = time.monotonic() + seconds
    while (found := findings(site)) != wanted:
        assert time.monotonic() < deadline, f"found {sorted(found)}, not {sorted(wanted)}"
        time.sleep(1)


def in_order(site: LabSite) -> set[Where]:
    """Return what is found on the site as it is: that it has no fencing, where it was brought up so."""
    return set() if site.environ["LAB_FENCING"] == "on" else {("pacemaker-stonith", "cluster")}


@pytest.fixture(scope="module")
def checked(site: LabSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSite]:
    """A site with a VM that does not run."""
    xml = site.domain(tmp_path_factory.mktemp("check"), VM, 110)
    site.done("create", "-n", VM, "--xml", xml, "-i", site.image("tiny"), "--nostart")
    yield site
    site.done("remove", "-n", VM)


def test_clean(checked: LabSite, tmp_path: Path) -> None:
    """Nothing else is found on a site in order, in a few seconds; a report says so, and a plain pytest, too."""
    report = tmp_path / "report.xml"
    assert findings(checked, "--junit", str(report)) == in_order(checked)
    suite = ET.parse(report).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == (str(len(in_order(checked))), "0")
    command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "vmmgr.checks", "-k", "not pacemaker-stonith"]
    plain = subprocess.run(command, cwd=tmp_path, env=checked.env(), check=False, capture_output=True, text=True, timeout=120)
    assert plain.returncode == 0, plain.stdout
    assert " passed" in plain.stdout


def test_one_machine(checked: LabSite) -> None:
    """With a machine's name, and an expression, only that is looked at."""
    answer = checked.done("check", "--all", "--host", "hv2", "-k", "hosts", "--ignore", "hosts-clock", "-f", "json")
    assert [(row["Code"], row["Host"], row["Result"]) for row in answer.rows] == [
        ("hosts-answer", "hv2", "passed"), ("hosts-space", "hv2", "passed"), ("hosts-sudo", "hv2", "passed"),
        ("hosts-hardening", "hv2", "passed"),
    ]  # fmt: skip


def is_named(site: LabSite, fault: Fault, *also: Where) -> None:
    """Break something, see that it is found and nothing else, mend it, and see that nothing is found."""
    try:
        for host, script in fault.breaking.items():
            site.on(host, "sh", "-c", script)
        becomes(site, {(fault.code, fault.host), *also} | in_order(site))
    finally:
        for host, script in fault.mending.items():
            site.on(host, "sh", "-c", script)
    becomes(site, in_order(site))


@pytest.mark.sites("pcs-hardened")
@pytest.mark.parametrize("fault", PARAMETERS)
def test_fault_is_named(checked: LabSite, fault: Fault) -> None:
    """What was broken is found, and nothing else; mended, nothing is found."""
    is_named(checked, fault, *fault.also)


@pytest.mark.thorough
@pytest.mark.sites("pcs-root", "crmsh-root")
@pytest.mark.parametrize("fault", chosen("libvirt-secret", "vms-domain", "vms-migration"))
def test_fault_is_named_where_root_logs_in(checked: LabSite, fault: Fault) -> None:
    """So it is on sites whose login is root, and where fencing is off besides."""
    is_named(checked, fault, *fault.also)


@pytest.mark.thorough
@pytest.mark.sites("three")
@pytest.mark.parametrize("fault", chosen("libvirt-cpu", "libvirt-guests", "libvirt-secret", "pacemaker-standby", "vms-agent"))
def test_the_odd_one_of_three_is_named(checked: LabSite, fault: Fault) -> None:
    """Of three hypervisors of which two agree, only the third is named."""
    is_named(checked, fault)


@pytest.mark.thorough
@pytest.mark.sites("pcs-hardened")
def test_link_that_is_down_is_named(checked: LabSite) -> None:
    """With a second link, the loss of it is found at both of its ends, and the cluster goes on."""
    octets = {"hv1": 11, "hv2": 12, "obs1": 13}
    second = r"s/ring0_addr: .*\.(1[1-3])$/&\n    ring1_addr: 10.250.0.\1/"
    try:
        for host, octet in octets.items():
            script = f"ip addr add 10.250.0.{octet}/24 dev br0; cp -a {COROSYNC} {COROSYNC}.kept; sed -Ei '{second}' {COROSYNC}"
            checked.on(host, "sh", "-c", script)
        checked.on("obs1", "corosync-cfgtool", "-R")
        becomes(checked, set())
        checked.on("hv2", "ip", "route", "add", "blackhole", "10.250.0.11/32")
        becomes(checked, {("corosync-links", "hv1"), ("corosync-links", "hv2")})
    finally:
        checked.on("hv2", "sh", "-c", "ip route del blackhole 10.250.0.11/32 || true")
        for host in octets:
            checked.on(host, "mv", f"{COROSYNC}.kept", COROSYNC)
        checked.on("obs1", "corosync-cfgtool", "-R")
        for host, octet in octets.items():
            checked.on(host, "ip", "addr", "del", f"10.250.0.{octet}/24", "dev", "br0")
    becomes(checked, set())


@pytest.mark.sites("pcs-hardened")
def test_inventory_and_pool_of_another_site(checked: LabSite, tmp_path: Path) -> None:
    """A machine that the inventory lacks is named, and a pool that is not there."""
    inventory = Path(checked.environ["VMMGR_INVENTORY"]).read_text(encoding="utf-8")
    fewer = tmp_path / "fewer.yaml"
    fewer.write_text(inventory.replace("observers:\n  hosts:\n    obs1:\n", "observers:\n  hosts:\n"), encoding="utf-8")
    assert findings(checked, "--inventory", str(fewer)) == {("corosync-inventory", "cluster")}
    config = tmp_path / "config.yaml"
    site = {"inventory": checked.environ["VMMGR_INVENTORY"], "pool": "nowhere"}
    config.write_text(json.dumps({"sites": {"other": site}}))
    assert findings(checked, "--config", str(config), "--site", "other") == {("ceph-pool", "cluster")}
