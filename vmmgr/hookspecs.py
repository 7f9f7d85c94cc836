"""The hooks that a plugin may implement, and what they are given. docs/plugins.rst tells how to write a plugin.

A plugin is a module named by an entry point of the group ``vmmgr``. It may state in ``VMMGR_API`` for which version of these
hooks and of the driver classes it was written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "vmmgr"
# Raised by one when something here or in drivers/base changes so that a plugin has to be changed too; not for what is new.
API = 1
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

KINDS = ("cluster", "storage", "hypervisor", "guest")


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """A driver that a plugin offers; nothing of it is imported before it is used.

    Attributes:
        kind: ``cluster``, ``storage``, ``hypervisor`` or ``guest``.
        name: What a site's configuration calls it; one of its kind.
        target: Where the class is: ``package.module:Class``.
        program: The program that a node, or a guest, must have for it; ``auto`` looks for that.
    """

    kind: str
    name: str
    target: str
    program: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What somebody wants done: a verb that changes something, as it was called.

    Attributes:
        verb: The verb, ``create_snapshot`` for instance.
        vm: The VM that it is called for (``--name``); empty where it is for none.
        options: The other options of the verb by their long names with "_" for "-", also those that were not given; of such
            values as JSON has. The values of metadata, of the parameters of a service's agent, and the lines for the cluster's
            tool may hold secrets: they are ``***``.
        site: The name of the site.
        who: Who calls it: ``user@workstation``.
        dry_run: Whether nothing is to be changed.
    """

    verb: str
    vm: str
    options: Mapping[str, object]
    site: str = ""
    who: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an operation.

    Attributes:
        result: ``done``, ``failed``, ``usage``, ``refused``, ``unreachable``, ``unknown`` or ``interrupted``.
        exit_code: That of vm-mgr; 1 or one of a plugin's own where it failed, otherwise one for each result.
        message: What stderr tells the user; empty where it is done.
    """

    result: str
    exit_code: int
    message: str = ""


@hookspec
def vmmgr_drivers() -> list[DriverSpec]:
    """Return the drivers that this plugin offers; called when a driver is looked up.

    Of two drivers of the same kind and name the first stays, built-in ones before others, and the other is reported.
    """
    raise NotImplementedError


@hookspec
def vmmgr_templates() -> list[str]:
    """Return the folders that hold templates of this plugin, as ``FOLDER/NAME.j2``: those of its drivers, and replacements.

    A site's own folder of templates comes before them, and the packaged templates come after them.
    """
    raise NotImplementedError


@hookspec
def vmmgr_checks() -> list[str]:
    """Return the folders that hold the checks of this plugin, for ``vm-mgr check``; see ``vmmgr.checks``."""
    raise NotImplementedError


@hookspec
def vmmgr_before(operation: Operation) -> str | None:
    """Return why an operation must not be done here, as a sentence for the user; None where nothing speaks against it.

    Called before anybody is contacted, in a dry run too. With a reason of any plugin, nothing is done, all reasons are told, and
    the exit code is 3. An exception is a reason as well: a rule that cannot be asked must not be passed by.
    """
    raise NotImplementedError


@hookspec
def vmmgr_after(operation: Operation, outcome: Outcome) -> None:
    """Take note of what became of an operation: done, refused, failed or interrupted; not called in a dry run.

    An exception is told as a warning, and changes nothing. What ends vm-mgr at once (SIGKILL, a power cut) leaves no time for it.
    """
    raise NotImplementedError
