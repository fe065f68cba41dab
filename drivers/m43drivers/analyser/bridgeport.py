"""``bridge:PORT``: a bridge of this project as a live source: it drives nothing, listens to all seven lines, and tells.

What it tells is bytes with their times, not samples (`m43drivers.analyser.heard`), so a mount at work costs a few
percent of its USB. When the bridge cannot keep what it hears, that is told with its exact time.
"""

from __future__ import annotations

import time
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from m43drivers.analyser.heard import HeardDecoder
from m43drivers.analyser.live import Reader
from m43drivers.analyser.model import AnalyserError, Notice, NoticeKind
from m43drivers.analyser.options import known_options
from m43drivers.analyser.port import GoneError, Port, asking
from m43drivers.bridge.protocol import (
    VERSION,
    BadFrame,
    Decoder,
    Heard,
    Hello,
    HelloAnswer,
    Listen,
    ListenBegun,
    Refusal,
    RefusalCode,
    Stop,
    Stopped,
    encode,
)
from m43drivers.bridge.requests import LIMITS
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from m43drivers.streams.serialport import BAUD
from m43proto.errors import DecodeError
from m43proto.pins import LINES

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.analyser.model import Piece, Settings
    from m43drivers.bridge.protocol import LinkMessage

__all__ = ["LISTENS_FROM", "BridgeReader", "bridge", "can_listen", "greet"]

LISTENS_FROM = (0, 3)
"""Major and minor version of the first firmware that listens."""

TICK_NS = 200
SILENCE_S = 4.5
STOP_S = 0.6
_SAMPLE = 60

RECONSTRUCTED = "edges of CLK and DATA inside a byte are reconstructed; all other edges and all bits are measured"

Answered = TypeVar("Answered", bound="LinkMessage")


def bridge(address: str, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> BridgeReader:
    """Return the reader of a bridge that has said who it is.

    Raises:
        AnalyserError: there is none at the port, or it speaks another version of the link.
    """
    source = f"bridge:{address}"
    known_options(source, settings, ())
    if not address:
        raise AnalyserError("bridge: expected bridge:PORT; m43 ports lists those there are")
    if settings.rate_hz is not None:
        raise AnalyserError(f"{source}: a bridge has no sample rate to choose; leave out --rate")
    if settings.channels not in (None, len(LINES)):
        raise AnalyserError(f"{source}: a bridge tells of all {len(LINES)} lines; leave out --channels")
    link = _Link(source, Port(address, BAUD, clock), clock)
    with asking(link.port, source, keep=True):
        hello = link.greet()
    return BridgeReader(source, link, hello, clock)


def greet(path: str) -> HelloAnswer:
    """Ask whatever is at a port whether it is a bridge; this sends it bytes.

    Raises:
        AnalyserError: it is none, or the port cannot be opened.
    """
    source = f"bridge:{path}"
    link = _Link(source, Port(path, BAUD), time.monotonic)
    with asking(link.port, source, keep=False):
        return link.greet()


def can_listen(firmware: str) -> bool:
    """Tell whether a firmware is new enough to listen."""
    numbers = tuple(int(part) if part.isdecimal() else 0 for part in firmware.split(".")[:2])
    return numbers >= LISTENS_FROM


class _RefusedError(AnalyserError):
    """The bridge does not do what it was asked."""

    def __init__(self, source: str, request: LinkMessage, refusal: Refusal) -> None:
        super().__init__(f"{source}: the bridge refuses {type(request).__name__}: {refusal.text}")
        self.refusal = refusal


class _Link:
    """Requests and answers, one at a time; what comes unasked meanwhile is kept.

    Args:
        source: what the user calls it.
        port: where it is.
        clock: seconds.

    Attributes:
        port: the same.
        unasked: messages that nobody has taken yet.
        heard_s: when a whole message came last.
    """

    def __init__(self, source: str, port: Port, clock: Callable[[], float]) -> None:
        self.port = port
        self.unasked: list[LinkMessage] = []
        self.heard_s = clock()
        self._source = source
        self._clock = clock
        self._decoder = Decoder()
        self._seq = 0
        self._noise = b""

    def greet(self) -> HelloAnswer:
        """Ask who is there.

        Raises:
            AnalyserError: nobody, or a bridge of another version.
            GoneError: the port is gone.
        """
        # Whatever the one before has left half said ends here.
        self.port.write(b"\0")
        hello = self.ask(Hello(), HelloAnswer)
        if hello.version != VERSION:
            raise AnalyserError(
                f"{self._source}: the bridge speaks version {hello.version} of the link, this program version {VERSION}"
                "; copy the firmware that belongs to this program to the bridge"
            )
        return hello

    def ask(self, request: LinkMessage, expected: type[Answered]) -> Answered:
        """Send a request; return its answer.

        Raises:
            AnalyserError: there is none, or a refusal.
            GoneError: the port is gone.
        """
        limit = LIMITS[type(request)]
        self._seq += 1
        for _ in range(limit.tries):
            self.port.write(encode(self._seq, request))
            end = self._clock() + limit.answer_s
            while self._clock() < end:
                answer = self.pump()
                if isinstance(answer, expected):
                    return answer
                if isinstance(answer, Refusal):
                    raise _RefusedError(self._source, request, answer)
        noise = f"; what it says is no answer: {self._noise!r}" if self._noise else ""
        raise AnalyserError(
            f"{self._source}: no bridge answers {type(request).__name__} within {limit.tries * limit.answer_s:g} s;"
            f" does its firmware run, is it the right port?{noise}"
        )

    def pump(self) -> LinkMessage | None:
        """Read what there is; return the answer to the request at hand, if it is there.

        Raises:
            GoneError: the port is gone.
        """
        data = self.port.read()
        answer: LinkMessage | None = None
        for frame in self._decoder.feed(data):
            if isinstance(frame, BadFrame):
                self._noise = self._noise or frame.data[:_SAMPLE]
                continue
            self.heard_s = self._clock()
            if frame.seq == self._seq:
                answer = frame.message
                if isinstance(answer, ListenBegun):
                    self.unasked.clear()
            else:
                self.unasked.append(frame.message)
        if data and not self._noise and answer is None and not self.unasked:
            self._noise = data[:_SAMPLE]
        return answer


class BridgeReader(Reader):
    """Reads a bridge.

    Args:
        source: what the user calls it.
        link: the link to it, at whose other end it has said who it is.
        hello: what it said.
        clock: seconds.
    """

    labels = tuple(Label(str(line)) for line in LINES)

    def __init__(self, source: str, link: _Link, hello: HelloAnswer, clock: Callable[[], float]) -> None:
        self.tick_ns = Fraction(TICK_NS)
        self.sample_rate_hz = 1e9 / TICK_NS
        self.provenance = Provenance(
            source, "m43 bridge", {"name": hello.name, "firmware": hello.firmware, "times": RECONSTRUCTED}
        )
        self._source = source
        self._link = link
        self._hello = hello
        self._clock = clock
        self._decoder = HeardDecoder()

    def start(self) -> None:
        """Have it listen.

        Raises:
            AnalyserError: it cannot, or does not answer.
        """
        try:
            begun = self._link.ask(Listen(), ListenBegun)
        except GoneError as error:
            raise AnalyserError(f"{self._source}: the port is gone ({error})") from None
        except _RefusedError as error:
            raise AnalyserError(self._unable(error.refusal)) from None
        self.tick_ns = Fraction(begun.tick_ns)
        self.sample_rate_hz = 1e9 / begun.tick_ns
        self._told_s = self._clock()

    def _unable(self, refusal: Refusal) -> str:
        who = f"{self._source}: the bridge ({self._hello.name}, firmware {self._hello.firmware})"
        if refusal.code == RefusalCode.UNKNOWN_KIND:
            version = ".".join(map(str, LISTENS_FROM))
            return f"{who} is too old to listen; copy firmware {version}.0 or later to it"
        return f"{who} cannot listen: {refusal.text}"

    def read(self) -> list[Piece | Notice]:
        """Return what came."""
        try:
            self._link.pump()
        except GoneError as error:
            return self._lost(f"the port is gone ({error})")
        items = self._taken()
        now_s = self._clock()
        if items:
            self._told_s = now_s
        elif now_s - self._told_s > SILENCE_S and not self.ended:
            alive = now_s - self._link.heard_s <= SILENCE_S
            return self._lost(
                "the bridge does not listen any more; has it started anew? Begin again"
                if alive
                else f"the bridge has said nothing for {SILENCE_S:g} s; plug it out and in again"
            )
        return items

    def finish(self) -> list[Piece | Notice]:
        """Stop it, and take what was under way."""
        items: list[Piece | Notice] = []
        try:
            self._link.port.write(encode(0xFF, Stop()))
            end = self._clock() + STOP_S
            stopped = False
            while self._clock() < end and not stopped:
                self._link.pump()
                stopped = any(isinstance(message, Stopped) for message in self._link.unasked)
                items += self._taken()
        except GoneError as error:
            return items + self._lost(f"the port is gone ({error})")
        return items + self._decoder.finish()

    def close(self) -> None:
        """Let go of the port."""
        self._link.port.close()

    def _taken(self) -> list[Piece | Notice]:
        items: list[Piece | Notice] = []
        messages, self._link.unasked = self._link.unasked, []
        for message in messages:
            if not isinstance(message, Heard):
                continue
            try:
                items += self._decoder.take(message)
            except DecodeError as error:
                return items + self._lost(f"what the bridge tells makes no sense: {error}")
        return items

    def _lost(self, text: str) -> list[Piece | Notice]:
        self.ended = True
        items = self._decoder.finish()
        return [*items, Notice(NoticeKind.LOST, self._decoder.position, None, True, text)]
