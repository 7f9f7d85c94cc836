"""Whatever goes wrong at whatever command: nothing is lost, nothing is untrue, and what is left is marked and can be repaired."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest
from fakeremote import Fault, Killed
from journeys import Journey, Outcome, journey
from workbench import Bench

from vmmgr.app import COMMANDS
from vmmgr.commands.base import SiteCommand
from vmmgr.errors import RefusedError
from vmmgr.operations.listing import list_vms
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove, repair
from vmmgr.operations.running import start, stop

if TYPE_CHECKING:
    from fakesite import FakeSite
    from workbench import Clock

    from vmmgr.images import DiskImage


def lasting(site: FakeSite) -> dict[str, Any]:
    """Return the state once Pacemaker is at rest."""
    rested = site.clone()
    rested.settle()
    return rested.state()


def stopped(site: FakeSite) -> dict[str, Any]:
    """Return the state with the VM stopped, as a broken off disable or remove may leave it."""
    changed = site.clone()
    for pair in changed.cib.iterfind(
        "configuration/resources/primitive[@id='web']/meta_attributes/nvpair[@name='target-role']"
    ):
        pair.set("value", "Stopped")
    return lasting(changed)


def harmless(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an enable writes before its one change, and writes again the next time."""
    return {
        key: {name: text for name, text in value.items() if "web" not in name} if key in {"files", "store"} else value
        for key, value in state.items()
    }


class Ends:
    """The states in which a verb may leave a site."""

    def __init__(self, route: Journey, after: FakeSite) -> None:
        self.others = route.prepared.state(without="web")
        self.complete, before = lasting(after), lasting(route.prepared)
        self.before, self.after = harmless(before), harmless(self.complete)
        self.repaired = [before, self.complete]
        if route.name.startswith(("disable", "remove")):
            self.repaired.append(stopped(route.prepared))


def judge(route: Journey, outcome: Outcome, ends: Ends, where: str) -> None:
    """Check what every end has to keep to."""
    site = outcome.site
    assert not site.violations, where
    later = site.clone() if site.leases() else site
    later.seconds += 60 if site.leases() else 0  # by then a hypervisor has let go a guest that it was to hold still
    assert later.state(without="web") == ends.others, where
    if outcome.error is None:
        assert lasting(site) == ends.complete, where
        assert site.leases() == [], where
        return
    if "web" in site.leases():
        assert outcome.exit_code in {5, 130}, f"{where}: {outcome.error}"
        # the marks of a kill are those of any other fault
        if isinstance(outcome.error, Killed) or outcome.exit_code == 130 or "rest=True" in where:
            check_marked(route, outcome, ends, where)
        return
    allowed = [ends.before]
    # those that wait for Pacemaker when they have done their work may fail only then
    waits = not route.name.startswith(("disable", "remove")) or "pacemaker_remote" in route.name
    if outcome.exit_code == 5 or isinstance(outcome.error, Killed) or waits:
        allowed.append(ends.after)
    assert harmless(lasting(site)) in allowed, f"{where}: {outcome.error}"


def check_marked(route: Journey, outcome: Outcome, ends: Ends, where: str) -> None:
    """Check that all others see the mark, and that a repair from another workstation leaves a clean or a complete VM."""
    clock = outcome.bench.context.clock.__self__  # type: ignore[attr-defined]
    other = Bench(outcome.site, clock, who="bob@lab")
    (state,) = [state for state in other.run(list_vms) if state.name == "web"]
    verb = route.name.split()[0]
    assert any(f"in progress: {verb} by ann@desk since 2023-" in detail for detail in state.details), (where, state)
    if isinstance(outcome.error, Killed):
        seen = outcome.site.state()
        for operation in (start, stop, disable, enable, remove):
            with pytest.raises(RefusedError, match=rf"{verb} by ann@desk since 2023-"):
                other.run(lambda context, operation=operation: operation(context, "web"))
        assert outcome.site.state() == seen, where
    outcome.site.seconds += 2000
    other.run(lambda context: repair(context, "web"))
    assert outcome.site.leases() == [], where
    assert lasting(outcome.site) in ends.repaired, where
    assert not outcome.site.violations, where


KILL, FAIL, FAIL_LATE = Fault("kill", effect=True), Fault("fail"), Fault("fail", effect=True)
LOST, LOST_LATE, LOST_GOING_ON = Fault("lost"), Fault("lost", effect=True), Fault("lost", effect=True, rest=True)
TIME_UP_LATE, INTERRUPT = Fault("late", effect=True), Fault("SIGINT", effect=True)
EVERY = (KILL, FAIL, FAIL_LATE, LOST, LOST_LATE, LOST_GOING_ON, TIME_UP_LATE, INTERRUPT)
CASES = [
    (name, "crm", fault)
    for name in (
        "create",
        "clone",
        "clone paused",
        "start",
        "stop",
        "disable",
        "enable",
        "remove",
        "set_metadata",
        "set_metadata new",
        "unset_metadata",
    )
    for fault in EVERY
]
CASES += [
    (name, "crm", fault)
    for name in ("create_snapshot", "create_snapshot compatible", "remove_snapshot", "purge")
    for fault in EVERY
]
CASES += [(f"rollback{kind}", "crm", fault) for kind in ("", " stopped", " unsafe") for fault in EVERY]
CASES += [(f"rollback {kind}", "pcs", fault) for kind in ("disabled", "compatible") for fault in (KILL, FAIL_LATE, INTERRUPT)]
CASES += [
    (f"{verb}_colocation{kind}", "crm", fault) for verb in ("add", "remove") for kind in ("", " disabled") for fault in EVERY
]
CASES += [
    (name, "crm", fault) for name in ("add_service", "remove_service", "start_service", "stop_service") for fault in EVERY
]
CASES += [(f"{verb} services", "pcs", fault) for verb in ("disable", "enable", "remove") for fault in (KILL, FAIL_LATE)]
CASES += [
    (f"{verb}_pacemaker_remote{kind}", "crm", fault)
    for verb in ("add", "remove")
    for kind in ("", " disabled", " metadata")
    for fault in EVERY
]
CASES += [
    (name, "crm", fault)
    for name in ("create disabled", "clone disabled", "enable metadata", "remove disabled")
    for fault in (KILL, LOST_LATE)
]
CASES += [(name, "pcs", fault) for name in ("create", "clone", "disable", "enable", "remove") for fault in (KILL,)]


def test_no_verb_is_left_out() -> None:
    """Every verb that changes something is interrupted and killed below, or where its own tests are."""
    # test_repair and test_rollback; test_deploy, which has guests
    elsewhere = {"repair", "deploy", "undeploy"}
    changing = {name for name, target in COMMANDS.items() if issubclass(EntryPoint(name, target, "").load(), SiteCommand)}
    for fault in (INTERRUPT, KILL):
        assert {name.split()[0].removeprefix("un") for name, _, kind in CASES if kind == fault} == changing - elsewhere


READS = {
    "node", "cib", "simulate", "foresee", "groups", "images", "metadata", "inspect", "validate", "nothing", "monitors",
    "disks", "store_get", "flattening", "assert_unused",
}  # fmt: skip


EXCLUSIVE = {"create_image", "create_group", "clone_image", "create_snapshot", "create_group_snapshot"}


def case_id(value: object) -> str:
    """Return a short name for the test."""
    return f"{value.kind}{'-late' * value.effect}{'-on' * value.rest}" if isinstance(value, Fault) else str(value)


@pytest.mark.parametrize(("name", "tool", "fault"), CASES, ids=case_id)
def test_fault_at_every_command(clock: Clock, disk: DiskImage, name: str, tool: str, fault: Fault) -> None:
    """At any command of any verb, a kill, failure, loss or Ctrl-C leaves the old VM, the new one, or a marked one."""
    route = journey(name, disk, clock, tool)
    whole = route.run(clock)
    assert whole.error is None
    ends = Ends(route, whole.site)
    if fault == KILL:
        for where, outcome in route.left_behind(clock):
            judge(route, outcome, ends, f"{fault} at {where}")
        return
    judged = set()
    for index, event in enumerate(whole.bench.remote.log):
        if fault in (FAIL_LATE, LOST_LATE, LOST_GOING_ON, TIME_UP_LATE) and event.name in READS:
            continue  # what changes nothing cannot do so late
        if fault == FAIL_LATE and event.name in EXCLUSIVE:
            continue  # Ceph's "exists already" is taken at its word, so that nobody else's image is removed
        outcome = route.run(clock, {index: fault})
        end = (outcome.site.fingerprint(), outcome.exit_code)
        if end not in judged:
            judge(route, outcome, ends, f"{fault} at {index}, {event}")
        judged.add(end)
        if fault.kind == "fail" and outcome.error:
            assert event.host in str(outcome.error), outcome.error
            assert "injected" in str(outcome.error), outcome.error
