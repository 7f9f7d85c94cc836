"""The machines themselves."""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING

import pytest

from vmmgr.checks import explained
from vmmgr.checks.answers import NoAnswer, shell
from vmmgr.checks.reading import complaint, listed, outputs, unlike

if TYPE_CHECKING:
    from vmmgr.checks.answers import Node, Nodes

# Seconds that clocks may differ beyond what the asking itself took. Ceph warns of less by itself.
_SKEW = 1.0
_DATE = "date +%s.%N"
_FOLDERS = "/ /var /var/log /var/lib/pacemaker /var/lib/ceph /var/lib/libvirt /etc/pacemaker /run /tmp"
# Per cent in use from which on a file system is nearly full, unless as many bytes are left.
_FULL, _PLENTY = 90, 5 << 30
# As the login itself: a hardened sudo answers nobody else without a terminal. Nothing for a login that is root.
_SUDO = 'test -z "$SUDO_USER" || runuser -u "$SUDO_USER" -- sudo -n -l'
# What hardens a sudo (sudoers(5)); use_pty and env_reset are the default of many systems, the others are somebody's will.
_HARDENING = ("noexec", "umask=0077", "use_pty", "env_reset")


@explained(
    why="It cannot be managed or checked from here, and no other check says anything about it.",
    remedy="Follow what was seen; `ssh {host}` from this workstation must work, and root be had there by sudo.",
)
def test_answer(host: Node) -> None:
    """The machine answers, and lets vm-mgr become root."""
    try:
        answer = host.run("true")
    except NoAnswer:
        pytest.fail(str(host.backend.answers.lost[host.name]))
    assert answer.succeeded, f"root's shell can run no program: {complaint(answer)}"


@explained(
    why="Logs cannot be compared, leases of vm-mgr and snapshots taken by date are wrong, and Ceph's monitors lose each other.",
    remedy="Let all machines follow the same time source; `chronyc sources` or `timedatectl` on {host} shows which it has.",
)
def test_clock(host: Node, hosts: Nodes) -> None:
    """Its clock agrees with those of the other machines."""
    clocks = {name: float(text) for name, text in outputs(hosts.beside(host, _DATE)).items() if text}
    if host.name not in clocks:
        pytest.skip(f"{host} does not tell the time")
    away = abs(clocks[host.name] - median(clocks.values())) - host.backend.answers.took(host.name, shell(_DATE))
    assert away < _SKEW, f"at least {away:.0f} s away from the other machines"


@explained(
    why="Pacemaker, Ceph and libvirt stop working when they cannot write, and none of them says so clearly.",
    remedy="Make room on {host}; `du -xh --max-depth=2` shows what takes it.",
)
def test_space(host: Node) -> None:
    """None of the system's file systems is nearly full."""
    full = set()
    for line in host.run(f"df --block-size=1 --output=pcent,ipcent,avail,target {_FOLDERS}").stdout.splitlines()[1:]:
        used, inodes, left, folder = line.split(None, 3)
        if used != "-" and int(used.rstrip("%")) >= _FULL and int(left) < _PLENTY:
            full.add(f"{folder} is {used} full")
        if inodes != "-" and int(inodes.rstrip("%")) >= _FULL:
            full.add(f"{folder} has {inodes} of its inodes in use")
    assert not full, "; ".join(sorted(full))


@explained(
    why="The site's hardening is no stronger than where it is weakest, and rights that are missing somewhere are missed at the worst time.",
    remedy="Compare `sudo -l -U LOGIN` on {host} and the others, and give it the same files in /etc/sudoers.d.",
)
def test_sudo(host: Node, hosts: Nodes) -> None:
    """The login may do the same through sudo on all machines."""
    rights = {  # what is allowed is indented, and wrapped at will; the headings name the machine
        name: " ".join(word for line in text.splitlines() if line[:1].isspace() for word in line.split())
        for name, text in outputs(hosts.beside(host, _SUDO)).items()
    }
    others = unlike(host.name, rights)
    assert not others, f"other rights than on {listed(others)}: {rights[host.name] or 'none'}"


@explained(
    why="Without noexec, a program that is allowed can start any other as root; without use_pty, what it leaves running can type into the "
    "terminal; without the umask, others can read what it writes.",
    remedy="On {host}, with `visudo`: `Defaults noexec, umask=0077, use_pty, env_reset`; the line of the login then needs EXEC: before /bin/sh.",
)
def test_hardening(host: Node, hosts: Nodes) -> None:
    """Where sudo is hardened, it is so in every respect."""
    settings = {name: defaults(text) for name, text in outputs(hosts.beside(host, _SUDO)).items() if text}
    if not any(word in there for there in settings.values() for word in _HARDENING[:2]):
        return
    if host.name not in settings:
        pytest.skip(f"sudo does not say on {host} what the login may do")
    missing = [word for word in _HARDENING if word not in settings[host.name]]
    assert not missing, f"sudo is without {listed(missing)}"


def defaults(text: str) -> set[str]:
    """Return the settings that hold for the login in what ``sudo -l`` prints, where each takes back those of its name before it."""
    _, _, lines = text.partition("Matching Defaults entries")[2].partition("\n")
    words = re.split(r",\s+", re.split(r"^\S", lines, maxsplit=1, flags=re.MULTILINE)[0].strip())
    return set({word.lstrip("!").partition("=")[0]: word for word in words}.values())
