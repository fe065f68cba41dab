"""A simulated lens at the pins: the honest one of `m43proto.ends`, or one whose lines go wrong.

A lens with faults of the pins is an honest lens with something broken between it and the mount: what it sees of the
lines and what it drives are bent, and its handshake is slower or hastier than it should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43drivers.simulator.faults import FaultKind
from m43proto.ends import NEVER, PinLens, Script
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line
from m43proto.timing import replaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.simulator.lens import SimulatedLens
    from m43proto.shapes import Shape
    from m43proto.timing import LensTiming

__all__ = ["FaultyPinLens", "pin_lens"]

_CLK, _DATA, _BODY_ACK = Line.CLK.mask, Line.DATA.mask, Line.BODY_ACK.mask
_LENS_ACK, _SLEEP = Line.LENS_ACK.mask, Line.SLEEP.mask

_LATE_ACK_NS = 40_000
_SHORT_PULSE_NS = 500

_RESET_CLOCK = 2 * BITS_PER_BYTE + 4
"""The rise of CLK in a command at which a lens with `reset_mid_transaction` starts anew."""

_LOST_CLOCK = 3 * BITS_PER_BYTE + 3
"""The clock of a command that a lens with `lost_bit` misses."""


def pin_lens(lens: SimulatedLens, timing: LensTiming, shape_of: Callable[[bytes], Shape | None]) -> PinLens:
    """Return a simulated lens at the pins, with the faults that it was built with.

    Args:
        lens: what is behind the pins; keep it to turn its rings.
        timing: its delays; the wake pulse comes no sooner than the profile says.
        shape_of: the shape of a command: a catalogue's own method.
    """
    timing = replaced(timing, wake_ns=max(timing.wake_ns, lens.profile.wake_ns))
    if lens.faults.of(FaultKind.PINS):
        return FaultyPinLens(timing, lens, shape_of)
    return PinLens(timing, lens, shape_of)


class FaultyPinLens(PinLens):
    """A lens with faults of the pins.

    Args:
        timing: its delays without faults.
        glass: what is behind the pins, and which faults it has.
        shape_of: the shape of a command.
    """

    takes_whole_bytes = False

    def __init__(self, timing: LensTiming, glass: SimulatedLens, shape_of: Callable[[bytes], Shape | None]) -> None:
        super().__init__(timing, glass, shape_of)
        self._faults = glass.faults
        self._honest_timing = timing
        self._honest = self.drives, self.outputs
        self._watch_all()
        self._transaction = 0
        self._clocks = 0
        self._all_clocks = 0
        self._before = 0
        self._lines = 0
        self._stuck = False

    def advance(self, now_ns: int, levels: int, changed: int | None = None) -> int:
        """Go on as far as what the lens sees of the levels allows."""
        self._count(levels)
        self.drives, self.outputs = self._honest
        next_ns = super().advance(now_ns, self._seen(levels))
        self._honest = self.drives, self.outputs
        self._spoil()
        self._watch_all()
        return NEVER if self._gone else next_ns

    def _watch_all(self) -> None:
        """Watch every clock, beside what the handshake waits for."""
        self.watches_rises |= _CLK | _BODY_ACK
        self.watches_falls |= _CLK | _BODY_ACK | _SLEEP

    def _serve(self) -> Script[bool]:
        self._transaction += 1
        self._clocks = 0
        self.timing = self._hasty_or_late()
        return (yield from super()._serve())

    def _hits(self, name: str) -> bool:
        return self._faults.hits(name, self._transaction)

    def _hasty_or_late(self) -> LensTiming:
        timing = self._honest_timing
        if self._hits("late_ack"):
            timing = replaced(timing, ack_ns=_LATE_ACK_NS)
        if self._hits("short_ack_pulse"):
            timing = replaced(timing, ack_width_ns=_SHORT_PULSE_NS)
        return timing

    # what it sees

    def _count(self, levels: int) -> None:
        """Count the rises of CLK, in this transaction and in all."""
        rose = levels & ~self._lines & _CLK and levels & _BODY_ACK
        self._before, self._lines = self._lines, levels
        if rose:
            self._clocks += 1
            self._all_clocks += 1

    @property
    def _rose(self) -> bool:
        return bool(self._lines & ~self._before & _CLK)

    def _seen(self, levels: int) -> int:
        if self._rose and self._clocks == _RESET_CLOCK and self._hits("reset_mid_transaction"):
            return levels & ~_SLEEP
        if self._clocks == _LOST_CLOCK - 1 and self._hits("lost_bit"):
            return levels | _CLK
        return levels

    # what it drives

    def _spoil(self) -> None:
        self._stuck |= bool(self.outputs & _LENS_ACK) and self._hits("lens_ack_stuck_high")
        if self._stuck:
            self.outputs |= _LENS_ACK
        if self._hits("lens_ack_stuck_low"):
            self.outputs &= ~_LENS_ACK
        if self._in_first_byte and self._hits("data_into_body_turn"):
            self.drives |= _DATA
            self.outputs |= _DATA
        if self._gone:
            self.drives = self.outputs = 0

    @property
    def _in_first_byte(self) -> bool:
        """Whether the body speaks its first byte, up to the fall of CLK behind it: a bit is taken at the rise."""
        clocks = self._clocks + bool(~self._lines & _CLK)
        return bool(self._lines & _BODY_ACK) and clocks <= BITS_PER_BYTE

    @property
    def _gone(self) -> bool:
        byte = (self._all_clocks + BITS_PER_BYTE // 2) // BITS_PER_BYTE
        return self._faults.hits("yanked", byte)
