"""The hooks. vm-mgr imports this module, so it imports nothing that takes long; vm-mgr imports the driver when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmmgr.hookspecs import DriverSpec, hookimpl

if TYPE_CHECKING:
    from vmmgr.hookspecs import Operation, Outcome

VMMGR_API = 1
HERE = Path(__file__).parent


@hookimpl
def vmmgr_drivers() -> list[DriverSpec]:
    """Offer the drivers. For clusters, crmsh itself comes first with ``auto``; for guests, whatever has apt, dnf or zypper."""
    return [
        DriverSpec("cluster", "locked-crmsh", "sample_site.cluster:LockedCrmsh", "crm"),
        DriverSpec("guest", "appliance", "sample_site.guest:Appliance", "pacemaker-remoted"),
    ]


@hookimpl
def vmmgr_templates() -> list[str]:
    """Name the folder of the drivers' templates, and of the one that replaces a template of vm-mgr."""
    return [str(HERE / "templates")]


@hookimpl
def vmmgr_checks() -> list[str]:
    """Name the folder of the checks."""
    return [str(HERE / "checks")]


@hookimpl
def vmmgr_before(operation: Operation) -> str | None:
    """Refuse a new VM whose name is not as the site wants it."""
    from sample_site.naming import complaint

    new = {"create": operation.vm, "clone": operation.options.get("dst_name")}.get(operation.verb)
    return None if new is None else complaint(str(new))


@hookimpl
def vmmgr_after(operation: Operation, outcome: Outcome) -> None:
    """Keep the audit trail."""
    from sample_site.trail import note

    note(operation, outcome)
