"""Take and list snapshots of a VM: all its disks at one instant, and what state of the guest they hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vmmgr.disks import Consistency, ImageSnapshot, check_new_snapshot
from vmmgr.errors import ConnectError, RefusedError, VmMgrError
from vmmgr.model import Quiescence, Status, check_known_name, system_image
from vmmgr.operations.lease import holding, new_lease, refuse_unless_free, taking
from vmmgr.operations.observation import observe
from vmmgr.operations.records import Record, document_of, record_of, recorded, records_in
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import Role, Say, Step, change
from vmmgr.operations.stopping import exists
from vmmgr.operations.survey import refuse_if

if TYPE_CHECKING:
    from vmmgr.disks import Disks, VmSnapshot
    from vmmgr.drivers.base import StorageDriver
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """What to take.

    Attributes:
        name: Of the VM.
        snapshot: Of the snapshot.
        compatible: Whether vm_manager is to understand it: a snapshot of each image, and none of the group.
        freeze: Whether to have the guest's agent freeze its file systems, if it answers.
    """

    name: str
    snapshot: str
    compatible: bool = False
    freeze: bool = True


def list_snapshots(context: Context, name: str) -> Steps[list[tuple[VmSnapshot, Record | None]]]:
    """Return a VM's snapshots, whoever took them, the oldest first, each with what vm-mgr wrote down of it."""
    check_known_name(name)
    view = yield from observe(context, more=(context.storage.disks(name, usage=True),))
    exists(view, name)
    disks: Disks = view.more[0]
    try:
        return recorded(disks)
    except VmMgrError as error:
        yield Say(str(error), warning=True)
        return [(snapshot, None) for snapshot in disks.snapshots()]


def create_snapshot(context: Context, request: SnapshotRequest) -> Steps[Consistency]:
    """Take a snapshot of all disks of a VM at one instant, write down what it holds, and return that.

    Raises:
        UsageError: A name is wrong; nothing was contacted.
        RefusedError: The site forbids it, or there is such a snapshot; nothing was changed.
        VmMgrError: It failed; no snapshot is left.
    """
    check_known_name(request.name)
    check_new_snapshot(request.snapshot)

    def attempt() -> Steps[tuple[View, Lease, Consistency, Disks]]:
        view = yield from observe(context, to_change=True, more=(context.storage.disks(request.name),))
        refuse_unless_free(view, request.name)
        exists(view, request.name)
        refuse_if(_obstacles(view.more[0], request))
        records_in(view.more[0])  # to be written again
        lease = new_lease(context, view, request.name, "create_snapshot", notes={"snapshot": request.snapshot})
        consistency, disks = yield from _take(context, view, request, lease)
        return view, lease, consistency, disks

    view, lease, consistency, disks = yield from with_fresh_view(attempt)
    (snapshot,) = disks.named(request.snapshot)
    record = record_of(snapshot, disks, context.who, consistency)
    cluster = context.cluster(view.host, view.programs)
    put = Step(context.storage.records_put(request.name, document_of(disks, record)))
    yield from change(Role.CONTROL, holding(cluster, lease), put, Step(cluster.drop_lease(lease), commits=True))
    return consistency


def snapshot_steps(storage: StorageDriver, disks: Disks, snapshot: str, *, compatible: bool = False) -> tuple[Step, ...]:
    """Return the steps that take a snapshot of all disks: at one instant, or with ``compatible`` one image after the other."""
    if len(disks.disks) > 1 and not compatible:
        group = disks.vm
        take, undo = storage.create_group_snapshot(group, snapshot), storage.remove_group_snapshot(group, snapshot)
        return (Step(take, undo=undo, exclusive=True),)
    return tuple(
        Step(storage.create_snapshot(image, snapshot), undo=storage.remove_snapshot(image, snapshot), exclusive=True)
        for image in disks.images
    )


def foreseen(disks: Disks, snapshot: str, *, compatible: bool = False) -> Disks:
    """Return the disks with the snapshot that ``snapshot_steps`` takes; its number and time are Ceph's to choose."""
    grouped, never = len(disks.disks) > 1 and not compatible, datetime.fromtimestamp(0, UTC)
    part = ImageSnapshot(0, snapshot, never)
    if grouped:
        part = replace(part, kind="group", group=disks.vm, group_snapshot=snapshot)
    parts = tuple(replace(disk, snapshots=(*disk.snapshots, part)) for disk in disks.disks)
    names = {**disks.group_snapshots, snapshot: True} if grouped else disks.group_snapshots
    return replace(disks, disks=parts, group_snapshots=names)


def disk_problems(disks: Disks, *, as_group: bool) -> list[str]:
    """Return why a VM's disks cannot be taken as a whole; ``as_group``, by a snapshot of their group."""
    if system_image(disks.vm) not in disks.images:
        return [f"VM {disks.vm} has no image {system_image(disks.vm)} in the pool, so there is nothing to take a snapshot of."]
    if disks.strangers:
        return [f"Its group has members that are no images of this pool: {', '.join(disks.strangers)}; take them out of it."]
    outside = [disk.image for disk in disks.disks if not disk.grouped]
    if outside and as_group:
        return [
            f"Not all disks of VM {disks.vm} are in its group: {', '.join(outside)}; `rbd group image add` puts them there."
        ]
    return []


def _obstacles(disks: Disks, request: SnapshotRequest) -> list[str]:
    problems = disk_problems(disks, as_group=len(disks.disks) > 1 and not request.compatible)
    if disks.named(request.snapshot):
        problems.append(
            f"VM {request.name} has a snapshot {request.snapshot} already; choose another name, or remove it first."
        )
    return problems


def _take(context: Context, view: View, request: SnapshotRequest, lease: Lease) -> Steps[tuple[Consistency, Disks]]:
    """Mark the VM and take the snapshot in one exec, on the hypervisor where its guest can be told to hold still."""
    name, disks, storage = request.name, view.more[0], context.storage
    steps = (
        *taking(context.cluster(view.host, view.programs), view, lease),
        *snapshot_steps(storage, disks, request.snapshot, compatible=request.compatible),
    )
    look = Step(replace(storage.disks(name), foretold=foreseen(disks, request.snapshot, compatible=request.compatible)))
    state = state_of(view, name)
    one_by_one = request.compatible and len(disks.disks) > 1
    if state.status in (Status.STOPPED, Status.DISABLED) and not disks.watchers:
        *_, disks = yield from change(Role.CONTROL, *steps, look)
        return Consistency.OFFLINE, disks
    still = _running_on(context, view, name)
    if still and (request.freeze or one_by_one):
        try:
            return (yield from _take_held(context, still, request, lease, (*steps, look), one_by_one=one_by_one))
        except ConnectError as error:
            if one_by_one:
                raise
            yield Say(f"The guest of VM {name} cannot be told to hold still. {error}", warning=True)
    elif one_by_one:
        raise RefusedError(
            f"VM {name} is {state.status}, so its guest cannot be told to hold still while one disk is taken after the other; "
            "wait until it is Started or Stopped, or go without --compatible."
        )
    *_, disks = yield from change(Role.CONTROL, *steps, look)
    return Consistency.CRASH, disks


def _running_on(context: Context, view: View, name: str) -> str | None:
    """Return the hypervisor whose libvirt has the VM's guest; None where that is about to change."""
    state = state_of(view, name)
    hypervisors = [machine.name for machine in context.site.hypervisors]
    return state.node if state.status is Status.STARTED and state.node in hypervisors else None


def _take_held(
    context: Context, node: str, request: SnapshotRequest, lease: Lease, steps: tuple[Step, ...], *, one_by_one: bool
) -> Steps[tuple[Consistency, Disks]]:
    """Take the snapshot while the guest holds still; its hypervisor lets it go on if nobody else does."""
    hypervisor, name = context.hypervisor, request.name
    mark, take, look = steps[:2], steps[2:-1], steps[-1]
    release = hypervisor.release(name, lease.token)
    hold = Step(hypervisor.quiesce(name, lease.token, freeze=request.freeze, pause=one_by_one), undo=release)
    answers = yield from change(node, *mark, hold, *take, Step(release), look)
    (held, reason), released, disks = answers[len(mark)], answers[-2], answers[-1]
    if request.freeze and held is not Quiescence.FROZEN:
        yield Say(f"The file systems of VM {name} could not be frozen ({reason or held}).", warning=True)
    if held is Quiescence.FROZEN and released is held:
        return Consistency.FILESYSTEM, disks
    paused = held is Quiescence.PAUSED and (released is held or reason == "before")
    if one_by_one and not paused:
        raise VmMgrError(
            f"The guest of VM {name} did not hold still until all disks were taken, so they are not of one instant; try again, "
            "or go without --compatible."
        )
    if held is Quiescence.FROZEN:
        yield Say(f"The file systems of VM {name} did not stay frozen until the snapshot was taken.", warning=True)
    return Consistency.CRASH, disks
