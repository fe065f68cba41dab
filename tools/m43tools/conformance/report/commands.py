"""``m43 conform diff``, ``rerun`` and ``html``: what is done with reports that exist already."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from m43tools.conformance.report.diff import THRESHOLD_PERCENT, diff_reports
from m43tools.conformance.report.reading import read_report
from m43tools.conformance.report.rerun import check_capture, rerun_arguments
from m43tools.conformance.report.words import digits_for, figure, scale_for
from m43tools.conformance.report.writing import html_text
from m43tools.output import open_output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43tools.conformance.report.diff import ByteChange, Difference, Move, Turned

__all__ = ["COMMANDS", "diff", "html", "rerun", "told"]

EXIT_NEW_FAILURES = 1

_REPORT = click.Path(path_type=Path, dir_okay=False)


@click.command(
    short_help="What differs between two reports.",
    epilog="Exit codes: 0 no new failure; 1 a case fails that did not fail before; 2 bad input or usage.",
)
@click.argument("before", metavar="A.json", type=_REPORT)
@click.argument("after", metavar="B.json", type=_REPORT)
@click.option(
    "--threshold",
    type=click.FloatRange(min=0),
    default=THRESHOLD_PERCENT,
    show_default=True,
    metavar="PERCENT",
    help="Tell of figures that moved by so much, or more.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def diff(ctx: click.Context, before: Path, after: Path, threshold: float, form: str) -> None:
    r"""Compare two reports, such as those of two firmware versions: A.json is the earlier one.

    \b
    Examples:
      m43 conform diff firmware-1.0.json firmware-1.1.json
      m43 conform diff --threshold 20 --format json firmware-1.0.json firmware-1.1.json
    """
    found = diff_reports(read_report(before), read_report(after), threshold_percent=threshold)
    lines = [json.dumps(asdict(found), ensure_ascii=False, indent=1)] if form == "json" else told(found)
    for line in lines:
        click.echo(line)
    if found.newly_failing:
        ctx.exit(EXIT_NEW_FAILURES)


def told(found: Difference) -> Iterator[str]:
    """Yield what differs, as lines for a terminal."""
    sections = (
        ("newly failing", [_turn(one) for one in found.newly_failing]),
        ("fixed", [_turn(one) for one in found.fixed]),
        ("other verdicts", [_turn(one) for one in found.turned]),
        ("moved", [_moved(one) for one in found.moved]),
        ("changed bytes", [line for one in found.changed_bytes for line in _bytes(one)]),
        ("identity", [f"{name}: {was} → {now}" for name, was, now in found.identity]),
    )
    for heading, lines in sections:
        if lines:
            yield f"{heading}:"
            yield from (f"  {line}" for line in lines)
    if found.empty:
        yield "no difference"


def _turn(one: Turned) -> str:
    verdicts = " → ".join("not run" if verdict is None else str(verdict) for verdict in (one.before, one.after))
    return f"{one.case_id}  {verdicts}  {one.title}" + (f": {one.message}" if one.message else "")


def _moved(one: Move) -> str:
    by, unit = scale_for(one.unit, max(abs(one.before), abs(one.after)))
    digits = digits_for([one.before / by, one.after / by])
    far = "from zero" if one.percent is None else f"{one.percent:+.1f} %"
    figures = f"{figure(one.before / by, digits)} → {figure(one.after / by, digits)} {unit}"
    return f"{one.case_id}  {far}  {one.name}, {one.statistic}: {figures}"


def _bytes(one: ByteChange) -> tuple[str, str, str]:
    places = ", ".join(map(str, one.offsets))
    head = f"{one.case_id}  {one.name} ({_hex(one.command)}), at {places} of the block"
    return head, f"  - {_hex(one.before)}", f"  + {_hex(one.after)}"


def _hex(text: str) -> str:
    return " ".join(text[at : at + 2] for at in range(0, len(text), 2)).upper() or "nothing"


@click.command(
    short_help="Do the run of a report again.",
    epilog="Exit codes: those of m43 conform; 2 also when the report, or the capture that it judges, cannot be read.",
)
@click.argument("report", metavar="REPORT", type=_REPORT)
@click.option("--print", "only_print", is_flag=True, help="Print the command line and do nothing.")
@click.option("--json", "json_path", metavar="FILE", type=_REPORT, help="Write the new report here.")
def rerun(report: Path, json_path: Path | None, *, only_print: bool) -> None:
    r"""Do the run of a report again: the same lens or capture, the same cases, the same seed.

    \b
    Examples:
      m43 conform rerun report.json
      m43 conform rerun report.json --json again.json
      m43 conform rerun --print report.json
    """
    from m43tools.cli import root

    told = read_report(report)
    words = [*rerun_arguments(told), *(["--json", str(json_path)] if json_path else [])]
    if only_print:
        click.echo(shlex.join(["m43", *words]))
        return
    check_capture(told)
    click.echo(shlex.join(["m43", *words]), err=True)
    with root.make_context("m43", words) as context:
        root.invoke(context)


@click.command(
    short_help="One HTML page of one report or of several.",
    epilog="Exit codes: 0 written; 2 bad input or usage.",
)
@click.argument("reports", metavar="REPORT...", nargs=-1, required=True, type=_REPORT)
@click.option("-o", "--output", metavar="FILE", type=_REPORT, help="Where to write (default: stdout).")
def html(reports: tuple[Path, ...], output: Path | None) -> None:
    r"""Write reports as one HTML page that needs no other file: each report is a column of its matrix.

    \b
    Examples:
      m43 conform html report.json -o report.html
      m43 conform html lens-a.json lens-b.json -o lenses.html
    """
    text = html_text(*(read_report(path) for path in reports))
    with open_output(output) as stream:
        stream.write(text)


COMMANDS: list[click.Command] = [diff, rerun, html]
"""What the group ``m43 conform`` takes in."""
