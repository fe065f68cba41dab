"""Value change dumps (IEEE 1364): text of declarations, time stamps and value changes.

The file is read in pieces and cut into words; what a word means depends on its first byte alone, so the loop over
the body looks at that byte and little else.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from m43drivers.capture.common import Meter, Options, distinct_labels, one_line, shown
from m43drivers.capture.model import Capture, CaptureError, Channel, Provenance
from m43drivers.capture.times import INT64_MAX, channel_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["read"]

BLOCK = 1 << 18
MAX_WORD = 1 << 20
SPACES = (b"\n", b" ", b"\t", b"\r")
MAX_SECTION_WORDS = 1 << 12
MAX_DIGITS = 40
MAX_SCOPE = 400

UNITS_NS = {
    "s": Fraction(10**9),
    "ms": Fraction(10**6),
    "us": Fraction(10**3),
    "ns": Fraction(1),
    "ps": Fraction(1, 10**3),
    "fs": Fraction(1, 10**6),
}
TIMESCALE = re.compile(r"([1-9]\d{0,8})([munpf]?s)")

HASH = ord("#")
# VHDL simulators write weak levels, too.
LEVELS = {ord("0"): 0, ord("1"): 1, ord("l"): 0, ord("L"): 0, ord("h"): 1, ord("H"): 1}
UNKNOWN = frozenset(b"xXzZuUwW-")
VECTORS = frozenset(b"bBrRsS")
# Sections whose values are read like any others; their $end says nothing.
MARKERS = frozenset({b"$dumpvars", b"$dumpall", b"$dumpon", b"$dumpoff", b"$end"})
TOLD = {b"$date": "date", b"$version": "version", b"$comment": "comment"}
UNUSABLE = frozenset({b"real", b"realtime", b"string"})


@dataclass(slots=True)
class _Signal:
    """One identifier: what is declared for it, and what became of it."""

    width: int
    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    initial: int = 0
    level: int = 0
    edges: array[int] = field(default_factory=lambda: array("q"))


@dataclass(slots=True)
class _Header:
    """What stands before ``$enddefinitions``; the scopes are prefixes of names, the innermost last."""

    timescale_ns: Fraction | None = None
    scopes: list[str] = field(default_factory=lambda: [""])
    signals: dict[bytes, _Signal] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)


class _Words:
    """The words of a file one after the other, with a line number for the rare one that is wrong."""

    def __init__(self, path: Path, stream: BinaryIO, meter: Meter) -> None:
        self._path = path
        self._stream = stream
        self._meter = meter
        self._text = b""
        self._lines_before = 0
        self._count = 0
        self._left: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[bytes]:
        for text in self._texts():
            words = text.split()
            self._lines_before += self._text.count(b"\n")
            self._text, self._count, self._left = text, len(words), iter(words)
            yield from self._left

    def error(self, expected: str) -> CaptureError:
        """Make an error at the word that was given last."""
        return CaptureError(self._path, expected, where=f"line {self._line()}")

    def _texts(self) -> Iterator[bytes]:
        """Give the file in pieces that end between words."""
        rest = self._stream.read(3).removeprefix(b"\xef\xbb\xbf")
        while block := self._stream.read(BLOCK):
            self._meter.at(self._stream.tell())
            text = rest + block
            cut = max(map(text.rfind, SPACES)) + 1
            rest = text[cut:]
            if len(rest) > MAX_WORD:
                raise CaptureError(self._path, f"a word of more than {MAX_WORD} bytes; this is no value change dump")
            if cut:
                yield text[:cut]
        yield rest

    def _line(self) -> int:
        index = self._count - length_hint(self._left) - 1
        word = next(islice(re.finditer(rb"\S+", self._text), max(index, 0), None), None)
        return self._lines_before + self._text.count(b"\n", 0, word.start() if word else len(self._text)) + 1


def read(paths: tuple[Path, ...], options: Options) -> Capture:
    """Read the 1-bit signals of a value change dump; wider ones are left out.

    The capture starts at the file's first time stamp, or at 0 where values stand before it. ``x`` and ``z`` count as 0.

    Args:
        paths: one file.
        options: ``progress`` alone is used, since the file holds exact times.

    Raises:
        CaptureError: the file breaks the format; the error names the line.
    """
    (path,) = paths
    with path.open("rb") as stream:
        source = _Words(path, stream, Meter(options.progress, path.stat().st_size))
        words = iter(source)
        header = _read_header(source, words)
        body = _Body(source, words, header)
        body.run()
    details = header.details | body.details()
    return Capture(_channels(header), body.end_ns, None, Provenance(str(path), "vcd", details))


def _channels(header: _Header) -> tuple[Channel, ...]:
    """Give a channel per identifier: a name that several of them have is told with its scope."""
    signals = [signal for signal in header.signals.values() if signal.width == 1]
    uses = Counter(name for signal in signals for name in set(signal.names))
    wanted = [_label(signal, uses) for signal in signals]
    return tuple(
        channel_of(name, signal.initial, np.array(signal.edges, np.int64), aliases)
        for signal, (name, aliases) in zip(signals, distinct_labels(wanted), strict=True)
    )


def _label(signal: _Signal, uses: Counter[str]) -> tuple[str, tuple[str, ...]]:
    name = signal.names[0] if uses[signal.names[0]] == 1 else signal.paths[0]
    return name, (*(other for other in signal.names if uses[other] == 1), *signal.paths)


def _read_header(source: _Words, words: Iterator[bytes]) -> _Header:
    header = _Header()
    for word in words:
        section = _section(source, words, word)
        if word == b"$enddefinitions":
            return _checked(source, header, section)
        if word in SECTIONS:
            SECTIONS[word](source, header, section)
        elif word in TOLD:
            header.details.setdefault(TOLD[word], one_line(_text(section)))
    raise source.error("the file ends before $enddefinitions; it is cut, export it again")


def _section(source: _Words, words: Iterator[bytes], keyword: bytes) -> list[bytes]:
    """Give the words up to ``$end``."""
    if not keyword.startswith(b"$"):
        raise source.error(f"expected a declaration or $enddefinitions, found {shown(keyword)}; export the file again")
    found: list[bytes] = []
    for word in words:
        if word == b"$end":
            return found
        if len(found) < MAX_SECTION_WORDS:
            found.append(word)
    raise source.error(f"the file ends inside {shown(keyword)}; it is cut, export it again")


def _text(section: list[bytes], between: bytes = b" ") -> str:
    return between.join(section).decode("utf-8", "replace")


def _checked(source: _Words, header: _Header, section: list[bytes]) -> _Header:
    if section:
        raise source.error("expected $end after $enddefinitions; export the file again")
    if header.timescale_ns is None:
        raise source.error("expected a $timescale before $enddefinitions; times have no unit, export the file again")
    if all(signal.width != 1 for signal in header.signals.values()):
        raise source.error("declares no 1-bit signal; export the lines of the bus as single wires")
    return header


def _timescale(source: _Words, header: _Header, section: list[bytes]) -> None:
    text = _text(section, b"")
    match = TIMESCALE.fullmatch(text)
    if match is None:
        raise source.error(f"expected a $timescale like '1 ns', found {shown(text)}; export the file again")
    header.timescale_ns = int(match[1]) * UNITS_NS[match[2]]


def _scope(source: _Words, header: _Header, section: list[bytes]) -> None:
    header.scopes.append(f"{header.scopes[-1]}{_text(section[-1:])}."[:MAX_SCOPE])


def _upscope(source: _Words, header: _Header, section: list[bytes]) -> None:
    if len(header.scopes) > 1:
        header.scopes.pop()


def _var(source: _Words, header: _Header, section: list[bytes]) -> None:
    if len(section) < 4 or not re.fullmatch(rb"\d{1,9}", section[1]):
        found = shown(_text(section))
        raise source.error(f"expected '$var TYPE WIDTH IDENTIFIER NAME $end', found {found}; export the file again")
    width = 0 if section[0] in UNUSABLE else int(section[1])
    name = _text(section[3:], b"")
    signal = header.signals.setdefault(section[2], _Signal(width))
    signal.names.append(name)
    signal.paths.append(header.scopes[-1] + name)


SECTIONS = {b"$timescale": _timescale, b"$scope": _scope, b"$upscope": _upscope, b"$var": _var}


class _Body:
    """Walks the value changes and leaves toggle times in the signals."""

    def __init__(self, source: _Words, words: Iterator[bytes], header: _Header) -> None:
        self._source = source
        self._words = words
        self._signals = header.signals
        self._timescale_ns = header.timescale_ns or Fraction(1)
        self._origin = 0
        self._tick = 0
        self._unknown = 0
        self.end_ns = 0

    def run(self) -> None:
        """Read to the end of the file.

        Raises:
            CaptureError: a word is none that may stand there, or there is no time stamp.
        """
        self._start()
        levels, now = LEVELS, self._time_ns(self._tick)
        for word in self._words:
            if (level := levels.get(word[0])) is not None:
                self._change(word[1:], level, now)
            elif word[0] == HASH:
                now = self._time_ns(self._next_tick(word))
            else:
                self._other(word, now)
        self.end_ns = now

    def details(self) -> dict[str, str]:
        """Tell what was not taken as it stands."""
        told = {}
        if self._origin:
            told["time zero"] = f"tick {self._origin} of {float(self._timescale_ns):g} ns"
        if self._unknown:
            told["x or z read as 0"] = f"{self._unknown} changes"
        return told

    def _start(self) -> None:
        """Read to the first time stamp; without values before it, the capture starts there."""
        values_before = False
        for word in self._words:
            if word[0] == HASH:
                self._next_tick(word)
                self._origin = 0 if values_before else self._tick
                return
            values_before |= not word.startswith(b"$")
            self._other(word, 0)
        raise self._source.error("expected a time stamp '#...' after $enddefinitions; the file is cut, export it again")

    def _next_tick(self, word: bytes) -> int:
        digits = word[1:]
        if not (digits.isdigit() and len(digits) <= MAX_DIGITS):
            raise self._source.error(f"expected a time stamp like '#100', found {shown(word)}; export the file again")
        tick = int(digits)
        if tick < self._tick:
            raise self._source.error(f"time goes back from #{self._tick} to {shown(word)}; export the file again")
        self._tick = tick
        return tick

    def _time_ns(self, tick: int) -> int:
        step, parts = self._timescale_ns.numerator, self._timescale_ns.denominator
        time_ns = (2 * (tick - self._origin) * step + parts) // (2 * parts)
        if time_ns > INT64_MAX:
            raise self._source.error(f"time stamp {tick} is more than 292 years after the first; check the $timescale")
        return time_ns

    def _change(self, identifier: bytes, level: int, now: int) -> None:
        signal = self._signals.get(identifier)
        if signal is None:
            raise self._source.error(
                f"expected a declared identifier, found {shown(identifier)}; export the file again"
            )
        if signal.level != level:
            signal.level = level
            if now:
                signal.edges.append(now)
            else:
                signal.initial = level

    def _other(self, word: bytes, now: int) -> None:
        """Take a word that is rare in a dump of digital lines."""
        head = word[0]
        if head in LEVELS or head in UNKNOWN:
            self._scalar(head, word[1:], now)
        elif head in VECTORS:
            self._vector(word, now)
        elif word == b"$comment":
            _section(self._source, self._words, word)
        elif word not in MARKERS:
            raise self._source.error(f"expected a value change or a time stamp, found {shown(word)}; export it again")

    def _scalar(self, value: int, identifier: bytes, now: int) -> None:
        self._unknown += value in UNKNOWN
        self._change(identifier, LEVELS.get(value, 0), now)

    def _vector(self, word: bytes, now: int) -> None:
        identifier = next(self._words, b"")
        signal = self._signals.get(identifier)
        if signal is not None and signal.width != 1:
            return
        if word[-1] not in LEVELS and word[-1] not in UNKNOWN:
            raise self._source.error(f"expected a vector of 0, 1, x and z, found {shown(word)}; export the file again")
        self._scalar(word[-1], identifier, now)
