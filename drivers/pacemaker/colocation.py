"""Colocation constraints: which resources are to run together, or apart (Pacemaker Explained, "Colocation Constraints")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmmgr.drivers.pacemaker.cib import resources_in

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# Pacemaker's infinity, and the score that vm_manager gives a colocation that is not strong.
INFINITY, WEAK = 1_000_000, 700


@dataclass(frozen=True, slots=True)
class Colocation:
    """One colocation.

    Attributes:
        id: Of the constraint.
        dependent: The resource that is placed where the others are, or are not; empty if that is more than one.
        others: The rest of the resources.
        score: From minus INFINITY, always apart, to INFINITY, always together.
    """

    id: str
    dependent: str
    others: tuple[str, ...]
    score: int

    @classmethod
    def wanted(cls, vm: str, others: tuple[str, ...], *, strong: bool, apart: bool) -> Colocation:
        """Return a colocation to be made; its id is vm_manager's, which has none that keeps apart."""
        kind = f"{'apart-' * apart}{'strong-' * strong}"
        size = INFINITY if strong else WEAK
        return cls(f"colocation-{kind}{vm}-with{'-'.join(others)}", vm, others, -size if apart else size)

    @classmethod
    def read(cls, item: ET.Element) -> Colocation:
        """Read an ``rsc_colocation``, whoever made it."""
        identifier, score = item.get("id", ""), _number(item.get("score", ""))
        members = resources_in(item)
        dependent, others = _pair(item) or _sets(item) or ("", tuple(sorted(members)))
        return cls(identifier, dependent, others, score)

    @property
    def members(self) -> frozenset[str]:
        """All resources that it names."""
        return frozenset({self.dependent, *self.others} - {""})

    @property
    def kind(self) -> str:
        """``together`` or ``apart``."""
        return "apart" if self.score < 0 else "together"

    @property
    def strength(self) -> str:
        """``strong`` if Pacemaker rather stops a resource than not to keep to it."""
        return "strong" if abs(self.score) >= INFINITY else "weak"

    @property
    def score_text(self) -> str:
        """The score in Pacemaker's words."""
        words = {INFINITY: "INFINITY", -INFINITY: "-INFINITY"}
        return words.get(self.score, str(self.score))

    def same_as(self, other: Colocation) -> bool:
        """Whether it asks the same of the same resources."""
        return (self.dependent, self.members, self.score) == (other.dependent, other.members, other.score)


def _pair(item: ET.Element) -> tuple[str, tuple[str, ...]] | None:
    """Return the resources of a plain pair; with roles or anything else it is another thing."""
    if set(item.attrib) <= {"id", "score", "rsc", "with-rsc"} and not len(item):
        return item.get("rsc", ""), (item.get("with-rsc", ""),)
    return None


def _sets(item: ET.Element) -> tuple[str, tuple[str, ...]] | None:
    """Return the resources of what vm_manager makes: one resource, and an unordered set of the others."""
    sets = list(item)
    plain = all(part.tag == "resource_set" and set(part.attrib) <= {"id", "sequential"} for part in sets)
    if len(sets) != 2 or not plain or not set(item.attrib) <= {"id", "score"}:
        return None
    first, second = ([ref.get("id", "") for ref in part] for part in sets)
    if len(first) != 1 or (len(second) != 1 and sets[1].get("sequential") != "false"):
        return None
    return first[0], tuple(second)


def _number(score: str) -> int:
    """Return a score as a number; without one, or with one that Pacemaker does not know either, it has no effect."""
    if re.fullmatch(r"[+-]?INFINITY", score, re.IGNORECASE):
        return -INFINITY if score.startswith("-") else INFINITY
    number = int(score) if re.fullmatch(r"[+-]?[0-9]{1,12}", score) else 0
    return max(-INFINITY, min(INFINITY, number))
