"""Output that never waits: a thread writes, and what it does not keep up with is for the caller to leave out.

A line is written whole or not at all: to a pipe or a terminal in pieces of whole lines, each no longer than what a pipe
takes at once. So is what the caller of a binary format writes at once.
"""

from __future__ import annotations

import io
import os
import select
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import IO, TYPE_CHECKING, AnyStr, BinaryIO, Generic, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MOST_WAITING", "BinaryOutlet", "Outlet", "TextOutlet"]

MOST_WAITING = 1 << 21
"""Characters or bytes that wait for a slow reader before it is full."""

AT_ONCE = 4096
LOOK_S = 0.05


class Outlet(ABC, Generic[AnyStr]):
    """Writes to a stream in a thread of its own.

    Args:
        target: where to.
        most: how much waits before it is `full`; what is written all the same waits, too.

    Attributes:
        error: why nothing can be written any more, or None.
    """

    def __init__(self, target: IO[AnyStr], most: int = MOST_WAITING) -> None:
        self.error: OSError | None = None
        self._target: IO[AnyStr] = target
        self._descriptor = _descriptor_of(target)
        self._most = most
        self._news = threading.Condition()
        self._waiting_ones: deque[AnyStr] = deque()
        self._waiting = 0
        self._ending = False
        self._given_up = False
        self._written_of_first = 0
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

    def write(self, data: AnyStr) -> int:
        """Have whole lines, or what else goes together, written; never waits."""
        with self._news:
            self._waiting_ones.append(data)
            self._waiting += len(data)
            self._news.notify()
        return len(data)

    def flush(self) -> None:
        """Do nothing: what was given is written as soon as it can be."""

    def close(self, limit_s: float) -> int:
        """Write what waits, as far as there is time; return how much was left out. May be called again."""
        with self._news:
            self._ending = True
            self._news.notify()
        end_s = time.monotonic() + limit_s
        while self._thread.is_alive() and not self._given_up and time.monotonic() < end_s:
            self._thread.join(min(LOOK_S, limit_s))
        self._given_up = True
        with self._news:
            return sum(map(self._count, self._waiting_ones)) - self._written_of_first

    def give_up(self) -> None:
        """Have `close` wait no longer, and nothing more be written; from any thread, or a signal's handler."""
        self._given_up = True

    @abstractmethod
    def _count(self, data: AnyStr) -> int:
        """Return how much this is, in lines or what else goes together."""

    @abstractmethod
    def _pieces(self, data: AnyStr) -> Iterator[tuple[bytes, int]]:
        """Yield pieces to write, each with how much it is."""

    def _run(self) -> None:
        try:
            while (data := self._next()) is not None:
                self._write(data)
                with self._news:
                    self._waiting -= len(data)
                    self._waiting_ones.popleft()
                    self._written_of_first = 0
        except OSError as error:
            self.error = error

    def _next(self) -> AnyStr | None:
        with self._news:
            self._news.wait_for(lambda: self._waiting_ones or self._ending)
            return self._waiting_ones[0] if self._waiting_ones and not self._given_up else None

    def _write(self, data: AnyStr) -> None:
        if self._descriptor is None:
            self._target.write(data)
            self._target.flush()
            return
        for piece, count in self._pieces(data):
            if not self._written(self._descriptor, piece):
                return
            self._written_of_first += count

    def _written(self, descriptor: int, data: bytes) -> bool:
        """Write bytes, if the target takes them before the end is given up."""
        while data:
            select.select([], [descriptor], [])
            if self._given_up:
                return False
            data = data[os.write(descriptor, data) :]
        return True


class TextOutlet(Outlet[str]):
    """Writes lines; what it counts is lines.

    Args:
        target: where to.
        most: characters that wait before it is full.

    Attributes:
        encoding: of the target.
    """

    def __init__(self, target: TextIO, most: int = MOST_WAITING) -> None:
        self.encoding = target.encoding
        super().__init__(target, most)

    def writelines(self, lines: Iterable[str]) -> None:
        """Have whole lines written; never waits."""
        self.write("".join(lines))

    def _count(self, data: str) -> int:
        return data.count("\n")

    def _pieces(self, data: str) -> Iterator[tuple[bytes, int]]:
        """Yield pieces of whole lines; a line that is longer than what is written at once is a piece of its own."""
        encoded = data.encode(self.encoding or "utf-8", "replace")
        begin = 0
        while begin < len(encoded):
            end = encoded.rfind(b"\n", begin, begin + AT_ONCE) + 1 or encoded.find(b"\n", begin) + 1 or len(encoded)
            yield encoded[begin:end], encoded.count(b"\n", begin, end)
            begin = end


class BinaryOutlet(Outlet[bytes]):
    """Writes bytes; what it counts is what was written at once.

    Args:
        target: where to.
        most: bytes that wait before it is full.
    """

    def __init__(self, target: BinaryIO, most: int = MOST_WAITING) -> None:
        super().__init__(target, most)

    def _count(self, data: bytes) -> int:
        return 1

    def _pieces(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        yield data, 1


def _descriptor_of(target: IO[AnyStr]) -> int | None:
    """Return the descriptor of a stream that may keep its writer waiting, or None where it does not matter."""
    if os.name != "posix":
        return None
    try:
        descriptor = target.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return None
    return None if os.path.isfile(descriptor) else descriptor
