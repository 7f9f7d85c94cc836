"""``create --force``: a new VM takes the place of an old one of its name, and the old one goes only when the new one runs.

The new disks are imported under other names while the old VM runs. Then it is stopped, its disks are put aside and the new ones
put into their place, and one CIB change makes the new VM of the old resource. ``restoring`` has the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.cib import resources_in
from vmmgr.drivers.pacemaker.services import stop_timeout
from vmmgr.errors import VmMgrError
from vmmgr.model import NEW_PREFIX, OLD_PREFIX, Lease, Status, VmState, system_image
from vmmgr.operations.fragment import Fragment, document
from vmmgr.operations.keeping import domain_uuid, sort_constraints
from vmmgr.operations.layout import document_of
from vmmgr.operations.lease import holding, renewed
from vmmgr.operations.observation import look_again
from vmmgr.operations.restoring import finish_later, forget_old, lasting, put_back
from vmmgr.operations.retrying import change_definition, from_view
from vmmgr.operations.status import describe_lease, state_of
from vmmgr.operations.steps import ChangeEach, Role, Say, Step, change
from vmmgr.operations.stopping import forgetting, refuse_parts_of_others, refuse_unless_stopped, refuse_unmanaged
from vmmgr.operations.survey import config_file
from vmmgr.operations.swap import Swap, is_image_of
from vmmgr.operations.waiting import TimeUpError, VmFailedError, wait_for

if TYPE_CHECKING:
    from vmmgr.disks import Disks
    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.operations.context import Context
    from vmmgr.operations.layout import NewVm
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps
    from vmmgr.operations.survey import Survey

# Seconds that Pacemaker grants a start and what goes with it; added to the lease for the time of the change.
_START = 180


@dataclass(frozen=True, slots=True)
class Old:
    """The VM that is to be replaced.

    Attributes:
        name: Its name, and the new one's.
        role: Started, Stopped or Disabled.
        disks: What the storage has of it.
        kept: What was put aside of it when it was disabled.
    """

    name: str
    role: str
    disks: Disks
    kept: Fragment

    @classmethod
    def of(cls, view: View, name: str) -> Old:
        """Return it out of a view for which ``disks`` and ``store_get`` were asked as well."""
        disks, put_aside = view.more
        resource = view.resource(name)
        wanted = Status.STOPPED if resource and resource.target_role.lower() == "stopped" else Status.STARTED
        role = wanted if view.is_defined(name) else Status.DISABLED
        return cls(name, str(role), disks, Fragment.from_text(put_aside, name))

    @property
    def uuid(self) -> str:
        """The UUID of its domain, in lower case; empty where that cannot be told."""
        return domain_uuid(self.disks.metadata)

    @property
    def images(self) -> list[str]:
        """Its images, those that have its name."""
        return [disk.image for disk in self.disks.disks if is_image_of(self.name, disk.image)]

    @property
    def notes(self) -> dict[str, str]:
        """What a repair has to know of it."""
        return {"replaces": self.role, "old": " ".join(self.images)}

    def runs_on(self, view: View) -> tuple[str, ...]:
        """Return the nodes that it runs on."""
        resource = view.resource(self.name)
        return resource.nodes if resource else ()

    def problems(self, view: View, agent: str, new: tuple[str, ...]) -> list[str]:
        """Return why it cannot be replaced by a VM with these images."""
        name = self.name
        refuse_parts_of_others(view, name)
        refuse_unmanaged(view, name)
        problems = []
        if name not in view.groups or system_image(name) not in view.images:
            words = "; ".join(state_of(view, name).details)
            problems.append(f"VM {name} is {words}, so it could not be put back; remove it first.")
        elif agent != "seapath" and "xml" not in self.disks.metadata:
            problems.append(f"VM {name} has no metadata 'xml', so it could not be put back; remove it first.")
        if name in view.cib.ids() and view.resource(name) is None:
            problems.append(f"The cluster has a resource {name} already, which is no VM; choose another name.")
        if (user := view.cib.config_files().get(config_file(name))) not in {None, name}:
            problems.append(f"The resource {user} starts a VM from {config_file(name)}; choose another name.")
        if self.disks.children:
            clones = ", ".join(self.disks.children)
            problems.append(f"The clones {clones} still depend on the disks of VM {name}; wait until Ceph has flattened them.")
        names = {name, *self.images, *new}
        left = [item for item in sorted(view.images | view.groups) if item.startswith((OLD_PREFIX, NEW_PREFIX))]
        if left := [item for item in left if item.removeprefix(OLD_PREFIX).removeprefix(NEW_PREFIX) in names]:
            problems.append(f"Ceph has {', '.join(left)}, left of an earlier replacement; rename or remove them.")
        if self.disks.watchers and not self.runs_on(view):
            users = "; ".join(f"{image} by {', '.join(found)}" for image, found in self.disks.watchers.items())
            problems.append(f"The disks of VM {name} are in use ({users}); end that first.")
        return problems

    def fragment(self, cib: Cib) -> Fragment:
        """Return its part of the CIB, or what is kept of that."""
        return self.kept if self.role == Status.DISABLED else Fragment.of(cib, self.name)

    def constraints(self, cib: Cib) -> list[ET.Element]:
        """Return its constraints that are the new VM's as well."""
        fragment = self.fragment(cib)
        # the services in it go with it
        gone = set(fragment.service_names)
        return [item for item in lasting(fragment.constraints, self.disks.metadata) if not gone & resources_in(item)]


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
    """

    vm: NewVm
    old: Old
    found: Survey
    lease: Lease
    domain_xml: str
    began: float


def replace_vm(context: Context, view: View, job: Replacement, timeout: float | None) -> Steps[VmState]:
    """Put a VM whose disks wait into the place of the old one, and the old one back if it does not come up.

    Raises:
        VmMgrError: It did not; the old one is back as it was.
    """
    vm, old = job.vm, job.old
    yield from _stop_old(context, view, job)
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
            yield from put_back(context, vm.name, job.lease)
            if isinstance(error, KeyboardInterrupt):
                raise
            # the details begin with the mark of this very operation
            said = str(error).replace(f"{describe_lease(job.lease, view.now)}; ", "").split(". Pacemaker goes on")[0]
            raise VmMgrError(f"{said.rstrip('.')}. The old VM {vm.name} is put back as it was.") from error
    hosts = [host for host in reversed(job.found.hosts) if host != view.host]
    kept = change_of(context, view, job.found, vm, old).kept if not vm.enable else Fragment(None, ())
    yield from forget_old(
        context, view, old.disks, job.lease, kept, where=hosts[0] if hosts else Role.CONTROL, prefix=OLD_PREFIX
    )
    return VmState(vm.name, state.status, state.node)  # the details had the mark of this very operation


def _stop_old(context: Context, view: View, job: Replacement) -> Steps[None]:
    """Lay the new VM out under its temporary names, and let the old one stop, in one exec."""
    cluster, storage, vm = context.cluster(view.host, view.programs), context.storage, job.vm
    name = vm.name
    seconds = context.clock() - job.began + stop_timeout(view.cib, name) + vm.settings.stop_timeout + _START
    group = NEW_PREFIX + name
    steps = [
        holding(cluster, job.lease),
        Step(cluster.renew_lease(renewed(job.lease, seconds))),
        Step(storage.create_group(group), undo=storage.remove_group(group), exclusive=True),
        *(Step(storage.add_to_group(group, NEW_PREFIX + image)) for image in vm.images),
        Step(storage.set_metadata(NEW_PREFIX + system_image(name), vm.all_metadata(job.domain_xml))),
    ]
    if job.old.role == Status.STARTED:
        steps.append(
            Step(cluster.set_meta(name, "target-role", "Stopped"), undo=cluster.set_meta(name, "target-role", "Started"))
        )
    yield from change(Role.CONTROL, *steps)


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


def lost_with(old: Old, cib: Cib) -> list[str]:
    """Return the sentences that say beforehand what goes with the old VM."""
    snapshots = sorted({snapshot.name for snapshot in old.disks.snapshots()})
    services = old.fragment(cib).service_names
    lost = {"snapshots": snapshots, "services in it": services}
    return [f"With the old VM {old.name} go its {what}: {', '.join(names)}." for what, names in lost.items() if names]
