"""``m43 sniff``: a capture or a recording goes in, the lens traffic comes out."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from m43drivers.bulk.columns import PIN_EVENTS, Stretch
from m43drivers.bulk.decoder import End
from m43proto.connection import UNKNOWN
from m43proto.events import ByteSeen, FragmentSeen, MessageSeen, PinEventSeen, TransactionSeen, Violation
from m43tools.catalogues import combined
from m43tools.output import open_output, progress_on_stderr, whole_lines
from m43tools.render.bulk import Shown, everything
from m43tools.render.columns import CsvWriter, JsonWriter, Writer
from m43tools.render.glyphs import glyphs_for
from m43tools.render.records import EVENT_NAMES, event_name
from m43tools.render.summary import summary_json, summary_text
from m43tools.render.text import TextWriter
from m43tools.sources import AUTO, DECODING, READING, CaptureOptions, open_source
from m43tools.summary import Summary
from m43tools.units import RATE, TIME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction
    from typing import TextIO

    from numpy.typing import NDArray

    from m43drivers.bulk.decoder import Found
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43tools.output import Progress

__all__ = ["sniff"]

EXIT_FINDINGS = 1

def _pins(ctx: click.Context, param: click.Parameter, value: str | None) -> str | dict[str, str] | None:
    if value is None or value == AUTO:
        return value
    pairs = [part.partition("=") for part in value.split(",") if part]
    wrong = next((line for line, equals, channel in pairs if not (line and equals and channel)), None)
    if wrong is not None or not pairs:
        raise click.BadParameter(f"{value!r} must be 'auto' or look like CLK=D3,DATA=D1,BODY_ACK=D5,LENS_ACK=D0")
    lines = [line.strip() for line, _, _ in pairs]
    twice = next((line for line in lines if lines.count(line) > 1), None)
    if twice is not None:
        raise click.BadParameter(f"line {twice} is given twice")
    return {line.strip(): channel.strip() for line, _, channel in pairs}


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> frozenset[str]:
    return frozenset(name.strip() for name in (value or "").split(",") if name.strip())


@click.command(
    short_help="Decode a logic-analyser capture: what body and lens said.",
    epilog="Exit codes: 0 decoded and clean; 1 decoded, with violations or wrong sums; 2 could not be read.",
)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--layer", type=click.Choice(list(LAYERS)), default="messages", show_default=True, help="What to show.")
@click.option(
    "--format", "form", type=click.Choice(["text", "jsonl", "csv"]), default="text", show_default=True, help="How."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there; the file appears only whole."
)
@click.option(
    "--from", "from_ns", callback=TIME, metavar="TIME", help="Show what begins at or after this time (0.5, 500ms)."
)
@click.option("--to", "to_ns", callback=TIME, metavar="TIME", help="Show what begins before this time.")
@click.option(
    "--only", callback=_names, metavar="NAME,...", help="Show these messages or events only (Status,Drive,clock_hold)."
)
@click.option("--summary", is_flag=True, help="Counts, wrong sums, poll rate, identity and gaps instead of rows.")
@click.option("--raw", is_flag=True, help="In text, show the bytes that nobody understands, too.")
@click.option(
    "--pins",
    callback=_pins,
    metavar="LINE=CHANNEL,...|auto",
    help="Which channel is which line (CLK=D3,DATA=D1,...), or 'auto' to find out from the traffic.",
)
@click.option("--rate", callback=RATE, metavar="RATE", help="Sampling rate of a file that does not tell (24MHz).")
@click.option("--channels", type=click.IntRange(1, 64), metavar="N", help="Lines in a file of raw samples (default 8).")
@click.pass_context
def sniff(ctx: click.Context, /, **options: Any) -> None:
    r"""Decode a logic-analyser capture: what body and lens said.

    CAPTURE is a sigrok session (.sr), a VCD file, a CSV or binary export (a folder, or its files) or a session (.sal,
    best effort) of Saleae Logic 2, a CSV or binary export of Logic 1, a DSView session (.dsl), a Logic Sniffer session
    (.ols), or raw packed samples (with --rate); or - for VCD, CSV or raw samples from standard input, decoded as they
    arrive. It may also be a recording of m43 lens --record, which holds whole transactions without edges. Lines map by
    their names: CLK and DATA are needed, BODY_ACK and LENS_ACK are used when there, SLEEP, FOCUS and SHUTTER add their
    events.

    \b
    Examples:
      m43 sniff power-up.sr
      m43 sniff export/ --pins CLK=D3,DATA=D1,BODY_ACK=D5,LENS_ACK=D0
      m43 sniff unknown.vcd --pins auto --summary
      m43 sniff power-up.sr --only Status,Drive --format csv -o focus.csv
      m43 sniff power-up.sr --layer bytes --format jsonl | head
      m43 sniff samples.bin --rate 24MHz --pins auto
      m43 sniff session.jsonl --summary
      m43 sniff - --rate 24MHz --pins CLK=D0,DATA=D1,BODY_ACK=D2,LENS_ACK=D3 < samples.raw
    """
    ctx.exit(_sniff(Request(catalogue=combined(ctx.obj or ()), **options)))


def _sniff(request: Request) -> int:
    _refuse_nonsense(request)
    summary = Summary()
    with progress_on_stderr(READING, DECODING) as progress:
        options = CaptureOptions(pins=request.pins, rate=request.rate, channels=request.channels)
        source = open_source(request.captures, options, request.catalogue, progress)
        if request.layer == "bytes" and not source.has_bytes:
            raise click.UsageError("a recording of exchanges has no times of single bytes; use --layer transactions")
        found = source.found()
        first = next(found)
        with open_output(request.output) as stream:
            _write(request, summary, chain([first], found), stream, progress)
    if not summary.messages:
        click.echo(f"m43: {source.none_found}", err=True)
    return EXIT_FINDINGS if summary.findings else 0


def _refuse_nonsense(request: Request) -> None:
    if request.summary and request.form == "csv":
        raise click.UsageError("--summary has no csv form; use --format text or jsonl")
    if request.from_ns is not None and request.to_ns is not None and request.to_ns <= request.from_ns:
        raise click.UsageError("--to must lie behind --from")
    if request.only and request.layer != "messages":
        raise click.UsageError("--only chooses messages and events; it needs --layer messages")
    known = [*(kind.spec.name for kind in request.catalogue), UNKNOWN, *EVENT_NAMES]
    for name in sorted(request.only - set(known)):
        import difflib

        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise click.UsageError(f"--only: nothing is called {name}; {hint}")
    if request.output is not None and any(_same_file(request.output, capture) for capture in request.captures):
        raise click.UsageError(f"{request.output} is the capture itself; choose another output")


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _write(request: Request, summary: Summary, found: Iterable[Found], stream: TextIO, progress: Progress) -> None:
    writer = None if request.summary else writer_for(request, stream)
    to_file = request.output is not None
    hides = stream.isatty()
    for portion in found:
        if hides:
            progress.hide()
        with whole_lines():
            take(request, summary, portion, writer)
            if not to_file:
                stream.flush()
    if isinstance(writer, TextWriter):
        writer.write_legend()
    if writer is None:
        write = summary_json if request.form == "jsonl" else summary_text
        write(summary, stream)
