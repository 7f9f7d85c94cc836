"""Colocations: have a VM run where others do, or apart from them; those of disabled VMs are kept until all are enabled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, count
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.colocation import Colocation
from vmmgr.errors import RefusedError, UsageError
from vmmgr.model import Status, check_known_name, is_known_name
from vmmgr.operations.foresight import refuse_effects
from vmmgr.operations.keeping import kept_of, rewrite
from vmmgr.operations.lease import lease_problems
from vmmgr.operations.observation import observe
from vmmgr.operations.retrying import change_definition, with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import Say, Step
from vmmgr.operations.stopping import exists
from vmmgr.operations.survey import refuse_if

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vmmgr.operations.context import Context
    from vmmgr.operations.fragment import Fragment
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


@dataclass(frozen=True, slots=True)
class Known:
    """A colocation that there is.

    Attributes:
        colocation: What it asks.
        keepers: The disabled VMs with which it is kept; none if it is in the cluster.
    """

    colocation: Colocation
    keepers: tuple[str, ...]


def list_colocations(context: Context, name: str | None = None) -> Steps[list[Known]]:
    """Return all colocations, or those of one VM; sorted by id."""
    if name is not None:
        check_known_name(name)
    view = yield from observe(context)
    if name is not None:
        exists(view, name)
    kept = yield from kept_of(context, _disabled(view, view.vm_names))
    found = _known(view, kept)
    return sorted(
        (item for item in found if name is None or name in item.colocation.members), key=lambda item: item.colocation.id
    )


def add_colocation(
    context: Context, name: str, others: Iterable[str], *, strong: bool = False, apart: bool = False, yes: bool = False
) -> Steps[str]:
    """Have a VM run where other resources run, or apart from them; return the sentence that says so.

    Args:
        context: The site.
        name: The VM.
        others: VMs, or other resources of the cluster.
        strong: Rather not at all than otherwise; without it, where that is possible.
        apart: Never on the same host, instead of on the same.
        yes: Even if running VMs are moved, restarted or stopped for it.

    Raises:
        RefusedError: There is another colocation of the same resources, or running VMs are affected.
    """
    wanted = Colocation.wanted(check_known_name(name), _checked(name, others), strong=strong, apart=apart)

    def attempt() -> Steps[str]:
        view = yield from observe(context, to_change=True)
        exists(view, name)
        refuse_if(_problems(view, wanted))
        kept = yield from kept_of(context, _disabled(view, wanted.members))
        found = _known(view, kept)
        same = [item.colocation for item in found if item.colocation.members == wanted.members]
        if there := next((item for item in same if item.same_as(wanted)), None):
            yield Say(f"VM {name} is colocated with {_list(there.others)} like that already.")
        elif same:
            raise RefusedError(*map(_in_the_way, same))
        else:
            there = replace(wanted, id=_free_id(view, found, wanted.id))
            yield from _add(context, view, kept, there, yes=yes)
        return _sentence(there)

    return (yield from with_fresh_view(attempt))


def _add(context: Context, view: View, kept: Mapping[str, Fragment], new: Colocation, *, yes: bool) -> Steps[None]:
    """Put it into the CIB; while one of its VMs is disabled the CIB cannot have it, and it is kept with that VM."""
    document = context.renderer.xml(
        "pacemaker/colocation", id=new.id, score=new.score_text, vm=new.dependent, others=list(new.others)
    )
    if kept:
        items = list(ET.fromstring(document).iterfind("configuration/constraints/*"))  # noqa: S314 - our own rendering
        changed = {vm: fragment.with_constraints(items) for vm, fragment in kept.items()}
        yield from rewrite(context, view, "add_colocation", kept, changed)
        yield Say(f"It holds once {', '.join(kept)} is enabled.")
        return
    cluster = context.cluster(view.host, view.programs)
    define = cluster.define(document)
    yield from refuse_effects(context, view, define, yes=yes)
    step = Step(define, commits=True, afterwards=f"`vm-mgr list_colocations -n {new.dependent}` shows whether it is there.")
    guards = [Step(cluster.assert_unchanged(view.cib))]
    yield from change_definition(context, view, guards, step, [], made=lambda cib: cib.is_taken(new.id))


def remove_colocation(
    context: Context, name: str | None, others: Iterable[str], identifier: str | None = None, *, yes: bool = False
) -> Steps[str]:
    """Remove the colocation of a VM with other resources, or the one of that id; return the sentence that says so.

    Raises:
        RefusedError: There is none of that id, there are several, or running VMs are affected.
    """
    members: frozenset[str] = frozenset()
    if identifier is None:
        if name is None:
            raise UsageError("Name the VM and the resources that it is colocated with, or give the --id of the colocation.")
        members = frozenset({check_known_name(name), *_checked(name, others)})
    elif name is not None or tuple(others):
        raise UsageError("Give either the VM and the resources that it is colocated with, or --id, not both.")

    def attempt() -> Steps[str]:
        view = yield from observe(context, to_change=True)
        if name is not None:
            exists(view, name)
        found, kept = yield from _to_remove(context, view, members, identifier)
        if not found:
            refuse_if([f"There is no resource {item}." for item in sorted(members - _names(view))])
            said = f"VM {name} has no colocation with {_list(members - {str(name)})}."
            yield Say(said)
            return said
        if len({item.colocation.id for item in found}) > 1:
            raise RefusedError(
                "There are several:", *(f"{_described(item.colocation)}" for item in found), "Choose one with --id."
            )
        refuse_if([problem for item in sorted(found[0].colocation.members) for problem in lease_problems(view, item)])
        yield from _remove(context, view, found[0], kept, yes=yes)
        return f"The colocation {found[0].colocation.id} is removed."

    return (yield from with_fresh_view(attempt))


def _to_remove(
    context: Context, view: View, members: frozenset[str], identifier: str | None
) -> Steps[tuple[list[Known], dict[str, Fragment]]]:
    """Return the colocations that are meant, and what is kept with the disabled VMs that may have one.

    Raises:
        RefusedError: There is none of that id.
    """
    if identifier is None:
        kept = yield from kept_of(context, _disabled(view, members))
        return [item for item in _known(view, kept) if item.colocation.members == members], kept
    found = [item for item in _known(view, {}) if item.colocation.id == identifier]
    if found:
        return found, {}
    if view.cib.is_taken(identifier):
        raise RefusedError(f"{identifier} is no colocation; `vm-mgr list_colocations` shows those that there are.")
    kept = yield from kept_of(context, _disabled(view, view.vm_names))
    found = [item for item in _known(view, kept) if item.colocation.id == identifier]
    if not found:
        raise RefusedError(f"There is no colocation {identifier}; `vm-mgr list_colocations` shows those that there are.")
    return found, kept


def _remove(context: Context, view: View, known: Known, kept: Mapping[str, Fragment], *, yes: bool) -> Steps[None]:
    """Delete it from the CIB, or from what is kept with disabled VMs."""
    identifier = known.colocation.id
    if known.keepers:
        changed = {vm: kept[vm].without_constraint(identifier) for vm in known.keepers}
        yield from rewrite(context, view, "remove_colocation", kept, changed)
        return
    cluster = context.cluster(view.host, view.programs)
    delete = cluster.delete([identifier])
    yield from refuse_effects(context, view, delete, yes=yes)
    step = Step(delete, commits=True, afterwards="`vm-mgr list_colocations` shows whether it is still there.")
    guards = [Step(cluster.assert_unchanged(view.cib))]
    yield from change_definition(context, view, guards, step, [], made=lambda cib: not cib.is_taken(identifier))


def _known(view: View, kept: Mapping[str, Fragment]) -> list[Known]:
    """Return the colocations in the CIB, and those that are kept with disabled VMs."""
    found = {item.get("id", ""): Known(Colocation.read(item), ()) for item in view.cib.constraints() if _is_colocation(item)}
    present = set(found)
    for vm, fragment in kept.items():
        for item in filter(_is_colocation, fragment.constraints):
            identifier = item.get("id", "")
            if identifier not in present:
                keepers = found[identifier].keepers if identifier in found else ()
                found[identifier] = Known(Colocation.read(item), (*keepers, vm))
    return list(found.values())


def _is_colocation(item: ET.Element) -> bool:
    return item.tag == "rsc_colocation"


def _checked(name: str, others: Iterable[str]) -> tuple[str, ...]:
    """Return the resources that a VM is to be colocated with.

    Raises:
        UsageError: There is none, one cannot be a resource, is given twice, or is the VM itself.
    """
    given = tuple(others)
    if not given:
        raise UsageError(f"Name at least one resource that VM {name} is colocated with.")
    for other in given:
        if not is_known_name(other):
            raise UsageError(f"{other!r} cannot be the name of a resource; `vm-mgr list` shows the VMs.")
        if other == name or given.count(other) > 1:
            raise UsageError(f"{other} is given twice; a colocation is between different resources.")
    return given


def _problems(view: View, wanted: Colocation) -> list[str]:
    """Return why these resources cannot be colocated now: one does not exist, or is being worked on."""
    known = _names(view)
    members = (wanted.dependent, *wanted.others)
    problems = [
        f"There is no resource {item} in the cluster, and no VM of that name; `vm-mgr list` shows the VMs."
        for item in members
        if item not in known
    ]
    return problems + [problem for item in members for problem in lease_problems(view, item)]


def _names(view: View) -> set[str]:
    """Return all that a colocation can be about: what the cluster runs, and disabled VMs."""
    return view.cib.resource_names() | set(_disabled(view, view.vm_names))


def _disabled(view: View, names: Iterable[str]) -> list[str]:
    """Return those that are disabled VMs."""
    present = view.cib.ids()
    return [name for name in sorted(names) if name not in present and state_of(view, name).status is Status.DISABLED]


def _free_id(view: View, found: Iterable[Known], wanted: str) -> str:
    """Return the id, with a number behind it if something else has it."""
    taken = {item.colocation.id for item in found}
    names = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
    return next(
        name for name in names if name not in taken and not any(map(view.cib.is_taken, (name, f"{name}-0", f"{name}-1")))
    )


def _in_the_way(there: Colocation) -> str:
    return f"{_described(there)} To change that, `vm-mgr remove_colocation --id {there.id}` first."


def _described(there: Colocation) -> str:
    members = ", ".join(item for item in (there.dependent, *there.others) if item)
    return f"The colocation {there.id} keeps {members} {there.kind} ({there.strength}, score {there.score_text})."


def _sentence(there: Colocation) -> str:
    """Say what a colocation means for its VM."""
    others, run = _list(there.others), "run" if len(there.others) > 1 else "runs"
    match there.kind, there.strength:
        case "together", "strong":
            words = f"runs only where {others} {run}"
        case "apart", "strong":
            words = f"never runs where {_list(there.others, 'or')} runs"
        case "apart", _:
            words = f"runs apart from {others} where that is possible"
        case _:
            words = f"runs with {others} where that is possible"
    return f"VM {there.dependent} {words} ({there.id}, score {there.score_text})."


def _list(names: Iterable[str], last_word: str = "and") -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} {last_word} {last}" if others else last
