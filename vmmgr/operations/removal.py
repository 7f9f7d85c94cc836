"""Remove a VM with its disks, and finish or clean what an operation left when its workstation was lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmmgr.errors import RefusedError
from vmmgr.model import Lease, check_known_name
from vmmgr.operations import guestnode, purging, servicerunning
from vmmgr.operations.erasing import erase, file_removal, finish_later, own, unused
from vmmgr.operations.flattening import forget_source
from vmmgr.operations.fragment import Fragment, document
from vmmgr.operations.lease import holding, lease_problems, new_lease, refuse_while_cloned, taking_over
from vmmgr.operations.observation import observe
from vmmgr.operations.restoring import remembered, resume
from vmmgr.operations.retrying import change_definition, from_view, with_fresh_view
from vmmgr.operations.rollback_repair import finish_rollback
from vmmgr.operations.steps import Role, Say, Step, change, telling_host
from vmmgr.operations.stopping import exists, forgetting, refuse_unless_stopped, stopped_and_marked
from vmmgr.operations.survey import refuse_if

if TYPE_CHECKING:
    from vmmgr.disks import Disks
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds by which the clocks of a site's machines may differ.
_CLOCKS = 60.0
_REPAIR = "repair after "


def remove(context: Context, name: str, *, timeout: float | None = None) -> Steps[None]:
    """Stop a VM, take it out of the cluster, and remove its files and disks; nothing of it can be brought back."""
    check_known_name(name)
    began = context.clock()
    look = partial(observe, context, to_change=True, more=(context.storage.disks(name),))
    result = yield from stopped_and_marked(
        context, name, "remove", lambda view: _can_go(view, name), timeout=timeout, look=look
    )
    if not isinstance(result, tuple):
        return
    view, lease = result
    disks = yield from unused(context, view.more[0])
    cleaned = ""
    if view.is_defined(name):
        cleaned = yield from from_view(context, view, lambda now: _take_out(context, now, name, lease))
    yield from erase(context, view, disks, lease, began=began, cleaned=cleaned)


def _can_go(view: View, name: str) -> bool:
    exists(view, name)
    refuse_while_cloned(view, name)
    disks: Disks = view.more[0]
    if disks.children:
        raise RefusedError(
            f"The clones {', '.join(disks.children)} still depend on the disks of VM {name}; wait until Ceph has flattened them "
            "(`ceph rbd task list` on a machine of the site tells how far it is)."
        )
    return True


def _take_out(context: Context, view: View, name: str, lease: Lease) -> Steps[str]:
    """Delete the VM's part of the CIB in one change; sets of several others go on without it.

    Returns:
        The host that removed the VM's file in the same exec; empty if the control host is no hypervisor.
    """
    refuse_unless_stopped(view, name)
    cluster = context.cluster(view.host, view.programs)
    fragment = Fragment.of(view.cib, name)
    for sentence in fragment.farewell(name):
        yield Say(sentence)
    guards = [holding(cluster, lease), Step(cluster.assert_unchanged(view.cib))]
    guards += forgetting(cluster, view, name, *fragment.service_names)
    ids, remains = fragment.ids(name), fragment.remains(name)
    command = cluster.redefine(document(None, remains), ids, ()) if remains else cluster.delete(ids)
    delete = Step(command, commits=True, afterwards=finish_later(name))
    # another host may have taken over from the control host by then
    clean = telling_host(file_removal(context, name), view.host)
    rest = [clean] if view.host in [machine.name for machine in context.site.hypervisors] else []
    values = yield from change_definition(context, view, guards, delete, rest, made=lambda cib: cib.primitive(name) is None)
    return values[0] if values else ""


def repair(context: Context, name: str, *, force: bool = False) -> Steps[str]:
    """Finish or clean what an operation on a VM left unfinished; return the sentence that says what was done.

    Raises:
        RefusedError: The operation may still be in progress, and ``force`` is not set.
    """
    check_known_name(name)

    def attempt() -> Steps[tuple[View, Lease, Lease] | None]:
        view = yield from observe(context, to_change=True, more=remembered(context, name))
        left = view.leases.get(name)
        if left is None:
            return None
        if left.until > view.now and not force:
            raise RefusedError(*lease_problems(view, name), "If you are sure that it is dead, use --force.")
        if _cleans(left, view):
            refuse_if(_foreign(left, view.more[0]))
        notes = {"since": str(left.since)} | dict(left.notes)
        lease = new_lease(context, view, name, f"{_REPAIR}{left.verb.removeprefix(_REPAIR)}", notes=notes)
        yield from change(Role.CONTROL, *taking_over(context.cluster(view.host, view.programs), view, left, lease))
        return view, left, lease

    began = context.clock()
    taken = yield from with_fresh_view(attempt)
    if taken is None:
        return f"Nothing was left unfinished on VM {name}."
    view, left, lease = taken
    if (finishing := _own_way(context, view, left, lease)) is not None:
        return (yield from finishing)
    if _cleans(left, view):
        disks = yield from unused(context, view.more[0])
        yield from forget_source(context, view, lease)
        yield from erase(context, view, disks, lease, began=began)
        return f"What {left.verb} had left of VM {name} is removed."
    return (yield from _close(context, view, left, lease))


def _own_way(context: Context, view: View, left: Lease, lease: Lease) -> Steps[str] | None:
    """Return how the verbs are finished that have a way of their own; None for the others."""
    verb = left.verb.removeprefix(_REPAIR)
    if verb in purging.VERBS:
        return purging.finish(context, view, view.more[0], left, lease)
    if verb in guestnode.VERBS:
        return guestnode.finish(context, lease)
    if verb == servicerunning.REMOVE:
        return servicerunning.finish(context, view, lease)
    if verb == "rollback":
        return finish_rollback(context, view, lease)
    if "replaces" in left.notes:
        return resume(context, view, left.vm, lease)
    return None


def _close(context: Context, view: View, left: Lease, lease: Lease) -> Steps[str]:
    """Take away the mark of an operation that had come to its end, or that had not begun with what cannot be undone."""
    name, enabled = left.vm, view.cib.primitive(left.vm) is not None
    steps = [Step(context.cluster(view.host, view.programs).drop_lease(lease), commits=True)]
    if enabled:
        # what a disable had put aside before it was broken off
        steps.insert(0, Step(context.storage.store_remove(name)))
    if left.verb.endswith("clone"):
        steps = [*(Step(context.storage.flatten_later(image)) for image in view.images_of(name)), *steps]
    yield from change(Role.CONTROL, *steps)
    if left.verb.endswith(("create", "clone")) or not enabled:
        return f"The {left.verb} of VM {name} had come to its end; only its mark was left."
    return f"The {left.verb} of VM {name} had not begun to take it out of the cluster; it stays, and may be stopped."


def _cleans(left: Lease, view: View) -> bool:
    """Whether what an operation left is removed: it had not made the VM yet, or had taken it out already."""
    made_or_unmade = left.verb.endswith(("create", "clone", "remove")) and "replaces" not in left.notes
    return made_or_unmade and view.cib.primitive(left.vm) is None


def _foreign(left: Lease, disks: Disks) -> list[str]:
    """Return which disks cannot be those of the operation that was broken off, by the time at which they were made."""
    try:
        since = float(left.notes.get("since", left.since))
    except ValueError:  # altered by hand
        since = float(left.since)
    problems = []
    for disk in own(disks):
        made = disk.created.timestamp() if disk.created else since
        too_late = made > (since if left.verb.endswith("remove") else left.until) + _CLOCKS
        too_early = left.verb.endswith(("create", "clone")) and made < since - _CLOCKS
        if too_late or too_early:
            problems.append(
                f"The RBD image {disk.image} was made at {disk.created:%Y-%m-%d %H:%M:%S} UTC, so it has nothing to do with "
                f"the {left.verb} of VM {left.vm}; rename it or remove it first."
            )
    return problems
