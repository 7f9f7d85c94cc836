"""The metadata verbs on real sites: values of any kind, through the client, sshd, a shell and Ceph, and back."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.scenarios.site import VM_MGR

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scenarios.site import LabSite

RUN_ON = ("pcs-hardened", "crmsh-root")
VALUES = (b"-", b"-rf two\nlines \x1b[2J\t\r\x01 \xff\xfe" + "größe 漢字 '\"\\$(x)`\n\n".encode(), b"x" * 131071)


def value_of(site: LabSite, vm: str, key: str) -> bytes:
    """Return what get_metadata writes."""
    command = [str(VM_MGR), "get_metadata", "-n", vm, "--metadata_name", key]
    return subprocess.run(command, check=True, capture_output=True, timeout=60, env=site.env()).stdout


def test_metadata(site: LabSite, vm: str, tmp_path: Path) -> None:
    """Any value of a disabled VM is set and read, by us and by rbd; settings are shown and protected; nothing else changes."""
    site.done("create", "-n", vm, "--xml", site.domain(tmp_path, vm, 107), "-i", site.image("tiny"), "--disable")
    epoch, before = site.epoch(), site.metadata(vm)
    name, file = ["-n", vm, "--metadata-name"], tmp_path / "value"
    for value in VALUES:
        file.write_bytes(value)
        site.done("set_metadata", *name, "key.1_a-b", "--from-file", str(file))
        assert value_of(site, vm, "key.1_a-b") == value
    stored = site.on(site.anywhere, "sh", "-c", f"rbd image-meta get system_{vm} key.1_a-b | head -c -1 | sha256sum; echo")
    assert (
        stored.split()[0] == subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]
    )
    assert "already" in site.done("set_metadata", *name, "key.1_a-b", "--from-file", str(file)).out
    site.done("set-metadata", *name, "owner", "--metadata_value=-Zoë")
    rows = {row["Key"]: row["Value"] for row in site.done("list_metadata", "-n", vm, "--long", "-f", "json").rows}
    assert rows == before | {"owner": "-Zoë", "key.1_a-b": "x" * 131071}
    site.done("set_metadata", *name, "owner", "--unset")
    site.done("set_metadata", *name, "key.1_a-b", "--unset")
    assert "already" in site.done("set_metadata", *name, "owner", "--unset").out
    keys = site.done("list-metadata", "-n", vm, "-f", "value").out.split()
    assert keys == sorted(before)
    refused = (
        (["set_metadata", *name, "_priority", "--metadata_value", "9"], 2, "--priority"),
        (["set_metadata", *name, "owner", "--metadata_value", ""], 2, "--unset"),
        (["get_metadata", *name, "owner"], 3, "'owner'"),
        (["get_metadata", "-n", "nobody", "--metadata_name", "owner"], 3, "nobody"),
    )
    for words, code, said in refused:
        answer = site.vm_mgr(*words)
        assert (answer.code, said in answer.err) == (code, True), answer.err
    assert site.metadata(vm) == before
    assert site.epoch() == epoch
    site.done("remove", "-n", vm)
