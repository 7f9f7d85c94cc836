"""A guest whose agent freezes its file systems, and a workstation that is lost while they are frozen."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scenarios.site import slow_site, until

if TYPE_CHECKING:
    from tests.scenarios.site import LabSite

# the login that may least; booting a whole Debian takes its time
RUN_ON = ("pcs-hardened",)
pytestmark = pytest.mark.thorough
# Where the Debian guest has its root file system, and where the superblock of an ext4 has its magic number and its features.
ROOT, SUPERBLOCK, MAGIC, INCOMPATIBLE, NEEDS_RECOVERY = 41 << 20, 1024, 56, 96, 4


def frozen(site: LabSite, host: str, vm: str) -> bool | None:
    """Return whether the guest's file systems are frozen; None where no agent answers."""
    ask = 'virsh qemu-agent-command --domain "$1" --cmd \'{"execute":"guest-fsfreeze-status"}\' 2>/dev/null || echo null'
    answer = json.loads(site.on(host, "sh", "-c", ask, "sh", vm))
    return None if answer is None else bool(answer["return"] == "frozen")


def needs_recovery(site: LabSite, image: str, snapshot: str) -> bool:
    """Return whether the journal of the file system in a snapshot has to be replayed, as its superblock says (ext4(5))."""
    script = (
        'rbd --no-progress export "rbd/$1@$2" - 2>/dev/null | dd bs=1024 skip="$3" count=1 iflag=fullblock 2>/dev/null '
        "| od -An -v -tu1 -w1"
    )
    offset = str((ROOT + SUPERBLOCK) // 1024)
    block = bytes(map(int, site.on(site.hypervisors[0], "sh", "-c", script, "sh", image, snapshot, offset).split()))
    assert block[MAGIC : MAGIC + 2] == b"\x53\xef"
    return bool(block[INCOMPATIBLE] & NEEDS_RECOVERY)


def test_guest_is_frozen_and_never_stays_so(site: LabSite, vm: str, tmp_path: Path) -> None:
    """A snapshot with the agent needs no journal replayed, one without does; killed -9 in between, the guest goes on by itself."""
    xml = Path(site.domain(tmp_path, vm, 133))
    xml.write_text(xml.read_text().replace(">128<", ">256<"))
    site.done("create", "-n", vm, "--xml", str(xml), "-i", site.image("debian"))
    (host,) = site.runs_on(vm)
    until(lambda: frozen(site, host, vm) is False, 300, "the guest's agent answers")
    answer = site.done("create_snapshot", "-n", vm, "--snap_name", "frozen")
    assert "consistency: filesystem" in answer.out
    site.done("create_snapshot", "-n", vm, "--snap_name", "awake", "--no-freeze")
    assert frozen(site, host, vm) is False
    rows = site.done("list_snapshots", "-n", vm, "-f", "json").rows
    assert {row["Name"]: row["Consistency"] for row in rows} == {"frozen": "filesystem", "awake": "crash"}
    image = f"system_{vm}"
    assert [needs_recovery(site, image, name) for name in ("frozen", "awake")] == [False, True]

    config = slow_site(site, tmp_path)
    words = ["--config", config, "--site", "slow", "create_snapshot", "-n", vm, "--snap_name", "lost"]
    with site.start_vm_mgr(*words) as process:
        until(lambda: frozen(site, host, vm), 60, "the guest is frozen")
        process.kill()
    began = time.monotonic()
    until(lambda: frozen(site, host, vm) is False, 40, "the guest goes on")
    print(f"frozen for {time.monotonic() - began:.1f} s after the kill")
    assert "create_snapshot" in site.done("status", "-n", vm, "-f", "json").rows["Details"]
    assert "in progress" in site.vm_mgr("create_snapshot", "-n", vm, "--snap_name", "other").err
    # what is still being run there must not be taken for the past
    until(lambda: site.on(host, "sh", "-c", "pgrep -x sleep -a | grep 'sleep 37' || true") == "", 60, "nothing of it runs")
    site.done("repair", "--force", "-n", vm)
    assert [row["Name"] for row in site.done("list_snapshots", "-n", vm, "-f", "json").rows] == ["frozen", "awake"]
    assert site.on(host, "systemctl", "list-units", "--all", "--no-legend", "vm-mgr-*").strip() == ""
    site.discard(vm)
    assert site.traces(vm) == []
