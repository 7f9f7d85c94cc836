"""Ceph RBD: one group per VM, its images ``system_NAME`` and ``data_NAME_<i>``, metadata on the system image.

That is vm_manager's layout, so that either tool manages the VMs of the other. Sources: rbd(8), ceph(8), rados(8).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vmmgr.command import Command, CommandFailedError, succeeded, text_of
from vmmgr.drivers.base import StorageDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from vmmgr.remote.batch import Result

    T = TypeVar("T")

# Seconds: for a question, which a client asks for ever while Ceph's monitors have no quorum; for what touches each object of
# an image; and for a stream of any size over any link.
_READ, _LONG, _STREAM = 15.0, 600.0, 24 * 3600.0
_NO_SUCH_IMAGE = 2  # ENOENT


class Rbd(StorageDriver):
    """Builds ``rbd``, ``ceph`` and ``rados`` commands for one pool."""

    folder = "rbd"

    def groups(self) -> Command[frozenset[str]]:
        return self._read("groups", _names)

    def images(self) -> Command[frozenset[str]]:
        return self._read("images", _names)

    def monitors(self) -> Command[tuple[tuple[str, int], ...]]:
        return Command(self.renderer.argv("rbd/monitors"), _json(_monitor_addresses, of=dict))

    def create_image(self, image: str, size: int) -> Command[None]:
        return self._change("create_image", image=image, size=size)

    def import_image(self, image: str, compression: str) -> Command[str]:
        argv = self.renderer.argv("rbd/import_diff", pool=self.pool, image=image, compression=compression)
        return Command(argv, lambda result: text_of(result).strip(), changes=True, timeout=_STREAM)

    def remove_image(self, image: str) -> Command[None]:
        return self._change("remove_image", image=image)

    def create_group(self, group: str) -> Command[None]:
        return self._change("create_group", group=group)

    def add_to_group(self, group: str, image: str) -> Command[None]:
        return self._change("add_to_group", group=group, image=image)

    def group_images(self, group: str) -> Command[tuple[str, ...]]:
        return self._read("group_images", lambda items: tuple(str(item["image"]) for item in items), missing=(), group=group)

    def remove_group(self, group: str) -> Command[None]:
        return self._change("remove_group", group=group)

    def metadata(self, image: str) -> Command[dict[str, str]]:
        def parse(pairs: Any) -> dict[str, str]:
            return {str(key): str(value) for key, value in pairs.items()}

        # rbd prints nothing at all, not even {}, where there is no metadata
        return self._read("metadata", parse, of=dict, empty=b"{}", image=image)

    def set_metadata(self, image: str, metadata: Mapping[str, str]) -> Command[None]:
        return self._change("set_metadata", image=image, metadata=metadata)

    def watchers(self, image: str) -> Command[tuple[str, ...]]:
        def parse(status: Any) -> tuple[str, ...]:
            return tuple(str(item["address"]) for item in status["watchers"])

        return self._read("watchers", parse, of=dict, missing=(), image=image)

    def snapshots(self, image: str) -> Command[tuple[tuple[str, bool], ...]]:
        def parse(items: Any) -> tuple[tuple[str, bool], ...]:
            own = (item for item in items if item.get("namespace", {}).get("type", "user") == "user")
            return tuple((str(item["name"]), str(item["protected"]).lower() == "true") for item in own)

        return self._read("snapshots", parse, missing=(), image=image)

    def children(self, image: str) -> Command[tuple[str, ...]]:
        def parse(items: Any) -> tuple[str, ...]:
            return tuple(f"{item['pool']}/{item['image']}" for item in items)

        return self._read("children", parse, missing=(), image=image)

    def unprotect(self, image: str, snapshot: str) -> Command[None]:
        return self._change("unprotect", image=image, snapshot=snapshot)

    def purge_snapshots(self, image: str) -> Command[None]:
        return self._change("purge_snapshots", image=image)

    def store_get(self, vm: str) -> Command[str]:
        def parse(result: Result) -> str:
            if result.exit_code == _NO_SUCH_IMAGE:
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

    def _read(
        self,
        template: str,
        parse: Callable[[Any], T],
        *,
        of: type = list,
        missing: T | None = None,
        empty: bytes = b"",
        **values: str,
    ) -> Command[T]:
        argv = self.renderer.argv(f"rbd/{template}", pool=self.pool, **values)
        return Command(argv, _json(parse, of=of, missing=missing, empty=empty), timeout=_READ)

    def _change(self, template: str, document: str | None = None, **values: Any) -> Command[None]:
        argv = self.renderer.argv(f"rbd/{template}", pool=self.pool, **values)
        return Command(argv, succeeded, stdin=document, changes=True, timeout=_LONG)


def _json(parse: Callable[[Any], T], *, of: type, missing: T | None = None, empty: bytes = b"") -> Callable[[Result], T]:
    """Read a JSON document of the type ``of`` and hand it to ``parse``.

    ``missing`` is the value for what does not exist, where that is no failure; ``empty`` is what an empty answer stands for.
    """

    def read(result: Result) -> T:
        if missing is not None and result.exit_code == _NO_SUCH_IMAGE and not result.timed_out:
            return missing
        succeeded(result)
        try:
            document = json.loads((result.stdout or empty).decode())
            if not isinstance(document, of):
                raise TypeError(f"not a {of.__name__}")
            return parse(document)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise CommandFailedError(result) from error

    return read


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
