"""Captures for the benchmarks: status polls at the pins, drawn by whole arrays, as long as one likes.

Synthetic, and nothing else: what a status tells is random, so that no poll is like the one before, and after 32 MiB the
traffic repeats itself, or never does; CLK runs at 500 kHz, and every ack line does what specs/2-link.md asks.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from m43proto.checksum import wire_sum
from m43proto.messages import Status
from m43proto.pins import LINES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "DENSE",
    "IDLE_HEAVY",
    "NEVER_TWICE",
    "RATE_HZ",
    "Traffic",
    "entries",
    "write_csv",
    "write_session",
    "write_vcd",
]

RATE_HZ = 24_000_000
HALF_BIT = 24
ENTRY = 4 << 20
KEPT = 16
"""Entries that are kept for when they come again."""

SEED = 43

_CLK, _DATA, _BODY_ACK, _LENS_ACK, _SLEEP, _FOCUS, _SHUTTER = (line.mask for line in LINES)


@dataclass(frozen=True, slots=True)
class Traffic:
    """How busy the bus is.

    Attributes:
        name: what the report calls it.
        handshake: samples from one edge of the handshake to the next.
        period: samples from poll to poll, or 0 for back to back.
        distinct: entries of about 4 MiB after which the traffic repeats itself.
    """

    name: str
    handshake: int
    period: int
    distinct: int = 8

    def polls(self, rng: np.random.Generator, count: int, first: int) -> NDArray[np.uint8]:
        """Draw some polls, one sample a byte.

        Args:
            rng: source of what the lens says.
            count: how many.
            first: number of the first; FOCUS is toggled at each.
        """
        return np.concatenate([self._poll(rng, number) for number in range(first, first + count)])

    def _poll(self, rng: np.random.Generator, number: int) -> NDArray[np.uint8]:
        data = bytes.fromhex("c2e10000") + rng.bytes(26)
        pen = _Pen(self.handshake, _SLEEP | (_FOCUS if number % 2 and self.period else 0))
        if self.period:
            pen.hold(_SHUTTER, RATE_HZ // 2000)
            pen.wait(RATE_HZ // 1000)
        command = Status.request()
        pen.body(command)
        length = len(data) + 1
        for value in (wire_sum(command), *length.to_bytes(2, "little"), *data, wire_sum(data)):
            pen.lens(value)
        pen.wait(max(self.period - pen.length, self.handshake))
        return pen.samples()


class _Pen:
    """Draws levels as runs."""

    def __init__(self, handshake: int, levels: int) -> None:
        self._handshake = handshake
        self._levels = levels | _CLK
        self._runs: list[tuple[int, int]] = []
        self.length = 0

    def wait(self, samples: int) -> None:
        self._runs.append((self._levels, samples))
        self.length += samples

    def hold(self, mask: int, samples: int) -> None:
        self._levels ^= mask
        self.wait(samples)
        self._levels ^= mask

    def step(self, mask: int) -> None:
        self._levels ^= mask
        self.wait(self._handshake)

    def byte(self, value: int) -> None:
        for place in range(8):
            level = _DATA if value >> place & 1 else 0
            self._levels = self._levels & ~(_CLK | _DATA) | level
            self.wait(HALF_BIT)
            self._levels |= _CLK
            self.wait(HALF_BIT if place < 7 else self._handshake)

    def body(self, values: bytes) -> None:
        self.step(_BODY_ACK)
        self.step(_LENS_ACK)
        for index, value in enumerate(values):
            self.byte(value)
            self.step(_LENS_ACK)
            if index < len(values) - 1:
                self.step(_LENS_ACK)
        self.step(_BODY_ACK)

    def lens(self, value: int) -> None:
        self.step(_LENS_ACK)
        self.step(_BODY_ACK)
        self.byte(value)
        self.step(_BODY_ACK)
        self.step(_LENS_ACK)

    def samples(self) -> NDArray[np.uint8]:
        levels, lengths = zip(*self._runs, strict=True)
        return np.repeat(np.array(levels, np.uint8), lengths)


DENSE = Traffic("dense", handshake=5, period=0)
NEVER_TWICE = Traffic("dense, no poll twice", handshake=5, period=0, distinct=1 << 12)
IDLE_HEAVY = Traffic("idle-heavy", handshake=96, period=RATE_HZ // 60)


def entries(traffic: Traffic, samples: int) -> Iterator[bytes]:
    """Yield the samples of a capture, about 4 MiB at a time; in the end the traffic repeats itself."""
    each = max(ENTRY // len(traffic.polls(np.random.default_rng(SEED), 2, 0)) * 2, 2)
    seeds = np.random.SeedSequence(SEED).spawn(traffic.distinct)

    @lru_cache(maxsize=KEPT)
    def entry(number: int) -> bytes:
        return traffic.polls(np.random.default_rng(seeds[number]), each, each * number).tobytes()

    left = samples
    for number in cycle(range(traffic.distinct)):
        yield entry(number)[:left]
        left -= len(entry(number))
        if left <= 0:
            return


def write_session(path: Path, traffic: Traffic, samples: int) -> None:
    """Write a capture as a sigrok session."""
    names = "".join(f"probe{bit + 1}={line}\n" for bit, line in enumerate(LINES))
    about = f"capturefile=logic-1\ntotal probes={len(LINES)}\nsamplerate={RATE_HZ // 10**6} MHz\ntotal analog=0\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("version", "2")
        archive.writestr("metadata", f"[global]\nsigrok version=0.5.2\n\n[device 1]\n{about}{names}unitsize=1\n")
        for number, entry in enumerate(entries(traffic, samples), 1):
            _write_deflated(archive, f"logic-1-{number}", entry, _deflated(entry))


@lru_cache(maxsize=KEPT)
def _deflated(entry: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(entry) + engine.flush()


def _write_deflated(archive: zipfile.ZipFile, name: str, entry: bytes, deflated: bytes) -> None:
    """Write an entry whose deflated form is at hand: it is stored, and its header then says what it is."""
    info = zipfile.ZipInfo(name)
    archive.writestr(info, deflated)
    info.compress_type, info.file_size, info.CRC = zipfile.ZIP_DEFLATED, len(entry), zlib.crc32(entry)
    stream = archive.fp
    assert stream is not None
    end = stream.tell()
    stream.seek(info.header_offset)
    stream.write(info.FileHeader(zip64=False))
    stream.seek(end)


def _changes(
    traffic: Traffic, samples: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield the samples at which lines change, the states from then on, and what changes."""
    at, last = 0, np.zeros(1, np.uint8)
    for entry in entries(traffic, samples):
        states = np.frombuffer(entry, np.uint8)
        changed = np.concatenate([last ^ states[:1], states[1:] ^ states[:-1]])
        where = np.flatnonzero(changed)
        if at == 0:
            where = np.union1d([0], where)
        yield where + at, states[where], changed[where]
        at, last = at + len(states), states[-1:]


def write_vcd(path: Path, traffic: Traffic, samples: int) -> None:
    """Write a capture as a value change dump in picoseconds."""
    names = "".join(f"$var wire 1 {chr(33 + bit)} {line} $end\n" for bit, line in enumerate(LINES))
    texts = [[f"{state >> bit & 1}{chr(33 + bit)}\n" for bit in range(len(LINES))] for state in range(1 << len(LINES))]
    with path.open("w", encoding="ascii") as stream:
        stream.write(f"$timescale 1 ps $end\n$scope module top $end\n{names}$upscope $end\n$enddefinitions $end\n")
        for where, states, changed in _changes(traffic, samples):
            if where[0] == 0:
                changed[0] = (1 << len(LINES)) - 1
            times = (where * 125_000 + 1) // 3
            rows = zip(times.tolist(), states.tolist(), changed.tolist(), strict=True)
            stream.writelines(
                f"#{t_ps}\n" + "".join(text for bit, text in enumerate(texts[state]) if bits >> bit & 1)
                for t_ps, state, bits in rows
            )
        stream.write(f"#{samples * 125_000 // 3}\n")


def write_csv(path: Path, traffic: Traffic, samples: int) -> None:
    """Write a capture as Saleae Logic 2 exports it."""
    texts = [",".join(str(state >> bit & 1) for bit in range(len(LINES))) for state in range(1 << len(LINES))]
    with path.open("w", encoding="ascii") as stream:
        stream.write(f"Time [s],{','.join(LINES)}\n")
        for where, states, _ in _changes(traffic, samples):
            times = (where / RATE_HZ).tolist()
            stream.writelines(f"{t_s:.9f},{texts[state]}\n" for t_s, state in zip(times, states.tolist(), strict=True))
