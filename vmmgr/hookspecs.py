"""The hooks that a plugin may implement. A plugin is a module named by an entry point of the group ``vmmgr``."""

from __future__ import annotations

from dataclasses import dataclass

import pluggy

GROUP = "vmmgr"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

KINDS = ("cluster", "storage", "hypervisor")


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """A driver that a plugin offers; nothing of it is imported before it is used.

    Attributes:
        kind: ``cluster``, ``storage`` or ``hypervisor``.
        name: What a site's configuration calls it; one of its kind.
        target: Where the class is: ``package.module:Class``.
        program: The program that a node must have for it; ``auto`` looks for that.
        templates: The folder that holds the folder of its templates; empty for the packaged ones.
    """

    kind: str
    name: str
    target: str
    program: str
    templates: str = ""


@hookspec
def vmmgr_drivers() -> list[DriverSpec]:
    """Return the drivers that this plugin offers; called once, when a driver is first looked up.

    Of two drivers of the same kind and name the first stays, built-in ones before others, and the other is reported.
    """
    raise NotImplementedError


@hookspec
def vmmgr_checks() -> list[str]:
    """Return the folders that hold the checks of this plugin, for ``vm-mgr check``; see ``vmmgr.checks``."""
    raise NotImplementedError
