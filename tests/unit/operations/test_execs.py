"""How often each host is spoken to: three execs at most for any verb, leases, waiting and bulk data aside."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from fakesite import FakeSite
from journeys import JOURNEYS, journey
from workbench import Bench, add_vm

from vmmgr.operations.lease import TERM
from vmmgr.operations.removal import repair
from vmmgr.operations.running import stop

if TYPE_CHECKING:
    from fakeremote import FakeRemote
    from workbench import Clock

    from vmmgr.images import DiskImage

LIMIT = 3
# What only marks a VM or takes the mark away, with the guards before it.
LEASES = {"assert_unchanged", "assert_lease", "lease_take", "lease_replace", "lease_renew", "lease_drop"}
# What is asked again and again while Pacemaker works, or until Ceph has forgotten a client.
LOOKS = (["cib", "simulate"], ["news", "cib", "simulate"], ["disks"])
# What takes as long as the disks are large, with what must be done at the same go.
BULK = {"rollback_snapshot", "rollback_group_snapshot"}


def counted(remote: FakeRemote) -> Counter[str]:
    """Return the execs on each host; streams are not among them."""
    execs = [(host, commands) for host, commands in remote.batches if not BULK & set(commands) and commands not in LOOKS]
    return Counter(host for host, commands in execs if not LEASES.issuperset(commands))


@pytest.mark.parametrize("hosts", ["obs1 hv1 hv2", "hv1 hv2 hv3"])
@pytest.mark.parametrize("tool", ["crm", "pcs"])
@pytest.mark.parametrize("name", JOURNEYS)
def test_no_verb_takes_more_than_three(clock: Clock, disk: DiskImage, name: str, tool: str, hosts: str) -> None:
    """Whatever is done, on a site with an observer and on one where a hypervisor speaks for the cluster."""
    outcome = journey(name, disk, clock, tool, hosts).run(clock)
    assert outcome.error is None
    execs = counted(outcome.bench.remote)
    assert execs
    assert max(execs.values()) <= LIMIT, (execs, outcome.bench.remote.batches)


@pytest.mark.parametrize("hosts", ["obs1 hv1 hv2", "hv1 hv2 hv3"])
@pytest.mark.parametrize("name", JOURNEYS)
def test_repair_takes_no_more_than_three(clock: Clock, disk: DiskImage, name: str, hosts: str) -> None:
    """A repair too, whenever the workstation was lost."""
    route = journey(name, disk, clock, "crm", hosts)
    for where, outcome in route.left_behind(clock):
        outcome.site.seconds += 10 * TERM
        bench = Bench(outcome.site, clock, "bob@lab")
        bench.run(lambda context: repair(context, "web"))
        execs = counted(bench.remote)
        assert max(execs.values()) <= LIMIT, (where, execs, bench.remote.batches)


def test_power_cut_costs_one_more(clock: Clock) -> None:
    """``stop --force`` asks the hypervisor once."""
    site = FakeSite()
    add_vm(site, "web")
    bench = Bench(site, clock)
    bench.run(lambda context: stop(context, "web", force=True))
    assert counted(bench.remote) == {"obs1": 2, "hv1": 1}
