"""Waits until Pacemaker has started or stopped one VM, and says why when it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from vmmgr.drivers.pacemaker.services import stop_timeout
from vmmgr.errors import PartlyDoneError, VmMgrError
from vmmgr.model import Status
from vmmgr.operations.observation import look_again
from vmmgr.operations.status import state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.model import VmState
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds between two looks at least, however much is going on: short at first, for most VMs start and stop in a second or two.
_FIRST, _LONGEST, _GROWTH = 0.05, 1.0, 1.15
# Seconds for Pacemaker to notice, to probe and to queue, on top of the time of the operation itself.
_SLACK = 20.0
# Looks in a row at which Pacemaker intends nothing more before that is believed: one can fall between two transitions.
_GIVEN_UP = 3


class VmFailedError(VmMgrError):
    """Pacemaker has given up, or says that the VM has failed."""


class TimeUpError(PartlyDoneError):
    """Pacemaker is still at it."""


class State(Protocol):
    """How a VM or a service is doing."""

    @property
    def status(self) -> Status:
        """One of ``Status``."""

    @property
    def details(self) -> tuple[str, ...]:
        """Why."""


S = TypeVar("S", bound=State)


def wait_for(
    context: Context, view: View, vm: str, wanted: Status, timeout: float | None = None
) -> Steps[tuple[View, VmState]]:
    """Look at the VM until it has the wanted status; return the last view. As ``wait_until``."""
    look = f"`vm-mgr status -n {vm}`"
    words = f"VM {vm}", look
    return (yield from wait_until(context, view, vm, wanted, lambda now: state_of(now, vm), timeout=timeout, words=words))


def wait_until(
    context: Context,
    view: View,
    resource: str,
    wanted: Status,
    state_in: Callable[[View], S],
    *,
    timeout: float | None,
    words: tuple[str, str],
) -> Steps[tuple[View, S]]:
    """Look at a VM or a service until it has the wanted status; return the last view and state.

    Args:
        context: The site.
        view: The site as it was read before.
        resource: Its id in the cluster.
        wanted: Started or Stopped.
        state_in: Tells its state in a view.
        timeout: Seconds to wait; None for what Pacemaker itself grants the operation, and a little more.
        words: What it is called, and the command that shows how it is doing.

    Raises:
        VmFailedError: It will not get there; the message has the reason from Pacemaker's history.
        TimeUpError: The time is up, and Pacemaker is still at it.
    """
    began, interval, given_up, (title, look) = context.clock(), _FIRST, 0, words
    view = yield from look_again(context, view)
    while True:
        seconds = _granted(view.cib, resource, wanted) if timeout is None else timeout
        state = state_in(view)
        if state.status is wanted:
            return view, state
        given_up = given_up + 1 if state.status in (Status.FAILED, Status.UNDEFINED, Status.DISABLED) else 0
        if given_up == _GIVEN_UP:
            why = "; ".join(state.details) or "Pacemaker gives no reason"
            raise VmFailedError(f"{title} is {state.status} instead of {wanted}: {why}.")
        if context.clock() - began > seconds:
            raise TimeUpError(
                f"{title} is still {state.status} after {seconds:.0f} s. Pacemaker goes on; {look} tells how far it is."
            )
        view = yield from look_again(context, view, pause=interval)
        interval = min(interval * _GROWTH, _LONGEST)


def _granted(cib: Cib, resource: str, wanted: Status) -> float:
    # what is to run may first have to be stopped elsewhere
    start = 0.0 if wanted is Status.STOPPED else cib.operation_timeout(resource, "start")
    return start + stop_timeout(cib, resource) + _SLACK
