"""Services in a guest: killed and restarted, through a power cut, a move and a disable, and the VM restarted for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.scenarios.site import all_online, status, until
from tests.scenarios.test_deploy import booted, domain

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite
    from tests.scenarios.test_deploy import Guest

RUN_ON = ("crmsh-root", "pcs-hardened")
pytestmark = pytest.mark.thorough
STATE = "/run/Dummy-{}.state"
BOOT = 400  # seconds that the guest may take to come back
UNIT = "[Service]\\nExecStart=/bin/sleep infinity\\n"


def services(site: LabSite) -> dict[str, dict[str, Any]]:
    """Return what is listed, by service."""
    return {row["Service"]: row for row in site.done("list_services", "-f", "json").rows}


def all_started(site: LabSite, *names: str) -> bool:
    """Whether these services, and no others, are listed as started."""
    found = services(site)
    return set(found) == set(names) and all(row["Status"] == "Started" for row in found.values())


def qemu(site: LabSite, vm: str) -> str:
    """Return the process that a VM is, with its host; empty while there is none."""
    script = 'pgrep -f "guest=$1," || true'
    found = {host: site.on(host, "sh", "-c", script, "sh", vm).strip() for host in site.runs_on(vm)}
    return "".join(f"{host} {process}" for host, process in found.items() if process)


def prepared(site: LabSite, vm: str, tmp_path: Path) -> Guest:
    """Make a guest node with a unit that does nothing."""
    xml = domain(site, tmp_path, vm, 138)
    site.done("create", "-n", vm, "--xml", xml, "-i", site.image("debian"), "--enable-live-migration")
    guest = booted(site, tmp_path, 138)
    # a machine that emulates it, and has other work, may take minutes to boot it
    assert guest.deploy(vm, "--connect-timeout", str(BOOT)).code == 0
    guest.sh(f"printf '{UNIT}' > /etc/systemd/system/beat.service; systemctl daemon-reload; sync")
    return guest


def test_services_in_a_guest(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Started, killed in the guest and restarted within the monitor's interval, wherever the VM goes, and gone with it."""
    guest = prepared(site, vm, tmp_path)
    process, epoch = qemu(site, vm), int(site.epoch())
    assert "is Started" in site.done("add_service", "-n", vm, "beat", "--systemd", "beat").out
    assert int(site.epoch()) == epoch + 1
    assert "is Started" in site.done("add_service", "-n", vm, "dummy", "--ocf", "pacemaker:Dummy", "fake=x").out
    assert status_details(site, vm) == "services: 2 of 2 started"

    killed_and_restarted(site, guest, vm)
    site.done("stop_service", "-n", vm, "dummy")
    assert services(site)["dummy"]["Status"] == "Stopped"
    site.done("start_service", "-n", vm, "dummy")
    answer = site.vm_mgr("add_service", "-n", vm, "bad", "--systemd", "nosuch")
    assert (answer.code, "Failed" in answer.err) == (1, True)
    assert services(site)["bad"]["Reason"]
    site.done("remove_service", "-n", vm, "bad")
    assert site.vm_mgr("undeploy", "-n", vm).code == 3
    assert qemu(site, vm) == process

    survives_a_power_cut(site, vm)
    before = services(site)
    site.done("disable", "-n", vm)
    assert {row["Status"] for row in services(site).values()} == {"Disabled"}
    configuration = site.cib().find("configuration")
    assert configuration is not None
    assert not [item for item in configuration.iter() if item.get("id", "").startswith(f"{vm}.")]
    site.done("enable", "-n", vm)
    until(lambda: all_started(site, "beat", "dummy"), BOOT, "the services are back")
    assert {name: row["Kind"] for name, row in services(site).items()} == {name: row["Kind"] for name, row in before.items()}

    moves_live(site, vm)
    clone = f"{vm}_2"
    site.done("clone", "-n", vm, "--dst_name", clone, "--nostart")
    assert "Guest node" not in {key for key, value in site.done("show", "-n", clone, "-f", "json").rows.items() if value}
    site.done("remove", "-n", clone)
    site.discard(vm)
    assert site.traces(vm) == []


def status_details(site: LabSite, vm: str) -> str:
    """Return the details of a VM's status."""
    return str(site.done("status", "-n", vm, "-f", "json").rows["Details"])


def killed_and_restarted(site: LabSite, guest: Guest, vm: str) -> None:
    """Kill both services in the guest, and see Pacemaker restart and count them."""
    pid = guest.sh("systemctl show --value -p MainPID beat")
    guest.sh(f"systemctl kill -s KILL beat; rm {STATE.format(f'{vm}.dummy')}")
    until(lambda: {row["Failures"] for row in services(site).values()} == {1}, 30, "both failures are counted")
    until(lambda: all_started(site, "beat", "dummy"), 90, "both are restarted")
    assert all(row["Reason"].startswith("monitor failed on ") for row in services(site).values())
    assert guest.sh("systemctl show --value -p MainPID beat") not in {pid, "0\n"}
    guest.sh(f"test -e {STATE.format(f'{vm}.dummy')}")


def survives_a_power_cut(site: LabSite, vm: str) -> None:
    """Cut the power of the VM's host: VM, guest node and services come back on the other one."""
    (host,) = site.runs_on(vm)
    site.lab("power-off", host)
    until(lambda: site.runs_on(vm) not in ([], [host]), 120, f"{vm} runs elsewhere than {host}")
    until(lambda: all_started(site, "beat", "dummy"), BOOT, "the services are back")
    assert status(site, vm)[0] == "Started"
    assert status_details(site, vm) == "services: 2 of 2 started"
    if host not in site.powered():
        site.lab("power-on", host)
    until(lambda: all_online(site), 120, f"{host} is back")


def moves_live(site: LabSite, vm: str) -> None:
    """Move the VM while it runs: its services do not notice."""
    (host,) = site.runs_on(vm)
    site.on(site.anywhere, "crm_resource", "--resource", vm, "--move")
    until(lambda: site.runs_on(vm) not in ([], [host]), 120, f"{vm} moves")
    site.on(site.anywhere, "crm_resource", "--resource", vm, "--clear")
    until(lambda: all_started(site, "beat", "dummy"), 60, "the services are Started")
    assert {row["Failures"] for row in services(site).values()} == {0}


def test_the_vm_is_restarted_for_its_service(site: LabSite, vm: str, tmp_path: Path) -> None:
    """--restart-vm-after 1 acts at the first failure, by fencing the guest node; anything else is refused."""
    guest = prepared(site, vm, tmp_path)
    answer = site.vm_mgr("add_service", "-n", vm, "dummy", "--ocf", "pacemaker:Dummy", "--restart-vm-after", "2")
    assert (answer.code, "cannot be kept" in answer.err) == (2, True)
    site.done("add_service", "-n", vm, "dummy", "--ocf", "pacemaker:Dummy", "--restart-vm-after", "1")
    process = qemu(site, vm)
    guest.sh(f"rm {STATE.format(f'{vm}.dummy')}")
    until(lambda: qemu(site, vm) not in {"", process}, 90, f"{vm} is restarted")
    until(lambda: all_started(site, "dummy"), BOOT, "the service is back")
    site.discard(vm)
