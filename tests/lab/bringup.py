"""Brings a lab up, step by step."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from . import absent, build, ceph, cgroups, cluster, fencing, guests, host, inventory, login, network, root, state
from .overlay import Overlay
from .plan import Lab, LabError
from .report import at_once, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from .plan import Host, Options

SETTINGS = {"fs/inotify/max_user_instances": 1024, "fs/aio-max-nr": 1 << 20}


def up(name: str, options: Options) -> Lab:
    """Bring up a lab from nothing; the shared parts are built if they are not there.

    Raises:
        LabError: a step failed. What was made stays, for inspection, until ``down``.
    """
    keys = build.base_folder() / "keys"
    login.new_key(keys / "client", "vm-mgr-lab")
    public = keys / "client.pub"
    folder = state.lab_folder(name)
    folder.mkdir(parents=True)
    net = network.reserve(name, folder)
    lab = Lab(name, folder, net, options, root.path(), guests.path(public), keys)
    state.save(lab, complete=False)
    cgroups.enter(cgroups.folder(lab.tag, "up"))  # whatever is started from here on, down finds
    say(f"lab {name}: {net}.0/24, login {options.login}, tools {options.tools}")

    builds: tuple[Callable[[], None], ...] = (root.build, partial(guests.build, public))
    at_once(lambda make: make(), builds)
    raise_limits()
    network.create(lab)
    prepare(lab)
    say("network, keys and configuration")
    for node in lab.hosts:
        host.power_on(lab, node)
    at_once(lambda node: host.wait_for_ssh(lab, node), lab.hosts)
    say("hosts booted (sshd answers)")
    start_services(lab)
    inventory.write(lab)
    state.save(lab, complete=True)
    return lab


def start_services(lab: Lab) -> None:
    """Start Corosync, Pacemaker, Ceph and fencing on hosts that have booted."""
    cluster.start(lab)
    ceph.start_monitors(lab)
    say("ceph: monitors agree")
    ceph.start_osds(lab)
    say(f"ceph: pool {ceph.POOL}, {ceph.health(lab)}")
    cluster.wait_online(lab)
    say(f"pacemaker: {len(lab.hosts)} hosts online")
    if lab.options.fencing:
        fencing.start_bmcs(lab)
    fencing.configure(lab)
    say("fencing through simulated BMCs" if lab.options.fencing else "fencing off")


def prepare(lab: Lab) -> None:
    """Write what each host has of its own."""
    lab.log("").mkdir(exist_ok=True)
    login.new_keys(lab)
    secrets, authkey = ceph.new_secrets(lab), cluster.new_authkey()
    for node in lab.hosts:
        overlay = Overlay(lab.root, lab.host_folder(node) / "upper")
        identify(lab, node, overlay)
        login.prepare(lab, node, overlay)
        cluster.prepare(lab, overlay, authkey)
        ceph.prepare(lab, node, overlay, secrets)
        hide(lab, node, overlay)
        add_agent(lab, node, overlay)


def identify(lab: Lab, node: Host, overlay: Overlay) -> None:
    """Write the host's names."""
    names = "".join(f"{lab.address(peer)} {peer.name}\n" for peer in lab.hosts)
    overlay.write("etc/hosts", f"127.0.0.1 localhost\n{names}")
    overlay.write("etc/hostname", f"{node.name}\n")
    overlay.write("etc/machine-id", Path("/proc/sys/kernel/random/uuid").read_text().replace("-", ""))


def hide(lab: Lab, node: Host, overlay: Overlay) -> None:
    """Take away what the host must not have: an observer's virtual machines, the cluster tool that was not chosen."""
    if node.role == "observer":
        absent.hide_packages(overlay, absent.VM_PACKAGES)
        for path in absent.VM_FILES:
            overlay.hide(path)
    for tool, packages in absent.TOOL_PACKAGES.items():
        if lab.options.tools not in ("both", tool):
            absent.hide_packages(overlay, packages)


def add_agent(lab: Lab, node: Host, overlay: Overlay) -> None:
    """Give a hypervisor SEAPATH's resource agent where it was chosen; observers have no agent for VMs at all."""
    if lab.options.agent == "seapath" and node.role == "hypervisor":
        script = (build.FILES / "seapath-agent.sh").read_text()
        overlay.write("usr/lib/ocf/resource.d/seapath/VirtualDomain", script, mode=0o755)


def raise_limits() -> None:
    """Raise the limits of the machine that many hosts on one kernel run into; never lowers one."""
    for name, wanted in SETTINGS.items():
        setting = Path("/proc/sys", name)
        if int(setting.read_text()) < wanted:
            setting.write_text(str(wanted))


def clean() -> None:
    """Remove the built root, the guests' images and the client's key.

    Raises:
        LabError: a lab uses them.
    """
    if state.names():
        raise LabError(f"labs are there: {', '.join(state.names())}; lab down --all removes them.")
    build.remove_all()
    say("removed the built parts")
