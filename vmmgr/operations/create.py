"""Create a VM: images first, then files, the cluster last, so that a failure leaves nothing behind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vmmgr.errors import UsageError, VmMgrError
from vmmgr.model import Lease, Status, VmState, check_new_name, data_image, system_image
from vmmgr.operations.definition import Settings, check_user_metadata, definition
from vmmgr.operations.domain import BUSES, RbdSource, add_disks, named_domain, text_of, uuid_of
from vmmgr.operations.lease import holding, new_lease, refuse_unless_free, renewed, taking
from vmmgr.operations.observation import observe
from vmmgr.operations.retrying import change_definition, with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import ChangeEach, Role, Say, Step, Stream, change
from vmmgr.operations.survey import Survey, config_file, refuse_if, survey
from vmmgr.operations.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vmmgr.images import DiffStream, DiskImage
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """What to create.

    Attributes:
        name: Of the VM.
        base_xml: The domain as the user wrote it.
        disks: The images on the workstation, the system's first.
        settings: How Pacemaker is to run it.
        metadata: The user's own metadata.
        disk_bus: Of all disks.
        compress: Whether to compress the data on the way.
        enable: Whether to give it to the cluster at once.
        start: Whether the cluster is to start it.
        wait: Whether to wait until it runs, at most ``timeout`` seconds where that is given.
        timeout: See ``wait``.
    """

    name: str
    base_xml: str
    disks: tuple[DiskImage, ...]
    settings: Settings = field(default_factory=Settings)
    metadata: Mapping[str, str] = field(default_factory=dict)
    disk_bus: str = "virtio"
    compress: bool = False
    enable: bool = True
    start: bool = True
    wait: bool = True
    timeout: float | None = None

    @property
    def images(self) -> tuple[str, ...]:
        """The names of the RBD images, in the order of ``disks``."""
        return system_image(self.name), *(data_image(self.name, index) for index in range(len(self.disks) - 1))


def create(context: Context, request: CreateRequest) -> Steps[VmState]:
    """Create a VM out of disk images and a domain XML, and wait until it runs.

    Raises:
        UsageError: A value is wrong; nothing was contacted.
        RefusedError: The site forbids it; nothing was changed.
        VmMgrError: It failed. Before the cluster was changed nothing is left; after that the VM stays, as Failed.
    """
    request = _checked(context, request)
    domain = named_domain(request.base_xml, request.name)

    def prepare() -> Steps[tuple[View, Survey, Lease]]:
        view = yield from observe(context, to_change=True)
        refuse_unless_free(view, request.name)
        found, problems = yield from survey(context, view, request.name, text_of(domain))
        problems = _name_problems(view, request) + _host_problems(context, view, request.settings) + problems
        refuse_if(problems + _clash_problems(found, request.name, uuid_of(domain)) + found.secret_problems())
        lease = new_lease(context, view, request.name, "create")
        yield from change(Role.CONTROL, *taking(context.cluster(view.host, view.programs), view, lease))
        return view, found, lease

    view, found, lease = yield from with_fresh_view(prepare)
    began = context.clock()
    add_disks(domain, request.images, request.disk_bus, RbdSource(context.storage.pool, found.monitors, found.secret))
    yield from _import(context, view, found, request, lambda: renewed(lease, context.clock() - began))
    held = holding(context.cluster(view.host, view.programs), lease)  # the import may have taken hours
    yield from _lay_out(context, found, request, text_of(domain), held)
    yield from _give_to_cluster(context, view, found, request, lease)
    if not (request.enable and request.start and request.wait):
        return state_of((yield from observe(context)), request.name)
    # its looks are at the cluster only
    view = replace(view, groups=view.groups | {request.name}, images=view.images.union(request.images))
    _, state = yield from wait_for(context, view, request.name, Status.STARTED, request.timeout)
    return state


def _checked(context: Context, request: CreateRequest) -> CreateRequest:
    """Refuse wrong values, and fill in the site's login for migrations."""
    check_new_name(request.name)
    check_user_metadata(request.metadata)
    if request.disk_bus not in BUSES:
        raise UsageError(f"{request.disk_bus!r} is no disk bus; choose {', '.join(BUSES)}.")
    for host in (request.settings.pinned_host, request.settings.preferred_host):
        if host and host not in [machine.name for machine in context.site.hypervisors]:
            known = ", ".join(machine.name for machine in context.site.hypervisors)
            raise UsageError(f"{host!r} is no hypervisor of site {context.site.name}; its hypervisors are {known}.")
    user = request.settings.migration_user or context.site.migration_user
    return replace(request, settings=replace(request.settings, migration_user=user))


def _name_problems(view: View, request: CreateRequest) -> list[str]:
    """Return what already has the name, or a part of what will be made."""
    name = request.name
    if name in view.vm_names:
        return [f"VM {name} exists already ({state_of(view, name).status}); choose another name, or remove it first."]
    # also those of a higher number than will be made, for whoever removes the VM removes them too
    problems = [f"The RBD image {image} exists already; rename or remove it." for image in view.images_of(name)]
    if name in view.cib.ids() or name in view.simulation.nodes:
        problems.append(f"The cluster has a resource or node {name} already; choose another name.")
    if user := view.cib.config_files().get(config_file(name)):
        problems.append(f"The resource {user} starts a VM from {config_file(name)}; choose another name.")
    return problems


def _host_problems(context: Context, view: View, settings: Settings) -> list[str]:
    """Return why the VM could not run where it is to run."""
    nodes = view.simulation.nodes
    usable = [machine.name for machine in context.site.hypervisors if machine.name in nodes and nodes[machine.name].usable]
    if not usable:
        return ["No hypervisor is online, out of standby and out of maintenance, so no VM could run."]
    if settings.pinned_host and settings.pinned_host not in usable:
        return [f"{settings.pinned_host}, which the VM is to be pinned to, is offline, in standby or in maintenance."]
    return []


def _clash_problems(found: Survey, name: str, domain_uuid: str) -> list[str]:
    """Return which hypervisors have a domain of the same name or UUID."""
    problems = []
    for host, hypervisor in found.hosts.items():
        if name in hypervisor.domains:
            problems.append(
                f"libvirt on {host} has a domain {name} that the cluster does not know; undefine it, or choose another name."
            )
        if domain_uuid in hypervisor.uuids:
            problems.append(
                f"The UUID {domain_uuid} of the domain XML belongs to another VM on {host}; leave it out for a new one."
            )
    return problems


def _import(context: Context, view: View, found: Survey, request: CreateRequest, lease: Callable[[], Lease]) -> Steps[None]:
    """Make the images and fill them from the workstation."""
    storage = context.storage
    cluster = context.cluster(view.host, view.programs)
    steps = [
        Step(storage.create_image(image, disk.virtual_size), undo=storage.remove_image(image), exclusive=True)
        for image, disk in zip(request.images, request.disks, strict=True)
    ]
    yield from change(found.first, *steps)
    method = _compression(found) if request.compress else "none"
    for image, disk in zip(request.images, request.disks, strict=True):
        sent: list[DiffStream] = []
        received = yield Stream(
            found.first,
            storage.import_image(image, method),
            _chunks(disk, method, sent),
            title=disk.path.name,
            total=disk.allocated,
            renew=lambda: cluster.renew_lease(lease()),
        )
        if received != sent[0].sha256:
            raise VmMgrError(f"The image {disk.path} arrived damaged on {found.first}: the checksums differ. Try again.")
    yield Say(f"Imported {', '.join(request.images)}.")


def _compression(found: Survey) -> str:
    """Choose the better method that both sides have; gzip is everywhere."""
    from vmmgr.images import available_compressions

    both = "zstd" in available_compressions() and "zstd" in found.hosts[found.first].programs
    return "zstd" if both else "gzip"


def _chunks(disk: DiskImage, method: str, sent: list[DiffStream]) -> Callable[[Callable[[int], None]], Iterator[bytes]]:
    """Return what makes the stream once it is known how to show the progress; the stream itself goes into ``sent``."""
    from vmmgr.images import DiffStream, compress

    def make(advance: Callable[[int], None]) -> Iterator[bytes]:
        sent.append(DiffStream(disk, advance))
        return iter(sent[0]) if method == "none" else compress(sent[0], method)

    return make


def _lay_out(context: Context, found: Survey, request: CreateRequest, domain_xml: str, held: Step) -> Steps[None]:
    """Make the group and the metadata, and put the domain XML where the resource agent looks for it."""
    storage, name = context.storage, request.name
    metadata = {"vm_name": name, "xml": domain_xml, "_base_xml": request.base_xml, "_disk_bus": request.disk_bus}
    if len(request.disks) > 1:
        metadata["_additional_disks"] = str(len(request.disks) - 1)
    metadata |= request.settings.to_metadata() | dict(request.metadata)
    layout = [
        held,
        # of a VM of that name that vm_manager removed
        Step(storage.store_remove(name)),
        Step(storage.create_group(name), undo=storage.remove_group(name), exclusive=True),
        *(Step(storage.add_to_group(name, image)) for image in request.images),
        Step(storage.set_metadata(system_image(name), metadata)),
    ]
    steps: dict[str, tuple[Step, ...]] = {found.first: tuple(layout)}
    if found.agent != "seapath":
        file = config_file(name)
        write = Step(context.hypervisor.write_file(file, domain_xml), undo=context.hypervisor.remove_file(file))
        steps = {host: (*steps.get(host, (held,)), write) for host in found.hosts}
    yield ChangeEach(steps)


def _give_to_cluster(context: Context, view: View, found: Survey, request: CreateRequest, lease: Lease) -> Steps[None]:
    """Add the resource in one CIB change, and end the lease; from there on the VM stays."""
    cluster, name = context.cluster(view.host, view.programs), request.name
    guards = [holding(cluster, lease)]
    drop = Step(cluster.drop_lease(lease), commits=True)
    if not request.enable:
        yield from change(Role.CONTROL, *guards, drop)
        return
    document = definition(
        context,
        name,
        request.settings,
        agent=found.agent,
        config=config_file(name),
        observers=observers(context, view),
        started=request.start,
    )
    unsure = f"`vm-mgr repair -n {name}` finds out whether the cluster has taken VM {name}, and finishes or cleans it."
    define = Step(cluster.define(document), commits=True, afterwards=unsure)
    guards.append(Step(cluster.assert_absent([name])))
    yield from change_definition(context, view, guards, define, [drop], made=lambda cib: cib.primitive(name) is not None)


def observers(context: Context, view: View) -> list[str]:
    """Return the cluster's full members that are no hypervisors, sorted."""
    hypervisors = {machine.name for machine in context.site.hypervisors}
    return sorted(
        node.name for node in view.simulation.nodes.values() if node.kind == "member" and node.name not in hypervisors
    )
