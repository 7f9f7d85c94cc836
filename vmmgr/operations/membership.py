"""Disable and enable: take a VM's resource out of the cluster, and bring it back with all that belongs to it."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.guestnode import remote_attributes
from vmmgr.errors import RefusedError, VmMgrError
from vmmgr.model import Lease, Status, VmState, check_known_name, system_image
from vmmgr.operations.definition import Settings, definition
from vmmgr.operations.fragment import Fragment, document, with_target_role
from vmmgr.operations.keeping import domain_uuid, own_fragment, sort_constraints
from vmmgr.operations.layout import observers
from vmmgr.operations.lease import holding, refuse_unless_free
from vmmgr.operations.nodesettings import keeping_off, node_name_problems
from vmmgr.operations.observation import if_there, look_again, observe
from vmmgr.operations.retrying import change_definition, from_view, with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import ChangeEach, Say, Step, change
from vmmgr.operations.stopping import exists, forgetting, refuse_unless_stopped, stopped_and_marked
from vmmgr.operations.survey import config_file, refuse_if, survey_at_once
from vmmgr.operations.waiting import wait_for

if TYPE_CHECKING:
    from vmmgr.drivers.base import ClusterDriver
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps
    from vmmgr.operations.survey import Survey


def disable(context: Context, name: str, *, timeout: float | None = None) -> Steps[VmState]:
    """Stop a VM and take it out of the cluster; disks, metadata, settings and constraints are kept for enable."""
    check_known_name(name)
    metadata = if_there(context.storage.metadata(system_image(name)))
    look = partial(observe, context, to_change=True, more=(metadata,))
    result = yield from stopped_and_marked(
        context, name, "disable", lambda view: _is_enabled(view, name), timeout=timeout, look=look
    )
    if not isinstance(result, tuple):
        yield Say(f"VM {name} is disabled already.")
        return state_of(result, name)
    view, lease = result
    yield from from_view(context, view, lambda now: _take_out(context, now, name, lease))
    return VmState(name, Status.DISABLED)


def _is_enabled(view: View, name: str) -> bool:
    exists(view, name)
    if name not in view.groups and system_image(name) not in view.images:
        raise RefusedError(f"VM {name} has no disks in the pool, so disabling it would lose it; vm-mgr did not make it.")
    return view.is_defined(name)


def _take_out(context: Context, view: View, name: str, lease: Lease) -> Steps[None]:
    """Put the VM's part of the CIB aside and delete it there, in one exec and one CIB change."""
    refuse_unless_stopped(view, name)
    cluster, storage = context.cluster(view.host, view.programs), context.storage
    fragment = Fragment.of(view.cib, name, domain_uuid(view.more[0]))
    if shared := fragment.shared(name):
        yield Say(
            f"While VM {name} is disabled, its constraints with several others hold for none of them: {', '.join(shared)}."
        )
    guards = [holding(cluster, lease), Step(cluster.assert_unchanged(view.cib))]
    guards += forgetting(cluster, view, name, *fragment.service_names)
    guards.append(Step(storage.store_put(name, fragment.to_text()), undo=storage.store_remove(name)))
    finish = f"`vm-mgr repair -n {name}` finishes it."
    delete = Step(cluster.delete(fragment.ids(name)), commits=True, afterwards=finish)
    drop = Step(cluster.drop_lease(lease), commits=True)
    yield from change_definition(context, view, guards, delete, [drop], made=lambda cib: cib.primitive(name) is None)


def enable(
    context: Context, name: str, *, start: bool = True, wait: bool = True, timeout: float | None = None
) -> Steps[VmState]:
    """Bring a disabled VM back into the cluster as it was, and start it unless told otherwise.

    One that is enabled already stays as it is; a hypervisor that was off when its domain XML was written gets that now.
    """
    check_known_name(name)

    more = (context.storage.store_get(name), if_there(context.storage.metadata(system_image(name))))

    def attempt() -> Steps[tuple[View, bool]]:
        view, found, problems = yield from survey_at_once(context, name, None, more=more)
        refuse_unless_free(view, name)
        exists(view, name)
        if view.resource(name):
            yield from _complete(context, view, found, name)
            return view, False
        refuse_if(_obstacles(view, name) + problems)
        yield from _bring_back(context, view, found, name, start=start)
        return view, True

    view, changed = yield from with_fresh_view(attempt)
    if not changed:
        yield Say(f"VM {name} is enabled already.")
        return state_of(view, name)
    if not start:
        return VmState(name, Status.STOPPED)
    if not wait:
        return state_of((yield from look_again(context, view)), name)
    _, state = yield from wait_for(context, view, name, Status.STARTED, timeout)
    return state


def _obstacles(view: View, name: str) -> list[str]:
    """Return why a disabled VM cannot have a resource."""
    problems = []
    if name not in view.groups or system_image(name) not in view.images:
        words = "; ".join(state_of(view, name).details)
        problems.append(f"VM {name} is {words}, so it cannot run; remove it, or complete it.")
    if name in view.cib.ids():
        problems.append(f"The cluster has a resource {name} already, which is no VM; rename or remove it first.")
    return problems


def _bring_back(context: Context, view: View, found: Survey, name: str, *, start: bool) -> Steps[None]:
    """Write the domain XML to every hypervisor, then add the resource with its constraints in one CIB change."""
    cluster, storage = context.cluster(view.host, view.programs), context.storage
    put_aside, metadata = view.more
    if "xml" not in metadata:
        raise RefusedError(f"The image {system_image(name)} has no metadata 'xml', so VM {name} cannot be started.")
    kept = yield from own_fragment(put_aside, name, metadata)
    constraints, hand_over = yield from sort_constraints(context, view, name, kept.constraints, kept.service_names)
    lines: list[list[str]] = []
    if kept.primitive is not None:
        # what the VM's further commands made of it is part of what was kept
        primitive = with_target_role(kept.primitive, "Started" if start else "Stopped")
    else:
        primitive, own_constraints = _from_metadata(context, view, found, name, metadata, start=start)
        constraints = own_constraints + constraints
        lines = yield from _lines(cluster, name, metadata)
    own = yield from _write_domain(context, view, found, name)
    if node := remote_attributes(primitive).get("remote-node"):
        refuse_if(node_name_problems(view, name, node))
        constraints += yield from keeping_off(view, name, node)
    ids = [name, *kept.service_names, *(item.get("id", "") for item in constraints)]
    guards = [*own, Step(cluster.assert_unchanged(view.cib)), Step(cluster.assert_absent(ids)), *hand_over]
    unsure = f"`vm-mgr status -n {name}` shows whether the cluster has taken it."
    text = document(primitive, constraints, kept.services)
    define = Step(cluster.redefine(text, (), lines) if lines else cluster.define(text), commits=True, afterwards=unsure)
    rest = [Step(storage.store_remove(name), commits=True)]
    yield from change_definition(context, view, guards, define, rest, made=lambda cib: cib.primitive(name) is not None)


def _write_domain(context: Context, view: View, found: Survey, name: str) -> Steps[list[Step]]:
    """Put the domain XML of the metadata on the hypervisors where it is missing or another one; SEAPATH's agent does that itself.

    Returns:
        What is left to the control host if it is a hypervisor.
    """
    _, metadata = view.more
    right = hashlib.sha256(metadata["xml"].encode()).hexdigest()
    lacking = [host for host, hypervisor in found.hosts.items() if hypervisor.file_hash != right]
    if found.agent == "seapath" or not lacking:
        return []
    write = Step(context.hypervisor.write_file(config_file(name), metadata["xml"]))
    if others := [host for host in lacking if host != view.host]:
        yield ChangeEach(dict.fromkeys(others, (write,)))
    yield Say(f"{', '.join(lacking)} got the domain XML of VM {name}.")
    return [write] if view.host in lacking else []


def _complete(context: Context, view: View, found: Survey, name: str) -> Steps[None]:
    """Write the domain XML of an enabled VM to the hypervisors that lack it or have another one."""
    if view.cib.config_files().get(config_file(name)) != name or "xml" not in view.more[1]:
        return
    own = yield from _write_domain(context, view, found, name)
    if own:
        yield from change(view.host, *own)


def _from_metadata(
    context: Context, view: View, found: Survey, name: str, metadata: dict[str, str], *, start: bool
) -> tuple[ET.Element, list[ET.Element]]:
    """Define the resource anew, for a VM that was disabled by vm_manager or never enabled."""
    text = definition(
        context,
        name,
        Settings.from_metadata(metadata),
        agent=found.agent,
        config=config_file(name),
        observers=observers(context, view),
        started=start,
    )
    root = ET.fromstring(text)  # noqa: S314 - our own rendering
    primitive = root.find("configuration/resources/primitive")
    if primitive is None:
        raise VmMgrError("The template pacemaker/definition.xml.j2 defines no primitive; correct the site's version of it.")
    return primitive, list(root.iterfind("configuration/constraints/*"))


def _lines(cluster: ClusterDriver, name: str, metadata: dict[str, str]) -> Steps[list[list[str]]]:
    """Return the further commands of a VM in the language of the cluster's tool; show those in another one's."""
    settings = Settings.from_metadata(metadata)
    foreign = [line for driver, lines in settings.commands.items() if driver != cluster.folder for line in lines]
    if foreign:
        text = "\n".join(foreign)
        yield Say(f"These commands of VM {name} are not for {cluster.folder}, and are yours to repeat:\n{text}", warning=True)
    return settings.lines(cluster.folder)
