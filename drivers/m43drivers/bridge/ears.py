"""Ears of a bridge that are simulated: what its two PIO programs say of a body and a lens at the pins.

`Words` is the two programs without their instructions: times are exact, a run of clocks ends where `clocks` ends it,
and lines are sampled once a tick, as `edges` does. That the programs say the same is tested cycle by cycle, not here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from m43proto.pins import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from m43drivers.simulator.session import Pair

__all__ = ["RING_WORDS", "SimulatedEars", "Words"]

TICK_NS = 200
REST_NS = 2_600
"""How long CLK rests before a run ends: 32 turns of eight cycles, and some."""

TIMED_OUT_NS = 2_650
EIGHTH_NS = 50
SHORTEST_LOW_NS = 210
"""How long the mark stays low at least, so that a sample sees it."""

RING_WORDS = 4096
"""Words of the lines that a board can hold."""

SLICE_NS = 10_000_000
_PAUSE_US = 5_000
_TIME_MASK = (1 << 25) - 1
_CLOCKS_OF_A_BYTE = 8
_MARK = 0x40
_CLK, _DATA = Line.CLK.mask, Line.DATA.mask
_OTHERS = sum(line.mask for line in Line) & ~(_CLK | _DATA)


class Words:
    """Turns changes of the lines into the words of both programs; cut anywhere.

    Args:
        tick_ns: how often lines are sampled.
    """

    def __init__(self, tick_ns: int = TICK_NS) -> None:
        self._tick_ns = tick_ns
        self._clk = 1
        self._sampled = 0
        self._others = 0
        self._mark = 0
        self._marked: list[tuple[int, int]] = []
        self._run: list[tuple[int, int, int]] = []
        self._fell_ns: int | None = None
        self._low_until_ns = 0

    def restart_clocks(self, now_ns: int) -> None:
        """Start `clocks` anew: the run at hand is forgotten, and the mark is low."""
        self._run = []
        self._marked = []
        self._mark = 0
        self._sampled &= ~_MARK
        self._fell_ns = None
        self._low_until_ns = now_ns
        if not self._clk:
            self._fell(now_ns, [])

    def take(self, changes: Sequence[tuple[int, int]], until_ns: int) -> tuple[list[int], list[int]]:
        """Take all changes up to a time; return the words of `edges` and of `clocks` until then.

        Args:
            changes: times in nanoseconds and the levels of all lines from then on.
            until_ns: a multiple of the tick; never earlier than before.
        """
        runs = self._clocked(changes, until_ns)
        return self._edges(changes, until_ns), runs

    # clocks

    def _clocked(self, changes: Sequence[tuple[int, int]], until_ns: int) -> list[int]:
        """Find the runs of clocks, and when the mark changes."""
        runs: list[int] = []
        clk = self._clk
        for t_ns, levels in changes:
            if levels & _CLK == clk:
                continue
            clk ^= 1
            if clk:
                self._rose(t_ns, int(bool(levels & _DATA)), runs)
            else:
                self._fell(t_ns, runs)
        self._clk = clk
        if self._fell_ns is None:
            self._rest(until_ns, runs)
        return runs

    def _fell(self, t_ns: int, runs: list[int]) -> None:
        self._rest(t_ns, runs)
        if not self._run:
            self._marked.append((max(t_ns, self._low_until_ns), _MARK))
        self._fell_ns = t_ns

    def _rose(self, t_ns: int, bit: int, runs: list[int]) -> None:
        fell_ns, self._fell_ns = self._fell_ns, None
        if fell_ns is None:
            return
        self._run.append((fell_ns, t_ns, bit))
        if len(self._run) == _CLOCKS_OF_A_BYTE or t_ns - fell_ns > REST_NS:
            self._end(t_ns + EIGHTH_NS, 0, runs)

    def _rest(self, t_ns: int, runs: list[int]) -> None:
        if self._run and t_ns - self._run[-1][1] > REST_NS:
            self._end(self._run[-1][1] + TIMED_OUT_NS, _CLOCKS_OF_A_BYTE, runs)

    def _end(self, t_ns: int, zeros: int, runs: list[int]) -> None:
        word = 1 << 31
        for _, _, bit in self._run:
            word = word >> 1 | bit << 31
        runs.append(word >> zeros)
        self._marked.append((t_ns, 0))
        self._low_until_ns = t_ns + SHORTEST_LOW_NS
        self._run = []

    # edges

    def _edges(self, changes: Sequence[tuple[int, int]], until_ns: int) -> list[int]:
        """Sample the lines and the mark at each tick."""
        there = [mark for mark in self._marked if mark[0] <= until_ns]
        self._marked = self._marked[len(there) :]
        table: NDArray[np.int64] = np.array(changes, np.int64).reshape(-1, 2)
        marks: NDArray[np.int64] = np.array(there, np.int64).reshape(-1, 2)
        others = (table[:, 1] & _OTHERS) >> 2
        kept = np.flatnonzero(np.diff(others, prepend=self._others))
        times = np.concatenate([table[kept, 0], marks[:, 0]])
        order = np.argsort(times, kind="stable")
        is_mark = np.concatenate([np.zeros(kept.size, bool), np.ones(marks.shape[0], bool)])[order]
        given = np.concatenate([others[kept], marks[:, 1]])[order]
        lines = _held(given, ~is_mark, self._others)
        mark = _held(given, is_mark, self._mark)
        if given.size:
            self._others, self._mark = int(lines[-1]), int(mark[-1])
        ticks = -(-times[order] // self._tick_ns)
        last = np.ones(ticks.size, bool)
        last[:-1] = ticks[1:] != ticks[:-1]
        ticks, words = ticks[last], (lines | mark)[last]
        changed = np.flatnonzero(np.diff(words, prepend=self._sampled))
        if words.size:
            self._sampled = int(words[-1])
        ticks, words = ticks[changed], words[changed]
        coded: list[int] = ((~ticks & _TIME_MASK) << 7 | words).tolist()
        return coded


def _held(values: NDArray[np.int64], known: NDArray[np.bool_], first: int) -> NDArray[np.int64]:
    """Return the last value that is known, at each place."""
    places = np.maximum.accumulate(np.where(known, np.arange(values.size), -1))
    return np.where(places >= 0, values[places], first)


class SimulatedEars:
    """What the firmware's `Listening` asks of its ears, at the pins of a simulated pair.

    Virtual time goes on when somebody asks, and stands still otherwise, so nothing is lost; when the pair has nothing
    more to do, it goes like the clock on the wall.

    Args:
        pair: the pair, which has not begun.
        realtime: whether time goes like the clock on the wall from the beginning.
        deaf: for tests, when in virtual nanoseconds nobody asks, and for how long.
    """

    tick_ns = TICK_NS

    def __init__(self, pair: Pair, *, realtime: bool = False, deaf: tuple[int, int] | None = None) -> None:
        self._pair = pair
        self._paced = realtime
        self._deaf = deaf
        self._words = Words()
        self._now_ns = 0
        self._held: tuple[list[int], list[int]] = ([], [])
        self._last = 0
        self._ahead_ns = -time.monotonic_ns()

    @property
    def pause_us(self) -> int:
        """How long to wait between two looks."""
        return _PAUSE_US if self._paced else 0

    def now(self) -> int:
        """Return the virtual time, in ticks."""
        return self._now_ns // TICK_NS

    def take(self) -> tuple[list[int], list[int]] | None:
        """Let time go on; return the words since it was asked last, or None when they are more than a board holds."""
        self._go_on()
        if len(self._held[0]) > RING_WORDS:
            return None
        held, self._held = self._held, ([], [])
        if held[0]:
            self._last = held[0][-1]
        return held

    def recover(self) -> tuple[int, int]:
        """Forget what is held, and hear anew; return how many words of the lines are lost, and the last of them."""
        lost = len(self._held[0])
        if lost:
            self._last = self._held[0][-1]
        self._held = ([], [])
        self._words.restart_clocks(self._now_ns)
        return lost, self._last

    def end(self) -> None:
        """There is nothing to let go of."""

    def _go_on(self) -> None:
        until_ns = self._next_ns()
        if until_ns <= self._now_ns:
            return
        changes = list(self._pair.mount.run(until_ns))
        self._now_ns = until_ns
        for held, new in zip(self._held, self._words.take(changes, until_ns), strict=True):
            held += new
        if not self._paced and self._pair.body.done:
            self._paced = True
            self._ahead_ns = until_ns - time.monotonic_ns()

    def _next_ns(self) -> int:
        if self._paced:
            until_ns = time.monotonic_ns() + self._ahead_ns
        elif self._deaf is not None and self._now_ns >= self._deaf[0]:
            until_ns = self._now_ns + self._deaf[1]
            self._deaf = None
        else:
            until_ns = self._now_ns + SLICE_NS
        return until_ns // TICK_NS * TICK_NS
