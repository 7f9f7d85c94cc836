"""``show``: all of one VM, of whatever state it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakesite import FakeSite
from journeys import NODE, SERVICE
from workbench import Bench, add_vm

from vmmgr.errors import RefusedError
from vmmgr.model import Status
from vmmgr.operations.guestnode import add_guest_node
from vmmgr.operations.membership import disable
from vmmgr.operations.services import add_service
from vmmgr.operations.showing import Facts, show

if TYPE_CHECKING:
    from workbench import Clock


@pytest.fixture
def bench(clock: Clock) -> Bench:
    """A site with the VM web, which has two disks, a note and a service."""
    site = FakeSite()
    add_vm(site, "web", disks=2, preferred_host="hv1")
    site.images["system_web"].metadata["owner"] = "ann"
    bench = Bench(site, clock)
    bench.run(lambda context: add_guest_node(context, "web", NODE))
    bench.run(lambda context: add_service(context, SERVICE))
    return bench


def shown(bench: Bench, vm: str = "web") -> Facts:
    """Show a VM."""
    return bench.run(lambda context: show(context, vm))


@pytest.mark.parametrize("disabled", [False, True])
def test_all_of_a_vm(bench: Bench, *, disabled: bool) -> None:
    """What is kept of a disabled VM is shown as well."""
    if disabled:
        bench.run(lambda context: disable(context, "web"))
    facts = shown(bench)
    assert facts.state.status is (Status.DISABLED if disabled else Status.STARTED)
    assert facts.uuid == "00000001-0000-4000-8000-000000000000"
    assert facts.disks.images == ("system_web", "data_web_0")
    assert facts.notes == ["owner"]
    assert facts.settings["preferred-host"] == "hv1"
    assert facts.guest_node == NODE.attributes()
    assert [(item.name, item.status) for item in facts.services] == [("beat", facts.state.status)]
    assert facts.constraints == ("prefer-web-onhv1", "web-hypervisors-only", "web.beat-in-web-node")


def test_paused_is_asked_of_the_hypervisor(bench: Bench) -> None:
    """Pacemaker takes a paused VM for one that runs; where nobody can be asked, that is said, and the rest is shown."""
    bench.site.runs["web"].still = ("resume", "unit", 99.0)
    assert shown(bench).state.details[0] == "paused"
    bench.site.hosts["hv1"].reachable = False
    assert "paused" not in shown(bench).state.details
    assert "Whether VM web is paused cannot be told. hv1" in bench.told.warnings[-1]


def test_unknown(bench: Bench) -> None:
    """There is no such VM."""
    with pytest.raises(RefusedError, match="no VM nobody"):
        shown(bench, "nobody")
