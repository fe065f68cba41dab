"""What the tests of streams and bridges share."""

from __future__ import annotations

import asyncio
import os
import pty
import time
import tty
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from m43drivers.transport import TransportLostError


def descriptors() -> set[tuple[str, str]]:
    """Return what descriptors this process has open, and what they lead to; those of pytest's captured output apart."""
    found = set()
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if not target.startswith("/proc"):
            found.add((name, target))
    return found


class Ear:
    """Takes what a stream tells."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.errors: list[TransportLostError] = []
        self.gone = asyncio.Event()
        self._news = asyncio.Event()

    def take(self, data: bytes) -> None:
        assert data
        assert not self.errors
        self.data += data
        self._news.set()

    def lost(self, error: TransportLostError) -> None:
        self.errors.append(error)
        self.gone.set()

    async def heard(self, size: int) -> bytes:
        async with asyncio.timeout(5):
            while len(self.data) < size:
                self._news.clear()
                await self._news.wait()
        return bytes(self.data)


class Terminal:
    """A pseudo terminal: the stream opens `path`, and the test holds the other end."""

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()
        self.path = os.ttyname(self._slave)
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self._open = [self.master, self._slave]

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    def slave(self) -> int:
        return self._slave

    def unplug(self) -> None:
        """Take the other end away."""
        for descriptor in self._open:
            os.close(descriptor)
        self._open = []

    async def read(self, size: int) -> bytes:
        """Read so many bytes that the stream sent."""
        data = b""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            while len(data) < size:
                ready = asyncio.Event()
                loop.add_reader(self.master, ready.set)
                await ready.wait()
                loop.remove_reader(self.master)
                data += os.read(self.master, size - len(data))
        return data


class Latency:
    """Measures how long the event loop is kept busy at a stretch: by the processor time of its thread.

    That is how late it is on a machine of its own; what other programs take of a shared one does not count.
    """

    TICK_S = 0.002

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def __aenter__(self) -> Latency:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _tick(self) -> None:
        while True:
            before_s = time.thread_time()
            await asyncio.sleep(self.TICK_S)
            self.worst_s = max(self.worst_s, time.thread_time() - before_s)


def of_times(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """Give a test of real times three attempts, each of them whole: what it measures is spoilt by busy neighbours.

    What does not hold on a quiet machine fails all three.
    """

    @wraps(test)
    async def attempts(*arguments: Any, **named: Any) -> None:
        for _ in range(2):
            try:
                await test(*arguments, **named)
            except AssertionError:
                await asyncio.sleep(0.5)
            else:
                return
        await test(*arguments, **named)

    return attempts
