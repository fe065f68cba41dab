"""A test stand with a simulated lens: pins that programs move, hands for its rings, every edge on virtual time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from m43drivers.bridge.probe import CUT, DATA_DRIVE, FOCUS, FRESH, MISSED, NEVER, REACHED, REMOVE, ZOOM, Pins
from m43proto import ends
from m43proto.ends import PinBody
from m43proto.mount import Mount
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line, Role
from m43proto.timing import BodyTiming

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43drivers.simulator.lens import SimulatedLens
    from m43proto.ends import PinLens, Script

__all__ = ["Stand"]

_LAST_NS = ends.NEVER - 1

_CLK, _DATA = Line.CLK.mask, Line.DATA.mask


@cache
def _timing(setup_ns: int, out_low_ns: int, out_high_ns: int, in_low_ns: int, in_high_ns: int) -> BodyTiming:
    return BodyTiming(
        setup_ns=setup_ns,
        write_low_ns=out_low_ns,
        write_high_ns=out_high_ns,
        read_low_ns=in_low_ns,
        read_high_ns=in_high_ns,
    )


class _Hand(PinBody):
    """A body that does one instruction at a time."""

    def __init__(self) -> None:
        super().__init__(BodyTiming(), lambda body: body.pause(0), lambda command: None)
        self.reached = False
        self.value = 0

    def set(self, mask: int, levels: int) -> None:
        self.outputs = self.outputs & ~mask | levels & mask & ~DATA_DRIVE
        if mask & DATA_DRIVE:
            self.drives = self.drives | _DATA if levels & DATA_DRIVE else self.drives & ~_DATA

    def wait(self, mask: int, levels: int, limit_ns: int) -> Script[None]:
        self.reached = yield from self._reaches(mask, levels, limit_ns)

    def out(self, value: int, count: int) -> Script[None]:
        if count == BITS_PER_BYTE:
            yield from self._clock_out(value)
            return
        timing = self.timing
        for place in range(count):
            self._set(_CLK, 0)
            yield timing.setup_ns
            self._set(_DATA, value >> place & 1)
            yield timing.write_low_ns - timing.setup_ns
            self._set(_CLK, 1)
            yield timing.write_high_ns

    def take(self) -> Script[None]:
        self.value = yield from self._clock_in()

    def _note(self, t_ns: int, end_ns: int, sender: Role, value: int) -> None:
        """Keep nothing: programs keep what they hear."""


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
        self._keeps = keeps
        self._held: list[tuple[int, int]] = []
        self._lost = 0
        self._body = _Hand()
        self._insert()
        self.levels = self._mount.levels

    @staticmethod
    def hands_for(glass: SimulatedLens) -> int:
        """Return all that hands can do to a lens."""
        return 1 << FOCUS | 1 << REMOVE | 1 << FRESH | (1 << ZOOM if glass.profile.zoom_steps else 0)

    def _insert(self) -> None:
        self._lens = self._make_pins(self._glass)
        self._mount = Mount(self._body, self._lens)

    def now_ns(self) -> int:
        """Return the virtual time."""
        return self._mount.now_ns

    def set(self, mask: int, levels: int) -> None:
        """Set lines."""
        self._body.set(mask, levels)

    def flip(self, mask: int) -> None:
        """Change the levels of lines."""
        self._body.outputs ^= mask

    def rate(self, setup_ns: int, out_low_ns: int, out_high_ns: int, in_low_ns: int, in_high_ns: int) -> None:
        """Choose how bits are clocked."""
        self._body.timing = _timing(setup_ns, out_low_ns, out_high_ns, in_low_ns, in_high_ns)

    def _do(self, script: Callable[[PinBody], Script[None]], until_ns: int) -> bool:
        """Run a script of the body; return False when it was broken off."""
        mount, body = self._mount, self._body
        body.begin(script)
        mount.rouse(body, mount.now_ns)
        limit_ns = _LAST_NS if until_ns == NEVER else until_ns
        changes = mount.run(limit_ns, through=body)
        if not mount.now_ns:
            next(changes)  # the levels at time 0, which are no change
        self._held += changes
        if not body.done:
            mount.rouse(body, limit_ns)
        if self._keeps is not None and len(self._held) > self._keeps:
            self._lost += len(self._held) - self._keeps
            del self._held[: -self._keeps]
        return body.done

    def delay(self, pause_ns: int, until_ns: int) -> bool:
        """Let time pass."""
        return self._do(lambda body: body.pause(pause_ns), until_ns)

    def wait(self, mask: int, levels: int, limit_ns: int, until_ns: int) -> int:
        """Wait for levels."""
        if not self._do(lambda _: self._body.wait(mask, levels, limit_ns), until_ns):
            return CUT
        return REACHED if self._body.reached else MISSED

    def clock_out(self, value: int, count: int, until_ns: int) -> bool:
        """Clock out bits."""
        return self._do(lambda _: self._body.out(value, count), until_ns)

    def clock_in(self, until_ns: int) -> int:
        """Clock in a byte."""
        return self._body.value if self._do(lambda _: self._body.take(), until_ns) else -1

    def hand(self, kind: int, amount: int) -> None:
        """Turn a ring, take the lens off, or put it on again."""
        now_ns = self._mount.now_ns
        if kind == ZOOM:
            self._glass.turn_zoom(amount, now_ns)
        elif kind == FOCUS:
            self._glass.turn_focus_ring(amount, now_ns)
        elif kind == REMOVE:
            before = self._mount.levels
            self._mount.unplug(self._lens)
            if self._mount.levels != before:
                self._held.append((now_ns, self._mount.levels))
        else:
            self._insert()
            self._mount.rouse(self._body, now_ns)

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
