"""List and status: one exec for any number of VMs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from vmmgr.model import check_known_name
from vmmgr.operations.observation import observe
from vmmgr.operations.status import state_of

if TYPE_CHECKING:
    from vmmgr.model import VmState
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps


def list_vms(context: Context, pattern: str | None = None) -> Steps[list[VmState]]:
    """Return the states of all VMs, or of those whose names match a pattern such as ``web*``; sorted by name."""
    view = yield from observe(context)
    return [state_of(view, name) for name in view.vm_names if pattern is None or fnmatchcase(name, pattern)]


def vm_status(context: Context, name: str) -> Steps[VmState]:
    """Return the state of one VM; one that does not exist is Undefined."""
    check_known_name(name)
    return state_of((yield from observe(context)), name)
