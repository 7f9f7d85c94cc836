"""A VM's part of the CIB, kept in the storage while the VM is disabled, so that enabling brings everything back."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.cib import resources_in
from vmmgr.drivers.pacemaker.services import services_of
from vmmgr.drivers.pacemaker.sets import without
from vmmgr.errors import VmMgrError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmmgr.drivers.pacemaker.cib import Cib

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Fragment:
    """A primitive, the services in it if it is a guest node, and the constraints of all of them.

    Somebody may enable and disable the VM with vm_manager in between. That leaves no trace, and keeps nothing that would be
    newer than this; only if he made another VM of that name, which has another UUID, this is not what belongs to it.

    Attributes:
        primitive: None where only constraints were put aside, by a partner that was enabled earlier.
        constraints: Each names the VM or a service in it, and maybe others.
        uuid: Of the VM's domain; empty if it is not known.
        services: The primitives that run in the VM and nowhere else.
    """

    primitive: ET.Element | None
    constraints: tuple[ET.Element, ...]
    uuid: str = ""
    services: tuple[ET.Element, ...] = ()

    @classmethod
    def of(cls, cib: Cib, vm: str, uuid: str = "") -> Fragment:
        """Cut the VM's part out of a CIB."""
        services = tuple(services_of(cib, vm))
        names = {vm, *(item.get("id", "") for item in services)}
        constraints = tuple(item for item in cib.constraints() if names & resources_in(item))
        return cls(cib.primitive(vm), constraints, uuid, services)

    @classmethod
    def from_text(cls, text: str, vm: str) -> Fragment:
        """Read what ``to_text`` wrote; an empty text is an empty fragment.

        Raises:
            VmMgrError: It cannot be read.
        """
        if not text:
            return cls(None, ())
        try:
            document = json.loads(text)
            if document["version"] != _VERSION:
                raise ValueError(f"its version is {document['version']}, not {_VERSION}")
            primitive = document["primitive"]
            return cls(
                ET.fromstring(primitive) if primitive else None,  # noqa: S314 - vm-mgr wrote it
                tuple(ET.fromstring(item) for item in document["constraints"]),  # noqa: S314
                str(document.get("uuid", "")),
                tuple(ET.fromstring(item) for item in document.get("services", ())),  # noqa: S314
            )
        except (ValueError, KeyError, TypeError, ET.ParseError) as error:
            raise VmMgrError(
                f"What was kept of VM {vm} when it was disabled (RADOS object vm-mgr.{vm}) cannot be read: {error}."
            ) from error

    def to_text(self) -> str:
        """Write it as a JSON document with XML inside."""
        primitive = "" if self.primitive is None else ET.tostring(self.primitive, encoding="unicode")
        constraints, services = (
            [ET.tostring(item, encoding="unicode") for item in items] for items in (self.constraints, self.services)
        )
        told = {"version": _VERSION, "primitive": primitive, "constraints": constraints, "uuid": self.uuid}
        return json.dumps(told | ({"services": services} if services else {}))

    @property
    def service_names(self) -> list[str]:
        """The ids of the services."""
        return [item.get("id", "") for item in self.services]

    def with_constraints(self, more: Iterable[ET.Element]) -> Fragment:
        """Add constraints; one of an id that is there already stays as it is."""
        known = {item.get("id") for item in self.constraints}
        return replace(self, constraints=(*self.constraints, *(item for item in more if item.get("id") not in known)))

    def without_constraint(self, identifier: str) -> Fragment:
        """Leave out the constraint of that id."""
        return replace(self, constraints=tuple(item for item in self.constraints if item.get("id") != identifier))

    def partners(self, vm: str, present: set[str]) -> set[str]:
        """Return the other resources that constraints name and that are not in the cluster now."""
        named = {name for item in self.constraints for name in resources_in(item)}
        return named - present - {vm, *self.service_names}

    def remains(self, vm: str) -> list[ET.Element]:
        """Return what the constraints say of others without the VM and its services, as constraints of the same ids."""
        left: list[ET.Element | None] = list(self.constraints)
        for name in (vm, *self.service_names):
            left = [without(item, name) if item is not None and name in resources_in(item) else item for item in left]
        return [item for item in left if item is not None]

    def shared(self, vm: str) -> list[str]:
        """Return the ids of the constraints that say something of others too, where the VM has no part in it."""
        return [item.get("id", "") for item in self.remains(vm)]

    def farewell(self, vm: str) -> list[str]:
        """Return what to say when the VM is gone for good: which constraints with others go, and which are left to the others."""
        shared = self.shared(vm)
        own = {vm, *self.service_names}
        named = {item.get("id", ""): sorted(resources_in(item) - own) for item in self.constraints}
        gone = [identifier for identifier, others in named.items() if others and identifier not in shared]
        said = [f"With VM {vm} go the services in it: {', '.join(self.service_names)}."] if self.services else []
        said += [f"With VM {vm} go its constraints with others: {', '.join(gone)}."] if gone else []
        left = [f"{identifier} (of {', '.join(named[identifier])})" for identifier in shared]
        return said + ([f"VM {vm} is taken out of {', '.join(left)}."] if left else [])

    def ids(self, vm: str) -> list[str]:
        """Return the ids to delete, constraints before the resources that they name."""
        return [*(item.get("id", "") for item in self.constraints), *self.service_names, vm]


def with_target_role(primitive: ET.Element, role: str) -> ET.Element:
    """Return a copy of a primitive whose target role is ``role``."""
    changed = copy.deepcopy(primitive)
    name = changed.get("id", "")
    pairs = [pair for pair in changed.iterfind("meta_attributes/nvpair") if pair.get("name") == "target-role"]
    if not pairs:
        attributes = changed.find("meta_attributes")
        if attributes is None:
            attributes = ET.Element("meta_attributes", id=f"{name}-meta_attributes")
            changed.insert(0, attributes)
        pairs = [ET.SubElement(attributes, "nvpair", id=f"{name}-meta_attributes-target-role", name="target-role")]
    for pair in pairs:
        pair.set("value", role)
    return changed


def document(primitive: ET.Element | None, constraints: Iterable[ET.Element], services: Iterable[ET.Element] = ()) -> str:
    """Return the CIB document that adds a primitive, if there is one, and the services in it, with their constraints."""
    cib = ET.Element("cib")
    configuration = ET.SubElement(cib, "configuration")
    if primitive is not None:
        ET.SubElement(configuration, "resources").extend([primitive, *services])
    ET.SubElement(configuration, "constraints").extend(constraints)
    return ET.tostring(cib, encoding="unicode")
