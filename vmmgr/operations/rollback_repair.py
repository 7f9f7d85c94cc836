"""Finishes a rollback whose workstation was lost, or takes it back; ``operations.rollback`` tells what its lease says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vmmgr.operations.lease import holding
from vmmgr.operations.purging import removal_commands
from vmmgr.operations.records import document_of
from vmmgr.operations.restoration import DONE, ROLLING, Restoration
from vmmgr.operations.retrying import from_view
from vmmgr.operations.steps import Role, Step, change, read
from vmmgr.operations.stopping import refuse_unless_stopped, unused_disks

if TYPE_CHECKING:
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


def finish_rollback(context: Context, view: View, lease: Lease) -> Steps[str]:
    """Repair; return the sentence that says what was done. All of it can be repeated.

    Args:
        context: The site.
        view: What the cluster says of it.
        lease: That of the repair, with the notes of the rollback.
    """
    name, began, phase = lease.vm, context.clock(), lease.notes.get("phase", "")
    snapshot, safety = lease.notes.get("snapshot", ""), lease.notes.get("safety", "")
    if phase != ROLLING:
        disks = yield from read(Role.CONTROL, context.storage.disks(name))
        work = Restoration(context, view, lease, began, disks, snapshot)
        if phase == DONE:
            yield from change(Role.CONTROL, *work.ending([]))
            return f"The rollback of VM {name} to {snapshot} had come to its end; its target role is as before."
        yield from change(Role.CONTROL, holding(work.cluster, lease), *_without_safety(work))
        return f"The rollback of VM {name} to {snapshot} had not begun to change the disks; all is as it was before."
    disks = yield from unused_disks(context, name)
    work = Restoration(context, view, lease, began, disks, safety or snapshot)
    yield from from_view(context, view, lambda now: _roll(replace(work, view=now)))
    own = yield from work.write_files(anyway=True)
    if not safety:
        yield from change(Role.CONTROL, *work.ending(own))
        return f"The rollback of VM {name} to {snapshot} is finished; there was no safety snapshot to take it back to."
    back = Step(work.cluster.renew_lease(work.renewed("")), commits=True, afterwards=work.finish)
    yield from change(Role.CONTROL, holding(work.cluster, lease), *own, back, *_without_safety(work))
    return f"The rollback of VM {name} to {snapshot} was broken off half way and is taken back; all is as it was before."


def _roll(work: Restoration) -> Steps[None]:
    """Roll all disks to where the repair goes, with the metadata."""
    steps = [Step(work.cluster.renew_lease(work.renewed(ROLLING)), commits=True, afterwards=work.finish)]
    steps += [Step(command) for command in work.to_goal()]
    refuse_unless_stopped(work.view, work.disks.vm)
    guards = (holding(work.cluster, work.lease), work.still_stopped())
    yield from change(Role.CONTROL, *guards, *steps, *work.metadata_steps())


def _without_safety(work: Restoration) -> list[Step]:
    """Return the steps that remove the safety snapshot, let the VM run again if it did, and end the lease."""
    storage, disks = work.context.storage, work.disks
    victims = disks.named(work.safety) if work.safety else []
    commands = [command for item in victims for command in removal_commands(storage, disks.vm, item)]
    if disks.records:
        document = document_of(disks, removed=victims)
        commands.append(storage.records_put(disks.vm, document) if document else storage.records_remove(disks.vm))
    steps = [Step(command, commits=True, afterwards=work.finish) for command in commands]
    return [*steps, *work.role_steps(), Step(work.cluster.drop_lease(work.lease), commits=True)]
