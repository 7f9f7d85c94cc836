"""The way into a guest: its address, and how to be root there. From then on it is a host like any other."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vmmgr.errors import ChangedHostKeyError, ConnectError, RefusedError, VmMgrError
from vmmgr.operations.definition import REMOTE_KEYS
from vmmgr.operations.steps import Join, Say, read

if TYPE_CHECKING:
    from vmmgr.drivers.libvirt.addresses import Address
    from vmmgr.operations.context import Context
    from vmmgr.operations.nodesettings import NodeSettings
    from vmmgr.operations.steps import Steps


def find_address(context: Context, now: NodeSettings, host: str) -> Steps[str]:
    """Return the address of a guest: that of its settings as a node, or else the one that the hypervisor it runs on knows.

    Raises:
        RefusedError: Nobody knows one, or there are several.
    """
    if known := now.attributes.get("remote-addr") or now.metadata.get(REMOTE_KEYS["remote-addr"], ""):
        return known
    vm, option = now.vm, "give it with --address"
    try:
        found = yield from read(host, context.hypervisor.addresses(vm))
    except VmMgrError as error:
        raise RefusedError(f"The address of VM {vm} cannot be found out, so {option}. {error}") from error
    candidates = _candidates(found)
    if not candidates:
        raise RefusedError(
            f"Neither the guest's agent nor libvirt's leases nor the ARP table of {host} tell the address of VM {vm}; {option}."
        )
    if len(candidates) > 1:
        raise RefusedError(f"VM {vm} has the addresses {', '.join(candidates)}; choose the one for Pacemaker: {option}.")
    return candidates[0]


def _candidates(found: tuple[Address, ...]) -> list[str]:
    """Return the addresses of the first source that has any; where the guest has addresses of IPv4, only these."""
    for source in dict.fromkeys(item.source for item in found):
        addresses = list(dict.fromkeys(item.address for item in found if item.source == source))
        return [address for address in addresses if ":" not in address] or addresses
    return []


def enter(context: Context, vm: str, host: str, address: str, user: str | None) -> Steps[str]:
    """Connect to a guest by SSH, directly or passed on by its hypervisor, or else by its own agent; return its name as a host.

    The keys are those for the site's machines, and what the workstation's ssh_config says; its host key is checked as theirs.

    Raises:
        ConnectError: There is no way; the message has the reason for each.
    """
    from vmmgr.remote import Way
    from vmmgr.site.model import Machine

    keys = tuple(dict.fromkeys(key for machine in context.site.machines for key in machine.key_files))
    direct = Machine(f"guest {vm}", address, user=user, key_files=keys)
    relayed = Machine(f"guest {vm} through {host}", address, user=user, key_files=keys)
    relay = context.hypervisor.relay(address, 22)
    try:
        return (yield Join((Way(direct), Way(relayed, host, relay.argv))))  # type: ignore[no-any-return]
    except ConnectError as error:
        return (yield from _enter_by_agent(context, vm, host, address, error))


def _enter_by_agent(context: Context, vm: str, host: str, address: str, failure: ConnectError) -> Steps[str]:
    """Enter a guest by its own agent after ``failure`` of SSH, and tell of that.

    A host key that has changed is a reason to warn, not to stop: whoever may be between the workstation and the guest's sshd is not
    between the hypervisor and the machine that it runs, and that is the one that is to be entered.
    """
    from vmmgr.remote import AgentCommands, Way
    from vmmgr.site.model import Machine

    commands = AgentCommands(partial(context.hypervisor.agent_run, vm), partial(context.hypervisor.agent_write, vm))
    guest = Machine(f"guest {vm} by its agent on {host}", address)
    try:
        entered = yield Join((Way(guest, host, agent=commands),))
    except ConnectError as error:
        raise type(failure)(f"{failure}\n{error}") from error
    warning = isinstance(failure, ChangedHostKeyError)
    yield Say(f"SSH does not lead into the guest, so its agent on {host} runs the commands. {failure}", warning=warning)
    return entered  # type: ignore[no-any-return]
