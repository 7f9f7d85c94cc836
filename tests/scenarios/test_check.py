"""``vm-mgr check``: a site in order gives a clean report, and what is broken is named, that and nothing else."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("pcs-hardened", "crmsh-root")
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
SECRET = "uuid=$(virsh secret-list | grep -o '[0-9a-f]*-[0-9a-f-]*' | head -n 1)"
FOURTH = f"cp -a {COROSYNC} {COROSYNC}.kept; sed -i '$d' {COROSYNC}; printf '  node {{\\n name: hv4\\n nodeid: 4\\n ring0_addr: 127.0.0.9\\n }}\\n}}\\n' >> {COROSYNC}"
QUICK = (
    fault("hosts-answer", "obs1", "obs1", ("systemctl stop ssh", "systemctl start ssh")),
    fault("hosts-clock", "hv2", "hv2", (put("/usr/local/bin/date", '/bin/date -d "+1 hour" "$@"'), "rm /usr/local/bin/date")),
    fault("hosts-space", "obs1", "obs1", ("mount -t tmpfs -o size=1m full /var/log; head -c 1M /dev/zero > /var/log/full", "umount -l /var/log")),
    fault("hosts-sudo", "obs1", "obs1", ("echo 'ansible ALL=NOPASSWD: ALL' > /etc/sudoers.d/more", "rm /etc/sudoers.d/more")),
    fault("corosync-configuration", "obs1", "obs1", kept(COROSYNC, f"sed -i 's/token: 1500/token: 1600/' {COROSYNC}")),
    fault("corosync-key", "obs1", "obs1", kept("/etc/corosync/authkey", "head -c 256 /dev/urandom > /etc/corosync/authkey")),
    fault("pacemaker-version", "hv2", "hv2", (put("/usr/local/sbin/pacemakerd", "echo Pacemaker 2.1.4"), "rm /usr/local/sbin/pacemakerd")),
    fault("pacemaker-stonith", "cluster", "hv1", ("crm_attribute -n stonith-enabled -v false", "crm_attribute -n stonith-enabled -v true")),
    fault("pacemaker-standby", "hv2", "hv1", ("crm_attribute -N hv2 -n standby -v on", "crm_attribute -N hv2 -n standby -D")),
    fault("pacemaker-maintenance", "hv2", "hv1", ("crm_attribute -N hv2 -n maintenance -v true", "crm_attribute -N hv2 -n maintenance -D")),
    fault("pacemaker-failures", "hv2", "hv1", ("crm_resource -F -r fence-hv1 -N hv2", "crm_resource --cleanup")),
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
    fault("libvirt-cpu", "hv2", "hv2", (put("/usr/local/bin/virsh", "/usr/bin/virsh \"$@\" | sed \"s,<vendor>.*</vendor>,<vendor>Intel</vendor>,\""), "rm /usr/local/bin/virsh")),
    fault("vms-agent", "hv2", "hv2", kept("/usr/lib/ocf/resource.d/heartbeat/VirtualDomain", "echo '# edited' >> /usr/lib/ocf/resource.d/heartbeat/VirtualDomain")),
    fault("vms-domain", "hv2", "hv2", kept(f"/etc/pacemaker/{VM}.xml", f"echo '<domain/>' > /etc/pacemaker/{VM}.xml")),
    fault("vms-monitor", "cluster", "hv1", tuple(f"cibadmin --modify --xml-text '<op id=\"{VM}-monitor-10s\" timeout=\"{time}\"/>'" for time in ("5s", "60s"))),  # type: ignore[arg-type]
    fault("vms-shutdown", "hv2", "hv2", (
        "printf '[Service]\\nTimeoutStopSec=20\\n' > /etc/systemd/system/pacemaker.service.d/z.conf; systemctl daemon-reload",
        "rm /etc/systemd/system/pacemaker.service.d/z.conf; systemctl daemon-reload")),
    fault("vms-migration", "hv1", "hv1", ("mv /root/.ssh/id_ed25519 /root/.ssh/kept", "mv /root/.ssh/kept /root/.ssh/id_ed25519")),
)  # fmt: skip
SLOW = (
    fault("corosync-members", "obs1", "obs1", ("systemctl stop pacemaker corosync", "systemctl start corosync pacemaker"), ("pacemaker-online", "obs1")),
    Fault("corosync-quorum", "cluster", dict.fromkeys(ALL[:2], "systemctl stop pacemaker corosync"), dict.fromkeys(ALL[:2], "systemctl start corosync pacemaker"),
          (("corosync-members", "hv1"), ("corosync-members", "hv2"), ("pacemaker-online", "hv1"), ("pacemaker-online", "hv2"))),
    Fault("corosync-odd", "cluster", dict.fromkeys(ALL, FOURTH) | {"obs1": f"{FOURTH}; corosync-cfgtool -R"}, dict.fromkeys(ALL, f"mv {COROSYNC}.kept {COROSYNC}; corosync-cfgtool -R"),
          (("corosync-inventory", "cluster"),)),
    fault("pacemaker-online", "obs1", "obs1", ("systemctl stop pacemaker", "systemctl start pacemaker")),
    Fault("pacemaker-dc", "cluster", dict.fromkeys(ALL, "systemctl stop pacemaker") | {"obs1": "systemctl stop pacemaker; systemctl start pacemaker"},
          dict.fromkeys(ALL, "systemctl start pacemaker"), (("pacemaker-online", "hv1"), ("pacemaker-online", "hv2"), ("pacemaker-online", "obs1"))),
    fault("pacemaker-fencing", "obs1", "hv1", (
        "crm_resource -r fence-obs1 -p pcmk_host_list -v nobody", "crm_resource -r fence-obs1 -p pcmk_host_list -v obs1")),
    fault("ceph-monitors", "cluster", "obs1", ("systemctl stop ceph-mon@obs1", "systemctl reset-failed; systemctl start ceph-mon@obs1")),
    fault("ceph-space", "cluster", "hv1", ("ceph osd set-nearfull-ratio 0.001", "ceph osd set-nearfull-ratio 0.85")),
)  # fmt: skip


def findings(site: LabSite, *words: str) -> set[Where]:
    """Return what a check finds: code and host."""
    answer = site.vm_mgr(*words, "check", "-f", "json")
    found = {(row["Code"], row["Host"]) for row in answer.rows if row["Result"] in ("failed", "error")}
    assert answer.code == int(bool(found)), answer.err
    return found


def becomes(site: LabSite, wanted: set[Where], seconds: float = 60) -> None:
    """Wait until a check finds just that; the cluster and Ceph need a moment to notice."""
    deadline = time.monotonic() + seconds
    while (found := findings(site)) != wanted:
        assert time.monotonic() < deadline, f"found {sorted(found)}, not {sorted(wanted)}"
        time.sleep(1)


@pytest.fixture(scope="module")
def checked(site: LabSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSite]:
    """A site with a VM that does not run."""
    xml = site.domain(tmp_path_factory.mktemp("check"), VM, 110)
    site.done("create", "-n", VM, "--xml", xml, "-i", site.image("tiny"), "--nostart")
    yield site
    site.done("remove", "-n", VM)


def test_clean(checked: LabSite) -> None:
    """Nothing is found on a site in order, in a few seconds."""
    assert findings(checked) == set()


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.code)
def test_fault_is_named(checked: LabSite, fault: Fault) -> None:
    """What was broken is found, and nothing else; mended, nothing is found."""
    try:
        for host, script in fault.breaking.items():
            checked.on(host, "sh", "-c", script)
        becomes(checked, {(fault.code, fault.host), *fault.also})
    finally:
        for host, script in fault.mending.items():
            checked.on(host, "sh", "-c", script)
    becomes(checked, set())


@pytest.mark.thorough
@pytest.mark.parametrize("fault", SLOW, ids=lambda fault: fault.code)
def test_fault_of_the_cluster_is_named(checked: LabSite, fault: Fault) -> None:
    """Likewise, for what takes the cluster some time."""
    test_fault_is_named(checked, fault)
