"""The metadata verbs: what is read, what may be set, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from fakesite import FakeSite
from workbench import Bench, add_vm

from vmmgr.errors import RefusedError, UsageError
from vmmgr.operations.metadata import LONGEST, check_user_metadata, metadata_value, set_metadata, unset_metadata, vm_metadata

if TYPE_CHECKING:
    from workbench import Clock

VALUES = (
    "two\nlines\n", "-rf", "-", " ", "größe 漢字", "'\"\\$(x)`", "a\x1b[2J\t\r", "bytes \udcff\udc80 that are no UTF-8", "x" * 65536,
    "x" * LONGEST, "{{ 7 * 7 }}", '","xml":"<domain/>',
)  # fmt: skip


@pytest.fixture
def bench(clock: Clock) -> Bench:
    """A site with a VM that runs."""
    site = FakeSite()
    add_vm(site, "web")
    return Bench(site, clock)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: ascii(value[:20]))
def test_any_value_is_kept(bench: Bench, value: str) -> None:
    """A value is read back as it was set, and nothing else has changed."""
    before = bench.site.state()
    assert bench.run(lambda context: set_metadata(context, "web", "note", value)) == "The metadata 'note' of VM web is set."
    assert bench.run(lambda context: metadata_value(context, "web", "note")) == value
    bench.run(lambda context: unset_metadata(context, "web", "note"))
    assert bench.site.state() == before


def test_all_keys_are_told(bench: Bench) -> None:
    """The settings are listed beside the user's own, in the order of their keys; foreign ones of any kind do no harm."""
    own = {"Zone": "1", 'with "quotes"': "2", "b\\c": "3", "of\nlines": "4", "no \udcff text": "5", 'odd":"': "6"}
    bench.site.images["system_web"].metadata |= own
    metadata = bench.run(lambda context: vm_metadata(context, "web"))
    assert list(metadata) == sorted(metadata)
    assert {key: metadata[key] for key in own} == own
    assert {"vm_name", "xml", "_base_xml", "_priority"} <= metadata.keys()


def test_a_change_takes_two_execs(bench: Bench) -> None:
    """All that is read is read in one exec, and the change is another; the lists take one."""
    bench.run(lambda context: vm_metadata(context, "web"))
    assert bench.remote.execs == {"obs1": 1}
    bench.run(lambda context: set_metadata(context, "web", "note", "x"))
    assert [names for _, names in bench.remote.batches] == [
        ["node", "cib", "simulate", "groups", "images", "metadata"],
        ["assert_unchanged", "set_metadata"],
    ]


def test_what_is_so_already_is_not_changed(bench: Bench) -> None:
    """The same value again, and a key that is gone already, are told and leave the site alone."""
    bench.run(lambda context: set_metadata(context, "web", "note", "x"))
    said = bench.run(lambda context: set_metadata(context, "web", "note", "x"))
    assert said == "The metadata 'note' of VM web has that value already."
    assert len(bench.remote.batches) == 1
    said = bench.run(lambda context: unset_metadata(context, "web", "other"))
    assert said == "VM web has no metadata 'other' already."
    assert len(bench.remote.batches) == 1


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("xml", r"'xml' is a setting of the VM, and read-only here; create and clone make it out of --xml\."),
        ("vm_name", r"create and clone take it as --name and --dst-name\."),
        ("_stop_timeout", r"create and clone take it as --stop-timeout\."),
        ("_pacemaker_meta", r"create and clone take it as --pacemaker-meta\."),
        ("_live_migration", r"create and clone take it as --enable-live-migration\."),
        ("_xml", r"'_xml' is a setting of the VM, and read-only here; keys that begin with '_' are those of vm-mgr and vm_manager\."),
        ("conf_rbd_cache", r"'conf_rbd_cache' is a setting of Ceph's for the image, and read-only here; `rbd config image set` changes it\."),
        *((key, r"cannot be a metadata key: it takes 1 to 128 letters") for key in ("", "-a", ".a", "a b", "a\n", "ä", "a" * 129)),
    ],
)  # fmt: skip
def test_keys_that_are_not_the_users(bench: Bench, key: str, said: str) -> None:
    """Reserved keys are told with the way in which the setting is changed, others with the rule; nobody is contacted."""
    for operation in (
        lambda context: set_metadata(context, "web", key, "x"),
        lambda context: unset_metadata(context, "web", key),
    ):
        with pytest.raises(UsageError, match=said):
            bench.run(operation)
    assert bench.remote.log == []
    with pytest.raises(UsageError, match=said):
        check_user_metadata({"fine.key-1": "x", key: "y"})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", r"The value of 'note' is empty, and Ceph keeps no empty ones; to remove the key, use --unset\."),
        ("a\0b", r"The value of 'note' holds a NUL character"),
        ("x" * (LONGEST + 1), r"The value of 'note' is longer than 131071 bytes"),
        ("ü" * (LONGEST // 2 + 1), r"is longer than 131071 bytes"),
    ],
    ids=("empty", "nul", "long", "long in bytes"),
)
def test_values_that_cannot_be_kept(bench: Bench, value: str, said: str) -> None:
    """Each is refused with its rule and the way out before anybody is contacted."""
    with pytest.raises(UsageError, match=said):
        bench.run(lambda context: set_metadata(context, "web", "note", value))
    assert bench.remote.log == []


def test_keys_of_vm_manager_are_its_and_ours(bench: Bench) -> None:
    """What vm_manager allows is allowed, and '.', '_' and '-' besides; its keys are read whatever they are."""
    for key in ("Owner1", "1", "a.b", "a_b", "a-b", "Xml"):
        bench.run(lambda context, key=key: set_metadata(context, "web", key, "x"))
    bench.site.images["system_web"].metadata["_seapath_alloc"] = "cores: 2\n"
    assert bench.run(lambda context: metadata_value(context, "web", "_seapath_alloc")) == "cores: 2\n"


def operations() -> list[Any]:
    """Return each verb on the VM ``nobody``, or on another one."""
    return [
        lambda context, vm="nobody": vm_metadata(context, vm),
        lambda context, vm="nobody": metadata_value(context, vm, "note"),
        lambda context, vm="nobody": set_metadata(context, vm, "note", "x"),
        lambda context, vm="nobody": unset_metadata(context, vm, "note"),
    ]


@pytest.mark.parametrize("operation", operations())
def test_vms_that_have_none(bench: Bench, operation: Any) -> None:
    """An unknown VM, one without a system image, and a name that cannot be one are refused."""
    with pytest.raises(RefusedError, match=r"There is no VM nobody; `vm-mgr list` shows those that there are\."):
        bench.run(operation)
    bench.site.groups["empty"] = set()
    with pytest.raises(RefusedError, match="VM empty has no image system_empty in the pool, so it has no metadata"):
        bench.run(lambda context: operation(context, "empty"))
    with pytest.raises(UsageError, match="cannot be the name of a VM"):
        bench.run(lambda context: operation(context, "a b"))


def test_an_unknown_key(bench: Bench) -> None:
    """It is refused, and the way to the known ones is told; vm_manager ends with a traceback."""
    with pytest.raises(RefusedError, match=r"VM web has no metadata 'note'; `vm-mgr list_metadata -n web` shows what it has\."):
        bench.run(lambda context: metadata_value(context, "web", "note"))


def test_disabled_vms_have_metadata(bench: Bench) -> None:
    """They belong to the image, not to the cluster's resource."""
    add_vm(bench.site, "off", enabled=False)
    bench.run(lambda context: set_metadata(context, "off", "note", "x"))
    assert bench.run(lambda context: metadata_value(context, "off", "note")) == "x"


def test_not_while_somebody_works_on_the_vm(bench: Bench) -> None:
    """With another operation's mark on the VM it is read and not changed; with one that appears meanwhile neither."""
    bench.site.images["system_web"].metadata["note"] = "old"
    mark = (
        '<cluster_property_set id="vm-mgr-web"><nvpair id="vm-mgr-web-t" name="vm-mgr-web" value=\'{"verb": "remove", "who": '
    )
    mark += '"eve@home", "since": 1700000000, "until": 1700000600}\'/></cluster_property_set>'

    def hook(_index: int, command: str) -> None:
        if command == "assert_unchanged" and not bench.site.leases():
            bench.site.find("configuration/crm_config").append(ET.fromstring(mark))
            bench.site.edit()

    bench.remote.before = hook
    for _ in range(2):
        with pytest.raises(RefusedError, match=r"VM web is being worked on \(in progress: remove by eve@home since"):
            bench.run(lambda context: set_metadata(context, "web", "note", "new"))
        assert bench.run(lambda context: metadata_value(context, "web", "note")) == "old"
