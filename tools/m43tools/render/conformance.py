"""The tables of the conformance suite for ``specs/6-conformance.md``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from m43tools.conformance.body_mutants import BODY_MUTANTS
from m43tools.conformance.cases import ROLES, cases_of
from m43tools.conformance.clauses import CLAUSES, Level
from m43tools.conformance.mutants import MUTANTS
from m43tools.conformance.playing import LENSES
from m43tools.conformance.selftest import FAULT_CASES
from m43tools.conformance.stimuli import State
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONFORMANCE_TABLES", "Rows"]

Rows = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Headings, and rows."""


def _clauses(role: str, cited: Callable[[str], str]) -> Rows:
    return ("clause", "section", "level", "text", "evidence", "source", "cases"), [
        (
            clause.id,
            f"§{clause.section}",
            clause.level,
            clause.text,
            clause.evidence,
            cited(clause.source),
            ", ".join(case.id for case in cases_of(clause.id)) or "-",
        )
        for clause in CLAUSES.values()
        if clause.role == role
    ]


def _cases(cited: Callable[[str], str]) -> Rows:
    return ("case", "what the lens does", "clauses", "stimulus", "from", "tags"), [
        (
            case.id,
            case.title,
            ", ".join(case.clauses),
            case.stimulus.name,
            case.stimulus.start,
            ", ".join(case.tags) or "-",
        )
        for case in ROLES["lens"].values()
    ]


def _body_cases(cited: Callable[[str], str]) -> Rows:
    return ("case", "what the body does", "clauses", "stimulus", "tags"), [
        (case.id, case.title, ", ".join(case.clauses), case.stimulus.name, ", ".join(case.tags) or "-")
        for case in ROLES["body"].values()
    ]


def _mutants(cited: Callable[[str], str]) -> Rows:
    faults: list[tuple[str, ...]] = [
        (f"`{name}`", "a fault of §9.3", ", ".join(cases)) for name, cases in FAULT_CASES.items()
    ]
    mutants: list[tuple[str, ...]] = [(f"`{one.name}`", one.doc, ", ".join(one.meant)) for one in MUTANTS.values()]
    return ("lens", "what is wrong with it", "cases written for it"), faults + mutants


def _body_mutants(cited: Callable[[str], str]) -> Rows:
    return ("body", "what is wrong with it", "cases written for it"), [
        (f"`{one.name}`", one.doc, ", ".join(one.meant)) for one in BODY_MUTANTS.values()
    ]


def _played(cited: Callable[[str], str]) -> Rows:
    return ("stimulus", "the lens that the suite plays"), [(f"{lens.name} lens", lens.doc) for lens in LENSES.values()]


CONFORMANCE_TABLES: dict[str, Callable[[Callable[[str], str]], Rows]] = {
    "levels": lambda cited: (("level", "meaning"), [(level, level.meaning) for level in Level]),
    "verdicts": lambda cited: (("verdict", "meaning"), [(verdict, verdict.meaning) for verdict in Verdict]),
    "starting states": lambda cited: (("state", "meaning"), [(state, state.meaning) for state in State]),
    "clauses": partial(_clauses, "lens"),
    "body clauses": partial(_clauses, "body"),
    "uncased clauses": lambda cited: (
        ("clause", "why"),
        [(clause.id, clause.uncased) for clause in CLAUSES.values() if clause.uncased],
    ),
    "cases": _cases,
    "body cases": _body_cases,
    "mutants": _mutants,
    "played lenses": _played,
    "body mutants": _body_mutants,
}
"""Tables by the name of their marker; each takes the function that numbers a citation."""
