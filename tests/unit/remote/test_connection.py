"""Connecting: host keys, keys of the user, jump hosts, and everything that can be in the way."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import AuthenticationError, ChangedHostKeyError, ConnectError, HostKeyError, UnreachableError
from vmmgr.remote import Line, Remote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.remote.conftest import Machine, Server

OTHER_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOJFXCKJeDRrkg6RwCYFfNOCmSDLNBGPFS6lYHNDbkRy"


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the agent and the home folder of whoever runs the tests out of them."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def reach(server: Server, machine: Machine | None = None, known_hosts: str | None = None, ssh_config: str = "") -> bytes:
    """Connect, and return what a command writes."""
    settings = server.settings(known_hosts, ssh_config)
    with Remote([machine or server.machine()], settings) as remote:
        return remote.run("n1", [Line(("echo", "reached"))])[0].stdout


def refusal(kind: type[ConnectError], *arguments: object) -> str:
    """Return the message with which connecting fails; it always names the machine and its address."""
    with pytest.raises(kind) as caught:
        reach(*arguments)  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert "n1" in str(caught.value)
    return str(caught.value)


def test_unknown_host_key(server: Server) -> None:
    """An unknown host is refused, with the key's real fingerprint and the ways to make it known."""
    message = refusal(HostKeyError, server, None, "")
    shown = subprocess.run(["ssh-keygen", "-lf", server.folder / "host_ed25519.pub"], capture_output=True, check=True).stdout
    assert shown.decode().split()[1] in message
    assert f"ssh-keyscan -p {server.port} 127.0.0.1" in message


def test_changed_host_key(server: Server) -> None:
    """A host with another key than the known one is refused, and the place of the known one is given."""
    message = refusal(ChangedHostKeyError, server, None, f"[127.0.0.1]:{server.port} ssh-ed25519 {OTHER_KEY}\n")
    assert "other_known_hosts:1" in message
    assert "ssh-keygen -R" in message


def test_revoked_host_key(server: Server) -> None:
    """A revoked key is refused although another line trusts it."""
    message = refusal(ChangedHostKeyError, server, None, server.line() + f"@revoked * {server.public()}\n")
    assert "revoked" in message


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_known_type_of_key_is_asked_for(server: Server, kind: str) -> None:
    """The host has keys of three types; whichever is the one known, it is the one that is negotiated."""
    assert reach(server, known_hosts=server.line(kind)) == b"reached\n"


def test_lines_that_paramiko_gives_up_on(server: Server) -> None:
    """A certificate authority and rubbish in known_hosts do not keep the right line from being found."""
    assert reach(server, known_hosts=f"@cert-authority * {server.public('rsa')}\nrubbish ! !\n{server.line()}") == b"reached\n"


def test_hashed_known_hosts(server: Server, tmp_path: Path) -> None:
    """A hashed file works."""
    (tmp_path / "hashed").write_text(server.line())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(tmp_path / "hashed")], check=True, capture_output=True)
    hashed = (tmp_path / "hashed").read_text()
    assert "127.0.0.1" not in hashed
    assert reach(server, known_hosts=hashed) == b"reached\n"


def test_host_key_alias_and_user_known_hosts_file(server: Server, tmp_path: Path) -> None:
    """ssh_config's HostKeyAlias and UserKnownHostsFile are honoured."""
    (tmp_path / "mine").write_text(f"somebody {server.public()}\n")
    config = f"HostKeyAlias somebody\nUserKnownHostsFile {tmp_path}/mine\n"
    assert reach(server, known_hosts="", ssh_config=config) == b"reached\n"


def test_ssh_config_gives_what_the_inventory_does_not(server: Server) -> None:
    """Host name, port, user and key may all come from ssh_config."""
    machine = server.machine(address="elsewhere", port=None, user=None, key_files=())
    user = server.machine().user
    config = f"Host else*\nHostName 127.0.0.1\nPort {server.port}\nUser {user}\nIdentityFile {server.key}\n"
    assert reach(server, machine, ssh_config=config) == b"reached\n"


def test_settings_of_fabric_are_not_read(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~/.fabric.yaml, as people have for other things, changes nothing."""
    (tmp_path / ".fabric.yaml").write_text("port: 1\nuser: nobody\ngateway: nowhere\nconnect_kwargs: {pkey: 1}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert reach(server) == b"reached\n"


def test_no_user_of_that_name(server: Server) -> None:
    """A refused login says who was refused, which keys were offered, and what to do."""
    message = refusal(AuthenticationError, server, server.machine(user="nobody-here"))
    assert "nobody-here@127.0.0.1" in message
    assert str(server.key) in message
    assert "ssh-copy-id" in message


def test_key_with_a_passphrase(server: Server, tmp_path: Path) -> None:
    """A protected key that no agent holds is named together with ssh-add."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(tmp_path / "key")], check=True)
    message = refusal(AuthenticationError, server, server.machine(key_files=(tmp_path / "key",)))
    assert f"ssh-add {tmp_path}/key" in message


@pytest.mark.parametrize(
    "content", [None, "rubbish", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"]
)
def test_unusable_key_file(server: Server, tmp_path: Path, content: str | None) -> None:
    """A key file that is missing or broken is named."""
    if content is not None:
        (tmp_path / "key").write_text(content)
    assert str(tmp_path / "key") in refusal(AuthenticationError, server, server.machine(key_files=(tmp_path / "key",)))


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run an agent with five keys that the server does not know."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        deadline = time.monotonic() + 5
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        for number in range(5):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / f"k{number}")], check=True)
        subprocess.run(["ssh-add", "-q", *(str(tmp_path / f"k{number}") for number in range(5))], check=True)
        yield path
        process.terminate()


@pytest.mark.parametrize("only", [True, False])
def test_configured_key_comes_before_those_of_the_agent(server: Server, agent: Path, only: bool) -> None:
    """With an agent full of other keys, a host that hangs up after three is still reached by the configured one."""
    assert reach(server, server.machine(identities_only=only)) == b"reached\n"


def test_protected_key_that_the_agent_holds(server: Server, agent: Path, tmp_path: Path) -> None:
    """The agent signs for a configured key that is protected, and first, not as its sixth."""
    key = tmp_path / "protected"
    key.write_bytes(server.key.read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-add", "-q", str(key)], check=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", str(key)], check=True, capture_output=True)
    Path(f"{key}.pub").write_bytes(Path(f"{server.key}.pub").read_bytes())
    assert reach(server, server.machine(key_files=(key,))) == b"reached\n"


def test_key_of_the_agent_alone(server: Server, agent: Path, tmp_path: Path) -> None:
    """Without any configured key the agent's are offered."""
    subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True)
    subprocess.run(["ssh-add", "-q", str(server.key)], check=True)
    assert reach(server, server.machine(key_files=(), identities_only=False)) == b"reached\n"


def jump_config(server: Server) -> str:
    """Return an ssh_config that makes the one server a jump host under two names."""
    return "".join(
        f"Host {name}\nHostName 127.0.0.1\nPort {server.port}\nUser {server.machine().user}\nIdentityFile {server.key}\n"
        for name in ("bastion", "second")
    )


@pytest.mark.parametrize("jump", ["bastion", "bastion,second"])
def test_jump_hosts(server: Server, jump: str) -> None:
    """One jump host and several work, from the inventory and from ssh_config."""
    assert reach(server, server.machine(jump=jump), ssh_config=jump_config(server)) == b"reached\n"
    config = f"Match host 127.0.0.1 originalhost 127.0.0.1\nProxyJump {jump}\n{jump_config(server)}"
    assert reach(server, server.machine(), ssh_config=config) == b"reached\n"


def test_jump_host_for_everything(server: Server) -> None:
    """A pattern that makes a jump host jump through itself ends at the jump host."""
    config = f"{jump_config(server)}Host *\nProxyJump bastion\n"
    assert reach(server, ssh_config=config) == b"reached\n"


def test_jump_hosts_key_is_checked(server: Server, dead_port: int) -> None:
    """A jump host with an unknown key is refused like any other, by its own name."""
    config = jump_config(server) + "Host bastion\nHostKeyAlias stranger\n"
    with pytest.raises(HostKeyError, match="bastion"):
        reach(server, server.machine(jump="bastion"), ssh_config=config)


def test_dead_host_behind_a_jump_host(server: Server, dead_port: int) -> None:
    """It is the host behind that is reported, not the jump host."""
    with pytest.raises(UnreachableError, match=rf"^n1 .*port {dead_port}.*jump host"):
        reach(server, server.machine(port=dead_port, jump="bastion"), ssh_config=jump_config(server))


PIPE = """
import os, socket, sys, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while block := os.read(0, 65536): s.sendall(block)
threading.Thread(target=up, daemon=True).start()
while block := s.recv(65536): os.write(1, block)
"""


def test_proxy_command(server: Server, tmp_path: Path) -> None:
    """A ProxyCommand gets the real host and port, whether it is of the inventory or of ssh_config."""
    (tmp_path / "pipe.py").write_text(PIPE)
    command = f"{sys.executable} {tmp_path}/pipe.py %h %p"
    assert reach(server, server.machine(proxy_command=command)) == b"reached\n"
    assert reach(server, server.machine(), ssh_config=f"ProxyCommand {command}\n") == b"reached\n"


def test_proxy_command_that_fails(server: Server) -> None:
    """What a ProxyCommand complains of is in the message, and nothing hangs or is left behind."""
    message = refusal(UnreachableError, server, server.machine(proxy_command="echo no route to %h >&2; false"))
    assert "no route to 127.0.0.1" in message
    children = subprocess.run(["ps", "-o", "stat=", "--ppid", str(os.getpid())], capture_output=True, check=True, text=True)
    assert "Z" not in children.stdout


def test_refused(server: Server, dead_port: int) -> None:
    """A port on which nothing listens."""
    assert "refuses the connection" in refusal(UnreachableError, server, server.machine(port=dead_port))


def test_unknown_name(server: Server) -> None:
    """A name that cannot be resolved."""
    assert "name" in refusal(UnreachableError, server, server.machine(address="no-such-host.invalid"))


def test_silence(server: Server, silent_port: int) -> None:
    """A server that takes the connection and says nothing is given up on in time."""
    began = time.monotonic()
    with Remote([server.machine(port=silent_port)], server.settings(timeout=0.5)) as remote, pytest.raises(UnreachableError):
        remote.run("n1", [Line(("true",))])
    assert time.monotonic() - began < 2


def test_paramiko_is_quiet(server: Server, dead_port: int) -> None:
    """No traceback of a transport's thread gets past the program's logging."""
    refusal(HostKeyError, server, None, "")
    assert not logging.getLogger("paramiko.transport").isEnabledFor(logging.ERROR)


def test_ciphers(server: Server) -> None:
    """The fastest cipher is chosen, and the connection is kept alive."""
    with Remote([server.machine()], server.settings()) as remote:
        transport = remote._hosts["n1"].connect().transport
        assert transport
        assert transport.remote_cipher == "aes128-gcm@openssh.com"
        assert transport.packetizer._Packetizer__keepalive_interval == 15  # type: ignore[attr-defined]


def test_importing_is_light() -> None:
    """Importing the package loads neither Fabric nor Paramiko."""
    code = "import sys, vmmgr.remote; print(sorted({'fabric', 'paramiko', 'invoke'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment)
    assert done.stdout == "[]\n"
