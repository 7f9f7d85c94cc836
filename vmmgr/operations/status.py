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
    resource = view.simulation.resources.get(name)
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
    has_group, has_image = name in view.groups, system_image(name) in view.images
    if has_group != has_image:
        return ("incomplete: no group" if has_image else f"incomplete: no image {system_image(name)}",)
    if not has_group and name in view.simulation.resources:
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
        return (Status.STARTED if resource.nodes else Status.STOPPED), (_why_unmanaged(view, resource),)
    later = view.simulation.later.get(name, resource)
    wants_to_stop = resource.target_role == "Stopped"
    if resource.nodes:
        if resource.failed:
            return (
                (Status.STARTING, ("recovering", *_reason(view, name))) if later.nodes else (Status.FAILED, _reason(view, name))
            )
        return (Status.STOPPING if wants_to_stop or not later.nodes else Status.STARTED), ()
    if wants_to_stop:
        return Status.STOPPED, ()
    if later.nodes:
        return Status.STARTING, ()
    return Status.FAILED, _reason(view, name) or (_why_nowhere(view),)


def _reason(view: View, name: str) -> tuple[str, ...]:
    reason = view.cib.last_failure(name)
    return (reason,) if reason else ()


def _why_unmanaged(view: View, resource: Resource) -> str:
    nodes = [view.simulation.nodes[node] for node in resource.nodes if node in view.simulation.nodes]
    return "maintenance" if any(node.maintenance for node in nodes) else "unmanaged"


def _why_nowhere(view: View) -> str:
    if not view.cib.quorate:
        return "no quorum"
    return "no node can run it"
