"""What the driver knows of a lens at a moment, and streams of that for slow and quick consumers."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from m43proto.messages import Status

__all__ = ["BoundedStream", "LensStatus"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LensStatus:
    """What a lens reported, or what a person said of a lens that reports nothing.

    Attributes:
        t_ns: when the poll ended, on the transport's clock; for a lens that reports nothing, when it was said.
        aperture_f: effective aperture, f-number (inferred; specs/5-messages.md §5.4.1).
        focus_position: counts of the focus motor (inferred).
        focus_distance_m: distance that is in focus, metres; infinity for infinity (inferred).
        zoom_step: step of the zoom ring, 0 is wide (inferred).
        focal_length_mm: focal length, when a person has said it; no public message tells it.
        message: the status message as it came, or None.
    """

    t_ns: int
    aperture_f: float | None = None
    focus_position: int | None = None
    focus_distance_m: float | None = None
    zoom_step: int | None = None
    focal_length_mm: float | None = None
    message: Status | None = None

    @classmethod
    def of(cls, message: Status, t_ns: int) -> LensStatus:
        """Return what a status message says."""
        return cls(
            t_ns,
            message.aperture_f,
            message.focus_position,
            message.focus_distance_m,
            message.zoom_step,
            message=message,
        )


class BoundedStream(Generic[T]):
    """An asynchronous iterator over what is put into it; when its reader is too slow, the oldest goes.

    Args:
        size: how many items it holds.

    Attributes:
        dropped: how many items the reader has missed.
    """

    def __init__(self, size: int) -> None:
        self.dropped = 0
        self._items: deque[T] = deque()
        self._size = size
        self._news = asyncio.Event()
        self._error: BaseException | None = None
        self._ended = False

    def put(self, item: T) -> None:
        """Add an item; behind the end of the stream, nothing is added."""
        if self._ended:
            return
        if len(self._items) == self._size:
            self._items.popleft()
            self.dropped += 1
        self._items.append(item)
        self._news.set()

    def end(self, error: BaseException | None = None) -> None:
        """End the stream behind what it holds: quietly, or with an error."""
        if not self._ended:
            self._ended, self._error = True, error
            self._news.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will be put into it."""
        return self._ended

    def __aiter__(self) -> BoundedStream[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration if self._error is None else self._error.with_traceback(None)
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()
