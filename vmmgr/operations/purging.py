"""Remove snapshots of a VM, one or many, and finish or clean what an operation on a snapshot left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.command import CommandFailedError
from vmmgr.disks import check_known_snapshot
from vmmgr.errors import PartlyDoneError, RefusedError
from vmmgr.model import check_known_name
from vmmgr.operations.lease import holding, new_lease, refuse_unless_free, taking
from vmmgr.operations.observation import observe
from vmmgr.operations.records import document_of, recorded
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.steps import Role, Say, Step, change, read
from vmmgr.operations.stopping import exists

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmmgr.command import Command
    from vmmgr.disks import Disks, VmSnapshot
    from vmmgr.drivers.base import StorageDriver
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.retention import Retention
    from vmmgr.operations.steps import Steps

# The verbs whose remains ``finish`` deals with.
VERBS = ("create_snapshot", "remove_snapshot", "purge")


def remove_snapshot(context: Context, name: str, snapshot: str) -> Steps[None]:
    """Remove a snapshot from all disks that have it; whoever took it, and also one that some disks lack.

    Raises:
        RefusedError: There is none of that name, or it is protected; nothing was changed.
    """
    check_known_snapshot(snapshot)

    def choose(disks: Disks) -> list[VmSnapshot]:
        found = disks.named(snapshot)
        if not found:
            raise RefusedError(
                f"VM {name} has no snapshot {snapshot!r}; `vm-mgr list_snapshots -n {name}` shows those that there are."
            )
        return found

    yield from _remove(context, name, "remove_snapshot", choose, notes={"snapshot": snapshot})


def purge(context: Context, name: str, retention: Retention) -> Steps[list[str]]:
    """Remove the snapshots that ``retention`` chooses; return their names, the oldest first.

    Raises:
        RefusedError: All of them are protected; nothing was changed.
        PartlyDoneError: Some are protected, and were left.
    """
    removed = yield from _remove(context, name, "purge", lambda disks: retention.to_remove(disks.snapshots()))
    return [snapshot.name for snapshot in removed]


def _remove(
    context: Context, name: str, verb: str, choose: Callable[[Disks], list[VmSnapshot]], *, notes: dict[str, str] | None = None
) -> Steps[list[VmSnapshot]]:
    """Remove what ``choose`` chooses and Ceph does not protect, in one exec."""
    check_known_name(name)

    def attempt() -> Steps[tuple[list[VmSnapshot], list[str]]]:
        view = yield from observe(context, to_change=True, more=(context.storage.disks(name),))
        refuse_unless_free(view, name)
        exists(view, name)
        disks: Disks = view.more[0]
        chosen = choose(disks)
        left = [_protection(disks, item) for item in chosen if item.protected]
        victims = [item for item in chosen if not item.protected]
        if left and not victims:
            raise RefusedError(*left)
        if victims:
            lease = new_lease(context, view, name, verb, notes=notes)
            cluster = context.cluster(view.host, view.programs)
            steps = _removing(context, view, disks, victims, lease)
            try:
                yield from change(Role.CONTROL, *taking(cluster, view, lease), *steps)
            except CommandFailedError:
                yield from _commit_what_is_gone(context, disks, victims)
                raise
        return victims, left

    victims, left = yield from with_fresh_view(attempt)
    if left:
        yield Say(f"Removed of VM {name}: {', '.join(item.name for item in victims)}.")
        raise PartlyDoneError("\n".join(left))
    return victims


def removal_commands(storage: StorageDriver, vm: str, snapshot: VmSnapshot) -> list[Command[None]]:
    """Return the commands that remove a snapshot from all disks that have it."""
    if snapshot.grouped:
        return [storage.remove_group_snapshot(vm, snapshot.name)]
    return [storage.remove_snapshot(image, snapshot.name) for image in snapshot.images]


def finish(context: Context, view: View, disks: Disks, left: Lease, lease: Lease) -> Steps[str]:
    """Deal with what an operation of ``VERBS`` left of a VM; return the sentence that says what was done.

    A snapshot of which nothing was written down is removed, for nobody knows what it holds.
    """
    verb, snapshot = left.verb.removeprefix("repair after "), left.notes.get("snapshot", "")
    known = {id(item) for item, record in recorded(disks) if record}
    ended = verb == "create_snapshot" and any(id(item) in known for item in disks.named(snapshot))
    victims = [] if ended else [item for item in disks.named(snapshot) if not item.protected]
    cluster = context.cluster(view.host, view.programs)
    yield from change(Role.CONTROL, holding(cluster, lease), *_removing(context, view, disks, victims, lease, tidy=True))
    if verb == "purge":
        return f"The purge of VM {left.vm} was broken off; the snapshots that it did not come to are still there."
    if victims:
        return f"What {verb} had left of snapshot {snapshot} of VM {left.vm} is removed."
    return f"The {verb} of VM {left.vm} had come to its end, or to nothing; only its mark was left."


def _removing(
    context: Context, view: View, disks: Disks, victims: Sequence[VmSnapshot], lease: Lease, *, tidy: bool = False
) -> list[Step]:
    """Return the steps that remove snapshots with their records, and end the lease; ``tidy`` drops stale records too."""
    cluster, storage = context.cluster(view.host, view.programs), context.storage
    finish_later = f"`vm-mgr repair -n {disks.vm}` finishes or cleans it."
    commands = [command for item in victims for command in removal_commands(storage, disks.vm, item)]
    if disks.records and (victims or tidy):
        document = document_of(disks, removed=victims)
        commands.append(storage.records_put(disks.vm, document) if document else storage.records_remove(disks.vm))
    steps = [Step(command, commits=True, afterwards=finish_later) for command in commands]
    return [*steps, Step(cluster.drop_lease(lease), commits=True)]


def _commit_what_is_gone(context: Context, disks: Disks, victims: Sequence[VmSnapshot]) -> Steps[None]:
    """Look whether a removal that failed has removed anything; if so, the VM stays marked."""
    now = yield from read(Role.CONTROL, context.storage.disks(disks.vm))
    there = now.snapshots()
    if any(item not in there for item in victims):
        afterwards = f"`vm-mgr repair -n {disks.vm}` finishes or cleans it."
        yield from change(Role.CONTROL, Step(context.reader.cib(), commits=True, afterwards=afterwards))


def _protection(disks: Disks, snapshot: VmSnapshot) -> str:
    """Say that a snapshot is protected, and what that may be for."""
    clones = [child for disk in disks.disks if disk.image in snapshot.protected for child in disk.children]
    needed = f" Clones depend on these images: {', '.join(clones)}." if clones else ""
    return (
        f"Snapshot {snapshot.name} of VM {disks.vm} is protected on {', '.join(snapshot.protected)}, so it is left.{needed} "
        "`rbd snap unprotect` lets it be removed once nothing needs it."
    )
