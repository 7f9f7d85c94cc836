"""The CIB as Pacemaker 2.1.5 gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.drivers.pacemaker.cib import Cib, duration, parse_cib
from vmmgr.model import Lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.remote.batch import Result


@pytest.fixture
def cib(recorded: Callable[[str], Result]) -> Callable[[str], Cib]:
    """Return a function that reads the CIB of a recorded state."""
    return lambda state: parse_cib(recorded(f"pacemaker-2.1.5/cib-{state}.xml"))


def made(configuration: str, status: str = "", attributes: str = "") -> Cib:
    """Write a CIB by hand, for what was not recorded."""
    return Cib(
        ET.fromstring(f"<cib {attributes}><configuration>{configuration}</configuration><status>{status}</status></cib>")
    )


def test_version_and_quorum(cib: Any) -> None:
    """The epochs and the quorum are read from the head; without them it is version 0 of a cluster without quorum."""
    assert (cib("running").epoch, cib("running").quorate) == (("0", "65"), True)
    assert (made("").epoch, made("").quorate) == (("0", "0"), False)
    assert not made("", attributes='have-quorum="0"').quorate


def test_vms_are_the_primitives_of_the_agent(cib: Any) -> None:
    """The fence device is a resource and no VM; each VM's file leads back to it."""
    running = cib("running")
    assert list(running.vm_names()) == ["rec1", "rec2"]
    assert running.ids() >= {"rec1", "rec2", "fence-obs1"}
    assert running.config_files() == {"/etc/pacemaker/rec1.xml": "rec1", "/etc/pacemaker/rec2.xml": "rec2"}
    assert running.primitive("rec1").get("type") == "VirtualDomain"
    assert running.primitive("rec") is None


def test_a_vm_inside_another_resource_is_no_top_level_one() -> None:
    """A primitive in a group, a clone or a bundle is found, and known to be no free one."""
    primitive = '<primitive id="a" type="VirtualDomain"/>'
    for wrapped in (f'<group id="g">{primitive}</group>', f'<clone id="c"><group id="g">{primitive}</group></clone>'):
        inside = made(f"<resources>{wrapped}</resources>")
        assert list(inside.vm_names()) == ["a"]
        assert not inside.is_top_level("a")
        assert {"a", "g"} <= inside.ids()
    assert made(f"<resources>{primitive}</resources>").is_top_level("a")


def test_names_are_compared_and_never_searched() -> None:
    """A name that would be a path or a predicate to ElementTree finds nothing and breaks nothing."""
    for name in ("*", "..", "a']|//*[@id='b", '"', "", "[1]"):
        assert made('<resources><primitive id="a"/></resources>').primitive(name) is None


def test_constraints_name_a_resource_in_every_way(cib: Any) -> None:
    """Places, orders, colocations and resource sets are found; those of others are not."""
    found = [item.get("id") for item in cib("constraints").constraints_of("rec1")]
    assert found == ["rec1-hypervisors-only", "rec-together", "rec-order"]
    found = [item.get("id") for item in cib("constraints").constraints_of("rec2")]
    assert found == ["rec2-hypervisors-only", "prefer-rec2-onhv2", "rec-together", "rec-order"]
    assert cib("constraints").constraints_of("rec") == []


@pytest.mark.parametrize(
    "constraint",
    [
        '<rsc_colocation id="c" rsc="x" with-rsc="a"/>',
        '<rsc_colocation id="c" rsc="a" with-rsc="x"/>',
        '<rsc_order id="c" first="x" then="a"/>',
        '<rsc_ticket id="c" rsc="a" ticket="t"/>',
        (
            '<rsc_order id="c"><resource_set id="s"><resource_ref id="x"/></resource_set>'
            '<resource_set id="s2"><resource_ref id="a"/></resource_set></rsc_order>'
        ),
    ],
)
def test_every_kind_of_constraint_is_found_by_each_partner(constraint: str) -> None:
    """Each place where a constraint can name a resource counts, the second of several sets too."""
    found = made(f"<constraints>{constraint}</constraints>")
    assert [len(found.constraints_of(name)) for name in ("a", "x", "s", "c", "")] == [1, int('"x"' in constraint), 0, 0, 0]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30), ("30s", 30), (" 30 sec ", 30), ("2min", 120), ("2m", 120), ("1h", 3600), ("1hr", 3600), ("500ms", 0.5),
        ("500msec", 0.5), ("1000000us", 1), ("1000000usec", 1), ("1.5s", 1.5), ("30S", 30), ("0", 0),
        ("PT30S", 20), ("", 20), ("-5", 20), ("5 days", 20), ("inf", 20), ("1e3", 20), ("30s; reboot", 20),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    """Every unit of Pacemaker is understood; anything else is its default of 20 seconds."""
    assert duration(text) == seconds


def test_operation_timeouts_come_from_the_resource_then_the_defaults(cib: Any) -> None:
    """The operation's own timeout comes first, the cluster's default for operations next, Pacemaker's last."""
    running = cib("running")
    assert running.operation_timeout("rec1", "start") == 120
    assert running.operation_timeout("rec1", "stop") == 30
    assert running.operation_timeout("rec1", "promote") == 20
    assert running.operation_timeout("nobody", "stop") == 20
    defaults = (
        '<op_defaults><meta_attributes id="o"><nvpair id="n" name="timeout" value="2min"/></meta_attributes></op_defaults>'
    )
    own = '<resources><primitive id="a"><operations><op name="stop"/><op name="start" timeout="7"/></operations></primitive></resources>'
    assert made(own + defaults).operation_timeout("a", "start") == 7
    assert made(own + defaults).operation_timeout("a", "stop") == 120


def test_a_recorded_lease_is_read(cib: Any) -> None:
    """The mark that take_lease wrote comes back as it was, and no other property set is taken for one."""
    assert cib("constraints").leases() == {"rec1": Lease("rec1", "stop", "ann@desk", 1795391000, 1795391060, "0123abcd")}
    assert cib("running").leases() == {}


@pytest.mark.parametrize(
    "value",
    [
        "", "nonsense", "{", "[]", "3", "null", '"text"', "{}", '{"verb": "stop"}', "[" * 100_000,
        '{"verb": "stop", "who": "x", "since": "soon", "until": 1}', '{"verb": "stop", "who": "x", "since": Infinity, "until": 1}',
        '{"verb": "stop", "who": "x", "since": NaN, "until": 1}', '{"verb": "stop", "who": "x", "since": null, "until": 1}',
        '{"verb": "stop", "who": "x", "since": 1, "until": 1, "notes": 3}', '{"verb": "stop", "who": "x", "since": 1, "until": 1, "notes": null}',
    ],
)  # fmt: skip
def test_a_lease_that_cannot_be_read_is_still_one(value: str) -> None:
    """A garbled mark blocks its VM until it is repaired: it has ended, and its token is kept so that it can be dropped."""
    properties = ET.Element("cluster_property_set", id="vm-mgr-a")
    ET.SubElement(properties, "nvpair", id="vm-mgr-a-t0", name="vm-mgr-a", value=value)
    found = made(f"<crm_config>{ET.tostring(properties, encoding='unicode')}</crm_config>").leases()
    assert found == {"a": Lease("a", "unknown operation", "somebody", 0, 0, "t0")}


def test_a_set_without_a_value_is_no_lease() -> None:
    """Nothing is made up of an empty property set."""
    assert made('<crm_config><cluster_property_set id="vm-mgr-a"/></crm_config>').leases() == {}


def test_the_last_failure_is_told_with_its_node(cib: Any) -> None:
    """Of two failed starts the later one is told, with the agent's own reason; one that is fine has none."""
    assert cib("failed").last_failure("rec1") == "start failed on hv1: Failed to start virtual domain rec1."
    assert cib("failed").last_failure("rec2") is None
    assert cib("blocked").last_failure("rec1") == "start failed on hv2: Failed to start virtual domain rec1."
    assert cib("running").last_failure("rec1") is None
    assert cib("running").last_failure("nobody") is None


def test_a_crash_is_a_failure_and_a_probe_is_none(cib: Any) -> None:
    """A monitor that found nothing running failed; a probe on another node that found the same did not."""
    assert cib("crashed").last_failure("rec2") == "monitor failed on hv2: it was no longer running"
    assert cib("crashed").last_failure("rec1") == cib("blocked").last_failure("rec1")


def history(*operations: str) -> str:
    """Write the status section of the resource ``a`` on one node."""
    inner = "".join(f"<lrm_rsc_op {operation}/>" for operation in operations)
    return f'<node_state><lrm><lrm_resources><lrm_resource id="a">{inner}</lrm_resource></lrm_resources></lrm></node_state>'


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ('operation="start" rc-code="193" op-status="-1"', None),
        ('operation="monitor" rc-code="8"', None),
        ('operation="monitor" rc-code="7"', None),
        ('operation="monitor" rc-code="7" transition-key="garbage"', None),
        ('operation="start" rc-code="1" on_node="n" last-rc-change="soon"', "start failed on n: exit code 1"),
        ('operation="start" rc-code="1"', "start failed on an unknown node: exit code 1"),
        ('rc-code="x"', "None failed on an unknown node: exit code x"),
    ],
)
def test_histories_that_were_not_recorded(operation: str, told: str | None) -> None:
    """What has not ended is no failure; what lacks its time, node or reason is told as far as it goes."""
    assert made("", history(operation)).last_failure("a") == told


def test_of_several_failures_the_latest_is_told() -> None:
    """Times are compared as numbers, not as text."""
    early, late = (
        f'operation="{name}" rc-code="1" on_node="n" last-rc-change="{time}"' for name, time in (("start", 999), ("stop", 1000))
    )
    assert made("", history(early, late)).last_failure("a") == made("", history(late, early)).last_failure("a")
    assert "stop failed" in str(made("", history(early, late)).last_failure("a"))


@pytest.mark.parametrize(
    "stdout",
    [
        b"", b"garbage", b"<html/>", b"<cib>", b"<cib/><cib/>", b"\xff\xfe\x00", b"<cib a='\xff'/>", b"<cib>\x00</cib>",
        b"<?xml version='1.0' encoding='nope'?><cib/>", b"<?xml version='1.0' encoding='utf-32'?><cib/>", b"<cib>&undefined;</cib>",
        b'<!DOCTYPE c [<!ENTITY a "aaaaaaaaaa">' + b"".join(
            b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(ord("b"), ord("l"))
        ) + b"]><cib>&k;</cib>",
    ],
)  # fmt: skip
def test_what_is_no_xml_names_host_and_command(answer: Any, stdout: bytes) -> None:
    """Garbage, a cut-off document, a foreign encoding and an entity bomb end in a sentence that names host and command."""
    with pytest.raises(CommandFailedError, match="On hv1, `tool read` gave an answer that cannot be understood"):
        parse_cib(answer(stdout))


@pytest.mark.parametrize("state", ["running", "failed", "constraints"])
def test_a_document_cut_off_anywhere_is_refused(recorded: Any, answer: Any, state: str) -> None:
    """No half of a CIB is ever taken for a whole one."""
    whole = recorded(f"pacemaker-2.1.5/cib-{state}.xml").stdout.rstrip()
    for length in range(0, len(whole), 97):
        with pytest.raises(CommandFailedError):
            parse_cib(answer(whole[:length]))
