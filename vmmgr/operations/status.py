"""The status of a VM, out of what Pacemaker says and intends, and of what Ceph has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vmmgr.model import Status, VmState, system_image

if TYPE_CHECKING:
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
    return VmState(name, status, resource.nodes[0] if resource.nodes else None, mark + details + _storage_details(view, name))


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
