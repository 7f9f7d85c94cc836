"""The command line: ``lab up``, ``lab exec HOST COMMAND``, and so on."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import bringup, build, cgroups, domain, fencing, guests, host, inventory, network, plan, state
from .plan import LabError, Options
from .report import say

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser; each command's function is its default ``work``."""
    top = argparse.ArgumentParser(prog="lab", description="A real highly available site on this machine.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default=os.environ.get("LAB_NAME", "default"), help="the lab's name (default)")

    up = commands.add_parser("up", parents=[named], help="bring the lab up, building what is not there")
    up.add_argument("--hosts", type=plan.parse_hosts, default=plan.parse_hosts(plan.DEFAULT_HOSTS),
                    help="NAME:hypervisor,NAME:observer,... or 3hv or 2hv+1obs (the default)")  # fmt: skip
    up.add_argument("--login", choices=plan.LOGINS, default="root", help="how clients log in (root)")
    up.add_argument("--tools", choices=plan.TOOLS, default="both", help="the cluster tools that the hosts have (both)")
    up.add_argument("--fencing", choices=("on", "off"), default="on", help="real fencing through simulated BMCs (on)")
    up.add_argument("--agent", choices=plan.AGENTS, default="heartbeat",
                    help="seapath: the hypervisors have SEAPATH's agent for VMs beside the usual one (heartbeat)")  # fmt: skip
    up.set_defaults(work=_up)
    down = commands.add_parser("down", parents=[named], help="remove the lab, also one that is half up")
    down.add_argument("--all", action="store_true", help="every lab of this base folder")
    down.set_defaults(work=_down)
    for name, work, text in (
        ("status", _status, "the labs that are there, and their hosts"),
        ("env", _env, "export lines for vm-mgr and for tests"),
        ("guests", _guests, "the paths of the guests' images"),
        ("packages", _packages, "the folder of the packages that make the Debian guest a node of Pacemaker"),
        ("install", _install, "install what the lab needs on this machine"),
        ("clean", _clean, "remove the built root and the guests' images"),
    ):
        commands.add_parser(name, parents=[named], help=text).set_defaults(work=work)
    for name, work, text in (
        ("exec", _exec, "run a command on a host, as root"),
        ("power-off", _power_off, "cut a host's power"),
        ("power-on", _power_on, "switch a host on and wait for its sshd"),
        ("unplug", _plug, "pull a host's network cable"),
        ("plug", _plug, "plug it in again"),
        ("bmc-chassis", _bmc_chassis, "what a simulated BMC calls"),
    ):
        one = commands.add_parser(name, parents=[named], help=text)
        one.add_argument("host", metavar="HOST")
        one.set_defaults(work=work, verb=name)
        if name in ("exec", "bmc-chassis"):
            one.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    xml = commands.add_parser("domain", parents=[named], help="print a guest's domain XML, for vm-mgr create --xml")
    xml.add_argument("guest", metavar="NAME")
    xml.add_argument("octet", type=int, metavar="OCTET", help="last byte of the guest's address")
    xml.add_argument("--memory", type=int, default=128, metavar="MiB", help="(128; the Debian guest wants 256)")
    xml.set_defaults(work=_domain)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 done, 1 failed."""
    values = parse(argv)
    if os.geteuid() != 0:
        print("lab: it makes namespaces and mounts: run it as root.", file=sys.stderr)
        return 1
    try:
        values.work(values)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; lab down removes what was made.", file=sys.stderr)
        return 130
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what is wrong with it is said in one line, with exit code 2."""
    top = parser()
    try:
        return top.parse_args(argv)
    except LabError as error:
        top.error(str(error))


def _up(values: argparse.Namespace) -> None:
    options = Options(values.hosts, values.login, values.tools, values.fencing == "on", values.agent)
    with build.lock(f"lab-{values.name}", wait=False) as had:
        if not had:
            raise LabError(f"another command brings lab {values.name} up or down right now.")
        found = state.load(values.name)
        if found and found[1]:
            if found[0].options != options:
                raise LabError(f"lab {values.name} is up with other options: {found[0].options.to_json()}; down first.")
            say(f"lab {values.name} is already up")
            return
        missing = build.missing_packages()
        if missing:
            raise LabError(f"this machine lacks {', '.join(missing)}; lab install installs them.")
        if state.remove(values.name):
            say(f"removed what an interrupted run had left of lab {values.name}")
        bringup.up(values.name, options)
        say(f'lab {values.name} is up: eval "$({Path(sys.argv[0])} env --name {values.name})"')


def _down(values: argparse.Namespace) -> None:
    for name in state.names() if values.all else [values.name]:
        # an up of that lab that still runs holds the lock: it belongs to the lab, and goes with it
        for file in network.reservations(state.lab_folder(name)):
            cgroups.kill(cgroups.folder(plan.tag_of(file.name)))
        with build.lock(f"lab-{name}"):
            removed = state.remove(name)
        say(f"lab {name}: removed" if removed else f"lab {name}: nothing there")
    build.remove_unfinished()


def _status(values: argparse.Namespace) -> None:
    for name in state.names():
        found = state.load(name)
        if not found:
            print(f"{name}: half up; down removes it")
            continue
        lab, is_up = found
        memory = host.memory(cgroups.folder(lab.tag)) / (1 << 30)
        print(f"{name}: {'up' if is_up else 'half up'}, {lab.net}.0/24, {memory:.1f} GiB, {lab.options.to_json()}")
        for node in lab.hosts:
            power = "on" if host.is_on(lab, node) else "off"
            cable = "plugged" if network.is_plugged(lab, node) else "unplugged"
            print(f"  {node.name:<12} {lab.address(node):<15} {node.role:<10} {power:<3} {cable}")


def _env(values: argparse.Namespace) -> None:
    print(inventory.exports(state.running(values.name)), end="")


def _guests(values: argparse.Namespace) -> None:
    folder = guests.path(build.base_folder() / "keys/client.pub")
    print(folder / "tiny.qcow2", folder / "debian.qcow2", sep="\n")


def _packages(values: argparse.Namespace) -> None:
    print(guests.path(build.base_folder() / "keys/client.pub") / "packages")


def _install(values: argparse.Namespace) -> None:
    build.install()


def _clean(values: argparse.Namespace) -> None:
    bringup.clean()


def _exec(values: argparse.Namespace) -> None:
    lab = state.running(values.name)
    words = values.words or ["/bin/bash", "-l"]
    command = host.command(lab, lab.host(values.host), words)
    os.execvp(command[0], command)


def _power_off(values: argparse.Namespace) -> None:
    lab = state.running(values.name)
    host.power_off(lab, lab.host(values.host))


def _power_on(values: argparse.Namespace) -> None:
    lab = state.running(values.name)
    node = lab.host(values.host)
    host.power_on(lab, node)
    host.wait_for_ssh(lab, node)


def _plug(values: argparse.Namespace) -> None:
    lab = state.running(values.name)
    network.plug(lab, lab.host(values.host), connected=values.verb == "plug")


def _bmc_chassis(values: argparse.Namespace) -> None:
    lab = state.running(values.name)
    fencing.chassis(lab, lab.host(values.host), values.words)


def _domain(values: argparse.Namespace) -> None:
    lab = state.running(values.name)
    print(domain.domain(lab.net, values.guest, values.octet, values.memory), end="")
