"""Asks all hypervisors at the same time what a VM needs there, and collects everything that is in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vmmgr.command import Command, CommandFailedError
from vmmgr.errors import RefusedError, VmMgrError
from vmmgr.operations.observation import observe
from vmmgr.operations.steps import Say, Where

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.drivers.libvirt.host import Hypervisor, Secret
    from vmmgr.operations.context import Context
    from vmmgr.operations.observation import View
    from vmmgr.operations.steps import Steps
    from vmmgr.remote import Result

# What SEAPATH calls it; a site with a single Ceph secret may call it anything.
_SECRET_USAGE = "client.libvirt secret"  # noqa: S105 - the name of a secret, not a secret
# In this order: the one that reads the domain XML from the image's metadata first.
_AGENTS = ("seapath", "heartbeat")


def config_file(vm: str) -> str:
    """Return the path of a VM's domain XML on the hypervisors, which is also vm_manager's."""
    return f"/etc/pacemaker/{vm}.xml"


@dataclass(frozen=True, slots=True)
class Survey:
    """The hypervisors that answered.

    Attributes:
        hosts: What each has; never empty.
        agent: The provider of the resource agent that all of them have.
        monitors: Ceph's monitors, address and port, where they were asked for.
    """

    hosts: dict[str, Hypervisor]
    agent: str
    monitors: tuple[tuple[str, int], ...] = ()

    @property
    def first(self) -> str:
        """The hypervisor to do the image work on."""
        return next(iter(self.hosts))

    @property
    def secret(self) -> Secret:
        """The secret with which all hypervisors open the images; see ``secret_problems``."""
        return next(secret for hypervisor in self.hosts.values() if (secret := _choose(hypervisor.secrets)))

    def secret_problems(self) -> list[str]:
        """Return why there is no such secret: the hypervisors have none, several, or not the same."""
        chosen = {host: _choose(hypervisor.secrets) for host, hypervisor in self.hosts.items()}
        problems = []
        if missing := [host for host, secret in chosen.items() if secret is None]:
            problems.append(
                f"libvirt on {', '.join(missing)} has no secret for Ceph with the usage name {_SECRET_USAGE!r}, "
                "nor a single one with another name; define it there (virsh secret-define)."
            )
        if len({secret for secret in chosen.values() if secret}) > 1:
            problems.append(
                f"The hypervisors {', '.join(chosen)} have different libvirt secrets for Ceph, so a VM could start on one only; "
                "give them the same UUID and usage name."
            )
        return problems


def survey_at_once(
    context: Context, vm: str, domain_xml: str | None, *, monitors: bool = False, more: tuple[Command[Any], ...] = ()
) -> Steps[tuple[View, Survey, list[str]]]:
    """Read the site, and ask every hypervisor at the same time; those that are off are named and block nothing.

    Args:
        context: The site.
        vm: The VM's name.
        domain_xml: A domain for each hypervisor to check; None when there is none to check.
        monitors: Whether Ceph's monitors are of interest.
        more: Further commands for the control host, as for ``observe``.

    Returns:
        The view, what those hypervisors said that answered, and the problems: one does not answer, none is on, the domain is
        refused, the agents are missing. Without problems, there is at least one host.

    Raises:
        RefusedError: There is no quorum.
        NotAnsweringError: Pacemaker or Ceph does not answer.
    """
    hosts = [machine.name for machine in context.site.hypervisors]
    questions = _questions(context, hosts, vm, domain_xml)
    asked = (*more, context.storage.monitors()) if monitors else more
    view = yield from observe(context, to_change=True, more=asked, beside=questions)
    found, problems = yield from _evaluate(context, view, vm, view.beside)
    if monitors:
        *own, addresses = view.more
        view, found = replace(view, more=tuple(own)), replace(found, monitors=addresses)
    return view, found, problems


def _evaluate(
    context: Context, view: View, vm: str, answers: Mapping[Where, list[Any] | VmMgrError]
) -> Steps[tuple[Survey, list[str]]]:
    """Judge what the hypervisors said; an answer of one that the cluster does not have online does not count."""
    hosts = [name for name in answers if isinstance(name, str) and is_on(view, name)]
    if not hosts:
        return Survey({}, ""), ["None of the hypervisors is online in the cluster; bring one back and try again."]
    # the one that speaks for the cluster has enough to do
    hosts.sort(key=lambda host: host == view.host)
    said = {host: answer for host in hosts if not isinstance(answer := answers[host], VmMgrError)}
    problems = [str(answers[host]) for host in hosts if host not in said]
    problems += [f"The domain XML cannot be used: {answer[1]}" for answer in said.values() if answer[1]]
    found = {host: answer[0] for host, answer in said.items()}
    agent = next((agent for agent in _AGENTS if all(agent in host.agents for host in found.values())), "")
    if found and not agent:
        problems.append(_lacking(found))
    yield from _name_those_off(context, hosts, vm, agent)
    return Survey(found, agent), list(dict.fromkeys(problems))


def _name_those_off(context: Context, hosts: list[str], vm: str, agent: str) -> Steps[None]:
    off = [machine.name for machine in context.site.hypervisors if machine.name not in hosts]
    if off and agent == "seapath":  # which fetches the domain XML itself
        yield Say(f"{', '.join(off)} is not online and is left out.", warning=True)
    elif off:
        yield Say(
            f"{', '.join(off)} is not online, and gets no domain XML of VM {vm}: once it is back, `vm-mgr enable -n {vm}` "
            "gives it one. Until then the VM cannot run there.",
            warning=True,
        )


def refuse_if(problems: list[str]) -> None:
    """Refuse to go on, with every reason in one message.

    Raises:
        RefusedError: There is a problem.
    """
    if problems:
        raise RefusedError(*problems)


def is_on(view: View, name: str) -> bool:
    """Whether the cluster has that machine online."""
    node = view.simulation.nodes.get(name)
    return node is not None and node.kind == "member" and node.online


def _lacking(found: dict[str, Hypervisor]) -> str:
    """Say which hypervisors have no resource agent, or that they have different ones."""
    lacking = [name for name, host in found.items() if not host.agents]
    if lacking:
        return f"{', '.join(lacking)} lacks the resource agent VirtualDomain; install resource-agents there."
    return (
        f"The hypervisors {', '.join(found)} have no resource agent VirtualDomain in common; install the same on all of them."
    )


def _questions(context: Context, hosts: list[str], vm: str, domain_xml: str | None) -> dict[Where, tuple[Command[Any], ...]]:
    """Return what to ask each hypervisor."""
    inspect = context.hypervisor.inspect(config_file(vm))
    check = _complaint(context.hypervisor.validate(domain_xml)) if domain_xml else Command(("true",), lambda _result: "")
    return dict.fromkeys(hosts, (inspect, check))


def _complaint(command: Command[None]) -> Command[str]:
    """Make the failure of a check its value, so that it can be told together with other problems."""

    def parse(result: Result) -> str:
        try:
            command.parse(result)
        except CommandFailedError:
            return f"{result.host} says: {result.error_text or f'exit code {result.exit_code}'}"
        return ""

    return Command(command.argv, parse, command.stdin, command.changes, command.timeout)


def _choose(secrets: tuple[Secret, ...]) -> Secret | None:
    named = [secret for secret in secrets if secret.usage == _SECRET_USAGE]
    if named:
        return named[0]
    return secrets[0] if len(secrets) == 1 else None
