"""Binary raw exports of Saleae Logic 2, versions 0 and 1: one file per line, times as doubles.

A capture is a folder of such files. Every count in them is checked against the size of the file before it is believed.
"""

from __future__ import annotations

import math
import re
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.common import Meter, Options, distinct_labels, one_line, shown
from m43drivers.capture.merge import MAX_CHANNELS
from m43drivers.capture.model import CaptureError, Provenance
from m43drivers.capture.stream import CaptureStream, Label
from m43drivers.capture.toggles import Line, Toggles, merged_blocks
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from m43drivers.capture.input import Input
    from m43drivers.capture.stream import Block

__all__ = ["DIGITAL", "MAGIC", "TIME", "open_export"]

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


# Transitions of a file that are read at a time.
PIECE = 1 << 15


@record(frozen=True, slots=True)
class _Chunk:
    """A stretch of one line; times in seconds; no rate in version 0, where nothing is ever missing.

    Attributes:
        at: where its transitions are in the file.
        count: how many they are.
    """

    initial: int
    rate_hz: float | None
    begin: float
    end: float
    at: int
    count: int

    def is_gap(self, seconds: float) -> bool:
        """Tell whether a time beside this chunk means missing data."""
        return self.rate_hz is not None and seconds > GAP_SAMPLES / self.rate_hz


def open_export(inputs: tuple[Input, ...], options: Options) -> CaptureStream:
    """Open a binary export.

    A folder stands for its digital exports (analog ones are left out), one ``digital_N.bin`` for all its siblings of
    that name; other files stand for themselves. Time zero is the earliest begin of all files, and times are rounded to
    the nearest nanosecond from there. What is missing inside the capture counts as 0.

    Args:
        inputs: a folder, or one or several files.
        options: ``progress`` alone is used, since the files hold exact times.

    Raises:
        CaptureError: a file is damaged, analog, of an unknown version or of another format. The stream raises it for
            transitions.
    """
    paths = [source.path for source in inputs]
    files = [_File(path) for path in sorted(_gathered(paths), key=_order)]
    if len(files) > MAX_CHANNELS:
        raise CaptureError(paths[0], f"expected at most {MAX_CHANNELS} lines, found {len(files)}; name fewer files")
    chunks = [chunk for file in files for chunk in file.chunks]
    start, end = min(chunk.begin for chunk in chunks), max(chunk.end for chunk in chunks)
    gaps = sum(file.gaps(start, end) for file in files)
    details = {"time zero": f"{start!r} s", "files": one_line(", ".join(file.path.name for file in files))}
    details |= {"no data read as 0": f"{gaps} gaps"} if gaps else {}

    def blocks(wanted: int | None) -> Iterator[Block]:
        meter, lines = _Total(options, files), [file.line(start, end) for file in files]
        counted = [Line(line.initial, meter.counted(line.stretches)) for line in lines]
        return merged_blocks(counted, round((end - start) * 1e9), wanted)

    labels = tuple(Label(*label) for label in distinct_labels(_label(file.path) for file in files))
    rates = {chunk.rate_hz for chunk in chunks}
    provenance = Provenance(", ".join(map(str, paths)), "saleae-binary", details)
    return CaptureStream(labels, Fraction(1), rates.pop() if len(rates) == 1 else None, provenance, blocks)


class _Total:
    """Progress over several files."""

    def __init__(self, options: Options, files: list[_File]) -> None:
        self._meter = Meter(options.progress, sum(chunk.count for file in files for chunk in file.chunks))
        self._done = 0

    def counted(self, stretches: Iterator[Toggles]) -> Iterator[Toggles]:
        """Pass stretches through."""
        for stretch in stretches:
            self._done += stretch.ticks.size
            self._meter.at(self._done)
            yield stretch


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


class _File:
    """One file of an export.

    Raises:
        CaptureError: its headers are not what they say, or not all that they say.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        with path.open("rb") as self._stream:
            self.chunks = self._chunks()

    def gaps(self, start: float, end: float) -> int:
        """Count where data are missing between two times."""
        ends = [start, *(chunk.end for chunk in self.chunks)]
        inside = sum(chunk.is_gap(chunk.begin - before) for chunk, before in zip(self.chunks, ends, strict=False))
        return inside + self.chunks[-1].is_gap(end - ends[-1])

    def line(self, start: float, end: float) -> Line:
        """Give the line between two times, in nanoseconds from the first."""
        first = self.chunks[0]
        initial = 0 if first.is_gap(first.begin - start) else first.initial
        ticks = (np.rint((times - start) * 1e9).astype(np.int64) for times in self._times(initial, start, end))
        return Line(initial, (Toggles(some, int(some[-1])) for some in ticks if some.size))

    def _times(self, level: int, start: float, end: float) -> Iterator[NDArray[np.float64]]:
        """Yield toggle times in seconds; where data are missing, the level is 0."""
        before = start
        with self.path.open("rb") as self._stream:
            for chunk in self.chunks:
                if level and chunk.is_gap(chunk.begin - before):
                    level = 0
                    yield np.array([before])
                if level != chunk.initial:
                    yield np.array([chunk.begin])
                yield from self._edges(chunk)
                level, before = chunk.initial ^ chunk.count & 1, chunk.end
        if level and self.chunks[-1].is_gap(end - before):
            yield np.array([before])

    def _chunks(self) -> list[_Chunk]:
        version = self._version()
        layout = CHUNKS[version]
        count = 1 if version == 0 else self._unpack(COUNT)[0]
        room = (self.size - self._stream.tell()) // layout.size
        if not 1 <= count <= room:
            raise self._error(HEADER.size, f"declares {count} chunks, has room for {room}; the file is cut or damaged")
        chunks: list[_Chunk] = []
        for _ in range(count):
            chunks.append(self._chunk(layout, chunks[-1].end if chunks else -MAX_SECONDS))
            self._stream.seek(chunks[-1].count * TIME.itemsize, 1)
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
        here = self._stream.tell()
        room = (self.size - here) // TIME.itemsize
        if count > room:
            expected = f"declares {count} transitions, has room for {room}; the file is cut, export it again"
            raise self._error(here, expected)
        return _Chunk(initial, rate[0] if rate else None, begin, end, here, count)

    def _edges(self, chunk: _Chunk) -> Iterator[NDArray[np.float64]]:
        before = -2 * MAX_SECONDS
        for done in range(0, chunk.count, PIECE):
            at = chunk.at + done * TIME.itemsize
            self._stream.seek(at)
            edges = np.frombuffer(self._stream.read(min(PIECE, chunk.count - done) * TIME.itemsize), TIME)
            self._check(at, ~np.isfinite(edges), edges, "is no time")
            outside = (edges < chunk.begin - ROUNDING_S) | (edges > chunk.end + ROUNDING_S)
            self._check(at, outside, edges, "lies outside of its chunk")
            self._check(at, np.diff(edges, prepend=before) <= 0, edges, "does not come after the one before")
            before = edges[-1]
            yield np.clip(edges, chunk.begin, chunk.end)

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
        return CaptureError(self.path, expected, where=f"offset {offset}")
