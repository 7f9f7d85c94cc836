"""The disks of a VM with their snapshots, as the storage has them at one moment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from vmmgr.errors import UsageError, VmMgrError
from vmmgr.model import DATA_PREFIX, system_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime


# What vm_manager takes, and beyond that what can neither be taken for an option nor end an image's name in ``IMAGE@SNAPSHOT``.
_NEW_SNAPSHOT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Consistency(StrEnum):
    """What state of the guest a snapshot holds, in the words of the trade."""

    OFFLINE = "offline"
    """The VM was off."""
    FILESYSTEM = "filesystem"
    """The guest's agent had run its freeze hooks and held the file systems still, from before the snapshot until after it."""
    CRASH = "crash"
    """As after a power cut: all disks at one instant, and what the guest had not written is not there."""


class InUseError(VmMgrError):
    """Somebody opened a disk that was expected to be left alone."""


@dataclass(frozen=True, slots=True)
class Flattening:
    """The storage is copying to a clone what it shares with its parent: ``task`` is its word for it, ``progress`` 0 to 1."""

    task: str
    progress: float


@dataclass(frozen=True, slots=True)
class ImageSnapshot:
    """A snapshot of one image.

    Attributes:
        id: Ceph's number for it, unique on its image and never used again.
        name: Of a group's snapshot and of one in the trash, a name that Ceph made up.
        time: When it was taken, in UTC.
        protected: Whether Ceph refuses to remove it until it is unprotected.
        kind: ``user``, ``group``, ``trash`` (removed, and kept out of sight for the clones that depend on it), or another one
            of Ceph's namespaces.
        group: Of a group's snapshot, the name of the group.
        group_snapshot: Of a group's snapshot, the name that the user gave it.
        used: Bytes that changed between the snapshot before it and itself; None where Ceph cannot tell without reading the disk.
    """

    id: int
    name: str
    time: datetime
    protected: bool = False
    kind: str = "user"
    group: str = ""
    group_snapshot: str = ""
    used: int | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """An image that belongs to a VM.

    Attributes:
        image: Its name.
        size: Bytes.
        watchers: The addresses of those who have it open.
        snapshots: All of them, the oldest first.
        children: The clones that depend on it, as ``POOL/IMAGE``.
        grouped: Whether it is in the VM's group.
        created: When it was made, in UTC.
        parent: The image that it depends on, as ``POOL/IMAGE``; empty where it is whole by itself.
    """

    image: str
    size: int
    watchers: tuple[str, ...] = ()
    snapshots: tuple[ImageSnapshot, ...] = ()
    children: tuple[str, ...] = ()
    grouped: bool = True
    created: datetime | None = None
    parent: str = ""


@dataclass(frozen=True, slots=True)
class VmSnapshot:
    """A snapshot of a VM: one of its group, or the snapshots of its images that have the same name.

    Attributes:
        name: As the user gave it.
        grouped: Whether it is one of the group; vm_manager makes none of those, and does not see them.
        images: The snapshot of each image that has it, by the image's name.
        missing: The VM's images that do not have it.
        complete: Whether Ceph came to the end of taking it.
    """

    name: str
    grouped: bool
    images: Mapping[str, ImageSnapshot]
    missing: tuple[str, ...] = ()
    complete: bool = True

    @property
    def partial(self) -> bool:
        """Whether the VM cannot be brought back to it as a whole."""
        return bool(self.missing) or not self.complete

    @property
    def time(self) -> datetime | None:
        """When the first of its parts was taken, in UTC; None where it has no part any more."""
        return min((part.time for part in self.images.values()), default=None)

    @property
    def protected(self) -> tuple[str, ...]:
        """The images whose part of it is protected."""
        return tuple(image for image, part in self.images.items() if part.protected)

    @property
    def used(self) -> int | None:
        """Bytes of all its parts; None where Ceph cannot tell those of each."""
        sizes = [part.used for part in self.images.values()]
        return None if None in sizes else sum(size for size in sizes if size is not None)


@dataclass(frozen=True, slots=True)
class Disks:
    """All that the storage has of a VM.

    Attributes:
        vm: The VM.
        disks: Its images: that of its system, its data images in the order of their numbers, then what else is in its group.
        metadata: That of the system image.
        group_snapshots: The names of its group's snapshots, each with whether Ceph came to the end of taking it.
        strangers: Members of the group that are no images of this pool, or do not exist.
        records: What vm-mgr wrote down of the snapshots; empty when it wrote nothing. ``operations.records`` reads it.
    """

    vm: str
    disks: tuple[Disk, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    group_snapshots: Mapping[str, bool] = field(default_factory=dict)
    strangers: tuple[str, ...] = ()
    records: str = ""

    @property
    def images(self) -> tuple[str, ...]:
        """The names of the images."""
        return tuple(disk.image for disk in self.disks)

    @property
    def children(self) -> tuple[str, ...]:
        """The clones that depend on any of the disks."""
        return tuple(dict.fromkeys(child for disk in self.disks for child in disk.children))

    @property
    def watchers(self) -> dict[str, tuple[str, ...]]:
        """The addresses of those who have a disk open, by image; images that nobody has open are not in it."""
        return {disk.image: disk.watchers for disk in self.disks if disk.watchers}

    def snapshots(self) -> list[VmSnapshot]:
        """Return the VM's snapshots, the oldest first; what Ceph keeps in its trash is none."""
        found = [*self._of_images(), *self._of_group()]
        return sorted(found, key=lambda snapshot: (snapshot.time is not None, snapshot.time, snapshot.name))

    def named(self, snapshot: str) -> list[VmSnapshot]:
        """Return the snapshots of that name: none or one, or two where the group and the images have one each."""
        return [item for item in self.snapshots() if item.name == snapshot]

    def _of_images(self) -> Iterator[VmSnapshot]:
        parts: dict[str, dict[str, ImageSnapshot]] = {}
        for disk in self.disks:
            for item in disk.snapshots:
                if item.kind == "user":
                    parts.setdefault(item.name, {})[disk.image] = item
        for name, images in parts.items():
            yield VmSnapshot(name, grouped=False, images=images, missing=self._without(images))

    def _of_group(self) -> Iterator[VmSnapshot]:
        for name, complete in self.group_snapshots.items():
            images = {
                disk.image: item
                for disk in self.disks
                for item in disk.snapshots
                if item.kind == "group" and (item.group, item.group_snapshot) == (self.vm, name)
            }
            yield VmSnapshot(name, grouped=True, images=images, missing=self._without(images), complete=complete)

    def _without(self, images: Mapping[str, ImageSnapshot]) -> tuple[str, ...]:
        return tuple(image for image in self.images if image not in images)


def disk_order(vm: str, image: str) -> tuple[int, int, str]:
    """Return what sorts a VM's images: the system's first, data images by number, others last."""
    if image == system_image(vm):
        return 0, 0, image
    number = image.removeprefix(f"{DATA_PREFIX}{vm}_")
    return (1, int(number), image) if number != image and number.isdecimal() else (2, 0, image)


def check_new_snapshot(name: str) -> str:
    """Return the name of a snapshot to be taken.

    Raises:
        UsageError: The name breaks the rule, which the message states.
    """
    if not _NEW_SNAPSHOT.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a snapshot: it takes 1 to 128 letters, digits, '.', '_' and '-', and begins with a "
            "letter or a digit."
        )
    return name


def check_known_snapshot(name: str) -> str:
    """Return the name of an existing snapshot, whoever named it.

    Raises:
        UsageError: It is empty, or has a NUL.
    """
    if not name or "\0" in name:
        raise UsageError(f"{name!r} cannot be the name of a snapshot; `vm-mgr list_snapshots` shows those that there are.")
    return name
