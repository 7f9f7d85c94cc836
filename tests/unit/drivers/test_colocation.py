"""Colocations as crmsh, pcs and people write them."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from vmmgr.drivers.pacemaker.colocation import Colocation
from vmmgr.rendering import Renderer

# As `crm configure colocation colocation-web-withdb-log 700: web ( db log )` makes it (crmsh 4.4), vm_manager's command.
CRMSH = (
    '<rsc_colocation id="colocation-web-withdb-log" score="700"><resource_set id="colocation-web-withdb-log-0">'
    '<resource_ref id="web"/></resource_set><resource_set sequential="false" id="colocation-web-withdb-log-1">'
    '<resource_ref id="db"/><resource_ref id="log"/></resource_set></rsc_colocation>'
)

ORDERED = (
    '<rsc_colocation id="s" score="700"><resource_set id="s-0"><resource_ref id="web"/><resource_ref id="db"/>'
    '<resource_ref id="log"/></resource_set></rsc_colocation>'
)


def read(text: str) -> Colocation:
    """Read one."""
    return Colocation.read(ET.fromstring(text))


def test_ours_is_vm_managers() -> None:
    """The document for a colocation is, element by element, what vm_manager's crm command makes, and reads back as the same."""
    wanted = Colocation.wanted("web", ("db", "log"), strong=False, apart=False)
    text = Renderer().xml("pacemaker/colocation", id=wanted.id, score=wanted.score_text, vm="web", others=["db", "log"])
    (item,) = ET.fromstring(text).iterfind("configuration/constraints/*")
    assert ET.canonicalize(ET.tostring(item), strip_text=True) == ET.canonicalize(CRMSH)
    assert Colocation.read(item) == wanted


@pytest.mark.parametrize(
    ("strong", "apart", "identifier", "score", "words"),
    [
        (False, False, "colocation-a-withb", "700", ("together", "weak")),
        (True, False, "colocation-strong-a-withb", "INFINITY", ("together", "strong")),
        (False, True, "colocation-apart-a-withb", "-700", ("apart", "weak")),
        (True, True, "colocation-apart-strong-a-withb", "-INFINITY", ("apart", "strong")),
    ],
)
def test_ids_and_scores(strong: bool, apart: bool, identifier: str, score: str, words: tuple[str, str]) -> None:
    """Strong and weak have vm_manager's ids and scores; what keeps apart has the same scores below zero."""
    found = Colocation.wanted("a", ("b",), strong=strong, apart=apart)
    assert (found.id, found.score_text, (found.kind, found.strength)) == (identifier, score, words)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (CRMSH, True),
        (CRMSH.replace('"700"', '"+700"'), True),
        (CRMSH.replace('<resource_ref id="db"/><resource_ref id="log"/>', '<resource_ref id="log"/><resource_ref id="db"/>'), True),
        (CRMSH.replace('"700"', '"701"'), False),
        (CRMSH.replace('"700"', '"INFINITY"'), False),
        (CRMSH.replace(' sequential="false"', ""), False),
        (CRMSH.replace(' sequential="false"', ' sequential="false" role="Started"'), False),
        (CRMSH.replace('score="700"', 'score="700" node-attribute="rack"'), False),
        (ORDERED, False),
    ],
)  # fmt: skip
def test_same_as(text: str, same: bool) -> None:
    """The same is what asks the same of the same resources; their order in the unordered set does not matter."""
    wanted = Colocation.wanted("web", ("db", "log"), strong=False, apart=False)
    assert read(text).members == {"web", "db", "log"}
    assert read(text).same_as(wanted) is same


def test_pairs_have_a_direction() -> None:
    """A plain pair is what vm_manager's two sets of one are; the other way round is something else."""
    wanted = Colocation.wanted("web", ("db",), strong=True, apart=False)
    assert read('<rsc_colocation id="x" rsc="web" with-rsc="db" score="INFINITY"/>').same_as(wanted)
    assert not read('<rsc_colocation id="x" rsc="db" with-rsc="web" score="INFINITY"/>').same_as(wanted)
    promoted = read('<rsc_colocation id="x" rsc="web" with-rsc="db" with-rsc-role="Promoted" score="INFINITY"/>')
    assert (promoted.dependent, promoted.members, promoted.same_as(wanted)) == ("", {"web", "db"}, False)


@pytest.mark.parametrize(
    ("score", "number"),
    [
        ("INFINITY", 1_000_000), ("+INFINITY", 1_000_000), ("-infinity", -1_000_000), ("-5", -5), ("2000000", 1_000_000), ("", 0),
        ("much", 0), ("9" * 50, 0),
    ],
)  # fmt: skip
def test_scores(score: str, number: int) -> None:
    """Scores are Pacemaker's; without one a colocation has no effect there."""
    assert read(f'<rsc_colocation id="x" rsc="a" with-rsc="b" score="{score}"/>').score == number
