"""The addresses of a guest as its hypervisor knows them, and whether a port there can be reached."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from vmmgr.command import CommandFailedError, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmmgr.remote.batch import Result


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address of a guest; ``source`` is who says so: ``agent``, ``lease`` or ``arp``."""

    source: str
    address: str


class Reach(StrEnum):
    """What became of a TCP connection."""

    OPEN = "open"
    """It was taken."""
    CLOSED = "closed"
    """It was refused: the packets arrive, and nothing listens there."""
    BLOCKED = "blocked"
    """It was not answered, or the network said that there is no way."""


def parse_addresses(result: Result) -> tuple[Address, ...]:
    """Read the lines ``SOURCE INTERFACE MAC PROTOCOL ADDRESS/PREFIX`` of virsh(1), domifaddr; it knows no other format.

    What no other machine can connect to is left out: loopback and link-local addresses.
    """
    return tuple(dict.fromkeys(_addresses(text_of(result))))


def _addresses(text: str) -> Iterator[Address]:
    for line in text.splitlines():
        words = line.split()
        try:
            address = ipaddress.ip_interface(words[-1]).ip
        except (IndexError, ValueError):
            continue
        if not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified):
            yield Address(words[0], str(address))


def parse_reach(result: Result) -> Reach:
    """Read the one word that the template ``libvirt/reach`` prints."""
    try:
        return Reach(text_of(result).strip())
    except ValueError as error:
        raise CommandFailedError(result) from error
