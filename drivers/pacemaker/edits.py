"""What the changes of a cluster driver do to the CIB, done to a copy of it: so a dry run can tell the difference beforehand.

The tools decide where a new element goes and which id it gets; these are the places and ids that crmsh and pcs both choose.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Edit = Callable[[ET.Element], None]


def added(document: str) -> Edit:
    """Merge a ``<cib>`` document into the sections: what has an id that is there already is changed, the rest comes last."""

    def edit(cib: ET.Element) -> None:
        for section in ET.fromstring(document).iterfind("configuration/*"):  # noqa: S314 - it is vm-mgr's own
            target = cib.find(f"configuration/{section.tag}")
            if target is not None:
                _merge(target, section)

    return edit


def _merge(target: ET.Element, new: ET.Element) -> None:
    for child in new:
        there = next((item for item in target if (item.tag, item.get("id")) == (child.tag, child.get("id"))), None)
        if there is None:
            target.append(copy.deepcopy(child))
        else:
            there.attrib.update(child.attrib)
            _merge(there, child)


def deleted(ids: Iterable[str]) -> Edit:
    """Delete the elements of these ids from the configuration."""
    unwanted = frozenset(ids)

    def edit(cib: ET.Element) -> None:
        for parent in list(cib.iterfind("configuration//*")):
            for item in [child for child in parent if child.get("id") in unwanted]:
                parent.remove(item)

    return edit


def replaced(ids: Iterable[str], document: str) -> Edit:
    """Delete the elements of these ids, and add what a document holds."""
    delete, add = deleted(ids), added(document)

    def edit(cib: ET.Element) -> None:
        delete(cib)
        add(cib)

    return edit


def meta_set(resource: str, key: str, value: str) -> Edit:
    """Set a meta attribute of a resource; a new one comes last."""

    def edit(cib: ET.Element) -> None:
        for item in cib.iterfind("configuration/resources//*[@id]"):
            if item.get("id") == resource:
                attributes = item.find("meta_attributes")
                if attributes is None:
                    attributes = ET.SubElement(item, "meta_attributes", id=f"{resource}-meta_attributes")
                pair = next((pair for pair in attributes.iterfind("nvpair") if pair.get("name") == key), None)
                if pair is None:
                    pair = ET.SubElement(attributes, "nvpair", id=f"{attributes.get('id')}-{key}", name=key)
                pair.set("value", value)

    return edit


def forgotten(resource: str) -> Edit:
    """Delete the history and the failures of a resource from the status section."""

    def edit(cib: ET.Element) -> None:
        for parent in list(cib.iterfind("status//*")):
            for item in list(parent):
                history = item.tag == "lrm_resource" and item.get("id") == resource
                failure = item.tag == "nvpair" and item.get("name", "").startswith(
                    (f"fail-count-{resource}#", f"last-failure-{resource}#")
                )
                if history or failure:
                    parent.remove(item)

    return edit


def lease_taken(document: str) -> Edit:
    """Add the property set that marks a VM."""

    def edit(cib: ET.Element) -> None:
        for section in cib.iterfind("configuration/crm_config"):
            section.append(ET.fromstring(document))  # noqa: S314 - it is vm-mgr's own

    return edit


def lease_replaced(document: str) -> Edit:
    """Put a property set in the place of the one of the same id."""
    new = ET.fromstring(document)  # noqa: S314 - it is vm-mgr's own

    def edit(cib: ET.Element) -> None:
        for section in cib.iterfind("configuration/crm_config"):
            for index, item in enumerate(section):
                if item.get("id") == new.get("id"):
                    section[index] = copy.deepcopy(new)

    return edit
