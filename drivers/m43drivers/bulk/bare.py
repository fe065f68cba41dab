"""Rows of levels -> what body and lens said, where BODY_ACK was not recorded (specs/3-framing.md §3.7).

Two things can be irregular then, one without the other: the clocks, and what the bytes say. So there are two places
where the engine takes over: it is given rows where clocks make no bytes, and bytes where those make no transactions.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.bulk.columns import DATA_AT, LENGTH_AT, SHAPE_CODES, SUM_AT, Stretch
from m43drivers.bulk.decoder import MOST_CARRIED, Decoder
from m43drivers.capture.times import nearest, ticks_to_ns
from m43proto.bare import GAP_NS
from m43proto.checksum import wire_sum
from m43proto.phy import BITS_PER_BYTE, REST_NS, WireByte
from m43proto.pins import Line
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, Shape

if TYPE_CHECKING:
    from collections.abc import Generator
    from fractions import Fraction

    from numpy.typing import NDArray

    from m43drivers.bulk.bursts import FrameLines, Rows
    from m43drivers.bulk.decoder import Found
    from m43proto.catalogue import Catalogue

__all__ = ["BareDecoder"]

_CLK, _DATA, _SLEEP = (np.uint8(line.mask) for line in (Line.CLK, Line.DATA, Line.SLEEP))
_AT_ONCE = 1 << 10
"""Bytes that the engine is given at once, which may want only the first of them."""

_SET, _READ, _WRITE = (SHAPE_CODES.index(shape) for shape in (Shape.SET, Shape.READ, Shape.WRITE))


class BareDecoder(Decoder):
    """Decodes rows of levels where BODY_ACK was not recorded."""

    def __init__(self, lines: tuple[Line, ...], catalogue: Catalogue, tick_ns: Fraction) -> None:
        super().__init__(lines, catalogue, tick_ns)
        self._turns_loose = False
        self._hunting = True

    def _at_rest(self) -> bool:
        return self._connection.lines_at_rest

    def _walk(self, rows: Rows, frame: FrameLines, row: int) -> Generator[Found, None, int]:
        clocks = _Clocks(rows, row, self._tick_ns, self._longest_low)
        while True:
            self._note_turns()
            octets = clocks.octets(row, self._rose_ns)
            used, told = yield from self._say(rows, frame, octets)
            if used:
                self._rose_ns = nearest(int(octets.end_ticks[used - 1]) * self._tick_ns)
                self._aligned |= octets.rests_before(used)
            behind = octets.row_behind(used)
            if octets.broken is None:
                stop = clocks.edge_from(behind)
                if len(rows) - stop <= MOST_CARRIED:
                    yield from frame.alone(told, stop, self._tick_ns)
                    return stop
            yield from frame.alone(told, behind, self._tick_ns)
            self._hand_over(rows, frame, behind)
            row = yield from self._feed(rows, behind, len(rows) if octets.broken is None else octets.broken)
            if self._loose:
                return row

    def _note_turns(self) -> None:
        """Take note of where the engine is; what it has not been told of yet is whole transactions."""
        self._turns_loose = not self._connection.turns_at_rest
        if self._last_tick is None:
            self._hunting = self._connection.hunting

    def _say(self, rows: Rows, frame: FrameLines, octets: _Octets) -> Generator[Found, None, tuple[int, int]]:
        """Decode bytes.

        Returns:
            how many of them must not wait for more, and the first row whose pin events have not been told.
        """
        used, told = 0, octets.row
        while used < len(octets):
            if not self._turns_loose:
                chain = _Chain(octets, self._shapes, self._tick_ns, hunting=self._hunting)
                end = chain.follow(used)
                if chain.firsts:
                    yield chain.stretch(used, end, frame, told)
                    self._last_tick = int(octets.end_ticks[end - 1])
                    self._hunting = False
                    used, told = end, octets.row_behind(end)
                    continue
                waits = len(rows) - octets.row_behind(used) <= MOST_CARRIED
                if chain.incomplete and octets.broken is None and waits:
                    break
                self._hand_over(rows, frame, octets.row_behind(used))
                self._turns_loose = True
            used, told = yield from self._bytes_through(frame, octets, used, told)
        return used, told

    def _bytes_through(
        self, frame: FrameLines, octets: _Octets, used: int, told: int
    ) -> Generator[Found, None, tuple[int, int]]:
        """Let the engine make turns of some bytes, up to the first moment at which nothing is open."""
        connection = self._connection
        some = slice(used, used + _AT_ONCE)
        starts = ticks_to_ns(octets.ticks[some], self._tick_ns).tolist()
        ends = ticks_to_ns(octets.end_ticks[some], self._tick_ns).tolist()
        run = list(map(WireByte, starts, ends, octets.values[some].tolist()))
        rises = octets.rises[some]
        pins = np.searchsorted(rises, frame.rows[np.searchsorted(frame.rows, told) :], "right").tolist()
        at = 0
        while at < len(run):
            if pins and pins[0] <= at:
                row = int(rises[at])
                yield from self._told()
                yield from frame.alone(told, row, self._tick_ns)
                told, pins = row, [one for one in pins if one > at]
            at = connection.receive_run(run, at, min([*pins[:1], len(run)]))
            if connection.turns_at_rest:
                self._turns_loose = False
                break
        self._hunting = connection.hunting
        yield from self._told()
        return used + at, told


class _Clocks:
    """The clocks in some rows.

    Args:
        rows: the rows.
        row: the first of them that counts; before it CLK is high, and no byte is open.
        tick_ns: length of a tick in nanoseconds.
        longest_low: ticks that CLK may be low and is surely not held.
    """

    def __init__(self, rows: Rows, row: int, tick_ns: Fraction, longest_low: int) -> None:
        self._rows = rows
        self._tick_ns = tick_ns
        edges = rows.where(_CLK)
        self._edges = edges[np.searchsorted(edges, row) :]
        whole = len(self._edges) // 2
        self._falls, self._rises = self._edges[: 2 * whole : 2], self._edges[1 : 2 * whole : 2]
        self._fell, self._rose = rows.ticks[self._falls], rows.ticks[self._rises]
        self._held = np.flatnonzero(self._rose - self._fell > longest_low)
        long = 1 + np.flatnonzero(self._fell[1:] - self._rose[:-1] > longest_low)
        gaps_ns = ticks_to_ns(self._fell[long], tick_ns) - ticks_to_ns(self._rose[long - 1], tick_ns)
        self._rests = long[gaps_ns > REST_NS]
        self._cut = 1 + np.flatnonzero(np.diff(self._rests) % BITS_PER_BYTE)
        self._sleeps = rows.where(_SLEEP)

    def edge_from(self, row: int) -> int:
        """Return the first row from one on in which CLK or SLEEP changes, or the number of rows."""
        found = [
            edges[at] for edges in (self._edges, self._sleeps) if (at := int(np.searchsorted(edges, row))) < len(edges)
        ]
        return int(min(found, default=len(self._rows)))

    def octets(self, row: int, rose_ns: int) -> _Octets:
        """Return the bytes from a row on, before which no byte is open, up to what makes no byte."""
        first = int(np.searchsorted(self._falls, row))
        total = len(self._falls)
        broken: list[tuple[int, int]] = [*self._short_byte(first), *self._hold(first), *self._sleep(first, row)]
        stop, until = min(broken, default=(total, -1))
        count = max(stop - first, 0) // BITS_PER_BYTE
        last = first + count * BITS_PER_BYTE
        bits = self._rows.levels[self._rises[first:last]] & _DATA
        rested = first < total and nearest(int(self._fell[first]) * self._tick_ns) - rose_ns > REST_NS
        return _Octets(
            row,
            np.packbits(bits, bitorder="little"),
            self._fell[first:last:BITS_PER_BYTE],
            self._rose[first + BITS_PER_BYTE - 1 : last : BITS_PER_BYTE],
            self._rises[first + BITS_PER_BYTE - 1 : last : BITS_PER_BYTE],
            until if broken else None,
            0 if rested else self._first_rest(first) - first,
        )

    def _first_rest(self, first: int) -> int:
        at = int(np.searchsorted(self._rests, first, "right"))
        return int(self._rests[at]) if at < len(self._rests) else len(self._falls)

    def _short_byte(self, first: int) -> list[tuple[int, int]]:
        """Return the clock with which the first byte begins that a rest cuts, and the row behind that rest."""
        at = int(np.searchsorted(self._rests, first, "right"))
        if at == len(self._rests):
            return []
        rest = int(self._rests[at])
        if left := (rest - first) % BITS_PER_BYTE:
            return [(rest - left, int(self._falls[rest]) + 1)]
        cut = int(np.searchsorted(self._cut, at, "right"))
        if cut == len(self._cut):
            return []
        before, rest = self._rests[self._cut[cut] - 1 : self._cut[cut] + 1].tolist()
        return [(rest - (rest - before) % BITS_PER_BYTE, int(self._falls[rest]) + 1)]

    def _hold(self, first: int) -> list[tuple[int, int]]:
        at = int(np.searchsorted(self._held, first))
        if at == len(self._held):
            return []
        held = int(self._held[at])
        return [(held - (held - first) % BITS_PER_BYTE, int(self._rises[held]) + 1)]

    def _sleep(self, first: int, row: int) -> list[tuple[int, int]]:
        at = int(np.searchsorted(self._sleeps, row))
        if at == len(self._sleeps):
            return []
        sleep = int(self._sleeps[at])
        before = int(np.searchsorted(self._rises, sleep))
        return [(before - (before - first) % BITS_PER_BYTE, sleep + 1)]


class _Octets:
    """Bytes that follow each other without anything odd between them.

    Attributes:
        row: the row behind which they come.
        values: the bytes.
        ticks: the first falling CLK edge of each.
        end_ticks: its eighth rising edge.
        rises: the row of that edge.
        broken: the row behind what makes no byte after them; None at the end of the rows.
    """

    def __init__(
        self,
        row: int,
        values: NDArray[np.uint8],
        ticks: NDArray[np.int64],
        end_ticks: NDArray[np.int64],
        rises: NDArray[np.int64],
        broken: int | None,
        first_rest: int,
    ) -> None:
        self.row = row
        self.values = values
        self.ticks = ticks
        self.end_ticks = end_ticks
        self.rises = rises
        self.broken = broken
        self._first_rest = first_rest

    def __len__(self) -> int:
        return len(self.values)

    def row_behind(self, count: int) -> int:
        """Return the row behind some number of them."""
        return int(self.rises[count - 1]) + 1 if count else self.row

    def rests_before(self, count: int) -> bool:
        """Tell whether the clock rests before one of the first clocks of so many bytes."""
        return self._first_rest < count * BITS_PER_BYTE


class _Chain:
    """Transactions that follow each other byte by byte.

    Attributes:
        firsts: where each begins.
        incomplete: whether one more begins behind them, whose end has not come.
    """

    def __init__(self, octets: _Octets, shapes: NDArray[np.uint8], tick_ns: Fraction, *, hunting: bool) -> None:
        self._octets = octets
        self._values = octets.values.tobytes()
        self._shapes = shapes
        self._tick_ns = tick_ns
        self._hunting = self._hunted_first = hunting
        gaps = octets.ticks[1:] - octets.end_ticks[:-1]
        self._late = (1 + np.flatnonzero(gaps > int((GAP_NS - 1) / tick_ns))).tolist()
        self.firsts: list[int] = []
        self.incomplete = False

    def follow(self, at: int) -> int:
        """Follow transactions from a byte on; return the byte behind the last of them."""
        total = len(self._values)
        while at < total:
            size = self._size(at)
            late = bisect_right(self._late, at)
            broken = late < len(self._late) and self._late[late] < at + max(size, 1)
            if size < 0 or broken or at + size > total:
                self.incomplete = size >= 0 and not broken
                break
            self.firsts.append(at)
            self._hunting = False
            at += size
        return at

    def _size(self, at: int) -> int:
        """Return the bytes of the transaction that begins at a byte, as far as can be told, or -1 for none."""
        values = self._values[at : at + DATA_AT]
        if len(values) <= SUM_AT:
            return SUM_AT + 1
        shape = int(self._shapes[values[0] << 8 | values[1]])
        if self._hunting and wire_sum(values[:COMMAND_SIZE]) != values[SUM_AT]:
            return -1
        if shape == _SET:
            return SUM_AT + 1
        if shape not in (_READ, _WRITE):
            return -1
        if len(values) < DATA_AT:
            return DATA_AT
        length = int.from_bytes(values[LENGTH_AT : LENGTH_AT + LENGTH_SIZE], "little")
        return DATA_AT + length if length else -1

    def stretch(self, start: int, end: int, frame: FrameLines, told: int) -> Stretch:
        """Return the transactions as columns."""
        octets = self._octets
        firsts = np.array(self.firsts, np.int64)
        lasts = np.append(firsts[1:], end)
        values = octets.values
        shapes = self._shapes[values[firsts].astype(np.int64) << 8 | values[firsts + 1]]
        reported = self._reported(firsts, lasts, shapes)[start:end]
        pins = frame.between(told, octets.row_behind(end), octets.rises[reported], np.arange(end - start + 1))
        some = slice(start, end)
        return Stretch(
            self._tick_ns,
            values[some],
            octets.ticks[some],
            octets.end_ticks[some],
            firsts - start,
            lasts - start,
            shapes,
            pins,
        )

    def _reported(
        self, firsts: NDArray[np.int64], lasts: NDArray[np.int64], shapes: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Return for each byte the one with which its turn ends: bytes are reported turn by turn."""
        reported = np.arange(len(self._values))
        for place in range(COMMAND_SIZE):
            reported[firsts + place] = firsts + COMMAND_SIZE - 1
        if self._hunted_first:
            reported[firsts[0] : firsts[0] + COMMAND_SIZE] = firsts[0] + SUM_AT
        for first, last in zip(firsts[shapes == _WRITE].tolist(), lasts[shapes == _WRITE].tolist(), strict=True):
            reported[first + LENGTH_AT : last - 1] = last - 2
        return reported
