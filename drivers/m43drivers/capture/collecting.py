"""Between the two forms of a capture: a stream is collected into edges, and edges are given as a stream."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.merge import merged_changes
from m43drivers.capture.model import Capture
from m43drivers.capture.rows import Rows
from m43drivers.capture.stream import Block, CaptureStream, Label
from m43drivers.capture.times import channel_of, nearest, ticks_to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["collected", "streamed"]

DEAL_AT = 1 << 17
"""Changes that wait to be dealt out to their lines."""


def collected(stream: CaptureStream) -> Capture:
    """Read a stream to its end and keep every edge."""
    deal = _Deal(stream)
    end = 0
    for block in stream.blocks(None):
        deal.add(block)
        end = block.end
    deal.finish()
    channels = tuple(
        channel_of(label.name, deal.initial >> bit & 1, deal.edges(bit), label.aliases)
        for bit, label in enumerate(stream.labels)
    )
    return Capture(channels, nearest(end * stream.tick_ns), stream.sample_rate_hz, stream.provenance)


class _Deal:
    """Deals changes out to their lines."""

    def __init__(self, stream: CaptureStream) -> None:
        self._tick_ns = stream.tick_ns
        self._edges: list[list[NDArray[np.int64]]] = [[] for _ in stream.labels]
        self._waiting: list[Block] = []
        self._size = 0
        self._state: NDArray[Any] | None = None
        self.initial = 0

    def add(self, block: Block) -> None:
        """Take a block."""
        if block.ticks.size:
            self._waiting.append(block)
            self._size += block.ticks.size
        if self._size >= DEAL_AT:
            self.finish()

    def edges(self, bit: int) -> NDArray[np.int64]:
        """Give the toggle times of a line in nanoseconds, and forget them."""
        edges = np.concatenate([np.empty(0, np.int64), *self._edges[bit]])
        self._edges[bit].clear()
        return edges

    def finish(self) -> None:
        """Deal out what waits."""
        if not self._waiting:
            return
        times = ticks_to_ns(np.concatenate([block.ticks for block in self._waiting]), self._tick_ns)
        states = np.concatenate([block.states for block in self._waiting])
        self._waiting.clear()
        self._size = 0
        if self._state is None:
            self.initial, self._state = int(states[0]), states[:1]
        toggles = states ^ np.concatenate([self._state, states[:-1]])
        self._state = states[-1:]
        toggling = int(np.bitwise_or.reduce(toggles))
        for bit, edges in enumerate(self._edges):
            if toggling >> bit & 1:
                edges.append(times[_has(toggles, bit)])


def _has(states: NDArray[Any], bit: int) -> NDArray[np.bool_]:
    mask = 1 << bit if states.dtype == object else states.dtype.type(1 << bit)
    return np.asarray(states & mask, bool)


def streamed(capture: Capture) -> CaptureStream:
    """Give a capture as a stream of one block, of nanoseconds.

    Raises:
        ValueError: it has more than 64 channels.
    """

    def blocks(wanted: int | None) -> Iterator[Block]:
        times, states = merged_changes(capture.channels)
        rows = Rows(len(capture.channels), wanted)
        yield from rows.add(times, states, int(times[-1]))
        yield from rows.finish(capture.end_ns)

    labels = tuple(Label(one.name, one.aliases) for one in capture.channels)
    return CaptureStream(labels, Fraction(1), capture.sample_rate_hz, capture.provenance, blocks)
