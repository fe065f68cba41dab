"""Rows of levels -> what body and lens said: columns where the traffic is regular, events where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from m43drivers.bulk.bursts import Bursts, FrameLines, Rows
from m43drivers.bulk.chains import shape_table
from m43drivers.bulk.columns import Stretch
from m43drivers.capture.times import nearest, ticks_to_ns
from m43proto.connection import Connection
from m43proto.events import Event
from m43proto.phy import REST_NS, Resumed
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

    from m43proto.catalogue import Catalogue
    from m43proto.pins import Line

__all__ = ["MOST_CARRIED", "AckedDecoder", "Decoder", "End", "Found"]


@record(frozen=True, slots=True)
class End:
    """The end of a capture, behind all that was found.

    Attributes:
        t_ns: its length.
    """

    t_ns: int


Found: TypeAlias = Stretch | list[Event] | End
"""What a decoder gives: a regular stretch, or the events of an irregular one, and last the end."""

MOST_CARRIED = 1 << 17
"""Rows that wait at most for the rest of their transaction; what is longer goes through the engine."""

_AT_ONCE = 1 << 12


class Decoder:
    """Decodes rows of levels batch by batch: what is common with BODY_ACK and without.

    Args:
        lines: the lines that the levels really hold.
        catalogue: the messages to know.
        tick_ns: length of a tick in nanoseconds, not below 1.

    Attributes:
        sound: False if it was begun in the middle, and the engine was needed before the first whole transaction.
    """

    def __init__(self, lines: tuple[Line, ...], catalogue: Catalogue, tick_ns: Fraction) -> None:
        self._connection = Connection(catalogue=catalogue, lines=lines)
        self._shapes = shape_table(catalogue)
        self._tick_ns = tick_ns
        self._unproved = False
        self.sound = True
        self._longest_low = int((REST_NS - 1) / tick_ns)
        self._loose = True
        self._before: int | None = None
        self._ticks = np.empty(0, np.int64)
        self._levels = np.empty(0, np.uint8)
        self._shutter: int | None = None
        self._rose_ns = 0
        self._aligned = False
        self._last_tick: int | None = None

    @property
    def tick_ns(self) -> Fraction:
        """Length of a tick in nanoseconds."""
        return self._tick_ns

    @property
    def resting(self) -> bool:
        """Whether nothing is open, and nothing waits for more to come."""
        return not self._loose and not len(self._ticks)

    def begin(self, levels: int) -> None:
        """Begin in the middle, at a moment at which nothing is open.

        Args:
            levels: the levels before it.
        """
        self._before = levels
        self._loose, self._unproved = False, True

    def take(self, ticks: NDArray[np.int64], levels: NDArray[np.uint8]) -> Iterator[Found]:
        """Take the next rows; yield what they complete.

        Args:
            ticks: when.
            levels: the levels from then on, a bit per line in the order of `LINES`.
        """
        if self._before is None:
            if not len(ticks):
                return
            self._before = int(levels[0])
        rows = Rows(np.concatenate([self._ticks, ticks]), np.concatenate([self._levels, levels]), self._before)
        frame = FrameLines(rows, self._shutter)
        row = 0
        if self._loose:
            row = yield from self._feed(rows, 0, 0)
        if not self._loose:
            row = yield from self._walk(rows, frame, row)
        self._carry(rows, frame, row)

    def flush(self) -> Iterator[Found]:
        """Take note that nothing came for a while; yield what waited for more to come."""
        if self._loose or not len(self._ticks):
            return
        rows = Rows(self._ticks, self._levels, self._before or 0)
        frame = FrameLines(rows, self._shutter)
        self._hand_over(rows, frame, 0)
        self._carry(rows, frame, (yield from self._feed(rows, 0, len(rows))))

    def finish(self, end_ns: int) -> Iterator[Found]:
        """Take the end of the capture; yield what was still open."""
        rows = Rows(self._ticks, self._levels, self._before or 0)
        if not self._loose:
            self._hand_over(rows, FrameLines(rows, self._shutter), 0)
        yield from self._feed(rows, 0, len(rows) + 1)
        self._connection.receive_end(end_ns)
        yield from self._told()
        yield End(end_ns)

    def _walk(self, rows: Rows, frame: FrameLines, row: int) -> Generator[Found, None, int]:
        """Decode rows from a moment on at which nothing is open; return the first that must wait for more."""
        raise NotImplementedError

    def _at_rest(self) -> bool:
        """Tell whether the engine can hand over to whole arrays."""
        return self._connection.at_rest

    def _carry(self, rows: Rows, frame: FrameLines, row: int) -> None:
        """Keep the rows that must wait."""
        self._shutter = frame.shutter_at(row)
        self._before = rows.levels_before(row)
        self._ticks, self._levels = rows.ticks[row:].copy(), rows.levels[row:].copy()

    def _hand_over(self, rows: Rows, frame: FrameLines, row: int) -> None:
        """Let the engine go on from a row on."""
        if self._unproved and self._last_tick is None:
            self.sound = False
        self._unproved = False
        shutter = frame.shutter_at(row)
        shutter_ns = None if shutter is None else nearest(shutter * self._tick_ns)
        last_ns = None if self._last_tick is None else nearest(self._last_tick * self._tick_ns)
        self._connection.rejoin(Resumed(rows.levels_before(row), self._rose_ns, self._aligned, shutter_ns), last_ns)
        self._last_tick = None

    def _feed(self, rows: Rows, row: int, until: int) -> Generator[Found, None, int]:
        """Let the engine decode rows up to the first moment from row `until` on at which it can hand over.

        Returns:
            the first row that it has not taken.
        """
        connection, at_once = self._connection, _AT_ONCE
        self._loose = True
        while self._loose and row < len(rows):
            some = slice(row, row + at_once)
            times = ticks_to_ns(rows.ticks[some], self._tick_ns).tolist()
            for t_ns, levels in zip(times, rows.levels[some].tolist(), strict=True):
                connection.receive_levels(t_ns, levels)
                row += 1
                if row >= until and self._at_rest():
                    self._loose = False
                    break
        yield from self._told()
        self._rose_ns, self._aligned = connection.resumed.rose_ns, connection.resumed.aligned
        return row

    def _told(self) -> Iterator[Found]:
        if events := self._connection.take_events():
            yield events


class AckedDecoder(Decoder):
    """Decodes rows of levels where BODY_ACK was recorded."""

    def _walk(self, rows: Rows, frame: FrameLines, row: int) -> Generator[Found, None, int]:
        bursts = Bursts(rows, row, self._longest_low, self._tick_ns)
        burst = 0
        while burst < len(bursts):
            if bursts.good(burst, row):
                run = bursts.run(burst, self._shapes)
                starts, end = run.transactions(burst)
                if starts:
                    stretch = run.stretch(starts, end, bursts.falls, frame, row)
                    yield stretch
                    self._last_tick = int(stretch.end_ticks[-1])
                    burst, row = end, int(bursts.falls[end - 1]) + 1
                    continue
                if run.stop == len(bursts) and run.is_incomplete(burst):
                    break
            self._hand_over(rows, frame, row)
            row = yield from self._feed(rows, row, bursts.behind(burst, row))
            if self._loose:
                return row
            burst = bursts.first_from(row)
        stop = bursts.open_from(row)
        if len(rows) - stop > MOST_CARRIED:
            self._hand_over(rows, frame, row)
            return (yield from self._feed(rows, row, len(rows)))
        yield from frame.alone(row, stop, self._tick_ns)
        return stop
