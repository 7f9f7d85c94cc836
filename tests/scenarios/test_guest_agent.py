"""A guest without sshd becomes a node of the cluster by its own agent, and nothing secret stands on a command line meanwhile."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenarios.site import until
from tests.scenarios.test_deploy import KEY, booted, domain
from tests.scenarios.test_freezing import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.scenarios.site import LabSite
    from tests.scenarios.test_deploy import Guest

RUN_ON = ("crmsh-hardened", "pcs-root")
pytestmark = pytest.mark.thorough
# In front of the real one in the path: notes its arguments.
RECORDER = """#!/bin/sh
printf '%s\\n' "$*" >> /run/virsh.calls
exec /usr/bin/virsh "$@"
"""
BY_AGENT = "SSH does not lead into the guest, so its agent on {} runs the commands."


class Inside:
    """A guest that is looked into by its agent, past vm-mgr."""

    def __init__(self, site: LabSite, host: str, vm: str) -> None:
        self.site, self.host, self.vm = site, host, vm

    def ask(self, command: str, **arguments: object) -> Any:
        """Ask the agent something."""
        request = json.dumps({"execute": command, "arguments": arguments})
        answer = self.site.on(self.host, "/usr/bin/virsh", "qemu-agent-command", "--domain", self.vm, "--cmd", request)
        return json.loads(answer)["return"]

    def may_execute(self) -> bool:
        """Return whether it may run programs; one that does not answer yet may."""
        script = 'virsh qemu-agent-command --domain "$1" --cmd \'{"execute":"guest-info"}\' 2>/dev/null || echo null'
        answer = json.loads(self.site.on(self.host, "sh", "-c", script, "sh", self.vm))
        commands = answer["return"]["supported_commands"] if answer else []
        return all(item["enabled"] for item in commands if item["name"] == "guest-exec")

    def sh(self, script: str) -> str:
        """Run a script, as root."""
        started = self.ask("guest-exec", path="/bin/sh", arg=["-c", script], **{"capture-output": True})
        ended: dict[str, Any] = {}

        def has_ended() -> bool:
            ended.update(self.ask("guest-exec-status", pid=started["pid"]))
            return bool(ended["exited"])

        until(has_ended, 120, script)
        assert ended["exitcode"] == 0, b64decode(str(ended.get("err-data", ""))).decode()
        return b64decode(str(ended.get("out-data", ""))).decode()


@pytest.fixture
def recorded(site: LabSite) -> Iterator[None]:
    """Note all command lines of virsh on the hypervisors."""
    for host in site.hypervisors:
        script = 'mkdir -p /usr/local/sbin; printf %s "$1" > /usr/local/sbin/virsh; chmod 755 /usr/local/sbin/virsh'
        site.on(host, "sh", "-c", script, "sh", RECORDER)
    yield
    for host in site.hypervisors:
        site.on(host, "rm", "-f", "/usr/local/sbin/virsh", "/run/virsh.calls")


def test_a_guest_without_sshd(site: LabSite, vm: str, tmp_path: Path, recorded: None) -> None:
    """Deployed from a folder of packages and undeployed; nothing is left in the guest; an agent that may run nothing is told."""
    site.done("create", "-n", vm, "--xml", domain(site, tmp_path, vm, 136), "-i", site.image("debian"))
    guest = booted(site, tmp_path, 136)
    (host,) = site.runs_on(vm)
    until(lambda: frozen(site, host, vm) is False, 120, "the guest's agent answers")
    inside = Inside(site, host, vm)
    words = ("-n", vm, "--packages", site.environ["LAB_PACKAGES"])
    check_host_keys(site, guest, host, *words)
    guest.sh("systemctl --quiet disable --now ssh")

    answer = site.vm_mgr("deploy", *words, "--check", env=guest.env)
    assert (answer.code, BY_AGENT.format(host) in answer.err, "refuses the connection" in answer.err) == (0, True, True)
    answer = site.vm_mgr("deploy", *words, env=guest.env)
    print(f"-- deployed in {answer.seconds:.1f} s")
    assert (answer.code, answer.out) == (0, f"VM {vm} is guest node {vm}-guest, and online.\n")
    assert f"GuestOnline: [ {vm}-guest ]" in site.on(site.anywhere, "crm_mon", "-1")
    assert site.on(host, "sha256sum", KEY) == inside.sh(f"sha256sum {KEY}")
    assert (
        inside.sh(f"stat -c %U:%G:%a {KEY}; systemctl is-active pacemaker_remote ssh || true")
        == "root:haclient:640\nactive\ninactive\n"
    )
    assert site.vm_mgr("deploy", *words, env=guest.env).out.endswith("nothing was changed.\n")
    assert_nothing_secret_was_shown(site, host)

    answer = site.vm_mgr("undeploy", "-n", vm, env=guest.env)
    print(f"-- undeployed in {answer.seconds:.1f} s")
    assert answer.out == f"VM {vm} is no guest node, and nothing of it is left in the guest.\n"
    left = "find /etc/pacemaker /var/lib/vm-mgr -type f; ls -d /var/tmp/vm-mgr* /dev/shm/vm-mgr*; dpkg-query --show pacemaker-remote"
    assert inside.sh(f"{{ {left}; }} 2>/dev/null || true") == ""

    inside.sh("mkdir -p /etc/qemu; printf '[general]\\nblacklist=guest-exec\\n' > /etc/qemu/qemu-ga.conf")
    inside.sh("systemd-run --quiet --on-active=1 systemctl restart qemu-guest-agent")
    until(lambda: not inside.may_execute(), 120, "the guest's agent has been started anew")
    answer = site.vm_mgr("deploy", *words, env=guest.env)
    assert answer.code == 4
    for way in (f"guest {vm} (", f"guest {vm} through {host} (", f"On {host}, the guest's agent runs no commands: "):
        assert way in answer.err
    assert "guest-exec has been disabled" in answer.err
    site.discard(vm)


def check_host_keys(site: LabSite, guest: Guest, host: str, *words: str) -> None:
    """The guest's key is not known, or another one than it was: the agent is used, and only the latter is warned of."""
    answer = site.vm_mgr("deploy", *words, "--check")
    assert (answer.code, answer.err.startswith(BY_AGENT.format(host)), "not known here" in answer.err) == (0, True, True)
    lines = guest.known_hosts.read_text().splitlines()
    other = next(line.split()[2] for line in lines if not line.startswith(guest.address))
    file = guest.known_hosts.with_name("another_key")
    file.write_text("\n".join([*lines[:-1], f"{guest.address} ssh-ed25519 {other}"]) + "\n")
    answer = site.vm_mgr("deploy", *words, "--check", env={"VMMGR_KNOWN_HOSTS": str(file)})
    assert (answer.code, answer.err.startswith(f"Warning: {BY_AGENT.format(host)}")) == (0, True)
    assert "host key other than the known one" in answer.err


def assert_nothing_secret_was_shown(site: LabSite, host: str) -> None:
    """The packages stood on command lines, in base64; programs did not, nor did the key in whatever form; virsh remembers neither."""
    key = b64decode(site.on(host, "base64", "-w0", KEY))
    calls = site.on(host, "cat", "/run/virsh.calls")
    data = [b64decode(piece) for piece in re.findall(r'"buf-b64":"([^"]+)"', calls)]
    assert b"".join(data).startswith(b"pacemaker") or any(b".deb" in piece for piece in data)
    assert "input-data" not in calls
    shown = calls.encode() + b"".join(data)
    assert not any(secret in shown for secret in (key, b64encode(key), key.hex().encode()))
    history = site.on(host, "sh", "-c", "cat /root/.cache/libvirt/virsh/history 2>/dev/null || true")
    assert "guest-exec" not in history
