"""A live source as a stream: a thread that reads, a queue of limited size, and whoever takes from it.

An analyser does not wait. So the thread never does either: when the queue is full, a block is thrown away and counted,
and the reader finds an `OVERRUN` notice in its place with the exact ticks that it lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.analyser.model import Notice
from m43drivers.analyser.pieces import Item, PieceQueue
from m43drivers.capture.stream import Block, CaptureStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from fractions import Fraction
    from types import TracebackType

    from m43drivers.analyser.model import Piece
    from m43drivers.capture.model import Provenance
    from m43drivers.capture.stream import Label

__all__ = ["CAPACITY", "CLOSE_S", "LiveStream", "Reader"]

CAPACITY = 4_000_000
"""Rows that the queue holds at most: some 40 MB, and four seconds of the densest traffic that eight lines can carry."""

MOST_NOTICES = 1000

IDLE_S = 0.1

CLOSE_S = 2.0
"""How long closing may take."""


class Reader(ABC):
    """Reads one source; all methods but `close` are called in one thread, and none blocks for longer than 0.1 s.

    Attributes:
        labels: the channels; the k-th is bit k of a state.
        tick_ns: time between two samples in nanoseconds.
        sample_rate_hz: the same as a rate.
        provenance: what it is.
        ended: whether there is no more to read.
    """

    ended = False
    labels: tuple[Label, ...]
    tick_ns: Fraction
    sample_rate_hz: float
    provenance: Provenance

    @abstractmethod
    def start(self) -> None:
        """Begin to record.

        Raises:
            AnalyserError: the analyser does not begin.
        """

    @abstractmethod
    def read(self) -> Iterable[Piece | Notice]:
        """Wait for what comes next, for a tenth of a second at most; it may be nothing."""

    @abstractmethod
    def finish(self) -> Iterable[Piece | Notice]:
        """Stop recording, and return what was still under way; in less than a second."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the analyser; may be called again."""


class LiveStream:
    """What an analyser sees, as long as it runs; a context manager that closes it.

    For one taker: either `items`, or `items_async`, or the blocks of `capture`. A tick that no block speaks of is in a
    notice.

    Args:
        reader: the source, which begins at once.
        capacity: rows that wait for the taker at most.

    Raises:
        AnalyserError: the source does not begin.

    Attributes:
        notices: the last notices that were taken, `MOST_NOTICES` at most.
    """

    def __init__(self, reader: Reader, *, capacity: int = CAPACITY) -> None:
        self._reader = reader
        self._queue = PieceQueue(capacity)
        self._stopping = threading.Event()
        self.notices: deque[Notice] = deque(maxlen=MOST_NOTICES)
        self._defect: Exception | None = None
        try:
            reader.start()
        except BaseException:
            reader.close()
            raise
        self._thread = threading.Thread(target=self._run, name="m43 analyser", daemon=True)
        self._thread.start()

    def __enter__(self) -> LiveStream:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def capture(self) -> CaptureStream:
        """The stream on the seam of all captures; what it cannot say stands in `notices`."""
        reader = self._reader
        return CaptureStream(
            reader.labels, reader.tick_ns, reader.sample_rate_hz, reader.provenance, self._blocks, again=False
        )

    @property
    def lost_ticks(self) -> int:
        """Samples that were thrown away because the taker did not keep up."""
        return self._queue.lost_ticks

    def items(self, mask: int | None = None, idle: Callable[[], object] | None = None) -> Iterator[Item]:
        """Yield blocks and notices until the source ends, or until what came before `stop` is told.

        Args:
            mask: of the channels that matter, None for all.
            idle: called whenever nothing has come for `IDLE_S`.
        """
        masked = _Masked(mask)
        while not self._queue.over:
            item = self._queue.take(None if idle is None else IDLE_S)
            if item is not None:
                yield self._noted(masked(item))
            elif idle is not None and not self._queue.over:
                idle()
        self._raise_defect()

    async def items_async(self, mask: int | None = None) -> AsyncIterator[Item]:
        """Yield the same without blocking the event loop.

        Args:
            mask: of the channels that matter, None for all.
        """
        masked, news = _Masked(mask), asyncio.Event()
        loop = asyncio.get_running_loop()

        def wake() -> None:
            """Called in the reader's thread, perhaps when the loop is closed already."""
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(news.set)

        self._queue.tell(wake)
        try:
            while not self._queue.over:
                news.clear()
                while (item := self._queue.take(0)) is not None:
                    yield self._noted(masked(item))
                if not self._queue.over:
                    await news.wait()
        finally:
            self._queue.tell(lambda: None)
        self._raise_defect()

    def stop(self) -> None:
        """Have the source end; what it has recorded still comes. Returns at once, may be called from any thread."""
        self._stopping.set()

    def close(self, limit_s: float = CLOSE_S) -> bool:
        """Stop, and let go of the analyser.

        Args:
            limit_s: how long to wait for a driver that does not return.

        Returns:
            whether everything ended in time; when not, a thread is left behind that cannot be ended.
        """
        self._stopping.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _blocks(self, mask: int | None) -> Iterator[Block]:
        return (item for item in self.items(mask) if isinstance(item, Block))

    def _raise_defect(self) -> None:
        """Raise in the taker's thread what no reader should raise."""
        if self._defect is not None:
            raise self._defect

    def _noted(self, item: Item) -> Item:
        if isinstance(item, Notice):
            self.notices.append(item)
        return item

    # in the thread

    def _run(self) -> None:
        try:
            while not (self._stopping.is_set() or self._reader.ended):
                self._put_all(self._reader.read())
            if not self._reader.ended:
                self._put_all(self._reader.finish())
        except Exception as defect:
            self._defect = defect
        finally:
            self._reader.close()
            self._queue.end()

    def _put_all(self, items: Iterable[Piece | Notice]) -> None:
        for item in items:
            self._queue.put(item)


class _Masked:
    """Leaves channels out of blocks, and rows in which nothing else changes."""

    def __init__(self, mask: int | None) -> None:
        self._mask = mask
        self._last: int | None = None

    def __call__(self, item: Item) -> Item:
        if self._mask is None or isinstance(item, Notice) or not item.ticks.size:
            return item
        dtype: Any = item.states.dtype
        states = item.states & dtype.type(self._mask & int(np.iinfo(dtype).max))
        kept = np.empty(states.size, bool)
        kept[0] = self._last is None or int(states[0]) != self._last
        np.not_equal(states[1:], states[:-1], out=kept[1:])
        self._last = int(states[-1])
        return Block(item.ticks[kept], states[kept], item.end)
