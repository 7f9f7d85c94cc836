"""Colocations: made, listed, removed, kept while VMs are disabled; and what becomes of running VMs is said beforehand."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from fakeremote import Fault, Killed
from fakesite import FakeSite
from workbench import Bench, add_vm, constrain

from vmmgr.errors import RefusedError, UsageError, VmMgrError
from vmmgr.operations.colocation import add_colocation, list_colocations, remove_colocation
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove
from vmmgr.operations.running import stop

if TYPE_CHECKING:
    from workbench import Clock

PAIR = '<rsc_colocation id="together" rsc="web" with-rsc="db" score="700"/>'


@pytest.fixture
def bench(clock: Clock) -> Bench:
    """A site with three VMs, all of them on hv1."""
    site = FakeSite()
    for name in ("web", "db", "log"):
        add_vm(site, name)
    return Bench(site, clock)


def add(bench: Bench, *others: str, vm: str = "web", **options: Any) -> str:
    """Add a colocation."""
    return bench.run(lambda context: add_colocation(context, vm, others, **options))


def drop(bench: Bench, *others: str, vm: str | None = "web", **options: Any) -> str:
    """Remove a colocation."""
    return bench.run(lambda context: remove_colocation(context, vm, others, **options))


def listed(bench: Bench, vm: str | None = None) -> dict[str, tuple[str, ...]]:
    """Return what is listed: for each id with whom it is kept."""
    return {item.colocation.id: item.keepers for item in bench.run(lambda context: list_colocations(context, vm))}


def refused(bench: Bench, *others: str, vm: str = "web", **options: Any) -> str:
    """Try to add what is refused with the site as it was, and return the message."""
    before = bench.site.state()
    with pytest.raises(RefusedError) as caught:
        add(bench, *others, vm=vm, **options)
    assert bench.site.state() == before
    return str(caught.value)


@pytest.mark.parametrize("tool", ["crm", "pcs"])
def test_weak_is_vm_managers(clock: Clock, tool: str) -> None:
    """One change of the CIB, in three execs, and nothing runs elsewhere for it."""
    site = FakeSite(tool)
    add_vm(site, "web")
    add_vm(site, "db")
    bench = Bench(site, clock)
    assert add(bench, "db") == "VM web runs with db where that is possible (colocation-web-withdb, score 700)."
    (item,) = site.constraints.iterfind("rsc_colocation")
    assert [ref.get("id") for ref in item.iter("resource_ref")] == ["web", "db"]
    assert (site.definitions, bench.remote.execs) == (1, {"obs1": 3})
    assert site.leases() == []


def test_again_says_so_and_changes_nothing(bench: Bench) -> None:
    """The same once more, in whatever order, is done already; also when it was made by hand as a plain pair."""
    add(bench, "db", "log")
    before = bench.site.state()
    add(bench, "log", "db")
    assert bench.told.said == ["VM web is colocated with db and log like that already."]
    assert bench.site.state() == before
    constrain(bench.site, PAIR)
    assert "(together, score 700)" in add(bench, "db")


def test_another_one_of_the_same_resources(bench: Bench) -> None:
    """Where there is one of another score, or the other way round, it is named, with the way out."""
    add(bench, "db")
    for options in ({"strong": True}, {"apart": True}, {"vm": "db"}):
        other = "web" if options.get("vm") else "db"
        text = refused(bench, other, **options)
        assert "colocation-web-withdb keeps web, db together (weak, score 700)" in text
        assert "`vm-mgr remove_colocation --id colocation-web-withdb` first" in text
    add(bench, "db", "log")


def test_a13_05_vm_managers_can_be_removed(bench: Bench) -> None:
    """What vm_manager made and cannot remove is listed, and removed by its resources or its id, in three execs."""
    for identifier in ("first", "second"):
        constrain(
            bench.site, PAIR.replace("together", identifier).replace('"db"', '"db"' if identifier == "first" else '"log"')
        )
    assert listed(bench) == {"first": (), "second": ()}
    assert listed(bench, "db") == {"first": ()}
    assert drop(bench, "db") == "The colocation first is removed."
    assert (bench.site.definitions, bench.remote.execs) == (1, {"obs1": 3})
    assert drop(bench, vm=None, identifier="second") == "The colocation second is removed."
    assert listed(bench) == {}


def test_removing_what_is_not_there(bench: Bench) -> None:
    """No colocation of existing resources: says so, and is done. An unknown id or resource is refused, and so is another thing's id."""
    assert drop(bench, "db") == "VM web has no colocation with db."
    for options, words in (
        ({"vm": None, "identifier": "nothing"}, "There is no colocation nothing"),
        ({"vm": None, "identifier": "web-hypervisors-only"}, "web-hypervisors-only is no colocation"),
        ({"vm": None, "identifier": "db"}, "db is no colocation"),
        ({"vm": "nobody"}, "There is no VM nobody"),
    ):
        with pytest.raises(RefusedError, match=words):
            drop(bench, *(["db"] if options["vm"] else []), **options)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="There is no resource nobody"):
        drop(bench, "nobody")
    assert bench.site.definitions == 0


def test_several_of_the_same_resources(bench: Bench) -> None:
    """Which of several is meant has to be said by id."""
    constrain(bench.site, PAIR)
    constrain(bench.site, PAIR.replace("together", "again").replace("700", "5"))
    with pytest.raises(RefusedError, match=r"There are several:[\s\S]*together[\s\S]*again[\s\S]*--id"):
        drop(bench, "db")
    drop(bench, vm=None, identifier="again")
    drop(bench, "db")
    assert listed(bench) == {}


@pytest.mark.parametrize(
    ("vm", "others", "words"),
    [
        ("web", ["nobody"], "There is no resource nobody"),
        ("web", ["db", "web-start-0s"], "There is no resource web-start-0s"),
        ("nobody", ["db"], "There is no VM nobody"),
        ("fence", ["db"], "There is no VM fence"),
    ],
)
def test_unknown_resources(bench: Bench, vm: str, others: list[str], words: str) -> None:
    """What is colocated has to exist, and be something that runs."""
    assert words in refused(bench, *others, vm=vm)


@pytest.mark.parametrize(
    ("vm", "others", "words"),
    [
        ("web", [], "Name at least one"),
        ("web", ["web"], "web is given twice"),
        ("web", ["db", "db"], "db is given twice"),
        ("web", [""], "'' cannot be the name of a resource"),
        ("web", ["a'] | //*"], "cannot be the name of a resource"),
        ("web", ["--force"], "cannot be the name of a resource"),
        ("", ["db"], "'' cannot be the name of a VM"),
    ],
)
def test_wrong_use_contacts_nobody(bench: Bench, vm: str, others: list[str], words: str) -> None:
    """What is wrong in itself is told before any machine is contacted."""
    with pytest.raises(UsageError, match="|".join([words.replace("[", r"\[").replace("|", r"\|")])):
        add(bench, *others, vm=vm)
    with pytest.raises(UsageError):
        drop(bench, *others, vm=vm)
    for options in ({"vm": None}, {"vm": "web", "identifier": "x"}):
        with pytest.raises(UsageError):
            drop(bench, **options)  # type: ignore[arg-type]
    assert bench.remote.connected == []


def test_other_resources_and_taken_ids(bench: Bench) -> None:
    """A resource that is no VM will do; an id that something else has gets a number behind it."""
    assert "with fence where" in add(bench, "fence")
    constrain(bench.site, '<rsc_location id="colocation-web-withdb-0" rsc="log" node="hv1" score="1"/>')
    assert "(colocation-web-withdb-2," in add(bench, "db")
    drop(bench, "db")
    drop(bench, "fence")
    assert listed(bench) == {}


@pytest.mark.parametrize(
    ("live", "words"), [(True, "VM web moves from hv1 to hv2, live."), (False, "VM web restarts: it is stopped on hv1")]
)
def test_what_becomes_of_running_vms_is_said_first(clock: Clock, live: bool, words: str) -> None:
    """Moves and restarts need --yes; without it nothing is touched, with it they are told."""
    site = FakeSite()
    add_vm(site, "db")
    add_vm(site, "web", live_migration=live)
    bench = Bench(site, clock)
    text = refused(bench, "db", apart=True)
    assert words in text
    assert "--yes" in text
    add(bench, "db", apart=True, yes=True)
    assert any(words in said for said in bench.told.said)
    site.settle()
    assert (site.runs["web"].node, site.runs["db"].node) == ("hv2", "hv1")
    # back again, once it may
    with pytest.raises(RefusedError, match=r"VM web (moves|restarts)"):
        drop(bench, "db")
    drop(bench, "db", yes=True)
    assert site.constraints.find("rsc_colocation") is None


def test_a_vm_that_could_run_nowhere(clock: Clock) -> None:
    """A strong one that leaves a running VM no host says that it stops."""
    site = FakeSite(hosts="obs1 hv1 hv2")
    for name in ("a", "b", "web"):
        add_vm(site, name)
    site.move("b", site.runs["b"], "hv2")
    text = refused(Bench(site, clock), "a", "b", apart=True, strong=True)
    assert "VM web stops on hv1, and there is no other host for it." in text


def test_what_happens_anyway_is_not_held_against_it(bench: Bench) -> None:
    """A VM that is about to move for another reason does not ask for --yes."""
    add_vm(bench.site, "other")
    constrain(bench.site, '<rsc_colocation id="away" rsc="log" with-rsc="other" score="-700"/>')
    bench.site.delay = 50
    add(bench, "db")
    assert "colocation-web-withdb" in listed(bench)


def test_somebody_elses_vm_is_told_of_too(bench: Bench) -> None:
    """It does not matter which of the VMs is affected."""
    bench.site.move("log", bench.site.runs["log"], "hv2")
    assert "VM web restarts" in refused(bench, "log")


@pytest.mark.parametrize("gone", [["web"], ["db"], ["web", "log"], ["web", "db", "log"]])
@pytest.mark.parametrize("back", list(permutations(["web", "db", "log"])))
def test_disabled_vms_keep_it(bench: Bench, gone: list[str], back: tuple[str, ...]) -> None:
    """A colocation with disabled VMs is kept with each of them, listed, and holds when the last is enabled."""
    for vm in gone:
        bench.run(lambda context, vm=vm: disable(context, vm))
    said = add(bench, "db", "log")
    assert "score 700" in said
    assert bench.told.said[-1] == f"It holds once {', '.join(sorted(gone))} is enabled."
    assert listed(bench) == {"colocation-web-withdb-log": tuple(sorted(gone))}
    assert listed(bench, "db") == listed(bench)
    assert bench.site.leases() == []
    assert bench.site.constraints.find("rsc_colocation") is None
    add(bench, "db", "log")
    assert "already" in bench.told.said[-1]
    for vm in (vm for vm in back if vm in gone):
        bench.run(lambda context, vm=vm: enable(context, vm))
    assert listed(bench) == {"colocation-web-withdb-log": ()}
    assert bench.site.store == {}


def test_kept_ones_are_removed_too(bench: Bench) -> None:
    """A colocation that is only kept is removed from everywhere, by resources or id, and nothing else with it."""
    constrain(bench.site, PAIR.replace("together", "other").replace('"db"', '"log"'))
    for vm in ("web", "db"):
        bench.run(lambda context, vm=vm: disable(context, vm))
    for way in ({"others": ["db"], "vm": "web"}, {"others": [], "vm": None, "identifier": "colocation-web-withdb"}):
        add(bench, "db")
        assert set(bench.site.store) == {"vm-mgr.web", "vm-mgr.db"}
        drop(bench, *way.pop("others"), **way)  # type: ignore[arg-type,misc]
        assert listed(bench) == {"other": ("web",)}
    for vm in ("db", "web"):
        bench.run(lambda context, vm=vm: enable(context, vm))
    assert listed(bench) == {"other": ()}


def test_a13_13_colocations_survive_disable_and_enable(bench: Bench) -> None:
    """A colocation is the same after its VMs were disabled and enabled in another order."""
    add(bench, "db", "log")
    before = bench.site.state()
    for vm in ("log", "web"):
        bench.run(lambda context, vm=vm: disable(context, vm))
    for vm in ("log", "web"):
        bench.run(lambda context, vm=vm: enable(context, vm))
    assert bench.site.state() == before


def test_enable_meanwhile_does_not_lose_it(bench: Bench) -> None:
    """Somebody enables the disabled VM between reading what is kept of it and adding to that: it is decided anew, and nothing is lost."""
    bench.run(lambda context: disable(context, "db"))
    other = Bench(bench.site, bench.context.clock.__self__, who="bob@lab")  # type: ignore[attr-defined]
    left = [lambda: other.run(lambda context: enable(context, "db"))]
    bench.remote.before = lambda _index, name: left.pop()() if name == "assert_unchanged" and left else None  # type: ignore[func-returns-value]
    add(bench, "db")
    assert listed(bench) == {"colocation-web-withdb": ()}
    assert bench.site.store == {}


def test_not_while_somebody_works_on_one_of_them(bench: Bench) -> None:
    """The mark of another operation on any of the VMs is in the way."""
    bench.remote.before = lambda index, name: bench.remote.faults.update(
        {index: Fault("kill", effect=True)} if name == "lease_take" else {}
    )
    with pytest.raises(Killed):
        bench.run(lambda context: disable(context, "db"))
    other = Bench(bench.site, bench.context.clock.__self__, who="bob@lab")  # type: ignore[attr-defined]
    assert "VM db is being worked on (in progress: disable by ann@desk" in refused(other, "db")


def test_ids_that_would_break_out(bench: Bench) -> None:
    """Without a schema a CIB takes any id; one that is no XML name is not put into an XPath."""
    constrain(bench.site, PAIR.replace("together", "a'] | //*[@id='b"))
    with pytest.raises(VmMgrError, match="no id that can be handled safely"):
        drop(bench, "db")
    assert bench.site.definitions == 0


def test_stopped_vms_need_no_yes(bench: Bench) -> None:
    """What does not run is not affected."""
    bench.run(lambda context: stop(context, "web"))
    assert "never runs where db runs" in add(bench, "db", apart=True, strong=True)


def test_removing_a_vm_says_what_goes_with_it(bench: Bench) -> None:
    """Colocations of a removed VM with one other go with it, and it is taken out of those of several; one change does both."""
    add(bench, "db")
    add(bench, "log", "db")
    definitions = bench.site.definitions
    bench.run(lambda context: remove(context, "db"))
    assert bench.site.definitions == definitions + 1
    assert bench.told.said[-2:] == [
        "With VM db go its constraints with others: colocation-web-withdb.",
        "VM db is taken out of colocation-web-withlog-db (of log, web).",
    ]
    (left,) = bench.run(list_colocations)
    assert (left.colocation.dependent, left.colocation.others) == ("web", ("log",))
