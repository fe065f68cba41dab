"""The phone's side of the mount: wakes a lens, brings it up, keeps polling, and survives what lens and bridge do wrong.

One task, the owner, talks to the transport; callers put jobs into its queue and wait for futures. So a caller that is
cancelled never cuts a transaction, and stopping overtakes everything that waits. What a session allows, and what
follows from what, is the engine's (`m43proto.session`); this room only says when to try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from m43drivers.body.bus import Bus, TroubleError
from m43drivers.body.drives import FOCUS, Driven, Drives, Watch
from m43drivers.body.errors import (
    DriveSupersededError,
    DriveTimeoutError,
    LensAsleepError,
    LensError,
    LensFailedError,
    LensGoneError,
    LensPassiveError,
    LensRefusedError,
    LensTransactionError,
)
from m43drivers.body.events import DriverEvent, LensAttached, LensDetached, LifeChanged
from m43drivers.body.jobs import Job, Jobs, Urgency
from m43drivers.body.lens import Lens
from m43drivers.body.life import LIVES, UP, Life
from m43drivers.body.polling import Polling
from m43drivers.body.startup import start_up
from m43drivers.body.status import BoundedStream, LensStatus
from m43drivers.transport import Heartbeat, Lost, Polled, Report, Sign, TransportError, TransportLostError
from m43proto.dialects import DIALECTS
from m43proto.messages import PUBLIC, Drive, Identify, Status
from m43proto.session import TIMEOUTS, Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from m43drivers.transport import Abilities, Transport
    from m43proto.catalogue import Catalogue
    from m43proto.events import MessageSeen
    from m43proto.schema import Message

__all__ = ["CLOSE_S", "BodyDriver"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

BAD_POLLS = 3
"""After how many polls in a row that went wrong a lens is started anew."""

START_TRIES = 3
"""How often a lens that wakes up, but does not come through start-up and a poll, is started before it is given up."""

OFF_S = 0.1
"""How long SLEEP stays low before a lens is started anew (provisional; the public body program waits as long)."""

PASSIVE_PAUSE_S = 1.0
"""How long after a vain attempt to wake a lens the next one comes (provisional)."""

CLOSE_S = 1.0
"""How long closing may take; then everything is let go."""

ABORT_S = 0.05
"""How long after letting go is waited for what was let go to end; then it is left to itself."""

EVENTS_HELD = 256
"""How many events wait for a slow reader before the oldest go."""


class BodyDriver:
    """Drives the lens on one transport.

    Args:
        transport: what carries the transactions; the driver opens and closes it.
        dialect: how to start the lens (`m43proto.dialects.DIALECTS`).
        catalogue: the messages to know; stabilisation needs the provisional one.
        frame_hz: how often to poll.

    Attributes:
        lens: the handle of the lens that is on the mount, or was last; None before `open`.
        counters: polls, restarts, and what went wrong, by cause.
        bridge_counters: what the other end of the transport counts, as of its last heartbeat.
        abilities: what the other end of the transport said of itself; None before `open`.

    Raises:
        LensRefusedError: there is no such dialect, or the frame rate is not a number above 0.
    """

    def __init__(
        self, transport: Transport, *, dialect: str = "E-PL1", catalogue: Catalogue = PUBLIC, frame_hz: float = 60.0
    ) -> None:
        if dialect not in DIALECTS:
            raise LensRefusedError(f"no dialect is called {dialect}; dialects: {', '.join(DIALECTS)}")
        self.transport = transport
        self.catalogue = catalogue
        self.lens: Lens | None = None
        self.counters: Counter[str] = Counter()
        self.bridge_counters: Mapping[str, int] = {}
        self.abilities: Abilities | None = None
        self._dialect = DIALECTS[dialect]
        self._polling = Polling(transport, self._dialect.poll, frame_hz)
        self._bus = Bus(transport, catalogue, self.counters, self._live)
        self._jobs = Jobs()
        self._job: Job | None = None
        self._owner: asyncio.Task[None] | None = None
        self._life = Life.ABSENT
        self._fatal: Exception | None = None
        self._closed = False
        self._over = False
        self._wants_sleep = False
        self._probing = False
        self._starting = False
        self._repairing = False
        self._adjusting = False
        self._starts = 0
        self._vain_starts = 0
        self._stops = 0
        self._off: asyncio.Future[None] | None = None
        self._drives = Drives()
        self._listeners: WeakSet[BoundedStream[DriverEvent]] = WeakSet()

    @property
    def life(self) -> Life:
        """Where the driver is with its lens."""
        return self._life

    @property
    def fatal(self) -> Exception | None:
        """What has failed the driver, or None."""
        return self._fatal

    # opening and closing

    async def open(self) -> Lens:
        """Reach the mount and wake the lens; return its handle, also when nothing answers (`Life.PASSIVE`).

        Raises:
            TransportError: the mount cannot be reached.
            LensFailedError: the lens wakes up, but cannot be started; or the driver has been opened before.
        """
        if self._owner is not None or self._closed:
            raise LensFailedError("a driver is opened once; make another")
        self.transport.tell = self._on_sign
        try:
            self.abilities = await self.transport.open()
            self._owner = asyncio.create_task(self._own(), name=f"m43 owner of {self.transport.url}")
            await self._ask(Urgency.POWER, self._start)
        except BaseException:
            await self.close()
            raise
        assert self.lens is not None
        return self.lens

    async def close(self) -> None:
        """Put the lens to sleep and let go of the mount.

        Ends within `CLOSE_S` whatever happens: what has not ended by then is aborted. So it is at once when the caller
        is cancelled.
        """
        if self._closed:
            return
        self._closed = True
        parting = asyncio.create_task(self._part(), name=f"m43 parting from {self.transport.url}")
        try:
            await asyncio.wait([parting], timeout=CLOSE_S)
        finally:
            if not parting.done():
                _log.warning("%s: closing took too long, or was cancelled; aborted", self.transport.url)
                self._abort(parting)
            self._end()
        await asyncio.wait([parting], timeout=ABORT_S)
        if parting.done() and not parting.cancelled() and parting.exception() is not None:
            _log.warning("%s: closing: %s", self.transport.url, parting.exception())

    async def _part(self) -> None:
        """Put the lens to sleep, and let go of the mount."""
        if self._owner is not None:
            if not isinstance(self._fatal, TransportError):
                self._off = self._jobs.add(Urgency.POWER, self._power_off)
                await asyncio.wait([self._off])
            self._owner.cancel()
            await asyncio.wait([self._owner])
        await self.transport.close()

    def _abort(self, parting: asyncio.Task[None]) -> None:
        self.transport.abort()
        parting.cancel()
        if self._owner is not None:
            self._owner.cancel()
        self._drives.fail(_closed_error())
        if self._fatal is None:
            self._enter(Life.ABSENT)

    def _end(self) -> None:
        """End all that somebody may wait for."""
        self._over = True
        self.transport.tell = lambda sign: None
        if self._job is not None:
            self._job.fail(_closed_error())
        self._fail_all(_closed_error)
        self._end_lens(None)
        for listener in list(self._listeners):
            listener.end()

    def events(self) -> BoundedStream[DriverEvent]:
        """Return a stream of what happens: lenses that come and go, and states."""
        stream: BoundedStream[DriverEvent] = BoundedStream(EVENTS_HELD)
        if self._closed:
            stream.end()
        self._listeners.add(stream)
        return stream

    # the owner

    async def _own(self) -> None:
        """Do the jobs, one after the other; wake a mount on which nothing answers now and then."""
        while not self._over:
            try:
                async with asyncio.timeout(PASSIVE_PAUSE_S if self._life is Life.PASSIVE else None):
                    self._job = await self._jobs.next()
            except TimeoutError:
                await self._probe()
            else:
                await self._do(self._job)
                self._job = None
            self._settle()

    async def _do(self, job: Job) -> None:
        try:
            job.succeed(await self._guarded(job.run))
        except Exception as error:
            job.fail(error)

    async def _guarded(self, run: Callable[[], Awaitable[T]]) -> T:
        """Run something; a lost transport is fatal, a lens in trouble is started anew."""
        try:
            try:
                return await run()
            except TroubleError as trouble:
                error = self._lost_way(str(trouble))
                await self._restart(str(trouble))
                raise error from None
        except TransportError as error:
            self._die(error)
            raise self._failed() from error

    async def _probe(self) -> None:
        """Try once more to wake a lens where nothing answered; to the user the mount is passive meanwhile."""
        self._probing = True
        try:
            await self._guarded(self._start)
        except LensError as error:
            _log.debug("%s: %s", self.transport.url, error)
        finally:
            self._probing = False

    def _settle(self) -> None:
        """See to it that a start-up that gave way to somebody who then went away is taken up again."""
        if self._life in (Life.WAKING, Life.INITIALISING, Life.GONE):
            self._repair(f"the lens was left {self._life}")

    async def _ask(self, urgency: Urgency, run: Callable[[], Awaitable[T]]) -> T:
        """Have the owner do something, and wait for what comes of it."""
        self._demand_life()
        return await self._queue(urgency, run)

    async def _queue(self, urgency: Urgency, run: Callable[[], Awaitable[T]]) -> T:
        if self._owner is None:
            raise LensFailedError("the driver is not open")
        done: asyncio.Future[T] = self._jobs.add(urgency, run)
        return await done

    def _demand_life(self) -> None:
        if self._closed:
            raise _closed_error()
        if self._fatal is not None:
            raise self._failed()

    # lifecycle

    def _live(self) -> None:
        """Note what the session says."""
        life = LIVES.get(self._bus.state, Life.ASLEEP if self._wants_sleep else Life.ABSENT)
        if self._probing and life in (Life.ABSENT, Life.WAKING):
            life = Life.PASSIVE
        if self._starting and life in UP:
            life = Life.INITIALISING
        if self._fatal is None and life is not Life.FAILED:
            self._enter(life)

    def _enter(self, life: Life, why: str = "") -> None:
        if life is self._life:
            return
        before, self._life = self._life, life
        _log.log(logging.ERROR if why else logging.INFO, "%s: %s -> %s%s", self.transport.url, before, life, why)
        self._tell(LifeChanged(self.transport.now_ns(), before, life))
        self.adjust_polling()

    def _tell(self, event: DriverEvent) -> None:
        for listener in list(self._listeners):
            listener.put(event)

    async def _start(self) -> None:
        """Wake the lens and bring it up, as often as allowed; then have it polled."""
        reason = ""
        for _ in range(START_TRIES):
            if self._life is not Life.ABSENT:
                await self._power_off()
                await asyncio.sleep(OFF_S)
            self._starts += 1
            self._wants_sleep = False
            if not await self._bus.power_up():
                self._become_passive()
                return
            self._probing = False
            try:
                await self._bring_up()
            except TroubleError as trouble:
                self.counters["start_failed"] += 1
                reason = str(trouble)
                continue
            self._live()
            await self._poll()
            return
        self._give_up(f"the lens wakes up, but {reason}")

    def _give_up(self, reason: str) -> None:
        """Give the lens up.

        Raises:
            LensFailedError: always.
        """
        self._bus.give_up()
        error = LensGoneError(reason)
        self._die(error)
        raise self._failed() from error

    async def _restart(self, reason: str) -> None:
        """Start a lens anew that has lost its way; what it was doing is lost."""
        self.counters["restarts"] += 1
        self._drives.fail(self._lost_way(reason))
        self._vain_starts += 1
        if self._vain_starts > START_TRIES:
            self._give_up(f"the lens comes up, but {reason}")
        await self._start()

    def _lost_way(self, reason: str) -> LensError:
        """Return the error of what a lens was doing that is gone, or is started anew."""
        kind = LensGoneError if self._life is Life.GONE else LensTransactionError
        return kind(f"{reason} The lens is started anew.")

    def _become_passive(self) -> None:
        if self.lens is None or self.lens.ended or self.lens.identity is not None:
            self._end_lens(LensGoneError("the lens does not answer any more"))
            self.lens = Lens(self, None)
        self._drives.fail(LensPassiveError("nothing on the mount answers"))

    async def _bring_up(self) -> None:
        """Carry out the start-up, and have the handle of the lens at hand when it is told to be ready."""
        self._starting = True
        try:
            started = await start_up(self._bus, self._dialect, self._give_way)
            lens = self._attach(started.identity, started.link)
            if started.status is not None:
                lens.take(started.status)
        finally:
            self._starting = False

    def _give_way(self) -> None:
        """Leave a start-up for somebody who wants the lens to sleep."""
        if self._off is not None and not self._off.done():
            raise LensAsleepError("the lens is put to sleep")

    def _attach(self, identity: Identify, capability: bytes) -> Lens:
        """Go on with the handle of the same lens, or begin one for another."""
        if self.lens is None or self.lens.identity != identity or self.lens.ended:
            self._end_lens(LensGoneError("another lens is on the mount"))
            self.lens = Lens(self, identity, capability)
            self._tell(LensAttached(self.transport.now_ns(), self.lens))
        return self.lens

    def _end_lens(self, error: LensError | None) -> None:
        if self.lens is not None and not self.lens.ended:
            self.lens.end(error)
            self._tell(LensDetached(self.transport.now_ns(), self.lens, error))

    async def _power_off(self) -> None:
        await self._polling.stop()
        self._drives.fail(LensAsleepError("the lens has been put to sleep"))
        self._wants_sleep |= self._closed
        await self._bus.power_down()

    def _failed(self) -> LensFailedError:
        """Return a new error whose cause is the first fatal one."""
        error = LensFailedError(f"the lens cannot be driven any more: {self._fatal}")
        error.__cause__ = self._fatal
        return error

    def _die(self, error: Exception) -> None:
        """Take note of the first fatal error, which is the cause of all that follow."""
        if self._fatal is None:
            self._fatal = error
            self._enter(Life.FAILED, f": {error}")
            self._fail_all(self._failed)
            self._end_lens(self._failed())

    def _fail_all(self, error: Callable[[], LensError]) -> None:
        self._jobs.fail(error)
        self._drives.fail(error())

    # polling

    async def _poll(self) -> None:
        """Have the transport poll, and tell as much as anybody wants to know."""
        await self._polling.start(self._report())

    def _report(self) -> Report:
        """Return which polls are wanted: all of them as long as somebody counts them, or a drive has not settled."""
        busy = self._drives or (self.lens is not None and self.lens.has_readers)
        return Report.ALL if busy or self._life is Life.DRIVING else Report.CHANGES

    def adjust_polling(self) -> None:
        """Take note that more, or less, is wanted of the polls."""
        if self._life in UP and self._polling.on and not self._adjusting and not self._polling.tells(self._report()):
            self._adjusting = True
            self._jobs.add(Urgency.SCHEDULE, self._adjust).add_done_callback(self._adjusted)

    async def _adjust(self) -> None:
        if self._life in UP and self._polling.on:
            await self._poll()

    def _adjusted(self, done: asyncio.Future[None]) -> None:
        self._adjusting = False

    def _on_sign(self, sign: Sign) -> None:
        """Take what the transport tells without being asked."""
        if isinstance(sign, Lost):
            self._die(sign.error)
        elif isinstance(sign, Heartbeat):
            self._on_heartbeat(sign)
        elif self._polling.on and self._life in UP:
            self._on_poll(sign)

    def _on_heartbeat(self, beat: Heartbeat) -> None:
        self.bridge_counters = beat.counters
        self.counters["polls"] += beat.alike
        if beat.alike and self._polling.on and self._life in UP and self.lens is not None:
            self.lens.still(beat.t_ns)

    def _on_poll(self, polled: Polled) -> None:
        polling, outcome = self._polling, polled.outcome
        self.counters["polls"] += 1 + polled.alike
        seen = self._bus.take(polling.poll, b"", outcome)
        if seen is not None and isinstance(seen.message, Status):
            polling.bad = self._vain_starts = 0
            self._on_status(LensStatus.of(seen.message, outcome.end_ns))
            return
        polling.bad += 1
        reason = self._bus.blame(polling.poll, outcome)
        if polling.bad >= BAD_POLLS or self._life is Life.GONE:
            self._repair(reason)

    def _repair(self, reason: str) -> None:
        """Have the lens started anew, unless somebody else does so, or puts it to sleep, before that."""
        if not self._repairing and not self._closed:
            self._repairing = True
            self._polling.bad = 0
            self._drives.fail(self._lost_way(reason))
            run = partial(self._repaired, reason, self._starts)
            self._jobs.add(Urgency.REPAIR, run).add_done_callback(self._ended_repair)

    async def _repaired(self, reason: str, starts: int) -> None:
        if self._starts == starts and not self._wants_sleep:
            await self._restart(reason)

    def _ended_repair(self, done: asyncio.Future[None]) -> None:
        self._repairing = False

    def _on_status(self, status: LensStatus) -> None:
        assert self.lens is not None
        self.lens.take(status)
        self._drives.take(status)
        self.adjust_polling()

    # what a lens's handle asks for

    async def drive(
        self, lens: Lens, message: Drive, driven: Driven, target: float | None, *, wait: bool
    ) -> LensStatus | None:
        """Drive something; return the status in which it ended, or None without waiting."""
        done: asyncio.Future[LensStatus] = asyncio.get_running_loop().create_future()
        await self._ask(Urgency.COMMAND, partial(self._drive, lens, message, driven, target, done, self._stops))
        if not wait:
            return None
        await asyncio.wait([done], timeout=TIMEOUTS[Wait.DRIVE].limit_ns / 1e9)
        if done.done():
            return done.result()
        self._drives.forget(driven)
        self.adjust_polling()
        raise DriveTimeoutError(f"the {driven.name} has not come to rest in time", lens.status)

    async def _drive(
        self,
        lens: Lens,
        message: Drive,
        driven: Driven,
        target: float | None,
        done: asyncio.Future[LensStatus],
        stops: int,
    ) -> None:
        lens.demand()
        if driven is FOCUS and stops != self._stops:
            raise DriveSupersededError("the focus was stopped before this drive was sent", lens.status)
        await self._bus.transact(message.command, message.block, message=message)
        self._drives.begin(Watch(driven, target, lens.status), done)
        await self._poll()

    async def stop(self, lens: Lens) -> None:
        """Stop the focus before anything else that waits; drives of the focus that wait are not sent any more."""
        self._stops += 1

        async def run() -> None:
            lens.demand()
            self._drives.supersede(FOCUS, lens.status)
            here = (await self._read_status(lens)).focus_position
            assert here is not None
            message = Drive(focus_operation="move", focus_target=here)
            await self._bus.transact(message.command, message.block, message=message)

        await self._ask(Urgency.STOP, run)

    async def transact(self, lens: Lens, message: Message | bytes, data: bytes = b"") -> MessageSeen:
        """Carry out one transaction between the polls."""
        command = message if isinstance(message, bytes) else message.command
        data = data if isinstance(message, bytes) else message.block

        async def run() -> MessageSeen:
            lens.demand()
            seen = await self._bus.transact(command, data, message=None if isinstance(message, bytes) else message)
            if isinstance(message, bytes) and any(seen.kind is step.request for step in self._dialect.steps):
                await self._leave_start_up()
            return seen

        return await self._ask(Urgency.COMMAND, run)

    async def _leave_start_up(self) -> None:
        """Bring the session back where a raw command of the start-up took it from: polls do so (BELL@45cf9b6).

        Two, for the first may itself be the step of the start-up that is due.
        """
        for _ in range(2):
            await self._bus.transact(self._polling.poll)
        if self._life not in UP:
            raise TroubleError("the session does not come back from the start-up.")

    async def status_now(self, lens: Lens) -> LensStatus:
        """Poll once, in the dialect of the start-up."""

        async def run() -> LensStatus:
            lens.demand()
            return await self._read_status(lens)

        return await self._ask(Urgency.COMMAND, run)

    async def _read_status(self, lens: Lens) -> LensStatus:
        seen = await self._bus.transact(self._polling.poll)
        if not isinstance(seen.message, Status):
            raise LensTransactionError(f"a status of {len(seen.transaction.data)} bytes is unknown")
        status = LensStatus.of(seen.message, seen.transaction.end_ns)
        lens.take(status)
        return status

    async def sleep(self) -> None:
        """Put the lens to sleep, before anything else that waits; a start-up that goes on gives way.

        Raises:
            LensFailedError: the lens was given up, or the transport is lost.
        """

        async def run() -> None:
            self._wants_sleep = True
            if self._life is not Life.ASLEEP:
                await self._power_off()

        self._demand_life()
        self._off = self._jobs.add(Urgency.POWER, run)
        await self._off

    async def wake(self) -> Lens:
        """Wake a lens that sleeps, or was given up; return the handle of what is then on the mount.

        That is the same handle as before if it is the same lens, and was not given up in between.

        Raises:
            LensFailedError: the lens wakes up, but cannot be started; or the transport is lost, and only a new driver
                helps.
        """

        async def run() -> None:
            if self._life not in UP:
                self._fatal = None
                self._vain_starts = 0
                await self._start()

        if self._closed or isinstance(self._fatal, TransportLostError):
            self._demand_life()
        await self._queue(Urgency.POWER, run)
        assert self.lens is not None
        return self.lens

    def demand_up(self) -> None:
        """Raise what fits when the lens cannot be driven as it stands."""
        self._demand_life()
        if self._life not in UP:
            kind, reason = _REFUSALS.get(self._life, _STARTING)
            raise kind(reason)


_STARTING = (LensGoneError, "the lens is being started; try again in a second")

_REFUSALS: dict[Life, tuple[type[LensError], str]] = {
    Life.ASLEEP: (LensAsleepError, "the lens sleeps; wake it first"),
    Life.PASSIVE: (LensPassiveError, "nothing on the mount answers; attach a lens with contacts"),
}


def _closed_error() -> LensFailedError:
    return LensFailedError("the driver has been closed; open another")
