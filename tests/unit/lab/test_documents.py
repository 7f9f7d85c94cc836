"""The documents that the lab writes: inventory, domain, keyrings, corosync.conf, fencing."""

from __future__ import annotations

import base64
import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from lab import ceph, cluster, domain, fencing, inventory
from lab.plan import Lab, LabError, Options, parse_hosts


def make_lab(hosts: str = "2hv+1obs", login: str = "root") -> Lab:
    """Return a lab that exists only on paper."""
    path = Path("/nowhere")
    return Lab("paper", path, "10.104.7", Options(parse_hosts(hosts), login), path, path, path)


def test_inventory_has_the_shape_of_seapath() -> None:
    """Hosts, groups and variables are where SEAPATH's example has them; roles decide the groups."""
    data = yaml.safe_load(inventory.inventory(make_lab(login="hardened")))
    assert list(data) == ["all", "hypervisors", "observers", "cluster_machines", "standalone_machine"]
    assert data["all"]["hosts"]["hv2"]["ansible_host"] == "10.104.7.12"
    assert data["all"]["vars"]["ansible_user"] == "ansible"
    assert data["all"]["vars"]["ip_addr"] == "{{ ansible_host }}"
    assert data["all"]["vars"]["hostname"] == "{{ inventory_hostname }}"
    assert data["hypervisors"]["hosts"] == {"hv1": None, "hv2": None}
    assert data["observers"]["hosts"] == {"obs1": None}
    assert data["standalone_machine"] is None
    ring = data["cluster_machines"]["hosts"]
    assert ring["hv1"]["cluster_next_ip_addr"] == ring["hv2"]["cluster_ip_addr"]
    assert ring["hv1"]["cluster_previous_ip_addr"] == ring["obs1"]["cluster_ip_addr"]
    assert "ceph_osd_disks" in ring["hv1"]
    assert "ceph_osd_disks" not in ring["obs1"]


def test_inventory_without_observers_has_an_empty_group() -> None:
    """Three hypervisors leave ``observers`` with ``hosts: null``, as SEAPATH writes it."""
    data = yaml.safe_load(inventory.inventory(make_lab("3hv")))
    assert data["observers"] == {"hosts": None}


def test_exports_are_quoted_for_the_shell() -> None:
    """Values with blanks arrive as one word each."""
    assert "export LAB_HYPERVISORS='hv1 hv2'\n" in inventory.exports(make_lab())


def test_domain_has_no_disk_and_the_address_in_its_mac() -> None:
    """The XML is what ``create`` adds a disk to; escaping holds for any name."""
    tree = ET.fromstring(domain.domain("10.104.7", "a<b'&\"", 101, 96))
    assert tree.findtext("name") == "a<b'&\""
    assert tree.find("devices/disk") is None
    mac = tree.find("devices/interface/mac")
    assert mac is not None
    assert mac.get("address") == "52:54:00:68:07:65"
    assert tree.find("devices/channel/target[@name='org.qemu.guest_agent.0']") is not None


def test_domain_refuses_the_hosts_addresses() -> None:
    """A guest cannot take a host's address."""
    with pytest.raises(LabError, match="100 to 254"):
        domain.domain("10.104.7", "a", 11)


def test_secret_is_a_cephx_key() -> None:
    """A secret is type 1, the time, length 16 and as many bytes, never the same twice."""
    kind, seconds, _, length = struct.unpack("<HIIH", base64.b64decode(ceph.new_secret(now=1000.5))[:12])
    assert (kind, seconds, length) == (1, 1000, 16)
    assert ceph.new_secret(now=1) != ceph.new_secret(now=1)


def test_keyring_lists_each_entity_with_its_caps() -> None:
    """The file has a section per entity."""
    text = ceph.keyring({"client.a": "KEY"}, {"client.a": {"mon": "allow r", "osd": "allow rw"}})
    assert text == '[client.a]\n\tkey = KEY\n\tcaps mon = "allow r"\n\tcaps osd = "allow rw"\n'


def test_one_copy_per_hypervisor() -> None:
    """The pool has as many copies as there are hypervisors, and goes on with one."""
    text = ceph.configuration(make_lab("3hv+1obs"))
    assert "osd_pool_default_size = 3\nosd_pool_default_min_size = 1\n" in text


def test_corosync_numbers_every_host_once() -> None:
    """Every host is in the node list under its inventory name."""
    text = cluster.corosync_conf(make_lab())
    assert re.findall(r"name: (\w+)\n    nodeid: (\d)", text) == [("hv1", "1"), ("hv2", "2"), ("obs1", "3")]


def test_no_host_fences_itself() -> None:
    """Each fence device is for one host and banned from it; no id occurs twice."""
    tree = ET.fromstring(f"<configuration>{fencing.resources(make_lab())}</configuration>")
    bans = {place.get("rsc"): place.get("node") for place in tree.iter("rsc_location")}
    assert bans == {"fence-hv1": "hv1", "fence-hv2": "hv2", "fence-obs1": "obs1"}
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("words", "requests"),
    [
        (["0x20", "get", "power"], [("get", "power", "")]),
        (["get", "power", "boot"], [("get", "power", ""), ("get", "boot", "")]),
        (["0x20", "set", "power", "0"], [("set", "power", "0")]),
        (["set", "boot", "none", "reset", "1"], [("set", "boot", "none"), ("set", "reset", "1")]),
    ],
)
def test_requests_of_a_bmc(words: list[str], requests: list[tuple[str, str, str]]) -> None:
    """ipmi_sim asks with or without the controller's number, for one item or several."""
    assert fencing.chassis_requests(words) == requests
