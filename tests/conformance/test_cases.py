"""The clauses, the cases and their registry hold together, and every case can fail."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from m43drivers.simulator.faults import FAULTS, faults_named
from m43drivers.simulator.profiles import PROFILES
from m43proto.evidence import cited_sources
from m43proto.messages import PUBLIC, Drive
from m43proto.timing import LensTiming, replaced
from m43tools.conform import recording_of
from m43tools.conformance.bench import SimBench
from m43tools.conformance.cases import ALL_CASES, CASES, cases_of, info_of, registered, selected
from m43tools.conformance.clauses import CLAUSES, Level
from m43tools.conformance.deviations import DeviationError, excused, read_deviations
from m43tools.conformance.golden import FOLDER, golden_words
from m43tools.conformance.judging import Breach, Case, Finding, Way, case_result, one_way, verdict_of
from m43tools.conformance.model import Sanity, measured, to_json
from m43tools.conformance.mutants import MUTANTS, BentPins, Mutant, bench_with
from m43tools.conformance.operations import MS, SECOND, Cut, PowerDown, Settle, Step, Transact
from m43tools.conformance.report.reading import read_report
from m43tools.conformance.runner import Options, run_live, run_passive
from m43tools.conformance.selftest import FAULT_CASES, kill_matrix
from m43tools.conformance.stimuli import REACH, STIMULI, Known, Soak, State
from m43tools.conformance.timings import Span
from m43tools.conformance.verdicts import Verdict, exit_code, worst
from tests.conformance.drawing import drawn

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "captures"
OLYMPUS = PROFILES["olympus-14-42"]

AVALANCHE = 3
"""How many cases may FAIL for one fault beside those written for it."""


def test_every_clause_has_a_case_or_a_reason() -> None:
    for clause in CLAUSES.values():
        assert bool(cases_of(clause.id)) != bool(clause.uncased), clause.id
        assert cited_sources(clause.source)
        assert clause.text.endswith(".")


def test_every_case_cites_clauses_that_exist() -> None:
    assert len(CASES) >= 80
    for case in CASES.values():
        assert case.clauses
        assert set(case.clauses) <= set(CLAUSES)
        assert re.fullmatch(r"[A-Z]{3}-\d{3}", case.id)
        assert STIMULI[case.stimulus.name] is case.stimulus


def test_no_case_is_renumbered_and_no_id_used_again() -> None:
    known = registered()
    assert {case.id: case.title for case in ALL_CASES.values()} == {
        identity: title for identity, title in known.items() if not title.startswith("GONE")
    }
    text = (ROOT / "tools/m43tools/conformance/registry.txt").read_text(encoding="utf-8")
    rows = [line.split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(rows) == len(set(rows)) == len(known)


def test_every_fault_and_mutant_has_its_cases() -> None:
    assert set(FAULT_CASES) == set(FAULTS)
    assert len(MUTANTS) >= 40
    meant = {case for mutant in MUTANTS.values() for case in mutant.meant}
    meant |= {case for cases in FAULT_CASES.values() for case in cases}
    judging = {name for name, case in CASES.items() if not case.measures}
    assert meant == judging, judging ^ meant


def test_a_broken_lens_is_found_by_the_cases_written_for_it() -> None:
    """Some of them, drawn anew for each run; the self-test takes all, and CI runs it."""
    names = drawn([*FAULTS, *MUTANTS], 30)
    matrix = kill_matrix(names, quick=True, jobs=2)
    assert set(matrix.red) == set(names)
    assert (matrix.survivors, matrix.mild) == ({}, {})
    assert matrix.whole


@pytest.mark.parametrize("name", PROFILES)
def test_a_good_lens_passes_without_a_warning(name: str) -> None:
    """The report is kept in the repository; ``m43 export --check``, which a test runs, does the run again."""
    report = read_report(ROOT / FOLDER / f"{name}.json")
    found = {one.case.id: (one.verdict, one.message) for one in report.results}
    measured_only = {case for case, what in found.items() if what[0] is Verdict.INFO}
    assert measured_only == {name for name, case in CASES.items() if case.measures and not case.compares}
    good = (Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.INFO)
    assert {case: what for case, what in found.items() if what[0] not in good} == {}
    assert not report.lost
    assert set(found) == set(CASES)
    assert set(golden_words(name)) - {"1s"} <= set(report.provenance.command_line)


def test_no_report_is_kept_of_a_lens_that_is_gone() -> None:
    assert {path.stem for path in (ROOT / FOLDER).iterdir()} == set(PROFILES)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_makes_no_avalanche(name: str) -> None:
    """The stimuli here show every fault; ``m43 conform selftest`` runs them all, and has a bound for mutants, too."""
    wanted = [case for case in CASES.values() if case.stimulus.name in ("tour", "blind", "patterns", "focus sweep")]
    report = run_live(SimBench(OLYMPUS, faults_named([name])), wanted, Options(brief=True))
    failed = {one.case.id for one in report.results if one.verdict is Verdict.FAIL}
    assert failed & set(FAULT_CASES[name]) or name == "aperture_stuck"  # its case sets apertures in another stimulus
    assert len(failed - set(FAULT_CASES[name])) <= AVALANCHE
    assert not any(one.verdict is Verdict.ERROR for one in report.results)


def test_the_same_run_gives_the_same_report() -> None:
    cases = selected(["FRM-00*", "timing"])
    first, again = (to_json(run_live(SimBench(OLYMPUS), cases, Options(seed=7))) for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert first["totals"]["PASS"] == len(cases)


def test_a_lens_that_is_lost_ends_the_run() -> None:
    report = run_live(SimBench(OLYMPUS, faults_named(["yanked"])), selected(["LNK-016", "FRM-015"]), Options())
    assert report.lost
    assert [one.verdict for one in report.results] == [Verdict.FAIL, Verdict.INCONCLUSIVE]
    assert report.results[1].observed == "the lens was lost in tour"


def test_a_lens_that_dies_of_a_case_is_switched_off_and_on_and_the_case_is_named() -> None:
    bench = bench_with(MUTANTS["deaf_after_break"], PUBLIC)
    report = run_live(bench, selected(["FRM-011", "FRM-024", "SES-015"]), Options(brief=True))
    found = {one.case.id: one for one in report.results}
    assert found["FRM-011"].sanity == Sanity.REVIVED
    assert found["FRM-011"].message.startswith("behind short command 1 the lens was dead until it was switched off")
    assert (found["SES-015"].verdict, found["SES-015"].sanity) == (Verdict.PASS, Sanity.ALIVE)
    assert not report.lost


@pytest.mark.parametrize(
    ("wake_ms", "verdict"), [(37, Verdict.PASS), (38, Verdict.WARN), (40, Verdict.WARN), (41, Verdict.WARN)]
)
def test_a_thin_margin_is_a_warning(wake_ms: int, verdict: Verdict) -> None:
    bench = SimBench(OLYMPUS.replace(wake_ns=0), timing=replaced(LensTiming(), wake_ns=wake_ms * MS))
    (told,) = run_live(bench, selected(["LNK-002"]), Options(brief=True)).results
    assert told.verdict is verdict
    (numbers,) = told.measurements
    assert numbers.high == 40 * MS
    assert numbers.margin_percent == pytest.approx((40 - wake_ms) / 40 * 100, abs=0.1)
    assert bool(told.breached) is (wake_ms > 40)


def test_a_case_that_only_measures_tells_numbers_without_a_limit() -> None:
    """The simulated delays are known exactly, so the numbers are: an acknowledge 12 us late, Initialise in 1.5 s."""
    slow = SimBench(OLYMPUS.replace(initialise_ns=1_500 * MS), timing=replaced(LensTiming(), ack_ns=12_000))
    chosen = selected(["MEA-*"])
    found = {one.case.id: one for one in run_live(slow, chosen, Options(soak=Soak(SECOND), brief=True)).results}
    assert {one.verdict for one in found.values()} == {Verdict.INFO}
    for one in found.values():
        (numbers,) = one.measurements
        assert (numbers.low, numbers.high, numbers.margin_percent) == (None, None, None)
        assert numbers.minimum <= numbers.median <= numbers.p99 <= numbers.maximum
    assert found["MEA-001"].measurements[0].median == 12_000
    assert found["MEA-004"].measurements[0].median == pytest.approx(1_500 * MS, rel=0.001)
    assert found["MEA-003"].measurements[0].count >= 30


@pytest.mark.parametrize(
    ("verdict", "case", "bench", "options"),
    [
        (Verdict.PASS, "FRM-001", lambda: SimBench(OLYMPUS), Options()),
        (Verdict.FAIL, "FRM-001", lambda: SimBench(OLYMPUS, faults_named(["wrong_command_sum"])), Options()),
        (Verdict.WARN, "LNK-009", lambda: bench_with(MUTANTS["acknowledge_short"], PUBLIC), Options()),
        (Verdict.INFO, "MEA-001", lambda: SimBench(OLYMPUS), Options()),
        (Verdict.NOT_APPLICABLE, "RNG-003", lambda: SimBench(PROFILES["panasonic-20"]), Options()),
        (Verdict.INCONCLUSIVE, "LNK-006", lambda: SimBench(OLYMPUS, faults_named(["lens_ack_stuck_low@1"])), Options()),
    ],
)
def test_a_simulated_lens_for_each_verdict(
    verdict: Verdict, case: str, bench: Callable[[], SimBench], options: Options
) -> None:
    """ERROR is no verdict on a lens: a judgement that fails by itself makes it, in the next test."""
    (told,) = run_live(bench(), selected([case]), dataclasses.replace(options, brief=True)).results
    assert told.verdict is verdict, told.message


def test_a_judgement_that_fails_by_itself_is_an_error() -> None:
    def fails(trace: object, context: object) -> Finding:
        raise ZeroDivisionError("no lens did this")

    broken = dataclasses.replace(CASES["FRM-001"], judge=fails)
    (told,) = run_live(SimBench(OLYMPUS), [broken], Options(brief=True)).results
    assert told.verdict is Verdict.ERROR
    assert told.message == "the judgement failed: ZeroDivisionError: no lens did this"
    assert exit_code([told.verdict]) == 3


GLITCH_NS = 10 * MS
"""No body is known to leave a lens off for less."""


def harmful(case: Case) -> bool:
    """Tell whether a case drives far below where the focus can rest, or dips SLEEP."""
    steps = case.stimulus.operations(Known())
    commands = [one for one in steps if isinstance(one, Transact)]
    drives = [one for one in commands if one.command[:2] == Drive.spec.opcode and len(one.block) == 9]
    moves = [Drive.parse(one.command[2:] + one.block) for one in drives]
    beyond = any(one.focus_target < 0 for one in moves if one.focus_operation in ("move", "scan"))
    return beyond or any(one.off_ns < GLITCH_NS for one in steps if isinstance(one, Cut | PowerDown))


def test_a_default_run_neither_over_travels_nor_glitches_the_power() -> None:
    risky = {case.id for case in CASES.values() if case.risky}
    assert {case.id for case in CASES.values() if harmful(case)} == risky == {"DRV-011", "FRM-033"}
    (told,) = run_live(SimBench(OLYMPUS), [CASES["FRM-033"]], Options(brief=True)).results
    assert (told.verdict, told.message) == (Verdict.NOT_APPLICABLE, "risky: it runs with --allow-risky only")
    (told,) = run_live(SimBench(OLYMPUS), [CASES["FRM-033"]], Options(brief=True, allow_risky=True)).results
    assert told.verdict is Verdict.PASS


# the state that a stimulus starts from


def test_each_stimulus_names_the_state_it_starts_from_and_is_brought_there() -> None:
    assert {stimulus.start for stimulus in STIMULI.values()} == set(State)
    for stimulus in STIMULI.values():
        reach = list(REACH[stimulus.start])
        assert stimulus.operations(Known())[: len(reach)] == reach
    assert {info_of(case).start for case in CASES.values()} == {str(state) for state in State}


@pytest.mark.parametrize(
    ("bench", "case", "reason"),
    [
        (lambda: bench_with(MUTANTS["no_wake_pulse"], PUBLIC), "SES-006", "'powered': PowerUp failed"),
        (lambda: bench_with(MUTANTS["no_enable"], PUBLIC), "CAP-006", "'init done': Transact b1 88"),
    ],
)
def test_a_state_that_is_not_reached_makes_a_case_inconclusive(
    bench: Callable[[], SimBench], case: str, reason: str
) -> None:
    (told,) = run_live(bench(), [CASES[case]], Options(brief=True)).results
    assert told.verdict is Verdict.INCONCLUSIVE
    assert told.observed.startswith(f"the lens did not come to {reason}")


def test_a_lens_that_never_rests_does_not_come_to_idle() -> None:
    """Only the last step of the way fails: the start-up was done."""
    sweep = STIMULI["focus sweep"]
    steps = [Step(operation, 0, 1, not isinstance(operation, Settle)) for operation in sweep.operations(Known())]
    assert sweep.unreached(steps) == "the lens did not come to 'focus idle': Settle failed"
    started = dataclasses.replace(sweep, start=State.STARTED)
    assert started.unreached(steps) == ""


def test_what_a_start_up_breaks_is_a_fail_once_and_not_in_every_case() -> None:
    """The tour starts from an unpowered lens: the start-up is what it shows."""
    chosen = selected(["SES-001", "SES-006", "FRM-01*", "CAP-*"])
    report = run_live(bench_with(MUTANTS["no_enable"], PUBLIC), chosen, Options(brief=True))
    found = {one.case.id: one.verdict for one in report.results}
    assert {one for one, verdict in found.items() if verdict is Verdict.FAIL} == {"SES-001"}
    assert found["CAP-006"] is found["FRM-011"] is Verdict.INCONCLUSIVE
    assert exit_code(found.values()) == 1


# where more than one behaviour is allowed

UNKNOWN = ("c1ee", "a0ee", "b0ee", "60ee")


@pytest.mark.parametrize(("case", "head"), [*zip(("FRM-018", "FRM-019", "FRM-020", "FRM-021"), UNKNOWN, strict=True)])
def test_two_legal_lenses_pass_and_a_third_does_not(case: str, head: str) -> None:
    """One lens keeps the shape of an unknown command, one leaves it unanswered; the last is deaf behind it."""

    def ignores(pins: BentPins, heard: bytes) -> bool:
        return heard.hex().startswith(head)

    def deafened(pins: BentPins, heard: bytes) -> bool:
        pins._deaf = pins._deaf or ignores(pins, heard)
        return pins._deaf

    found = {}
    for name, pins in (("keeps", {}), ("ignores", {"ignores": ignores}), ("deaf", {"ignores": deafened})):
        bench = bench_with(Mutant(name, "", (), pins=pins), PUBLIC)
        (told,) = run_live(bench, [CASES[case]], Options(strict=True, brief=True)).results
        found[name] = (told.verdict, told.observed)
    assert found["keeps"][0] is found["ignores"][0] is Verdict.PASS
    assert found["keeps"][1].startswith("1 unknown commands: 1 keeps its shape; behind it ")
    assert found["ignores"][1].startswith("1 unknown commands: 1 is not answered; behind it ")
    assert found["deaf"][0] is Verdict.FAIL


def test_a_thing_that_goes_no_way_is_a_breach_and_each_way_says_why() -> None:
    ways: tuple[Way[Span], ...] = (
        Way("is short", lambda span: None if span.value_ns < 10 else "not short"),
        Way("is long", lambda span: None if span.value_ns > 100 else "not long"),
    )
    good = one_way([Span(5, 0), Span(500, 1), Span(6, 2)], ways, "C3.3-4", "all is well", what="spans")
    assert (good.breaches, good.observed) == ((), "3 spans: 2 is short, 1 is long")
    assert good.expected == "it is short or is long; all is well"
    bad = one_way([Span(5, 0), Span(50, 1)], ways, "C3.3-4", "all is well", what="spans")
    assert [breach.text for breach in bad.breaches] == ["not short; not long"]
    assert bad.observed == "1 of 2 spans: not short; not long"
    assert verdict_of(bad, strict=True) is Verdict.FAIL
    assert not one_way([], ways, "C3.3-4", "all is well", what="spans").occasions


# passively


def passive(path: Path) -> dict[str, tuple[Verdict, tuple[str, ...]]]:
    report = run_passive(recording_of(path), list(CASES.values()), Options())
    return {one.case.id: (one.verdict, one.breached) for one in report.results}


def test_the_public_capture_has_no_fail_and_tells_what_it_cannot() -> None:
    found = passive(ROOT / "captures/bell-fakebody__lens-model__power-up/capture.sr")
    verdicts = {verdict for verdict, _ in found.values()}
    assert Verdict.FAIL not in verdicts
    assert Verdict.ERROR not in verdicts
    assert found["FRM-001"][0] is Verdict.PASS
    assert found["FRM-015"][0] is Verdict.INCONCLUSIVE


@pytest.mark.skipif(not SHARED.exists(), reason="the captures beside the repository are not here")
@pytest.mark.parametrize(
    ("name", "failed"),
    [
        ("A0-tiny-powerup-3frames", {}),
        ("B1-fakelens-vs-bodymodel-EP1", {}),
        ("D1a-corrupt-command-checksum", {"FRM-001": ("C3.2-1",)}),
    ],
)
def test_the_captures_beside_the_repository(name: str, failed: dict[str, tuple[str, ...]]) -> None:
    found = passive(SHARED / f"{name}.vcd")
    assert {case: breached for case, (verdict, breached) in found.items() if verdict is Verdict.FAIL} == failed


# verdicts


def test_levels_make_fail_or_warn() -> None:
    must = next(clause.id for clause in CLAUSES.values() if clause.level is Level.MUST)
    weak = next(clause.id for clause in CLAUSES.values() if clause.level is Level.OBSERVED)
    breached = Finding("a", "b", 1, (Breach(weak, 0, 1, "c"),))
    assert verdict_of(breached, strict=False) is Verdict.WARN
    assert verdict_of(breached, strict=True) is Verdict.FAIL
    assert verdict_of(Finding("a", "b", 1, (Breach(must, 0, 1, "c"),)), strict=False) is Verdict.FAIL
    assert verdict_of(Finding("a", "b", 0), strict=True) is Verdict.INCONCLUSIVE
    assert verdict_of(Finding("a", "b", 1), strict=False) is Verdict.PASS
    assert verdict_of(Finding("a", "b", 1, measures_only=True), strict=False) is Verdict.INFO
    assert verdict_of(Finding("a", "b", 0, inapplicable="why"), strict=False) is Verdict.NOT_APPLICABLE
    thin = Finding("a", "b", 1, measurements=(measured("x", "ns", [97], high=100),))
    assert verdict_of(thin, strict=False) is Verdict.WARN


def test_measurements_tell_limits_and_margins() -> None:
    found = measured("x", "ns", [1, 2, 90], high=100)
    assert (found.minimum, found.median, found.p99, found.maximum, found.margin_percent) == (1, 2, 90, 90, 10.0)
    assert found.kept
    assert not measured("x", "ns", [101], high=100).kept
    assert measured("x", "ns", [15, 30], low=10, high=100).margin_percent == 50.0


@pytest.mark.parametrize(
    ("verdicts", "lost", "code"),
    [
        ([Verdict.PASS, Verdict.WARN, Verdict.NOT_APPLICABLE], False, 0),
        ([Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE], False, 1),
        ([], False, 2),
        ([Verdict.INCONCLUSIVE], False, 3),
        ([Verdict.ERROR], False, 3),
        ([Verdict.FAIL], True, 4),
    ],
)
def test_exit_codes(verdicts: list[Verdict], lost: bool, code: int) -> None:
    assert exit_code(verdicts, lost=lost) == code


def test_the_gravest_verdict() -> None:
    assert worst([Verdict.PASS, Verdict.FAIL, Verdict.WARN]) is Verdict.FAIL
    assert worst([]) is Verdict.INFO


# known deviations

DEVIATION = '[[deviation]]\nid = "FRM-001"\nmessage = "sum"\nreason = "old"\nuntil = 2030-01-01\n'


def test_a_known_deviation_excuses_a_fail_and_only_that(tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(DEVIATION)
    known = read_deviations(path)
    finding = Finding("the sum", "a wrong sum", 1, (Breach("C3.2-1", 0, 1, "a wrong sum"),))
    result = case_result(info_of(CASES["FRM-001"]), finding, None, strict=False)
    early, late = date(2029, 1, 1), date(2031, 1, 1)
    assert excused(result, known, early).verdict is Verdict.WARN
    assert excused(result, known, early).deviation == "old"
    assert excused(result, known, late).verdict is Verdict.FAIL
    assert excused(dataclasses.replace(result, message="other"), known, early).verdict is Verdict.FAIL
    assert excused(dataclasses.replace(result, verdict=Verdict.PASS), known, early).verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[", "no TOML"),
        ("[other]", "one table"),
        ('[[deviation]]\nid = "FRM-001"', "has the keys id, message, reason, until"),
        (DEVIATION.replace("FRM-001", "FRM-999"), "there is no case FRM-999"),
        (DEVIATION + DEVIATION, "stands there twice"),
        (DEVIATION.replace("2030-01-01", '"soon"'), "until is a date"),
    ],
)
def test_a_file_of_deviations_that_is_wrong_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text)
    with pytest.raises(DeviationError, match=complaint):
        read_deviations(path)
