"""Raw CSV exports of Saleae Logic 2: one row per change of any line, with the state of all lines.

The times are the data: rows are not samples. Cells are ``0``, ``1`` and, since 2025, ``X`` for no data, which counts as
0 here and is told in the provenance.
"""

from __future__ import annotations

import csv
import re
from array import array
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from m43drivers.capture.common import Meter, Options, distinct_labels, one_line, shown
from m43drivers.capture.model import Capture, CaptureError, Provenance
from m43drivers.capture.times import INT64_MAX, channel_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["is_csv", "read"]

MAX_LINE = 1 << 16
START = re.compile(rb'(?:\xef\xbb\xbf)?"?Time ?(?:\[s\])?"?\s*,', re.IGNORECASE)
EXACT = 18
PER_NS = 10 ** (EXACT - 9)
SECONDS = re.compile(rb"([+-]?)(\d{1,12})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,2}))?")
ISO = re.compile(rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,40}))?(Z|[+-]\d\d:?\d\d)?")
STATES = {b"0": (0, 0), b"1": (1, 0), b"X": (0, 1), b"x": (0, 1)}
MAX_VALUES_KEPT = 1 << 18
METER_ROWS = 1 << 12
QUOTES = b'" \t\r\n'
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_NAME = re.compile(r"Channel (\d{1,6})")


def is_csv(head: bytes) -> bool:
    """Tell whether a file that begins with ``head`` is a raw CSV export."""
    return START.match(head) is not None


def read(paths: tuple[Path, ...], options: Options) -> Capture:
    """Read a raw CSV export of digital lines: seconds or ISO-8601 times, a row per change.

    Time zero is the first row, whose own time is kept in the provenance.

    Args:
        paths: one file.
        options: ``progress`` alone is used, since the file holds exact times.

    Raises:
        CaptureError: a row breaks the format; the error names the line.
    """
    (path,) = paths
    with path.open("rb") as stream:
        labels = _labels(path, _line(path, stream, 1))
        rows = _Rows(path, len(labels))
        meter = Meter(options.progress, path.stat().st_size)
        number = 1
        while line := _line(path, stream, number := number + 1):
            rows.add(line, number)
            if number % METER_ROWS == 0:
                meter.at(stream.tell())
    return rows.capture(labels)


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


def _line(path: Path, stream: BinaryIO, number: int) -> bytes:
    line = stream.readline(MAX_LINE)
    if len(line) == MAX_LINE and not line.endswith(b"\n"):
        expected = f"more than {MAX_LINE} bytes without a line end; this is no raw CSV export"
        raise CaptureError(path, expected, where=f"line {number}")
    return line


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


class _Rows:
    """Collects edges from the rows of a CSV export."""

    def __init__(self, path: Path, width: int) -> None:
        self._path = path
        self._width = width
        self._known: dict[bytes, tuple[int, int]] = {}
        self._clock: Callable[[bytes], int | None] | None = None
        self._origin: int | None = None
        self._origin_text = ""
        self._initial = 0
        self._state = 0
        self._now = 0
        self._no_data = 0
        self._edges: list[array[int]] = [array("q") for _ in range(width)]

    def add(self, line: bytes, number: int) -> None:
        """Take a row; an empty one says nothing.

        Raises:
            CaptureError: the row has another number of columns, no time or another value, or goes back in time.
        """
        stamp, _, cells = line.strip().partition(b",")
        if not stamp and not cells:
            return
        time = self._time(stamp.strip(QUOTES))
        row = self._known.get(cells) or self._states(cells)
        if time is None or row is None:
            expected = f"a time and {self._width} values of 0, 1 or X, found {shown(line.strip())}"
            raise self._error(number, f"expected {expected}; export raw digital data again")
        state, no_data = row
        self._no_data += no_data
        if self._origin is None:
            self._origin, self._origin_text = time, stamp.decode()
            self._initial = self._state = state
        self._move(time - self._origin, state, number)

    def capture(self, labels: list[tuple[str, tuple[str, ...]]]) -> Capture:
        """Give what the rows held.

        Raises:
            CaptureError: there was none.
        """
        if self._origin is None:
            raise CaptureError(self._path, "holds a header but no rows; export the whole capture", where="line 2")
        channels = tuple(
            channel_of(name, self._initial >> bit & 1, np.array(edges, np.int64), aliases)
            for bit, ((name, aliases), edges) in enumerate(zip(labels, self._edges, strict=True))
        )
        details = {"time zero": self._origin_text}
        if self._no_data:
            details["no data (X) read as 0"] = f"{self._no_data} values"
        return Capture(channels, self._now, None, Provenance(str(self._path), "saleae-csv", details))

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

    def _move(self, time: int, state: int, number: int) -> None:
        now = (time + PER_NS // 2) // PER_NS
        if now < self._now:
            raise self._error(number, "time goes back; export the capture again, sorted by time")
        if now > INT64_MAX:
            raise self._error(number, "is more than 292 years after the first row; check its time")
        self._now = now
        toggled, self._state = self._state ^ state, state
        while toggled:
            bit = toggled.bit_length() - 1
            self._edges[bit].append(now)
            toggled ^= 1 << bit

    def _error(self, number: int, expected: str) -> CaptureError:
        return CaptureError(self._path, expected, where=f"line {number}")
