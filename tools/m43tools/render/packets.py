"""Events -> packets of bytes, for tools that work on packets (specs/12-packets.md).

A packet is a header of fixed size and, behind it, what was on the wire, in that order. This module is the only place
that knows the layout: the Wireshark dissector and the tables of the spec are made of its tables.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from m43proto.events import Cause, FragmentSeen, MessageSeen, PinEvent, PinEventSeen, TransactionSeen, Violation
from m43proto.pins import Role
from m43proto.records import record
from m43proto.shapes import LENGTH_SIZE, SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import Event
    from m43tools.render.remarks import Remark

__all__ = [
    "CAUSE_CODES",
    "FLAGS",
    "HEADER",
    "HEADER_SIZE",
    "NOT_TOLD",
    "NO_LEVEL",
    "PIN_EVENT_CODES",
    "REMARK_CODES",
    "VERSION",
    "HeaderField",
    "Packet",
    "PacketKind",
    "packet_of",
    "packet_of_remark",
]

VERSION = 1
"""Grows when a field moves or changes its meaning; fields may be added behind the last one without that."""

NO_LEVEL = 0xFF
NOT_TOLD = 0xFFFF_FFFF_FFFF_FFFF


class PacketKind(IntEnum):
    """What a packet tells."""

    TRANSACTION = 0
    PIN_EVENT = 1
    VIOLATION = 2
    FRAGMENT = 3
    REMARK = 4

    @property
    def meaning(self) -> str:
        """What it is, and what stands behind the header."""
        return _MEANINGS[self]


_MEANINGS = {
    PacketKind.TRANSACTION: "a transaction; behind the header its command, and as far as they were sent: command sum, "
    "length, data, data sum, status byte",
    PacketKind.PIN_EVENT: "something outside any byte; nothing behind the header",
    PacketKind.VIOLATION: "a violation; behind the header the bytes concerned. Its detail is a comment of the packet",
    PacketKind.FRAGMENT: "bytes before the first whole transaction, or a command that the end cut off",
    PacketKind.REMARK: "a remark of a live source: what is missing, or a trigger; nothing behind the header. "
    "Its detail is a comment of the packet",
}


@record(frozen=True, slots=True)
class HeaderField:
    """One field of the header.

    Attributes:
        name: its name.
        code: its format as in `struct`, little-endian.
        doc: what it is.
    """

    name: str
    code: str
    doc: str

    @property
    def size(self) -> int:
        """Bytes."""
        return struct.calcsize(f"<{self.code}")


# fmt: off
HEADER: tuple[HeaderField, ...] = (
    HeaderField("version",       "B", f"of this layout: {VERSION}"),
    HeaderField("header_length", "B", "bytes of this header; what was on the wire begins behind them"),
    HeaderField("kind",          "B", "what the packet tells"),
    HeaderField("code",          "B", "transaction: first nibble of its shape; others: which; fragment: 0"),
    HeaderField("flags",         "H", "what of a transaction there is"),
    HeaderField("level",         "B", f"pin event of a single edge: the new level, 0 or 1; else {NO_LEVEL:02X}"),
    HeaderField("reserved",      "B", "0"),
    HeaderField("duration_ns",   "Q", "from the packet's time to the end of what it tells; all ones: it has none"),
    HeaderField("busy_ns",       "Q", "how long the lens was busy before its status byte; all ones: nothing tells"),
)

FLAGS: dict[str, int] = {
    "complete":    0x01,
    "command_sum": 0x02,
    "length":      0x04,
    "data_sum":    0x08,
    "status":      0x10,
}
"""What of a transaction there is: whether it is complete, and which of the bytes beside command and data were sent."""

PIN_EVENT_CODES: dict[PinEvent, int] = {
    PinEvent.POWER_UP:     1,
    PinEvent.POWER_DOWN:   2,
    PinEvent.WAKE_PULSE:   3,
    PinEvent.FRAME_SYNC:   4,
    PinEvent.FOCUS_TOGGLE: 5,
    PinEvent.CLOCK_HOLD:   6,
    PinEvent.STRAY_CLOCK:  7,
}

CAUSE_CODES: dict[Cause, int] = {
    Cause.SHORT_BYTE:    1,
    Cause.STRAY_BITS:    2,
    Cause.UNKNOWN_SHAPE: 3,
    Cause.COMMAND_SIZE:  4,
    Cause.BLOCK_LENGTH:  5,
    Cause.OUT_OF_TURN:   6,
    Cause.BROKE_OFF:     7,
    Cause.NO_COMMAND:    8,
    Cause.NO_ANSWER:     9,
}

REMARK_CODES: dict[str, int] = {
    "overflow": 1,
    "overrun":  2,
    "gap":      3,
    "damage":   4,
    "lost":     5,
    "skipped":  6,
    "trigger":  7,
}
# fmt: on

_STRUCT = struct.Struct("<" + "".join(field.code for field in HEADER))
HEADER_SIZE = _STRUCT.size


@record(frozen=True, slots=True)
class Packet:
    """One packet.

    Attributes:
        t_ns: when what it tells began.
        data: its bytes.
        sender: who tells something: the sender of the block or of the status byte, else the body; None for what is no
            transaction.
        comments: lines for a person; each names something that is wrong.
    """

    t_ns: int
    data: bytes
    sender: Role | None
    comments: tuple[str, ...]


def packet_of(event: Event) -> Packet:
    """Return the packet of an event.

    Raises:
        KeyError: there is none of this type of event; bytes and states have no packets.
    """
    return _PACKETS[type(event)](event)


def packet_of_remark(remark: Remark) -> Packet:
    """Return the packet of what a live source adds to the events."""
    header = _header(remark, PacketKind.REMARK, REMARK_CODES[remark.event])
    return Packet(remark.t_ns, header, None, (f"{remark.event}: {remark.detail}",))


def _header(
    event: Event | Remark,
    kind: PacketKind,
    code: int,
    *,
    flags: int = 0,
    level: int | None = None,
    busy_ns: int | None = None,
) -> bytes:
    return _STRUCT.pack(
        VERSION,
        HEADER_SIZE,
        kind,
        code,
        flags,
        NO_LEVEL if level is None else level,
        0,
        NOT_TOLD if event.end_ns is None else event.end_ns - event.t_ns,
        NOT_TOLD if busy_ns is None else busy_ns,
    )


def _transaction(event: TransactionSeen) -> Packet:
    row = SHAPES[event.shape]
    given = {
        "complete": event.complete,
        "command_sum": event.command_sum is not None,
        "length": event.length is not None,
        "data_sum": event.data_sum is not None,
        "status": event.status is not None,
    }
    flags = sum(FLAGS[name] for name, there in given.items() if there)
    header = _header(event, PacketKind.TRANSACTION, row.nibble, flags=flags, busy_ns=event.busy_ns)
    sender = Role.LENS if row.has_status else row.block_sender or Role.BODY
    return Packet(event.t_ns, header + _wire(event), sender, tuple(_wrong(event)))


def _wire(event: TransactionSeen) -> bytes:
    length = b"" if event.length is None else event.length.to_bytes(LENGTH_SIZE, "little")
    return b"".join(
        (event.command, _byte(event.command_sum), length, event.data, _byte(event.data_sum), _byte(event.status))
    )


def _byte(value: int | None) -> bytes:
    return b"" if value is None else bytes([value])


def _wrong(event: TransactionSeen) -> list[str]:
    texts = (
        (event.command_sum_ok is False, f"the command sum {event.command_sum or 0:02X} is wrong"),
        (event.data_sum_ok is False, f"the data sum {event.data_sum or 0:02X} is wrong"),
        (not event.complete, "the transaction broke off"),
    )
    return [text for holds, text in texts if holds]


def _pin_event(event: PinEventSeen) -> Packet:
    header = _header(event, PacketKind.PIN_EVENT, PIN_EVENT_CODES[event.event], level=event.level)
    return Packet(event.t_ns, header, None, ())


def _violation(event: Violation) -> Packet:
    header = _header(event, PacketKind.VIOLATION, CAUSE_CODES[event.cause])
    return Packet(event.t_ns, header + event.data, None, (f"violation: {event.cause}: {event.detail}",))


def _fragment(event: FragmentSeen) -> Packet:
    return Packet(event.t_ns, _header(event, PacketKind.FRAGMENT, 0) + event.data, None, ())


_PACKETS: dict[type, Callable[[Any], Packet]] = {
    TransactionSeen: _transaction,
    MessageSeen: lambda event: _transaction(event.transaction),
    PinEventSeen: _pin_event,
    Violation: _violation,
    FragmentSeen: _fragment,
}
