"""``add_service``, ``list_services``, ``remove_service``, ``start_service`` and ``stop_service``."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from vmmgr.app import filled
from vmmgr.commands.base import SiteCommand, SiteLister, add_name, add_waiting, seconds
from vmmgr.commands.create import pair, whole
from vmmgr.errors import UsageError
from vmmgr.model import Status
from vmmgr.text import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from vmmgr.model import ServiceState
    from vmmgr.operations.steps import Steps

COLUMNS = ("VM", "Service", "Kind", "Status", "Failures", "Reason")


class ServiceCommand(SiteCommand):
    """A command about one service."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the VM and the service."""
        parser = super().get_parser(prog_name)
        add_name(parser)
        parser.add_argument("service", type=filled, metavar="NAME", help="name of the service")
        return parser

    def report(self, state: ServiceState) -> None:
        """Print the state of a service as a sentence; a failure that is over by now is for ``list_services`` to tell."""
        is_over = state.failures and state.status is not Status.FAILED
        reason = f": {'; '.join(state.details)}" if state.details and not is_over else ""
        self.say(f"Service {state.name} of VM {state.vm} is {state.status}{reason}.")


class AddService(ServiceCommand):
    """Have Pacemaker run a service in a VM that is a guest node, watch it, and restart it when it fails."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        kind = parser.add_mutually_exclusive_group(required=True)
        kind.add_argument("--systemd", type=filled, metavar="UNIT", help="a unit of the guest's systemd")
        kind.add_argument(
            "--ocf", nargs="+", type=filled, metavar=("AGENT", "KEY=VALUE"),
            help="an OCF agent in the guest, such as pacemaker:Dummy, with its parameters; heartbeat's without a provider",
        )  # fmt: skip
        kind.add_argument(
            "--container", nargs="+", type=filled, metavar=("IMAGE", "KEY=VALUE"),
            help="a container of this image, with further parameters of the agent",
        )  # fmt: skip
        parser.add_argument(
            "--engine", choices=("podman", "docker"), default="podman", help="what runs the container in the guest (podman)"
        )
        for option, default, text in (
            ("interval", 10, "between two looks at whether it runs"),
            ("monitor-timeout", 60, "that a look may take"),
            ("start-timeout", 100, "that its start may take"),
            ("stop-timeout", 100, "that its stop may take"),
        ):
            parser.add_argument(f"--{option}", type=whole, default=default, metavar="SECONDS", help=f"{text} ({default})")
        parser.add_argument("--attempts", type=whole, metavar="N", help="give it up after so many failures; default: never")
        parser.add_argument(
            "--restart-vm-after", type=whole, metavar="N",
            help="restart the VM after so many failures of the running service; Pacemaker can keep 1 only, and needs fencing for it",
        )  # fmt: skip
        parser.add_argument("--nostart", dest="start", action="store_false", help="do not start it")
        add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Add it and say how it is doing."""
        from vmmgr.operations.servicedefinition import ServiceRequest
        from vmmgr.operations.services import add_service

        options = parsed_args
        agent, params = _agent(options)
        request = ServiceRequest(
            options.name,
            options.service,
            agent,
            params,
            interval=options.interval,
            monitor_timeout=options.monitor_timeout,
            start_timeout=options.start_timeout,
            stop_timeout=options.stop_timeout,
            attempts=options.attempts,
            restart_vm_after=options.restart_vm_after,
            start=options.start,
        )
        self.report(self.operate(lambda context: add_service(context, request, wait=options.wait, timeout=options.timeout)))


class ListServices(SiteLister):
    """List the services in VMs, with what Pacemaker remembers of their failures."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filter."""
        parser = super().get_parser(prog_name)
        parser.add_argument("-n", "--name", metavar="VM", help="only those of this VM")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Print the table."""
        from vmmgr.operations.services import list_services

        found = self.operate(lambda context: list_services(context, parsed_args.name))
        return COLUMNS, [_row(item) for item in found]


class RemoveService(ServiceCommand):
    """Stop a service and take it out of the cluster; what it is made of stays in the guest."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the option."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long it may take to stop; default: its own")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove it and say so."""
        from vmmgr.operations.servicerunning import remove_service

        options = parsed_args
        self.operate(lambda context: remove_service(context, options.name, options.service, timeout=options.timeout))
        self.say(f"Service {options.service} of VM {options.name} is removed.")


class WaitingCommand(ServiceCommand):
    """A command that has a service run or not, and waits for it."""

    @property
    @abstractmethod
    def operation(self) -> Callable[..., Steps[ServiceState]]:
        """What does it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser = super().get_parser(prog_name)
        add_waiting(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Do it and say how the service is doing."""
        options, change = parsed_args, self.operation
        self.report(
            self.operate(
                lambda context: change(context, options.name, options.service, wait=options.wait, timeout=options.timeout)
            )
        )


class StartService(WaitingCommand):
    """Start a service in a VM and wait until it runs; one that was given up is tried again."""

    @property
    def operation(self) -> Callable[..., Steps[ServiceState]]:
        """What does it."""
        from vmmgr.operations.servicerunning import start_service

        return start_service


class StopService(WaitingCommand):
    """Stop a service in a VM and wait until it has stopped; the VM goes on."""

    @property
    def operation(self) -> Callable[..., Steps[ServiceState]]:
        """What does it."""
        from vmmgr.operations.servicerunning import stop_service

        return stop_service


def _agent(options: argparse.Namespace) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return what runs the service, and its parameters.

    Raises:
        UsageError: The agent has another shape than provider and type, or what stands behind it is no parameter.
    """
    if options.systemd:
        return ("systemd", options.systemd.removesuffix(".service")), {}
    first, *words = options.ocf or options.container
    if wrong := next((word for word in words if "=" not in word), None):
        raise UsageError(f"{wrong!r} is not of the form KEY=VALUE; the name of the service stands before the options.")
    params = dict(map(pair, words))
    if options.container:
        return ("ocf", "heartbeat", options.engine), {"image": first, "name": f"{options.name}.{options.service}"} | params
    provider, colon, agent = first.removeprefix("ocf:").partition(":")
    return ("ocf", provider, agent) if colon else ("ocf", "heartbeat", provider), params


def _row(state: ServiceState) -> tuple[str, str, str, str, int, str]:
    return (
        one_line(state.vm),
        one_line(state.name),
        one_line(state.kind),
        str(state.status),
        state.failures,
        one_line("; ".join(state.details)),
    )
