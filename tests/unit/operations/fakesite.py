"""A whole site in memory: Pacemaker, Ceph and the machines, as much of them as vm-mgr can see (Pacemaker 2.1.5, Ceph 16)."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.authkey import FALLBACK, FILE
from vmmgr.site.model import Machine, Site

if TYPE_CHECKING:
    from vmmgr.errors import ConnectError

EPOCH_START = 1_700_000_000
SECRET = ("11111111-2222-3333-4444-555555555555", "client.libvirt secret")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


@dataclass
class Snapshot:
    """A snapshot of an image: ``name`` is what the user called it, whether it is the image's own, its group's or in the trash."""

    id: int
    name: str
    data: str
    time: int
    protected: bool = False
    kind: str = "user"

    def described(self) -> tuple[str, ...]:
        return (self.kind, self.name, self.data, "protected" if self.protected else "")


@dataclass
class Image:
    """An RBD image; ``parent`` is the image and the snapshot that it depends on, ``clones`` are others that depend on it.

    It was made at ``created``, in the site's seconds.
    """

    size: int
    data: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    watchers: list[str] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    clones: list[str] = field(default_factory=list)
    parent: tuple[str, int] | None = None
    created: float = 0.0

    def snapshot(self, name: str, kind: str = "user") -> Snapshot | None:
        return next((item for item in self.snapshots if (item.name, item.kind) == (name, kind)), None)


@dataclass
class Host:
    """A machine: its files, and what is installed there."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    tools: list[str] = field(default_factory=lambda: ["crm"])
    agents: list[str] = field(default_factory=lambda: ["heartbeat"])
    secrets: list[tuple[str, str]] = field(default_factory=lambda: [SECRET])
    domains: dict[str, str] = field(default_factory=dict)
    reachable: bool = True
    quorate: bool = True
    answers: bool = True
    refuses_domain: str = ""
    node: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        """The key that Pacemaker uses for remote nodes."""
        return self.files.get(FILE) or self.files.get(FALLBACK)


@dataclass
class Guest(Host):
    """A guest with Debian 12, and the remote daemon in it.

    Attributes:
        address: Where it is reached.
        unreachable: From where it cannot be reached: ``workstation``, or the name of a hypervisor.
        refuses: The error that SSH meets wherever it can be reached.
        agent: Whether its own agent runs commands.
        sudo: Whether the login may be root.
        managers: The package managers that it has.
        free: KiB.
        packages: What is installed, and in ``record`` what was written down of that.
        folders: The folders that were made, with what was sent there.
        active, enabled, port: The remote daemon; it listens after so many of the site's seconds.
        broken: Why it ends as soon as it was started.
        connected: Whether a cluster is connected to it.
        firewall: Whether an active firewall lets the port through; None where there is none.
        source: Whether it has package sources.
        needed: What needs the packages by now.
    """

    address: str = "10.0.0.101"
    unreachable: set[str] = field(default_factory=set)
    refuses: ConnectError | None = None
    agent: bool = False
    sudo: bool = True
    system: str = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"'
    managers: list[str] = field(default_factory=lambda: ["apt-get"])
    free: int = 600_000
    packages: list[str] = field(default_factory=lambda: ["bash"])
    record: list[str] = field(default_factory=list)
    folders: dict[str, bytes] = field(default_factory=dict)
    active: bool = False
    enabled: bool = False
    port: str = "3121"
    listens_after: float = 0.0
    broken: str = ""
    connected: bool = False
    firewall: bool | None = None
    source: bool = True
    needed: str = ""

    def lasting(self) -> dict[str, object]:
        """Return what lasts, for comparison."""
        names = ("files", "packages", "record", "folders", "active", "enabled", "port", "firewall")
        return {name: copy.copy(getattr(self, name)) for name in names}


@dataclass
class Run:
    """How a VM is doing; ``progress`` counts the looks since its start or stop began.

    ``still`` is what would end that its guest is held still, the timer's unit, and when that does so.
    """

    node: str | None = None
    progress: int = 0
    role: str = "Stopped"
    failed: bool = False
    blocked: bool = False
    given_up: bool = False
    managed: bool = True
    still: tuple[str, str, float] | None = None


class FakeSite:
    """The state of a site.

    Attributes:
        delay: The looks that a start or a stop takes.
        broken: For a VM: ``start`` or ``stop`` fails, ``hang`` never ends.
        deaf: The guest nodes that nobody can connect to; ``locked`` are those that have another key; ``cut_off`` are the
            machines that reach no guest.
        definitions: How many changes of definition the CIB has seen.
        violations: What must never happen.
    """

    def __init__(self, tool: str = "crm", hosts: str = "obs1 hv1 hv2", agent: str = "heartbeat") -> None:
        self.hosts = {name: Host(name, tools=[tool], agents=[agent]) for name in hosts.split()}
        self.cib = ET.fromstring(
            '<cib admin_epoch="0" epoch="5" num_updates="0"><configuration>'
            '<crm_config><cluster_property_set id="cib-bootstrap-options"/></crm_config><nodes/>'
            '<resources><primitive id="fence" class="stonith" type="fence_ipmilan"/></resources><constraints/>'
            "</configuration><status/></cib>"
        )
        self.images: dict[str, Image] = {}
        self.groups: dict[str, set[str]] = {}
        self.group_snapshots: dict[str, dict[str, str]] = {}
        self.snapshot_ids = 3
        self.agents: set[str] = set()
        self.flattening: dict[str, float] = {}
        self.slow_manager = self.manager_gone = False
        self.store: dict[str, str] = {}
        self.runs: dict[str, Run] = {}
        self.seconds = 0.0
        self.delay = 1
        self.broken: dict[str, str] = {}
        self.deaf: set[str] = set()
        self.locked: set[str] = set()
        self.cut_off: set[str] = set()
        self.guests: dict[str, Guest] = {}
        self.more_addresses: list[str] = []
        self.definitions = 0
        self.violations: list[str] = []

    # --- for the tests -----------------------------------------------------------------------------------------------

    @property
    def site(self) -> Site:
        """What an inventory would say of it."""
        machines = [
            Machine(name, name, observer=name.startswith("obs"), hypervisor=not name.startswith("obs")) for name in self.hosts
        ]
        return Site("test", tuple(machines))

    def find(self, path: str) -> ET.Element:
        found = self.cib.find(path)
        assert found is not None, path
        return found

    @property
    def resources(self) -> ET.Element:
        return self.find("configuration/resources")

    @property
    def constraints(self) -> ET.Element:
        return self.find("configuration/constraints")

    # most of the time of these tests was spent in looking things up by XPath; loops take a fifth of it
    def primitive(self, vm: str) -> ET.Element | None:
        return next((item for item in self.resources.iter("primitive") if item.get("id") == vm), None)

    def target_role(self, vm: str) -> str:
        primitive = self.primitive(vm)
        pairs = [pair for part in primitive if part.tag == "meta_attributes" for pair in part] if primitive is not None else []
        return next((pair.get("value", "") for pair in pairs if pair.get("name") == "target-role"), "")

    def edit(self) -> None:
        """Count a change of the configuration."""
        self.cib.set("epoch", str(int(self.cib.get("epoch", "0")) + 1))

    def guest_nodes(self) -> dict[str, str]:
        """Return the VMs that are nodes, by the names that they have as such."""
        pairs = self.resources.iterfind("primitive/meta_attributes/nvpair[@name='remote-node']/../..")
        found = {item.get("id", ""): item.find("meta_attributes/nvpair[@name='remote-node']") for item in pairs}
        return {pair.get("value", ""): vm for vm, pair in found.items() if pair is not None}

    def leases(self) -> list[str]:
        sets = self.find("configuration/crm_config").iterfind("cluster_property_set")
        return [item.get("id", "").removeprefix("vm-mgr-") for item in sets if item.get("id", "").startswith("vm-mgr-")]

    def take(self, image: str, name: str, *, protected: bool = False, kind: str = "user") -> None:
        """Take a snapshot of an image."""
        self.snapshot_ids += 1
        item, time = self.images[image], EPOCH_START + int(self.seconds)
        item.snapshots.append(Snapshot(self.snapshot_ids, name, item.data, time, protected, kind))

    def take_group(self, group: str, name: str) -> None:
        """Take a snapshot of a group."""
        self.group_snapshots.setdefault(group, {})[name] = "ok"
        for image in sorted(self.groups[group]):
            self.take(image, name, kind="group")

    def clone(self) -> FakeSite:
        """Return a copy that has nothing in common with this one."""
        other = copy.copy(self)
        other.__dict__ |= pickle.loads(self._frozen())
        other.cib = copy.deepcopy(self.cib)  # which is done in C, and pickling elements is not
        return other

    def fingerprint(self) -> tuple[str, bytes]:
        """Return all that there is, how Pacemaker and the clock stand included; what has the same one goes on in the same way."""
        return xml_of(self.cib), self._frozen()

    def _frozen(self) -> bytes:
        return pickle.dumps({name: value for name, value in vars(self).items() if name != "cib"})

    def state(self, *, without: str = "") -> dict[str, Any]:
        """Return everything that lasts, for comparison; ``without`` leaves a VM's own things out."""
        files = {f"{host.name}:{path}": text for host in self.hosts.values() for path, text in host.files.items()}
        parts = {
            "cib": sorted(map(xml_of, self.cib.iterfind("configuration/*/*"))),
            "images": {
                name: (
                    image.size,
                    image.data,
                    dict(image.metadata),
                    [item.described() for item in image.snapshots if not without or without not in item.name],
                    image.parent,
                )
                for name, image in self.images.items()
            },
            "groups": {name: set(members) for name, members in self.groups.items()},
            "group snapshots": {name: dict(found) for name, found in self.group_snapshots.items() if found},
            "store": dict(self.store),
            "guests": {vm: guest.lasting() for vm, guest in self.guests.items()},
            "files": files,
            "running": sorted(vm for vm, run in self.runs.items() if run.node),
            "still": sorted(vm for vm, run in self.runs.items() if run.still and self.seconds < run.still[2]),
        }
        return {key: _without(value, without) for key, value in parts.items()} if without else parts

    def settle(self) -> None:
        """Let Pacemaker come to an end."""
        for _ in range(3 * (self.delay + 1)):
            for primitive in self.resources.iter("primitive"):
                self._advance(primitive, quorate=True)

    # --- Pacemaker ---------------------------------------------------------------------------------------------------

    def _advance(self, primitive: ET.Element, *, quorate: bool) -> None:
        """Let Pacemaker do a bit of its work on a VM."""
        vm = primitive.get("id", "")
        run = self.runs.setdefault(vm, Run())
        node = self.tied_to(vm)
        if (primitive.get("type") != "VirtualDomain" and not node) or not run.managed or run.blocked:
            return
        if node and self._candidate(vm) is None:  # a service goes down with its VM
            self.move(vm, run, None)
            return
        wants_stop = self.target_role(vm) == "Stopped"
        candidate = self._candidate(vm) if quorate else None
        if run.node and not wants_stop and quorate and candidate != run.node and self._followed(vm):
            run.progress += 1
            if run.progress > self.delay + 1:
                self.move(vm, run, candidate)
            return
        if wants_stop == (run.node is None) or (not wants_stop and (run.given_up or candidate is None)):
            run.role, run.progress = ("Started" if run.node else "Stopped"), 0
            return
        run.role, run.progress = ("Stopping" if wants_stop else "Starting"), run.progress + 1
        problem = self.broken.get(vm)
        if run.progress <= self.delay or problem == "hang":
            return
        if problem == ("stop" if wants_stop else "start"):
            self._fail(vm, run, "stop" if wants_stop else "start", run.node or candidate or "")
            return
        self.move(vm, run, None if wants_stop else candidate)

    def _fail(self, vm: str, run: Run, operation: str, node: str) -> None:
        run.failed = run.blocked = operation == "stop"
        run.given_up, run.progress, run.role = True, 0, ("Started" if run.node else "Stopped")
        self._record(vm, operation, node, "no memory")

    def _ask_guest(self, node: str, vm: str) -> None:
        """Find out whether the remote daemon in a guest lets the nodes in."""
        if guest := self.guests.get(vm):
            keys = {guest.key, *(host.key for host in self.hosts.values() if host.reachable)}
            (self.deaf.discard if guest.active else self.deaf.add)(node)
            (self.locked.discard if len(keys) == 1 else self.locked.add)(node)

    def _record(self, resource: str, operation: str, node: str, reason: str) -> None:
        """Write a failure down in the history."""
        self.find("status").append(
            ET.fromstring(
                f'<node_state uname="{node}"><lrm><lrm_resources><lrm_resource id="{resource}"><lrm_rsc_op operation="{operation}" '
                f'rc-code="1" on_node="{node}" exit-reason="{reason}" last-rc-change="7"/></lrm_resource></lrm_resources></lrm>'
                "</node_state>"
            )
        )

    def move(self, vm: str, run: Run, node: str | None) -> None:
        """Have a VM run on a node, or nowhere."""
        run.node, run.progress, run.role = node, 0, ("Started" if node else "Stopped")
        for image in self.groups.get(vm, ()):
            self.images[image].watchers = [f"10.0.0.9:0/{node}"] if node else []

    def tied_to(self, resource: str) -> str | None:
        """Return the guest node that a service runs in and nowhere else."""
        found = [item for item in self._pins(resource) if item.get("resource-discovery") == "exclusive"]
        node = found[0].get("node", "") if found else ""
        return node if node and node not in self.hosts else None

    def _pins(self, resource: str) -> list[ET.Element]:
        """Return the constraints that have a resource run in one place only."""
        locations = self.constraints.iter("rsc_location")
        return [item for item in locations if item.get("rsc") == resource and item.get("score") == "INFINITY"]

    def _candidate(self, vm: str) -> str | None:
        if node := self.tied_to(vm):
            machine = self.guest_nodes().get(node)
            return node if machine and self.runs[machine].node and node not in self.deaf | self.locked else None
        pins = [item.get("node") for item in self._pins(vm)]
        possible = []
        for host in self.hosts.values():
            usable = all(host.node.get(key, good) == good for key, good in (("online", "true"), ("standby", "false")))
            if not host.name.startswith("obs") and usable and (not pins or host.name in pins):
                possible.append(host.name)
        for item in self._followed(vm):
            possible = self._beside(vm, item, possible)
        return possible[0] if possible else None

    def _followed(self, vm: str) -> list[ET.Element]:
        """Return the colocations in which a VM follows others: it is named first."""
        first = [(item, [*item.iter("resource_ref")]) for item in self.constraints.iter("rsc_colocation")]
        return [item for item, refs in first if vm == item.get("rsc", refs[0].get("id") if refs else None)]

    def _beside(self, vm: str, item: ET.Element, possible: list[str]) -> list[str]:
        """Return the hosts that a colocation leaves, of those that are possible."""
        others = {ref.get("id", "") for ref in item.iter("resource_ref")} | {item.get("with-rsc", "")} - {""}
        taken = {run.node for name, run in self.runs.items() if name in others - {vm} and run.node}
        together, score = not item.get("score", "").startswith("-"), item.get("score", "")
        fit = [name for name in possible if (taken <= {name} if together else name not in taken)]
        return fit if fit or score.endswith("INFINITY") else possible

    def simulation(self, host: Host) -> str:
        """Return the answer of crm_simulate, after Pacemaker has done a bit of its work."""
        for primitive in self.resources.iter("primitive"):
            self._advance(primitive, quorate=host.quorate)
        root = ET.Element("pacemaker-result")
        actions = ET.SubElement(root, "actions")
        for primitive in self.resources.iter("primitive"):
            self._plan(actions, primitive, quorate=host.quorate)
        for tag, later in (("cluster_status", False), ("revised_cluster_status", True)):
            status = ET.SubElement(root, tag)
            nodes = ET.SubElement(status, "nodes")
            defaults = dict.fromkeys(("standby", "standby_onfail", "maintenance", "unclean"), "false")
            for item in self.hosts.values():
                ET.SubElement(nodes, "node", {"name": item.name, "type": "member", "online": "true", **defaults, **item.node})
            for node, vm in self.guest_nodes().items():
                self._ask_guest(node, vm)
                if node in self.locked:
                    self._record(node, "start", self.runs[vm].node or "", "Key was rejected by service")
                online = str(bool(self.runs[vm].node) and node not in self.deaf).lower()
                ET.SubElement(
                    nodes, "node", {"name": node, "type": "remote", "id_as_resource": vm, "online": online, **defaults}
                )
            resources = ET.SubElement(status, "resources")
            for node, vm in self.guest_nodes().items():
                role = "Started" if self.runs[vm].node and not {node} & (self.deaf | self.locked) else "Stopped"
                ET.SubElement(resources, "resource", id=node, resource_agent="ocf:pacemaker:remote", role=role)
            for primitive in self.resources.iter("primitive"):
                self._describe(resources, primitive, quorate=host.quorate, later=later)
        return xml_of(root)

    def _plan(self, actions: ET.Element, primitive: ET.Element, *, quorate: bool) -> None:
        """Say what Pacemaker intends with a VM that runs."""
        vm = primitive.get("id", "")
        run = self.runs[vm]
        if run.node is None or not run.managed or run.blocked:
            return
        node = None if self.target_role(vm) == "Stopped" or not quorate else self._candidate(vm)
        if node is None:
            ET.SubElement(actions, "rsc_action", action="stop", resource=vm, node=run.node, reason="node availability")
        elif node != run.node:
            live = primitive.find("meta_attributes/nvpair[@name='allow-migrate'][@value='true']") is not None
            ET.SubElement(actions, "rsc_action", action="migrate" if live else "move", resource=vm, source=run.node, dest=node)

    def _describe(self, resources: ET.Element, primitive: ET.Element, *, quorate: bool, later: bool) -> None:
        vm = primitive.get("id", "")
        run = self.runs.setdefault(vm, Run())
        agent = ":".join(primitive.get(key, "") for key in ("class", "provider", "type") if primitive.get(key))
        role, node = run.role, run.node
        if role == "Starting":
            node = self._candidate(vm)
        if later and run.managed and not run.blocked:
            node = None if self.target_role(vm) == "Stopped" or run.given_up else (self._candidate(vm) if quorate else None)
            role = "Started" if node else "Stopped"
        flags = {"managed": run.managed and not run.blocked, "blocked": run.blocked, "failed": run.failed and not later}
        attributes = {"id": vm, "resource_agent": agent, "role": role} | {key: str(on).lower() for key, on in flags.items()}
        if self.target_role(vm):
            attributes["target_role"] = self.target_role(vm)
        item = ET.SubElement(resources, "resource", attributes)
        if node:
            ET.SubElement(item, "node", name=node)


def xml_of(element: ET.Element) -> str:
    """Return an element as XML, in a third of the time that ElementTree takes for all that it can do and a CIB has not."""
    attributes = "".join([f' {name}="{_escaped(value)}"' for name, value in element.attrib.items()])
    inside = "".join([xml_of(child) for child in element])
    return f"<{element.tag}{attributes}>{_escaped((element.text or '').strip())}{inside}</{element.tag}>"


@cache
def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _without(value: Any, word: str) -> Any:
    """Drop what names a VM."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if word not in str(key)}
    return [item for item in value if word not in str(item)]
