"""Turn what Paramiko and the system raise while connecting into one sentence with the next step."""

from __future__ import annotations

import shlex
import socket
from typing import TYPE_CHECKING

from paramiko import AuthenticationException, ChannelException, SSHException
from paramiko.ssh_exception import IncompatiblePeer

from vmmgr.errors import AuthenticationError, ChangedHostKeyError, ConnectError, HostKeyError, UnreachableError
from vmmgr.remote.auth import Keys, listed
from vmmgr.remote.known_hosts import KnownHosts, fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramiko import PKey

    from vmmgr.remote.connection import Connection

_REASONS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((socket.gaierror,), "has a name that is not known here ({said}). Correct the address in the inventory."),
    ((ConnectionRefusedError,), "refuses the connection. Check the port, and that sshd runs."),
    (
        (TimeoutError,),
        "did not answer within {timeout:g} s. Check that it is up, and the network between; connect_timeout can be raised.",
    ),
    ((ChannelException,), "cannot be reached from the jump host: {said}. Check that it is up, and AllowTcpForwarding there."),
    ((IncompatiblePeer,), "has no SSH algorithm in common with this workstation: {said}."),
    ((OSError,), "cannot be reached: {said}."),
    (
        (SSHException, EOFError),
        "takes the connection, but the SSH handshake failed: {said}. Check the port, and sshd's log there.",
    ),
)


def explain(error: Exception, connection: Connection, keys: Keys | None, complaint: str) -> ConnectError:
    """Return the error to raise for one that was raised while ``connection`` was opened.

    Args:
        error: what was raised.
        connection: its names go into the message.
        keys: the keys offered, if it came to that.
        complaint: what the ProxyCommand wrote to stderr.
    """
    where = connection.where
    if isinstance(error, AuthenticationException) and keys:
        return _login_refused(connection, keys)
    if complaint:
        return UnreachableError(f"{where} is not reachable through its ProxyCommand, which said: {complaint}")
    return UnreachableError(f"{where} {_reason(error, connection)}")


def _reason(error: Exception, connection: Connection) -> str:
    for kinds, text in _REASONS:
        if isinstance(error, kinds):
            said = getattr(error, "strerror", None) or str(error) or "it hung up"
            return text.format(said=said, timeout=connection.timeout)
    return f"cannot be reached: {error}."


def _login_refused(connection: Connection, keys: Keys) -> AuthenticationError:
    parts = [f"{connection.where} refuses the login. Keys offered: {listed(keys.tried)}.", *keys.unusable]
    if not keys.unusable:
        parts.append(
            f"Check the user, or put your public key there with `ssh-copy-id {_ssh_words(connection)}`; "
            "a key can be named in $VMMGR_KEY, the site's configuration (key), the inventory (ansible_ssh_private_key_file) or ~/.ssh/config."
        )
    return AuthenticationError(" ".join(parts))


def check_host_key(connection: Connection, known: KnownHosts, names: Sequence[str], key: PKey) -> None:
    """Accept a host's key if the known hosts have it.

    Raises:
        HostKeyError: it is unknown, revoked, or another one than before.
    """
    blob = key.asbytes()
    verdict = known.judge(names, blob)
    if verdict.trusted:
        return
    shown = f"{key.get_name()} {fingerprint(blob)}"
    compare = f"`ssh-keygen -lf /etc/ssh/ssh_host_{_short(key.get_name())}_key.pub` on its console shows the right fingerprint."
    if verdict.revoked:
        msg = (
            f"{connection.where} shows a host key that is revoked in {verdict.revoked}: {shown}. "
            "Do not connect before you know who revoked it and why."
        )
    elif verdict.others:
        msg = (
            f"{connection.where} shows a host key other than the known one: {shown}, against {listed(verdict.others)}. "
            f"It was installed anew, or somebody is in between: {compare} "
            f"If it is right, remove the old key with `ssh-keygen -R {shlex.quote(names[0])}` and add the new one."
        )
    else:
        msg = (
            f"{connection.where} shows a host key that is not known here: {shown}. {compare} "
            f"If it is the same, connect once with `ssh {_ssh_words(connection)}`, or "
            f"`ssh-keyscan -p {connection.port} {shlex.quote(connection.host)} >> ~/.ssh/known_hosts`."
        )
    raise (ChangedHostKeyError if verdict.revoked or verdict.others else HostKeyError)(msg)


def _short(kind: str) -> str:
    return next((short for short in ("ed25519", "ecdsa", "rsa") if short in kind), "*")


def _ssh_words(connection: Connection) -> str:
    port = [] if connection.port == 22 else ["-p", str(connection.port)]
    return shlex.join([*port, f"{connection.user}@{connection.original_host}"])
