"""What an analyser sees of lines: their levels at each sample instant, as runs of equal samples.

Sample k is taken at k periods, so an edge is seen by the first sample that is not before it, and a pulse between two
samples by none. A rate of 1 GHz sees everything, for times are whole nanoseconds.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.merge import merged_changes
from m43drivers.capture.times import nearest, period_ns, ticks_to_ns
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from m43drivers.capture.model import Channel

__all__ = ["EXACT_HZ", "Samples", "Stretch", "sampled"]

EXACT_HZ = 10**9
"""The rate whose samples are the nanoseconds themselves."""

BATCH = 1 << 16


@record(frozen=True, slots=True, eq=False)
class Stretch:
    """The next runs of equal samples.

    Attributes:
        starts: number of the first sample of each run, strictly increasing; from 0 in the first stretch (``int64``).
        states: the levels of all lines in each run; neighbours differ (``uint64``).
        count: how many samples there are up to here.
    """

    starts: NDArray[np.int64]
    states: NDArray[np.uint64]
    count: int


@record(frozen=True, slots=True, eq=False)
class Samples:
    """Samples of several lines, as runs.

    Attributes:
        names: of the lines; the k-th is bit k of a state.
        rate_hz: samples per second.
        stretches: the runs, to be read once; there is at least one sample.
    """

    names: tuple[str, ...]
    rate_hz: int
    stretches: Iterator[Stretch]

    def times_ns(self, stretch: Stretch) -> NDArray[np.int64]:
        """When each run of a stretch starts, to the nearest nanosecond."""
        return ticks_to_ns(stretch.starts, period_ns(Fraction(self.rate_hz)))

    def end_ns(self, count: int) -> int:
        """The time of the last of ``count`` samples, to the nearest nanosecond."""
        return nearest((count - 1) * period_ns(Fraction(self.rate_hz)))

    def rows(self) -> Iterator[tuple[int, int]]:
        """Yield time in nanoseconds and state of the start of each run, and of the last sample."""
        now_ns = state = 0
        stretch = None
        for stretch in self.stretches:
            times_ns = self.times_ns(stretch)
            for at in range(0, times_ns.size, BATCH):
                batch = slice(at, at + BATCH)
                for now_ns, state in zip(times_ns[batch].tolist(), stretch.states[batch].tolist(), strict=True):
                    yield now_ns, state
        if stretch is not None and now_ns < self.end_ns(stretch.count):
            yield self.end_ns(stretch.count), state

    def pieces(self, unit: int, size: int) -> Iterator[bytes]:
        """Yield the samples as little-endian integers of ``unit`` bytes, ``size`` samples at a time."""
        parts, room = [], size
        begin, state = 0, np.zeros(0, f"V{unit}")
        for stretch in self.stretches:
            octets = stretch.states.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :unit]
            states = np.concatenate([state, np.ascontiguousarray(octets).view(f"V{unit}")[:, 0]])
            borders = np.concatenate([np.full(state.size, begin), stretch.starts, np.array([stretch.count])])
            while begin < stretch.count:
                end = min(begin + room, stretch.count)
                first = int(np.searchsorted(borders[:-1], begin, "right")) - 1
                last = int(np.searchsorted(borders[:-1], end, "left"))
                lengths = np.diff(np.clip(borders[first : last + 1], begin, end))
                parts.append(np.repeat(states[first:last], lengths))
                room, begin = room - (end - begin), end
                if not room:
                    yield b"".join(part.tobytes() for part in parts)
                    parts, room = [], size
            state = states[-1:]
        if parts:
            yield b"".join(part.tobytes() for part in parts)


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
    whole = Stretch(starts[changed], states[changed], count)
    return Samples(tuple(one.name for one in channels), rate_hz, iter([whole]))


def _first_samples(times_ns: NDArray[np.int64], rate_hz: int) -> NDArray[np.int64]:
    """Give the number of the first sample that is not before each time; in parts, for the product leaves int64."""
    per_ns = Fraction(rate_hz, 10**9)
    step, parts = per_ns.numerator, per_ns.denominator
    whole, rest = np.divmod(times_ns, np.int64(parts))
    return np.asarray(whole * step + (rest * step + parts - 1) // parts, dtype=np.int64)
