"""Brings the site, the connections and the runner together for one operation."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vmmgr.hookspecs import Operation
    from vmmgr.operations.context import Context
    from vmmgr.operations.steps import Steps
    from vmmgr.remote import Remote
    from vmmgr.site import Site

T = TypeVar("T")


def run_on_site(
    operation: Callable[[Context], Steps[T]],
    *,
    site: str | None,
    inventories: Sequence[Path],
    config: Path | None,
    quiet: bool = False,
    preview: Callable[[str], None] | None = None,
    announce: Operation | None = None,
) -> T:
    """Run an operation on the site that these options, the environment and the configuration choose.

    With ``preview``, nothing is changed; it is given the text of what would be run and changed, also when that would fail. Plugins
    are told what to ``announce``, before and after.

    Raises:
        VmMgrError: The site cannot be chosen or reached, a plugin refused the operation, or it failed.
    """
    from vmmgr.names import Names
    from vmmgr.operations.context import Context
    from vmmgr.operations.reporting import TerminalReporter
    from vmmgr.operations.runner import Runner

    chosen = choose_site(site=site, inventories=inventories, config=config)
    reporter = TerminalReporter(quiet=quiet)
    with ExitStack() as stack:
        if announce is not None:
            from vmmgr.announcing import announced

            stack.enter_context(announced(replace(announce, site=chosen.name, who=who()), reporter))
        remote = stack.enter_context(reach(chosen))
        context = Context(chosen, who(), approach=lambda: remote.approach(chosen.control_candidates[0]))
        names = Names(site, inventories, config, os.environ)
        names.keep("hypervisors", [machine.name for machine in chosen.hypervisors])
        names.keep("machines", [machine.name for machine in chosen.machines])
        if preview is None:
            return Runner(chosen, remote, reporter).run(operation(context))
        from vmmgr.operations.dryrun import DryRunner

        rehearsal = DryRunner(chosen, remote, reporter, context.reader)
        try:
            value = rehearsal.run(operation(context))
        except BaseException:
            if rehearsal.plan:
                preview(rehearsal.text(context.generated))
            raise
        preview(rehearsal.text(context.generated))
        return value


def choose_site(*, site: str | None, inventories: Sequence[Path], config: Path | None) -> Site:
    """Return the site that these options, the environment and the configuration choose, and tell its warnings.

    Raises:
        ConfigurationError: Nothing says which site is meant, or the configuration or inventory cannot be used.
    """
    from vmmgr.operations.reporting import TerminalReporter
    from vmmgr.site import load_site

    chosen = load_site(site=site, inventories=inventories, config=config, environ=os.environ)
    for warning in chosen.warnings:
        TerminalReporter().say(warning, warning=True)
    return chosen


def reach(site: Site) -> Remote:
    """Return the connections to the machines of a site, none of them open yet; ask for sudo's password where it is wanted."""
    from vmmgr.remote import Remote, Settings

    password = getpass.getpass(f"Password for sudo on the machines of {site.name}: ") if site.sudo == "password" else None
    settings = Settings(known_hosts=site.known_hosts, connect_timeout=site.connect_timeout)
    return Remote(site.machines, settings, sudo_password=password)


def who() -> str:
    """Return the user and the workstation, for others to see who works on a VM."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without an entry in the user database
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
