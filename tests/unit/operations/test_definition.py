"""Settings as metadata and as a resource; and the part of the CIB that is kept of a disabled VM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakesite import FakeSite
from workbench import Bench

from vmmgr.drivers.pacemaker.cib import Cib
from vmmgr.errors import UsageError, VmMgrError
from vmmgr.operations.definition import Settings, definition
from vmmgr.operations.fragment import Fragment, document, with_target_role

if TYPE_CHECKING:
    from workbench import Clock

FULL = Settings(
    preferred_host="hv2", live_migration=True, migration_user="libvirtadmin", stop_timeout=77, migrate_to_timeout=88,
    migration_downtime=5, priority=9, pacemaker_meta={"failure-timeout": "60"}, pacemaker_params={"snapshot": "/x"},
    pacemaker_utilization={"cpu": "2"}, remote={"remote-node": "guest", "remote-addr": "10.0.0.7"},
)  # fmt: skip
PARTS = ET.fromstring(
    "<cib><configuration><resources><primitive id='web'/><primitive id='db'/></resources><constraints>"
    "<rsc_location id='l' rsc='web'/><rsc_colocation id='c' rsc='db' with-rsc='web'/><rsc_order id='o' first='web' then='db'/>"
    "<rsc_order id='s'><resource_set id='s0'><resource_ref id='db'/><resource_ref id='web'/><resource_ref id='log'/></resource_set>"
    "</rsc_order><rsc_location id='other' rsc='db'/></constraints></configuration></cib>"
)


@pytest.mark.parametrize(
    "settings", [Settings(migration_user="root"), Settings(pinned_host="hv1", migration_user="root"), FULL]
)
def test_settings_come_back_from_metadata(settings: Settings) -> None:
    """What is written as metadata is read as the same settings."""
    assert Settings.from_metadata(settings.to_metadata()) == settings


def test_metadata_are_vm_managers() -> None:
    """The keys and values are those that vm_manager writes."""
    assert FULL.to_metadata() == {
        "_preferred_host": "hv2", "_live_migration": "true", "_migration_user": "libvirtadmin", "_stop_timeout": "77",
        "_migrate_to_timeout": "88", "_migration_downtime": "5", "_priority": "9", "_pacemaker_meta": '{"failure-timeout": "60"}',
        "_pacemaker_params": '{"snapshot": "/x"}', "_pacemaker_utilization": '{"cpu": "2"}', "_remote_node": "guest",
        "_remote_node_address": "10.0.0.7",
    }  # fmt: skip
    assert "_live_migration" not in Settings().to_metadata()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"_priority": "high"}, "_priority of the VM is 'high'"),
        ({"_pacemaker_meta": "[1"}, "_pacemaker_meta of the VM is no JSON object"),
        ({"_pacemaker_meta": "3"}, "_pacemaker_meta of the VM is no JSON object"),
        ({"_pacemaker_meta": '{"1x": "y"}'}, "'1x' in --pacemaker-meta"),
        ({"_pinned_host": "a", "_preferred_host": "b"}, "either pinned to a host or prefers one"),
    ],
)
def test_spoilt_metadata_are_named(metadata: dict[str, str], words: str) -> None:
    """Metadata that somebody spoilt give one sentence with the key."""
    with pytest.raises(UsageError, match=words):
        Settings.from_metadata(metadata)


@pytest.mark.parametrize("key", ["", "1a", "a b", "a:b", "a/b", "-a", "a\n", "ä", "x" * 129])
@pytest.mark.parametrize("option", ["pacemaker_meta", "pacemaker_params", "pacemaker_utilization"])
def test_keys_must_fit_into_an_id(option: str, key: str) -> None:
    """Keys become parts of ids in the CIB, so they are what an id can hold."""
    with pytest.raises(UsageError, match="is no attribute name"):
        Settings(**{option: {key: "x"}})  # type: ignore[arg-type]


def test_target_role_is_not_a_setting() -> None:
    """The target role cannot be smuggled in as a meta attribute."""
    with pytest.raises(UsageError, match="target role"):
        Settings(pacemaker_meta={"target-role": "Stopped"})


def defined(clock: Clock, settings: Settings, **options: Any) -> ET.Element:
    """Return the CIB document of a VM."""
    context = Bench(FakeSite(), clock).context
    values = {"agent": "heartbeat", "config": "/etc/pacemaker/web.xml", "observers": ["obs1"], "started": True} | options
    return ET.fromstring(definition(context, "web", settings, **values))


def test_definition_has_all_settings(clock: Clock) -> None:
    """The resource has every setting where Pacemaker looks for it, and all ids differ."""
    root = defined(clock, FULL)
    pairs = {pair.get("name"): pair.get("value") for pair in root.iter("nvpair")}
    assert pairs == {
        "config": "/etc/pacemaker/web.xml", "hypervisor": "qemu:///system", "force_stop": "false", "migration_transport": "ssh",
        "migration_user": "libvirtadmin", "migration_downtime": "5", "snapshot": "/x", "allow-migrate": "true", "priority": "9",
        "remote-node": "guest", "remote-addr": "10.0.0.7", "failure-timeout": "60", "target-role": "Started", "cpu": "2",
    }  # fmt: skip
    times = {op.get("name"): (op.get("interval"), op.get("timeout")) for op in root.iter("op")}
    assert (times["stop"], times["migrate_to"], times["monitor"]) == (("0s", "77s"), ("0s", "88s"), ("10s", "60s"))
    ids = [item.get("id") for item in root.iter() if item.get("id")]
    assert len(ids) == len(set(ids))


def test_a13_19_placement(clock: Clock) -> None:
    """Observers and guest nodes are never even probed; a preference is finite, a pin is not."""
    preferred = defined(clock, FULL, observers=["obs1", "obs2"])
    rule = preferred.find(".//rsc_location[@resource-discovery='never']/rule")
    assert rule is not None
    assert [item.get("value") for item in rule] == ["cluster", "obs1", "obs2"]
    (place,) = preferred.findall(".//rsc_location[@node='hv2']")
    assert place.get("score") == "1000"
    (pin,) = defined(clock, Settings(pinned_host="hv1")).findall(".//rsc_location[@node='hv1']")
    assert (pin.get("score"), pin.get("resource-discovery"), pin.get("id")) == ("INFINITY", "exclusive", "pin-web-onhv1")


def test_fragment_is_what_names_the_vm() -> None:
    """The primitive and every constraint that names it, in sets too, are cut out, and survive being written down."""
    fragment = Fragment.of(Cib(PARTS), "web")
    assert fragment.ids("web") == ["l", "c", "o", "s", "web"]
    again = Fragment.from_text(fragment.to_text(), "web")
    assert again.to_text() == fragment.to_text()
    assert again.partners("web", {"web", "db"}) == {"log"}
    assert again.shared("web") == ["s"]


def test_fragment_takes_each_constraint_once() -> None:
    """A constraint that several partners hand over is kept once."""
    fragment = Fragment.of(Cib(PARTS), "web")
    more = Fragment.of(Cib(PARTS), "db").constraints
    assert [item.get("id") for item in fragment.with_constraints(more).constraints] == ["l", "c", "o", "s", "other"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"version": 2}', '{"version": 1}', '{"version": 1, "primitive": "<", "constraints": []}']
)
def test_spoilt_store_is_named(text: str) -> None:
    """What was kept and cannot be read is named with its object."""
    with pytest.raises(VmMgrError, match=r"RADOS object vm-mgr.web"):
        Fragment.from_text(text, "web")


@pytest.mark.parametrize(
    "primitive",
    [
        "<primitive id='web'/>",
        "<primitive id='web'><meta_attributes id='m'/></primitive>",
        "<primitive id='web'><meta_attributes id='m'><nvpair id='t' name='target-role' value='x'/></meta_attributes></primitive>",
    ],
)
def test_target_role_is_put_in(primitive: str) -> None:
    """The target role is set wherever it stood, or added; the original stays as it is."""
    original = ET.fromstring(primitive)
    before = ET.tostring(original)
    changed = with_target_role(original, "Stopped")
    values = [pair.get("value") for pair in changed.iterfind("meta_attributes/nvpair[@name='target-role']")]
    assert values == ["Stopped"]
    assert ET.tostring(original) == before


def test_document_is_one_cib() -> None:
    """Primitive and constraints make one document, for one change."""
    root = ET.fromstring(document(PARTS[0][0][0], list(PARTS[0][1])[:2]))
    assert [item.tag for item in root.iterfind("configuration/*/*")] == ["primitive", "rsc_location", "rsc_colocation"]
