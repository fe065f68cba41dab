"""Raw packed samples (``sigrok-cli -O binary`` and the like): nothing but bytes, so the user says the rest."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

from m43drivers.capture.common import Meter, Options
from m43drivers.capture.model import CaptureError, Provenance, RateMissingError
from m43drivers.capture.packed import MAX_LINES, changes_in
from m43drivers.capture.stream import Block, CaptureStream, Label
from m43drivers.capture.times import last_sample_ns, period_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

__all__ = ["stream"]

DEFAULT_LINES = 8
BLOCK = 1 << 18


def stream(paths: tuple[Path, ...], options: Options, head: bytes = b"") -> CaptureStream:
    """Open samples of ``ceil(channels / 8)`` bytes, little-endian; bit k is line ``D<k>``.

    From standard input, samples are given as they arrive.

    Args:
        paths: one file, or ``-`` for standard input.
        options: ``rate_hz`` is needed; ``channels`` is 8 unless given.
        head: what was already read of standard input.

    Raises:
        CaptureError: the rate is missing, or the size is no multiple of the sample size.
    """
    (path,) = paths
    rate, lines = _rate(path, options), _lines(path, options)
    unit = (lines + 7) // 8
    tick_ns = period_ns(rate)
    piped = str(path) == "-"
    if not piped:
        last_sample_ns(path, _count(path, unit), tick_ns)

    def blocks(mask: int | None) -> Iterator[Block]:
        everything = (1 << lines) - 1
        pieces = _arriving(head) if piped else _pieces(path, options)
        yield from changes_in(pieces, unit, everything if mask is None else mask & everything)

    return CaptureStream(
        tuple(Label(f"D{bit}", (str(bit),)) for bit in range(lines)),
        tick_ns,
        float(rate),
        Provenance(str(path), "raw", {"bytes per sample": str(unit)}),
        blocks,
        again=not piped,
    )


def _pieces(path: Path, options: Options) -> Iterator[bytes]:
    meter = Meter(options.progress, path.stat().st_size)
    with path.open("rb", buffering=0) as source:
        while piece := source.read(BLOCK):
            yield piece
            meter.at(source.tell())


def _arriving(head: bytes) -> Iterator[bytes]:
    """Yield what comes through standard input, and an empty piece whenever it pauses."""
    yield head
    while piece := os.read(sys.stdin.fileno(), BLOCK):
        yield piece
        if not select.select([sys.stdin], [], [], 0)[0]:
            yield b""


def _rate(path: Path, options: Options) -> Fraction:
    if options.rate_hz is None:
        raise RateMissingError(
            path,
            "raw samples carry no sample rate; give it with --rate (rate_hz), and the number of lines with --channels",
        )
    return options.rate_hz


def _lines(path: Path, options: Options) -> int:
    lines = DEFAULT_LINES if options.channels is None else options.channels
    if not 1 <= lines <= MAX_LINES:
        raise CaptureError(path, f"{lines} channels asked for; raw samples have 1 to {MAX_LINES}")
    return lines


def _count(path: Path, unit: int) -> int:
    count, rest = divmod(path.stat().st_size, unit)
    if rest:
        expected = f"expected samples of {unit} bytes, but {rest} bytes are left over; check the number of channels"
        raise CaptureError(path, expected, where=f"offset {count * unit}")
    return count
