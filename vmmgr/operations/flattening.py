"""Clones share data with the disks that they were made of, until Ceph has copied it: what to do about that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.command import CommandFailedError
from vmmgr.operations.lease import holding
from vmmgr.operations.steps import Pause, Role, Say, Step, change, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmmgr.disks import Flattening
    from vmmgr.model import Lease
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps

# Seconds between two looks: short at first, for a small disk is copied in a moment.
_FIRST, _LONGEST, _GROWTH = 0.5, 10.0, 1.5
# Looks in a row at which Ceph does nothing about an image before it is copied in the foreground: its manager may be restarting.
_GIVEN_UP = 3


def flattened(context: Context, images: Sequence[str]) -> Steps[None]:
    """Wait until these images depend on no other ones; what Ceph does not copy in the background is copied now.

    Raises:
        CommandFailedError: It cannot be copied.
    """
    interval, idle, told, silent = _FIRST, 0, -1, 0
    while True:
        try:
            dependent = yield from read(Role.CONTROL, context.storage.flattening(images))
        except CommandFailedError:
            silent += 1
            if silent == _GIVEN_UP:
                raise
            continue
        silent = 0
        if not dependent:
            return
        idle = idle + 1 if not any(dependent.values()) else 0
        if idle == _GIVEN_UP:
            for image in dependent:
                yield Say(f"Copying the data of {image}.")
                yield from change(Role.CONTROL, Step(context.storage.flatten(image)))
            continue
        percent = _percent(images, dependent)
        if percent // 10 > told // 10:
            told = percent
            yield Say(f"Copying the data: {percent} %.")
        if not (yield Pause(interval)):
            return
        interval = min(interval * _GROWTH, _LONGEST)


def left_on_source(context: Context, view: View, lease: Lease) -> list[Step]:
    """Return the steps that remove the snapshots of the source that a clone was to be made of, as the lease notes them."""
    source, snapshot = lease.notes.get("source"), lease.notes.get("snapshot")
    if not source or not snapshot:
        return []
    return [Step(context.storage.remove_snapshot(image, snapshot)) for image in view.images_of(source)]


def forget_source(context: Context, view: View, lease: Lease) -> Steps[None]:
    """Remove what a clone has left on its source."""
    if steps := left_on_source(context, view, lease):
        yield from change(Role.CONTROL, holding(context.cluster(view.host, view.programs), lease), *steps)


def tell_complaints(lease: Lease, images: Sequence[str], complaints: Sequence[str]) -> Steps[None]:
    """Warn of the images of a clone that Ceph does not copy in the background; ``complaints`` is empty for the others."""
    if left := [image for image, complaint in zip(images, complaints, strict=True) if complaint]:
        yield Say(
            f"Ceph does not copy the data of {', '.join(left)} in the background, so VM {lease.vm} goes on depending on the disks "
            f"of VM {lease.notes['source']} until you run `rbd flatten` for it on a machine of the site. "
            f"{' '.join(filter(None, complaints))}",
            warning=True,
        )


def _percent(images: Sequence[str], dependent: dict[str, Flattening | None]) -> int:
    missing = sum(1.0 - (task.progress if task else 0.0) for task in dependent.values())
    return round(100 * (1 - missing / len(images)))
