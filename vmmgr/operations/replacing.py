"""``create --force`` and ``clone --force``: a new VM takes the place of an old one, which goes only when the new one runs.

The new disks are imported or cloned under other names while the old VM runs. Then it is stopped, its disks are put aside and the
new ones put into their place, and one CIB change makes the new VM of the old resource. ``restoring`` has the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.cib import resources_in
from vmmgr.drivers.pacemaker.services import stop_timeout
from vmmgr.errors import VmMgrError
from vmmgr.model import OLD_PREFIX, Lease, Status, VmState
from vmmgr.operations.flattening import tell_complaints
from vmmgr.operations.fragment import Fragment, document
from vmmgr.operations.keeping import sort_constraints
from vmmgr.operations.layout import document_of, refuse_unless_lines_run
from vmmgr.operations.lease import holding, renewed
from vmmgr.operations.observation import look_again, observe
from vmmgr.operations.restoring import finish_later, forget_old, put_back, remembered
from vmmgr.operations.retrying import change_definition, from_view
from vmmgr.operations.status import describe_lease
from vmmgr.operations.steps import ChangeEach, Role, Say, Step, change, read
from vmmgr.operations.stopping import forgetting, refuse_unless_stopped
from vmmgr.operations.survey import config_file
from vmmgr.operations.swap import Swap
from vmmgr.operations.waiting import TimeUpError, VmFailedError, wait_for

if TYPE_CHECKING:
    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.operations.context import Context
    from vmmgr.operations.layout import NewVm
    from vmmgr.operations.observation import View
    from vmmgr.operations.replaced import Old
    from vmmgr.operations.steps import Steps
    from vmmgr.operations.survey import Survey

# Seconds that Pacemaker grants a start and what goes with it; added to the lease for the time of the change.
_START = 180


@dataclass(frozen=True, slots=True)
class Change:
    """The one change of the CIB.

    Attributes:
        document: What the new VM adds; empty where it stays disabled.
        ids: What of the old VM goes.
        lines: Further commands of the cluster's tool.
        kept: What is kept of the old VM's constraints for the time when a disabled new VM is enabled.
    """

    document: str
    ids: tuple[str, ...]
    lines: list[list[str]]
    kept: Fragment


def change_of(context: Context, view: View, found: Survey, vm: NewVm, old: Old) -> Change:
    """Return the change that makes the new VM of the old one, in the configuration as it was read."""
    ids = tuple(Fragment.of(view.cib, vm.name).ids(vm.name)) if view.cib.primitive(vm.name) is not None else ()
    present = view.cib.ids() | {vm.name}
    kept = [item for item in old.constraints(view.cib) if resources_in(item) <= present or not vm.enable]
    if not vm.enable:
        return Change("", ids, [], Fragment(None, tuple(kept)))
    root = ET.fromstring(document_of(context, view, found, vm))  # noqa: S314 - our own rendering
    (primitive,) = root.iterfind("configuration/resources/primitive")
    text = document(primitive, [*root.iterfind("configuration/constraints/*"), *kept])
    lines = vm.settings.lines(context.cluster(view.host, view.programs).folder)
    return Change(text, ids, lines, Fragment(None, ()))


def try_lines(context: Context, view: View, found: Survey, vm: NewVm, old: Old | None) -> Steps[None]:
    """Have the further commands of the VM tried, if it is to be given to the cluster at once.

    Raises:
        LineRefusedError: The cluster's tool refuses one.
    """
    if old is None:
        yield from refuse_unless_lines_run(context, view, found, vm)
    elif vm.enable and vm.settings.commands:
        what = change_of(context, view, found, vm, old)
        yield from read(Role.CONTROL, context.cluster(view.host, view.programs).rehearse(what.document, what.ids, what.lines))


@dataclass(frozen=True, slots=True)
class Replacement:
    """What is to be done.

    Attributes:
        vm: The new VM, whose disks wait.
        old: The old one.
        found: The hypervisors.
        lease: The mark of this operation.
        domain_xml: The new VM's domain.
        began: When the mark was made, by the context's clock.
        node: The hypervisor that held the source of a clone still, and so has done enough.
    """

    vm: NewVm
    old: Old
    found: Survey
    lease: Lease
    domain_xml: str
    began: float
    node: str | None = None


def stop_old(context: Context, view: View, job: Replacement, *first: Step) -> Steps[list[Any]]:
    """Do what is left to do about the new disks, and let the old VM stop, in one exec; return the values of ``first``."""
    cluster, name = context.cluster(view.host, view.programs), job.vm.name
    stops = stop_timeout(view.cib, name) + job.vm.settings.stop_timeout
    lease = renewed(job.lease, context.clock() - job.began + stops + _START)
    guards = (holding(cluster, job.lease), Step(cluster.renew_lease(lease)))
    role = Step(cluster.set_meta(name, "target-role", "Stopped"), undo=cluster.set_meta(name, "target-role", "Started"))
    last = (role,) if job.old.role == Status.STARTED else ()
    values = yield from change(Role.CONTROL, *guards, *first, *last)
    return values[len(guards) : len(guards) + len(first)]


def replace_vm(context: Context, view: View, job: Replacement, timeout: float | None) -> Steps[VmState]:
    """Put a VM whose disks wait into the place of the old one, which ``stop_old`` stops, and that one back if it does not come up.

    Raises:
        VmMgrError: It did not; the old one is back as it was.
    """
    vm, old = job.vm, job.old
    if old.role == Status.DISABLED:
        view = yield from look_again(context, view)
    else:
        try:
            view, _ = yield from wait_for(context, view, vm.name, Status.STOPPED)
        except TimeUpError as error:
            raise VmMgrError(f"VM {vm.name} did not stop in its time, so it is not replaced, and runs on.") from error
    own = yield from _write_files(context, view, job)
    yield from from_view(context, view, lambda now: _swap(context, now, job, own))
    state = VmState(vm.name, Status.STOPPED if vm.enable else Status.DISABLED)
    if vm.enable and vm.start:
        try:
            view, state = yield from wait_for(context, view, vm.name, Status.STARTED, timeout)
        except (VmFailedError, TimeUpError, KeyboardInterrupt) as error:
            yield Say(f"The new VM {vm.name} does not come up, so the old one is put back.", warning=True)
            view = yield from observe(context, to_change=True, more=remembered(context, vm.name))
            yield from put_back(context, view, job.lease)
            if isinstance(error, KeyboardInterrupt):
                raise
            # the details begin with the mark of this very operation
            said = str(error).replace(f"{describe_lease(job.lease, view.now)}; ", "").split(". Pacemaker goes on")[0]
            raise VmMgrError(f"{said.rstrip('.')}. The old VM {vm.name} is put back as it was.") from error
    hosts = [host for host in reversed(job.found.hosts) if host not in {view.host, job.node}]
    where = hosts[0] if hosts else Role.CONTROL
    kept = change_of(context, view, job.found, vm, old).kept if not vm.enable else Fragment(None, ())
    clones = vm.images if job.lease.notes.get("source") else ()
    complaints = yield from forget_old(context, view, old.disks, job.lease, kept, where=where, prefix=OLD_PREFIX, clones=clones)
    yield from tell_complaints(job.lease, clones, complaints)
    return VmState(vm.name, state.status, state.node)  # the details had the mark of this very operation


def _write_files(context: Context, view: View, job: Replacement) -> Steps[list[Step]]:
    """Put the new domain XML on the hypervisors; return what is left to the control host if it is one."""
    if job.found.agent == "seapath":
        return []
    file, hypervisor = config_file(job.vm.name), context.hypervisor
    former = hypervisor.write_file(file, job.old.disks.metadata["xml"])
    steps = {
        host: Step(hypervisor.write_file(file, job.domain_xml), undo=former if has.file_hash else hypervisor.remove_file(file))
        for host, has in job.found.hosts.items()
    }
    held = holding(context.cluster(view.host, view.programs), job.lease)
    others = {host: (held, step) for host, step in steps.items() if host != view.host}
    if others:
        yield ChangeEach(others)
    return [steps[view.host]] if view.host in steps else []


def _swap(context: Context, view: View, job: Replacement, own: list[Step]) -> Steps[None]:
    """Exchange the disks, and make the one change of the CIB, in one exec."""
    vm, old = job.vm, job.old
    refuse_unless_stopped(view, vm.name)
    cluster, storage, name = context.cluster(view.host, view.programs), context.storage, vm.name
    what = change_of(context, view, job.found, vm, old)
    guards = [holding(cluster, job.lease), Step(cluster.assert_unchanged(view.cib))]
    guards += forgetting(cluster, view, name)
    if old.role != Status.DISABLED:
        text = Fragment.of(view.cib, name).to_text()
        guards.append(Step(storage.store_put(name, text), undo=storage.store_remove(name)))
    elif vm.enable:
        _, hand_over = yield from sort_constraints(context, view, name, old.constraints(view.cib))
        guards += hand_over
    moves = Swap.of(view, name, old.notes).there(storage, vm.images)
    afterwards = finish_later(name)
    if what.document:
        decisive = Step(cluster.redefine(what.document, what.ids, what.lines), commits=True, afterwards=afterwards)
    elif what.ids:
        decisive = Step(cluster.delete(what.ids), commits=True, afterwards=afterwards)
    else:
        last = moves.pop()
        yield from change(Role.CONTROL, *guards, *own, *moves, Step(last.command, commits=True, afterwards=afterwards))
        return
    yield from change_definition(
        context, view, [*guards, *own, *moves], decisive, [], made=lambda cib: _is_made(cib, name, what.document)
    )


def _is_made(cib: Cib, name: str, text: str) -> bool:
    """Whether the CIB has all of the new primitive; the agent may have added to it already."""
    there = cib.primitive(name)
    if not text or there is None:
        return not text and there is None
    (wanted,) = ET.fromstring(text).iterfind("configuration/resources/primitive")  # noqa: S314 - our own
    known = {item.get("id"): item.attrib for item in there.iter()}
    return all(known.get(item.get("id")) == item.attrib for item in wanted.iter() if item.get("id"))
