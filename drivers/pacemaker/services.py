"""Services: resources that Pacemaker runs in a guest node and nowhere else (Pacemaker Remote, "Guest Nodes")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.guestnode import is_off, remote_attributes

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from vmmgr.drivers.pacemaker.cib import Cib

# Pacemaker's word for a start that it does not try again; in older ones the number.
_INFINITY = 1_000_000


def services_of(cib: Cib, vm: str) -> list[ET.Element]:
    """Return the resources that run in a VM and nowhere else, whoever tied them to it; none if it is no guest node."""
    primitive = cib.primitive(vm)
    node = None if primitive is None else remote_attributes(primitive).get("remote-node")
    if not node:
        return []
    tied = {item.get("rsc") for item in cib.constraints() if _ties(item, node)}
    return [item for item in cib.root.iterfind("configuration/resources/primitive") if item.get("id") in tied - {vm}]


def kind_of(service: ET.Element) -> str:
    """Return what a service is, in Pacemaker's words: ``systemd:nginx``, ``ocf:heartbeat:podman``."""
    return ":".join(part for key in ("class", "provider", "type") if (part := service.get(key)))


def failures_of(cib: Cib, resource: str) -> int:
    """Return how many failures of a resource Pacemaker remembers; a start that failed counts as one."""
    pairs = cib.root.iterfind("status/node_state/transient_attributes//nvpair")
    counts = [pair.get("value", "") for pair in pairs if pair.get("name", "").startswith(f"fail-count-{resource}#")]
    # Pacemaker's INFINITY stands for what it does not try again
    return sum(int(count) if count.isdigit() and int(count) < _INFINITY else 1 for count in counts)


def stop_timeout(cib: Cib, resource: str) -> float:
    """Return the seconds that Pacemaker grants the stop of a VM, those for the services in it included, or of a service."""
    services = [item.get("id", "") for item in services_of(cib, resource)]
    slowest = max((cib.operation_timeout(name, "stop") for name in services), default=0.0)
    return cib.operation_timeout(resource, "stop") + slowest


def fencing_is_on(cib: Cib) -> bool:
    """Whether a node that has failed is fenced; for a guest node that is a restart of its VM."""
    return not is_off(cib, "stonith-enabled")


def _ties(item: ET.Element, node: str) -> bool:
    return (item.tag, item.get("node"), item.get("score")) == ("rsc_location", node, "INFINITY")
