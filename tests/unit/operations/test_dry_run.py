"""A dry run changes nothing, prints exactly what the real run executes, and foretells what comes of it."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from fakesite import FakeSite
from journeys import JOURNEYS, journey
from workbench import Bench, add_vm, creating

from tests.pasting import pasted
from vmmgr.command import Command, succeeded
from vmmgr.errors import RefusedError
from vmmgr.operations import plan
from vmmgr.operations.lease import TERM
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.plan import Exec
from vmmgr.operations.removal import remove, repair
from vmmgr.operations.running import start, stop
from vmmgr.operations.waiting import VmFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Clock

    from vmmgr.images import DiskImage
    from vmmgr.operations.dryrun import DryRunner


@pytest.fixture(autouse=True)
def same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run make up the same values."""
    monkeypatch.setattr("vmmgr.operations.lease.secrets.token_hex", lambda _length: "abcd")


def planned(runner: DryRunner) -> list[tuple[str, list[tuple[tuple[str, ...], str | None]]]]:
    """Return what would be run, as the way to the site notes what is."""
    execs = [item for item in runner.plan if isinstance(item, Exec)]
    return [(item.host, [(command.argv, command.stdin) for command in item.commands]) for item in execs]


def unnumbered(changes: list[Any]) -> list[Any]:
    """Return what was run without what nobody can foretell: 0 for Ceph's numbers of new snapshots, no ends of leases."""

    def without(text: str | None) -> str | None:
        text = text and re.sub("(until&#34;: )[0-9]+", r"\1", text)
        return text and re.sub(
            r'("[a-z-]*before[0-9a-z-]*", "grouped".*?"ids": )(\{[^}]*\})',
            lambda found: found[1] + re.sub(r": \d+", ": 0", found[2]),
            text,
        )

    return [(host, [(argv, without(stdin)) for argv, stdin in commands]) for host, commands in changes]


@pytest.mark.parametrize("tool", ["crm", "pcs"])
@pytest.mark.parametrize("name", JOURNEYS)
def test_real_run_executes_what_was_printed(clock: Clock, disk: DiskImage, name: str, tool: str) -> None:
    """For every verb: nothing is changed or sent, and the real run sends the same to the same hosts, with the same end."""
    route = journey(name, disk, clock, tool)
    bench = Bench(route.prepared.clone(), clock)
    before = bench.site.state()
    value, runner = bench.rehearse(route.operation)
    assert bench.site.state() == before
    assert bench.remote.changes == []
    assert not bench.remote.streams

    real = route.run(clock)
    assert unnumbered(planned(runner)) == unnumbered(real.bench.remote.changes)
    assert value == real.value
    then = route.prepared.cib if runner.then is None else runner.then  # not every verb touches the configuration
    assert plan.configuration(then) == plan.configuration(real.site.cib)


def test_what_is_printed_can_be_pasted(clock: Clock, disk: DiskImage, tmp_path: Path) -> None:
    """A shell that is given the text runs the same commands with the same documents, to the last byte."""
    route = journey("create", disk, clock)
    _, runner = Bench(route.prepared, clock).rehearse(creating(disk, metadata={"note": HOSTILE}))
    calls = pasted(runner.text({}), tmp_path)
    assert calls == [(host, list(argv), stdin or "") for host, commands in planned(runner) for argv, stdin in commands]
    assert any(HOSTILE in argv for _, argv, _ in calls)


HOSTILE = "a'b\"c $(touch pwned) `x`\\n\ttab\x1b[2J\nEOF\n\u202eround\n\n%s"


@pytest.mark.parametrize("document", ["", "x", "x\n", "EOF\n", "EOF\nEOFEOF\n", "\n\n", HOSTILE, f"{HOSTILE}\n", "no end\n\n "])
def test_documents_are_shown_to_the_last_byte(document: str) -> None:
    """Whatever a document holds, a shell that reads what is shown gives it to the command unchanged, and nothing is hidden."""
    text = plan.pasted(Command(("cat", "--", "-"), succeeded, stdin=document))
    done = subprocess.run(["/bin/sh", "-e"], input=text.encode(), capture_output=True, check=True)
    assert done.stdout.decode() == document
    assert text.replace("\n", "").isprintable()


def test_sentences_on_the_way_are_part_of_the_text(clock: Clock, disk: DiskImage) -> None:
    """What would be said while it works stands in its place as a comment, and what each run makes anew is listed."""
    bench = Bench(FakeSite(), clock)
    _, runner = bench.rehearse(creating(disk))
    text = runner.text(bench.context.generated)
    assert bench.told.said == []
    assert "\n# It says: Imported system_web.\n" in text
    assert f"# Its standard input: {disk.path.name}, as a stream of" in text
    assert "# Made anew by each run, with the times and checksums that go with it: " in text
    assert "abcd (lease)" in text
    assert '+    <primitive id="web"' in text
    assert "vm-mgr-web" not in text.split("# The configuration of the cluster in the end:")[1]


@pytest.mark.parametrize("verb", [start, stop, disable, enable, remove, repair])
def test_refusals_are_those_of_the_real_run(clock: Clock, verb: Any) -> None:
    """What would be refused is refused, with the same words."""
    site = FakeSite()
    for host in site.hosts.values():
        host.quorate = False
    for run in (Bench(site, clock).run, Bench(site, clock).rehearse):
        with pytest.raises(RefusedError, match="has no quorum, so nothing can be changed"):
            run(lambda context: verb(context, "web"))


def test_what_is_so_already_changes_nothing(clock: Clock) -> None:
    """A verb that has nothing to do says so at once, as ever."""
    site = FakeSite()
    add_vm(site, "web")
    bench = Bench(site, clock)
    value, runner = bench.rehearse(lambda context: start(context, "web"))
    assert value.status == "Started"
    assert bench.told.said == ["VM web is Started already."]
    assert runner.text({}) == "# Nothing would be changed."


def test_pacemaker_would_not_run_it(clock: Clock) -> None:
    """A VM that Pacemaker's simulator does not start is told as one that would not start."""
    site = FakeSite()
    add_vm(site, "web", running=False)
    for host in ("hv1", "hv2"):
        site.hosts[host].node["standby"] = "true"
    bench = Bench(site, clock)
    with pytest.raises(VmFailedError, match="VM web is Failed instead of Started: no node can run it"):
        bench.rehearse(lambda context: start(context, "web"))
    assert site.target_role("web") == "Stopped"
    assert bench.remote.changes == []


def test_repair_is_foretold_too(clock: Clock, disk: DiskImage) -> None:
    """What a lost workstation left is not touched by a dry run of the repair, and is by the real one as printed."""
    from fakeremote import Fault

    route = journey("create", disk, clock)
    for index, event in enumerate(route.commands(clock)):
        if event.name not in {"create_image", "set_metadata", "define"}:
            continue
        site = route.run(clock, {index: Fault("kill", effect=True)}).site
        site.seconds += 2 * TERM
        site.settle()
        bench, before = Bench(site, clock, "bob@lab"), site.state()
        said, runner = bench.rehearse(lambda context: repair(context, "web"))
        assert site.state() == before
        assert bench.run(lambda context: repair(context, "web")) == said
        assert planned(runner) == bench.remote.changes


def test_hosts_that_cannot_be_reached_are_left_out(clock: Clock) -> None:
    """Where the real run goes without a host, the dry run finds out for itself, and warns of it."""
    site = FakeSite()
    add_vm(site, "web", running=False)
    site.hosts["hv2"].reachable = False
    bench = Bench(site, clock)
    _, runner = bench.rehearse(lambda context: remove(context, "web"))
    assert [warning for warning in bench.told.warnings if "hv2 cannot be reached" in warning]
    bench.run(lambda context: remove(context, "web"))
    assert planned(runner) == [item for item in bench.remote.changes if item[0] != "hv2"]
