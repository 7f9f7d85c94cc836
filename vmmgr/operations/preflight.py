"""What ``deploy`` has to know before it changes anything: the cluster, the nodes' keys, the network, and the guest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmmgr.drivers.guest import survey
from vmmgr.drivers.libvirt.addresses import Reach
from vmmgr.drivers.pacemaker.authkey import FILE
from vmmgr.drivers.pacemaker.guestnode import PORT, GuestNode, port_of
from vmmgr.errors import ConnectError, RefusedError, VmMgrError
from vmmgr.model import Status
from vmmgr.operations.entering import enter, find_address
from vmmgr.operations.guestnode import check_guest_node, guest_node_problems
from vmmgr.operations.lease import lease_problems
from vmmgr.operations.nodesettings import look
from vmmgr.operations.reaching import blocked_problems
from vmmgr.operations.remotekey import KeyPlan, key_questions, plan_key
from vmmgr.operations.status import is_connected, state_of
from vmmgr.operations.steps import ReadEach, Say, read
from vmmgr.operations.stopping import exists
from vmmgr.operations.survey import is_on, refuse_if

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.command import Command
    from vmmgr.drivers.base import GuestDriver
    from vmmgr.drivers.guest.facts import Guest, Packages
    from vmmgr.drivers.pacemaker.authkey import Keys
    from vmmgr.operations.context import Context
    from vmmgr.operations.nodesettings import NodeSettings
    from vmmgr.operations.observation import View
    from vmmgr.operations.packagefolder import PackageFolder
    from vmmgr.operations.steps import Steps, Where

# Seconds that a lease holds on top of its usual term, for packages that a slow guest takes long to install or to remove.
PACKAGING = 1800
# Bytes that must be free in a guest that installs from its own sources: some 50 packages, 25 MB packed and 80 MB unpacked with
# Debian 12. Of a folder of packages, this many times its size.
SPACE, TIMES_PACKED = 250 << 20, 5


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """What is to become a guest node.

    Attributes:
        vm: The VM.
        address: Where its guest is reached; None for what can be found out.
        user: The login there; None for that of the workstation's ssh_config.
        node: Its name as a node, which no resource may have; None for the one that it has, or ``VM-guest``.
        port: For Pacemaker; None for its default, or the one that it has.
        connect_timeout: Seconds that Pacemaker may take to connect, likewise.
        packages: What to install from; None for the guest's own sources.
    """

    vm: str
    address: str | None = None
    user: str | None = None
    node: str | None = None
    port: int | None = None
    connect_timeout: int | None = None
    packages: PackageFolder | None = None

    def __post_init__(self) -> None:
        """Refuse what no guest node can have.

        Raises:
            UsageError: One sentence on the first thing found.
        """
        check_guest_node(GuestNode(self.node or "guest", self.address or "guest", self.port, self.connect_timeout))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is wanted, and where: the VM as it is and as a node, the key, and the hypervisor that it runs on."""

    request: DeployRequest
    now: NodeSettings
    node: GuestNode
    key: KeyPlan
    host: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found, when nothing is in the way.

    Attributes:
        view: The site.
        node: The VM as a node.
        host: The guest, as a host.
        key: The key to use.
        driver: For the guest's package manager.
        guest: What the guest tells of itself.
        packages: The versions that it has and could have.
        keys: The keys that it has.
        is_node: Whether the cluster has it as that node already, and online.
    """

    view: View
    node: GuestNode
    host: str
    key: KeyPlan
    driver: GuestDriver
    guest: Guest
    packages: Packages
    keys: Keys
    is_node: bool

    def version(self, request: DeployRequest) -> str:
        """Return the version of the remote daemon that the guest has or will have; empty if that is not known."""
        return self.packages.installed or (request.packages.version if request.packages else self.packages.candidate)

    @property
    def has_key(self) -> bool:
        """Whether the guest has the right key, with the right owner and mode."""
        return bool(self.keys.own) and self.keys.own == self.key.sha256 and self.keys.sound

    @property
    def is_ready(self) -> bool:
        """Whether nothing is left to do in the guest."""
        return (
            bool(self.packages.installed and self.has_key and self.guest.active and self.guest.enabled)
            and not self.guest.closed
        )


def preflight(context: Context, request: DeployRequest) -> Steps[Findings]:
    """Look at everything, and collect all that is in the way.

    Raises:
        RefusedError: Something is; all of it is in one message.
        ConnectError: The guest cannot be reached, and that is all.
    """
    name = request.vm
    now = yield from look(context, name, beside=key_questions(context))
    view = now.view
    exists(view, name)
    host = hypervisor_of(view, name)
    problems = lease_problems(view, name)
    key = yield from _key(view, name)
    problems += key.problems
    try:
        address = request.address or (yield from find_address(context, now, host))
    except RefusedError as error:
        raise RefusedError(*problems, *error.problems) from error
    node = _node(request, now.attributes, address)
    problems += guest_node_problems(now, node)
    return (yield from _at_the_guest(context, _Wanted(request, now, node, key, host), problems))


def _at_the_guest(context: Context, wanted: _Wanted, problems: list[str]) -> Steps[Findings]:
    """Look into the guest."""
    request, now, node, key = wanted.request, wanted.now, wanted.node, wanted.key
    host, guest, keys = yield from _ask(context, wanted, problems)
    driver = next((name for name, program in context.guest_programs.items() if program in guest.tools), None)
    if driver is None:
        known = ", ".join(context.guest_programs.values())
        raise RefusedError(
            *problems, f"VM {request.vm} runs {guest.system}, which has no package manager that vm-mgr knows ({known})."
        )
    chosen = context.guest(driver)
    packages = yield from read(host, chosen.packages())
    problems += _guest_problems(request, guest, chosen, packages)
    # one that deploy installed has the key that came with the package, where deploy did not come to its end
    foreign = bool(keys.own) and keys.own != key.sha256 and not guest.installed_here
    if foreign and guest.connected:
        problems.append(
            f"VM {request.vm} has another key than the cluster's nodes in {FILE}, and another cluster may be connected to it. "
            "Take it out of that one first, or stop pacemaker_remote in the guest."
        )
    refuse_if(problems)
    if foreign:
        words = "which no cluster uses now; it is replaced by that of the nodes"
        yield Say(f"VM {request.vm} has another key in {FILE}, {words}.", warning=True)
    is_node = now.node == node.name and is_connected(now.view, node.name)
    found = Findings(now.view, node, host, key, chosen, guest, packages, keys, is_node)
    yield from _compare_versions(now.view, found.version(request))
    return found


def _ask(context: Context, wanted: _Wanted, problems: list[str]) -> Steps[tuple[str, Guest, Keys]]:
    """Ask the guest, and every hypervisor for the way there, at the same time; add the problems with the way.

    Returns:
        The guest as a host, and what it says.
    """
    node, port = wanted.node, wanted.node.port or PORT
    hosts = [machine.name for machine in context.site.hypervisors if is_on(wanted.now.view, machine.name)]
    questions: dict[Where, tuple[Command[Any], ...]] = dict.fromkeys(hosts, (context.hypervisor.reach(node.address, port),))
    host, failure = "", None
    try:
        host = yield from enter(context, wanted.request.vm, wanted.host, node.address, wanted.request.user)
        inside = survey(context.renderer, port, tuple(context.guest_programs.values()))
        questions[host] = (inside, context.authkey.inspect())
    except ConnectError as error:
        failure = error
    answers = yield ReadEach(questions)
    answer = answers.pop(host, failure)
    if isinstance(answer, VmMgrError):
        problems += _network_problems(answers, node)
        refuse_if([*problems, str(answer)] if problems else [])
        raise answer
    guest, keys = answer
    # the guest's own firewall, which deploy opens, may be why
    problems += [] if guest.closed else _network_problems(answers, node)
    return host, guest, keys


def hypervisor_of(view: View, name: str) -> str:
    """Return where a VM runs.

    Raises:
        RefusedError: It does not run.
    """
    state = state_of(view, name)
    if state.status is not Status.STARTED or state.node is None:
        raise RefusedError(
            *lease_problems(view, name),
            f"VM {name} is {state.status}, and only in a guest that runs something can be installed; start it first.",
        )
    return state.node


def _node(request: DeployRequest, there: Mapping[str, str], address: str) -> GuestNode:
    """Return the VM as a node: as asked for, else as it is, else as Pacemaker has it by default."""
    timeout = there.get("remote-connect-timeout", "").removesuffix("s")
    return check_guest_node(
        GuestNode(
            request.node or there.get("remote-node") or f"{request.vm}-guest",
            address,
            request.port or port_of(there),
            request.connect_timeout or (int(timeout) if timeout.isdecimal() else None),
        )
    )


def _key(view: View, name: str) -> Steps[KeyPlan]:
    """Decide on the key, by what the nodes that are on say."""
    answers = {node: view.beside[node] for node in view.beside if isinstance(node, str)}
    keys = {node: answer[0] for node, answer in answers.items() if not isinstance(answer, VmMgrError)}
    silent = [node for node in answers if node not in keys]
    plan = plan_key(view.cib, name, keys, silent)
    if silent and not plan.problems:
        words = "the same key in /etc/pacemaker/authkey" if plan.own else "the same key as Corosync's"
        yield Say(f"{', '.join(silent)} does not answer and is left out; it must have {words} when it is back.", warning=True)
    return plan


def _network_problems(answers: Mapping[Where, Any], node: GuestNode) -> list[str]:
    """Return from which hypervisors the port cannot be reached, or cannot be tried."""
    problems = [str(answer) for answer in answers.values() if isinstance(answer, VmMgrError)]
    reached = {str(host): answer[0] for host, answer in answers.items() if not isinstance(answer, VmMgrError)}
    return problems + blocked_problems([host for host, reach in reached.items() if reach is Reach.BLOCKED], node)


def _guest_problems(request: DeployRequest, guest: Guest, driver: GuestDriver, packages: Packages) -> list[str]:
    """Return why nothing can be installed in the guest; nothing need be where the remote daemon is there."""
    if packages.installed:
        return []
    folder, problems = request.packages, []
    if folder and folder.suffix != driver.suffix:
        problems.append(f"VM {request.vm} runs {guest.system}, which takes {driver.suffix} files, not {folder.suffix}.")
    needed = folder.size * TIMES_PACKED if folder else SPACE
    if guest.free < needed:
        problems.append(
            f"VM {request.vm} has {guest.free >> 20} MiB left on /usr, /var or /var/tmp, and {needed >> 20} MiB are needed; make room."
        )
    return problems


def _compare_versions(view: View, guest: str) -> Steps[None]:
    """Warn of a guest that is newer than the nodes: it may not talk to them (Pacemaker's protocol of remote nodes)."""
    path = "configuration/crm_config/cluster_property_set/nvpair[@name='dc-version']"
    pair = view.cib.root.find(path)
    nodes = "" if pair is None else pair.get("value", "")
    if nodes and guest and _numbers(guest) > _numbers(nodes):
        yield Say(
            f"Pacemaker in the guest is newer ({guest}) than on the nodes ({nodes}); if they do not understand each other, bring the "
            "nodes up to date first.",
            warning=True,
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version such as ``1:2.1.5-1+deb12u1`` or ``2.1.5-a3f44794f94``, without epoch and revision."""
    plain = re.sub(r"^[0-9]+:", "", version)
    found = re.match(r"[0-9.]+", plain)
    return tuple(int(part) for part in found[0].split(".") if part) if found else ()
