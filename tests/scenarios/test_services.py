"""Services in a guest: killed and restarted, through a power cut, a move, a rollback and a disable, and the VM restarted for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.scenarios.site import all_online, status, until
from tests.scenarios.test_deploy import booted, domain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scenarios.site import LabSite
    from tests.scenarios.test_deploy import Guest

RUN_ON = ("crmsh-root", "pcs-hardened")
pytestmark = pytest.mark.thorough
VM = "shop"
STATE = f"/run/Dummy-{VM}.%s.state"
BOOT = 400  # seconds that the guest may take to come back
UNIT = "[Service]\\nExecStart=/bin/sleep infinity\\n"


def services(site: LabSite) -> dict[str, dict[str, Any]]:
    """Return what is listed, by service."""
    return {row["Service"]: row for row in site.done("list_services", "-f", "json").rows}


def all_started(site: LabSite, *names: str) -> bool:
    """Whether these services, and no others, are listed as started."""
    found = services(site)
    return set(found) == set(names) and all(row["Status"] == "Started" for row in found.values())


def qemu(site: LabSite) -> str:
    """Return the process that the VM is, with its host; empty while there is none."""
    script = 'pgrep -f "guest=$1," || true'
    found = {host: site.on(host, "sh", "-c", script, "sh", VM).strip() for host in site.runs_on(VM)}
    return "".join(f"{host} {process}" for host, process in found.items() if process)


def details(site: LabSite) -> str:
    """Return the details of the VM's status."""
    return str(site.done("status", "-n", VM, "-f", "json").rows["Details"])


def cut_power(site: LabSite, vm: str) -> str:
    """Cut the power of a VM's host, wait until the VM runs on another one, and return the host's name."""
    (host,) = site.runs_on(vm)
    site.lab("power-off", host)
    until(lambda: site.runs_on(vm) not in ([], [host]), 120, f"{vm} runs elsewhere than {host}")
    return host


def all_back(site: LabSite) -> None:
    """Wait until both services run again, once the guest has booted."""
    until(lambda: all_started(site, "beat", "dummy"), BOOT, "the services are back")
    assert details(site) == "services: 2 of 2 started"


@pytest.fixture(scope="module")
def guest(site: LabSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest node with two services, for all tests; there is a snapshot of when it was none."""
    folder = tmp_path_factory.mktemp("guest")
    xml = domain(site, folder, VM, 138)
    site.done("create", "-n", VM, "--xml", xml, "-i", site.image("debian"), "--enable-live-migration")
    try:
        guest = booted(site, folder, 138)
        site.done("create_snapshot", "-n", VM, "--snap_name", "bare")
        # a machine that emulates it, and has other work, may take minutes to boot it
        assert guest.deploy(VM, "--connect-timeout", str(BOOT)).code == 0
        guest.sh(f"printf '{UNIT}' > /etc/systemd/system/beat.service; systemctl daemon-reload; sync")
        process, epoch = qemu(site), int(site.epoch())
        assert "is Started" in site.done("add_service", "-n", VM, "beat", "--systemd", "beat").out
        assert int(site.epoch()) == epoch + 1
        assert "is Started" in site.done("add_service", "-n", VM, "dummy", "--ocf", "pacemaker:Dummy", "fake=x").out
        assert (details(site), qemu(site)) == ("services: 2 of 2 started", process)
        yield guest
    finally:
        if site.traces(VM):
            site.vm_mgr("repair", "-n", VM, "--force")
            site.discard(VM)


def test_killed_and_restarted(site: LabSite, guest: Guest) -> None:
    """Pacemaker sees both fail at its next look, restarts and counts them; the VM goes on."""
    pid, process = guest.sh("systemctl show --value -p MainPID beat"), qemu(site)
    guest.sh(f"systemctl kill -s KILL beat; rm {STATE % 'dummy'}")
    until(lambda: {row["Failures"] for row in services(site).values()} == {1}, 30, "both failures are counted")
    until(lambda: all_started(site, "beat", "dummy"), 90, "both are restarted")
    assert all(row["Reason"].startswith(f"monitor failed on {VM}-guest: ") for row in services(site).values())
    assert guest.sh("systemctl show --value -p MainPID beat") not in {pid, "0\n"}
    guest.sh(f"test -e {STATE % 'dummy'}")
    assert qemu(site) == process


def test_stopped_started_and_removed(site: LabSite, guest: Guest) -> None:
    """One by itself; one that cannot start stays, with the reason; the guest node stays as long as it has any."""
    site.done("stop_service", "-n", VM, "dummy")
    assert services(site)["dummy"]["Status"] == "Stopped"
    assert guest.sh(f"ls {STATE % 'dummy'} 2>/dev/null || true") == ""
    site.done("start_service", "-n", VM, "dummy")
    guest.sh(f"test -e {STATE % 'dummy'}")
    answer = site.vm_mgr("add_service", "-n", VM, "bad", "--systemd", "nosuch")
    assert (answer.code, "Failed" in answer.err) == (1, True)
    assert services(site)["bad"]["Reason"] == f"start failed on {VM}-guest: systemd unit nosuch not found"
    site.done("remove_service", "-n", VM, "bad")
    assert all_started(site, "beat", "dummy")
    for verb in ("undeploy", "remove_pacemaker_remote"):
        answer = site.vm_mgr(verb, "-n", VM)
        assert (answer.code, f"The services beat, dummy run in VM {VM} as guest node {VM}-guest" in answer.err) == (3, True)


@pytest.mark.usefixtures("guest")
def test_a_power_cut(site: LabSite) -> None:
    """VM, guest node and services come back on the other hypervisor."""
    host = cut_power(site, VM)
    all_back(site)
    assert status(site, VM)[0] == "Started"
    if host not in site.powered():
        site.lab("power-on", host)
    until(lambda: all_online(site), 120, f"{host} is back")


@pytest.mark.usefixtures("guest")
def test_disabled_and_enabled(site: LabSite) -> None:
    """They are kept with the VM, and nothing of them is in the cluster meanwhile."""
    kinds = {name: row["Kind"] for name, row in services(site).items()}
    site.done("disable", "-n", VM)
    assert {name: (row["Kind"], row["Status"]) for name, row in services(site).items()} == {
        name: (kind, "Disabled") for name, kind in kinds.items()
    }
    configuration = site.cib().find("configuration")
    assert configuration is not None
    assert not [item for item in configuration.iter() if item.get("id", "").startswith(f"{VM}.")]
    site.done("enable", "-n", VM)
    all_back(site)
    assert {name: row["Kind"] for name, row in services(site).items()} == kinds


@pytest.mark.usefixtures("guest")
def test_moved_while_it_runs(site: LabSite, guest: Guest) -> None:
    """Its services do not notice, and Pacemaker goes on to watch them from there."""
    (host,), pid = site.runs_on(VM), guest.sh("systemctl show --value -p MainPID beat")
    site.on(site.anywhere, "crm_resource", "--resource", VM, "--move")
    until(lambda: site.runs_on(VM) not in ([], [host]), 120, f"{VM} moves")
    site.on(site.anywhere, "crm_resource", "--wait", "--timeout=120")
    site.on(site.anywhere, "crm_resource", "--resource", VM, "--clear")
    assert all_started(site, "beat", "dummy")
    assert guest.sh("systemctl show --value -p MainPID beat") == pid
    assert site.runs_on(VM) != [host]


@pytest.mark.usefixtures("guest")
def test_rolled_back(site: LabSite) -> None:
    """They come back with their guest; a snapshot without guest node is refused."""
    before = site.epoch()
    answer = site.vm_mgr("rollback", "-n", VM, "--snap_name", "bare")
    assert (answer.code, f"VM {VM} was no guest node yet when snapshot bare was taken" in answer.err) == (3, True)
    assert site.epoch() == before
    site.done("create_snapshot", "-n", VM, "--snap_name", "node")
    site.done("rollback", "-n", VM, "--snap_name", "node", "--no-safety")
    all_back(site)


def test_the_vm_is_restarted_for_its_service(site: LabSite, guest: Guest) -> None:
    """--restart-vm-after 1 acts at the first failure, by fencing the guest node; anything else is refused."""
    vital = ("add_service", "-n", VM, "vital", "--ocf", "pacemaker:Dummy", "--restart-vm-after")
    answer = site.vm_mgr(*vital, "2")
    assert (answer.code, "cannot be kept" in answer.err) == (2, True)
    site.done(*vital, "1")
    process = qemu(site)
    guest.sh(f"rm {STATE % 'vital'}")
    until(lambda: qemu(site) not in {"", process}, 90, f"{VM} is restarted")
    until(lambda: all_started(site, "beat", "dummy", "vital"), BOOT, "the services are back")
    site.done("remove_service", "-n", VM, "vital")


@pytest.mark.usefixtures("guest")
def test_cloned_and_removed(site: LabSite) -> None:
    """A clone is no guest node and has no services; they go with their VM, and nothing of them is left."""
    clone = f"{VM}_2"
    site.done("clone", "-n", VM, "--dst_name", clone, "--nostart")
    assert "Guest node" not in {key for key, value in site.done("show", "-n", clone, "-f", "json").rows.items() if value}
    assert site.done("list_services", "-n", clone, "-f", "json").rows == []
    site.done("remove", "-n", clone)
    site.discard(VM)
    assert site.traces(VM) == []
    assert site.done("list_services", "-f", "json").rows == []
