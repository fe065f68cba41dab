"""Value change dumps (IEEE 1364): text of declarations, time stamps and value changes.

The file is read in pieces. A piece that holds nothing but time stamps and changes of single bits, which is almost all
of every dump of digital lines, is read in columns; any other is read word by word. Both give the same rows.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from operator import length_hint
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.common import Meter, Options, distinct_labels, one_line, shown
from m43drivers.capture.digits import PAD, Window
from m43drivers.capture.input import pieces
from m43drivers.capture.model import CaptureError, Provenance
from m43drivers.capture.rows import WORD_BITS, Rows, states_of
from m43drivers.capture.stream import Block, CaptureStream, Label
from m43drivers.capture.times import INT64_MAX
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from m43drivers.capture.input import Input, Readable

__all__ = ["open_dump"]

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
    """One identifier: what is declared for it; its bit in a state, where it is a line."""

    width: int
    bit: int
    names: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Header:
    """What stands before ``$enddefinitions``; the scopes are prefixes of names, the innermost last."""

    timescale_ns: Fraction | None = None
    width: int = 0
    scopes: list[str] = field(default_factory=lambda: [""])
    signals: dict[bytes, _Signal] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)


class _Words:
    """The words of a file one after the other, with a line number for the rare one that is wrong."""

    def __init__(self, path: Path, texts: Iterator[bytes]) -> None:
        self._path = path
        self._texts = texts
        self._text = b""
        self._lines_before = 0
        self._count = 0
        self._left: Iterator[bytes] = iter(())

    def __iter__(self) -> Iterator[bytes]:
        yield from self.here()
        while (text := self.piece()) is not None:
            self.cut(text)
            yield from self.here()

    def here(self) -> Iterator[bytes]:
        """Give what is left of a piece."""
        while (word := next(self._left, None)) is not None:
            yield word

    def piece(self) -> bytes | None:
        """Give the next piece as it is, once `here` has nothing left."""
        text = next(self._texts, None)
        if text is None:
            self.cut(b"")
        return text

    def cut(self, text: bytes) -> None:
        """Have a piece in words."""
        words = text.split()
        self._lines_before += self._text.count(b"\n")
        self._text, self._count, self._left = text, len(words), iter(words)

    def skip(self, lines: int) -> None:
        """Count the lines of a piece that was read otherwise."""
        self._lines_before += lines

    def error(self, expected: str) -> CaptureError:
        """Make an error at the word that was given last."""
        return CaptureError(self._path, expected, where=f"line {self._line()}")

    def _line(self) -> int:
        index = self._count - length_hint(self._left) - 1
        word = next(islice(re.finditer(rb"\S+", self._text), max(index, 0), None), None)
        return self._lines_before + self._text.count(b"\n", 0, word.start() if word else len(self._text)) + 1


@record(frozen=True, slots=True)
class _Session:
    """A dump of which the declarations are read."""

    source: _Words
    words: Iterator[bytes]
    header: _Header


def open_dump(source: Input, options: Options) -> CaptureStream:
    """Open a value change dump for its 1-bit signals; wider ones are left out.

    The capture starts at the file's first time stamp, or at 0 where values stand before it. ``x`` and ``z`` count as 0.

    Args:
        source: a file or a pipe.
        options: ``progress`` alone is used, since the file holds exact times.

    Raises:
        CaptureError: the declarations break the format; the error names the line. The stream raises it for the rest.
    """
    with source.open() as stream:
        first = _begun(source, stream, Options() if source.again else options)
    details = dict(first.header.details)

    def blocks(wanted: int | None) -> Iterator[Block]:
        with source.open() as stream:
            body = _Body(_begun(source, stream, options) if source.again else first, wanted)
            yield from body.blocks()
        details.update(body.details())

    provenance = Provenance(str(source.path), "vcd", details)
    return CaptureStream(_labels(first.header), Fraction(1), None, provenance, blocks, source.again)


def _begun(source: Input, stream: Readable, options: Options) -> _Session:
    def endless() -> CaptureError:
        return CaptureError(source.path, f"a word of more than {MAX_WORD} bytes; this is no value change dump")

    texts = pieces(stream, Meter(options.progress, source.size), SPACES, MAX_WORD, endless)
    reader = _Words(source.path, texts)
    words = iter(reader)
    return _Session(reader, words, _read_header(reader, words))


def _labels(header: _Header) -> tuple[Label, ...]:
    """Name a channel per identifier: a name that several of them have is told with its scope."""
    signals = [signal for signal in header.signals.values() if signal.width == 1]
    uses = Counter(name for signal in signals for name in set(signal.names))
    return tuple(Label(*label) for label in distinct_labels(_label(signal, uses) for signal in signals))


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
    if not header.width:
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
    signal = header.signals.setdefault(section[2], _Signal(width, header.width))
    header.width += signal.width == 1 and not signal.names
    signal.names.append(name)
    signal.paths.append(header.scopes[-1] + name)


SECTIONS = {b"$timescale": _timescale, b"$scope": _scope, b"$upscope": _upscope, b"$var": _var}


class _Body:
    """Walks the value changes and gives rows of time and state."""

    def __init__(self, session: _Session, wanted: int | None) -> None:
        self._source = session.source
        self._words = session.words
        self._signals = session.header.signals
        self._timescale_ns = session.header.timescale_ns or Fraction(1)
        self._width = session.header.width
        self._rows = Rows(self._width, wanted)
        self._columns = _Columns(session.header, wanted) if self._width <= WORD_BITS else None
        self._origin = 0
        self._tick = 0
        self._state = 0
        self._unknown = 0
        self._found: tuple[list[int], list[int]] = ([], [])

    def blocks(self) -> Iterator[Block]:
        """Read to the end of the file.

        Raises:
            CaptureError: a word is none that may stand there, or there is no time stamp.
        """
        self._start()
        yield from self._word_by_word()
        while (text := self._source.piece()) is not None:
            found = self._in_columns(text)
            if found is None:
                self._source.cut(text)
                yield from self._word_by_word()
            else:
                yield from self._rows.add(*found, self._time_ns(self._tick))
        yield from self._rows.finish(self._time_ns(self._tick))

    def details(self) -> dict[str, str]:
        """Tell what was not taken as it stands."""
        told = {}
        if self._origin:
            told["time zero"] = f"tick {self._origin} of {float(self._timescale_ns):g} ns"
        if self._unknown:
            told["x or z read as 0"] = f"{self._unknown} changes"
        return told

    def _in_columns(self, text: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint64]] | None:
        """Give times and states of a piece, or None where it holds anything rare or wrong."""
        found = self._columns and self._columns.read(text, self._tick, self._state)
        if not found:
            return None
        times_ns = self._times_ns(found.ticks, found.last_tick)
        if times_ns is None:
            return None
        self._tick, self._state = found.last_tick, found.last_state
        self._unknown += found.unknown
        self._source.skip(found.lines)
        return times_ns, found.states

    def _times_ns(self, ticks: NDArray[np.int64], last: int) -> NDArray[np.int64] | None:
        """Convert time stamps as `_time_ns` does, or give None where a product would leave int64."""
        step, parts = self._timescale_ns.numerator, self._timescale_ns.denominator
        if 2 * (last - self._origin) * step + parts > INT64_MAX:
            return None
        return np.asarray(((ticks - self._origin) * (2 * step) + parts) // (2 * parts), np.int64)

    def _word_by_word(self) -> Iterator[Block]:
        now = self._time_ns(self._tick)
        for word in self._source.here():
            if (level := LEVELS.get(word[0])) is not None:
                self._change(word[1:], level, now)
            elif word[0] == HASH:
                now = self._time_ns(self._next_tick(word))
            else:
                self._other(word, now)
        times, states = self._found
        yield from self._rows.add(np.array(times, np.int64), states_of(states, self._width), now)
        self._found = ([], [])

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
        if signal.width == 1 and self._state >> signal.bit & 1 != level:
            self._state ^= 1 << signal.bit
            self._found[0].append(now)
            self._found[1].append(self._state)

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


@record(frozen=True, slots=True)
class _Found:
    """What a piece holds.

    Attributes:
        ticks: time stamps with changes; not decreasing.
        states: from each of them on.
        last_tick: the last time stamp.
        last_state: the state in the end.
        unknown: number of ``x`` and ``z``.
        lines: number of line ends.
    """

    ticks: NDArray[np.int64]
    states: NDArray[np.uint64]
    last_tick: int
    last_state: int
    unknown: int
    lines: int


SPACE = np.zeros(256, bool)
SPACE[list(b" \t\n\r\v\f")] = True
LAST_SPACE = ord(" ")
LINE_END = ord("\n")

# What a word is, by its first byte.
LOW, HIGH, NO_LEVEL, STAMP, RARE = range(5)
KINDS = np.full(256, RARE, np.uint8)
KINDS[[head for head, level in LEVELS.items() if level == 0]] = LOW
KINDS[[head for head, level in LEVELS.items() if level == 1]] = HIGH
KINDS[list(UNKNOWN)] = NO_LEVEL
KINDS[HASH] = STAMP

# Identifiers of at most two bytes, as one number: the bit of each, or one of these.
IDENTIFIERS = 1 << 16
UNDECLARED, IGNORED = 255, 254
LONGEST_CHANGE = 3


class _Columns:
    """Reads pieces that hold time stamps and changes of lines, and nothing else."""

    def __init__(self, header: _Header, wanted: int | None) -> None:
        self._bits = np.full(IDENTIFIERS, UNDECLARED, np.uint8)
        for identifier, signal in header.signals.items():
            matters = signal.width == 1 and (wanted is None or wanted >> signal.bit & 1)
            if 1 <= len(identifier) < LONGEST_CHANGE:
                self._bits[int.from_bytes(identifier, "little")] = signal.bit if matters else IGNORED
        self._masks = np.zeros(256, np.uint8 if header.width <= 8 else np.uint64)
        self._masks[: header.width] = [1 << bit for bit in range(header.width)]

    def read(self, text: bytes, tick: int, state: int) -> _Found | None:
        """Read a piece, or give None where it holds anything else.

        Args:
            text: ends behind a word.
            tick: the last time stamp before.
            state: the levels before.
        """
        if not SPACE[text[-1]] or tick > INT64_MAX:
            return None
        window = Window(PAD + text)
        ends, lengths, lines = _words_of(window)
        starts = ends - lengths
        kinds = KINDS.take(window.octets.take(starts))
        changes, stamps = np.flatnonzero(kinds < STAMP), np.flatnonzero(kinds == STAMP)
        if lines is None or changes.size + stamps.size != kinds.size:
            return None
        ticks = window.numbers(ends[stamps], lengths[stamps] - 1)
        bits = self._bits_of(window, starts[changes], lengths[changes])
        if ticks is None or bits is None:
            return None
        ticks = np.concatenate([np.array([tick], np.int64), ticks])
        if (ticks[1:] < ticks[:-1]).any():
            return None
        kinds = kinds[changes]
        high = kinds == HIGH
        # Changes before each stamp: words before it that are no stamps.
        before = np.append(stamps - np.arange(stamps.size), changes.size)
        states = self._toggled(bits, high, before, state)
        if states is None:
            states = _states(
                bits, high, np.repeat(np.arange(ticks.size), np.diff(before, prepend=0)), ticks.size, state
            )
        news = states != np.concatenate([np.array([state], np.uint64), states[:-1]])
        unknown = int(np.count_nonzero(kinds == NO_LEVEL))
        return _Found(ticks[news], states[news], int(ticks[-1]), int(states[-1]), unknown, lines)

    def _toggled(
        self, bits: NDArray[np.uint8], high: NDArray[np.bool_], before: NDArray[np.int64], state: int
    ) -> NDArray[np.uint64] | None:
        """Give the state after each time stamp if every change is one, as it is in most dumps; None if one is not."""
        masks = self._masks.take(bits)
        after = np.bitwise_xor.accumulate(np.concatenate([np.array([state], masks.dtype), masks]))
        if (((after[1:] & masks) != 0) != (high & (masks != 0))).any():
            return None
        return after.take(before).astype(np.uint64)

    def _bits_of(
        self, window: Window, starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.uint8] | None:
        """Give the bit of each change, or None where an identifier is longer or was not declared."""
        if not starts.size:
            return np.empty(0, np.uint8)
        longest = int(lengths.max())
        if longest > LONGEST_CHANGE or int(lengths.min()) < LONGEST_CHANGE - 1:
            return None
        identifiers: NDArray[Any] = window.octets.take(starts + 1)
        if longest == LONGEST_CHANGE:
            second = np.where(lengths == LONGEST_CHANGE, window.octets.take(starts + 2), 0)
            identifiers = identifiers | second.astype(np.uint16) << 8
        bits = self._bits.take(identifiers)
        return None if (bits == UNDECLARED).any() else bits


def _words_of(window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64], int | None]:
    """Give the end and the length of each word, and the number of lines; None where a byte is neither."""
    ends = np.flatnonzero(window.octets[len(PAD) :] <= LAST_SPACE) + len(PAD)
    gaps = window.octets.take(ends)
    lines = int(np.count_nonzero(gaps == LINE_END)) if SPACE.take(gaps).all() else None
    lengths = np.diff(ends, prepend=len(PAD) - 1) - 1
    if not lengths.all():
        some = lengths > 0
        ends, lengths = ends[some], lengths[some]
    return ends, lengths, lines


def _states(
    bits: NDArray[np.uint8], high: NDArray[np.bool_], groups: NDArray[np.int64], count: int, state: int
) -> NDArray[np.uint64]:
    """Give the state after each of ``count`` time stamps, of changes in the groups that follow them."""
    toggles = np.zeros(count, np.uint64)
    for bit in np.flatnonzero(np.bincount(bits, minlength=1)[:WORD_BITS]).tolist():
        mine = np.flatnonzero(bits == bit)
        group, level = groups[mine], high[mine]
        last = np.append(group[1:] != group[:-1], True)
        if not last.all():
            group, level = group[last], level[last]
        before = np.append(bool(state >> bit & 1), level[:-1])
        toggles[group[level != before]] ^= np.uint64(1 << bit)
    toggles[0] ^= np.uint64(state)
    return np.bitwise_xor.accumulate(toggles)
