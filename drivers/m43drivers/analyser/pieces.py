"""A queue of limited size between a thread that must not wait and one that may be slow.

Where a piece has no room it is thrown away, and a notice stands in its place with the exact ticks that are lost.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from m43drivers.analyser.model import Notice, NoticeKind
from m43drivers.capture.stream import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43drivers.analyser.model import Piece

__all__ = ["Item", "PieceQueue"]

Item: TypeAlias = Block | Notice
"""What a taker gets."""

MOST_JOINED = 1 << 17
"""Rows in a block that was joined from those that waited, which is quicker to decode than many."""


class PieceQueue:
    """Pieces and notices between two threads.

    Args:
        capacity: rows that wait at most; notices count nothing.

    Attributes:
        lost_ticks: samples that were thrown away.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # No lock of Python's: an interrupt in the thread of one side, while it held it, would stop the other for ever.
        self._items: SimpleQueue[tuple[Item | None, int]] = SimpleQueue()
        self._put = self._taken = 0
        self._missed: list[int] | None = None
        self._kept: tuple[Item | None] | None = None
        self._over = False
        self._told: Callable[[], object] = lambda: None
        self.lost_ticks = 0

    # the thread that must not wait

    def put(self, item: Piece | Notice) -> None:
        """Append an item, or throw it away where there is no room; never waits."""
        held = self._put - self._taken
        if isinstance(item, Notice):
            self._close_hole()
            self._append(item, 0)
        elif held + item.cost() > self._capacity and held:
            self._miss(item)
        else:
            joined = self._close_hole()
            self._append(item.opening() if joined else item.block, item.cost())
        self._told()

    def end(self) -> None:
        """Say that nothing more will come."""
        self._close_hole(followed=False)
        self._append(None, 0)
        self._told()

    def _append(self, item: Item | None, cost: int) -> None:
        self._put += cost
        self._items.put((item, cost))

    def _miss(self, piece: Piece) -> None:
        self._missed = [self._missed[0] if self._missed else piece.start, piece.block.end + 1]
        self.lost_ticks += piece.block.end + 1 - piece.start

    def _close_hole(self, *, followed: bool = True) -> bool:
        if self._missed is None:
            return False
        begin, end = self._missed
        self._missed = None
        text = f"this program did not keep up: {end - begin} samples are lost"
        self._append(Notice(NoticeKind.OVERRUN, begin, end if followed else None, True, text), 0)
        return True

    # the thread that may be slow

    def take(self, wait_s: float | None) -> Item | None:
        """Return the next item, blocks that wait as one; None when none came in time, or none will come."""
        found = None if self._over else self._next(wait_s)
        if found is None:
            return None
        (item,) = found
        self._over = item is None
        return _joined([item, *self._more_blocks(MOST_JOINED - item.ticks.size)]) if isinstance(item, Block) else item

    def _next(self, wait_s: float | None) -> tuple[Item | None] | None:
        """Return what is next, which may be the end; None where nothing came in time."""
        kept, self._kept = self._kept, None
        if kept is not None:
            return kept
        try:
            item, cost = self._items.get(timeout=wait_s)
        except Empty:
            return None
        self._taken += cost
        return (item,)

    def _more_blocks(self, rows: int) -> Iterator[Block]:
        """Yield the blocks that wait, as long as their rows have room; what comes behind them is kept."""
        while (found := self._next(0)) is not None:
            (item,) = found
            if not isinstance(item, Block) or item.ticks.size > rows:
                self._kept = found
                return
            rows -= item.ticks.size
            yield item

    def tell(self, told: Callable[[], object]) -> None:
        """Have a function called whenever there is news; in the thread that brings it."""
        self._told = told

    @property
    def over(self) -> bool:
        """Whether all was taken and nothing more will come."""
        return self._over


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    ticks, states = (
        np.concatenate(columns) for columns in zip(*((one.ticks, one.states) for one in blocks), strict=True)
    )
    return Block(ticks, states, blocks[-1].end)
