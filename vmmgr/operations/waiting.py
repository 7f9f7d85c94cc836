"""Waits until Pacemaker has started or stopped one VM, and says why when it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.errors import PartlyDoneError, VmMgrError
from vmmgr.model import Status
from vmmgr.operations.observation import look_again
from vmmgr.operations.status import state_of

if TYPE_CHECKING:
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


def wait_for(
    context: Context, view: View, vm: str, wanted: Status, timeout: float | None = None
) -> Steps[tuple[View, VmState]]:
    """Look at the VM until it has the wanted status; return the last view.

    Args:
        context: The site.
        view: The site as it was read before.
        vm: The VM's name.
        wanted: Started or Stopped.
        timeout: Seconds to wait; None for what Pacemaker itself grants the operation, and a little more.

    Raises:
        VmFailedError: It will not get there; the message has the reason from Pacemaker's history.
        TimeUpError: The time is up, and Pacemaker is still at it.
    """
    began, interval, given_up = context.clock(), _FIRST, 0
    view = yield from look_again(context, view)
    while True:
        seconds = _granted(view.cib, vm, wanted) if timeout is None else timeout
        state = state_of(view, vm)
        if state.status is wanted:
            return view, state
        given_up = given_up + 1 if state.status in (Status.FAILED, Status.UNDEFINED, Status.DISABLED) else 0
        if given_up == _GIVEN_UP:
            why = "; ".join(state.details) or "Pacemaker gives no reason"
            raise VmFailedError(f"VM {vm} is {state.status} instead of {wanted}: {why}.")
        if context.clock() - began > seconds:
            raise TimeUpError(
                f"VM {vm} is still {state.status} after {seconds:.0f} s. Pacemaker goes on; `vm-mgr status -n {vm}` tells how far it is."
            )
        view = yield from look_again(context, view, pause=interval)
        interval = min(interval * _GROWTH, _LONGEST)


def _granted(cib: Cib, vm: str, wanted: Status) -> float:
    # a VM that is to run may first have to be stopped elsewhere
    operations = ("stop",) if wanted is Status.STOPPED else ("start", "stop")
    return sum(cib.operation_timeout(vm, operation) for operation in operations) + _SLACK
