"""Decides what a clone will be, and finds everything that stands in the way of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vmmgr.errors import RefusedError, UsageError
from vmmgr.model import check_known_name, data_image, system_image
from vmmgr.operations.definition import COMMAND_KEYS, Settings
from vmmgr.operations.domain import BUSES, RbdSource, add_disks, named_domain, text_of, uuid_of
from vmmgr.operations.inheritance import Wishes, base_of, finish, metadata_of, settings_of
from vmmgr.operations.layout import NewVm, check_request, host_problems
from vmmgr.operations.lease import lease_problems, refuse_unless_free
from vmmgr.operations.replaced import Old, domain_in_the_way, name_in_the_way
from vmmgr.operations.replacing import try_lines
from vmmgr.operations.steps import Say, read
from vmmgr.operations.stopping import exists
from vmmgr.operations.survey import Survey, refuse_if

if TYPE_CHECKING:
    from vmmgr.disks import Disks
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """What to clone.

    Attributes:
        source: The VM that there is.
        name: The clone's.
        wishes: How it is to differ.
        pause: Whether the source may be held still for a moment, if it runs.
        full: Whether to wait until the clone depends on the source's disks no more.
        enable: Whether to give it to the cluster at once.
        start: Whether the cluster is to start it.
        force: Whether an existing VM of the clone's name is replaced, once the clone is ready; then ``wait`` is taken for granted.
        wait: Whether to wait until it runs, at most ``timeout`` seconds where that is given.
        timeout: See ``wait``.
    """

    source: str
    name: str
    wishes: Wishes = field(default_factory=Wishes)
    pause: bool = False
    full: bool = False
    enable: bool = True
    start: bool = True
    force: bool = False
    wait: bool = True
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        disks: The source's.
        sources: Its images that are cloned, the system's first.
        node: Where the source is to be held still; None where that is not needed, or not wanted.
        known: Of a source that does not run, those who have its disks open all the same, and nobody else may; None where that
            makes no difference.
        snapshot: The name of the snapshots that the clone is made of.
        vm: The clone.
        domain_xml: Its domain.
        old: The VM that it replaces, if any.
    """

    disks: Disks
    sources: tuple[str, ...]
    node: str | None
    known: tuple[str, ...] | None
    snapshot: str
    vm: NewVm
    domain_xml: str
    old: Old | None


def check_wishes(context: Context, request: CloneRequest) -> str | None:
    """Refuse wrong values; return the domain for the hypervisors to check where the user gave one."""
    wishes = request.wishes
    check_known_name(request.source)
    check_request(context, request.name, wishes.metadata, "virtio", Settings(**wishes.settings))
    if request.source == request.name:
        raise UsageError(f"A clone of VM {request.source} needs another name than its own.")
    return None if wishes.base_xml is None else text_of(named_domain(wishes.base_xml, request.name))


def make_plan(context: Context, view: View, found: Survey, request: CloneRequest, problems: list[str]) -> Steps[Plan]:
    """Find everything that stands in the way, and what the clone will be.

    ``view`` has the disks of the source and, with ``force``, what is ``asked`` of an old VM.

    Raises:
        RefusedError: With all that was found.
    """
    source, name, wishes, disks = request.source, request.name, request.wishes, view.more[0]
    refuse_unless_free(view, name)
    exists(view, source)
    images = (system_image(name), *(data_image(name, index) for index in range(len(_own(disks)) - 1)))
    old = Old.find(view, name, view.more[1:])
    taken = name_in_the_way(view, found, name, images, old)
    problems = lease_problems(view, source) + taken + problems + _incomplete(view, disks)
    refuse_if(problems + found.secret_problems())
    node, known = yield from _stillness(context, view, found, request, disks)
    root, whole = base_of(disks, context.storage.pool, wishes)
    free = old.identity if old else set()
    base_xml, shared = finish(root, whole, source, name, found, given=wishes.base_xml is not None, free=free)
    settings = settings_of(disks.metadata, wishes)
    settings = settings.for_driver(context.cluster(view.host, view.programs).folder)
    settings = replace(settings, migration_user=settings.migration_user or context.site.migration_user)
    bus = disks.metadata.get("_disk_bus", "virtio")
    vm = NewVm(name, base_xml, images, bus, settings, metadata_of(disks.metadata, wishes), request.enable, request.start)
    domain = named_domain(base_xml, name)
    context.generated[uuid_of(domain)] = "UUID"
    refuse_if([*_unfit(context, view, source, vm), *domain_in_the_way(view, found, name, uuid_of(domain), old)])
    yield from try_lines(context, view, found, vm, old)
    add_disks(domain, images, bus, RbdSource(context.storage.pool, found.monitors, found.secret))
    for warning in [*_warnings(disks, shared, name), *(old.losses if old else ())]:
        yield Say(warning, warning=True)
    snapshot = f"vm-mgr-clone-{name}-{secrets.token_hex(4)}"
    context.generated[snapshot] = "snapshot"
    return Plan(disks, tuple(_own(disks)), node, known, snapshot, vm, text_of(domain), old)


def _own(disks: Disks) -> list[str]:
    """Return the source's images that have a place in a VM's layout, the system's first."""
    expected = [system_image(disks.vm), *(data_image(disks.vm, index) for index in range(len(disks.images) - 1))]
    return [image for image in expected if image in disks.images]


def _incomplete(view: View, disks: Disks) -> list[str]:
    """Return which of the source's disks are not there."""
    told = disks.metadata.get("_additional_disks", "")
    count = max(int(told) if told.isdecimal() else 0, len([i for i in view.images_of(disks.vm) if i != system_image(disks.vm)]))
    wanted = [system_image(disks.vm), *(data_image(disks.vm, index) for index in range(min(count, 1000)))]
    return [f"VM {disks.vm} has no image {image}, so it cannot be cloned." for image in wanted if image not in disks.images]


def _unfit(context: Context, view: View, source: str, vm: NewVm) -> list[str]:
    """Return which of the settings that the clone would take over from its source cannot be used."""
    hypervisors = [machine.name for machine in context.site.hypervisors]
    problems = [
        f"VM {source} belongs to {host}, which is no hypervisor of site {context.site.name}; choose another one for the clone, or "
        "use --clear-constraint."
        for host in (vm.settings.pinned_host, vm.settings.preferred_host)
        if host and host not in hypervisors
    ]
    if vm.disk_bus not in BUSES:
        problems.append(f"The metadata _disk_bus of VM {source} is {vm.disk_bus!r}, which is no disk bus; set it right.")
    return problems or host_problems(context, view, vm.settings)


def _stillness(
    context: Context, view: View, found: Survey, request: CloneRequest, disks: Disks
) -> Steps[tuple[str | None, tuple[str, ...] | None]]:
    """Decide how the disks are all taken at one instant; return ``node`` and ``known`` of the plan.

    Raises:
        RefusedError: It runs, has several disks, and must not be held still; or somebody else has them open.
    """
    source, several = request.source, len(_own(disks)) > 1
    resource = view.resource(source)
    if resource and resource.nodes:
        if several and not request.pause:
            raise RefusedError(
                f"VM {source} runs and has several disks, which Ceph cannot clone as they are at one instant unless the VM is held "
                "still for a moment: with --pause, its guest agent freezes it, or else it is paused. Or stop it first."
            )
        return resource.nodes[0] if request.pause else None, None
    if not several:
        return None, None
    if not disks.watchers:
        return None, ()
    # the control host has enough to do
    under_way = yield from read(found.first, context.storage.flattening(tuple(disks.watchers)))
    if users := {image: used for image, used in disks.watchers.items() if not under_way.get(image)}:
        words = "; ".join(f"{image} by {', '.join(used)}" for image, used in users.items())
        raise RefusedError(f"VM {source} does not run, and yet its disks are in use ({words}); end that first.")
    return None, tuple(address for used in disks.watchers.values() for address in used)


def _warnings(disks: Disks, shared: list[str], name: str) -> list[str]:
    """Return what the user should know of."""
    warnings = []
    if shared:
        warnings.append(
            f"VM {disks.vm} and VM {name} both use {', '.join(shared)}; do not run them on one hypervisor, or give the clone a "
            "domain XML of its own (--xml)."
        )
    if others := [image for image in disks.images if image not in _own(disks)]:
        warnings.append(f"Not cloned, for vm-mgr does not know what they are to VM {disks.vm}: {', '.join(others)}.")
    if lines := "\n".join(text for key in COMMAND_KEYS.values() if (text := disks.metadata.get(key, ""))):
        warnings.append(f"These commands belong to VM {disks.vm}, and are not repeated for VM {name}:\n{lines}")
    return warnings
