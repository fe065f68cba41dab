"""Rows of levels -> bursts, by whole arrays (specs/2-link.md).

A row is a moment at which a line changes, with the levels from then on. Within a row the order is that of
`m43proto.phy`: CLK rises, the ack lines change, CLK falls, the lines of the frame change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from m43drivers.bulk.chains import Chain, ends_of
from m43drivers.bulk.columns import PIN_EVENTS, Pins, Stretch
from m43proto.events import PinEvent
from m43proto.phy import BITS_PER_BYTE, LONGEST_BURST
from m43proto.pins import Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

__all__ = ["Bursts", "FrameLines", "Rows"]

EDGES_PER_BYTE = 2 * BITS_PER_BYTE
_CLK, _DATA, _BODY_ACK, _SLEEP = (np.uint8(line.mask) for line in (Line.CLK, Line.DATA, Line.BODY_ACK, Line.SLEEP))
_FOCUS, _SHUTTER = np.uint8(Line.FOCUS.mask), np.uint8(Line.SHUTTER.mask)
_TOGGLE, _SYNC = (PIN_EVENTS.index(event) for event in (PinEvent.FOCUS_TOGGLE, PinEvent.FRAME_SYNC))


class Rows:
    """Rows of levels behind a moment at which nothing was open.

    Args:
        ticks: when.
        levels: the levels from then on, a bit per line in the order of `LINES`.
        before: the levels before the first row.
    """

    def __init__(self, ticks: NDArray[np.int64], levels: NDArray[np.uint8], before: int) -> None:
        self.ticks = ticks
        self.levels = levels
        self.before = before
        self.changed = np.empty_like(levels)
        np.bitwise_xor(levels[1:], levels[:-1], out=self.changed[1:])
        self.changed[:1] = levels[:1] ^ np.uint8(before)
        self._changing = int(np.bitwise_or.reduce(self.changed)) if len(levels) else 0

    def __len__(self) -> int:
        return len(self.ticks)

    def where(self, mask: np.uint8) -> NDArray[np.int64]:
        """Return the rows in which one of these lines changes."""
        return np.flatnonzero(self.changed & mask != 0) if self._changing & int(mask) else np.empty(0, np.int64)

    def levels_before(self, row: int) -> int:
        """Return the levels before a row."""
        return int(self.levels[row - 1]) if row else self.before


class FrameLines:
    """What happens on FOCUS and SHUTTER in some rows.

    Args:
        rows: the rows.
        shutter: the tick at which SHUTTER rose, if it is high before them and was seen to rise.
    """

    def __init__(self, rows: Rows, shutter: int | None) -> None:
        self._edges = rows.where(_SHUTTER)
        self._shutter = shutter
        self._rows = rows
        falls = self._edges[rows.levels[self._edges] & _SHUTTER == 0]
        rises = self._edges[np.searchsorted(self._edges, falls) - 1] if falls.size else falls
        rose = rows.ticks[rises]
        if falls.size and falls[0] == self._edges[0]:
            falls, rose = (falls, rose) if shutter is not None else (falls[1:], rose[1:])
            rose[:1] = shutter if shutter is not None else rose[:1]
        focus = rows.where(_FOCUS)
        order = np.argsort(np.concatenate([2 * focus, 2 * falls + 1]), kind="stable")
        self.rows = np.concatenate([focus, falls])[order]
        self._kinds = np.repeat(np.array([_TOGGLE, _SYNC], np.uint8), [focus.size, falls.size])[order]
        self._ticks = np.concatenate([rows.ticks[focus], rose])[order]
        high = (rows.levels[focus] & _FOCUS != 0).astype(np.int8)
        self._levels = np.concatenate([high, np.full(falls.size, -1, np.int8)])[order]

    def shutter_at(self, row: int) -> int | None:
        """Return the tick at which SHUTTER rose, if it is high before a row and was seen to rise."""
        edges = int(np.searchsorted(self._edges, row))
        if not edges:
            return self._shutter
        last = self._edges[edges - 1]
        return int(self._rows.ticks[last]) if self._rows.levels[last] & _SHUTTER else None

    def between(self, row: int, stop: int, ends: NDArray[np.int64], reported: NDArray[np.int64]) -> Pins:
        """Return the events in some rows.

        Args:
            row: the first row.
            stop: the row behind the last.
            ends: rows at which bytes are reported.
            reported: how many have been reported in all, before each of these rows and behind the last.
        """
        some = slice(*np.searchsorted(self.rows, [row, stop]).tolist())
        at = self.rows[some]
        before = reported[np.searchsorted(ends, at, "right")]
        return Pins(self._kinds[some], self._ticks[some], self._rows.ticks[at], self._levels[some], before)

    def alone(self, row: int, stop: int, tick_ns: Fraction) -> Iterator[Stretch]:
        """Yield the events in rows in which no transaction is, as a stretch, if there are any."""
        none = np.empty(0, np.int64)
        pins = self.between(row, stop, none, np.zeros(1, np.int64))
        if len(pins.ticks):
            octets = np.empty(0, np.uint8)
            yield Stretch(tick_ns, octets, none, none, none, none, octets, pins)


class Bursts:
    """The bursts in some rows, and which of them are regular.

    A regular burst has whole bytes, clocked while BODY_ACK is high and CLK high at its start and end, without a clock
    that is held; and SLEEP does not change in it. The gap before it is regular when neither CLK nor SLEEP change in it.

    Args:
        rows: the rows.
        row: the first of them that counts; before it BODY_ACK is low, CLK is high, and nothing is open.
        longest_low: ticks that CLK may be low and is surely not held.
        tick_ns: length of a tick in nanoseconds.
    """

    def __init__(self, rows: Rows, row: int, longest_low: int, tick_ns: Fraction) -> None:
        self._rows = rows
        self._tick_ns = tick_ns
        self._run: Run | None = None
        acks = rows.where(_BODY_ACK)
        acks = acks[np.searchsorted(acks, row) :]
        self.rises, self.falls = acks[0::2], acks[1::2]
        edges = rows.where(_CLK)
        self._edges = edges[np.searchsorted(edges, row) :]
        self._sleeps = rows.where(_SLEEP)
        self._starts = rows.ticks[self._edges[::EDGES_PER_BYTE]]
        self._ends = rows.ticks[self._edges[EDGES_PER_BYTE - 1 :: EDGES_PER_BYTE]]
        self._to = np.searchsorted(self._edges, self.falls, "right")
        self._from = self._first_edges()
        self._regular = self._regular_ones(longest_low)
        self._bad = np.flatnonzero(
            ~self._regular | np.concatenate([[False], self._from[1:] != self._to[:-1]])[: len(self)]
        )

    def __len__(self) -> int:
        return len(self.falls)

    def _first_edges(self) -> NDArray[np.int64]:
        """Return the first edge of each burst: the one behind the burst before, but where CLK changes in between."""
        first = np.concatenate([np.zeros(1, np.int64), self._to])[: len(self)]
        more = first[: np.searchsorted(first, len(self._edges))]
        between = np.flatnonzero(self._edges[more] < self.rises[: len(more)])
        first[between] = np.searchsorted(self._edges, self.rises[between])
        return first

    def _held(self, longest_low: int) -> NDArray[np.int64]:
        """Return the rows in which CLK falls and stays low for longer than that.

        What is not longer than that from its first edge to its sixteenth holds no such clock; only the rest is looked
        at, and what is behind the last sixteen.
        """
        edges, ticks, whole = self._edges, self._rows.ticks, len(self._ends)
        long = np.flatnonzero(self._ends - self._starts[:whole] > longest_low) * EDGES_PER_BYTE
        falls = (long[:, None] + np.arange(0, EDGES_PER_BYTE, 2)).ravel()
        falls = np.concatenate([falls, np.arange(whole * EDGES_PER_BYTE, len(edges) - 1, 2)])
        held: NDArray[np.int64] = edges[falls[ticks[edges[falls + 1]] - ticks[edges[falls]] > longest_low]]
        return held

    def _octet_ticks(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return when each byte between two edges begins and ends."""
        if first % EDGES_PER_BYTE == 0:
            some = slice(first // EDGES_PER_BYTE, last // EDGES_PER_BYTE)
            return self._starts[some], self._ends[some]
        edges, ticks = self._edges[first:last], self._rows.ticks
        return ticks[edges[::EDGES_PER_BYTE]], ticks[edges[EDGES_PER_BYTE - 1 :: EDGES_PER_BYTE]]

    def _regular_ones(self, longest_low: int) -> NDArray[np.bool_]:
        edges = self._to - self._from
        regular = (edges % EDGES_PER_BYTE == 0) & (edges > 0) & (self._from % 2 == 0)
        regular &= edges < LONGEST_BURST * EDGES_PER_BYTE
        for rows in (self._held(longest_low), self._sleeps):
            if rows.size:
                within = np.searchsorted(self.falls, rows)
                regular[within[within < len(self)]] = False
        return np.asarray(regular, np.bool_)

    def good(self, burst: int, row: int) -> bool:
        """Tell whether a burst is regular, and the gap before it, from a row on."""
        return bool(self._regular[burst]) and self._quiet(row, int(self.rises[burst]))

    def behind(self, burst: int, row: int) -> int:
        """Return the row behind what is irregular with a burst, or with the gap before it."""
        rise = int(self.rises[burst])
        return int(self.falls[burst]) + 1 if self._quiet(row, rise) else rise

    def first_from(self, row: int) -> int:
        """Return the first burst that begins in a row or behind it."""
        return int(np.searchsorted(self.rises[: len(self)], row))

    def open_from(self, row: int) -> int:
        """Return the first row from a row on that belongs to something that has not ended."""
        rises = self.rises[np.searchsorted(self.rises, row) :]
        stop = int(rises[0]) if rises.size else len(self._rows)
        return stop if self._quiet(row, stop) else row

    def _quiet(self, row: int, stop: int) -> bool:
        """Tell whether neither CLK nor SLEEP changes in some rows."""
        if row >= stop:
            return True
        spans = (np.searchsorted(rows, [row, stop]) for rows in (self._edges, self._sleeps))
        return all(first == last for first, last in spans)

    def run(self, burst: int, shapes: NDArray[np.uint8]) -> Run:
        """Return the regular bursts that follow each other around one, decoded from the first that was asked for on."""
        if self._run is None or not self._run.start <= burst < self._run.stop:
            self._run = self._decoded(burst, shapes)
        return self._run

    def _decoded(self, start: int, shapes: NDArray[np.uint8]) -> Run:
        bad = self._bad[np.searchsorted(self._bad, start + 1) :]
        stop = int(bad[0]) if bad.size else len(self)
        first, last = int(self._from[start]), int(self._to[stop - 1])
        bits = self._rows.levels[self._edges[first + 1 : last : 2]] & _DATA
        ends = (self._to[start:stop] - first).astype(np.int64) // EDGES_PER_BYTE
        return Run(
            start,
            stop,
            np.packbits(bits, bitorder="little"),
            *self._octet_ticks(first, last),
            np.concatenate([[0], ends]),
            shapes,
            self._tick_ns,
        )


class Run:
    """Regular bursts that follow each other.

    Attributes:
        start: number of the first burst.
        stop: number behind the last one.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        values: NDArray[np.uint8],
        ticks: NDArray[np.int64],
        end_ticks: NDArray[np.int64],
        places: NDArray[np.int64],
        shapes: NDArray[np.uint8],
        tick_ns: Fraction,
    ) -> None:
        self.start = start
        self.stop = stop
        self._values = values
        self._ticks = ticks
        self._end_ticks = end_ticks
        self._places = places
        self._shapes = shapes
        self._tick_ns = tick_ns
        self._chain = Chain(ends_of(np.diff(places), places[:-1], values, shapes))

    def transactions(self, burst: int) -> tuple[list[int], int]:
        """Return the first bursts of the whole transactions from a burst on, and the burst behind them."""
        starts, end = self._chain.from_burst(burst - self.start, self.stop - self.start)
        return starts, end + self.start

    def is_incomplete(self, burst: int) -> bool:
        """Tell whether a transaction begins with a burst, whose end has not come."""
        return self._chain.is_incomplete(burst - self.start)

    def stretch(self, starts: list[int], end: int, falls: NDArray[np.int64], frame: FrameLines, row: int) -> Stretch:
        """Return some transactions as columns.

        Args:
            starts: what `transactions` gave.
            end: the burst behind them.
            falls: rows at which each burst of the batch ends.
            frame: the lines of the frame.
            row: the first row that has not been told.
        """
        burst, behind = starts[0], end - self.start
        first, last = int(self._places[burst]), int(self._places[behind])
        firsts = self._places[np.array(starts, np.int64)] - first
        values = self._values[first:last]
        ends = falls[burst + self.start : end]
        pins = frame.between(row, int(ends[-1]) + 1, ends, self._places[burst : behind + 1] - first)
        return Stretch(
            self._tick_ns,
            values,
            self._ticks[first:last],
            self._end_ticks[first:last],
            firsts,
            np.append(firsts[1:], last - first),
            self._shapes[values[firsts].astype(np.int64) << 8 | values[firsts + 1]],
            pins,
        )
