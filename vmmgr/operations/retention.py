"""Which snapshots a purge removes: pure choices from a list, as backup programs (borg, restic) offer them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vmmgr.disks import VmSnapshot

_ALWAYS = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Retention:
    """What to remove; of the first two at most one is given, and no rule beside it. Without any, all is removed.

    Attributes:
        before: Remove those taken earlier than this.
        oldest: Remove that many, beginning with the oldest.
        keep_last: Keep that many of the newest.
        keep_daily: Keep the newest of each of that many days, the latest that have any, in UTC.
        keep_weekly: The same of ISO weeks, which begin on Monday. What any rule keeps is kept.
    """

    before: datetime | None = None
    oldest: int | None = None
    keep_last: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0

    def to_remove(self, snapshots: Sequence[VmSnapshot]) -> list[VmSnapshot]:
        """Return those to remove of a list that has the oldest first."""
        if self.before is not None:
            return [item for item in snapshots if _time(item) < self.before]
        if self.oldest is not None:
            return list(snapshots[: self.oldest])
        rules: tuple[tuple[int, Callable[[VmSnapshot], object]], ...] = (
            (self.keep_last, id),
            (self.keep_daily, lambda item: _time(item).date()),
            (self.keep_weekly, lambda item: _time(item).isocalendar()[:2]),
        )
        kept = [item for count, period in rules for item in _newest_of_each(snapshots, count, period)]
        return [item for item in snapshots if not any(item is other for other in kept)]


def _newest_of_each(snapshots: Sequence[VmSnapshot], count: int, period: Callable[[VmSnapshot], object]) -> list[VmSnapshot]:
    """Return the newest of each of the latest ``count`` periods that have any."""
    newest: dict[object, VmSnapshot] = {}
    for item in reversed(snapshots):
        newest.setdefault(period(item), item)
    return list(newest.values())[:count]


def _time(item: VmSnapshot) -> datetime:
    # one without parts is the remainder of a removal
    return item.time or _ALWAYS
