"""What is left of a constraint without one of its resources."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from vmmgr.drivers.pacemaker.sets import without


def constraint(tag: str, *sets: str) -> ET.Element:
    """Return a constraint of these sets: the resources of each, and a ``*`` before those of one without order."""
    item = ET.Element(tag, id="c")
    for number, words in enumerate(sets):
        part = ET.SubElement(item, "resource_set", id=f"c-{number}")
        if words.startswith("*"):
            part.set("sequential", "false")
        for name in words.removeprefix("*").split():
            ET.SubElement(part, "resource_ref", id=name)
    return item


@pytest.mark.parametrize("tag", ["rsc_colocation", "rsc_order"])
@pytest.mark.parametrize(
    ("sets", "left"),
    [
        (["web db log"], ["db log"]),
        (["web db"], None),
        (["web", "*db log"], None),
        (["db", "*web log"], ["db", "*log"]),
        (["db", "*web"], None),
        (["*web db log"], None),
        (["*web db", "log"], ["*db", "log"]),
        (["web", "db", "log"], ["db", "log"]),
        (["web", "db log"], ["db log"]),
    ],
)
def test_between_resources(tag: str, sets: list[str], left: list[str] | None) -> None:
    """Empty sets go; what binds no two resources any more goes altogether, as an unordered set alone does."""
    found = without(constraint(tag, *sets), "web")
    if left is None:
        assert found is None
    else:
        assert found is not None
        assert [" ".join(ref.get("id", "") for ref in part) for part in found] == [words.removeprefix("*") for words in left]


@pytest.mark.parametrize("tag", ["rsc_location", "rsc_ticket"])
def test_of_each_resource(tag: str) -> None:
    """A place or a ticket is each resource's own: it stays for a single one, with all else that the constraint says."""
    whole = constraint(tag, "web db")
    ET.SubElement(whole, "rule", id="r")
    left = without(whole, "web")
    assert left is not None
    assert ET.tostring(left) == ET.tostring(constraint(tag, "db")).replace(
        b"</resource_set>", b'</resource_set><rule id="r" />'
    )
    assert len(list(whole.iter("resource_ref"))) == 2
    assert without(constraint(tag, "web"), "web") is None


@pytest.mark.parametrize(
    "text",
    [
        '<rsc_location id="c" rsc="web" node="hv1"/>', '<rsc_colocation id="c" rsc="web" with-rsc="db"/>',
        '<rsc_order id="c" first="db" then="web"/>', '<rsc_ticket id="c" rsc="web" ticket="t"/>',
    ],
)  # fmt: skip
def test_without_sets(text: str) -> None:
    """A constraint that names the resource itself goes with it."""
    assert without(ET.fromstring(text), "web") is None
