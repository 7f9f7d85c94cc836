"""The known hosts files, as sshd(8) describes them."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest

from vmmgr.remote.known_hosts import KnownHosts, fingerprint, names_of

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = b"the key of the host", b"another key"


def encoded(blob: bytes) -> str:
    """Return a key as it stands in a file."""
    return base64.b64encode(blob).decode()


def read(folder: Path, *lines: str) -> KnownHosts:
    """Read a file with these lines, after one that does not exist."""
    file = folder / "known_hosts"
    file.write_text("".join(f"{line}\n" for line in lines))
    return KnownHosts([folder / "missing", file])


@pytest.mark.parametrize(
    ("patterns", "trusted"),
    [
        ("hv1", True), ("HV1", True), ("other,hv1", True), ("hv2", False), ("hv*", True), ("hv?", True), ("*,!hv1", False),
        ("!hv2,*", True), ("h[v]1", False), ("hv1.example", False), ("|1|broken", False),
    ],
)  # fmt: skip
def test_patterns(tmp_path: Path, patterns: str, trusted: bool) -> None:
    """Names, lists, wildcards and exclusions mean what they mean to ssh."""
    known = read(tmp_path, f"{patterns} ssh-ed25519 {encoded(KEY)} a comment")
    assert known.judge(("hv1",), KEY).trusted is trusted


def test_hashed_names(tmp_path: Path) -> None:
    """A name that ssh-keygen -H has hashed is found."""
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIFExampleExampleExampleExampleExampleExampleExam"
    file = tmp_path / "known_hosts"
    file.write_text(f"[10.0.0.1]:2222 ssh-ed25519 {key}\n")
    done = subprocess.run(["ssh-keygen", "-H", "-f", str(file)], capture_output=True, check=False)
    if done.returncode or "|1|" not in file.read_text():
        pytest.skip(f"ssh-keygen does not hash this: {done.stderr!r}")
    assert KnownHosts([file]).judge(("[10.0.0.1]:2222",), base64.b64decode(key + "=" * (-len(key) % 4))).trusted


def test_one_of_several_keys_of_a_type_is_enough(tmp_path: Path) -> None:
    """A stale line does not hide the right one, whichever comes first."""
    known = read(tmp_path, f"hv1 ssh-rsa {encoded(OTHER)}", f"hv1 ssh-rsa {encoded(KEY)}")
    assert known.judge(("hv1",), KEY).trusted
    assert known.kinds(("hv1",)) == ["ssh-rsa"]


def test_revoked_wins(tmp_path: Path) -> None:
    """A revoked key is not trusted, even where another line still gives it."""
    known = read(tmp_path, f"hv1 ssh-rsa {encoded(KEY)}", f"@revoked * ssh-rsa {encoded(KEY)}")
    verdict = known.judge(("hv1",), KEY)
    assert not verdict.trusted
    assert verdict.revoked == f"{tmp_path / 'known_hosts'}:2"


def test_authorities_comments_and_rubbish_are_passed_over(tmp_path: Path) -> None:
    """Lines that are not understood give no trust and do not hide those after them."""
    rubbish = [f"@cert-authority * ssh-rsa {encoded(OTHER)}", "# hv1 ssh-rsa x", "", "hv1", "hv1 ssh-rsa !!", "@x y z w"]
    known = read(tmp_path, *rubbish, f"hv1 ssh-rsa {encoded(KEY)}")
    assert known.judge(("hv1",), KEY).trusted
    assert not known.judge(("hv1",), OTHER).trusted


def test_names() -> None:
    """A port other than 22 stands beside the name, ssh's fallback to the bare name included; an alias replaces both."""
    assert names_of("HV1", 22, None) == ("hv1",)
    assert names_of("hv1", 2222, None) == ("[hv1]:2222", "hv1")
    assert names_of("hv1", 2222, "Alias") == ("alias",)


def test_fingerprint_is_ssh_keygens() -> None:
    """The fingerprint has the form that people compare it with."""
    assert fingerprint(b"") == "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
