"""A body at the pins that does what no proper body does, for the simulated bench."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from m43proto.ends import PinBody
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line
from m43proto.session import SETTLED_POLLS
from m43proto.timing import BodyTiming
from m43tools.conformance.operations import (
    MS,
    US,
    Attention,
    Broken,
    ClockHold,
    Cut,
    Frame,
    Pace,
    Pause,
    PowerDown,
    PowerUp,
    Remove,
    Settle,
    Speak,
    StrayClocks,
    Transact,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.ends import Script
    from m43tools.conformance.operations import Operation

__all__ = ["PACES", "WATCHFUL", "ProbeBody"]

_CLK, _DATA, _BODY_ACK = Line.CLK.mask, Line.DATA.mask, Line.BODY_ACK.mask
_LENS_ACK, _SLEEP = Line.LENS_ACK.mask, Line.SLEEP.mask

WATCHFUL = BodyTiming(watches_acks=True)
"""The delays of the public body program, but it waits for each acknowledge: one late edge spoils nothing else."""

PACES: dict[str, BodyTiming] = {
    "watchful": WATCHFUL,
    "blind": BodyTiming(),
    "500 kHz": dataclasses.replace(
        WATCHFUL, setup_ns=300, write_low_ns=1_000, write_high_ns=1_000, read_low_ns=1_000, read_high_ns=1_000
    ),
    "slow hand": dataclasses.replace(WATCHFUL, take_over_ns=5 * MS, done_ns=MS, hand_over_ns=5 * MS, ready_ns=MS),
    "stretched": dataclasses.replace(WATCHFUL, write_low_ns=28 * US, read_low_ns=28 * US),
    "at once": dataclasses.replace(WATCHFUL, block_ns=US),
    "late block": dataclasses.replace(WATCHFUL, block_ns=5 * MS),
}
"""Delays of the body by name, for the operation `Pace`."""

_PATIENCE_NS = 5 * MS
"""How long the probe waits for the lens where it need not answer."""


class ProbeBody(PinBody):
    """A body that carries out operations."""

    def perform(self, operation: Operation) -> Script[bool]:
        """Carry out one operation; return whether it went as it should."""
        return (yield from _PERFORMERS[type(operation)](self, operation))

    def _power_up(self, operation: PowerUp) -> Script[bool]:
        return (yield from self.power_up())

    def _power_down(self, operation: PowerDown) -> Script[bool]:
        yield from self.power_down()
        yield operation.off_ns
        return True

    def _pause(self, operation: Pause) -> Script[bool]:
        yield operation.pause_ns
        return True

    def _pace(self, operation: Pace) -> Script[bool]:
        self.timing = PACES[operation.name]
        yield 0
        return True

    def _hold(self, operation: ClockHold) -> Script[bool]:
        yield from self.clock_hold(operation.width_ns)
        yield MS
        return True

    def _stray(self, operation: StrayClocks) -> Script[bool]:
        for _ in range(operation.count):
            yield from self.clock_hold(self.timing.write_low_ns)
            yield self.timing.write_high_ns
        yield MS
        return True

    def _frame(self, operation: Frame) -> Script[bool]:
        yield from self.frame_sync(operation.shutter_ns)
        if operation.focus:
            yield from self.toggle_focus()
        yield operation.lead_ns
        return True

    def _transact(self, operation: Transact) -> Script[bool]:
        seen = yield from self.transact(operation.command, operation.block)
        yield operation.then_ns
        return seen is not None and seen.complete

    def _settle(self, operation: Settle) -> Script[bool]:
        until_ns = self.now_ns + operation.limit_ns
        last, alike = b"", 0
        while alike < SETTLED_POLLS and self.now_ns < until_ns:
            seen = yield from self.transact(operation.poll)
            if seen is None or not seen.complete:
                return False
            alike = alike + 1 if seen.data == last else 1
            last = seen.data
            yield operation.every_ns
        return alike == SETTLED_POLLS

    def _speak_all(self, operation: Speak) -> Script[bool]:
        heard = True
        for values in operation.turns:
            if not (yield from self._begin_turn()):
                heard = False
                break
            for value in values[:-1]:
                yield from self._clock_bits(value, BITS_PER_BYTE)
                yield from self._acknowledged()
            yield from self._clock_bits(values[-1], BITS_PER_BYTE)
            yield from self._hand_over()
            for _ in range(operation.listen):
                heard = (yield from self._take_byte()) and heard
        yield _PATIENCE_NS
        return heard

    def _break(self, operation: Broken) -> Script[bool]:
        if (yield from self._begin_turn()):
            for value in operation.before:
                yield from self._clock_bits(value, BITS_PER_BYTE)
                yield from self._acknowledged()
            yield from self._clock_bits(0, operation.clocks)
            yield from self._hand_over()
        yield _PATIENCE_NS
        return True

    def _attention(self, operation: Attention) -> Script[bool]:
        answered = yield from self._begin_turn()
        yield operation.hold_ns
        yield from self._release()
        yield _PATIENCE_NS
        return answered

    def _begin_turn(self) -> Script[bool]:
        if not (yield from self._reaches(_LENS_ACK, 0, _PATIENCE_NS)):
            return False
        self._set(_BODY_ACK, 1)
        if not (yield from self._reaches(_LENS_ACK, _LENS_ACK, _PATIENCE_NS)):
            yield from self._release()
            return False
        yield self.timing.ready_ns
        self.drives |= _DATA
        return True

    def _clock_bits(self, value: int, count: int) -> Script[None]:
        timing = self.timing
        for place in range(count):
            self._set(_CLK, 0)
            yield timing.setup_ns
            self._set(_DATA, value >> place & 1)
            yield timing.write_low_ns - timing.setup_ns
            self._set(_CLK, 1)
            yield timing.write_high_ns

    def _acknowledged(self) -> Script[None]:
        """Wait for an acknowledge as far as one comes."""
        yield from self._reaches(_LENS_ACK, 0, 200 * US)
        yield from self._reaches(_LENS_ACK, _LENS_ACK, 200 * US)
        yield self.timing.ready_ns

    def _hand_over(self) -> Script[None]:
        yield self.timing.hand_over_ns
        yield from self._reaches(_LENS_ACK, 0, 200 * US)
        yield 20 * US
        yield from self._release()

    def _release(self) -> Script[None]:
        self.drives &= ~_DATA
        self._set(_BODY_ACK, 0)
        yield 0

    def _take_byte(self) -> Script[bool]:
        timing = self.timing
        if not (yield from self._reaches(_LENS_ACK, _LENS_ACK, _PATIENCE_NS)):
            return False
        yield timing.take_over_ns
        self._set(_BODY_ACK, 1)
        yield timing.read_ns
        for _ in range(BITS_PER_BYTE):
            self._set(_CLK, 0)
            yield timing.read_low_ns
            self._set(_CLK, 1)
            yield timing.read_high_ns
        yield timing.done_ns
        self._set(_BODY_ACK, 0)
        return (yield from self._reaches(_LENS_ACK, 0, _PATIENCE_NS))

    def cut(self) -> Script[bool]:
        """Drop everything: SLEEP, BODY_ACK, and whatever was being said."""
        self.drives &= ~_DATA
        self.outputs = (self.outputs | _CLK) & ~(_SLEEP | _BODY_ACK)
        yield 0
        return True


_PERFORMERS: dict[type, Callable[..., Script[bool]]] = {
    PowerUp: ProbeBody._power_up,
    PowerDown: ProbeBody._power_down,
    Pause: ProbeBody._pause,
    Pace: ProbeBody._pace,
    ClockHold: ProbeBody._hold,
    StrayClocks: ProbeBody._stray,
    Frame: ProbeBody._frame,
    Transact: ProbeBody._transact,
    Settle: ProbeBody._settle,
    Speak: ProbeBody._speak_all,
    Broken: ProbeBody._break,
    Attention: ProbeBody._attention,
    Cut: lambda body, operation: body._transact(Transact(operation.command, operation.block)),
    Remove: lambda body, operation: body._transact(Transact(operation.command)),
}
"""How each operation is begun; `SimBench` cuts those short that are to be cut."""
