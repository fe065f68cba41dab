"""Joins ends on one set of lines, on virtual time: what a simulation of the mount is made of.

Lines that nobody drives are low, as in the captures of the public programs. A line that two ends drive against each
other is high, and noted as contention.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43proto.ends import PinEnd

__all__ = ["NEVER", "Mount"]

NEVER = 1 << 63
"""The time at which nothing happens."""


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
        self._resolve()

    def unplug(self, end: PinEnd) -> None:
        """Take an end away: what it drove, nobody drives any more."""
        index = self._ends.index(end)
        del self._ends[index], self._next_ns[index]
        self._resolve()

    def run(self, until_ns: int) -> Iterator[tuple[int, int]]:
        """Yield the levels at time 0 and every change, as time and new levels, until no end will act or time is up."""
        if self.now_ns == 0:
            yield self.now_ns, self.levels
        while True:
            before = self.levels
            self._settle()
            if self.levels != before:
                yield self.now_ns, self.levels
            next_ns = min(self._next_ns)
            if next_ns > until_ns or next_ns == NEVER:
                return
            self.now_ns = max(next_ns, self.now_ns)

    def _settle(self) -> None:
        """Let the ends go on: those that are due, and then those that watch what the others changed."""
        now_ns, before = self.now_ns, self.levels
        for index, due_ns in enumerate(self._next_ns):
            if due_ns <= now_ns:
                self._advance(index)
        self._resolve()
        while changed := before ^ self.levels:
            before = self.levels
            for index, end in enumerate(self._ends):
                if changed & end.watches:
                    self._advance(index)
            self._resolve()

    def _advance(self, index: int) -> None:
        next_ns = self._ends[index].advance(self.now_ns, self.levels)
        self._next_ns[index] = NEVER if next_ns is None else next_ns

    def _resolve(self) -> None:
        levels = fighting = driven = 0
        for end in self._ends:
            ours = end.outputs & end.drives
            fighting |= driven & end.drives & (levels ^ ours)
            driven |= end.drives
            levels |= ours
        if fighting & ~self._fighting:
            self.contention_ns.append(self.now_ns)
        self._fighting = fighting
        self.levels = levels
