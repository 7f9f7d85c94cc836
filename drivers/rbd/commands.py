"""What the commands of the driver have in common: how a question is asked, a change is made, and an answer is read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vmmgr.command import Command, CommandFailedError, succeeded
from vmmgr.drivers.base import StorageDriver

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from vmmgr.remote.batch import Result

    T = TypeVar("T")

# Seconds: for a question, which a client asks for ever while Ceph's monitors have no quorum; for all questions about a VM; for
# what touches each object of an image; and for what moves all of its data, whatever its size.
READ, SURVEY, LONG, STREAM = 15.0, 60.0, 600.0, 24 * 3600.0
NO_SUCH_IMAGE = 2  # ENOENT


class RbdCommands(StorageDriver):
    """Renders templates of the folder ``rbd`` for one pool."""

    folder = "rbd"

    def _read(self, template: str, parse: Callable[[Any], T]) -> Command[T]:
        argv = self.renderer.argv(f"rbd/{template}", pool=self.pool)
        return Command(argv, json_of(parse, of=list), timeout=READ)

    def _change(
        self,
        template: str,
        document: str | None = None,
        *,
        parse: Callable[[Result], None] = succeeded,
        timeout: float = LONG,
        **values: Any,
    ) -> Command[None]:
        argv = self.renderer.argv(f"rbd/{template}", pool=self.pool, **values)
        return Command(argv, parse, stdin=document, changes=True, timeout=timeout)


def done_or_absent(result: Result) -> None:
    """Accept that what is to be taken away is not there."""
    if result.exit_code != NO_SUCH_IMAGE:
        succeeded(result)


def json_of(parse: Callable[[Any], T], *, of: type) -> Callable[[Result], T]:
    """Read a JSON document of the type ``of`` and hand it to ``parse``."""

    def read(result: Result) -> T:
        succeeded(result)
        try:
            document = json.loads(result.stdout.decode())
            if not isinstance(document, of):
                raise TypeError(f"not a {of.__name__}")
            return parse(document)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise CommandFailedError(result) from error

    return read
