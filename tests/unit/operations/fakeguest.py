"""What the commands for a guest node do, in a guest and on the nodes."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from fakeceph import ExitError
from fakesite import Guest, Host

from vmmgr.drivers.pacemaker.authkey import FILE

if TYPE_CHECKING:
    from fakesite import FakeSite

GUEST_SCRIPTS = (
    "libvirt/addresses", "libvirt/reach", "pacemaker/key_inspect", "pacemaker/key_write", "pacemaker/key_remove", "guest/survey",
    "guest/start", "guest/daemon", "guest/stop", "guest/open_port", "guest/close_port", "apt/packages", "apt/install", "apt/uninstall",
)  # fmt: skip
GUEST_PLAIN = {
    ("base64",): "key_read",
    ("mkdir", "-m"): "make_folder",
    ("rm", "-rf", "--"): "remove_folder",
    ("tar",): "receive",
}
DAEMON = ("libqb100", "pacemaker-remote", "resource-agents")


class GuestCommands:
    """Each command has its template's name."""

    site: FakeSite

    def do_addresses(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        guest = self.site.guests.get(arguments[0])
        known = [f"agent  eth0  52:54:00:00:00:01  ipv4  {guest.address}/24"] if guest else []
        return "\n".join(["agent  lo  00:00:00:00:00:00  ipv4  127.0.0.1/8", *known, *self.site.more_addresses]) + "\n"

    def do_reach(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        guest = next((guest for guest in self.site.guests.values() if guest.address == arguments[0]), None)
        if guest is None:  # one that was prepared by other means
            return "blocked\n" if host.name in self.site.cut_off else "open\n"
        if guest.active and (guest.broken or guest.port != arguments[1] or self.site.seconds < guest.listens_after):
            return "closed\n"
        if host.name in guest.unreachable or guest.firewall is False:
            return "blocked\n"
        return "open\n" if guest.active else "closed\n"

    def do_key_inspect(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        lines = []
        for file in arguments:
            key = host.files.get(file)
            rights = host.node.get("rights", "root:haclient:640") if file == FILE else "root:root:400"
            lines.append(f"{_hash(key)} {rights}" if key else "-")
        return "\n".join(lines) + "\n"

    def do_key_read(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        if arguments[-1] not in host.files:
            raise ExitError(1, "No such file or directory")
        return host.files[arguments[-1]]

    def do_key_write(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        file, sha256, former = arguments
        if _hash(stdin) != sha256:
            raise ExitError(1, "the key arrived damaged")
        if host.files.get(file, stdin) != stdin and _hash(host.files[file]) != former:
            raise ExitError(1, "another key is there already")
        if isinstance(host, Guest) and "pacemaker-remote" not in host.packages:
            self.site.violations.append("a key came to a guest before the group that may read it")
        host.files[file] = stdin
        host.node.pop("rights", None)

    def do_key_remove(self, host: Host, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        file, sha256 = arguments
        if file in host.files and _hash(host.files[file]) == sha256:
            del host.files[file]

    def do_survey(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        lines = [f"os {host.system}", f"free {host.free}"]
        lines += [f"tool {tool}" for tool in arguments[2:] if tool in host.managers]
        lines += ["service active"] * host.active + ["service enabled"] * host.enabled
        lines += ["cluster connected"] * host.connected
        if host.firewall is not None:
            lines.append(f"firewall firewalld {'open' if host.firewall else 'closed'}")
        return "\n".join([*lines, *["record yes"] * bool(host.record)]) + "\n"

    def do_packages(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        return f"{'2.1.5-1' if 'pacemaker-remote' in host.packages else ''}\n{'2.1.5-1' if host.source else '(none)'}\n"

    def do_make_folder(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        if arguments[-1] in host.folders:
            raise ExitError(1, "File exists")
        host.folders[arguments[-1]] = b""

    def do_remove_folder(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        host.folders.pop(arguments[-1], None)

    def do_install(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        if not (host.source or b"pacemaker-remote" in host.folders.get(arguments[1], b"")):
            raise ExitError(100, "E: Unable to locate package pacemaker-remote")
        new = [name for name in DAEMON if name not in host.packages]
        host.packages += new
        host.record += new
        # as Debian's packages do
        host.active = host.enabled = True
        host.files.setdefault(FILE, b64encode(b"made by the package").decode())
        return "\n".join(new) + "\n"

    def do_uninstall(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        if host.needed:
            return host.needed
        host.packages = [name for name in host.packages if name not in host.record]
        host.record = []
        if "pacemaker-remote" not in host.packages:
            host.files.pop(FILE, None)
            host.active = host.enabled = False
        return ""

    def do_start(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        host.active, host.enabled, host.port = True, True, arguments[1]

    def do_daemon(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> str:
        return host.broken if host.active else "inactive\n"

    def do_stop(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        host.active, host.enabled, host.port = False, False, "3121"

    def do_open_port(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        host.firewall = True

    def do_close_port(self, host: Guest, arguments: list[str], options: dict[str, str], stdin: str) -> None:
        host.firewall = False


def _hash(key: str | None) -> str:
    return hashlib.sha256(b64decode(key or "")).hexdigest()
