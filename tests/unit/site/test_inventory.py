"""Groups, host ranges and the precedence of variables, as Ansible has them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import ConfigurationError
from vmmgr.site import load_site
from vmmgr.site.hostnames import expand
from vmmgr.site.sources import read_inventory

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Load


def test_layers_of_variables(data: Path) -> None:
    """Files beside the inventory beat groups in it, hosts beat groups, host_vars beat all; children beat parents."""
    site = load_site(site=None, inventories=[data / "layered" / "site.yaml"], config=None, environ={})
    assert {machine.name: (machine.user, machine.port) for machine in site.machines} == {
        "n1": ("vars_all", 2203),
        "n2": ("vars_all", 2203),
        "n3": ("file_host", 2203),
        "n4": ("vars_host", 2203),
        "n5": ("vars_all", 2201),
    }
    assert site.machine("n1").hostname == "file-all"


@pytest.mark.skipif(shutil.which("ansible-inventory") is None, reason="ansible-inventory is not installed")
@pytest.mark.parametrize("name", ["layered/site.yaml", "older.yaml", "observer.yaml"])
def test_same_variables_as_ansible(data: Path, name: str) -> None:
    """Ansible itself merges the same variables, where it is installed."""
    answer = subprocess.run(
        ["ansible-inventory", "-i", str(data / name), "--list"], capture_output=True, check=True, timeout=60
    ).stdout
    inventory, _ = read_inventory([data / name], {})
    assert {host: inventory.variables(host) for host in inventory.hosts} == json.loads(answer)["_meta"]["hostvars"]


CHILD = "hosts: {n: }, vars: {ansible_user: child}"


@pytest.mark.parametrize(
    "lines",
    [
        [f"hypervisors: {{{CHILD}}}", "z: {vars: {ansible_user: parent}, children: {hypervisors: }}"],
        [f"a: {{{CHILD}}}", "hypervisors: {vars: {ansible_user: parent}, children: {a: }}"],
        [
            "hypervisors: {hosts: {n: }}",
            "b: {children: {a: }}",
            f"a: {{{CHILD}}}",
            "c: {vars: {ansible_user: top}, children: {b: }}",
        ],
        ["hypervisors: {hosts: {n: }}", "all: {children: {m: {hosts: {n: }, vars: {ansible_user: m}}}}", f"z: {{{CHILD}}}"],
    ],
)
def test_depth_of_groups(load: Load, lines: list[str]) -> None:
    """The longest way down from all counts, neither names nor places; groups at the top are one level below all."""
    assert load("\n".join(lines)).machine("n").user == "child"


def test_variable_files(load: Load, tmp_path: Path) -> None:
    """Of several files for one name the first ending counts; hidden files and backups in a folder do not."""
    folder = tmp_path / "group_vars" / "hypervisors"
    folder.mkdir(parents=True)
    (folder / "a.yml").write_text("ansible_user: right")
    for name in (".b.yml", "c.yml~", "d.txt"):
        (folder / name).write_text("{ansible_user: wrong, ansible_port: 9}")
    for ending, port in ((".yml", 1), (".yaml", 2), (".json", 3)):
        (folder.parent / f"all{ending}").write_text(f"{{ansible_port: {port}}}")
    site = load("hypervisors: {hosts: {n1: }}")
    assert (site.machine("n1").user, site.machine("n1").port) == ("right", 1)


@pytest.mark.parametrize(("priority", "user"), [("", "z"), ("ansible_group_priority: 2, ", "b")])
def test_groups_of_equal_depth(load: Load, priority: str, user: str) -> None:
    """Among equals the later name wins, unless a priority says otherwise."""
    site = load(
        "hypervisors: {hosts: {n1: }}\nz: {hosts: {n1: }, vars: {ansible_user: z}}\n"
        f"b: {{hosts: {{n1: }}, vars: {{{priority}ansible_user: b}}}}"
    )
    assert site.machine("n1").user == user


def test_group_priority_must_be_a_number(load: Load) -> None:
    """A priority that is no number is refused with the name of the group."""
    with pytest.raises(ConfigurationError, match="ansible_group_priority of group 'hypervisors' is not a whole number"):
        load("hypervisors: {hosts: {n1: }, vars: {ansible_group_priority: '{{ 1 }}'}}")


@pytest.mark.parametrize("text", ["a: {children: {b: {children: {a: }}}}", "a: {children: {a: }}", "a: {children: {all: }}"])
def test_circle_of_groups(load: Load, text: str) -> None:
    """A group that contains itself is refused instead of followed for ever."""
    with pytest.raises(ConfigurationError, match="contains itself"):
        load(text)


def test_multiplied_groups_are_bounded(load: Load) -> None:
    """YAML aliases that multiply groups into millions of places are refused at once."""
    lines = ["g0: &g0 {hosts: {n: }}"]
    lines += [f"g{i}: &g{i} {{children: {{a{i}: *g{i - 1}, b{i}: *g{i - 1}, c{i}: *g{i - 1}}}}}" for i in range(1, 25)]
    begin = time.monotonic()
    with pytest.raises(ConfigurationError, match="more than 10000 places"):
        load("\n".join(lines))
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("key", "names", "port"),
    [
        ("node", ["node"], None),
        ("node:2222", ["node"], 2222),
        ("node[1:3]", ["node1", "node2", "node3"], None),
        ("node[08:10]x", ["node08x", "node09x", "node10x"], None),
        ("node[1:5:2]", ["node1", "node3", "node5"], None),
        ("node[:1]", ["node0", "node1"], None),
        ("node[a:c]:22", ["nodea", "nodeb", "nodec"], 22),
        ("n[1:2]-[a:b]", ["n1-a", "n1-b", "n2-a", "n2-b"], None),
        ("fe80::1", ["fe80::1"], None),
    ],
)
def test_host_keys(key: str, names: list[str], port: int | None) -> None:
    """Ranges of numbers and letters, steps, leading zeros and ports are expanded as Ansible does it."""
    assert expand(key, "x") == (names, port)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("n[1:99999999999]", "stands for more than 1000 hosts"),
        ("n[1:99][1:99]", "stands for more than 1000 hosts"),
        ("n[3:1]", "the range in 'n[3:1]' is not usable; write [FIRST:LAST]"),
        ("n[c:a]", "is not usable"),
        ("n[1]", "is not usable"),
        ("n[1:]", "is not usable"),
        ("n[1:2:0]", "is not usable"),
        ("n[01:100]", "is not usable"),
        ("n[1:2", "a bracket without its partner"),
        ("n1:70000", "a port from 1 to 65535 is expected"),
        (7, "the host name 7 is not text; put it between quotes"),
        (True, "the host name True is not text"),
        ("-oProxyCommand=x", "a host name is '-oProxyCommand=x': a machine's name has letters"),
        ("../../etc/passwd", "a machine's name has letters"),
        ("a b", "a machine's name has letters"),
        ("a\n", "a host name is 'a\\n': a machine's name"),
        ("", "a host name is ''"),
        ("n" * 300, "a machine's name has letters"),
    ],
)
def test_unusable_host_keys(key: object, message: str) -> None:
    """A range that is wrong or huge and a name that is no name are refused with the place, the value and the rule."""
    with pytest.raises(ConfigurationError) as caught:
        expand(key, "f.yaml, group 'g'")
    assert message in str(caught.value)
    assert str(caught.value).startswith("f.yaml, group 'g': ")


def test_range_in_an_inventory(load: Load) -> None:
    """A range makes hosts that share its variables and its port."""
    site = load("hypervisors: {hosts: {'hv[1:3]:2222': {ansible_user: op}}}")
    assert [(machine.name, machine.port, machine.user) for machine in site.machines] == [
        ("hv1", 2222, "op"),
        ("hv2", 2222, "op"),
        ("hv3", 2222, "op"),
    ]


def test_group_names_do_not_leave_the_folder(tmp_path: Path, load: Load) -> None:
    """A group named like a path reads no file outside of group_vars."""
    (tmp_path / "secret.yml").write_text("ansible_user: stolen")
    (tmp_path / "group_vars").mkdir()
    site = load("'../secret': {hosts: {n1: }}\n'..': {hosts: {n1: }}\nhypervisors: {hosts: {n1: }}")
    assert site.machine("n1").user is None
