"""Snapshots of images and of groups, clones of them, and what vm-mgr writes down of them. Source: rbd(8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vmmgr.command import Command, CommandFailedError, succeeded, text_of
from vmmgr.disks import Flattening, InUseError
from vmmgr.drivers.rbd.commands import READ, STREAM, RbdCommands, done_or_absent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmmgr.remote.batch import Result

# EX_TEMPFAIL of sysexits.h, which our own guards end with.
_CONFLICT = 75


class RbdSnapshots(RbdCommands):
    """Builds the commands for snapshots."""

    def create_snapshot(self, image: str, snapshot: str) -> Command[None]:
        return self._change("create_snapshot", image=image, snapshot=snapshot)

    def remove_snapshot(self, image: str, snapshot: str) -> Command[None]:
        return self._change("remove_snapshot", image=image, snapshot=snapshot)

    def rollback_snapshot(self, image: str, snapshot: str) -> Command[None]:
        return self._change("rollback_snapshot", image=image, snapshot=snapshot, timeout=STREAM)

    def create_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        return self._change("create_group_snapshot", group=group, snapshot=snapshot)

    def remove_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        return self._change("remove_group_snapshot", group=group, snapshot=snapshot, parse=done_or_absent)

    def rollback_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        return self._change("rollback_group_snapshot", group=group, snapshot=snapshot, timeout=STREAM)

    def clone_image(self, image: str, snapshot: str, destination: str) -> Command[None]:
        return self._change("clone_image", image=image, snapshot=snapshot, destination=destination)

    def flatten(self, image: str) -> Command[None]:
        return self._change("flatten", image=image, timeout=STREAM)

    def flatten_later(self, image: str) -> Command[str]:
        argv = self.renderer.argv("rbd/flatten_later", pool=self.pool, image=image)
        return Command(argv, lambda result: text_of(result).strip(), changes=True, foretold="")

    def flattening(self, images: Sequence[str]) -> Command[dict[str, Flattening | None]]:
        argv = self.renderer.argv("rbd/flattening", pool=self.pool, images=images)
        return Command(argv, lambda result: _flattening(result, self.pool))

    def assert_unused(self, images: Sequence[str], known: Sequence[str]) -> Command[None]:
        argv = self.renderer.argv("rbd/assert_unused", pool=self.pool, images=images, known=" ".join(known))
        return Command(argv, _unused, timeout=READ)

    def records_put(self, vm: str, document: str) -> Command[None]:
        return self._change("records_put", document, vm=vm)

    def records_remove(self, vm: str) -> Command[None]:
        return self._change("records_remove", vm=vm)


def _flattening(result: Result, pool: str) -> dict[str, Flattening | None]:
    """Read a line with the manager's tasks, and after it the names of the images that have a parent."""
    succeeded(result)
    try:
        first, *images = result.stdout.decode().rstrip("\n").split("\n")
        tasks = {}
        for item in json.loads(first):
            refs = item["refs"]
            if refs["action"] == "flatten" and refs["pool_name"] == pool:
                tasks[refs["image_name"]] = Flattening(str(item["id"]), float(item.get("progress", 0.0)))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CommandFailedError(result) from error
    return {image: tasks.get(image) for image in images}


def _unused(result: Result) -> None:
    if result.exit_code == _CONFLICT:
        said = result.stderr.decode(errors="replace").strip()
        raise InUseError(f"Somebody began to use the disks meanwhile: {said}.")
    succeeded(result)
