"""All that there is to know of one VM, on one page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vmmgr.command import CommandFailedError
from vmmgr.drivers.pacemaker.guestnode import remote_attributes
from vmmgr.errors import ConnectError, ConnectionLostError
from vmmgr.model import ServiceState, Status, VmState, check_known_name
from vmmgr.operations.fragment import Fragment
from vmmgr.operations.keeping import domain_uuid
from vmmgr.operations.metadata import is_users
from vmmgr.operations.observation import observe
from vmmgr.operations.services import put_aside
from vmmgr.operations.status import services_in, state_of
from vmmgr.operations.steps import Say, read
from vmmgr.operations.stopping import exists

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.disks import Disks
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps


@dataclass(frozen=True, slots=True)
class Facts:
    """A VM.

    Attributes:
        state: As ``status`` tells it, and whether it is paused.
        disks: Its disks with their snapshots and metadata.
        uuid: Of its domain; empty where that cannot be told.
        guest_node: What Pacemaker knows of it as a node; empty if it is none.
        services: Those in it.
        constraints: The ids of the constraints that name it.
    """

    state: VmState
    disks: Disks
    uuid: str
    guest_node: Mapping[str, str]
    services: tuple[ServiceState, ...]
    constraints: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """The keys of the user's own metadata."""
        return sorted(filter(is_users, self.disks.metadata))

    @property
    def settings(self) -> dict[str, str]:
        """The settings in its metadata that fit on a line, by the names of the options that give them."""
        found = {key[1:].replace("_", "-"): value for key, value in self.disks.metadata.items() if key in _SETTINGS}
        return dict(sorted(found.items()))


_SETTINGS = {
    "_pinned_host", "_preferred_host", "_live_migration", "_migration_user", "_stop_timeout", "_migrate_to_timeout",
    "_migration_downtime", "_priority",
}  # fmt: skip


def show(context: Context, name: str) -> Steps[Facts]:
    """Return all that is known of a VM.

    Raises:
        RefusedError: There is none of that name.
    """
    check_known_name(name)
    more = (context.storage.disks(name), context.storage.store_get(name))
    view = yield from observe(context, more=more)
    exists(view, name)
    disks, text = view.more
    enabled = view.cib.primitive(name) is not None
    part = Fragment.of(view.cib, name) if enabled else Fragment.from_text(text, name)
    services = services_in(view, name) if enabled else [put_aside(name, item) for item in part.services]
    return Facts(
        (yield from _with_pause(context, state_of(view, name))),
        disks,
        domain_uuid(disks.metadata),
        {} if part.primitive is None else remote_attributes(part.primitive),
        tuple(services),
        tuple(sorted(item.get("id", "") for item in part.constraints)),
    )


def _with_pause(context: Context, state: VmState) -> Steps[VmState]:
    """Ask the hypervisor whether the VM is paused, which Pacemaker does not know."""
    if state.status is not Status.STARTED or state.node not in [machine.name for machine in context.site.hypervisors]:
        return state
    try:
        said = yield from read(state.node, context.hypervisor.state(state.name))
    except (ConnectError, ConnectionLostError, CommandFailedError) as error:
        yield Say(f"Whether VM {state.name} is paused cannot be told. {error}", warning=True)
        return state
    return replace(state, details=("paused", *state.details)) if said == "paused" else state
