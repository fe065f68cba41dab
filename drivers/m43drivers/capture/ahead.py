"""A second core: what is read and inflated while what came before is decoded."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ahead"]

DEPTH = 8
"""Pieces that wait at most: enough to hide a stall, too few to leave the third level cache."""

ONCE = 4
"""Pieces that are made before a thread is worth its start."""


class _Worker:
    """Runs an iterator in a thread, a few pieces ahead of who takes them."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._made: queue.Queue[bytes | BaseException | None] = queue.Queue(DEPTH)
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)
        self._thread.start()

    def taken(self) -> Iterator[bytes]:
        while (piece := self._made.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def stop(self) -> None:
        self._stopped = True
        while self._thread.is_alive():
            try:
                self._made.get(timeout=0.01)
            except queue.Empty:
                continue

    def _run(self) -> None:
        try:
            for piece in self._pieces:
                if self._stopped:
                    return
                self._made.put(piece)
            self._made.put(None)
        except BaseException as error:
            self._made.put(error)


@contextmanager
def ahead(pieces: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Give the pieces of an iterator that runs ahead in a thread; the thread has ended when the context does.

    The first few come without one: a small file is read before a thread has started.
    """
    workers: list[_Worker] = []

    def taken() -> Iterator[bytes]:
        for count, piece in enumerate(pieces, 1):
            yield piece
            if count == ONCE:
                break
        else:
            return
        workers.append(_Worker(pieces))
        yield from workers[0].taken()

    try:
        yield taken()
    finally:
        for worker in workers:
            worker.stop()
