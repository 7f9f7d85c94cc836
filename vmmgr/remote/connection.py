"""A Fabric connection that checks host keys, and whose every wait has an end.

Fabric's own accepts any host key, also for jump hosts, and reads ``~/.fabric*``; neither can be switched off by settings.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import TYPE_CHECKING, Any

import fabric
from paramiko import MissingHostKeyPolicy, SSHClient, SSHException, Transport

from vmmgr.errors import ConfigurationError, UnreachableError, VmMgrError
from vmmgr.remote import ssh_config
from vmmgr.remote.auth import Keys
from vmmgr.remote.background import in_background
from vmmgr.remote.channel import execute
from vmmgr.remote.failures import check_host_key, explain
from vmmgr.remote.known_hosts import KnownHosts, names_of
from vmmgr.remote.proxy import Proxy
from vmmgr.remote.target import Hop, Settings, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from paramiko import Channel, PKey

    from vmmgr.remote.channel import Output

_KEEPALIVE = 15
_DEAD_AFTER = 45
"""Seconds without an acknowledgement after which the system declares the connection dead (tcp(7), TCP_USER_TIMEOUT)."""
_BUSY = 15.0
_SESSION_WAIT = 2.0

# its threads log whole tracebacks for what is reported as an error anyway
logging.getLogger("paramiko").setLevel(logging.CRITICAL)
logging.getLogger("invoke").setLevel(logging.WARNING)  # it writes all of its settings, several times


class Connection(fabric.Connection):  # type: ignore[misc]
    """The connection to one machine or jump host, closed until ``open()``."""

    # Fabric turns attributes that the class does not have into settings
    where = ""
    timeout = 0.0
    _target: Target | None = None
    _settings: Settings | None = None
    _known: KnownHosts | None = None
    _keys: Keys | None = None
    _proxy: Proxy | None = None
    _relay: Callable[[], Channel] | None = None
    _relayed: Channel | None = None
    _passed: tuple[tuple[str, int | None], ...] = ()

    def __init__(
        self,
        target: Target,
        settings: Settings,
        *,
        gateway: Connection | None = None,
        passed: tuple[tuple[str, int | None], ...] = (),
        relay: Callable[[], Channel] | None = None,
    ) -> None:
        """Read the configuration for one machine.

        Args:
            target: the machine.
            settings: how to connect.
            gateway: the jump host to go through; None to find it out from the machine and ssh_config.
            passed: the addresses and ports for which this one is a jump host, so that none is its own.
            relay: opens the channel of a command that connects to the machine; the connection runs over its input and output.

        Raises:
            ConfigurationError: the inventory or ssh_config holds a value that cannot be used.
        """
        self._target, self._settings, self._passed, self._relay = target, settings, passed, relay
        self.timeout = settings.connect_timeout
        config = fabric.Config(lazy=True, ssh_config=ssh_config.for_target(target, ssh_config.read(settings.ssh_config)))
        try:
            super().__init__(target.address, config=config, gateway=gateway)
        except ValueError as error:
            msg = f"The SSH configuration for {target.name} cannot be used: {error}."
            raise ConfigurationError(msg) from error
        self.where = f"{target.name} ({self.user}@{self.host} port {self.port})"
        self._known = KnownHosts([*settings.known_hosts, *ssh_config.known_hosts_files(self.ssh_config)])

    def get_gateway(self) -> Connection | str | None:
        """Find the way to the machine: jump hosts built with this class, a ProxyCommand, or None for direct."""
        assert self._target
        assert self._settings
        if self._relay:
            return None
        jump = self.ssh_config.get("proxyjump")
        command: str | None = self.ssh_config.get("proxycommand")
        if not jump:
            return command
        if jump.lower() == "none":
            return command if self._target.proxy_command else None
        passed = (*self._passed, (self._target.address, self._target.port))
        gateway: Connection | None = None
        for hop in map(Hop.parse, jump.split(",")):
            if (hop.address, hop.port) in passed:  # a pattern of ssh_config that is true for the jump host as well
                return None
            gateway = Connection(hop, self._settings, gateway=gateway, passed=passed)
        return gateway

    def open(self) -> None:
        """Connect and log in; nothing if that is done.

        Raises:
            UnreachableError: no answer, or none that is SSH.
            HostKeyError: the host's key is not the known one.
            AuthenticationError: the host takes none of the keys.
        """
        if self.is_connected:
            return
        self.close()  # what is left of a connection that broke
        try:
            self._connect()
        except BaseException as error:
            complaint = self._complaint
            self._dispose()
            if isinstance(error, VmMgrError) or not isinstance(error, OSError | SSHException | EOFError):
                raise
            raise explain(error, self, self._keys, complaint) from error
        finally:
            if self._keys:
                self._keys.close()
            self._keys = None

    def _connect(self) -> None:
        route = self._route()
        self.client = SSHClient()
        self.client.set_missing_host_key_policy(_Strict(self))
        self._keys = Keys(self.ssh_config, self.user)
        self.client.connect(
            self.host,
            port=self.port,
            sock=route,
            timeout=self.timeout,
            banner_timeout=self.timeout,
            auth_timeout=self._patience,
            channel_timeout=self._patience,
            auth_strategy=self._keys,
            transport_factory=self._transport,
        )
        self.transport = self.client.get_transport()
        assert self.transport
        self.transport.set_keepalive(_KEEPALIVE)

    def _route(self) -> socket.socket | Channel:
        """Open what the SSH connection runs over."""
        if self._relay:
            self._relayed = self._relay()
            return self._relayed
        if isinstance(self.gateway, str):
            self._proxy = Proxy(self.gateway)
            return self._proxy.socket
        if self.gateway:
            self.gateway.open()
            channel: Channel = self.gateway.transport.open_channel(
                "direct-tcpip", (self.host, self.port), ("", 0), timeout=self.timeout
            )
            return channel
        route = socket.create_connection((self.host, self.port), self.timeout)
        route.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            route.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER * 1000)
        return route

    def _transport(self, route: Any, **options: Any) -> Transport:
        """Make a transport that asks for the key types that are known of this host, and for the fastest ciphers."""
        transport = Transport(route, **options)
        security = transport.get_security_options()
        gcm = [cipher for cipher in security.ciphers if "gcm" in cipher]
        security.ciphers = [*gcm, *(cipher for cipher in security.ciphers if cipher not in gcm)]
        assert self._known
        kinds = self._known.kinds(self._names())
        wanted = [kind for kind in security.key_types if kind in kinds or ("ssh-rsa" in kinds and kind.startswith("rsa-"))]
        security.key_types = [*wanted, *(kind for kind in security.key_types if kind not in wanted)]
        return transport

    def _names(self) -> Sequence[str]:
        return names_of(self.host, self.port, self.ssh_config.get("hostkeyalias"))

    @property
    def _complaint(self) -> str:
        """What the command that the connection runs over wrote to stderr so far."""
        if self._relayed and self._relayed.recv_stderr_ready():
            return self._relayed.recv_stderr(2000).decode(errors="replace").strip()
        return self._proxy.complaint if self._proxy else ""

    @property
    def _patience(self) -> float:
        """Seconds for what a host does that is known to be alive; a busy one, or its name service, may need them."""
        return max(self.timeout, _BUSY)

    @property
    def is_root(self) -> bool:
        """Whether the login is root already."""
        return bool(self.user == "root")

    def open_channel(self) -> Channel:
        """Open a channel for one command.

        sshd counts a session until it has seen its end, so that the next one may come a moment too early for MaxSessions. Of
        several threads that are refused at the same time, Paramiko tells one why, and the others nothing but that they were.
        """
        assert self.transport
        deadline = time.monotonic() + _SESSION_WAIT
        while True:
            try:
                return self.transport.open_session(timeout=self._patience)
            except SSHException:
                if not self.is_connected or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def execute(self, command: str, stdin: Iterable[bytes | memoryview], *, limit: float) -> Output:
        """Run one command in a channel of its own; see ``vmmgr.remote.channel.execute``.

        Raises:
            UnreachableError: nothing was run.
        """
        try:
            channel = in_background(self.open_channel).result()  # see execute()
            return execute(channel, command, stdin, limit=limit)
        except (SSHException, EOFError) as error:
            msg = f"{self.where} takes no further command: {error or 'the connection broke'}. Try again."
            raise UnreachableError(msg) from error

    def accept(self, key: PKey) -> None:
        """Check the key that the host has shown."""
        assert self._known
        check_host_key(self, self._known, self._names(), key)

    def close(self) -> None:
        """Close the connection and those to its jump hosts."""
        self._dispose()
        self.transport = None

    def _dispose(self) -> None:
        self.client.close()
        if self._proxy:
            self._proxy.close()
            self._proxy = None
        if self._relayed:
            self._relayed.close()
            self._relayed = None
        if isinstance(self.gateway, Connection):
            self.gateway.close()


class _Strict(MissingHostKeyPolicy):
    """The check of host keys; Paramiko's own list stays empty, so that every key comes here."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:  # noqa: ARG002
        self._connection.accept(key)
