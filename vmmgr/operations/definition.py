"""What a VM is to the cluster: the settings that an administrator chooses, as metadata of its disk and as a resource.

The metadata keys and the shape of the resource are vm_manager's, so that either tool can enable what the other made.
Deliberately better than there: a preferred host is a finite score, observers are never probed, and all of it is one change.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from vmmgr.drivers.pacemaker.guestnode import ATTRIBUTES
from vmmgr.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmmgr.operations.context import Context

# The score of a preferred host: finite, so that the VM runs elsewhere when it must, and a site's resource-stickiness
# decides whether it comes back by itself.
PREFERENCE = 1000
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
# Pacemaker's meta attributes of a VM that is also a node (pacemaker-remote), and vm_manager's keys for them.
REMOTE_KEYS = dict(
    zip(ATTRIBUTES, ("_remote_node", "_remote_node_address", "_remote_node_port", "_remote_node_timeout"), strict=True)
)

# Where the further commands in the language of each cluster driver are kept: vm_manager's key for crm's, our own for pcs'.
COMMAND_KEYS = {"crmsh": "_crm_config_cmd", "pcs": "_pcs_config_cmd"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How Pacemaker is to run a VM.

    Times are seconds, the downtime milliseconds; ``remote`` has the meta attributes of a VM that is a node as well;
    ``commands`` are further commands by the cluster driver whose language they are in, the empty name being the site's own.
    """

    pinned_host: str | None = None
    preferred_host: str | None = None
    live_migration: bool = False
    migration_user: str | None = None
    stop_timeout: int = 30
    migrate_to_timeout: int = 120
    migration_downtime: int = 0
    priority: int = 0
    pacemaker_meta: Mapping[str, str] = field(default_factory=dict)
    pacemaker_params: Mapping[str, str] = field(default_factory=dict)
    pacemaker_utilization: Mapping[str, str] = field(default_factory=dict)
    remote: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself or cannot stand in a CIB.

        Raises:
            UsageError: One sentence on the first thing found.
        """
        if self.pinned_host and self.preferred_host:
            raise UsageError(
                "A VM is either pinned to a host or prefers one; give --pinned-host or --preferred-host, not both."
            )
        for option in ("meta", "params", "utilization"):
            for key in getattr(self, f"pacemaker_{option}"):
                if not _KEY.fullmatch(key):
                    raise UsageError(f"{key!r} in --pacemaker-{option} is no attribute name: letters, digits, '_', '.', '-'.")
        if "target-role" in self.pacemaker_meta:
            raise UsageError("The target role of a VM is set by start, stop and --nostart, not by --pacemaker-meta.")
        for line in itertools.chain.from_iterable(self.commands.values()):
            _words(line)

    def for_driver(self, name: str) -> Settings:
        """Return the settings with the site's own commands taken for those of a cluster driver.

        Raises:
            RefusedError: It cannot run them, or there are commands in the language of another one.
        """
        foreign = [line for tool, lines in self.commands.items() if tool not in {"", name} for line in lines]
        if foreign:
            raise RefusedError(
                f"The cluster of this site is changed by the driver {name}, which cannot run the line {foreign[0]!r}; "
                "give it with --add-cluster-cmd, in the words of the site's own tool, or leave it out."
            )
        own = (*self.commands.get(name, ()), *self.commands.get("", ()))
        if own and name not in COMMAND_KEYS:
            raise RefusedError(f"The cluster driver {name} runs no further commands, such as {own[0]!r}; leave them out.")
        return replace(self, commands={name: own} if own else {})

    def lines(self, name: str) -> list[list[str]]:
        """Return the words of each command in the language of a cluster driver."""
        return [_words(line) for line in self.commands.get(name, ())]

    def to_metadata(self) -> dict[str, str]:
        """Return the settings as vm_manager's metadata; those that have their default value are left out there too."""
        texts = {
            "_pinned_host": self.pinned_host,
            "_preferred_host": self.preferred_host,
            "_live_migration": "true" if self.live_migration else None,
            "_migration_user": self.migration_user or "root",
            "_stop_timeout": str(self.stop_timeout),
            "_migrate_to_timeout": str(self.migrate_to_timeout),
            "_migration_downtime": str(self.migration_downtime),
            "_priority": str(self.priority),
        }
        dictionaries = {
            "_pacemaker_meta": self.pacemaker_meta,
            "_pacemaker_params": self.pacemaker_params,
            "_pacemaker_utilization": self.pacemaker_utilization,
        }
        found = {key: text for key, text in texts.items() if text is not None}
        found |= {key: self.remote[name] for name, key in REMOTE_KEYS.items() if name in self.remote}
        found |= {COMMAND_KEYS[tool]: "\n".join(lines) for tool, lines in self.commands.items() if lines}
        return found | {key: json.dumps(dict(pairs)) for key, pairs in dictionaries.items() if pairs}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Settings:
        """Read the settings of a VM that either tool made.

        Raises:
            UsageError: A value is not of its kind; the message names the key.
        """
        values: dict[str, Any] = {}
        for key in ("pinned_host", "preferred_host", "migration_user"):
            if metadata.get(f"_{key}"):
                values[key] = metadata[f"_{key}"]
        for key in ("stop_timeout", "migrate_to_timeout", "migration_downtime", "priority"):
            if f"_{key}" in metadata:
                values[key] = _number(f"_{key}", metadata[f"_{key}"])
        for key in ("pacemaker_meta", "pacemaker_params", "pacemaker_utilization"):
            if f"_{key}" in metadata:
                values[key] = _pairs(f"_{key}", metadata[f"_{key}"])
        texts = {tool: metadata.get(key, "").split("\n") for tool, key in COMMAND_KEYS.items()}
        # vm_manager leaves out empty lines too
        commands = {tool: tuple(filter(str.strip, lines)) for tool, lines in texts.items()}
        values["commands"] = {tool: lines for tool, lines in commands.items() if lines}
        values["remote"] = {name: metadata[key] for name, key in REMOTE_KEYS.items() if metadata.get(key)}
        return cls(live_migration=metadata.get("_live_migration", "").lower() == "true", **values)


def without_settings(metadata: Mapping[str, str]) -> dict[str, str]:
    """Leave out the metadata that are settings, and those of a VM that is a node as well."""
    keys = {f"_{item.name}" for item in fields(Settings)} | {*REMOTE_KEYS.values(), *COMMAND_KEYS.values()}
    return {key: text for key, text in metadata.items() if key not in keys}


def definition(
    context: Context, vm: str, settings: Settings, *, agent: str, config: str, observers: list[str], started: bool
) -> str:
    """Return the CIB document of a VM: its primitive with its constraints.

    Args:
        context: For the templates.
        vm: Its name.
        settings: As chosen.
        agent: The provider of the resource agent: ``seapath`` or ``heartbeat``.
        config: The domain XML file that the agent starts the VM from.
        observers: The cluster nodes that must not even be probed.
        started: The target role.
    """
    params = {
        "config": config,
        "hypervisor": "qemu:///system",
        "force_stop": "false",
        "migration_transport": "ssh",
        "migration_user": settings.migration_user or "root",
        "migration_downtime": settings.migration_downtime,
    }
    if agent == "seapath":
        params["seapath"] = "true"
    meta = {"allow-migrate": str(settings.live_migration).lower(), "priority": settings.priority}
    return context.renderer.xml(
        "pacemaker/definition",
        vm=vm,
        agent=("ocf", agent, "VirtualDomain"),
        params=params | dict(settings.pacemaker_params),
        meta=meta
        | dict(settings.remote)
        | dict(settings.pacemaker_meta)
        | {"target-role": "Started" if started else "Stopped"},
        operations=[
            ("start", "0s", "120s"),
            ("stop", "0s", f"{settings.stop_timeout}s"),
            ("migrate_from", "0s", "60s"),
            ("migrate_to", "0s", f"{settings.migrate_to_timeout}s"),
            ("monitor", "10s", "60s"),
        ],
        utilization=dict(settings.pacemaker_utilization),
        observers=observers,
        pinned_host=settings.pinned_host or "",
        preferred_host=settings.preferred_host or "",
        preference=PREFERENCE,
    )


def _words(line: str) -> list[str]:
    """Split a command as a shell would, which none ever does with it.

    Raises:
        UsageError: It is none, or a quote is not closed.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"The cluster command {line!r} cannot be split into words: {error}; close its quotes.") from error
    if not words or "\n" in line or "\0" in line:
        raise UsageError(f"{line!r} is no cluster command: give one line, such as 'location near web 100: hv1'.")
    return words


def _number(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"The metadata {key} of the VM is {text!r}, which is no whole number; set it right.") from error


def _pairs(key: str, text: str) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in dict(json.loads(text)).items()}
    except (ValueError, TypeError) as error:
        raise UsageError(f"The metadata {key} of the VM is no JSON object of names and values; set it right.") from error
