"""Read ssh_config with its Include lines, which Paramiko passes over without a word."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from vmmgr.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramiko import SSHConfig
    from paramiko.config import SSHConfigDict

    from vmmgr.remote.target import Target

_DEPTH = 16
"""As ssh: files that include one another end here."""


def read(files: Iterable[Path]) -> str:
    """Return the text of several files one after the other, Include lines replaced by the files they name."""
    return "".join(_expand(file.expanduser(), _DEPTH) + "Host *\n" for file in files)


def _expand(file: Path, depth: int) -> str:
    """Read one file; after an included one, the Host or Match line that was in force is written again."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    section, text = "Host *", []
    for line in lines:
        keyword, _, value = re.sub(r"^\s*(\w+)\s*(?:=|\s)\s*", r"\1 ", line).partition(" ")
        if keyword.lower() in ("host", "match"):
            section = line
        if keyword.lower() == "include" and depth:
            text += [_expand(found, depth - 1) for found in _included(value, file)]
            text.append(section)
        else:
            text.append(line)
    return "\n".join(text) + "\n"


def _included(value: str, file: Path) -> list[Path]:
    """Resolve the patterns of an Include line; relative ones count from the folder of the configuration."""
    found: list[Path] = []
    for pattern in shlex.split(value, comments=True):
        path = file.parent / Path(pattern).expanduser()
        found += sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    return found


def for_target(target: Target, text: str) -> SSHConfig:
    """Parse a configuration for one machine; what the inventory says comes first, as options on ssh's command line do.

    Raises:
        ConfigurationError: a value of the inventory or a line of the files cannot be used.
    """
    from paramiko import SSHConfig
    from paramiko.ssh_exception import ConfigParseError

    options = [
        ("Port", target.port),
        ("User", target.user),
        ("ProxyJump", target.jump or ("none" if target.proxy_command else None)),
        ("ProxyCommand", target.proxy_command),
        ("IdentitiesOnly", "yes" if target.identities_only else None),
        *(("IdentityFile", file) for file in target.key_files),
    ]
    first = ""
    for option, value in options:
        if value is None:
            continue
        if re.search(r"[\x00-\x1f\x7f]", str(value)) or not str(value).strip():
            msg = f"{option} of {target.name} is {str(value)!r}: empty or with control characters. Correct it in the inventory."
            raise ConfigurationError(msg)
        first += f"{option} {value}\n"
    try:
        return SSHConfig.from_text(f"{first}Host *\n{text}")
    except ConfigParseError as error:
        msg = f"The SSH configuration cannot be read: {error}."
        raise ConfigurationError(msg) from error


def known_hosts_files(options: SSHConfigDict) -> list[Path]:
    """Return the known hosts files that a machine's options name, or ssh's own defaults."""
    user = options.get("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
    system = options.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
    home = str(Path.home())
    return [Path(file.replace("%d", home)) for file in shlex.split(user) + shlex.split(system) if file != "none"]
