"""What a new VM is made of, wherever its disks come from: its group, metadata and files, and then its resource."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vmmgr.errors import UsageError
from vmmgr.model import check_new_name, system_image
from vmmgr.operations.definition import Settings, definition
from vmmgr.operations.domain import BUSES
from vmmgr.operations.lease import holding
from vmmgr.operations.metadata import check_user_metadata
from vmmgr.operations.retrying import change_definition
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import ChangeEach, Role, Step, change, read
from vmmgr.operations.survey import Survey, config_file

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


@dataclass(frozen=True, slots=True)
class NewVm:
    """A VM that is to be made.

    Attributes:
        name: Of the VM.
        base_xml: The domain as the user wrote it.
        images: The names of its RBD images, the system's first.
        disk_bus: Of all disks.
        settings: How Pacemaker is to run it.
        metadata: The user's own metadata.
        enable: Whether to give it to the cluster at once.
        start: Whether the cluster is to start it.
    """

    name: str
    base_xml: str
    images: tuple[str, ...]
    disk_bus: str = "virtio"
    settings: Settings = field(default_factory=Settings)
    metadata: Mapping[str, str] = field(default_factory=dict)
    enable: bool = True
    start: bool = True

    def all_metadata(self, domain_xml: str) -> dict[str, str]:
        """Return what its system image gets: vm_manager's keys, and the user's."""
        metadata = {"vm_name": self.name, "xml": domain_xml, "_base_xml": self.base_xml, "_disk_bus": self.disk_bus}
        if len(self.images) > 1:
            metadata["_additional_disks"] = str(len(self.images) - 1)
        return metadata | self.settings.to_metadata() | dict(self.metadata)


def check_request(context: Context, name: str, metadata: Mapping[str, str], disk_bus: str, settings: Settings) -> Settings:
    """Refuse wrong values; return the settings with the site's login for migrations filled in.

    Raises:
        UsageError: One sentence on the first thing found.
    """
    check_new_name(name)
    check_user_metadata(metadata)
    if disk_bus not in BUSES:
        raise UsageError(f"{disk_bus!r} is no disk bus; choose {', '.join(BUSES)}.")
    for host in (settings.pinned_host, settings.preferred_host):
        if host and host not in [machine.name for machine in context.site.hypervisors]:
            known = ", ".join(machine.name for machine in context.site.hypervisors)
            raise UsageError(f"{host!r} is no hypervisor of site {context.site.name}; its hypervisors are {known}.")
    return replace(settings, migration_user=settings.migration_user or context.site.migration_user)


def name_problems(view: View, name: str) -> list[str]:
    """Return what already has the name, or a part of what will be made."""
    if name in view.vm_names:
        status = state_of(view, name).status
        return [f"VM {name} exists already ({status}); choose another name, or replace it (--force)."]
    # also those of a higher number than will be made, for whoever removes the VM removes them too
    problems = [f"The RBD image {image} exists already; rename or remove it." for image in view.images_of(name)]
    if name in view.cib.ids() or name in view.simulation.nodes:
        problems.append(f"The cluster has a resource or node {name} already; choose another name.")
    if user := view.cib.config_files().get(config_file(name)):
        problems.append(f"The resource {user} starts a VM from {config_file(name)}; choose another name.")
    return problems


def host_problems(context: Context, view: View, settings: Settings) -> list[str]:
    """Return why the VM could not run where it is to run."""
    nodes = view.simulation.nodes
    usable = [machine.name for machine in context.site.hypervisors if machine.name in nodes and nodes[machine.name].usable]
    if not usable:
        return ["No hypervisor is online, out of standby and out of maintenance, so no VM could run."]
    if settings.pinned_host and settings.pinned_host not in usable:
        return [f"{settings.pinned_host}, which the VM is to be pinned to, is offline, in standby or in maintenance."]
    return []


def clash_problems(
    found: Survey, name: str, domain_uuid: str, *, runs_on: Collection[str] = (), own_uuid: str = ""
) -> list[str]:
    """Return which hypervisors have a domain of the same name or UUID.

    Args:
        found: What they have.
        name: Of the VM.
        domain_uuid: Of the VM, in lower case.
        runs_on: Where a VM that is to be replaced runs.
        own_uuid: The UUID of that VM, which may go over to the new one.
    """
    problems = []
    for host, hypervisor in found.hosts.items():
        if name in hypervisor.domains and host not in runs_on:
            problems.append(
                f"libvirt on {host} has a domain {name} that the cluster does not know; undefine it, or choose another name."
            )
        if domain_uuid in hypervisor.uuids and domain_uuid != own_uuid:
            problems.append(
                f"The UUID {domain_uuid} of the domain XML belongs to another VM on {host}; leave it out for a new one."
            )
    return problems


def group_steps(context: Context, vm: NewVm, metadata: Mapping[str, str], *, prefix: str = "") -> list[Step]:
    """Return the steps that make a VM of images that are there: its group and its metadata.

    With a ``prefix`` before all names, the VM has to wait for the place of another one, whose things are left alone.
    """
    storage, group = context.storage, prefix + vm.name
    return [
        # of a VM of that name that vm_manager removed
        *([] if prefix else [Step(storage.store_remove(vm.name))]),
        Step(storage.create_group(group), undo=storage.remove_group(group), exclusive=True),
        *(Step(storage.add_to_group(group, prefix + image)) for image in vm.images),
        Step(storage.set_metadata(prefix + system_image(vm.name), metadata)),
    ]


def file_step(context: Context, name: str, domain_xml: str) -> Step:
    """Return the step that puts the domain XML where the resource agent looks for it; SEAPATH's needs none."""
    file = config_file(name)
    return Step(context.hypervisor.write_file(file, domain_xml), undo=context.hypervisor.remove_file(file))


def lay_out(context: Context, view: View, found: Survey, vm: NewVm, *, domain_xml: str, held: Step) -> Steps[tuple[Step, ...]]:
    """Make the group and the metadata, and put the domain XML on the hypervisors, each in one exec.

    Returns:
        What is left to the control host if it is a hypervisor: it does that together with ``give_to_cluster``.
    """
    steps = {found.first: (held, *group_steps(context, vm, vm.all_metadata(domain_xml)))}
    if found.agent != "seapath":
        write = file_step(context, vm.name, domain_xml)
        steps = {host: (*steps.get(host, (held,)), write) for host in found.hosts}
    own = steps.pop(view.host, (held,))
    if steps:
        yield ChangeEach(steps)
    return own[1:]


def give_to_cluster(
    context: Context,
    view: View,
    found: Survey,
    vm: NewVm,
    lease: Lease,
    *,
    first: Sequence[Step] = (),
    rest: Sequence[Step] = (),
) -> Steps[list[Any]]:
    """Add the resource in one CIB change, and end the lease; from there on the VM stays.

    ``first`` is done in the same exec, and after the change ``rest``, whose values are returned.
    """
    cluster, name = context.cluster(view.host, view.programs), vm.name
    guards = [holding(cluster, lease), *first]
    rest = [*rest, Step(cluster.drop_lease(lease), commits=True)]
    if not vm.enable:
        return (yield from change(Role.CONTROL, *guards, *rest))[len(guards) :]
    lines = vm.settings.lines(cluster.folder)
    document = document_of(context, view, found, vm)
    unsure = f"`vm-mgr repair -n {name}` finds out whether the cluster has taken VM {name}, and finishes or cleans it."
    command = cluster.redefine(document, (), lines) if lines else cluster.define(document)
    define = Step(command, commits=True, afterwards=unsure)
    guards.append(Step(cluster.assert_absent([name])))
    return (yield from change_definition(context, view, guards, define, rest, made=lambda cib: cib.primitive(name) is not None))


def document_of(context: Context, view: View, found: Survey, vm: NewVm) -> str:
    """Return the CIB document of a VM: its primitive with its constraints."""
    return definition(
        context,
        vm.name,
        vm.settings,
        agent=found.agent,
        config=config_file(vm.name),
        observers=observers(context, view),
        started=vm.start,
    )


def refuse_unless_lines_run(context: Context, view: View, found: Survey, vm: NewVm) -> Steps[None]:
    """Have the cluster's tool try the further commands of a VM on a copy of the CIB, before anything is made of it.

    Raises:
        LineRefusedError: It refuses one.
    """
    cluster = context.cluster(view.host, view.programs)
    if vm.enable and (lines := vm.settings.lines(cluster.folder)):
        yield from read(Role.CONTROL, cluster.rehearse(document_of(context, view, found, vm), (), lines))


def observers(context: Context, view: View) -> list[str]:
    """Return the cluster's full members that are no hypervisors, sorted."""
    hypervisors = {machine.name for machine in context.site.hypervisors}
    return sorted(
        node.name for node in view.simulation.nodes.values() if node.kind == "member" and node.name not in hypervisors
    )
