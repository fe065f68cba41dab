"""Packed samples to edges: the part that sigrok sessions and raw files share.

Samples come in blocks and are gone with their block; only changes stay. An idle line costs time and no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.times import channel_of, ticks_to_ns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from m43drivers.capture.model import Channel

__all__ = ["MAX_LINES", "MAX_UNIT", "PackedSamples"]

MAX_UNIT = 8
MAX_LINES = 8 * MAX_UNIT

# Numpy has no 3, 5, 6 or 7 byte integers: samples of these sizes are widened block by block.
WIDTHS = {1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}

# Changes kept as (position, toggled bits) before they are dealt out to their lines.
DEAL_AT = 1 << 17


class PackedSamples:
    """Collects the edges of packed samples that are fed block by block.

    Args:
        unit: bytes per sample, 1 to 8, little-endian.
        lines: number of lines; line k is bit k of a sample.
        tick_ns: time between samples in nanoseconds.
    """

    def __init__(self, unit: int, lines: int, tick_ns: Fraction) -> None:
        self._unit = unit
        self._tick_ns = tick_ns
        self._dtype = np.dtype(f"<u{WIDTHS[unit]}")
        self._mask = self._dtype.type((1 << lines) - 1)
        self._position = 0
        self._rest = b""
        self._initial: int = 0
        self._state: Any = None
        self._waiting: list[tuple[NDArray[np.int64], NDArray[Any]]] = []
        self._waiting_size = 0
        self._edges: list[list[NDArray[np.int64]]] = [[] for _ in range(lines)]

    def feed(self, block: bytes) -> None:
        """Take the next bytes of the file, cut anywhere."""
        data = self._rest + block if self._rest else block
        count = len(data) // self._unit
        self._rest = data[count * self._unit :]
        if count:
            self._find_changes(self._as_integers(data, count))
            self._position += count

    def channels(self, labels: Sequence[tuple[str, tuple[str, ...]]]) -> tuple[Channel, ...]:
        """End the feeding and give the lines.

        Args:
            labels: name and aliases of each line, in bit order.
        """
        self._deal()
        return tuple(self._channel(bit, name, aliases) for bit, (name, aliases) in enumerate(labels))

    def _channel(self, bit: int, name: str, aliases: tuple[str, ...]) -> Channel:
        edges = np.concatenate([np.empty(0, np.int64), *self._edges[bit]])
        self._edges[bit].clear()
        return channel_of(name, self._initial >> bit & 1, edges, aliases)

    def _as_integers(self, data: bytes, count: int) -> NDArray[Any]:
        if self._unit == self._dtype.itemsize:
            return np.frombuffer(data, self._dtype, count)
        wide = np.zeros((count, self._dtype.itemsize), np.uint8)
        wide[:, : self._unit] = np.frombuffer(data, np.uint8, count * self._unit).reshape(count, self._unit)
        return wide.view(self._dtype)[:, 0]

    def _find_changes(self, samples: NDArray[Any]) -> None:
        if self._state is None:
            self._state = samples[0]
            self._initial = int(samples[0])
        at = np.flatnonzero(samples[1:] != samples[:-1]) + 1
        if samples[0] != self._state:
            at = np.concatenate([[0], at])
        if at.size:
            self._keep(at, samples[at])

    def _keep(self, at: NDArray[np.int64], states: NDArray[Any]) -> None:
        toggles = states ^ np.concatenate([[self._state], states[:-1]])
        self._state = states[-1]
        self._waiting.append((at + self._position, toggles & self._mask))
        self._waiting_size += at.size
        if self._waiting_size >= DEAL_AT:
            self._deal()

    def _deal(self) -> None:
        if not self._waiting:
            return
        times = ticks_to_ns(np.concatenate([at for at, _ in self._waiting]), self._tick_ns)
        toggles = np.concatenate([bits for _, bits in self._waiting])
        self._waiting.clear()
        self._waiting_size = 0
        toggling = int(np.bitwise_or.reduce(toggles))
        for bit, edges in enumerate(self._edges):
            if toggling >> bit & 1:
                edges.append(times[(toggles & self._dtype.type(1 << bit)) != 0])
