"""A bridge as a transport: ``serial:/dev/ttyACM0[?baud=N]``, ``socket:HOST:PORT`` (specs/11-bridge-link.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from m43drivers.bridge.clock import BridgeClock
from m43drivers.bridge.protocol import (
    VERSION,
    BadFrame,
    Counters,
    CountersAnswer,
    Decoder,
    Done,
    Frame,
    Hello,
    HelloAnswer,
    Power,
    PowerAnswer,
    SelfTest,
    SelfTestAnswer,
    StartFrames,
    Stop,
    Transact,
)
from m43drivers.bridge.protocol import Heartbeat as HeartbeatMessage
from m43drivers.bridge.protocol import Polled as PolledMessage
from m43drivers.bridge.requests import LIMITS, Requests, Urgency
from m43drivers.streams.serialport import BAUD, open_serial
from m43drivers.streams.tcp import open_tcp
from m43drivers.transport import (
    Abilities,
    Heartbeat,
    Lost,
    Outcome,
    Polled,
    Transport,
    TransportError,
    TransportLostError,
    TransportTimeoutError,
)
from m43proto.exchange import block_with_length
from m43proto.messages import PUBLIC
from m43proto.shapes import Shape
from m43proto.turns import Phase

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from m43drivers.bridge.protocol import LinkMessage
    from m43drivers.bridge.requests import Answer
    from m43drivers.streams.base import ByteStream
    from m43drivers.transport import Frames, Sign
    from m43proto.catalogue import Catalogue
    from m43proto.exchange import Transfer

__all__ = ["CLOSE_S", "HEARTBEAT_S", "SILENCE_S", "BridgeTransport", "serial_bridge", "socket_bridge"]

_log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0
"""How often a bridge gives a sign of life."""

SILENCE_S = 4.5 * HEARTBEAT_S
"""A bridge that says nothing for so long is lost."""

CLOSE_S = 1.0
"""How long closing may take."""

_STOP_S = 0.5
_FLUSH_S = 0.3

CLOCK_EXCHANGES = 5
"""How many exchanges tell the bridge's clock at the beginning; the quickest counts."""

SUSPICIOUS_NS = 250_000_000
"""A message so much older than its arrival makes the host ask whether this is still the same start of the bridge."""

_SAMPLE = 60


class BridgeTransport(Transport):
    """A bridge at the other end of a byte stream.

    Args:
        url: how the user named it.
        open_stream: opens the stream.

    Attributes:
        bad_frames: bytes of the bridge that were no frames, counted frame by frame.
    """

    def __init__(self, url: str, open_stream: Callable[[], Awaitable[ByteStream]]) -> None:
        super().__init__(url)
        self.bad_frames = 0
        self.open_stream = open_stream
        self._stream: ByteStream | None = None
        self._requests: Requests | None = None
        self._error: TransportLostError | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._boot_id: int | None = None

    def now_ns(self) -> int:
        """Return the time of the event loop."""
        return round(asyncio.get_running_loop().time() * 1e9)

    # opening and closing

    async def open(self) -> Abilities:
        """Open the stream, and see that a bridge is at its other end.

        Raises:
            TransportError: the stream cannot be opened, no bridge answers, or one that speaks another version.
        """
        if self._stream is not None:
            raise TransportError(f"{self.url}: is open already")
        stream = await self.open_stream()
        self._start(stream)
        try:
            # Whatever the one before has left half said ends here.
            stream.write(b"\0")
            hello = await self._greet()
            self._boot_id = hello.boot_id
            await self._ask(Stop(), Urgency.STOPS)
            for _ in range(CLOCK_EXCHANGES):
                await self._ask(Counters())
        except BaseException:
            self.abort()
            raise
        self._longest_block = hello.longest_block
        self._live = True
        self._watch = asyncio.get_running_loop().call_later(SILENCE_S, self._look)
        _log.info("%s: open: %s, firmware %s, start %08x", self.url, hello.name, hello.firmware, hello.boot_id)
        return Abilities(hello.name, hello.firmware, hello.boot_id, hello.longest_block)

    def _start(self, stream: ByteStream) -> None:
        self._stream = stream
        self._requests = Requests(stream)
        self._decoder = Decoder()
        self._clock = BridgeClock()
        self._error = None
        self._boot_id = None
        self._live = self._greeting = self._polling = self._may_poll = False
        self._noise = b""
        self._heard_s = asyncio.get_running_loop().time()
        self.bad_frames = 0
        stream.start(self._take, self._lose)

    async def _greet(self) -> HelloAnswer:
        try:
            hello: HelloAnswer = await self._ask(Hello())
        except TransportTimeoutError:
            raise TransportTimeoutError(self._nobody()) from None
        if hello.version != VERSION:
            raise TransportError(
                f"{self.url}: the bridge speaks version {hello.version} of the link, this program version {VERSION}; "
                "copy the firmware that belongs to this program to the bridge"
            )
        return hello

    def _nobody(self) -> str:
        limit = LIMITS[Hello]
        noise = f"; what it says is no answer: {self._noise!r}" if self._noise else ""
        patience_s = limit.tries * limit.answer_s
        hint = "does its firmware run, is it the right port?"
        return f"{self.url}: no bridge answers within {patience_s:g} s; {hint}{noise}"

    async def close(self) -> None:
        """Stop the frames and let go of the bridge, within `CLOSE_S`."""
        try:
            if self._stream is not None and self._error is None:
                with contextlib.suppress(TransportError, TimeoutError):
                    async with asyncio.timeout(CLOSE_S):
                        await self._stop_politely()
                        await self._stream.close(_FLUSH_S)
        finally:
            self.abort()

    async def _stop_politely(self) -> None:
        if self._may_poll:
            with contextlib.suppress(TransportError, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._ask(Stop(), Urgency.STOPS)

    def abort(self) -> None:
        """Let go of the bridge at once; calls that wait end with `TransportLostError`."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._stream is None:
            return
        stream, self._stream = self._stream, None
        stream.abort()
        assert self._requests is not None
        if self._error is None:
            self._error = TransportLostError(f"{self.url}: is closed")
            _log.info("%s: closed", self.url)
        self._requests.fail(self._error)

    # calls

    async def power(self, *, on: bool) -> bool:
        """Raise or drop SLEEP; dropping it overtakes whatever waits, and ends the frames."""
        answer: PowerAnswer = await self._ask(Power(on), Urgency.WORK if on else Urgency.STOPS)
        return answer.woke

    async def transact(self, transfers: Sequence[Transfer]) -> Outcome:
        """Carry out one transaction, between the frames if there are any."""
        request = request_of(transfers)
        size = len(block_with_length(request.block)) + 1
        if request.block and self._stream is not None and size > self._longest_block:
            raise TransportError(
                f"{self.url}: the block has {size} bytes with length and sum; the bridge takes {self._longest_block}"
            )
        return self._outcome(await self._ask(request))

    async def start_frames(self, frames: Frames) -> None:
        """Begin to poll, or go on in another way."""
        request = StartFrames(
            period_us=round(1e6 / frames.rate_hz),
            shutter_us=round(frames.shutter_ns / 1000),
            lead_us=round(frames.lead_ns / 1000),
            report=frames.report,
            poll=frames.poll,
        )
        self._may_poll = True
        await self._ask(request)

    async def stop_frames(self) -> None:
        """Stop polling; overtakes whatever waits."""
        await self._ask(Stop(), Urgency.STOPS)

    async def self_test(self) -> tuple[int, str]:
        """Let the bridge test itself, with nothing at the contacts; return 0, or what failed, and a line about it."""
        answer: SelfTestAnswer = await self._ask(SelfTest())
        return answer.code, answer.text

    async def counters(self) -> dict[str, int]:
        """Return the error counters of the bridge, by name."""
        answer: CountersAnswer = await self._ask(Counters())
        return self._counted(answer.counters)

    async def _ask(self, request: LinkMessage, urgency: Urgency = Urgency.WORK) -> Any:
        if self._requests is None:
            raise TransportError(f"{self.url}: is not open")
        return (await self._requests.ask(request, urgency, partial(self._learn, request))).message

    def _learn(self, request: LinkMessage, answer: Answer) -> None:
        """Take from an answer what holds whether or not anybody waits for it."""
        message = answer.message
        if isinstance(request, StartFrames):
            self._polling = True
        elif isinstance(request, Stop) or request == Power(on=False):
            self._polling = False
        span = _SPANS.get(type(message))
        if span is None or not answer.once:
            return
        start_us, end_us = span(message)
        if self._clock.known and self._suspicious(end_us):
            return
        self._clock.learn(answer.sent_ns, start_us, end_us, answer.received_ns)

    # what the bridge says

    def _take(self, data: bytes) -> None:
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s: < %s", self.url, data.hex(" "))
        if self._boot_id is None:
            self._noise = (self._noise + data)[:_SAMPLE]
        for received in self._decoder.feed(data):
            if self._stream is None:
                return
            if isinstance(received, BadFrame):
                self._take_noise(received)
            else:
                self._take_frame(received)

    def _take_noise(self, noise: BadFrame) -> None:
        self.bad_frames += 1
        _log.debug("%s: no frame: %s", self.url, noise.reason)

    def _take_frame(self, frame: Frame) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        message = frame.message
        if isinstance(message, PolledMessage):
            if self._polling:
                self._tell(Polled(self._outcome(message), message.alike))
        elif isinstance(message, HeartbeatMessage):
            self._take_heartbeat(message)
        else:
            assert self._requests is not None
            self._requests.take(frame)

    def _take_heartbeat(self, message: HeartbeatMessage) -> None:
        if not self._clock.known:
            return
        self._suspicious(message.t_us)
        self._tell(Heartbeat(self._host_ns(message.t_us), message.alike, self._counted(message.counters)))
        if self._requests is not None and self._requests.idle:
            self._in_passing(Counters())

    def _counted(self, counters: dict[str, int]) -> dict[str, int]:
        return {**counters, "host_bad_frames": self.bad_frames}

    def _tell(self, sign: Sign) -> None:
        """Tell a sign; what goes wrong with whoever listens is not the bridge's fault."""
        try:
            self.tell(sign)
        except Exception as error:
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": f"{self.url}: telling {type(sign).__name__}", "exception": error})

    def _outcome(self, message: Done | PolledMessage) -> Outcome:
        start_ns, end_ns = self._host_ns(message.start_us), self._host_ns(message.end_us)
        return Outcome(start_ns, end_ns, message.said, message.broke_off)

    def _host_ns(self, t_us: int) -> int:
        return self._clock.host_ns(t_us, self.now_ns())

    # is it still there, and the same?

    def _suspicious(self, t_us: int) -> bool:
        """Tell whether a time lies too far back, as it does when the bridge has started anew; if so, ask who it is."""
        if self.now_ns() - self._clock.raw_ns(t_us) < SUSPICIOUS_NS:
            return False
        if not self._greeting:
            self._greeting = True
            self._in_passing(Hello(), self._recognise)
        return True

    def _recognise(self, answer: Answer) -> None:
        self._greeting = False
        message = answer.message
        if isinstance(message, HelloAnswer) and message.boot_id != self._boot_id:
            self._lose(TransportLostError(f"{self.url}: the bridge has started anew; open it again"))

    def _in_passing(self, request: LinkMessage, then: Callable[[Answer], None] | None = None) -> None:
        """Ask something that nobody waits for."""
        assert self._requests is not None
        asked = self._requests.ask(request, Urgency.HOUSEKEEPING, then or partial(self._learn, request))
        asked.add_done_callback(self._passed)

    def _passed(self, asked: asyncio.Future[Answer]) -> None:
        if asked.cancelled() or asked.exception() is not None:
            self._greeting = False

    def _look(self) -> None:
        """Look whether the bridge has given a sign of life lately."""
        loop = asyncio.get_running_loop()
        left_s = self._heard_s + SILENCE_S - loop.time()
        if left_s > 0:
            self._watch = loop.call_later(left_s, self._look)
        else:
            self._lose(TransportLostError(f"{self.url}: the bridge has said nothing for {SILENCE_S:g} s"))

    def _lose(self, error: TransportLostError) -> None:
        if self._error is not None:
            return
        self._error = error
        _log.warning("%s: lost: %s", self.url, error)
        live, self._live = self._live, False
        self.abort()
        if live:
            self._tell(Lost(error))


_SPANS: dict[type[LinkMessage], Callable[[Any], tuple[int, int]]] = {
    Done: lambda message: (message.start_us, message.end_us),
    PowerAnswer: lambda message: (message.t_us, message.t_us),
    CountersAnswer: lambda message: (message.t_us, message.t_us),
}
"""Between which times of its clock the bridge was at work, as its answers tell."""


# transactions

_SHAPES = {
    Phase.STATUS: Shape.COMPLETE,
    Phase.READ_SUM: Shape.READ,
    Phase.WRITE_SUM: Shape.WRITE,
}


def request_of(transfers: Sequence[Transfer]) -> Transact:
    """Return the request for a transaction; its last turn tells the shape.

    Raises:
        TransportError: the turns are not those of a transaction.
    """
    if not transfers or transfers[0].phase is not Phase.COMMAND:
        raise TransportError("a transaction begins with a command")
    block = b"".join(transfer.data for transfer in transfers if transfer.phase is Phase.WRITE_DATA)
    return Transact(transfers[0].data, _SHAPES.get(transfers[-1].phase, Shape.SET), block)


# URLs


def serial_bridge(address: str, *, catalogue: Catalogue = PUBLIC) -> BridgeTransport:
    """Return the transport of ``serial:PORT[?baud=N]``, not opened yet.

    Raises:
        TransportError: the address is wrong.
    """
    path, _, query = address.partition("?")
    baud = BAUD
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key != "baud" or not value.isdecimal() or not int(value):
            raise TransportError(f"serial:{address}: behind the port may stand ?baud=NUMBER, not {key}={value}")
        baud = int(value)
    if not path:
        raise TransportError("serial: needs a port, such as serial:/dev/ttyACM0; m43 ports lists those there are")
    return BridgeTransport(f"serial:{address}", partial(open_serial, path, baud=baud))


def socket_bridge(address: str, *, catalogue: Catalogue = PUBLIC) -> BridgeTransport:
    """Return the transport of ``socket:HOST:PORT``, not opened yet.

    Raises:
        TransportError: the address is wrong.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 0xFFFF:
        raise TransportError(f"socket:{address}: write socket:HOST:PORT, such as socket:192.168.4.1:4300")
    return BridgeTransport(f"socket:{address}", partial(open_tcp, host.strip("[]"), int(port)))
