"""What a service in a VM is to the cluster: what an administrator chooses, as a resource that is tied to the VM's guest node."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.drivers.pacemaker.guestnode import remote_attributes
from vmmgr.drivers.pacemaker.services import fencing_is_on
from vmmgr.errors import RefusedError, UsageError
from vmmgr.model import check_known_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
# What stands in a CIB, and in a file's name in the guest.
_AGENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\+-]{0,126}")
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,126}")


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """What to run in a VM.

    Times are seconds.

    Attributes:
        vm: The VM.
        name: What the service is called there.
        agent: What starts, stops and watches it: ``systemd`` and a unit, or ``ocf``, a provider and a type.
        params: The agent's own parameters.
        interval: Between two looks at whether it runs.
        monitor_timeout: That a look may take; then it counts as failed.
        start_timeout: That its start may take.
        stop_timeout: That its stop may take.
        attempts: After how many failures Pacemaker gives it up; None for never.
        restart_vm_after: After how many failures the VM is restarted; None for never, and Pacemaker can keep 1 only.
        start: Whether to start it.
    """

    vm: str
    name: str
    agent: tuple[str, ...]
    params: Mapping[str, str] = field(default_factory=dict)
    interval: int = 10
    monitor_timeout: int = 60
    start_timeout: int = 100
    stop_timeout: int = 100
    attempts: int | None = None
    restart_vm_after: int | None = None
    start: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be run or kept.

        Raises:
            UsageError: One sentence on the first thing found.
        """
        check_known_name(self.vm)
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"{self.name!r} cannot be the name of a service: it takes 1 to 63 letters, digits, '-' and '_'.")
        for part in self.agent:
            if not _AGENT.fullmatch(part):
                raise UsageError(
                    f"{part!r} is neither a systemd unit nor a part of the name of an OCF agent, such as heartbeat:IPaddr2."
                )
        if self.agent[-1] == "VirtualDomain":
            raise UsageError("VirtualDomain runs VMs, and a VM is no service; `vm-mgr create` makes one.")
        for key in self.params:
            if not _PARAMETER.fullmatch(key):
                raise UsageError(f"{key!r} is no parameter of an agent: letters, digits, '_', '.', '-'.")
        if min(self.interval, self.monitor_timeout, self.start_timeout, self.stop_timeout) < 1:
            raise UsageError("A time that a service is granted is 0 s; give a second at least.")
        if self.attempts == 0:
            raise UsageError(
                "A service that is given up after 0 failures never runs; give 1 at least, or leave --attempts out."
            )
        if self.restart_vm_after not in {None, 1}:
            raise UsageError(
                f"--restart-vm-after {self.restart_vm_after} cannot be kept: Pacemaker restarts a VM at the first failure of a service "
                "in it, or not at all. Give 1, or have the service itself given up after some failures (--attempts)."
            )

    @property
    def id(self) -> str:
        """Its id in the cluster, which no VM can have: the names of new ones have no dot."""
        return f"{self.vm}.{self.name}"


def service_document(context: Context, view: View, request: ServiceRequest) -> str:
    """Return the CIB document of a service.

    Raises:
        RefusedError: Its VM is no guest node, or would not be restarted.
    """
    primitive = view.cib.primitive(request.vm)
    node = None if primitive is None else remote_attributes(primitive).get("remote-node")
    if not node:
        raise RefusedError(
            f"VM {request.vm} is no guest node, so Pacemaker cannot run a service in it; `vm-mgr add_pacemaker_remote -n {request.vm}` "
            "makes it one."
        )
    if request.restart_vm_after and not fencing_is_on(view.cib):
        raise RefusedError(
            "--restart-vm-after cannot be kept: without fencing (stonith-enabled) Pacemaker only stops a service that has failed."
        )
    standard, *provider, agent = request.agent
    limit = {} if request.attempts is None else {"migration-threshold": request.attempts}
    return context.renderer.xml(
        "pacemaker/service",
        id=request.id,
        standard=standard,
        provider="".join(provider),
        type=agent,
        params=dict(request.params),
        meta=limit | {"target-role": "Started" if request.start else "Stopped"},
        interval=request.interval,
        start_timeout=request.start_timeout,
        stop_timeout=request.stop_timeout,
        monitor_timeout=request.monitor_timeout,
        on_fail="fence" if request.restart_vm_after else "",
        node=node,
    )


def is_defined_so(there: ET.Element, document: str) -> bool:
    """Whether a resource is what a document defines, whether it is to run or not."""
    return _contents(there) == _contents(_primitive(document))


def _primitive(document: str) -> ET.Element:
    (found,) = ET.fromstring(document).iterfind("configuration/resources/primitive")  # noqa: S314 - our own rendering
    return found


def _contents(primitive: ET.Element) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Return all that a resource says, but for whether it is to run."""
    return {(item.tag, frozenset(item.attrib.items())) for item in primitive.iter() if item.get("name") != "target-role"}
