"""What a client needs: the Ansible inventory in SEAPATH's shape, the host keys, and the environment."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from .ceph import libvirt_secret_uuid
from .login import known_hosts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .plan import Host, Lab

HEAD = """\
# Written by tests/lab/lab; the shape is that of SEAPATH's inventories/examples/seapath-cluster.yaml.
all:
  hosts:
"""
COMMON = """\
  vars:
    ansible_connection: ssh
    ansible_user: {user}
    ansible_python_interpreter: /usr/bin/python3
    ansible_remote_tmp: /tmp/.ansible/tmp
    admin_user: admin
    ip_addr: "{{{{ ansible_host }}}}"
    hostname: "{{{{ inventory_hostname }}}}"
"""
CLUSTER = """\
  vars:
    cephadm_network: {net}.0/24
    deploy_cephfs: false
    ceph_conf_overrides:
      global:
        osd_pool_default_size: "{{{{ groups['hypervisors'] | length }}}}"
standalone_machine:
"""


def inventory(lab: Lab) -> str:
    """Return the inventory, YAML."""
    text = HEAD
    for host in lab.hosts:
        text += f"    {host.name}:\n      ansible_host: {lab.address(host)}\n      network_interface: eth0\n"
    text += COMMON.format(user=lab.login_user)
    text += "hypervisors:\n  hosts:\n" + _names(lab.hypervisors)
    text += "  vars:\n    livemigration_user: libvirtadmin\n"
    text += "observers:\n  hosts:\n" + _names(lab.observers)
    text += "cluster_machines:\n  hosts:\n" + "".join(_machine(lab, place) for place in range(len(lab.hosts)))
    return text + CLUSTER.format(net=lab.net)


def _names(hosts: Sequence[Host]) -> str:
    """Return one line per host, without variables."""
    return "".join(f"    {host.name}:\n" for host in hosts)


def _machine(lab: Lab, place: int) -> str:
    """Return the cluster variables of the host at that place of the ring."""
    host, ring = lab.hosts[place], lab.hosts
    text = f"    {host.name}:\n      team0_0: eth1\n      team0_1: eth2\n"
    text += f"      cluster_ip_addr: {lab.address(host)}\n"
    text += f"      cluster_next_ip_addr: {lab.address(ring[(place + 1) % len(ring)])}\n"
    text += f"      cluster_previous_ip_addr: {lab.address(ring[place - 1])}\n"
    if host.role == "hypervisor":
        text += "      ceph_osd_disks:\n        - /dev/disk/by-path/lab-0\n"
    return text


def write(lab: Lab) -> None:
    """Write the files that ``environment`` names."""
    folder = lab.folder / "client"
    folder.mkdir(exist_ok=True)
    (folder / "inventory.yaml").write_text(inventory(lab))
    (folder / "known_hosts").write_text(known_hosts(lab))


def environment(lab: Lab) -> dict[str, str]:
    """Return the variables with which vm-mgr, and the tests, find the lab."""
    folder = lab.folder / "client"
    return {
        "VMMGR_INVENTORY": str(folder / "inventory.yaml"),
        "VMMGR_KEY": str(lab.keys / "client"),
        "VMMGR_KNOWN_HOSTS": str(folder / "known_hosts"),
        "LAB_NAME": lab.name,
        "LAB_NET": lab.net,
        "LAB_HYPERVISORS": " ".join(host.name for host in lab.hypervisors),
        "LAB_OBSERVERS": " ".join(host.name for host in lab.observers),
        "LAB_USER": lab.login_user,
        "LAB_LOGIN": lab.options.login,
        "LAB_TOOLS": lab.options.tools,
        "LAB_FENCING": "on" if lab.options.fencing else "off",
        "LAB_AGENT": lab.options.agent,
        "LAB_LOGS": str(lab.folder / "log"),
        "LAB_SECRET_UUID": libvirt_secret_uuid(lab),
        "LAB_GUEST_TINY": str(lab.guests / "tiny.qcow2"),
        "LAB_GUEST_DEBIAN": str(lab.guests / "debian.qcow2"),
        "LAB_PACKAGES": str(lab.guests / "packages"),
    }


def exports(lab: Lab) -> str:
    """Return the environment as lines for ``eval``."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment(lab).items())
