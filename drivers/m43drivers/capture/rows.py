"""Rows of a table or a dump, which repeat times and say nothing new, as the blocks of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.capture.stream import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    States = NDArray[Any]
    Ticks = NDArray[np.int64]

__all__ = ["WORD_BITS", "Rows", "gathered", "states_of"]

WORD_BITS = 64
"""Lines that fit the widest integer of numpy; more of them are integers of Python in an array of objects."""


ENOUGH = 1 << 16
"""Changes that make a block: enough that what a block costs beside its rows does not count."""


def states_of(values: list[int], width: int) -> States:
    """Give states as an array that holds ``width`` lines."""
    return np.array(values, np.uint64 if width <= WORD_BITS else object)


class Rows:
    """Makes blocks of rows: the last one of a tick counts, and one that changes nothing is none.

    A row is held back until a later tick is seen. Before the first row all lines are 0.

    Args:
        width: number of lines.
        wanted: mask of the lines that matter, None for all.
    """

    def __init__(self, width: int, wanted: int | None) -> None:
        self._all = wanted is None
        self._wanted = states_of([(1 << width) - 1 if wanted is None else wanted & (1 << width) - 1], width)
        self._held = states_of([0], width)
        self._now = np.zeros(1, np.int64)
        self._given: States = self._held[:0]

    def add(self, ticks: Ticks, states: States, now: int) -> Iterator[Block]:
        """Take rows and yield the block before ``now``, if time has passed.

        Args:
            ticks: from the last ``now`` on, not decreasing.
            states: from each of them on.
            now: a tick that is not before any of them; more rows may come at it.
        """
        kept = states.astype(self._held.dtype, copy=False)
        if not self._all:
            kept = kept & self._wanted
        last = kept[-1:] if kept.size else self._held
        at, kept = np.concatenate([self._now, ticks]), np.concatenate([self._held, kept])
        whole = np.append(at[1:] != at[:-1], at[-1] != now)
        passed = now > int(self._now[0])
        self._now, self._held = np.array([now], np.int64), last
        if passed:
            yield self._block(at[whole], kept[whole], now - 1)

    def finish(self, end: int) -> Iterator[Block]:
        """Yield the last block, which ends at ``end``, the last ``now`` or later."""
        yield self._block(self._now, self._held, end)

    def _block(self, ticks: Ticks, states: States, end: int) -> Block:
        before = np.concatenate([self._given, states[:-1]]) if self._given.size else states[:-1]
        news = states[states.size - before.size :] != before
        if not self._given.size:
            news = np.append(True, news)[: states.size]
        states = states[news]
        self._given = states[-1:] if states.size else self._given
        return Block(ticks[news], states, end)


def gathered(blocks: Iterable[Block]) -> Iterator[Block]:
    """Join small blocks, where nobody waits for them."""
    held: list[Block] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += block.ticks.size
        if size >= ENOUGH:
            yield _joined(held)
            held, size = [], 0
    if held:
        yield _joined(held)


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    ticks = np.concatenate([block.ticks for block in blocks])
    return Block(ticks, np.concatenate([block.states for block in blocks]), blocks[-1].end)
