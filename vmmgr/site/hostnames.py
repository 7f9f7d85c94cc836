"""Host keys of an inventory: ``node1``, ``node1:2222``, ``node[1:3]``, ``node[01:12:2]-[a:c]``."""

from __future__ import annotations

import re
import string

from vmmgr.errors import ConfigurationError
from vmmgr.site import values

_RANGE = re.compile(r"\[([^\[\]]*)\]")
# a range beyond this is a slip or a bomb; no cluster of Pacemaker has as many nodes
MAX_HOSTS = 1000


def expand(key: object, where: str) -> tuple[list[str], int | None]:
    """Return the host names and the port that a host key of an inventory stands for.

    Args:
        key: as YAML has read it.
        where: the file and group, for messages.

    Raises:
        ConfigurationError: it is not text, a name is not usable, or a range is wrong or too large.
    """
    if not isinstance(key, str):
        raise ConfigurationError(f"{where}: the host name {values.shown(key)} is not text; put it between quotes.")
    port = None
    pattern, colon, digits = key.rpartition(":")
    # one colon outside brackets announces a port; IPv6 addresses have more
    if colon and "]" not in digits and _RANGE.sub("", key).count(":") == 1:
        port = values.port(digits, f"{where}: the port of host {values.shown(key)}")
    else:
        pattern = key
    names = [pattern]
    while any("[" in name for name in names):
        names = [longer for name in names for longer in _expand_first(name, where)]
        if len(names) > MAX_HOSTS:
            raise ConfigurationError(f"{where}: {values.shown(key)} stands for more than {MAX_HOSTS} hosts.")
    rule = values.NAME if ":" not in pattern else values.ADDRESS
    return [values.checked(name, rule, f"{where}: a host name") for name in names], port


def _expand_first(name: str, where: str) -> list[str]:
    match = _RANGE.search(name)
    if match is None:
        raise ConfigurationError(f"{where}: the host name {values.shown(name)} has a bracket without its partner.")
    try:
        items = _items(*match[1].split(":"))
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{where}: the range in {values.shown(name)} is not usable; write [FIRST:LAST] or [FIRST:LAST:STEP], "
            "with numbers of equal length or single letters, FIRST not after LAST."
        ) from None
    return [name[: match.start()] + item + name[match.end() :] for item in items]


def _items(first: str, last: str, step: str = "1") -> list[str]:
    """Return the items of a range, at most one more than ``MAX_HOSTS``. Raises ValueError if it is not one."""
    letters = string.ascii_letters
    if first in letters and last in letters and len(first) == len(last) == 1:
        items = [letters[index] for index in range(letters.index(first), letters.index(last) + 1, int(step))]
    else:
        width = len(first) if first.startswith("0") and len(first) > 1 else 0
        if width and width != len(last):
            raise ValueError
        numbers = range(int(first or "0"), int(last) + 1, int(step))
        items = [str(number).zfill(width) for number in numbers[: MAX_HOSTS + 1]]
    if not items:
        raise ValueError
    return items
