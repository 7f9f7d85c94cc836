"""Create a VM: images first, then files, the cluster last, so that a failure leaves nothing behind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vmmgr.errors import VmMgrError
from vmmgr.model import NEW_PREFIX, Lease, Status, VmState, data_image, system_image
from vmmgr.operations.definition import Settings
from vmmgr.operations.domain import RbdSource, add_disks, named_domain, text_of, uuid_of
from vmmgr.operations.layout import (
    NewVm,
    check_request,
    give_to_cluster,
    group_steps,
    host_problems,
    lay_out,
)
from vmmgr.operations.lease import holding, new_lease, refuse_unless_free, renewed, taking
from vmmgr.operations.observation import look_again
from vmmgr.operations.replaced import Old, asked, domain_in_the_way, name_in_the_way
from vmmgr.operations.replacing import Replacement, replace_vm, stop_old, try_lines
from vmmgr.operations.retrying import with_fresh_view
from vmmgr.operations.status import state_of
from vmmgr.operations.steps import Role, Say, Step, Stream, change
from vmmgr.operations.survey import Survey, refuse_if, survey_at_once
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
        force: Whether an existing VM of that name is replaced, once the new one is ready; then ``wait`` is taken for granted.
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
    force: bool = False
    wait: bool = True
    timeout: float | None = None

    @property
    def images(self) -> tuple[str, ...]:
        """The names of the RBD images, in the order of ``disks``."""
        return system_image(self.name), *(data_image(self.name, index) for index in range(len(self.disks) - 1))

    @property
    def vm(self) -> NewVm:
        """The VM, apart from where its disks come from."""
        return NewVm(
            self.name, self.base_xml, self.images, self.disk_bus, self.settings, self.metadata, self.enable, self.start
        )


def create(context: Context, request: CreateRequest) -> Steps[VmState]:
    """Create a VM out of disk images and a domain XML, and wait until it runs.

    Raises:
        UsageError: A value is wrong; nothing was contacted.
        RefusedError: The site forbids it; nothing was changed.
        VmMgrError: It failed. Before the cluster was changed nothing is left; after that the VM stays, as Failed.
    """
    settings = check_request(context, request.name, request.metadata, request.disk_bus, request.settings)
    domain = named_domain(request.base_xml, request.name)
    if uuid_of(domain) not in request.base_xml.lower():
        context.generated[uuid_of(domain)] = "UUID"

    more = asked(context, request.name) if request.force else ()

    def prepare() -> Steps[tuple[View, Survey, Settings, Lease, Old | None]]:
        view, found, problems = yield from survey_at_once(context, request.name, text_of(domain), monitors=True, more=more)
        refuse_unless_free(view, request.name)
        old = Old.find(view, request.name, view.more)
        taken = name_in_the_way(view, found, request.name, request.images, old)
        clashes = domain_in_the_way(view, found, request.name, uuid_of(domain), old)
        refuse_if(taken + host_problems(context, view, settings) + problems + clashes + found.secret_problems())
        cluster = context.cluster(view.host, view.programs)
        chosen = settings.for_driver(cluster.folder)
        vm = replace(request, settings=chosen).vm
        yield from try_lines(context, view, found, vm, old)
        lease = new_lease(context, view, request.name, "create", notes=old.notes if old else None)
        yield from change(Role.CONTROL, *taking(cluster, view, lease))
        return view, found, chosen, lease, old

    view, found, settings, lease, old = yield from with_fresh_view(prepare)
    request = replace(request, settings=settings)
    began = context.clock()
    for sentence in old.losses if old else ():
        yield Say(sentence, warning=True)
    names = tuple(NEW_PREFIX + image if old else image for image in request.images)
    yield from _import(context, view, found, request, lambda: renewed(lease, context.clock() - began), names=names)
    add_disks(domain, request.images, request.disk_bus, RbdSource(context.storage.pool, found.monitors, found.secret))
    if old:
        job = Replacement(request.vm, old, found, lease, text_of(domain), began)
        metadata = request.vm.all_metadata(job.domain_xml)
        yield from stop_old(context, view, job, *group_steps(context, request.vm, metadata, prefix=NEW_PREFIX))
        return (yield from replace_vm(context, view, job, request.timeout))
    held = holding(context.cluster(view.host, view.programs), lease)  # the import may have taken hours
    steps = yield from lay_out(context, view, found, request.vm, domain_xml=text_of(domain), held=held)
    yield from give_to_cluster(context, view, found, request.vm, lease, first=steps)
    return (yield from _come_up(context, view, request))


def _come_up(context: Context, view: View, request: CreateRequest) -> Steps[VmState]:
    """Wait until the VM runs, as far as that was asked for."""
    if not (request.enable and request.start):
        return VmState(request.name, Status.STOPPED if request.enable else Status.DISABLED)
    # its looks are at the cluster only
    view = replace(view, groups=view.groups | {request.name}, images=view.images.union(request.images))
    if not request.wait:
        return state_of((yield from look_again(context, view)), request.name)
    _, state = yield from wait_for(context, view, request.name, Status.STARTED, request.timeout)
    return state


def _import(
    context: Context, view: View, found: Survey, request: CreateRequest, lease: Callable[[], Lease], *, names: tuple[str, ...]
) -> Steps[None]:
    """Make the images and fill them from the workstation."""
    storage = context.storage
    cluster = context.cluster(view.host, view.programs)
    steps = [
        Step(storage.create_image(image, disk.virtual_size), undo=storage.remove_image(image), exclusive=True)
        for image, disk in zip(names, request.disks, strict=True)
    ]
    yield from change(found.first, *steps)
    method = _compression(found) if request.compress else "none"
    for image, disk in zip(names, request.disks, strict=True):
        sent: list[DiffStream] = []
        received = yield Stream(
            found.first,
            storage.import_image(image, method),
            _chunks(disk, method, sent),
            title=disk.path.name,
            total=disk.allocated,
            renew=lambda: cluster.renew_lease(lease()),
        )
        if sent and received != sent[0].sha256:  # a dry run sends nothing
            raise VmMgrError(f"The image {disk.path} arrived damaged on {found.first}: the checksums differ. Try again.")
    yield Say(f"Imported {', '.join(request.images)}.")


def _compression(found: Survey) -> str:
    """Choose the better method that both sides have; gzip is everywhere."""
    from vmmgr.images import available_compressions

    both = "zstd" in available_compressions() and "zstd" in found.hosts[found.first].programs
    return "zstd" if both else "gzip"


def _chunks(
    disk: DiskImage, method: str, sent: list[DiffStream]
) -> Callable[[Callable[[int], None]], Iterator[bytes | memoryview]]:
    """Return what makes the stream once it is known how to show the progress; the stream itself goes into ``sent``."""
    from vmmgr.images import DiffStream, compress

    def make(advance: Callable[[int], None]) -> Iterator[bytes | memoryview]:
        sent.append(DiffStream(disk, advance))
        return iter(sent[0]) if method == "none" else compress(sent[0], method)

    return make
