"""What an analyser sees of lines: their levels at each sample instant, as runs of equal samples.

Sample k is taken at k periods, so an edge is seen by the first sample that is not before it, and a pulse between two
samples by none. A rate of 1 GHz sees everything, for times are whole nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.merge import merged_changes
from m43drivers.capture.times import nearest, period_ns, ticks_to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from m43drivers.capture.model import Channel

__all__ = ["EXACT_HZ", "Samples", "sampled"]

EXACT_HZ = 10**9
"""The rate whose samples are the nanoseconds themselves."""

BATCH = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Samples of several lines, as runs.

    Attributes:
        names: of the lines; the k-th is bit k of a state.
        rate_hz: samples per second.
        count: number of samples, at least 1.
        starts: number of the first sample of each run, from 0, strictly increasing (``int64``).
        states: the levels of all lines in each run; neighbours differ (``uint64``).
    """

    names: tuple[str, ...]
    rate_hz: int
    count: int
    starts: NDArray[np.int64]
    states: NDArray[np.uint64]

    @property
    def times_ns(self) -> NDArray[np.int64]:
        """When each run starts, to the nearest nanosecond."""
        return ticks_to_ns(self.starts, period_ns(Fraction(self.rate_hz)))

    @property
    def end_ns(self) -> int:
        """The time of the last sample, to the nearest nanosecond."""
        return nearest((self.count - 1) * period_ns(Fraction(self.rate_hz)))

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield time in nanoseconds and state of the start of each run, and of the last sample."""
        times_ns = self.times_ns
        for at in range(0, times_ns.size, BATCH):
            batch = slice(at, at + BATCH)
            yield from zip(times_ns[batch].tolist(), self.states[batch].tolist(), strict=True)
        if self.starts[-1] < self.count - 1:
            yield self.end_ns, int(self.states[-1])


def sampled(channels: Sequence[Channel], end_ns: int, rate_hz: int) -> Samples:
    """Sample channels from time 0 to the last sample that is not after the end.

    Args:
        channels: 1 to 64 of them.
        end_ns: nanoseconds from 0.
        rate_hz: 1 Hz to `EXACT_HZ`.
    """
    times, states = merged_changes(channels)
    starts = _first_samples(times, rate_hz)
    count = end_ns * rate_hz // 10**9 + 1
    seen = np.append(starts[1:] != starts[:-1], True) & (starts < count)
    starts, states = starts[seen], states[seen]
    changed = np.append(True, states[1:] != states[:-1])
    return Samples(tuple(one.name for one in channels), rate_hz, count, starts[changed], states[changed])


def _first_samples(times_ns: NDArray[np.int64], rate_hz: int) -> NDArray[np.int64]:
    """Give the number of the first sample that is not before each time; in parts, for the product leaves int64."""
    per_ns = Fraction(rate_hz, 10**9)
    step, parts = per_ns.numerator, per_ns.denominator
    whole, rest = np.divmod(times_ns, np.int64(parts))
    return np.asarray(whole * step + (rest * step + parts - 1) // parts, dtype=np.int64)
