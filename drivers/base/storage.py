"""What a driver for the storage offers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from vmmgr.drivers.base.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vmmgr.command import Command
    from vmmgr.disks import Disks, Flattening
    from vmmgr.rendering import Renderer


class StorageDriver(Driver):
    """Keeps the disks of VMs and their metadata.

    Attributes:
        pool: Where they are.
    """

    def __init__(self, renderer: Renderer, pool: str) -> None:
        super().__init__(renderer)
        self.pool = pool

    @abstractmethod
    def groups(self) -> Command[frozenset[str]]:
        """Read the names of the VMs that have disks: each has a group of its name."""

    @abstractmethod
    def images(self) -> Command[frozenset[str]]:
        """Read the names of all images."""

    @abstractmethod
    def monitors(self) -> Command[tuple[tuple[str, int], ...]]:
        """Read the addresses and ports at which virtual machines reach the storage."""

    @abstractmethod
    def create_image(self, image: str, size: int) -> Command[None]:
        """Create an empty image of ``size`` bytes; fail if there is one of that name."""

    @abstractmethod
    def import_image(self, image: str, compression: str) -> Command[str]:
        """Fill an empty image from the diff stream on standard input [SHA-256 of the stream as it arrived, in hex]."""

    @abstractmethod
    def remove_image(self, image: str) -> Command[None]:
        """Remove an image that has no snapshots; nothing happens if there is none."""

    @abstractmethod
    def create_group(self, group: str) -> Command[None]:
        """Create an empty group; fail if there is one of that name."""

    @abstractmethod
    def add_to_group(self, group: str, image: str) -> Command[None]:
        """Make an image a member of a group."""

    @abstractmethod
    def remove_group(self, group: str) -> Command[None]:
        """Remove a group and leave its images; nothing happens if there is none."""

    @abstractmethod
    def rename_image(self, image: str, destination: str) -> Command[None]:
        """Give an image another name; fail if there is one of that name. It stays in its group."""

    @abstractmethod
    def rename_group(self, group: str, destination: str) -> Command[None]:
        """Give a group another name; fail if there is one of that name. Its images and snapshots stay."""

    @abstractmethod
    def disks(self, vm: str, *, usage: bool = False) -> Command[Disks]:
        """Read all about the disks of a VM; it has none when there are no images of its name and no group.

        Args:
            vm: The VM.
            usage: Whether to read what each snapshot uses, too; a process more for each disk.
        """

    @abstractmethod
    def metadata(self, image: str) -> Command[dict[str, str]]:
        """Read all metadata of an image, bytes that are no UTF-8 as lone surrogates (PEP 383); none when there is no such image."""

    @abstractmethod
    def set_metadata(self, image: str, metadata: Mapping[str, str]) -> Command[None]:
        """Set some metadata of an image."""

    @abstractmethod
    def unset_metadata(self, image: str, keys: Sequence[str]) -> Command[None]:
        """Remove some metadata of an image, those of them that are there."""

    @abstractmethod
    def unprotect(self, image: str, snapshot: str) -> Command[None]:
        """Unprotect a snapshot; fail while a clone depends on it."""

    @abstractmethod
    def purge_snapshots(self, image: str) -> Command[None]:
        """Remove all snapshots of an image."""

    @abstractmethod
    def create_snapshot(self, image: str, snapshot: str) -> Command[None]:
        """Take a snapshot of an image; fail if it has one of that name."""

    @abstractmethod
    def remove_snapshot(self, image: str, snapshot: str) -> Command[None]:
        """Remove a snapshot of an image that is not protected; nothing happens if there is none."""

    @abstractmethod
    def rollback_snapshot(self, image: str, snapshot: str) -> Command[None]:
        """Give an image the content that it had at a snapshot; nobody may have it open."""

    @abstractmethod
    def create_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        """Take a snapshot of all images of a group at one instant; fail if it has one of that name."""

    @abstractmethod
    def remove_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        """Remove a snapshot of a group from all its images; nothing happens if there is none."""

    @abstractmethod
    def rollback_group_snapshot(self, group: str, snapshot: str) -> Command[None]:
        """Give the images of a group the content that they had at its snapshot; nobody may have one open."""

    @abstractmethod
    def clone_image(self, image: str, snapshot: str, destination: str) -> Command[None]:
        """Make an image that shares the data of a snapshot, with the metadata that the image has now; fail if the name is taken.

        The snapshot must be one of the image's own, not of a group; it can be removed at once, the image not until the clone
        is flattened.
        """

    @abstractmethod
    def flatten(self, image: str) -> Command[None]:
        """Copy what a clone shares with its parent, and end when it depends on it no more; fail if it has no parent."""

    @abstractmethod
    def flatten_later(self, image: str) -> Command[str]:
        """Let the storage flatten a clone in the background; nothing happens if it has no parent [why it will not; mostly empty]."""

    @abstractmethod
    def flattening(self, images: Sequence[str]) -> Command[dict[str, Flattening | None]]:
        """Read which of these images still depend on another one, and how far their flattening in the background is."""

    @abstractmethod
    def assert_unused(self, images: Sequence[str], known: Sequence[str]) -> Command[None]:
        """Fail with ``InUseError`` when anybody has one of the images open but those whose addresses are known."""

    @abstractmethod
    def records_put(self, vm: str, document: str) -> Command[None]:
        """Write down what is to be known of a VM's snapshots; ``disks`` reads it."""

    @abstractmethod
    def records_remove(self, vm: str) -> Command[None]:
        """Remove what was written down of a VM's snapshots, if anything was."""

    @abstractmethod
    def store_get(self, vm: str) -> Command[str]:
        """Read what was put aside for a disabled VM [the empty string when nothing was]."""

    @abstractmethod
    def store_put(self, vm: str, document: str) -> Command[None]:
        """Put a document aside for a disabled VM."""

    @abstractmethod
    def store_remove(self, vm: str) -> Command[None]:
        """Remove what was put aside, if anything was."""
