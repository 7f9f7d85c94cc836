"""A machine that is none of the site: reached directly, or passed on by a machine of the site over the channel of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vmmgr.errors import ChangedHostKeyError, HostKeyError, SudoError, UnreachableError
from vmmgr.remote import Line, Remote, Way
from vmmgr.rendering import Renderer

from .conftest import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Server


def relay(address: str, port: int) -> tuple[str, ...]:
    """Return the command that passes a connection on."""
    return Renderer().argv("libvirt/relay", address=address, port=port)


def test_guest_is_a_host_through_another(server: Server) -> None:
    """Batches and streams arrive as they do directly; all of it is one channel of the machine in between."""
    data = bytes(range(256)) * 4096
    with server.remote() as remote:
        guest = server.machine("guest web", jump="nobody@nowhere.invalid")
        assert remote.join([Way(guest, "n1", relay("127.0.0.1", server.port))]) == "guest web"
        (first, second) = remote.run("guest web", [Line(("printf", "größe")), Line(("cat",), stdin="document")])
        assert (first.host, first.text, second.text) == ("guest web", "größe", "document")
        assert remote.stream("guest web", ("cat",), [data], timeout=20).stdout == data
        assert remote.execs == {"guest web": 2}
        assert remote.connections == {"n1": 1, "guest web": 1}


def test_the_first_way_that_works_is_taken(server: Server) -> None:
    """A guest that cannot be reached from here is reached through its hypervisor, without waiting for a time limit."""
    with server.remote() as remote:
        direct = server.machine("guest web", port=free_port())
        relayed = server.machine("guest web through n1")
        ways = [Way(direct), Way(relayed, "n1", relay("127.0.0.1", server.port))]
        assert remote.join(ways) == "guest web through n1"


def test_host_key_of_a_guest_is_checked_here(server: Server) -> None:
    """Whatever the machine in between passes on: who answers there must have the key that this workstation knows."""
    known = server.line().replace(f"[127.0.0.1]:{server.port}", "n1alias")
    settings = server.settings(known_hosts=known)
    with Remote([server.machine()], settings) as remote, pytest.raises(HostKeyError, match="guest web"):
        remote.join([Way(server.machine("guest web"))])
    with Remote([server.machine()], server.settings()) as remote:
        guest = server.machine("guest web", address="localhost")
        with pytest.raises(HostKeyError, match="guest web"):
            remote.join([Way(guest, "n1", relay("127.0.0.1", server.port))])


def test_a_changed_host_key_is_not_lost_among_other_reasons(server: Server) -> None:
    """That somebody may be in between is what the error of all ways is, even where only one of them has come so far."""
    other = (server.folder / "user_key.pub").read_text()
    settings = server.settings(known_hosts=f"{server.line()}[localhost]:{server.port} {other}")
    direct = server.machine("guest web", port=free_port())
    relayed = server.machine("guest web through n1", address="localhost")
    with Remote([server.machine()], settings) as remote, pytest.raises(ChangedHostKeyError) as caught:
        remote.join([Way(direct), Way(relayed, "n1", relay("127.0.0.1", server.port))])
    assert "guest web (" in str(caught.value)
    assert "shows a host key other than the known one" in str(caught.value)


def test_no_way(server: Server) -> None:
    """What the machine in between says is told."""
    port = free_port()
    with server.remote() as remote, pytest.raises(UnreachableError) as caught:
        remote.join([Way(server.machine("guest web", port=port), "n1", relay("127.0.0.1", port))])
    assert "Connection refused" in str(caught.value)


def test_no_root_in_a_guest(server: Server, through_sudo: Path) -> None:
    """A login that may not be root is refused when the first command is to be run, with the line for sudoers."""
    (through_sudo / "denied").touch()
    with server.remote() as remote:
        remote.join([Way(server.machine("guest web"))])
        with pytest.raises(SudoError, match=r"guest web.* may not run sudo.*\n.*NOPASSWD:EXEC: /bin/sh"):
            remote.run("guest web", [Line(("true",))])
