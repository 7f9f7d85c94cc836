"""Every changing verb with a site to run it on; the tests of failures run them with a fault at each of their commands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fakeremote import Event, Fault, Killed
from fakesite import FakeSite
from workbench import DOMAIN, Bench, add_vm, constrain, creating

from vmmgr.drivers.pacemaker.guestnode import GuestNode
from vmmgr.errors import VmMgrError
from vmmgr.operations.clone import clone
from vmmgr.operations.cloneplan import CloneRequest
from vmmgr.operations.colocation import add_colocation, remove_colocation
from vmmgr.operations.guestnode import add_guest_node, remove_guest_node
from vmmgr.operations.inheritance import Wishes
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.metadata import set_metadata, unset_metadata
from vmmgr.operations.purging import purge, remove_snapshot
from vmmgr.operations.removal import remove
from vmmgr.operations.retention import Retention
from vmmgr.operations.rollback import rollback
from vmmgr.operations.running import start, stop
from vmmgr.operations.servicedefinition import ServiceRequest
from vmmgr.operations.servicerunning import remove_service, start_service, stop_service
from vmmgr.operations.services import add_service
from vmmgr.operations.snapshots import SnapshotRequest, create_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench import Clock

    from vmmgr.images import DiskImage
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps

JOURNEYS = (
    "create", "create stopped", "create disabled", "create forced", "clone", "clone paused", "clone disabled", "clone forced", "clone paused forced", "clone copying forced", "start", "stop", "disable", "enable", "enable metadata", "remove", "remove disabled", "set_metadata", "set_metadata new", "unset_metadata", "add_colocation", "add_colocation disabled",
    "remove_colocation", "remove_colocation disabled",
    "add_pacemaker_remote", "add_pacemaker_remote disabled", "add_pacemaker_remote metadata",
    "remove_pacemaker_remote", "remove_pacemaker_remote disabled", "remove_pacemaker_remote metadata",
    "add_service", "remove_service", "start_service", "stop_service", "disable services", "enable services", "remove services",
    "create_snapshot", "create_snapshot compatible", "create_snapshot disabled", "remove_snapshot", "remove_snapshot foreign", "purge",
    "rollback", "rollback stopped", "rollback disabled", "rollback unsafe", "rollback compatible",
)  # fmt: skip
NODE = GuestNode("web-node", "192.0.2.7", connect_timeout=30)
SERVICE = ServiceRequest("web", "beat", ("ocf", "pacemaker", "Dummy"), {"fake": "x"}, attempts=3)
COLOCATION = '<rsc_colocation id="together" rsc="web" with-rsc="db" score="700"/>'


@dataclass
class Outcome:
    """What became of a run."""

    bench: Bench
    value: Any = None
    error: BaseException | None = None

    @property
    def site(self) -> FakeSite:
        return self.bench.site

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if isinstance(self.error, VmMgrError) else 130 if self.error else 0


@dataclass
class Journey:
    """One verb: how the site is before, and what is done to the VM ``web``; the VM ``db`` has nothing to do with it."""

    name: str
    operation: Callable[[Context], Steps[Any]]
    prepared: FakeSite

    def run(self, clock: Clock, faults: dict[int, Fault] | None = None) -> Outcome:
        """Run it on a fresh copy of the site."""
        bench = Bench(self.prepared.clone(), clock)
        bench.remote.faults = faults or {}
        outcome = Outcome(bench)
        try:
            outcome.value = bench.run(self.operation)
        except (VmMgrError, KeyboardInterrupt, Killed) as error:
            outcome.error = error
        return outcome

    def left_behind(self, clock: Clock) -> list[tuple[str, Outcome]]:
        """Return what is left when the workstation is lost, with the command after which it was; of what is alike, one."""
        left = Bench(self.prepared.clone(), clock).left_behind(self.operation)
        return [(where, Outcome(Bench(site, clock), error=Killed())) for where, site in left]

    def commands(self, clock: Clock) -> list[Event]:
        """Return the commands of a run without faults."""
        outcome = self.run(clock)
        assert outcome.error is None, outcome.error
        return outcome.bench.remote.log


def cloning(
    source: str = "src",
    *,
    pause: bool = False,
    full: bool = False,
    enable: bool = True,
    start: bool = True,
    force: bool = False,
    **wishes: Any,
) -> Callable[[Context], Steps[Any]]:
    """Return the operation that clones a VM to ``web``."""
    request = CloneRequest(source, "web", Wishes(**wishes), pause, full, enable, start, force)
    return lambda context: clone(context, request)


_PREPARED: dict[tuple[str, str, str], FakeSite] = {}


def journey(name: str, disk: DiskImage, clock: Clock, tool: str = "crm", hosts: str = "obs1 hv1 hv2") -> Journey:
    """Return a verb with a site that is prepared for it, which is done once for all tests."""
    verb, _, kind = name.partition(" ")
    chosen = (name, tool, hosts)
    if chosen not in _PREPARED:
        _PREPARED[chosen] = _prepared(name, verb, kind, FakeSite(tool, hosts), clock)
    return Journey(name, _operation(verb, kind, disk), _PREPARED[chosen].clone())


def _prepared(name: str, verb: str, kind: str, site: FakeSite, clock: Clock) -> FakeSite:
    site.delay = 0  # waiting has tests of its own
    add_vm(site, "db")
    _add_source(site, verb, kind)
    if "forced" in kind or verb not in {"create", "clone"}:
        running, enabled = verb != "start" and kind != "stopped", kind not in {"metadata", "disabled"}
        add_vm(site, "web", disks=2, running=running, enabled=enabled, stop_timeout=90)
    tied = verb in {"disable", "enable", "remove", "remove_colocation"} and kind not in {"metadata", "disabled"}
    if tied or "forced" in kind:
        constrain(site, COLOCATION)
    if name == "remove_colocation disabled":
        Bench(site, clock).run(lambda context: add_colocation(context, "web", ["db"]))
    _add_services(site, clock, verb, kind)
    if name in {"enable", "enable services"}:
        Bench(site, clock).run(lambda context: disable(context, "web"))
    if name.endswith("pacemaker_remote disabled"):
        Bench(site, clock).run(lambda context: enable(context, "web"))
        Bench(site, clock).run(lambda context: disable(context, "web"))
    if kind != "new" and verb.endswith("set_metadata"):
        site.images["system_web"].metadata["owner"] = "ann"
    if verb == "remove" or "forced" in kind:
        site.take("system_web", "old", protected=True)
        site.take("system_web", "new")
        site.take_group("web", "both")
    _take_snapshots(site, clock, verb, kind)
    site.settle()
    return site


def _add_source(site: FakeSite, verb: str, kind: str) -> None:
    """Make the VM that is to be cloned."""
    if verb == "clone":
        add_vm(site, "src", disks=2, running="paused" in kind, priority=4, preferred_host="hv2")
        site.images["system_src"].metadata |= {
            "owner": "ann",
            "_remote_node": "src-node",
            "_crm_config_cmd": "location x src 1: hv1",
        }
    if "copying" in kind:
        site.take("system_db", "x", kind="trash")
        site.images["system_src"].parent = ("system_db", site.images["system_db"].snapshots[0].id)
        site.images["system_src"].watchers = ["10.0.0.9:0/7"]
        site.slow_manager, site.flattening["system_src"] = True, 0.1


def _operation(verb: str, kind: str, disk: DiskImage) -> Callable[[Context], Steps[Any]]:
    """Return what is done to the VM."""
    operations: dict[str, Callable[[Context], Steps[Any]]] = {
        "create": creating(disk, disks=2, enable=kind != "disabled", start=kind != "stopped", force=kind == "forced"),
        "clone": cloning("src", base_xml=DOMAIN, pause="paused" in kind, enable=kind != "disabled", force="forced" in kind),
        "start": lambda context: start(context, "web"),
        "stop": lambda context: stop(context, "web"),
        "disable": lambda context: disable(context, "web"),
        "enable": lambda context: enable(context, "web"),
        "remove": lambda context: remove(context, "web"),
        "set_metadata": lambda context: set_metadata(context, "web", "owner", "bob\n"),
        "unset_metadata": lambda context: unset_metadata(context, "web", "owner"),
        "add_colocation": lambda context: add_colocation(context, "web", ["db"]),
        "remove_colocation": lambda context: remove_colocation(context, "web", ["db"]),
        "add_service": lambda context: add_service(context, SERVICE),
        "remove_service": lambda context: remove_service(context, "web", "beat"),
        "start_service": lambda context: start_service(context, "web", "beat"),
        "stop_service": lambda context: stop_service(context, "web", "beat"),
        "add_pacemaker_remote": lambda context: add_guest_node(context, "web", NODE),
        "remove_pacemaker_remote": lambda context: remove_guest_node(context, "web"),
        "create_snapshot": lambda context: create_snapshot(
            context, SnapshotRequest("web", "before", compatible=kind == "compatible")
        ),
        "remove_snapshot": lambda context: remove_snapshot(context, "web", kind or "new"),
        "rollback": lambda context: rollback(context, "web", "old", safety=kind != "unsafe"),
        "purge": lambda context: purge(context, "web", Retention(oldest=1)),
    }
    return operations[verb]


def _add_services(site: FakeSite, clock: Clock, verb: str, kind: str) -> None:
    """Make a guest node of the VM with a service in it, for the verbs that are about that."""
    with_service = verb.endswith("_service") or kind == "services"
    if with_service or verb == "remove_pacemaker_remote":
        Bench(site, clock).run(lambda context: add_guest_node(context, "web", NODE))
    if with_service and verb != "add_service":
        request = replace(SERVICE, start=verb != "start_service")
        Bench(site, clock).run(lambda context: add_service(context, request))


def _take_snapshots(site: FakeSite, clock: Clock, verb: str, kind: str) -> None:
    """Take the snapshots that a verb is about."""
    if verb in {"create_snapshot", "remove_snapshot", "purge"}:
        site.take("data_web_0", "foreign")
        site.agents.add("web")
    if verb in {"remove_snapshot", "purge"}:
        Bench(site, clock).run(lambda context: create_snapshot(context, SnapshotRequest("web", "old")))
        Bench(site, clock).run(lambda context: create_snapshot(context, SnapshotRequest("web", "new", compatible=True)))
    if verb == "rollback":
        _make_history(site, clock, kind)


def _make_history(site: FakeSite, clock: Clock, kind: str) -> None:
    """Take a snapshot of the VM, and change its data, its metadata and its domain XML after that."""
    metadata = site.images["system_web"].metadata
    metadata |= {"owner": "ann", "gone": "x"}
    request = SnapshotRequest("web", "old", compatible=kind == "compatible", freeze=kind == "compatible")
    Bench(site, clock).run(lambda context: create_snapshot(context, request))
    del metadata["gone"]
    metadata |= {"owner": "bob", "new": "y", "_priority": "7", "xml": metadata["xml"] + "<!-- newer -->"}
    for image in ("system_web", "data_web_0"):
        site.images[image].data = f"newer data of {image}"
    for host in site.hosts.values():
        if host.files:
            host.files["/etc/pacemaker/web.xml"] = metadata["xml"]
