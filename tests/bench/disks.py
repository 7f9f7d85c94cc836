"""The verbs on snapshots and clones of a running VM, against what Ceph and Pacemaker need by themselves for the same.

Ceph's own time is that of the bare ``rbd`` commands on a hypervisor, on a copy of the same image, one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.journal import pacemaker
from tests.bench.processes import note_execs
from tests.bench.running import settle

if TYPE_CHECKING:
    from tests.bench.measuring import Bench, Ran

VM, CLONE, OCTET = "kept", "copied", 130
OWN = "rbd/bench-own"
# How many snapshots are purged at a time.
MANY = 10


def measure(bench: Bench) -> None:
    """Measure every verb, round by round."""
    xml = bench.lab.domain(bench.folder, VM, OCTET)
    bench.vm_mgr("create", "-n", VM, "--xml", xml, "--image", bench.lab.image("tiny"))
    _ceph(bench, f"rbd --no-progress cp rbd/system_{VM} {OWN}", f"rbd snap create {OWN}@back")
    bench.vm_mgr("create_snapshot", "-n", VM, "--snap-name", "back")
    taken: dict[str, list[tuple[float, float]]] = {}
    for turn in range(bench.rounds):
        for name, (ran, theirs) in _round(bench).items():
            taken.setdefault(name, []).append((ran.seconds, theirs))
            if turn == bench.rounds - 1:
                note_execs(bench, name, ran)
    for name, rounds in taken.items():
        ours, own = zip(*rounds, strict=True)
        bench.report.difference(f"{name} / Ceph and Pacemaker", ours, own, None)
    bench.vm_mgr("stop", "--force", "-n", VM)
    bench.vm_mgr("remove", "-n", VM)
    _ceph(bench, f"rbd --no-progress snap purge {OWN}", f"rbd --no-progress rm {OWN}")


def _round(bench: Bench) -> dict[str, tuple[Ran, float]]:
    """Run each verb once; return what it took, and what Ceph and Pacemaker take, in seconds."""
    found = {}
    ran = bench.vm_mgr("-vv", "create_snapshot", "-n", VM, "--snap-name", "more")
    found["create_snapshot"] = ran, _ceph(bench, f"rbd snap create {OWN}@more")
    ran = bench.vm_mgr("-vv", "remove_snapshot", "-n", VM, "--snap-name", "more")
    found["remove_snapshot"] = ran, _ceph(bench, f"rbd snap rm {OWN}@more")

    settle(bench, up=True, octet=OCTET)
    ran = bench.vm_mgr("-vv", "rollback", "-n", VM, "--snap-name", "back")
    own = _ceph(bench, f"rbd snap create {OWN}@safety", f"rbd --no-progress snap rollback {OWN}@back")
    found["rollback of a running VM"] = ran, own + pacemaker(bench, ran, VM)[0]
    _ceph(bench, f"rbd snap rm {OWN}@safety")

    settle(bench, up=True, octet=OCTET)
    ran = bench.vm_mgr("-vv", "clone", "-n", VM, "--dst-name", CLONE)
    clone = f"rbd clone --rbd-default-clone-format 2 {OWN}@clone {OWN}-2"
    own = _ceph(bench, f"rbd snap create {OWN}@clone", clone, f"rbd snap rm {OWN}@clone")
    found["clone of a running VM"] = ran, own + pacemaker(bench, ran, CLONE)[0]
    _ceph(bench, f"rbd --no-progress flatten {OWN}-2", f"rbd --no-progress rm {OWN}-2")
    _ceph(bench, f"while rbd --format=json children rbd/system_{VM} --all | grep -q image; do sleep 0.2; done")
    bench.vm_mgr("stop", "--force", "-n", CLONE)
    bench.vm_mgr("remove", "-n", CLONE)

    _ceph(bench, f"for i in $(seq {MANY}); do rbd snap create rbd/system_{VM}@s$i; rbd snap create {OWN}@s$i; done")
    ran = bench.vm_mgr("-vv", "purge", "-n", VM)
    own = _ceph(bench, f"rbd --no-progress snap purge {OWN}")
    found[f"purge of some {MANY} snapshots"] = ran, own
    bench.vm_mgr("create_snapshot", "-n", VM, "--snap-name", "back")
    _ceph(bench, f"rbd snap create {OWN}@back")
    return found


def _ceph(bench: Bench, *commands: str) -> float:
    """Run commands on a hypervisor and return the seconds that they take there."""
    script = f"set -e; date +%s.%N; {{ {'; '.join(commands)}; }} >/dev/null; date +%s.%N"
    before, after = bench.lab.on(bench.lab.hypervisors[0], "sh", "-c", script).split()
    return float(after) - float(before)
