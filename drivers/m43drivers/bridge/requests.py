"""Requests to the bridge and their answers: one in flight, the urgent ones first, each within its limit.

Nobody's task does the exchange: bytes and timers of the event loop drive it, and callers wait for futures. So a caller
that is cancelled cuts nothing; its request goes on to its answer, or never begins.

An answer belongs to a request when number and kind agree. The number of a request that may still be answered (it was
given up, or sent twice) is not used again for `LATE_S`, so a late answer finds nobody.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from m43drivers.bridge.protocol import (
    ANSWER_BIT,
    Counters,
    Hello,
    Listen,
    Load,
    Power,
    Probe,
    Refusal,
    RefusalCode,
    SelfTest,
    StartFrames,
    Stop,
    Transact,
    encode,
)
from m43drivers.streams.base import StreamFullError
from m43drivers.transport import TransportError, TransportLostError, TransportTimeoutError
from m43proto.errors import EncodeError
from m43proto.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.bridge.protocol import Frame, LinkMessage
    from m43drivers.streams.base import ByteStream

__all__ = ["LATE_S", "LIMITS", "QUEUE_S", "Answer", "BridgeRefusedError", "Limit", "Requests", "Urgency"]

_log = logging.getLogger(__name__)

LATE_S = 60.0
"""How long a late answer may come (provisional: no bridge holds one back for longer than it lives without reading)."""

_NUMBERS = 255


class BridgeRefusedError(TransportError):
    """The bridge does not do what it was asked.

    Attributes:
        code: one of `RefusalCode`, or another number of a later bridge.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Limit:
    """How long to wait for the answer to a request.

    Attributes:
        answer_s: seconds from sending to the answer.
        tries: how often it is sent; more than once only what may be repeated.
        why: what takes the time.
        evidence: how sure the figure is.
    """

    answer_s: float
    tries: int
    why: str
    evidence: Evidence = Evidence.PROVISIONAL


LIMITS: dict[type[LinkMessage], Limit] = {
    Hello: Limit(0.3, 3, "answered at once, but perhaps behind a transaction"),
    Transact: Limit(3.0, 1, "the poll before it, 1 s of work of a lens, and the longest block; 0.5 s of work is known"),
    Power: Limit(1.0, 2, "the transaction before it, and 0.12 s for the wake pulse"),
    StartFrames: Limit(0.5, 3, "answered at once, but perhaps behind a poll"),
    Stop: Limit(0.5, 3, "answered at once, but perhaps behind a poll"),
    Counters: Limit(0.3, 3, "answered at once, but perhaps behind a poll"),
    Probe: Limit(1.0, 2, "drops SLEEP; answered at once, but perhaps behind a transaction"),
    Listen: Limit(1.0, 2, "drops SLEEP; answered at once, but perhaps behind a transaction"),
    Load: Limit(3.0, 1, "answered at once, but perhaps behind a step of a probe that makes many edges"),
    SelfTest: Limit(5.0, 1, "runs each PIO program once"),
}
"""How long each request may take; no bridge has been measured yet."""

QUEUE_S = 3.0
"""How much longer a call may take that waits for the one before it: as long as the longest transaction."""


class Urgency(IntEnum):
    """What goes first."""

    STOPS = 0
    WORK = 1
    HOUSEKEEPING = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request.

    Attributes:
        message: what the bridge says.
        sent_ns: when the request was sent, the last time.
        received_ns: when the answer came.
        once: whether it was sent once only, so that the two times belong together.
    """

    message: LinkMessage
    sent_ns: int
    received_ns: int
    once: bool


@dataclass(order=True, slots=True)
class _Job:
    urgency: Urgency
    number: int
    request: LinkMessage = field(compare=False)
    done: asyncio.Future[Answer] = field(compare=False)
    then: Callable[[Answer], None] | None = field(compare=False)
    seq: int = field(default=0, compare=False)
    wire: bytes = field(default=b"", compare=False)
    sent: int = field(default=0, compare=False)
    sent_ns: int = field(default=0, compare=False)
    expiry: asyncio.TimerHandle | None = field(default=None, compare=False)


class Requests:
    """Sends requests over a stream and gives the answers to those who wait.

    Args:
        stream: the stream to the bridge.

    Attributes:
        stray: answers that came when nobody waited for them.
    """

    def __init__(self, stream: ByteStream) -> None:
        self.stray = 0
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Job] = []
        self._current: _Job | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0
        self._seq = 0
        self._late: dict[int, float] = {}
        self._fatal: TransportLostError | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight or waits."""
        return self._current is None and not self._waiting

    def ask(
        self,
        request: LinkMessage,
        urgency: Urgency = Urgency.WORK,
        then: Callable[[Answer], None] | None = None,
    ) -> asyncio.Future[Answer]:
        """Send a request when its turn comes; return the future of its answer.

        Args:
            request: one of `LIMITS`.
            urgency: what goes first.
            then: called with the answer when it comes, whether or not anybody waits for it any more.

        Returns:
            a future that ends within ``tries * answer_s`` of the request, and `QUEUE_S` when others are before it:
            with the answer, or with `TransportTimeoutError`, `TransportLostError`, or `TransportError` for a request
            that cannot be sent or that the bridge refuses.
        """
        self._count += 1
        job = _Job(urgency, self._count, request, self._loop.create_future(), then)
        if self._fatal is not None:
            self._fail(job, self._fatal)
            return job.done
        heapq.heappush(self._waiting, job)
        self._next()
        if job is not self._current and not job.done.done():
            limit = LIMITS[type(request)]
            job.expiry = self._loop.call_later(limit.tries * limit.answer_s + QUEUE_S, self._expire, job)
        return job.done

    def take(self, frame: Frame) -> None:
        """Take an answer of the bridge."""
        job = self._current
        message = frame.message
        if job is None or frame.seq != job.seq or message.kind not in (job.request.kind | ANSWER_BIT, Refusal.kind):
            self.stray += 1
            _log.debug("%s: nobody waits for number %d, %s", self._stream.name, frame.seq, type(message).__name__)
            return
        if job.sent > 1:
            self._quarantine(job)
        self._end_current()
        if isinstance(message, Refusal):
            _set_error(job, _refused(self._stream.name, job.request, message))
        else:
            answer = Answer(message, job.sent_ns, self._now_ns(), once=job.sent == 1)
            if job.then is not None:
                job.then(answer)
            if not job.done.done():
                job.done.set_result(answer)
        self._next()

    def fail(self, error: TransportLostError) -> None:
        """End every request, now and later; the first error stays the cause."""
        if self._fatal is not None:
            return
        self._fatal = error
        jobs = [*([self._current] if self._current is not None else []), *self._waiting]
        self._end_current()
        self._waiting.clear()
        for job in jobs:
            self._fail(job, error)

    # one request

    def _next(self) -> None:
        while self._current is None and self._waiting and self._fatal is None:
            job = heapq.heappop(self._waiting)
            if job.done.done():
                _stop(job)
                continue
            self._begin(job)

    def _begin(self, job: _Job) -> None:
        job.seq = self._fresh_seq()
        try:
            job.wire = encode(job.seq, job.request)
        except EncodeError as error:
            _stop(job)
            job.done.set_exception(TransportError(f"{self._stream.name}: cannot be asked of a bridge: {error}"))
            return
        self._current = job
        self._send(job)

    def _send(self, job: _Job) -> None:
        job.sent += 1
        job.sent_ns = self._now_ns()
        self._timer = self._loop.call_later(LIMITS[type(job.request)].answer_s, self._no_answer, job)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("%s: > %s  %s", self._stream.name, job.wire.hex(" "), job.request)
        try:
            self._stream.write(job.wire)
        except StreamFullError as error:
            _log.debug("%s", error)
        except TransportLostError as error:
            self.fail(error)

    def _no_answer(self, job: _Job) -> None:
        """Send it again, or give it up; in both cases with a zero, which ends whatever has gone in part."""
        self._stream.discard()
        limit = LIMITS[type(job.request)]
        if job.sent < limit.tries and not job.done.done():
            job.wire = b"\0" + job.wire.lstrip(b"\0")
            _log.debug("%s: no answer within %g s, once more", self._stream.name, limit.answer_s)
            self._send(job)
            return
        self._quarantine(job)
        self._end_current()
        _set_error(job, self._late_error(job.request))
        self._write_zero()
        self._next()

    def _write_zero(self) -> None:
        try:
            self._stream.write(b"\0")
        except StreamFullError as error:
            _log.debug("%s", error)
        except TransportLostError as error:
            self.fail(error)

    def _expire(self, job: _Job) -> None:
        """Give up what has waited too long; what is in flight goes on to its answer, which nobody gets."""
        _set_error(job, self._late_error(job.request))

    def _late_error(self, request: LinkMessage) -> TransportTimeoutError:
        limit = LIMITS[type(request)]
        return TransportTimeoutError(
            f"{self._stream.name}: the bridge did not answer {type(request).__name__} "
            f"within {limit.answer_s:g} s{'' if limit.tries == 1 else f', {limit.tries} times'}"
        )

    def _end_current(self) -> None:
        if self._current is not None:
            _stop(self._current)
        self._current = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, job: _Job, error: TransportLostError) -> None:
        _stop(job)
        if not job.done.done():
            failure = TransportLostError(str(error))
            failure.__cause__ = error
            job.done.set_exception(failure)

    # numbers

    def _fresh_seq(self) -> int:
        now_s = self._loop.time()
        for _ in range(_NUMBERS):
            self._seq = self._seq % _NUMBERS + 1
            if self._late.get(self._seq, now_s) <= now_s:
                self._late.pop(self._seq, None)
                break
        return self._seq

    def _quarantine(self, job: _Job) -> None:
        self._late[job.seq] = self._loop.time() + LATE_S

    def _now_ns(self) -> int:
        return round(self._loop.time() * 1e9)


def _stop(job: _Job) -> None:
    if job.expiry is not None:
        job.expiry.cancel()
        job.expiry = None


def _set_error(job: _Job, error: TransportError) -> None:
    _stop(job)
    if not job.done.done():
        job.done.set_exception(error)


def _refused(name: str, request: LinkMessage, refusal: Refusal) -> BridgeRefusedError:
    try:
        reason = RefusalCode(refusal.code).name.lower().replace("_", " ")
    except ValueError:
        reason = f"code {refusal.code}"
    text = f"{name}: the bridge refuses {type(request).__name__}: {reason}: {refusal.text}"
    return BridgeRefusedError(text, refusal.code)
