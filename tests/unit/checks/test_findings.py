"""Each check on recorded answers: a site in order passes all, and each single thing that is wrong is named."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from recordedsite import RecordedRemote, Said, check, found, lose

if TYPE_CHECKING:
    from collections.abc import Callable

CRM_MON, CIB, CMAP, LINKS = "crm_mon", "cibadmin", "corosync-cmapctl n", "corosync-cmapctl -m"
CONFIGURATION, KEY = "cat /etc/corosync/corosync.conf", "sha256sum < /etc/corosync"
HEALTH, POOLS, MONITORS = (
    "ceph --connect-timeout 5 health",
    "ceph --connect-timeout 5 osd pool",
    "ceph --connect-timeout 5 quorum",
)
CAPS = "ceph --connect-timeout 5 auth get client"
SECRETS = "virsh --connect qemu:///system secret-list"
SUDO = 'test -z "$SUDO_USER"'
OTHER_HASH = "0" * 64 + "  -\n"
NODE = '<node name="hv2" id="2" online="true" standby="false" standby_onfail="false" maintenance="false"'

PENDING = '<node name="obs1" id="3" online="true" standby="false" standby_onfail="false" maintenance="false" pending="false"'


def edited(host: str, start: str, old: str, new: str) -> Callable[[RecordedRemote], None]:
    """Return what changes something in a recorded answer."""
    return lambda remote: remote.edit(host, start, old, new)


def says(host: str, start: str, out: str = "", code: int = 0, err: str = "") -> Callable[[RecordedRemote], None]:
    """Return what replaces a recorded answer."""
    return lambda remote: remote.changed.update({(host, start): Said(out, code, err)})


def health(code: str) -> str:
    """Return Ceph's answer with one warning."""
    return json.dumps({"checks": {code: {"summary": {"message": "something is wrong"}, "muted": False}}})


HIDDEN_FENCING = says("all", "stonith_admin --list=obs1", "<pacemaker-result><list/></pacemaker-result>")
FAULTS: list[tuple[str, str, Callable[[RecordedRemote], None], str]] = [
    ("hosts-answer", "obs1", lambda remote: lose(remote, "obs1"), "refuses the connection"),
    ("hosts-answer", "hv1", says("hv1", "true", "", 126, "Permission denied"), "root's shell can run no program: Permission denied"),
    ("hosts-clock", "hv2", says("hv2", "date", "1000.5\n"), r"at least \d+ s away from the other machines"),
    ("hosts-space", "obs1", says("obs1", "df", "Use% IUse% Avail Mounted on\n 95%   3% 1048576 /var/log\n"), "^/var/log is 95% full$"),
    ("hosts-space", "hv1", says("hv1", "df", "Use% IUse% Avail Mounted on\n 5%   99% 99999999999 /a b\n  -    - 0 /run\n"), "^/a b has 99% of its inodes in use$"),
    ("hosts-sudo", "obs1", edited("obs1", SUDO, "NOPASSWD: /bin/sh, /usr/bin/rsync", "NOPASSWD: ALL"), r"^other rights than on hv1, hv2: .*NOPASSWD: ALL$"),
    ("hosts-hardening", "hv2", edited("all", SUDO, "use_pty, noexec, requiretty, use_pty", "requiretty, !use_pty"), "^sudo is without noexec, use_pty$"),
    ("corosync-members", "obs1", edited("obs1", CMAP, "runtime.members.3.status (str) = joined", "runtime.members.3.status (str) = left"), "^obs1 has only hv1, hv2 as members$"),
    ("corosync-quorum", "cluster", says("obs1", "corosync-quorumtool", "Quorate:          No\n", 2), "no quorum"),
    ("corosync-odd", "cluster", edited("obs1", CMAP, "nodelist.node.0.name", "nodelist.node.3.name (str) = hv4\nnodelist.node.3.nodeid (u32) = 4\nnodelist.node.0.name"), "^4 machines: hv4, hv1, hv2, obs1$"),
    ("corosync-links", "hv1", edited("hv1", LINKS, "stats.knet.node2.link0.connected (u8) = 1", "stats.knet.node2.link0.connected (u8) = 0"), "^down: link0 to hv2$"),
    ("corosync-configuration", "obs1", edited("obs1", CONFIGURATION, "token: 1500", "token: 1600"), "other than on hv1, hv2: token: 1600"),
    ("corosync-key", "obs1", says("obs1", KEY, OTHER_HASH), "another one than on hv1, hv2"),
    ("corosync-key", "hv1", says("hv1", KEY, "", 2, "no such file"), "none, unlike on hv2, obs1"),
    ("corosync-inventory", "cluster", edited("obs1", CMAP, "nodelist.node.2.name (str) = obs1", "nodelist.node.2.name (str) = strange"), "^not in the inventory: strange$"),
    ("pacemaker-online", "obs1", edited("obs1", CRM_MON, '<node name="obs1" id="3" online="true"', '<node name="obs1" id="3" online="false"'), "online are only hv1, hv2"),
    ("pacemaker-online", "obs1", edited("obs1", CRM_MON, PENDING, PENDING.replace('standby="false"', 'standby="true"').replace('pending="false"', 'pending="true"')), "online are only hv1, hv2"),
    ("pacemaker-version", "hv2", says("hv2", "pacemakerd", "Pacemaker 2.1.4\n"), "^Pacemaker 2.1.4, but Pacemaker 2.1.5 on hv1, obs1$"),
    ("pacemaker-dc", "cluster", edited("obs1", CRM_MON, '<current_dc present="true"', '<current_dc present="false"'), "none has been elected"),
    ("pacemaker-stonith", "cluster", edited("obs1", CRM_MON, 'stonith-enabled="true"', 'stonith-enabled="false"'), "stonith-enabled is false"),
    ("pacemaker-fencing", "obs1", HIDDEN_FENCING, "no fence device is for it"),
    ("pacemaker-fencing", "hv2", edited("obs1", CRM_MON, '<resource id="fence-hv2" resource_agent="stonith:fence_ipmilan" role="Started"', '<resource id="fence-hv2" resource_agent="stonith:fence_ipmilan" role="Stopped"'), "^fence-hv2 is Stopped$"),
    ("pacemaker-standby", "hv2", edited("obs1", CRM_MON, NODE, NODE.replace('standby="false"', 'standby="true"', 1)), "in standby"),
    ("pacemaker-maintenance", "hv2", edited("obs1", CRM_MON, NODE, NODE.replace('maintenance="false"', 'maintenance="true"')), "^in maintenance$"),
    ("pacemaker-failures", "hv2", edited("obs1", CRM_MON, "<bans>", '<failures><failure op_key="web_start_0" node="hv2" exitstatus="error" exitreason="no\nspace"/></failures><bans>'), "web_start_0: no space"),
    ("pacemaker-stickiness", "cluster", says("obs1", "crm_attribute", "", 105), "resource-stickiness is not set"),
    ("pacemaker-stickiness", "cluster", says("obs1", "crm_attribute", "-5\n"), "resource-stickiness is -5"),
    ("pacemaker-authkey", "hv2", says("hv2", "test ! -e /etc/pacemaker/authkey", OTHER_HASH), "another one than on hv1, obs1"),
    ("pacemaker-authkey", "hv2", says("hv2", "test ! -e /etc/pacemaker/authkey"), "none, unlike on hv1, obs1"),
    ("pacemaker-authkey-mode", "hv2", says("hv2", "stat", "644 root haclient\n"), "mode 644"),
    ("pacemaker-authkey-mode", "hv1", says("hv1", "stat", "600 root root\n"), "Pacemaker cannot read it"),
    ("ceph-health", "cluster", says("obs1", HEALTH, health("OSDMAP_FLAGS")), "^OSDMAP_FLAGS: something is wrong$"),
    ("ceph-health", "cluster", says("obs1", HEALTH, "", 1, "error connecting"), "^Ceph does not answer on obs1: error connecting$"),
    ("ceph-monitors", "cluster", edited("obs1", MONITORS, '"quorum_names":["hv1","hv2","obs1"]', '"quorum_names":["hv1","obs1"]'), "^not in quorum: hv2$"),
    ("ceph-space", "cluster", says("obs1", HEALTH, health("POOL_NEARFULL")), "POOL_NEARFULL"),
    ("ceph-pool", "cluster", edited("obs1", POOLS, '"pool_name":"rbd"', '"pool_name":"other"'), "^there is no pool rbd$"),
    ("ceph-pool", "cluster", edited("obs1", POOLS, '"application_metadata":{"rbd":{}}', '"application_metadata":{"rgw":{}}'), "is for rgw"),
    ("ceph-copies", "cluster", edited("obs1", POOLS, '"size":2,"min_size":1', '"size":2,"min_size":2'), "size is 2 and min_size is 2"),
    ("ceph-client", "cluster", says("obs1", CAPS, '\tcaps mon = "allow r"\n\tcaps osd = "profile rbd"\n'), "mon 'allow r' lets it break no locks"),
    ("ceph-client", "cluster", says("obs1", CAPS, '\tcaps mon = "profile rbd"\n\tcaps osd = "profile rbd pool=images"\n'), "lets it not write to pool rbd"),
    ("ceph-client", "cluster", says("obs1", CAPS, "", 1), "there is no client.libvirt"),
    ("libvirt-daemon", "hv2", says("hv2", "virsh --connect qemu:///system", "", 1, "error: failed to connect\nerror: no socket"), "failed to connect error: no socket"),
    ("libvirt-secret", "hv2", says("hv2", SECRETS, " UUID  Usage\n-----\n"), "there is none"),
    ("libvirt-key", "hv2", lambda remote: remote.changed.update({("hv2", f"{SECRETS} |"): Said("client.libvirt secret 00  -\n")}), "client.libvirt secret holds another key"),
    ("libvirt-ordering", "hv2", says("hv2", "systemctl show pacemaker.service resource", "After=corosync.service\n\nAfter=\n"), "not ordered after libvirtd"),
    ("libvirt-scopes", "hv2", says("hv2", "systemctl list-units", "machine-qemu\\x2d1\\x2dchecked.scope loaded active running VM\n"), r"machine-qemu\\x2d1\\x2dchecked.scope: not ended after Pacemaker"),
    ("libvirt-guests", "hv2", says("hv2", "systemctl is-active libvirt-guests", "active\n"), "not ordered after it"),
    ("libvirt-cpu", "hv2", edited("hv2", "virsh --connect qemu:///system capabilities", "<vendor>AMD</vendor>", "<vendor>Intel</vendor>"), "^x86_64 Intel kvm64 with .* but x86_64 AMD kvm64 with"),
    ("vms-agent", "hv2", says("hv2", "cd /usr/lib/ocf", ""), "there is no VirtualDomain"),
    ("vms-agent", "hv2", edited("hv2", "cd /usr/lib/ocf", "0e9d7d1c", "1e9d7d1c"), "another one than on hv1"),
    ("vms-domain", "hv2", says("hv2", "test ! -e /etc/pacemaker/checked.xml", OTHER_HASH), "^checked has another one than on hv1$"),
    ("vms-domain", "hv2", says("hv2", "test ! -e /etc/pacemaker/checked.xml"), "^checked has none, unlike on hv1$"),
    ("vms-monitor", "cluster", edited("obs1", CIB, 'name="monitor" interval="10s" timeout="60s"', 'name="monitor" interval="10s" timeout="5s"'), "^checked has 5 s$"),
    ("vms-shutdown", "hv2", says("hv2", "systemctl show pacemaker.service --prop", "20s\n"), "^systemd grants Pacemaker 20s: checked may take 30 s$"),
    ("vms-migration", "hv1", says("hv1", "timeout 8 virsh", "", 1, "error: Permission denied"), "^libvirtadmin@hv2: error: Permission denied$"),
]  # fmt: skip
# What cannot but be found with it: two hypervisors that differ are both named, for neither has a majority.
ALSO = {
    "hosts-hardening": {("hosts-hardening", "hv1"), ("hosts-hardening", "obs1")},
    "libvirt-cpu": {("libvirt-cpu", "hv1")},
    "vms-agent": {("vms-agent", "hv1")},
    "corosync-odd": {("corosync-inventory", "cluster")},
    "corosync-inventory": {("corosync-members", "obs1")},
}


def test_site_in_order(remote: RecordedRemote) -> None:
    """Everything passes; each machine is asked once, and once more for what hangs on a first answer, and nothing twice."""
    findings = check(remote)
    assert found(findings) == {}
    assert {finding.result for finding in findings} == {"passed"}
    assert dict(remote.execs) == {"hv1": 2, "hv2": 2, "obs1": 2}
    assert len(set(remote.asked)) == len(remote.asked)


@pytest.mark.parametrize(("code", "host", "breaks", "seen"), FAULTS, ids=[f"{fault[0]}-{n}" for n, fault in enumerate(FAULTS)])
def test_fault_is_named(
    remote: RecordedRemote, code: str, host: str, breaks: Callable[[RecordedRemote], None], seen: str
) -> None:
    """What is wrong is found where it is wrong, is told in one sentence, and nothing else is."""
    breaks(remote)
    findings = check(remote)
    told = found(findings)
    assert re.search(seen, told.pop((code, host)))
    assert ALSO.get(code, set()) >= set(told), told
    assert all("\n" not in finding.seen for finding in findings)
    (finding,) = [finding for finding in findings if (finding.check.code, finding.host) == (code, host)]
    assert finding.result == "failed"
    assert finding.remedy
    assert "{host}" not in finding.remedy


def test_sudo_that_nobody_hardened_is_in_order(remote: RecordedRemote) -> None:
    """A login that may do everything, with the settings that Debian has by itself, or that is root, is no finding."""
    remote.edit("all", SUDO, "use_pty, noexec, requiretty, use_pty, umask=0077, env_reset, !requiretty", "use_pty")
    assert found(check(remote)) == {}
    remote.changed["all", SUDO] = Said()
    assert found(check(remote)) == {}


def test_shutdown_in_order(remote: RecordedRemote) -> None:
    """VMs in scopes, and the service for guests, are no finding where Pacemaker is ordered after both."""
    remote.changed |= {
        ("hv2", "systemctl list-units"): Said("machine-qemu-1.scope loaded active running VM\n"),
        ("hv2", "systemctl is-active"): Said("active\n"),
        ("hv2", "systemctl show pacemaker.service resource"): Said(
            "After=libvirt-guests.service resource-agents-deps.target\n\nAfter=virt-guest-shutdown.target libvirtd.service\n"
        ),
    }
    assert found(check(remote)) == {}


def test_every_check_is_broken_here(remote: RecordedRemote) -> None:
    """No check is without a case in which it fails."""
    assert {finding.check.code for finding in check(remote)} == {fault[0] for fault in FAULTS}
