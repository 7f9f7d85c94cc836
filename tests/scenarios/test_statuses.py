"""All seven statuses, each brought about for real, with either resource agent; ``list`` and ``status`` agree on every one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.site import LabSite

# SEAPATH's agent on the first, heartbeat's on the second. Neither has fencing: a stop that fails leaves the VM blocked.
RUN_ON = ("crmsh-hardened", "pcs-root")


@pytest.fixture(scope="module")
def made(site: LabSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One VM for all tests.

    It is pinned, so that one host decides, and its disk is empty: such a guest never heeds its power button.
    """
    name, folder = "statuses", tmp_path_factory.mktemp("statuses")
    empty = folder / "empty.raw"
    empty.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024 * 1024 - 512))
    site.done(
        "create", "-n", name, "--xml", site.domain(folder, name, 130), "-i", str(empty), "--nostart", "--pinned-host",
        site.hypervisors[0], "--stop-timeout", "60",
    )  # fmt: skip
    yield name
    site.done("remove", "-n", name)


@pytest.fixture
def vm(site: LabSite, made: str) -> Iterator[str]:
    """The VM; each test finds it enabled and stopped."""
    yield made
    site.done("stop", "-n", made, "--force")


def seen(site: LabSite, vm: str) -> tuple[str, str | None, str]:
    """Return status, node and details of a VM, on which ``list`` and ``status`` must agree."""
    row = site.done("status", "-n", vm, "-f", "json").rows
    listed = site.done("list", "-n", vm, "-f", "json").rows
    assert listed == ([] if row["Status"] == "Undefined" else [row])
    return row["Status"], row["Node"], row["Details"]


def becomes(site: LabSite, vm: str, status: str) -> None:
    """Wait until a VM has a status; what comes before it passes by itself."""

    def has() -> bool:
        return bool(site.done("status", "-n", vm, "-f", "value", "-c", "Status").out.strip() == status)

    until(has, 60, f"VM {vm} is {status}")


def test_undefined(site: LabSite) -> None:
    """Nobody knows the name."""
    assert seen(site, "nobody") == ("Undefined", None, "")


def test_disabled(site: LabSite, vm: str) -> None:
    """Disks without a resource."""
    site.done("disable", "-n", vm)
    assert seen(site, vm) == ("Disabled", None, "")
    site.done("enable", "-n", vm, "--nostart")


def test_started_stopping_stopped(site: LabSite, vm: str) -> None:
    """A guest that does not heed its power button is Stopping until its power is cut."""
    host = site.hypervisors[0]
    site.done("start", "-n", vm)
    assert seen(site, vm) == ("Started", host, "")
    site.done("stop", "-n", vm, "--no-wait")
    becomes(site, vm, "Stopping")
    assert seen(site, vm) == ("Stopping", host, "")
    site.done("stop", "-n", vm, "--force")
    assert seen(site, vm) == ("Stopped", None, "")


def test_starting(site: LabSite, vm: str) -> None:
    """The start takes its time, because libvirt does not answer for a while."""
    host = site.hypervisors[0]
    site.on(host, "systemctl", "kill", "--kill-whom=main", "--signal=STOP", "libvirtd")
    try:
        site.done("start", "-n", vm, "--no-wait")
        becomes(site, vm, "Starting")
        assert seen(site, vm)[0] == "Starting"
    finally:
        site.on(host, "systemctl", "kill", "--kill-whom=main", "--signal=CONT", "libvirtd")
    becomes(site, vm, "Started")


def fails_to_start(site: LabSite, vm: str) -> str:
    """Start a VM that cannot run, and return the details shown for it; the start itself told the same reason."""
    answer = site.vm_mgr("start", "-n", vm)
    status, node, details = seen(site, vm)
    assert (answer.code, status, node) == (1, "Failed", None)
    (reason,) = (part for part in details.split("; ") if part.startswith("start failed"))
    assert reason in answer.err
    return details


def starts_again(site: LabSite, vm: str) -> None:
    """Start a failed VM whose trouble is mended."""
    site.done("start", "-n", vm)
    assert seen(site, vm) == ("Started", site.hypervisors[0], "")


def test_failed_for_want_of_its_image(site: LabSite, vm: str) -> None:
    """Somebody has renamed the image."""
    site.on(site.anywhere, "rbd", "rename", f"system_{vm}", "elsewhere")
    try:
        assert f"no image system_{vm}" in fails_to_start(site, vm)
    finally:
        site.on(site.anywhere, "rbd", "rename", "elsewhere", f"system_{vm}")
    starts_again(site, vm)


def spoil(site: LabSite, vm: str, old: str, new: str) -> None:
    """Replace a word in the domain XML, both where heartbeat's agent reads it and where SEAPATH's does."""
    site.on(site.hypervisors[0], "sed", "-i", f"s/{old}/{new}/", f"/etc/pacemaker/{vm}.xml")
    xml = site.metadata(vm)["xml"]
    assert old in xml
    site.on(site.anywhere, "rbd", "image-meta", "set", f"system_{vm}", "xml", xml.replace(old, new))


def test_failed_because_qemu_refuses_the_domain(site: LabSite, vm: str) -> None:
    """The domain names a bridge that no host has, which shows only when it starts."""
    spoil(site, vm, "br0", "br99")
    try:
        fails_to_start(site, vm)
    finally:
        spoil(site, vm, "br99", "br0")
    starts_again(site, vm)


def test_failed_and_blocked_after_a_failed_stop(site: LabSite, vm: str) -> None:
    """Without libvirt the stop fails, and nobody can fence the host: Pacemaker touches the VM no more until it is told to."""
    host, units = site.hypervisors[0], ["libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service"]
    site.done("start", "-n", vm)
    site.on(host, "systemctl", "stop", *units)
    try:
        answer = site.vm_mgr("stop", "-n", vm)
        status, node, details = seen(site, vm)
    finally:
        site.on(host, "systemctl", "start", *units)
    assert (answer.code, status, node) == (1, "Failed", host)
    assert details.startswith("blocked; stop failed")
    assert site.runs_on(vm) == [host]
    site.done("stop", "-n", vm, "--force")
    assert site.runs_on(vm) == []


def test_failed_because_its_only_host_is_in_standby(site: LabSite, vm: str) -> None:
    """Nothing has gone wrong, but no node may run it; it starts by itself when its host is back."""
    host = site.hypervisors[0]
    site.on(host, "crm_attribute", "--node", host, "--name", "standby", "--update", "on")
    try:
        answer = site.vm_mgr("start", "-n", vm)
        assert answer.code == 1, answer.err
        assert seen(site, vm) == ("Failed", None, "no node can run it")
    finally:
        site.on(host, "crm_attribute", "--node", host, "--name", "standby", "--delete")
    becomes(site, vm, "Started")
