"""Remove a VM with its disks, and finish or clean what an operation left when its workstation was lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmmgr.errors import RefusedError
from vmmgr.model import Lease, check_known_name, system_image
from vmmgr.operations import purging
from vmmgr.operations.flattening import forget_source
from vmmgr.operations.fragment import Fragment, document
from vmmgr.operations.lease import holding, lease_problems, new_lease, refuse_while_cloned, taking_over
from vmmgr.operations.observation import observe
from vmmgr.operations.restoring import resume
from vmmgr.operations.retrying import change_definition, from_view, with_fresh_view
from vmmgr.operations.steps import ChangeEach, Pause, Read, Role, Say, Step, change, read
from vmmgr.operations.stopping import exists, refuse_unless_stopped, stopped_and_marked
from vmmgr.operations.survey import config_file, is_on

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds for Ceph to forget a client that had the image open (osd_client_watch_timeout is 30 by default).
_WATCHER_PATIENCE = 40.0
# For each image its snapshots, with whether they are protected.
_Snapshots = dict[str, tuple[tuple[str, bool], ...]]


def remove(context: Context, name: str, *, timeout: float | None = None) -> Steps[None]:
    """Stop a VM, take it out of the cluster, and remove its files and disks; nothing of it can be brought back."""
    check_known_name(name)

    def look() -> Steps[View]:
        children = context.storage.children
        view = yield from observe(context, to_change=True, more=(children(system_image(name)),))
        if data := [image for image in view.images_of(name) if image != system_image(name)]:
            clones = yield Read(Role.CONTROL, tuple(children(image) for image in data))
            view = replace(view, more=(sum(clones, view.more[0]),))
        return view

    def check(view: View) -> bool:
        exists(view, name)
        refuse_while_cloned(view, name)
        if view.more[0]:
            raise RefusedError(
                f"The clones {', '.join(view.more[0])} still depend on the disks of VM {name}; wait until Ceph has flattened them "
                "(`ceph rbd task list` on a machine of the site tells how far it is)."
            )
        return True

    result = yield from stopped_and_marked(context, name, "remove", check, timeout=timeout, look=look)
    if not isinstance(result, tuple):
        return
    view, lease = result
    snapshots = yield from _unused_disks(context, view, name)
    if view.is_defined(name):
        yield from from_view(context, view, lambda now: _take_out(context, now, name, lease))
    yield from _erase(context, view, name, lease, snapshots)


def _take_out(context: Context, view: View, name: str, lease: Lease) -> Steps[None]:
    """Delete the VM's part of the CIB in one change; sets of several others go on without it."""
    refuse_unless_stopped(view, name)
    cluster = context.cluster(view.host, view.programs)
    fragment = Fragment.of(view.cib, name)
    for sentence in fragment.farewell(name):
        yield Say(sentence)
    guards = [holding(cluster, lease), Step(cluster.assert_unchanged(view.cib))]
    if view.cib.has_failures(name):
        guards.append(Step(cluster.cleanup(name)))
    ids, remains = fragment.ids(name), fragment.remains(name)
    command = cluster.redefine(document(None, remains), ids, ()) if remains else cluster.delete(ids)
    delete = Step(command, commits=True, afterwards=_finish_later(name))
    yield from change_definition(context, view, guards, delete, [], made=lambda cib: cib.primitive(name) is None)


def repair(context: Context, name: str, *, force: bool = False) -> Steps[str]:
    """Finish or clean what an operation on a VM left unfinished; return the sentence that says what was done.

    Raises:
        RefusedError: The operation may still be in progress, and ``force`` is not set.
    """
    check_known_name(name)

    def attempt() -> Steps[tuple[View, Lease, Lease] | None]:
        view = yield from observe(context, to_change=True)
        left = view.leases.get(name)
        if left is None:
            return None
        if left.until > view.now and not force:
            raise RefusedError(*lease_problems(view, name), "If you are sure that it is dead, use --force.")
        verb = f"repair after {left.verb.removeprefix('repair after ')}"
        lease = new_lease(context, view, name, verb, notes=left.notes)
        yield from change(Role.CONTROL, *taking_over(context.cluster(view.host, view.programs), view, left, lease))
        return view, left, lease

    taken = yield from with_fresh_view(attempt)
    if taken is None:
        return f"Nothing was left unfinished on VM {name}."
    view, left, lease = taken
    if left.verb.removeprefix("repair after ") in purging.VERBS:
        disks = yield from read(Role.CONTROL, context.storage.disks(name))
        return (yield from purging.finish(context, view, disks, left, lease))
    if "replaces" in left.notes:
        return (yield from resume(context, view, name, lease))
    return (yield from _finish(context, view, left, lease))


def _finish(context: Context, view: View, left: Lease, lease: Lease) -> Steps[str]:
    """Clean what a create, clone or remove left; of others only the mark was left."""
    name = left.vm
    enabled = view.cib.primitive(name) is not None
    if left.verb.endswith(("create", "clone", "remove")) and not enabled:
        snapshots = yield from _unused_disks(context, view, name)
        yield from forget_source(context, view, lease)
        yield from _erase(context, view, name, lease, snapshots)
        return f"What {left.verb} had left of VM {name} is removed."
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


def _finish_later(name: str) -> str:
    return f"VM {name} is removed in part; `vm-mgr repair -n {name}` removes the rest."


def _unused_disks(context: Context, view: View, name: str) -> Steps[_Snapshots]:
    """Wait until nobody has the disks open; a client that was just stopped is remembered for some seconds.

    Raises:
        RefusedError: Somebody still has.
    """
    images, storage = view.images_of(name), context.storage
    deadline = context.clock() + _WATCHER_PATIENCE
    while images:
        questions = (*map(storage.watchers, images), *map(storage.snapshots, images))
        answers = yield Read(Role.CONTROL, questions)
        watchers, snapshots = answers[: len(images)], answers[len(images) :]
        users = {image: addresses for image, addresses in zip(images, watchers, strict=True) if addresses}
        if not users:
            return dict(zip(images, snapshots, strict=True))
        if context.clock() > deadline:
            words = "; ".join(f"{image} by {', '.join(addresses)}" for image, addresses in users.items())
            raise RefusedError(f"The disks of VM {name} are in use ({words}); end that first.")
        if not (yield Pause(1.0)):
            return dict(zip(images, snapshots, strict=True))
    return {}


def _erase(context: Context, view: View, name: str, lease: Lease, snapshots: _Snapshots) -> Steps[None]:
    """Remove files, then disks, then the mark; each can be repeated."""
    cluster, storage = context.cluster(view.host, view.programs), context.storage
    hypervisors = [machine.name for machine in context.site.hypervisors]
    file = Step(context.hypervisor.remove_file(config_file(name)), commits=True, afterwards=_finish_later(name))
    steps = dict.fromkeys((host for host in hypervisors if is_on(view, host)), (holding(cluster, lease), file))
    away = [host for host in hypervisors if host not in steps]
    away += yield ChangeEach(steps, leave_out=True)
    if away:
        yield Say(f"{', '.join(away)} cannot be reached: {config_file(name)} stays there, and is harmless.", warning=True)
    commands: list[Command[Any]] = []
    for image, taken in snapshots.items():
        commands += [storage.unprotect(image, snapshot) for snapshot, protected in taken if protected]
        commands += [storage.purge_snapshots(image)] if taken else []
    commands += [
        storage.remove_group(name),
        *map(storage.remove_image, snapshots),
        storage.records_remove(name),
        storage.store_remove(name),
    ]
    erase = [Step(command, commits=True, afterwards=_finish_later(name)) for command in commands]
    yield from change(Role.CONTROL, holding(cluster, lease), *erase, Step(cluster.drop_lease(lease), commits=True))
