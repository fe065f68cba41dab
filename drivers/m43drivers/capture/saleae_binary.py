"""Binary raw exports of Saleae Logic 2, versions 0 and 1: one file per line, times as doubles.

A capture is a folder of such files. Every count in them is checked against the size of the file before it is believed.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from m43drivers.capture.common import Meter, Options, distinct_labels, one_line, shown
from m43drivers.capture.model import Capture, CaptureError, Channel, Provenance
from m43drivers.capture.times import channel_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["MAGIC", "read"]

MAGIC = b"<SALEAE>"
HEADER = struct.Struct("<8sii")
COUNT = struct.Struct("<Q")
# Version 0 is one chunk without a rate; version 1 counts its chunks.
CHUNKS = {0: struct.Struct("<IddQ"), 1: struct.Struct("<IdddQ")}
TIME = np.dtype("<f8")
DIGITAL = 0
STEM = re.compile(r"digital_(\d{1,6})")

# Differences of two such times, in nanoseconds, fit int64.
MAX_SECONDS = 4e9
# Times on the border of a chunk may be rounded past it.
ROUNDING_S = 1e-9
# A chunk that begins within a sample and a half of the end of another goes on where that one ended.
GAP_SAMPLES = 1.5


@dataclass(frozen=True, slots=True)
class _Chunk:
    """A stretch of one line; times in seconds; no rate in version 0, where nothing is ever missing."""

    initial: int
    rate_hz: float | None
    begin: float
    end: float
    edges: NDArray[np.float64]

    def is_gap(self, seconds: float) -> bool:
        """Tell whether a time beside this chunk means missing data."""
        return self.rate_hz is not None and seconds > GAP_SAMPLES / self.rate_hz


@dataclass(slots=True)
class _Line:
    """A line on its way into a channel: toggle times in seconds."""

    initial: int
    level: int
    times: list[NDArray[np.float64]] = field(default_factory=list)
    gaps: int = 0

    def set_level(self, level: int, time: float) -> None:
        """Have the level from a time on."""
        if level != self.level:
            self.toggle(np.array([time]))

    def lose(self, time: float) -> None:
        """Have no data from a time on, which counts as 0."""
        self.gaps += 1
        self.set_level(0, time)

    def toggle(self, times: NDArray[np.float64]) -> None:
        """Toggle at each time."""
        self.level ^= times.size & 1
        self.times.append(times)


def read(paths: tuple[Path, ...], options: Options) -> Capture:
    """Read a binary export.

    A folder stands for its digital exports (analog ones are left out), one ``digital_N.bin`` for all its siblings of
    that name; other files stand for themselves. Time zero is the earliest begin of all files, and times are rounded to
    the nearest nanosecond from there.

    Args:
        paths: a folder, or one or several files.
        options: ``progress`` alone is used, since the files hold exact times.

    Raises:
        CaptureError: a file is damaged, analog, of an unknown version or of another format.
    """
    files = sorted(_gathered(paths), key=_order)
    lines = _read_lines(files, Meter(options.progress, sum(file.stat().st_size for file in files)))
    chunks = [chunk for line in lines for chunk in line]
    start, end = min(chunk.begin for chunk in chunks), max(chunk.end for chunk in chunks)
    joined = [_joined(line, start, end) for line in lines]
    labels = distinct_labels(map(_label, files))
    channels = tuple(_channel(line, start, *label) for line, label in zip(joined, labels, strict=True))
    provenance = Provenance(", ".join(map(str, paths)), "saleae-binary", _details(files, start, joined))
    rates = {chunk.rate_hz for chunk in chunks}
    return Capture(channels, round((end - start) * 1e9), rates.pop() if len(rates) == 1 else None, provenance)


def _details(files: list[Path], start: float, lines: list[_Line]) -> dict[str, str]:
    details = {"time zero": f"{start!r} s", "files": one_line(", ".join(file.name for file in files))}
    gaps = sum(line.gaps for line in lines)
    return details | ({"no data read as 0": f"{gaps} gaps"} if gaps else {})


def _gathered(paths: Sequence[Path]) -> list[Path]:
    if len(paths) > 1:
        return list(dict.fromkeys(paths))
    if paths[0].is_dir():
        return _in_folder(paths[0])
    if STEM.fullmatch(paths[0].stem):
        return [paths[0], *(file for file in _siblings(paths[0].parent) if file.name != paths[0].name)]
    return [paths[0]]


def _siblings(folder: Path) -> list[Path]:
    return [file for file in folder.glob("digital_*.bin") if STEM.fullmatch(file.stem) and file.is_file()]


def _in_folder(folder: Path) -> list[Path]:
    numbered = _siblings(folder)
    others = {file: _head(file) for file in folder.glob("*.bin") if file not in numbered and file.is_file()}
    exports = [file for file, head in others.items() if head.startswith(MAGIC)]
    digital = numbered + [file for file in exports if not _is_analog(others[file])]
    if not exports and not numbered:
        raise CaptureError(folder, "a folder without digital_N.bin files of Saleae Logic 2; name a capture file")
    return digital or exports


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEADER.size)


def _is_analog(head: bytes) -> bool:
    return len(head) == HEADER.size and HEADER.unpack(head)[2] != DIGITAL


def _order(path: Path) -> tuple[int, int, str]:
    match = STEM.fullmatch(path.stem)
    return (0, int(match[1]), "") if match else (1, 0, path.stem)


def _label(path: Path) -> tuple[str, tuple[str, ...]]:
    match = STEM.fullmatch(path.stem)
    if match is None:
        return one_line(path.stem), ()
    number = int(match[1])
    return f"Channel {number}", (f"D{number}", str(number), path.stem)


def _read_lines(files: list[Path], meter: Meter) -> list[list[_Chunk]]:
    lines, done = [], 0
    for file in files:
        with file.open("rb") as stream:
            reader = _File(file, stream)
            lines.append(reader.chunks())
        done += reader.size
        meter.at(done)
    return lines


class _File:
    """One file of an export."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self.size = path.stat().st_size

    def chunks(self) -> list[_Chunk]:
        """Read all there is.

        Raises:
            CaptureError: it is not what it says, or not all that it says.
        """
        version = self._version()
        layout = CHUNKS[version]
        count = 1 if version == 0 else self._unpack(COUNT)[0]
        room = (self.size - self._stream.tell()) // layout.size
        if not 1 <= count <= room:
            raise self._error(HEADER.size, f"declares {count} chunks, has room for {room}; the file is cut or damaged")
        chunks: list[_Chunk] = []
        for _ in range(count):
            chunks.append(self._chunk(layout, chunks[-1].end if chunks else -MAX_SECONDS))
        if left := self.size - self._stream.tell():
            raise self._error(self._stream.tell(), f"{left} bytes more than declared; the file is damaged")
        return chunks

    def _version(self) -> int:
        magic, version, kind = self._unpack(HEADER)
        if magic != MAGIC:
            expected = f"expected a Saleae binary export, which begins with '<SALEAE>', found {shown(magic)}"
            raise self._error(0, f"{expected}; only such files can be given several at a time")
        if version not in CHUNKS:
            raise self._error(8, f"expected export version 0 or 1, found {version}; export as CSV instead")
        if kind != DIGITAL:
            raise self._error(
                12, f"expected digital data (type 0), found type {kind} (1 is analog); export digital data"
            )
        return int(version)

    def _chunk(self, layout: struct.Struct, not_before: float) -> _Chunk:
        at = self._stream.tell()
        initial, *rate, begin, end, count = self._unpack(layout)
        if initial not in (0, 1):
            raise self._error(at, f"expected an initial state of 0 or 1, found {initial}; export the capture again")
        if not all(0 < hertz < math.inf for hertz in rate):
            raise self._error(at, f"expected a sample rate, found {rate[0]}; export the capture again")
        if not not_before <= begin <= end <= MAX_SECONDS:
            raise self._error(at, f"begin {begin} s and end {end} s are no stretch of time; export the capture again")
        return _Chunk(initial, rate[0] if rate else None, begin, end, self._edges(count, begin, end))

    def _edges(self, count: int, begin: float, end: float) -> NDArray[np.float64]:
        at = self._stream.tell()
        room = (self.size - at) // TIME.itemsize
        if count > room:
            raise self._error(
                at, f"declares {count} transitions, has room for {room}; the file is cut, export it again"
            )
        edges = np.frombuffer(self._stream.read(count * TIME.itemsize), TIME)
        self._check(at, ~np.isfinite(edges), edges, "is no time")
        self._check(at, (edges < begin - ROUNDING_S) | (edges > end + ROUNDING_S), edges, "lies outside of its chunk")
        self._check(at, np.diff(edges, prepend=-2 * MAX_SECONDS) <= 0, edges, "does not come after the one before")
        return np.clip(edges, begin, end)

    def _check(self, at: int, bad: NDArray[np.bool_], edges: NDArray[np.float64], fault: str) -> None:
        if bad.any():
            first = int(np.argmax(bad))
            offset = at + first * TIME.itemsize
            raise self._error(offset, f"transition time {edges[first]} s {fault}; the file is damaged, export it again")

    def _unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        at = self._stream.tell()
        data = self._stream.read(layout.size)
        if len(data) < layout.size:
            raise self._error(at, f"expected {layout.size} bytes of header, found {len(data)}; the file is cut")
        return layout.unpack(data)

    def _error(self, offset: int, expected: str) -> CaptureError:
        return CaptureError(self._path, expected, where=f"offset {offset}")


def _joined(chunks: list[_Chunk], start: float, end: float) -> _Line:
    """Join the chunks of a line into one; where data are missing inside the capture, it is 0."""
    first, last = chunks[0], chunks[-1]
    initial = 0 if first.is_gap(first.begin - start) else first.initial
    line, before = _Line(initial, initial), start
    for chunk in chunks:
        if chunk.is_gap(chunk.begin - before):
            line.lose(before)
        line.set_level(chunk.initial, chunk.begin)
        line.toggle(chunk.edges)
        before = chunk.end
    if last.is_gap(end - before):
        line.lose(before)
    return line


def _channel(line: _Line, start: float, name: str, aliases: tuple[str, ...]) -> Channel:
    seconds = np.concatenate([np.empty(0), *line.times]) - start
    return channel_of(name, line.initial, np.rint(seconds * 1e9).astype(np.int64), aliases)
