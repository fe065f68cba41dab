"""What ``m43 sniff`` reads: a capture of lines, or a recording of exchanges; from both come events."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from m43drivers.capture import open_capture
from m43drivers.exchanges import observe_exchange
from m43drivers.lines import lines_by_name, lines_by_request, without_dead_lines
from m43drivers.observe import observe
from m43drivers.pinfinder import find_lines
from m43drivers.transports.recorded import HeartbeatRow, LostRow, PollRow, is_exchange, read_exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from fractions import Fraction
    from pathlib import Path

    from m43drivers.capture import Capture, Channel
    from m43drivers.transports.recorded import Exchange
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43proto.pins import Line
    from m43tools.output import Progress

__all__ = ["AUTO", "DECODING", "READING", "CaptureOptions", "Source", "open_source"]

READING, DECODING = "reading", "decoding"

AUTO = "auto"
"""Instead of a mapping: find the lines in the traffic."""


@dataclass(frozen=True, slots=True)
class Source:
    """What was read.

    Attributes:
        end_ns: its length.
        events: gives what body and lens said in it.
        has_bytes: whether it holds single bytes with their times.
        none_found: what to say when there is no transaction in it.
    """

    end_ns: int
    events: Callable[[], Iterable[Event]]
    has_bytes: bool
    none_found: str


@dataclass(frozen=True, slots=True, kw_only=True)
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
    recordings = [path for path in paths if is_exchange(path)]
    if not recordings:
        return _capture(paths, options, catalogue, progress)
    for name, value in (("--pins", options.pins), ("--rate", options.rate), ("--channels", options.channels)):
        if value is not None:
            raise click.UsageError(f"{name} is for captures; {recordings[0]} is a recording of exchanges")
    return _exchange(read_exchange(recordings[0]), catalogue, progress)


def _exchange(exchange: Exchange, catalogue: Catalogue, progress: Progress) -> Source:
    for note in _notes(exchange):
        progress.hide()
        click.echo(f"m43: {note}", err=True)
    return Source(
        exchange.end_ns,
        partial(observe_exchange, exchange, catalogue),
        has_bytes=False,
        none_found="no transaction found in this recording",
    )


def _notes(exchange: Exchange) -> Iterable[str]:
    """Yield what the rows of a recording cannot show."""
    alike = sum(row.alike for row in exchange.rows if isinstance(row, PollRow | HeartbeatRow))
    if alike:
        yield f"{alike} polls are not in the recording, for their answers were like the one before; nor in any figure"
    for row in exchange.rows:
        if isinstance(row, LostRow):
            yield f"line {row.line}: the transport was lost at {row.t_ns / 1e9:.3f} s: {row.error}"
        elif getattr(row, "failed", None):
            yield f"line {row.line}: the transport failed at {row.t_ns / 1e9:.3f} s: {getattr(row, 'error', '')}"


def _capture(paths: tuple[Path, ...], options: CaptureOptions, catalogue: Catalogue, progress: Progress) -> Source:
    capture = open_capture(
        paths,
        rate_hz=options.rate,
        channels=options.channels,
        progress=lambda fraction: progress.update(READING, fraction),
    )
    mapping = _living(_mapping(capture, options.pins, progress), progress)

    def events() -> Iterable[Event]:
        return observe(capture, mapping, catalogue, progress=lambda fraction: progress.update(DECODING, fraction))

    return Source(
        capture.end_ns, events, has_bytes=True, none_found="no transaction found; are the lines right? Try --pins auto"
    )


def _mapping(capture: Capture, pins: str | dict[str, str] | None, progress: Progress) -> Mapping[Line, Channel]:
    if pins is None:
        return lines_by_name(capture)
    if isinstance(pins, dict):
        return lines_by_request(capture, pins)
    finding = find_lines(capture)
    progress.hide()
    click.echo(f"m43: --pins {finding}", err=True)
    return finding.mapping


def _living(mapping: Mapping[Line, Channel], progress: Progress) -> Mapping[Line, Channel]:
    living, dead = without_dead_lines(mapping)
    if dead:
        progress.hide()
        click.echo(f"m43: {', '.join(dead)} never changes: decoding without it", err=True)
    return living
