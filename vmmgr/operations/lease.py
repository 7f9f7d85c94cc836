"""A lease marks a VM as being worked on. It outlives a lost workstation, so that others see what was not finished."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.driver import ConflictError
from vmmgr.errors import RefusedError, VmMgrError
from vmmgr.model import Lease, Notes
from vmmgr.operations.status import describe_lease
from vmmgr.operations.steps import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.command import Command
    from vmmgr.drivers.base import ClusterDriver
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.remote import Result

# Seconds that a lease holds unless it is renewed; five times the runner's RENEWAL.
TERM = 600


class TakenOverError(VmMgrError):
    """The lease of this operation is gone: somebody took it for dead and repaired the VM."""


def new_lease(
    context: Context, view: View, vm: str, verb: str, *, extra: float = 0, notes: Mapping[str, str] | None = None
) -> Lease:
    """Make a lease for an operation; ``extra`` seconds are added for what it has to wait for."""
    token = secrets.token_hex(4)
    context.generated[token] = "lease"
    return Lease(vm, verb, context.who, view.now, view.now + TERM + int(extra), token, Notes(notes or {}))


def renewed(lease: Lease, seconds_since_taken: float) -> Lease:
    """Return the lease with a full term from now on."""
    return replace(lease, until=lease.since + int(seconds_since_taken) + TERM)


def lease_problems(view: View, vm: str) -> list[str]:
    """Return why nobody else may work on the VM now; empty if anybody may."""
    lease = view.leases.get(vm)
    if lease is None:
        return []
    words = describe_lease(lease, view.now)
    if lease.until > view.now:
        return [f"VM {vm} is being worked on ({words}); wait until that is done."]
    return [f"VM {vm} was left {words}. `vm-mgr repair -n {vm}` finishes or cleans it."]


def refuse_while_cloned(view: View, vm: str) -> None:
    """Refuse to touch the disks of a VM while a clone is made of them.

    Raises:
        RefusedError: One is, or was begun and not finished.
    """
    if problems := [
        item for clone, lease in view.leases.items() if lease.notes.get("source") == vm for item in lease_problems(view, clone)
    ]:
        raise RefusedError(*problems)


def refuse_unless_free(view: View, vm: str) -> None:
    """Refuse to go on while somebody else works on the VM.

    Raises:
        RefusedError: Somebody does, or did and did not finish.
    """
    if problems := lease_problems(view, vm):
        raise RefusedError(*problems)


def taking(cluster: ClusterDriver, view: View, lease: Lease) -> tuple[Step, ...]:
    """Return the steps that take a lease, if the configuration still is the one that was read."""
    return Step(cluster.assert_unchanged(view.cib)), _mark(cluster, lease, cluster.take_lease(lease), cluster.drop_lease(lease))


def taking_over(cluster: ClusterDriver, view: View, left: Lease, lease: Lease) -> tuple[Step, ...]:
    """Return the steps that put a lease in the place of one that was left; if the repair fails, that one comes back."""
    # somebody who took over at the same time has put his own there
    put_back = _tolerating(cluster.replace_lease(lease, left))
    return Step(cluster.assert_unchanged(view.cib)), _mark(cluster, lease, cluster.replace_lease(left, lease), put_back)


def holding(cluster: ClusterDriver, lease: Lease) -> Step:
    """Return the step that fails with ``TakenOverError`` when the lease is gone; the steps after it are then not run."""
    command = cluster.assert_lease(lease)

    def parse(result: Result) -> None:
        try:
            command.parse(result)
        except ConflictError as error:
            raise TakenOverError(
                f"The mark of {lease.verb} on VM {lease.vm} is not there: somebody may have repaired the VM meanwhile."
            ) from error

    return Step(replace(command, parse=parse))


def _mark(cluster: ClusterDriver, lease: Lease, take: Command[None], undo: Command[None]) -> Step:
    return Step(
        take,
        undo=undo,
        holds=holding(cluster, lease).command,
        afterwards=f"If VM {lease.vm} is marked as unfinished, `vm-mgr repair -n {lease.vm}` finishes or cleans it.",
    )


def _tolerating(command: Command[None]) -> Command[None]:
    def parse(result: Result) -> None:
        with suppress(ConflictError):
            command.parse(result)

    return replace(command, parse=parse)
