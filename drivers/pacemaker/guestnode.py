"""Guest nodes: VMs in which Pacemaker runs resources (Pacemaker Remote, "Guest Nodes"), as the CIB has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vmmgr.drivers.pacemaker.cib import Cib

# What makes a guest node of a resource, and says how it is reached (Pacemaker Remote, "Meta-attributes for configuring VM
# resources as guest nodes").
ATTRIBUTES = ("remote-node", "remote-addr", "remote-port", "remote-connect-timeout")
# Where pacemaker_remoted listens, and the seconds that a connection may take, unless something else is said (likewise).
PORT, CONNECT_TIMEOUT = 3121, 60
_FORBIDDEN = "-INFINITY"


@dataclass(frozen=True, slots=True)
class GuestNode:
    """A VM as a node of the cluster.

    Attributes:
        name: Of the node; no other node and no resource may have it.
        address: Where its pacemaker_remoted is reached: an IP address or a host name that all hypervisors know.
        port: Its port; None for Pacemaker's default.
        connect_timeout: Seconds that a connection may take; None for Pacemaker's default.
    """

    name: str
    address: str
    port: int | None = None
    connect_timeout: int | None = None

    def attributes(self) -> dict[str, str]:
        """Return the meta attributes of its VM's resource that make it one."""
        values = (self.name, self.address, self.port, self.connect_timeout)
        return {key: str(value) for key, value in zip(ATTRIBUTES, values, strict=True) if value is not None}


def remote_pairs(primitive: ET.Element) -> list[ET.Element]:
    """Return the nvpairs of a resource that make a guest node of it, or have to do with that."""
    return [pair for pair in primitive.iterfind("meta_attributes/nvpair") if pair.get("name") in ATTRIBUTES]


def remote_attributes(primitive: ET.Element) -> dict[str, str]:
    """Return the meta attributes of a resource that make a guest node of it; where several say the same, the first holds."""
    return {pair.get("name", ""): pair.get("value", "") for pair in reversed(remote_pairs(primitive))}


def port_of(attributes: Mapping[str, str]) -> int | None:
    """Return the port among the attributes of a guest node; None where there is none, or something that is no number."""
    text = attributes.get("remote-port", "")
    return int(text) if text.isdecimal() else None


def guest_nodes(cib: Cib) -> dict[str, str]:
    """Return the names of the guest nodes, each with the resource that it is."""
    found = (
        (remote_attributes(item).get("remote-node"), item) for item in cib.root.iterfind("configuration/resources//primitive")
    )
    return {name: item.get("id", "") for name, item in found if name}


def meta_set(primitive: ET.Element) -> str:
    """Return the id of the set of meta attributes of a resource that takes further ones; there may be none of that id yet."""
    ids = [item.get("id") for item in primitive.iterfind("meta_attributes") if item.find("rule") is None]
    return next((item for item in ids if item), f"{primitive.get('id')}-meta_attributes")


def ban(resource: str, node: str) -> ET.Element:
    """Return the constraint that keeps a resource off a guest node; its id is that of ``crm resource ban`` and of vm_manager."""
    attributes = {"rsc": resource, "node": node, "score": _FORBIDDEN, "resource-discovery": "never"}
    return ET.Element("rsc_location", {"id": f"cli-ban-{resource}-on-{node}"} | attributes)


def bans(cib: Cib, node: str) -> list[str]:
    """Return the ids of the constraints that were made for a guest node, to keep resources off it."""
    return [item.get("id", "") for item in _locations(cib) if item.get("id") == f"cli-ban-{item.get('rsc')}-on-{node}"]


def not_kept_off(cib: Cib, node: str) -> tuple[list[str], list[str]]:
    """Return which resources Pacemaker might run on a guest node although nobody said so: VMs, and others."""
    # then resources run nowhere unless a constraint says so
    if is_off(cib, "symmetric-cluster"):
        return [], []
    settled = {item.get("rsc") for item in _locations(cib) if _settles(item, node)}
    vms, others = set(cib.vm_names()), []
    for item in cib.root.iterfind("configuration/resources/*"):
        inner = list(item.iter("primitive"))
        if item.get("id") not in settled and inner and not any(part.get("class") == "stonith" for part in inner):
            others.append(item.get("id", ""))
    return [name for name in others if name in vms], [name for name in others if name not in vms]


def _locations(cib: Cib) -> Iterator[ET.Element]:
    return cib.root.iterfind("configuration/constraints/rsc_location")


def _settles(item: ET.Element, node: str) -> bool:
    """Whether a constraint says if its resource runs on a guest node: not there, not on any, on others only, or just there."""
    if item.get("node"):
        exclusive = item.get("resource-discovery") == "exclusive"
        return exclusive or (item.get("node"), item.get("score")) == (node, _FORBIDDEN)
    return any(
        rule.get("score") == _FORBIDDEN and any(part.get("attribute") == "#kind" for part in rule.iter("expression"))
        for rule in item.iterfind("rule")
    )


def is_off(cib: Cib, option: str) -> bool:
    """Whether an option of the cluster that is on by itself was switched off."""
    pairs = cib.root.iterfind(f"configuration/crm_config/cluster_property_set/nvpair[@name='{option}']")
    return any(pair.get("value", "").lower() in {"false", "no", "off", "0", "n"} for pair in pairs)
