"""``create --force`` and ``clone --force``: a new VM in the place of an old one, or the old one again, and never neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from fakeremote import Fault, Killed
from fakesite import FakeSite
from journeys import cloning
from workbench import DOMAIN, Bench, Clock, add_vm, constrain, creating

from vmmgr.errors import RefusedError, VmMgrError
from vmmgr.model import Status, VmState
from vmmgr.operations.clone import clone
from vmmgr.operations.cloneplan import CloneRequest
from vmmgr.operations.definition import Settings
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import repair

if TYPE_CHECKING:
    from vmmgr.images import DiskImage

Replacing = Callable[..., Any]
COLOCATION = '<rsc_colocation id="together" rsc="web" with-rsc="db" score="700"/>'
LOCATION = '<rsc_location id="mine" rsc="web" node="hv2" score="5"/>'
SHARED = '<rsc_location id="ours" node="hv2" score="3"><resource_set id="ours-0"><resource_ref id="web"/><resource_ref id="db"/></resource_set></rsc_location>'


def with_old(tool: str = "crm", agent: str = "heartbeat", **options: Any) -> FakeSite:
    """Return a site with the VM ``web``, which has two disks, snapshots and constraints."""
    site = FakeSite(tool, agent=agent)
    site.delay = 0
    add_vm(site, "db")
    add_vm(site, "web", disks=2, **options)
    if options.get("enabled", True):
        constrain(site, COLOCATION)
        constrain(site, LOCATION)
    site.take("system_web", "old", protected=True)
    site.take_group("web", "both")
    site.settle()
    return site


def constraints(site: FakeSite) -> set[str]:
    """Return the ids of the constraints of ``web``."""
    return {item.get("id", "") for item in site.constraints if "web" in (item.get("rsc"), item.get("with-rsc"))}


@pytest.fixture(params=["create", "clone"])
def replacing(request: pytest.FixtureRequest, disk: DiskImage) -> Replacing:
    """What makes a VM in the place of ``web``: out of an image, or of the disks of ``db``."""
    if request.param == "create":
        return lambda **options: creating(disk, force=True, **options)
    return lambda **options: cloning("db", base_xml=DOMAIN, force=True, **options)


@pytest.mark.parametrize("tool", ["crm", "pcs"])
def test_the_new_vm_takes_the_place(clock: Clock, replacing: Replacing, tool: str) -> None:
    """New disks, metadata, file and definition under the same name; constraints with others stay; of the old one nothing is left."""
    site = with_old(tool)
    definitions, bench = site.definitions, Bench(site, clock)
    site.images["system_db"].metadata["_preferred_host"] = "hv2"
    data = site.images["system_db"].data
    state = bench.run(replacing())
    assert state == VmState("web", Status.STARTED, "hv1")
    assert site.images.keys() == {"system_db", "system_web"}
    assert site.groups == {"db": {"system_db"}, "web": {"system_web"}}
    assert site.images["system_web"].data != "data of system_web"
    metadata = site.images["system_web"].metadata
    assert {host.files.get("/etc/pacemaker/web.xml") for host in site.hosts.values()} == {None, metadata["xml"]}
    cloned = site.images["system_web"].data == data
    assert constraints(site) == {"together", "web-hypervisors-only"} | ({"prefer-web-onhv2"} if cloned else set())
    assert (site.leases(), site.store, site.violations) == ([], {}, [])
    assert not any(site.group_snapshots.values())
    assert not any(image.snapshots or image.parent for image in site.images.values())
    assert site.definitions - definitions == 1
    assert bench.told.warnings == ["With the old VM web go its snapshots: both, old."]


def test_the_old_vm_runs_while_the_new_disks_arrive(clock: Clock, replacing: Replacing) -> None:
    """Until the new disks are there, with all that goes with them, the old VM runs; it is removed after the new one has started."""
    site = with_old()
    bench = Bench(site, clock)
    seen: dict[str, tuple[str | None, bool]] = {}
    bench.remote.before = lambda _index, name: seen.update(
        {name: (site.runs["web"].node, "vm-mgr-old.system_web" in site.images)}
    )
    bench.run(replacing())
    assert seen["import_diff" if "import_diff" in seen else "clone_image"] == ("hv1", False)
    assert seen["set_metadata"] == ("hv1", False)
    assert seen["redefine"] == (None, True)
    assert seen["remove_group_snapshot"] == ("hv1", True)


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("agent", ["heartbeat", "seapath"])
def test_a13_06_the_old_vm_comes_back(clock: Clock, replacing: Replacing, agent: str, *, running: bool) -> None:
    """When the new VM does not start, everything is as it was before: disks, snapshots, metadata, file, definition and role."""
    site = with_old(agent=agent, running=running)
    before, bench = site.state(), Bench(site, clock)
    count = [0]

    def breaking(_index: int, name: str) -> None:
        count[0] += name == "redefine"
        site.broken = {"web": "start"} if count[0] == 1 else {}

    bench.remote.before = breaking
    with pytest.raises(VmMgrError, match=r"no memory\. The old VM web is put back as it was") as caught:
        bench.run(replacing())
    assert caught.value.exit_code == 1
    site.settle()
    assert site.state() == before
    assert site.violations == []


@pytest.mark.parametrize("starts", [True, False])
def test_edits_of_others_meanwhile(clock: Clock, replacing: Replacing, *, starts: bool) -> None:
    """An edit just before each change is noticed and kept, and the change is decided anew: the mark, the swap, the way back."""
    site = with_old()
    bench, seen = Bench(site, clock), list[str]()

    def edit(_index: int, name: str) -> None:
        seen.append(name)
        site.broken = {"web": "start"} if not starts and seen.count("redefine") == 1 else {}
        if name == "assert_unchanged" and seen.count(name) % 2:
            constrain(site, f'<rsc_location id="place-{seen.count(name)}" rsc="db" node="hv1" score="1"/>')
            site.edit()

    bench.remote.before = edit
    if starts:
        assert bench.run(replacing()).status is Status.STARTED
    else:
        with pytest.raises(VmMgrError, match="The old VM web is put back as it was"):
            bench.run(replacing())
    kept = {item.get("id") for item in site.constraints if item.get("rsc") == "db"} - {"db-hypervisors-only"}
    assert (seen.count("assert_unchanged"), kept) == (
        (4, {"place-1", "place-3"}) if starts else (6, {f"place-{n}" for n in (1, 3, 5)})
    )
    assert (len(site.images["system_web"].snapshots) == 2) is not starts
    assert (site.leases(), site.violations) == ([], [])


def test_ctrl_c_while_the_new_vm_starts_brings_the_old_one_back(clock: Clock, replacing: Replacing) -> None:
    """Whoever interrupts it does not want the new VM."""
    site = with_old()
    before, bench = site.state(), Bench(site, clock)
    names: list[str] = []
    bench.remote.before = lambda _index, name: names.append(name)
    bench.run(replacing())
    index = len(names) - 1 - names[::-1].index("redefine") + 1
    site = with_old()
    bench = Bench(site, clock)
    bench.remote.faults = {index: Fault("SIGINT", effect=True)}
    with pytest.raises(KeyboardInterrupt):
        bench.run(replacing())
    site.settle()
    assert site.state() == before


@pytest.mark.parametrize("given", ["00000002-0000-4000-8000-000000000000", "0000000A-0000-4000-8000-000000000000"])
def test_a13_04_the_uuid_of_the_old_vm_is_no_clash(
    clock: Clock, disk: DiskImage, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """The new VM may have the UUID of the old one, in capitals too; that of another VM is refused."""
    site = with_old()
    for name, uuid in (("web", given.lower()), ("db", "0000000b-0000-4000-8000-000000000000")):
        metadata = site.images[f"system_{name}"].metadata
        metadata["xml"] = f"<domain><name>{name}</name><uuid>{uuid}</uuid></domain>\n"
        for host in ("hv1", "hv2"):
            site.hosts[host].files[f"/etc/pacemaker/{name}.xml"] = metadata["xml"]
    site.hosts["hv1"].domains = {"web": given.lower()}
    template = "<domain><name>x</name><uuid>{}</uuid><devices/></domain>"
    monkeypatch.setattr("workbench.DOMAIN", template.format("0000000B-0000-4000-8000-000000000000"))
    with pytest.raises(RefusedError, match="belongs to another VM"):
        Bench(site, clock).run(creating(disk, force=True))
    monkeypatch.setattr("workbench.DOMAIN", template.format(given))
    assert Bench(site, clock).run(creating(disk, force=True)).status is Status.STARTED


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(
    ("options", "status"), [({"start": False}, Status.STOPPED), ({"enable": False}, Status.DISABLED), ({}, Status.STARTED)]
)
def test_the_new_vm_is_as_the_options_say(
    clock: Clock, replacing: Replacing, options: dict[str, bool], status: Status, *, enabled: bool
) -> None:
    """Whether the old one was disabled does not matter; a disabled new one gets the constraints with others when it is enabled."""
    site = with_old()
    if not enabled:
        Bench(site, clock).run(lambda context: disable(context, "web"))
    bench = Bench(site, clock)
    assert bench.run(replacing(**options)).status is status
    assert site.images.keys() == {"system_db", "system_web"}
    assert site.leases() == []
    if status is Status.DISABLED:
        assert site.primitive("web") is None
        bench.run(lambda context: enable(context, "web"))
    assert "together" in constraints(site)
    assert "mine" not in constraints(site)
    assert (site.store, site.violations) == ({}, [])


def test_own_commands_of_the_old_vm_are_not_kept(clock: Clock, disk: DiskImage) -> None:
    """What the further commands of a VM had made is made anew by those of the new one, and not kept twice."""
    site = FakeSite()
    bench = Bench(site, clock)
    settings = Settings(commands={"": ("location near web 100: hv2",)})
    bench.run(creating(disk, settings=settings))
    bench.run(creating(disk, settings=settings, force=True))
    assert constraints(site) == {"near", "web-hypervisors-only"}


def test_a_location_of_several_stays(clock: Clock, disk: DiskImage) -> None:
    """Where the old VM was to run together with others is not its own affair: it holds for the others, and for the new one."""
    site = with_old()
    constrain(site, SHARED)
    Bench(site, clock).run(creating(disk, force=True))
    (kept,) = site.constraints.iterfind("rsc_location[@id='ours']")
    assert [item.get("id") for item in kept.iter("resource_ref")] == ["web", "db"]


def test_without_an_old_vm_it_is_a_plain_create(clock: Clock, disk: DiskImage) -> None:
    """``--force`` on a name that nobody has changes nothing."""
    one, other = FakeSite(), FakeSite()
    Bench(one, clock).run(creating(disk))
    Bench(other, clock).run(creating(disk, force=True))
    assert one.groups == other.groups == {"web": {"system_web"}}
    assert other.leases() == []


def _clone(site: FakeSite) -> None:
    site.images["data_web_0"].clones = ["other"]


def _clone_under_way(site: FakeSite) -> None:
    bench = Bench(site, Clock())
    bench.remote.before = lambda index, name: bench.remote.faults.update(
        {index: Fault("kill", effect=True)} if name == "lease_take" else {}
    )
    with pytest.raises(Killed):
        bench.run(lambda context: clone(context, CloneRequest("web", "other", pause=True)))


def _copying(site: FakeSite) -> None:
    site.take("system_db", "x", kind="trash")
    site.images["data_web_0"].parent = ("system_db", site.images["system_db"].snapshots[0].id)


def _unmanaged(site: FakeSite) -> None:
    site.runs["web"].managed = False


def _no_xml(site: FakeSite) -> None:
    del site.images["system_web"].metadata["xml"]


def _no_group(site: FakeSite) -> None:
    del site.groups["web"]


def _left(site: FakeSite) -> None:
    site.images["vm-mgr-old.system_web"] = site.images["system_db"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_clone, "The clones rbd/other still depend on the disks of VM web"),
        (_clone_under_way, "VM other is being worked on .*: clone by ann@desk"),
        (_copying, "The disks of VM web still depend on rbd/system_db"),
        (_unmanaged, "Pacemaker does not manage VM web now"),
        (_no_xml, "has no metadata 'xml', so it could not be put back"),
        (_no_group, "is incomplete: no group, so it could not be put back"),
        (_left, "Ceph has vm-mgr-old.system_web, left of an earlier replacement"),
    ],
)
def test_what_cannot_be_replaced(clock: Clock, replacing: Replacing, spoil: Any, said: str) -> None:
    """A VM that could not be put back, or could not go, is refused before anything is touched."""
    site = with_old()
    spoil(site)
    before = site.state()
    with pytest.raises(RefusedError, match=said):
        Bench(site, clock).run(replacing())
    assert site.state() == before


@pytest.mark.parametrize("options", [{}, {"start": False}, {"enable": False}])
@pytest.mark.parametrize("enabled", [True, False])
def test_killed_at_any_command(clock: Clock, replacing: Replacing, options: dict[str, bool], *, enabled: bool) -> None:
    """Wherever the workstation dies, a repair from another one leaves the old VM or the new one, whole, running as it should."""
    prepared = with_old()
    if not enabled:
        Bench(prepared, clock).run(lambda context: disable(context, "web"))
    prepared.settle()
    whole = prepared.clone()
    left = Bench(whole, clock).left_behind(replacing(**options))
    ends = [prepared.state(), whole.state()]
    seen = set()
    for where, site in left:
        site.seconds += 5000
        if site.leases():
            Bench(site, clock, "bob@lab").run(lambda context: repair(context, "web"))
        site.settle()
        assert site.leases() == [], where
        assert site.violations == [], where
        assert site.state() in ends, where
        seen.add(ends.index(site.state()))
    assert seen == {0, 1}


EXCLUSIVE = {"create_image", "create_group", "clone_image", "create_snapshot"}
FAULTS = (
    Fault("fail"),
    Fault("fail", effect=True),
    Fault("lost"),
    Fault("lost", effect=True),
    Fault("lost", effect=True, rest=True),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}{'-late' * fault.effect}{'-on' * fault.rest}")
def test_fault_at_any_command(clock: Clock, replacing: Replacing, fault: Fault) -> None:
    """A failure leaves the old VM or the new one, or it is marked and a repair does."""
    prepared = with_old()
    whole = prepared.clone()
    events: list[str] = []
    bench = Bench(whole, clock)
    bench.remote.before = lambda _index, name: events.append(name)
    bench.run(replacing())
    ends = [prepared.state(), whole.state()]
    for index, name in enumerate(events):
        if fault.kind == "fail" and fault.effect and name in EXCLUSIVE:
            continue  # Ceph's "exists already" is taken at its word
        site = prepared.clone()
        bench = Bench(site, clock)
        bench.remote.faults = {index: fault}
        failure: VmMgrError | None = None
        try:
            bench.run(replacing())
        except VmMgrError as error:
            failure = error
        where = (index, name, str(failure))
        if site.leases():
            assert failure is not None, where
            assert failure.exit_code == 5, where
            site.seconds += 5000
            Bench(site, clock, "bob@lab").run(lambda context: repair(context, "web"))
        site.settle()
        assert site.leases() == [], where
        assert site.violations == [], where
        assert site.state() in ends, where
