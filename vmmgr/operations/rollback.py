"""Roll a VM back to a snapshot: all disks or none, with its metadata and domain XML, and leave it in the role it had.

The resource itself and its constraints are not touched but for the target role. What repair has to know stands in the lease:
the snapshot, the safety snapshot that was taken before (if any), the target role to go back to (if the VM has a resource that is
to run), and how far the rollback is, in ``phase``: nothing has been rolled back; ROLLING, and it can only be taken back to the
safety snapshot or else finished; DONE, and only the role is missing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from vmmgr.disks import Consistency, check_known_snapshot
from vmmgr.errors import VmMgrError
from vmmgr.model import Status, VmState, check_known_name
from vmmgr.operations.definition import REMOTE_KEYS
from vmmgr.operations.lease import holding
from vmmgr.operations.observation import observe
from vmmgr.operations.records import document_of, record_of
from vmmgr.operations.restoration import ROLLING, Restoration, rolling, target_of
from vmmgr.operations.retrying import from_view
from vmmgr.operations.snapshots import disk_problems, foreseen, snapshot_steps
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import Role, Say, Step, change
from vmmgr.operations.stopping import exists, refuse_unless_stopped, stopped_and_marked, unused_disks
from vmmgr.operations.survey import refuse_if
from vmmgr.operations.waiting import VmFailedError, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.disks import Disks
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.records import Record
    from vmmgr.operations.steps import Steps


def rollback(
    context: Context, name: str, snapshot: str, *, safety: bool = True, timeout: float | None = None
) -> Steps[VmState]:
    """Roll a VM back; ``timeout`` seconds may pass while it stops, and again while it starts.

    Raises:
        UsageError: A name is wrong; nothing was contacted.
        RefusedError: The snapshot is unknown or partial, or something else is in the way; nothing was changed.
        VmMgrError: It failed, and was taken back; or it is done, and the VM does not start.
    """
    check_known_name(name)
    check_known_snapshot(snapshot)
    began = context.clock()

    def check(view: View) -> bool:
        exists(view, name)
        disks = view.more[0]
        refuse_if(disk_problems(disks, as_group=safety and len(disks.disks) > 1))
        _, record = target_of(disks, snapshot)
        refuse_if(_guest_node_problems(disks, snapshot, record))
        return True

    def notes(view: View) -> Mapping[str, str]:
        resource = view.resource(name) if view.is_defined(name) else None
        stopped = resource is None or resource.target_role.lower() == "stopped"
        role = "" if resource is None or stopped else resource.target_role or "Started"
        return {"snapshot": snapshot, "safety": _safety_name(view) if safety else "", "role": role}

    disks = context.storage.disks(name)
    result = yield from stopped_and_marked(
        context,
        name,
        "rollback",
        check,
        timeout=timeout,
        look=lambda: observe(context, to_change=True, more=(disks,)),
        notes=notes,
    )
    if not isinstance(result, tuple):
        return state_of(result, name)
    view, lease = result
    work = Restoration(context, view, lease, began, (yield from unused_disks(context, name)), snapshot)
    if work.record is None:
        yield Say(
            f"Nothing was written down of snapshot {snapshot}, so the metadata and domain XML of VM {name} stay as they are."
        )
    work = yield from from_view(context, view, lambda now: _roll_back(replace(work, view=now)))
    own = yield from work.write_files()
    yield from change(Role.CONTROL, *work.ending([*_recorded(work), *work.metadata_steps(), *own]))
    if work.safety:
        yield Say(f"What was there before is in snapshot {work.safety}.")
    return (yield from _in_its_role(work, timeout))


def _safety_name(view: View) -> str:
    """Return a name for the safety snapshot that the VM has not yet: another rollback may have been in the same second."""
    name = f"vm-mgr-before-rollback-{datetime.fromtimestamp(view.now, UTC):%Y%m%d-%H%M%S}"
    taken = {item.name for item in view.more[0].snapshots()}
    return next(free for number in count(1) if (free := name if number == 1 else f"{name}-{number}") not in taken)


def _guest_node_problems(disks: Disks, snapshot: str, record: Record | None) -> list[str]:
    """Return why the guest of a snapshot cannot be the guest node that the VM is, which stays one."""
    key = REMOTE_KEYS["remote-node"]
    if record is None or key in record.metadata or key not in disks.metadata:
        return []
    words = f"VM {disks.vm} was no guest node yet when snapshot {snapshot} was taken: Pacemaker would not get into its guest"
    way_out = f"`vm-mgr remove_pacemaker_remote -n {disks.vm}` first, and `vm-mgr deploy` afterwards"
    return [f"{words}, and restart the VM again and again for that. {way_out}."]


def _roll_back(work: Restoration) -> Steps[Restoration]:
    """Take the safety snapshot and roll all disks back, in one exec; the lease tells that it has begun."""
    context, disks, safety = work.context, work.disks, work.safety
    refuse_unless_stopped(work.view, disks.vm)
    begun = work.cluster.renew_lease(work.renewed(ROLLING))
    # while it is not known whether one has come to its end, none may be begun in the other direction
    rolls = [Step(command, exclusive=True) for command in work.to_goal()]
    guards = (holding(work.cluster, work.lease), work.still_stopped())
    if not safety:
        yield from change(Role.CONTROL, *guards, Step(begun, commits=True, afterwards=work.finish), *rolls)
        return work
    context.generated[safety] = "safety snapshot"
    then = foreseen(disks, safety)
    # one command takes back whatever was rolled back
    (back,) = rolling(context.storage, then, then.named(safety)[0])
    # without it nothing could be taken back, so it stays until all that comes after it has been
    take = (replace(step, anchor=True) for step in snapshot_steps(context.storage, disks, safety))
    look = Step(replace(context.storage.disks(disks.vm), foretold=then))
    *_, disks = yield from change(Role.CONTROL, *guards, *take, Step(begun, undo=back), *rolls, look)
    return replace(work, disks=disks)


def _recorded(work: Restoration) -> list[Step]:
    """Return the step that writes down what the safety snapshot holds, the metadata above all, before they are changed."""
    storage, disks = work.context.storage, work.disks
    if not work.safety:
        return []
    record = record_of(disks.named(work.safety)[0], disks, work.context.who, Consistency.OFFLINE)
    old = storage.records_put(disks.vm, disks.records) if disks.records else storage.records_remove(disks.vm)
    return [Step(storage.records_put(disks.vm, document_of(disks, record)), undo=old, anchor=True)]


def _in_its_role(work: Restoration, timeout: float | None) -> Steps[VmState]:
    """Wait until the VM runs, if it did before."""
    vm = work.disks.vm
    if not work.role:
        return VmState(vm, Status.STOPPED if work.view.is_defined(vm) else Status.DISABLED)
    try:
        _, state = yield from wait_for(work.context, work.view, vm, Status.STARTED, timeout)
    except VmFailedError as error:
        raise VmMgrError(f"VM {vm} is rolled back to {work.goal}, and does not start. {error}") from error
    return state
