"""DSView sessions ``.dsl`` of version 3: a zip of a ``header`` key file and a folder of packed bits per line.

Sources of the rules: DSView ``storesession.cpp`` and ``session_driver.c``; and a real session, whose SPI and I2C only
decode with the first sample in the lowest bit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.archive import Archive
from m43drivers.capture.common import Meter, Options, distinct_labels, one_line, shown
from m43drivers.capture.merge import MAX_CHANNELS
from m43drivers.capture.model import CaptureError, Provenance
from m43drivers.capture.stream import CaptureStream, Label
from m43drivers.capture.times import last_sample_ns, period_ns
from m43drivers.capture.toggles import Line, Toggles, merged_blocks
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from m43drivers.capture.input import Input
    from m43drivers.capture.stream import Block

__all__ = ["BLOCK_SAMPLES", "HEADER", "open_session"]

HEADER = "header"
VERSION = "3"
LOGIC = "0"
BLOCK_SAMPLES = 1 << 24
"""Samples of a line in an entry; the last entry has less."""

KEY = re.compile(r"([\w ]{1,40}?)\s*=\s*(.*)")
RATE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([kMG]?)Hz")
PREFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
MEMBER = re.compile(r"L-(\d{1,3})/0")
TOLD = ("driver", "samplerate", "trigger pos")


@record(frozen=True, slots=True)
class _Session:
    """What ``header`` says of the samples; the entries of the lines by their numbers."""

    samples: int
    rate: Fraction
    numbers: tuple[int, ...]
    keys: Mapping[str, str]


def open_session(source: Input, options: Options) -> CaptureStream:
    """Open a DSView session of a logic analyser.

    Args:
        source: one file.
        options: ``rate_hz`` wins over the rate in the file.

    Raises:
        CaptureError: the session is damaged, of another version, or of an oscilloscope. The stream raises it for
            samples.
    """
    with Archive(source.path) as archive:
        session = _session(source.path, archive, options)
        total = sum(archive.size(name) for number in session.numbers for name in _members(session, number))
    last_sample_ns(source.path, session.samples, period_ns(session.rate))

    def blocks(wanted: int | None) -> Iterator[Block]:
        with Archive(source.path) as archive:
            counter = _Counter(Meter(options.progress, total))
            lines = [_line(archive, session, number, counter.add) for number in session.numbers]
            yield from merged_blocks(lines, session.samples - 1, wanted)

    names = (session.keys.get(f"probe{number}") or str(number) for number in session.numbers)
    wishes = ((one_line(name), (f"D{n}", str(n))) for name, n in zip(names, session.numbers, strict=True))
    labels = tuple(Label(*label) for label in distinct_labels(wishes))
    details = {key: one_line(session.keys[key]) for key in TOLD if key in session.keys}
    provenance = Provenance(str(source.path), "dsview", details)
    return CaptureStream(labels, period_ns(session.rate), float(session.rate), provenance, blocks)


@dataclass(slots=True)
class _Counter:
    """Adds up what was read of all lines."""

    meter: Meter
    done: int = 0

    def add(self, size: int) -> None:
        self.done += size
        self.meter.at(self.done)


def _session(path: Path, archive: Archive, options: Options) -> _Session:
    keys = _keys(archive.text(HEADER))
    if keys.get("version") != VERSION:
        found = shown(keys.get("version", ""))
        raise _bad(path, "version", f"expected DSView session version {VERSION}, found {found}; export it as .vcd")
    if keys.get("device mode") != LOGIC:
        raise _bad(path, "device mode", "no session of a logic analyser; export digital lines from DSView")
    samples, text = keys.get("total samples", ""), keys.get("samplerate", "")
    if not re.fullmatch(r"\d{1,18}", samples):
        raise _bad(path, "total samples", f"expected a number, found {shown(samples)}; save the session again")
    match = RATE.fullmatch(text)
    rate = options.rate_hz or (Fraction(match[1]) * PREFIXES[match[2]] if match else 0)
    if not rate:
        expected = f"expected a rate like '25 MHz', found {shown(text)}; give it with --rate (rate_hz)"
        raise _bad(path, "samplerate", expected)
    session = _Session(int(samples), Fraction(rate), _numbers(path, archive), keys)
    _check(path, archive, session)
    return session


def _numbers(path: Path, archive: Archive) -> tuple[int, ...]:
    found = sorted(int(match[1]) for match in map(MEMBER.fullmatch, archive.names) if match)
    if not 1 <= len(found) <= MAX_CHANNELS:
        raise CaptureError(
            path, f"expected 1 to {MAX_CHANNELS} lines (L-0/0 and on), found {len(found)}; save it again"
        )
    return tuple(found)


def _members(session: _Session, number: int) -> list[str]:
    return [f"L-{number}/{block}" for block in range(-(-session.samples // BLOCK_SAMPLES))]


def _check(path: Path, archive: Archive, session: _Session) -> None:
    """See that every entry is there and long enough; what is missing would shift in time."""
    blocks = -(-session.samples // BLOCK_SAMPLES)
    if blocks > len(archive.names):
        raise _bad(path, "total samples", f"{session.samples} samples are not in the file; it is cut, save it again")
    for number in session.numbers:
        for block, name in enumerate(_members(session, number)):
            wanted = -(-min(BLOCK_SAMPLES, session.samples - block * BLOCK_SAMPLES) // 8)
            if name not in archive.names or archive.size(name) < wanted:
                raise CaptureError(
                    path, f"expected {wanted} bytes; the file is cut, save it again", where=f"entry {name}"
                )


def _keys(text: str) -> dict[str, str]:
    return {match[1]: match[2] for match in map(KEY.fullmatch, map(str.strip, text.splitlines())) if match}


def _bad(path: Path, key: str, expected: str) -> CaptureError:
    return CaptureError(path, f"{key}: {expected}", where=f"entry {HEADER}")


def _line(archive: Archive, session: _Session, number: int, told: Callable[[int], None]) -> Line:
    stretches = _stretches(archive, session, number, told)
    first = next(stretches)
    return Line(first.ticks.size & 1, stretches)


def _stretches(archive: Archive, session: _Session, number: int, told: Callable[[int], None]) -> Iterator[Toggles]:
    """Yield the toggles; the first stretch has one where the line begins high."""
    before, first = np.zeros(1, np.uint8), True
    for block, name in enumerate(_members(session, number)):
        position = block * BLOCK_SAMPLES
        for piece in filter(None, archive.stream(name)):
            octets = np.frombuffer(piece, np.uint8)
            if first:
                yield Toggles(np.zeros(int(octets[0]) & 1, np.int64), 0)
            ticks = _toggles(octets, before) + position
            yield Toggles(ticks[1:] if first and octets[0] & 1 else ticks, position + 8 * octets.size - 1)
            position, before, first = position + 8 * octets.size, octets[-1:], False
            told(octets.size)


def _toggles(octets: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Give the bits that differ from the one before, the lowest bit of a byte first."""
    shifted = octets << 1 | np.concatenate([before, octets[:-1]]) >> 7
    turned = (octets ^ shifted).astype(np.uint8)
    some = np.flatnonzero(turned)
    rows, bits = np.nonzero(np.unpackbits(turned[some], bitorder="little").reshape(-1, 8))
    return some[rows] * 8 + bits
