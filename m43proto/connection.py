"""The engine: levels of the lines or bytes in, events out; no I/O, no clock.

A ``Connection`` without a role observes: it takes part in nothing and names what body and lens say to each other. Feed
it every change of the lines with `receive_levels` and take what it saw with `next_event`::

    connection = Connection(catalogue=PUBLIC | PROVISIONAL)
    for t_ns, levels in changes:
        connection.receive_levels(t_ns, levels)
    connection.receive_end(t_ns)
    for event in connection.events():
        ...

With a role it is one end, byte by byte: `send` says what to carry over the lines, `receive_data` takes what the other
end said, and the caller brings the time::

    body = Connection(Role.BODY)
    body.receive_pin_event(PinEvent.POWER_UP, now_ns)
    ...
    transfers = body.send(Status.request(), now_ns)     # for a transport that carries whole transactions
    wire.write(body.data_to_send())                     # or for one that carries bytes
    body.receive_data(wire.read(), now_ns)
    body.next_timeout()                                 # when to call handle_timeout
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from m43proto.bare import BareFramer
from m43proto.errors import LocalProtocolError
from m43proto.events import Cause, Event, MessageSeen, PinEvent, PinEventSeen, StateChanged, TransactionSeen, Violation
from m43proto.evidence import Evidence
from m43proto.exchange import BodyExchange, LensExchange, Transfer, transfers_of
from m43proto.framing import Framer
from m43proto.messages import PUBLIC
from m43proto.phy import PinDecoder
from m43proto.pins import LINES, Line, Role
from m43proto.schema import Message
from m43proto.session import TIMEOUTS, Legality, Session, Wait
from m43proto.shapes import COMMAND_SIZE
from m43proto.states import State, Trigger
from m43proto.turns import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from m43proto.catalogue import Catalogue
    from m43proto.phy import LinkSignal, Resumed, WireByte
    from m43proto.shapes import Shape

__all__ = ["UNKNOWN", "Connection", "read_message"]

UNKNOWN = "Unknown"
"""The name of a message whose opcode the catalogue has not."""

_TRIGGERS = {
    PinEvent.POWER_UP: Trigger.POWER_UP,
    PinEvent.WAKE_PULSE: Trigger.WAKE_PULSE,
    PinEvent.POWER_DOWN: Trigger.POWER_DOWN,
}
"""Pin events that change the session."""


class Connection:
    """One end of a mount, or an observer of both.

    Args:
        role: which end; None observes.
        catalogue: the messages that it knows.
        lines: for an observer, the lines that the levels really hold. CLK and DATA are needed. BODY_ACK tells who
            speaks and where a command begins; without it, the message table and the sums must. LENS_ACK tells where
            clocks went astray.

    Raises:
        ValueError: CLK or DATA is not among the lines.
    """

    def __init__(
        self, role: Role | None = None, *, catalogue: Catalogue = PUBLIC, lines: Collection[Line] = LINES
    ) -> None:
        if not {Line.CLK, Line.DATA} <= set(lines):
            raise ValueError("an observer needs CLK and DATA")
        self.role = role
        self.catalogue = catalogue
        self._decoder = PinDecoder(lines)
        framer = Framer if self._decoder.in_bursts else BareFramer
        self._framer = framer(catalogue.shape_of)
        self._session = Session(State.UNSEEN if role is None else State.OFF)
        self._events: deque[Event] = deque()
        self._body: BodyExchange | None = None
        self._lens = LensExchange(catalogue)
        self._deadline_ns: int | None = None

    @property
    def states(self) -> Mapping[Role, State]:
        """The state of the session for each role, by what each of them can see."""
        return self._session.states

    def next_event(self) -> Event | None:
        """Return the next event, or None when more traffic is needed."""
        return self._events.popleft() if self._events else None

    def events(self) -> Iterator[Event]:
        """Yield the events that are ready."""
        while self._events:
            yield self._events.popleft()

    def take_events(self) -> list[Event]:
        """Return the events that are ready, all at once."""
        events = list(self._events)
        self._events.clear()
        return events

    # an observer

    def receive_levels(self, t_ns: int, levels: int) -> None:
        """Take the levels of all lines from `t_ns` on.

        Args:
            t_ns: nanoseconds from the start of the traffic; never decreasing.
            levels: one bit per line, in the order of `LINES`; simultaneous changes in one call.
        """
        for signal in self._decoder.receive(t_ns, levels):
            self._report(self._framer.receive(signal))

    def receive_signal(self, signal: LinkSignal) -> None:
        """Take what a decoder of levels other than this one's own has found."""
        self._report(self._framer.receive(signal))

    def receive_run(self, run: Sequence[WireByte], start: int, stop: int) -> int:
        """Take, as an observer without BODY_ACK, some of the bytes that follow each other: those that mean the same.

        Args:
            run: the bytes.
            start: the first that has not been taken.
            stop: behind the last that may be taken.

        Returns:
            the number behind the last that was taken; at least one is.

        Raises:
            LocalProtocolError: BODY_ACK is among the lines; bytes come in bursts then.
        """
        if not isinstance(self._framer, BareFramer):
            raise LocalProtocolError("with BODY_ACK, bytes come in bursts")
        events, end = self._framer.receive_run(run, start, stop)
        self._report(events)
        return end

    @property
    def at_rest(self) -> bool:
        """Whether an observer has reported all that it took."""
        return self.turns_at_rest and self.lines_at_rest

    @property
    def turns_at_rest(self) -> bool:
        """Whether no transaction is open, and nothing is lost that is still to be reported."""
        return self._framer.at_rest

    @property
    def lines_at_rest(self) -> bool:
        """Whether no clock, byte or burst is open."""
        return self._decoder.at_rest

    @property
    def hunting(self) -> bool:
        """Whether an observer without BODY_ACK still has to recognise a command by its sum."""
        return isinstance(self._framer, BareFramer) and self._framer.hunting

    @property
    def resumed(self) -> Resumed:
        """What another decoder needs to go on from a moment at which this observer is at rest."""
        return self._decoder.resumed

    def rejoin(self, last: Resumed, last_ns: int | None) -> None:
        """Go on, as an observer, behind traffic that was decoded elsewhere, up to a moment at which nothing was open.

        That is how a decoder of whole stretches hands over what is irregular: it need not know what to make of it.

        Args:
            last: what remains of that traffic.
            last_ns: the end of its last whole transaction, or None if it held none.
        """
        self._decoder.rejoin(last)
        if last_ns is not None:
            self._framer.rejoin(last_ns)

    def receive_end(self, t_ns: int) -> None:
        """Take the end of the traffic at `t_ns`; what was still open is reported."""
        self._report(self._framer.finish(self._decoder.finish(t_ns), t_ns))

    def _report(self, events: list[Event]) -> None:
        for event in events:
            self._events.append(event)
            if consequence := _CONSEQUENCES.get(type(event)):
                consequence(self, event)

    def _take_pin_event(self, event: PinEventSeen) -> None:
        if event.event in _TRIGGERS:
            self._session.apply(_TRIGGERS[event.event])

    def _take_violation(self, violation: Violation) -> None:
        if violation.cause is Cause.NO_ANSWER:
            self._session.apply(Trigger.NO_ANSWER)

    def _take_transaction(self, transaction: TransactionSeen) -> None:
        seen = read_message(transaction, self.catalogue)
        self._events.append(seen)
        if transaction.complete and transaction.sums_ok:
            self._note(self._session.take(seen.kind, seen.message, transaction.end_ns))

    def _note(self, changes: list[StateChanged]) -> None:
        if self.role is not None:
            self._events.extend(changes)

    # an end

    def receive_pin_event(self, event: PinEvent, now_ns: int) -> None:
        """Take what happened on the lines outside any byte, whichever end did it."""
        trigger = _TRIGGERS.get(event)
        if trigger is None:
            return
        self._note(self._session.apply(trigger, now_ns))
        self._body = None
        self._lens.drop()
        waking = self.role is Role.BODY and trigger is Trigger.POWER_UP
        self._deadline_ns = now_ns + TIMEOUTS[Wait.WAKE_PULSE].limit_ns if waking else None

    def send(self, message: Message | bytes, now_ns: int, data: bytes = b"") -> tuple[Transfer, ...]:
        """Say something: as a body, begin a transaction; as a lens, answer what `RequestSeen` asked.

        Args:
            message: a message; or raw bytes: a body's four command bytes, or what a lens answers: the data of a block,
                or a status byte.
            now_ns: the time.
            data: the data that a body writes behind a raw command.

        Returns:
            for a body, the turns of the transaction, for a transport that carries it as a whole; for a lens, nothing.

        Raises:
            LocalProtocolError: it has no place in the session as it stands; nothing has been sent.
            EncodeError: a field of the message does not fit.
        """
        if self.role is None:
            raise LocalProtocolError("an observer sends nothing")
        if self.role is Role.LENS:
            self._answer(message, now_ns)
            return ()
        command = message.command if isinstance(message, Message) else message
        data = message.block if isinstance(message, Message) else data
        shape = self._legal_shape(command, message)
        self._body = BodyExchange(command, shape, data, now_ns)
        self._wait(now_ns)
        return tuple(transfers_of(command, shape, data))

    def data_to_send(self) -> bytes:
        """Return the bytes that this end has to say now, once; empty when it is the other's turn."""
        out = self._lens.out if self.role is Role.LENS else self._body.out if self._body else bytearray()
        said = bytes(out)
        out.clear()
        return said

    def receive_data(self, data: bytes, now_ns: int) -> None:
        """Take bytes that the other end said, in any portions."""
        takes = self._lens_takes if self.role is Role.LENS else self._body_takes
        takes(data, now_ns)
        self._wait(now_ns)

    def next_timeout(self) -> int | None:
        """Return when to call `handle_timeout` (ns), or None when nothing is waited for."""
        return self._deadline_ns

    def handle_timeout(self, now_ns: int) -> None:
        """Take note that the time has come, when it has."""
        if self._deadline_ns is None or now_ns < self._deadline_ns:
            return
        self._deadline_ns = None
        if self.role is Role.LENS:
            self._violate(now_ns, Cause.BROKE_OFF, "the body fell silent within a command", self._lens.drop())
            return
        self._lose_answer(now_ns)

    def receive_transaction(self, command: bytes, data: bytes, said: bytes, t_ns: int, end_ns: int) -> None:
        """Take, as a body, a transaction that a transport has carried out as a whole.

        Args:
            command: its command.
            data: the data that the body wrote.
            said: all that the lens said; less than the whole when it broke off.
            t_ns: when it began.
            end_ns: when it ended, or broke off.

        Raises:
            LocalProtocolError: it has no place in the session as it stands.
        """
        self.send(command, t_ns, data)
        self.data_to_send()
        self.receive_data(said, end_ns)
        if self._body is not None:
            self._lose_answer(end_ns)

    def check(self, message: Message | bytes) -> None:
        """Raise `LocalProtocolError` if a body's message, or raw command, has no place in the session as it stands."""
        self._legal_shape(message.command if isinstance(message, Message) else message, message)

    def give_up(self, now_ns: int) -> None:
        """Give the lens up, after as many tries as the caller allows: only power-down leads out."""
        self._abandon(now_ns, Cause.BROKE_OFF, "the body gave the transaction up")
        self._note(self._session.apply(Trigger.GIVEN_UP, now_ns))

    # the body

    def _legal_shape(self, command: bytes, message: Message | bytes) -> Shape:
        shape = self.catalogue.shape_of(command) if len(command) == COMMAND_SIZE else None
        if shape is None:
            raise LocalProtocolError(f"{command.hex(' ')} is no command of a known shape")
        if self._body is not None:
            raise LocalProtocolError("the transaction before has not ended")
        kind = self.catalogue.find(command)
        trigger = self._session.trigger_of(kind, message if isinstance(message, Message) else None)
        if self._session.transition(Role.BODY, trigger).legality is Legality.ILLEGAL:
            name = kind.spec.name if kind else command.hex(" ")
            state = self.states[Role.BODY]
            raise LocalProtocolError(f"{name} has no place while the session is {state}: {state.meaning}")
        return shape

    def _body_takes(self, data: bytes, now_ns: int) -> None:
        exchange = self._body
        try:
            rest = exchange.take(data, now_ns) if exchange else data
        except ValueError as error:
            self._abandon(now_ns, Cause.BLOCK_LENGTH, str(error))
            return
        if exchange and not exchange.open:
            self._body = None
            self._finish(exchange.seen())
        if rest:
            self._violate(now_ns, Cause.OUT_OF_TURN, "the lens spoke without being asked", rest)

    def _lose_answer(self, now_ns: int) -> None:
        """Take note that the lens has not answered, or has stopped answering."""
        begun = self._body is not None and self._body.heard
        detail = "the lens fell silent" if begun else "the lens did not answer in time"
        self._abandon(now_ns, Cause.BROKE_OFF if begun else Cause.NO_ANSWER, detail)
        self._note(self._session.apply(Trigger.BROKE_OFF if begun else Trigger.NO_ANSWER, now_ns))

    def _abandon(self, now_ns: int, cause: Cause, detail: str) -> None:
        exchange, self._body = self._body, None
        self._deadline_ns = None
        if exchange is not None:
            self._finish(exchange.seen())
            self._violate(now_ns, cause, detail, b"")

    def _finish(self, transaction: TransactionSeen) -> None:
        self._events.append(transaction)
        self._take_transaction(transaction)

    # the lens

    def _answer(self, message: Message | bytes, now_ns: int) -> None:
        asked = self._lens.asked
        if isinstance(message, Message) and asked and message.spec.opcode != asked.command[:2]:
            raise LocalProtocolError(f"{message.spec.name} does not answer {asked.command.hex(' ')}")
        try:
            self._finish(self._lens.answer(message.answer if isinstance(message, Message) else message, now_ns))
        except ValueError as error:
            raise LocalProtocolError(str(error)) from None

    def _lens_takes(self, data: bytes, now_ns: int) -> None:
        for value in data:
            event = self._lens.take(value, now_ns)
            if isinstance(event, TransactionSeen):
                self._finish(event)
            elif event is not None:
                self._events.append(event)

    # both

    def _wait(self, now_ns: int) -> None:
        """Set the limit of what this end waits for now."""
        wait: Wait | None = None
        if self.role is Role.LENS:
            wait = Wait.COMMAND if self._lens.open else None
        elif self._body is not None:
            wait = Wait.BUSY if self._body.phase is Phase.STATUS else Wait.ANSWER
        self._deadline_ns = None if wait is None else now_ns + TIMEOUTS[wait].limit_ns

    def _violate(self, now_ns: int, cause: Cause, detail: str, data: bytes) -> None:
        self._events.append(Violation(now_ns, now_ns, cause, detail, data))


_CONSEQUENCES: dict[type, Callable[[Connection, Any], None]] = {
    TransactionSeen: Connection._take_transaction,
    PinEventSeen: Connection._take_pin_event,
    Violation: Connection._take_violation,
}
"""What follows for an observer from what was seen, beside telling it."""


def read_message(transaction: TransactionSeen, catalogue: Catalogue) -> MessageSeen:
    """Name a transaction and decode its fields by a catalogue; an unknown opcode is data, never an error."""
    kind = catalogue.find(transaction.command)
    arguments = transaction.command[2:]
    if kind is None:
        return MessageSeen(transaction, UNKNOWN, {}, transaction.data, Evidence.UNKNOWN, None, None)
    spec = kind.spec
    status = b"" if transaction.status is None else bytes([transaction.status])
    canonical = arguments + transaction.data + status
    if transaction.complete and spec.size in (None, len(canonical)):
        message = _parsed(kind.parse, canonical)
        return MessageSeen(transaction, spec.name, message.values, b"", spec.evidence, message, kind)
    reading = spec.read(arguments, transaction.data, transaction.status)
    return MessageSeen(transaction, spec.name, reading.values, reading.rest, spec.evidence, None, kind)


@lru_cache(maxsize=1024)
def _parsed(parse: Callable[[bytes], Message], canonical: bytes) -> Message:
    """Decode a message; the statuses of a lens at rest are all alike, and messages are frozen."""
    return parse(canonical)
