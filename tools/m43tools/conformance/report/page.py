"""Reports -> one HTML page: a matrix of lenses and cases, and a page for each case; it needs no other file.

The page is a whole document without its script, too, and on paper. The script adds filters and keys and shows one case
at a time. A content security policy with the script's hash keeps it from loading anything, and keeps what a lens says
of itself from being run.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from m43proto.evidence import Evidence
from m43tools.conformance.clauses import Level
from m43tools.conformance.report.diagram import REST_MARK, diagram_of
from m43tools.conformance.report.gauge import gauge_of
from m43tools.conformance.report.words import (
    chapter_title,
    digits_for,
    figure,
    provenance_rows,
    scale_for,
    subjects,
    times_text,
)
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

    from m43tools.conformance.model import CaseInfo, CaseResult, ClauseInfo, Exchange, Measurement, Moment, Report

__all__ = ["MOST_ROWS", "page_of"]

MOST_ROWS = 120
"""Rows of a decoded exchange on the page, at most; the JSON report has all of them."""

THIN_PERCENT = 10.0
"""A margin below this is shown as thin."""

_WORDS = {
    Verdict.PASS: ("pass", "Pass"),
    Verdict.FAIL: ("fail", "Fail"),
    Verdict.WARN: ("warn", "Warn"),
    Verdict.ERROR: ("error", "Error"),
    Verdict.INCONCLUSIVE: ("inconclusive", "Inconclusive"),
    Verdict.INFO: ("info", "Info"),
    Verdict.NOT_APPLICABLE: ("not-applicable", "Not applicable"),
}
"""Verdict -> its class in the style sheet, and its word."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """A verdict as the page shows it."""

    key: str
    word: str
    meaning: str


@dataclass(frozen=True, slots=True)
class _Figures:
    """A measurement as the page shows it: a unit that suits it, and words."""

    name: str
    unit: str
    count: str
    minimum: str
    median: str
    p99: str
    maximum: str
    limit: str
    margin: str
    state: str
    gauge: Markup


@dataclass(frozen=True, slots=True)
class _Said:
    """A row of a decoded exchange."""

    time: str
    took: str
    kind: str
    name: str
    text: str
    bytes_: str


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a case with one lens."""

    column: int
    lens: str
    result: CaseResult
    mark: _Mark
    figures: tuple[_Figures, ...]
    diagram: Markup
    began: str
    said: tuple[_Said, ...]
    unsaid: int
    margin: str
    state: str
    runs: tuple[_Mark, ...]


@dataclass(frozen=True, slots=True)
class _Page:
    """A case with all lenses."""

    case: CaseInfo
    anchor: str
    clauses: tuple[tuple[ClauseInfo, str, str], ...]
    outcomes: tuple[_Outcome | None, ...]

    @property
    def title(self) -> str:
        """The title, as a heading."""
        return self.case.title.rstrip(".")

    @property
    def doc(self) -> str:
        """How it is judged; empty where that says no more than the title."""
        return "" if self.case.doc.rstrip(".") == self.title else self.case.doc

    @property
    def verdicts(self) -> str:
        """The verdicts of the case, for the filter."""
        return " ".join(sorted({one.mark.key for one in self.outcomes if one}))

    @property
    def text(self) -> str:
        """What a search looks through."""
        said = [f"{one.result.message} {one.result.observed} {one.result.expected}" for one in self.outcomes if one]
        clauses = [f"{clause.id} {clause.text}" for clause, _, _ in self.clauses]
        return " ".join([self.case.id, self.case.title, *self.case.tags, *clauses, *said]).lower()


@dataclass(frozen=True, slots=True)
class _Chapter:
    """The cases of one chapter."""

    name: str
    pages: tuple[_Page, ...]


@dataclass(frozen=True, slots=True)
class _Column:
    """A report as a column of the matrix."""

    name: str
    short: str
    totals: tuple[tuple[_Mark, int], ...]
    provenance: tuple[tuple[str, str], ...]


def page_of(reports: Sequence[Report]) -> str:
    """Return the page of one report, or of several beside each other.

    Args:
        reports: at least one; each is a column.
    """
    script = _file("report.js")
    names = subjects(reports)
    columns = tuple(_column(report, names[index], index) for index, report in enumerate(reports))
    chapters = _chapters(reports, names)
    pages = [page for chapter in chapters for page in chapter.pages]
    text = _template().render(
        style=Markup(_file("report.css")),
        script=Markup(script),
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        title=columns[0].name if len(columns) == 1 else f"{len(columns)} lenses",
        columns=columns,
        rest_mark=REST_MARK,
        chapters=chapters,
        pages=pages,
        marks=[(mark, sum(mark.key in page.verdicts.split() for page in pages)) for mark in map(_mark, Verdict)],
        tags=sorted({tag for page in pages for tag in page.case.tags}),
    )
    return "".join(character if character.isprintable() or character in "\n\u202f" else "\ufffd" for character in text)


def _file(name: str) -> str:
    return files("m43tools.conformance.report").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_file("report.html.jinja"))


def _mark(verdict: Verdict) -> _Mark:
    key, word = _WORDS[verdict]
    return _Mark(key, word, verdict.meaning)


def _column(report: Report, name: str, index: int) -> _Column:
    totals = tuple((_mark(verdict), count) for verdict, count in report.totals.items())
    return _Column(name, _letters(index), totals, tuple(provenance_rows(report)))


def _letters(index: int) -> str:
    """Return A, B, ... Z, AA for columns in a narrow window."""
    above, place = divmod(index, 26)
    return (_letters(above - 1) if above else "") + chr(ord("A") + place)


def _chapters(reports: Sequence[Report], names: list[str]) -> tuple[_Chapter, ...]:
    """Return the cases of all reports by chapter, in the order of their ids."""
    cases: dict[str, dict[str, CaseInfo]] = {}
    for report in reports:
        for result in report.results:
            cases.setdefault(result.case.chapter, {}).setdefault(result.case.id, result.case)
    found = [{result.case.id: result for result in report.results} for report in reports]
    clauses = {clause.id: clause for report in reports for clause in report.clauses}
    return tuple(
        _Chapter(chapter_title(chapter), tuple(_page(listed[one], found, names, clauses) for one in sorted(listed)))
        for chapter, listed in sorted(cases.items())
    )


def _page(
    case: CaseInfo, found: list[dict[str, CaseResult]], names: list[str], clauses: dict[str, ClauseInfo]
) -> _Page:
    outcomes = tuple(
        _outcome(index, names[index], results[case.id]) if case.id in results else None
        for index, results in enumerate(found)
    )
    cited = tuple(
        (clauses[one], Level(clauses[one].level).meaning, Evidence(clauses[one].evidence).meaning)
        for one in case.clauses
        if one in clauses
    )
    return _Page(case, f"case-{case.id}", cited, outcomes)


def _outcome(column: int, lens: str, result: CaseResult) -> _Outcome:
    exchange = result.exchange
    worst = min((one.margin_percent for one in result.measurements if one.margin_percent is not None), default=None)
    label = f"Timing diagram of {result.case.id}: the lines at the decisive moment"
    return _Outcome(
        column=column,
        lens=lens,
        result=result,
        mark=_mark(result.verdict),
        figures=tuple(_figures(one) for one in result.measurements),
        diagram=Markup(diagram_of(exchange, label) if exchange else ""),
        began=times_text(exchange.t_ns) if exchange else "",
        said=tuple(_said(one, exchange) for one in exchange.moments[:MOST_ROWS]) if exchange else (),
        unsaid=max(0, len(exchange.moments) - MOST_ROWS) if exchange else 0,
        margin=_percent(worst),
        state=_state(worst),
        runs=tuple(_mark(verdict) for verdict in result.runs),
    )


def _figures(one: Measurement) -> _Figures:
    limits = [(sign, limit) for sign, limit in (("≥", one.low), ("≤", one.high)) if limit is not None]
    values = (one.minimum, one.median, one.p99, one.maximum)
    by, unit = scale_for(one.unit, max(map(abs, values)))
    digits = digits_for([value / by for value in values])
    minimum, median, p99, maximum = (figure(value / by, digits) for value in values)
    return _Figures(
        name=one.name,
        unit=unit,
        count=figure(one.count),
        minimum=minimum,
        median=median,
        p99=p99,
        maximum=maximum,
        limit=", ".join(f"{sign} {figure(limit / by, digits_for([limit / by]))}" for sign, limit in limits) or "none",
        margin=_percent(one.margin_percent),
        state=_state(one.margin_percent) if one.kept else "broken",
        gauge=Markup(gauge_of(one)),
    )


def _percent(margin: float | None) -> str:
    """Return a margin; empty without one."""
    return "" if margin is None else f"{figure(margin, 1)} %"


def _state(margin: float | None) -> str:
    if margin is None:
        return "free"
    if margin < 0:
        return "broken"
    return "thin" if margin < THIN_PERCENT else "good"


def _said(one: Moment, exchange: Exchange) -> _Said:
    sent = one.data.get("command"), one.data.get("data")
    shown = " · ".join(bytes.fromhex(part).hex(" ").upper() for part in sent if isinstance(part, str) and part)
    return _Said(
        time=figure((one.t_ns - exchange.t_ns) / 1e3, 1),
        took=figure((one.end_ns - one.t_ns) / 1e3, 1) if one.end_ns > one.t_ns else "",
        kind=one.kind,
        name=one.name,
        text=one.text,
        bytes_=shown,
    )
