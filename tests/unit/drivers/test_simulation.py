"""What Pacemaker 2.1.5 says is, and what it intends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmmgr.command import CommandFailedError
from vmmgr.drivers.pacemaker.simulation import parse_simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmmgr.model import Simulation
    from vmmgr.remote.batch import Result


@pytest.fixture
def simulation(recorded: Callable[[str], Result]) -> Callable[[str], Simulation]:
    """Return a function that reads the simulation of a recorded state."""
    return lambda state: parse_simulation(recorded(f"pacemaker-2.1.5/sim-{state}.xml"))


# state: resource, role, target role, nodes, managed, blocked, failed, nodes later
STATES = {
    "running": ("rec1", "Started", "Started", ("hv2",), True, False, False, ("hv2",)),
    "stopped": ("rec1", "Stopped", "Stopped", (), True, False, False, ()),
    "pending": ("rec1", "Starting", "Started", ("hv2",), True, False, False, ("hv2",)),
    "failed": ("rec1", "Stopped", "Started", (), True, False, False, ()),
    "blocked": ("rec1", "Started", "Started", ("hv2",), True, True, True, ("hv2",)),
    "unmanaged": ("rec2", "Started", "Started", ("hv2",), False, False, False, ("hv2",)),
    "crashed": ("rec2", "Started", "Started", ("hv2",), True, False, False, ("hv2",)),
}


@pytest.mark.parametrize("state", STATES)
def test_each_recorded_state_is_told_from_the_others(simulation: Any, state: str) -> None:
    """Role, target role, nodes and flags are read as Pacemaker wrote them, now and later."""
    name, *expected, later = STATES[state]
    read = simulation(state)
    vm = read.resources[name]
    assert [vm.role, vm.target_role, vm.nodes, vm.managed, vm.blocked, vm.failed] == expected
    assert read.later[name].nodes == later
    assert vm.agent == "ocf:heartbeat:VirtualDomain"
    assert vm.name == name


def test_nodes_are_read(simulation: Any) -> None:
    """All three machines are usable members."""
    nodes = simulation("running").nodes
    assert list(nodes) == ["hv1", "hv2", "obs1"]
    assert all(node.usable and node.kind == "member" for node in nodes.values())


@pytest.mark.parametrize(
    ("attributes", "usable"),
    [
        ('online="true" type="member"', True), ('online="true" unclean="false" standby="false"', True), ('online="false"', False),
        ('online="true" unclean="true"', False), ('online="true" standby="true"', False), ('online="true" maintenance="true"', False),
        ('online="true" standby_onfail="true"', False), ('online="true" type="remote"', False), ('online="true" type="guest"', False),
        ("", False), ('online="TRUE"', False),
    ],
)  # fmt: skip
def test_what_makes_a_node_usable(answer: Any, attributes: str, usable: bool) -> None:
    """Only an online member without standby, maintenance and doubt counts."""
    document = f'<r><cluster_status><nodes><node name="n" {attributes}/></nodes></cluster_status></r>'
    assert parse_simulation(answer(document)).nodes["n"].usable is usable


def test_resources_in_groups_and_bundles_are_found(answer: Any) -> None:
    """A resource is found at any depth, and one that says nothing of itself is neither managed nor running."""
    inner = '<group id="g"><resource id="a"/><clone id="c"><resource id="b" role="Migrating"><node name="x"/></resource></clone></group>'
    read = parse_simulation(answer(f"<r><cluster_status><resources>{inner}</resources></cluster_status></r>"))
    assert set(read.resources) == {"a", "b"}
    assert (read.resources["a"].role, read.resources["a"].nodes, read.resources["a"].managed) == ("Unknown", (), False)
    assert (read.resources["b"].role, read.resources["b"].nodes) == ("Migrating", ("x",))


def test_without_an_intention_the_present_stays(answer: Any) -> None:
    """Where Pacemaker prints no revised status, what is now is what will be."""
    status = (
        '<cluster_status><resources><resource id="a" role="Started"><node name="x"/></resource></resources></cluster_status>'
    )
    read = parse_simulation(answer(f"<r>{status}</r>"))
    assert read.later == read.resources
    assert read.later["a"].nodes == ("x",)


@pytest.mark.parametrize("stdout", [b"", b"<r/>", b"<r><revised_cluster_status/></r>", b"{}", b"\x80", b"<r><cluster_status>"])
def test_an_answer_without_the_present_state_is_refused(answer: Any, stdout: bytes) -> None:
    """An answer that is no simulation is no empty cluster."""
    with pytest.raises(CommandFailedError, match="On hv1, `tool read` gave an answer that cannot be understood"):
        parse_simulation(answer(stdout))


def test_a_failure_is_told_with_what_the_tool_said(answer: Any) -> None:
    """Even with a document on stdout, a failure is one."""
    with pytest.raises(CommandFailedError, match="On hv1, `tool read` failed with exit code 102: no connection"):
        parse_simulation(answer(b"<r><cluster_status/></r>", 102, b"\nno connection\n"))
