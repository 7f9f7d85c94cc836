"""The first half of disable and remove: mark the VM, stop it in its own time, and be able to take both back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.services import stop_timeout
from vmmgr.errors import RefusedError, VmMgrError
from vmmgr.model import Lease, Status
from vmmgr.operations.lease import new_lease, refuse_unless_free, taking
from vmmgr.operations.observation import observe
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import Pause, Role, Step, change, read
from vmmgr.operations.waiting import TimeUpError, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vmmgr.disks import Disks
    from vmmgr.drivers.base import ClusterDriver
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds for Ceph to forget a client that had the image open (osd_client_watch_timeout is 30 by default).
WATCHER_PATIENCE = 40.0


def stopped_and_marked(
    context: Context,
    name: str,
    verb: str,
    check: Callable[[View], bool],
    *,
    timeout: float | None = None,
    look: Callable[[], Steps[View]] | None = None,
    notes: Callable[[View], Mapping[str, str]] | None = None,
) -> Steps[tuple[View, Lease] | View]:
    """Take a lease on a VM and stop it, if it runs.

    Args:
        context: The site.
        name: The VM.
        verb: What is being done to it, for others to see.
        check: Refuses what cannot be done, and returns False when there is nothing to do.
        timeout: Seconds to wait for the VM to stop; None for its own stop timeout.
        look: Reads the site; None for the usual reading.
        notes: What a repair has to know besides.

    Returns:
        The view after the stop with the lease, or only a view when there was nothing to do.
    """

    def attempt() -> Steps[tuple[View, Lease | None]]:
        view = yield from (look or (lambda: observe(context, to_change=True)))()
        refuse_unless_free(view, name)
        refuse_parts_of_others(view, name)
        if not check(view):
            return view, None
        refuse_unmanaged(view, name)
        patience = timeout or stop_timeout(view.cib, name)
        lease = new_lease(context, view, name, verb, extra=patience, notes=notes(view) if notes else None)
        cluster = context.cluster(view.host, view.programs)
        steps = [*taking(cluster, view, lease)]
        resource = view.resource(name)
        if view.is_defined(name) and resource and resource.target_role.lower() != "stopped":
            before = cluster.set_meta(name, "target-role", resource.target_role or "Started")
            steps.append(Step(cluster.set_meta(name, "target-role", "Stopped"), undo=before))
        if resource and resource.blocked:  # Pacemaker tries to stop it again when it forgets that it could not
            steps.append(Step(cluster.cleanup(name)))
        yield from change(Role.CONTROL, *steps)
        return view, lease

    view, lease = yield from with_fresh_view(attempt)
    if lease is None:
        return view
    if view.is_defined(name):
        try:
            view, _ = yield from wait_for(context, view, name, Status.STOPPED, timeout)
        except TimeUpError as error:
            raise VmMgrError(f"VM {name} did not stop in its time, so {verb} gives up and lets it run again.") from error
    return view, lease


def unused_disks(context: Context, name: str) -> Steps[Disks]:
    """Wait until nobody has the disks of a VM open; a client that was just stopped is remembered for some seconds.

    Raises:
        RefusedError: Somebody still has.
    """
    deadline = context.clock() + WATCHER_PATIENCE
    while True:
        disks = yield from read(Role.CONTROL, context.storage.disks(name))
        if not disks.watchers:
            return disks
        if context.clock() > deadline:
            words = "; ".join(f"{image} by {', '.join(addresses)}" for image, addresses in disks.watchers.items())
            raise RefusedError(f"The disks of VM {name} are in use ({words}); end that first.")
        if not (yield Pause(1.0)):
            return disks


def forgetting(cluster: ClusterDriver, view: View, *resources: str) -> list[Step]:
    """Return the steps that make Pacemaker forget the failures of these resources, of those that have some."""
    return [Step(cluster.cleanup(name)) for name in resources if view.cib.has_failures(name)]


def refuse_unless_stopped(view: View, name: str) -> None:
    """Make sure that nobody started the VM again while the operation went on.

    Raises:
        VmMgrError: Somebody did.
    """
    resource = view.resource(name)
    if resource and (resource.nodes or resource.target_role.lower() != "stopped"):
        raise VmMgrError(f"Somebody started VM {name} again meanwhile; it is left as it is.")


def refuse_unmanaged(view: View, name: str) -> None:
    """Refuse a VM that runs and that Pacemaker would not stop.

    Raises:
        RefusedError: It is one.
    """
    resource = view.resource(name)
    if resource and resource.nodes and not resource.managed:
        words = ", ".join(state_of(view, name).details)
        raise RefusedError(f"Pacemaker does not manage VM {name} now ({words}), so it cannot stop it; end that first.")


def refuse_parts_of_others(view: View, name: str) -> None:
    """Refuse a VM whose resource is a member of a group, clone or bundle: it has no life of its own. Likewise one with a tag.

    Raises:
        RefusedError: It is.
    """
    if view.cib.primitive(name) is not None and not view.cib.is_top_level(name):
        raise RefusedError(f"The resource of VM {name} is part of a group, clone or bundle; take it out of there first.")
    if tags := view.cib.tags_of(name):
        raise RefusedError(f"VM {name} has the tag {', '.join(tags)}, which cannot be kept; take it out of there first.")


def exists(view: View, name: str) -> None:
    """Refuse an unknown VM.

    Raises:
        RefusedError: There is no VM of that name.
    """
    if state_of(view, name).status is Status.UNDEFINED:
        raise RefusedError(f"There is no VM {name}; `vm-mgr list` shows those that there are.")
