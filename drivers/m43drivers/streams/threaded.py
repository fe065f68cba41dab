"""A byte stream over a port that only blocks, with a thread for each direction: for Windows.

The threads are daemons, so a driver that never returns does not keep the program from ending. Tried on POSIX alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from typing import TYPE_CHECKING, Protocol

from m43drivers.streams.base import MOST_UNSENT, ByteStream, StreamFullError
from m43drivers.transport import TransportError, TransportLostError, TransportTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["BlockingPort", "ThreadedStream"]


class BlockingPort(Protocol):
    """What the threads use; an OSError of any of its methods means that the peer is gone."""

    def read(self) -> bytes:
        """Return bytes, or none when none came for a tenth of a second."""

    def write(self, data: bytes) -> None:
        """Send all of the bytes."""

    def cancel(self) -> None:
        """End a `read` or `write` of another thread early, where that is possible."""

    def close(self) -> None:
        """Let go of the port."""


class ThreadedStream(ByteStream):
    """Bytes over a port that blocks.

    Args:
        name: what it leads to, for messages.
        port: the port.
    """

    def __init__(self, name: str, port: BlockingPort) -> None:
        super().__init__(name)
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._unsent = 0
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._drained = asyncio.Event()
        self._drained.set()
        self._open = True
        self._threads: list[threading.Thread] = []

    @property
    def unsent(self) -> int:
        """How many bytes the operating system has not taken yet."""
        return self._unsent

    def start(self, take: Callable[[bytes], None], lost: Callable[[TransportLostError], None]) -> None:
        """Begin to read."""
        self._take = take
        self._lost = lost
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._release, daemon=True).start()

    def write(self, data: bytes) -> None:
        """Send bytes as soon as the peer takes them."""
        self._must_be_open()
        if self._unsent + len(data) > MOST_UNSENT:
            raise StreamFullError(f"{self.name}: does not take what it is sent ({self._unsent} bytes wait)")
        self._unsent += len(data)
        self._drained.clear()
        self._waiting.put(bytes(data))

    def discard(self) -> int:
        """Forget what no thread has begun to send."""
        count = 0
        with contextlib.suppress(queue.Empty):
            while True:
                count += len(self._waiting.get_nowait() or b"")
        self._sent(count)
        return count

    async def drain(self, limit_s: float) -> None:
        """Wait until nothing is unsent."""
        self._must_be_open()
        try:
            async with asyncio.timeout(limit_s):
                await self._drained.wait()
        except TimeoutError:
            raise TransportTimeoutError(
                f"{self.name}: did not take {self._unsent} bytes within {limit_s:g} s"
            ) from None
        self._must_be_open()

    async def close(self, limit_s: float) -> None:
        """Send what is unsent, for as long as the limit allows, and let go."""
        try:
            with contextlib.suppress(TransportError):
                await self.drain(limit_s)
        finally:
            self.abort()

    def abort(self) -> None:
        """Let go at once; the threads end, and close the port, within a tenth of a second."""
        if not self._open:
            return
        self._open = False
        self._drained.set()
        self._waiting.put(None)
        if self._threads:
            self._port.cancel()
        else:
            self._port.close()

    def _must_be_open(self) -> None:
        if self.error is not None:
            raise TransportLostError(str(self.error)) from self.error
        if not self._open:
            raise TransportLostError(f"{self.name}: is closed")

    def _sent(self, count: int) -> None:
        self._unsent -= count
        if not self._unsent:
            self._drained.set()

    def _took(self, data: bytes) -> None:
        if self._open:
            self._take(data)

    def _die(self, reason: str | None) -> None:
        if self._open:
            self.error = TransportLostError(f"{self.name}: is gone{'' if reason is None else f' ({reason})'}")
            self.abort()
            self._lost(self.error)

    # in threads of their own

    def _read(self) -> None:
        with self._telling():
            while self._open:
                data = self._port.read()
                if data:
                    self._loop.call_soon_threadsafe(self._took, data)

    def _write(self) -> None:
        with self._telling():
            while (data := self._waiting.get()) is not None:
                self._port.write(data)
                self._loop.call_soon_threadsafe(self._sent, len(data))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell the event loop when the port fails; a loop that is closed needs no telling."""
        with contextlib.suppress(RuntimeError):
            try:
                yield
            except OSError as error:
                self._loop.call_soon_threadsafe(self._die, error.strerror or str(error))

    def _release(self) -> None:
        for thread in self._threads:
            thread.join()
        self._port.close()
