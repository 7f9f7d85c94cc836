"""Variables of a machine: legacy names, ssh options, keys, and values that are hostile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import ConfigurationError
from vmmgr.site import Machine, Site
from vmmgr.site.ssharguments import SshArguments, parse

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Load


def one(load: Load, **variables: object) -> Site:
    """Load a site of one hypervisor n1 (and two more machines) with these variables."""
    return load(json.dumps({"hypervisors": {"hosts": {"n1": variables}}, "observers": {"hosts": {"o1": None, "o2": None}}}))


def machine(load: Load, **variables: object) -> Machine:
    """Return n1 with these variables; there must be nothing to warn of."""
    site = one(load, **variables)
    assert site.warnings == ()
    return site.machine("n1")


def test_nothing_said(load: Load) -> None:
    """Without variables the name is the address, and all else is left to ssh_config."""
    assert machine(load) == Machine("n1", "n1", hypervisor=True)


@pytest.mark.parametrize(("legacy", "attribute"), [("ansible_ssh_host", "address"), ("ansible_ssh_user", "user")])
def test_legacy_names(load: Load, legacy: str, attribute: str) -> None:
    """The names before Ansible 2.0 count, and win over the new ones as they do in Ansible."""
    assert getattr(machine(load, **{legacy: "old"}), attribute) == "old"
    assert getattr(machine(load, **{legacy: "old", legacy.replace("_ssh", ""): "new"}), attribute) == "old"


def test_legacy_port(load: Load) -> None:
    """ansible_ssh_port is a port."""
    assert machine(load, ansible_ssh_port="2222").port == 2222


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ansible_host", "-oProxyCommand=reboot", "a host name or an IP address is expected"),
        ("ansible_host", "10.0.0.1 ", "a host name or an IP address is expected"),
        ("ansible_host", "10.0.0.1\n", "'10.0.0.1\\n'"),
        ("ansible_host", "a;reboot", "a host name or an IP address is expected"),
        ("ansible_host", "\u202e1.0.0.1", "'\\u202e1.0.0.1'"),
        ("ansible_host", "", "is '': a host name"),
        ("ansible_host", ["10.0.0.1"], "is ['10.0.0.1']: a host name"),
        ("ansible_host", 1.5, "is 1.5: a host name"),
        ("ansible_host", True, "is True: a host name"),
        ("ansible_host", "a" * 300, "...: a host name"),
        ("ansible_user", "-l", "does not begin with a hyphen"),
        ("ansible_user", "a b", "a user name has letters"),
        ("ansible_port", 0, "is 0: a port from 1 to 65535"),
        ("ansible_port", 65536, "a port from 1 to 65535"),
        ("ansible_port", "22x", "a port from 1 to 65535"),
        ("ansible_port", "٢٢", "a port from 1 to 65535"),
        ("ansible_port", True, "a port from 1 to 65535"),
        ("ansible_port", 22.0, "a port from 1 to 65535"),
        ("ansible_ssh_private_key_file", ["a"], "a path is expected"),
        ("ansible_ssh_private_key_file", "a\nb", "text without control characters"),
        ("ansible_ssh_private_key_file", "~nobody-of-this-name/x", "there is no such user here"),
        ("ansible_ssh_private_key_file", "a\x9b31m", "text without control characters"),
        ("ansible_ssh_common_args", "-J 'x", "which ssh would not take: no closing quotation"),
        ("ansible_ssh_common_args", "-Z", "which ssh would not take: option -z not recognized"),
        ("ansible_ssh_common_args", "-J", "which ssh would not take: option -j requires argument"),
        ("ansible_ssh_common_args", "-J a reboot", "'reboot' is not an option of ssh"),
        ("ansible_ssh_common_args", "-o =", "-o '=' is not NAME=VALUE"),
        ("ansible_ssh_common_args", "-v\n-v", "text without control characters"),
        ("ansible_ssh_common_args", ["-v"], "text without control characters"),
        ("ansible_ssh_common_args", "-J -oProxyCommand=x", "a jump host is written [user@]host[:port]"),
        ("ansible_ssh_common_args", "-J 'a b'", "a jump host is written"),
        ("ansible_ssh_common_args", "-p 99999", "a port from 1 to 65535"),
        ("ansible_ssh_common_args", "-l -x", "a user name has letters"),
    ],
)
def test_hostile_values(load: Load, variable: str, value: object, message: str) -> None:
    """A value that is not what it should be is refused in one printable line that names it and the host."""
    with pytest.raises(ConfigurationError) as caught:
        one(load, **{variable: value})
    text = str(caught.value)
    assert text.startswith("In the inventory, ")
    assert " of n1 is " in text
    assert message in text
    assert text.isprintable()


@pytest.mark.parametrize("address", ["10.0.0.1", "fe80::1%eth0", "::1", "hv-1.example.org", "hv_1"])
def test_usable_addresses(load: Load, address: str) -> None:
    """Names, IPv4 and IPv6 addresses with zones pass."""
    assert machine(load, ansible_host=address).address == address


@pytest.mark.parametrize("user", ["root", "DOMAIN\\admin", "admin@example.org", 1000])
def test_usable_users(load: Load, user: object) -> None:
    """Local and domain users pass, also one that YAML takes for a number."""
    assert machine(load, ansible_user=user).user == str(user)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-J gate", {"proxyjump": "gate"}),
        ("-Jop@gate:2222,other", {"proxyjump": "op@gate:2222,other"}),
        ("-o ProxyJump=gate -J later", {"proxyjump": "gate"}),
        ("-oproxyjump=gate -o ProxyCommand=x", {"proxyjump": "gate"}),
        ('-o ProxyCommand="ssh -W %h:%p gate"', {"proxycommand": "ssh -W %h:%p gate"}),
        ("-o 'ProxyCommand ssh -W %h:%p gate'", {"proxycommand": "ssh -W %h:%p gate"}),
        ("-o ProxyCommand='a -o X=\"b c\"'", {"proxycommand": 'a -o X="b c"'}),
        ("-p 1 -l a -o Port=2 -o User=b", {"port": "1", "user": "a"}),
        ("-o IdentitiesOnly=yes", {"identitiesonly": "yes"}),
        ("-C -q -o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=yes", {}),
    ],
)
def test_ssh_options(text: str, expected: dict[str, str]) -> None:
    """Options are read in every spelling that ssh takes; the first value wins; comfort is silent."""
    result = SshArguments()
    parse(text, "x", result)
    assert result.options == expected
    assert not result.unchecked
    assert result.ignored == []


@pytest.mark.parametrize(
    "text",
    [
        "-o StrictHostKeyChecking=no",
        "-oStrictHostKeyChecking=off",
        "-o UserKnownHostsFile=/dev/null",
        "-o stricthostkeychecking=accept-new",
    ],
)
def test_host_keys_are_always_checked(load: Load, text: str) -> None:
    """Options that switch the check of host keys off are not obeyed, and the user is told."""
    site = one(load, ansible_ssh_extra_args=text)
    assert site.warnings == ("n1: the inventory switches the check of host keys off; vm-mgr always checks them.",)


def test_ignored_options_are_named(load: Load) -> None:
    """Options without effect are named once."""
    site = one(load, ansible_ssh_common_args="-o ForwardAgent=yes -A -o ForwardAgent=no -F x -C")
    assert site.warnings == ("n1: these ssh options of the inventory have no effect here: forwardagent, -A, -F.",)


def test_way_of_a_machine(load: Load) -> None:
    """Jump host, port and user come from the options; variables of their own win over them; all three lines count."""
    found = machine(
        load, ansible_ssh_args="-J gate", ansible_ssh_common_args="-p 1 -l a", ansible_ssh_extra_args="-o IdentitiesOnly=yes"
    )
    assert (found.jump, found.port, found.user, found.identities_only) == ("gate", 1, "a", True)
    found = machine(load, ansible_ssh_common_args="-p 1 -l a -o ProxyCommand=none", ansible_port=2, ansible_user="b")
    assert (found.jump, found.proxy_command, found.port, found.user) == (None, None, 2, "b")
    found = machine(load, ansible_ssh_common_args="-o ProxyCommand='ssh -W %h:%p gate'")
    assert (found.jump, found.proxy_command) == (None, "ssh -W %h:%p gate")


def test_keys(load: Load, home: Path, tmp_path: Path) -> None:
    """Keys: ~ is the home; relative ones are in the current folder, else beside the inventory; each counts once."""
    (home / ".ssh").mkdir()
    for path in (home / ".ssh" / "id", home / "here", tmp_path / "beside", tmp_path / "here"):
        path.touch()
    arguments = "-i here -i beside -o IdentityFile=~/.ssh/id"
    found = machine(load, ansible_ssh_private_key_file="~/.ssh/id", ansible_ssh_common_args=arguments)
    assert found.key_files == (home / ".ssh" / "id", home / "here", tmp_path / "beside")


def test_key_beside_the_inventory(load: Load, tmp_path: Path) -> None:
    """inventory_dir names the folder of the inventory."""
    (tmp_path / "id").touch()
    assert machine(load, ansible_private_key_file="{{ inventory_dir }}/id").key_files == (tmp_path / "id",)


def test_key_of_another_workstation(load: Load, home: Path) -> None:
    """A key that does not exist here is left out with a warning: the agent may do."""
    site = one(load, ansible_ssh_private_key_file="~/.ssh/none")
    assert site.machine("n1").key_files == ()
    assert site.warnings == (f"n1: the private key {home}/.ssh/none, named in the inventory, does not exist here.",)


def test_password_for_sudo(load: Load) -> None:
    """A password for sudo in the inventory, encrypted or not, means that sudo asks; it is not read."""
    assert one(load, ansible_become_password="{{ lookup('x') }}").sudo == "password"
    assert load("hypervisors: {hosts: {n1: {ansible_become_pass: !vault x}}}").sudo == "password"


def test_login_password(load: Load) -> None:
    """A login password in the inventory is not used, and the user is told."""
    assert one(load, ansible_password="x").warnings == (
        "n1: its login password in the inventory is not used; vm-mgr logs in with keys.",
    )


def test_name_that_is_an_address(load: Load) -> None:
    """A host named by an IPv6 address is no name of a cluster's machine."""
    with pytest.raises(ConfigurationError, match="a machine's name is 'fe80::1'"):
        load("hypervisors: {hosts: {'fe80::1': }}")


def test_key_beyond_file_names(load: Load) -> None:
    """A key path that no file can have is a missing key, not a traceback."""
    assert "does not exist here" in one(load, ansible_ssh_private_key_file="k" * 300).warnings[0]
