"""All cases: the registry, and how a user chooses among them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from m43tools.conformance.chapters import (
    b2_link,
    b3_framing,
    b4_reaction,
    b4_session,
    s2_link,
    s3_framing,
    s4_session,
    s5_drive,
    s5_identity,
    s5_rings,
    s5_status,
)
from m43tools.conformance.clauses import CLAUSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from m43tools.conformance.judging import Case
    from m43tools.conformance.model import CaseInfo

__all__ = [
    "ALL_CASES",
    "BODY_CASES",
    "BODY_CHAPTERS",
    "CASES",
    "CHAPTERS",
    "ROLES",
    "cases_of",
    "info_of",
    "judged_clauses",
    "registered",
    "selected",
]

CHAPTERS: dict[str, tuple[Case, ...]] = {
    "s2_link": s2_link.CASES,
    "s3_framing": s3_framing.CASES,
    "s4_session": s4_session.CASES,
    "s5_identity": s5_identity.CASES,
    "s5_status": s5_status.CASES,
    "s5_drive": s5_drive.CASES,
    "s5_rings": s5_rings.CASES,
}
"""The cases of each file that judges a lens."""

BODY_CHAPTERS: dict[str, tuple[Case, ...]] = {
    "b2_link": b2_link.CASES,
    "b3_framing": b3_framing.CASES,
    "b4_session": b4_session.CASES,
    "b4_reaction": b4_reaction.CASES,
}
"""The cases of each file that judges a body."""

CASES: dict[str, Case] = {case.id: case for chapter in CHAPTERS.values() for case in chapter}
"""Every case that judges a lens by its id, in the order of the chapters."""

BODY_CASES: dict[str, Case] = {case.id: case for chapter in BODY_CHAPTERS.values() for case in chapter}
"""Every case that judges a body by its id, in the order of the chapters."""

ALL_CASES: dict[str, Case] = CASES | BODY_CASES
"""Every case by its id."""

ROLES: dict[str, dict[str, Case]] = {"lens": CASES, "body": BODY_CASES}
"""The cases by whom they judge."""

_CHAPTER_OF = {case.id: name for name, chapter in (CHAPTERS | BODY_CHAPTERS).items() for case in chapter}


def info_of(case: Case) -> CaseInfo:
    """Return a case as a report shows it."""
    return case.info(_CHAPTER_OF[case.id])


def cases_of(clause: str) -> tuple[Case, ...]:
    """Return the cases that judge a clause."""
    return tuple(case for case in ALL_CASES.values() if clause in case.clauses)


@cache
def registered() -> dict[str, str]:
    """Return every id that was ever given, with its state: the title of the case, or why it is gone.

    The file ``registry.txt`` beside this one is only ever added to: an id is never renumbered, and never used again.
    """
    text = resources.files("m43tools.conformance").joinpath("registry.txt").read_text(encoding="utf-8")
    rows = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {identity: title for identity, _, title in rows}


def selected(words: Sequence[str], skipped: Sequence[str] = (), role: str = "lens") -> tuple[Case, ...]:
    """Return the cases of a role that any word names, without those that any skipped one does; all for no words.

    A word is an id (``FRM-003``), a glob (``FRM-*``), a clause (``C3.2-1``, ``C3.*``), a tag (``timing``), or the name
    of a chapter (``s3_framing``).
    """
    cases = ROLES[role].values()
    return tuple(case for case in cases if (not words or _named(case, words)) and not _named(case, skipped))


def _named(case: Case, words: Iterable[str]) -> bool:
    names = (case.id, *case.clauses, *case.tags, _CHAPTER_OF[case.id])
    return any(fnmatchcase(name, word) for word in words for name in names)


def judged_clauses(cases: Iterable[Case]) -> tuple[str, ...]:
    """Return the ids of the clauses that some cases judge, in the order of `CLAUSES`."""
    wanted = {clause for case in cases for clause in case.clauses}
    return tuple(clause for clause in CLAUSES if clause in wanted)
