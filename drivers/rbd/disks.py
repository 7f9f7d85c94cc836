"""Reads what the template ``rbd/disks`` tells of the disks of a VM: lines of a kind and a JSON document or a name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vmmgr.command import CommandFailedError, succeeded
from vmmgr.disks import Disk, Disks, ImageSnapshot, disk_order
from vmmgr.drivers.rbd.metadata import read_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmmgr.remote.batch import Result

# How rbd writes times (ctime(3)); the script asks for UTC.
_TIME = "%a %b %d %H:%M:%S %Y"
# What the script tells of every image; ``children``, ``usage`` and ``metadata`` only where there can be any.
_ALWAYS = {"info", "snapshots", "status"}


def parse_disks(result: Result, pool: str, vm: str) -> Disks:
    """Read the answer.

    Raises:
        CommandFailedError: The script failed, or its answer makes no sense or is not whole.
    """
    succeeded(result)
    try:
        return _disks(result.stdout.decode(errors="surrogateescape"), pool, vm)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise CommandFailedError(result) from error


def _disks(text: str, pool: str, vm: str) -> Disks:
    facts, separator, records = text.partition("\nrecords")
    if not separator:
        raise ValueError("the end is missing")
    images: dict[str, dict[str, Any]] = {}
    members, group, current = [], None, ""
    for kind, value in (line.partition(" ")[::2] for line in facts.split("\n")):
        if kind == "image":
            current = value
            images[current] = {}
        elif kind == "member":
            members.append(value)
        elif kind == "group":
            group = json.loads(value)
        else:
            images[current][kind] = read_metadata(value) if kind == "metadata" else json.loads(value)
    if group is None or any(_ALWAYS - told.keys() for told in images.values()):
        raise ValueError("a part is missing")
    grouped = {member.removeprefix(f"{pool}/") for member in members if member.startswith(f"{pool}/")}
    ordered = sorted(images, key=lambda image: disk_order(vm, image))
    return Disks(
        vm,
        tuple(_disk(image, images[image], grouped=image in grouped) for image in ordered),
        {key: value for told in images.values() for key, value in told.get("metadata", {}).items()},
        {str(item["snapshot"]): item["state"] == "ok" for item in group},
        tuple(member for member in members if member.removeprefix(f"{pool}/") not in images),
        records[1:].rstrip("\n"),
    )


def _disk(image: str, told: dict[str, Any], *, grouped: bool) -> Disk:
    used = {item["snapshot_id"]: int(item["used_size"]) for item in _usage(told) if "snapshot_id" in item}
    return Disk(
        image,
        int(told["info"]["size"]),
        tuple(str(item["address"]) for item in told["status"]["watchers"]),
        tuple(sorted((_snapshot(item, used) for item in told["snapshots"]), key=lambda item: item.id)),
        tuple(f"{item['pool']}/{item['image']}" for item in told.get("children", [])),
        grouped=grouped,
        created=_time(told["info"]["create_timestamp"]),
        parent="{pool}/{image}".format(**told["info"]["parent"]) if "parent" in told["info"] else "",
    )


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _usage(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from told.get("usage", {}).get("images", [])


def _snapshot(item: dict[str, Any], used: dict[int, int]) -> ImageSnapshot:
    namespace = item["namespace"]
    return ImageSnapshot(
        int(item["id"]),
        str(item["name"]),
        _time(item["timestamp"]),
        protected=str(item["protected"]).lower() == "true",
        kind=str(namespace["type"]),
        group=str(namespace.get("group", "")),
        group_snapshot=str(namespace.get("group snap", "")),
        used=used.get(item["id"]),
    )
