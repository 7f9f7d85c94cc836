"""The names and addresses of a lab."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.plan import Host, Lab, LabError, Options, guest_mac, parse_hosts, tag_of


def test_short_form_numbers_hypervisors_then_observers() -> None:
    """``2hv+1obs`` is the site of two hypervisors and an observer, addresses from 11 on."""
    assert parse_hosts("2hv+1obs") == (
        Host("hv1", "hypervisor", 11),
        Host("hv2", "hypervisor", 12),
        Host("obs1", "observer", 13),
    )


def test_long_form_keeps_names_roles_and_order() -> None:
    """Hosts can be named freely and come in the order given."""
    hosts = parse_hosts("watch:observer,a:hypervisor,b-2:hypervisor")
    assert [(host.name, host.role, host.octet) for host in hosts] == [
        ("watch", "observer", 11),
        ("a", "hypervisor", 12),
        ("b-2", "hypervisor", 13),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1hv+2obs", "fewer than two hypervisors"),
        ("a:hypervisor,a:hypervisor", "twice"),
        ("a:hypervisor,b:boss", "'b:boss'"),
        ("a:hypervisor,../b:hypervisor", "'../b:hypervisor'"),
        ("", "''"),
    ],
)
def test_bad_hosts_are_refused_with_their_name(text: str, said: str) -> None:
    """Too few hypervisors, double names, unknown roles and names that are paths are refused, and named."""
    with pytest.raises(LabError, match="--hosts") as caught:
        parse_hosts(text)
    assert said in str(caught.value)


def test_interface_names_fit_the_kernel() -> None:
    """The longest tag and cable name keep the 15 characters that an interface name may have."""
    path = Path("/nowhere")
    lab = Lab("x" * 20, path, "10.199.255", Options(parse_hosts("9hv+9obs")), path, path, path)
    names = [lab.tag, *(lab.cable(host) for host in lab.hosts)]
    assert max(map(len, names)) <= 15
    assert len(set(names)) == len(names)


def test_tags_of_neighbours_do_not_start_alike() -> None:
    """What belongs to one lab is found by its tag and a hyphen, so no tag may begin another's names."""
    assert not f"{tag_of('10.100.12')}-hv1".startswith(f"{tag_of('10.100.1')}-")


def test_mac_spells_the_address() -> None:
    """A guest reads its address in the last three bytes of its MAC."""
    assert guest_mac("10.104.7", 101) == "52:54:00:68:07:65"


def test_options_survive_json() -> None:
    """What ``up`` writes down is what a later ``up`` compares with."""
    options = Options(parse_hosts("3hv"), "hardened", "pcs", fencing=False, agent="seapath")
    assert Options.from_json(options.to_json()) == options


def test_unknown_host_is_refused_with_the_known_ones() -> None:
    """A command for a host that is not there names those that are."""
    path = Path("/nowhere")
    lab = Lab("a", path, "10.100.1", Options(parse_hosts("2hv")), path, path, path)
    with pytest.raises(LabError, match=r"no host 'hv9'; it has hv1, hv2"):
        lab.host("hv9")
