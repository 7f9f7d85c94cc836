"""OpenSSH options in an inventory (``ansible_ssh_common_args`` and the like), as far as they say how to reach a machine.

Honoured: ``-J``, ``-i``, ``-p``, ``-l`` and the options ProxyJump, ProxyCommand, IdentityFile, IdentitiesOnly, Port, User.
As in OpenSSH, the first value given wins. Options that would switch the check of host keys off are refused with a warning.
Options about comfort are dropped silently, any other is named in a warning.
"""

from __future__ import annotations

import getopt
import re
import shlex
from dataclasses import dataclass, field

from vmmgr.errors import ConfigurationError
from vmmgr.site.values import shown

# ssh(1): the letters, and a colon after those that take a value
_LETTERS = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"
_OPTION_OF_LETTER = {"i": "identityfile", "J": "proxyjump", "l": "user", "p": "port"}
_HONOURED = frozenset(["identityfile", "identitiesonly", "port", "proxycommand", "proxyjump", "user"])
# fmt: off
_COMFORT = frozenset([
    "-4", "-6", "-C", "-S", "-T", "-q", "-v", "addressfamily", "batchmode", "compression", "connectionattempts",
    "connecttimeout", "controlmaster", "controlpath", "controlpersist", "loglevel",
    "preferredauthentications", "serveralivecountmax", "serveraliveinterval", "stricthostkeychecking", "tcpkeepalive",
])
# fmt: on


@dataclass(slots=True)
class SshArguments:
    """What the options say.

    Attributes:
        options: first value of each honoured option, by its name in lower case.
        identities: every private key file, in order.
        unchecked: an option would have switched the check of host keys off.
        ignored: the options without effect, as written in ssh_config(5) but lower case, or as ``-X``.
    """

    options: dict[str, str] = field(default_factory=dict)
    identities: list[str] = field(default_factory=list)
    unchecked: bool = False
    ignored: list[str] = field(default_factory=list)

    def take(self, name: str, value: str) -> None:
        """Note one option."""
        if name == "identityfile":
            self.identities.append(value)
        elif name in ("proxyjump", "proxycommand"):
            # whichever comes first also stops the other one
            if not self.options.keys() & {"proxyjump", "proxycommand"}:
                self.options[name] = value
        elif name in _HONOURED:
            self.options.setdefault(name, value)
        elif _weakens(name, value):
            self.unchecked = True
        elif name not in _COMFORT:
            self.ignored.append(name)


def _weakens(name: str, value: str) -> bool:
    value = value.lower()
    if name == "stricthostkeychecking":
        return value in ("no", "off", "accept-new")
    return name in ("userknownhostsfile", "globalknownhostsfile") and value in ("/dev/null", "none")


def parse(text: str, what: str, result: SshArguments) -> None:
    """Add what a line of ssh options says to what earlier lines said.

    Args:
        text: the options, quoted as for a shell.
        what: the variable and the host, as the beginning of a message.
        result: where to add it.

    Raises:
        ConfigurationError: the quotes do not match, or it is not a line of options.
    """
    try:
        pairs, rest = getopt.getopt(shlex.split(text), _LETTERS)
    except (getopt.GetoptError, ValueError) as error:
        raise ConfigurationError(f"{what} is {shown(text)}, which ssh would not take: {str(error).lower()}.") from None
    if rest:
        raise ConfigurationError(f"{what} is {shown(text)}: {shown(rest[0])} is not an option of ssh.")
    for flag, value in pairs:
        letter = flag[1:]
        if letter == "o":
            match = re.fullmatch(r"\s*([A-Za-z0-9]+)\s*[\s=]\s*(.*)", value, re.DOTALL)
            if match is None:
                raise ConfigurationError(f"{what} is {shown(text)}: -o {shown(value)} is not NAME=VALUE.")
            result.take(match[1].lower(), match[2].strip().strip('"') if match[1].lower() != "proxycommand" else match[2])
        else:
            result.take(_OPTION_OF_LETTER.get(letter, flag), value)
