"""A recorded exchange as a transport: ``replay:FILE``; with ``?fast=1`` as fast as it is asked.

What is asked must be what was asked then: each call is answered with what was recorded for it, and a call that was not
recorded at this point is an error that names the line. The order is held as strictly as is honest:

* A call waits for its place: what the transport told before it is told first, in its time. A caller who is slower than
  the one of the recording puts off all that follows.
* How often to poll, and which polls to tell, is not compared; polls come as they came then.
* A status may be asked for at any time, and gets what the lens last said to that; one that is not asked for is passed
  over.
* Polling may be stopped, and SLEEP dropped, earlier than then; what was told in between is left out.

When polling goes on for a second behind the end of the recording, the transport says that its other end is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from m43drivers.transport import Heartbeat, Lost, Outcome, Polled, Transport, TransportError, TransportLostError
from m43drivers.transports.recorded import (
    FramesRow,
    HeartbeatRow,
    LostRow,
    PollRow,
    PowerRow,
    StopRow,
    TransactRow,
    read_exchange,
)
from m43drivers.transports.recording import FAILURES, written_data
from m43proto.messages import PUBLIC, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from m43drivers.transport import Abilities, Frames
    from m43drivers.transports.recorded import Row
    from m43proto.catalogue import Catalogue
    from m43proto.exchange import Transfer

__all__ = ["ReplayTransport"]

GRACE_NS = 1_000_000_000
"""How long polling may go on behind the end of the recording."""

EARLY_NS = 1_000_000
"""A caller who is so much ahead of the recording is early; one who is less is on time."""

_Sign = PollRow | HeartbeatRow | LostRow


class ReplayTransport(Transport):
    """Answers as recorded.

    Args:
        address: what stands behind ``replay:``: a file, and ``?fast=1`` for one that nobody wants to wait for; its
            clock is then that of the recording.
        catalogue: not needed; a recording holds bytes.

    Raises:
        TransportError: the file cannot be read, or a line of it is wrong.
    """

    def __init__(self, address: str, catalogue: Catalogue = PUBLIC) -> None:
        super().__init__(f"replay:{address}")
        name, _, query = address.partition("?")
        options = dict(parse_qsl(query, keep_blank_values=True))
        self._fast = options.pop("fast", "0") == "1"
        if options:
            raise TransportError(f"replay: has no key {next(iter(options))}; keys: fast")
        self._path = Path(name)
        exchange = read_exchange(self._path)
        self._rows = exchange.rows
        self._abilities = exchange.abilities
        self._at = 0
        self._shift_ns = 0
        self._reached_ns = 0
        self._free_ns = 0
        self._lock = asyncio.Lock()
        self._moved = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._polling = False
        self._passed_stops: deque[StopRow] = deque()
        self._open = False
        self._lost: TransportLostError | None = None

    # time

    def now_ns(self) -> int:
        """Return the time of the event loop, or, when nobody waits, how far the recording has come."""
        return self._reached_ns if self._fast else _loop_ns()

    def _due_ns(self, recorded_ns: int) -> int:
        return recorded_ns + self._shift_ns

    async def _until(self, t_ns: int) -> None:
        """Wait for a time; let it be that time when nobody waits."""
        self._reached_ns = max(self._reached_ns, t_ns)
        await asyncio.sleep(0 if self._fast else max(t_ns - _loop_ns(), 0) / 1e9)

    # opening and closing

    async def open(self) -> Abilities:
        """Begin at the start of the recording."""
        self._shift_ns = self._reached_ns = _loop_ns()
        self._open = True
        self._arm()
        return replace(self._abilities, name=f"recording of {self._abilities.name}")

    async def close(self) -> None:
        """Let go of the recording."""
        self.abort()

    def abort(self) -> None:
        """Let go of the recording."""
        self._open = self._polling = False
        self._disarm()
        self._moved.set()

    # calls

    async def power(self, *, on: bool) -> bool:
        """Raise or drop SLEEP."""
        async with self._lock:
            if not on:
                await self._power_off()
                return False
            row = await self._carry_out(
                lambda row: isinstance(row, PowerRow) and row.on, lambda row: False, "SLEEP to be raised"
            )
            assert isinstance(row, PowerRow)
            return row.woke

    async def _power_off(self) -> None:
        at = next((at for at, row in self._ahead() if _drops_sleep(row)), None)
        if at is None:
            self._at = len(self._rows)
            self._arm()
        else:
            self._leave_out(at)
            await self._go_to(at)

    async def transact(self, transfers: Sequence[Transfer]) -> Outcome:
        """Carry out one transaction."""
        command, data = transfers[0].data, written_data(transfers)

        def same(row: Row) -> bool:
            return isinstance(row, TransactRow) and (row.command, row.data) == (command, data)

        async with self._lock:
            call = self._next_call()
            if _asks_status(command) and (call is None or not same(call)):
                return await self._last_said(command)
            row = await self._carry_out(same, _is_status, _described(command, data))
            assert isinstance(row, TransactRow)
            return self._outcome(row)

    async def start_frames(self, frames: Frames) -> None:
        """Begin to poll, or go on in another way."""
        async with self._lock:
            recorded = next((row for _, row in self._ahead() if isinstance(row, FramesRow | PollRow)), None)
            if recorded is not None and _poll_of(recorded) != frames.poll:
                raise self._mismatch(recorded, f"polls with {frames.poll.hex(' ')}")
            self._polling = True
            self._arm()

    async def stop_frames(self) -> None:
        """Stop polling."""
        async with self._lock:
            at, row = next(((at, row) for at, row in self._ahead() if not isinstance(row, _Sign)), (0, None))
            try:
                if isinstance(row, StopRow) and not self._take_passed_stop():
                    self._leave_out(at)
                    await self._go_to(at)
            finally:
                self._polling = False
                self._arm()

    def _take_passed_stop(self) -> bool:
        """Tell whether a stop that is asked for now is one that was passed over already, for it waits for nobody."""
        while self._passed_stops:
            passed = self._passed_stops.popleft()
            if self.now_ns() - self._due_ns(passed.end_ns) < EARLY_NS:
                return True
        return False

    # the place in the recording

    def _ahead(self) -> Iterator[tuple[int, Row]]:
        """Yield what is still to come, with its place."""
        for at in range(self._at, len(self._rows)):
            yield at, self._rows[at]

    def _next_call(self) -> PowerRow | TransactRow | None:
        """Return the call that is next, behind what is only told and how to poll."""
        return next((row for _, row in self._ahead() if isinstance(row, PowerRow | TransactRow)), None)

    async def _carry_out(
        self, wanted: Callable[[Row], bool], passed: Callable[[Row], bool], asked: str
    ) -> PowerRow | TransactRow:
        """Wait for the place of a call, and for its end.

        Args:
            wanted: tells whether a row is this call.
            passed: tells whether a row may be passed over on the way to it.
            asked: what the call asks, for an error.
        """
        at = self._place(wanted, passed, asked)
        await self._go_to(at)
        row = self._rows[at]
        assert isinstance(row, PowerRow | TransactRow)
        kind = FAILURES[row.failed or ""]
        if kind is not None:
            raise kind(row.error)
        return row

    async def _go_to(self, at: int) -> None:
        """Wait for the place of a row, and for its end."""
        self._demand_open()
        await self._until(self._free_ns)
        row = self._rows[at]
        if not self._fast:
            self._shift_ns = max(self._shift_ns, _loop_ns() - row.t_ns)
            self._arm()
        while self._at < at:
            if isinstance(self._rows[self._at], _Sign):
                self._moved.clear()
                await self._moved.wait()
            else:
                self._at += 1
                self._arm()
            self._demand_open()
        self._at = max(self._at, at + 1)
        self._disarm()
        self._free_ns = self._due_ns(row.end_ns)
        try:
            await self._until(self._free_ns)
        finally:
            self._arm()

    def _leave_out(self, at: int) -> None:
        """Go on shortly before a row that is asked for early; what was told until then is left out."""
        t_ns = self._rows[at].t_ns
        if self._fast or self._due_ns(t_ns) - _loop_ns() < EARLY_NS:
            return
        self._shift_ns = _loop_ns() - t_ns
        while self._at < at and self._rows[self._at].end_ns <= t_ns:
            self._at += 1
        self._moved.set()
        self._arm()

    def _place(self, wanted: Callable[[Row], bool], passed: Callable[[Row], bool], asked: str) -> int:
        self._demand_open()
        for at, row in self._ahead():
            if wanted(row):
                return at
            if isinstance(row, PowerRow | TransactRow) and not passed(row):
                raise self._mismatch(row, asked)
        raise TransportLostError(f"{self._path}: the recording ends with line {self._last_line}; asked was {asked}")

    def _mismatch(self, row: Row, asked: str) -> TransportError:
        return TransportError(
            f"{self._path}: line {row.line} has {_recorded(row)}, but asked was {asked}; ask as in the recording, or "
            "record anew"
        )

    def _demand_open(self) -> None:
        if self._lost is not None:
            raise self._lost
        if not self._open:
            raise TransportLostError(f"{self._path}: is not open")

    async def _last_said(self, command: bytes) -> Outcome:
        """Return what the lens last said to a status command."""
        self._demand_open()
        for at in reversed(range(self._at)):
            row = self._rows[at]
            if isinstance(row, PollRow | TransactRow) and row.command == command and row.said:
                now_ns = self.now_ns()
                await self._until(now_ns + row.end_ns - row.t_ns)
                return Outcome(now_ns, now_ns + row.end_ns - row.t_ns, row.said, row.broke_off)
        call = self._next_call()
        if call is None:
            raise TransportLostError(f"{self._path}: the recording ends with line {self._last_line}, without a status")
        raise self._mismatch(call, _described(command, b""))

    @property
    def _last_line(self) -> int:
        return self._rows[-1].line if self._rows else 1

    # what is told

    def _arm(self) -> None:
        """Set the timer for what comes next by itself."""
        self._disarm()
        if not self._open or self._lost is not None:
            return
        while (row := self._row()) is not None and self._goes_by(row):
            self._at += 1
            if isinstance(row, StopRow):
                self._passed_stops.append(row)
        if isinstance(row, _Sign):
            self._timer = self._call_at(0 if self._fast else self._due_ns(row.end_ns), self._turn)
        elif self._polling and (row is None or self._is_end(row)):
            end_ns = 0 if self._fast or row is None else self._due_ns(row.t_ns)
            self._timer = self._call_at(max(end_ns, _loop_ns()) + GRACE_NS, self._end)

    def _row(self) -> Row | None:
        return self._rows[self._at] if self._at < len(self._rows) else None

    def _is_end(self, row: Row) -> bool:
        """Tell whether nothing follows but the end of the session."""
        return _drops_sleep(row) and row is self._rows[-1]

    def _call_at(self, t_ns: int, call: Callable[[], None]) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_at(max(t_ns / 1e9, loop.time()), call)

    def _goes_by(self, row: Row) -> bool:
        """Tell whether a row waits for nobody: the end of polling, and another way to poll."""
        return isinstance(row, StopRow) or (self._polling and isinstance(row, FramesRow))

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        row = self._rows[self._at]
        self._at += 1
        self._reached_ns = max(self._reached_ns, self._due_ns(row.end_ns))
        self._say(row)
        self._moved.set()
        self._arm()

    def _say(self, row: Row) -> None:
        if isinstance(row, LostRow):
            self._lose(row.error)
        elif isinstance(row, HeartbeatRow):
            self.tell(Heartbeat(self._due_ns(row.t_ns), row.alike, row.counters))
        elif isinstance(row, PollRow) and self._polling:
            self.tell(Polled(self._outcome(row), row.alike))

    def _end(self) -> None:
        self._lose(f"{self._path}: the recording ends with line {self._last_line}")

    def _lose(self, text: str) -> None:
        self._lost = TransportLostError(text)
        self.tell(Lost(self._lost))

    def _outcome(self, row: TransactRow | PollRow) -> Outcome:
        return Outcome(self._due_ns(row.t_ns), self._due_ns(row.end_ns), row.said, row.broke_off)


def _loop_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


def _drops_sleep(row: Row) -> bool:
    return isinstance(row, PowerRow) and not row.on


def _asks_status(command: bytes) -> bool:
    return command[:2] == Status.spec.opcode


def _is_status(row: Row) -> bool:
    return isinstance(row, TransactRow) and _asks_status(row.command)


def _described(command: bytes, data: bytes) -> str:
    return f"the command {command.hex(' ')}" + (f" with {data.hex(' ')}" if data else "")


def _recorded(row: Row) -> str:
    """Return what a row holds, in words."""
    if isinstance(row, PowerRow):
        return "SLEEP to be raised" if row.on else "SLEEP to be dropped"
    if isinstance(row, TransactRow):
        return _described(row.command, row.data)
    assert isinstance(row, FramesRow | PollRow)
    return f"polls with {_poll_of(row).hex(' ')}"


def _poll_of(row: FramesRow | PollRow) -> bytes:
    return row.poll if isinstance(row, FramesRow) else row.command
