"""What the runner promises to operations: undo in order, the mark last, signals at the right time, errors where they belong."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fakeremote import Fault
from fakesite import FakeSite
from journeys import journey
from workbench import Bench, Told, add_vm, creating

from vmmgr.errors import OutcomeUnknownError, PartlyDoneError, VmMgrError
from vmmgr.operations.create import create
from vmmgr.operations.interruption import Interruption
from vmmgr.operations.reporting import TerminalReporter
from vmmgr.operations.running import stop
from vmmgr.operations.steps import Change, Pause, Role, Step

if TYPE_CHECKING:
    from workbench import Clock

    from vmmgr.images import DiskImage
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps


def index_of(bench_log: list[Any], name: str, which: int = 0) -> int:
    """Return the position of a command in a log."""
    return [index for index, event in enumerate(bench_log) if event.name == name][which]


def test_undo_goes_backwards_and_the_mark_is_last(clock: Clock, disk: DiskImage) -> None:
    """What was done last is undone first, so the mark stands as long as anything is there."""
    route = journey("create", disk, clock)
    outcome = route.run(clock, {index_of(route.commands(clock), "define"): Fault("fail")})
    names = [event.name for event in outcome.bench.remote.log]
    undone = names[names.index("define") + 1 :]
    assert undone == [
        "cib", "simulate", "assert_lease", "remove_file", "remove_file", "remove_group", "remove_image", "remove_image", "lease_drop",
    ]  # fmt: skip
    assert outcome.site.state() == route.prepared.state()


def test_a13_09_mark_stays_when_something_cannot_be_undone(clock: Clock, disk: DiskImage) -> None:
    """An image that cannot be removed keeps the VM marked; the message has the command to paste and the way out."""
    site = FakeSite()
    bench = Bench(site, clock)

    def hook(_index: int, command: str) -> None:
        if command == "set_metadata":
            site.images["system_web"].watchers = ["10.9.9.9:0/1"]
            bench.remote.faults = {len(bench.remote.log) - 1: Fault("fail")}

    bench.remote.before = hook
    with pytest.raises(PartlyDoneError, match="injected") as caught:
        bench.run(creating(disk))
    assert "image still has watchers" in str(caught.value)
    assert "To do it by hand: sh -c" in str(caught.value)
    assert "`vm-mgr repair -n web`" in str(caught.value)
    assert site.leases() == ["web"]
    assert site.groups == {}


def test_undo_that_fails_at_first_is_tried_again(clock: Clock, disk: DiskImage) -> None:
    """An image that is still open for a moment after a broken import is removed a little later."""
    site = FakeSite()
    bench = Bench(site, clock)

    def hook(_index: int, command: str) -> None:
        if command == "import_diff":
            site.images["system_web"].watchers = ["10.9.9.9:0/1"]
            bench.remote.faults = {len(bench.remote.log) - 1: Fault("fail")}
        elif command == "remove_image" and site.seconds > 3:
            site.images["system_web"].watchers = []

    bench.remote.before = hook
    with pytest.raises(VmMgrError, match="injected") as caught:
        bench.run(creating(disk))
    assert caught.value.exit_code == 1
    assert (site.images, site.leases()) == ({}, [])


def test_connection_lost_while_defining(clock: Clock, disk: DiskImage) -> None:
    """A define whose answer is lost is looked up: if it was made, the create goes on; if not, it is said that nobody knows."""
    route = journey("create", disk, clock)
    at = index_of(route.commands(clock), "define")
    made = route.run(clock, {at: Fault("lost", effect=True)})
    assert made.error is None
    assert made.value.status == "Started"
    unknown = route.run(clock, {at: Fault("lost")})
    assert isinstance(unknown.error, OutcomeUnknownError)
    assert "`vm-mgr repair -n web` finds out" in str(unknown.error)
    assert unknown.site.images["system_web"].data
    assert unknown.site.leases() == ["web"]


def test_tool_that_fails_after_its_work(clock: Clock, disk: DiskImage) -> None:
    """A cluster tool that ends with an error although the CIB has changed does not lead to the VM's disks being removed."""
    for name in ("create", "enable"):
        route = journey(name, disk, clock)
        outcome = route.run(clock, {index_of(route.commands(clock), "define"): Fault("fail", effect=True)})
        assert outcome.error is None
        assert outcome.site.leases() == []
    route = journey("disable", disk, clock)
    outcome = route.run(clock, {index_of(route.commands(clock), "delete"): Fault("fail", effect=True)})
    assert outcome.error is None
    assert "vm-mgr.web" in outcome.site.store


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_during_a_change_waits_for_its_end(clock: Clock, disk: DiskImage, name: str) -> None:
    """A signal in the middle of an exec that changes things lets all of it come to its end, then it is undone."""
    route = journey("create", disk, clock)
    outcome = route.run(clock, {index_of(route.commands(clock), "create_group"): Fault(name, effect=True)})
    assert isinstance(outcome.error, KeyboardInterrupt)
    names = [event.name for event in outcome.bench.remote.log]
    assert names.index("set_metadata") < names.index("remove_group")
    assert "Interrupted; the present step is finished first." in outcome.bench.told.said
    assert outcome.site.state() == route.prepared.state()


def test_signal_while_data_is_sent_breaks_it_off(clock: Clock, disk: DiskImage) -> None:
    """An import is broken off at once, and its images are removed."""
    route = journey("create", disk, clock)
    outcome = route.run(clock, {index_of(route.commands(clock), "import_diff"): Fault("SIGTERM", effect=True)})
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert outcome.site.state() == route.prepared.state()


def test_second_signal_does_not_break_off_the_undo(clock: Clock, disk: DiskImage) -> None:
    """Whoever presses Ctrl-C again and again still gets everything undone."""
    route = journey("create", disk, clock)
    first = index_of(route.commands(clock), "create_group")
    faults = {index: Fault("SIGINT", effect=True) for index in range(first, first + 20)}
    outcome = route.run(clock, faults)
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert outcome.site.state() == route.prepared.state()


def test_interrupted_after_the_point_of_no_return(clock: Clock, disk: DiskImage) -> None:
    """A remove that is interrupted when the VM is out of the cluster says what is left, and how to go on."""
    route = journey("remove", disk, clock)
    outcome = route.run(clock, {index_of(route.commands(clock), "delete"): Fault("SIGINT", effect=True)})
    assert isinstance(outcome.error, PartlyDoneError)
    assert "`vm-mgr repair -n web` removes the rest" in str(outcome.error)
    assert outcome.site.leases() == ["web"]


def test_signals_are_given_back() -> None:
    """After an operation the signals do what they did before."""
    before = signal.getsignal(signal.SIGTERM)
    with Interruption(Told()) as interruption:
        assert signal.getsignal(signal.SIGTERM) != before
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        interruption.check()
    assert signal.getsignal(signal.SIGTERM) == before


def test_second_signal_waits_while_the_first_has_its_effect() -> None:
    """A signal right after another does not break off what is done about the first."""
    with Interruption(Told()) as interruption, interruption.at_once():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_mistake_in_an_operation_is_undone_too(clock: Clock) -> None:
    """An error that nobody thought of leaves nothing half done either."""
    site = FakeSite()
    add_vm(site, "web")
    before, bench = site.state(), Bench(site, clock)

    def operation(context: Context) -> Steps[None]:
        cluster = context.cluster("obs1", frozenset({"crm"}))
        back = cluster.set_meta("web", "target-role", "Started")
        yield Change(Role.CONTROL, (Step(cluster.set_meta("web", "target-role", "Stopped"), undo=back),))
        yield Pause(1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bench.run(operation)
    assert site.state() == before


def test_damaged_import_is_noticed(clock: Clock, disk: DiskImage) -> None:
    """An image that arrives with another checksum is removed, and the message names it."""
    site = FakeSite()
    bench = Bench(site, clock)

    def operation(context: Context) -> Steps[Any]:
        real = bench.remote.stream

        def damaged(*arguments: Any, **options: Any) -> Any:
            answer = real(*arguments, **options)
            return type(answer)(answer.host, answer.argv, 0, b"00\n", b"")

        bench.remote.stream = damaged  # type: ignore[method-assign]
        from workbench import request

        return create(context, request(disk))

    with pytest.raises(VmMgrError, match="arrived damaged on hv1"):
        bench.run(operation)
    assert (site.images, site.leases()) == ({}, [])


def test_lease_is_renewed_during_a_long_import(clock: Clock, tmp_path: Any) -> None:
    """While data are sent for longer than the lease, it is renewed in time, so nobody takes the operation for dead."""
    from vmmgr.images import open_image
    from vmmgr.operations.listing import vm_status

    path = tmp_path / "large.raw"
    path.write_bytes(b"x" * (6 << 20))
    site = FakeSite()
    ann, bob = Bench(site, clock), Bench(site, clock, "bob@lab")
    seen: list[str] = []
    told = ann.told.progress

    def slowly(title: str, total: int) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def progress() -> Any:
            def advance(_done: int) -> None:
                site.seconds += 400
                seen.append(bob.run(lambda context: vm_status(context, "web")).details[0])

            yield advance

        return progress()

    ann.told.progress = slowly  # type: ignore[method-assign]
    with open_image(path, "raw") as image:
        ann.run(creating(image))
    assert len(seen) >= 2
    assert all(detail.startswith("in progress") for detail in seen)
    assert "lease_renew" in [event.name for event in ann.remote.log]
    ann.told.progress = told  # type: ignore[method-assign]


def test_bar_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A progress bar is drawn on a terminal, nothing on a pipe, and nothing when quiet."""
    for terminal, quiet in ((False, False), (True, True)):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        with TerminalReporter(quiet=quiet).progress("disk.raw", 100) as advance:
            advance(50)
        assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with TerminalReporter().progress("disk.raw", 100) as advance:
        advance(100)
    assert "disk.raw" in capsys.readouterr().err


def test_sentences_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """What an operation tells goes to stderr; when quiet, only warnings do."""
    for quiet in (False, True):
        reporter = TerminalReporter(quiet=quiet)
        reporter.say("Undoing.")
        reporter.say("hv2 is off.", warning=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Undoing.\nWarning: hv2 is off.\nWarning: hv2 is off.\n"


def test_nobody_listens_any_more(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is gone keeps nothing from being done or undone."""

    class Gone:
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    site = FakeSite()
    add_vm(site, "web", running=False)
    bench = Bench(site, clock)
    bench.told = TerminalReporter()  # type: ignore[assignment]
    assert bench.run(lambda context: stop(context, "web")).status == "Stopped"
