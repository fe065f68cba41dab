"""``m43 sniff``: a capture or a recording goes in, the lens traffic comes out."""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from m43proto.connection import UNKNOWN
from m43tools import memory
from m43tools.catalogues import combined
from m43tools.cores import cores, decode_parts, fits
from m43tools.output import open_binary_output, open_output, progress_on_stderr, whole_lines
from m43tools.render.binary import BINARY_FORMATS
from m43tools.render.records import EVENT_NAMES
from m43tools.sniffing import EXIT_FINDINGS, LAYERS, Request, binary_writer_for, take, write_summary, writer_for
from m43tools.sources import AUTO, DECODING, READING, STDIN, CaptureOptions, open_source
from m43tools.summary import Summary
from m43tools.units import RATE, SIZE, TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

    from m43drivers.bulk.decoder import Found
    from m43drivers.bulk.parts import Parts
    from m43tools.many import Work
    from m43tools.output import Progress
    from m43tools.sources import Source

__all__ = ["sniff"]

LIVE_ONLY = {
    "--watch": "watch",
    "--trigger": "trigger",
    "--pre": "pre_ns",
    "--record": "record",
    "--max-size": "max_size",
    "--ring": "ring",
    "--duration": "duration_ns",
}
"""Options that go with --live only."""


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
    epilog="Exit codes: 0 decoded and clean; 1 with wrong sums, violations or lost samples; 2 could not be read.",
)
@click.argument("captures", metavar="CAPTURE...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--layer", type=click.Choice(list(LAYERS)), default="messages", show_default=True, help="What to show.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "jsonl", "csv", *BINARY_FORMATS]),
    default="text",
    show_default=True,
    help="How.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE|DIR",
    help="Write there; a file appears only whole. Of many captures, DIR gets a file each.",
)
@click.option(
    "--from", "from_ns", callback=TIME, metavar="TIME", help="Show what begins at or after this time (0.5, 500ms)."
)
@click.option(
    "--to",
    "to_ns",
    callback=TIME,
    metavar="TIME",
    help="Show what begins before this time. Live: end then, but for --record and --watch.",
)
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
@click.option(
    "--rate",
    callback=RATE,
    metavar="RATE",
    help="Sampling rate of a file that does not tell, or for an analyser (24MHz).",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Lines in a file of raw samples (default 8), or to ask of an analyser.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Decode with at most N processes: many captures, or parts of a long .sr (default: cores).",
)
@click.option("--live", metavar="SOURCE", help="Decode what an analyser sees, while it runs (fx2lafw, sigrok:demo).")
@click.option("--watch", is_flag=True, help="Live: a screen of figures instead of rows.")
@click.option(
    "--trigger", metavar="EXPR", help="Live: wait for this (Drive, Drive.aperture_f>8, violation, power_up, SLEEP^)."
)
@click.option(
    "--pre", "pre_ns", callback=TIME, metavar="TIME", help="Live: how long before the trigger (default 100ms)."
)
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE.sr", help="Live: record it, too.")
@click.option("--max-size", callback=SIZE, metavar="SIZE", help="Live: how much to record at most (default 1GB).")
@click.option(
    "--ring", type=click.IntRange(2), metavar="N", help="Live: record to N files in turn; the oldest is removed."
)
@click.option(
    "--duration",
    "duration_ns",
    callback=TIME,
    metavar="TIME",
    help="Live: end after this time, or this long after the trigger.",
)
@click.pass_context
def sniff(ctx: click.Context, /, **options: Any) -> None:
    r"""Decode a logic-analyser capture: what body and lens said.

    CAPTURE is a sigrok session (.sr), a VCD file, a CSV or binary export (a folder, or its files) or a session (.sal,
    best effort) of Saleae Logic 2, a CSV or binary export of Logic 1, a DSView session (.dsl), a Logic Sniffer session
    (.ols), or raw packed samples (with --rate); or - for VCD, CSV or raw samples from standard input, decoded as they
    arrive. It may also be a recording of m43 lens --record, which holds whole transactions without edges. Lines map by
    their names: CLK and DATA are needed, BODY_ACK and LENS_ACK are used when there, SLEEP, FOCUS and SHUTTER add their
    events.

    Many captures are decoded side by side. Their output stands in the order in which they were named, each row with its
    capture (text: under a heading); or, if -o names a folder, or something new without a suffix, each has a file in it.
    The Saleae binary files of one folder are one capture. The exit code is the worst of them. A long .sr is cut into
    parts that the cores decode side by side, for --format jsonl and csv and for --summary; what comes out is the same.

    With --live, an analyser takes the place of CAPTURE (m43 analysers lists them). What it lost is told with its time.
    Rows that a slow terminal does not take are left out and counted; the decoder loses nothing by that. Ctrl-C ends it
    in order, with the exit code of what was decoded; a second one ends at once.

    \b
    Examples:
      m43 sniff power-up.sr
      m43 sniff export/ --pins CLK=D3,DATA=D1,BODY_ACK=D5,LENS_ACK=D0
      m43 sniff unknown.vcd --pins auto --summary
      m43 sniff power-up.sr --only Status,Drive --format csv -o focus.csv
      m43 sniff power-up.sr --layer bytes --format jsonl | head
      m43 sniff samples.bin --rate 24MHz --pins auto
      m43 sniff session.jsonl --summary
      m43 sniff --live fx2lafw --pins CLK=D0,DATA=D1,BODY_ACK=D2,LENS_ACK=D3
      m43 sniff --live fx2lafw --pins auto --watch --record all.sr --ring 8 --max-size 2GB
      m43 sniff --live bridge:/dev/ttyACM0 --watch
      m43 sniff --live pico:/dev/ttyACM0 --pins auto --trigger "Drive.aperture_f>8" --pre 50ms --duration 1s
      m43 sniff --live fx2lafw --pins auto --format pcapng | wireshark -X lua_script:m43.lua -k -i -
      m43 sniff - --rate 24MHz --pins CLK=D0,DATA=D1,BODY_ACK=D2,LENS_ACK=D3 < samples.raw
      m43 sniff captures/*/capture.sr --format parquet -o tables
      m43 sniff power-up.sr --format pcapng | wireshark -X lua_script:tools/wireshark/m43.lua -k -i -
      sigrok-cli -d fx2lafw --config samplerate=24m --continuous -O binary | m43 sniff - --rate 24MHz --pins CLK=D0,...
    """
    jobs = options.pop("jobs")
    request = Request(catalogue=combined(ctx.obj or ()), **options)
    _refuse_nonsense(request)
    if request.live is not None:
        if jobs is not None:
            raise click.UsageError("--jobs decodes many captures at once, and an analyser is one; leave it out")
        from m43tools.live import sniff_live

        ctx.exit(sniff_live(request))
    if len(request.captures) > 1:
        from m43tools.many import captures_in

        if STDIN in request.captures:
            raise click.UsageError("what comes in on standard input goes alone; name - and nothing else")
        groups = captures_in(request.captures)
        if len(groups) > 1:
            ctx.exit(_sniff_many(request, groups, partial(_sniff_one, tuple(ctx.obj or ()), options), jobs))
    with progress_on_stderr(READING, DECODING) as progress:
        ctx.exit(_sniff(request, progress, jobs or cores()))


def _sniff_many(request: Request, groups: list[tuple[Path, ...]], work: Work, jobs: int | None) -> int:
    from m43tools.many import decode_many, folder_asked_for, targets_in

    binary = BINARY_FORMATS.get(request.form)
    output, targets = request.output, None
    if output is not None and folder_asked_for(output, always=binary is not None):
        suffix = binary.suffix if binary else f".{'txt' if request.form == 'text' else request.form}"
        targets = targets_in(output, groups, suffix)
    elif binary is not None:
        raise click.UsageError(f"--format {request.form} makes a file of each capture; name a folder with -o DIR")
    return decode_many(work, groups, form=request.form, output=output, targets=targets, jobs=jobs)


def _sniff_one(
    catalogues: tuple[str, ...],
    options: dict[str, Any],
    captures: tuple[Path, ...],
    output: Path,
    progress: Progress,
) -> int:
    """Decode one of many captures, in a process of its own."""
    changed = {**options, "captures": captures, "output": output}
    return _sniff(Request(catalogue=combined(catalogues), **changed), progress)


def _sniff(request: Request, progress: Progress, jobs: int = 1) -> int:
    memory.keep()
    options = CaptureOptions(pins=request.pins, rate=request.rate, channels=request.channels)
    source = open_source(request.captures, options, request.catalogue, progress)
    if request.layer == "bytes" and not source.has_bytes:
        raise click.UsageError("a recording of exchanges has no times of single bytes; use --layer transactions")
    if jobs > 1 and source.parts is not None and fits(request):
        summary = _decode_parts(request, source, source.parts(jobs), jobs)
    else:
        summary = _decode(request, source.found(), progress)
    if not summary.messages:
        click.echo(f"m43: {source.none_found}", err=True)
    return EXIT_FINDINGS if summary.findings else 0


def _decode_parts(request: Request, source: Source, parts: Parts, jobs: int) -> Summary:
    with open_output(request.output) as stream:
        summary = decode_parts(parts, request, None if request.summary else stream, source.told, jobs)
        if request.summary:
            write_summary(request, summary, stream)
    return summary


def _decode(request: Request, found: Iterator[Found], progress: Progress) -> Summary:
    summary = Summary(detailed=request.summary)
    found = chain([next(found)], found)
    if request.form in BINARY_FORMATS:
        _write_binary(request, summary, found)
    else:
        with open_output(request.output) as stream:
            _write(request, summary, found, stream, progress)
    return summary


def _refuse_nonsense(request: Request) -> None:
    _refuse_wrong_source(request)
    if request.summary and request.form not in ("text", "jsonl"):
        raise click.UsageError(f"--summary has no {request.form} form; use --format text or jsonl")
    if request.form in BINARY_FORMATS:
        _refuse_binary_nonsense(request)
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


def _refuse_binary_nonsense(request: Request) -> None:
    layers = BINARY_FORMATS[request.form].layers
    if request.layer not in layers:
        raise click.UsageError(f"--format {request.form} shows {' or '.join(layers)}; use --layer {layers[-1]}")
    if request.output is None and sys.stdout.isatty():
        raise click.UsageError(f"--format {request.form} is not for a terminal; use -o FILE, or a pipe")


def _refuse_wrong_source(request: Request) -> None:
    """Refuse a capture and a live source together, neither, and options that do not go with what there is."""
    if request.live is None:
        if not request.captures:
            raise click.UsageError("name a CAPTURE, or an analyser with --live SOURCE")
        given = next(
            (option for option, name in LIVE_ONLY.items() if getattr(request, name) not in (None, False)), None
        )
        if given is not None:
            raise click.UsageError(f"{given} goes with --live SOURCE only")
        return
    if request.captures:
        raise click.UsageError(f"--live takes the place of a CAPTURE; leave out {request.captures[0]}, or --live")
    if request.pre_ns is not None and request.trigger is None:
        raise click.UsageError("--pre says how long before --trigger; give both")
    if request.record is None and (request.max_size or request.ring):
        raise click.UsageError("--max-size and --ring say how to --record FILE.sr; give it, too")
    if request.record is not None and request.record.suffix != ".sr":
        raise click.UsageError(f"--record writes sigrok sessions; call it FILE.sr, not {request.record}")
    if request.watch:
        _refuse_rows_beside_screen(request)


def _refuse_rows_beside_screen(request: Request) -> None:
    if request.summary:
        raise click.UsageError("--watch shows the figures as they come, and last; leave out --summary, or --watch")
    if request.output is None and request.form != "text":
        raise click.UsageError(f"--watch shows a screen in place of rows; for those in {request.form}, add -o FILE")


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
    if writer is not None:
        writer.finish()
    else:
        write_summary(request, summary, stream)


def _write_binary(request: Request, summary: Summary, found: Iterable[Found]) -> None:
    with open_binary_output(request.output) as stream:
        writer = binary_writer_for(request, stream)
        for portion in found:
            take(request, summary, portion, writer)
            if request.output is None:
                stream.flush()
        writer.finish()
