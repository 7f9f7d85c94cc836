"""What a clone takes over from its source: settings, metadata and domain, without what only the source may have."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from vmmgr.errors import RefusedError
from vmmgr.model import SYSTEM_PREFIX
from vmmgr.operations.definition import COMMAND_KEYS, REMOTE_KEYS, Settings, without_settings
from vmmgr.operations.domain import parse_domain, text_of, uuid_of
from vmmgr.operations.identity import common_devices, common_disks, macs_of, rename_files, renew

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from xml.etree import ElementTree as ET

    from vmmgr.disks import Disks
    from vmmgr.operations.survey import Survey

_DICTIONARIES = ("pacemaker_meta", "pacemaker_params", "pacemaker_utilization")
_HOSTS = ("pinned_host", "preferred_host")
# What each VM has of its own, or gets anew.
_OWN = {"vm_name", "xml", "_base_xml", "_disk_bus", "_additional_disks"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the clone is to differ.

    Attributes:
        base_xml: A domain of its own; None for that of the source.
        settings: Those that are to be other ones, by their names in ``Settings``; dictionaries are merged.
        metadata: The user's own, over that of the source.
        clear: The settings that are not taken over, by their names.
    """

    base_xml: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    clear: frozenset[str] = frozenset()


def settings_of(source: Mapping[str, str], wishes: Wishes) -> Settings:
    """Return the settings of a clone.

    Raises:
        UsageError: One of the source's is not of its kind; the message names the key.
    """
    old = Settings.from_metadata({key: text for key, text in source.items() if key not in COMMAND_KEYS.values()})
    new: dict[str, Any] = {"remote": {}} | dict.fromkeys(_HOSTS if any(map(wishes.settings.get, _HOSTS)) else (), None)
    for name in _DICTIONARIES:
        taken = {key: value for key, value in getattr(old, name).items() if key not in REMOTE_KEYS}
        new[name] = ({} if name in wishes.clear else taken) | dict(wishes.settings.get(name, {}))
    new |= {name: None for name in _HOSTS if name in wishes.clear}
    return replace(old, **new | {name: value for name, value in wishes.settings.items() if name not in _DICTIONARIES})


def metadata_of(source: Mapping[str, str], wishes: Wishes) -> dict[str, str]:
    """Return the metadata that neither tool has a meaning for: the user's."""
    return {key: text for key, text in without_settings(source).items() if key not in _OWN} | dict(wishes.metadata)


def base_of(disks: Disks, pool: str, wishes: Wishes) -> tuple[ET.Element, str]:
    """Return the domain that a clone is made of, with new UUID and addresses, and the text of the source's whole domain.

    Raises:
        RefusedError: The source has no domain, or one with disks that both would write to.
    """
    whole = disks.metadata.get("xml") or disks.metadata.get("_base_xml")
    if whole is None:
        raise RefusedError(f"The image {SYSTEM_PREFIX}{disks.vm} has no metadata 'xml', so nobody knows what VM {disks.vm} is.")
    if wishes.base_xml is not None:
        root = parse_domain(wishes.base_xml, "domain XML")
    else:
        root = parse_domain(disks.metadata.get("_base_xml", whole), f"domain XML of VM {disks.vm}")
        _drop_images(root, {f"{pool}/{image}" for image in disks.images})
        renew(root)
    return root, whole


def finish(
    root: ET.Element, whole: str, source: str, name: str, found: Survey, *, given: bool, free: Collection[str] = ()
) -> tuple[str, list[str]]:
    """Make sure that the clone shares nothing with its source or others that only one may have.

    Args:
        root: The clone's domain; changed in place.
        whole: The source's.
        source: Its name.
        name: The clone's.
        found: What the hypervisors have.
        given: Whether the user wrote the domain for the clone, so that its files have the names that they shall have.
        free: The UUID and the MAC addresses of a VM that the clone replaces.

    Returns:
        The clone's domain as text, and what both would use at the same time.

    Raises:
        RefusedError: Both would write to the same disk.
    """
    other = parse_domain(whole, f"domain XML of VM {source}")
    if both := common_disks(root, other):
        raise RefusedError(
            f"VM {source} has disks that are no RBD images of it ({', '.join(both)}), and a clone would write to the same ones. "
            "Give the clone a domain XML without them (--xml), or with <shareable/> or <readonly/> in them."
        )
    if not given:
        rename_files(root, source, name)
    taken = set[str]()
    for host in found.hosts.values():
        taken.update(host.uuids, host.macs)
    renew(root, taken.difference(free) | {uuid_of(other), *macs_of(other)})
    return text_of(root), common_devices(root, other)


def _drop_images(root: ET.Element, images: set[str]) -> None:
    for devices in root.iterfind("devices"):
        for disk in devices.findall("disk"):
            source = disk.find("source")
            if source is not None and source.get("protocol") == "rbd" and source.get("name") in images:
                devices.remove(disk)
