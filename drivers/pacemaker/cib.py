"""The CIB as read by ``cibadmin --query`` (Pacemaker Explained, chapters 2 to 5 and A.3 for the status section)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.command import CommandFailedError, succeeded
from vmmgr.model import Lease, Notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmmgr.remote.batch import Result

_LEASE_SET = "vm-mgr-"
# The agents that run VMs: vm-mgr's and vm_manager's, and upstream's.
_VM_AGENT = "VirtualDomain"
_UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6}
_UNITS |= {"m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}
# Pacemaker's default for an operation without a timeout (Pacemaker Explained, "Operation Properties").
_DEFAULT_TIMEOUT = 20.0
# Return codes that are an answer and no failure: ok, running promoted; and not running, unless it should have been running.
_HARMLESS, _NOT_RUNNING = {"0", "8"}, "7"
_RESOURCES = {"primitive", "group", "clone", "master", "bundle"}
# The status of an operation that has not ended yet (pcmk_exec_pending, 193 as its return code).
_PENDING = "-1"


@dataclass(frozen=True, slots=True)
class Cib:
    """One reading of the CIB."""

    root: ET.Element

    @property
    def epoch(self) -> tuple[str, str]:
        """The version of the configuration: ``admin_epoch`` and ``epoch``."""
        return self.root.get("admin_epoch", "0"), self.root.get("epoch", "0")

    @property
    def version(self) -> tuple[str, str, str]:
        """The version of configuration and status: ``epoch`` and ``num_updates``."""
        return (*self.epoch, self.root.get("num_updates", "0"))

    @property
    def quorate(self) -> bool:
        """Whether the partition that answered has quorum."""
        return self.root.get("have-quorum") == "1"

    def primitive(self, name: str) -> ET.Element | None:
        """Return the primitive of that id."""
        return next((item for item in self.root.iterfind("configuration/resources//primitive") if item.get("id") == name), None)

    def is_top_level(self, name: str) -> bool:
        """Whether the primitive stands for itself, in no group, clone or bundle."""
        return any(item.get("id") == name for item in self.root.iterfind("configuration/resources/primitive"))

    def vm_names(self) -> Iterator[str]:
        """Yield the ids of the primitives that are VMs."""
        for item in self.root.iterfind("configuration/resources//primitive"):
            if item.get("type") == _VM_AGENT:
                yield item.get("id", "")

    def constraints_of(self, name: str) -> list[ET.Element]:
        """Return the constraints that name the resource, in resource sets too."""
        return [item for item in self.root.iterfind("configuration/constraints/*") if name in resources_in(item)]

    def constraints(self) -> list[ET.Element]:
        """Return all constraints."""
        return list(self.root.iterfind("configuration/constraints/*"))

    def ids(self) -> set[str]:
        """Return the ids that a constraint can name: primitives, groups, clones, bundles, templates, tags."""
        named = [*self.root.iterfind("configuration/resources//*[@id]"), *self.root.iterfind("configuration/tags/tag")]
        return {item.get("id", "") for item in named}

    def tags_of(self, name: str) -> list[str]:
        """Return the ids of the tags that a resource has."""
        tags = self.root.iterfind("configuration/tags/tag")
        return [tag.get("id", "") for tag in tags if any(ref.get("id") == name for ref in tag.iterfind("obj_ref"))]

    def resource_names(self) -> set[str]:
        """Return the ids of all that Pacemaker runs: primitives, groups, clones and bundles."""
        return {item.get("id", "") for item in self.root.iterfind("configuration/resources//*") if item.tag in _RESOURCES}

    def is_taken(self, identifier: str) -> bool:
        """Whether something in the configuration has that id."""
        return any(item.get("id") == identifier for item in self.root.iterfind("configuration//*"))

    def config_files(self) -> dict[str, str]:
        """Return for each domain XML file the id of the primitive that starts a VM from it."""
        return {
            pair.get("value", ""): item.get("id", "")
            for item in self.root.iterfind("configuration/resources//primitive")
            for pair in item.iterfind("instance_attributes/nvpair")
            if pair.get("name") == "config"
        }

    def operation_timeout(self, name: str, operation: str) -> float:
        """Return the seconds that Pacemaker grants an operation of a resource."""
        primitive = self.primitive(name)
        for op in primitive.iterfind("operations/op") if primitive is not None else ():
            if op.get("name") == operation and op.get("timeout"):
                return duration(op.get("timeout", ""))
        for pair in self.root.iterfind("configuration/op_defaults/meta_attributes/nvpair"):
            if pair.get("name") == "timeout":
                return duration(pair.get("value", ""))
        return _DEFAULT_TIMEOUT

    def leases(self) -> dict[str, Lease]:
        """Return the marks of operations in progress or broken off, by VM."""
        sets = self.root.iterfind("configuration/crm_config/cluster_property_set")
        found = (_lease(item) for item in sets if item.get("id", "").startswith(_LEASE_SET))
        return {lease.vm: lease for lease in found if lease is not None}

    def last_failure(self, name: str) -> str | None:
        """Return the sentence that tells of the resource's latest failed operation, as the status section has it."""
        failed = [(node, op) for node, op in self._history(name) if _has_failed(op)]
        if not failed:
            return None
        node, worst = max(failed, key=lambda item: _when(item[1]))
        reason = worst.get("exit-reason") or _reason(worst.get("rc-code", ""))
        return f"{worst.get('operation')} failed on {node or 'an unknown node'}: {reason}"

    def has_failures(self, name: str) -> bool:
        """Whether Pacemaker remembers a failure of the resource: in its history, or as a count for a node."""
        counts = (f"fail-count-{name}#", f"last-failure-{name}#")
        attributes = self.root.iterfind("status/node_state/transient_attributes//nvpair")
        failed = (_has_failed(operation) for _, operation in self._history(name))
        return any(failed) or any(pair.get("name", "").startswith(counts) for pair in attributes)

    def _history(self, name: str) -> list[tuple[str, ET.Element]]:
        """Return the operations in the history of a resource, each with its node; a guest node's are done by its VM's host."""
        return [
            (state.get("uname") or operation.get("on_node") or "", operation)
            for state in self.root.iterfind("status/node_state")
            for resource in state.iterfind("lrm/lrm_resources/lrm_resource")
            if resource.get("id") == name
            for operation in resource.iterfind("lrm_rsc_op")
        ]


def parse_cib(result: Result) -> Cib:
    """Read the answer of ``cibadmin --query``."""
    succeeded(result)
    root = parse_xml(result)
    if root.tag != "cib":
        raise CommandFailedError(result)
    return Cib(root)


def parse_xml(result: Result) -> ET.Element:
    """Read XML from a node.

    Raises:
        CommandFailedError: It is not well-formed.
    """
    try:
        return ET.fromstring(result.stdout)  # noqa: S314 - expat since 2.4.1 limits entity expansion itself
    except (ET.ParseError, LookupError, ValueError) as error:  # the latter two for an encoding that Python lacks
        raise CommandFailedError(result) from error


def resources_in(constraint: ET.Element) -> set[str]:
    """Return the ids of all resources that a constraint refers to."""
    attributes = ("rsc", "with-rsc", "first", "then")
    direct = {constraint.get(attribute, "") for attribute in attributes}
    return (direct | {item.get("id", "") for item in constraint.iter("resource_ref")}) - {""}


def duration(text: str) -> float:
    """Return the seconds of a Pacemaker interval such as ``30``, ``30s``, ``2min`` or ``500ms``.

    An ISO 8601 duration or anything else is taken for the default timeout: it only decides how long vm-mgr watches.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if not match or match[2] not in _UNITS:
        return _DEFAULT_TIMEOUT
    return float(match[1]) * _UNITS[match[2]]


def _has_failed(operation: ET.Element) -> bool:
    """Tell a failed operation; one that found nothing running has failed if its key says that 0 was expected (A.3.1)."""
    code = operation.get("rc-code", "0")
    if code in _HARMLESS or operation.get("op-status") == _PENDING:
        return False
    return code != _NOT_RUNNING or operation.get("transition-key", "").split(":")[2:3] == ["0"]


def _when(operation: ET.Element) -> int:
    text = operation.get("last-rc-change", "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else 0


def _reason(code: str) -> str:
    return "it was no longer running" if code == _NOT_RUNNING else f"exit code {code}"


def _lease(item: ET.Element) -> Lease | None:
    """Read one of vm-mgr's property sets; one that cannot be read is still a mark, by an unknown hand."""
    vm = item.get("id", "").removeprefix(_LEASE_SET)
    pair = item.find("nvpair")
    if pair is None:
        return None
    token = pair.get("id", "").removeprefix(f"{_LEASE_SET}{vm}-")
    try:
        value = json.loads(pair.get("value", ""))
        notes = Notes((str(key), str(note)) for key, note in value.get("notes", {}).items())
        return Lease(vm, str(value["verb"]), str(value["who"]), int(value["since"]), int(value["until"]), token, notes)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Lease(vm, "unknown operation", "somebody", 0, 0, token)
