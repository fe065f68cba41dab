"""A second core: what is read and inflated while what came before is decoded."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ahead"]

_T = TypeVar("_T")

DEPTH = 4
"""Things that wait at most: enough to hide a stall, few enough that memory stays flat."""


class _Worker(Generic[_T]):
    """Runs an iterator in a thread, a few things ahead of who takes them."""

    def __init__(self, things: Iterator[_T]) -> None:
        self._things = things
        self._made: queue.Queue[_T | BaseException | None] = queue.Queue(DEPTH)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)
        self._thread.start()

    def taken(self) -> Iterator[_T]:
        while (thing := self._made.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing

    def stop(self) -> None:
        self._stopped = True
        while self._thread.is_alive():
            try:
                self._made.get(timeout=0.01)
            except queue.Empty:
                continue

    def _run(self) -> None:
        try:
            for thing in self._things:
                if self._stopped:
                    return
                self._made.put(thing)
            self._made.put(None)
        except BaseException as error:
            self._made.put(error)


@contextmanager
def ahead(things: Iterator[_T]) -> Iterator[Iterator[_T]]:
    """Give what an iterator gives, which runs ahead in a thread; the thread has ended when the context does.

    The first comes without one: what is small is read before a thread has started.
    """
    workers: list[_Worker[_T]] = []

    def taken() -> Iterator[_T]:
        for first in things:
            yield first
            workers.append(_Worker(things))
            yield from workers[0].taken()

    try:
        yield taken()
    finally:
        for worker in workers:
            worker.stop()
