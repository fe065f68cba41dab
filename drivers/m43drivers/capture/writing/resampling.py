"""From a stream to the samples of a rate, block by block, and what is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.rows import Rows
from m43drivers.capture.times import INT64_MAX, nearest, period_ns, ticks_to_ns
from m43drivers.capture.writing.sampling import EXACT_HZ, Samples, Stretch
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from m43drivers.capture.stream import Block, CaptureStream

__all__ = ["Loss", "resampled"]

HALF = Fraction(1, 2)


@dataclass(slots=True)
class Loss:
    """What became of a capture on another grid; told when all of it was read.

    Attributes:
        changes: how many there were, in the end; what the lines begin with is none.
        lost: how many fell between two samples and are gone.
        moved: how many are at another time than they were, to the nearest nanosecond.
        most_ns: by how much at most.
    """

    changes: int = 0
    lost: int = 0
    moved: int = 0
    most_ns: int = 0


def resampled(stream: CaptureStream, names: Sequence[str], rate_hz: int) -> tuple[Samples, Loss]:
    """Give a stream at a rate.

    At the stream's own rate its samples are given as they are. At any other, a change is seen by the first sample that
    is not before it. Where the stream holds times instead of samples these are rounded to a nanosecond, so there it is
    the first that may not be before it: what was once sampled at this rate is found at its very samples again.

    Args:
        stream: up to 64 lines.
        names: what to call them.
        rate_hz: 1 Hz to `EXACT_HZ`, or the stream's own rate.
    """
    loss = Loss()
    grid = _Grid(stream.tick_ns, rate_hz)
    return Samples(tuple(names), rate_hz, _stretches(stream, grid, len(names), loss)), loss


@record(frozen=True, slots=True)
class _Grid:
    """Converts ticks of one length to samples of a rate."""

    tick_ns: Fraction
    rate_hz: int

    @property
    def is_own(self) -> bool:
        return self.tick_ns * self.rate_hz == 10**9

    def starts(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the first sample that sees what changes at each tick."""
        if self.is_own:
            return ticks
        if self.rate_hz == EXACT_HZ:
            return ticks_to_ns(ticks, self.tick_ns)
        per_tick = self.tick_ns * self.rate_hz / 10**9
        step, parts = per_tick.numerator, per_tick.denominator
        slack = step if self._is_rounded else 0
        if 2 * step * parts + 2 * parts > INT64_MAX:
            return np.array([-((slack - 2 * tick * step) // (2 * parts)) for tick in ticks.tolist()], np.int64)
        whole, rest = np.divmod(ticks, np.int64(parts))
        return np.asarray(whole * step - (slack - 2 * rest * step) // (2 * parts), np.int64)

    def last(self, end: int) -> int:
        """Give the last sample that is not after a tick."""
        if self.is_own:
            return end
        if self.rate_hz == EXACT_HZ:
            return nearest(end * self.tick_ns)
        end_ns = end * self.tick_ns + (HALF if self._is_rounded else 0)
        return int(end_ns * self.rate_hz / 10**9)

    @property
    def _is_rounded(self) -> bool:
        return self.tick_ns == 1


def _stretches(stream: CaptureStream, grid: _Grid, width: int, loss: Loss) -> Iterator[Stretch]:
    rows, now, end, seen = Rows(width, None), 0, 0, 0
    for block in stream.blocks(None):
        starts, end = grid.starts(block.ticks), block.end
        now = int(starts[-1]) if starts.size else now
        _count_moves(grid, block, starts, loss)
        for found in rows.add(starts, block.states, now):
            seen += found.ticks.size
            yield _stretch(found)
    last = grid.last(end)
    # A change behind the last sample is seen by none; all that is before it was given.
    for found in rows.finish(last) if now <= last else ():
        seen += found.ticks.size
        yield _stretch(found)
    loss.lost = loss.changes - seen
    loss.changes -= 1


def _stretch(block: Block) -> Stretch:
    return Stretch(block.ticks, block.states, block.end + 1)


def _count_moves(grid: _Grid, block: Block, starts: NDArray[np.int64], loss: Loss) -> None:
    loss.changes += block.ticks.size
    moves = np.abs(ticks_to_ns(starts, period_ns(Fraction(grid.rate_hz))) - ticks_to_ns(block.ticks, grid.tick_ns))
    loss.moved += int(np.count_nonzero(moves))
    loss.most_ns = max(loss.most_ns, int(moves.max(initial=0)))
