"""A byte stream over a file descriptor, for event loops that can watch one: POSIX.

The descriptor does not block. A write that the operating system does not take stays in a buffer of limited size, and
the event loop tells when to go on; so a peer that reads nothing costs nothing. (pyserial 3.5 goes on trying for ever in
that case, and with it every asyncio transport that writes through it: pyserial#280.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from m43drivers.streams.base import CHUNK, MOST_UNSENT, ByteStream, StreamFullError
from m43drivers.transport import TransportError, TransportLostError, TransportTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DescriptorStream"]

_LATER = (BlockingIOError, InterruptedError)

_OUTSIDE_PAUSE_S = 0.005


class DescriptorStream(ByteStream):
    """Bytes over a descriptor that does not block.

    Args:
        name: what it leads to, for messages.
        descriptor: to read from and write to.
        release: closes the descriptor; called once, at once and without waiting for the peer.
        outside: how many bytes the operating system still holds for the peer, where it knows.
    """

    def __init__(
        self,
        name: str,
        descriptor: int,
        release: Callable[[], None],
        outside: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(name)
        self._descriptor = descriptor
        self._release = release
        self._outside = outside
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._open = True
        self._watching = False
        self._drained: list[asyncio.Future[None]] = []

    @property
    def unsent(self) -> int:
        """How many bytes the operating system has not taken yet."""
        return len(self._held)

    def start(self, take: Callable[[bytes], None], lost: Callable[[TransportLostError], None]) -> None:
        """Begin to read."""
        self._take = take
        self._lost = lost
        self._watching = True
        self._loop.add_reader(self._descriptor, self._readable)

    def write(self, data: bytes) -> None:
        """Send bytes, now or as soon as the peer takes them."""
        self._must_be_open()
        if len(self._held) + len(data) > MOST_UNSENT:
            raise StreamFullError(f"{self.name}: does not take what it is sent ({len(self._held)} bytes wait)")
        waits = bool(self._held)
        self._held += data
        if waits:
            return
        self._send()
        self._must_be_open()
        if self._held:
            self._loop.add_writer(self._descriptor, self._writable)

    def discard(self) -> int:
        """Forget what is unsent."""
        count = len(self._held)
        self._held.clear()
        if count and self._open:
            self._all_sent()
        return count

    async def drain(self, limit_s: float) -> None:
        """Wait until nothing is unsent."""
        self._must_be_open()
        if not self._held:
            return
        drained: asyncio.Future[None] = self._loop.create_future()
        self._drained.append(drained)
        try:
            async with asyncio.timeout(limit_s):
                await drained
        except TimeoutError:
            raise TransportTimeoutError(
                f"{self.name}: did not take {len(self._held)} bytes within {limit_s:g} s"
            ) from None
        self._must_be_open()

    async def close(self, limit_s: float) -> None:
        """Send what is unsent, for as long as the limit allows, and let go."""
        try:
            with contextlib.suppress(TransportError, TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self.drain(limit_s)
                    while self._open and self._outside():
                        await asyncio.sleep(_OUTSIDE_PAUSE_S)
        finally:
            self.abort()

    def abort(self) -> None:
        """Let go at once."""
        if not self._open:
            return
        self._open = False
        if self._watching:
            self._loop.remove_reader(self._descriptor)
        self._held.clear()
        self._all_sent()
        self._release()

    def _must_be_open(self) -> None:
        if self.error is not None:
            raise TransportLostError(str(self.error)) from self.error
        if not self._open:
            raise TransportLostError(f"{self.name}: is closed")

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, CHUNK)
        except _LATER:
            return
        except OSError as error:
            self._die(error.strerror)
            return
        if data:
            self._take(data)
        else:
            self._die(None)

    def _writable(self) -> None:
        self._send()
        if not self._held and self._open:
            self._all_sent()

    def _send(self) -> None:
        try:
            del self._held[: os.write(self._descriptor, self._held)]
        except _LATER:
            return
        except OSError as error:
            self._die(error.strerror)

    def _all_sent(self) -> None:
        self._loop.remove_writer(self._descriptor)
        waiting, self._drained = self._drained, []
        for drained in waiting:
            if not drained.done():
                drained.set_result(None)

    def _die(self, reason: str | None) -> None:
        """Close the descriptor, and tell so when the caller has done its work."""
        error = TransportLostError(f"{self.name}: is gone{'' if reason is None else f' ({reason})'}")
        self.error = error
        self.abort()
        if self._watching:
            self._loop.call_soon(self._lost, error)
