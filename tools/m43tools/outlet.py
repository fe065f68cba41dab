"""Output that never waits: a thread writes, and what it does not keep up with is for the caller to leave out.

A line is written whole or not at all: to a pipe or a terminal in pieces of whole lines, each no longer than what a pipe
takes at once.
"""

from __future__ import annotations

import io
import os
import select
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

__all__ = ["MOST_WAITING", "Outlet"]

MOST_WAITING = 1 << 21
"""Characters that wait for a slow terminal before it is full."""

AT_ONCE = 4096


class Outlet:
    """Writes to a stream in a thread of its own.

    Args:
        target: where to.
        most: characters that wait before it is `full`; what is written all the same waits, too.

    Attributes:
        encoding: of the target.
        error: why nothing can be written any more, or None.
    """

    def __init__(self, target: TextIO, most: int = MOST_WAITING) -> None:
        self.encoding = target.encoding
        self.error: OSError | None = None
        self._target = target
        self._descriptor = _descriptor_of(target)
        self._most = most
        self._news = threading.Condition()
        self._texts: deque[str] = deque()
        self._waiting = 0
        self._ending = False
        self._given_up = False
        self._lines_of_first = 0
        target.flush()
        self._thread = threading.Thread(target=self._run, name="m43 output", daemon=True)
        self._thread.start()

    def isatty(self) -> bool:
        """Tell whether the target is a terminal."""
        return self._target.isatty()

    @property
    def full(self) -> bool:
        """Whether so much waits that rows should be left out."""
        return self._waiting >= self._most

    @property
    def roomy(self) -> bool:
        """Whether so little waits that rows may be written again."""
        return self._waiting <= self._most // 2

    def write(self, text: str) -> int:
        """Have whole lines written; never waits."""
        with self._news:
            self._texts.append(text)
            self._waiting += len(text)
            self._news.notify()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Have whole lines written; never waits."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Do nothing: what was given is written as soon as it can be."""

    def close(self, limit_s: float) -> int:
        """Write what waits, as far as there is time; return how many lines were left out. May be called again."""
        with self._news:
            self._ending = True
            self._news.notify()
        if not self._given_up:
            self._thread.join(limit_s)
        self._given_up = True
        with self._news:
            return sum(text.count("\n") for text in self._texts) - self._lines_of_first

    def _run(self) -> None:
        try:
            while (text := self._next()) is not None:
                self._write(text)
                with self._news:
                    self._waiting -= len(text)
                    self._texts.popleft()
                    self._lines_of_first = 0
        except OSError as error:
            self.error = error

    def _next(self) -> str | None:
        with self._news:
            self._news.wait_for(lambda: self._texts or self._ending)
            return self._texts[0] if self._texts and not self._given_up else None

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self._target.write(text)
            self._target.flush()
            return
        for piece in _pieces(text.encode(self.encoding or "utf-8", "replace")):
            if not self._written(self._descriptor, piece):
                return
            self._lines_of_first += piece.count(b"\n")

    def _written(self, descriptor: int, data: bytes) -> bool:
        """Write bytes, if the target takes them before the end is given up."""
        while data:
            select.select([], [descriptor], [])
            if self._given_up:
                return False
            data = data[os.write(descriptor, data) :]
        return True


def _descriptor_of(target: TextIO) -> int | None:
    """Return the descriptor of a stream that may keep its writer waiting, or None where it does not matter."""
    if os.name != "posix":
        return None
    try:
        descriptor = target.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return None
    return None if os.path.isfile(descriptor) else descriptor


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yield pieces of whole lines; a line that is longer than what is written at once is a piece of its own."""
    begin = 0
    while begin < len(data):
        end = data.rfind(b"\n", begin, begin + AT_ONCE) + 1 or data.find(b"\n", begin) + 1 or len(data)
        yield data[begin:end]
        begin = end
