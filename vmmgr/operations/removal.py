"""Remove a VM with its disks, and finish or clean what an operation left when its workstation was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmmgr.errors import RefusedError
from vmmgr.model import DATA_PREFIX, Lease, check_known_name, system_image
from vmmgr.operations.fragment import Fragment
from vmmgr.operations.lease import lease_problems, new_lease
from vmmgr.operations.observation import look_again, observe
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.steps import ChangeEach, Pause, Read, Role, Say, Step, change
from vmmgr.operations.stopping import exists, stopped_and_marked
from vmmgr.operations.survey import config_file

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds for Ceph to forget a client that had the image open (osd_client_watch_timeout is 30 by default).
_WATCHER_PATIENCE = 40.0


def remove(context: Context, name: str, *, timeout: float | None = None) -> Steps[None]:
    """Stop a VM, take it out of the cluster, and remove its files and disks; nothing of it can be brought back."""
    check_known_name(name)

    def look() -> Steps[View]:
        storage = context.storage
        return (yield from observe(context, to_change=True, more=(storage.children(system_image(name)),)))

    def check(view: View) -> bool:
        exists(view, name)
        if view.more and view.more[0]:
            raise RefusedError(
                f"The clones {', '.join(view.more[0])} still depend on the disk of VM {name}; wait until Ceph has flattened them."
            )
        return True

    result = yield from stopped_and_marked(context, name, "remove", check, timeout=timeout, look=look)
    if not isinstance(result, tuple):
        return
    view, lease = result
    yield from _wait_until_unused(context, view, name)

    def attempt() -> Steps[None]:
        now = yield from look_again(context, view)
        cluster = context.cluster(now.host, now.programs)
        steps = [Step(cluster.assert_lease(lease)), Step(cluster.assert_unchanged(now.cib))]
        if name in now.simulation.resources:
            delete = cluster.delete(Fragment.of(now.cib, name).ids(name))
            steps.append(Step(delete, commits=True, afterwards=_finish_later(name)))
        yield from change(now.host, *steps)

    yield from with_fresh_view(attempt)
    yield from _erase(context, view, name, lease)


def repair(context: Context, name: str, *, force: bool = False) -> Steps[str]:
    """Finish or clean what an operation on a VM left unfinished; return the sentence that says what was done.

    Raises:
        RefusedError: The operation may still be in progress, and ``force`` is not set.
    """
    check_known_name(name)
    view = yield from observe(context, to_change=True)
    left = view.leases.get(name)
    if left is None:
        return f"Nothing was left unfinished on VM {name}."
    if left.until > view.now and not force:
        raise RefusedError(*lease_problems(view, name), "If you are sure that it is dead, use --force.")
    cluster = context.cluster(view.host, view.programs)
    lease = new_lease(context, view, name, f"repair after {left.verb}")
    yield from change(
        view.host, Step(cluster.drop_lease(left)), Step(cluster.take_lease(lease), undo=cluster.drop_lease(lease))
    )
    enabled = name in view.simulation.resources
    if left.verb.endswith(("create", "remove")) and not enabled:
        yield from _wait_until_unused(context, view, name)
        yield from _erase(context, view, name, lease)
        return f"What {left.verb} had left of VM {name} is removed."
    yield from change(view.host, Step(cluster.drop_lease(lease), commits=True))
    if left.verb.endswith("create") or not enabled:
        return f"The {left.verb} of VM {name} had come to its end; only its mark was left."
    return f"The {left.verb} of VM {name} had not begun to take it out of the cluster; it stays, and may be stopped."


def _finish_later(name: str) -> str:
    return f"VM {name} is removed in part; `vm-mgr repair -n {name}` removes the rest."


def _images_of(view: View, name: str) -> list[str]:
    """Return the images of a VM, by their names."""
    prefix = f"{DATA_PREFIX}{name}_"
    data = [image for image in view.images if image.startswith(prefix) and image.removeprefix(prefix).isdigit()]
    return [image for image in (system_image(name), *sorted(data)) if image in view.images]


def _wait_until_unused(context: Context, view: View, name: str) -> Steps[None]:
    """Wait until nobody has the disks open; a client that was just stopped is remembered for some seconds.

    Raises:
        RefusedError: Somebody still has.
    """
    images = _images_of(view, name)
    deadline = context.clock() + _WATCHER_PATIENCE
    while images:
        watchers = yield Read(Role.CONTROL, tuple(context.storage.watchers(image) for image in images))
        users = {image: addresses for image, addresses in zip(images, watchers, strict=True) if addresses}
        if not users:
            return
        if context.clock() > deadline:
            words = "; ".join(f"{image} by {', '.join(addresses)}" for image, addresses in users.items())
            raise RefusedError(f"The disks of VM {name} are in use ({words}); end that first.")
        yield Pause(1.0)


def _erase(context: Context, view: View, name: str, lease: Lease) -> Steps[None]:
    """Remove files, then disks, then the mark; each can be repeated."""
    cluster, storage = context.cluster(view.host, view.programs), context.storage
    nodes = view.simulation.nodes
    reachable = [machine.name for machine in context.site.hypervisors if machine.name in nodes and nodes[machine.name].online]
    if away := [machine.name for machine in context.site.hypervisors if machine.name not in reachable]:
        yield Say(f"{', '.join(away)} is not online: {config_file(name)} stays there, and is harmless.", warning=True)
    file = Step(context.hypervisor.remove_file(config_file(name)), commits=True, afterwards=_finish_later(name))
    yield ChangeEach(dict.fromkeys(reachable, (file,)))
    images = _images_of(view, name)
    snapshots = yield Read(Role.CONTROL, tuple(storage.snapshots(image) for image in images))
    commands: list[Command[Any]] = []
    for image, taken in zip(images, snapshots, strict=True):
        commands += [storage.unprotect(image, snapshot) for snapshot, protected in taken if protected]
        commands += [storage.purge_snapshots(image)] if taken else []
    commands += [storage.remove_group(name), *(storage.remove_image(image) for image in images), storage.store_remove(name)]
    steps = [Step(command, commits=True, afterwards=_finish_later(name)) for command in commands]
    yield from change(view.host, *steps, Step(cluster.drop_lease(lease), commits=True))
