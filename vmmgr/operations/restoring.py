"""The end of a replacement: the old VM goes for good, or comes back; also when somebody else has to do it.

Everything here goes by what the site has at that moment, so it can be repeated from wherever it was broken off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmmgr.drivers.pacemaker.cib import resources_in
from vmmgr.model import NEW_PREFIX, OLD_PREFIX, Lease, Status, system_image
from vmmgr.operations.definition import Settings
from vmmgr.operations.flattening import left_on_source
from vmmgr.operations.fragment import Fragment, document, with_target_role
from vmmgr.operations.lease import holding
from vmmgr.operations.observation import if_there
from vmmgr.operations.retrying import from_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import ChangeEach, Pause, Role, Step, Where, change, read
from vmmgr.operations.survey import config_file, is_on
from vmmgr.operations.swap import Swap, removal
from vmmgr.operations.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from xml.etree import ElementTree as ET

    from vmmgr.command import Command
    from vmmgr.disks import Disks
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds for Ceph to forget a client that had a disk open (osd_client_watch_timeout is 30 by default).
_WATCHER_PATIENCE = 40.0
# What the mark notes once the old VM is being removed, and cannot come back any more.
_ERASING = "erase"


def finish_later(name: str) -> str:
    """Return what to say when a replacement ends before its end."""
    return f"VM {name} is replaced in part; `vm-mgr repair -n {name}` completes the new one, or puts the old one back."


def remembered(context: Context, name: str) -> tuple[Command[Any], ...]:
    """Return what is to be read of a VM for ``resume`` and ``put_back``, in the same exec as all else.

    That is its disks, what was put aside of an old VM's part of the CIB, and the old VM's metadata if its disks are aside.
    """
    storage = context.storage
    return storage.disks(name), storage.store_get(name), if_there(storage.metadata(OLD_PREFIX + system_image(name)))


def _remembered(view: View, name: str) -> tuple[Fragment, Mapping[str, str]]:
    """Return the old VM's part of the CIB as far as it was put aside, and its metadata."""
    disks, text, metadata = view.more
    return Fragment.from_text(text, name), metadata or disks.metadata


def resume(context: Context, view: View, name: str, lease: Lease) -> Steps[str]:
    """Finish a replacement that somebody else left: go on with a new VM that runs, put the old one back otherwise.

    ``view`` has what is ``remembered``.
    """
    swap = Swap.of(view, name, lease.notes)
    erasing = lease.notes.get("phase") == _ERASING
    if erasing or (swap.complete and state_of(view, name).status is Status.STARTED):
        old = yield from _unused(context, OLD_PREFIX + name)
        fragment, metadata = _remembered(view, name)
        kept = () if view.cib.primitive(name) is not None else tuple(lasting(fragment.constraints, metadata))
        clones = view.images_of(name) if lease.notes.get("source") else ()
        yield from forget_old(context, view, old, lease, Fragment(None, kept), clones=clones)
        return f"The new VM {name} stays; what it replaced is removed."
    yield from put_back(context, view, lease)
    return f"VM {name} is as it was before it was to be replaced."


def lasting(constraints: Iterable[ET.Element], metadata: Mapping[str, str]) -> list[ET.Element]:
    """Return the constraints of an old VM that are the new one's as well: those with others, unless its own commands made them.

    Location constraints of its own say where it was to run; the options of the new one say that anew.
    """
    lines = [line for lines in Settings.from_metadata(metadata).commands.values() for line in lines]
    made = {word for line in lines for word in line.split()}
    others = [item for item in constraints if item.tag != "rsc_location" or len(resources_in(item)) > 1]
    return [item for item in others if item.get("id") not in made]


def forget_old(
    context: Context,
    view: View,
    old: Disks,
    lease: Lease,
    kept: Fragment,
    *,
    where: Where = Role.CONTROL,
    prefix: str = "",
    clones: Sequence[str] = (),
) -> Steps[list[str]]:
    """Remove the old VM for good, and the mark; return what Ceph complains of when it is to copy the data of each clone.

    Args:
        context: The site.
        view: As it was read last.
        old: Its disks.
        lease: The mark of this operation.
        kept: What is kept for a new VM that is disabled.
        where: The host to do it on.
        prefix: What stands before the names of the disks by now.
        clones: Those images of the new VM that depend on another VM's.
    """
    cluster, storage, name = context.cluster(view.host, view.programs), context.storage, lease.vm
    erasing = replace(lease, notes={**lease.notes, "phase": _ERASING})
    commands = removal(storage, old, prefix)
    # where the removal was broken off, the group may be gone, and some of its images not
    known = {prefix + image for image in old.images}
    left = [OLD_PREFIX + image for image in lease.notes["old"].split() if OLD_PREFIX + image not in known]
    commands += map(storage.remove_image, left)
    commands.append(storage.records_remove(name))
    commands.append(storage.store_put(name, kept.to_text()) if kept.constraints else storage.store_remove(name))
    later = f"The new VM {name} stays; `vm-mgr repair -n {name}` removes the rest of the old one."
    commands += map(storage.flatten_later, clones)
    steps = [Step(command, commits=True, afterwards=later) for command in commands]
    mark = Step(cluster.renew_lease(erasing), commits=True, afterwards=later)
    *values, _ = yield from change(where, holding(cluster, lease), mark, *steps, Step(cluster.drop_lease(lease), commits=True))
    return values[len(values) - len(clones) :]


def put_back(context: Context, view: View, lease: Lease) -> Steps[None]:
    """Stop the new VM, give the old one its place and its role back, and remove what was made of the new one.

    ``view`` has what is ``remembered``; nobody else moves the disks as long as the mark holds.
    """
    name, role, storage = lease.vm, lease.notes["replaces"], context.storage
    cluster, swap = context.cluster(view.host, view.programs), Swap.of(view, name, lease.notes)
    held = holding(cluster, lease)
    kept, metadata = _remembered(view, name)
    if swap.begun and view.is_defined(name):
        forget = [Step(cluster.cleanup(name))] if view.cib.has_failures(name) else []
        yield from change(Role.CONTROL, held, Step(cluster.set_meta(name, "target-role", "Stopped")), *forget)
        view, _ = yield from wait_for(context, view, name, Status.STOPPED)
    own = yield from _old_files(context, view, lease, kept, metadata)
    if swap.begun:
        yield from from_view(context, view, lambda now: _old_back(context, now, lease, kept, own))
    else:
        if role == Status.STARTED and view.is_defined(name):
            own.append(Step(cluster.set_meta(name, "target-role", "Started")))
        if own:
            yield from change(Role.CONTROL, held, *own)
    if role == Status.STARTED:
        yield from wait_for(context, view, name, Status.STARTED)
    new = yield from _unused(context, NEW_PREFIX + name)
    waiting = [_aside(image) for image in swap.new_images if _aside(image) not in new.images]
    commands = [*removal(storage, new), *map(storage.remove_image, waiting)]
    if role != Status.DISABLED:
        commands.append(storage.store_remove(name))
    steps = [*left_on_source(context, view, lease), *map(Step, commands), Step(cluster.drop_lease(lease), commits=True)]
    hosts = [machine.name for machine in context.site.hypervisors if machine.name != view.host and is_on(view, machine.name)]
    yield from change(hosts[0] if hosts else Role.CONTROL, held, *steps)


def _aside(image: str) -> str:
    return image if image.startswith(NEW_PREFIX) else NEW_PREFIX + image


def _old_files(context: Context, view: View, lease: Lease, kept: Fragment, metadata: Mapping[str, str]) -> Steps[list[Step]]:
    """Write the old domain XML to every hypervisor that is on; SEAPATH's agent writes its own at each start.

    Returns:
        What is left to the control host if it is a hypervisor.
    """
    primitive = kept.primitive if kept.primitive is not None else view.cib.primitive(lease.vm)
    if "xml" not in metadata or (primitive is not None and primitive.get("provider") == "seapath"):
        return []
    write = Step(context.hypervisor.write_file(config_file(lease.vm), metadata["xml"]))
    held = holding(context.cluster(view.host, view.programs), lease)
    hosts = [machine.name for machine in context.site.hypervisors if is_on(view, machine.name)]
    if others := [host for host in hosts if host != view.host]:
        yield ChangeEach(dict.fromkeys(others, (held, write)), leave_out=True)
    return [write] if view.host in hosts else []


def _old_back(context: Context, view: View, lease: Lease, kept: Fragment, own: list[Step]) -> Steps[None]:
    """Exchange the disks again, and put the old definition into the CIB, in one exec."""
    cluster, storage, name = context.cluster(view.host, view.programs), context.storage, lease.vm
    now = Fragment.of(view.cib, name)
    ids = now.ids(name) if now.primitive is not None else []
    steps = [*own, *(Step(command) for command in Swap.of(view, name, lease.notes).back(storage))]
    if lease.notes["replaces"] != Status.DISABLED and kept.primitive is not None:
        # what somebody else has added meanwhile stays
        known = {item.get("id") for item in kept.constraints}
        added = [item for item in now.constraints if item.get("id") not in known and item.tag != "rsc_location"]
        primitive = with_target_role(kept.primitive, lease.notes["replaces"])
        steps.append(Step(cluster.redefine(document(primitive, [*kept.constraints, *added], kept.services), ids, [])))
    elif ids:
        steps.append(Step(cluster.delete(ids)))
    guards = (holding(cluster, lease), Step(cluster.assert_unchanged(view.cib)))
    yield from change(Role.CONTROL, *guards, *steps)


def _unused(context: Context, vm: str) -> Steps[Disks]:
    """Read the disks that are aside, once nobody has them open any more, or has had them open for too long."""
    deadline = context.clock() + _WATCHER_PATIENCE
    while True:
        disks = yield from read(Role.CONTROL, context.storage.disks(vm))
        if not disks.watchers or context.clock() > deadline or not (yield Pause(1.0)):
            return disks
