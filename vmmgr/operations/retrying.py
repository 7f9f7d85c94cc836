"""What to do when another administrator was faster: look again, and decide anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from vmmgr.drivers.pacemaker.driver import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

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
