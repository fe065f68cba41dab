"""``m43 conform``: whether a lens, or a body, keeps the protocol, on a bench or in a capture."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import time
from collections import Counter
from contextlib import closing
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import click

from m43drivers.capture import open_capture
from m43drivers.lines import lines_by_name, without_dead_lines
from m43drivers.observe import changes_of
from m43drivers.simulator.faults import faults_named
from m43drivers.simulator.profiles import profile_named
from m43drivers.transport import TransportLostError, TransportTimeoutError
from m43proto.errors import M43Error
from m43proto.records import record
from m43proto.timing import JITTERY, LENS_TIMINGS, lens_timing
from m43tools.catalogues import combined
from m43tools.conformance.bench import BenchLostError, SimBench
from m43tools.conformance.body_urls import body_bench_of
from m43tools.conformance.cases import BODY_CHAPTERS, CHAPTERS, ROLES, info_of, selected
from m43tools.conformance.deviations import excused, read_deviations
from m43tools.conformance.operations import Recording
from m43tools.conformance.report.commands import COMMANDS, told
from m43tools.conformance.report.diff import diff_reports
from m43tools.conformance.report.reading import read_report
from m43tools.conformance.runner import Options, interviewed, run_live, run_passive
from m43tools.conformance.statement import read_statement, statement_of, statement_toml
from m43tools.conformance.stimuli import Soak
from m43tools.conformance.trace import Trace
from m43tools.conformance.verdicts import EXIT_LOST, Verdict, exit_code
from m43tools.output import open_output
from m43tools.units import TIME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from m43proto.catalogue import Catalogue
    from m43tools.conformance.bench import Bench
    from m43tools.conformance.judging import Case
    from m43tools.conformance.model import CaseResult, Report

__all__ = ["bench_of", "conform", "recording_of"]

_EXITS = (
    "Exit codes: 0 all passed (a WARN does not fail); 1 a FAIL; 2 wrong usage, or no case selected; 3 INCONCLUSIVE or "
    "ERROR; 4 the lens, the body or the bridge was lost, or no bridge answers."
)

FORMS = ("json", "junit", "html")
"""What a report can be written as; `m43tools.conformance.report` writes it."""


class _ConformGroup(click.Group):
    """Runs the suite itself when no subcommand is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave words that name cases to the callback."""
        words = [word for word in args if word in self.commands]
        if words:
            return super().parse_args(ctx, args)
        ctx.obj_cases = _case_words(self, args)  # type: ignore[attr-defined]
        return super().parse_args(ctx, [word for word in args if word not in ctx.obj_cases])  # type: ignore[attr-defined]


def _case_words(command: click.Group, args: Sequence[str]) -> list[str]:
    """Return the words that are neither options nor their values."""
    takes = {name for one in command.params if isinstance(one, click.Option) and not one.is_flag for name in one.opts}
    words, skip = [], False
    for word in args:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in takes
        else:
            words.append(word)
    return words


@click.group(
    cls=_ConformGroup,
    invoke_without_command=True,
    short_help="Test whether a lens or a body keeps the protocol, live or on a capture.",
    subcommand_metavar="[CASE]... | COMMAND",
    epilog=_EXITS,
)
@click.option(
    "--lens",
    "url",
    metavar="URL",
    help="The lens: sim:PROFILE[?fault=NAME[@N]&timing=NAME&seed=N], serial:PORT or socket:HOST:PORT.",
)
@click.option(
    "--role", type=click.Choice(list(ROLES)), default="lens", show_default=True, help="Whom to judge, lens or body."
)
@click.option(
    "--body",
    "body_url",
    metavar="URL",
    help="The body, with --role body: sim:DIALECT[?script=NAME&timing=NAME&seed=N&fault=NAME].",
)
@click.option("--capture", type=click.Path(path_type=Path), metavar="FILE", help="Judge a capture instead.")
@click.option("--skip", "skipped", multiple=True, metavar="CASE", help="Leave these out; written like CASE.")
@click.option("--list", "listing", is_flag=True, help="Name the selected cases, with counts, and run none.")
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, help="Run each case so often.")
@click.option(
    "--duration",
    callback=TIME,
    metavar="TIME",
    help="Run all cases in rounds until so much time of the bus has passed.",
)
@click.option(
    "--poll-time", callback=TIME, default="5s", show_default=True, metavar="TIME", help="Length of each polling case."
)
@click.option("--shuffle", is_flag=True, help="Let the seed decide the order, of each round anew.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="What decides all that is random.")
@click.option("--strict", is_flag=True, help="Take every clause as a MUST: a WARN becomes a FAIL.")
@click.option("--allow-risky", is_flag=True, help="Run cases that may harm a lens, too.")
@click.option(
    "--statement", type=click.Path(path_type=Path), metavar="FILE", help="Hold the lens to this capability statement."
)
@click.option("--deviations", type=click.Path(path_type=Path), metavar="FILE", help="Known deviations, as TOML.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    metavar="REPORT",
    help="An earlier report (JSON): tell what differs, and let only what came otherwise decide the exit code.",
)
@click.option("--json", "json", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as JSON.")
@click.option("--junit", "junit", type=click.Path(path_type=Path), metavar="FILE", help="Write it as JUnit XML.")
@click.option("--html", "html", type=click.Path(path_type=Path), metavar="FILE", help="Write it as one HTML page.")
@click.option("--brief", is_flag=True, help="Leave exchanges out of the report: no edges, no diagrams.")
@click.option("-q", "--quiet", is_flag=True, help="Only name what did not pass, and the totals.")
@click.pass_context
def conform(ctx: click.Context, /, **options: Any) -> None:
    r"""Test whether a lens, or a body, keeps the protocol: numbered cases, tied to clauses of specs/6-conformance.md.

    CASE is an id (FRM-003), a glob ('FRM-*'), a clause (C3.2-1), a tag (timing) or a chapter (s3_framing); without one,
    all cases run. A case is a stimulus and a judgement: with --lens the stimulus is made on a bench, with --capture the
    traffic is what was recorded, and what did not happen there is INCONCLUSIVE. With --role body the suite plays the
    lens, a good one and many that are not, and judges the body.

    A case that runs more than once, by --repeat or --duration, is INCONCLUSIVE where its verdicts differ, and tells its
    flake rate. Times are those of the bus: a simulated lens is quicker than they are.

    \b
    Examples:
      m43 conform --lens sim:olympus-14-42
      m43 conform --lens 'sim:olympus-14-42?fault=wrong_data_sum' 'FRM-*'
      m43 conform --lens serial:/dev/ttyACM0     # a bridge that can move single lines
      m43 conform --capture power-up.sr --json report.json
      m43 conform --role body --body sim:E-P1
      m43 conform --role body --body 'sim:E-PL1?script=focus-sweep&timing=slow' --html body.html
      m43 conform --role body --capture power-up.sr
      m43 conform --lens sim:olympus-14-42 --baseline firmware-1.0.json --json firmware-1.1.json
      m43 conform --lens sim:olympus-14-42 soak --poll-time 2m
      m43 conform --lens sim:olympus-14-42 --duration 1h --shuffle --seed 7
      m43 conform --list timing
      m43 conform statement --lens sim:panasonic-20 -o lens.toml
      m43 conform selftest
    """
    if ctx.invoked_subcommand is not None:
        return
    words = tuple(getattr(ctx, "obj_cases", ()))
    catalogues = tuple(ctx.find_root().obj or ())
    request = _Request(words=words, catalogues=catalogues, catalogue=combined(catalogues), **options)
    ctx.exit(_conform(request))


_FLAGS = ("shuffle", "strict", "allow_risky", "brief")


@record(frozen=True, slots=True, kw_only=True)
class _Request:
    """The command line."""

    words: tuple[str, ...]
    catalogues: tuple[str, ...]
    catalogue: Catalogue
    url: str | None
    role: str
    body_url: str | None
    capture: Path | None
    skipped: tuple[str, ...]
    listing: bool
    repeat: int
    duration: Fraction | None
    poll_time: Fraction
    shuffle: bool
    seed: int
    strict: bool
    allow_risky: bool
    statement: Path | None
    deviations: Path | None
    baseline: Path | None
    json: Path | None
    junit: Path | None
    html: Path | None
    brief: bool
    quiet: bool

    @property
    def outputs(self) -> dict[str, Path]:
        files = {form: getattr(self, form) for form in FORMS}
        return {form: path for form, path in files.items() if path is not None}

    @property
    def options(self) -> Options:
        """Return how to run; the command line that the report keeps names no report."""
        return Options(
            strict=self.strict,
            allow_risky=self.allow_risky,
            repeat=self.repeat,
            shuffle=self.shuffle,
            seed=self.seed,
            duration_ns=int(self.duration or 0),
            soak=Soak(int(self.poll_time)),
            statement=read_statement(self.statement) if self.statement else {},
            catalogue=self.catalogue,
            command_line=self._words(),
            brief=self.brief,
        )

    def _words(self) -> tuple[str, ...]:
        found = [word for one in self.catalogues for word in ("--catalogue", one)]
        found += ["conform"]
        found += ["--lens", self.url] if self.url else []
        found += ["--role", self.role] if self.role != "lens" else []
        found += ["--body", self.body_url] if self.body_url else []
        found += ["--capture", str(self.capture)] if self.capture else []
        found += ["--statement", str(self.statement)] if self.statement else []
        found += ["--deviations", str(self.deviations)] if self.deviations else []
        found += ["--baseline", str(self.baseline)] if self.baseline else []
        found += [word for one in self.skipped for word in ("--skip", one)]
        found += [f"--{name.replace('_', '-')}" for name in _FLAGS if getattr(self, name)]
        found += ["--repeat", str(self.repeat), "--poll-time", f"{int(self.poll_time)}ns"]
        found += ["--duration", f"{int(self.duration)}ns"] if self.duration is not None else []
        found += ["--seed", str(self.seed)]
        return (*found, *self.words)


def _conform(request: _Request) -> int:
    cases = selected(request.words, request.skipped, request.role)
    if not cases:
        named = f"no case that judges a {request.role} is called {' '.join(request.words) or '-'}"
        raise click.UsageError(f"{named}; m43 conform --list --role {request.role} names them all")
    if request.listing:
        _list(cases)
        return 0
    _check_role(request)
    deviations = read_deviations(request.deviations) if request.deviations else {}
    baseline = read_report(request.baseline) if request.baseline else None
    today = date.today()
    tell = _teller(quiet=request.quiet)
    report = _report(request, cases, lambda result: tell(excused(result, deviations, today)))
    results = tuple(excused(result, deviations, today) for result in report.results)
    report = dataclasses.replace(report, results=results)
    for form, path in request.outputs.items():
        import_module("m43tools.conformance.report").write_report(report, form, path)
    _tell_totals(report, request.seed)
    if report.interrupted:
        return 130
    if baseline is None:
        return exit_code((one.verdict for one in results), lost=report.lost)
    return _exit_beside(baseline, report)


def _exit_beside(baseline: Report, report: Report) -> int:
    """Tell what differs from the baseline; what came as it did there decides nothing."""
    for line in told(diff_reports(baseline, report)):
        click.echo(line)
    before = {one.case.id: one.verdict for one in baseline.results}
    turned = [one.verdict for one in report.results if before.get(one.case.id) is not one.verdict]
    return exit_code(turned or [Verdict.PASS], lost=report.lost and not baseline.lost)


def _check_role(request: _Request) -> None:
    """See that there is one thing to test, and that it fits the role."""
    live, other = (request.url, request.body_url) if request.role == "lens" else (request.body_url, request.url)
    if other is not None:
        raise click.UsageError(f"--role {request.role} tests --{request.role} URL or --capture FILE, and nothing else")
    if (live is None) == (request.capture is None):
        raise click.UsageError(f"say what to test: --{request.role} URL or --capture FILE, one of them")
    if request.role == "body" and request.statement is not None:
        raise click.UsageError("--statement is what a lens declares; leave it out with --role body")


def _report(request: _Request, cases: Sequence[Case], tell: Callable[[CaseResult], None]) -> Report:
    if request.body_url is not None:
        return _live_report(body_bench_of(request.body_url, request.catalogue), request, cases, tell)
    if request.url is not None:
        return _live_report(bench_of(request.url, request.catalogue), request, cases, tell)
    assert request.capture is not None
    recording = recording_of(request.capture)
    sha256 = hashlib.sha256(request.capture.read_bytes()).hexdigest() if request.capture.is_file() else ""
    return run_passive(
        recording, cases, request.options, tell, capture=request.capture.name, sha256=sha256, role=request.role
    )


def _live_report(opened: Bench, request: _Request, cases: Sequence[Case], tell: Callable[[CaseResult], None]) -> Report:
    with closing(opened) as bench:
        report = run_live(bench, cases, request.options, tell, _noter())
    if report.lost:
        click.echo(f"m43: {bench.error or _lost(report)}", err=True)
    return report


def recording_of(path: Path) -> Recording:
    """Return a capture as a recording.

    Raises:
        CaptureError: it cannot be read, or CLK and DATA are not in it.
    """
    capture = open_capture((path,))
    mapping, _ = without_dead_lines(lines_by_name(capture))
    return Recording(changes_of(mapping), capture.end_ns, tuple(mapping))


_KEYS = ("fault", "timing", "seed")


def bench_of(url: str, catalogue: Catalogue) -> Bench:
    """Return the bench that a user names.

    Raises:
        ConformError: there is no such bench, or an option of it is wrong.
        TransportError: there is no such bridge, or it cannot move single lines.
        ProfileError: there is no such profile.
        FaultError: there is no such fault.
    """
    scheme, _, address = url.partition(":")
    if scheme in ("serial", "socket"):
        return _bridge_bench(url, catalogue)
    if scheme != "sim":
        raise ConformError(
            f"{url}: this suite moves and watches single lines; write sim:PROFILE, serial:PORT or socket:HOST:PORT, "
            "or --capture with a logic analyser's recording"
        )
    name, _, query = address.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    unknown = next((key for key, _ in pairs if key not in _KEYS), None)
    if unknown is not None:
        raise ConformError(f"{url}: sim: has no key {unknown} here; keys: {', '.join(_KEYS)}")
    chosen = dict(pairs)
    timing, seed = chosen.get("timing", "bell_lens"), chosen.get("seed", "0")
    if timing not in (*LENS_TIMINGS, JITTERY) or not seed.isdecimal():
        raise ConformError(f"{url}: timing is one of {', '.join([*LENS_TIMINGS, JITTERY])}, and seed a number")
    faults = faults_named([value for key, value in pairs if key == "fault"])
    return SimBench(profile_named(name), faults, lens_timing(timing, int(seed)), catalogue=catalogue, name=url)


def _bridge_bench(url: str, catalogue: Catalogue) -> Bench:
    from m43tools.conformance.bridgebench import BridgeBench

    try:
        return BridgeBench(url, catalogue)
    except (TransportLostError, TransportTimeoutError) as error:
        click.echo(f"m43: {error}", err=True)
        raise click.exceptions.Exit(EXIT_LOST) from None


class ConformError(M43Error):
    """The suite cannot be run as asked; the text is one line that says what to do."""


# the terminal


def _list(cases: Sequence[Case]) -> None:
    for case in cases:
        info = info_of(case)
        mark = " (risky)" if case.risky else ""
        named = f"{info.id}  {info.role}  {info.title}{mark}"
        click.echo(f"{named}  [{', '.join(info.clauses)}] {' '.join((*info.tags, f'(from: {info.start})'))}")
    counts = Counter(info_of(case).chapter for case in cases)
    click.echo(", ".join(f"{name} {counts[name]}" for name in (*CHAPTERS, *BODY_CHAPTERS) if counts[name]))
    click.echo(f"{len(cases)} of {len(ROLES[cases[0].role])} cases")


_COLOURS = {
    Verdict.PASS: "green",
    Verdict.FAIL: "red",
    Verdict.ERROR: "red",
    Verdict.WARN: "yellow",
    Verdict.INCONCLUSIVE: "magenta",
}


def _teller(*, quiet: bool) -> Callable[[CaseResult], None]:
    """Return what prints one line for each case."""

    def tell(result: CaseResult) -> None:
        if quiet and result.verdict is Verdict.PASS:
            return
        word = click.style(f"{result.verdict:<14}", fg=_COLOURS.get(result.verdict))
        known = f" [known: {result.deviation}]" if result.deviation else ""
        text = result.message or result.observed
        click.echo(f"{result.case.id}  {word}  {result.case.title} {text}{known}")

    return tell


def _lost(report: Report) -> str:
    culprits = [result.case.id for result in report.results if result.sanity == "lost"]
    return f"the {report.provenance.role} was lost in {culprits[0] if culprits else 'the interview'}"


def _noter() -> Callable[[str], None]:
    """Return what shows how far a long run is, on a terminal only, in a line that the next one overwrites."""
    if not sys.stderr.isatty():
        return lambda text: None
    return lambda text: click.echo(f"{text:<60}\r", err=True, nl=False)


def _tell_totals(report: Report, seed: int) -> None:
    told = ", ".join(f"{count} {verdict}" for verdict, count in report.totals.items() if count)
    click.echo(f"{len(report.results)} cases: {told}; seed {seed}")
    if report.interrupted:
        click.echo("m43: interrupted; the report has what was done", err=True)


# subcommands


@conform.command(
    "statement",
    short_help="Write the capability statement of a lens, from its own answers.",
    epilog="Exit codes: 0 written; 2 wrong usage; 4 the lens did not answer.",
)
@click.option("--lens", "url", metavar="URL", help="The lens, as for m43 conform.")
@click.option("--capture", type=click.Path(path_type=Path), metavar="FILE", help="Take the answers of a capture.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there.")
@click.pass_context
def statement(ctx: click.Context, url: str | None, capture: Path | None, output: Path | None) -> None:
    r"""Write the capability statement of a lens as TOML, from its own answers; its maker edits it.

    The lens is interviewed, sent to the ends of its apertures, and asked for its lens data; with --catalogue
    provisional it is asked for its stabiliser, too. What is edited to false is not tested: NOT_APPLICABLE.

    \b
    Examples:
      m43 conform statement --lens sim:olympus-14-42 -o lens.toml
      m43 conform --lens sim:olympus-14-42 --statement lens.toml IDN-010
    """
    if (url is None) == (capture is None):
        raise click.UsageError("say whose: --lens URL or --capture FILE, one of them")
    catalogue = combined(ctx.find_root().obj or ())
    if url is not None:
        recordings = _interviewed(url, catalogue)
    else:
        assert capture is not None
        recordings = [recording_of(capture)]
    found = statement_of(*(Trace(recording, catalogue) for recording in recordings))
    if not found:
        click.echo("m43: the lens told nothing of itself", err=True)
        ctx.exit(4)
    with open_output(output) as stream:
        stream.write(statement_toml(found))


def _interviewed(url: str, catalogue: Catalogue) -> list[Recording]:
    with closing(bench_of(url, catalogue)) as bench:
        try:
            return interviewed(bench)
        except BenchLostError as error:
            click.echo(f"m43: {error}", err=True)
            raise click.exceptions.Exit(EXIT_LOST) from None


@conform.command(
    "selftest",
    short_help="Run the cases against lenses and bodies with known defects: each case must be able to fail.",
    epilog="Exit codes: 0 every mutant is killed, and every case fails for one; 1 not so; 2 wrong usage.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Only these mutants and faults.")
@click.option("--quick", is_flag=True, help="Run on a broken lens only the cases that are written for it.")
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Share the work among N processes (default: all cores)."
)
@click.pass_context
def selftest(ctx: click.Context, only: tuple[str, ...], jobs: int | None, *, quick: bool) -> None:
    r"""Run every case against the good simulated lenses or bodies, and those with one defect each.

    The good lenses must pass; each broken lens must turn the cases red that are written for it, and not many others;
    one that judges a MUST must fail, not only warn; each case must be red for one.

    \b
    Examples:
      m43 conform selftest
      m43 conform selftest --quick
      m43 conform selftest --only no_wake_pulse
      m43 conform selftest --only waits_long
    """
    from m43tools.conformance.body_mutants import BODY_MUTANTS
    from m43tools.conformance.body_selftest import body_kill_matrix
    from m43tools.conformance.selftest import kill_matrix, matrix_text

    began = time.monotonic()
    jobs = jobs or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    def tell(name: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f} s  {name}", err=True)

    matrices = []
    if not only or not set(only) <= set(BODY_MUTANTS):
        lenses = [name for name in only if name not in BODY_MUTANTS]
        matrices.append(kill_matrix(lenses, tell, quick=quick, jobs=jobs))
    if not only or set(only) & set(BODY_MUTANTS):
        matrices.append(body_kill_matrix(only, tell, quick=quick, jobs=jobs))
    for matrix in matrices:
        click.echo(matrix_text(matrix))
    ctx.exit(0 if all(matrix.whole for matrix in matrices) else 1)


for _command in COMMANDS:
    conform.add_command(_command)
