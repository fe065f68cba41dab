"""Levels of the lines -> bytes and handshakes (specs/2-link.md).

Bytes are framed by clocks and ack lines, never by a clock period: eight rising CLK edges make a byte, whatever their
distance. What the ack lines add:

* BODY_ACK is high through every byte, so a clock while it is low belongs to none, and its edges end a byte.
* BODY_ACK rises while LENS_ACK is low: *attention*, the body will speak or start a completion. It rises while
  LENS_ACK is high: the lens has a byte ready. So the ack lines alone tell who drives DATA (inferred from BELL, SIM).
* LENS_ACK goes low and high again after every byte of the body. It may come late, in the middle of the next byte, and
  says nothing about bits then: a pulse with clocks inside never ends a byte.

Without BODY_ACK a byte begins at any clock; idle time then is what realigns bits (`BIT_IDLE_NS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from m43proto.events import Cause, PinEvent, PinEventSeen
from m43proto.pins import LINES, Line, Role

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "BITS_PER_BYTE",
    "BIT_IDLE_NS",
    "HOLD_NS",
    "Attention",
    "BitsLost",
    "HandOver",
    "LensPulse",
    "LinkSignal",
    "PinDecoder",
    "WireByte",
]

BITS_PER_BYTE = 8

HOLD_NS = 200_000
"""CLK low for longer than this, before the first bit of a byte, is a clock hold (ns).

The hold after `A0 F5` is about 1 ms (observed, BELL); the longest phase inside a byte that any capture shows is 28 us
(SIM). The limit between them is this project's choice (provisional).
"""

BIT_IDLE_NS = 1_000_000
"""Without BODY_ACK, CLK at rest for longer than this in the middle of a byte ends it (ns; provisional).

Between frames the bus rests for 4 ms and more (BELL); inside a byte for 28 us at most (SIM).
"""


@dataclass(frozen=True, slots=True)
class WireByte:
    """Eight bits were clocked; `sender` is what the ack lines say, or None."""

    t_ns: int
    end_ns: int
    value: int
    sender: Role | None


@dataclass(frozen=True, slots=True)
class Attention:
    """BODY_ACK rose while LENS_ACK was low."""

    t_ns: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """BODY_ACK fell behind bytes of the body: DATA now belongs to the lens."""

    t_ns: int


@dataclass(frozen=True, slots=True)
class LensPulse:
    """LENS_ACK was high for a while under BODY_ACK, and nothing was clocked: a wake pulse, or a busy lens."""

    t_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class BitsLost:
    """Bits that make no byte were dropped."""

    t_ns: int
    end_ns: int
    bits: int
    cause: Cause


LinkSignal: TypeAlias = WireByte | Attention | HandOver | LensPulse | BitsLost | PinEventSeen

_CLK, _DATA, _BODY_ACK, _LENS_ACK, _SLEEP, _FOCUS, _SHUTTER = (line.mask for line in LINES)


class PinDecoder:
    """Turns levels of the lines into bytes, handshakes and pin events.

    Feed it every change with `receive`; simultaneous changes belong into one call. It keeps no history beyond the
    byte at hand.

    Args:
        lines: the lines that the levels really hold; CLK and DATA are needed.
    """

    def __init__(self, lines: Collection[Line]) -> None:
        self._acked_by_body = Line.BODY_ACK in lines
        self.handshaken = self._acked_by_body and Line.LENS_ACK in lines
        self._levels: int | None = None
        self._signals: list[LinkSignal] = []
        # the byte at hand
        self._value = 0
        self._bits = 0
        self._byte_t_ns = 0
        self._fell_ns: int | None = None
        self._outside = False
        self._rose_ns = 0
        self._aligned = False
        # the turn at hand: from a rise of BODY_ACK to its fall
        self._sender: Role | None = None
        self._turn_bytes = 0
        self._unacknowledged = False
        # the pulse of LENS_ACK at hand
        self._pulse_t_ns: int | None = None
        self._bits_at_ack_fall = 0
        self._shutter_ns: int | None = None

    def receive(self, t_ns: int, levels: int) -> list[LinkSignal]:
        """Take the levels from `t_ns` on, one bit per line in the order of `LINES`; return what they complete.

        Times must not decrease.
        """
        before = self._levels
        self._levels = levels
        if before is None or before == levels:
            return []
        changed = before ^ levels
        self._signals = []
        if changed & _CLK and levels & _CLK:
            self._clock_rose(t_ns, levels)
        if changed & _LENS_ACK:
            self._lens_ack(t_ns, levels)
        if changed & _BODY_ACK:
            self._body_ack(t_ns, before, levels)
        if changed & _CLK and not levels & _CLK:
            self._clock_fell(t_ns, levels)
        if changed & (_SLEEP | _FOCUS | _SHUTTER):
            self._frame_lines(t_ns, changed, levels)
        return self._signals

    # CLK

    def _clock_fell(self, t_ns: int, levels: int) -> None:
        if not self._acked_by_body and t_ns - self._rose_ns > BIT_IDLE_NS:
            self._drop_bits(Cause.SHORT_BYTE)
            self._aligned = True
        self._fell_ns = t_ns
        self._outside = self._acked_by_body and not levels & _BODY_ACK

    def _clock_rose(self, t_ns: int, levels: int) -> None:
        fell_ns = self._fell_ns
        self._fell_ns = None
        if fell_ns is None:
            return
        held = t_ns - fell_ns > HOLD_NS
        if self._outside or (held and not self._bits):
            event = PinEvent.CLOCK_HOLD if held else PinEvent.STRAY_CLOCK
            self._signals.append(PinEventSeen(fell_ns, t_ns, event))
            return
        if not self._bits:
            self._byte_t_ns = fell_ns
            self._value = 0
        if levels & _DATA:
            self._value |= 1 << self._bits
        self._bits += 1
        self._rose_ns = t_ns
        if self._bits == BITS_PER_BYTE:
            self._byte_done(t_ns)

    def _byte_done(self, t_ns: int) -> None:
        self._bits = 0
        self._turn_bytes += 1
        self._unacknowledged = True
        self._signals.append(WireByte(self._byte_t_ns, t_ns, self._value, self._sender))

    def _drop_bits(self, cause: Cause) -> None:
        if self._bits and self._aligned:
            self._signals.append(BitsLost(self._byte_t_ns, self._rose_ns, self._bits, cause))
        self._bits = 0

    # the ack lines

    def _body_ack(self, t_ns: int, before: int, levels: int) -> None:
        self._drop_bits(Cause.SHORT_BYTE)
        self._aligned = True
        if levels & _BODY_ACK:
            self._turn_begins(t_ns, before, levels)
        else:
            self._turn_ends(t_ns)

    def _turn_begins(self, t_ns: int, before: int, levels: int) -> None:
        self._turn_bytes = 0
        self._unacknowledged = False
        self._pulse_t_ns = t_ns if levels & _LENS_ACK else None
        if not self.handshaken or (before ^ levels) & _LENS_ACK:
            self._sender = None
        elif levels & _LENS_ACK:
            self._sender = Role.LENS
        else:
            self._sender = Role.BODY
            self._signals.append(Attention(t_ns))

    def _turn_ends(self, t_ns: int) -> None:
        bytes_of_body = self._turn_bytes if self._sender is Role.BODY else self._turn_bytes - 1
        if self.handshaken and self._sender is not Role.LENS and bytes_of_body > 0:
            self._signals.append(HandOver(t_ns))
        self._sender = None

    def _lens_ack(self, t_ns: int, levels: int) -> None:
        if not self._aligned:
            self._drop_bits(Cause.SHORT_BYTE)
            self._aligned = True
        if levels & _LENS_ACK:
            self._lens_ack_rose(t_ns)
        else:
            self._lens_ack_fell(t_ns, levels)

    def _lens_ack_rose(self, t_ns: int) -> None:
        if self._unacknowledged and self._bits and self._bits == self._bits_at_ack_fall:
            self._drop_bits(Cause.STRAY_BITS)
        self._unacknowledged = False
        self._pulse_t_ns = t_ns

    def _lens_ack_fell(self, t_ns: int, levels: int) -> None:
        self._bits_at_ack_fall = self._bits
        idle = not self._turn_bytes and not self._bits
        if idle and self._pulse_t_ns is not None and levels & _BODY_ACK and self._sender is Role.BODY:
            self._signals.append(LensPulse(self._pulse_t_ns, t_ns))
        self._pulse_t_ns = None

    # SLEEP, FOCUS, SHUTTER

    def _frame_lines(self, t_ns: int, changed: int, levels: int) -> None:
        if changed & _SLEEP:
            event = PinEvent.POWER_UP if levels & _SLEEP else PinEvent.POWER_DOWN
            self._signals.append(PinEventSeen(t_ns, t_ns, event, int(bool(levels & _SLEEP))))
        if changed & _FOCUS:
            self._signals.append(PinEventSeen(t_ns, t_ns, PinEvent.FOCUS_TOGGLE, int(bool(levels & _FOCUS))))
        if changed & _SHUTTER:
            self._shutter(t_ns, levels)

    def _shutter(self, t_ns: int, levels: int) -> None:
        if not levels & _SHUTTER and self._shutter_ns is not None:
            self._signals.append(PinEventSeen(self._shutter_ns, t_ns, PinEvent.FRAME_SYNC))
        self._shutter_ns = t_ns if levels & _SHUTTER else None
