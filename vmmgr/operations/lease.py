"""A lease marks a VM as being worked on. It outlives a lost workstation, so that others see what was not finished."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from vmmgr.errors import RefusedError
from vmmgr.model import Lease
from vmmgr.operations.status import describe_lease
from vmmgr.operations.steps import Step

if TYPE_CHECKING:
    from vmmgr.drivers.base import ClusterDriver
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View

# Seconds that a lease holds unless it is renewed; five times the runner's RENEWAL.
TERM = 600


def new_lease(context: Context, view: View, vm: str, verb: str, *, extra: float = 0) -> Lease:
    """Make a lease for an operation; ``extra`` seconds are added for what it has to wait for."""
    return Lease(vm, verb, context.who, view.now, view.now + TERM + int(extra), secrets.token_hex(4))


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


def refuse_unless_free(view: View, vm: str) -> None:
    """Refuse to go on while somebody else works on the VM.

    Raises:
        RefusedError: Somebody does, or did and did not finish.
    """
    if problems := lease_problems(view, vm):
        raise RefusedError(*problems)


def taking(cluster: ClusterDriver, view: View, lease: Lease) -> tuple[Step, ...]:
    """Return the steps that take a lease, if the configuration still is the one that was read."""
    return Step(cluster.assert_unchanged(view.cib)), Step(cluster.take_lease(lease), undo=cluster.drop_lease(lease))
