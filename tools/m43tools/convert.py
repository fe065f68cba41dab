"""``m43 convert``: a capture of one format becomes one of another, as it is read."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from m43drivers.capture import STDIN, RateMissingError, open_stream
from m43drivers.capture.common import distinct_labels, one_line
from m43drivers.capture.selecting import selected
from m43drivers.capture.writing import EXACT_HZ, FORMATS, write_stream
from m43proto.records import record
from m43tools.output import progress_on_stderr
from m43tools.units import RATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43drivers.capture import CaptureStream
    from m43drivers.capture.writing import Format, Loss
    from m43tools.output import Progress

__all__ = ["convert"]

CONVERTING = "converting"
UNWRITABLE = {".sal": "Logic 2 sessions are read, but not written, for their maker has not published the format"}
FOREIGN = re.compile(r"[^\w .+-]", re.ASCII)
MAX_NAME = 50


def _lines(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, str] | None:
    if value is None:
        return None
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    chosen = {name.strip(): (channel.strip() if equals else name.strip()) for name, equals, channel in pairs}
    if not chosen or len(chosen) < len(pairs) or not all(name and channel for name, channel in chosen.items()):
        raise click.BadParameter(f"{value!r} must look like CLK=D3,DATA=D1, each name once")
    return chosen


@click.command(
    short_help="Convert a capture to another format.",
    epilog="Exit codes: 0 written; 2 could not be read or written; 130 interrupted, and nothing written.",
)
@click.argument("captures", metavar="IN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--to", "form", type=click.Choice(list(FORMATS)), help="Format of OUT, where its suffix does not tell.")
@click.option(
    "--rate",
    callback=RATE,
    metavar="RATE",
    help="Samples per second of OUT (24MHz); of IN, too, where that is a file of samples that does not tell.",
)
@click.option("--channels", type=click.IntRange(1, 64), metavar="N", help="Lines in a file of raw samples (default 8).")
@click.option(
    "--pins", callback=_lines, metavar="NAME=CHANNEL,...", help="Write these channels only, in this order, so called."
)
def convert(**options: Any) -> None:
    r"""Convert a capture to another format.

    IN is whatever m43 sniff reads, or - for a VCD or CSV file, or raw samples, from a pipe. The suffix of OUT tells its
    format: .sr (sigrok), .vcd, .csv (Saleae Logic 2), .bin (Saleae Logic 2: a folder with a file per line), .dsl
    (DSView), .ols (Logic Sniffer), .raw or .dat (packed samples). Saleae's .sal is read, but cannot be written.

    A capture of samples keeps its rate unless --rate gives another. One of exact times (.vcd, .csv, .bin) needs --rate
    to become samples. What is lost on the way is told on stderr. OUT appears only whole; what was there is replaced,
    but IN never is.

    \b
    Examples:
      m43 convert power-up.sr power-up.vcd
      m43 convert session.sal session.sr
      m43 convert export/ power-up.sr --rate 24MHz
      m43 convert power-up.sr slow.sr --rate 4MHz
      m43 convert unknown.sr lens.csv --pins CLK=D3,DATA=D1
      sigrok-cli -d fx2lafw --time 1s -O vcd | m43 convert - lens.csv
    """
    _convert(_Request(**options))


@record(frozen=True, slots=True, kw_only=True)
class _Request:
    """The command line."""

    captures: tuple[Path, ...]
    output: Path
    form: str | None
    rate: Fraction | None
    channels: int | None
    pins: dict[str, str] | None


def _convert(request: _Request) -> None:
    form = FORMATS[request.form] if request.form else _format_of(request.output)
    _refuse_input_as_output(request)
    with progress_on_stderr(CONVERTING) as progress:
        stream = _open(request, progress)
        stream = selected(stream, request.pins) if request.pins else stream
        rate_hz, names = _rate_of(request, form, stream), _names(stream)
        loss = write_stream(request.output, form, stream, names=list(names), rate_hz=rate_hz, note=_note(stream))
    for line in (*_renamed(names), *_lost(form, loss, stream, rate_hz)):
        click.echo(f"m43: {line}", err=True)


def _format_of(path: Path) -> Format:
    suffix = path.suffix.lower()
    if suffix in UNWRITABLE:
        raise click.UsageError(f"{path}: {UNWRITABLE[suffix]}; choose another format")
    found = next((form for form in FORMATS.values() if suffix in form.suffixes), None)
    if found is None:
        known = ", ".join(suffix for form in FORMATS.values() for suffix in form.suffixes)
        raise click.UsageError(f"{path}: no format has this suffix; use one of {known}, or --to")
    return found


def _refuse_input_as_output(request: _Request) -> None:
    for capture in request.captures:
        if request.output.exists() and capture.exists() and request.output.samefile(capture):
            raise click.UsageError(f"{request.output} is the capture itself; choose another output")


def _open(request: _Request, progress: Progress) -> CaptureStream:
    """Open IN; where it states no rate, it has that of OUT."""

    def opened(rate_hz: Fraction | None) -> CaptureStream:
        return open_stream(
            request.captures,
            rate_hz=rate_hz,
            channels=request.channels,
            progress=lambda fraction: progress.update(CONVERTING, fraction),
        )

    if request.rate is None or STDIN in request.captures:
        return opened(request.rate)
    try:
        return opened(None)
    except RateMissingError:
        return opened(request.rate)


def _rate_of(request: _Request, form: Format, stream: CaptureStream) -> int:
    """Give the rate of OUT: the one asked for, or that of IN; times stay times."""
    rate = request.rate or _own_rate(stream)
    if rate is None and form.is_exact:
        return EXACT_HZ
    if rate is None:
        raise click.UsageError(
            f"{request.captures[0]} holds times, and {request.output} samples; say how many per second with --rate"
        )
    if rate.denominator == 1:
        return int(rate)
    if form.is_exact and request.rate is None:
        return EXACT_HZ
    raise click.UsageError(f"a rate of {float(rate):g} Hz is no whole number; give another with --rate")


def _own_rate(stream: CaptureStream) -> Fraction | None:
    if stream.tick_ns != 1:
        return 10**9 / stream.tick_ns
    return None if stream.sample_rate_hz is None else Fraction(stream.sample_rate_hz)


def _names(stream: CaptureStream) -> dict[str, str]:
    """Give each channel a name that every format can hold, and what it was called before, in order."""
    wanted = [(FOREIGN.sub("_", label.name)[:MAX_NAME].strip(" .-") or "_", ()) for label in stream.labels]
    lower = distinct_labels((name.casefold(), ()) for name, _ in wanted)
    plain = [name + low[len(name) :] for (name, _), (low, _) in zip(wanted, lower, strict=True)]
    names = [name.replace(" (", "-").replace(")", "") for name in plain]
    return dict(zip(names, (label.name for label in stream.labels), strict=True))


def _renamed(names: dict[str, str]) -> Iterator[str]:
    changed = [f"{old} is {new}" for new, old in names.items() if old != new]
    if changed:
        yield f"names that not every format can hold: {one_line(', '.join(changed))}"


def _note(stream: CaptureStream) -> str:
    """Say where the data come from; that they are synthetic goes with them."""
    source = stream.provenance
    name = "a pipe" if source.path == str(STDIN) else Path(source.path).name
    return f"Converted by m43proto from {name} ({source.format}). {source.details.get('comment', '')}"


def _lost(form: Format, loss: Loss, stream: CaptureStream, rate_hz: int) -> Iterator[str]:
    """Tell what OUT does not hold."""
    if loss.lost:
        yield f"{loss.lost} of {loss.changes} changes lie between two samples of {rate_hz / 1e6:g} MHz and are lost"
    if loss.moved:
        yield f"{loss.moved} changes moved by up to {loss.most_ns} ns, to the samples of {rate_hz / 1e6:g} MHz"
    if form.is_exact and (EXACT_HZ % rate_hz or (rate_hz == EXACT_HZ and stream.tick_ns.denominator > 1)):
        yield "times are rounded to the nearest nanosecond; with --rate they give the same samples again"
    if form is FORMATS["raw"]:
        yield f"raw samples tell neither rate nor lines: --rate {rate_hz} --channels {len(stream.labels)}"
    if form is FORMATS["ols"] or form is FORMATS["raw"]:
        names = ",".join(f"{label.name}=D{bit}" for bit, label in enumerate(stream.labels))
        yield f"the format holds no names: --pins {names}"
