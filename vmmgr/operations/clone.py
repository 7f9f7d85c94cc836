"""Clone a VM: copy-on-write images of one instant, usable at once; Ceph copies the data in the background."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from vmmgr.errors import VmMgrError
from vmmgr.model import Quiescence, Status, VmState
from vmmgr.operations.cloneplan import CloneRequest, Plan, check_wishes, make_plan
from vmmgr.operations.flattening import flattened
from vmmgr.operations.layout import file_step, give_to_cluster, group_steps
from vmmgr.operations.lease import holding, new_lease, taking
from vmmgr.operations.observation import look_again
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
        VmMgrError: It failed. Before the cluster was changed nothing is left; after that the VM stays, as Failed.
    """
    checked = check_wishes(context, request)

    def prepare() -> Steps[tuple[View, Survey, Plan, Lease]]:
        source = context.storage.disks(request.source, usage=False)
        view, found, problems = yield from survey_at_once(context, request.name, checked, monitors=True, more=(source,))
        plan = yield from make_plan(context, view, found, request, problems)
        notes = {"source": request.source, "snapshot": plan.snapshot}
        lease = new_lease(context, view, request.name, "clone", notes=notes)
        yield from change(Role.CONTROL, *taking(context.cluster(view.host, view.programs), view, lease))
        return view, found, plan, lease

    view, found, plan, lease = yield from with_fresh_view(prepare)
    yield from _copy(context, view, found, plan, lease)
    state = VmState(request.name, Status.STOPPED if request.enable else Status.DISABLED)
    if request.enable and request.start:
        view = replace(view, groups=view.groups | {request.name}, images=view.images.union(plan.vm.images))
        if request.wait:
            _, state = yield from wait_for(context, view, request.name, Status.STARTED, request.timeout)
        else:
            state = state_of((yield from look_again(context, view)), request.name)
    if request.full:
        yield from flattened(context, plan.vm.images)
    return state


def _copy(context: Context, view: View, found: Survey, plan: Plan, lease: Lease) -> Steps[None]:
    """Put the domain XML on the hypervisors; then make the images, the group, the metadata and the resource in one exec."""
    storage, vm = context.storage, plan.vm
    sources = plan.sources
    steps: list[Step] = []
    if found.agent != "seapath":
        write, held = file_step(context, vm.name, plan.domain_xml), holding(context.cluster(view.host, view.programs), lease)
        if others := [host for host in found.hosts if host != view.host]:
            yield ChangeEach(dict.fromkeys(others, (held, write)))
        steps = [write] if view.host in found.hosts else []
    take = [
        Step(storage.create_snapshot(image, plan.snapshot), undo=storage.remove_snapshot(image, plan.snapshot))
        for image in sources
    ]
    if plan.node:
        yield from _held_still(context, plan.node, plan.disks.vm, take)
    else:
        steps += take
        if plan.known is not None:
            steps.append(Step(storage.assert_unused(sources, plan.known)))
    steps += [
        Step(storage.clone_image(image, plan.snapshot, copy), undo=storage.remove_image(copy), exclusive=True)
        for image, copy in zip(sources, vm.images, strict=True)
    ]
    # Ceph keeps them out of sight for as long as the clones depend on them
    steps += [Step(storage.remove_snapshot(image, plan.snapshot)) for image in sources]
    # Ceph has copied the source's metadata
    metadata, old = vm.all_metadata(plan.domain_xml), plan.disks.metadata
    if obsolete := sorted(old.keys() - metadata.keys()):
        steps.append(Step(storage.unset_metadata(vm.images[0], obsolete)))
    steps += group_steps(context, vm, {key: text for key, text in metadata.items() if old.get(key) != text})
    later = f"`vm-mgr repair -n {vm.name}` does what is left to do."
    flatten = [Step(storage.flatten_later(image), commits=True, afterwards=later) for image in vm.images]
    *complaints, _ = yield from give_to_cluster(context, view, found, vm, lease, first=steps, rest=flatten)
    if left := [image for image, complaint in zip(vm.images, complaints, strict=True) if complaint]:
        yield Say(
            f"Ceph does not copy the data of {', '.join(left)} in the background, so VM {vm.name} goes on depending on the disks of "
            f"VM {plan.disks.vm} until you run `rbd flatten` for it on a machine of the site. {' '.join(filter(None, complaints))}",
            warning=True,
        )


def _held_still(context: Context, node: str, source: str, take: list[Step]) -> Steps[None]:
    """Take the snapshots while the source holds still; its hypervisor lets it go on after some seconds whatever happens.

    Raises:
        VmMgrError: It did not hold still for all of them.
    """
    token = secrets.token_hex(4)
    quiesce = context.hypervisor.quiesce(source, token, freeze=True, pause=True)
    release = Step(context.hypervisor.release(source, token))
    (began, why), *_, ended = yield from change(node, Step(quiesce, undo=release.command), *take, release)
    paused_by_others = began is Quiescence.PAUSED and why == "before"
    if ended is not began and not paused_by_others:
        raise VmMgrError(f"VM {source} did not hold still until all of its disks were taken on {node}. Try again.")
    yield Say(f"VM {source} was {began} for a moment.")
