"""Events -> records: the keys that JSON lines and CSV share, and that README.md promises to keep.

Times are integer nanoseconds from the start of the capture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from m43proto.events import (
    ByteSeen,
    Event,
    FragmentSeen,
    MessageSeen,
    PinEvent,
    PinEventSeen,
    TransactionSeen,
    Violation,
)
from m43proto.lensdb import find_lens

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EVENT_NAMES", "IDENTITY", "event_name", "fields_of", "lens_name", "plain", "record_of"]

F_NUMBER_DIGITS = 4
"""Decimals of an f-number in records: finer than the step of its wire word."""

EVENT_NAMES = (*PinEvent, "violation", "fragment")
"""What stands in the key ``event`` of records that are neither bytes nor transactions."""


def event_name(event: Event) -> str | None:
    """Return the name that ``--only`` takes for an event, or None for bytes and bare transactions."""
    return _NAMES.get(type(event), lambda _: None)(event)


_NAMES: dict[type, Callable[[Any], str | None]] = {
    MessageSeen: lambda event: event.name,
    PinEventSeen: lambda event: str(event.event),
    Violation: lambda event: "violation",
    FragmentSeen: lambda event: "fragment",
}


def record_of(event: Event) -> dict[str, object]:
    """Return the stable record of an event."""
    return _RECORDS[type(event)](event)


def _byte_record(event: ByteSeen) -> dict[str, object]:
    return {"t_ns": event.t_ns, "end_ns": event.end_ns, "from": event.sender, "value": event.value}


def _transaction_record(event: TransactionSeen) -> dict[str, object]:
    return {
        "t_ns": event.t_ns,
        "end_ns": event.end_ns,
        "command": event.command.hex(),
        "shape": event.shape,
        "command_sum": event.command_sum,
        "command_sum_ok": event.command_sum_ok,
        "length": event.length,
        "data": event.data.hex(),
        "data_sum": event.data_sum,
        "data_sum_ok": event.data_sum_ok,
        "status": event.status,
        "complete": event.complete,
    }


def _message_record(event: MessageSeen) -> dict[str, object]:
    record = _transaction_record(event.transaction)
    return {**record, "name": event.name, "fields": fields_of(event), "evidence": event.evidence}


def _pin_record(event: PinEventSeen) -> dict[str, object]:
    record: dict[str, object] = {"event": event.event, "t_ns": event.t_ns, "end_ns": event.end_ns}
    return record if event.level is None else {**record, "level": event.level}


def _violation_record(event: Violation) -> dict[str, object]:
    return {
        "event": "violation",
        "t_ns": event.t_ns,
        "end_ns": event.end_ns,
        "cause": event.cause,
        "detail": event.detail,
        "data": event.data.hex(),
    }


def _fragment_record(event: FragmentSeen) -> dict[str, object]:
    return {"event": "fragment", "t_ns": event.t_ns, "end_ns": event.end_ns, "data": event.data.hex()}


_RECORDS: dict[type, Callable[[Any], dict[str, object]]] = {
    ByteSeen: _byte_record,
    TransactionSeen: _transaction_record,
    MessageSeen: _message_record,
    PinEventSeen: _pin_record,
    Violation: _violation_record,
    FragmentSeen: _fragment_record,
}


IDENTITY = ("maker", "model", "submodel")
"""Fields by which the lens database knows a lens."""


def fields_of(event: MessageSeen) -> dict[str, object]:
    """Return the fields of a message as JSON values, with what the lens database adds to an identity."""
    fields = {name: plain(value) for name, value in event.values.items()}
    if event.values.keys() >= set(IDENTITY):
        fields["lens"] = lens_name(event)
    if event.rest:
        fields["rest"] = event.rest.hex()
    return fields


def lens_name(event: MessageSeen) -> str | None:
    """Return what the lens database calls the lens whose identity a message tells; None without one, or an unknown."""
    if not event.values.keys() >= set(IDENTITY):
        return None
    lens = find_lens(*(event.values[key] for key in IDENTITY))  # type: ignore[arg-type]  # the fields of Identify
    return lens.name if lens else None


def plain(value: object) -> object:
    """Return a field's value as a JSON value."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return "infinity" if math.isinf(value) else round(value, F_NUMBER_DIGITS)
    return value
