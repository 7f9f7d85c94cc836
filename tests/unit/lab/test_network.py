"""The choice of a subnet."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest
from lab import network
from lab.plan import LabError

if TYPE_CHECKING:
    from pathlib import Path


def test_candidates_are_stable_distinct_and_in_range() -> None:
    """The same name asks for the same subnets, none twice, all between 10.100.0 and 10.199.255."""
    first = list(network.candidates("a"))
    assert first == list(network.candidates("a"))
    assert first != list(network.candidates("b"))
    assert len(set(first)) == len(first)
    assert all(100 <= int(net.split(".")[1]) < 200 and 0 <= int(net.split(".")[2]) < 256 for net in first)


@pytest.mark.parametrize(
    ("used", "free"),
    [("10.100.1.0/24", False), ("10.100.0.0/16", False), ("10.100.1.9/32", False), ("10.100.2.0/24", True)],
)
def test_overlapping_networks_are_not_free(used: str, free: bool) -> None:
    """A wider network, a single address inside, and the same network all take a subnet; a neighbour does not."""
    assert network.is_free("10.100.1", [IPv4Network(used)]) is free


def test_reservations_keep_labs_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two labs of one name, of two base folders, get two subnets; each finds its own again."""
    monkeypatch.setattr(network, "RESERVATIONS", tmp_path / "run")
    monkeypatch.setattr(network, "networks_in_use", list)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    nets = [network.reserve("a", one), network.reserve("a", two)]
    assert nets[0] != nets[1]
    assert [file.name for file in network.reservations(two)] == [nets[1]]


def test_a_reservation_without_its_lab_is_given_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subnet whose lab's folder was removed by hand is free again."""
    monkeypatch.setattr(network, "RESERVATIONS", tmp_path / "run")
    monkeypatch.setattr(network, "networks_in_use", list)
    gone, here = tmp_path / "gone", tmp_path / "here"
    here.mkdir()
    assert network.reserve("a", gone) == network.reserve("a", here)


def test_no_free_subnet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that routes all of 10/8 gets an error, not a clash."""
    monkeypatch.setattr(network, "RESERVATIONS", tmp_path)
    monkeypatch.setattr(network, "networks_in_use", lambda: [IPv4Network("10.0.0.0/8")])
    with pytest.raises(LabError, match="no subnet"):
        network.reserve("a", tmp_path)
