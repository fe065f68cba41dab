"""What ``m43 sniff`` reads: a capture of lines, or a recording of exchanges; from both come events."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from m43drivers.bulk.decoder import End
from m43drivers.bulk.looking import found_lines, living_lines
from m43drivers.bulk.observing import observe_stream
from m43drivers.bulk.parts import LOOKED_AT_ONCE, Parts
from m43drivers.capture import CaptureError, open_stream
from m43drivers.lines import lines_by_name, lines_by_request
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from fractions import Fraction

    from m43drivers.bulk.decoder import Found
    from m43drivers.capture.stream import CaptureStream
    from m43drivers.transports.recorded import Exchange
    from m43proto.catalogue import Catalogue
    from m43proto.pins import Line
    from m43tools.output import Progress

__all__ = ["AUTO", "DECODING", "READING", "CaptureOptions", "Source", "open_source"]

READING, DECODING = "reading", "decoding"

STDIN = Path("-")
"""Instead of a file: what comes in on standard input."""

AUTO = "auto"
"""Instead of a mapping: find the lines in the traffic."""


def _nobody(share: float) -> None:
    """Tell nobody."""


@record(frozen=True, slots=True)
class Source:
    """What was read.

    Attributes:
        found: gives what body and lens said in it, in portions.
        has_bytes: whether it holds single bytes with their times.
        none_found: what to say when there is no transaction in it.
        parts: gives the parts in which so many processes can decode it side by side; or None.
        told: takes the share that is done; needed for `parts` alone, for `found` tells it.
    """

    found: Callable[[], Iterator[Found]]
    has_bytes: bool
    none_found: str
    parts: Callable[[int], Parts] | None = None
    told: Callable[[float], None] = _nobody


@record(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """What a user says of a capture.

    Attributes:
        pins: channels by lines, `AUTO`, or None to go by their names.
        rate: sampling rate of a file that does not tell, Hz.
        channels: lines in a file of raw samples.
    """

    pins: str | dict[str, str] | None
    rate: Fraction | None
    channels: int | None


def open_source(paths: tuple[Path, ...], options: CaptureOptions, catalogue: Catalogue, progress: Progress) -> Source:
    """Open what a user names; what it is, its content tells.

    Raises:
        click.UsageError: options of captures are given for a recording.
        CaptureError: the capture cannot be read.
        TransportError: the recording cannot be read.
    """
    recordings = [path for path in paths if _is_exchange(path)]
    if not recordings:
        return _capture(paths, options, catalogue, progress)
    for name, value in (("--pins", options.pins), ("--rate", options.rate), ("--channels", options.channels)):
        if value is not None:
            raise click.UsageError(f"{name} is for captures; {recordings[0]} is a recording of exchanges")
    from m43drivers.transports.recorded import read_exchange

    return _exchange(read_exchange(recordings[0]), catalogue, progress)


def _is_exchange(path: Path) -> bool:
    """Tell whether a file is a recording; what speaks to lenses is imported only if it may be one."""
    if path == STDIN or not path.is_file():
        return False
    with path.open("rb") as file:
        if not file.read(64).lstrip().startswith(b"{"):
            return False
    from m43drivers.transports.recorded import is_exchange

    return is_exchange(path)


def _exchange(exchange: Exchange, catalogue: Catalogue, progress: Progress) -> Source:
    for note in _notes(exchange):
        progress.hide()
        click.echo(f"m43: {note}", err=True)
    return Source(
        partial(_portions, exchange, catalogue),
        has_bytes=False,
        none_found="no transaction found in this recording",
    )


def _portions(exchange: Exchange, catalogue: Catalogue) -> Iterator[Found]:
    from m43drivers.exchanges import observe_exchange

    for event in observe_exchange(exchange, catalogue):
        yield [event]
    yield End(exchange.end_ns)


def _notes(exchange: Exchange) -> Iterable[str]:
    """Yield what the rows of a recording cannot show."""
    from m43drivers.transports.recorded import HeartbeatRow, LostRow, PollRow

    alike = sum(row.alike for row in exchange.rows if isinstance(row, PollRow | HeartbeatRow))
    if alike:
        yield f"{alike} polls are not in the recording, for their answers were like the one before; nor in any figure"
    for row in exchange.rows:
        if isinstance(row, LostRow):
            yield f"line {row.line}: the transport was lost at {row.t_ns / 1e9:.3f} s: {row.error}"
        elif getattr(row, "failed", None):
            yield f"line {row.line}: the transport failed at {row.t_ns / 1e9:.3f} s: {getattr(row, 'error', '')}"


def _capture(paths: tuple[Path, ...], options: CaptureOptions, catalogue: Catalogue, progress: Progress) -> Source:
    def told(fraction: float) -> None:
        for stage in (READING, DECODING):
            progress.update(stage, fraction)

    opened = open_stream(paths, rate_hz=options.rate, channels=options.channels, progress=told)
    stream, mapping = _mapped(opened, options.pins, progress)
    divisible = Parts.possible(stream, mapping)
    looked = replace(stream, blocks=partial(stream.since, 0, rows=LOOKED_AT_ONCE)) if divisible else stream
    looked, living, dead = living_lines(looked, mapping)
    if dead:
        progress.hide()
        click.echo(f"m43: {', '.join(dead)} never changes: decoding without it", err=True)
    return Source(
        partial(observe_stream, stream if divisible else looked, living, catalogue),
        has_bytes=True,
        none_found="no transaction found; are the lines right? Try --pins auto",
        parts=partial(Parts, stream, living, catalogue) if divisible and Parts.possible(stream, living) else None,
        told=told,
    )


def _mapped(
    stream: CaptureStream, pins: str | dict[str, str] | None, progress: Progress
) -> tuple[CaptureStream, dict[Line, int]]:
    if pins == AUTO:
        stream, found, finding = found_lines(stream)
        progress.hide()
        click.echo(f"m43: --pins {finding}", err=True)
        return stream, found
    try:
        labels = lines_by_request(stream, pins) if isinstance(pins, dict) else lines_by_name(stream)
    except CaptureError:
        next(stream.blocks(None), None)  # A file that is broken is told before names that are wrong.
        raise
    return stream, {line: stream.labels.index(label) for line, label in labels.items()}
