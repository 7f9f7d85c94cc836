"""Who may log in to the hosts: keys, accounts, sshd's and sudo's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .report import run

if TYPE_CHECKING:
    from pathlib import Path

    from .overlay import Overlay
    from .plan import Host, Lab

SSHD_ROOT = "PermitRootLogin prohibit-password\nUseDNS no\n"
# what SEAPATH's role configure_hardening leaves, and its image's sudo rules
SSHD_HARDENED = """\
PermitRootLogin no
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowTcpForwarding no
PermitOpen none
AllowAgentForwarding no
AllowStreamLocalForwarding no
X11Forwarding no
MaxAuthTries 3
ClientAliveInterval 300
ClientAliveCountMax 0
UseDNS no
"""
SUDOERS_HARDENED = """\
Defaults noexec
Defaults requiretty
Defaults use_pty
Defaults umask=0077
Defaults env_reset
Defaults:ansible !requiretty
ansible ALL=NOPASSWD:EXEC:SETENV: /bin/sh, /usr/bin/rsync
"""


def new_key(path: Path, comment: str) -> None:
    """Make an ed25519 key pair unless it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path], step=f"key {path.name}")


def new_keys(lab: Lab) -> None:
    """Make the lab's keys: one of each host's sshd, one of each host's root."""
    for host in lab.hosts:
        new_key(lab.folder / "keys" / f"{host.name}-sshd", host.name)
        new_key(lab.folder / "keys" / f"{host.name}-root", f"root@{host.name}")


def known_hosts(lab: Lab) -> str:
    """Return a known_hosts file with the hosts' real keys, by name and by address."""
    lines = []
    for host in lab.hosts:
        kind, key, *_ = _public(lab, f"{host.name}-sshd").split()
        lines.append(f"{host.name},{lab.address(host)} {kind} {key}\n")
    return "".join(lines)


def prepare(lab: Lab, host: Host, overlay: Overlay) -> None:
    """Write one host's keys and settings."""
    keys = lab.folder / "keys"
    overlay.write("etc/ssh/ssh_host_ed25519_key", (keys / f"{host.name}-sshd").read_bytes(), mode=0o600)
    overlay.write("etc/ssh/ssh_host_ed25519_key.pub", _public(lab, f"{host.name}-sshd"))
    overlay.write("etc/ssh/ssh_known_hosts", known_hosts(lab))
    overlay.folder("root/.ssh", mode=0o700)
    overlay.write("root/.ssh/id_ed25519", (keys / f"{host.name}-root").read_bytes(), mode=0o600)
    overlay.write("root/.ssh/id_ed25519.pub", _public(lab, f"{host.name}-root"))

    client = (lab.keys / "client.pub").read_text()
    peers = "".join(_public(lab, f"{peer.name}-root") for peer in lab.hosts)
    if lab.options.login == "hardened":
        overlay.write("etc/ssh/sshd_config.d/lab.conf", SSHD_HARDENED)
        overlay.write("etc/sudoers.d/lab", SUDOERS_HARDENED, mode=0o440)
        _authorise(overlay, "ansible", client)
    else:
        overlay.write("etc/ssh/sshd_config.d/lab.conf", SSHD_ROOT)
        overlay.write("root/.ssh/authorized_keys", client + peers, mode=0o600)
    if host.role == "hypervisor":  # live migration logs in to this account where root may not
        movers = "".join(_public(lab, f"{peer.name}-root") for peer in lab.hypervisors)
        _authorise(overlay, "libvirtadmin", movers)


def _authorise(overlay: Overlay, user: str, keys: str) -> None:
    """Let those public keys in to an account."""
    owner = f"{user}:{user}"
    overlay.folder(f"home/{user}/.ssh", mode=0o700, owner=owner)
    overlay.write(f"home/{user}/.ssh/authorized_keys", keys, mode=0o600, owner=owner)


def _public(lab: Lab, name: str) -> str:
    """Return the public half of one of the lab's keys, a line."""
    return (lab.folder / "keys" / f"{name}.pub").read_text()
