"""The host keys that this workstation trusts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").

Paramiko reads only the file it is told, gives up on a line with a marker, knows no patterns, and keeps one key of each
type per host; so the files are read here.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class _Entry:
    names: tuple[str, ...]
    kind: str
    blob: bytes
    revoked: bool
    place: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the files say about a key.

    Attributes:
        trusted: whether it is the host's.
        revoked: the place (``file:line``) that revokes it, or None.
        others: the places that give other keys for the host.
    """

    trusted: bool
    revoked: str | None
    others: tuple[str, ...]


class KnownHosts:
    """The entries of several files."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._entries = [entry for file in files for entry in _read(file.expanduser())]

    def kinds(self, names: Sequence[str]) -> list[str]:
        """Return the types of the keys known for a host, such as ``ssh-ed25519``, in the files' order."""
        return list(dict.fromkeys(e.kind for e in self._entries if not e.revoked and _matches(e, names)))

    def judge(self, names: Sequence[str], blob: bytes) -> Verdict:
        """Look a key up for a host that has one or several names."""
        entries = [entry for entry in self._entries if _matches(entry, names)]
        revoked = next((e.place for e in entries if e.revoked and e.blob == blob), None)
        valid = [entry for entry in entries if not entry.revoked]
        trusted = revoked is None and any(entry.blob == blob for entry in valid)
        return Verdict(trusted, revoked, tuple(entry.place for entry in valid if entry.blob != blob))


def names_of(host: str, port: int, alias: str | None) -> tuple[str, ...]:
    """Return the names under which ssh looks a host up: HostKeyAlias, or ``[host]:port`` and then ``host``."""
    if alias:
        return (alias.lower(),)
    host = host.lower()
    return (host,) if port == 22 else (f"[{host}]:{port}", host)


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as ``ssh-keygen -l`` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _read(file: Path) -> list[_Entry]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return []
    read = (_parse(line, f"{file}:{number}") for number, line in enumerate(lines, 1))
    return [entry for entry in read if entry]


def _parse(line: str, place: str) -> _Entry | None:
    """Read one line; None for a comment, for what is not understood, and for certificate authorities."""
    fields = line.split()
    marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#") or marker not in ("", "@revoked"):
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except binascii.Error:
        return None
    return _Entry(tuple(fields[0].split(",")), fields[1], blob, marker == "@revoked", place)


def _matches(entry: _Entry, names: Sequence[str]) -> bool:
    return any(_name_matches(entry.names, name) for name in names)


def _name_matches(patterns: Sequence[str], name: str) -> bool:
    """Compare as ssh does: ``*`` and ``?`` are wildcards, a matching ``!pattern`` wins, ``|1|…`` is a hash."""
    found = False
    for pattern in patterns:
        if pattern.startswith("|1|"):
            found |= _hash_matches(pattern, name)
        elif re.fullmatch(_regex(pattern.removeprefix("!").lower()), name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _regex(pattern: str) -> str:
    return fnmatch.translate(pattern.replace("[", "[[]"))


def _hash_matches(pattern: str, name: str) -> bool:
    try:
        _, _, salt, digest = pattern.split("|")
        key, expected = base64.b64decode(salt), base64.b64decode(digest)
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(key, name.encode(), hashlib.sha1).digest(), expected)
