"""Services: what Pacemaker runs and watches inside a VM that is a guest node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.services import kind_of
from vmmgr.errors import RefusedError
from vmmgr.model import ServiceState, Status, check_known_name
from vmmgr.operations.keeping import kept_of
from vmmgr.operations.lease import refuse_unless_free
from vmmgr.operations.observation import look_again, observe
from vmmgr.operations.retrying import change_definition, with_fresh_view
from vmmgr.operations.running import refuse_unless_enabled
from vmmgr.operations.servicedefinition import ServiceRequest, is_defined_so, service_document
from vmmgr.operations.status import service_name, services_in, state_of
from vmmgr.operations.steps import Say, Step
from vmmgr.operations.stopping import exists
from vmmgr.operations.waiting import wait_until

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


def add_service(
    context: Context, request: ServiceRequest, *, wait: bool = True, timeout: float | None = None
) -> Steps[ServiceState]:
    """Have Pacemaker run a service in a VM, and nowhere else, in one CIB change; return its state.

    One that does not start stays, as Failed, with the reason.

    Raises:
        RefusedError: The VM is no guest node, or has another service of that name; or what is asked cannot be kept.
    """

    def attempt() -> Steps[View]:
        view = yield from observe(context, to_change=True)
        refuse_unless_free(view, request.vm)
        refuse_unless_enabled(view, request.vm)
        document = service_document(context, view, request)
        there = view.cib.primitive(request.id)
        if there is not None and is_defined_so(there, document):
            yield Say(f"VM {request.vm} has the service {request.name} already.")
            return view
        if view.cib.is_taken(request.id):
            what = "a service" if there is None else f"another service ({kind_of(there)})"
            raise RefusedError(
                f"VM {request.vm} has {what} {request.name} already; "
                f"`vm-mgr remove_service -n {request.vm} {request.name}` removes it."
            )
        cluster = context.cluster(view.host, view.programs)
        unsure = f"`vm-mgr list_services -n {request.vm}` shows whether the cluster has taken it."
        define = Step(cluster.define(document), commits=True, afterwards=unsure)
        guards = [Step(cluster.assert_unchanged(view.cib))]
        # what fails from there on is the service, and not its definition
        rest = [Step(cluster.cib(), commits=True)]
        yield from change_definition(
            context, view, guards, define, rest, made=lambda cib: cib.primitive(request.id) is not None
        )
        return view

    view = yield from with_fresh_view(attempt)
    _, state = yield from service_settled(
        context, view, request.vm, request.name, Status.STARTED, wait=wait and request.start, timeout=timeout
    )
    return state


def list_services(context: Context, vm: str | None = None) -> Steps[list[ServiceState]]:
    """Return the services of all VMs, or of one, those of disabled ones included; sorted by VM and name."""
    if vm is not None:
        check_known_name(vm)
    view = yield from observe(context)
    if vm is not None:
        exists(view, vm)
    names = view.vm_names if vm is None else [vm]
    disabled = [name for name in names if view.cib.primitive(name) is None and state_of(view, name).status is Status.DISABLED]
    kept = yield from kept_of(context, disabled)
    found = [state for name in names for state in services_in(view, name)]
    for name, fragment in kept.items():
        found += [put_aside(name, item) for item in fragment.services]
    return sorted(found, key=lambda state: (state.vm, state.name))


def find_service(view: View, vm: str, name: str) -> ServiceState:
    """Return the state of a service by its name, or by its id in the cluster.

    Raises:
        RefusedError: The VM is unknown or disabled, or has no such service.
    """
    refuse_unless_enabled(view, vm)
    for state in services_in(view, vm):
        if name in {state.name, state.resource}:
            return state
    raise RefusedError(f"VM {vm} has no service {name}; `vm-mgr list_services -n {vm}` shows those that it has.")


def service_settled(
    context: Context, view: View, vm: str, name: str, wanted: Status, *, wait: bool = True, timeout: float | None = None
) -> Steps[tuple[View, ServiceState]]:
    """Return the last view and the state of a service, once it is the wanted one; not waiting while its VM does not run."""
    view = yield from look_again(context, view)
    state = find_service(view, vm, name)
    machine = view.resource(vm)
    if not wait or machine is None or not machine.nodes:
        return view, state
    words = f"Service {state.name} of VM {vm}", f"`vm-mgr list_services -n {vm}`"
    return (
        yield from wait_until(
            context, view, state.resource, wanted, lambda now: find_service(now, vm, name), timeout=timeout, words=words
        )
    )


def put_aside(vm: str, item: ET.Element) -> ServiceState:
    """Return the state of a service whose VM is disabled."""
    name = item.get("id", "")
    return ServiceState(vm, service_name(vm, name), name, kind_of(item), Status.DISABLED)
