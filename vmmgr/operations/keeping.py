"""What is kept of disabled VMs in the storage: read, changed, and sorted when one of them is enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.cib import resources_in
from vmmgr.operations.domain import uuid_of
from vmmgr.operations.fragment import Fragment
from vmmgr.operations.lease import new_lease, taking
from vmmgr.operations.steps import Read, Role, Say, Step, change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vmmgr.command import Command
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


def kept_of(context: Context, vms: Iterable[str]) -> Steps[dict[str, Fragment]]:
    """Read what is kept of each of these VMs, in one exec."""
    names = list(vms)
    if not names:
        return {}
    texts = yield Read(Role.CONTROL, tuple(map(context.storage.store_get, names)))
    return {vm: Fragment.from_text(text, vm) for vm, text in zip(names, texts, strict=True)}


def rewrite(
    context: Context, view: View, verb: str, before: Mapping[str, Fragment], after: Mapping[str, Fragment]
) -> Steps[None]:
    """Change what is kept of disabled VMs, in one exec.

    They are marked meanwhile: whoever enables one of them now has read what was kept before, and must read it again.
    """
    cluster = context.cluster(view.host, view.programs)
    leases = [new_lease(context, view, vm, verb) for vm in after]
    guard, *_ = taking(cluster, view, leases[0])
    marks = [taking(cluster, view, lease)[1] for lease in leases]
    puts = [Step(_put(context, vm, fragment), undo=_put(context, vm, before[vm])) for vm, fragment in after.items()]
    drops = [Step(cluster.drop_lease(lease), commits=True) for lease in leases]
    yield from change(Role.CONTROL, guard, *marks, *puts, *drops)


def _put(context: Context, vm: str, fragment: Fragment) -> Command[None]:
    if fragment == Fragment(None, ()):
        return context.storage.store_remove(vm)
    return context.storage.store_put(vm, fragment.to_text())


def domain_uuid(metadata: Mapping[str, str]) -> str:
    """Return the UUID of a VM's domain by its metadata; empty if that cannot be told."""
    try:
        return uuid_of(ET.fromstring(metadata.get("xml", "")))  # noqa: S314 - expat since 2.4.1 limits entity expansion itself
    except (ET.ParseError, ValueError):
        return ""


def own_fragment(text: str, vm: str, metadata: Mapping[str, str]) -> Steps[Fragment]:
    """Read what is kept of a VM that is to be enabled; what is another VM's of that name is left out, and that is said."""
    kept = Fragment.from_text(text, vm)
    if kept.uuid and kept.uuid != domain_uuid(metadata):
        yield Say(f"What was kept of VM {vm} is not used: it is another VM now, with another UUID.", warning=True)
        return Fragment(None, ())
    return kept


def sort_constraints(
    context: Context, view: View, vm: str, constraints: Iterable[ET.Element], services: Iterable[str] = ()
) -> Steps[tuple[list[ET.Element], list[Step]]]:
    """Return the kept constraints that the CIB can have once the VM and its services are in it, and the steps that hand the others to partners.

    One whose partner is gone, or whose id something else has by now, is dropped, and shown.
    """
    present, vms = view.cib.ids() | {vm, *services}, set(view.vm_names)
    possible: list[ET.Element] = []
    waiting: list[ET.Element] = []
    for item in constraints:
        missing = resources_in(item) - present
        if view.cib.is_taken(item.get("id", "")) or missing - vms:
            why = f"there is no {', '.join(sorted(missing - vms))} any more" if missing - vms else "its id is another's by now"
            text = ET.tostring(item, encoding="unicode")
            yield Say(f"A constraint that was kept of VM {vm} does not come back, for {why}: {text}", warning=True)
        else:
            (waiting if missing else possible).append(item)
    absent = sorted({name for item in waiting for name in resources_in(item) - present})
    if absent:
        yield Say(f"Constraints with {', '.join(absent)} come back when that is enabled.")
    kept = yield from kept_of(context, absent)
    hand_over = []
    for name, fragment in kept.items():
        more = fragment.with_constraints(item for item in waiting if name in resources_in(item))
        hand_over.append(Step(context.storage.store_put(name, more.to_text())))
    return possible, hand_over
