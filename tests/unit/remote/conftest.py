"""A real sshd on a loopback port, as the user who runs the tests, with keys and folders of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmmgr.remote import Remote, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = "/usr/sbin/sshd"

FAKE_SUDO = r"""#!/bin/sh
# as sudo: -n refuses if a password is needed, -S reads it from the first line of input; the password is in FOLDER/password
test -e FOLDER/denied && { echo 'Sorry, user may not run sudo.' >&2; exit 1; }
ask=
while :; do
    case $1 in
        -n) ask=n ;; -S) ask=S ;; -k) ;; -p) shift ;; *) break ;;
    esac
    shift
done
if test -e FOLDER/password; then
    test $ask = n && { echo 'sudo: a password is required' >&2; exit 1; }
    IFS= read -r typed || { echo 'sudo: no password was provided' >&2; exit 1; }
    test "$typed" = "$(cat FOLDER/password)" || { echo 'sudo: 1 incorrect password attempt' >&2; exit 1; }
fi
exec "$@"
"""


@dataclass(frozen=True)
class Machine:
    """As much of a machine of the inventory as it takes to connect."""

    name: str
    address: str = "127.0.0.1"
    port: int | None = None
    user: str | None = None
    key_files: tuple[Path, ...] = ()
    identities_only: bool = True
    jump: str | None = None
    proxy_command: str | None = None


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a key pair; RSA is no longer than sshd wants it, because finding primes takes seconds."""
    size = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", "test", "-f", str(path)], check=True)
    return path


@dataclass
class Server:
    """A running sshd.

    Attributes:
        folder: holds its keys, its known_hosts and an empty ssh_config.
        port: where it listens.
    """

    folder: Path
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def key(self) -> Path:
        return self.folder / "user_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def public(self, kind: str = "ed25519") -> str:
        """Return a host key as ``type blob``."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def machine(self, name: str = "n1", **changes: object) -> Machine:
        values: dict[str, object] = {"port": self.port, "user": getpass.getuser(), "key_files": (self.key,)}
        return Machine(name, **{**values, **changes})  # type: ignore[arg-type]

    def settings(self, known_hosts: str | None = None, ssh_config: str = "", timeout: float = 5.0) -> Settings:
        """Return settings that read nothing of the user's own."""
        config = self.folder / "ssh_config"
        nowhere = f"UserKnownHostsFile {self.folder}/none\nGlobalKnownHostsFile {self.folder}/none\n"
        config.write_text(f"{ssh_config}\nHost *\n{nowhere}")
        hosts = self.known_hosts
        if known_hosts is not None:
            hosts = self.folder / "other_known_hosts"
            hosts.write_text(known_hosts)
        return Settings(ssh_config=(config,), known_hosts=(hosts,), connect_timeout=timeout)

    def remote(self, **changes: object) -> Remote:
        return Remote([self.machine(**changes)], self.settings())

    def line(self, kind: str = "ed25519") -> str:
        """Return the line of a known hosts file for this server."""
        return f"[127.0.0.1]:{self.port} {self.public(kind)}\n"

    def break_connections(self) -> None:
        """Kill the processes that serve one connection each."""
        out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, check=False)
        for pid in out.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start sshd for the whole run."""
    if not Path(SSHD).exists() or not shutil.which("ssh-keygen"):
        pytest.skip(f"{SSHD} or ssh-keygen is not installed (package openssh-server)")
    folder = tmp_path_factory.mktemp("sshd")
    for kind in ("ed25519", "ecdsa", "rsa"):
        keygen(folder / f"host_{kind}", kind)
    keygen(folder / "user_key")
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    sudo = folder / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text(FAKE_SUDO.replace("FOLDER", str(folder)))
    sudo.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation folder
    port = free_port()
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nPidFile none\nStrictModes no\nUsePAM no\nMaxAuthTries 3\nMaxStartups 50\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv PATH={sudo.parent}:/usr/bin:/bin HOME={folder}\n"
        + "".join(f"HostKey {folder}/host_{kind}\n" for kind in ("ed25519", "ecdsa", "rsa"))
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    _until_listening(process, port, folder / "log")
    found = Server(folder, port, process)
    found.known_hosts.write_text(found.line())
    yield found
    found.break_connections()
    process.terminate()
    process.wait(5)


def _until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < deadline, "sshd does not listen"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.skip(f"sshd does not start as this user: {log.read_text()[-300:]}")


@pytest.fixture
def dead_port() -> int:
    """Return a port that refuses connections."""
    return free_port()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return a port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def remote(server: Server) -> Iterator[Remote]:
    """Connections to one machine, ``n1``."""
    with server.remote() as opened:
        yield opened


@pytest.fixture
def through_sudo(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let every login need sudo, also root's; yield the folder in which the fake sudo looks for its settings."""
    from vmmgr.remote.connection import Connection

    monkeypatch.setattr(Connection, "is_root", False)
    yield server.folder
    for name in ("password", "denied"):
        (server.folder / name).unlink(missing_ok=True)
