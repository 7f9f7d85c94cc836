"""What a lab consists of: its hosts, their roles, and every name and address that follows from its subnet.

Nothing here touches the machine.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

FIRST_OCTET = 11  # of the hosts; guests take 100 and more
LOGINS = ("root", "hardened")
TOOLS = ("both", "crmsh", "pcs")
AGENTS = ("heartbeat", "seapath")
ROLES = ("hypervisor", "observer")
DEFAULT_HOSTS = "2hv+1obs"


class LabError(Exception):
    """The lab cannot do what was asked; the text is for the person at the terminal."""


@dataclass(frozen=True)
class Host:
    """One machine of the site; ``octet`` is the last byte of its address."""

    name: str
    role: str
    octet: int


@dataclass(frozen=True)
class Options:
    """What the caller of ``up`` chose."""

    hosts: tuple[Host, ...]
    login: str = "root"
    tools: str = "both"
    fencing: bool = True
    agent: str = "heartbeat"

    def to_json(self) -> dict[str, Any]:
        """Return the options as plain JSON values."""
        hosts = [f"{host.name}:{host.role}" for host in self.hosts]
        return {
            "hosts": ",".join(hosts), "login": self.login, "tools": self.tools, "fencing": self.fencing, "agent": self.agent,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Options:
        """Return the options that ``to_json`` wrote."""
        hosts = parse_hosts(values["hosts"])
        return cls(hosts, values["login"], values["tools"], values["fencing"], values.get("agent", "heartbeat"))


@dataclass(frozen=True)
class Lab:
    """A lab: its state folder, its subnet's first three bytes (``10.104.7``) and where its built parts are."""

    name: str
    folder: Path
    net: str
    options: Options
    root: Path
    guests: Path
    keys: Path

    @property
    def tag(self) -> str:
        """The name of all that the lab makes on the machine: bridge, cgroup, prefix of namespaces and cables."""
        return tag_of(self.net)

    @property
    def gateway(self) -> str:
        """The machine's own address in the lab's network; the BMCs listen there."""
        return f"{self.net}.1"

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, in the order given."""
        return self.options.hosts

    @property
    def hypervisors(self) -> tuple[Host, ...]:
        """The hosts that run virtual machines and keep their disks."""
        return tuple(host for host in self.hosts if host.role == "hypervisor")

    @property
    def observers(self) -> tuple[Host, ...]:
        """The hosts that only vote."""
        return tuple(host for host in self.hosts if host.role == "observer")

    @property
    def login_user(self) -> str:
        """The account that a client logs in to."""
        return "ansible" if self.options.login == "hardened" else "root"

    def host(self, name: str) -> Host:
        """Return the host of that name.

        Raises:
            LabError: there is none.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise LabError(f"lab {self.name} has no host {name!r}; it has {known}.")

    def address(self, host: Host) -> str:
        """Return the host's IPv4 address."""
        return f"{self.net}.{host.octet}"

    def netns(self, host: Host) -> str:
        """Return the name of the host's network namespace."""
        return f"{self.tag}-{host.name}"

    def cable(self, host: Host) -> str:
        """Return the machine's end of the host's network cable (15 characters at most)."""
        return f"{self.tag}-{host.octet}"

    def host_folder(self, host: Host) -> Path:
        """Return the folder of the host's file systems."""
        return self.folder / "hosts" / host.name

    def log(self, name: str) -> Path:
        """Return the path of a log file."""
        return self.folder / "log" / name


def tag_of(net: str) -> str:
    """Return the tag of the lab on that subnet, eleven characters at most: ``10.104.7`` gives ``lab-104-7``."""
    _, second, third = net.split(".")
    return f"lab-{second}-{third}"


def parse_hosts(text: str) -> tuple[Host, ...]:
    """Read ``hv1:hypervisor,obs1:observer``, or the short ``3hv`` or ``2hv+1obs``.

    Raises:
        LabError: a name or role is wrong, a name is given twice, or there are fewer than two hypervisors.
    """
    short = re.fullmatch(r"(\d)hv(?:\+(\d)obs)?", text)
    if short:
        counts = (("hv", "hypervisor", int(short[1])), ("obs", "observer", int(short[2] or 0)))
        pairs = [(f"{stem}{n}", role) for stem, role, count in counts for n in range(1, count + 1)]
    else:
        pairs = [_parse_host(item) for item in text.split(",")]
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise LabError(f"--hosts {text!r} names a host twice.")
    if sum(role == "hypervisor" for _, role in pairs) < 2:
        raise LabError(f"--hosts {text!r} has fewer than two hypervisors, and the disks need two copies.")
    return tuple(Host(name, role, FIRST_OCTET + place) for place, (name, role) in enumerate(pairs))


def _parse_host(item: str) -> tuple[str, str]:
    """Read one ``name:role``."""
    name, _, role = item.partition(":")
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,14}", name) or role not in ROLES:
        raise LabError(f"--hosts has {item!r}; write NAME:hypervisor or NAME:observer, or 3hv, or {DEFAULT_HOSTS}.")
    return name, role


def guest_mac(net: str, octet: int) -> str:
    """Return the MAC of the guest with that last byte; the guest reads its whole address in it.

    52:54:00:68:07:65 is 10.104.7.101.
    """
    _, second, third = net.split(".")
    return f"52:54:00:{int(second):02x}:{int(third):02x}:{octet:02x}"


def stable_uuid(*words: str) -> str:
    """Return the same UUID for the same words."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, ".".join((*words, "lab.invalid"))))
