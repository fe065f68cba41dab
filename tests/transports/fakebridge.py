"""A bridge for tests: answers what it is told to, when it is told to, over a stream in memory or a pseudo terminal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from m43drivers.bridge.protocol import (
    VERSION,
    Counters,
    CountersAnswer,
    Decoder,
    Done,
    Frame,
    FramesStarted,
    Heartbeat,
    Hello,
    HelloAnswer,
    Polled,
    Power,
    PowerAnswer,
    SelfTest,
    SelfTestAnswer,
    StartFrames,
    Stop,
    Stopped,
    Transact,
    encode,
)
from m43drivers.streams.base import ByteStream, StreamFullError
from m43drivers.transport import TransportLostError, TransportTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.bridge.protocol import LinkMessage

BOOT_ID = 0x1234


class FakeBridge:
    """The command logic of a bridge that a test can bend.

    Attributes:
        send: takes what it says; the stream sets it.
        heard: each request with its number, in order.
        wire: all bytes of the host.
        delay_s: from a request to its answer.
        drop: how many of the next answers to a kind of request get lost.
        slow: delays of the next answers to a kind of request, instead of `delay_s`.
        instead: answers to give in place of the right ones, by kind of request.
        bad_frames: what it could not read.
        start_s: its start, by the loop's clock.
        rate: how fast its clock runs.
    """

    def __init__(self) -> None:
        self.send: Callable[[bytes], None] = lambda data: None
        self.heard: list[tuple[int, LinkMessage]] = []
        self.wire = bytearray()
        self.delay_s = 0.0005
        self.drop: dict[type[LinkMessage], int] = {}
        self.slow: dict[type[LinkMessage], list[float]] = {}
        self.instead: dict[type[LinkMessage], LinkMessage] = {}
        self.bad_frames = 0
        self.boot_id = BOOT_ID
        self.version = VERSION
        self.start_s = asyncio.get_running_loop().time() - 100
        self.rate = 1.0
        self.mute = False
        self.beating: asyncio.TimerHandle | None = None
        self._decoder = Decoder()
        self._answered: tuple[int, int, bytes] | None = None

    @property
    def requests(self) -> list[LinkMessage]:
        return [message for _, message in self.heard]

    def now_us(self) -> int:
        return round((asyncio.get_running_loop().time() - self.start_s) * self.rate * 1e6)

    def feed(self, data: bytes) -> None:
        self.wire += data
        for received in self._decoder.feed(data):
            if isinstance(received, Frame):
                self._take(received)
            else:
                self.bad_frames += 1

    def _take(self, frame: Frame) -> None:
        request = frame.message
        self.heard.append((frame.seq, request))
        if self.mute:
            return
        kind = type(request)
        if self._answered is None or self._answered[:2] != (frame.seq, request.kind):
            answer = self.instead.get(kind) or ANSWERS[kind](self, request)
            self._answered = (frame.seq, request.kind, encode(frame.seq, answer))
        wire = self._answered[2]
        if self.drop.get(kind, 0) > 0:
            self.drop[kind] -= 1
            return
        slow = self.slow.get(kind)
        self._later(slow.pop(0) if slow else self.delay_s, wire)

    def _later(self, delay_s: float, wire: bytes) -> None:
        asyncio.get_running_loop().call_later(delay_s, lambda: self.send(wire))

    def said_for(self, request: Transact) -> bytes:
        """Tell something that only this request can have got: the sum of its command, and all of it."""
        return bytes([sum(request.command) & 0xFF]) + request.command + request.block

    def beat(self, count: int = 0) -> None:
        """Send a heartbeat now, and so many more, one a second; -1 for one after the other."""
        self.say(Heartbeat(self.now_us(), 0, 1, 2, 3, 4, 5))
        if count:
            self.beating = asyncio.get_running_loop().call_later(1, self.beat, count - 1)

    def poll(self, said: bytes) -> None:
        """Tell of a poll that ended now."""
        self.say(Polled(0, None, self.now_us() - 1000, self.now_us(), said))

    def say(self, message: LinkMessage, seq: int = 0) -> None:
        if not self.mute:
            self.send(encode(seq, message))

    def stop(self) -> None:
        if self.beating is not None:
            self.beating.cancel()


def _transacted(bridge: FakeBridge, request: LinkMessage) -> LinkMessage:
    assert isinstance(request, Transact)
    return Done(None, bridge.now_us() + 50, bridge.now_us() + 450, bridge.said_for(request))


ANSWERS: dict[type[LinkMessage], Callable[[FakeBridge, LinkMessage], LinkMessage]] = {
    Hello: lambda bridge, _: HelloAnswer(bridge.version, bridge.boot_id, 0x2002, "fake", "0.0"),
    Transact: _transacted,
    Power: lambda bridge, request: PowerAnswer(request == Power(on=True), bridge.now_us() + 250),
    StartFrames: lambda bridge, _: FramesStarted(),
    Stop: lambda bridge, _: Stopped(),
    Counters: lambda bridge, _: CountersAnswer(bridge.now_us() + 250, 1, 2, 3, 4, 5),
    SelfTest: lambda bridge, _: SelfTestAnswer(0, "all well"),
}


class MemoryStream(ByteStream):
    """A stream to a fake bridge, in memory.

    Attributes:
        stuck: whether the bridge takes nothing.
        closed: how often it was let go.
    """

    def __init__(self, bridge: FakeBridge, dribble: int | None = None) -> None:
        super().__init__("memory")
        self.bridge = bridge
        self.stuck = False
        self.closed = 0
        self._dribble = dribble
        self._held = bytearray()
        self._gone = False

    @property
    def unsent(self) -> int:
        return len(self._held)

    def start(self, take: Callable[[bytes], None], lost: Callable[[TransportLostError], None]) -> None:
        self._take, self._lost = take, lost
        self.bridge.send = self._deliver

    def _deliver(self, data: bytes) -> None:
        if self._gone:
            return
        size = self._dribble or len(data)
        for at in range(0, len(data), size):
            if not self._gone:
                self._take(data[at : at + size])

    def write(self, data: bytes) -> None:
        if self._gone:
            raise TransportLostError("memory: is closed")
        if len(self._held) + len(data) > 1000:
            raise StreamFullError("memory: does not take what it is sent")
        if self.stuck:
            self._held += data
        else:
            asyncio.get_running_loop().call_later(0.0001, self._arrive, bytes(data))

    def _arrive(self, data: bytes) -> None:
        if not self._gone:
            self.bridge.feed(data)

    def discard(self) -> int:
        count = len(self._held)
        self._held.clear()
        return count

    async def drain(self, limit_s: float) -> None:
        if self._held:
            await asyncio.sleep(limit_s)
            raise TransportTimeoutError("memory: did not take it")

    async def close(self, limit_s: float) -> None:
        try:
            await self.drain(limit_s)
        except TransportTimeoutError:
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        if not self._gone:
            self._gone = True
            self.closed += 1
            self.bridge.stop()

    def unplug(self) -> None:
        """Take the bridge away."""
        self.error = TransportLostError("memory: is gone")
        self.abort()
        asyncio.get_running_loop().call_soon(self._lost, self.error)
