"""Disable and enable keep everything, whoever disabled the VM and in whatever order partners come back."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakesite import FakeSite
from workbench import Bench, add_vm, constrain

from vmmgr.errors import RefusedError
from vmmgr.model import Status
from vmmgr.operations.membership import disable, enable
from vmmgr.operations.removal import remove

if TYPE_CHECKING:
    from collections.abc import Callable

    from workbench import Clock

SET = (
    '<rsc_colocation id="three" score="INFINITY"><resource_set id="three-0">'
    '<resource_ref id="web"/><resource_ref id="db"/><resource_ref id="log"/></resource_set></rsc_colocation>'
)
ORDER = '<rsc_order id="after" first="db" then="web" kind="Optional"/>'
COLOCATION = '<rsc_colocation id="together" rsc="web" with-rsc="db" score="700"/>'


def disabled(bench: Bench, *names: str) -> None:
    """Disable VMs one after the other."""
    for name in names:
        bench.run(lambda context, name=name: disable(context, name))


def enabled(bench: Bench, *names: str) -> None:
    """Enable VMs one after the other."""
    for name in names:
        bench.run(lambda context, name=name: enable(context, name))


def test_everything_of_the_resource_survives(clock: Clock) -> None:
    """Meta attributes and operations that the administrator changed, utilization and constraints of all kinds come back."""
    site = FakeSite()
    add_vm(site, "db")
    add_vm(site, "web", pinned_host="hv2", pacemaker_utilization={"cpu": "2"})
    primitive = site.primitive("web")
    assert primitive is not None
    primitive.find("operations/op[@name='stop']").set("timeout", "777s")  # type: ignore[union-attr]
    ET.SubElement(primitive.find("meta_attributes"), "nvpair", id="own", name="failure-timeout", value="60")  # type: ignore[arg-type]
    for text in (COLOCATION, ORDER):
        constrain(site, text)
    before, bench = site.state(), Bench(site, clock)
    disabled(bench, "web")
    assert site.primitive("web") is None
    assert not [item for item in site.constraints if "web" in str(item.attrib)]
    assert (site.groups["web"], site.images["system_web"].data) == ({"system_web"}, "data of system_web")
    enabled(bench, "web")
    assert site.state() == before
    assert bench.told.warnings == []


@pytest.mark.parametrize("names", list(permutations(["web", "db", "log"])))
@pytest.mark.parametrize("reverse", [False, True])
def test_partners_in_any_order(clock: Clock, names: tuple[str, ...], reverse: bool) -> None:
    """Constraints between VMs that are disabled together come back with whichever is enabled last."""
    site = FakeSite()
    for name in ("web", "db", "log"):
        add_vm(site, name)
    for text in (SET, COLOCATION, ORDER):
        constrain(site, text)
    before, bench = site.state(), Bench(site, clock)
    disabled(bench, *names)
    assert len(site.constraints) == 0
    enabled(bench, *(reversed(names) if reverse else names))
    assert site.state() == before


def test_partner_that_stays_is_warned_about(clock: Clock) -> None:
    """A set of three holds for none of the other two while one is disabled; that is said, and it comes back."""
    site = FakeSite()
    for name in ("web", "db", "log"):
        add_vm(site, name)
    constrain(site, SET)
    before, bench = site.state(), Bench(site, clock)
    disabled(bench, "web")
    assert any("hold for none of them: three" in text for text in bench.told.said)
    enabled(bench, "web")
    assert site.state() == before


def test_partner_that_is_disabled_gets_the_constraint(clock: Clock) -> None:
    """Enabling a VM whose partner is disabled says so, and the constraint is kept with the partner."""
    site = FakeSite()
    add_vm(site, "web")
    add_vm(site, "db")
    constrain(site, COLOCATION)
    bench = Bench(site, clock)
    disabled(bench, "web", "db")
    enabled(bench, "web")
    assert any("Constraints with db come back" in text for text in bench.told.said)
    assert list(site.store) == ["vm-mgr.db"]
    assert "together" in site.store["vm-mgr.db"]


def test_stopped_stays_stopped_if_told_so(clock: Clock) -> None:
    """``--nostart`` enables a VM without starting it."""
    site = FakeSite()
    add_vm(site, "web")
    bench = Bench(site, clock)
    disabled(bench, "web")
    assert bench.run(lambda context: enable(context, "web", start=False)).status is Status.STOPPED
    assert site.target_role("web") == "Stopped"


@pytest.mark.parametrize("tool", ["crm", "pcs"])
def test_vm_that_vm_manager_disabled(clock: Clock, tool: str) -> None:
    """A VM that has only its metadata gets its resource from there, remote node and all; crm's lines are run by crm."""
    site = FakeSite(tool)
    add_vm(site, "web", enabled=False, pinned_host="hv2", stop_timeout=99, pacemaker_meta={"failure-timeout": "9"})
    site.images["system_web"].metadata |= {
        "_remote_node": "guest", "_remote_node_address": "10.0.0.7", "_crm_config_cmd": "location near web 7: hv1",
    }  # fmt: skip
    bench = Bench(site, clock)
    assert bench.run(lambda context: enable(context, "web")).node == "hv2"
    primitive = site.primitive("web")
    assert primitive is not None
    meta = {pair.get("name"): pair.get("value") for pair in primitive.iterfind("meta_attributes/nvpair")}
    assert (meta["remote-node"], meta["remote-addr"], meta["failure-timeout"]) == ("guest", "10.0.0.7", "9")
    assert primitive.find("operations/op[@name='stop'][@timeout='99s']") is not None
    assert site.cib.find(".//rsc_location[@node='hv2'][@score='INFINITY']") is not None
    assert any("location near web 7: hv1" in warning for warning in bench.told.warnings) == (tool == "pcs")
    assert (site.cib.find(".//rsc_location[@id='near']") is not None) == (tool == "crm")


def test_missing_file_is_written_again(clock: Clock) -> None:
    """A hypervisor that was reinstalled while the VM was disabled gets its domain XML back before the VM may start there."""
    site = FakeSite()
    add_vm(site, "web")
    bench = Bench(site, clock)
    disabled(bench, "web")
    site.hosts["hv2"].files.clear()
    enabled(bench, "web")
    assert site.hosts["hv2"].files["/etc/pacemaker/web.xml"] == site.images["system_web"].metadata["xml"]


def test_leftover_of_an_older_vm_of_that_name(clock: Clock, disk: object) -> None:
    """What was kept of a VM that vm_manager removed is not what a new VM of its name becomes."""
    from workbench import creating

    site = FakeSite()
    add_vm(site, "web", stop_timeout=555)
    bench = Bench(site, clock)
    disabled(bench, "web")
    del site.images["system_web"], site.groups["web"]
    bench.run(creating(disk, enable=False))  # type: ignore[arg-type]
    enabled(bench, "web")
    assert site.cib.find(".//primitive[@id='web']/operations/op[@timeout='555s']") is None


def test_removing_a_disabled_partner_leaves_nothing_of_it(clock: Clock) -> None:
    """A VM that is removed while disabled takes its kept part along; its partner goes on."""
    site = FakeSite()
    add_vm(site, "web")
    add_vm(site, "db")
    constrain(site, COLOCATION)
    bench = Bench(site, clock)
    disabled(bench, "web")
    bench.run(lambda context: remove(context, "web"))
    assert site.store == {}
    assert site.runs["db"].node == "hv1"


def test_a13_14_disabling_a_failed_vm_forgets_its_failures_only(clock: Clock) -> None:
    """A VM that could not start is disabled, and Pacemaker forgets its failures and no others."""
    site = FakeSite()
    add_vm(site, "web")
    add_vm(site, "db", running=False)
    bench = Bench(site, clock)
    site.move("web", site.runs["web"], None)
    site.broken["web"] = "start"
    site.settle()
    disabled(bench, "web")
    cleaned = [event.argv for event in bench.remote.log if event.name == "cleanup"]
    assert cleaned == [("crm_resource", "--cleanup", "--resource=web")]


@pytest.mark.parametrize("verb", [disable, remove])
def test_a_count_of_failures_is_forgotten_too(clock: Clock, verb: Callable[..., Any]) -> None:
    """Pacemaker counts a failure on a node longer than its history has it; it goes with the VM, and others keep theirs."""
    site = FakeSite()
    for vm in ("web", "db"):
        add_vm(site, vm)
        site.find("status").append(
            ET.fromstring(
                '<node_state uname="hv2"><transient_attributes id="2"><instance_attributes id="status-2">'
                f'<nvpair id="status-2-fail-count-{vm}.monitor_10000" name="fail-count-{vm}#monitor_10000" value="1"/>'
                "</instance_attributes></transient_attributes></node_state>"
            )
        )
    bench = Bench(site, clock)
    bench.run(lambda context: verb(context, "web"))
    left = [pair.get("name") for pair in site.find("status").iter("nvpair")]
    assert left == ["fail-count-db#monitor_10000"]


def test_another_vm_of_that_name_gets_its_own_settings(clock: Clock) -> None:
    """vm_manager removed a VM that vm-mgr had disabled, and made another of its name: what was kept of the first is not used."""
    site = FakeSite()
    add_vm(site, "web", stop_timeout=555)
    bench = Bench(site, clock)
    disabled(bench, "web")
    metadata = site.images["system_web"].metadata
    metadata["xml"] = metadata["xml"].replace("<uuid>0", "<uuid>7")
    metadata["_stop_timeout"] = "44"
    enabled(bench, "web")
    assert any("it is another VM now" in text for text in bench.told.warnings)
    assert site.cib.find(".//primitive[@id='web']/operations/op[@timeout='44s']") is not None


def test_what_an_older_version_kept_is_used(clock: Clock) -> None:
    """What was kept without the UUID is taken for that of this VM."""
    site = FakeSite()
    add_vm(site, "web", stop_timeout=555)
    bench, before = Bench(site, clock), site.state()
    disabled(bench, "web")
    document = json.loads(site.store["vm-mgr.web"])
    del document["uuid"]
    site.store["vm-mgr.web"] = json.dumps(document)
    enabled(bench, "web")
    assert site.state() == before


def test_partner_that_is_gone_does_not_come_back(clock: Clock) -> None:
    """A VM whose partner was removed meanwhile is enabled without their constraint, which is shown; nothing is left behind."""
    site = FakeSite()
    for name in ("web", "db"):
        add_vm(site, name)
    constrain(site, COLOCATION)
    bench = Bench(site, clock)
    disabled(bench, "web")
    bench.run(lambda context: remove(context, "db"))
    enabled(bench, "web")
    assert any("there is no db any more" in text and 'id="together"' in text for text in bench.told.warnings)
    assert site.store == {}
    assert site.constraints.find("rsc_colocation") is None


def test_constraint_that_somebody_made_again(clock: Clock) -> None:
    """Where something else has the id of a kept constraint by now, that stays, and the VM is enabled without its own."""
    site = FakeSite()
    for name in ("web", "db", "log"):
        add_vm(site, name)
    constrain(site, SET)
    bench = Bench(site, clock)
    disabled(bench, "web")
    constrain(site, '<rsc_colocation id="three" rsc="db" with-rsc="log" score="INFINITY"/>')
    enabled(bench, "web")
    assert any("its id is another's by now" in text and "resource_set" in text for text in bench.told.warnings)
    assert [item.get("rsc") for item in site.constraints.iterfind("rsc_colocation")] == ["db"]


@pytest.mark.parametrize("verb", [disable, remove])
def test_vm_with_a_tag_is_refused(clock: Clock, verb: Callable[..., Any]) -> None:
    """A tag cannot name a VM that is not in the cluster, and would lose it; constraints with tags are no absent partner."""
    site = FakeSite()
    add_vm(site, "web")
    site.find("configuration").append(ET.fromstring('<tags><tag id="front"><obj_ref id="web"/></tag></tags>'))
    before, bench = site.state(), Bench(site, clock)
    with pytest.raises(RefusedError, match="VM web has the tag front"):
        bench.run(lambda context: verb(context, "web"))
    assert site.state() == before


def test_constraint_with_a_tag_comes_back(clock: Clock) -> None:
    """A tag that a constraint names is there, and is not waited for like a partner."""
    site = FakeSite()
    for name in ("web", "db"):
        add_vm(site, name)
    site.find("configuration").append(ET.fromstring('<tags><tag id="back"><obj_ref id="db"/></tag></tags>'))
    constrain(site, '<rsc_colocation id="with-tag" rsc="web" with-rsc="back" score="5"/>')
    before, bench = site.state(), Bench(site, clock)
    disabled(bench, "web")
    enabled(bench, "web")
    assert site.state() == before
