"""Packed samples to changes: the part that sigrok sessions and raw files share.

Samples come in pieces and are gone with their piece; only changes stay. An idle line costs time and no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from m43drivers.capture.stream import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

__all__ = ["MAX_LINES", "MAX_UNIT", "ROWS_OF_A_BLOCK", "ChangeFinder", "Still", "changes_in"]

MAX_UNIT = 8
MAX_LINES = 8 * MAX_UNIT

# Numpy has no 3, 5, 6 or 7 byte integers: samples of these sizes are widened block by block.
WIDTHS = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}

STRIP = 1 << 15
"""Bytes that are compared with an idle bus at once."""

SHORT = 1 << 12
"""The same at the edges of what is not idle."""

ROWS_OF_A_BLOCK = 1 << 17
"""Changes that make a block: enough that what a block costs beside its rows does not count."""


class Still(NamedTuple):
    """Where a finder stands.

    Attributes:
        found: how many changes it has found.
        shown: the levels of the lines that matter.
        last: the last sample.
    """

    found: int
    shown: Any
    last: Any


class ChangeFinder:
    """Finds the changes in packed samples that are fed piece by piece, and gives them in blocks.

    Samples like the one before are passed over as memory is compared, not one by one.

    Args:
        unit: bytes per sample, 1 to 8, little-endian.
        mask: the lines that matter; line k is bit k.
        start: number of the first sample.
        rows: how many changes make a block.
    """

    def __init__(self, unit: int, mask: int, start: int = 0, rows: int = ROWS_OF_A_BLOCK) -> None:
        self._unit = unit
        self._dtype = np.dtype(f"<u{WIDTHS[unit]}")
        self._mask = self._dtype.type(mask)
        self._others = False
        self._strip = STRIP - STRIP % unit
        self._middle = self._strip // 2 // unit * unit
        self._short = SHORT - SHORT % unit
        self._differs = np.empty(0, bool)
        self._alike = self._alike_short = b""
        self._rest = b""
        self._position = start
        self._enough = rows
        self._last: Any = None
        self._shown: Any = None
        self._ticks = np.empty(0, np.int64)
        self._states = np.empty(0, self._dtype)
        self._told = self._rows = 0
        self._found = 0

    @property
    def full(self) -> bool:
        """Whether enough has been found for a block."""
        return self._rows - self._told >= self._enough

    def feed(self, piece: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        data = self._rest + piece if self._rest else piece
        size = len(data) - len(data) % self._unit
        self._rest = data[size:]
        if not size:
            return
        if self._last is None:
            self._begin(data)
        for start, end in self._busy(data, size):
            self._find(data, start, end)
        self._position += size // self._unit

    @property
    def position(self) -> int:
        """How many samples lie before those that come next."""
        return self._position

    @property
    def still(self) -> Still | None:
        """What holds now, when the samples end here with a whole one."""
        return None if self._rest or self._last is None else Still(self._found, self._shown, self._last)

    def pass_over(self, size: int, last: Any) -> None:
        """Take bytes that are known to hold no change.

        Args:
            size: how many bytes; whole samples.
            last: the last sample.
        """
        self._last = last
        self._position += size // self._unit

    def block(self) -> Block | None:
        """Return what was found since the last one, or None before the first sample."""
        if self._last is None:
            return None
        some = slice(self._told, self._rows)
        self._told = self._rows
        return Block(self._ticks[some], self._states[some], self._position - 1)

    def _begin(self, data: bytes) -> None:
        first = self._integers(data, 0, self._unit)
        self._others = bool(first[0] & ~self._mask)
        self._keep(np.zeros(1, np.int64), first & self._mask, self._position)
        self._last = first[0]
        self._remember(data[: self._unit])

    def _remember(self, sample: bytes) -> None:
        if not self._alike.startswith(sample):
            self._alike = sample * (self._strip // self._unit)
            self._alike_short = sample * (self._short // self._unit)

    def _busy(self, data: bytes, size: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of a piece in which not all samples are like the last one before."""
        strip, at = self._strip, 0
        while at < size:
            if at + strip <= size and data.startswith(self._alike, at):
                at += strip
                continue
            end = at + strip
            while end < size and not self._still(data, end):
                end += strip
            end = min(end, size)
            yield self._trimmed(data, at, end)
            at = end

    def _trimmed(self, data: bytes, start: int, end: int) -> tuple[int, int]:
        """Leave out what is idle at the start and at the end of a part of a piece, but for one sample of the latter."""
        short, unit = self._short, self._unit
        while start + short < end and data.startswith(self._alike_short, start):
            start += short
        self._remember(data[end - unit : end])
        stop = end
        while stop - short > start and data.startswith(self._alike_short, stop - short):
            stop -= short
        return start, min(stop + unit, end)

    def _still(self, data: bytes, at: int) -> bool:
        """Tell whether a strip looks idle; a guess from three samples, which costs little where it is wrong."""
        unit, middle, last = self._unit, at + self._middle, at + self._strip - self._unit
        return data[at : at + unit] == data[middle : middle + unit] == data[last : last + unit]

    def _find(self, data: bytes, start: int, end: int) -> None:
        samples = self._integers(data, start, end)
        if self._differs.size < samples.size:
            self._differs = np.empty(samples.size, bool)
        differs = self._differs[: samples.size]
        differs[0] = samples[0] != self._last
        np.not_equal(samples[1:], samples[:-1], out=differs[1:])
        (at,) = differs.nonzero()
        self._last = samples[-1]
        if at.size:
            at, states = self._masked(at, samples.take(at))
            self._keep(at, states, self._position + start // self._unit)

    def _masked(self, at: NDArray[np.int64], states: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Leave out the changes of other lines, once one of them has been high."""
        if not self._others and not np.bitwise_or.reduce(states) & ~self._mask:
            return at, states
        self._others = True
        states &= self._mask
        kept = np.empty(len(states), bool)
        kept[0] = states[0] != self._shown
        np.not_equal(states[1:], states[:-1], out=kept[1:])
        return at[kept], states[kept]

    def _keep(self, at: NDArray[np.int64], states: NDArray[Any], position: int) -> None:
        if not at.size:
            return
        if self._rows + at.size > len(self._ticks):
            self._make_room(at.size)
        rows = slice(self._rows, self._rows + at.size)
        np.add(at, position, out=self._ticks[rows])
        self._states[rows] = states
        self._shown = states[-1]
        self._rows = rows.stop
        self._found += at.size

    def _make_room(self, rows: int) -> None:
        """Take a new array for what is not yet given in a block; what was given stays where it is."""
        some = slice(self._told, self._rows)
        ticks, states = self._ticks[some], self._states[some]
        waiting = len(ticks)
        room = max(self._enough, 2 * waiting) + rows
        self._ticks, self._states = np.empty(room, np.int64), np.empty(room, self._dtype)
        self._ticks[:waiting], self._states[:waiting] = ticks, states
        self._told, self._rows = 0, waiting

    def _integers(self, data: bytes, start: int, end: int) -> NDArray[Any]:
        if self._unit == self._dtype.itemsize:
            return np.frombuffer(data, self._dtype, (end - start) // self._unit, start)
        narrow = np.frombuffer(data, np.uint8, end - start, start).reshape(-1, self._unit)
        wide = np.zeros((narrow.shape[0], self._dtype.itemsize), np.uint8)
        wide[:, : self._unit] = narrow
        return wide.view(self._dtype)[:, 0]


def changes_in(pieces: Iterable[bytes], unit: int, mask: int) -> Iterator[Block]:
    """Find the changes in packed samples.

    Args:
        pieces: the bytes of the samples, cut anywhere; an empty piece asks for what there is, because no more may come
            for a while.
        unit: bytes per sample, 1 to 8, little-endian.
        mask: the lines that matter.
    """
    finder = ChangeFinder(unit, mask)
    for piece in pieces:
        finder.feed(piece)
        if (finder.full or not piece) and (block := finder.block()):
            yield block
    if last := finder.block():
        yield last
