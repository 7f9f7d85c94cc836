"""What vm-mgr writes down of the snapshots that it takes: Ceph keeps no more than their name and time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmmgr.disks import Consistency, VmSnapshot
from vmmgr.errors import VmMgrError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vmmgr.disks import Disks

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What was written down of a snapshot.

    Attributes:
        name: Of the snapshot.
        grouped: Whether it is one of the VM's group.
        who: Who took it, ``user@workstation``.
        consistency: What state of the guest it holds.
        ids: Ceph's number of its part on each image, which tells it from a later one of the same name.
        metadata: That of the system image when it was taken, the domain XML included.
    """

    name: str
    grouped: bool
    who: str
    consistency: Consistency
    ids: Mapping[str, int]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def is_of(self, snapshot: VmSnapshot) -> bool:
        """Whether it is about this very snapshot, or about what is left of it."""
        parts = {image: part.id for image, part in snapshot.images.items()}
        same = (self.name, self.grouped) == (snapshot.name, snapshot.grouped)
        return same and bool(parts) and all(self.ids.get(image) == number for image, number in parts.items())


def record_of(snapshot: VmSnapshot, disks: Disks, who: str, consistency: Consistency) -> Record:
    """Return what is to be written down of a snapshot that was just taken."""
    ids = {image: part.id for image, part in snapshot.images.items()}
    return Record(snapshot.name, snapshot.grouped, who, consistency, ids, disks.metadata)


def records_in(disks: Disks) -> list[Record]:
    """Read the records of a VM's snapshots.

    Raises:
        VmMgrError: They cannot be read.
    """
    if not disks.records:
        return []
    try:
        document = json.loads(disks.records)
        if document["version"] != _VERSION:
            raise ValueError(f"its version is {document['version']}, not {_VERSION}")
        return [_read(item) for item in document["snapshots"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VmMgrError(
            f"What was written down of the snapshots of VM {disks.vm} (RADOS object vm-mgr-snapshots.{disks.vm}) cannot be read: "
            f"{error}. Use the vm-mgr that wrote it, or remove that object: the snapshots themselves stay."
        ) from error


def recorded(disks: Disks) -> list[tuple[VmSnapshot, Record | None]]:
    """Return the snapshots of a VM, the oldest first, each with its record if it has one.

    Raises:
        VmMgrError: The records cannot be read.
    """
    records = records_in(disks)
    return [(item, next((record for record in records if record.is_of(item)), None)) for item in disks.snapshots()]


def document_of(disks: Disks, *added: Record, removed: Sequence[VmSnapshot] = ()) -> str:
    """Return the text to write down: the records of the snapshots that there are, but those removed, and those added.

    It is empty when there is none.

    Raises:
        VmMgrError: The present records cannot be read.
    """
    present = [item for item in disks.snapshots() if item not in removed]
    kept = [record for record in records_in(disks) if any(record.is_of(item) for item in present)]
    written = [_write(record) for record in (*kept, *added)]
    return json.dumps({"version": _VERSION, "snapshots": written}) if written else ""


def _read(item: Mapping[str, object]) -> Record:
    ids, metadata = item["ids"], item["metadata"]
    if not isinstance(ids, dict) or not isinstance(metadata, dict):
        raise TypeError("it is no record")
    return Record(
        str(item["name"]),
        bool(item["grouped"]),
        str(item["who"]),
        Consistency(str(item["consistency"])),
        {str(image): int(number) for image, number in ids.items()},
        {str(key): str(value) for key, value in metadata.items()},
    )


def _write(record: Record) -> dict[str, object]:
    return {
        "name": record.name, "grouped": record.grouped, "who": record.who, "consistency": str(record.consistency),
        "ids": dict(record.ids), "metadata": dict(record.metadata),
    }  # fmt: skip
