"""The lab's network: one bridge on the machine, one network namespace and one cable per host.

Inside a host the cable ends in a bridge ``br0``, which the guests' taps join; so a guest is on the same wire.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from .plan import Host, Lab, LabError, tag_of
from .report import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# One file per subnet taken, holding the path of its lab's folder. Made before anything else of a lab and removed last:
# it is how ``down`` finds all that a killed ``up`` made. In /run, because a reboot of the machine removes the rest too.
RESERVATIONS = Path("/run/vm-mgr-lab")


def candidates(name: str) -> Iterator[str]:
    """Yield subnets for a lab of that name, always in the same order: 10.100.0 to 10.199.255."""
    start = zlib.crc32(name.encode())
    for step in range(256):
        number = (start + step * 101) % (100 * 256)
        yield f"10.{100 + number // 256}.{number % 256}"


def is_free(net: str, used: Iterable[ipaddress.IPv4Network]) -> bool:
    """Tell whether the subnet of 256 addresses touches none of the networks."""
    subnet = ipaddress.IPv4Network(f"{net}.0/24")
    return not any(subnet.overlaps(other) for other in used)


def networks_in_use() -> list[ipaddress.IPv4Network]:
    """Return the networks that the machine has routes to; the default route does not count."""
    routes = json.loads(_ip("-j", "-4", "route", "show", "table", "all") or "[]")
    names = {route["dst"] for route in routes} - {"default"}
    return [ipaddress.IPv4Network(name, strict=False) for name in names]


def reserve(name: str, folder: Path) -> str:
    """Take a free subnet for the lab in that folder and return its first three bytes.

    Raises:
        LabError: none is free.
    """
    RESERVATIONS.mkdir(exist_ok=True)
    used = networks_in_use()
    for net in candidates(name):
        file = RESERVATIONS / net
        if not is_free(net, used):
            continue
        if file.exists() and not Path(file.read_text()).exists():
            file.unlink()  # its lab's folder is gone, and so is its network
        try:
            with file.open("x") as made:
                made.write(str(folder))
        except FileExistsError:
            continue
        return net
    raise LabError("no subnet between 10.100.0.0 and 10.199.255.0 is free on this machine.")


def reservations(folder: Path) -> list[Path]:
    """Return the reservation files of the lab in that folder: one, or none."""
    return [file for file in RESERVATIONS.glob("10.*") if file.read_text() == str(folder)]


def create(lab: Lab) -> None:
    """Make the bridge and each host's namespace, cable and addresses."""
    _ip("link", "add", lab.tag, "type", "bridge")
    _ip("addr", "add", f"{lab.gateway}/24", "dev", lab.tag)
    _ip("link", "set", lab.tag, "up")
    for host in lab.hosts:
        space = lab.netns(host)
        _ip("netns", "add", space)
        _ip("link", "add", lab.cable(host), "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", lab.cable(host), "master", lab.tag, "up")
        _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", space, "link", "add", "br0", "type", "bridge")
        _ip("-n", space, "link", "set", "eth0", "master", "br0", "up")
        _ip("-n", space, "addr", "add", f"{lab.address(host)}/24", "dev", "br0")
        _ip("-n", space, "link", "set", "br0", "up")


def destroy(net: str) -> None:
    """Remove whatever there is of the network of the lab on that subnet."""
    tag = tag_of(net)
    for link in json.loads(_ip("-j", "link")):
        if link["ifname"].startswith(f"{tag}-"):
            subprocess.run(["ip", "link", "del", link["ifname"]], check=False)
    for space in Path("/run/netns").glob(f"{tag}-*"):
        _ip("netns", "del", space.name)
    if bridge_exists(net):
        _ip("link", "del", tag)


def bridge_exists(net: str) -> bool:
    """Tell whether the lab on that subnet has its bridge, that is, whether it runs."""
    return Path("/sys/class/net", tag_of(net)).exists()


def plug(lab: Lab, host: Host, *, connected: bool) -> None:
    """Plug the host's network cable in or out."""
    _ip("link", "set", lab.cable(host), "up" if connected else "down")


def is_plugged(lab: Lab, host: Host) -> bool:
    """Tell whether the host's network cable is plugged in."""
    flags = Path("/sys/class/net", lab.cable(host), "flags")
    return flags.exists() and bool(int(flags.read_text(), 16) & 1)  # IFF_UP


def _ip(*words: str) -> str:
    """Run ``ip`` and return what it prints."""
    return run(["ip", *words], step="ip " + " ".join(words))
