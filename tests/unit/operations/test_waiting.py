"""Waiting ends when it should, and says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakeremote import Fault
from fakesite import FakeSite
from workbench import Bench, add_vm, creating

from vmmgr.errors import ConnectError, PartlyDoneError, VmMgrError
from vmmgr.model import Status
from vmmgr.operations.listing import vm_status
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove
from vmmgr.operations.running import start, stop
from vmmgr.operations.waiting import VmFailedError

if TYPE_CHECKING:
    from workbench import Clock

    from vmmgr.images import DiskImage


def site_with(*, running: bool, broken: str = "", delay: int = 1) -> FakeSite:
    """Return a site with a VM and whatever is wrong with it."""
    site = FakeSite()
    add_vm(site, "web", running=running, stop_timeout=45)
    site.delay = delay
    if broken:
        site.broken["web"] = broken
    return site


def test_failed_start_tells_the_reason(clock: Clock) -> None:
    """When Pacemaker gives up, waiting ends soon, with what its history says."""
    site = site_with(running=False, broken="start")
    with pytest.raises(VmFailedError, match="VM web is Failed instead of Started: start failed on hv1: no memory") as caught:
        Bench(site, clock).run(lambda context: start(context, "web"))
    assert caught.value.exit_code == 1
    assert site.seconds < 5


@pytest.mark.parametrize("kind", ["fail", "late"])
def test_no_news_is_no_failure(clock: Clock, kind: str) -> None:
    """Where a busy node cannot tell of news, or not in time, the next look tells."""
    bench = Bench(site := site_with(running=False, delay=3), clock)

    def meanwhile(index: int, name: str) -> None:
        if name == "news":
            bench.remote.faults[index] = Fault(kind)

    bench.remote.before = meanwhile
    assert bench.run(lambda context: start(context, "web")).status is Status.STARTED
    assert bench.remote.faults
    assert site.runs["web"].node


def test_failed_stop_tells_the_reason(clock: Clock) -> None:
    """A VM that cannot be stopped is blocked, and that ends the waiting."""
    site = site_with(running=True, broken="stop")
    with pytest.raises(VmFailedError, match="blocked; stop failed on hv1: no memory"):
        Bench(site, clock).run(lambda context: stop(context, "web"))


def test_a13_07_created_vm_that_does_not_start_stays(clock: Clock, disk: DiskImage) -> None:
    """A new VM that fails to start stays as Failed, and is not marked as unfinished."""
    site = FakeSite()
    site.broken["web"] = "start"
    with pytest.raises(VmFailedError, match="no memory") as caught:
        Bench(site, clock).run(creating(disk))
    assert caught.value.exit_code == 1
    assert site.primitive("web") is not None
    assert site.leases() == []


@pytest.mark.parametrize(("running", "seconds"), [(True, 45 + 20), (False, 120 + 45 + 20)])
def test_deadline_is_the_vms_own(clock: Clock, running: bool, seconds: int) -> None:
    """Without ``--timeout``, waiting lasts as long as Pacemaker grants the operations of this VM, and some slack."""
    site = site_with(running=running, broken="hang")
    verb, status = (stop, "Stopping") if running else (start, "Starting")
    with pytest.raises(PartlyDoneError, match=f"VM web is still {status} after {seconds} s. Pacemaker goes on") as caught:
        Bench(site, clock).run(lambda context: verb(context, "web"))
    assert caught.value.exit_code == 5
    assert seconds <= site.seconds < seconds + 3


def test_timeout_of_the_user(clock: Clock) -> None:
    """``--timeout`` shortens the waiting."""
    site = site_with(running=True, broken="hang")
    with pytest.raises(PartlyDoneError, match="after 7 s"):
        Bench(site, clock).run(lambda context: stop(context, "web", timeout=7))


@pytest.mark.parametrize("verb", [disable, remove])
@pytest.mark.parametrize("broken", ["hang", "stop"])
def test_vm_that_does_not_stop_is_not_taken_out(clock: Clock, verb: object, broken: str) -> None:
    """A VM that does not stop in its time is neither disabled nor removed; it is to run again, and no mark is left."""
    site = site_with(running=True, broken=broken)
    before = site.state()
    with pytest.raises(VmMgrError, match=r"did not stop in its time|no memory") as caught:
        Bench(site, clock).run(lambda context: verb(context, "web"))  # type: ignore[operator]
    assert caught.value.exit_code == 1
    assert site.state() == before


@pytest.mark.parametrize("verb", [start, stop, disable, remove, enable])
@pytest.mark.parametrize("tool", ["crm", "pcs"])
def test_control_host_dies_while_waiting(clock: Clock, verb: object, tool: str) -> None:
    """When the control host is lost while a VM starts or stops, another takes over, for the changes after it too."""
    site = FakeSite(tool)
    site.delay = 3
    add_vm(site, "web", running=verb is not start, enabled=verb is not enable)
    bench = Bench(site, clock)

    def hook(index: int, command: str) -> None:
        if [event.name for event in bench.remote.log].count("simulate") == 3:
            site.hosts["obs1"].reachable = False

    bench.remote.before = hook
    bench.run(lambda context: verb(context, "web"))  # type: ignore[operator]
    assert site.leases() == []
    assert bench.remote.connected[0] == "obs1"
    assert bench.remote.log[-1].host == "hv1"


def test_control_host_dies_and_the_vm_does_not_stop(clock: Clock) -> None:
    """What was done through a control host that died is undone through another."""
    site = site_with(running=True, broken="hang")
    before, bench = site.state(), Bench(site, clock)

    def hook(index: int, command: str) -> None:
        if command == "lease_take":
            site.seconds += 1
        if [event.name for event in bench.remote.log].count("simulate") == 3:
            site.hosts["obs1"].reachable = False

    bench.remote.before = hook
    with pytest.raises(VmMgrError, match="did not stop in its time"):
        bench.run(lambda context: disable(context, "web"))
    assert site.state() == before


def test_all_hosts_die_while_waiting(clock: Clock) -> None:
    """When nobody can be reached any more, that is said with the mark that is left (exit code 5)."""
    site = site_with(running=True, broken="hang")
    bench = Bench(site, clock)

    def hook(index: int, command: str) -> None:
        if [event.name for event in bench.remote.log].count("simulate") == 3:
            for host in site.hosts.values():
                host.reachable = False

    bench.remote.before = hook
    with pytest.raises(PartlyDoneError, match="`vm-mgr repair -n web`") as caught:
        bench.run(lambda context: disable(context, "web"))
    assert caught.value.exit_code == 5
    assert site.leases() == ["web"]


def test_nobody_answers(clock: Clock) -> None:
    """A site that cannot be reached at all is a connection problem (exit code 4)."""
    site = site_with(running=True)
    for host in site.hosts.values():
        host.reachable = False
    with pytest.raises(ConnectError) as caught:
        Bench(site, clock).run(lambda context: stop(context, "web"))
    assert caught.value.exit_code == 4


def test_lease_lasts_as_long_as_the_waiting(clock: Clock) -> None:
    """A VM that may take an hour to stop stays marked as in progress for that hour."""
    site = site_with(running=True, broken="hang")
    bench, other = Bench(site, clock), Bench(site, clock, "bob@lab")
    details: list[str] = []

    def hook(index: int, command: str) -> None:
        if site.seconds > 3 and not details:
            site.seconds = 3590
            details.extend(other.run(lambda context: vm_status(context, "web")).details)

    bench.remote.before = hook
    with pytest.raises(VmMgrError, match="did not stop"):
        bench.run(lambda context: disable(context, "web", timeout=3600))
    assert details[0].startswith("in progress: disable by ann@desk")


def test_a_vm_that_somebody_else_stops_is_waited_for(clock: Clock) -> None:
    """Stopping a VM that is stopping already waits for it as well."""
    site = site_with(running=True, delay=4)
    Bench(site, clock).run(lambda context: stop(context, "web", wait=False))
    assert Bench(site, clock).run(lambda context: stop(context, "web")).status is Status.STOPPED
