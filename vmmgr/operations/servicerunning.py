"""Start, stop and remove a service in a VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.errors import RefusedError, VmMgrError
from vmmgr.model import Status, check_known_name
from vmmgr.operations.fragment import Fragment, document
from vmmgr.operations.lease import holding, new_lease, refuse_unless_free, taking
from vmmgr.operations.observation import observe
from vmmgr.operations.retrying import change_definition, from_view, with_fresh_view
from vmmgr.operations.services import find_service, service_settled
from vmmgr.operations.steps import Role, Say, Step, change
from vmmgr.operations.stopping import forgetting
from vmmgr.operations.waiting import TimeUpError

if TYPE_CHECKING:
    from vmmgr.drivers.base import ClusterDriver
    from vmmgr.model import Lease, Resource, ServiceState
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

REMOVE = "remove_service"


def start_service(
    context: Context, vm: str, name: str, *, wait: bool = True, timeout: float | None = None
) -> Steps[ServiceState]:
    """Start a service; one that Pacemaker has given up is tried again."""
    return (yield from _set_role(context, vm, name, Status.STARTED, wait=wait, timeout=timeout))


def stop_service(
    context: Context, vm: str, name: str, *, wait: bool = True, timeout: float | None = None
) -> Steps[ServiceState]:
    """Stop a service; its VM goes on."""
    return (yield from _set_role(context, vm, name, Status.STOPPED, wait=wait, timeout=timeout))


def _set_role(
    context: Context, vm: str, name: str, wanted: Status, *, wait: bool, timeout: float | None
) -> Steps[ServiceState]:
    check_known_name(vm)

    def attempt() -> Steps[View]:
        view, state, cluster = yield from _look(context, vm, name)
        resource = _managed(view, state)
        role = (resource and resource.target_role) or Status.STARTED
        # one whose VM does not run is Stopped, and starts with it unless it is told to stop
        if state.status is wanted and role.lower() == wanted.lower():
            yield Say(f"Service {state.name} of VM {vm} is {wanted} already.")
            return view
        settle = Step(cluster.set_meta(state.resource, "target-role", wanted))
        forget = forgetting(cluster, view, state.resource) if state.status is Status.FAILED else []
        steps = [*forget, settle] if wanted is Status.STARTED else [settle, *forget]
        yield from change(Role.CONTROL, Step(cluster.assert_unchanged(view.cib)), *steps)
        return view

    view = yield from with_fresh_view(attempt)
    _, state = yield from service_settled(context, view, vm, name, wanted, wait=wait, timeout=timeout)
    return state


def remove_service(context: Context, vm: str, name: str, *, timeout: float | None = None) -> Steps[None]:
    """Stop a service and take it out of the cluster, in one CIB change; what it is made of stays in the guest.

    Raises:
        VmMgrError: It did not stop; it runs on.
    """
    check_known_name(vm)

    def attempt() -> Steps[tuple[View, Lease]]:
        view, state, cluster = yield from _look(context, vm, name)
        resource = _managed(view, state)
        role = (resource and resource.target_role) or "Started"
        notes = {"service": state.resource, "role": role}
        patience = timeout or view.cib.operation_timeout(state.resource, "stop")
        lease = new_lease(context, view, vm, REMOVE, extra=patience, notes=notes)
        before = cluster.set_meta(state.resource, "target-role", role)
        stop = Step(cluster.set_meta(state.resource, "target-role", "Stopped"), undo=before)
        yield from change(Role.CONTROL, *taking(cluster, view, lease), stop)
        return view, lease

    view, lease = yield from with_fresh_view(attempt)
    try:
        view, _ = yield from service_settled(context, view, vm, name, Status.STOPPED, timeout=timeout)
    except TimeUpError as error:
        raise VmMgrError(f"Service {name} of VM {vm} did not stop in its time, so it is not removed, and runs on.") from error
    yield from from_view(context, view, lambda now: _take_out(context, now, lease))


def finish(context: Context, view: View, lease: Lease) -> Steps[str]:
    """Give a service its role again whose removal was broken off; return the sentence that says what became of it."""
    cluster, service = context.cluster(view.host, view.programs), lease.notes["service"]
    there = view.cib.primitive(service) is not None
    back = [Step(cluster.set_meta(service, "target-role", lease.notes["role"]))] if there else []
    yield from change(Role.CONTROL, *back, Step(cluster.drop_lease(lease), commits=True))
    return f"The service {service} is {'as it was' if there else 'removed'}."


def _look(context: Context, vm: str, name: str) -> Steps[tuple[View, ServiceState, ClusterDriver]]:
    view = yield from observe(context, to_change=True)
    refuse_unless_free(view, vm)
    return view, find_service(view, vm, name), context.cluster(view.host, view.programs)


def _managed(view: View, state: ServiceState) -> Resource | None:
    """Return what Pacemaker says of a service.

    Raises:
        RefusedError: It does not manage it now.
    """
    resource = view.simulation.resources.get(state.resource)
    if resource and not resource.managed:
        words = ", ".join(state.details)
        raise RefusedError(f"Pacemaker does not manage service {state.name} of VM {state.vm} now ({words}); end that first.")
    return resource


def _take_out(context: Context, view: View, lease: Lease) -> Steps[None]:
    cluster, service = context.cluster(view.host, view.programs), lease.notes["service"]
    resource = view.simulation.resources.get(service)
    if resource and resource.nodes:
        raise VmMgrError(f"Somebody started the service {service} again meanwhile; it is left as it is.")
    fragment = Fragment(view.cib.primitive(service), tuple(view.cib.constraints_of(service)))
    ids, remains = fragment.ids(service), fragment.remains(service)
    command = cluster.redefine(document(None, remains), ids, ()) if remains else cluster.delete(ids)
    delete = Step(command, commits=True, afterwards=f"`vm-mgr list_services -n {lease.vm}` shows whether it is still there.")
    guards = [holding(cluster, lease), Step(cluster.assert_unchanged(view.cib)), *forgetting(cluster, view, service)]
    drop = Step(cluster.drop_lease(lease), commits=True)
    yield from change_definition(context, view, guards, delete, [drop], made=lambda cib: cib.primitive(service) is None)
