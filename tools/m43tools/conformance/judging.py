"""How a case comes to its verdict: findings, what makes a breach a FAIL or a WARN, and the usual ways to judge."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from m43proto.ends import NEVER
from m43tools.conformance.clauses import CLAUSES, Level
from m43tools.conformance.model import CaseInfo, CaseResult, Measurement, measured
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from m43tools.conformance.stimuli import Stimulus
    from m43tools.conformance.timings import Span
    from m43tools.conformance.trace import Trace

__all__ = [
    "NO_ACKS",
    "THIN_MARGIN_PERCENT",
    "Breach",
    "Case",
    "Context",
    "Finding",
    "Way",
    "case_result",
    "every",
    "never",
    "nothing",
    "one_way",
    "verdict_of",
    "within",
]

NO_ACKS = "it takes BODY_ACK and LENS_ACK, and a turn of the right side, to tell"
"""Why nothing is said of a step of the handshake that was not seen."""

THIN_MARGIN_PERCENT = 5.0
"""A value that keeps its limit by no more than this share of it makes a WARN."""


class Spanned(Protocol):
    """Anything with a start and an end."""

    @property
    def t_ns(self) -> int: ...

    @property
    def end_ns(self) -> int: ...


S = TypeVar("S", bound=Spanned)


@dataclass(frozen=True, slots=True)
class Breach:
    """A clause was not kept.

    Attributes:
        clause: its id.
        t_ns: when that began.
        end_ns: when it ended.
        text: what was seen.
    """

    clause: str
    t_ns: int
    end_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a judgement found in a trace.

    Attributes:
        expected: what should be.
        observed: what was seen.
        occasions: how often what is judged happened.
        breaches: where a clause was not kept.
        measurements: numbers.
        moment: from when to when the decisive moment was; None where nothing happened.
        inapplicable: why the case has no place with this lens or bench; empty where it has.
        measures_only: whether there is nothing to keep.
    """

    expected: str
    observed: str
    occasions: int
    breaches: tuple[Breach, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    moment: tuple[int, int] | None = None
    inapplicable: str = ""
    measures_only: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What a judgement may know beside the trace.

    Attributes:
        statement: the capability statement; empty where there is none.
        stimulus: the name of the stimulus that made the trace; empty for a capture.
    """

    statement: Mapping[str, Any]
    stimulus: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: a stimulus, and a judgement over the trace that it makes.

    Attributes:
        id: its stable id.
        title: one sentence: what the lens, or the body, does when it passes.
        clauses: ids of the clauses that it judges, the weightiest first.
        stimulus: what it does to the lens or the body.
        judge: its judgement, the same live and on a capture.
        tags: words to select it by.
        doc: how it is judged, where the title does not tell.
        risky: whether it may harm a lens.
        needs: which hands of the bench it needs, of `m43tools.conformance.bench.HANDS`.
        passive: whether a capture without a bench can tell.
        role: whom it judges, ``"lens"`` or ``"body"``.
        compares: keys of the capability statement that it holds the lens to, as ``table.key``; it has no place without.
        measures: whether it only measures: it has no limit, comes to INFO, and cannot turn red.
    """

    id: str
    title: str
    clauses: tuple[str, ...]
    stimulus: Stimulus
    judge: Callable[[Trace, Context], Finding]
    tags: tuple[str, ...] = ()
    doc: str = ""
    risky: bool = False
    needs: frozenset[str] = frozenset()
    passive: bool = True
    role: str = "lens"
    compares: tuple[str, ...] = ()
    measures: bool = False

    @property
    def chapter(self) -> str:
        """The file that it stands in."""
        return self.judge.__module__.rpartition(".")[2]

    def info(self, chapter: str) -> CaseInfo:
        """Return the case as a report shows it."""
        return CaseInfo(
            self.id,
            chapter,
            self.title,
            self.doc or self.title,
            self.clauses,
            self.tags,
            self.role,
            self.risky,
            self.stimulus.name,
            str(self.stimulus.start),
        )


def nothing(expected: str, observed: str = "it did not happen") -> Finding:
    """Return the finding of a case that nothing exercised."""
    return Finding(expected, observed, 0)


def every(
    things: Iterable[S], wrong: Callable[[S], str | None], clause: str, expected: str, *, what: str = "occasions"
) -> Finding:
    """Judge each of some things.

    Args:
        things: what to judge.
        wrong: what is wrong with one of them, or None.
        clause: the clause that a wrong one breaches.
        expected: what should be.
        what: what the things are, in the plural.
    """
    held = list(things)
    breaches = tuple(
        Breach(clause, thing.t_ns, thing.end_ns, text) for thing in held if (text := wrong(thing)) is not None
    )
    if not held:
        return nothing(expected, f"no {what}")
    first = breaches[0] if breaches else held[0]
    observed = f"{len(breaches)} of {len(held)} {what}: {breaches[0].text}" if breaches else f"{len(held)} {what}"
    return Finding(expected, observed, len(held), breaches, (), (first.t_ns, first.end_ns))


@dataclass(frozen=True, slots=True)
class Way(Generic[S]):
    """One of several behaviours that a clause allows.

    Attributes:
        name: what a thing does that goes this way, behind "it": ``"keeps its shape"``.
        wrong: why a thing does not go this way, or None where it does.
    """

    name: str
    wrong: Callable[[S], str | None]


def one_way(things: Iterable[S], ways: Sequence[Way[S]], clause: str, expected: str, *, what: str) -> Finding:
    """Judge that each of some things goes one of the ways that are allowed; how many went which is told.

    Ways are tried in order, and need not exclude each other; two things may go different ways. A thing that goes none
    is a breach, and each way says why not.

    Args:
        things: what to judge.
        ways: what is allowed.
        clause: the clause that a thing breaches that goes none of them.
        expected: what should be, behind the ways.
        what: what the things are, in the plural.
    """
    held = list(things)
    went = [next((way.name for way in ways if way.wrong(thing) is None), "") for thing in held]

    def wrong(thing: S) -> str | None:
        told = [way.wrong(thing) for way in ways]
        return None if None in told else "; ".join(dict.fromkeys(text for text in told if text is not None))

    finding = every(held, wrong, clause, f"it {' or '.join(way.name for way in ways)}; {expected}", what=what)
    if finding.breaches or not held:
        return finding
    counts = ", ".join(f"{went.count(way.name)} {way.name}" for way in ways if way.name in went)
    return replace(finding, observed=f"{len(held)} {what}: {counts}")


def within(
    spans: Sequence[Span],
    name: str,
    clause: str,
    *,
    low_ns: float | None = None,
    high_ns: float | None = None,
) -> Finding:
    """Judge delays by limits, and report their numbers; without limits they are only measured."""
    bounds = [f"at least {_time(low_ns)}" if low_ns is not None else "", f"at most {_time(high_ns)}" if high_ns else ""]
    expected = f"{name}: {' and '.join(bound for bound in bounds if bound) or 'measured only'}"
    if not spans:
        return nothing(expected, f"no {name} was seen")
    wrong = [span for span in spans if _beyond(span.value_ns, low_ns, high_ns)]
    numbers = measured(name, "ns", [span.value_ns for span in spans], low=low_ns, high=high_ns)
    shown = wrong[0] if wrong else max(spans, key=lambda span: span.value_ns)
    breaches = tuple(Breach(clause, span.t_ns, span.end_ns, f"{name}: {_time(span.value_ns)}") for span in wrong)
    spread = f"{_time(numbers.minimum)} to {_time(numbers.maximum)}, {numbers.count} times"
    measures_only = low_ns is None and high_ns is None
    return Finding(
        expected, f"{name}: {spread}", len(spans), breaches, (numbers,), (shown.t_ns, shown.end_ns), "", measures_only
    )


def never(
    spans: Mapping[str, Sequence[Span]],
    bad: str,
    good: str,
    clause: str,
    expected: str,
    *,
    least_ns: int = 0,
    below_ns: int = NEVER,
) -> Finding:
    """Judge that one thing happens and never another.

    Args:
        spans: delays by their names.
        bad: name of what must not happen.
        good: name of what should.
        clause: which is breached by the former.
        expected: what is expected, in words.
        least_ns: what is bad only from this length on.
        below_ns: what is bad only below this length.
    """
    wrong = [span for span in spans.get(bad, ()) if least_ns <= span.value_ns < below_ns]
    right = spans.get(good, ())
    if not wrong and not right:
        return nothing(expected, NO_ACKS)
    breaches = tuple(Breach(clause, span.t_ns, span.end_ns, bad) for span in wrong)
    shown = (wrong or right)[0]
    observed = f"{bad}: {len(wrong)} times; {good}: {len(right)} times"
    return Finding(expected, observed, len(wrong) + len(right), breaches, (), (shown.t_ns, shown.end_ns))


def _beyond(value: float, low: float | None, high: float | None) -> bool:
    return (low is not None and value < low) or (high is not None and value > high)


def _time(value_ns: float) -> str:
    if value_ns >= 1_000_000:
        return f"{value_ns / 1e6:g} ms"
    return f"{value_ns / 1e3:g} us"


def verdict_of(finding: Finding, *, strict: bool) -> Verdict:
    """Return what a finding comes to."""
    if finding.inapplicable:
        return Verdict.NOT_APPLICABLE
    if finding.breaches:
        grave = strict or any(CLAUSES[breach.clause].level is Level.MUST for breach in finding.breaches)
        return Verdict.FAIL if grave else Verdict.WARN
    if not finding.occasions:
        return Verdict.INCONCLUSIVE
    if finding.measures_only:
        return Verdict.INFO
    return Verdict.WARN if _thin(finding) else Verdict.PASS


def _thin(finding: Finding) -> bool:
    margins = [one.margin_percent for one in finding.measurements if one.margin_percent is not None]
    return any(0 <= margin <= THIN_MARGIN_PERCENT for margin in margins)


_WINDOW_NS = 200_000
"""How much of the traffic around the decisive moment a report shows."""


def case_result(info: CaseInfo, finding: Finding, trace: Trace | None, *, strict: bool) -> CaseResult:
    """Return what came of a case; without a trace there is no exchange in it."""
    verdict = verdict_of(finding, strict=strict)
    exchange = None
    if finding.moment is not None and trace is not None:
        exchange = trace.exchange(max(finding.moment[0] - _WINDOW_NS, 0), finding.moment[1] + _WINDOW_NS)
    quiet = verdict in (Verdict.PASS, Verdict.INFO)
    return CaseResult(
        case=info,
        verdict=verdict,
        expected=finding.expected,
        observed=finding.inapplicable or finding.observed,
        message="" if quiet else _message(finding, verdict),
        breached=tuple(dict.fromkeys(breach.clause for breach in finding.breaches)),
        occasions=finding.occasions,
        measurements=finding.measurements,
        exchange=exchange,
    )


def _message(finding: Finding, verdict: Verdict) -> str:
    if verdict is Verdict.NOT_APPLICABLE:
        return finding.inapplicable
    if verdict is Verdict.WARN and not finding.breaches:
        return f"{finding.observed}: a thin margin ({finding.expected})"
    return f"{finding.observed}; expected: {finding.expected}"
