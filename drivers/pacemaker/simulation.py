"""The answer of ``crm_simulate --live-check --simulate --output-as=xml`` (schema: Pacemaker's xml/api/crm_simulate)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.command import CommandFailedError, succeeded
from vmmgr.drivers.pacemaker.cib import parse_xml
from vmmgr.model import Node, Plan, Resource, Simulation

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

    from vmmgr.remote.batch import Result


def parse_simulation(result: Result) -> Simulation:
    """Read the cluster as it is and as Pacemaker intends it to be.

    Raises:
        CommandFailedError: The command failed, or its answer lacks the present state.
    """
    succeeded(result)
    root = parse_xml(result)
    now = root.find("cluster_status")
    if now is None:
        raise CommandFailedError(result)
    later = root.find("revised_cluster_status")
    return Simulation(
        nodes={node.get("name", ""): _node(node) for node in now.iterfind("nodes/node")},
        resources=_resources(now),
        later=_resources(now if later is None else later),
        plans=tuple(_plan(item) for item in root.iterfind("actions/rsc_action")),
    )


def _resources(status: ET.Element) -> dict[str, Resource]:
    return {item.get("id", ""): _resource(item) for item in status.iterfind("resources//resource")}


def _node(item: ET.Element) -> Node:
    return Node(
        name=item.get("name", ""),
        # Pacemaker says remote of both, but names the resource that a guest node is
        kind="guest" if item.get("id_as_resource") else item.get("type", "member"),
        online=item.get("online") == "true" and item.get("unclean") != "true",
        standby=item.get("standby") == "true" or item.get("standby_onfail") == "true",
        maintenance=item.get("maintenance") == "true",
    )


def _resource(item: ET.Element) -> Resource:
    return Resource(
        name=item.get("id", ""),
        agent=item.get("resource_agent", ""),
        role=item.get("role", "Unknown"),
        target_role=item.get("target_role", ""),
        nodes=tuple(node.get("name", "") for node in item.iterfind("node")),
        # Pacemaker tells a blocked one as not managed, too, though nobody has set that
        managed=item.get("managed") == "true" or item.get("blocked") == "true",
        blocked=item.get("blocked") == "true",
        failed=item.get("failed") == "true",
    )


def _plan(item: ET.Element) -> Plan:
    where = item.get("node", "")
    return Plan(item.get("resource", ""), item.get("action", ""), item.get("source", where), item.get("dest", where))
