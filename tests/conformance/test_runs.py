"""Cases that run more than once, or in pieces."""

from __future__ import annotations

import dataclasses

import pytest

from m43drivers.simulator.faults import faults_named
from m43drivers.simulator.profiles import PROFILES
from m43tools.conformance.bench import SimBench
from m43tools.conformance.cases import CASES, info_of
from m43tools.conformance.model import CaseResult
from m43tools.conformance.operations import SECOND
from m43tools.conformance.runner import Options, run_live
from m43tools.conformance.runs import Runs, Tally
from m43tools.conformance.stimuli import PIECE_NS, Soak
from m43tools.conformance.verdicts import Verdict

OLYMPUS = PROFILES["olympus-14-42"]


def result(verdict: Verdict, occasions: int = 1, message: str = "") -> CaseResult:
    breached = ("C4.4-1",) if verdict is Verdict.FAIL else ()
    return CaseResult(info_of(CASES["SES-010"]), verdict, "a", "b", message, breached, occasions)


def test_runs_that_differ_are_inconclusive_and_show_the_gravest() -> None:
    runs = Runs()
    for verdict in (Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.PASS):
        runs.add(result(verdict, message=f"a {verdict}"))
    told = runs.result
    assert told.verdict is Verdict.INCONCLUSIVE
    assert told.message == "PASS 3 times, FAIL 1 times in 4 runs, a flake rate of 25 %; a FAIL"
    assert told.runs == (Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.PASS)
    outer = Runs()
    outer.add(told)
    outer.add(result(Verdict.PASS))
    assert len(outer.result.runs) == 5


def test_runs_that_agree_keep_their_verdict() -> None:
    runs = Runs()
    runs.add(result(Verdict.FAIL))
    assert runs.result == result(Verdict.FAIL)
    runs.add(result(Verdict.FAIL))
    assert runs.result == dataclasses.replace(result(Verdict.FAIL), runs=(Verdict.FAIL, Verdict.FAIL))


def test_pieces_add_up_to_one_run() -> None:
    tally = Tally()
    for piece in (result(Verdict.PASS, 10), result(Verdict.FAIL, 10), result(Verdict.INCONCLUSIVE, 0)):
        tally.add(piece)
    assert (tally.result.verdict, tally.result.occasions, tally.result.runs) == (Verdict.FAIL, 20, ())
    assert tally.result.observed == "b (20 in all)"


@pytest.mark.parametrize("duration_ns", [SECOND, PIECE_NS, 2 * PIECE_NS + SECOND])
def test_no_poll_is_lost_between_pieces(duration_ns: int) -> None:
    report = run_live(SimBench(OLYMPUS), [CASES["SES-010"]], Options(soak=Soak(duration_ns)))
    (told,) = report.results
    assert told.verdict is Verdict.PASS
    assert told.occasions == duration_ns * 30 // SECOND - 1


def test_a_lens_that_dies_long_into_the_polling_is_found() -> None:
    bench = SimBench(OLYMPUS, faults_named(["yanked@12000"]))
    report = run_live(bench, [CASES["SES-010"]], Options(soak=Soak(14 * SECOND)))
    (told,) = report.results
    assert told.verdict is Verdict.FAIL
    assert told.occasions > 60  # it is not in the first piece
    assert report.lost
