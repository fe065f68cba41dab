"""The phone's side of the mount: wakes a lens, brings it up, keeps polling, and survives what lens and bridge do wrong.

One task, the owner, talks to the transport; callers put jobs into its queue and wait for futures. So a caller that is
cancelled never cuts a transaction, and stopping overtakes everything that waits. What a session allows, and what
follows from what, is the engine's (`m43proto.session`); this room only says when to try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from m43drivers.body.drives import FOCUS, Driven, Watch
from m43drivers.body.errors import (
    DriveError,
    DriveSupersededError,
    DriveTimeoutError,
    LensAsleepError,
    LensError,
    LensFailedError,
    LensGoneError,
    LensPassiveError,
    LensTransactionError,
)
from m43drivers.body.events import DriverEvent, LensAttached, LensDetached, LifeChanged
from m43drivers.body.jobs import Jobs, Urgency
from m43drivers.body.lens import Lens
from m43drivers.body.status import BoundedStream, LensStatus
from m43drivers.transport import Frames, Heartbeat, Lost, Polled, Report, Sign, TransportError
from m43proto.connection import Connection
from m43proto.errors import LocalProtocolError
from m43proto.events import MessageSeen, PinEvent, TransactionSeen, Violation
from m43proto.exchange import transfers_of
from m43proto.messages import PUBLIC, Drive, Identify, Status
from m43proto.pins import Role
from m43proto.schema import Message
from m43proto.session import DIALECTS, TIMEOUTS, Wait
from m43proto.states import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from m43drivers.transport import Abilities, Outcome, Transport
    from m43proto.catalogue import Catalogue

__all__ = ["BodyDriver", "Life"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 3
"""How often a transaction with a wrong sum is tried before the lens is started anew."""

START_TRIES = 3
"""How often a lens that wakes up, but does not come through its start-up, is started anew before it is given up."""

STEP_PAUSE_S = 0.001
"""Between the commands of the start-up, as the public body program waits (BELL)."""

OFF_S = 0.1
"""How long SLEEP stays low before a lens is started anew (provisional; the public body program waits as long)."""

PASSIVE_PAUSE_S = 1.0
"""How long after a vain attempt to wake a lens the next one comes (provisional)."""

CLOSE_S = 1.0
"""How long closing may take; then everything is let go."""


class Life(StrEnum):
    """Where a driver is with its lens: the states of the session, with the two reasons for SLEEP being low apart."""

    ABSENT = "absent"
    WAKING = "waking"
    INITIALISING = "initialising"
    READY = "ready"
    DRIVING = "driving"
    ASLEEP = "asleep"
    PASSIVE = "passive"
    GONE = "gone"
    FAILED = "failed"


_LIVES = {
    State.WAKING: Life.WAKING,
    State.INITIALISING: Life.INITIALISING,
    State.READY: Life.READY,
    State.DRIVING: Life.DRIVING,
    State.PASSIVE: Life.PASSIVE,
    State.GONE: Life.GONE,
    State.FAILED: Life.FAILED,
}

_UP = (Life.READY, Life.DRIVING)


class _TroubleError(Exception):
    """A transaction went wrong as often as it was tried; never leaves this room."""


class BodyDriver:
    """Drives the lens on one transport.

    Args:
        transport: what carries the transactions; the driver opens and closes it.
        dialect: how to start the lens (`m43proto.session.DIALECTS`).
        catalogue: the messages to know; stabilisation needs the provisional one.
        frame_hz: how often to poll.

    Attributes:
        lens: the handle of the lens that is on the mount, or was last; None before `open`.
        counters: what went wrong, by cause.
    """

    def __init__(
        self, transport: Transport, *, dialect: str = "E-PL1", catalogue: Catalogue = PUBLIC, frame_hz: float = 60.0
    ) -> None:
        self.transport = transport
        self.catalogue = catalogue
        self.lens: Lens | None = None
        self.counters: Counter[str] = Counter()
        self.abilities: Abilities | None = None
        self._dialect = DIALECTS[dialect]
        self._frame_hz = frame_hz
        self._connection = Connection(Role.BODY, catalogue=catalogue)
        self._jobs = Jobs()
        self._owner: asyncio.Task[None] | None = None
        self._life = Life.ABSENT
        self._fatal: Exception | None = None
        self._wants_sleep = False
        self._bad_polls = 0
        self._repairing = False
        self._frames: Frames | None = None
        self._watches: dict[Driven, tuple[Watch, asyncio.Future[LensStatus]]] = {}
        self._listeners: list[BoundedStream[DriverEvent]] = []

    @property
    def life(self) -> Life:
        """Where the driver is with its lens."""
        return self._life

    # opening and closing

    async def open(self) -> Lens:
        """Reach the mount and wake the lens; return its handle, also when nothing answers (`Life.PASSIVE`).

        Raises:
            TransportError: the mount cannot be reached.
            LensFailedError: the lens wakes up, but cannot be started.
        """
        self.transport.tell = self._on_sign
        self.abilities = await self.transport.open()
        self._owner = asyncio.create_task(self._own(), name=f"m43 owner of {self.transport.url}")
        try:
            await self._ask(Urgency.POWER, self._start)
        except BaseException:
            await self.close()
            raise
        assert self.lens is not None
        return self.lens

    async def close(self) -> None:
        """Put the lens to sleep and let go of the mount; ends within its deadline whatever happens."""
        try:
            async with asyncio.timeout(CLOSE_S):
                if self._owner is not None and not self._owner.done() and self._fatal is None:
                    self._wants_sleep = True
                    await asyncio.wait([self._jobs.add(Urgency.POWER, self._power_off)])
                await self._end_owner()
                await self.transport.close()
        except TimeoutError:
            self.transport.abort()
            await self._end_owner()
        self._fail_all(LensFailedError("the driver has been closed"))
        self._end_lens(None)
        for listener in self._listeners:
            listener.end()

    async def _end_owner(self) -> None:
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.wait([self._owner])

    def events(self) -> BoundedStream[DriverEvent]:
        """Return a stream of what happens: lenses that come and go, and states."""
        stream: BoundedStream[DriverEvent] = BoundedStream(256)
        self._listeners.append(stream)
        return stream

    # the owner

    async def _own(self) -> None:
        """Do the jobs, one after the other; wake a mount on which nothing answers now and then."""
        while True:
            try:
                async with asyncio.timeout(PASSIVE_PAUSE_S if self._life is Life.PASSIVE else None):
                    job = await self._jobs.next()
            except TimeoutError:
                await self._guarded(self._retry)
                continue
            try:
                result = await self._guarded(job.run)
            except Exception as error:
                if not job.done.done():
                    job.done.set_exception(error)
                    job.done.exception()
            else:
                if not job.done.done():
                    job.done.set_result(result)

    async def _guarded(self, run: Callable[[], Awaitable[T]]) -> T | None:
        """Run something; a lost transport is fatal, a lens in trouble is started anew."""
        try:
            return await run()
        except _TroubleError as trouble:
            await self._guarded(self._restart)
            raise LensTransactionError(str(trouble)) from None
        except TransportError as error:
            self._die(error)
            raise self._failed() from error

    async def _retry(self) -> None:
        """Try once more to wake a lens."""
        try:
            await self._start()
        except LensError as error:
            _log.debug("%s: %s", self.transport.url, error)

    async def _ask(self, urgency: Urgency, run: Callable[[], Awaitable[T]]) -> T:
        """Have the owner do something, and wait for what comes of it."""
        if self._fatal is not None:
            raise self._failed()
        if self._owner is None or self._owner.done():
            raise LensFailedError("the driver is not open")
        done: asyncio.Future[T] = self._jobs.add(urgency, run)
        return await done

    # lifecycle

    def _live(self) -> None:
        """Note what the session says."""
        state = self._connection.states[Role.BODY]
        life = _LIVES.get(state, Life.ASLEEP if self._wants_sleep else Life.ABSENT)
        if life is self._life:
            return
        before, self._life = self._life, life
        _log.info("%s: %s -> %s", self.transport.url, before, life)
        self._tell(LifeChanged(self.transport.now_ns(), before, life))

    def _tell(self, event: DriverEvent) -> None:
        for listener in self._listeners:
            listener.put(event)

    async def _start(self) -> None:
        """Wake the lens and bring it up, as often as allowed."""
        for _ in range(START_TRIES):
            if self._life is not Life.ABSENT:
                await self._power_off()
                await asyncio.sleep(OFF_S)
            if not await self._wake():
                self._become_passive()
                return
            try:
                await self._bring_up()
            except _TroubleError as trouble:
                self.counters["start_failed"] += 1
                reason = str(trouble)
                continue
            await self._poll()
            return
        self._connection.give_up(self.transport.now_ns())
        self._drain()
        error = LensGoneError(f"the lens wakes up, but {reason}")
        self._die(error)
        raise self._failed() from error

    async def _restart(self) -> None:
        """Start a lens anew that has lost its way; what it was doing is lost."""
        self.counters["restarts"] += 1
        self._fail_drives(LensGoneError("the lens lost its way and is started anew"))
        await self._start()

    async def _wake(self) -> bool:
        self._wants_sleep = False
        transport, connection = self.transport, self._connection
        connection.receive_pin_event(PinEvent.POWER_UP, transport.now_ns())
        self._live()
        if await transport.power(on=True):
            connection.receive_pin_event(PinEvent.WAKE_PULSE, transport.now_ns())
            self._live()
            return True
        now_ns = transport.now_ns()
        connection.handle_timeout(max(now_ns, connection.next_timeout() or now_ns))
        self._drain()
        return False

    def _become_passive(self) -> None:
        if self.lens is None:
            self.lens = Lens(self, None)
        elif self.lens.identity is not None:
            self._end_lens(LensGoneError("the lens does not answer any more"))
            self.lens = Lens(self, None)
        self._fail_drives(LensPassiveError("nothing on the mount answers"))

    async def _bring_up(self) -> None:
        """Carry out the start-up, and the set-up drive that belongs to it."""
        identity: Identify | None = None
        capability = b""
        for step in self._dialect.steps:
            seen = await self._transact(step.command, step.block)
            await asyncio.sleep(STEP_PAUSE_S)
            if isinstance(seen.message, Identify):
                identity = seen.message
            elif seen.name == "LinkCapability":
                capability = seen.transaction.data
        if identity is None:
            raise _TroubleError("its identity cannot be read")
        await self._transact(Drive(focus_operation="setup"))
        self._attach(identity, capability)

    def _attach(self, identity: Identify, capability: bytes) -> None:
        """Go on with the handle of the same lens, or begin one for another."""
        if self.lens is not None and self.lens.identity == identity and not self.lens.ended:
            return
        if self.lens is not None:
            self._end_lens(LensGoneError("another lens is on the mount"))
        self.lens = Lens(self, identity, capability)
        self._tell(LensAttached(self.transport.now_ns(), self.lens))

    def _end_lens(self, error: LensError | None) -> None:
        if self.lens is not None and not self.lens.ended:
            self.lens.end(error)
            self._tell(LensDetached(self.transport.now_ns(), self.lens, error))

    async def _power_off(self) -> None:
        await self._stop_polling()
        self._fail_drives(LensAsleepError("the lens has been put to sleep"))
        await self.transport.power(on=False)
        self._connection.receive_pin_event(PinEvent.POWER_DOWN, self.transport.now_ns())
        self._live()

    def _failed(self) -> LensFailedError:
        error = LensFailedError(f"the lens cannot be driven any more: {self._fatal}")
        error.__cause__ = self._fatal
        return error

    def _die(self, error: Exception) -> None:
        """Take note of the first fatal error, which is the cause of all that follow."""
        if self._fatal is not None:
            return
        self._fatal = error
        _log.error("%s: %s", self.transport.url, error)
        before, self._life = self._life, Life.FAILED
        self._tell(LifeChanged(self.transport.now_ns(), before, Life.FAILED))
        self._fail_all(self._failed())
        self._end_lens(self._failed())

    def _fail_all(self, error: LensError) -> None:
        self._jobs.fail(error)
        self._fail_drives(error)

    # transactions

    async def _transact(self, message: Message | bytes, data: bytes = b"") -> MessageSeen:
        """Carry out a transaction, and again when it goes wrong; return what it said.

        Raises:
            _TroubleError: it went wrong as often as it was tried.
            LocalProtocolError: it has no place in the session as it stands.
        """
        command = message.command if isinstance(message, Message) else message
        data = message.block if isinstance(message, Message) else data
        shape = self.catalogue.shape_of(command)
        reason = ""
        for _ in range(TRIES):
            try:
                self._connection.check(message)
            except LocalProtocolError as error:
                if reason:
                    break
                raise LensError(str(error)) from None
            assert shape is not None
            outcome = await self.transport.transact(tuple(transfers_of(command, shape, data)))
            seen = self._digest(command, data, outcome)
            if seen is not None and seen.transaction.complete and seen.transaction.sums_ok:
                return seen
            reason = self._blame(command, outcome)
        raise _TroubleError(reason)

    def _digest(self, command: bytes, data: bytes, outcome: Outcome) -> MessageSeen | None:
        """Give the engine a transaction that has been carried out; return what it made of it."""
        connection = self._connection
        connection.receive_transaction(command, data, outcome.said, outcome.start_ns, outcome.end_ns)
        return self._drain()

    def _drain(self) -> MessageSeen | None:
        """Take the engine's events; return the last message."""
        seen: MessageSeen | None = None
        for event in self._connection.events():
            if isinstance(event, MessageSeen):
                seen = event
            elif isinstance(event, Violation):
                self.counters[str(event.cause)] += 1
            elif isinstance(event, TransactionSeen) and not event.sums_ok:
                self.counters["wrong_sum"] += 1
        self._live()
        return seen

    def _blame(self, command: bytes, outcome: Outcome) -> str:
        kind = self.catalogue.find(command)
        name = kind.spec.name if kind else command.hex(" ")
        why = outcome.broke_off.meaning if outcome.broke_off else "The sum is wrong."
        _log.warning("%s: %s: %s", self.transport.url, name, why)
        return f"{name} went wrong: {why}"

    # polling

    async def _poll(self) -> None:
        """Have the transport poll, and tell as much as anybody wants to know."""
        wanted = Frames(self._frame_hz, self._dialect.poll, report=self._report())
        if wanted != self._frames:
            self._frames = wanted
            await self.transport.start_frames(wanted)

    async def _stop_polling(self) -> None:
        if self._frames is not None:
            self._frames = None
            await self.transport.stop_frames()

    def _report(self) -> Report:
        busy = self._watches or (self.lens is not None and self.lens.has_readers)
        return Report.ALL if busy else Report.CHANGES

    def adjust_polling(self) -> None:
        """Take note that somebody has begun, or ceased, to follow the statuses."""
        if self._life in _UP and self._frames is not None and self._frames.report is not self._report():
            self._jobs.add(Urgency.SCHEDULE, self._adjust)

    async def _adjust(self) -> None:
        if self._life in _UP:
            await self._poll()

    def _on_sign(self, sign: Sign) -> None:
        """Take what the transport tells without being asked."""
        if isinstance(sign, Lost):
            self._die(sign.error)
        elif isinstance(sign, Heartbeat):
            self._on_heartbeat(sign)
        elif self._frames is not None and self._life in _UP:
            self._on_poll(sign)

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        self.counters["polls"] += beat.alike
        if self.lens is not None and self.lens.status is not None and beat.alike:
            self.lens.still(beat.t_ns)

    def _on_poll(self, polled: Polled) -> None:
        assert self._frames is not None
        self.counters["polls"] += 1 + polled.alike
        outcome = polled.outcome
        seen = self._digest(self._frames.poll, b"", outcome)
        good = seen is not None and seen.transaction.complete and seen.transaction.sums_ok
        if good and seen is not None and isinstance(seen.message, Status):
            self._bad_polls = 0
            self._on_status(LensStatus.of(seen.message, outcome.end_ns))
            return
        self._bad_polls += 1
        reason = self._blame(self._frames.poll, outcome)
        if self._bad_polls >= TRIES or self._life is Life.GONE:
            self._repair(reason)

    def _repair(self, reason: str) -> None:
        """Have the lens started anew, once."""
        if not self._repairing:
            self._repairing = True
            self._bad_polls = 0
            self._fail_drives(LensGoneError(reason))
            repaired = self._jobs.add(Urgency.REPAIR, self._repaired)
            repaired.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _repaired(self) -> None:
        try:
            await self._restart()
        finally:
            self._repairing = False

    def _on_status(self, status: LensStatus) -> None:
        assert self.lens is not None
        self.lens.take(status)
        for driven, (watch, done) in list(self._watches.items()):
            ended = watch.take(status)
            if ended is False:
                continue
            del self._watches[driven]
            if isinstance(ended, DriveError):
                _resolve(done, error=ended)
            else:
                _resolve(done, status)
        self.adjust_polling()

    # what a lens's handle asks for

    async def drive(self, message: Drive, driven: Driven, target: float | None, *, wait: bool) -> LensStatus | None:
        """Drive something; return the status in which it ended, or None without waiting."""
        urgency = Urgency.COMMAND
        done: asyncio.Future[LensStatus] = asyncio.get_running_loop().create_future()
        await self._ask(urgency, partial(self._drive, message, driven, target, done))
        if not wait:
            done.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            return None
        try:
            async with asyncio.timeout(TIMEOUTS[Wait.DRIVE].limit_ns / 1e9):
                return await done
        except TimeoutError:
            if done.done() and not done.cancelled():
                raise
            self._watches.pop(driven, None)
            status = self.lens.status if self.lens else None
            raise DriveTimeoutError(f"the {driven.name} has not come to rest in time", status) from None

    async def _drive(
        self, message: Drive, driven: Driven, target: float | None, done: asyncio.Future[LensStatus]
    ) -> None:
        self.demand_up()
        assert self.lens is not None
        await self._transact(message)
        self.supersede(driven)
        self._watches[driven] = (Watch(driven, target, self.lens.status), done)
        await self._poll()

    def supersede(self, driven: Driven) -> None:
        """End the watch of a drive that another one takes the place of."""
        watched = self._watches.pop(driven, None)
        if watched is not None and self.lens is not None:
            _resolve(
                watched[1], error=DriveSupersededError(f"another {driven.name} drive took its place", self.lens.status)
            )

    async def stop(self, message: Callable[[], Drive]) -> None:
        """Send a drive that overtakes what waits, and end the watch of the focus."""

        async def run() -> None:
            self.demand_up()
            self.supersede(FOCUS)
            await self._transact(message())

        await self._ask(Urgency.STOP, run)

    async def transact(self, message: Message | bytes, data: bytes = b"") -> MessageSeen:
        """Carry out one transaction between the polls."""

        async def run() -> MessageSeen:
            self.demand_up()
            return await self._transact(message, data)

        return await self._ask(Urgency.COMMAND, run)

    async def sleep(self) -> None:
        """Put the lens to sleep, before anything else that waits."""

        async def run() -> None:
            self._wants_sleep = True
            if self._life is not Life.ASLEEP:
                await self._power_off()

        await self._ask(Urgency.POWER, run)

    async def wake(self) -> None:
        """Wake a lens that sleeps."""

        async def run() -> None:
            if self._life not in _UP:
                await self._start()

        await self._ask(Urgency.POWER, run)

    def demand_up(self) -> None:
        """Raise what fits when the lens cannot be driven as it stands."""
        if self._fatal is not None:
            raise self._failed()
        if self._life not in _UP:
            raise _REFUSALS.get(self._life, LensGoneError)(_REASONS.get(self._life, f"the lens is {self._life}"))

    def _fail_drives(self, error: LensError) -> None:
        for _, done in self._watches.values():
            _resolve(done, error=error)
        self._watches.clear()

    @property
    def watched(self) -> int:
        """How many drives are going on."""
        return len(self._watches)


_REFUSALS: dict[Life, type[LensError]] = {Life.ASLEEP: LensAsleepError, Life.PASSIVE: LensPassiveError}
_REASONS = {
    Life.ASLEEP: "the lens sleeps; wake it first",
    Life.PASSIVE: "nothing on the mount answers; attach a lens with contacts",
}


def _resolve(
    done: asyncio.Future[LensStatus], status: LensStatus | None = None, error: LensError | None = None
) -> None:
    """Give whoever waits a result, unless nobody does any more."""
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
        done.exception()
    elif status is not None:
        done.set_result(status)
