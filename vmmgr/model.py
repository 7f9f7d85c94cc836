"""The vocabulary of vm-mgr: VMs, their statuses, and what the cluster says of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from vmmgr.errors import UsageError, VmMgrError

if TYPE_CHECKING:
    from collections.abc import Mapping

# A resource id must be an XML NCName, and SEAPATH's resource agent cuts a name at its first dot.
_NEW_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
# Existing VMs may have been named by other tools; these characters can neither break out of an XPath nor out of a path.
_KNOWN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+@-]{0,254}")

# What the images and the group of a VM are called besides while it is being replaced: the old ones put aside, the new ones waiting.
OLD_PREFIX = "vm-mgr-old."
NEW_PREFIX = "vm-mgr-new."

SYSTEM_PREFIX = "system_"
DATA_PREFIX = "data_"


class Status(StrEnum):
    """The status of a VM."""

    UNDEFINED = "Undefined"
    DISABLED = "Disabled"
    FAILED = "Failed"
    STARTED = "Started"
    STARTING = "Starting"
    STOPPING = "Stopping"
    STOPPED = "Stopped"


class Quiescence(StrEnum):
    """Whether a running guest holds still."""

    FROZEN = "frozen"
    """Its agent keeps its file systems from changing."""
    PAUSED = "paused"
    """Its processors are stopped."""
    AWAKE = "awake"


@dataclass(frozen=True, slots=True)
class VmState:
    """What ``list`` and ``status`` tell of one VM."""

    name: str
    status: Status
    node: str | None = None
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What ``list_services`` tells of one service.

    Attributes:
        vm: The VM that it runs in.
        name: What the user calls it; of a resource that vm-mgr did not make, its id.
        resource: Its id in the cluster.
        kind: Class and agent, such as ``systemd:nginx``.
        status: As with VMs; Disabled if its VM is.
        failures: How many Pacemaker remembers.
        details: Why it is not Started, or what failed last.
    """

    vm: str
    name: str
    resource: str
    kind: str
    status: Status
    failures: int = 0
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A cluster node as Pacemaker sees it; ``kind`` is ``member``, ``remote`` or ``guest``."""

    name: str
    kind: str
    online: bool
    standby: bool
    maintenance: bool

    @property
    def usable(self) -> bool:
        """Whether Pacemaker may run VMs there now."""
        return self.kind == "member" and self.online and not self.standby and not self.maintenance


@dataclass(frozen=True, slots=True)
class Resource:
    """A primitive's state: ``role`` and ``target_role`` are Pacemaker's words, ``target_role`` is empty where unset."""

    name: str
    agent: str
    role: str
    target_role: str
    nodes: tuple[str, ...]
    managed: bool
    blocked: bool
    failed: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What Pacemaker intends to do with a resource: ``start``, ``stop``, ``move``, ``migrate``, ``restart`` …, its own words."""

    resource: str
    action: str
    source: str
    dest: str


@dataclass(frozen=True, slots=True)
class Simulation:
    """The cluster now, and as it will be when Pacemaker has done all that it intends to do; ``plans`` are the steps to there."""

    nodes: dict[str, Node]
    resources: dict[str, Resource]
    later: dict[str, Resource]
    plans: tuple[Plan, ...] = ()


class Notes(dict[str, str]):
    """What an operation wrote into its lease for a repair, as the cluster has it: anybody may have altered it there."""

    def __missing__(self, key: str) -> str:
        raise VmMgrError(
            f"vm-mgr's mark of an operation in the cluster lacks {key!r}, so it was altered by hand, and nobody can tell what the "
            "operation left; look at the VM's parts, set them right, and delete the mark (`cibadmin --delete`)."
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """The mark of an operation in progress, or of one whose workstation was lost.

    Attributes:
        vm: The VM it is about.
        verb: The operation, such as ``create``.
        who: ``user@workstation``.
        since: When it began, seconds since the epoch, by the node's clock.
        until: When it ends unless renewed, likewise.
        token: A random word that tells this operation's lease from any other.
        notes: What a repair has to know besides, such as of which VM a clone is made.
    """

    vm: str
    verb: str
    who: str
    since: int
    until: int
    token: str
    notes: Mapping[str, str] = field(default_factory=dict)


def system_image(vm: str) -> str:
    """Return the name of the RBD image that a VM boots from."""
    return f"{SYSTEM_PREFIX}{vm}"


def data_image(vm: str, index: int) -> str:
    """Return the name of a VM's additional RBD image; ``index`` counts from 0, as vm_manager does."""
    return f"{DATA_PREFIX}{vm}_{index}"


def check_new_name(name: str) -> str:
    """Return the name of a VM to be made.

    Raises:
        UsageError: The name breaks the rule, which the message states.
    """
    if not _NEW_NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a VM: it takes 1 to 63 letters, digits, '-' and '_', and begins with a letter or '_'."
        )
    return name


def check_known_name(name: str) -> str:
    """Return the name of an existing VM, whoever named it.

    Raises:
        UsageError: No VM can have that name.
    """
    if not is_known_name(name):
        raise UsageError(f"{name!r} cannot be the name of a VM; `vm-mgr list` shows those that there are.")
    return name


def is_known_name(name: str) -> bool:
    """Whether an existing VM or resource can have that name."""
    return _KNOWN_NAME.fullmatch(name) is not None
