"""Clone a VM: copy-on-write images of one instant, usable at once; Ceph copies the data in the background."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmmgr.model import NEW_PREFIX, Status, VmState
from vmmgr.operations.cloneplan import CloneRequest, Plan, check_wishes, make_plan
from vmmgr.operations.flattening import flattened, tell_complaints
from vmmgr.operations.layout import file_step, give_to_cluster, group_steps
from vmmgr.operations.lease import holding, new_lease, taking
from vmmgr.operations.observation import look_again
from vmmgr.operations.replaced import asked
from vmmgr.operations.replacing import Replacement, replace_vm, stop_old
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import ChangeEach, Role, Say, Step, change
from vmmgr.operations.survey import Survey, survey_at_once
from vmmgr.operations.waiting import wait_for

if TYPE_CHECKING:
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


def clone(context: Context, request: CloneRequest) -> Steps[VmState]:
    """Make a new VM of the disks of another one, which may run and is not changed, and wait until it runs.

    Raises:
        UsageError: A value is wrong; nothing was contacted.
        RefusedError: The site forbids it; nothing was changed.
        VmMgrError: It failed. Before the cluster was changed nothing is left; after that the VM stays, as Failed, unless it
            replaces another one: that is back as it was.
    """
    checked = check_wishes(context, request)
    old = asked(context, request.name) if request.force else ()

    def prepare() -> Steps[tuple[View, Survey, Plan, Lease]]:
        source = context.storage.disks(request.source, usage=False)
        view, found, problems = yield from survey_at_once(context, request.name, checked, monitors=True, more=(source, *old))
        plan = yield from make_plan(context, view, found, request, problems)
        notes = {"source": request.source, "snapshot": plan.snapshot} | (plan.old.notes if plan.old else {})
        lease = new_lease(context, view, request.name, "clone", notes=notes)
        yield from change(Role.CONTROL, *taking(context.cluster(view.host, view.programs), view, lease))
        return view, found, plan, lease

    view, found, plan, lease = yield from with_fresh_view(prepare)
    if plan.old:
        job = Replacement(plan.vm, plan.old, found, lease, plan.domain_xml, context.clock(), plan.node)
        state = yield from _replace(context, view, plan, job, request.timeout)
    else:
        yield from _copy(context, view, found, plan, lease)
        state = yield from _come_up(context, view, request, plan)
    if request.full:
        yield from flattened(context, plan.vm.images)
    return state


def _come_up(context: Context, view: View, request: CloneRequest, plan: Plan) -> Steps[VmState]:
    """Wait until the clone runs, as far as that was asked for."""
    if not (request.enable and request.start):
        return VmState(request.name, Status.STOPPED if request.enable else Status.DISABLED)
    view = replace(view, groups=view.groups | {request.name}, images=view.images.union(plan.vm.images))
    if not request.wait:
        return state_of((yield from look_again(context, view)), request.name)
    _, state = yield from wait_for(context, view, request.name, Status.STARTED, request.timeout)
    return state


def _replace(context: Context, view: View, plan: Plan, job: Replacement, timeout: float | None) -> Steps[VmState]:
    """Put the clone into the place of the old VM, which stops when the new disks are there."""
    still, copies = _snapshots(context, plan), _copies(context, plan, prefix=NEW_PREFIX)
    if plan.node == view.host:  # what has to be done there is done in one exec
        values = yield from stop_old(context, view, job, *still, *copies)
        yield _how_it_was_held(plan, values)
    else:
        if plan.node:
            yield from _held_still(plan.node, plan, still)
            still = []
        yield from stop_old(context, view, job, *still, *copies)
    return (yield from replace_vm(context, view, job, timeout))


def _copy(context: Context, view: View, found: Survey, plan: Plan, lease: Lease) -> Steps[None]:
    """Put the domain XML on the hypervisors; then make the images, the group, the metadata and the resource in one exec."""
    vm = plan.vm
    steps: list[Step] = []
    if found.agent != "seapath":
        write, held = file_step(context, vm.name, plan.domain_xml), holding(context.cluster(view.host, view.programs), lease)
        if others := [host for host in found.hosts if host != view.host]:
            yield ChangeEach(dict.fromkeys(others, (held, write)))
        steps = [write] if view.host in found.hosts else []
    snapshots = _snapshots(context, plan)
    if plan.node:
        yield from _held_still(plan.node, plan, snapshots)
    else:
        steps += snapshots
    steps += _copies(context, plan)
    later = f"`vm-mgr repair -n {vm.name}` does what is left to do."
    flatten = [Step(context.storage.flatten_later(image), commits=True, afterwards=later) for image in vm.images]
    *complaints, _ = yield from give_to_cluster(context, view, found, vm, lease, first=steps, rest=flatten)
    yield from tell_complaints(lease, vm.images, complaints)


def _snapshots(context: Context, plan: Plan) -> list[Step]:
    """Return the steps that take the snapshots of one instant.

    Where the source is to hold still for it, they are for its hypervisor, which lets it go on after some seconds whatever happens.
    """
    storage, source, sources = context.storage, plan.disks.vm, plan.sources
    take = [
        Step(storage.create_snapshot(image, plan.snapshot), undo=storage.remove_snapshot(image, plan.snapshot))
        for image in sources
    ]
    if plan.node is None:
        return take if plan.known is None else [*take, Step(storage.assert_unused(sources, plan.known))]
    token, hypervisor = secrets.token_hex(4), context.hypervisor
    quiesce = hypervisor.quiesce(source, token, freeze=True, pause=True)
    return [
        Step(quiesce, undo=hypervisor.release(source, token)),
        *take,
        Step(hypervisor.release(source, token, strict=True)),
    ]


def _held_still(node: str, plan: Plan, snapshots: list[Step]) -> Steps[None]:
    """Take the snapshots on the hypervisor of the source."""
    values = yield from change(node, *snapshots)
    yield _how_it_was_held(plan, values)


def _how_it_was_held(plan: Plan, values: list[Any]) -> Say:
    """Tell by the values of the snapshots' steps whether the guest's agent has frozen it."""
    (quiescence, _why), *_ = values
    return Say(f"VM {plan.disks.vm} was {quiescence} for a moment.")


def _copies(context: Context, plan: Plan, *, prefix: str = "") -> list[Step]:
    """Return the steps that make a VM of the snapshots; ``prefix`` is put before the names of its disks."""
    storage, vm, sources = context.storage, plan.vm, plan.sources
    steps = [
        Step(storage.clone_image(image, plan.snapshot, prefix + copy), undo=storage.remove_image(prefix + copy), exclusive=True)
        for image, copy in zip(sources, vm.images, strict=True)
    ]
    # Ceph keeps them out of sight for as long as the clones depend on them
    steps += [Step(storage.remove_snapshot(image, plan.snapshot)) for image in sources]
    # Ceph has copied the source's metadata
    metadata, old = vm.all_metadata(plan.domain_xml), plan.disks.metadata
    if obsolete := sorted(old.keys() - metadata.keys()):
        steps.append(Step(storage.unset_metadata(prefix + vm.images[0], obsolete)))
    changed = {key: text for key, text in metadata.items() if old.get(key) != text}
    return [*steps, *group_steps(context, vm, changed, prefix=prefix)]
