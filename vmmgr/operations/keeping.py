"""What is kept of disabled VMs in the storage, read and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.operations.fragment import Fragment
from vmmgr.operations.lease import new_lease, taking
from vmmgr.operations.steps import Read, Role, Step, change

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
