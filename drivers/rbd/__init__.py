"""Ceph RBD: one group per VM, its images ``system_NAME`` and ``data_NAME_<i>``, metadata on the system image.

That is vm_manager's layout, so that either tool manages the VMs of the other. Sources: rbd(8), ceph(8), rados(8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmmgr.command import Command, CommandFailedError, succeeded, text_of
from vmmgr.drivers.rbd.commands import NO_SUCH_IMAGE, READ, STREAM, SURVEY, json_of
from vmmgr.drivers.rbd.disks import parse_disks
from vmmgr.drivers.rbd.metadata import parse_metadata
from vmmgr.drivers.rbd.snapshots import RbdSnapshots

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vmmgr.disks import Disks
    from vmmgr.remote.batch import Result


class Rbd(RbdSnapshots):
    """Builds ``rbd``, ``ceph`` and ``rados`` commands for one pool."""

    def groups(self) -> Command[frozenset[str]]:
        return self._read("groups", _names)

    def images(self) -> Command[frozenset[str]]:
        return self._read("images", _names)

    def monitors(self) -> Command[tuple[tuple[str, int], ...]]:
        return Command(self.renderer.argv("rbd/monitors"), json_of(_monitor_addresses, of=dict))

    def create_image(self, image: str, size: int) -> Command[None]:
        return self._change("create_image", image=image, size=size)

    def import_image(self, image: str, compression: str) -> Command[str]:
        argv = self.renderer.argv("rbd/import_diff", pool=self.pool, image=image, compression=compression)
        return Command(argv, lambda result: text_of(result).strip(), changes=True, timeout=STREAM)

    def remove_image(self, image: str) -> Command[None]:
        return self._change("remove_image", image=image)

    def create_group(self, group: str) -> Command[None]:
        return self._change("create_group", group=group)

    def add_to_group(self, group: str, image: str) -> Command[None]:
        return self._change("add_to_group", group=group, image=image)

    def remove_group(self, group: str) -> Command[None]:
        return self._change("remove_group", group=group)

    def rename_image(self, image: str, destination: str) -> Command[None]:
        return self._change("rename_image", image=image, destination=destination)

    def rename_group(self, group: str, destination: str) -> Command[None]:
        return self._change("rename_group", group=group, destination=destination)

    def disks(self, vm: str, *, usage: bool = False) -> Command[Disks]:
        argv = self.renderer.argv("rbd/disks", pool=self.pool, vm=vm, usage="yes" if usage else "no")
        return Command(argv, lambda result: parse_disks(result, self.pool, vm), timeout=SURVEY)

    def metadata(self, image: str) -> Command[dict[str, str]]:
        return Command(self.renderer.argv("rbd/metadata", pool=self.pool, image=image), parse_metadata, timeout=READ)

    def set_metadata(self, image: str, metadata: Mapping[str, str]) -> Command[None]:
        return self._change("set_metadata", image=image, metadata=metadata)

    def unset_metadata(self, image: str, keys: Sequence[str]) -> Command[None]:
        return self._change("unset_metadata", image=image, keys=keys)

    def unprotect(self, image: str, snapshot: str) -> Command[None]:
        return self._change("unprotect", image=image, snapshot=snapshot)

    def purge_snapshots(self, image: str) -> Command[None]:
        return self._change("purge_snapshots", image=image)

    def store_get(self, vm: str) -> Command[str]:
        def parse(result: Result) -> str:
            if result.exit_code == NO_SUCH_IMAGE:
                return ""
            succeeded(result)
            try:
                return result.stdout.decode()
            except UnicodeDecodeError as error:
                raise CommandFailedError(result) from error

        return Command(self.renderer.argv("rbd/store_get", pool=self.pool, vm=vm), parse)

    def store_put(self, vm: str, document: str) -> Command[None]:
        return self._change("store_put", document, vm=vm)

    def store_remove(self, vm: str) -> Command[None]:
        return self._change("store_remove", vm=vm)


def _names(items: Any) -> frozenset[str]:
    if not all(isinstance(item, str) for item in items):
        raise TypeError("not names")
    return frozenset(items)


def _monitor_addresses(mon_dump: Any) -> tuple[tuple[str, int], ...]:
    """Return one address per monitor, its older protocol (v1) where it speaks both, for every QEMU understands that one."""
    chosen = []
    for monitor in mon_dump["mons"]:
        vector = monitor["public_addrs"]["addrvec"]
        address = next((item for item in vector if item["type"] == "v1"), vector[0])["addr"]
        host, _, port = str(address).rpartition(":")
        chosen.append((host.strip("[]"), int(port)))
    if not chosen:
        raise ValueError("no monitors")
    return tuple(chosen)
