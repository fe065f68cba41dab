"""A recording of exchanges -> the events that a capture of the same traffic gives, but for bytes and edges.

The grammar is the body's own (`m43proto.exchange`); no session is kept, for a recording may hold what has no place in
one, and a reader wants to see that most of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from m43drivers.transport import Break
from m43drivers.transports.recorded import PollRow, PowerRow, TransactRow
from m43proto.connection import read_message
from m43proto.events import Cause, PinEvent, PinEventSeen, Violation
from m43proto.exchange import BodyExchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43drivers.transports.recorded import Exchange
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event

__all__ = ["observe_exchange"]

_CAUSES = {
    Break.NO_ANSWER: Cause.NO_ANSWER,
    Break.SILENT: Cause.BROKE_OFF,
    Break.BUSY: Cause.BROKE_OFF,
    Break.LENGTH: Cause.BLOCK_LENGTH,
}


def observe_exchange(exchange: Exchange, catalogue: Catalogue) -> Iterator[Event]:
    """Yield what body and lens said in a recording, in the order in which it ended.

    A transaction spans what its transport spent on it. Of the wake pulse only the end is known, so it has no width.

    Args:
        exchange: the recording.
        catalogue: the messages to know.
    """
    for row in sorted(exchange.rows, key=lambda row: row.end_ns):
        events = _EVENTS.get(type(row))
        if events is not None:
            yield from events(row, catalogue)


def _power_events(row: PowerRow, catalogue: Catalogue) -> Iterator[Event]:
    if row.failed:
        return
    yield PinEventSeen(row.t_ns, row.t_ns, PinEvent.POWER_UP if row.on else PinEvent.POWER_DOWN, int(row.on))
    if row.on and row.woke:
        yield PinEventSeen(row.end_ns, row.end_ns, PinEvent.WAKE_PULSE)
    elif row.on:
        yield Violation(row.t_ns, row.end_ns, Cause.NO_ANSWER, "the lens gave no wake pulse", b"")


def _transact_events(row: TransactRow, catalogue: Catalogue) -> Iterator[Event]:
    if not row.failed:
        yield from _transaction_events(row, row.data, catalogue)


def _poll_events(row: PollRow, catalogue: Catalogue) -> Iterator[Event]:
    yield from _transaction_events(row, b"", catalogue)


def _transaction_events(row: TransactRow | PollRow, data: bytes, catalogue: Catalogue) -> Iterator[Event]:
    shape = catalogue.shape_of(row.command)
    if row.broke_off is Break.NO_ANSWER:
        yield _violation(row, Cause.NO_ANSWER, row.broke_off.meaning, b"")
        return
    if shape is None:
        detail = f"command {row.command.hex(' ').upper()} announces no known shape"
        yield _violation(row, Cause.UNKNOWN_SHAPE, detail, row.command + row.said)
        return
    body = BodyExchange(row.command, shape, data, row.t_ns)
    rest, no_room = b"", ""
    try:
        rest = body.take(row.said, row.end_ns)
    except ValueError as error:
        no_room = str(error)
    transaction = body.seen()
    yield transaction
    yield read_message(transaction, catalogue)
    wire = bytes(byte.value for byte in transaction.wire)
    if no_room:
        yield _violation(row, Cause.BLOCK_LENGTH, no_room, wire)
    elif row.broke_off is not None:
        yield _violation(row, _CAUSES[row.broke_off], row.broke_off.meaning, wire)
    elif body.open:
        yield _violation(row, Cause.BROKE_OFF, "the lens said less than the command asks for", wire)
    elif rest:
        yield _violation(row, Cause.OUT_OF_TURN, "the lens said more than the command asks for", rest)


def _violation(row: TransactRow | PollRow, cause: Cause, detail: str, data: bytes) -> Violation:
    return Violation(row.t_ns, row.end_ns, cause, detail, data)


_EVENTS: dict[type, Callable[[Any, Catalogue], Iterator[Event]]] = {
    PowerRow: _power_events,
    TransactRow: _transact_events,
    PollRow: _poll_events,
}
