"""Bytes and handshakes -> transactions: whose turn it is and what comes next (specs/3-framing.md).

`TURNS` and `AFTER_COMMAND` are the whole grammar, and they are blind to who asks: a body, a lens and an observer hold
the same table. `Framer` walks it over what `m43proto.phy` reports. With both ack lines the handshake says where a
command begins and where a block of the body ends; without them the table and the sums must do.

What fits nowhere becomes one `Violation` with its cause and span, and decoding goes on at the next command. Bytes
before the first command of traffic that is joined in its middle are a fragment, not a violation.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from m43proto.checksum import wire_sum
from m43proto.events import (
    ByteSeen,
    Cause,
    Event,
    FragmentSeen,
    PinEvent,
    PinEventSeen,
    TransactionSeen,
    Violation,
)
from m43proto.phy import Attention, BitsLost, HandOver, LensPulse, LinkSignal, WireByte
from m43proto.pins import Role
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, Shape

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AFTER_COMMAND", "BUSY_SILENCE_NS", "SILENCE_NS", "TURNS", "Framer", "Phase", "Turn"]

SILENCE_NS = 100_000_000
"""A transaction that says nothing for longer than this has broken off (ns; provisional).

The longest pause inside a transaction that any source shows is 0.25 ms, apart from a busy lens.
"""

BUSY_SILENCE_NS = 2_000_000_000
"""The same for a lens that is busy before its status byte (ns; provisional); 0.5 s is known to be accepted (BELL)."""

GAP_NS = 2_000_000
"""Without both ack lines, bytes further apart than this belong to two transactions (ns; provisional).

Between two polls the bus rests for 4 ms and more (BELL).
"""


class Phase(StrEnum):
    """Where in a transaction the bus is."""

    IDLE = "idle"
    COMMAND = "command"
    COMMAND_SUM = "command sum"
    STATUS = "status"
    READ_LENGTH = "read length"
    READ_DATA = "read data"
    READ_SUM = "read sum"
    WRITE_LENGTH = "write length"
    WRITE_DATA = "write data"
    WRITE_SUM = "write sum"


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is in a phase.

    Attributes:
        sender: who drives DATA.
        size: how many bytes; None when the length word says so.
        then: the phase that follows; None when the shape decides.
    """

    sender: Role
    size: int | None
    then: Phase | None


# fmt: off
TURNS: dict[Phase, Turn] = {
    Phase.COMMAND:      Turn(Role.BODY, COMMAND_SIZE, Phase.COMMAND_SUM),
    Phase.COMMAND_SUM:  Turn(Role.LENS, 1,            None),
    Phase.STATUS:       Turn(Role.LENS, 1,            Phase.IDLE),
    Phase.READ_LENGTH:  Turn(Role.LENS, LENGTH_SIZE,  Phase.READ_DATA),
    Phase.READ_DATA:    Turn(Role.LENS, None,         Phase.READ_SUM),
    Phase.READ_SUM:     Turn(Role.LENS, 1,            Phase.IDLE),
    Phase.WRITE_LENGTH: Turn(Role.BODY, LENGTH_SIZE,  Phase.WRITE_DATA),
    Phase.WRITE_DATA:   Turn(Role.BODY, None,         Phase.WRITE_SUM),
    Phase.WRITE_SUM:    Turn(Role.LENS, 1,            Phase.IDLE),
}

AFTER_COMMAND: dict[Shape, Phase] = {
    Shape.SET:      Phase.IDLE,
    Shape.COMPLETE: Phase.STATUS,
    Shape.READ:     Phase.READ_LENGTH,
    Shape.WRITE:    Phase.WRITE_LENGTH,
}
# fmt: on

_OPENED_BY_ATTENTION = (Phase.STATUS, Phase.WRITE_LENGTH)
_WRITE_BLOCK = (Phase.WRITE_LENGTH, Phase.WRITE_DATA)
_HUNTED_SIZE = COMMAND_SIZE + 1


@dataclass(slots=True)
class _Draft:
    """The transaction at hand."""

    phase: Phase = Phase.COMMAND
    shape: Shape | None = None
    parts: dict[Phase, bytearray] = field(default_factory=dict)
    wire: list[ByteSeen] = field(default_factory=list)
    attended: bool = False
    busy_ns: int | None = None
    size_told: bool = True

    def held(self, *phases: Phase) -> bytes:
        return b"".join(self.parts.get(phase, b"") for phase in phases)

    @property
    def command(self) -> bytes:
        return self.held(Phase.COMMAND)

    @property
    def length(self) -> int | None:
        word = self.held(Phase.READ_LENGTH, Phase.WRITE_LENGTH)
        return int.from_bytes(word, "little") if len(word) == LENGTH_SIZE else None

    @property
    def data(self) -> bytes:
        return self.held(Phase.READ_DATA, Phase.WRITE_DATA)

    def wanted(self) -> int:
        """Return how many bytes the present phase takes in all."""
        size = TURNS[self.phase].size
        return size if size is not None else (self.length or 0) - 1

    def seen(self, *, complete: bool) -> TransactionSeen:
        assert self.shape is not None
        return TransactionSeen(
            t_ns=self.wire[0].t_ns,
            end_ns=self.wire[-1].end_ns,
            command=self.command,
            shape=self.shape,
            command_sum=_first(self.held(Phase.COMMAND_SUM)),
            length=self.length,
            data=self.data,
            data_sum=_first(self.held(Phase.READ_SUM, Phase.WRITE_SUM)),
            status=_first(self.held(Phase.STATUS)),
            complete=complete,
            busy_ns=self.busy_ns,
            wire=tuple(self.wire),
        )


@dataclass(slots=True)
class _Lost:
    """Traffic that fits nowhere, up to the next command."""

    cause: Cause
    detail: str
    t_ns: int
    end_ns: int
    data: bytearray = field(default_factory=bytearray)

    def add(self, byte: ByteSeen) -> None:
        self.data.append(byte.value)
        self.end_ns = byte.end_ns


def _first(data: bytes) -> int | None:
    return data[0] if data else None


class Framer:
    """Turns link signals into byte, transaction, pin and violation events.

    Args:
        shape_of: the shape of a command, or None when nobody knows it: a catalogue's own method.
        handshaken: whether both ack lines were seen by the decoder of the pins.
    """

    def __init__(self, shape_of: Callable[[bytes], Shape | None], *, handshaken: bool) -> None:
        self._shape_of = shape_of
        self._handshaken = handshaken
        self._draft: _Draft | None = None
        self._lost: _Lost | None = None
        self._suspects: list[WireByte] | None = None
        self._joined = False
        self._hunted: deque[WireByte] | None = None if handshaken else deque()
        self._last_ns = 0
        self._events: list[Event] = []
        self._handlers: dict[type, Callable[..., None]] = {
            WireByte: self._take_byte,
            Attention: self._take_attention,
            HandOver: self._take_hand_over,
            LensPulse: self._take_lens_pulse,
            BitsLost: self._take_bits_lost,
            PinEventSeen: self._take_pin_event,
        }

    def receive(self, signal: LinkSignal) -> list[Event]:
        """Take one signal; return the events that it completes."""
        self._events = []
        self._handlers[type(signal)](signal)
        if not isinstance(signal, PinEventSeen):
            self._last_ns = signal.t_ns
        return self._events

    def finish(self, end_ns: int) -> list[Event]:
        """End the traffic at `end_ns`; return what was still open."""
        self._events = []
        while self._hunted:
            self._hunted_byte_lost()
        self._settle_suspects()
        draft = self._draft
        if draft is not None:
            limit = BUSY_SILENCE_NS if draft.phase is Phase.STATUS else SILENCE_NS
            silence_ns = end_ns - max(self._last_ns, draft.wire[-1].end_ns if draft.wire else 0)
            self._cut_off(draft, silence_ns if silence_ns > limit else None)
        self._resynchronise()
        return self._events

    def _cut_off(self, draft: _Draft, silence_ns: int | None) -> None:
        if silence_ns is not None and draft.wire:
            self._break_off(f"nothing followed for {silence_ns / 1e6:.0f} ms")
        elif len(draft.command) == COMMAND_SIZE and self._settle_shape(draft):
            self._events.append(draft.seen(complete=False))
        elif draft.wire:
            data = bytes(byte.value for byte in draft.wire)
            self._events.append(FragmentSeen(draft.wire[0].t_ns, draft.wire[-1].end_ns, data))
        self._draft = None

    # bytes

    def _take_byte(self, byte: WireByte) -> None:
        if self._suspects is not None:
            self._take_suspect(self._suspects, byte)
        elif self._handshaken:
            self._take_handshaken(byte)
        else:
            self._take_bare(byte)

    def _take_handshaken(self, byte: WireByte) -> None:
        draft = self._draft
        if draft is None:
            self._stray(byte)
        elif byte.sender in (TURNS[draft.phase].sender, None) or draft.busy_ns is not None:
            self._append(draft, byte)
        elif draft.phase is Phase.STATUS:
            self._begin_anew([byte])
        else:
            self._out_of_turn(draft, byte)

    def _out_of_turn(self, draft: _Draft, byte: WireByte) -> None:
        detail = f"in {draft.phase} the {byte.sender} sent a byte, not the {TURNS[draft.phase].sender}"
        self._lose(Cause.OUT_OF_TURN, detail)
        self._stray(byte, Cause.OUT_OF_TURN, detail)

    def _stray(self, byte: WireByte, cause: Cause = Cause.NO_COMMAND, detail: str = "outside any transaction") -> None:
        seen = ByteSeen(byte.t_ns, byte.end_ns, byte.sender, byte.value)
        self._events.append(seen)
        if self._lost is None:
            self._lost = _Lost(cause, detail, seen.t_ns, seen.end_ns)
        self._lost.add(seen)

    def _append(self, draft: _Draft, byte: WireByte) -> None:
        sender = TURNS[draft.phase].sender
        seen = ByteSeen(byte.t_ns, byte.end_ns, sender, byte.value)
        self._events.append(seen)
        draft.wire.append(seen)
        held = draft.parts.setdefault(draft.phase, bytearray())
        held.append(byte.value)
        ended_by_handshake = self._handshaken and draft.phase in (Phase.COMMAND, Phase.WRITE_DATA)
        if not ended_by_handshake and len(held) == draft.wanted():
            self._advance(draft)

    def _advance(self, draft: _Draft) -> None:
        """Leave the present phase, and every phase behind it that takes no bytes."""
        turn = TURNS[draft.phase]
        if draft.phase is Phase.COMMAND and not self._settle_shape(draft):
            self._unknown_shape(draft)
            return
        if draft.phase is Phase.COMMAND_SUM:
            self._resynchronise()
            self._joined = True
        assert draft.shape is not None
        draft.phase = turn.then or AFTER_COMMAND[draft.shape]
        draft.attended = False
        if draft.phase is Phase.IDLE:
            self._complete(draft)
        elif TURNS[draft.phase].size is None:
            self._enter_data(draft)

    def _enter_data(self, draft: _Draft) -> None:
        if not draft.length:
            self._lose(Cause.BLOCK_LENGTH, "a block of length 0 has no room for its sum")
        elif draft.wanted() == 0 and not (self._handshaken and draft.phase is Phase.WRITE_DATA):
            self._advance(draft)

    def _settle_shape(self, draft: _Draft) -> bool:
        draft.shape = self._shape_of(draft.command)
        return draft.shape is not None

    def _complete(self, draft: _Draft) -> None:
        seen = draft.seen(complete=True)
        self._events.append(seen)
        self._draft = None
        announced = None if seen.length is None else seen.length - 1
        if announced is not None and announced != len(seen.data):
            detail = f"the length word {seen.length} announces {announced} bytes of data, {len(seen.data)} were sent"
            data = bytes(byte.value for byte in seen.wire)
            self._events.append(Violation(seen.t_ns, seen.end_ns, Cause.BLOCK_LENGTH, detail, data))

    # bytes without ack lines

    def _take_bare(self, byte: WireByte) -> None:
        draft = self._draft
        if draft is not None and draft.phase is not Phase.STATUS and byte.t_ns - draft.wire[-1].end_ns > GAP_NS:
            self._break_off(f"nothing followed for {(byte.t_ns - draft.wire[-1].end_ns) / 1e6:.0f} ms")
        if self._hunted is not None:
            self._hunt(self._hunted, byte)
            return
        if self._draft is None:
            self._draft = _Draft()
        self._append(self._draft, byte)

    def _hunt(self, hunted: deque[WireByte], byte: WireByte) -> None:
        """Look for a command by its sum, which is all that marks one without ack lines."""
        hunted.append(byte)
        if len(hunted) < _HUNTED_SIZE:
            return
        values = bytes(held.value for held in hunted)
        command, given_sum = values[:COMMAND_SIZE], values[COMMAND_SIZE]
        if self._shape_of(command) is None or wire_sum(command) != given_sum:
            self._hunted_byte_lost()
            return
        self._hunted = None
        self._draft = draft = _Draft()
        for held in hunted:
            self._append(draft, held)

    def _hunted_byte_lost(self) -> None:
        assert self._hunted is not None
        self._stray(self._hunted.popleft())

    # handshakes

    def _take_attention(self, signal: Attention) -> None:
        draft = self._draft
        if draft is not None and draft.phase in _OPENED_BY_ATTENTION and not draft.attended:
            draft.attended = True
        elif draft is not None and TURNS[draft.phase].sender is Role.LENS:
            self._suspects = []
        else:
            if draft is not None and draft.wire:
                self._break_off("the body began anew")
            self._draft = _Draft()

    def _take_suspect(self, suspects: list[WireByte], byte: WireByte) -> None:
        """Hold a byte of the lens's turn for which BODY_ACK came first.

        Either the body did not wait for the lens and takes one byte (BELL@bb20aad does), or it began anew: a second
        byte under the same BODY_ACK tells.
        """
        suspects.append(byte)
        if len(suspects) > 1:
            self._begin_anew(suspects)

    def _settle_suspects(self) -> None:
        if self._suspects and self._draft is not None:
            self._begin_anew(self._suspects)
        self._suspects = None

    def _begin_anew(self, held: list[WireByte]) -> None:
        self._suspects = None
        self._break_off("the body began anew")
        self._draft = draft = _Draft()
        for byte in held:
            self._append(draft, byte)

    def _take_hand_over(self, signal: HandOver) -> None:
        suspects, self._suspects = self._suspects, None
        draft = self._draft
        if draft is None:
            return
        if suspects:
            self._append(draft, suspects[0])
        elif draft.phase is Phase.COMMAND:
            self._command_handed_over(draft)
        elif draft.phase in _WRITE_BLOCK:
            self._block_handed_over(draft)

    def _command_handed_over(self, draft: _Draft) -> None:
        count = len(draft.command)
        if count == COMMAND_SIZE:
            self._advance(draft)
        else:
            self._lose(Cause.COMMAND_SIZE, f"the body handed over after {count} bytes; a command has 4")

    def _block_handed_over(self, draft: _Draft) -> None:
        block = draft.held(*_WRITE_BLOCK)
        fits = len(block) == LENGTH_SIZE + (draft.length or 0) - 1
        if not fits and len(block) == COMMAND_SIZE and self._shape_of(block) is not None:
            self._restart_with_command(draft)
        elif draft.phase is Phase.WRITE_DATA:
            draft.phase = Phase.WRITE_SUM
        else:
            self._lose(Cause.BLOCK_LENGTH, f"the body handed over after {len(block)} bytes of a block")

    def _restart_with_command(self, draft: _Draft) -> None:
        """Take what looked like a block as the next command: the write before it was never finished."""
        block, draft.wire = draft.wire[-COMMAND_SIZE:], draft.wire[:-COMMAND_SIZE]
        values = draft.held(*_WRITE_BLOCK)
        for phase in _WRITE_BLOCK:
            draft.parts.pop(phase, None)
        self._break_off("the body began anew before the block")
        self._draft = _Draft(parts={Phase.COMMAND: bytearray(values)}, wire=block)
        self._advance(self._draft)

    def _take_lens_pulse(self, signal: LensPulse) -> None:
        draft = self._draft
        if draft is not None and draft.phase is Phase.STATUS and draft.attended:
            draft.busy_ns = signal.end_ns - signal.t_ns
        elif draft is None or not draft.wire:
            self._events.append(PinEventSeen(signal.t_ns, signal.end_ns, PinEvent.WAKE_PULSE))

    def _take_bits_lost(self, signal: BitsLost) -> None:
        detail = f"{signal.bits} of 8 bits"
        if signal.cause is Cause.STRAY_BITS:
            self._events.append(Violation(signal.t_ns, signal.end_ns, signal.cause, detail, b""))
            return
        draft = self._draft
        where = f" in {draft.phase}" if draft is not None else ""
        if self._lost is None:
            self._lost = _Lost(signal.cause, detail + where, signal.t_ns, signal.end_ns)
        if draft is not None:
            self._lose(signal.cause, detail + where)
        self._lost.end_ns = signal.end_ns

    def _take_pin_event(self, signal: PinEventSeen) -> None:
        if signal.event is PinEvent.POWER_UP:
            self._joined = True
        if signal.event is PinEvent.POWER_DOWN:
            self._settle_suspects()
            if self._draft is not None and self._draft.wire:
                self._break_off("the body switched the lens off")
            self._draft = None
            self._resynchronise()
        self._events.append(signal)

    # what fits nowhere

    def _unknown_shape(self, draft: _Draft) -> None:
        nibble = draft.command[0] >> 4
        self._lose(Cause.UNKNOWN_SHAPE, f"command {draft.command.hex(' ')}: nibble {nibble:x} announces no shape")

    def _break_off(self, why: str) -> None:
        draft = self._draft
        assert draft is not None
        wanted = f"{len(draft.held(draft.phase))} of {draft.wanted()} bytes"
        self._lose(Cause.BROKE_OFF, f"{why}, in {draft.phase} ({wanted})")
        self._resynchronise()

    def _lose(self, cause: Cause, detail: str) -> None:
        """Give the transaction at hand up for a reason, which is reported when the next command begins."""
        draft, self._draft = self._draft, None
        assert draft is not None
        if draft.shape is not None:
            self._events.append(draft.seen(complete=False))
        if draft.wire:
            self._lost = self._lost or _Lost(cause, detail, draft.wire[0].t_ns, draft.wire[0].end_ns)
            self._lost.t_ns = min(self._lost.t_ns, draft.wire[0].t_ns)
            for byte in draft.wire:
                self._lost.add(byte)
        self._start_hunt()

    def _start_hunt(self) -> None:
        if not self._handshaken and self._hunted is None:
            self._hunted = deque()

    def _resynchronise(self) -> None:
        """Report what was lost, now that its end is known."""
        lost, self._lost = self._lost, None
        if lost is None:
            return
        data = bytes(lost.data)
        if self._joined:
            self._events.append(Violation(lost.t_ns, lost.end_ns, lost.cause, lost.detail, data))
        else:
            self._events.append(FragmentSeen(lost.t_ns, lost.end_ns, data))
