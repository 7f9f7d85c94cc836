"""Rules for single values of the configuration, the environment and the inventory.

Every value may be wrong or hostile: it ends up in an address, in a file name or in the arguments of a program. So it is
compared with what it may be, never cleaned up.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from vmmgr.errors import ConfigurationError


class Rule(NamedTuple):
    """What a text may be, as an expression for the whole of it and in words for the person who wrote it."""

    pattern: re.Pattern[str]
    words: str


NAME = Rule(
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}"),
    "a machine's name has letters, digits, dots, underscores and hyphens, and does not begin with a dot or a hyphen",
)
ADDRESS = Rule(re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}"), "a host name or an IP address is expected, without blanks")
USER = Rule(
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\$-]{0,127}"),
    "a user name has letters, digits and _ . @ \\ $ -, and does not begin with a hyphen",
)
WORD = Rule(
    re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"),
    "letters, digits, dots, underscores and hyphens are expected, the first one a letter, a digit or an underscore",
)
_HOP = r"(?:ssh://)?(?:[A-Za-z0-9_][A-Za-z0-9_.@\\-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
JUMP = Rule(re.compile(rf"{_HOP}(?:,{_HOP}){{0,7}}"), "a jump host is written [user@]host[:port], several separated by commas")
PRINTABLE = Rule(
    re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]{1,4096}"), "text without control characters is expected"
)


def shown(value: object) -> str:
    """Return a value as one short printable line for an error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]}..."


def printable(text: str) -> str:
    """Return a message of another program or library as one line that cannot steer a terminal."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def checked(value: object, rule: Rule, what: str) -> str:
    """Return a value as text if it follows the rule; a whole number counts as text, as YAML reads ``user: 1000``.

    Raises:
        ConfigurationError: it does not; the message begins with ``what``.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and rule.pattern.fullmatch(value):
        return value
    raise ConfigurationError(f"{what} is {shown(value)}: {rule.words}.")


def port(value: object, what: str) -> int:
    """Return a TCP port, given as a number or as its digits.

    Raises:
        ConfigurationError: it is not one.
    """
    digits = str(value) if not isinstance(value, (bool, float)) else ""
    if re.fullmatch(r"[0-9]{1,5}", digits) and 1 <= int(digits) <= 65535:
        return int(digits)
    raise ConfigurationError(f"{what} is {shown(value)}: a port from 1 to 65535 is expected.")


def path(value: object, what: str, folder: Path) -> Path:
    """Return a path, absolute: ``~`` is expanded, and a relative path starts at ``folder``. It need not exist.

    Raises:
        ConfigurationError: it is not text, or it names the home of an unknown user.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} is {shown(value)}: a path is expected.")
    try:
        return Path.cwd() / folder / Path(checked(value, PRINTABLE, what)).expanduser()
    except RuntimeError:
        raise ConfigurationError(f"{what} is {shown(value)}: there is no such user here.") from None


def is_file(found: Path) -> bool:
    """Say whether there is a file at a path; False also if the path cannot be looked at."""
    try:
        return found.is_file()
    except OSError:
        return False


def existing(found: Path, what: str) -> Path:
    """Return the path of something that exists.

    Raises:
        ConfigurationError: there is nothing at that path.
    """
    try:
        found.stat()
    except OSError as error:
        raise ConfigurationError(f"{what} is {found}, which cannot be read: {error.strerror}.") from None
    return found
