"""Inventory files of every kind, usable or not."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import ConfigurationError
from vmmgr.site import foreign, load_site

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Load

GOOD = "hypervisors: {hosts: {n1: }}"
ANSWER = {
    "_meta": {"hostvars": {"n1": {"ansible_host": "10.0.0.{{ number }}", "number": 7}}},
    "all": {"children": ["ungrouped", "cluster_machines"]},
    "cluster_machines": {"children": ["hypervisors", "observers"]},
    "hypervisors": {"hosts": ["n1", "n2"]},
    "observers": {"hosts": ["n3"]},
}
FOREIGN = {
    "site.ini": ("[hypervisors]\nn1 ansible_host=10.0.0.1\n", "site.ini is not YAML, so probably an inventory in INI format"),
    "hosts": ("[hypervisors]\n", "hosts is not YAML"),
    "plain": ("n1\nn2\n", "plain is not YAML"),
    "dynamic": ("#!/bin/sh\necho '{}'\n", "dynamic is a script (a dynamic inventory)"),
    "dynamic.yaml": ("#!/bin/sh\necho: {'x'\n", "dynamic.yaml is a script"),
    "aws.yaml": ("plugin: amazon.aws.aws_ec2\nregions: [x]\n", "aws.yaml is the configuration of an inventory plugin"),
    "vault.yaml": ("$ANSIBLE_VAULT;1.1;AES256\n3132\n", "vault.yaml is encrypted with Ansible Vault"),
}


@pytest.fixture
def fake(tmp_path: Path) -> dict[str, str]:
    """Install a program that prints ANSWER and notes its arguments; return an environment that finds it."""
    return install(tmp_path, f"printf '%s\\n' \"$@\" > {tmp_path}/arguments; echo {shlex.quote(json.dumps(ANSWER))}")


def install(tmp_path: Path, script: str) -> dict[str, str]:
    """Install a shell script as ansible-inventory."""
    program = tmp_path / "bin" / "ansible-inventory"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin"}


@pytest.mark.parametrize("name", FOREIGN)
def test_without_ansible(load: Load, name: str) -> None:
    """What only Ansible reads is named, with both ways out, where Ansible is not installed."""
    text, found = FOREIGN[name]
    with pytest.raises(ConfigurationError) as caught:
        load(text, name=name, environ={"PATH": "/nonexistent"})
    assert found in str(caught.value)
    assert "Install ansible-core, or write the inventory as YAML" in str(caught.value)


@pytest.mark.parametrize("name", FOREIGN)
def test_with_ansible(load: Load, tmp_path: Path, fake: dict[str, str], name: str) -> None:
    """Ansible's answer is used: groups, order, variables with expressions still in them; every source is given to it."""
    site = load(FOREIGN[name][0], name=name, environ=fake)
    assert [machine.name for machine in site.control_candidates] == ["n3", "n1", "n2"]
    assert site.machine("n1").address == "10.0.0.7"
    assert (tmp_path / "arguments").read_text().split("\n") == ["-i", str(tmp_path / name), "--list", ""]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo '[WARNING]: x' >&2; echo '[ERROR]: no such thing' >&2; exit 4",
            "ansible-inventory failed: [WARNING]: x; [ERROR]: no such thing",
        ),
        ("exit 3", "ansible-inventory failed: exit code 3"),
        ("echo hello", "printed no JSON object"),
        ("echo '[1]'", "printed no JSON object"),
        ('echo \'{"hypervisors": {"hosts": [1]}}\'', "[1] is not a list of names"),
        ("echo '{\"hypervisors\": [1]}'", "must be a mapping"),
        ("exec sleep 20", "did not finish within 1 s"),
    ],
)
def test_ansible_that_fails(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str) -> None:
    """Each way in which ansible-inventory can fail is one sentence, and it cannot hang."""
    monkeypatch.setattr(foreign, "TIMEOUT", 1)
    with pytest.raises(ConfigurationError) as caught:
        load("[hypervisors]\nn1\n", name="site.ini", environ=install(tmp_path, script))
    assert message in str(caught.value)


@pytest.mark.skipif(shutil.which("ansible-inventory") is None, reason="ansible-inventory is not installed")
def test_real_ansible_reads_ini(load: Load) -> None:
    """A real ansible-inventory translates an INI inventory, where it is installed."""
    text = '[hypervisors]\nhv[1:2] ansible_host="10.0.0.{{ 4 + 1 }}" ansible_port=22\nhv2 ansible_port=23\n[observers]\nob\n'
    site = load(text, name="site.ini", environ=dict(os.environ))
    assert [(machine.name, machine.address, machine.port) for machine in site.machines] == [
        ("hv1", "10.0.0.5", 22),
        ("hv2", "10.0.0.5", 23),
        ("ob", "ob", None),
    ]


def test_executable_yaml_is_yaml(load: Load, tmp_path: Path) -> None:
    """The executable bit alone makes no dynamic inventory."""
    (tmp_path / "site.yaml").touch(mode=0o755)
    assert load(GOOD).machine("n1")
    assert load(GOOD, name="no-ending").name == "no-ending"
    assert load('{"hypervisors": {"hosts": {"n1": null}}}', name="site.json").machine("n1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hypervisors: {hosts: [", "site.yaml, line 1, column 23: not valid YAML"),
        ("hypervisors:\n\thosts:", "line 2, column 1: not valid YAML: found character '\\t'"),
        ("a: \x07", "site.yaml: not valid YAML: unacceptable character #x0007"),
        ("[" * 500, "its values are nested too deeply"),
        ("- hypervisors", "is not an inventory: GROUP: {hosts:"),
        ("hypervisors: n1", "is not an inventory"),
        ("", "is not an inventory"),
        ("hypervisors: {hosts: [n1]}", "the hosts of group 'hypervisors' must be a mapping (NAME: VALUE lines), not ['n1']"),
        ("hypervisors: {vars: 1}", "the vars of group 'hypervisors' must be a mapping"),
        ("a: {children: {b: 1}}", "group 'b' must be a mapping"),
        ("a: {hosts: {n1: 5}}", "host 'n1' must be a mapping"),
        ("1: {hosts: {n1: }}", "the group name 1 is not text"),
        ("? [a]\n: b", "not valid YAML: found unhashable key"),
        ("a: 2024-99-99", "not valid YAML: month must be in 1..12"),
        ("a: " + "x" * 4 * 1024 * 1024, "has more than 4 MiB"),
    ],
)
def test_unusable_yaml(load: Load, text: str, message: str) -> None:
    """A YAML file that is no inventory is refused with the place of the fault."""
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_text(tmp_path: Path) -> None:
    """A binary file is refused."""
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"x\.yaml cannot be read: it is not text in UTF-8\."):
        load_site(site=None, inventories=[tmp_path / "x.yaml"], config=None, environ={})


def test_missing_inventory(tmp_path: Path) -> None:
    """A path that does not exist is named."""
    with pytest.raises(ConfigurationError, match=r"The inventory is .*/nothing, which cannot be read: No such file"):
        load_site(site=None, inventories=[tmp_path / "nothing"], config=None, environ={})


def test_encrypted_variable_file(load: Load, tmp_path: Path) -> None:
    """A variable file that is encrypted as a whole is left out, and the user is told once."""
    (tmp_path / "group_vars" / "all").mkdir(parents=True)
    (tmp_path / "group_vars" / "all" / "plain.yml").write_text("ansible_user: op")
    (tmp_path / "group_vars" / "all" / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n31\n")
    site = load(GOOD)
    assert site.machine("n1").user == "op"
    assert site.warnings == (f"{tmp_path}/group_vars/all/vault.yml is encrypted, and its variables are not read.",)


@pytest.mark.parametrize(
    ("text", "message"), [("- a", "does not hold NAME: VALUE"), ("a: [", "line 1, column 5: not valid YAML")]
)
def test_unusable_variable_file(load: Load, tmp_path: Path, text: str, message: str) -> None:
    """A variable file that is no mapping or no YAML is named."""
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "n1.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"host_vars/n1\.yml") as caught:
        load(GOOD)
    assert message in str(caught.value)


def test_group_name_beyond_file_names(load: Load, tmp_path: Path) -> None:
    """A group whose name no file can have is one sentence, not a traceback."""
    (tmp_path / "group_vars").mkdir()
    with pytest.raises(ConfigurationError, match=r"The variable files .* cannot be read: File name too long"):
        load(f"{'g' * 300}: {{hosts: {{n1: }}}}\n{GOOD}")


def test_messages_cannot_steer_the_terminal(load: Load) -> None:
    """Control characters of an inventory do not reach a message."""
    with pytest.raises(ConfigurationError) as caught:
        load('"a\\e[31m": {hosts: {n1: }}')
    assert str(caught.value).isprintable()
    with pytest.raises(ConfigurationError) as caught:
        load("hypervisors: {hosts: {n1: {ansible_host: \"{{ 'a\\e[31m' | int(1, 'x\\e') + [] }}\"}}}")
    assert str(caught.value).isprintable()


def test_yaml_makes_no_objects(load: Load, tmp_path: Path) -> None:
    """Tags that make Python objects are refused and run nothing."""
    with pytest.raises(ConfigurationError, match="could not determine a constructor"):
        load(f"{GOOD}\nx: {{vars: {{y: !!python/object/apply:os.mkdir [{tmp_path}/owned]}}}}")
    assert not (tmp_path / "owned").exists()
