"""What an engine reports: frozen, in the past tense, times in integer nanoseconds from the start of the traffic.

``t_ns`` is where a thing began and ``end_ns`` where it ended; for bytes and all that is made of bytes these are the
first falling CLK edge and the last rising one.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from m43proto.checksum import wire_sum
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m43proto.evidence import Evidence
    from m43proto.pins import Role
    from m43proto.schema import Message
    from m43proto.shapes import Shape
    from m43proto.states import State, Trigger

__all__ = [
    "ByteSeen",
    "Cause",
    "Event",
    "FragmentSeen",
    "MessageSeen",
    "PinEvent",
    "PinEventSeen",
    "RequestSeen",
    "StateChanged",
    "TransactionSeen",
    "Violation",
]


class PinEvent(StrEnum):
    """What can happen on the lines outside any byte."""

    POWER_UP = "power_up"
    POWER_DOWN = "power_down"
    WAKE_PULSE = "wake_pulse"
    FRAME_SYNC = "frame_sync"
    FOCUS_TOGGLE = "focus_toggle"
    CLOCK_HOLD = "clock_hold"
    STRAY_CLOCK = "stray_clock"


class Cause(StrEnum):
    """Why traffic fits no transaction."""

    SHORT_BYTE = "short_byte"
    STRAY_BITS = "stray_bits"
    UNKNOWN_SHAPE = "unknown_shape"
    COMMAND_SIZE = "command_size"
    BLOCK_LENGTH = "block_length"
    OUT_OF_TURN = "out_of_turn"
    BROKE_OFF = "broke_off"
    NO_COMMAND = "no_command"
    NO_ANSWER = "no_answer"

    @property
    def meaning(self) -> str:
        """One sentence for the reader of a report."""
        return _MEANINGS[self]


_MEANINGS = {
    Cause.SHORT_BYTE: "A byte broke off before its eighth clock.",
    Cause.STRAY_BITS: "Clocks between a byte and its acknowledge, which belong to no byte.",
    Cause.UNKNOWN_SHAPE: "A command whose first nibble announces no known shape.",
    Cause.COMMAND_SIZE: "The body handed over after a number of bytes that no command has.",
    Cause.BLOCK_LENGTH: "The length word of a block does not fit the bytes that were sent.",
    Cause.OUT_OF_TURN: "A byte was clocked while it was the other side's turn.",
    Cause.BROKE_OFF: "A transaction, or an attention, that stopped before its end.",
    Cause.NO_COMMAND: "Bytes that begin with no command.",
    Cause.NO_ANSWER: "The body raised BODY_ACK and the lens never answered.",
}


@record(frozen=True, slots=True)
class ByteSeen:
    """A byte went over DATA.

    Attributes:
        t_ns: its first falling CLK edge.
        end_ns: its eighth rising CLK edge.
        sender: who drove DATA; None where the traffic does not tell.
        value: 0 to 255.
    """

    t_ns: int
    end_ns: int
    sender: Role | None
    value: int


@record(frozen=True, slots=True)
class TransactionSeen:
    """A command and all that followed it.

    Attributes:
        t_ns: first falling CLK edge of the command.
        end_ns: last rising CLK edge.
        command: the four command bytes.
        shape: what followed them.
        command_sum: the sum that the lens sent for the command, or None.
        length: the length word of the block as on the wire, or None.
        data: the block without its length and its sum.
        data_sum: the sum of the block as sent, or None.
        status: the status byte, or None.
        complete: False when the traffic broke off.
        busy_ns: how long the lens was busy before its status byte, or None.
        wire: its bytes with their times.
    """

    t_ns: int
    end_ns: int
    command: bytes
    shape: Shape
    command_sum: int | None
    length: int | None
    data: bytes
    data_sum: int | None
    status: int | None
    complete: bool
    busy_ns: int | None = None
    wire: tuple[ByteSeen, ...] = field(default=(), repr=False, compare=False)

    @property
    def command_sum_ok(self) -> bool | None:
        """Whether the sum of the command is right; None where none was sent."""
        return None if self.command_sum is None else self.command_sum == wire_sum(self.command)

    @property
    def data_sum_ok(self) -> bool | None:
        """Whether the sum of the block is right; None where none was sent."""
        return None if self.data_sum is None else self.data_sum == wire_sum(self.data)

    @property
    def sums_ok(self) -> bool:
        """Whether no sum that was sent is wrong."""
        return self.command_sum_ok is not False and self.data_sum_ok is not False


@record(frozen=True, slots=True)
class MessageSeen:
    """A transaction was named and decoded.

    Attributes:
        transaction: what was on the wire.
        name: the message's name; ``"Unknown"`` for an opcode that the catalogue has not.
        values: its fields by name, as far as they are whole.
        rest: bytes of the block that no field covers.
        evidence: how sure the message as a whole is.
        message: the typed message, when the transaction is complete and has the declared size; else None.
        kind: the message's class, or None when the opcode is unknown.
    """

    transaction: TransactionSeen
    name: str
    values: Mapping[str, object]
    rest: bytes
    evidence: Evidence
    message: Message | None
    kind: type[Message] | None

    @property
    def t_ns(self) -> int:
        """Start of the transaction."""
        return self.transaction.t_ns

    @property
    def end_ns(self) -> int:
        """End of the transaction."""
        return self.transaction.end_ns


@record(frozen=True, slots=True)
class PinEventSeen:
    """Something happened on a line outside any byte.

    Attributes:
        t_ns: when it began.
        end_ns: when it ended; equal to `t_ns` for a single edge.
        event: what it was.
        level: the new level of the line, for a single edge; else None.
    """

    t_ns: int
    end_ns: int
    event: PinEvent
    level: int | None = None


@record(frozen=True, slots=True)
class Violation:
    """Traffic that fits no transaction; decoding goes on behind it.

    Attributes:
        t_ns: start of what does not fit.
        end_ns: its end.
        cause: why it does not fit.
        detail: one sentence with the figures.
        data: the bytes concerned, as received.
    """

    t_ns: int
    end_ns: int
    cause: Cause
    detail: str
    data: bytes


@record(frozen=True, slots=True)
class FragmentSeen:
    """Bytes before the first whole transaction of traffic that was joined in its middle, or a command cut by its end.

    Attributes:
        t_ns: start of its first byte.
        end_ns: end of its last byte.
        data: its bytes.
    """

    t_ns: int
    end_ns: int
    data: bytes


@record(frozen=True, slots=True)
class RequestSeen:
    """A lens has taken a command that asks it for a block or for a status byte.

    Attributes:
        t_ns: when.
        command: the four command bytes.
        shape: what the body waits for.
        kind: the message class, or None for an unknown opcode.
    """

    t_ns: int
    command: bytes
    shape: Shape
    kind: type[Message] | None

    @property
    def end_ns(self) -> int:
        """The same moment."""
        return self.t_ns


@record(frozen=True, slots=True)
class StateChanged:
    """The session is in another state for one of its roles.

    Attributes:
        t_ns: when.
        role: whose state.
        before: the state that it left.
        after: the state that it is in.
        trigger: why.
    """

    t_ns: int
    role: Role
    before: State
    after: State
    trigger: Trigger

    @property
    def end_ns(self) -> int:
        """The same moment."""
        return self.t_ns


Event: TypeAlias = (
    ByteSeen | TransactionSeen | MessageSeen | PinEventSeen | Violation | FragmentSeen | RequestSeen | StateChanged
)
"""What a connection reports; `RequestSeen` and `StateChanged` only to an end, not to an observer."""
