"""Make a VM a guest node, in which Pacemaker runs services, and the other way; the VM itself goes on as it is."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.guestnode import CONNECT_TIMEOUT, PORT, GuestNode
from vmmgr.errors import UsageError, VmMgrError
from vmmgr.model import Status, check_known_name
from vmmgr.operations.lease import refuse_unless_free
from vmmgr.operations.nodesettings import look, node_name_problems, settle
from vmmgr.operations.observation import look_again
from vmmgr.operations.reaching import way_problems, ways
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.status import is_connected, service_name, services_in, state_of
from vmmgr.operations.steps import Pause, Role, Say, Step, change
from vmmgr.operations.stopping import exists
from vmmgr.operations.survey import refuse_if
from vmmgr.operations.waiting import TimeUpError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.nodesettings import NodeSettings
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

ADD, REMOVE = "add_pacemaker_remote", "remove_pacemaker_remote"
DEPLOY, UNDEPLOY = "deploy", "undeploy"
VERBS = (ADD, REMOVE, DEPLOY, UNDEPLOY)
_ADVICE = (
    "Make sure that pacemaker_remote runs in the guest, that /etc/pacemaker/authkey there is that of the nodes, and that it is reached "
    "from every hypervisor."
)
# It becomes the id of a resource as well: that of the connection.
_NODE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9])?")
# Of IPv6, Python takes anything behind a "%"; what stands there is the name of an interface.
_ZONE = re.compile(r"[^%]+(%[A-Za-z0-9_.-]+)?")
# Seconds for Pacemaker to try the connection a second time, on top of what one may take.
_SLACK = 30.0
# Seconds for the cluster to take leave of a guest node, and between two looks.
_LEAVING, _INTERVAL = 30.0, 0.3


class NotOnlineError(VmMgrError):
    """Pacemaker could not connect to a guest node."""


def check_guest_node(node: GuestNode) -> GuestNode:
    """Return a guest node that can be one.

    Raises:
        UsageError: One sentence on the first value that cannot be used.
    """
    if not _NODE_NAME.fullmatch(node.name):
        raise UsageError(
            f"{node.name!r} cannot be the name of a guest node: it takes 1 to 63 letters, digits, '-', '_' and '.', and begins with "
            "a letter or '_'."
        )
    check_address(node.address)
    if node.port is not None and not 0 < node.port < 1 << 16:
        raise UsageError(f"{node.port} is no TCP port; those are 1 to 65535, and Pacemaker's own is {PORT}.")
    if node.connect_timeout == 0:
        raise UsageError("A connection to a guest node takes a second at least; Pacemaker's own limit is 60.")
    return node


def check_address(text: str) -> str:
    """Return the address of a guest, which the workstation and every hypervisor are to connect to.

    Raises:
        UsageError: It is none.
    """
    if not _is_address(text):
        raise UsageError(f"{text!r} is neither an IP address nor a host name, at which the guest could be reached.")
    return text


def add_guest_node(
    context: Context,
    name: str,
    node: GuestNode,
    *,
    wait: bool = True,
    timeout: float | None = None,
    lease: Lease | None = None,
) -> Steps[str]:
    """Make a VM whose guest runs pacemaker_remoted a node of the cluster, in one CIB change; return the sentence that says so.

    The VM goes on as it is, unless its guest lets nobody in: Pacemaker may have begun to restart it for that before it is a mere VM
    again. Where it is disabled, it is a guest node once it is enabled.

    Args:
        context: The site.
        name: The VM.
        node: What it is as a node.
        wait: Whether to wait until it is online, if the VM runs.
        timeout: Seconds to wait; None for what Pacemaker itself grants the connection, and a little more.
        lease: That of the operation that this is a part of.

    Raises:
        RefusedError: The name is taken, the VM is another guest node already, or a hypervisor cannot reach it.
        NotOnlineError: Its guest lets nobody in; it is no guest node then, unless it was one before.
        TimeUpError: It is not online in time; the message says why.
    """
    check_known_name(name)
    check_guest_node(node)

    def attempt() -> Steps[NodeSettings]:
        now = yield from _free(context, name, lease)
        problems = guest_node_problems(now, node)
        if not now.node and lease is None and state_of(now.view, name).status is Status.STARTED:
            # Pacemaker would restart the VM for it
            problems += way_problems((yield from ways(context, now.view, node)), node)
        refuse_if(problems)
        if now.node:
            yield Say(f"VM {name} is guest node {now.node} already.")
        yield from settle(context, now, now.attributes if now.node else node.attributes(), ADD, lease)
        return now

    now = yield from with_fresh_view(attempt)
    if not now.enabled:
        return f"VM {name} is guest node {node.name} once it is enabled."
    if state_of(now.view, name).status is not Status.STARTED:
        return f"VM {name} is guest node {node.name}, online once it runs."
    if not wait:
        return f"VM {name} is guest node {node.name}."
    yield from _come_online(context, now, node, timeout, lease)
    return f"VM {name} is guest node {node.name}, and online."


def _come_online(
    context: Context, now: NodeSettings, node: GuestNode, timeout: float | None, lease: Lease | None
) -> Steps[None]:
    """Wait until a new guest node is online; one whose guest lets nobody in is made a mere VM again."""
    name = now.vm
    try:
        yield from wait_online(context, (yield from look_again(context, now.view)), name, node, timeout)
    except NotOnlineError:
        if now.node:  # what was there before is not this operation's to take away
            raise
        # or Pacemaker restarts the VM for it on every hypervisor, and then gives it up; the first time may have begun by now
        yield Say(
            f"VM {name} is made a mere VM again. Pacemaker may have begun to restart it for the failed connection.",
            warning=True,
        )
        yield from with_fresh_view(lambda: _back(context, name, lease))
        raise


def remove_guest_node(context: Context, name: str, *, lease: Lease | None = None) -> Steps[str]:
    """Make a guest node a mere VM again, in one CIB change; return the sentence that says so. The VM goes on as it is.

    ``lease`` is that of the operation that this is a part of.
    """
    check_known_name(name)

    now = yield from with_fresh_view(lambda: _back(context, name, lease))
    if not now.node:
        yield Say(f"VM {name} is no guest node already.")
    elif now.enabled:
        yield from _await_leave(context, now.view, now.node)
    return f"VM {name} is no guest node."


def _await_leave(context: Context, view: View, node: str) -> Steps[None]:
    """Wait until the cluster has taken leave of a node, whose name is free only then, and to whose daemon it talks until then."""
    began = context.clock()
    while {node} & (view.simulation.nodes.keys() | view.simulation.resources.keys()) and context.clock() - began < _LEAVING:
        if not (yield Pause(_INTERVAL)):
            return
        view = yield from look_again(context, view)


def guest_node_problems(now: NodeSettings, node: GuestNode) -> list[str]:
    """Return why a VM cannot be that guest node; nothing stands in the way of one that it is already."""
    if not now.node:
        return node_name_problems(now.view, now.vm, node.name)
    return [] if _complete(now.attributes) == _complete(node.attributes()) else [_in_the_way(now)]


def service_problems(now: NodeSettings) -> list[str]:
    """Return why a guest node must stay one: services would have nowhere to run."""
    tied = [item.resource for item in services_in(now.view, now.vm)] if now.enabled else now.kept.service_names
    names = ", ".join(service_name(now.vm, item) for item in tied)
    return [f"The services {names} run in VM {now.vm} as guest node {now.node}; `vm-mgr remove_service` first."] if tied else []


def _back(context: Context, name: str, lease: Lease | None) -> Steps[NodeSettings]:
    now = yield from _free(context, name, lease)
    refuse_if(service_problems(now))
    yield from settle(context, now, {}, REMOVE, lease)
    return now


def finish(context: Context, lease: Lease) -> Steps[str]:
    """Have the metadata of a VM say what its resource does, after an operation here was broken off; and take its mark away."""
    now = yield from look(context, lease.vm)
    drop = Step(context.cluster(now.view.host, now.view.programs).drop_lease(lease), commits=True)
    yield from change(Role.CONTROL, *now.metadata_steps(context, now.attributes), drop)
    words = f"guest node {now.node}" if now.node else "no guest node"
    again = f" `vm-mgr {DEPLOY}` or `vm-mgr {UNDEPLOY}` finishes what is left to do in the guest."
    return f"VM {lease.vm} is {words}, and its metadata say so too.{again if lease.verb.endswith(DEPLOY) else ''}"


def _free(context: Context, name: str, lease: Lease | None) -> Steps[NodeSettings]:
    """Read what there is of a VM; one that has this lease may be worked on by those that have it.

    Raises:
        RefusedError: There is none of that name, or somebody works on it.
    """
    now = yield from look(context, name)
    if lease is None:
        refuse_unless_free(now.view, name)
    exists(now.view, name)
    return now


def wait_online(context: Context, view: View, name: str, node: GuestNode, timeout: float | None = None) -> Steps[View]:
    """Wait until a guest node is online; return the last view.

    Raises:
        NotOnlineError: Its guest does not let Pacemaker in; the message has the reason from Pacemaker's history.
        TimeUpError: The time is up, and Pacemaker is still at it.
    """
    began = context.clock()
    seconds = (node.connect_timeout or CONNECT_TIMEOUT) + _SLACK if timeout is None else timeout
    while not is_connected(view, node.name):
        if reason := view.cib.last_failure(node.name):
            raise NotOnlineError(f"The guest of VM {name} does not let Pacemaker in as {node.name}: {reason}. {_ADVICE}")
        if context.clock() - began > seconds:
            raise TimeUpError(
                f"VM {name} is guest node {node.name}, but is not online as such after {seconds:.0f} s. {_ADVICE} "
                f"`vm-mgr status -n {name}` tells whether it is online by now; `vm-mgr {REMOVE} -n {name}` takes it back."
            )
        if not (yield Pause(_INTERVAL)):
            break
        view = yield from look_again(context, view)
    return view


def _complete(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes with Pacemaker's own values where nothing is said, for comparison."""
    own = {
        "remote-addr": attributes.get("remote-node", ""),
        "remote-port": str(PORT),
        "remote-connect-timeout": str(CONNECT_TIMEOUT),
    }
    return {
        key: value.removesuffix("s") if key == "remote-connect-timeout" else value
        for key, value in {**own, **attributes}.items()
    }


def _in_the_way(now: NodeSettings) -> str:
    words = ", ".join(f"{key}={value}" for key, value in sorted(_complete(now.attributes).items()))
    return f"VM {now.vm} is a guest node already ({words}). To change that, `vm-mgr {REMOVE} -n {now.vm}` first."


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST_NAME.fullmatch(text) is not None and not re.fullmatch(r"[0-9.]+", text)
    return _ZONE.fullmatch(text) is not None
