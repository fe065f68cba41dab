"""Saleae Logic 2 sessions ``.sal``: a zip of ``meta.json`` and a file per line, of digital lines alone.

The maker has not published the format and may change it. What stands here was found in real sessions and holds for them
(channel files of versions 1 and 2): the runs of every chunk add up to its length, no byte is left over, and the edges
are those of the maker's own exports. So this is a best effort, and any other version is refused by its number.

Edges are runs: the number of samples less one, its most significant bits first. A byte below 0x40 is a run by itself; a
longer one has 6 bits in its first byte (``01xxxxxx``) and 7 in each that follows, of which only the last is below 0x80.
"""

from __future__ import annotations

import json
import re
import struct
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.archive import Archive
from m43drivers.capture.common import Meter, Options, bare, distinct_labels, one_line, shown
from m43drivers.capture.merge import MAX_CHANNELS
from m43drivers.capture.model import CaptureError, Provenance
from m43drivers.capture.stream import CaptureStream, Label
from m43drivers.capture.times import period_ns
from m43drivers.capture.toggles import Line, Toggles, merged_blocks
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from m43drivers.capture.input import Input
    from m43drivers.capture.stream import Block

__all__ = ["META", "open_session"]

META = "meta.json"
MEMBER = re.compile(r"digital-(\d{1,6})\.bin")
HEAD = struct.Struct("<8sIIBdqd")
MAGIC, DIGITAL, ONE = b"<SALEAE>", 100, 1
FLAG, NUMBER = struct.Struct("<B"), struct.Struct("<Q")
# What stands before the runs of a chunk, and of what size the entries of the table behind them are.
CHUNKS = {1: (struct.Struct("<QQQQQQ"), struct.Struct("<QQI")), 2: (struct.Struct("<QQBBQ"), None)}
MAX_RATE_HZ = 10**12
MAX_SAMPLES = 2**62
PIECE = 1 << 17
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SINGLE, MORE = 0x40, 0x80
LONGEST_RUN = 9


@record(frozen=True, slots=True)
class _Head:
    """What stands at the top of a channel file."""

    version: int
    rate_hz: Fraction
    began_ms: int
    trims: tuple[int | None, int | None]
    chunks: int


@record(frozen=True, slots=True)
class _Chunk:
    """A stretch of a line; samples from ``start`` up to ``end``; ``initial`` is known later in version 1."""

    start: int
    end: int
    initial: int | None
    size: int


def open_session(source: Input, options: Options) -> CaptureStream:
    """Open a session for its digital lines.

    The capture starts at the first sample that the session holds, also where it was trimmed in Logic 2, which leaves
    the samples in the file; the provenance tells the trim.

    Args:
        source: one file.
        options: ``progress`` alone is used.

    Raises:
        CaptureError: the session is damaged, of an unknown version or without digital lines. The stream raises it for
            the runs.
    """
    with Archive(source.path) as archive:
        members = _members(source.path, archive)
        files = [_File(source.path, archive, name, Meter(None, 1)) for name in members]
        firsts = [(file.head(), file.first()) for file in files]
        names = _names(source.path, archive)
    heads = [head for head, _ in firsts]
    if len({head.rate_hz for head in heads}) > 1:
        raise CaptureError(source.path, "has lines of several sample rates; export it as raw CSV from Logic 2")
    rate_hz, origin = heads[0].rate_hz, min(first for _, first in firsts)

    def blocks(wanted: int | None) -> Iterator[Block]:
        with Archive(source.path) as archive:
            meter = Meter(options.progress, sum(map(archive.size, members)))
            lines = [_File(source.path, archive, name, meter).line(origin) for name in members]
            yield from merged_blocks(lines, None, wanted)

    labels = tuple(Label(*label) for label in distinct_labels(_label(number, names) for number in members.values()))
    provenance = Provenance(str(source.path), "saleae-session", _details(heads[0], origin))
    return CaptureStream(labels, period_ns(rate_hz), float(rate_hz), provenance, blocks)


def _members(path: Path, archive: Archive) -> dict[str, int]:
    """Give the entries of digital lines and their numbers, in order."""
    found = {name: int(match[1]) for name in archive.names if (match := MEMBER.fullmatch(name))}
    if not found:
        raise CaptureError(
            path, "a Logic 2 session without digital lines (digital-N.bin); record digital channels, too"
        )
    if len(found) > MAX_CHANNELS:
        raise CaptureError(path, f"expected at most {MAX_CHANNELS} lines, found {len(found)}; save fewer lines")
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _details(head: _Head, origin: int) -> dict[str, str]:
    details = {"best effort": f"undocumented format, channel files of version {head.version}"}
    if 0 <= head.began_ms < 10**13:
        details["capture started"] = (EPOCH + timedelta(milliseconds=head.began_ms)).isoformat(timespec="milliseconds")
    if origin:
        details["time zero"] = f"sample {origin}"
    if head.trims != (None, None):
        details["trimmed"] = "in Logic 2 to samples {} to {}; all are read here".format(
            *("the end" if trim is None else trim for trim in head.trims)
        )
    return details


def _names(path: Path, archive: Archive) -> dict[int, str]:
    """Give the names of digital channels by their numbers, as far as ``meta.json`` tells them."""
    try:
        meta = json.loads(archive.text(META))
    except (ValueError, RecursionError) as error:
        raise CaptureError(path, "is no JSON; the file is damaged, save it again", where=f"entry {META}") from error
    rows = _at(meta, "data", "rowsSettings")
    found = {}
    for row in rows if isinstance(rows, list) else []:
        number, name = _at(row, "channel", "deviceChannel"), _at(row, "name")
        if _at(row, "channel", "type") == "Digital" and isinstance(number, int) and isinstance(name, str):
            found[number] = one_line(name)
    return found


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _label(number: int, names: Mapping[int, str]) -> tuple[str, tuple[str, ...]]:
    stand_in = f"Channel {number}"
    name = names.get(number) or stand_in
    return name, (f"D{number}", str(number), *(() if name == stand_in else (stand_in,)))


class _File:
    """One channel file; it is read once, from its top."""

    def __init__(self, path: Path, archive: Archive, name: str, meter: Meter) -> None:
        self._path = path
        self._name = name
        self._pieces = archive.stream(name)
        self._meter = meter
        self._piece = memoryview(b"")
        self._at = 0

    def head(self) -> _Head:
        """Read the top.

        Raises:
            CaptureError: it is none that is known.
        """
        magic, version, kind, one, rate_hz, began_ms, _ = self._unpack(HEAD)
        if magic != MAGIC:
            raise self._error(0, f"expected a channel file, which begins with '<SALEAE>', found {shown(magic)}")
        if version not in CHUNKS:
            known = " or ".join(map(str, CHUNKS))
            raise self._error(8, f"expected channel file version {known}, found {version}; export it as raw CSV")
        if (kind, one) != (DIGITAL, ONE):
            raise self._error(12, f"expected a digital line (type {DIGITAL}), found type {kind}; export it as raw CSV")
        if not 1 <= rate_hz <= MAX_RATE_HZ:
            raise self._error(17, f"expected a sample rate in Hz, found {rate_hz}; export it as raw CSV")
        trims = (self._optional(), self._optional())
        return _Head(version, Fraction(rate_hz), began_ms, trims, self._unpack(NUMBER)[0])

    def first(self) -> int:
        """Read the number of the first sample, after `head`."""
        return int(self._unpack(NUMBER)[0])

    def line(self, origin: int) -> Line:
        """Give the line; ticks are samples from ``origin`` on."""
        stretches = self._stretches(origin)
        first = next(stretches)
        return Line(first.ticks.size & 1, stretches)

    def _stretches(self, origin: int) -> Iterator[Toggles]:
        """Yield the toggles; the first stretch has one where the line begins high."""
        head = self.head()
        if head.chunks < 1:
            raise self._error(self._at, "holds no samples; record the capture again")
        level, before = 0, None
        for number in range(head.chunks):
            chunk = self._chunk(head.version)
            if before not in (None, chunk.start):
                raise self._error(self._at, f"chunk {number + 1} begins at sample {chunk.start}, expected {before}")
            runs = self._runs(chunk)
            initial, held = chunk.initial, []
            if head.version == 1:
                held = list(runs)
                initial = self._table()
            if initial not in (0, 1):
                raise self._error(self._at, f"expected an initial state of 0 or 1, found {initial}; export it as CSV")
            turned = np.array([chunk.start - origin] if initial != level else [], np.int64)
            yield Toggles(turned, chunk.start - origin)
            level = initial
            for ticks in held or runs:
                level ^= ticks.size & 1
                yield Toggles(ticks - origin, int(ticks[-1]) - origin if ticks.size else chunk.start - origin)
            yield Toggles(turned[:0], chunk.end - 1 - origin)
            before = chunk.end
        if self._more():
            raise self._error(self._at, "more bytes than declared; the file is damaged, export it as raw CSV")

    def _chunk(self, version: int) -> _Chunk:
        at, (layout, _) = self._at, CHUNKS[version]
        start, end, *rest, size = self._unpack(layout)
        initial = None if version == 1 else int(rest[0])
        if not start < end <= MAX_SAMPLES:
            raise self._error(at, f"samples {start} to {end} are no stretch; the file is damaged, export it as raw CSV")
        return _Chunk(start, end, initial, size)

    def _table(self) -> int:
        """Read the table behind the runs of version 1, and give the state in its first entry."""
        entry, at = CHUNKS[1][1], self._at
        count = self._unpack(NUMBER)[0]
        if entry is None or not count:
            raise self._error(at, "expected the state at the start of a chunk; export it as raw CSV")
        state = int(self._unpack(entry)[2])
        left = (count - 1) * entry.size
        while left > 0:
            left -= len(self._some(left))
        return state

    def _runs(self, chunk: _Chunk) -> Iterator[NDArray[np.int64]]:
        """Yield the samples at which the runs of a chunk end, but for the last, which ends with the chunk."""
        left, rest, position = chunk.size, b"", chunk.start
        held = np.empty(0, np.int64)
        while left:
            piece = self._some(left)
            left -= len(piece)
            lengths, used = _lengths(rest + piece)
            if lengths is None:
                raise self._error(
                    self._at, "a run is too long, or has no beginning; the file is damaged, export it as raw CSV"
                )
            rest = (rest + piece)[used:]
            ends = np.concatenate([held, position + np.cumsum(lengths + 1)])
            if ends.size:
                position = int(ends[-1])
                if not chunk.start < position <= chunk.end:
                    break
                held = ends[-1:]
                yield ends[:-1]
        if rest or position != chunk.end:
            raise self._error(
                self._at, f"runs end at sample {position}, expected {chunk.end}; the file is damaged, export it as CSV"
            )

    def _optional(self) -> int | None:
        return int(self._unpack(NUMBER)[0]) if self._unpack(FLAG)[0] else None

    def _unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        at, found = self._at, b""
        while len(found) < layout.size and self._more():
            found += self._some(layout.size - len(found))
        if len(found) < layout.size:
            raise self._error(at, f"expected {layout.size} bytes, found {len(found)}; the file is cut, save it again")
        return layout.unpack(found)

    def _more(self) -> bool:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._piece = memoryview(piece)
        return True

    def _some(self, most: int) -> bytes:
        """Give at least one byte."""
        if not self._more():
            raise self._error(self._at, "the file ends inside a chunk; it is cut, save it again")
        found = bytes(self._piece[: min(most, PIECE)])
        self._piece = self._piece[len(found) :]
        self._at += len(found)
        self._meter.at(self._at)
        return found

    def _error(self, offset: int, expected: str) -> CaptureError:
        return CaptureError(self._path, expected, where=f"entry {bare(self._name)}: offset {offset}")


def _lengths(data: bytes) -> tuple[NDArray[np.int64] | None, int]:
    """Read whole runs.

    Returns:
        the number of samples less one of each, or None where one is impossible; and how many bytes they take.
    """
    octets = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(_is_last(octets))
    if not ends.size:
        return (None, 0) if octets.size > LONGEST_RUN else (np.empty(0, np.int64), 0)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    sizes = ends - starts + 1
    longest = int(sizes.max())
    if longest > LONGEST_RUN or (octets[starts] >= MORE).any():
        return None, 0
    lengths = (octets[starts] & (SINGLE - 1)).astype(np.int64)
    for place in range(1, longest):
        some = np.flatnonzero(sizes > place)
        lengths[some] = lengths[some] << 7 | octets[starts[some] + place] & (MORE - 1)
    return lengths, int(ends[-1]) + 1


def _is_last(octets: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which bytes end a run.

    A byte below 0x40 always does, and so does one below 0x80 behind one that is not. What is left, bytes from 0x40 to
    0x7F in a row, are first and last bytes in turn, from the last end that is certain.
    """
    below = octets < MORE
    behind = np.append(False, ~below[:-1])
    certain = below & ((octets < SINGLE) | behind)
    places = np.arange(octets.size)
    since = places - np.maximum.accumulate(np.where(certain, places, -1))
    return np.asarray(certain | (below & (since % 2 == 0)))
