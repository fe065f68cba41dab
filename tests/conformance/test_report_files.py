"""Reports as files: JSON and its schema, JUnit, what differs between two, and the run that is done again."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from m43tools.cli import main
from m43tools.conformance.model import Edge, Exchange, measured, to_json
from m43tools.conformance.report import (
    ReportError,
    html_text,
    json_text,
    junit_text,
    read_report,
    report_from,
    write_report,
)
from m43tools.conformance.report.commands import COMMANDS
from m43tools.conformance.report.diagram import diagram_of
from m43tools.conformance.report.diff import diff_reports
from m43tools.conformance.report.gauge import gauge_of
from m43tools.conformance.report.rerun import check_capture, rerun_arguments
from m43tools.conformance.report.schema import SCHEMA_FILE, schema, schema_text
from m43tools.conformance.report.words import chapter_title, figure, subjects
from m43tools.conformance.verdicts import Verdict
from tests.conformance.report_samples import HOSTILE, exchange, report, with_verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43tools.conformance.model import CaseResult, Report

ROOT = Path(__file__).parents[2]


def closed(form: Any) -> Any:
    """Return a schema that forbids every key that it does not know."""
    if isinstance(form, dict):
        inner = {key: closed(one) for key, one in form.items()}
        return {**inner, "additionalProperties": False} if "properties" in form else inner
    return [closed(one) for one in form] if isinstance(form, list) else form


def changed(whole: Report, case_id: str, **values: Any) -> Report:
    results = [replace(one, **values) if one.case.id == case_id else one for one in whole.results]
    return replace(whole, results=tuple(results))


def result_of(whole: Report, case_id: str) -> CaseResult:
    return next(one for one in whole.results if one.case.id == case_id)


# JSON


def test_the_published_schema_is_the_one_of_the_records() -> None:
    published = ROOT / "specs" / "schema" / SCHEMA_FILE
    assert published.read_text(encoding="utf-8") == schema_text(), "stale: run m43 export schema"


def test_the_schema_is_a_schema_and_tells_what_everything_is() -> None:
    Draft202012Validator.check_schema(schema())
    forms = [schema(), *schema()["$defs"].values()]
    assert all(form["description"] for form in forms)
    assert all(one["description"] for form in forms for one in form.get("properties", {}).values())


@pytest.mark.parametrize("timing", ["bell_lens", "slow"])
def test_a_report_keeps_its_schema_and_has_no_key_beyond_it(timing: str) -> None:
    value = json.loads(json_text(report(timing=timing)))
    Draft202012Validator(closed(schema())).validate(value)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda value: value.pop("totals"),
        lambda value: value["totals"].pop("FAIL"),
        lambda value: value.update(version=2),
        lambda value: value["results"][0].update(verdict="MAYBE"),
        lambda value: value["results"][0].update(duration_ns=-1),
        lambda value: value["results"][0]["exchange"]["edges"][0].update(t_ns=1.5),
        lambda value: value["provenance"].update(seed="43"),
    ],
)
def test_the_schema_refuses_what_is_no_report(break_it: Callable[[Any], object]) -> None:
    value = json.loads(json_text(report()))
    break_it(value)
    assert list(Draft202012Validator(schema()).iter_errors(value))


def test_the_json_is_that_of_the_model_and_the_same_each_time() -> None:
    assert json.loads(json_text(report())) == to_json(report())
    assert json_text(report()) == json_text(copy.deepcopy(report()))
    assert json_text(report()).count("\n") < 2_000


def test_a_report_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(report(timing="slow"), "json", path)
    assert read_report(path) == report(timing="slow")


def test_half_a_character_in_a_name_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_report(report(lens=HOSTILE), "json", path)
    assert read_report(path).provenance.lens["lens"] == HOSTILE


def test_a_key_that_a_later_version_adds_is_passed_over() -> None:
    value = to_json(report())
    value["results"][0]["mood"] = "fine"
    assert report_from(value) == report()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no conformance report"),
        ('{"format": "m43-conformance-report", "version": 7}', "version 7 of the form; this m43 reads version 1"),
        ('{"format": "m43-conformance-report", "version": 1}', "the key 'provenance' is missing"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_file_that_is_no_report_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=re.escape(said)) as refused:
        read_report(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("verdict", "MAYBE", "results[2].verdict: expected one of ERROR, FAIL"),
        ("occasions", True, "results[2].occasions: expected an integer, got true"),
        ("case", [], "results[2].case: expected an object"),
        ("measurements", {}, "results[2].measurements: expected a list"),
        ("message", None, "results[2].message: expected a text, got null"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_place(key: str, value: object, said: str) -> None:
    whole = to_json(report())
    whole["results"][2][key] = value
    with pytest.raises(ReportError, match=re.escape(said)):
        report_from(whole)


def test_a_report_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"none\.json: cannot be read: No such file"):
        read_report(tmp_path / "none.json")


# JUnit

OUTCOME = {
    Verdict.FAIL: Failure,
    Verdict.ERROR: Error,
    Verdict.INCONCLUSIVE: Skipped,
    Verdict.NOT_APPLICABLE: Skipped,
    Verdict.PASS: None,
    Verdict.WARN: None,
    Verdict.INFO: None,
}


def suite_of(whole: Report) -> TestSuite:
    [suite] = JUnitXml.fromstring(junit_text(whole).encode())
    assert isinstance(suite, TestSuite)
    return suite


@pytest.mark.parametrize("verdict", Verdict)
def test_a_skip_is_never_a_pass_and_an_error_never_a_skip(verdict: Verdict) -> None:
    tests: list[TestCase] = list(suite_of(with_verdict(report(), "FRM-001", verdict)))
    [test] = [test for test in tests if test.name.startswith("FRM-001 ")]
    assert test.classname == "s3_framing"
    expected = OUTCOME[verdict]
    assert [type(one) for one in test.result] == ([expected] if expected else [])
    if expected:
        assert test.result[0].message.startswith(f"{verdict}: ")
    else:
        assert test.system_out.startswith(f"{verdict}: ")


def test_the_counts_of_a_suite_are_those_of_its_tests() -> None:
    suite = suite_of(report(timing="slow"))
    counted = suite.tests, suite.failures, suite.errors, suite.skipped
    suite.update_statistics()  # type: ignore[no-untyped-call]  # of junitparser
    assert counted == (suite.tests, suite.failures, suite.errors, suite.skipped) == (8, 1, 1, 2)


def test_a_failure_tells_what_was_expected_and_seen_and_where_it_comes_from() -> None:
    suite = suite_of(report(timing="slow"))
    [failure] = [test.result[0] for test in suite if test.result and isinstance(test.result[0], Failure)]
    assert failure.type == "C3.2-1"
    for words in ("expected: the lens sends 47", "observed: the lens sent 46", "clauses: C3.2-1", "Status"):
        assert words in failure.text
    properties = suite.properties()  # type: ignore[no-untyped-call]  # of junitparser
    assert {one.name: one.value for one in properties}["seed"] == "43"


def test_characters_that_xml_cannot_hold_are_written_out() -> None:
    text = junit_text(report(lens=HOSTILE))
    assert "\\x01" in text
    assert "\\xd800" in text
    assert suite_of(report(lens=HOSTILE)).name.startswith("m43 conform: <script>")


# HTML, as far as it takes no browser


def test_the_page_names_no_other_place() -> None:
    text = html_text(report(), report("panasonic-pz-14-42", "slow"))
    assert re.findall(r"(?:https?:)?//[\w.]+|url\(|@import|<link|<iframe|<img|\ssrc=", text) == []


def test_the_page_holds_no_id_twice() -> None:
    ids = re.findall(r'\sid="([^"]+)"', html_text(report(), report("panasonic-pz-14-42", "slow")))
    assert len(ids) == len(set(ids)) > 20


def test_the_page_is_the_same_each_time() -> None:
    assert html_text(report()) == html_text(report())


def test_a_case_that_one_report_has_not_is_not_run_there() -> None:
    less = replace(report(), results=report().results[1:])
    text = html_text(report(), less)
    assert "not run" in text
    assert "This report has no such case." in text
    assert "not run" not in html_text(report())


def test_a_margin_behind_its_limit_is_broken_and_a_small_one_thin() -> None:
    figures = (measured("late", "ns", [11_000], high=10_000), measured("close", "ns", [9_500], high=10_000))
    text = html_text(changed(report(), "LNK-002", measurements=figures))
    assert re.search(r'<tr class="broken"><th scope="row">late', text)
    assert re.search(r'<tr class="thin"><th scope="row">close', text)
    assert "−10.0 %" in text


def test_a_diagram_shows_the_bytes_that_the_engine_decodes() -> None:
    shown = exchange("olympus-14-42", "bell_lens", "Status")
    words = re.findall(r">([^<>]+)</t", diagram_of(shown, "it"))
    assert [word for word in words if word in ("C1", "80", "01", "06")] == ["C1", "80", "01", "06"]
    assert diagram_of(replace(shown, edges=()), "it") == ""


def test_a_diagram_without_ack_lines_has_its_bytes_too() -> None:
    shown = exchange("olympus-14-42", "bell_lens", "Status")
    bare = {line: shown.initial[line] for line in ("CLK", "DATA")}
    drawn = diagram_of(replace(shown, initial=bare), "it")
    assert ">C1<" in drawn
    assert "LENS_ACK" not in drawn


def stretched(by_ns: int) -> Exchange:
    """Return a poll whose last edge, and the end of the window, come later."""
    shown = exchange("olympus-14-42", "bell_lens", "Status")
    *edges, last = shown.edges
    later = replace(last, t_ns=last.t_ns + by_ns)
    return replace(shown, edges=(*edges, later), end_ns=max(shown.end_ns, later.t_ns))


def test_a_long_rest_is_cut_short_and_says_how_long_it_was() -> None:
    drawn = diagram_of(stretched(27_000_000), "it")
    assert re.search(r"⋯ 27\.\d ms ⋯", drawn)
    assert "26 ms" not in drawn
    usual = diagram_of(stretched(0), "it")
    assert "⋯" not in usual
    widths = [float(re.findall(r'width="([\d.]+)"', one)[0]) for one in (usual, drawn)]
    assert widths[1] < 1.3 * widths[0]


def test_the_axis_counts_from_the_start_of_the_exchange_and_skips_the_first_rest() -> None:
    shown = exchange("olympus-14-42", "bell_lens", "Status")
    early = replace(shown, t_ns=shown.t_ns - 1_000_000)
    first = [re.findall(r">([\d.\u202f]+) µs<", diagram_of(one, "it"))[0] for one in (shown, early)]
    assert first == ["0", "1\u202f000"]


def test_edges_that_are_far_apart_are_no_rests() -> None:
    shown = exchange("olympus-14-42", "bell_lens", "Status")
    edges = tuple(Edge(shown.t_ns + at * 16_000_000, "SHUTTER", at % 2) for at in range(1, 5))
    drawn = diagram_of(replace(shown, edges=edges, end_ns=shown.t_ns + 80_000_000), "it")
    assert "SHUTTER" in drawn
    assert "⋯" not in drawn
    assert "ms<" in drawn


def test_edges_that_were_left_out_end_the_drawing() -> None:
    shown = exchange("olympus-14-42", "bell_lens", "Status")
    cut = replace(shown, edges=shown.edges[:70], cut=len(shown.edges) - 70)
    assert ">80<" in diagram_of(cut, "it")
    assert ">06<" not in diagram_of(cut, "it")
    assert f"{cut.cut} later edges are left out" in html_text(changed(report(), "LNK-001", exchange=cut))


def test_a_measurement_without_a_limit_has_no_gauge() -> None:
    assert gauge_of(measured("busy", "ns", [1, 2])) == ""
    assert gauge_of(measured("busy", "ns", [1, 2], high=3)).count('class="limit"') == 1
    assert gauge_of(measured("busy", "ns", [1, 2], low=1, high=3)).count('class="limit"') == 2


def test_figures_and_names() -> None:
    assert [figure(12345), figure(-1.25, 1), figure(0)] == ["12\u202f345", "−1.2", "0"]
    assert [chapter_title("s5_power_zoom"), chapter_title("odd")] == ["5 Power zoom", "odd"]
    same = report(), report(firmware="1.1")
    assert [name.rpartition(", ")[2] for name in subjects(same)] == ["firmware 1.0", "firmware 1.1"]
    twin = report()
    faulty = replace(twin, provenance=replace(twin.provenance, lens_url="sim:olympus-14-42?fault=lost_bit"))
    assert subjects([twin, faulty])[1].endswith(", sim:olympus-14-42?fault=lost_bit")
    assert subjects([twin, twin]) == subjects([twin]) * 2


# what differs


def test_nothing_differs_between_a_report_and_itself() -> None:
    assert diff_reports(report(), report()).empty


def test_new_failures_and_mended_ones() -> None:
    failing = with_verdict(report(), "FRM-001", Verdict.FAIL)
    assert [one.case_id for one in diff_reports(report(), failing).newly_failing] == ["FRM-001"]
    assert [one.case_id for one in diff_reports(failing, report()).fixed] == ["FRM-001"]
    assert diff_reports(failing, failing).empty


def test_a_case_that_nobody_could_judge_is_not_mended() -> None:
    failing = with_verdict(report(), "FRM-001", Verdict.FAIL)
    unknown = with_verdict(report(), "FRM-001", Verdict.INCONCLUSIVE)
    found = diff_reports(failing, unknown)
    assert found.fixed == ()
    assert [one.after for one in found.turned] == [Verdict.INCONCLUSIVE]


def test_a_case_that_is_new_and_fails_is_a_new_failure() -> None:
    failing = with_verdict(report(), "LNK-001", Verdict.FAIL)
    less = replace(report(), results=report().results[1:])
    [turned] = diff_reports(less, failing).newly_failing
    assert (turned.before, turned.after) == (None, Verdict.FAIL)


def test_timing_that_moved_is_told_in_per_cent() -> None:
    slower = (measured("CLK rises to LENS_ACK falls", "ns", [10, 20, 30], high=100),)
    faster = (measured("CLK rises to LENS_ACK falls", "ns", [10, 19, 45], high=100),)
    before = changed(report(), "LNK-002", measurements=slower)
    after = changed(report(), "LNK-002", measurements=faster)
    moved = [(one.statistic, one.percent) for one in diff_reports(before, after, threshold_percent=5).moved]
    assert moved == [("maximum", 50.0), ("median", -5.0)]
    assert len(diff_reports(before, after, threshold_percent=6).moved) == 1
    from_zero = changed(report(), "LNK-002", measurements=(replace(slower[0], maximum=0),))
    assert diff_reports(from_zero, after).moved[0].percent is None


def with_block(whole: Report, case_id: str, block: str) -> Report:
    shown = result_of(whole, case_id).exchange
    assert isinstance(shown, Exchange)
    moments = tuple(
        replace(one, data={**one.data, "data": block}) if one.kind == "message" else one for one in shown.moments
    )
    return changed(whole, case_id, exchange=replace(shown, moments=moments))


def test_changed_bytes_are_told_with_their_places_and_once() -> None:
    before = with_block(with_block(report(), "LNK-001", "c2e10000"), "LNK-002", "c2e10000")
    after = with_block(with_block(report(), "LNK-001", "c2e20001"), "LNK-002", "c2e20001")
    [found] = diff_reports(before, after).changed_bytes
    assert (found.case_id, found.name, found.command, found.offsets) == ("LNK-001", "Status", "c1800106", (1, 3))


def test_what_the_lens_says_of_itself_is_compared() -> None:
    assert diff_reports(report(), report(firmware="1.1")).identity == (("lens firmware", "1.0", "1.1"),)


# the run again


def test_a_run_is_done_again_with_its_seed_and_without_its_outputs() -> None:
    assert rerun_arguments(report()) == ("conform", "--lens", "sim:olympus-14-42", "--seed", "43")
    words = ("conform", "--seed=7", "--json=a.json", "--html", "a.html", "--junit", "a.xml", "--lens", "sim:x")
    told = replace(report(), provenance=replace(report().provenance, command_line=words))
    assert rerun_arguments(told) == ("conform", "--seed=7", "--lens", "sim:x")


def test_a_report_without_its_command_line_cannot_be_run_again() -> None:
    with pytest.raises(ReportError, match="command_line is empty"):
        rerun_arguments(replace(report(), provenance=replace(report().provenance, command_line=())))


@pytest.mark.parametrize("words", [("--capture", "{}"), ("--capture={}",), ()])
def test_a_capture_that_has_changed_is_noticed(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "capture.sr"
    path.write_bytes(b"edges")
    named = tuple(word.format(path) for word in words)
    from_ = replace(
        report().provenance,
        capture=str(path),
        capture_sha256=hashlib.sha256(b"edges").hexdigest(),
        command_line=("conform", *named),
    )
    told = replace(report(), provenance=from_)
    check_capture(told)
    path.write_bytes(b"others")
    with pytest.raises(ReportError, match="not the capture of the report"):
        check_capture(told)
    path.unlink()
    with pytest.raises(ReportError, match="cannot be read"):
        check_capture(told)


# the commands


def run(name: str, *words: object) -> tuple[int, str]:
    command = next(command for command in COMMANDS if command.name == name)
    done = CliRunner().invoke(click.Group(commands=[command]), [name, *map(str, words)])
    return done.exit_code, done.output


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.json", tmp_path / "b.json"
    after = with_block(with_verdict(report(firmware="1.1"), "FRM-001", Verdict.FAIL), "LNK-001", "c2e2")
    write_report(with_block(report(), "LNK-001", "c2e1"), "json", paths[0])
    write_report(changed(after, "STA-002", measurements=(measured("busy", "ns", [0]),)), "json", paths[1])
    return paths


def test_diff_tells_and_fails_for_new_failures_only(two: tuple[Path, Path]) -> None:
    code, said = run("diff", *two)
    assert code == 1
    for line in (
        "newly failing:",
        "  FRM-001  PASS → FAIL  The sum of a command is right: 47 to C1 80 01 06, and right to 11 others",
        "  STA-002  -100.0 %  busy, maximum: 9.800 → 0.000 ms",
        "  LNK-001  Status (C1 80 01 06), at 1 of the block",
        "    + C2 E2",
        "  lens firmware: 1.0 → 1.1",
    ):
        assert line in said.splitlines()
    assert run("diff", two[1], two[0])[0] == 0
    assert run("diff", two[0], two[0]) == (0, "no difference\n")


def test_diff_for_programs(two: tuple[Path, Path]) -> None:
    code, said = run("diff", *two, "--format", "json")
    assert code == 1
    assert [one["case_id"] for one in json.loads(said)["newly_failing"]] == ["FRM-001"]


def test_rerun_prints_its_command_line(two: tuple[Path, Path]) -> None:
    assert run("rerun", "--print", two[0]) == (0, "m43 conform --lens sim:olympus-14-42 --seed 43\n")
    assert run("rerun", "--print", two[0], "--json", "c d.json")[1].endswith(" --json 'c d.json'\n")


def test_html_of_several_reports(two: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run("html", *two, "-o", page) == (0, "")
    assert page.read_text(encoding="utf-8") == html_text(*map(read_report, two))
    assert run("html")[0] == 2


def test_a_real_run_is_written_in_every_form_and_done_again_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again, page, junit = (tmp_path / name for name in ("a.json", "b.json", "a.html", "a.xml"))
    run_of = ["conform", "--lens", "sim:olympus-14-42", "FRM-001", "LNK-002"]
    assert main([*run_of, "--json", str(first), "--html", str(page), "--junit", str(junit)]) == 0
    Draft202012Validator(closed(schema())).validate(json.loads(first.read_bytes()))
    assert main(["conform", "rerun", str(first), "--json", str(again)]) == 0
    assert again.read_bytes() == first.read_bytes()
    assert main(["conform", "diff", str(first), str(again)]) == 0
    assert "no difference" in capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == html_text(read_report(first))
    assert len(list(suite_of(read_report(first)))) == 2


def test_a_broken_report_is_one_line_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    for words in (["diff", path, path], ["rerun", path], ["html", path]):
        assert main(["conform", *map(str, words)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS, ids=[str(command.name) for command in COMMANDS])
def test_each_command_has_examples_and_exit_codes(command: click.Command) -> None:
    assert "Examples:" in (command.help or "")
    assert (command.epilog or "").startswith("Exit codes: ")
