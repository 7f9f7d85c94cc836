"""Snapshots of images and of groups, clones of them, and what vm-mgr writes down of them. Source: rbd(8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.drivers.rbd.commands import STREAM, RbdCommands, done_or_absent

if TYPE_CHECKING:
    from vmmgr.command import Command


class RbdSnapshots(RbdCommands):
    """Builds the commands for snapshots."""

    def create_snapshot(self, image: str, snapshot: str) -> Command[None]:
        return self._change("create_snapshot", image=image, snapshot=snapshot)

    def remove_snapshot(self, image: str, snapshot: str) -> Command[None]:
        return self._change("remove_snapshot", image=image, snapshot=snapshot, parse=done_or_absent)

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

    def flatten_later(self, image: str) -> Command[None]:
        return self._change("flatten_later", image=image, parse=done_or_absent)

    def records_put(self, vm: str, document: str) -> Command[None]:
        return self._change("records_put", document, vm=vm)

    def records_remove(self, vm: str) -> Command[None]:
        return self._change("records_remove", vm=vm)
