"""Bursts -> whole transactions: where each ends, for all at once (specs/3-framing.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from m43drivers.bulk.columns import LENGTH_AT, SHAPE_CODES
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, SHAPES, Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from m43proto.catalogue import Catalogue

__all__ = ["INCOMPLETE", "MISFIT", "Chain", "ends_of", "shape_table"]

MISFIT, INCOMPLETE = -1, -2
"""Instead of an end: no whole transaction begins here; one may begin here, but its end has not come."""

NO_SHAPE = len(SHAPE_CODES)
_SET, _READ, _WRITE = (SHAPE_CODES.index(shape) for shape in (Shape.SET, Shape.READ, Shape.WRITE))


def shape_table(catalogue: Catalogue) -> NDArray[np.uint8]:
    """Return the number of the shape of every opcode: what a catalogue says, else what the first nibble announces."""
    table = np.full(1 << 16, NO_SHAPE, np.uint8)
    for row in SHAPES.values():
        table[row.nibble << 12 : (row.nibble + 1) << 12] = SHAPE_CODES.index(row.shape)
    for kind in catalogue:
        table[int.from_bytes(kind.spec.opcode, "big")] = SHAPE_CODES.index(kind.spec.shape)
    return table


def ends_of(
    sizes: NDArray[np.int64], starts: NDArray[np.int64], values: NDArray[np.uint8], shapes: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Tell for every burst whether a whole transaction begins with it, and which burst follows that.

    Args:
        sizes: bytes of each burst.
        starts: index of its first byte.
        values: the bytes.
        shapes: what `shape_table` gives.

    Returns:
        for each burst the number of the burst behind the transaction, or `MISFIT`, or `INCOMPLETE`.
    """
    count = len(sizes)
    ends = np.full(count, MISFIT, np.int64)
    commands = np.flatnonzero(sizes == COMMAND_SIZE)
    if not commands.size:
        return ends
    padded = np.concatenate([sizes, np.zeros(COMMAND_SIZE, np.int64)])
    octets = np.concatenate([values, np.zeros(LENGTH_AT + LENGTH_SIZE, np.uint8)])
    at = starts[commands]
    shape = shapes[octets[at].astype(np.int64) << 8 | octets[at + 1]]
    length = octets[at + LENGTH_AT] | octets[at + LENGTH_AT + 1].astype(np.int64) << 8
    lone_before = np.concatenate([[0], np.cumsum(sizes == 1)])

    reads, writes = shape == _READ, shape == _WRITE
    blocks = reads | writes
    behind = commands + 2 + LENGTH_SIZE * blocks + length * reads
    inside = np.minimum(behind, count)
    lens_turns = inside - commands - 1 - writes
    lens_bytes = lone_before[inside] - lone_before[np.minimum(commands + 1, count)]
    block_fits = ~writes | (padded[commands + 2] == length + LENGTH_SIZE - 1)
    fits = (lens_bytes == lens_turns) & block_fits & (padded[commands + 1] == 1) & (~blocks | (length > 0))
    known = blocks | (shape == _SET)
    cut = (behind > count) & (fits | writes) | blocks & (commands + 2 + LENGTH_SIZE > count)
    ends[commands] = np.where(known & fits & ~cut, behind, MISFIT)
    ends[commands[known & cut]] = INCOMPLETE
    return ends


class Chain:
    """Transactions that follow each other burst by burst."""

    def __init__(self, ends: NDArray[np.int64]) -> None:
        self._ends = ends.tolist()

    def from_burst(self, at: int, stop: int) -> tuple[list[int], int]:
        """Return the first bursts of the transactions from a burst on, and the burst behind the last of them.

        Args:
            at: where the first of them begins.
            stop: the burst at which the run ends.
        """
        ends, starts = self._ends, []
        while at < stop and at < ends[at] <= stop:
            starts.append(at)
            at = ends[at]
        return starts, at

    def is_incomplete(self, at: int) -> bool:
        """Tell whether a transaction begins with a burst, whose end has not come."""
        return bool(self._ends[at] == INCOMPLETE)
