"""A test stand with a simulated lens: pins that programs move, hands for its rings, every edge on virtual time.

The other end of its lines is no script but whoever calls, one instruction after the other: so it needs no mount that
asks two ends in turn, and the time goes from one act of the lens to the next.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from m43drivers.bridge.probe import CUT, DATA_DRIVE, FOCUS, FRESH, MISSED, NEVER, REACHED, REMOVE, ZOOM, Pins
from m43proto import ends
from m43proto.ends import ANY_BYTE, PinEnd
from m43proto.mount import due_figure
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import LINES, Line
from m43proto.timing import BodyTiming

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.simulator.lens import SimulatedLens
    from m43proto.ends import PinLens

__all__ = ["Stand"]

_LAST_NS = ends.NEVER - 1

_CLK, _DATA, _LENS_ACK = Line.CLK.mask, Line.DATA.mask, Line.LENS_ACK.mask
_BODY_LINES = sum(line.mask for line in LINES) & ~(_DATA | _LENS_ACK)


@cache
def _timing(setup_ns: int, out_low_ns: int, out_high_ns: int, in_low_ns: int, in_high_ns: int) -> BodyTiming:
    return BodyTiming(
        setup_ns=setup_ns,
        write_low_ns=out_low_ns,
        write_high_ns=out_high_ns,
        read_low_ns=in_low_ns,
        read_high_ns=in_high_ns,
    )


class Stand(Pins):
    """A new lens at pins, at time 0.

    Args:
        glass: what is behind the pins of the lens.
        make_pins: makes its pins, at the beginning and each time that the lens is put on again.
        hands: what can be done to the lens, as in `Pins.hands`.
        tick_ns: the unit of the times of edges; the stand itself reckons in nanoseconds.
        keeps: how many edges it holds until they are taken; more are lost. None for any number.
    """

    def __init__(
        self,
        glass: SimulatedLens,
        make_pins: Callable[[SimulatedLens], PinLens],
        *,
        hands: int = 0,
        tick_ns: int = 1,
        keeps: int | None = None,
    ) -> None:
        self.tick_ns = tick_ns
        self.hands = hands
        self._glass = glass
        self._make_pins = make_pins
        self._keeps = sys.maxsize if keeps is None else keeps
        self._held: list[tuple[int, int]] = []
        self._lost = 0
        self._timing = BodyTiming()
        self._drives, self._outputs = _BODY_LINES, _CLK
        self._now_ns = 0
        self._insert()
        self.levels = self._lines = self._outputs & self._drives | self._lens.outputs & self._lens.drives

    @staticmethod
    def hands_for(glass: SimulatedLens) -> int:
        """Return all that hands can do to a lens."""
        return 1 << FOCUS | 1 << REMOVE | 1 << FRESH | (1 << ZOOM if glass.profile.zoom_steps else 0)

    def _insert(self) -> None:
        lens = self._make_pins(self._glass)
        self._lens: PinEnd = lens
        self._whole: PinLens | None = lens if lens.takes_whole_bytes and lens.timing.steady else None
        self._next_ns = self._now_ns

    def now_ns(self) -> int:
        """Return the virtual time."""
        return self._now_ns

    def set(self, mask: int, levels: int) -> None:
        """Set lines."""
        self._outputs = self._outputs & ~mask | levels & mask & ~DATA_DRIVE
        if mask & DATA_DRIVE:
            self._drives = self._drives | _DATA if levels & DATA_DRIVE else self._drives & ~_DATA

    def flip(self, mask: int) -> None:
        """Change the levels of lines."""
        self._outputs ^= mask

    def rate(self, setup_ns: int, out_low_ns: int, out_high_ns: int, in_low_ns: int, in_high_ns: int) -> None:
        """Choose how bits are clocked."""
        self._timing = _timing(setup_ns, out_low_ns, out_high_ns, in_low_ns, in_high_ns)

    # time

    def _settle(self) -> int:
        """Let the lens act if it is due, then what was set come about, and what the lens makes of it; return levels."""
        lens, now_ns, levels = self._lens, self._now_ns, self._lines
        if self._next_ns <= now_ns:
            self._next_ns = lens.advance(now_ns, levels, 0)
        while True:
            before, levels = levels, self._outputs & self._drives | lens.outputs & lens.drives
            rose, fell = levels & ~before, before & ~levels
            if not (rose & lens.watches_rises or fell & lens.watches_falls):
                return levels
            self._next_ns = lens.advance(now_ns, levels, rose | fell)

    def _act(self) -> None:
        """Settle, and keep what changed."""
        levels = self._settle()
        if levels != self._lines:
            self._lines = levels
            self._held.append((self._now_ns, levels))
            if len(self._held) > self._keeps:
                self._forget()

    def _forget(self) -> None:
        much = max(len(self._held) - self._keeps, 0)
        del self._held[:much]
        self._lost += much

    def _pass(self, end_ns: int) -> None:
        """Let the time come to an end, with all that the lens does up to then."""
        while self._next_ns <= end_ns:
            self._now_ns = self._next_ns
            self._act()
        self._now_ns = max(self._now_ns, end_ns)

    def _break_off(self, until_ns: int) -> None:
        self._pass(max(until_ns, self._now_ns))

    def delay(self, pause_ns: int, until_ns: int) -> bool:
        """Let time pass."""
        self._act()
        end_ns = min(self._now_ns + pause_ns, _LAST_NS)
        if pause_ns and until_ns != NEVER and end_ns > until_ns:
            self._break_off(until_ns)
            return False
        self._pass(end_ns)
        return True

    def wait(self, mask: int, levels: int, limit_ns: int, until_ns: int) -> int:
        """Wait for levels."""
        reached = self._lines & mask == levels
        self._act()
        if reached or not limit_ns:
            return REACHED if reached else MISSED
        end_ns = min(self._now_ns + limit_ns, _LAST_NS)
        cut = until_ns != NEVER and end_ns > until_ns
        last_ns = until_ns if cut else end_ns - 1
        while self._lines & mask != levels:
            if self._next_ns > last_ns:
                if cut:
                    self._break_off(until_ns)
                    return CUT
                self._pass(end_ns)
                return MISSED
            self._now_ns = self._next_ns
            self._act()
        return REACHED

    # bits

    def clock_out(self, value: int, count: int, until_ns: int) -> bool:
        """Clock out bits."""
        timing = self._timing
        if count == BITS_PER_BYTE and self._carried(value, until_ns) is not None:
            self.set(_DATA, _DATA * (value >> BITS_PER_BYTE - 1))
            return self.delay(timing.write_high_ns, until_ns)
        for place in range(count):
            if not (
                self._step(_CLK, 0, timing.setup_ns, until_ns)
                and self._step(_DATA, _DATA * (value >> place & 1), timing.write_low_ns - timing.setup_ns, until_ns)
                and self._step(_CLK, _CLK, timing.write_high_ns, until_ns)
            ):
                return False
        self._act()
        return True

    def clock_in(self, until_ns: int) -> int:
        """Clock in a byte."""
        timing = self._timing
        value = self._carried(ANY_BYTE, until_ns)
        if value is None:
            value = 0
            for place in range(BITS_PER_BYTE):
                if place and not self._step(_CLK, _CLK, timing.read_high_ns, until_ns):
                    return -1
                if not self._step(_CLK, 0, timing.read_low_ns, until_ns):
                    return -1
                value |= bool(self._lines & _DATA) << place
            self.set(_CLK, _CLK)
        self._act()
        return value

    def _carried(self, sent: int, until_ns: int) -> int | None:
        """Carry a byte that the lens waits for; return it, or None when it must go over the lines bit by bit."""
        lens, held_ns = self._whole, self._now_ns
        if lens is None:
            return None
        levels = self._settle()
        figure, value = due_figure(self._timing, self._drives, sent, lens, levels)
        if not figure or not levels & _CLK or (until_ns != NEVER and held_ns + figure[-1][0] > until_ns):
            return None
        rest = levels & ~(_CLK | _DATA)
        self._held += [(held_ns + offset_ns, rest | bits) for offset_ns, bits in figure]
        self._forget()
        self._now_ns, self._lines = self._held[-1]
        self._next_ns = self._now_ns
        lens.carry(value)
        return value

    def _step(self, mask: int, levels: int, pause_ns: int, until_ns: int) -> bool:
        """Set lines, and let time pass up to just before its end; return False when that was broken off."""
        self.set(mask, levels)
        if pause_ns <= 0:
            return True
        self._act()
        end_ns = min(self._now_ns + pause_ns, _LAST_NS)
        if until_ns != NEVER and end_ns > until_ns:
            self._break_off(until_ns)
            return False
        self._pass(end_ns - 1)
        self._now_ns = end_ns
        return True

    # hands

    def hand(self, kind: int, amount: int) -> None:
        """Turn a ring, take the lens off, or put it on again."""
        if kind == ZOOM:
            self._glass.turn_zoom(amount, self._now_ns)
        elif kind == FOCUS:
            self._glass.turn_focus_ring(amount, self._now_ns)
        elif kind == REMOVE:
            self._lens, self._whole, self._next_ns = PinEnd(0, 0), None, ends.NEVER
            self._act()
        else:
            self._insert()

    def edges(self) -> list[tuple[int, int]]:
        """Return what changed since it was asked last."""
        tick_ns, held = self.tick_ns, self._held
        self._held = []
        if held:
            self.levels = held[-1][1]
        return held if tick_ns == 1 else [(t_ns // tick_ns, levels) for t_ns, levels in held]

    def lost(self) -> int:
        """Return how many edges were lost since it was asked last."""
        lost, self._lost = self._lost, 0
        return lost
