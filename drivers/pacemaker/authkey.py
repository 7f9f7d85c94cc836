"""The key with which Pacemaker's remote nodes and its cluster nodes know each other (Pacemaker Remote, "Authentication key").

It is a file of any bytes. Where the nodes have none, Pacemaker falls back to Corosync's. Debian's packages make one when they are
installed, another one on every machine. The key itself travels as base64 through
the standard input and output of commands only.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmmgr.command import Command, CommandFailedError, succeeded, text_of
from vmmgr.drivers.base import Driver

if TYPE_CHECKING:
    from vmmgr.remote.batch import Result

FILE = "/etc/pacemaker/authkey"
FALLBACK = "/etc/corosync/authkey"
_RIGHTS = "root:haclient:640"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a machine has; hashes are SHA-256 in hex, empty where there is no such file.

    Attributes:
        own: The hash of the key that is Pacemaker's own.
        corosync: The hash of Corosync's.
        sound: Whether Pacemaker's own has the right owner, group and mode; true where there is none.
    """

    own: str
    corosync: str
    sound: bool = True


class Authkey(Driver):
    """Reads and writes the key on cluster nodes and guests alike."""

    folder = "pacemaker"

    def inspect(self) -> Command[Keys]:
        """Read which keys there are."""
        return Command(self.renderer.argv("pacemaker/key_inspect", files=(FILE, FALLBACK)), _parse_keys)

    def read(self, *, own: bool) -> Command[str]:
        """Read the key, or Corosync's, as base64."""
        return Command(self.renderer.argv("pacemaker/key_read", file=FILE if own else FALLBACK), _parse_key, secret=True)

    def write(self, key: str, *, former: str = "") -> Command[None]:
        """Write the key, given as base64, with the right owner and mode; fail where there is another one than that of the hash ``former``."""
        argv = self.renderer.argv("pacemaker/key_write", file=FILE, sha256=hash_of(key), former=former or "none")
        return Command(argv, succeeded, stdin=key, changes=True, secret=True)

    def remove(self, sha256: str) -> Command[None]:
        """Remove the key, if it is the one of that hash."""
        argv = self.renderer.argv("pacemaker/key_remove", file=FILE, sha256=sha256)
        return Command(argv, succeeded, changes=True)


def hash_of(key: str) -> str:
    """Return the SHA-256 of a key given as base64, in hex."""
    return hashlib.sha256(b64decode(key)).hexdigest()


def _parse_keys(result: Result) -> Keys:
    lines = [line.split(" ") for line in text_of(result).splitlines()]
    try:
        (own, *rights), (corosync, *_) = lines
    except ValueError as error:
        raise CommandFailedError(result) from error
    if not all(re.fullmatch("-|[0-9a-f]{64}", text) for text in (own, corosync)):
        raise CommandFailedError(result)
    return Keys(own.strip("-"), corosync.strip("-"), sound=rights in ([], [_RIGHTS]))


def _parse_key(result: Result) -> str:
    text = text_of(result).strip()
    try:
        if b64decode(text, validate=True):
            return text
    except (Error, ValueError):
        pass
    raise CommandFailedError(result)
