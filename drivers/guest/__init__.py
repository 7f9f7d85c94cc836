"""Guests with systemd, whatever their package manager: the remote daemon as a service, its port, and folders for packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmmgr.command import Command, succeeded, text_of
from vmmgr.drivers.base import GuestDriver
from vmmgr.drivers.guest.facts import parse_guest, parse_packages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmmgr.drivers.guest.facts import Guest, Packages
    from vmmgr.remote.batch import Result
    from vmmgr.rendering import Renderer

# The package with the remote daemon, and that with the agents of which most services are made: the same names everywhere.
REMOTE, AGENTS = "pacemaker-remote", "resource-agents"
# Where it is written down in the guest what was installed.
_RECORD = "/var/lib/vm-mgr/packages"
# Where systemd is told what is special about the service here (systemd.unit(5)).
_DROP_IN = "/etc/systemd/system/pacemaker_remote.service.d/vm-mgr.conf"
# Seconds: to send a folder of packages, and to install some fifty of them in a slow guest.
_LONG = 1800.0


def survey(renderer: Renderer, port: int, programs: Sequence[str]) -> Command[Guest]:
    """Read what a guest is, which of these programs it has, and how far it is as a node of Pacemaker on that port."""
    return Command(renderer.argv("guest/survey", record=_RECORD, port=port, tools=programs), parse_guest)


class GuestTools(GuestDriver):
    """Builds the commands; what a package manager has to do is in templates of its own folder.

    A folder without ``download`` will do as well: then guests can be deployed, and ``vm-mgr deploy --download`` fails.
    """

    templates = ("install", "packages", "uninstall")

    def packages(self) -> Command[Packages]:
        return Command(self.renderer.argv(f"{self.folder}/packages", package=REMOTE), parse_packages)

    def make_folder(self, folder: str) -> Command[None]:
        return self._change("guest/make_folder", folder=folder)

    def receive(self, folder: str) -> Command[None]:
        return self._change("guest/receive", folder=folder, timeout=_LONG)

    def remove_folder(self, folder: str) -> Command[None]:
        return self._change("guest/remove_folder", folder=folder)

    def install(self, folder: str) -> Command[tuple[str, ...]]:
        argv = self.renderer.argv(f"{self.folder}/install", record=_RECORD, folder=folder, packages=(REMOTE, AGENTS))
        return Command(argv, _names, changes=True, timeout=_LONG, foretold=())

    def uninstall(self) -> Command[str]:
        argv = self.renderer.argv(f"{self.folder}/uninstall", record=_RECORD)
        return Command(argv, lambda result: " ".join(text_of(result).split()), changes=True, timeout=_LONG, foretold="")

    def download(self, folder: str) -> Command[None]:
        argv = self.renderer.argv(f"{self.folder}/download", folder=folder, packages=(REMOTE, AGENTS))
        return Command(argv, succeeded, changes=True, timeout=_LONG)

    def start(self, port: int) -> Command[None]:
        return self._change("guest/start", file=_DROP_IN, port=port, timeout=120.0)

    def daemon(self) -> Command[str]:
        return Command(self.renderer.argv("guest/daemon"), lambda result: " / ".join(text_of(result).splitlines()))

    def stop(self) -> Command[None]:
        return self._change("guest/stop", file=_DROP_IN, timeout=120.0)

    def open_port(self, port: int) -> Command[None]:
        return self._change("guest/open_port", port=port)

    def close_port(self, port: int) -> Command[None]:
        return self._change("guest/close_port", port=port)

    def _change(self, template: str, *, timeout: float = 60.0, **values: str | int) -> Command[None]:
        return Command(self.renderer.argv(template, **values), succeeded, changes=True, timeout=timeout)


def _names(result: Result) -> tuple[str, ...]:
    return tuple(text_of(result).split())
