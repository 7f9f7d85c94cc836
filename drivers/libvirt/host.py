"""What a hypervisor tells of itself: the answer of the template ``libvirt/inspect``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmmgr.command import CommandFailedError, succeeded

if TYPE_CHECKING:
    from vmmgr.remote.batch import Result


@dataclass(frozen=True, slots=True)
class Secret:
    """A libvirt secret for Ceph: ``usage`` is its name, such as ``client.libvirt secret``."""

    uuid: str
    usage: str

    @property
    def user(self) -> str:
        """The Ceph user that the secret belongs to: the name says it, as libvirt's and Ceph's documentation have it."""
        word = self.usage.split(" ")[0]
        return word.removeprefix("client.") if word.startswith("client.") else "libvirt"


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """What one hypervisor has.

    Attributes:
        agents: The providers that have an agent ``VirtualDomain``: ``seapath``, ``heartbeat``.
        programs: Optional programs that are there: ``zstd``.
        file_hash: SHA-256 of the file asked for, in hex; empty when there is no such file.
        domains: The names of libvirt's domains, running or not.
        uuids: The UUIDs of those domains and of the domain XML files in /etc/pacemaker, in lower case.
        secrets: The secrets for Ceph.
        macs: The MAC addresses in those files and domains, in lower case.
    """

    agents: tuple[str, ...]
    programs: tuple[str, ...]
    file_hash: str
    domains: tuple[str, ...]
    uuids: tuple[str, ...]
    secrets: tuple[Secret, ...]
    macs: tuple[str, ...] = ()


def parse_hypervisor(result: Result) -> Hypervisor:
    """Read the lines ``KIND VALUE``; the line after a secret is its XML document."""
    succeeded(result)
    found: dict[str, list[str]] = {}
    secrets = []
    for line in result.text.split("\n"):  # not splitlines(): the name of a domain may hold what that splits at
        kind, _, value = line.partition(" ")
        if line.startswith("<"):
            secrets.append(line)
        else:
            found.setdefault(kind, []).append(value)
    return Hypervisor(
        agents=tuple(found.get("agent", ())),
        programs=tuple(found.get("program", ())),
        file_hash=found.get("file", [""])[0],
        domains=tuple(found.get("domain", ())),
        uuids=tuple(uuid.lower() for uuid in found.get("uuid", ())),
        secrets=tuple(secret for text in secrets if (secret := _secret(text, result))),
        macs=tuple(mac.lower() for mac in found.get("mac", ())),
    )


def _secret(text: str, result: Result) -> Secret | None:
    """Read a secret's XML (libvirt.org/formatsecret.html); None for one that is not for Ceph."""
    try:
        root = ET.fromstring(text)  # noqa: S314 - expat since 2.4.1 limits entity expansion itself
    except (ET.ParseError, LookupError, ValueError) as error:
        raise CommandFailedError(result) from error
    usage = root.find("usage")
    if usage is None or usage.get("type") != "ceph":
        return None
    return Secret(root.findtext("uuid", "").strip(), usage.findtext("name", "").strip())
