"""Start and stop: the target role of a VM's resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.errors import ConnectError, RefusedError
from vmmgr.model import Status, check_known_name
from vmmgr.operations.lease import refuse_unless_free
from vmmgr.operations.observation import look_again, observe
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import Role, Say, Step, change
from vmmgr.operations.waiting import wait_for

if TYPE_CHECKING:
    from vmmgr.model import Resource, VmState
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


def start(context: Context, name: str, *, wait: bool = True, timeout: float | None = None) -> Steps[VmState]:
    """Start a VM; one that runs already stays as it is."""
    return (yield from _set_role(context, name, Status.STARTED, wait=wait, timeout=timeout, force=False))


def stop(
    context: Context, name: str, *, force: bool = False, wait: bool = True, timeout: float | None = None
) -> Steps[VmState]:
    """Shut a VM down; with ``force`` its power is cut as soon as Pacemaker knows that it is to stop."""
    return (yield from _set_role(context, name, Status.STOPPED, wait=wait, timeout=timeout, force=force))


def _set_role(context: Context, name: str, wanted: Status, *, wait: bool, timeout: float | None, force: bool) -> Steps[VmState]:
    check_known_name(name)

    def attempt() -> Steps[View]:
        view = yield from observe(context, to_change=True, disks=False)
        if not view.resource(name):  # disabled, or unknown: its disks tell
            view = yield from observe(context, to_change=True)
        refuse_unless_free(view, name)
        resource = refuse_unless_enabled(view, name)
        state = state_of(view, name)
        if not resource.managed:
            raise RefusedError(f"Pacemaker does not manage VM {name} now ({', '.join(state.details)}); end that first.")
        if state.status is wanted:
            yield Say(f"VM {name} is {wanted} already.")
            return view
        cluster = context.cluster(view.host, view.programs)
        steps = [Step(cluster.set_meta(name, "target-role", wanted))]
        if state.status is Status.FAILED:
            # Pacemaker does not try again what has failed until it is told to forget; then it does so at once
            steps.insert(0 if wanted is Status.STARTED else 1, Step(cluster.cleanup(name)))
        yield from change(Role.CONTROL, Step(cluster.assert_unchanged(view.cib)), *steps)
        return view

    view = yield from with_fresh_view(attempt)
    state = state_of(view, name)
    if state.status is wanted:
        return state
    if force and state.node:
        yield from _cut_power(context, name, state.node)
    if not wait:
        return state_of((yield from look_again(context, view)), name)
    _, state = yield from wait_for(context, view, name, wanted, timeout)
    return state


def _cut_power(context: Context, name: str, node: str) -> Steps[None]:
    """Destroy the domain; where its node cannot be asked for that, it is Pacemaker's to stop it, or to fence the node."""
    try:
        if node not in [machine.name for machine in context.site.hypervisors]:
            raise ConnectError(f"{node} is no hypervisor of site {context.site.name}.")
        yield from change(node, Step(context.hypervisor.destroy(name)))
    except ConnectError as error:
        yield Say(f"The power of VM {name} cannot be cut, so it is stopped in its usual time. {error}", warning=True)


def refuse_unless_enabled(view: View, name: str) -> Resource:
    """Return the state of a VM's resource.

    Raises:
        RefusedError: It is unknown or disabled.
    """
    resource = view.resource(name)
    if resource:
        return resource
    if state_of(view, name).status is Status.UNDEFINED:
        raise RefusedError(f"There is no VM {name}; `vm-mgr list` shows those that there are.")
    raise RefusedError(f"VM {name} is disabled; `vm-mgr enable -n {name}` makes the cluster run it again.")
