"""Reads in one exec all that the cluster and the storage say of the VMs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vmmgr.command import Command, CommandFailedError, text_of
from vmmgr.errors import ConnectError, RefusedError, VmMgrError
from vmmgr.model import DATA_PREFIX, NEW_PREFIX, OLD_PREFIX, SYSTEM_PREFIX, system_image
from vmmgr.operations.steps import NextControl, Read, ReadEach, Role, Say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.model import Lease, Resource, Simulation
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps, Where
    from vmmgr.remote import Result


# The type of the agents that run VMs, SEAPATH's and upstream's.
VM_AGENT = "VirtualDomain"
_NO_SUCH_IMAGE = 2  # ENOENT


class NotAnsweringError(ConnectError):
    """A host answers, but Pacemaker or Ceph on it does not.

    Attributes:
        everywhere: Whether any other host would be kept waiting as long: Ceph's monitors are the same for all.
    """

    def __init__(self, message: str, *, everywhere: bool = False) -> None:
        super().__init__(message)
        self.everywhere = everywhere


@dataclass(frozen=True, slots=True)
class View:
    """The site at one moment.

    Attributes:
        host: The control host that told it.
        now: Its clock, seconds since the epoch.
        programs: Which of the cluster drivers' programs it has.
        cib: The cluster's configuration and history.
        simulation: What runs where, and what Pacemaker intends.
        groups: The names of the RBD groups, one for each VM that has disks.
        images: The names of all RBD images.
        more: The values of the further commands that were asked for.
        disks_known: Whether the storage was asked; otherwise there are no groups and images here, and that means nothing.
        beside: What was asked on other hosts at the same time: for each its values, or the error that it met.
    """

    host: str
    now: int
    programs: frozenset[str]
    cib: Cib
    simulation: Simulation
    groups: frozenset[str]
    images: frozenset[str]
    more: tuple[Any, ...] = ()
    disks_known: bool = True
    beside: Mapping[Where, list[Any] | VmMgrError] = field(default_factory=dict)

    @property
    def leases(self) -> dict[str, Lease]:
        """The operations in progress or broken off, by VM."""
        return self.cib.leases()

    @property
    def vm_names(self) -> list[str]:
        """The names of all VMs, sorted: those with disks, with a resource, with incomplete disks, or being made."""
        incomplete = {image.removeprefix(SYSTEM_PREFIX) for image in self.images if image.startswith(SYSTEM_PREFIX)}
        groups = {group for group in self.groups if not group.startswith((OLD_PREFIX, NEW_PREFIX))}
        return sorted({*groups, *self.cib.vm_names(), *incomplete, *self.leases})

    def resource(self, name: str) -> Resource | None:
        """Return the state of a VM's resource; None when it has none, or when what has the name is no VM."""
        resource = self.simulation.resources.get(name)
        return resource if resource and resource.agent.endswith(f":{VM_AGENT}") else None

    def is_defined(self, name: str) -> bool:
        """Whether the configuration has the VM; Pacemaker also shows what was deleted from there while it ran."""
        return self.cib.primitive(name) is not None and self.resource(name) is not None

    def images_of(self, name: str) -> list[str]:
        """Return the images that belong to a VM by their names, the system's first."""
        prefix = f"{DATA_PREFIX}{name}_"
        data = [image for image in self.images if image.startswith(prefix) and image.removeprefix(prefix).isdecimal()]
        return [image for image in (system_image(name), *sorted(data)) if image in self.images]


def observe(
    context: Context,
    *,
    to_change: bool = False,
    disks: bool = True,
    more: tuple[Command[Any], ...] = (),
    beside: Mapping[Where, tuple[Command[Any], ...]] | None = None,
) -> Steps[View]:
    """Read the site from a control host whose partition has quorum.

    ``more`` is read in the same exec, ``beside`` at the same time on the hosts that it names; no error of theirs is raised.
    Where no host has quorum, a change is refused, and a reading goes on with what the last one says, and says so. Without
    ``disks`` the storage is not asked, which takes half of the time and needs no Ceph that answers.

    Raises:
        RefusedError: Something is to be changed, and there is no quorum.
        NotAnsweringError: Pacemaker or Ceph does not answer.
    """
    context.approach()
    stale: View | None = None
    failure: VmMgrError | None = None
    told: dict[Where, list[Any] | VmMgrError] = {}
    another = True
    while another:
        try:
            view = yield from _read(context, more, {} if told else beside or {}, told, disks=disks)
            if view.cib.quorate:
                return view
            stale = view
        except (NotAnsweringError, CommandFailedError) as error:
            if isinstance(error, NotAnsweringError) and error.everywhere:
                raise
            failure = error
        another = yield NextControl()
    if stale is None:
        raise failure or NotAnsweringError("No machine of the cluster answers.")
    if to_change:
        raise RefusedError(
            f"The partition of {stale.host} has no quorum, so nothing can be changed. "
            "Bring the other machines back, or their network, and try again."
        )
    yield Say(f"{stale.host} is in a partition without quorum: what it says may be out of date.", warning=True)
    return stale


def look_again(context: Context, view: View, *, pause: float | None = None) -> Steps[View]:
    """Read anew what changes while Pacemaker works; what the storage has stays as it was read.

    With ``pause``, after that many seconds and not before there is something new, unless that takes seconds.
    """
    reader = context.reader
    # where it fails, or is ended on a busy node, what is read after it tells all the same
    news = () if pause is None else (replace(reader.news(view.cib, pause), parse=lambda _result: None),)
    *_, cib, simulation = yield Read(
        Role.CONTROL, (*news, _named("Pacemaker", reader.cib()), _named("Pacemaker", reader.simulation()))
    )
    return replace(view, cib=cib, simulation=simulation)


def _read(
    context: Context,
    more: tuple[Command[Any], ...],
    beside: Mapping[Where, tuple[Command[Any], ...]],
    told: dict[Where, list[Any] | VmMgrError],
    *,
    disks: bool,
) -> Steps[View]:
    """Read once; the answers of the other hosts go into ``told``, for they stand whatever the control host says."""
    reader, storage = context.reader, context.storage
    programs = sorted(set(context.cluster_programs.values()))
    node = Command(context.renderer.argv("pacemaker/node", tools=programs), _parse_node)
    pacemaker = (_named("Pacemaker", reader.cib()), _named("Pacemaker", reader.simulation()))
    ceph = (_named("Ceph", storage.groups()), _named("Ceph", storage.images())) if disks else ()
    commands = (node, *pacemaker, *ceph, *more)
    if beside:
        answers = yield ReadEach({Role.CONTROL: commands, **beside})
        answer = answers.pop(Role.CONTROL)
        told.update(answers)
        if isinstance(answer, VmMgrError):
            raise answer
    else:
        answer = yield Read(Role.CONTROL, commands)
    (host, now, tools), cib, simulation, *values = answer
    groups, images, *rest = values if disks else (frozenset(), frozenset(), *values)
    return View(host, now, tools, cib, simulation, groups, images, tuple(rest), disks, told)


def _parse_node(result: Result) -> tuple[str, int, frozenset[str]]:
    clock, *programs = text_of(result).split()
    return result.host, int(clock), frozenset(programs)


def _named(service: str, command: Command[object]) -> Command[object]:
    """Make a command's failure speak of the service that did not answer."""

    def parse(result: Result) -> object:
        try:
            return command.parse(result)
        except CommandFailedError as error:
            everywhere = service == "Ceph" and result.timed_out
            raise NotAnsweringError(f"{service} does not answer on {result.host}. {error}", everywhere=everywhere) from error

    return replace(command, parse=parse)


def if_there(command: Command[dict[str, str]]) -> Command[dict[str, str]]:
    """Read the metadata of an image that may not exist: it then has none."""

    def parse(result: Result) -> dict[str, str]:
        try:
            return command.parse(result)
        except CommandFailedError:
            if result.exit_code != _NO_SUCH_IMAGE or result.timed_out:
                raise
            return {}

    return replace(command, parse=parse)
