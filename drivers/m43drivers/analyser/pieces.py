"""A queue of limited size between a thread that must not wait and one that may be slow.

Where a piece has no room it is thrown away, and a notice stands in its place with the exact ticks that are lost.
"""

from __future__ import annotations

import threading
from collections import deque
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
        self._news = threading.Condition()
        self._items: deque[tuple[Item, int]] = deque()
        self._held = 0
        self._missed: list[int] | None = None
        self._ended = False
        self._told: Callable[[], object] = lambda: None
        self.lost_ticks = 0

    def put(self, item: Piece | Notice) -> None:
        """Append an item, or throw it away where there is no room; never waits."""
        with self._news:
            if isinstance(item, Notice):
                self._close_hole()
                self._append(item, 0)
            elif self._held + item.cost() > self._capacity and self._held:
                self._miss(item)
            else:
                joined = self._close_hole()
                self._append(item.opening() if joined else item.block, item.cost())
        self._told()

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._news:
            self._close_hole(followed=False)
            self._ended = True
            self._news.notify_all()
        self._told()

    def take(self, wait_s: float | None) -> Item | None:
        """Return the next item, blocks that wait as one; None when none came in time, or none will come."""
        with self._news:
            self._news.wait_for(lambda: self._items or self._ended, wait_s)
            if not self._items:
                return None
            item = self._pop()
            if isinstance(item, Notice):
                return item
            blocks = [item, *self._more_blocks(MOST_JOINED - item.ticks.size)]
        return _joined(blocks)

    def _pop(self) -> Item:
        item, cost = self._items.popleft()
        self._held -= cost
        return item

    def _more_blocks(self, rows: int) -> Iterator[Block]:
        while self._items and isinstance(block := self._items[0][0], Block) and block.ticks.size <= rows:
            rows -= block.ticks.size
            self._pop()
            yield block

    def tell(self, told: Callable[[], object]) -> None:
        """Have a function called whenever there is news; in the thread that brings it."""
        self._told = told

    @property
    def over(self) -> bool:
        """Whether all was taken and nothing more will come."""
        with self._news:
            return self._ended and not self._items

    def _append(self, item: Item, cost: int) -> None:
        self._items.append((item, cost))
        self._held += cost
        self._news.notify_all()

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


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    ticks, states = (
        np.concatenate(columns) for columns in zip(*((one.ticks, one.states) for one in blocks), strict=True)
    )
    return Block(ticks, states, blocks[-1].end)
