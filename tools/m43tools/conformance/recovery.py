"""Whether a lens is in step behind something that went wrong: the judgement that the negative cases share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from m43proto.checksum import wire_sum
from m43proto.events import Cause, MessageSeen, PinEvent, PinEventSeen, Violation
from m43proto.shapes import COMMAND_SIZE, Shape
from m43tools.conformance.judging import Finding, every, nothing
from m43tools.conformance.operations import Cut, PowerDown, Transact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43proto.events import Event, TransactionSeen
    from m43tools.conformance.judging import Spanned
    from m43tools.conformance.operations import Step
    from m43tools.conformance.trace import Trace

__all__ = ["announces_too_little", "announces_too_much", "answered_at", "ended", "followed", "recovered", "woken"]

_SILENT = {Cause.NO_ANSWER, Cause.BROKE_OFF, Cause.NO_COMMAND, Cause.COMMAND_SIZE, Cause.UNKNOWN_SHAPE}


def announces_too_much(transaction: TransactionSeen) -> bool:
    """Tell whether a block of the lens broke off at its own sum: its length word announces more than follows.

    It announces a byte too many, has another high byte than it should, or has its bytes the other way round.
    """
    data, length = transaction.data, transaction.length
    if transaction.shape is not Shape.READ or length is None or transaction.complete:
        return False
    return len(data) > 0 and len(data) in (length - 1, length & 0xFF, length >> 8) and wire_sum(data[:-1]) == data[-1]


def announces_too_little(trace: Trace, transaction: TransactionSeen) -> bool:
    """Tell whether a lens goes on behind a block that its length word ends, with a sum that is none."""
    if transaction.shape is not Shape.READ or transaction.data_sum_ok is not False:
        return False
    return trace.offers_more(transaction)


def ended(transaction: TransactionSeen) -> bool:
    """Tell whether a transaction came as far as the lens meant it to.

    A wrong length word and endless work break a transaction off, too, but the lens is in step; other cases judge those.
    """
    busy = transaction.shape is Shape.COMPLETE and transaction.command_sum is not None
    return transaction.complete or busy or announces_too_much(transaction)


def followed(trace: Trace, things: Sequence[Spanned], clause: str, expected: str) -> Finding:
    """Judge that the next transaction behind each thing begins as it should; where it ends, other cases judge."""
    tested = [one for one in things if _next_try(trace, one) is not None or _next_silence(trace, one)]
    if not tested:
        return nothing(expected)
    return every(tested, partial(_failed_start, trace), clause, expected, what="occasions")


def _failed_start(trace: Trace, thing: Spanned) -> str | None:
    tried = _next_try(trace, thing)
    begun = isinstance(tried, MessageSeen) or (isinstance(tried, Violation) and _stopped(tried))
    return None if begun and not _next_silence(trace, thing) else _failed_try(trace, thing)


def _stopped(event: Violation) -> bool:
    """Tell whether a command began, and stopped before its fourth byte."""
    return event.cause is Cause.BROKE_OFF and 0 < len(event.data) < COMMAND_SIZE


def recovered(trace: Trace, troubles: Sequence[Spanned], clause: str, expected: str) -> Finding:
    """Judge that the next transaction behind each trouble comes to its end, in the same session."""
    tested = [one for one in troubles if _next_try(trace, one) is not None or _next_silence(trace, one)]
    if not tested:
        return nothing(expected)
    return every(tested, partial(_failed_try, trace), clause, expected, what="occasions")


def _failed_try(trace: Trace, trouble: Spanned) -> str | None:
    tried = _next_try(trace, trouble)
    if _next_silence(trace, trouble):
        return "the lens was not ready for the next transaction"
    if isinstance(tried, MessageSeen):
        return None if ended(tried.transaction) else f"the next transaction, {tried.name}, broke off"
    return f"the next transaction failed: {getattr(tried, 'detail', '')}"


def _next_silence(trace: Trace, trouble: Spanned) -> bool:
    """Tell whether the bench could not even begin the next transaction, because LENS_ACK never fell or rose."""
    steps = [step for step in trace.did(Transact, PowerDown, Cut) if step.t_ns >= trouble.end_ns]
    if not steps or not isinstance(steps[0].operation, Transact) or steps[0].done:
        return False
    return not any(steps[0].t_ns <= event.t_ns < steps[0].end_ns for event in trace.events)


def _next_try(trace: Trace, trouble: Spanned) -> Event | None:
    """Return what came of the next transaction behind a trouble, before the lens was switched off."""
    for event in trace.events:
        if event.t_ns <= trouble.end_ns:
            continue
        if isinstance(event, PinEventSeen) and event.event is PinEvent.POWER_DOWN:
            return None
        if isinstance(event, MessageSeen) or (isinstance(event, Violation) and event.cause in _SILENT):
            return event
    return None


def answered_at(trace: Trace, step: Step) -> str | None:
    """Return what was wrong with a transaction of the bench, or None."""
    for event in trace.messages:
        if step.t_ns <= event.t_ns < step.end_ns:
            return None if ended(event.transaction) else f"{event.name} broke off"
    return "a transaction was not answered"


def woken(trace: Trace, troubles: Sequence[Spanned], clause: str, expected: str) -> Finding:
    """Judge that the lens wakes, and carries out a transaction, when it is next switched on behind each trouble."""
    ups = trace.pins(PinEvent.POWER_UP)
    tested = [up for trouble in troubles if (up := next((up for up in ups if up.t_ns > trouble.end_ns), None))]
    if not tested:
        return nothing(expected)
    return every(tested, partial(_not_woken, trace), clause, expected, what="times that it was switched on")


def _not_woken(trace: Trace, up: PinEventSeen) -> str | None:
    until_ns = next((end for start, end in trace.sessions if start == up.t_ns), trace.end_ns)
    pulses = [pulse for pulse in trace.pins(PinEvent.WAKE_PULSE) if up.t_ns < pulse.t_ns < until_ns]
    if not pulses:
        return "no wake pulse"
    first = next((event for event in trace.messages if up.t_ns < event.t_ns < until_ns), None)
    if first is None:
        return "no transaction came to its end"
    return None if ended(first.transaction) else f"the first transaction, {first.name}, broke off"
