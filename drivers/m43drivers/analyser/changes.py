"""Samples and runs of samples -> changes, with the levels and the position carried from piece to piece.

Pure: bytes or arrays in, pieces out; cut anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.analyser.model import Piece
from m43drivers.capture.stream import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ChangeFinder", "PackedChanges", "state_dtype"]


def state_dtype(channels: int) -> np.dtype[Any]:
    """Return the smallest unsigned type with a bit for each channel, 1 to 64."""
    return np.dtype(f"<u{next(size for size in (1, 2, 4, 8) if channels <= 8 * size)}")


class ChangeFinder:
    """Finds where the levels change.

    Args:
        channels: how many there are; higher bits of a state are nothing.

    Attributes:
        position: the tick of the next sample.
    """

    def __init__(self, channels: int) -> None:
        self._dtype = state_dtype(channels)
        self._mask = self._dtype.type((1 << channels) - 1)
        self._state: Any = None
        self.position = 0

    def samples(self, states: NDArray[Any]) -> Piece | None:
        """Take the next samples, one state each; return what changed, or None for no samples."""
        if not states.size:
            return None
        masked = states.astype(self._dtype, copy=False) & self._mask
        at = np.flatnonzero(masked[1:] != masked[:-1]) + 1
        if self._state is None or masked[0] != self._state:
            at = np.concatenate([[0], at])
        return self._piece(at.astype(np.int64, copy=False), masked[at], int(masked.size), masked[-1], masked[0])

    def runs(self, states: NDArray[Any], counts: NDArray[np.int64]) -> Piece | None:
        """Take the next samples as runs: a state and how often it was seen, 0 for not at all."""
        seen = counts > 0
        states, counts = states[seen], counts[seen]
        if not states.size:
            return None
        masked = states.astype(self._dtype, copy=False) & self._mask
        ends = np.cumsum(counts, dtype=np.int64)
        changed = np.empty(masked.size, bool)
        changed[0] = self._state is None or masked[0] != self._state
        np.not_equal(masked[1:], masked[:-1], out=changed[1:])
        return self._piece((ends - counts)[changed], masked[changed], int(ends[-1]), masked[-1], masked[0])

    def skip(self, ticks: int) -> None:
        """Go on so many ticks later; nothing is known of what lies between."""
        self.position += ticks

    def _piece(self, at: NDArray[np.int64], states: NDArray[Any], count: int, last: Any, first: Any) -> Piece:
        start = self.position
        before = first if self._state is None else self._state
        self.position += count
        self._state = last
        return Piece(start, int(before), Block(at + start, states, self.position - 1))


class PackedChanges:
    """Finds changes in packed samples of a fixed size, little-endian, that come cut anywhere.

    Args:
        unit: bytes per sample, 1 to 8.
        channels: how many of its bits are channels.
    """

    def __init__(self, unit: int, channels: int) -> None:
        self.finder = ChangeFinder(channels)
        self._unit = unit
        self._wide = np.dtype(f"<u{next(size for size in (1, 2, 4, 8) if unit <= size)}")
        self._rest = b""

    @property
    def odd(self) -> int:
        """Bytes of a sample that has not come whole."""
        return len(self._rest)

    def feed(self, data: bytes) -> Piece | None:
        """Take the next bytes; return what changed, or None where no sample became whole."""
        whole = self._rest + data if self._rest else data
        count = len(whole) // self._unit
        self._rest = whole[count * self._unit :]
        return self.finder.samples(self._states(whole, count))

    def cut(self) -> None:
        """Forget the bytes of a sample that will never be whole."""
        self._rest = b""

    def _states(self, data: bytes, count: int) -> NDArray[Any]:
        if self._unit == self._wide.itemsize:
            return np.frombuffer(data, self._wide, count)
        wide = np.zeros((count, self._wide.itemsize), np.uint8)
        wide[:, : self._unit] = np.frombuffer(data, np.uint8, count * self._unit).reshape(count, self._unit)
        return wide.view(self._wide)[:, 0]
