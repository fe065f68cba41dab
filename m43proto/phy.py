"""Levels of the lines -> bursts of bytes, and events on single lines (specs/2-link.md).

Bytes are framed by clocks and ack lines, never by a clock period: eight rising CLK edges make a byte, whatever their
distance. BODY_ACK is high through every byte, so all that is clocked from one of its rises to its next fall is one
*burst*, and a clock while it is low belongs to no byte. The bits of a burst are counted as a whole: an acknowledge of
the lens that comes late, into the middle of the next byte, does no harm. Only when they are no multiple of eight do
the acknowledges tell where a clock was lost or added.

Without BODY_ACK there are no bursts: every eight clocks are a byte, and a rest of the clock realigns them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from m43proto.events import Cause, PinEvent, PinEventSeen
from m43proto.pins import LINES, Line, Role
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = [
    "BITS_PER_BYTE",
    "LONGEST_BURST",
    "REST_NS",
    "BitsLost",
    "Burst",
    "LinkSignal",
    "PinDecoder",
    "Resumed",
    "WireByte",
]

BITS_PER_BYTE = 8

REST_NS = 200_000
"""CLK that does not move for longer than this is at rest (ns; provisional).

Low for longer, before the first bit of a byte, it is a clock hold: the one after `A0 F5` takes about 1 ms (observed,
BELL). Without BODY_ACK, a rest within a byte ends it. The longest phase inside a byte that any capture shows is 28 us
(SIM); the limit between the two is this project's choice.
"""

LONGEST_BURST = 0x10000 + 2
"""Bytes of the longest block that a length word can announce, with that word; a longer burst is cut."""


@record(frozen=True, slots=True)
class WireByte:
    """Eight bits were clocked: first falling edge, eighth rising edge, value."""

    t_ns: int
    end_ns: int
    value: int


@record(frozen=True, slots=True)
class BitsLost:
    """Bits that make no byte."""

    t_ns: int
    end_ns: int
    bits: int
    cause: Cause


@record(frozen=True, slots=True)
class Burst:
    """What happened while BODY_ACK was high.

    Attributes:
        t_ns: when BODY_ACK rose.
        end_ns: when it fell.
        opened_by: who raised its ack line first; None where that cannot be told.
        bytes: what was clocked.
        lost: bits that make no byte, or None.
        pulse_ns: start and end of the first time that LENS_ACK was high in it, when it fell before any clock; or None.
        begun: False when the traffic began in its middle.
        ended: False when the traffic ended in its middle.
        answered: whether LENS_ACK was high at any moment.
    """

    t_ns: int
    end_ns: int
    opened_by: Role | None
    bytes: tuple[WireByte, ...]
    lost: BitsLost | None
    pulse_ns: tuple[int, int] | None = None
    begun: bool = True
    ended: bool = True
    answered: bool = True


@record(frozen=True, slots=True)
class Resumed:
    """What remains of traffic at a moment at which nothing is open.

    Attributes:
        levels: the levels of the lines.
        rose_ns: when CLK rose last; 0 before it did.
        aligned: without BODY_ACK, whether a rest of the clock has shown where a byte begins.
        shutter_ns: when SHUTTER rose, if it was seen to rise and is still high; else None.
    """

    levels: int
    rose_ns: int
    aligned: bool
    shutter_ns: int | None


LinkSignal: TypeAlias = Burst | WireByte | BitsLost | PinEventSeen

_CLK, _DATA, _BODY_ACK, _LENS_ACK, _SLEEP, _FOCUS, _SHUTTER = (line.mask for line in LINES)


class _Clocks:
    """Clocked bits with their edges."""

    __slots__ = ("bits", "falls_ns", "rises_ns")

    def __init__(self) -> None:
        self.falls_ns: list[int] = []
        self.rises_ns: list[int] = []
        self.bits = bytearray()

    def __len__(self) -> int:
        return len(self.bits)

    def add(self, fell_ns: int, rose_ns: int, bit: int) -> None:
        self.falls_ns.append(fell_ns)
        self.rises_ns.append(rose_ns)
        self.bits.append(bit)

    def byte(self, start: int) -> WireByte:
        """Return the byte that begins with this clock; the least significant bit comes first."""
        bits = self.bits[start : start + BITS_PER_BYTE]
        value = sum(bit << place for place, bit in enumerate(bits))
        return WireByte(self.falls_ns[start], self.rises_ns[start + BITS_PER_BYTE - 1], value)

    def bytes(self, start: int, end: int) -> tuple[WireByte, ...]:
        """Return the whole bytes between two clocks."""
        return tuple(self.byte(at) for at in range(start, end - BITS_PER_BYTE + 1, BITS_PER_BYTE))

    def lost(self, start: int, end: int, cause: Cause) -> BitsLost:
        return BitsLost(self.falls_ns[start], self.rises_ns[end - 1], end - start, cause)


class _OpenBurst:
    """The burst at hand."""

    __slots__ = ("acks", "answered", "begun", "clocks", "opened_by", "pulse_ns", "pulse_t_ns", "t_ns")

    def __init__(self, t_ns: int, opened_by: Role | None, *, begun: bool) -> None:
        self.t_ns = t_ns
        self.opened_by = opened_by
        self.begun = begun
        self.clocks = _Clocks()
        self.acks: list[int] = []
        self.answered = opened_by is not Role.BODY
        self.pulse_t_ns: int | None = None
        self.pulse_ns: tuple[int, int] | None = None

    def lens_ack(self, t_ns: int, *, high: bool) -> None:
        if high:
            self.answered = True
            self.pulse_t_ns = t_ns
            return
        self.acks.append(len(self.clocks))
        if self.pulse_t_ns is not None and not self.clocks and self.pulse_ns is None:
            self.pulse_ns = (self.pulse_t_ns, t_ns)

    def closed(self, t_ns: int, *, ended: bool) -> Burst:
        found, lost = self._sorted(ended=ended)
        return Burst(self.t_ns, t_ns, self.opened_by, found, lost, self.pulse_ns, self.begun, ended, self.answered)

    def _sorted(self, *, ended: bool) -> tuple[tuple[WireByte, ...], BitsLost | None]:
        clocks, count = self.clocks, len(self.clocks)
        cut = count % BITS_PER_BYTE
        if cut and self.begun and ended:
            return _realigned(clocks, self.acks)
        return clocks.bytes(0 if self.begun else cut, count), None


def _realigned(clocks: _Clocks, acks: Sequence[int]) -> tuple[tuple[WireByte, ...], BitsLost | None]:
    """Find the bytes of a burst whose clocks are no multiple of eight: each ends before an acknowledge.

    A few bits behind the eighth are strays, which cost no byte; any other remainder is a byte that broke.
    """
    found: list[WireByte] = []
    lost: BitsLost | None = None
    for start, end in pairwise([0, *sorted({ack for ack in acks if 0 < ack < len(clocks)}), len(clocks)]):
        found += clocks.bytes(start, end)
        count, rest = divmod(end - start, BITS_PER_BYTE)
        if rest and (lost is None or count != 1):
            lost = clocks.lost(end - rest, end, Cause.STRAY_BITS if count == 1 else Cause.SHORT_BYTE)
    return tuple(found), lost


class PinDecoder:
    """Turns levels of the lines into bursts of bytes, and pin events.

    Feed it every change with `receive`; simultaneous changes belong into one call. It keeps no history beyond the
    burst at hand.

    Args:
        lines: the lines that the levels really hold; CLK and DATA are needed.
    """

    def __init__(self, lines: Collection[Line]) -> None:
        self.in_bursts = Line.BODY_ACK in lines
        self._sees_lens_ack = Line.LENS_ACK in lines
        self._levels: int | None = None
        self._signals: list[LinkSignal] = []
        self._burst: _OpenBurst | None = None
        self._bare = _Clocks()
        self._aligned = False
        self._fell_ns: int | None = None
        self._rose_ns = 0
        self._fell_in: _OpenBurst | None = None
        self._shutter_ns: int | None = None

    def receive(self, t_ns: int, levels: int) -> list[LinkSignal]:
        """Take the levels from `t_ns` on, one bit per line in the order of `LINES`; return what they complete.

        Times must not decrease.
        """
        before = self._levels
        self._levels = levels
        if before is None:
            self._join(t_ns, levels)
            return []
        changed = before ^ levels
        if not changed:
            return []
        self._signals = []
        if changed & levels & _CLK:
            self._clock_rose(t_ns, levels)
        if changed & (_BODY_ACK | _LENS_ACK):
            self._ack_lines(t_ns, before, levels)
        if changed & before & _CLK:
            self._clock_fell(t_ns)
        if changed & (_SLEEP | _FOCUS | _SHUTTER):
            self._frame_lines(t_ns, changed, levels)
        return self._signals

    @property
    def at_rest(self) -> bool:
        """Whether nothing is open: no burst, no byte, no clock."""
        if self._levels is None or self._burst is not None or self._bare or not self._levels & _CLK:
            return False
        return not (self.in_bursts and self._levels & _BODY_ACK)

    def rejoin(self, last: Resumed) -> None:
        """Go on behind traffic that was decoded elsewhere, up to a moment at which nothing was open."""
        self._levels = last.levels
        self._rose_ns = last.rose_ns
        self._aligned = last.aligned
        self._shutter_ns = last.shutter_ns

    @property
    def resumed(self) -> Resumed:
        """What another decoder needs to go on from a moment at which nothing is open."""
        return Resumed(self._levels or 0, self._rose_ns, self._aligned, self._shutter_ns)

    def finish(self, t_ns: int) -> list[Burst]:
        """End the traffic at `t_ns`; return the burst that this cuts, if any."""
        burst, self._burst = self._burst, None
        return [] if burst is None else [burst.closed(t_ns, ended=False)]

    def _join(self, t_ns: int, levels: int) -> None:
        if self.in_bursts and levels & _BODY_ACK:
            self._burst = _OpenBurst(t_ns, None, begun=False)

    # CLK

    def _clock_fell(self, t_ns: int) -> None:
        if not self.in_bursts and t_ns - self._rose_ns > REST_NS:
            self._realign()
        self._fell_ns = t_ns
        self._fell_in = self._burst

    def _clock_rose(self, t_ns: int, levels: int) -> None:
        fell_ns, self._fell_ns = self._fell_ns, None
        if fell_ns is None:
            return
        burst = self._burst
        clocks = self._bare if burst is None else burst.clocks
        held = t_ns - fell_ns > REST_NS
        outside = self.in_bursts and (burst is None or burst is not self._fell_in)
        if outside or (held and len(clocks) % BITS_PER_BYTE == 0):
            event = PinEvent.CLOCK_HOLD if held else PinEvent.STRAY_CLOCK
            self._signals.append(PinEventSeen(fell_ns, t_ns, event))
            return
        self._rose_ns = t_ns
        clocks.add(fell_ns, t_ns, int(bool(levels & _DATA)))
        if burst is None:
            self._take_bare_byte()
        elif len(clocks) == LONGEST_BURST * BITS_PER_BYTE:
            self._close_burst(t_ns, ended=True)
            self._burst = _OpenBurst(t_ns, None, begun=True)

    def _take_bare_byte(self) -> None:
        if len(self._bare) == BITS_PER_BYTE:
            self._signals.append(self._bare.byte(0))
            self._bare = _Clocks()

    def _realign(self) -> None:
        if self._bare and self._aligned:
            self._signals.append(self._bare.lost(0, len(self._bare), Cause.SHORT_BYTE))
        self._bare = _Clocks()
        self._aligned = True

    # the ack lines

    def _ack_lines(self, t_ns: int, before: int, levels: int) -> None:
        changed = before ^ levels
        if changed & before & _BODY_ACK:
            self._close_burst(t_ns, ended=True)
        if changed & _LENS_ACK and self._burst is not None:
            self._burst.lens_ack(t_ns, high=bool(levels & _LENS_ACK))
        if changed & levels & _BODY_ACK and self.in_bursts:
            self._open_burst(t_ns, changed, levels)

    def _open_burst(self, t_ns: int, changed: int, levels: int) -> None:
        opened_by: Role | None = None
        if self._sees_lens_ack and not changed & _LENS_ACK:
            opened_by = Role.LENS if levels & _LENS_ACK else Role.BODY
        self._burst = _OpenBurst(t_ns, opened_by, begun=True)

    def _close_burst(self, t_ns: int, *, ended: bool) -> None:
        burst, self._burst = self._burst, None
        if burst is not None:
            self._signals.append(burst.closed(t_ns, ended=ended))

    # SLEEP, FOCUS, SHUTTER

    def _frame_lines(self, t_ns: int, changed: int, levels: int) -> None:
        if changed & _SLEEP:
            self._sleep(t_ns, high=bool(levels & _SLEEP))
        if changed & _FOCUS:
            self._signals.append(PinEventSeen(t_ns, t_ns, PinEvent.FOCUS_TOGGLE, int(bool(levels & _FOCUS))))
        if changed & _SHUTTER:
            self._shutter(t_ns, high=bool(levels & _SHUTTER))

    def _sleep(self, t_ns: int, *, high: bool) -> None:
        if not high:
            self._close_burst(t_ns, ended=False)
        event = PinEvent.POWER_UP if high else PinEvent.POWER_DOWN
        self._signals.append(PinEventSeen(t_ns, t_ns, event, int(high)))

    def _shutter(self, t_ns: int, *, high: bool) -> None:
        if not high and self._shutter_ns is not None:
            self._signals.append(PinEventSeen(self._shutter_ns, t_ns, PinEvent.FRAME_SYNC))
        self._shutter_ns = t_ns if high else None
