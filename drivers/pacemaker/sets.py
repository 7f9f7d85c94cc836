"""Constraints with resource sets, and what is left of them without one resource (Pacemaker Explained, "Resource Sets")."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.cib import resources_in

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# What each resource of the set is told by itself; the other kinds are between resources.
_OF_EACH = {"rsc_location", "rsc_ticket"}


def without(constraint: ET.Element, resource: str) -> ET.Element | None:
    """Return a constraint without a resource; None if then it says nothing."""
    rest = copy.deepcopy(constraint)
    for part in rest.findall("resource_set"):
        for reference in part.findall("resource_ref"):
            if reference.get("id") == resource:
                part.remove(reference)
        if part.find("resource_ref") is None:
            rest.remove(part)
    sets = rest.findall("resource_set")
    left = resources_in(rest)
    if not sets or resource in left:
        return None
    if rest.tag in _OF_EACH:
        return rest
    # the members of one set that has no order are nothing to each other
    alone = len(sets) == 1 and sets[0].get("sequential", "true").lower() in {"false", "no", "off", "0", "n"}
    return None if alone or len(left) == 1 else rest
