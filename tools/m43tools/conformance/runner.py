"""Runs cases: live on a bench, or passively on a recording; the judgement is the same."""

from __future__ import annotations

import bisect
import dataclasses
import random
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from m43proto.encodings import F_NUMBER
from m43proto.messages import PUBLIC, Identify, Status
from m43tools.conformance.bench import BenchLostError
from m43tools.conformance.cases import info_of, judged_clauses
from m43tools.conformance.clauses import CLAUSES, SPEC_VERSION, clause_info
from m43tools.conformance.judging import Context, Finding, case_result, nothing
from m43tools.conformance.model import CaseResult, Provenance, Report, Sanity
from m43tools.conformance.operations import Frame, Recording
from m43tools.conformance.playing import BODY_REVIVAL, BODY_SANITY, SESSION
from m43tools.conformance.runs import Runs, Tally
from m43tools.conformance.statement import declared, declared_absent
from m43tools.conformance.stimuli import DESCRIPTION, INTERVIEW, REVIVAL, SANITY, Known, Soak
from m43tools.conformance.trace import Trace
from m43tools.conformance.verdicts import Verdict
from m43tools.render.records import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from m43proto.catalogue import Catalogue
    from m43proto.schema import Message
    from m43tools.conformance.bench import Bench
    from m43tools.conformance.judging import Case
    from m43tools.conformance.operations import Operation
    from m43tools.conformance.stimuli import Stimulus

__all__ = ["Options", "interviewed", "judged", "run_live", "run_passive"]


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Attributes:
        strict: whether every level counts as MUST.
        allow_risky: whether to run cases that may harm a lens.
        repeat: how often each case runs, one time behind the other.
        duration_ns: how much time of the bus to fill with rounds of all cases; 0 for one round.
        shuffle: whether the seed decides the order, of each round anew.
        seed: what decides all that is random.
        soak: how long the polling cases poll.
        statement: the capability statement; empty for none.
        catalogue: the messages to know.
        command_line: the words behind ``m43``, for the report.
        brief: whether the results are without their exchanges.
    """

    strict: bool = False
    allow_risky: bool = False
    repeat: int = 1
    duration_ns: int = 0
    shuffle: bool = False
    seed: int = 0
    soak: Soak = field(default_factory=Soak)
    statement: Mapping[str, Any] = field(default_factory=dict)
    catalogue: Catalogue = PUBLIC
    command_line: tuple[str, ...] = ()
    brief: bool = False


@dataclass(frozen=True, slots=True)
class _Manners:
    """How a run goes about whom it judges.

    Attributes:
        interview: the stimulus that comes first.
        sanity: what one that is in order answers to behind any stimulus.
        revival: what is tried with one that did not.
        learns: whether the other stimuli need what the interview tells.
        word: the message that shows that it is in order; None for any.
    """

    interview: Stimulus
    sanity: Sequence[Operation]
    revival: Sequence[Operation]
    learns: bool
    word: type[Message] | None


_MANNERS: dict[str, _Manners] = {
    "lens": _Manners(INTERVIEW, SANITY, REVIVAL, learns=True, word=Status),
    "body": _Manners(SESSION, BODY_SANITY, BODY_REVIVAL, learns=False, word=None),
}
"""By the role of the bench."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What came of a stimulus.

    Attributes:
        trace: its traffic.
        sanity: how the lens was behind it.
        duration_ns: how long it took on the bus.
        lasting: what came of it piece by piece; None where it was judged at once.
        unreached: why the lens did not come to the state that the stimulus starts from; empty where it did.
    """

    trace: Trace
    sanity: str
    duration_ns: int
    lasting: CaseResult | None = None
    unreached: str = ""


def run_live(
    bench: Bench,
    cases: Sequence[Case],
    options: Options,
    tell: Callable[[CaseResult], None] = lambda result: None,
    note: Callable[[str], None] = lambda text: None,
) -> Report:
    """Run cases on a bench.

    A person who interrupts gets the report of what is done, and so does one whose bridge goes away.

    Args:
        bench: where the lens is.
        cases: which.
        options: how.
        tell: called with each result as soon as it stands: behind the last round.
        note: called now and then with how far the run is.
    """
    session = _Session(bench, options, note)
    found: dict[str, Runs] = {}
    interrupted = gone = False
    try:
        for result in session.rounds(cases):
            found.setdefault(result.case.id, Runs()).add(result)
            if not options.duration_ns:
                tell(result)
    except KeyboardInterrupt:
        interrupted = True
    except BenchLostError:
        gone = True
    results = tuple(runs.result for runs in found.values())
    for result in results if options.duration_ns else ():
        tell(result)
    interview = session.runs.get(session.manners.interview.name)
    return Report(
        provenance=Provenance(
            tool=version("m43proto"),
            spec=SPEC_VERSION,
            mode="live",
            role=bench.role,
            lens_url=bench.name,
            bridge_firmware=bench.firmware,
            resolution_ns=bench.resolution_ns,
            lens=_lens_of(interview.trace) if interview and bench.role == "lens" else {},
            statement=options.statement,
            seed=options.seed,
            strict=options.strict,
            command_line=options.command_line,
        ),
        results=results,
        clauses=tuple(clause_info(CLAUSES[clause]) for clause in judged_clauses(cases)),
        lost=gone or session.lost_in is not None,
        interrupted=interrupted,
    )


def interviewed(bench: Bench) -> list[Recording]:
    """Return what a lens does in each stimulus that a capability statement is made of.

    Raises:
        BenchLostError: the bench is gone, or does no more what it should.
    """
    asked = [stimulus for stimulus in DESCRIPTION if stimulus.name != "stabilisation" or bench.knows_provisional]
    recordings = []
    for stimulus in asked:
        bench.fresh()
        recordings.append(bench.run(stimulus.operations(Known())))
    return recordings


def _ordered(cases: Sequence[Case], draws: random.Random | None, interview: Stimulus) -> list[Case]:
    """Return the cases in the order of a round: those of one stimulus together, the interview's first."""
    names = list(dict.fromkeys([interview.name, *(case.stimulus.name for case in cases)]))
    if draws is not None:
        rest = names[1:]
        draws.shuffle(rest)
        names = [names[0], *rest]
        cases = draws.sample(list(cases), len(cases))
    return sorted(cases, key=lambda case: names.index(case.stimulus.name))


class _Session:
    """A bench in use: what each stimulus brought is kept, for all cases that judge it."""

    def __init__(self, bench: Bench, options: Options, note: Callable[[str], None]) -> None:
        self.manners = _MANNERS[bench.role]
        self._bench = bench
        self._options = options
        self._note = note
        self.runs: dict[str, _Run] = {}
        self.lost_in: str | None = None
        self._spent_ns = 0
        self._blamed: set[str] = set()
        self._known: Known | None = None

    def rounds(self, cases: Sequence[Case]) -> Iterator[CaseResult]:
        """Run all cases in rounds until the time of the bus is filled, or the lens is lost."""
        draws = random.Random(self._options.seed) if self._options.shuffle else None
        turn, began_ns = 0, -1
        while began_ns < self._spent_ns and self.lost_in is None and (not turn or self._wanted_ns > 0):
            turn, began_ns = turn + 1, self._spent_ns
            if turn > 1:
                self._note(f"round {turn}, {self._spent_ns / 1e9:.0f} s of {self._options.duration_ns / 1e9:g} s")
                self.runs.clear()
            for case in _ordered(cases, draws, self.manners.interview):
                yield self.result(case)

    @property
    def _wanted_ns(self) -> int:
        return self._options.duration_ns - self._spent_ns

    def result(self, case: Case) -> CaseResult:
        """Run a case, as often as asked."""
        barred = _barred(case, self._options, provisional=self._bench.knows_provisional) or self._out_of_reach(case)
        if barred is not None:
            return case_result(info_of(case), barred, None, strict=self._options.strict)
        runs = Runs()
        for turn in range(self._options.repeat):
            if turn:
                self.runs.pop(case.stimulus.name, None)
            runs.add(self._once(case))
        return runs.result

    def _out_of_reach(self, case: Case) -> Finding | None:
        """Return the finding of a case that this bench cannot, or may not, carry out."""
        missing = sorted(case.needs - self._bench.hands)
        if missing:
            why = f"this bench, or this lens, has no {', '.join(missing)} to turn or take off"
            return Finding(case.title, "", 0, inapplicable=why)
        if case.risky and not self._options.allow_risky:
            return Finding(case.title, "", 0, inapplicable="risky: it runs with --allow-risky only")
        return None

    def _once(self, case: Case) -> CaseResult:
        if case.stimulus.lasts:
            self.runs.pop(case.stimulus.name, None)
        run = self._run(case.stimulus, case)
        if run is None:
            finding = nothing(case.title, f"the {self._bench.role} was lost in {self.lost_in}")
            return case_result(info_of(case), finding, None, strict=self._options.strict)
        if run.trace.gaps_ns:
            finding = nothing(case.title, _lossy(run.trace.gaps_ns))
            return case_result(info_of(case), finding, None, strict=self._options.strict)
        if run.unreached:
            result = case_result(info_of(case), nothing(case.title, run.unreached), None, strict=self._options.strict)
            return dataclasses.replace(result, duration_ns=run.duration_ns, sanity=run.sanity)
        result = run.lasting or judged(case, run.trace, self._context(case), self._options)
        result = dataclasses.replace(result, duration_ns=run.duration_ns, sanity=run.sanity)
        return self._blame(case, result)

    def _context(self, case: Case) -> Context:
        return Context(self._options.statement, case.stimulus.name)

    def _blame(self, case: Case, result: CaseResult) -> CaseResult:
        """Hold a stimulus behind which the lens was dead against its first case, if nothing was wrong before."""
        name = case.stimulus.name
        interview = name == self.manners.interview.name
        if result.sanity in (Sanity.ALIVE, Sanity.UNTESTED) or interview or name in self._blamed:
            return result
        self._blamed.add(name)
        if result.verdict is Verdict.FAIL:
            return result
        state = "dead until it was switched off" if result.sanity == Sanity.REVIVED else "lost"
        message = f"behind {name} the {self._bench.role} was {state}"
        return dataclasses.replace(result, verdict=Verdict.FAIL, message=f"{message}; {result.message}".rstrip("; "))

    def _run(self, stimulus: Stimulus, case: Case | None = None) -> _Run | None:
        """Return what a stimulus brings, or None when the lens is lost."""
        if stimulus.name not in self.runs:
            interview = self.manners.interview
            if self._known is None and stimulus is not interview and self.manners.learns:
                self._run(interview)
            if self.lost_in is not None:
                return None
            run = self._carry_out(stimulus, case)
            self.runs[stimulus.name] = run
            self._spent_ns += run.duration_ns
            if stimulus is interview:
                self._known = _known_from(run.trace, self._options.soak)
            if run.sanity == Sanity.LOST:
                self.lost_in = stimulus.name
        return self.runs[stimulus.name]

    def _carry_out(self, stimulus: Stimulus, case: Case | None) -> _Run:
        self._bench.fresh()
        known = self._known or Known(soak=self._options.soak)
        recording = self._bench.run(stimulus.operations(known))
        unreached = stimulus.unreached(recording.steps)
        lasting = None
        if stimulus.lasts and case is not None:
            recording, lasting = self._last(case, recording, stimulus.more(known))
        after = self._bench.run(self.manners.sanity)
        trace = Trace(_joined(recording, after), self._options.catalogue)
        sanity = Sanity.UNTESTED if after.gaps_ns else Sanity.ALIVE
        if not after.gaps_ns and not _answers(trace, self.manners.word, recording.end_ns):
            revival = Trace(self._bench.run(self.manners.revival), self._options.catalogue)
            sanity = Sanity.REVIVED if _answers(revival, self.manners.word) else Sanity.LOST
        return _Run(trace, sanity, recording.end_ns, lasting, unreached)

    def _last(self, case: Case, recording: Recording, more: Iterator[list[Operation]]) -> tuple[Recording, CaseResult]:
        """Judge a stimulus piece by piece; return the last piece, and what came of all of them."""
        tally = Tally()
        while True:
            trace = Trace(recording, self._options.catalogue)
            tally.add(judged(case, trace, self._context(case), self._options))
            goes_on = bool(trace.whole) and not trace.gaps_ns
            operations = next(more, None) if goes_on else None
            if operations is None:
                return recording, tally.result
            self._note(f"{case.id}: {recording.end_ns / 1e9:.0f} s of {self._options.soak.duration_ns / 1e9:g} s")
            recording = _joined(_tail(recording), self._bench.run(operations))


def _answers(trace: Trace, word: type[Message] | None, from_ns: int = 0) -> bool:
    """Tell whether anybody said anything at all in an exchange from a time on; what, the cases judge."""
    said = [event for event in trace.messages if event.t_ns >= from_ns and (word is None or event.kind is word)]
    return any(event.transaction.command_sum is not None for event in said)


def _joined(first: Recording, then: Recording) -> Recording:
    changes, steps = first.changes + then.changes, first.steps + then.steps
    return Recording(changes, then.end_ns, first.lines, steps, first.gaps_ns + then.gaps_ns)


def _lossy(gaps_ns: Sequence[tuple[int, int]]) -> str:
    start_ns, end_ns = gaps_ns[0]
    times = "" if len(gaps_ns) == 1 else f", the first of {len(gaps_ns)} such gaps"
    return f"the bridge lost edges between {start_ns / 1e6:.3f} and {end_ns / 1e6:.3f} ms{times}"


def _tail(recording: Recording) -> Recording:
    """Return a recording from its last frame on, so that what spans two pieces is judged, too."""
    start_ns = max((step.t_ns for step in recording.steps if isinstance(step.operation, Frame)), default=0)
    at = bisect.bisect_left(recording.changes, start_ns, key=lambda change: change[0]) - 1
    first = (start_ns, recording.changes[max(at, 0)][1])
    steps = tuple(step for step in recording.steps if step.t_ns >= start_ns)
    return Recording((first, *recording.changes[at + 1 :]), recording.end_ns, recording.lines, steps)


def _known_from(trace: Trace, soak: Soak) -> Known:
    """Return what the interview told; usual figures where it did not."""
    usual = Known(soak=soak)
    statuses = [event.message for event in trace.statuses if isinstance(event.message, Status)]
    if not statuses:
        return usual
    first = statuses[0]
    far = max(one.focus_position for one in statuses)
    far = far if far > first.focus_position + 20 else usual.far
    return Known(F_NUMBER.encode(first.aperture_f), first.focus_position, far, soak)


def judged(case: Case, trace: Trace, context: Context, options: Options) -> CaseResult:
    """Judge a trace; a judgement that fails by itself is an ERROR, never a verdict on the lens."""
    try:
        finding = case.judge(trace, context)
    except Exception as error:
        text = f"the judgement failed: {type(error).__name__}: {error}"
        return CaseResult(info_of(case), Verdict.ERROR, case.title, text, text)
    return case_result(info_of(case), finding, None if options.brief else trace, strict=options.strict)


def run_passive(
    recording: Recording,
    cases: Sequence[Case],
    options: Options,
    tell: Callable[[CaseResult], None] = lambda result: None,
    *,
    capture: str = "",
    sha256: str = "",
    role: str = "lens",
) -> Report:
    """Judge a capture by the same cases; what was not exercised is INCONCLUSIVE.

    Args:
        recording: the capture.
        cases: which.
        options: how; what to do to a lens has no place here.
        tell: called with each result.
        capture: name of the file, for the report.
        sha256: its hash, for the report.
        role: whom the cases judge.
    """
    trace = Trace(recording, options.catalogue)
    results = []
    for case in cases:
        result = _passive_result(case, trace, options)
        results.append(result)
        tell(result)
    return Report(
        provenance=Provenance(
            tool=version("m43proto"),
            spec=SPEC_VERSION,
            mode="passive",
            role=role,
            lens=_lens_of(trace) if role == "lens" else {},
            statement=options.statement,
            seed=options.seed,
            strict=options.strict,
            command_line=options.command_line,
            capture=capture,
            capture_sha256=sha256,
        ),
        results=tuple(results),
        clauses=tuple(clause_info(CLAUSES[clause]) for clause in judged_clauses(cases)),
    )


def _barred(case: Case, options: Options, *, provisional: bool) -> Finding | None:
    """Return the finding of a case that what is declared, or the catalogue, leaves no place for."""
    absent = declared_absent(options.statement, case.tags)
    why = f"the statement declares {absent} = false" if absent else ""
    wanted = declared(options.statement, case.compares) if case.compares else {}
    if case.compares and not wanted:
        why = f"no statement declares {' or '.join(case.compares)}"
    elif "provisional" in case.tags and not provisional:
        if wanted:
            return nothing(case.title, f"{', '.join(wanted)} cannot be checked: {_NO_PROVISIONAL}")
        why = why or _NO_PROVISIONAL
    return Finding(case.title, "", 0, inapplicable=why) if why else None


_NO_PROVISIONAL = "the provisional catalogue is not enabled (m43 --catalogue provisional)"


def _passive_result(case: Case, trace: Trace, options: Options) -> CaseResult:
    barred = _barred(case, options, provisional=options.catalogue.named("SetStabilisation") is not None)
    if barred is not None:
        return case_result(info_of(case), barred, None, strict=options.strict)
    if not case.passive:
        finding = nothing(case.title, "only a bench can tell")
        return case_result(info_of(case), finding, None, strict=options.strict)
    return judged(case, trace, Context(options.statement), options)


def _lens_of(trace: Trace) -> dict[str, object]:
    """Return the fields of the first identity in some traffic; empty where there is none."""
    return next((dict(fields_of(event)) for event in trace.identities if isinstance(event.message, Identify)), {})
