"""What a bench does for each operation: programs of single steps at the pins, which a stand or a bridge carries out.

A tester must be able to lie, so this body is not `m43proto.ends.PinBody`, which is honest; where it is honest, in
`Transact`, its edges are the same, and a test holds both together.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from m43drivers.bridge.assembly import Assembly
from m43drivers.bridge.probe import DATA_DRIVE, FOCUS, INSERT, REMOVE, ZOOM
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line, Role
from m43proto.session import SETTLED_POLLS
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, SHAPES, Shape
from m43proto.timing import BodyTiming
from m43proto.turns import AFTER_COMMAND, TURNS, Phase
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
    Turn,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43tools.conformance.operations import Operation

__all__ = ["PACES", "WATCHFUL", "Prober"]

_CLK, _BODY_ACK, _LENS_ACK = Line.CLK.mask, Line.BODY_ACK.mask, Line.LENS_ACK.mask
_SLEEP, _SHUTTER, _FOCUS = Line.SLEEP.mask, Line.SHUTTER.mask, Line.FOCUS.mask

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

_ACK_NS = 200 * US
"""How long it waits for an acknowledge that may not come."""

_RINGS = {"zoom": ZOOM, "focus": FOCUS}


class Prober:
    """Writes the programs of operations, one behind the other: a `Pace` holds for all that follow it.

    Args:
        shape_of: the shape of a command, or None when nobody knows it: a catalogue's own method.
    """

    def __init__(self, shape_of: Callable[[bytes], Shape | None]) -> None:
        self._shape_of = shape_of
        self._timing = WATCHFUL

    def program(self, operation: Operation) -> bytes:
        """Return the program of an operation.

        Raises:
            ValueError: a command has not four bytes, or nobody knows its shape.
        """
        if isinstance(operation, Pace):
            self._timing = PACES[operation.name]
        writer = _Writer(self._timing, self._shape_of)
        writer.rate()
        _WRITERS[type(operation)](writer, operation)
        writer.put("END")
        return writer.program()


class _Writer(Assembly):
    """The program of one operation."""

    def __init__(self, timing: BodyTiming, shape_of: Callable[[bytes], Shape | None]) -> None:
        super().__init__()
        self._timing = timing
        self._shape_of = shape_of

    # single lines

    def rate(self) -> None:
        timing = self._timing
        self.put(
            "RATE", timing.setup_ns, timing.write_low_ns, timing.write_high_ns, timing.read_low_ns, timing.read_high_ns
        )

    def _delay(self, pause_ns: int) -> None:
        self.put("DELAY", pause_ns)

    def _set(self, mask: int, levels: int) -> None:
        self.put("SET", mask, levels)

    def _reach(self, high: bool, limit_ns: int, otherwise: str) -> None:
        self.put("WAIT", _LENS_ACK, _LENS_ACK if high else 0, limit_ns, otherwise)

    def _await(self, high: bool, limit_ns: int) -> None:
        """Wait for LENS_ACK as far as it comes."""
        behind = self.place()
        self._reach(high, limit_ns, behind)
        self.here(behind)

    def _let_go(self) -> None:
        self._set(DATA_DRIVE | _BODY_ACK, 0)

    # operations on single lines

    def power_up(self, operation: PowerUp) -> None:
        timing, asleep, behind = self._timing, self.place(), self.place()
        self._set(_SLEEP, _SLEEP)
        self._delay(timing.attention_ns)
        self._set(_BODY_ACK, _BODY_ACK)
        self._reach(True, timing.answer_limit_ns, asleep)
        self._reach(False, timing.answer_limit_ns, asleep)
        self.put("JUMP", behind)
        self.here(asleep)
        self.put("FAIL")
        self.here(behind)
        self._delay(timing.wake_seen_ns)
        self._set(_BODY_ACK, 0)
        self._delay(timing.first_command_ns)

    def power_down(self, operation: PowerDown) -> None:
        self._set(_SLEEP | _BODY_ACK, 0)
        self._delay(operation.off_ns)

    def pause(self, operation: Pause) -> None:
        self._delay(operation.pause_ns)

    def pace(self, operation: Pace) -> None:
        """Do nothing: what follows is written at the new pace."""

    def hold(self, operation: ClockHold) -> None:
        self._pulse(operation.width_ns)
        self._delay(MS)

    def _pulse(self, width_ns: int) -> None:
        self._set(_CLK, 0)
        self._delay(width_ns)
        self._set(_CLK, _CLK)

    def stray(self, operation: StrayClocks) -> None:
        again = self.place()
        self.put("COUNT", operation.count)
        self.here(again)
        self._pulse(self._timing.write_low_ns)
        self._delay(self._timing.write_high_ns)
        self.put("AGAIN", again)
        self._delay(MS)

    def frame(self, operation: Frame) -> None:
        self._set(_SHUTTER, _SHUTTER)
        self._delay(operation.shutter_ns)
        self._set(_SHUTTER, 0)
        if operation.focus:
            self.put("FLIP", _FOCUS)
        self._delay(operation.lead_ns)

    def attention(self, operation: Attention) -> None:
        unheard, behind = self.place(), self.place()
        self._begin_turn(_PATIENCE_NS, unheard)
        self.put("JUMP", behind)
        self.here(unheard)
        self.put("FAIL")
        self.here(behind)
        self._delay(operation.hold_ns)
        self._let_go()
        self._delay(_PATIENCE_NS)

    def cut(self, operation: Cut) -> None:
        self._until(operation.command, operation.block, operation.after_ns)
        self._drop_all()
        self._delay(operation.off_ns)

    def remove(self, operation: Remove) -> None:
        self._until(operation.command, b"", operation.after_ns)
        self.put("HAND", REMOVE, 0)
        self._drop_all()
        self._delay(operation.away_ns)
        self.put("HAND", INSERT, 0)

    def _until(self, command: bytes, block: bytes, after_ns: int) -> None:
        """Begin a transaction, and leave it after a time, wherever it is."""
        unanswered, alarm = self.place(), self.place()
        self.put("ALARM", after_ns, alarm)
        self._transaction(command, block, unanswered)
        self.here(unanswered)
        self._rest()
        self._delay(after_ns)
        self.here(alarm)

    def _rest(self) -> None:
        self._set(DATA_DRIVE | _CLK | _BODY_ACK, _CLK)

    def _drop_all(self) -> None:
        self._set(DATA_DRIVE | _CLK | _SLEEP | _BODY_ACK, _CLK)

    def turn(self, operation: Turn) -> None:
        self.put("HAND", _RINGS[operation.ring], operation.amount)

    # whole transactions

    def transact(self, operation: Transact) -> None:
        unanswered, behind = self.place(), self.place()
        self._transaction(operation.command, operation.block, unanswered)
        self.put("JUMP", behind)
        self.here(unanswered)
        self._give_up()
        self.here(behind)
        self._delay(operation.then_ns)

    def settle(self, operation: Settle) -> None:
        again, unanswered, settled, restless = self.place(), self.place(), self.place(), self.place()
        self.put("TIMER", operation.limit_ns)
        self.here(again)
        self.put("CLEAR")
        self._transaction(operation.poll, b"", unanswered)
        self.put("NOTE", 1 + LENGTH_SIZE, 1)
        self._delay(operation.every_ns)
        self.put("SETTLED", SETTLED_POLLS, settled)
        self.put("EARLY", again)
        self.put("JUMP", restless)
        self.here(unanswered)
        self._give_up()
        self.here(restless)
        self.put("FAIL")
        self.here(settled)

    def _give_up(self) -> None:
        self.put("FAIL")
        self._rest()
        self._delay(self._timing.answer_limit_ns)

    def _transaction(self, command: bytes, block: bytes, unanswered: str) -> None:
        """Write a transaction by the grammar of `m43proto.turns`, and go on elsewhere when the lens does not answer."""
        shape = self._shape_of(command) if len(command) == COMMAND_SIZE else None
        if shape is None:
            raise ValueError(f"{command.hex(' ')} is no command of a known shape")
        self._speak(command, unanswered)
        self._listen(unanswered)
        phase = AFTER_COMMAND[shape]
        if SHAPES[shape].block_sender is Role.BODY:
            self._delay(self._timing.block_ns)
            self._speak((len(block) + 1).to_bytes(LENGTH_SIZE, "little") + block, unanswered)
            phase = Phase.WRITE_SUM
        if phase is Phase.STATUS:
            self._work(unanswered)
        if phase is not Phase.IDLE:
            self._hear(phase, unanswered)

    def _hear(self, phase: Phase, unanswered: str) -> None:
        """Take what the lens says from a phase on; a block, as far as its length word says."""
        for _ in range(TURNS[phase].size or 0):
            self._listen(unanswered)
        if phase is Phase.READ_LENGTH:
            again = self.place()
            self.put("LENGTH", unanswered)
            self.here(again)
            self._listen(unanswered)
            self.put("AGAIN", again)

    def _speak(self, values: bytes, unanswered: str) -> None:
        timing = self._timing
        again, last = self.place(), self.place()
        self.put("SAY", values)
        self._begin_honest_turn(unanswered)
        self.put("JUMP", last)
        self.here(again)
        if timing.watches_acks:
            self._reach(False, timing.answer_limit_ns, unanswered)
            self._reach(True, timing.answer_limit_ns, unanswered)
            self._delay(timing.ready_ns)
        else:
            self._delay(max(timing.byte_ns - timing.write_high_ns, 1))
        self.here(last)
        self.put("OUT", BITS_PER_BYTE)
        self.put("MORE", again)
        self._delay(max(timing.hand_over_ns - timing.write_high_ns, 1))
        self._reach(False, timing.answer_limit_ns, unanswered)
        self._let_go()

    def _begin_honest_turn(self, unanswered: str) -> None:
        timing = self._timing
        self._reach(False, timing.answer_limit_ns, unanswered)
        self._set(_BODY_ACK, _BODY_ACK)
        self._reach(True, timing.answer_limit_ns, unanswered)
        self._delay(timing.ready_ns)
        self._set(DATA_DRIVE, DATA_DRIVE)

    def _listen(self, unanswered: str) -> None:
        self._take_byte(self._timing.answer_limit_ns, self._timing.done_ns, unanswered)

    def _work(self, unanswered: str) -> None:
        timing = self._timing
        self._delay(timing.complete_ns)
        self._set(_BODY_ACK, _BODY_ACK)
        self._reach(True, timing.answer_limit_ns, unanswered)
        self._reach(False, timing.busy_limit_ns, unanswered)
        self._delay(timing.complete_ns)
        self._set(_BODY_ACK, 0)

    # turns that no proper body takes

    def speak(self, operation: Speak) -> None:
        unheard, behind = self.place(), self.place()
        for values in operation.turns:
            self._begin_turn(_PATIENCE_NS, unheard)
            self._clock(values, BITS_PER_BYTE)
            self._hand_over()
            for _ in range(operation.listen):
                self._take_byte_if_any()
        self.put("JUMP", behind)
        self.here(unheard)
        self.put("FAIL")
        self.here(behind)
        self._delay(_PATIENCE_NS)

    def broken(self, operation: Broken) -> None:
        behind = self.place()
        self._begin_turn(_PATIENCE_NS, behind)
        self._clock(operation.before + b"\0", operation.clocks)
        self._hand_over()
        self.here(behind)
        self._delay(_PATIENCE_NS)

    def _begin_turn(self, patience_ns: int, unheard: str) -> None:
        """Ask for attention; go on elsewhere, with BODY_ACK low, when the lens gives none."""
        busy, begun = self.place(), self.place()
        self._reach(False, patience_ns, unheard)
        self._set(_BODY_ACK, _BODY_ACK)
        self._reach(True, patience_ns, busy)
        self.put("JUMP", begun)
        self.here(busy)
        self._let_go()
        self.put("JUMP", unheard)
        self.here(begun)
        self._delay(self._timing.ready_ns)
        self._set(DATA_DRIVE, DATA_DRIVE)

    def _clock(self, values: bytes, last: int) -> None:
        """Clock bytes, and of the last one only so many bits; take acknowledges as far as they come."""
        self.put("SAY", values)
        for _ in values[:-1]:
            self.put("OUT", BITS_PER_BYTE)
            self._await(False, _ACK_NS)
            self._await(True, _ACK_NS)
            self._delay(self._timing.ready_ns)
        self.put("OUT", last)

    def _hand_over(self) -> None:
        self._delay(self._timing.hand_over_ns)
        self._await(False, _ACK_NS)
        self._delay(20 * US)
        self._let_go()

    def _take_byte_if_any(self) -> None:
        unheard, behind = self.place(), self.place()
        self._take_byte(_PATIENCE_NS, self._timing.read_high_ns + self._timing.done_ns, unheard)
        self.put("JUMP", behind)
        self.here(unheard)
        self.put("FAIL")
        self.here(behind)

    def _take_byte(self, limit_ns: int, done_ns: int, unheard: str) -> None:
        timing = self._timing
        self._reach(True, limit_ns, unheard)
        self._delay(timing.take_over_ns)
        self._set(_BODY_ACK, _BODY_ACK)
        self._delay(timing.read_ns)
        self.put("IN")
        self._delay(done_ns)
        self._set(_BODY_ACK, 0)
        self._reach(False, limit_ns, unheard)


_WRITERS: dict[type, Callable[..., None]] = {
    PowerUp: _Writer.power_up,
    PowerDown: _Writer.power_down,
    Pause: _Writer.pause,
    Pace: _Writer.pace,
    ClockHold: _Writer.hold,
    StrayClocks: _Writer.stray,
    Frame: _Writer.frame,
    Transact: _Writer.transact,
    Settle: _Writer.settle,
    Speak: _Writer.speak,
    Broken: _Writer.broken,
    Attention: _Writer.attention,
    Cut: _Writer.cut,
    Remove: _Writer.remove,
    Turn: _Writer.turn,
}
"""How the program of each operation is written."""
