"""What rbd does about snapshots and clones on a fake site, and what the script about a VM's disks tells (Ceph 16.2.15)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from fakesite import EPOCH_START, Image, Snapshot

if TYPE_CHECKING:
    from fakesite import FakeSite, Host


class ExitError(Exception):
    """A tool ends with an exit code other than 0."""

    def __init__(self, code: int, said: str = "", output: str = "") -> None:
        super().__init__(said)
        self.code, self.said, self.output = code, said, output


class SnapshotCommands:
    """Snapshots of images and groups, and clones; each method has a template's name."""

    def __init__(self, site: FakeSite) -> None:
        self.site = site

    def _image(self, options: dict[str, str]) -> Image:
        if options["image"] not in self.site.images:
            raise ExitError(2, f"rbd: error opening image {options['image']}: (2) No such file or directory")
        return self.site.images[options["image"]]

    def _children(self, image: str) -> list[str]:
        clones = [name for name, other in self.site.images.items() if other.parent and other.parent[0] == image]
        return [*self.site.images[image].clones, *clones]

    def _described(self, image: Image) -> list[dict[str, Any]]:
        spaces: dict[str, Any] = {"user": lambda _item: {}}
        spaces["trash"] = lambda item: {"original_name": item.name}
        group = next((name for name, members in self.site.groups.items() if image in map(self.site.images.get, members)), "")
        spaces["group"] = lambda item: {"pool": "rbd", "group": group, "group snap": item.name}
        return [
            {
                "id": item.id, "name": item.name if item.kind == "user" else f".{item.kind}.{item.id}", "size": image.size,
                "protected": str(item.protected).lower(), "timestamp": time.asctime(time.gmtime(item.time)),
                "namespace": {"type": item.kind} | spaces[item.kind](item),
            }
            for item in image.snapshots
        ]  # fmt: skip

    def do_disks(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        pool, vm, usage = arguments
        members = sorted(self.site.groups.get(vm, ()))
        own = [name for name in sorted(self.site.images) if name == f"system_{vm}" or _is_data(vm, name)]
        lines = []
        for name in [*own, *(member for member in members if member not in own and member in self.site.images)]:
            lines += [f"image {name}", *self._facts(name, metadata=name == f"system_{vm}", usage=usage == "yes")]
        lines += [f"member {pool}/{member}" for member in members]
        group = [{"snapshot": name, "state": state} for name, state in self.site.group_snapshots.get(vm, {}).items()]
        records = self.site.store.get(f"vm-mgr-snapshots.{vm}")
        lines += [f"group {json.dumps(group)}", "records" if records is None else f"records {records}"]
        return "\n".join(lines) + "\n"

    def _facts(self, name: str, *, metadata: bool, usage: bool) -> list[str]:
        image = self.site.images[name]
        made = time.asctime(time.gmtime(EPOCH_START + image.created))
        info: dict[str, Any] = {"size": image.size, "create_timestamp": made}
        if image.parent:
            info["parent"] = {"pool": "rbd", "image": image.parent[0], "snapshot": f".trash.{image.parent[1]}"}
        facts: dict[str, Any] = {"info": info, "snapshots": self._described(image)}
        facts["status"] = {"watchers": [{"address": address} for address in image.watchers]}
        if image.snapshots:
            facts["children"] = [{"pool": "rbd", "image": clone} for clone in self._children(name)]
        if image.snapshots and usage:
            used = [{"snapshot_id": item.id, "used_size": 4096} for item in image.snapshots if item.kind == "user"]
            facts["usage"] = {"images": [*used, {"used_size": 0}]}
        told = [f"{kind} {json.dumps(value)}" for kind, value in facts.items()]
        return [*told, f"metadata {metadata_of(image)}".replace("\n", " ")] if metadata else told

    def do_create_snapshot(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if self._image(options).snapshot(options["snap"]):
            raise ExitError(17, "rbd: failed to create snapshot: (17) File exists")
        self.site.take(options["image"], options["snap"])

    def do_remove_snapshot(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        _pool, name, snapshot = arguments
        image = self.site.images.get(name)
        if image and (item := image.snapshot(snapshot)):
            self._remove(name, item)

    def do_rollback_snapshot(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        snapshot = self._own(options)
        self._roll_back(options["image"], snapshot)

    def do_create_group_snapshot(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        group, name = options["group"], options["snap"]
        if group not in self.site.groups:
            raise ExitError(2, "rbd: failed to create group snapshot: (2) No such file or directory")
        if name in self.site.group_snapshots.get(group, {}):
            raise ExitError(17, "librbd::api::Group: snap_create: snapshot with this name already exists: (17) File exists")
        self.site.take_group(group, name)

    def do_remove_group_snapshot(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self._existing(options)
        del self.site.group_snapshots[options["group"]][options["snap"]]
        self._forget(options["group"], options["snap"])

    def do_rollback_group_snapshot(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self._existing(options)
        for image in self.site.groups[options["group"]]:
            if snapshot := self.site.images[image].snapshot(options["snap"], "group"):
                self._roll_back(image, snapshot)

    def do_unprotect(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        self._own(options).protected = False

    def do_purge_snapshots(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        # exit code 0 also where a protected one stays
        for item in list(self._image(options).snapshots):
            if item.kind == "user" and not item.protected:
                self._remove(options["image"], item)

    def do_clone_image(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        image, snapshot = self._image(options), self._own(options)
        if options["dest"] in self.site.images:
            raise ExitError(17, "rbd: clone error: (17) File exists")
        parent = options["image"], snapshot.id
        self.site.images[options["dest"]] = Image(
            image.size, snapshot.data, dict(image.metadata), parent=parent, created=self.site.seconds
        )

    def do_flatten(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if self._image(options).parent is None:
            raise ExitError(22, "rbd: flatten error: (22) Invalid argument")
        self._flatten(options["image"])

    def do_flatten_later(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        """Ceph's manager copies at once, or if it is slow, a fifth at each look."""
        image = arguments[1]
        if self.site.manager_gone:
            return "exit code 22: Error EINVAL: no valid command found"
        if image in self.site.images and self.site.images[image].parent is not None:
            if self.site.slow_manager:
                self.site.flattening.setdefault(image, 0.0)
            else:
                self._flatten(image)
        return ""

    def do_flattening(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        for image, progress in list(self.site.flattening.items()):
            self.site.flattening[image] = progress + 0.2
            if image not in self.site.images or progress > 0.9:
                del self.site.flattening[image]
                if image in self.site.images:
                    self._flatten(image)
        tasks = [
            {
                "id": f"task-{image}",
                "refs": {"action": "flatten", "pool_name": "rbd", "image_name": image},
                "progress": progress,
            }
            for image, progress in self.site.flattening.items()
        ]
        images = [name for name in arguments[1:] if name in self.site.images]
        return "\n".join([json.dumps(tasks), *(name for name in images if self.site.images[name].parent)]) + "\n"

    def do_assert_unused(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        _pool, known, *images = arguments
        for image in images:
            for address in self._image({"image": image}).watchers:
                if address not in known.split():
                    raise ExitError(75, f"{image} was opened by {address}")

    def _flatten(self, clone: str) -> None:
        self._drop_parent(self.site.images[clone])

    def _drop_parent(self, image: Image) -> None:
        """Let an image depend on no other one; Ceph then removes a snapshot from its trash that no clone needs any more."""
        if image.parent is None:
            return
        (parent, number), image.parent = image.parent, None
        parents = self.site.images[parent]
        still = any(other.parent == (parent, number) for other in self.site.images.values())
        parents.snapshots = [item for item in parents.snapshots if still or item.kind != "trash" or item.id != number]

    def _own(self, options: dict[str, str]) -> Snapshot:
        snapshot = self._image(options).snapshot(options["snap"])
        if snapshot is None:
            raise ExitError(2, "rbd: failed to remove snapshot: (2) No such file or directory")
        return snapshot

    def _existing(self, options: dict[str, str]) -> None:
        if options["snap"] not in self.site.group_snapshots.get(options["group"], {}):
            raise ExitError(2, "rbd: failed to remove group snapshot: (2) No such file or directory")

    def _remove(self, image: str, snapshot: Snapshot) -> None:
        if snapshot.protected:
            raise ExitError(16, f"rbd: snapshot '{snapshot.name}' is protected from removal.")
        if any(other.parent == (image, snapshot.id) for other in self.site.images.values()):
            snapshot.kind = "trash"
        else:
            self.site.images[image].snapshots.remove(snapshot)

    def _forget(self, group: str, name: str) -> None:
        for image in self.site.groups.get(group, ()):
            kept = [item for item in self.site.images[image].snapshots if (item.kind, item.name) != ("group", name)]
            self.site.images[image].snapshots = kept

    def _roll_back(self, image: str, snapshot: Snapshot) -> None:
        if self.site.images[image].watchers:
            self.site.violations.append(f"{image} was rolled back while somebody had it open")
        self.site.images[image].data = snapshot.data


def metadata_of(image: Image) -> str:
    """Return what ``image-meta list`` writes: it escapes values, and neither keys nor bytes that are no UTF-8."""
    pairs = [f'"{key}":{json.dumps(text, ensure_ascii=False)}' for key, text in image.metadata.items()]
    return f"{{{','.join(pairs)}}}\n" if pairs else ""


def _is_data(vm: str, image: str) -> bool:
    number = image.removeprefix(f"data_{vm}_")
    return number != image and number.isdecimal()
