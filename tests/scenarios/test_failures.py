"""What goes wrong: wrong input, failures half way, interrupted and killed clients. Nothing may be lost or left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.scenarios.site import until

if TYPE_CHECKING:
    from tests.scenarios.site import LabSite

# Either tool, either login; what fails here fails before or beside the tools.
RUN_ON = ("crmsh-root", "pcs-hardened")


def everything(site: LabSite) -> tuple[object, ...]:
    """Return what must not change when something is refused."""
    return (
        site.epoch(),
        site.rbd("ls"),
        site.rbd("group", "ls"),
        site.on(site.anywhere, "rados", "--pool=rbd", "ls").count("vm-mgr"),
    )


def test_refused_before_anything_is_touched(site: LabSite, vm: str, xml: str, tmp_path: Path) -> None:
    """Each wrong input has one clear sentence and its exit code, and leaves the site as it was."""
    tiny = site.image("tiny")
    other = tmp_path / "other.xml"
    other.write_text("<network><name>x</name></network>")
    broken = tmp_path / "broken.xml"
    broken.write_text("<domain><name>x</domain>")
    strange = tmp_path / "strange.xml"
    strange.write_text(Path(xml).read_text().replace("pc-q35-7.2", "pc-q35-99.9"))
    text = tmp_path / "text.qcow2"
    text.write_text("this is no disk image\n" * 100)
    create = ["create", "-n", vm, "--xml", xml, "-i", tiny]
    cases = [
        (["create", "-n", "1st", "--xml", xml, "-i", tiny], 2, "'1st'"),
        (["create", "-n", "a b;c", "--xml", xml, "-i", tiny], 2, "'a b;c'"),
        (["create", "-n", vm, "--xml", xml, "-i", str(tmp_path / "missing.qcow2")], 2, "missing.qcow2"),
        (["create", "-n", vm, "--xml", xml, "-i", str(text)], 2, "text.qcow2"),
        (["create", "-n", vm, "--xml", str(broken), "-i", tiny], 2, "is no XML"),
        (["create", "-n", vm, "--xml", str(other), "-i", tiny], 2, "<network>"),
        (["create", "-n", vm, "--xml", str(strange), "-i", tiny], 3, "pc-q35-99.9"),
        ([*create, "--pinned-host", "hv9"], 2, "hv9"),
        ([*create, "--preferred-host", site.observers[0] if site.observers else "obs9"], 2, "no hypervisor"),
        ([*create, "--pinned-host", "hv1", "--preferred-host", "hv2"], 2, "not both"),
        ([*create, "--metadata", "_priority=9"], 2, "_priority"),
        (["start", "-n", "nobody"], 3, "nobody"),
        (["stop", "-n", "nobody"], 3, "nobody"),
        (["remove", "-n", "nobody"], 3, "nobody"),
        (["enable", "-n", "nobody"], 3, "nobody"),
        (["disable", "-n", "nobody"], 3, "nobody"),
        (["--site", "nowhere", "list"], 2, "nowhere"),
        (["list", "--inventory", "/nonexistent.yaml"], 2, "/nonexistent.yaml"),
    ]
    before = everything(site)
    for words, code, said in cases:
        answer = site.vm_mgr(*words)
        assert (answer.code, said in answer.err) == (code, True), f"{words}: {answer.code}: {answer.err}"
        assert "Traceback" not in answer.err
        assert answer.err.count("\n") <= 3
    assert everything(site) == before
    assert site.traces(vm) == []


def test_wrong_keys_and_users(site: LabSite, tmp_path: Path) -> None:
    """A host key that is unknown or another one, a key or user that is refused, a host that does not answer: exit code 4."""
    none = tmp_path / "none"
    none.touch()
    wrong = tmp_path / "wrong"
    wrong.write_text(
        "".join(
            f"{line.split()[0]} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
            for line in Path(site.environ["VMMGR_KNOWN_HOSTS"]).read_text().splitlines()
            if "ed25519" in line
        )
    )
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    away = tmp_path / "away.yaml"
    away.write_text("all: {hosts: {gone: {ansible_host: 127.0.0.1, ansible_port: 9}}}\nhypervisors: {hosts: {gone: }}\n")
    cases = [
        ({"VMMGR_KNOWN_HOSTS": str(none)}, "key"),
        ({"VMMGR_KNOWN_HOSTS": str(wrong)}, "key"),
        ({"VMMGR_KEY": str(key)}, "refuse"),
        ({"VMMGR_USER": "stranger"}, "refuse"),
        ({"VMMGR_INVENTORY": str(away)}, "gone"),
    ]
    for environ, said in cases:
        answer = site.vm_mgr("list", env=environ)
        assert (answer.code, said in answer.err) == (4, True), f"{environ}: {answer.code}: {answer.err}"
        assert answer.out == ""


@pytest.mark.sites("pcs-hardened")
def test_sudo_refused(site: LabSite) -> None:
    """A login that may not become root is told which rule sudo lacks."""
    hosts = [*site.hypervisors, *site.observers]
    for host in hosts:
        site.on(host, "sh", "-c", "mkdir -p /root/kept && mv /etc/sudoers.d/* /root/kept/")
    try:
        answer = site.vm_mgr("list")
    finally:
        for host in hosts:
            site.on(host, "sh", "-c", "mv /root/kept/* /etc/sudoers.d/")
    assert answer.code == 4
    assert "/bin/sh" in answer.err


def test_name_taken(site: LabSite, vm: str, xml: str) -> None:
    """A name that is a VM's, an image's or a resource's already is refused, and what has it stays."""
    tiny = site.image("tiny")
    site.done("create", "-n", vm, "--xml", xml, "-i", tiny, "--nostart")
    before = everything(site)
    again = site.vm_mgr("create", "-n", vm, "--xml", xml, "-i", tiny)
    assert (again.code, "exists already" in again.err) == (3, True)
    same_uuid = site.vm_mgr("create", "-n", f"{vm}2", "--xml", xml, "-i", tiny)
    assert (same_uuid.code, "UUID" in same_uuid.err) == (3, True)
    assert everything(site) == before
    site.done("remove", "-n", vm)
    site.on(site.anywhere, "rbd", "create", "--size=1M", f"system_{vm}")
    taken = site.vm_mgr("create", "-n", vm, "--xml", xml, "-i", tiny)
    assert taken.code == 3
    assert f"system_{vm}" in site.rbd("ls")
    site.on(site.anywhere, "rbd", "rm", "--no-progress", f"system_{vm}")


def test_failed_create_leaves_nothing(site: LabSite, vm: str, xml: str, tmp_path: Path) -> None:
    """The image breaks off in the middle: image, group, files, resource and lease are gone, and the message says what failed."""
    broken = tmp_path / "broken.qcow2"
    data = Path(site.image("tiny")).read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    answer = site.vm_mgr("create", "-n", vm, "--xml", xml, "-i", str(broken))
    assert answer.code in (1, 2)
    assert "broken.qcow2" in answer.err
    assert site.traces(vm) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupted", "terminated"])
def test_ended_import_is_undone(site: LabSite, vm: str, xml: str, big_image: str, number: signal.Signals) -> None:
    """Ctrl-C or a SIGTERM in the middle of the import: everything is undone, exit code 130."""
    client = site.start_vm_mgr("create", "-n", vm, "--xml", xml, "-i", big_image)
    until(lambda: f"system_{vm}" in site.rbd("ls"), 30, "the import has begun")
    client.send_signal(number)
    try:
        _, said = client.communicate(timeout=60)
    finally:
        client.kill()  # or it would work on what the next test makes
    assert client.returncode == 130, said
    assert "Undoing" in said
    assert site.traces(vm) == []


def test_killed_import_is_marked_and_cleaned(site: LabSite, vm: str, xml: str, big_image: str) -> None:
    """A kill -9 in the middle of the import: the VM is listed as unfinished, nobody can enable it, and repair cleans it."""
    client = site.start_vm_mgr("create", "-n", vm, "--xml", xml, "-i", big_image)
    until(lambda: f"system_{vm}" in site.rbd("ls"), 30, "the import has begun")
    busy = site.vm_mgr("remove", "-n", vm)
    assert (busy.code, "create by" in busy.err) == (3, True)
    client.kill()
    client.wait()
    (row,) = (row for row in site.done("list", "-f", "json").rows if row["Name"] == vm)
    assert row["Status"] == "Disabled"
    assert "create by" in row["Details"]
    for verb in ("enable", "start", "disable", "remove"):
        assert site.vm_mgr(verb, "-n", vm).code == 3
    early = site.vm_mgr("repair", "-n", vm)
    assert (early.code, "--force" in early.err) == (3, True)
    site.done("repair", "-n", vm, "--force")
    assert site.traces(vm) == []
    assert "Nothing" in site.done("repair", "-n", vm).out


def test_vm_that_cannot_start_stays_as_failed(site: LabSite, vm: str, xml: str, tmp_path: Path) -> None:
    """QEMU refuses the domain only when it starts: the VM stays, Failed, with the reason; start after the cause is mended works."""
    bad = tmp_path / "bad.xml"
    bad.write_text(Path(xml).read_text().replace("source bridge='br0'", "source bridge='br99'"))
    answer = site.vm_mgr("create", "-n", vm, "--xml", str(bad), "-i", site.image("tiny"))
    assert answer.code == 1, answer.err
    assert "Failed" in answer.err
    assert "br99" in answer.err or "start failed" in answer.err
    row = site.done("status", "-n", vm, "-f", "json").rows
    assert row["Status"] == "Failed"
    for host in site.hypervisors:
        site.on(host, "ip", "link", "add", "br99", "type", "bridge")
        site.on(host, "ip", "link", "set", "br99", "up")
    try:
        site.done("start", "-n", vm)
        assert len(site.runs_on(vm)) == 1
        site.discard(vm)
    finally:
        for host in site.hypervisors:
            site.on(host, "ip", "link", "del", "br99")
    assert site.traces(vm) == []


def test_control_host_dead(site: LabSite) -> None:
    """The preferred control host is cut off: another one answers, with at most two seconds lost."""
    first, other = (site.observers or site.hypervisors)[0], site.hypervisors[-1]
    usual = min(site.done("list").seconds for _ in range(3))
    site.lab("unplug", first)
    try:
        until(lambda: first in offline(site, other), 60, f"{other} sees that {first} is gone")
        time.sleep(5)  # Ceph's clients come to rest
        quickest = min(site.done("list").seconds for _ in range(3))
        assert quickest < usual + 2.5
    finally:
        site.lab("plug", first)
        # it may have been fenced, and be off or booting
        site.lab("power-on", first)
    until(lambda: not offline(site, other), 120, "all machines are members again")
    until(lambda: ceph_agrees(site, other), 60, "Ceph's monitors agree")


def offline(site: LabSite, host: str) -> list[str]:
    """Return the machines that are not online, as a host sees it; all of them while it sees nothing."""
    try:
        status = ET.fromstring(site.on(host, "crm_mon", "-1", "--output-as=xml"))
    except AssertionError:
        return [*site.hypervisors, *site.observers]
    return [node.get("name", "") for node in status.iterfind("nodes/node") if node.get("online") != "true"]


def ceph_agrees(site: LabSite, host: str) -> bool:
    """Whether all of Ceph's monitors are in the quorum."""
    machines = len([*site.hypervisors, *site.observers])
    try:
        status = json.loads(site.on(host, "timeout", "10", "ceph", "quorum_status", "--format=json"))
    except AssertionError:
        return False
    return len(status["quorum"]) == machines


def test_no_quorum(site: LabSite) -> None:
    """Without quorum lists still come, with a warning, and nothing is changed: exit code 3."""
    last = site.anywhere
    gone = [host for host in [*site.hypervisors, *site.observers] if host != last]
    for host in gone:
        site.on(host, "systemctl", "stop", "pacemaker", "corosync")
    try:
        until(lambda: site.cib().get("have-quorum") == "0", 60, "the quorum is lost")
        seen = site.vm_mgr("list")
        assert (seen.code, "quorum" in seen.err) == (0, True), seen.err
        changed = site.vm_mgr("start", "-n", "anything")
        assert (changed.code, "quorum" in changed.err) == (3, True), changed.err
    finally:
        for host in gone:
            site.on(host, "systemctl", "start", "corosync", "pacemaker")
    until(lambda: site.cib().get("have-quorum") == "1" and not offline(site, last), 120, "the quorum is back")


def fails(site: LabSite, host: str, *words: str) -> bool:
    """Whether a command fails on a host."""
    try:
        site.on(host, *words)
    except AssertionError:
        return True
    return False


def test_ceph_does_not_answer(site: LabSite) -> None:
    """Ceph's monitors have no quorum: an error within the time limit, never a status; exit code 4."""
    hosts = [*site.hypervisors, *site.observers][:2]
    for host in hosts:
        site.on(host, "systemctl", "stop", f"ceph-mon@{host}")
    try:
        asking = ["timeout", "5", "ceph", "mon", "stat"]  # its own --connect-timeout does not end a session that it has
        until(lambda: fails(site, site.hypervisors[-1], *asking), 30, "the last monitor knows that it is alone")
        answer = site.vm_mgr("list", timeout=200)
        assert (answer.code, "Ceph" in answer.err) == (4, True), answer.err
        assert answer.out == ""
    finally:
        for host in hosts:
            site.on(host, "systemctl", "reset-failed", f"ceph-mon@{host}")
            site.on(host, "systemctl", "start", f"ceph-mon@{host}")
    until(lambda: ceph_agrees(site, site.anywhere), 60, "Ceph's monitors agree")
