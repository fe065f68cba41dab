"""sigrok-pico, the analyser firmware for RP2040 boards: its answers and its run-length codes. Pure: no port here.

Sources: pico-coder/sigrok-pico (as of af41894) ``SerialProtocol.md`` and the description of its codes in
``pico_sdk_sigrok.c``; libsigrok ``src/hardware/raspberrypi-pico/``.

Samples and repeats are bytes from 48 on. A byte below ends them: ``!`` (the board overflowed) or ``$`` (the end, with
the count of the bytes that were sent, and ``+``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.analyser.changes import ChangeFinder, state_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from m43drivers.analyser.model import Piece

__all__ = ["FIRST_LINE", "NARROW", "Board", "End", "PicoDecoder", "board_of"]

FIRST_LINE = 2
"""The board's own name of its first channel is D2: it listens from GPIO 2 on."""

NARROW = 4
"""Up to so many channels, a byte holds a sample and up to seven repeats of the one before."""

FIRST_DATA = 48
SAMPLE = 0x80
LINES_PER_BYTE = 7
COUNT_WRAPS = 1 << 32

_IDENTITY = re.compile(rb"SRPICO,A(\d\d)\dD(\d\d),(\d\d)")


@dataclass(frozen=True, slots=True)
class Board:
    """What a board says of itself.

    Attributes:
        channels: digital ones.
        version: of its protocol.
    """

    channels: int
    version: str


def board_of(data: bytes) -> Board | None:
    """Read the answer to ``i``; None while there is none."""
    match = _IDENTITY.search(data)
    return None if match is None else Board(int(match[2]), match[3].decode())


class End(Enum):
    """How the samples ended."""

    COUNTED = auto()
    OVERFLOW = auto()
    GARBAGE = auto()


class PicoDecoder:
    """Turns what a board sends into changes, cut anywhere.

    Args:
        channels: how many are on.

    Attributes:
        finder: where changes are found.
        received: bytes of samples and repeats so far.
        end: how they ended, or None.
        counted: how many bytes the board says it has sent, once it said so.
    """

    def __init__(self, channels: int) -> None:
        self.finder = ChangeFinder(channels)
        self.received = 0
        self.end: End | None = None
        self.counted: int | None = None
        self._dtype = state_dtype(channels)
        self._narrow = channels <= NARROW
        self._per_slice = 1 if self._narrow else -(-channels // LINES_PER_BYTE)
        self._rest = b""
        self._last: int | None = None
        self._trailer = b""

    def feed(self, data: bytes) -> Piece | None:
        """Take the next bytes; return what changed, or None where no sample became whole."""
        if self.end is not None:
            self._read_trailer(data)
            return None
        octets = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(octets < FIRST_DATA)
        body = data if not ends.size else data[: ends[0]]
        self.received += len(body)
        piece = self._decoded(body)
        if ends.size and self.end is None:
            self._ended(data[ends[0] : ends[0] + 1])
            self._read_trailer(data[ends[0] + 1 :])
        return piece

    @property
    def count_is_right(self) -> bool | None:
        """Whether as many bytes came as the board says it has sent; None while it has not said so."""
        return None if self.counted is None else self.counted % COUNT_WRAPS == self.received % COUNT_WRAPS

    def _ended(self, mark: bytes) -> None:
        self.end = {b"$": End.COUNTED, b"!": End.OVERFLOW}.get(mark, End.GARBAGE)

    def _read_trailer(self, data: bytes) -> None:
        if self.end is End.COUNTED and self.counted is None:
            self._trailer = (self._trailer + data)[:16]
            match = re.match(rb"(-?\d{1,11})\+", self._trailer)
            self.counted = int(match[1]) if match else None

    def _decoded(self, body: bytes) -> Piece | None:
        whole = self._rest + body
        self._rest = b""
        if not whole:
            return None
        if self._last is None and whole[0] < SAMPLE:
            self.end = End.GARBAGE
            return None
        octets = np.frombuffer(whole, np.uint8)
        return self._narrow_piece(octets) if self._narrow else self._wide_piece(octets)

    def _narrow_piece(self, octets: NDArray[np.uint8]) -> Piece | None:
        """Up to four lines: ``1rrrvvvv`` is ``rrr`` repeats of the value before and one of ``vvvv``."""
        sample = octets >= SAMPLE
        values = octets & 0x0F
        repeats = np.where(sample, (octets >> 4) & 7, (octets.astype(np.int64) - (FIRST_DATA - 1)) * 8)
        if self._last is None:
            repeats[0] = 0
        before, states = self._filled(values, sample)
        runs = np.empty(2 * octets.size, self._dtype)
        counts = np.empty(2 * octets.size, np.int64)
        runs[0::2], counts[0::2] = before, repeats
        runs[1::2], counts[1::2] = states, sample
        return self._runs(runs, counts)

    def _wide_piece(self, octets: NDArray[np.uint8]) -> Piece | None:
        """Five lines and more: slices of seven lines a byte, lowest first, and bytes that repeat the last slice."""
        sample = octets >= SAMPLE
        which = np.cumsum(sample, dtype=np.int64)
        if bool(np.any(which[~sample] % self._per_slice)):
            return self._broken_slice(octets, sample, which)
        whole = int(which[-1]) // self._per_slice * self._per_slice
        at = np.flatnonzero(sample)
        self._rest = octets[at[whole:]].tobytes()
        slices = (octets[at[:whole]] & 0x7F).reshape(-1, self._per_slice).astype(np.uint64)
        shifts = np.arange(self._per_slice, dtype=np.uint64) * np.uint64(LINES_PER_BYTE)
        values = np.zeros(octets.size, self._dtype)
        lasts = at[self._per_slice - 1 : whole : self._per_slice]
        values[lasts] = np.bitwise_or.reduce(slices << shifts, axis=1) if whole else 0
        complete = np.zeros(octets.size, bool)
        complete[lasts] = True
        wide = octets.astype(np.int64)
        repeats = np.where(wide < 80, wide - (FIRST_DATA - 1), (wide - 78) * 32)
        _, states = self._filled(values, complete)
        if self._last is None and not complete.any():
            return None
        return self._runs(states, np.where(sample, complete, repeats))

    def _broken_slice(
        self, octets: NDArray[np.uint8], sample: NDArray[np.bool_], which: NDArray[np.int64]
    ) -> Piece | None:
        """Decode what comes before a repeat in the middle of a slice, and end there: bytes are missing."""
        broken = int(np.flatnonzero(~sample & (which % self._per_slice != 0))[0])
        good = octets[:broken]
        self.end = End.GARBAGE
        piece = self._wide_piece(good) if good.size else None
        self._rest = b""
        return piece

    def _filled(self, values: NDArray[Any], known: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give the value before each byte, and the value from it on."""
        latest = np.maximum.accumulate(np.where(known, np.arange(known.size), -1))
        earlier = np.concatenate([[-1], latest[:-1]])
        last = self._dtype.type(self._last or 0)
        taken = values.astype(self._dtype)
        before = np.where(earlier >= 0, taken[earlier], last)
        states = np.where(latest >= 0, taken[latest], last)
        return before, states

    def _runs(self, states: NDArray[np.unsignedinteger[Any]], counts: NDArray[np.int64]) -> Piece | None:
        self._last = int(states[-1])
        return self.finder.runs(states, np.asarray(counts, np.int64))
