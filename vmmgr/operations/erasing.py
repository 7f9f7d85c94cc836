"""The last part of a removal: nobody has the disks open any more, and then files, disks and the mark go, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmmgr.disks import disk_order
from vmmgr.errors import RefusedError
from vmmgr.operations.lease import TERM, holding, renewed
from vmmgr.operations.steps import ChangeEach, Pause, Role, Say, Step, change, read
from vmmgr.operations.survey import config_file, is_on

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.disks import Disk, Disks
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds for Ceph to forget a client that had the image open (osd_client_watch_timeout is 30 by default).
_WATCHER_PATIENCE = 40.0


def finish_later(name: str) -> str:
    """Return what to say when a removal ends before its end."""
    return f"VM {name} is removed in part; `vm-mgr repair -n {name}` removes the rest."


def unused(context: Context, disks: Disks) -> Steps[Disks]:
    """Wait until nobody has the disks open; a client that was just stopped is remembered for some seconds.

    Raises:
        RefusedError: Somebody still has.
    """
    deadline, pause = context.clock() + _WATCHER_PATIENCE, 0.0
    while users := {disk.image: disk.watchers for disk in own(disks) if disk.watchers}:
        if context.clock() > deadline:
            words = "; ".join(f"{image} by {', '.join(addresses)}" for image, addresses in users.items())
            raise RefusedError(f"The disks of VM {disks.vm} are in use ({words}); end that first.")
        if not (yield Pause(pause)):
            break
        pause = min(pause + 0.2, 1.0)
        disks = yield from read(Role.CONTROL, context.storage.disks(disks.vm))
    return disks


def own(disks: Disks) -> list[Disk]:
    """Return the disks that belong to a VM by their names; whatever else was put into its group is not vm-mgr's to remove."""
    return [disk for disk in disks.disks if disk_order(disks.vm, disk.image)[0] < 2]


def erase(context: Context, view: View, disks: Disks, lease: Lease, *, began: float, cleaned: str = "") -> Steps[None]:
    """Remove files, then disks, then the mark; each can be repeated.

    Args:
        context: The site.
        view: As it was read last.
        disks: What there is to remove.
        lease: The mark of this operation.
        began: When that was made, by the context's clock.
        cleaned: A hypervisor whose file is gone already.
    """
    cluster, name = context.cluster(view.host, view.programs), disks.vm
    held = holding(cluster, lease)
    hypervisors = [machine.name for machine in context.site.hypervisors if machine.name != cleaned]
    steps = dict.fromkeys((host for host in hypervisors if is_on(view, host)), (held, file_removal(context, name)))
    away = [host for host in hypervisors if host not in steps]
    away += (yield ChangeEach(steps, leave_out=True)) if steps else []
    if away:
        yield Say(f"{', '.join(away)} cannot be reached: {config_file(name)} stays there, and is harmless.", warning=True)
    # the control host has done enough by now
    free = [host for host in steps if host != view.host and host not in away]
    commands = _commands(context, view, disks, lease, context.clock() - began)
    removal = [Step(command, commits=True, afterwards=finish_later(name)) for command in commands]
    yield from change(free[0] if free else Role.CONTROL, held, *removal, Step(cluster.drop_lease(lease), commits=True))


def file_removal(context: Context, name: str) -> Step:
    """Return the step that removes the domain XML of a VM from a hypervisor."""
    return Step(context.hypervisor.remove_file(config_file(name)), commits=True, afterwards=finish_later(name))


def _commands(context: Context, view: View, disks: Disks, lease: Lease, elapsed: float) -> list[Command[Any]]:
    """Return what removes the disks; the lease grows with every image, for each may take as long as a lease lasts."""
    cluster, storage, name = context.cluster(view.host, view.programs), context.storage, disks.vm
    images = own(disks)
    commands: list[Command[Any]] = [storage.remove_group_snapshot(name, snapshot) for snapshot in disks.group_snapshots]
    for disk in images:
        taken = [snapshot for snapshot in disk.snapshots if snapshot.kind == "user"]
        commands += [storage.unprotect(disk.image, snapshot.name) for snapshot in taken if snapshot.protected]
        commands += [storage.purge_snapshots(disk.image)] if taken else []
    commands.append(storage.remove_group(name))
    for index, disk in enumerate(images):
        if index or elapsed > TERM / 5:
            commands.append(cluster.renew_lease(renewed(lease, elapsed + TERM * index)))
        commands.append(storage.remove_image(disk.image))
    return [*commands, storage.records_remove(name), storage.store_remove(name)]
