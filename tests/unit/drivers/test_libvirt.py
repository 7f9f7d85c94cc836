"""What a hypervisor with libvirt 9.0.0 tells of itself, and the scripts of the hypervisor driver, really run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.drivers.libvirt import Libvirt
from vmmgr.drivers.libvirt.host import Hypervisor, Secret, parse_hypervisor
from vmmgr.errors import VmMgrError
from vmmgr.remote.batch import Result

if TYPE_CHECKING:
    from pathlib import Path

    from vmmgr.command import Command
    from vmmgr.rendering import Renderer

UUIDS = ("b97dbb77-1e21-46bc-99c2-18316076253e", "0e4288f4-8c5b-4153-a357-55ceceeb5202")
SECRET = Secret("5eafa7b0-1ab0-4000-8000-00000000c3f0", "client.libvirt secret")


@pytest.fixture
def libvirt(renderer: Renderer) -> Libvirt:
    """The driver."""
    return Libvirt(renderer)


def test_recorded_hypervisors(recorded: Any) -> None:
    """One without domains and one that runs both VMs; the UUIDs in /etc/pacemaker count on either."""
    idle = parse_hypervisor(recorded("libvirt-9.0.0/inspect-hv1.txt"))
    assert idle == Hypervisor(
        agents=("heartbeat",),
        programs=(),
        file_hash="4db7abcec57d3985a38be538998cf0f3704483c8813d348a1571ceb5e40f2d9d",
        domains=(),
        uuids=UUIDS,
        secrets=(SECRET,),
    )
    busy = parse_hypervisor(recorded("libvirt-9.0.0/inspect-hv2.txt"))
    assert (busy.domains, busy.file_hash, set(busy.uuids)) == (("rec1", "rec2"), "", set(UUIDS))


@pytest.mark.parametrize("name", ["two words", "a\u2028agent seapath", "a\x0bagent seapath", "a\x85file 0", "größe", "<x>"])
def test_a_domain_can_be_called_anything(answer: Any, name: str) -> None:
    """The name of a domain never becomes another line."""
    read = parse_hypervisor(answer(f"agent heartbeat\ndomain {name}\n"))
    assert (read.domains, read.agents, read.file_hash) == ((name,), ("heartbeat",), "")


def test_uuids_are_compared_in_lower_case(answer: Any) -> None:
    """A UUID written in capitals is the same one."""
    assert parse_hypervisor(answer(f"uuid {UUIDS[0].upper()}\n")).uuids == UUIDS[:1]
    assert parse_hypervisor(answer("mac 52:54:00:AA:00:01\n")).macs == ("52:54:00:aa:00:01",)


@pytest.mark.parametrize(
    ("usage", "user"), [("client.libvirt secret", "libvirt"), ("client.vms", "vms"), ("ceph", "libvirt"), ("", "libvirt")]
)
def test_the_user_of_a_secret(usage: str, user: str) -> None:
    """The name of a secret tells its Ceph user, as far as it follows the custom."""
    assert Secret("u", usage).user == user


def test_secrets_that_are_not_for_ceph_are_left_out(answer: Any) -> None:
    """A secret for a volume, or without any use, is no one that a VM could use."""
    volume = "<secret><uuid>u</uuid><usage type='volume'><volume>/x</volume></usage></secret>"
    assert parse_hypervisor(answer(f"secret u\n{volume}\nsecret v\n<secret><uuid>v</uuid></secret>\n")).secrets == ()


@pytest.mark.parametrize("document", ["<secret>", "<", "<a>\x1b</a>"])
def test_a_secret_that_is_no_xml_is_refused(answer: Any, document: str) -> None:
    """A garbled secret is a failure that names the host."""
    with pytest.raises(CommandFailedError, match="On hv1, `tool read` gave an answer that cannot be understood"):
        parse_hypervisor(answer(f"secret u\n{document}\n"))


def run(command: Command[Any], tools: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command here, with these programs before the real ones."""
    path = f"{tools}:/usr/bin:/bin" if tools else "/usr/bin:/bin"
    document = None if command.stdin is None else command.stdin.encode()
    return subprocess.run(command.argv, input=document, capture_output=True, env={"PATH": path, "LC_ALL": "C"}, check=False)


HOSTILE_FILES = (
    "vm.xml",
    "two words.xml",
    "$(touch bad).xml",
    "`touch bad`.xml",
    '"; touch bad; "',
    "'",
    "\\n.xml",
    "größe.xml",
    "a\nb",
    "*",
)


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_a_file_is_written_whole_and_removed(libvirt: Libvirt, tmp_path: Path, name: str) -> None:
    """Whatever the file is called it holds exactly the content, only its group reads it, and nothing is left beside it."""
    file, content = tmp_path / name, "<domain>ü\\n</domain>\n"
    assert run(libvirt.write_file(str(file), content)).returncode == 0
    assert file.read_bytes() == content.encode()
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert run(libvirt.remove_file(str(file))).returncode == 0
    assert run(libvirt.remove_file(str(file))).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_arrives_damaged_changes_nothing(libvirt: Libvirt, tmp_path: Path) -> None:
    """When the content is not the one that was sent, the old file stays and nothing is left beside it."""
    file = tmp_path / "vm.xml"
    file.write_text("old")
    command = libvirt.write_file(str(file), "new")
    answer = subprocess.run(command.argv, input=b"ne", capture_output=True, check=False)
    assert (answer.returncode, answer.stderr) == (1, b"the file arrived damaged\n")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["vm.xml"]


@pytest.fixture
def virsh(tmp_path: Path) -> Path:
    """A folder with a virsh that knows two running domains, notes what it destroys, and fails while a file ``down`` is there."""
    folder = tmp_path / "tools"
    folder.mkdir()
    program = folder / "virsh"
    program.write_text(
        f"""#!/bin/sh
[ -e {folder}/down ] && {{ echo "cannot connect" >&2; exit 1; }}
case "$*" in
  "list --name") printf 'vm1\\na.b\\n\\n' ;;
  "list --all --uuid --name; secret-list")
    printf '%s %-30s\\n' {UUIDS[0]} vm1 {UUIDS[1]} a.b {SECRET.uuid} UUID
    printf '\\n UUID   Usage\\n-----------------------\\n {SECRET.uuid}   ceph client.libvirt secret\\n\\n' ;;
  "secret-dumpxml {SECRET.uuid}") printf "<secret>\\n<uuid>{SECRET.uuid}</uuid>\\n<usage type='ceph'><name>{SECRET.usage}</name></usage></secret>\\n" ;;
  "destroy --domain "*) printf '%s' "$3" > {folder}/destroyed ;;
  *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""
    )
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(("name", "gone"), [("vm1", False), ("vm", True), ("a.b", False), ("a_b", True), (".*", True)])
def test_destroy_takes_whole_names(libvirt: Libvirt, virsh: Path, name: str, gone: bool) -> None:
    """Only the running domain of exactly this name is destroyed; one that is not running is as good as destroyed."""
    answer = run(libvirt.destroy(name), virsh)
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert (virsh / "destroyed").exists() is not gone


def test_destroy_fails_while_libvirt_does_not_answer(libvirt: Libvirt, virsh: Path) -> None:
    """A hypervisor whose libvirt is down is not one where the domain does not run."""
    (virsh / "down").touch()
    answer = run(libvirt.destroy("vm1"), virsh)
    assert (answer.returncode, answer.stderr) == (1, b"cannot connect\n")


def test_inspect_reads_what_libvirt_says(libvirt: Libvirt, virsh: Path, tmp_path: Path, answer: Any) -> None:
    """The script's answer is what the parser reads: the hash of the file, domains, UUIDs and the secret."""
    file = tmp_path / "$(x) vm.xml"
    file.write_text("x")
    said = run(libvirt.inspect(str(file)), virsh)
    assert (said.returncode, said.stderr) == (0, b"")
    read = parse_hypervisor(answer(said.stdout))
    assert (read.domains, read.secrets) == (("vm1", "a.b", "UUID"), (SECRET,))
    assert {*UUIDS, SECRET.uuid} <= set(read.uuids)
    assert read.file_hash == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_inspect_fails_while_libvirt_does_not_answer(libvirt: Libvirt, virsh: Path) -> None:
    """A hypervisor whose libvirt is down is not one without domains, whose names and UUIDs would be free."""
    (virsh / "down").touch()
    said = run(libvirt.inspect("/nowhere"), virsh)
    assert said.returncode == 1
    assert b"cannot connect" in said.stderr


@pytest.mark.parametrize(
    ("state", "armed", "strict", "code"),
    [
        ("running", "resume", True, 0),
        ("running", "domfsthaw", True, 0),
        ("running", "", True, 75),
        ("paused", "", True, 0),
        ("shut off", "", True, 75),
        ("running", "", False, 0),
    ],
)
def test_release_tells_who_did_not_hold_still(
    libvirt: Libvirt, tmp_path: Path, *, state: str, armed: str, strict: bool, code: int
) -> None:
    """Where the timer is not there any more it has done its work, and a strict release fails, unless others keep the guest paused."""
    for name, script in {
        "virsh": f'[ "$1" = domstate ] && echo "{state}" || echo "$1" >>"$0.done"',
        "systemctl": f'[ "$2" != is-active ] || [ "$3" = "vm-mgr-abc-{armed}.timer" ]',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = libvirt.release("vm1", "abc", strict=strict)
    done = run(command, tmp_path)
    assert (done.returncode, done.stdout.decode()) == (code, f"{armed}\n" if armed else "")
    assert (tmp_path / "virsh.done").exists() is bool(armed)
    if code == 75:
        with pytest.raises(VmMgrError, match=r"VM vm1 did not hold still .* on hv1"):
            command.parse(Result("hv1", command.argv, code, b"", done.stderr))
