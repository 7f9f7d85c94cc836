"""What to do when another administrator was faster, or when an answer did not come: look again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from vmmgr.command import CommandFailedError
from vmmgr.drivers.pacemaker.driver import ConflictError
from vmmgr.errors import ConnectionLostError, VmMgrError
from vmmgr.operations.observation import look_again
from vmmgr.operations.steps import Role, Step, change

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.drivers.pacemaker.cib import Cib
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

T = TypeVar("T")

# On a busy site each attempt meets a change at most; a site that changes five times in a row is being scripted.
_ATTEMPTS = 5


def with_fresh_view(attempt: Callable[[], Steps[T]]) -> Steps[T]:
    """Run ``attempt``, and run it again from its beginning when the configuration changed under it.

    Only for what has changed nothing when it meets the conflict.

    Raises:
        ConflictError: It met one each time.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return (yield from attempt())
        except ConflictError:
            continue
    return (yield from attempt())


def from_view(context: Context, view: View, attempt: Callable[[View], Steps[T]]) -> Steps[T]:
    """Run ``attempt`` on a view that is fresh, and on a newer one when the configuration changed under it.

    Raises:
        ConflictError: It did each time.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return (yield from attempt(view))
        except ConflictError:
            view = yield from look_again(context, view)
    return (yield from attempt(view))


def change_definition(
    context: Context, view: View, guards: list[Step], decisive: Step, rest: list[Step], *, made: Callable[[Cib], bool]
) -> Steps[list[Any]]:
    """Make the one change of definition; when its answer is a failure or does not come, look whether it was made.

    Returns the values of ``rest``.

    Args:
        context: The site.
        view: As it was read.
        guards: Steps before it.
        decisive: The change, which commits.
        rest: What follows once it is made, in the same exec; each can be repeated.
        made: Tells it from the configuration.
    """
    try:
        values = yield from change(Role.CONTROL, *guards, decisive, *rest)
        return values[len(guards) + 1 :]
    except (CommandFailedError, ConnectionLostError) as error:
        try:
            now = yield from look_again(context, view)
        except VmMgrError:
            raise error from None
        if not made(now.cib):
            raise
        commit = Step(context.reader.cib(), commits=True, afterwards=decisive.afterwards)
        return (yield from change(Role.CONTROL, commit, *rest))[1:]
