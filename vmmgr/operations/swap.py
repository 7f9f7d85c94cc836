"""The disks of a VM that is being replaced: the new ones wait under other names, the old ones are put aside, and can come back.

Nothing but names change. In a group and with its snapshots an image stays whatever it is called (Ceph knows it by its number).
All old images are put aside before the first new one takes its place, and a way back begins with the new ones; so what has the
VM's own names is old until all old images are aside, and new from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmmgr.model import DATA_PREFIX, NEW_PREFIX, OLD_PREFIX, system_image
from vmmgr.operations.steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vmmgr.command import Command
    from vmmgr.disks import Disks
    from vmmgr.drivers.base import StorageDriver
    from vmmgr.operations.observation import View


@dataclass(frozen=True, slots=True)
class Swap:
    """Where the disks of a VM are.

    Attributes:
        name: The VM.
        old: The names that the images of the old VM have when they are in their place.
        images: All images that there are.
        groups: All groups that there are.
    """

    name: str
    old: tuple[str, ...]
    images: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, view: View, name: str, notes: Mapping[str, str]) -> Swap:
        """Return it as a mark's notes and the storage tell it."""
        return cls(name, tuple(notes["old"].split()), view.images, view.groups)

    @property
    def begun(self) -> bool:
        """Whether anything of the old VM is aside."""
        return OLD_PREFIX + self.name in self.groups or any(OLD_PREFIX + image in self.images for image in self.old)

    @property
    def aside(self) -> bool:
        """Whether all old images are."""
        return all(OLD_PREFIX + image in self.images for image in self.old)

    @property
    def complete(self) -> bool:
        """Whether the new ones are in their place."""
        waiting = any(image.startswith(NEW_PREFIX) for image in self.new_images) or NEW_PREFIX + self.name in self.groups
        return self.aside and OLD_PREFIX + self.name in self.groups and not waiting

    @property
    def new_images(self) -> list[str]:
        """The new images, by the names that they have now."""
        return [
            image
            for image in sorted(self.images)
            if is_image_of(self.name, image.removeprefix(NEW_PREFIX)) and (image.startswith(NEW_PREFIX) or self.aside)
        ]

    def there(self, storage: StorageDriver, new: Iterable[str]) -> list[Step]:
        """Return the steps that put the old disks aside and the new ones into their place, with their undo."""
        moves = [(image, OLD_PREFIX + image) for image in self.old]
        steps = [_move(storage.rename_image, *pair) for pair in moves]
        steps.append(_move(storage.rename_group, self.name, OLD_PREFIX + self.name))
        steps += [_move(storage.rename_image, NEW_PREFIX + image, image) for image in new]
        return [*steps, _move(storage.rename_group, NEW_PREFIX + self.name, self.name)]

    def back(self, storage: StorageDriver) -> list[Command[Any]]:
        """Return what puts the new disks aside and the old ones back, from wherever they are."""
        commands: list[Command[Any]] = []
        if self.aside:
            placed = [image for image in self.new_images if not image.startswith(NEW_PREFIX)]
            commands += [storage.rename_image(image, NEW_PREFIX + image) for image in placed]
        if OLD_PREFIX + self.name in self.groups:
            if self.name in self.groups:
                commands.append(storage.rename_group(self.name, NEW_PREFIX + self.name))
            commands.append(storage.rename_group(OLD_PREFIX + self.name, self.name))
        aside = [image for image in self.old if OLD_PREFIX + image in self.images]
        return commands + [storage.rename_image(OLD_PREFIX + image, image) for image in aside]


def _move(rename: Any, source: str, destination: str) -> Step:
    return Step(rename(source, destination), undo=rename(destination, source))


def removal(storage: StorageDriver, disks: Disks, prefix: str = "") -> list[Command[Any]]:
    """Return what removes disks that are aside; ``prefix`` is put before the names under which they were read."""
    group = prefix + disks.vm
    commands: list[Command[Any]] = [storage.remove_group_snapshot(group, snapshot) for snapshot in disks.group_snapshots]
    # whatever else somebody put into the group is not vm-mgr's to remove
    own = [disk for disk in disks.disks if prefix + disk.image in _names(group, disks.images, prefix)]
    for disk in own:
        taken = [snapshot for snapshot in disk.snapshots if snapshot.kind == "user"]
        commands += [storage.unprotect(prefix + disk.image, snapshot.name) for snapshot in taken if snapshot.protected]
        commands += [storage.purge_snapshots(prefix + disk.image)] if taken else []
    return [*commands, storage.remove_group(group), *(storage.remove_image(prefix + disk.image) for disk in own)]


def _names(group: str, images: Iterable[str], prefix: str) -> set[str]:
    aside = OLD_PREFIX if group.startswith(OLD_PREFIX) else NEW_PREFIX
    vm = group.removeprefix(aside)
    full = [prefix + image for image in images]
    return {image for image in full if image.startswith(aside) and is_image_of(vm, image.removeprefix(aside))}


def is_image_of(vm: str, image: str) -> bool:
    """Whether an image belongs to a VM by its name."""
    data = f"{DATA_PREFIX}{vm}_"
    return image == system_image(vm) or (image.startswith(data) and image.removeprefix(data).isdecimal())
