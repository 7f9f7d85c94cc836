"""What the commands of Ceph (rbd, rados, ceph) do to a fake site."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fakesite import Image
from fakesnapshots import ExitError, SnapshotCommands, metadata_of

if TYPE_CHECKING:
    from fakesite import Host


class CephCommands(SnapshotCommands):
    """Images, groups, and the store of objects; each method has a template's name."""

    def do_groups(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        return json.dumps(sorted(self.site.groups))

    def do_images(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        return json.dumps(sorted(self.site.images))

    def do_monitors(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        addresses = [{"addrvec": [{"type": "v1", "addr": f"10.0.0.{index + 1}:6789"}]} for index in range(len(self.site.hosts))]
        return json.dumps({"mons": [{"public_addrs": address} for address in addresses]})

    def do_create_image(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if options["image"] in self.site.images:
            raise ExitError(17, f"rbd: create error: (17) File exists: {options['image']}")
        self.site.images[options["image"]] = Image(int(options["size"].removesuffix("B")), created=self.site.seconds)

    def do_remove_image(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        image = self.site.images.get(arguments[1])
        if image is None:
            return
        if image.watchers:
            raise ExitError(16, "rbd: error: image still has watchers")
        if image.snapshots or self._children(arguments[1]):
            raise ExitError(39, "rbd: image has snapshots - these must be deleted with 'rbd snap purge'")
        if any(arguments[1] in members for members in self.site.groups.values()):
            raise ExitError(31, "rbd: error: image belongs to a group")
        self._drop_parent(image)
        del self.site.images[arguments[1]]

    def do_create_group(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if options["group"] in self.site.groups:
            raise ExitError(17, "rbd: create error: (17) File exists")
        self.site.groups[options["group"]] = set()

    def do_add_to_group(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self._image(options)
        if options["group"] not in self.site.groups:
            raise ExitError(2, "rbd: add image error: (2) No such file or directory")
        self.site.groups[options["group"]].add(options["image"])

    def do_remove_group(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        for name in list(self.site.group_snapshots.pop(arguments[1], ())):
            self._forget(arguments[1], name)
        self.site.groups.pop(arguments[1], None)

    def do_metadata(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        return metadata_of(self._image(options))

    def do_set_metadata(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        pairs = arguments[2:]
        self._image({"image": arguments[1]}).metadata.update(zip(pairs[::2], pairs[1::2], strict=True))

    def do_unset_metadata(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        metadata = self._image({"image": arguments[1]}).metadata
        for key in arguments[2:]:
            metadata.pop(key, None)

    def do_rename_image(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self._image(options)
        old, new = options["image"], options["dest"]
        if new in self.site.images:
            raise ExitError(17, "rbd: rename error: (17) File exists")
        self.site.images[new] = self.site.images.pop(old)
        for members in self.site.groups.values():
            if old in members:
                members.symmetric_difference_update({old, new})
        for image in self.site.images.values():
            if image.parent and image.parent[0] == old:
                image.parent = new, image.parent[1]

    def do_rename_group(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        old, new = options["group"], options["dest-group"]
        if old not in self.site.groups:
            raise ExitError(2, "rbd: failed to rename group: (2) No such file or directory")
        if new in self.site.groups:
            raise ExitError(17, "rbd: failed to rename group: (17) File exists")
        for kept in (self.site.groups, self.site.group_snapshots):
            if old in kept:
                kept[new] = kept.pop(old)

    def do_store_get(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        if arguments[1] not in self.site.store:
            raise ExitError(2)
        return self.site.store[arguments[1]]

    def do_store_put(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self.site.store[arguments[1]] = stdin

    def do_store_remove(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self.site.store.pop(arguments[1], None)

    do_records_put = do_store_put

    def do_records_remove(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self.site.store.pop(f"vm-mgr-snapshots.{arguments[1]}", None)
