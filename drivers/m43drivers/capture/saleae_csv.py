"""Raw CSV exports of Saleae Logic 2 and 1: one row per change of any line, with the state of all lines.

The times are the data: rows are not samples. Cells are ``0``, ``1`` and, since 2025, ``X`` for no data, which counts as
0 here and is told in the provenance. Logic 1 (and programs that follow it) writes ``Time[s], Channel 0`` and more
decimals.

A piece of rows that are all alike, which is almost all of every export, is read in columns; any other row by row. Both
give the same.
"""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.common import Meter, Options, distinct_labels, one_line, shown
from m43drivers.capture.digits import PAD, SPAN, Window
from m43drivers.capture.input import pieces
from m43drivers.capture.model import CaptureError, Provenance
from m43drivers.capture.rows import WORD_BITS, Rows, states_of
from m43drivers.capture.stream import Block, CaptureStream, Label
from m43drivers.capture.times import INT64_MAX
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from m43drivers.capture.input import Input, Readable

__all__ = ["is_csv", "open_table"]

MAX_LINE = 1 << 16
START = re.compile(rb'(?:\xef\xbb\xbf)?"?Time ?(?:\[s\])?"?\s*,', re.IGNORECASE)
EXACT = 18
PER_NS = 10 ** (EXACT - 9)
SECONDS = re.compile(rb"([+-]?)(\d{1,12})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,2}))?")
ISO = re.compile(rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,40}))?(Z|[+-]\d\d:?\d\d)?")
STATES = {b"0": (0, 0), b"1": (1, 0), b"X": (0, 1), b"x": (0, 1)}
MAX_VALUES_KEPT = 1 << 18
QUOTES = b'" \t\r\n'
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_NAME = re.compile(r"Channel (\d{1,6})")


def is_csv(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is a raw CSV export."""
    return START.match(head) is not None


def open_table(source: Input, options: Options) -> CaptureStream:
    """Open a raw CSV export of digital lines: seconds or ISO-8601 times, a row per change.

    Time zero is the first row, whose own time is kept in the provenance.

    Args:
        source: a file or a pipe.
        options: ``progress`` alone is used, since the file holds exact times.

    Raises:
        CaptureError: the header breaks the format; the error names the line. The stream raises it for a row.
    """
    with source.open() as stream:
        first = _begun(source, stream, Options() if source.again else options)
    details: dict[str, str] = {}

    def blocks(wanted: int | None) -> Iterator[Block]:
        with source.open() as stream:
            table = _begun(source, stream, options) if source.again else first
            yield from table.blocks(wanted)
        details.update(table.details())

    labels = tuple(Label(*label) for label in first.labels)
    return CaptureStream(
        labels, Fraction(1), None, Provenance(str(source.path), "saleae-csv", details), blocks, source.again
    )


def _begun(source: Input, stream: Readable, options: Options) -> _Table:
    lines = _Lines(source.path)
    texts = pieces(stream, Meter(options.progress, source.size), (b"\n",), MAX_LINE, lines.endless)
    lines.open(texts)
    return _Table(source.path, lines)


def _seconds(stamp: bytes) -> int | None:
    """Read seconds as a whole number of 1e-18 s, exactly; what lies below is cut off."""
    match = SECONDS.fullmatch(stamp)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups(default=b"")
    shift = EXACT - len(fraction) + int(exponent or 0)
    digits = int(whole + fraction)
    value: int = digits * 10**shift if shift >= 0 else digits // 10**-shift
    return -value if sign == b"-" else value


def _date(stamp: bytes) -> int | None:
    """Read an ISO-8601 time as a number of 1e-18 s since 1970, exactly; without an offset it is UTC."""
    match = ISO.fullmatch(stamp)
    if match is None:
        return None
    day, clock, fraction, offset = match.groups(default=b"")
    second = _whole_second(b"%sT%s%s" % (day, clock, offset or b"Z"))
    return None if second is None else second * 10**EXACT + int(fraction.ljust(EXACT, b"0")[:EXACT])


@lru_cache(maxsize=16)
def _whole_second(text: bytes) -> int | None:
    try:
        return (datetime.fromisoformat(text.decode()) - EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None


def _labels(path: Path, line: bytes) -> list[tuple[str, tuple[str, ...]]]:
    try:
        columns = next(csv.reader([line.decode("utf-8-sig", "replace").strip()], strict=True), [])
    except csv.Error:
        columns = []
    names = [one_line(column) or f"column {number}" for number, column in enumerate(columns[1:], 2)]
    if not names or not is_csv(line):
        expected = f"expected a header like 'Time [s],Channel 0', found {shown(line)}; export raw data from Logic 2"
        raise CaptureError(path, expected, where="line 1")
    return distinct_labels((name, _default_aliases(name)) for name in names)


def _default_aliases(name: str) -> tuple[str, ...]:
    match = DEFAULT_NAME.fullmatch(name)
    return (f"D{int(match[1])}", f"{int(match[1])}") if match else ()


class _Lines:
    """The lines of a file, in pieces that end with a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._texts: Iterator[bytes] = iter(())
        self.count = 0
        self.header = b""
        self.rest = b""

    def open(self, texts: Iterator[bytes]) -> None:
        """Take the header."""
        self._texts = texts
        text = next(texts, b"")
        self.header, end, self.rest = text.partition(b"\n")
        self.header += end
        if len(self.header) > MAX_LINE:
            raise self.endless()
        self.count = 1

    def __iter__(self) -> Iterator[bytes]:
        if self.rest:
            yield self.rest
        yield from self._texts

    def endless(self) -> CaptureError:
        """Make the error of a line that has no end."""
        expected = f"more than {MAX_LINE} bytes without a line end; this is no raw CSV export"
        return CaptureError(self._path, expected, where=f"line {self.count + 1}")


class _Table:
    """The rows of a CSV export."""

    def __init__(self, path: Path, lines: _Lines) -> None:
        self.labels = _labels(path, lines.header)
        self._path = path
        self._lines = lines
        self._width = len(self.labels)
        self._known: dict[bytes, tuple[int, int]] = {}
        self._clock: Callable[[bytes], int | None] | None = None
        self._origin: int | None = None
        self._origin_text = ""
        self._now = 0
        self._no_data = 0

    def blocks(self, wanted: int | None) -> Iterator[Block]:
        """Read to the end of the file.

        Raises:
            CaptureError: a row breaks the format, or there is none.
        """
        rows = Rows(self._width, wanted)
        for text in self._lines:
            found = self._in_columns(text)
            if found is None:
                found = self._row_by_row(text)
            else:
                self._lines.count += found[0].size
                self._now = int(found[0][-1])
            yield from rows.add(*found, self._now)
        if self._origin is None:
            raise CaptureError(self._path, "holds a header but no rows; export the whole capture", where="line 2")
        yield from rows.finish(self._now)

    def details(self) -> dict[str, str]:
        """Tell where time began and what was not taken as it stands."""
        details = {"time zero": self._origin_text}
        if self._no_data:
            details["no data (X) read as 0"] = f"{self._no_data} values"
        return details

    def _in_columns(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint64]] | None:
        """Give times and states of a piece of rows that are all alike, or None where one is not, or is wrong."""
        if self._origin is None or self._clock is None or self._width > WORD_BITS:
            return None
        found = _in_columns(text, self._width, self._clock, self._origin)
        if found is None or not self._now <= found[0][0] or (found[0][1:] < found[0][:-1]).any():
            return None
        return found

    def _row_by_row(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[Any]]:
        times, states = [], []
        for line in _split(text):
            self._lines.count += 1
            row = self._row(line, self._lines.count)
            if row is not None:
                times.append(row[0])
                states.append(row[1])
        return np.array(times, np.int64), states_of(states, self._width)

    def _row(self, line: bytes, number: int) -> tuple[int, int] | None:
        """Read a row; an empty one says nothing.

        Raises:
            CaptureError: the row has another number of columns, no time or another value, or goes back in time.
        """
        if len(line) > MAX_LINE:
            self._lines.count -= 1
            raise self._lines.endless()
        stamp, _, cells = line.strip().partition(b",")
        if not stamp and not cells:
            return None
        time = self._time(stamp.strip(QUOTES))
        row = self._known.get(cells) or self._states(cells)
        if time is None or row is None:
            expected = f"a time and {self._width} values of 0, 1 or X, found {shown(line.strip())}"
            raise self._error(number, f"expected {expected}; export raw digital data again")
        state, no_data = row
        self._no_data += no_data
        if self._origin is None:
            self._origin, self._origin_text = time, stamp.decode()
        return self._moved(time - self._origin, number), state

    def _time(self, stamp: bytes) -> int | None:
        """Give a time in units of 1e-18 s; the first row settles whether times are seconds or dates."""
        if self._clock is None:
            self._clock = _seconds if SECONDS.fullmatch(stamp) else _date
        return self._clock(stamp)

    def _states(self, cells: bytes) -> tuple[int, int] | None:
        """Give the state of all lines and the number of lines without data; rows repeat, so they are kept."""
        values = [STATES.get(cell.strip(QUOTES)) for cell in cells.split(b",")]
        if len(values) != self._width or None in values:
            return None
        known = [value for value in values if value is not None]
        row = sum(level << bit for bit, (level, _) in enumerate(known)), sum(no_data for _, no_data in known)
        if len(self._known) * self._width < MAX_VALUES_KEPT:
            self._known[cells] = row
        return row

    def _moved(self, time: int, number: int) -> int:
        now: int = (time + PER_NS // 2) // PER_NS
        if now < self._now:
            raise self._error(number, "time goes back; export the capture again, sorted by time")
        if now > INT64_MAX:
            raise self._error(number, "is more than 292 years after the first row; check its time")
        self._now = now
        return now

    def _error(self, number: int, expected: str) -> CaptureError:
        return CaptureError(self._path, expected, where=f"line {number}")


def _split(text: bytes) -> list[bytes]:
    """Cut at line feeds alone."""
    lines = text.split(b"\n")
    return lines if lines[-1] else lines[:-1]


@record(frozen=True, slots=True)
class _Form:
    """What rows that are all alike look like, as the first of a piece does.

    Attributes:
        cell: bytes of a cell with what is before it: ``,0`` or ``, 0``.
        decimals: digits behind the point.
        suffix: what stands between the time and the first cell, as the offset of a date.
        end: bytes of a line end.
    """

    cell: int
    decimals: int
    suffix: bytes
    end: int


FORM = re.compile(rb"[^.,\"\n]{1,24}\.(\d{9,16})([^,\"\n]{0,8})(, ?)[01]\b[^\n]*?(\r?\n)")
MOST_UNITS = 9 * 10**18
WHOLE_SECONDS = re.compile(rb"[+-]?\d{1,12}")


def _in_columns(
    text: bytes, width: int, clock: Callable[[bytes], int | None], origin: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]] | None:
    """Read rows of one form, or give None where there is another.

    Args:
        text: whole lines.
        width: number of lines of the bus.
        clock: reads a time, as a number of 1e-18 s.
        origin: time zero, as such a number.
    """
    match = FORM.match(text)
    if match is None or not text.endswith(b"\n"):
        return None
    form = _Form(len(match[3]) + 1, len(match[1]), match[2], len(match[4]))
    window = Window(PAD + text + PAD)
    ends = np.flatnonzero(window.octets == LINE_FEED) + 1
    starts = np.concatenate([np.array([len(PAD)]), ends[:-1]])
    cells = ends - form.end - form.cell * width
    points = cells - len(form.suffix) - form.decimals - 1
    if not _is_alike(window, form, starts, points, ends):
        return None
    states = _levels(window, form, cells, width)
    times = _times(window, form, starts, points, clock, origin)
    return None if states is None or times is None else (times, states)


LINE_FEED, RETURN, POINT, COMMA, SPACE, ZERO = b"\n\r., 0"


def _is_alike(
    window: Window, form: _Form, starts: NDArray[np.int64], points: NDArray[np.int64], ends: NDArray[np.int64]
) -> bool:
    octets = window.octets
    if int((points - starts).min()) < 1 or (octets.take(points) != POINT).any():
        return False
    if form.end == 2 and (octets.take(ends - 2) != RETURN).any():
        return False
    at = points + form.decimals + 1
    return all((octets.take(at + offset) == wanted).all() for offset, wanted in enumerate(form.suffix))


def _levels(window: Window, form: _Form, cells: NDArray[np.int64], width: int) -> NDArray[np.uint64] | None:
    """Give the state of each row, or None where a cell is neither ``0`` nor ``1``."""
    states = np.zeros(cells.size, np.uint64)
    each = SPAN // form.cell
    for first in range(0, width, each):
        count = min(each, width - first)
        alike = b",0" if form.cell == 2 else b", 0"
        pattern = int.from_bytes(alike * count, "little")
        mask = (1 << 8 * form.cell * count) - 1
        words = (window.words(cells + first * form.cell) ^ np.uint64(pattern)) & np.uint64(mask)
        ones = [8 * (form.cell * (number + 1) - 1) for number in range(count)]
        if (words & np.uint64(mask & ~sum(1 << one for one in ones))).any():
            return None
        for number, one in enumerate(ones):
            states |= (words >> np.uint64(one) & np.uint64(1)) << np.uint64(first + number)
    return states


def _times(
    window: Window,
    form: _Form,
    starts: NDArray[np.int64],
    points: NDArray[np.int64],
    clock: Callable[[bytes], int | None],
    origin: int,
) -> NDArray[np.int64] | None:
    """Give the time of each row in nanoseconds from the origin, or None where that takes more than 63 bits."""
    scale = 10**form.decimals
    fractions = window.numbers(points + 1 + form.decimals, np.full(points.size, form.decimals))
    exact, below = divmod(origin * scale, 10**EXACT)
    if fractions is None or below:
        return None
    begins = _runs(window, starts, points)
    wholes = [_whole(window, int(starts[at]), int(points[at]), form, clock) for at in begins.tolist()]
    units = [whole[0] * scale - exact for whole in wholes if whole is not None]
    if len(units) != len(wholes) or max(map(abs, units)) > MOST_UNITS:
        return None
    lengths = np.diff(np.append(begins, points.size))
    if any(sign < 0 for whole in wholes if whole is not None for sign in whole[1:]):
        fractions = fractions * np.repeat(np.array([whole[1] for whole in wholes if whole is not None]), lengths)
    times = np.repeat(np.array(units, np.int64), lengths) + fractions
    parts = scale // 10**9
    return times if parts == 1 else np.asarray((times + parts // 2) // parts, np.int64)


def _runs(window: Window, starts: NDArray[np.int64], points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the rows at which what stands before the point is another text than in the row before."""
    lengths = points - starts
    other = lengths[1:] != lengths[:-1]
    for done in range(0, int(lengths.max()), SPAN):
        words = window.tails(points - done, np.maximum(lengths - done, 0))
        other |= words[1:] != words[:-1]
    return np.flatnonzero(np.append(True, other))


def _whole(
    window: Window, start: int, point: int, form: _Form, clock: Callable[[bytes], int | None]
) -> tuple[int, int] | None:
    """Give the whole seconds before a point, and the sign of what is behind it."""
    text = window.octets[start:point].tobytes()
    stamp = text + form.suffix
    time = clock(stamp) if WHOLE_SECONDS.fullmatch(stamp) or (clock is _date and b"." not in stamp) else None
    if time is None:
        return None
    return time // 10**EXACT, -1 if text.startswith(b"-") else 1
