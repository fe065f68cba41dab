"""What a run of the conformance suite leaves behind: frozen records, and their form in JSON.

All times are integer nanoseconds of the bus, never of the wall, so that the same run gives the same report.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "FORMAT",
    "VERSION",
    "CaseInfo",
    "CaseResult",
    "ClauseInfo",
    "Edge",
    "Exchange",
    "Measurement",
    "Moment",
    "Provenance",
    "Report",
    "Sanity",
    "measured",
    "to_json",
]

FORMAT = "m43-conformance-report"
VERSION = 1
"""Version of the report's form; it grows when a reader of the last one would misread a report."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Numbers that a case measured.

    Attributes:
        name: what was measured.
        unit: of all figures below: ``"ns"``, ``"count"``, ``"Av/256"``, ``"Hz"``.
        count: how many values there are.
        minimum: the least.
        median: the middle one.
        p99: what 99 of 100 values do not exceed.
        maximum: the greatest.
        low: the least that is allowed, or None.
        high: the most that is allowed, or None.
        margin_percent: how far the worst value is from the nearer limit, in per cent of that limit; negative behind
            it; None without a limit.
    """

    name: str
    unit: str
    count: int
    minimum: float
    median: float
    p99: float
    maximum: float
    low: float | None = None
    high: float | None = None
    margin_percent: float | None = None

    @property
    def kept(self) -> bool:
        """Whether every value is within the limits."""
        return (self.low is None or self.minimum >= self.low) and (self.high is None or self.maximum <= self.high)


def measured(
    name: str, unit: str, values: Sequence[float], *, low: float | None = None, high: float | None = None
) -> Measurement:
    """Return the measurement of some values; at least one."""
    ordered = sorted(values)
    p99 = ordered[ceil(0.99 * len(ordered)) - 1]
    margins = []
    if high:
        margins.append((high - ordered[-1]) / abs(high) * 100)
    if low:
        margins.append((ordered[0] - low) / abs(low) * 100)
    margin = round(min(margins), 1) if margins else None
    median = statistics.median(ordered)
    return Measurement(name, unit, len(ordered), ordered[0], median, p99, ordered[-1], low, high, margin)


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing of the decoded exchange.

    Attributes:
        t_ns: when it began.
        end_ns: when it ended.
        kind: ``"message"``, ``"transaction"``, ``"pin"``, ``"violation"``, ``"fragment"``, or ``"bench"`` for what the
            tester did and no decoder would name.
        name: its name, such as ``"Status"`` or ``"broke_off"``.
        text: what it said, for a person.
        data: its record as ``m43 sniff --format jsonl`` writes it; empty for the bench's own.
    """

    t_ns: int
    end_ns: int
    kind: str
    name: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Edge:
    """A line changed.

    Attributes:
        t_ns: when.
        line: its name.
        level: its level from then on.
    """

    t_ns: int
    line: str
    level: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """The decisive moment of a case: what was said, and how the lines moved.

    Attributes:
        t_ns: start of the window.
        end_ns: its end.
        moments: what was said in it, in order.
        initial: level of each line at its start.
        edges: changes of the lines in it, in order; the first `MOST_EDGES` at most.
        cut: how many edges of the window are left out.
    """

    t_ns: int
    end_ns: int
    moments: tuple[Moment, ...]
    initial: Mapping[str, int]
    edges: tuple[Edge, ...]
    cut: int = 0


class Sanity:
    """How the lens was behind the stimulus of a case; values of `CaseResult.sanity`."""

    ALIVE = "alive"
    REVIVED = "revived"
    LOST = "lost"
    UNTESTED = "untested"


@dataclass(frozen=True, slots=True)
class ClauseInfo:
    """A clause as a report shows it.

    Attributes:
        id: its stable id, such as ``"C3.2-1"``.
        section: the section of ``specs/``.
        level: ``"MUST"``, ``"SHOULD"`` or ``"OBSERVED"``.
        evidence: a level of `m43proto.evidence.Evidence`.
        source: citation.
        text: one sentence.
    """

    id: str
    section: str
    level: str
    evidence: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class CaseInfo:
    """A case as a report shows it.

    Attributes:
        id: its stable id, such as ``"FRM-003"``.
        chapter: the file that it stands in, such as ``"s3_framing"``.
        title: one sentence.
        doc: how it is judged, in a few sentences.
        clauses: ids of the clauses that it judges.
        tags: words to select it by.
        role: whom it judges, ``"lens"`` or ``"body"``.
        risky: whether it runs only with ``--allow-risky``.
        stimulus: the name of what it does to the lens.
        start: the state that the stimulus starts from, such as ``"init done"``; empty in reports of earlier versions.
    """

    id: str
    chapter: str
    title: str
    doc: str
    clauses: tuple[str, ...]
    tags: tuple[str, ...]
    role: str
    risky: bool
    stimulus: str
    start: str = ""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case.

    Attributes:
        case: which.
        verdict: the outcome.
        expected: what the clause asks for.
        observed: what was seen.
        message: one line for the terminal; empty for a plain pass.
        breached: ids of the clauses that were breached.
        occasions: how often what it judges happened.
        measurements: numbers.
        exchange: the decisive moment; None where nothing was seen.
        duration_ns: how long its stimulus took on the bus; 0 in passive mode.
        sanity: a value of `Sanity`.
        runs: the verdict of each repetition, for a case that ran more than once.
        deviation: the reason of the known deviation that excuses it, or None.
    """

    case: CaseInfo
    verdict: Verdict
    expected: str
    observed: str
    message: str = ""
    breached: tuple[str, ...] = ()
    occasions: int = 0
    measurements: tuple[Measurement, ...] = ()
    exchange: Exchange | None = None
    duration_ns: int = 0
    sanity: str = Sanity.UNTESTED
    runs: tuple[Verdict, ...] = ()
    deviation: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a report comes from: enough to do the run again.

    Attributes:
        tool: version of this project.
        spec: version of the clauses.
        mode: ``"live"`` or ``"passive"``.
        role: whom the run judges, ``"lens"`` or ``"body"``.
        lens_url: how the lens, or the body, was named; empty in passive mode.
        bridge_firmware: version of the bridge; empty where there is none.
        lens: what the lens said of itself, by field; empty where it said nothing, and where a body is judged.
        statement: the capability statement that was used.
        seed: seed of the order and of all that is random.
        strict: whether every level counts as MUST.
        command_line: the words behind ``m43``.
        capture: name of the capture's file; empty in live mode.
        capture_sha256: its hash; empty in live mode.
        resolution_ns: in which steps the clock of a bridge tells times; 1 where there is none.
    """

    tool: str
    spec: str
    mode: str
    role: str = "lens"
    lens_url: str = ""
    bridge_firmware: str = ""
    lens: Mapping[str, object] = field(default_factory=dict)
    statement: Mapping[str, object] = field(default_factory=dict)
    seed: int = 0
    strict: bool = False
    command_line: tuple[str, ...] = ()
    capture: str = ""
    capture_sha256: str = ""
    resolution_ns: int = 1


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run.

    Attributes:
        provenance: where it comes from.
        results: what came of each case, in the order of the run.
        clauses: the clauses that its cases judge.
        lost: whether the lens, the body or the bridge went away for good.
        interrupted: whether a person ended the run before its end.
    """

    provenance: Provenance
    results: tuple[CaseResult, ...]
    clauses: tuple[ClauseInfo, ...] = ()
    lost: bool = False
    interrupted: bool = False

    @property
    def totals(self) -> dict[Verdict, int]:
        """How many cases came to each verdict; every verdict has an entry."""
        counts = Counter(result.verdict for result in self.results)
        return {verdict: counts[verdict] for verdict in Verdict}


def to_json(report: Report) -> dict[str, Any]:
    """Return a report as JSON values; its form is `FORMAT`, version `VERSION`."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "provenance": _plain(report.provenance),
        "totals": {str(verdict): count for verdict, count in report.totals.items()},
        "lost": report.lost,
        "interrupted": report.interrupted,
        "clauses": _plain(report.clauses),
        "results": _plain(report.results),
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Verdict) else value
