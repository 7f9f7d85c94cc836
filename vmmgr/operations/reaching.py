"""Whether the hypervisors can connect to the remote daemon in a guest, which Pacemaker will do from the one that runs the VM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.drivers.libvirt.addresses import Reach
from vmmgr.drivers.pacemaker.guestnode import PORT
from vmmgr.errors import VmMgrError
from vmmgr.operations.steps import ReadEach
from vmmgr.operations.survey import is_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.drivers.pacemaker.guestnode import GuestNode
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps


def ways(context: Context, view: View, node: GuestNode) -> Steps[dict[str, Reach | VmMgrError]]:
    """Return what becomes of a connection from each hypervisor that is on."""
    reach = context.hypervisor.reach(node.address, node.port or PORT)
    hosts = [machine.name for machine in context.site.hypervisors if is_on(view, machine.name)]
    answers = yield ReadEach(dict.fromkeys(hosts, (reach,)))
    return {host: answer if isinstance(answer, VmMgrError) else answer[0] for host, answer in answers.items()}


def way_problems(found: Mapping[str, Reach | VmMgrError], node: GuestNode) -> list[str]:
    """Return why a hypervisor gets no connection, by what became of those; empty if all of them do."""
    problems = [str(way) for way in found.values() if isinstance(way, VmMgrError)]
    return problems + blocked_problems([host for host, way in found.items() if way in {Reach.CLOSED, Reach.BLOCKED}], node)


def blocked_problems(hosts: list[str], node: GuestNode) -> list[str]:
    """Return the sentence that names the hypervisors that cannot reach a guest."""
    if not hosts:
        return []
    where = f"{node.address} port {node.port or PORT}/tcp"
    why = "Pacemaker connects from the hypervisor that the VM runs on, so open it there, in the guest and on the way between"
    return [f"{where} cannot be reached from {', '.join(hosts)}. {why}."]
