"""Joins ends on one set of lines, on virtual time: what a simulation of the mount is made of.

Lines that nobody drives are low, as in the captures of the public programs. A line that two ends drive against each
other is high, and noted as contention.

While a body clocks a byte that the lens waits for, neither does anything else, so the edges are known beforehand. A
mount of one body and one lens puts them down at once, instead of asking both ends at every edge.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from m43proto.ends import ANY_BYTE, NEVER, PinBody, PinEnd, PinLens
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43proto.timing import BodyTiming

__all__ = ["Mount", "due_figure"]

_CLK, _DATA = Line.CLK.mask, Line.DATA.mask


class Mount:
    """Ends on one set of lines.

    Attributes:
        now_ns: the time.
        levels: the levels of all lines, one bit per line in the order of `LINES`.
        contention_ns: times at which two ends began to drive a line against each other.
    """

    def __init__(self, *ends: PinEnd) -> None:
        self._ends = list(ends)
        self._next_ns = [0] * len(ends)
        self._fighting = 0
        self.now_ns = 0
        self.levels = 0
        self.contention_ns: list[int] = []
        self._pair = _pair(ends)
        self._resolve()

    def unplug(self, end: PinEnd) -> None:
        """Take an end away, between two runs or from the script of another end: nobody drives its lines any more."""
        index = self._ends.index(end)
        self._ends[index], self._next_ns[index] = PinEnd(0, 0), NEVER
        if self._pair:
            self._pair[0].in_whole_bytes = False
            self._pair = None
        self._resolve()

    def rouse(self, end: PinEnd, now_ns: int) -> None:
        """Let the time come to `now_ns`, before which nobody acts (see `run`), and let an end take up what is new."""
        self.now_ns = max(self.now_ns, now_ns)
        self._next_ns[self._ends.index(end)] = self.now_ns

    def run(self, until_ns: int, *, through: PinBody | None = None) -> Iterator[tuple[int, int]]:
        """Yield the levels at time 0 and every change, as time and new levels.

        Args:
            until_ns: when to stop; it stops before that when no end will act by itself.
            through: a body at the end of whose script to stop.
        """
        if self.now_ns == 0:
            yield self.now_ns, self.levels
        levels = self.levels
        while True:
            self._settle()
            if self._pair and (due := self._pair[0].due_byte) is not None:
                for change in self._carry(*self._pair, due, until_ns):
                    levels = change[1]
                    yield change
                continue
            if self.levels != levels:
                levels = self.levels
                yield self.now_ns, levels
            next_ns = min(self._next_ns, default=NEVER)
            if next_ns > until_ns or next_ns == NEVER or (through is not None and through.done):
                return
            self.now_ns = max(next_ns, self.now_ns)

    def _settle(self) -> None:
        """Let the ends go on: those that are due, and then those that watch what the others changed."""
        now_ns, levels, all_next_ns = self.now_ns, self.levels, self._next_ns
        for index, end in enumerate(self._ends):
            if all_next_ns[index] <= now_ns:
                all_next_ns[index] = end.advance(now_ns, levels, 0)
        moved = True
        while moved:
            before, levels = levels, self._resolve()
            moved = False
            rose, fell = levels & ~before, before & ~levels
            if not rose | fell:
                return
            for index, end in enumerate(self._ends):
                if rose & end.watches_rises or fell & end.watches_falls:
                    all_next_ns[index] = end.advance(now_ns, levels, rose | fell)
                    moved = True

    def _carry(self, body: PinBody, lens: PinLens, due: int, until_ns: int) -> Iterator[tuple[int, int]]:
        """Carry the byte that the body is about to clock, if the lens waits for just that."""
        figure, value = due_figure(body.timing, body.drives, due, lens, self.levels)
        if figure and self.now_ns + figure[-1][0] <= until_ns:
            start_ns, rest = self.now_ns, self.levels & ~(_CLK | _DATA)
            for offset_ns, bits in figure:
                self.now_ns = start_ns + offset_ns
                self.levels = rest | bits
                yield self.now_ns, self.levels
            body.carry(value)
            lens.carry(value)
        else:
            body.carry(None)
        self._next_ns = [self.now_ns] * len(self._ends)

    def _resolve(self) -> int:
        levels = fighting = driven = 0
        for end in self._ends:
            drives = end.drives
            ours = end.outputs & drives
            fighting |= driven & drives & (levels ^ ours)
            driven |= drives
            levels |= ours
        if fighting & ~self._fighting:
            self.contention_ns.append(self.now_ns)
        self._fighting = fighting
        self.levels = levels
        return levels


def _pair(ends: tuple[PinEnd, ...]) -> tuple[PinBody, PinLens] | None:
    """Return the body and the lens that exchange whole bytes, or None when these ends cannot."""
    bodies = [end for end in ends if isinstance(end, PinBody)]
    lenses = [end for end in ends if isinstance(end, PinLens)]
    if len(ends) != 2 or len(bodies) != len(lenses):
        return None
    [body], [lens] = bodies, lenses
    body.in_whole_bytes = lens.takes_whole_bytes and body.timing.steady and lens.timing.steady
    return body, lens


_Figure = tuple[tuple[int, int], ...]
"""The edges of a byte: offset in nanoseconds, and the levels of CLK and DATA from then on."""


def due_figure(timing: BodyTiming, drives: int, sent: int, lens: PinLens, levels: int) -> tuple[_Figure, int]:
    """Return the edges of the byte that both ends wait for, and its value; no edges when they do not.

    Args:
        timing: the delays of the body.
        drives: mask of the lines that the body drives.
        sent: the byte that the body is about to clock out, `ANY_BYTE` when it is about to clock one in.
        lens: the other end.
        levels: the levels of all lines.
    """
    taken = lens.due_byte
    if taken is None:
        return (), 0
    bits = levels & _DATA
    lens_drives, body_drives = lens.drives & _DATA, drives & _DATA
    if taken == ANY_BYTE and body_drives and not lens_drives:
        return _figure(timing.setup_ns, timing.write_low_ns, timing.write_high_ns, sent, bits), sent
    if sent == ANY_BYTE and lens_drives and not body_drives:
        return _figure(lens.timing.data_ns, timing.read_low_ns, timing.read_high_ns, taken, bits), taken
    return (), 0


@lru_cache(maxsize=4096)
def _figure(change_ns: int, low_ns: int, high_ns: int, value: int, data: int) -> _Figure:
    """Draw a byte: `change_ns` behind each fall of CLK, DATA changes; empty when that is not before CLK rises."""
    if change_ns >= low_ns:
        return ()
    edges = []
    for place in range(BITS_PER_BYTE):
        fall_ns = place * (low_ns + high_ns)
        edges.append((fall_ns, data))
        bit = _DATA * (value >> place & 1)
        if bit != data:
            edges.append((fall_ns + change_ns, bit))
        data = bit
        edges.append((fall_ns + low_ns, _CLK | data))
    return tuple(edges)
