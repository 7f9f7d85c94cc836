"""ssh_config as ssh reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vmmgr.errors import ConfigurationError
from vmmgr.remote.ssh_config import for_target, known_hosts_files, read
from vmmgr.remote.target import Hop

HOST = Hop("n1", "n1", None, None)


def test_include(tmp_path: Path) -> None:
    """Included files count where they stand, and their Host lines end with them."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.conf").write_text("Host n1\nUser fromfile\n")
    (tmp_path / "config").write_text("include conf.d/*.conf\nPort 2200\nHost n1\n  User late\nInclude nowhere\n  Port 1\n")
    options = for_target(HOST, read([tmp_path / "config"])).lookup("n1")
    assert (options["user"], options["port"]) == ("fromfile", "2200")
    assert for_target(HOST, read([tmp_path / "config"])).lookup("n2")["port"] == "2200"


def test_include_of_itself_ends(tmp_path: Path) -> None:
    """A file that includes itself is read a few times, not for ever."""
    (tmp_path / "config").write_text("Include config\nUser x\n")
    assert for_target(HOST, read([tmp_path / "config"])).lookup("n1")["user"] == "x"


def test_inventory_comes_first() -> None:
    """What the inventory says wins, as options on the command line do, also inside of a ProxyCommand."""
    target = replace(HOST, port=2222, user="ansible", proxy_command="nc -x %r %h %p")
    options = for_target(target, "Host *\nPort 1\nUser other\nProxyJump bastion\nHostName 10.0.0.9\n").lookup("n1")
    assert (options["user"], options["port"], options["proxyjump"]) == ("ansible", "2222", "none")
    assert options["proxycommand"] == "nc -x ansible 10.0.0.9 2222"


@pytest.mark.parametrize("changes", [{"user": "a\nProxyCommand touch x"}, {"user": " "}, {"key_files": (Path("a\nb"),)}])
def test_hostile_values_are_refused(changes: dict[str, str]) -> None:
    """A value of the inventory cannot bring a line of its own into the configuration."""
    with pytest.raises(ConfigurationError, match="n1"):
        for_target(replace(HOST, **changes), "")  # type: ignore[arg-type]


def test_unreadable_configuration_is_named() -> None:
    """A line that is none is reported as such."""
    with pytest.raises(ConfigurationError, match="nonsense"):
        for_target(HOST, "nonsense\n")


def test_known_hosts_files() -> None:
    """The files that ssh_config names replace ssh's own."""
    options = for_target(HOST, 'UserKnownHostsFile "/a b" %d/c none\nGlobalKnownHostsFile /d\n').lookup("n1")
    assert known_hosts_files(options) == [Path("/a b"), Path.home() / "c", Path("/d")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h", (None, "h", None)), ("u@h:22", ("u", "h", 22)), ("ssh://u@h:1/", ("u", "h", 1)), ("[::1]:2", (None, "::1", 2)),
        ("u@fe80::1", ("u", "fe80::1", None)), ("u@x@h", None), ("h:x", None), ("", None), ("a b", None),
    ],
)  # fmt: skip
def test_jump_hosts(text: str, expected: tuple[str | None, str, int | None] | None) -> None:
    """Jump hosts are written as for ssh -J; anything else is refused with the value."""
    if expected is None:
        with pytest.raises(ConfigurationError, match="not a jump host"):
            Hop.parse(text)
    else:
        hop = Hop.parse(text)
        assert (hop.user, hop.address, hop.port) == expected
