"""Lines that are stored one by one, each as the ticks at which it toggles, as rows of the states of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.rows import Rows
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from m43drivers.capture.stream import Block

__all__ = ["Line", "Toggles", "merged_blocks"]

FOREVER = 2**63 - 1


@record(frozen=True, slots=True, eq=False)
class Toggles:
    """A stretch of one line.

    Attributes:
        ticks: at which it toggles, not decreasing (``int64``); twice at one tick is not at all.
        until: the last tick that this stretch speaks of.
    """

    ticks: NDArray[np.int64]
    until: int


@dataclass(slots=True)
class Line:
    """One line on its way.

    Attributes:
        initial: its level at tick 0, before the first toggle.
        stretches: the rest of it, in order.
        waiting: toggles that were read and are not yet dealt with.
        until: the last tick that was read of, or `FOREVER` once there is nothing more.
        end: the last tick that any stretch speaks of.
    """

    initial: int
    stretches: Iterator[Toggles]
    waiting: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    until: int = -1
    end: int = 0

    def read(self) -> None:
        """Read the next stretch."""
        stretch = next(self.stretches, None)
        if stretch is None:
            self.until = FOREVER
            return
        self.until = self.end = stretch.until
        self.waiting = np.concatenate([self.waiting, stretch.ticks]) if self.waiting.size else stretch.ticks

    def taken(self, until: int) -> NDArray[np.int64]:
        """Give and forget the toggles up to a tick."""
        count = int(np.searchsorted(self.waiting, until, "right"))
        found, self.waiting = self.waiting[:count], self.waiting[count:]
        return found


def merged_blocks(lines: Sequence[Line], end: int | None, wanted: int | None) -> Iterator[Block]:
    """Yield the blocks of all lines, in memory that does not grow with them.

    Args:
        lines: up to 64; the k-th is bit k of a state.
        end: the last tick, and lines that do not matter are not read; or None, and it is the last of any line.
        wanted: mask of the lines that matter, None for all.
    """
    if end is not None and wanted is not None:
        lines = [line if wanted >> bit & 1 else Line(0, iter(())) for bit, line in enumerate(lines)]
    rows = Rows(len(lines), wanted)
    state = np.uint64(sum(line.initial << bit for bit, line in enumerate(lines)))
    yield from rows.add(np.zeros(1, np.int64), np.array([state]), 0)
    while (until := min(line.until for line in lines)) < FOREVER:
        for line in lines:
            if line.until == until:
                line.read()
        last = max(line.end for line in lines) if end is None else end
        until = min(last, *(line.until for line in lines))
        found = [line.taken(until) for line in lines]
        ticks = np.concatenate(found)
        masks = [np.full(one.size, 1 << bit, np.uint64) for bit, one in enumerate(found)]
        order = np.argsort(ticks, kind="stable")
        states = np.bitwise_xor.accumulate(np.concatenate([np.array([state]), *masks])[np.append(0, order + 1)])
        state = states[-1]
        yield from rows.add(ticks[order], states[1:], until)
    yield from rows.finish(max(line.end for line in lines) if end is None else end)
