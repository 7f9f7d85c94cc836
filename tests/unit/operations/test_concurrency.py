"""Several administrators at once: one wins, the other is told, and no edit of anybody is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakeremote import Fault, Killed
from fakesite import FakeSite, Image
from workbench import Bench, add_vm, constrain, creating

from vmmgr.drivers.pacemaker.driver import ConflictError
from vmmgr.errors import PartlyDoneError, RefusedError, VmMgrError
from vmmgr.model import Status
from vmmgr.operations.colocation import add_colocation, remove_colocation
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove, repair
from vmmgr.operations.running import start, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench import Clock

    from vmmgr.images import DiskImage

KILL = Fault("kill", effect=True)
PLACE = '<rsc_location id="place-{0}" rsc="db" node="hv1" score="{0}"/>'


def once(name: str, action: Callable[[], Any]) -> Callable[[int, str], None]:
    """Return a hook that acts the first time that a command of this name is about to run."""
    left = [action]

    def hook(_index: int, command: str) -> None:
        if command == name and left:
            left.pop()()

    return hook


def edit(site: FakeSite, mark: str = "1") -> None:
    """Change the configuration as another administrator would."""
    constrain(site, PLACE.format(mark))
    site.edit()


@pytest.mark.parametrize("tool", ["crm", "pcs"])
@pytest.mark.parametrize("verb", [start, stop, disable, enable, remove, "create"])
def test_foreign_edit_between_read_and_write(clock: Clock, disk: DiskImage, verb: Any, tool: str) -> None:
    """An edit that comes between reading and writing is noticed, kept, and the verb decides anew and succeeds."""
    site = FakeSite(tool)
    add_vm(site, "db")
    if verb != "create":
        add_vm(site, "web", running=verb is not start, enabled=verb is not enable)
    bench = Bench(site, clock)
    bench.remote.before = once("assert_unchanged", lambda: edit(site))
    bench.run(creating(disk) if verb == "create" else lambda context: verb(context, "web"))
    assert site.cib.find(".//rsc_location[@id='place-1']") is not None
    assert [event.name for event in bench.remote.log].count("assert_unchanged") >= 2
    assert site.leases() == []


@pytest.mark.parametrize("tool", ["crm", "pcs"])
@pytest.mark.parametrize("disabled", [False, True])
def test_foreign_edit_while_a_colocation_comes_and_goes(clock: Clock, tool: str, *, disabled: bool) -> None:
    """Adding and removing a colocation are decided anew after an edit of somebody else, which stays."""
    site = FakeSite(tool)
    add_vm(site, "db")
    add_vm(site, "web", enabled=not disabled)
    bench = Bench(site, clock)
    for number, verb in enumerate((add_colocation, remove_colocation)):
        bench.remote.before = once("assert_unchanged", lambda number=number: edit(site, str(number)))  # type: ignore[misc]
        bench.run(lambda context, verb=verb: verb(context, "web", ["db"]))
        assert site.cib.find(f".//rsc_location[@id='place-{number}']") is not None
        assert [event.name for event in bench.remote.log].count("assert_unchanged") == 2
    assert (site.leases(), site.store, site.constraints.find("rsc_colocation")) == ([], {}, None)


def test_edit_while_a_vm_stops(clock: Clock) -> None:
    """An edit that comes while a VM is stopping goes into what is kept of it."""
    site = FakeSite()
    add_vm(site, "db")
    add_vm(site, "web")
    bench = Bench(site, clock)

    def hook(index: int, command: str) -> None:
        if command == "store_put" and len(site.constraints) == 2:
            pytest.fail("the new constraint was overlooked")

    def colocate() -> None:
        constrain(site, '<rsc_colocation id="new" rsc="web" with-rsc="db"/>')
        site.edit()

    seen = once("assert_lease", colocate)
    bench.remote.before = lambda index, command: (seen(index, command), hook(index, command))[0]
    bench.run(lambda context: disable(context, "web"))
    assert '\\"new\\"' in site.store["vm-mgr.web"]
    bench.remote.before = lambda _index, _name: None
    bench.run(lambda context: enable(context, "web"))
    assert site.cib.find(".//rsc_colocation[@id='new']") is not None


def test_site_that_changes_all_the_time(clock: Clock) -> None:
    """After some attempts vm-mgr gives up, with nothing changed."""
    site = FakeSite()
    add_vm(site, "db")
    add_vm(site, "web")
    bench = Bench(site, clock)
    bench.remote.before = lambda index, command: edit(site, str(index)) if command == "assert_unchanged" else None
    with pytest.raises(ConflictError, match="changed meanwhile"):
        bench.run(lambda context: stop(context, "web"))
    assert site.target_role("web") == "Started"


@pytest.mark.parametrize(("at", "words"), [("assert_unchanged", "VM web exists already"), ("lease_take", "File exists")])
def test_two_creates_of_one_name(clock: Clock, disk: DiskImage, at: str, words: str) -> None:
    """Of two creates exactly one makes the VM, even if all of it falls between the other's last check and its mark."""
    site = FakeSite()
    bob, ann = Bench(site, clock, "bob@lab"), Bench(site, clock)
    won: list[Any] = []
    bob.remote.before = once(at, lambda: won.append((ann.run(creating(disk)), site.state())))
    with pytest.raises(VmMgrError, match=words):
        bob.run(creating(disk))
    ((state, made),) = won
    assert state.status is Status.STARTED
    assert site.state() == made


def test_create_while_another_creates(clock: Clock, disk: DiskImage) -> None:
    """A create that comes while another is sending its image is refused, with who, what and since when."""
    site = FakeSite()
    ann, bob = Bench(site, clock), Bench(site, clock, "bob@lab")

    def second() -> None:
        with pytest.raises(RefusedError, match=r"in progress: create by ann@desk since 2023-11-14 22:13:20 UTC"):
            bob.run(creating(disk))

    ann.remote.before = once("import_diff", second)
    assert ann.run(creating(disk)).status is Status.STARTED


def test_a13_18_exactly_one_takes_the_mark(clock: Clock) -> None:
    """Two that see the same free VM cannot both mark it: a mark is created, and the second is told of the first."""
    site = FakeSite()
    add_vm(site, "web")
    bob, ann = Bench(site, clock, "bob@lab"), Bench(site, clock)

    def first() -> None:
        ann.remote.before = lambda index, command: ann.remote.faults.update(
            {index + 1: KILL} if command == "lease_take" else {}
        )
        with pytest.raises(Killed):
            ann.run(lambda context: disable(context, "web"))

    bob.remote.before = once("lease_take", first)
    with pytest.raises(RefusedError, match="in progress: disable by ann@desk"):
        bob.run(lambda context: remove(context, "web"))
    assert site.leases() == ["web"]


def test_remove_while_enable_is_under_way(clock: Clock) -> None:
    """An enable that finds the VM being removed is refused; nothing of it comes back."""
    site = FakeSite()
    before = site.state()
    add_vm(site, "web", enabled=False)
    bob, ann = Bench(site, clock, "bob@lab"), Bench(site, clock)
    bob.remote.before = once("assert_unchanged", lambda: ann.run(lambda context: remove(context, "web")))
    with pytest.raises(RefusedError, match="There is no VM web"):
        bob.run(lambda context: enable(context, "web"))
    leftovers = {"files": {name: text for name, text in site.state()["files"].items() if "web.xml" not in name}}
    assert site.state() | leftovers == before


def test_enable_while_remove_is_under_way(clock: Clock) -> None:
    """An enable that comes after the mark of a remove is refused."""
    site = FakeSite()
    add_vm(site, "web", enabled=False)
    bob, ann = Bench(site, clock, "bob@lab"), Bench(site, clock)

    def second() -> None:
        with pytest.raises(RefusedError, match="remove by ann@desk"):
            bob.run(lambda context: enable(context, "web"))

    ann.remote.before = once("watchers", second)
    ann.run(lambda context: remove(context, "web"))
    assert site.images == {}


@pytest.mark.parametrize("verb", [disable, remove])
def test_vm_that_somebody_starts_again(clock: Clock, verb: Any) -> None:
    """A VM that another administrator starts while it is being taken out keeps running; it is never deleted so."""
    site = FakeSite()
    site.delay = 0
    add_vm(site, "web")

    def start_again() -> None:
        pair = site.find(".//primitive[@id='web']/meta_attributes/nvpair[@name='target-role']")
        pair.set("value", "Started")
        site.edit()
        site.settle()

    bench = Bench(site, clock)
    bench.remote.before = once("assert_lease", start_again)
    with pytest.raises(VmMgrError, match="Somebody started VM web again"):
        bench.run(lambda context: verb(context, "web"))
    site.settle()
    assert site.runs["web"].node == "hv1"
    assert site.leases() == []
    assert site.violations == []


@pytest.mark.parametrize("command", ["create_image", "create_group"])
@pytest.mark.parametrize("lost", [False, True])
def test_a13_08_foreign_image_of_the_same_name_survives(clock: Clock, disk: DiskImage, command: str, lost: bool) -> None:
    """What somebody else makes with the same name in the meantime stays, also when the connection breaks at that moment."""
    site = FakeSite()
    bench = Bench(site, clock)

    def foreign() -> None:
        if command == "create_image":
            site.images["system_web"] = Image(7, "precious")
        else:
            site.groups["web"] = set()
        if lost:
            bench.remote.faults = {len(bench.remote.log) - 1: Fault("lost", effect=True)}

    bench.remote.before = once(command, foreign)
    with pytest.raises(VmMgrError, match="lost" if lost else "File exists") as caught:
        bench.run(creating(disk))
    if command == "create_image":
        assert site.images["system_web"] == Image(7, "precious")
    else:
        assert "web" in site.groups
    assert site.leases() == (["web"] if lost else [])
    assert caught.value.exit_code == (5 if lost else 1)


@pytest.mark.parametrize("tool", ["crm", "pcs"])
def test_operation_that_was_taken_for_dead_touches_nothing_more(clock: Clock, disk: DiskImage, tool: str) -> None:
    """A create that wakes up after others repaired it and made the VM anew leaves that one alone."""
    site = FakeSite(tool)
    ann, bob = Bench(site, clock), Bench(site, clock, "bob@lab")

    def others() -> None:
        site.seconds += 5000
        bob.run(lambda context: repair(context, "web"))
        bob.run(creating(disk, disks=2, enable=False))

    ann.remote.before = once("create_group", others)
    with pytest.raises(PartlyDoneError, match="Nothing was undone"):
        ann.run(creating(disk))
    assert site.images["system_web"].data
    assert site.groups == {"web": {"system_web", "data_web_0"}}


def test_create_that_was_repaired_during_its_import_leaves_nothing(clock: Clock, disk: DiskImage) -> None:
    """A create that others cleaned while it sent its data does not begin to lay out what nobody would know of."""
    site = FakeSite()
    ann, bob = Bench(site, clock), Bench(site, clock, "bob@lab")
    before = site.state()

    def say(text: str, *, warning: bool = False) -> None:
        if text.startswith("Imported"):
            site.seconds += 5000
            bob.run(lambda context: repair(context, "web"))

    ann.told.say = say  # type: ignore[method-assign]
    with pytest.raises(PartlyDoneError, match="somebody may have repaired"):
        ann.run(creating(disk))
    assert site.state() == before


@pytest.mark.parametrize("at", ["remove_file", "remove_group", "delete"])
def test_removal_that_was_taken_for_dead_touches_nothing_more(clock: Clock, disk: DiskImage, at: str) -> None:
    """A remove that wakes up after others finished it and made the VM anew leaves that one alone."""
    site = FakeSite()
    site.delay = 0
    add_vm(site, "web")
    ann, bob = Bench(site, clock), Bench(site, clock, "bob@lab")

    def others() -> None:
        site.seconds += 5000
        bob.run(lambda context: repair(context, "web"))
        if at == "delete":
            bob.run(lambda context: remove(context, "web"))
        bob.run(creating(disk, enable=False))

    # the exec before begins with the question whether the mark still stands, so that is where it wakes up
    batches = {"delete": 1, "remove_file": 2, "remove_group": 4}
    count = [0]

    def hook(_index: int, command: str) -> None:
        if command == "assert_lease":
            count[0] += 1
            if count[0] == batches[at]:
                others()

    ann.remote.before = hook
    with pytest.raises(VmMgrError, match="somebody may have repaired") as caught:
        ann.run(lambda context: remove(context, "web"))
    assert caught.value.exit_code == 5
    assert site.images["system_web"].data
    assert site.groups == {"web": {"system_web"}}
