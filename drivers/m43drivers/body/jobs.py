"""Work for the one task that talks to the lens: ordered by urgency, each with a future for whoever waits."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Job", "Jobs", "Urgency"]


class Urgency(IntEnum):
    """What goes first."""

    POWER = 0
    STOP = 1
    REPAIR = 2
    COMMAND = 3
    SCHEDULE = 4


@dataclass(order=True, slots=True)
class Job:
    """One piece of work.

    Attributes:
        urgency: what goes first.
        number: what was asked first goes first among equals.
        run: does it.
        done: what came of it, for whoever waits; cancelled when nobody does.
    """

    urgency: Urgency
    number: int
    run: Callable[[], Awaitable[Any]] = field(compare=False)
    done: asyncio.Future[Any] = field(compare=False)

    def succeed(self, result: object) -> None:
        """Give whoever waits the result."""
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        """Give whoever waits an error; nobody needs to."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()


class Jobs:
    """A queue of jobs; the most urgent comes out first, and one that nobody waits for any more not at all."""

    def __init__(self) -> None:
        self._heap: list[Job] = []
        self._count = 0
        self._news = asyncio.Event()

    def add(self, urgency: Urgency, run: Callable[[], Awaitable[Any]]) -> asyncio.Future[Any]:
        """Add a job; return the future of its result."""
        done = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, Job(urgency, self._count, run, done))
        self._count += 1
        self._news.set()
        return done

    async def next(self) -> Job:
        """Wait for a job."""
        while True:
            while self._heap:
                job = heapq.heappop(self._heap)
                if not job.done.done():
                    return job
            self._news.clear()
            await self._news.wait()

    def fail(self, error: Callable[[], Exception]) -> None:
        """Fail every job that waits, each with an error of its own."""
        for job in self._heap:
            job.fail(error())
        self._heap.clear()
