"""The status of a VM, out of what Pacemaker says and intends, and of what Ceph has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.guestnode import remote_attributes
from vmmgr.drivers.pacemaker.services import failures_of, kind_of, services_of
from vmmgr.model import ServiceState, Status, VmState, system_image

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from vmmgr.model import Lease, Resource
    from vmmgr.operations.observation import View

_TRANSITIONAL = {"Starting": Status.STARTING, "Stopping": Status.STOPPING, "Migrating": Status.STARTING}


def state_of(view: View, name: str) -> VmState:
    """Return the status of a VM, where it is, and what else is to be known of it."""
    resource = view.resource(name)
    lease = view.leases.get(name)
    mark = (describe_lease(lease, view.now),) if lease else ()
    if resource is None:
        return VmState(name, _status_without_resource(view, name), None, mark + _storage_details(view, name))
    status, details = _status_of_resource(view, resource)
    more = _guest_details(view, name, status) + _storage_details(view, name)
    return VmState(name, status, resource.nodes[0] if resource.nodes else None, mark + details + more)


def services_in(view: View, vm: str) -> list[ServiceState]:
    """Return the states of the services in a VM that is enabled, by name."""
    found = (_service_state(view, vm, item) for item in services_of(view.cib, vm))
    return sorted(found, key=lambda state: state.name)


def service_name(vm: str, resource: str) -> str:
    """Return what a service is called by its user; its id in the cluster, if vm-mgr did not make it."""
    return resource.removeprefix(f"{vm}.")


def _service_state(view: View, vm: str, item: ET.Element) -> ServiceState:
    """Tell of a service; while its VM does not run, that is why it does not."""
    name = item.get("id", "")
    status, details = _status_of_service(view, view.simulation.resources.get(name), view.resource(vm))
    reason = () if details else _reason(view, name)
    return ServiceState(vm, service_name(vm, name), name, kind_of(item), status, failures_of(view.cib, name), details or reason)


def _status_of_service(view: View, resource: Resource | None, vm: Resource | None) -> tuple[Status, tuple[str, ...]]:
    if resource is None:  # Pacemaker has not looked at it yet
        return Status.STARTING, ()
    if vm and not vm.nodes and not resource.nodes and resource.target_role.lower() != "stopped":
        return Status.STOPPED, (f"VM {vm.name} does not run",)
    return _status_of_resource(view, resource)


def _guest_details(view: View, name: str, status: Status) -> tuple[str, ...]:
    """Tell of a guest node, where there is more to be told than that it is one."""
    primitive = view.cib.primitive(name)
    node = remote_attributes(primitive).get("remote-node") if primitive is not None else None
    if not node:
        return ()
    services = services_in(view, name)
    started = sum(item.status is Status.STARTED for item in services)
    counted = (f"services: {started} of {len(services)} started",) if services else ()
    lost = status is Status.STARTED and not is_connected(view, node)
    return (*((f"guest node {node} offline",) if lost else ()), *counted)


def is_connected(view: View, node: str) -> bool:
    """Whether the cluster has a connection to a guest node; Pacemaker says online also while it still tries to connect."""
    machine, connection = view.simulation.nodes.get(node), view.simulation.resources.get(node)
    return machine is not None and machine.online and connection is not None and connection.role == "Started"


def describe_lease(lease: Lease, now: int) -> str:
    """Return the words for an operation in progress, or for one that was broken off and not finished."""
    state = "in progress" if lease.until > now else "unfinished"
    return f"{state}: {lease.verb} by {lease.who} since {datetime.fromtimestamp(lease.since, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _status_without_resource(view: View, name: str) -> Status:
    if name in view.groups or system_image(name) in view.images or name in view.leases:
        return Status.DISABLED
    return Status.UNDEFINED


def _storage_details(view: View, name: str) -> tuple[str, ...]:
    if not view.disks_known:
        return ()
    has_group, has_image = name in view.groups, system_image(name) in view.images
    if has_group != has_image:
        return ("incomplete: no group" if has_image else f"incomplete: no image {system_image(name)}",)
    if not has_group and view.resource(name):
        return ("no disks in the pool",)
    return ()


def _status_of_resource(view: View, resource: Resource) -> tuple[Status, tuple[str, ...]]:
    """Return the status of a VM that has a resource; the details say why, where the status alone does not."""
    name = resource.name
    if resource.blocked:
        return Status.FAILED, ("blocked", *_reason(view, name))
    if resource.role in _TRANSITIONAL:
        return _TRANSITIONAL[resource.role], ("migrating",) if resource.role == "Migrating" else ()
    if not resource.managed:
        return _status_of_unmanaged(resource), (
            _why_unmanaged(view, resource),
            *(_reason(view, name) if resource.failed else ()),
        )
    later = view.simulation.later.get(name, resource)
    wants_to_stop = resource.target_role.lower() == "stopped"
    if resource.nodes:
        return _status_of_active(view, resource, later, wants_to_stop=wants_to_stop)
    if wants_to_stop:
        return Status.STOPPED, ()
    if later.nodes:
        return Status.STARTING, ()
    return Status.FAILED, _reason(view, name) or (_why_nowhere(view),)


def _status_of_active(
    view: View, resource: Resource, later: Resource, *, wants_to_stop: bool
) -> tuple[Status, tuple[str, ...]]:
    """Tell of a VM that is on a node, where nothing is under way at this moment."""
    broken = resource.failed or not _is_alive(view, resource)
    reason = _reason(view, resource.name) if broken else ()
    if wants_to_stop:
        return Status.STOPPING, reason
    if not broken:
        return (Status.STARTED if later.nodes else Status.STOPPING), ()
    if later.nodes:
        return Status.STARTING, ("recovering", *reason)
    return Status.FAILED, reason or (_why_nowhere(view),)


def _status_of_unmanaged(resource: Resource) -> Status:
    if resource.failed:
        return Status.FAILED
    return Status.STARTED if resource.nodes else Status.STOPPED


def _is_alive(view: View, resource: Resource) -> bool:
    """Whether a node that the VM is said to be on is there; Pacemaker shows VMs on a dead one until it is fenced."""
    return any(view.simulation.nodes[node].online for node in resource.nodes if node in view.simulation.nodes)


def _reason(view: View, name: str) -> tuple[str, ...]:
    reason = view.cib.last_failure(name)
    return (reason,) if reason else ()


def _why_unmanaged(view: View, resource: Resource) -> str:
    nodes = [view.simulation.nodes[node] for node in resource.nodes if node in view.simulation.nodes]
    if any(node.maintenance for node in nodes) or _cluster_in_maintenance(view):
        return "maintenance"
    return "unmanaged"


def _cluster_in_maintenance(view: View) -> bool:
    pairs = view.cib.root.iterfind("configuration/crm_config/cluster_property_set/nvpair[@name='maintenance-mode']")
    return any(pair.get("value", "").lower() in {"true", "yes", "on", "1", "y"} for pair in pairs)


def _why_nowhere(view: View) -> str:
    if not view.cib.quorate:
        return "no quorum"
    return "no node can run it"
