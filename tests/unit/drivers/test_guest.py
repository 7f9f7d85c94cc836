"""What guests tell of themselves, and the scripts for them really run, with tools that only pretend to be package managers.

What the real ones say is in test_recorded_guests.py. The answers of systemd are those of Debian 12.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.drivers.apt import Apt
from vmmgr.drivers.dnf import Dnf
from vmmgr.drivers.guest import survey
from vmmgr.drivers.guest.facts import Guest, Packages, parse_guest, parse_packages
from vmmgr.drivers.libvirt.addresses import Address, Reach, parse_addresses, parse_reach
from vmmgr.drivers.pacemaker.authkey import Authkey, Keys, hash_of
from vmmgr.drivers.zypper import Zypper

if TYPE_CHECKING:
    from pathlib import Path

    from vmmgr.rendering import Renderer

SURVEY = """os PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
os NAME="Debian GNU/Linux"
os ID=debian
tool apt-get
free 616448
free 616440
free 616448
"""
ADDRESSES = """agent  lo         00:00:00:00:00:00    ipv4         127.0.0.1/8
agent  -          -                    ipv6         ::1/128
agent  eth0       52:54:00:a5:24:6e    ipv4         10.165.36.110/24
agent  -          -                    ipv6         fe80::5054:ff:fea5:246e/64
agent  -          -                    ipv6         2001:db8::6e/64
arp  vnet0      52:54:00:a5:24:6e    ipv4         10.165.36.110/0
"""


def test_a_guest_that_was_just_made(answer: Any) -> None:
    """The least of what is free counts; there is no daemon, no firewall and no record."""
    assert parse_guest(answer(SURVEY)) == Guest(
        "Debian GNU/Linux 12 (bookworm)", ("apt-get",), 616440 << 10, False, False, False, (), (), False
    )


def test_a_guest_that_is_a_node(answer: Any) -> None:
    """Each fact has a line of its own."""
    text = (
        SURVEY
        + "service active\nservice enabled\ncluster connected\nfirewall firewalld closed\nfirewall ufw open\nrecord yes\n"
    )
    guest = parse_guest(answer(text))
    assert (guest.active, guest.enabled, guest.connected, guest.firewalls, guest.closed, guest.installed_here) == (
        True, True, True, ("firewalld", "ufw"), ("firewalld",), True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (['NAME="Alpine Linux"', "ID=alpine"], "Alpine Linux"),
        (["ID=void"], "void"),
        (['PRETTY_NAME="never closed', "ID=odd"], "odd"),
        ([], "a system without a name"),
    ],
)
def test_systems_by_any_name(answer: Any, lines: list[str], name: str) -> None:
    """The name of a system is for messages only; what cannot be read is passed over."""
    assert parse_guest(answer("".join(f"os {line}\n" for line in lines) + "free 1\n")).system == name


@pytest.mark.parametrize("text", ["", "os ID=debian\n", "free many\n"])
def test_a_guest_that_does_not_tell_its_space(answer: Any, text: str) -> None:
    """Without that the survey did not come to its end."""
    with pytest.raises(CommandFailedError):
        parse_guest(answer(text))


def test_versions(answer: Any) -> None:
    """Apt's own word for nothing is nothing; a package manager that knows nothing prints nothing."""
    assert parse_packages(answer("\n2.1.5-1+deb12u1\n")) == Packages("", "2.1.5-1+deb12u1")
    assert parse_packages(answer("2.1.5-1\n(none)\n")) == Packages("2.1.5-1", "")
    assert parse_packages(answer("\n")) == Packages("", "")


def test_addresses_of_a_guest(answer: Any) -> None:
    """Those that others can connect to, each with who says so."""
    assert parse_addresses(answer(ADDRESSES)) == (
        Address("agent", "10.165.36.110"),
        Address("agent", "2001:db8::6e"),
        Address("arp", "10.165.36.110"),
    )


@pytest.mark.parametrize("word", list(Reach))
def test_reach(answer: Any, word: Reach) -> None:
    """One word."""
    assert parse_reach(answer(f"{word}\n")) is word


def test_ports_are_told_apart(renderer: Renderer) -> None:
    """Really tried on the loopback: one that listens, one that does not, and one that no packet can be sent to."""
    import socket

    def reach(address: str, port: int) -> str:
        argv = renderer.argv("libvirt/reach", address=address, port=port)
        return subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reach("127.0.0.1", port) == "open\n"
    assert reach("127.0.0.1", port) == "closed\n"
    assert reach("255.255.255.255", port) == "blocked\n"


DPKG = """#!/bin/sh
case $* in *Package*) printf 'ii  %s\\n' $(cat installed); printf 'rc  gone\\n' ;;
*) if grep -qx pacemaker-remote installed; then echo 'ii  2.1.5-1'; fi ;; esac
"""
# apt-get -q install, with a package that depends on one that there is not (apt 2.6.1)
UNMET = """Reading package lists...
The following packages have unmet dependencies:
 libcrmcommon34 : Depends: libqb100 (>= 2.0.1) but it is not installable
 pacemaker-remote : Depends: libqb100 (>= 2.0.1) but it is not installable
E: Unable to correct problems, you have held broken packages.
"""
APT = """#!/bin/sh
echo "apt-get $*" >> calls
case $* in
*-s*purge*) for name; do case $name in -*|purge) ;; *) echo "Purg $name [1]" ;; esac; done; cat more 2>/dev/null || true ;;
*purge*) for name; do grep -vx -e "$name" installed > left; mv left installed; done ;;
*install*) echo chatter; printf '%s\\n' libqb100 pacemaker-remote resource-agents >> installed; test ! -e broken ;;
esac
"""
RPM = """#!/bin/sh
echo "rpm $*" >> calls
case $* in
-qa*) sed 's/$/.x86_64/' installed ;;
--upgrade*) ;;
--query*) shift 2; for name; do grep -qx -e "$name" installed || exit 1; done ;;
*--test*) test ! -e more || { cat more; exit 1; } ;;
*) exit 1 ;;
esac
"""
MANAGER = """#!/bin/sh
echo "${0##*/} $*" >> calls
case $* in
*remove*) for name; do grep -vx -e "${name%.x86_64}" installed > left; mv left installed; done ;;
*install*) echo chatter; printf '%s\\n' libqb100 pacemaker-remote resource-agents >> installed; test ! -e broken ;;
esac
"""


class Manager:
    """A guest with one package manager that only pretends."""

    def __init__(self, name: str, folder: Path, renderer: Renderer) -> None:
        self.name, self.folder, self.renderer = name, folder, renderer
        (folder / "installed").write_text("bash\nlibc6\n")
        for tool, text in {"dpkg-query": DPKG, "apt-get": APT, "rpm": RPM, "dnf": MANAGER, "zypper": MANAGER}.items():
            (folder / tool).write_text(text)
            (folder / tool).chmod(0o755)

    def run(self, verb: str, **values: Any) -> subprocess.CompletedProcess[str]:
        """Run a template of this package manager."""
        argv = self.renderer.argv(f"{self.name}/{verb}", record=str(self.folder / "lib/record"), **values)
        environment = {"PATH": f"{self.folder}:/usr/bin:/bin", "LC_ALL": "C"}
        return subprocess.run(argv, check=False, capture_output=True, text=True, env=environment, cwd=self.folder, timeout=20)

    def install(self, folder: str = "") -> subprocess.CompletedProcess[str]:
        """Install."""
        return self.run("install", folder=folder, packages=("pacemaker-remote", "resource-agents"))

    @property
    def installed(self) -> list[str]:
        return (self.folder / "installed").read_text().split()

    @property
    def calls(self) -> str:
        return (self.folder / "calls").read_text()


@pytest.fixture(params=["apt", "dnf", "zypper"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, renderer: Renderer) -> Manager:
    """Each package manager."""
    return Manager(request.param, tmp_path, renderer)


def test_what_is_installed_is_written_down_and_removed(manager: Manager) -> None:
    """Only what was not there before is told, written down, and removed again, whatever else was installed meanwhile."""
    done = manager.install()
    assert done.returncode == 0, done.stderr
    assert [name.removesuffix(".x86_64") for name in done.stdout.split()] == ["libqb100", "pacemaker-remote", "resource-agents"]
    with (manager.folder / "installed").open("a") as file:
        file.write("later\n")
    done = manager.run("uninstall")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert manager.installed == ["bash", "libc6", "later"]
    assert list((manager.folder / "lib").iterdir()) == []
    assert manager.run("uninstall").returncode == 0


def test_files_need_no_package_source(manager: Manager) -> None:
    """A folder is where packages come from, and nothing is fetched."""
    files = manager.folder / "pack ages"
    files.mkdir()
    for suffix in ("deb", "rpm"):
        (files / f"a b.{suffix}").touch()
    assert manager.install(str(files)).returncode == 0
    words = {
        "apt": f"--with-source {files}/a b.deb",
        "dnf": f"--skip-broken {files}/a b.rpm",
        "zypper": f"--plus-repo=dir:{files} ",
    }
    assert words[manager.name] in manager.calls
    assert "update" not in manager.calls


def test_a_failed_installation_is_written_down_too(manager: Manager) -> None:
    """What came as far as being installed can be removed; the exit code is the package manager's."""
    (manager.folder / "broken").touch()
    assert manager.install().returncode == 1
    assert "pacemaker-remote" in (manager.folder / "lib/record").read_text()
    assert manager.run("uninstall").returncode == 0
    assert manager.installed == ["bash", "libc6"]


def test_apt_says_what_is_wrong(tmp_path: Path, renderer: Renderer) -> None:
    """Of a lot of chatter, what is missing is told, and its exit code is kept; of a success nothing is."""
    manager = Manager("apt", tmp_path, renderer)
    assert manager.install().stderr == ""
    (tmp_path / "apt-get").write_text(f"#!/bin/sh\ncat <<'END'\n{UNMET}END\nexit 100\n")
    done = manager.install()
    said = UNMET.splitlines(keepends=True)[2:]
    assert (done.returncode, done.stderr) == (100, "".join(said))


def test_where_nothing_was_installed_nothing_stays(manager: Manager) -> None:
    """A record without any name is removed as well."""
    (manager.folder / "lib").mkdir()
    (manager.folder / "lib/record").touch()
    assert manager.run("uninstall").returncode == 0
    assert list((manager.folder / "lib").iterdir()) == []


def test_what_others_need_by_now_stays(manager: Manager) -> None:
    """Where more would have to go, nothing goes, and what needs it is told."""
    manager.install()
    (manager.folder / "more").write_text("Purg booth [1]\n" if manager.name == "apt" else "libqb is needed by booth\n")
    done = manager.run("uninstall")
    assert done.returncode == 0
    assert "booth" in done.stdout
    assert "pacemaker-remote" in manager.installed


def test_installed_version_of_apt(tmp_path: Path, renderer: Renderer) -> None:
    """A line for the installed version, also when it is empty."""
    (tmp_path / "apt-cache").write_text("#!/bin/sh\necho '  Candidate: 2.1.5-1+deb12u1'\n")
    (tmp_path / "apt-cache").chmod(0o755)
    manager = Manager("apt", tmp_path, renderer)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    argv = renderer.argv("apt/packages", package="pacemaker-remote")
    for expected in ("\n2.1.5-1+deb12u1\n", "2.1.5-1\n2.1.5-1+deb12u1\n"):
        done = subprocess.run(argv, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
        assert done.stdout == expected
        manager.install()


def test_version_from_the_repositories_of_dnf(tmp_path: Path, renderer: Renderer, answer: Any) -> None:
    """Dnf names a package with epoch, version, release and architecture."""
    for tool, text in {"rpm": "exit 1", "dnf": "echo pacemaker-remote-0:2.1.7-5.el9.x86_64"}.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / tool).chmod(0o755)
    argv = renderer.argv("dnf/packages", package="pacemaker-remote")
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert parse_packages(answer(done.stdout)) == Packages("", "2.1.7-5.el9")


def test_drivers_differ_in_their_files(renderer: Renderer) -> None:
    """Each takes its own kind of file."""
    assert [driver(renderer).suffix for driver in (Apt, Dnf, Zypper)] == [".deb", ".rpm", ".rpm"]


SYSTEMCTL = """#!/bin/sh
echo "$@" >> calls
"""


def test_another_port_is_a_drop_in(tmp_path: Path, renderer: Renderer) -> None:
    """Systemd is told of it before the daemon is started; Pacemaker's own port, or the end of the service, needs none."""
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    file = tmp_path / "pacemaker_remote.service.d/vm-mgr.conf"

    def run_guest(verb: str, **values: Any) -> str:
        argv = renderer.argv(f"guest/{verb}", file=str(file), **values)
        subprocess.run(argv, check=True, cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=20)
        return (tmp_path / "calls").read_text()

    calls = run_guest("start", port=3122)
    assert file.read_text() == "[Service]\nEnvironment=PCMK_remote_port=3122\n"
    assert calls == "daemon-reload\n--quiet enable pacemaker_remote\nrestart pacemaker_remote\n"
    run_guest("start", port=3121)
    assert not file.exists()
    run_guest("start", port=3123)
    assert run_guest("stop").endswith("--quiet disable --now pacemaker_remote\nreset-failed pacemaker_remote\ndaemon-reload\n")
    assert not file.exists()


# What ufw 0.36.2 of Debian 12 says, as root, where port 3122 is dealt with in some way
UFW = "Status: active\n\nTo                         Action      From\n--                         ------      ----\n"


@pytest.mark.parametrize(
    ("rule", "closed"),
    [
        ("", True),
        (
            "3122/tcp                   ALLOW       Anywhere                  \n3122/tcp (v6)              ALLOW       Anywhere (v6)\n",
            False,
        ),
        ("3122/udp                   ALLOW       Anywhere                  \n", True),
        ("3122/tcp                   DENY        Anywhere                  \n", True),
        ("3122/tcp                   LIMIT       Anywhere                  \n", True),
        ("3122/tcp                   ALLOW       10.0.0.0/8                \n", False),
    ],
)
def test_a_port_and_the_real_ufw(tmp_path: Path, renderer: Renderer, answer: Any, rule: str, closed: bool) -> None:
    """Open is what lets TCP through from anywhere or somewhere; what that reaches, the hypervisors try."""
    (tmp_path / "status").write_text(UFW + rule)
    for tool, text in {"ufw": f"cat {tmp_path}/status", "systemctl": "exit 3", "firewall-cmd": "exit 252"}.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / tool).chmod(0o755)
    argv = renderer.argv("guest/survey", record=str(tmp_path / "record"), port=3122, tools=("apt-get",))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=environment, timeout=20)
    guest = parse_guest(answer(done.stdout))
    assert (guest.firewalls, guest.closed) == (("ufw",), ("ufw",) if closed else ())


# ss -Htnp state established, in a guest node with a login (iproute2 6.1)
SOCKETS = """0 0 10.165.36.135:22 10.165.36.1:50418 users:(("sshd",pid=331,fd=4))
0 0 [::ffff:10.165.36.135]:3121 [::ffff:10.165.36.11]:42034 users:(("pacemaker-remot",pid=1206,fd=9))
"""


@pytest.mark.parametrize(("sockets", "told"), [(SOCKETS, "connected"), (SOCKETS.partition("\n")[0], ""), (None, "unknown")])
def test_whether_a_cluster_is_connected(tmp_path: Path, renderer: Renderer, sockets: str | None, told: str) -> None:
    """By the sockets of the daemon, whatever its port; where nothing lists them, it is not known."""
    for tool in ("sed", "grep", "df"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    tools = {"systemctl": "exit 3"} | ({} if sockets is None else {"ss": f"cat <<'END'\n{sockets}END"})
    for tool, text in tools.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "cat").symlink_to("/bin/cat")
    argv = survey(renderer, 3121, ("apt-get",)).argv
    done = subprocess.run(
        [shutil.which("sh") or "sh", *argv[1:]], check=False, capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("cluster")] == [f"cluster {told}"] * bool(told)


def test_why_the_daemon_does_not_run(tmp_path: Path, renderer: Renderer, answer: Any) -> None:
    """Nothing of one that runs; else its state and the end of its journal, in a line."""
    (tmp_path / "journalctl").write_text("#!/bin/sh\necho 'Main process exited.'; echo \"Failed with result 'exit-code'.\"\n")
    (tmp_path / "journalctl").chmod(0o755)
    command = Apt(renderer).daemon()
    for code, word, told in (
        (0, "active", ""),
        (3, "failed", "failed / Main process exited. / Failed with result 'exit-code'."),
    ):
        (tmp_path / "systemctl").write_text(f"#!/bin/sh\necho {word}; exit {code}\n")
        (tmp_path / "systemctl").chmod(0o755)
        done = subprocess.run(
            command.argv, check=True, capture_output=True, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}
        )
        assert command.parse(answer(done.stdout)) == told


KEY = bytes(range(256)) * 16


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for the key."""
    folder = tmp_path / "pacemaker"
    folder.mkdir()
    (tmp_path / "chown").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/owners\n')
    (tmp_path / "chown").chmod(0o755)
    return folder / "authkey"


def run(renderer: Renderer, name: str, place: Path, stdin: bytes = b"", **values: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a template for the key."""
    argv = renderer.argv(f"pacemaker/{name}", **values)
    environment = {"PATH": f"{place.parent.parent}:/usr/bin:/bin"}
    return subprocess.run(argv, check=False, input=stdin, capture_output=True, env=environment, timeout=20)


def test_key_arrives_as_it_is(renderer: Renderer, place: Path) -> None:
    """Any bytes do; owner and mode are right, and nothing is left beside it."""
    values = {"file": str(place), "sha256": hashlib.sha256(KEY).hexdigest(), "former": "none"}
    done = run(renderer, "key_write", place, b64encode(KEY), **values)
    assert done.returncode == 0, done.stderr
    assert place.read_bytes() == KEY
    assert place.stat().st_mode & 0o777 == 0o640
    assert (place.parent.parent / "owners").read_text().startswith("root:haclient -- ")
    assert list(place.parent.iterdir()) == [place]
    assert run(renderer, "key_read", place, file=str(place)).stdout == b64encode(KEY)


def test_another_key_is_replaced_only_if_it_is_meant(renderer: Renderer, place: Path) -> None:
    """Any other stays, the message says so, and removing ours leaves it alone."""
    place.write_bytes(b"former")
    sha256, former = hashlib.sha256(KEY).hexdigest(), hashlib.sha256(b"former").hexdigest()
    values = {"file": str(place), "sha256": sha256, "former": former}
    assert run(renderer, "key_write", place, b64encode(KEY), **values).returncode == 0
    assert place.read_bytes() == KEY
    place.write_bytes(b"somebody else's")
    done = run(renderer, "key_write", place, b64encode(KEY), **values)
    assert (done.returncode, done.stderr) == (1, b"another key is there already\n")
    assert run(renderer, "key_remove", place, file=str(place), sha256=sha256).returncode == 0
    assert place.read_bytes() == b"somebody else's"
    other = hashlib.sha256(b"somebody else's").hexdigest()
    assert run(renderer, "key_remove", place, file=str(place), sha256=other).returncode == 0
    assert not place.exists()


def test_a_damaged_key_is_refused(renderer: Renderer, place: Path) -> None:
    """One that lost a byte on the way is not written."""
    done = run(renderer, "key_write", place, b64encode(KEY[:-1]), file=str(place), sha256="0" * 64, former="none")
    assert done.returncode == 1
    assert list(place.parent.iterdir()) == []


def test_keys_of_a_machine(renderer: Renderer, place: Path, answer: Any) -> None:
    """Hashes, owner and mode are told, of files that are there and of those that are not; never the key."""
    place.write_bytes(KEY)
    done = run(renderer, "key_inspect", place, files=(str(place), str(place) + ".none"))
    command = Authkey(renderer).inspect()
    keys = command.parse(answer(done.stdout.decode()))
    assert (keys.own, keys.corosync) == (hashlib.sha256(KEY).hexdigest(), "")
    assert command.parse(answer(f"{'a' * 64} root:haclient:640\n{'b' * 64} root:root:400\n")) == Keys("a" * 64, "b" * 64)
    assert not command.parse(answer(f"{'a' * 64} root:root:644\n-\n")).sound
    assert command.parse(answer("-\n-\n")) == Keys("", "")


def test_the_key_is_in_no_argument(renderer: Renderer) -> None:
    """It is the standard input, which is marked as secret; what names it is its hash."""
    key = b64encode(KEY).decode()
    write = Authkey(renderer).write(key)
    assert (write.stdin, write.secret) == (key, True)
    assert key not in " ".join(write.argv)
    assert hash_of(key) in write.argv
