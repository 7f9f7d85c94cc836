"""Says beforehand what a change of the configuration would do to running VMs: Pacemaker's simulator is asked."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from vmmgr.drivers.pacemaker.cib import Cib
from vmmgr.errors import RefusedError
from vmmgr.operations.steps import Role, Say, read

if TYPE_CHECKING:
    from vmmgr.command import Command
    from vmmgr.model import Plan, Simulation
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


def refuse_effects(context: Context, view: View, command: Command[Any], *, yes: bool) -> Steps[None]:
    """Refuse a change of the CIB that would move, restart or stop running VMs, unless that is accepted; then it is told.

    Raises:
        RefusedError: It would, and ``yes`` is not set.
    """
    if command.edit is None:  # a driver of somebody else's
        found = [f"It cannot be told beforehand what `{command}` does to running VMs."]
    else:
        root = copy.deepcopy(view.cib.root)
        command.edit(root)
        found = effects(view, (yield from read(Role.CONTROL, context.reader.foresee(Cib(root)))))
    if found and not yes:
        raise RefusedError(*found, "Nothing was changed; with --yes it is done all the same.")
    for sentence in found:
        yield Say(sentence)


def effects(view: View, then: Simulation) -> list[str]:
    """Return what becomes of running VMs that would not become of them anyway."""
    planned = set(view.simulation.plans)
    return [_sentence(plan) for plan in then.plans if plan not in planned and plan.action != "start" and _runs(view, plan)]


def _runs(view: View, plan: Plan) -> bool:
    vm = view.resource(plan.resource)
    return vm is not None and bool(vm.nodes)


def _sentence(plan: Plan) -> str:
    match plan.action:
        case "migrate":
            return f"VM {plan.resource} moves from {plan.source} to {plan.dest}, live."
        case "move":
            return f"VM {plan.resource} restarts: it is stopped on {plan.source} and started on {plan.dest}."
        case "stop":
            return f"VM {plan.resource} stops on {plan.source}, and there is no other host for it."
    return f"VM {plan.resource} restarts on {plan.dest}."
