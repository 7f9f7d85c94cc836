"""What has to be known about a machine, and about this workstation, to connect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vmmgr.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.command import Command
    from vmmgr.remote.channel import Output


class Target(Protocol):
    """A machine that can be reached by SSH; ``vmmgr.site`` has the real one."""

    @property
    def name(self) -> str:
        """The name that people use and that every message shows."""

    @property
    def address(self) -> str:
        """A host name or an address: what one would write after ``ssh``; ssh_config is asked for it."""

    @property
    def port(self) -> int | None:
        """The port, or None for that of ssh_config or 22."""

    @property
    def user(self) -> str | None:
        """The login, or None for that of ssh_config or the local one."""

    @property
    def key_files(self) -> tuple[Path, ...]:
        """Private keys to try first."""

    @property
    def identities_only(self) -> bool:
        """Whether to offer no other keys than ``key_files``, whatever the agent has."""

    @property
    def jump(self) -> str | None:
        """Hosts to go through, as for ``ssh -J``: ``[user@]host[:port],…``; ``none`` overrides ssh_config."""

    @property
    def proxy_command(self) -> str | None:
        """A command that connects to the machine, as ssh_config's ProxyCommand."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A jump host, read from text."""

    name: str
    address: str
    port: int | None
    user: str | None
    key_files: tuple[Path, ...] = ()
    identities_only: bool = False
    jump: str | None = None
    proxy_command: str | None = None

    @classmethod
    def parse(cls, text: str) -> Hop:
        """Read ``[ssh://][user@]host[:port]``; an IPv6 address with a port stands in brackets.

        Raises:
            ConfigurationError: the text is nothing of the kind.
        """
        found = re.fullmatch(
            r"(?:ssh://)?(?:([^@\s]+)@)?(?:\[([^\]\s]+)\]|([^\s:@/]+)|([^\s@/\[\]]*:[^\s@/\[\]]*:[^\s@/\[\]]*))(?::(\d+))?/?",
            text.strip(),
        )
        if not found:
            msg = f"{text!r} is not a jump host. Write it as [user@]host[:port], several separated by commas."
            raise ConfigurationError(msg)
        user, bracketed, plain, ipv6, port = found.groups()
        return cls(text.strip(), bracketed or plain or ipv6, int(port) if port else None, user)


@dataclass(frozen=True, slots=True)
class AgentCommands:
    """What the hypervisor of a guest is given for the guest's own agent.

    Attributes:
        run: makes the command that runs a shell program in the guest.
        write: makes the command that writes its input into a file of the guest.
    """

    run: Callable[[bytes], Command[Output]]
    write: Callable[[str], Command[None]]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to a machine that is none of the site.

    Attributes:
        target: the machine, with a name that tells this way from any other.
        through: the machine of the site that passes on what is sent; empty for a direct connection.
        argv: the command that does so there for a connection by SSH.
        agent: the commands that do so for a guest's agent; None for a connection by SSH.
    """

    target: Target
    through: str = ""
    argv: tuple[str, ...] = ()
    agent: AgentCommands | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How this workstation connects.

    Attributes:
        ssh_config: files to read, the first value found for an option wins; missing ones are passed over.
        known_hosts: files to read besides those that ssh_config names.
        connect_timeout: seconds in which a machine must take the connection, and again in which it must answer as sshd.
    """

    ssh_config: tuple[Path, ...] = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
    known_hosts: tuple[Path, ...] = ()
    connect_timeout: float = 10.0
