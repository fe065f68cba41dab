"""The protocol as numbered requirements: the table `CLAUSES`.

The protocol is reverse engineered, so a clause says how binding it is taken (`Level`), how sure it is and where it
comes from. An id is ``C``, the section of ``specs/`` that tells the background, and a running number; ids are never
reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from m43proto.evidence import Evidence
from m43tools.conformance.model import ClauseInfo

__all__ = ["CLAUSES", "SPEC_VERSION", "Clause", "Level", "clause_info"]

SPEC_VERSION = "1"
"""Version of this table; it grows when a clause changes its meaning or its level."""


class Level(StrEnum):
    """How binding a clause is."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    OBSERVED = "OBSERVED"

    @property
    def meaning(self) -> str:
        """One sentence for the reader of the specification."""
        return _MEANINGS[self]


_MEANINGS = {
    Level.MUST: "Without it the two ends cannot understand each other, by all that is known. A breach is FAIL.",
    Level.SHOULD: "One of the few ends that are known needs it, or this project advises it. A breach is WARN.",
    Level.OBSERVED: "What the few ends that are known did; others may differ. A breach is WARN.",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement.

    Attributes:
        id: its stable id.
        section: the section of ``specs/`` behind it.
        level: how binding it is.
        evidence: how sure it is.
        source: citation.
        text: one sentence.
        uncased: why no case judges it; empty where one does.
    """

    id: str
    section: str
    level: Level
    evidence: Evidence
    source: str
    text: str
    uncased: str = ""


def clause_info(clause: Clause) -> ClauseInfo:
    """Return a clause as a report shows it."""
    return ClauseInfo(clause.id, clause.section, str(clause.level), str(clause.evidence), clause.source, clause.text)


CLAUSES: dict[str, Clause] = {}
