"""From an inventory's hosts and variables to the machines of a cluster.

The groups ``hypervisors`` and ``observers`` say what belongs to the cluster. A host in both is a hypervisor. A host of
``standalone_machine`` that is not in ``cluster_machines`` belongs to no cluster and is left out. Where Ansible has an old and a
new name for a variable, the one that Ansible prefers wins.

A relative ``ansible_ssh_private_key_file`` starts at the current folder, as with Ansible, or if nothing is there, at the
inventory's folder. A key that this workstation does not have is left out with a warning: inventories are shared, keys are not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmmgr.errors import ConfigurationError
from vmmgr.site import ssharguments, values
from vmmgr.site.evaluation import Evaluator
from vmmgr.site.model import Machine

if TYPE_CHECKING:
    from vmmgr.site.inventory import Inventory

# the last one that is set wins
_HOST = ("ansible_host", "ansible_ssh_host")
_PORT = ("ansible_port", "ansible_ssh_port")
_USER = ("ansible_user", "ansible_ssh_user")
_KEY = ("ansible_private_key_file", "ansible_ssh_private_key_file")
# in the order in which Ansible puts them on the command line of ssh
_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_LOGIN_PASSWORDS = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_SUDO_PASSWORDS = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")


class Machines:
    """Makes the machines of an inventory.

    Attributes:
        machines: in the order of the inventory.
        sudo_password: the inventory has a password for sudo. It is never read: the user is asked for it.
        migration_user: ``livemigration_user`` of the first hypervisor.
        warnings: what the user should know, one sentence each.
    """

    def __init__(self, inventory: Inventory) -> None:
        """Make the machines.

        Raises:
            ConfigurationError: there is no hypervisor, or a value is not usable.
        """
        self._inventory = inventory
        self._evaluator = Evaluator(inventory)
        self._notes: dict[str, list[str]] = {}
        hypervisors, observers = self._members()
        names = [name for name in inventory.hosts if name in hypervisors or name in observers]
        self.machines = tuple(self._machine(name, hypervisor=name in hypervisors) for name in names)
        self._refuse_twins()
        self.sudo_password = any(key in self._evaluator.raw(name) for name in names for key in _SUDO_PASSWORDS)
        first = next(name for name in names if name in hypervisors)
        self.migration_user = self._optional(first, "livemigration_user", values.USER)
        self.warnings = tuple(f"{', '.join(hosts)}: {note}" for note, hosts in self._notes.items())

    def _members(self) -> tuple[list[str], list[str]]:
        """Return the names of the hypervisors and of the machines that are only observers."""
        inventory = self._inventory
        alone = set(inventory.members("standalone_machine")) - set(inventory.members("cluster_machines"))
        hypervisors = [name for name in inventory.members("hypervisors") if name not in alone]
        observers = [name for name in inventory.members("observers") if name not in alone]
        if not hypervisors:
            reason = f" apart from the standalone {', '.join(sorted(alone))}" if alone else ""
            raise ConfigurationError(
                f"The inventory has no host in the group hypervisors{reason}, so there is no cluster to manage; "
                f"its groups are {', '.join(map(values.shown, list(inventory.groups)[:20]))}."
            )
        for name in inventory.hosts:
            if name in alone:
                self._note(name, "standalone, not part of the cluster, and left out.")
            if name in hypervisors and name in observers:
                self._note(name, "in the groups hypervisors and observers, and taken as a hypervisor.")
        return hypervisors, [name for name in observers if name not in hypervisors]

    def _machine(self, name: str, *, hypervisor: bool) -> Machine:
        values.checked(name, values.NAME, "In the inventory, a machine's name")
        raw = self._evaluator.raw(name)
        if any(raw.get(password) for password in _LOGIN_PASSWORDS):
            self._note(name, "its login password in the inventory is not used; vm-mgr logs in with keys.")
        arguments = self._arguments(name)
        options = arguments.options
        variable, port = self._last(name, _PORT, options.get("port"))
        user_variable, user = self._last(name, _USER, options.get("user"))
        address_variable, address = self._last(name, _HOST, name)
        return Machine(
            name=name,
            address=values.checked(address, values.ADDRESS, _of(address_variable, name)),
            port=None if port is None else values.port(port, _of(variable, name)),
            user=None if user is None else values.checked(user, values.USER, _of(user_variable, name)),
            key_files=self._keys(name, arguments.identities),
            observer=not hypervisor,
            hypervisor=hypervisor,
            jump=_option(options, "proxyjump", values.JUMP, name),
            proxy_command=_option(options, "proxycommand", values.PRINTABLE, name),
            identities_only=options.get("identitiesonly", "no").lower() == "yes",
            hostname=self._optional(name, "hostname", values.NAME),
            cluster_address=self._optional(name, "cluster_ip_addr", values.ADDRESS),
        )

    def _last(self, host: str, names: tuple[str, ...], default: str | None) -> tuple[str, object]:
        """Return the last of several variables that is set, with its name, else the first name and the default."""
        for name in reversed(names):
            value = self._evaluator.value(host, name)
            if value is not None:
                return name, value
        return names[0], default

    def _arguments(self, host: str) -> ssharguments.SshArguments:
        result = ssharguments.SshArguments()
        for name in _ARGUMENTS:
            value = self._evaluator.value(host, name)
            if value in (None, ""):
                continue
            ssharguments.parse(values.checked(value, values.PRINTABLE, _of(name, host)), _of(name, host), result)
        if result.unchecked:
            self._note(host, "the inventory switches the check of host keys off; vm-mgr always checks them.")
        if result.ignored:
            ignored = ", ".join(dict.fromkeys(result.ignored))
            self._note(host, f"these ssh options of the inventory have no effect here: {ignored}.")
        return result

    def _keys(self, host: str, identities: list[str]) -> tuple[Path, ...]:
        name, first = self._last(host, _KEY, None)
        keys = []
        for value in identities if first in (None, "") else [first, *identities]:
            here = values.path(value, _of(name, host), Path.cwd())
            there = values.path(value, _of(name, host), self._inventory.folders[host])
            found = next((path for path in (here, there) if values.is_file(path)), None)
            if found is None:
                self._note(host, f"the private key {here}, named in the inventory, does not exist here.")
            else:
                keys.append(found)
        return tuple(dict.fromkeys(keys))

    def _optional(self, host: str, name: str, rule: values.Rule) -> str | None:
        """Return a variable that is useful but not needed; if it is not usable, note that and return None."""
        try:
            value = self._evaluator.value(host, name)
            return None if value in (None, "") else values.checked(value, rule, _of(name, host))
        except ConfigurationError as error:
            self._note(host, f"{name} is left out. {error}")
            return None

    def _note(self, host: str, note: str) -> None:
        hosts = self._notes.setdefault(note, [])
        if host not in hosts:
            hosts.append(host)

    def _refuse_twins(self) -> None:
        """Refuse two names for one machine: what is meant for one node would be done on another."""
        seen: dict[Any, str] = {}
        for machine in self.machines:
            way = (machine.address, machine.port, machine.jump, machine.proxy_command)
            if way in seen:
                raise ConfigurationError(
                    f"In the inventory, {seen[way]} and {machine.name} have the same address {machine.address}."
                )
            seen[way] = machine.name


def _of(variable: str, host: str) -> str:
    return f"In the inventory, {variable} of {host}"


def _option(options: dict[str, str], name: str, rule: values.Rule, host: str) -> str | None:
    value = options.get(name, "none")
    return None if value.lower() == "none" else values.checked(value, rule, _of(f"the ssh option {name}", host))
