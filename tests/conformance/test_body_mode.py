"""``m43 conform --role body``: the suite plays the lens, and every case that judges a body can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from m43drivers.simulator.script import load_script
from m43proto.messages import PUBLIC
from m43proto.pins import LINES, Line
from m43proto.timing import body_timing
from m43tools.cli import main
from m43tools.conform import recording_of
from m43tools.conformance.body_bench import SimBodyBench
from m43tools.conformance.body_mutants import BODY_MUTANTS, body_bench_with
from m43tools.conformance.body_selftest import GOOD_BODIES, body_kill_matrix, good_body
from m43tools.conformance.body_timings import BODY_DELAYS, body_spans_of
from m43tools.conformance.cases import BODY_CASES, CASES, selected
from m43tools.conformance.clauses import CLAUSES
from m43tools.conformance.model import to_json
from m43tools.conformance.operations import Pause, Recording
from m43tools.conformance.playing import BODY_STIMULI, LENSES, SESSION
from m43tools.conformance.runner import Options, run_live, run_passive
from m43tools.conformance.selftest import GOOD, Matrix, matrix_text
from m43tools.conformance.stimuli import Known
from m43tools.conformance.verdicts import Verdict
from tests.conformance.drawing import drawn

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "captures"
PUBLIC_CAPTURE = ROOT / "captures/bell-fakebody__lens-model__power-up/capture.sr"
BODY = "sim:E-P1"


# the tables


def test_body_cases_judge_what_binds_a_body() -> None:
    assert len(BODY_CASES) >= 25
    assert not set(BODY_CASES) & set(CASES)
    for case in BODY_CASES.values():
        assert case.role == "body"
        assert {CLAUSES[clause].role for clause in case.clauses} == {"body"}
        assert BODY_STIMULI[case.stimulus.name.removesuffix(" lens")] is case.stimulus
    for case in CASES.values():
        assert {CLAUSES[clause].role for clause in case.clauses} == {"lens"}


def test_every_lens_that_is_played_has_a_case() -> None:
    used = {case.stimulus.name for case in BODY_CASES.values()}
    assert used == {stimulus.name for stimulus in BODY_STIMULI.values()}
    assert set(BODY_STIMULI) == set(LENSES)


def test_every_body_case_is_meant_for_a_mutant() -> None:
    assert {case for mutant in BODY_MUTANTS.values() for case in mutant.meant} == set(BODY_CASES)


def test_cases_are_selected_by_role() -> None:
    assert {case.id for case in selected((), role="body")} == set(BODY_CASES)
    assert selected(["BOD-001"]) == ()
    assert selected(["FRM-001"], role="body") == ()
    assert [case.id for case in selected(["B2.1-*"], ["BOD-01*"], "body")] == [
        "BOD-006",
        "BOD-007",
        "BOD-008",
        "BOD-009",
    ]


# good and broken bodies


@pytest.mark.parametrize("name", GOOD_BODIES)
def test_a_good_body_passes_without_a_warning(name: str) -> None:
    """One of them meets every lens; the self-test lets all of them do so."""
    cases = [case for case in BODY_CASES.values() if case.stimulus is SESSION or name == "E-P1 slow"]
    report = run_live(good_body(name), cases, Options())
    assert {one.case.id: one.message for one in report.results if one.verdict not in GOOD} == {}
    assert len(report.results) == len(cases)
    assert {one.sanity for one in report.results} == {"alive"}


def test_a_broken_body_is_found_by_the_cases_written_for_it() -> None:
    """Some of them, drawn anew for each run; the self-test takes all, and CI runs it."""
    names = drawn(list(BODY_MUTANTS), 15)
    matrix = body_kill_matrix(names, quick=True, jobs=2)
    assert set(matrix.red) == set(names)
    assert (matrix.survivors, matrix.mild) == ({}, {})
    for name, found in matrix.red.items():
        musts = {case for case in BODY_MUTANTS[name].meant if CLAUSES[BODY_CASES[case].clauses[0]].level == "MUST"}
        assert {case for case, verdict in found.items() if verdict is Verdict.FAIL} == musts, name


def test_a_must_that_is_only_warned_of_is_told() -> None:
    """BOD-009 judges a MUST, BOD-024 an observation."""
    red = {"late_change": {"BOD-009": Verdict.WARN}, "no_hold": {"BOD-024": Verdict.WARN}}
    meant: dict[str, tuple[str, ...]] = {"late_change": ("BOD-009",), "no_hold": ("BOD-024",)}
    matrix = Matrix({}, red, meant, everything=False, what="bodies")
    assert matrix.mild == {"late_change": ("BOD-009",)}
    assert not matrix.whole
    assert "MILD late_change: BOD-009 only warned, though it is a MUST" in matrix_text(matrix)


def test_a_defect_makes_no_avalanche() -> None:
    cases = [case for case in BODY_CASES.values() if case.stimulus is SESSION]
    for name in ("most_significant_first", "long_word"):
        report = run_live(body_bench_with(BODY_MUTANTS[name], PUBLIC), cases, Options())
        red = [one.case.id for one in report.results if one.verdict in (Verdict.FAIL, Verdict.WARN)]
        assert 1 <= len(red) <= 4, (name, red)


def test_a_body_with_the_pace_of_the_public_program_is_only_warned() -> None:
    wanted = [case for case in BODY_CASES.values() if case.stimulus is SESSION or case.id in ("BOD-014", "BOD-061")]
    report = run_live(SimBodyBench("E-PL1", timing=body_timing("bell_body")), wanted, Options())
    warned = {one.case.id for one in report.results if one.verdict is not Verdict.PASS}
    assert warned == {"BOD-014", "BOD-061"}
    assert report.totals[Verdict.WARN] == 2


def test_a_body_whose_hand_takes_the_lens_off() -> None:
    bench = SimBodyBench(script=load_script("yank"))
    report = run_live(bench, [BODY_CASES["BOD-056"], BODY_CASES["BOD-045"]], Options())
    assert [(one.case.id, one.verdict) for one in report.results] == [
        ("BOD-045", Verdict.PASS),
        ("BOD-056", Verdict.PASS),
    ]


def test_what_a_body_does_not_do_is_inconclusive() -> None:
    bench = SimBodyBench(script=load_script("power-up"))
    [result] = run_live(bench, [BODY_CASES["BOD-044"]], Options()).results
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.observed == "no drives"


def test_a_body_that_says_nothing_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mute = tmp_path / "mute.toml"
    mute.write_text('step = [{do = "pause", ms = 5}]')
    assert main(["conform", "--role", "body", "--body", f"{BODY}?script={mute}", "BOD-001", "BOD-061"]) == 4
    told = capsys.readouterr()
    assert "the body was lost in good lens" in told.out
    assert "m43: the body was lost in BOD-001" in told.err


def test_the_same_run_gives_the_same_report() -> None:
    cases = selected(["BOD-00[6-9]", "BOD-050"], role="body")
    first, again = (to_json(run_live(good_body("E-P1 patient"), cases, Options())) for _ in range(2))
    assert json.dumps(first) == json.dumps(again)
    assert first["provenance"]["role"] == "body"
    assert first["provenance"]["lens"] == {}


def test_a_bench_of_a_body_refuses_what_is_done_to_lenses() -> None:
    with pytest.raises(TypeError, match="does not know Pause"):
        SimBodyBench().run([Pause(1)])


# passively


@pytest.mark.parametrize("name", ["late_change", "no_hold", "early_attention"])
def test_a_capture_shows_the_same_defect(name: str) -> None:
    held = body_bench_with(BODY_MUTANTS[name], PUBLIC).run(SESSION.operations(Known()))
    capture = Recording(held.changes, held.end_ns, held.lines)
    found = run_passive(capture, list(BODY_CASES.values()), Options(), role="body")
    red = {one.case.id for one in found.results if one.verdict in (Verdict.FAIL, Verdict.WARN)}
    assert set(BODY_MUTANTS[name].meant) == red


def warned(path: Path) -> set[str]:
    report = run_passive(recording_of(path), list(BODY_CASES.values()), Options(), role="body")
    assert not {one.case.id for one in report.results if one.verdict in (Verdict.FAIL, Verdict.ERROR)}
    return {one.case.id for one in report.results if one.verdict is Verdict.WARN}


def test_the_public_body_program_has_no_fail() -> None:
    """It holds no clock behind SelectLinkMode; that it pauses blindly does not show with a quick lens."""
    assert warned(PUBLIC_CAPTURE) == {"BOD-024"}


@pytest.mark.skipif(not SHARED.exists(), reason="the captures beside the repository are not here")
@pytest.mark.parametrize(
    ("name", "deviations"),
    [
        ("A0-tiny-powerup-3frames", {"BOD-024"}),
        ("B1-fakelens-vs-bodymodel-EP1", {"BOD-034", "BOD-035"}),
        ("D1a-corrupt-command-checksum", {"BOD-024"}),
    ],
)
def test_the_captures_beside_the_repository(name: str, deviations: set[str]) -> None:
    assert warned(SHARED / f"{name}.vcd") == deviations


@pytest.mark.skipif(not SHARED.exists(), reason="the captures beside the repository are not here")
def test_the_public_body_program_goes_on_behind_a_wrong_sum() -> None:
    recording = recording_of(SHARED / "D1a-corrupt-command-checksum.vcd")
    [result] = run_passive(recording, [BODY_CASES["BOD-047"]], Options(), role="body").results
    assert (result.verdict, result.occasions) == (Verdict.PASS, 1)


# the edges

_CLK, _DATA, _BODY_ACK = Line.CLK.mask, Line.DATA.mask, Line.BODY_ACK.mask
_LENS_ACK, _SLEEP = Line.LENS_ACK.mask, Line.SLEEP.mask
_REST = _CLK | _SLEEP


def test_every_delay_is_explained() -> None:
    held = good_body("E-P1 patient").run(SESSION.operations(Known()))
    assert set(body_spans_of(held.changes)) <= set(BODY_DELAYS)
    assert not body_spans_of([])


def test_edges_in_the_same_moment() -> None:
    """LENS_ACK that falls with BODY_ACK is what the body waited for; DATA that changes as CLK falls is not late."""
    turn = [(0, _REST), (100, _REST | _BODY_ACK), (200, _REST | _BODY_ACK | _LENS_ACK)]
    high = _REST | _BODY_ACK | _LENS_ACK
    for bit in range(16):
        data = _DATA * (bit % 2)
        turn += [(1000 + bit * 1000, (high & ~_CLK) | data), (1500 + bit * 1000, high | data)]
    turn.append((17_000, _REST))
    spans = body_spans_of(turn)
    assert "late data" not in spans
    assert {span.value_ns for span in spans["set-up"]} == {500}
    assert [span.value_ns for span in spans["hand-over"]] == [0]
    assert "hasty hand-over" not in spans
    assert [span.value_ns for span in spans["ready"]] == [800]


def test_a_byte_that_is_asked_for_again_too_soon() -> None:
    ready = _REST | _LENS_ACK
    changes = [(0, _REST), (100, ready)]
    for start in (1_000, 10_000):
        changes.append((start, ready | _BODY_ACK))
        for bit in range(8):
            at = start + 100 + bit * 1000
            changes += [(at, (ready | _BODY_ACK) & ~_CLK), (at + 500, ready | _BODY_ACK)]
        changes.append((start + 8_500, ready))
    spans = body_spans_of(changes)
    assert len(spans["lens byte"]) == 2
    assert [span.value_ns for span in spans["again"]] == [500]
    assert len(LINES) == 7


# the command line


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["--body", BODY, "BOD-001", "BOD-02[4-9]"], 0, ""),
        (["--body", f"{BODY}?script=focus-sweep&timing=fast", "BOD-042"], 0, ""),
        (["--body", f"{BODY}?timing=jittery&seed=3", "BOD-001"], 0, ""),
        (["--body", f"{BODY}?fault=late_change", "BOD-009"], 1, ""),
        (["--body", f"{BODY}?fault=no_hold", "BOD-024"], 0, ""),
        (["--body", f"{BODY}?fault=no_hold", "BOD-024", "--strict"], 1, ""),
        (["--body", f"{BODY}?script=power-up", "BOD-044"], 3, ""),
        (["--body", BODY, "FRM-001"], 2, "no case that judges a body is called FRM-001"),
        (["--body", "sim:E-P9"], 2, "bodies: E-P1, E-PL1"),
        (["--body", "sim:"], 2, "no body is called nothing"),
        (["--body", "serial:/dev/null"], 2, "no bridge of this project can do"),
        (["--body", f"{BODY}?speed=1"], 2, "keys script, timing, seed, fault"),
        (["--body", f"{BODY}?timing=none"], 2, "timing is one of"),
        (["--body", f"{BODY}?script=none"], 2, "no script is called none"),
        (["--body", f"{BODY}?script=stabilisation"], 2, "is provisional"),
        (["--body", f"{BODY}?fault=none"], 2, "fault is one of"),
        (["--body", f"{BODY}?fault=no_hold&timing=slow"], 2, "a timing of its own"),
        (["--body", BODY, "--capture", "x.vcd"], 2, "one of them"),
        (["--body", BODY, "--statement", "x.toml"], 2, "leave it out"),
        (["--lens", "sim:olympus-14-42"], 2, "and nothing else"),
        (["BOD-001"], 2, "say what to test: --body URL or --capture FILE"),
        (["--capture", str(PUBLIC_CAPTURE), "BOD-00*", "--skip", "BOD-005"], 0, ""),
        (["--list", "B2.1-5"], 0, ""),
    ],
)
def test_exit_codes(words: list[str], code: int, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--role", "body", *words]) == code
    told = capsys.readouterr().err
    assert complaint in told
    assert "Traceback" not in told


def test_a_body_needs_its_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--body", BODY]) == 2
    assert "--role lens tests --lens URL or --capture FILE" in capsys.readouterr().err


def test_the_list_names_the_role(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--role", "body", "--list"]) == 0
    *rows, chapters, total = capsys.readouterr().out.splitlines()
    assert len(rows) == len(BODY_CASES)
    assert all("  body  " in row for row in rows)
    assert total == f"{len(BODY_CASES)} of {len(BODY_CASES)} cases"
    assert "b4_reaction" in chapters


def test_reports_tell_the_role_and_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = {form: tmp_path / f"report.{form}" for form in ("json", "html", "junit")}
    outputs = [word for form, path in paths.items() for word in (f"--{form}", str(path))]
    assert main(["conform", "--role", "body", "--body", f"{BODY}?fault=no_hold", "BOD-024", *outputs]) == 0
    held = json.loads(paths["json"].read_text())
    assert held["provenance"]["role"] == held["results"][0]["case"]["role"] == "body"
    assert held["provenance"]["lens_url"] == f"{BODY}?fault=no_hold"
    page = paths["html"].read_text()
    assert "judges the body" in page
    assert "afterwards the body was alive" in page
    assert "BOD-024" in paths["junit"].read_text()
    capsys.readouterr()
    assert main(["conform", "rerun", str(paths["json"])]) == 0
    assert "BOD-024  WARN" in capsys.readouterr().out


def test_a_known_deviation_of_a_body(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = tmp_path / "known.toml"
    known.write_text('[[deviation]]\nid = "BOD-009"\nmessage = "late data"\nreason = "old chip"\nuntil = 2999-01-01\n')
    words = ["conform", "--role", "body", "--body", f"{BODY}?fault=late_change", "BOD-009", "--deviations", str(known)]
    assert main(words) == 0
    assert "[known: old chip]" in capsys.readouterr().out


def test_the_selftest_names_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "selftest", "--quick", "--only", "no_hold"]) == 0
    out = capsys.readouterr().out
    assert "*BOD-024" in out
    assert "1 of 1 broken bodies" in out
