"""Bursts and bytes -> transactions (specs/3-framing.md).

`Framer` walks the grammar of `m43proto.turns` over what `m43proto.phy` reports. Each burst is one turn: a burst of one
byte is the lens's, a longer one the body's, because nothing that the body says has only one byte. That holds whoever
raised its ack line first, so a body that does not wait for the lens is understood too.

What fits nowhere becomes one `Violation` with its cause and span, and decoding goes on at the next command. Bytes
before the first command of traffic that is joined in its middle are a fragment, not a violation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.drafts import Draft, Lost
from m43proto.events import ByteSeen, Cause, Event, FragmentSeen, PinEvent, PinEventSeen, Violation
from m43proto.phy import BitsLost, Burst, LinkSignal
from m43proto.pins import Role
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, Shape
from m43proto.turns import TURNS, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ANSWER_NS", "BUSY_SILENCE_NS", "SILENCE_NS", "Framer", "nothing_for"]

SILENCE_NS = 100_000_000
"""A transaction that says nothing for longer than this has broken off (ns; provisional).

The longest pause inside a transaction that any source shows is 0.25 ms, apart from a busy lens.
"""

BUSY_SILENCE_NS = 2_000_000_000
"""The same for a lens that is busy before its status byte (ns; provisional); 0.5 s is known to be accepted (BELL)."""

ANSWER_NS = 20_000_000
"""An attention that the body ends after longer than this, unanswered, was given up (ns; provisional).

Lenses answer within 11 us wherever a source shows it, and a body program still waits after 1 ms (SIM).
"""

NO_ROOM = "a block of length 0 has no room for its sum"


def nothing_for(silence_ns: int) -> str:
    """Return a clause on a silence."""
    return f"nothing followed for {silence_ns / 1e6:.0f} ms"


def _given_up(burst: Burst) -> bool:
    """Tell whether the body waited for the lens in vain, and then ended the burst."""
    return burst.ended and not burst.answered and burst.end_ns - burst.t_ns > ANSWER_NS


def _values(wire: Sequence[ByteSeen]) -> bytes:
    return bytes(byte.value for byte in wire)


class Framer:
    """Turns link signals into byte, transaction, pin and violation events.

    Args:
        shape_of: the shape of a command, or None when nobody knows it: a catalogue's own method.
    """

    def __init__(self, shape_of: Callable[[bytes], Shape | None]) -> None:
        self._shape_of = shape_of
        self._draft: Draft | None = None
        self._lost: Lost | None = None
        self._joined = False
        self._last_ns = 0
        self._silence_ns: int | None = None
        self._events: list[Event] = []
        self._handlers: dict[type, Callable[..., None]] = {
            Burst: self._take_burst,
            PinEventSeen: self._take_pin_event,
        }

    def receive(self, signal: LinkSignal) -> list[Event]:
        """Take one signal; return the events that it completes."""
        self._events = []
        self._handlers[type(signal)](signal)
        if not isinstance(signal, PinEventSeen):
            self._last_ns = signal.end_ns
        return self._events

    @property
    def at_rest(self) -> bool:
        """Whether nothing is open: no transaction, and nothing lost that is still to be reported."""
        return self._draft is None and self._lost is None

    def rejoin(self, last_ns: int) -> None:
        """Go on behind whole transactions that were decoded elsewhere, the last of which ended at `last_ns`."""
        self._joined = True
        self._last_ns = last_ns

    def finish(self, cut: Sequence[Burst], end_ns: int) -> list[Event]:
        """End the traffic at `end_ns`, with the bursts that the end cut; return what was still open."""
        self._events = []
        for burst in cut:
            self._take_cut(burst, end_ns)
        self._cut_off(end_ns)
        self._resynchronise()
        return self._events

    def _take_cut(self, burst: Burst, end_ns: int) -> None:
        last_ns = max(burst.t_ns, self._last_ns, *(byte.end_ns for byte in burst.bytes))
        self._silence_ns = end_ns - last_ns
        self._take_burst(burst)
        self._last_ns = last_ns

    def _cut_off(self, end_ns: int) -> None:
        draft, self._draft = self._draft, None
        if draft is None:
            return
        silence_ns = end_ns - max(self._last_ns, draft.wire[-1].end_ns)
        limit_ns = BUSY_SILENCE_NS if draft.phase is Phase.STATUS else SILENCE_NS
        self._events.append(draft.seen(complete=False))
        if silence_ns > limit_ns:
            self._lose(draft.wire, Cause.BROKE_OFF, f"{nothing_for(silence_ns)}, in {draft.phase}")

    # bursts

    def _take_burst(self, burst: Burst) -> None:
        draft = self._draft
        wire = self._wire(burst)
        self._events.extend(wire)
        if burst.lost is not None and burst.lost.cause is Cause.STRAY_BITS:
            detail = f"{burst.lost.bits} {'bit' if burst.lost.bits == 1 else 'bits'} too many behind a byte"
            self._events.append(Violation(burst.lost.t_ns, burst.lost.end_ns, Cause.STRAY_BITS, detail, b""))
        elif burst.lost is not None:
            self._take_broken(burst.lost, wire)
            return
        if not wire:
            self._take_empty(burst)
        elif draft is None:
            self._open(burst, wire)
        elif TURNS[draft.phase].sender is Role.BODY:
            self._take_block(burst, draft, wire)
        elif wire[0].sender is Role.LENS:
            self._note_pulse(burst, draft)
            self._take_lens_bytes(draft, wire)
        else:
            self._break_off(draft, "the body began anew")
            self._open(burst, wire)

    def _wire(self, burst: Burst) -> list[ByteSeen]:
        sender = self._sender(burst)
        return [ByteSeen(byte.t_ns, byte.end_ns, sender, byte.value) for byte in burst.bytes]

    def _sender(self, burst: Burst) -> Role | None:
        """Return who drove DATA in a burst.

        The number of its bytes tells, but for two cases in which the ack lines must: a lone byte that is not the lens's
        turn, and bytes of the lens that run into each other because a fall of BODY_ACK was too short to be recorded.
        """
        lone = len(burst.bytes) == 1
        if self._draft is not None and TURNS[self._draft.phase].sender is Role.LENS:
            return Role.LENS if lone or burst.opened_by is Role.LENS else Role.BODY
        return burst.opened_by if lone else Role.BODY

    def _take_empty(self, burst: Burst) -> None:
        draft = self._draft
        if draft is not None and _given_up(burst):
            self._give_up(draft, Cause.BROKE_OFF, f"the lens did not answer, in {draft.phase}")
        elif draft is not None:
            self._note_pulse(burst, draft)
        elif burst.pulse_ns is not None:
            self._events.append(PinEventSeen(*burst.pulse_ns, PinEvent.WAKE_PULSE))
        else:
            self._take_attention(burst)

    def _take_attention(self, burst: Burst) -> None:
        """Take an attention behind which nothing was said: too short a one means nothing."""
        end_ns = burst.end_ns
        if not _given_up(burst) and end_ns - burst.t_ns <= SILENCE_NS:
            return
        self._resynchronise()
        cause = Cause.BROKE_OFF if burst.answered else Cause.NO_ANSWER
        self._events.append(Violation(burst.t_ns, end_ns, cause, nothing_for(end_ns - burst.t_ns), b""))

    def _note_pulse(self, burst: Burst, draft: Draft) -> None:
        if draft.phase is Phase.STATUS and burst.pulse_ns is not None:
            draft.busy_ns = burst.pulse_ns[1] - burst.pulse_ns[0]

    def _open(self, burst: Burst, wire: list[ByteSeen]) -> None:
        """Take what should be a command."""
        shape = self._shape_of(_values(wire)) if len(wire) == COMMAND_SIZE else None
        if shape is not None and burst.begun:
            self._draft = Draft(_values(wire), shape, wire=list(wire))
        elif not burst.ended and len(wire) < COMMAND_SIZE:
            self._cut_command(wire)
        else:
            self._lose(wire, *self._misfit(wire))

    def _cut_command(self, wire: list[ByteSeen]) -> None:
        """Take a command that the end of the traffic cut, or that stopped before it."""
        if self._silence_ns is not None and self._silence_ns <= SILENCE_NS:
            self._events.append(FragmentSeen(wire[0].t_ns, wire[-1].end_ns, _values(wire)))
            return
        why = "the body switched the lens off" if self._silence_ns is None else nothing_for(self._silence_ns)
        self._lose(wire, Cause.BROKE_OFF, f"{why}, {len(wire)} bytes into a command")

    def _misfit(self, wire: list[ByteSeen]) -> tuple[Cause, str]:
        if len(wire) == 1:
            return Cause.NO_COMMAND, "a byte outside any transaction"
        if len(wire) != COMMAND_SIZE:
            return Cause.COMMAND_SIZE, f"the body handed over after {len(wire)} bytes; a command has {COMMAND_SIZE}"
        command = _values(wire)
        return Cause.UNKNOWN_SHAPE, f"command {command.hex(' ')}: nibble {command[0] >> 4:x} announces no shape"

    def _take_block(self, burst: Burst, draft: Draft, wire: list[ByteSeen]) -> None:
        """Take what should be the length and the data that the body writes."""
        values = _values(wire)
        fits = len(values) == LENGTH_SIZE + int.from_bytes(values[:LENGTH_SIZE], "little") - 1 or not burst.ended
        if not fits and len(values) == COMMAND_SIZE and self._shape_of(values) is not None:
            self._break_off(draft, "the body began anew before the block")
            self._open(burst, wire)
            return
        draft.wire.extend(wire)
        draft.put(values[:LENGTH_SIZE])
        if len(values) < LENGTH_SIZE:
            if burst.ended:
                self._give_up(draft, *self._short_block(burst, wire))
            return
        draft.phase = Phase.WRITE_DATA
        draft.put(values[LENGTH_SIZE:])
        if not draft.length:
            self._give_up(draft, Cause.BLOCK_LENGTH, NO_ROOM)
        elif burst.ended:
            draft.phase = Phase.WRITE_SUM

    def _short_block(self, burst: Burst, wire: list[ByteSeen]) -> tuple[Cause, str]:
        if burst.opened_by is Role.LENS:
            return Cause.OUT_OF_TURN, f"the lens sent a byte, {wire[0].value:02x}, where the body writes its block"
        return Cause.BLOCK_LENGTH, "the body handed over after 1 byte of a block"

    def _take_lens_bytes(self, draft: Draft, wire: list[ByteSeen]) -> None:
        for index, byte in enumerate(wire):
            if self._draft is not draft or TURNS[draft.phase].sender is Role.BODY:
                self._lose(wire[index:], Cause.OUT_OF_TURN, "the lens sent more than its turn has")
                return
            self._take_lens_byte(draft, byte)

    def _take_lens_byte(self, draft: Draft, byte: ByteSeen) -> None:
        draft.wire.append(byte)
        draft.put(bytes([byte.value]))
        if draft.phase is Phase.COMMAND_SUM:
            self._resynchronise()
            self._joined = True
        if draft.held == draft.wanted:
            draft.advance()
        if draft.phase is Phase.IDLE:
            self._complete(draft)
        elif draft.wanted < 0:
            self._give_up(draft, Cause.BLOCK_LENGTH, NO_ROOM)

    def _complete(self, draft: Draft) -> None:
        seen = draft.seen(complete=True)
        self._events.append(seen)
        self._draft = None
        if seen.length is not None and seen.length - 1 != len(seen.data):
            announced = f"the length word {seen.length} announces {seen.length - 1} bytes of data"
            detail = f"{announced}, {len(seen.data)} were sent"
            self._events.append(Violation(seen.t_ns, seen.end_ns, Cause.BLOCK_LENGTH, detail, _values(draft.wire)))

    def _take_broken(self, lost: BitsLost, wire: list[ByteSeen]) -> None:
        draft = self._draft
        detail = f"{lost.bits} of 8 bits"
        if draft is not None:
            self._give_up(draft, lost.cause, f"{detail}, in {draft.phase}")
        self._lost = self._lost or Lost(lost.cause, detail, lost.t_ns, lost.end_ns)
        self._lost.stretch(lost.t_ns, lost.end_ns)
        if wire:
            self._lost.add(wire)

    # SLEEP, FOCUS, SHUTTER

    def _take_pin_event(self, signal: PinEventSeen) -> None:
        if signal.event is PinEvent.POWER_DOWN and self._draft is not None:
            self._give_up(self._draft, Cause.BROKE_OFF, f"the body switched the lens off, in {self._draft.phase}")
        if signal.event is PinEvent.POWER_UP and not self._joined:
            self._resynchronise()
            self._joined = True
        self._events.append(signal)

    # what fits nowhere

    def _break_off(self, draft: Draft, why: str) -> None:
        """Give a transaction up that a new one follows."""
        self._give_up(draft, Cause.BROKE_OFF, f"{why}, in {draft.phase} ({draft.held} of {draft.wanted} bytes)")
        self._resynchronise()

    def _give_up(self, draft: Draft, cause: Cause, detail: str) -> None:
        self._draft = None
        self._events.append(draft.seen(complete=False))
        self._lose(draft.wire, cause, detail)

    def _lose(self, wire: Sequence[ByteSeen], cause: Cause, detail: str) -> None:
        """Keep bytes that fit nowhere, to be reported when the next command begins."""
        self._lost = self._lost or Lost(cause, detail, wire[0].t_ns, wire[-1].end_ns)
        self._lost.add(wire)

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
