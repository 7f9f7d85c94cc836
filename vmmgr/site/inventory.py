"""Hosts, groups and variables as Ansible sees them, before expressions in the variables are evaluated.

Precedence of variables, later ones win (Ansible, "Understanding variable precedence"):

1. variables of the group ``all``, then of other groups, in the inventory files;
2. group_vars/all, then group_vars of other groups;
3. variables of the host in the inventory files;
4. host_vars.

Among groups, parents come before their children; groups of equal depth are ordered by ``ansible_group_priority``, then by
name. Among several inventories the later one wins. A variable replaces another one as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vmmgr.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vmmgr.site.varfiles import VariableFiles

Variables = dict[str, object]
# places of groups, counted with repetitions, as YAML aliases can multiply a small file beyond all bounds
MAX_PLACES = 10_000


@dataclass(slots=True)
class Group:
    """A group's own content; ``hosts`` and ``children`` are ordered sets."""

    variables: Variables = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)


class Inventory:
    """What the inventory files say, merged.

    Attributes:
        hosts: variables given to each host in the files; the order of first appearance is the order of the inventory.
        groups: by name; ``all`` is always there.
        folders: the folder of the file in which each host appears first (Ansible's ``inventory_dir``).
    """

    def __init__(self, files: VariableFiles) -> None:
        self.hosts: dict[str, Variables] = {}
        self.groups: dict[str, Group] = {"all": Group()}
        self.folders: dict[str, Path] = {}
        self._files = files
        self._places = 0

    def add_host(self, name: str, group: str, variables: Variables, folder: Path) -> None:
        """Add a host to a group, or variables to a host that is known already."""
        self.folders.setdefault(name, folder)
        self.hosts.setdefault(name, {}).update(variables)
        self.add_group(group).hosts[name] = None

    def add_group(self, name: str, parent: str | None = None) -> Group:
        """Return the group of that name, made if there is none, and put it under a parent.

        Raises:
            ConfigurationError: the group would contain itself, or there are absurdly many groups.
        """
        self._places += 1
        if self._places > MAX_PLACES:
            raise ConfigurationError(f"The inventory names groups at more than {MAX_PLACES} places.")
        group = self.groups.setdefault(name, Group())
        if parent is not None:
            if parent in self._below(name) or name == "all":
                raise ConfigurationError(f"In the inventory, group {name!r} contains itself.")
            self.groups[parent].children[name] = None
        return group

    def members(self, name: str) -> tuple[str, ...]:
        """Return the hosts of a group and of the groups below it; none if there is no such group."""
        if name == "all":
            return tuple(self.hosts)
        if name not in self.groups:
            return ()
        return tuple(dict.fromkeys(host for group in self._below(name) for host in self.groups[group].hosts))

    def groups_of(self, host: str) -> list[str]:
        """Return the names of the groups a host is in, without ``all``, in order of increasing precedence."""
        depths = self._depths()
        groups = [name for name in self.groups if name != "all" and host in self.members(name)]
        return sorted(groups, key=lambda name: (depths[name], self._priority(name), name))

    def variables(self, host: str) -> Variables:
        """Return a host's variables, merged as the module's documentation says, not evaluated."""
        groups = self.groups_of(host)
        merged = dict(self.groups["all"].variables)
        for name in groups:
            merged |= self.groups[name].variables
        merged |= self._files.read("group_vars", ["all"])
        merged |= self._files.read("group_vars", groups)
        merged |= self.hosts[host]
        return merged | self._files.read("host_vars", [host])

    def _priority(self, group: str) -> int:
        value = self.groups[group].variables.get("ansible_group_priority", 1)
        if isinstance(value, int):
            return value
        raise ConfigurationError(f"In the inventory, ansible_group_priority of group {group!r} is not a whole number.")

    def _below(self, name: str) -> dict[str, None]:
        """Return a group and all groups below it, each level after the one above."""
        found = {name: None}
        queue = [name]
        for group in queue:
            new = [child for child in self.groups[group].children if child not in found]
            found |= dict.fromkeys(new)
            queue += new
        return found

    def _depths(self) -> dict[str, int]:
        """Return for each group the length of the longest way down from ``all``, which every group is in.

        The ways have no circles: ``add_group`` refuses them.
        """
        depths = dict.fromkeys(self.groups, 1) | {"all": 0}
        for name in self._parents_first():
            for child in self.groups[name].children:
                depths[child] = max(depths[child], depths[name] + 1)
        return depths

    def _parents_first(self) -> Iterator[str]:
        parents = dict.fromkeys(self.groups, 0)
        for group in self.groups.values():
            for child in group.children:
                parents[child] += 1
        ready = [name for name, count in parents.items() if not count]
        for name in ready:
            yield name
            for child in self.groups[name].children:
                parents[child] -= 1
                if not parents[child]:
                    ready.append(child)
