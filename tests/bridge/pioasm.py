"""A small assembler of PIO programs that are written for MicroPython's `rp2.asm_pio`, and a stand-in for that module.

Encoding after chapter 3.4 of the RP2040 datasheet. As in MicroPython, side-set is not optional when every instruction
has it; this assembler demands that of a program that has a side-set pin, and so has one bit for it and four for the
delay; a program without has five.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Program", "assembled", "encoded", "stand_in"]

DELAY_LIMIT = 32
PLACES = 32

_JMP, _WAIT, _IN, _OUT, _PUSH, _PULL, _MOV, _SET = 0x0000, 0x2000, 0x4000, 0x6000, 0x8000, 0x8080, 0xA000, 0xE000
_CONDITIONS = {"not_x": 1, "x_dec": 2, "not_y": 3, "y_dec": 4, "x_not_y": 5, "pin": 6, "not_osre": 7}
_WAITS = {"gpio": 0, "pin": 1, "irq": 2}
_SOURCES = {"pins": 0, "x": 1, "y": 2, "null": 3, "isr": 6, "osr": 7}
_INVERTED = 0x08
_MOVES = {"pins": 0, "x": 1, "y": 2, "exec": 4, "pc": 5, "isr": 6, "osr": 7}
_OUTS = {"pins": 0, "x": 1, "y": 2, "null": 3, "pindirs": 4, "pc": 5, "isr": 6}
_SETS = {"pins": 0, "x": 1, "y": 2, "pindirs": 4}
_NOP = _MOV | _SOURCES["y"] << 5 | _SOURCES["y"]


@dataclass
class Instruction:
    """One instruction as it is written: ``nop().side(1)[3]``."""

    opcode: int
    target: str | None = None
    side_level: int | None = None
    delay: int = 0

    def side(self, level: int) -> Self:
        self.side_level = level
        return self

    def __getitem__(self, delay: int) -> Self:
        assert delay >= 0
        self.delay = delay
        return self


@dataclass
class Program:
    """A program: its opcodes, and how its state machine is to be set up."""

    opcodes: list[int]
    wrap_target: int
    wrap: int
    options: dict[str, Any]
    labels: dict[str, int] = field(default_factory=dict)


class _Assembler:
    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.labels: dict[str, int] = {}
        self.wrap_target = 0
        self.wrap = -1

    def names(self) -> dict[str, Any]:
        words = {*_CONDITIONS, *_WAITS, *_SOURCES, *_OUTS, "block", "noblock"}
        return {
            **{word: word for word in words},
            "label": self._label,
            "wrap_target": lambda: setattr(self, "wrap_target", len(self.instructions)),
            "wrap": lambda: setattr(self, "wrap", len(self.instructions) - 1),
            "jmp": self._jmp,
            "wait": lambda level, source, index: self._put(_WAIT | level << 7 | _WAITS[source] << 5 | index),
            "in_": lambda source, count: self._put(_IN | _SOURCES[source] << 5 | count & 31),
            "out": lambda target, count: self._put(_OUT | _OUTS[target] << 5 | count & 31),
            "push": lambda how="block": self._put(_PUSH | 0x20 * (how == "block")),
            "pull": lambda how="block": self._put(_PULL | 0x20 * (how == "block")),
            "mov": lambda target, source: self._put(_MOV | _MOVES[target] << 5 | _moved(source)),
            "invert": lambda source: _SOURCES[source] | _INVERTED,
            "set": lambda target, value: self._put(_SET | _SETS[target] << 5 | value),
            "nop": lambda: self._put(_NOP),
        }

    def _put(self, opcode: int, target: str | None = None) -> Instruction:
        instruction = Instruction(opcode, target)
        self.instructions.append(instruction)
        return instruction

    def _label(self, name: str) -> None:
        self.labels[name] = len(self.instructions)

    def _jmp(self, *how: str) -> Instruction:
        *condition, target = how
        return self._put(_JMP | (_CONDITIONS[condition[0]] << 5 if condition else 0), target)

    def opcode(self, instruction: Instruction, *, has_side: bool) -> int:
        assert (instruction.side_level is not None) is has_side, "every instruction sets the side-set pin, or none does"
        assert instruction.delay < DELAY_LIMIT >> has_side, f"a delay of {instruction.delay} has no room"
        place = 0 if instruction.target is None else self.labels[instruction.target]
        return instruction.opcode | (instruction.side_level or 0) << 12 | instruction.delay << 8 | place


def assembled(function: Callable[[], None], options: dict[str, Any]) -> Program:
    """Return the program that a function writes down."""
    assembler = _Assembler()
    assert isinstance(function, FunctionType)
    FunctionType(function.__code__, {**function.__globals__, **assembler.names()})()
    has_side = "sideset_init" in options
    opcodes = [assembler.opcode(instruction, has_side=has_side) for instruction in assembler.instructions]
    assert len(opcodes) <= PLACES, f"{len(opcodes)} instructions are too many"
    wrap = assembler.wrap if assembler.wrap >= 0 else len(opcodes) - 1
    return Program(opcodes, assembler.wrap_target, wrap, options, assembler.labels)


def encoded(text: str) -> int:
    """Return the opcode of one instruction that is written as text, as `StateMachine.exec` takes it."""
    assembler = _Assembler()
    instruction = eval(text, {}, assembler.names())
    assert isinstance(instruction, Instruction)
    return assembler.opcode(instruction, has_side=False)


def _moved(source: str | int) -> int:
    return source if isinstance(source, int) else _SOURCES[source]


class _Pio:
    IN_LOW, IN_HIGH, OUT_LOW, OUT_HIGH = range(4)
    SHIFT_LEFT, SHIFT_RIGHT = range(2)


def stand_in() -> ModuleType:
    """Return a module that stands in for MicroPython's `rp2`, as far as programs need it, and install it."""
    module = ModuleType("rp2")
    contents: dict[str, Any] = {
        "PIO": _Pio,
        "asm_pio": lambda **options: lambda function: assembled(function, options),
    }
    vars(module).update(contents)
    sys.modules.setdefault("rp2", module)
    return sys.modules["rp2"]
