"""What a simulated lens can do wrong on purpose: the table `FAULTS`, and how a caller switches faults on.

A fault strikes without chance: at a transaction or byte that the caller names, or as its row says. Transactions are
counted from 1 over the life of the lens; faults of the pins count those that broke off, too, the others do not.

This room has no pins: the effects on answers, drives and the status work for any lens that asks a `Glass`. What goes
wrong on the lines is in `m43drivers.simulator.pins`.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from enum import StrEnum
from math import copysign
from typing import TYPE_CHECKING

from m43proto.errors import M43Error
from m43proto.messages import Identify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m43proto.ends import Answer
    from m43proto.messages import Status

__all__ = [
    "FAULTS",
    "NO_FAULTS",
    "Fault",
    "FaultError",
    "FaultKind",
    "Faults",
    "bent_answer",
    "bent_focus",
    "bent_iris",
    "bent_status",
    "faults_named",
]


class FaultError(M43Error):
    """There is no such fault, or it is written wrongly; the text says what was expected."""


class FaultKind(StrEnum):
    """Where in the lens a fault sits."""

    CONTENT = "content"
    MECHANICAL = "mechanical"
    PINS = "pins"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of `FAULTS`.

    Attributes:
        name: what callers call it.
        kind: where it sits; those of the pins need a lens with pins.
        doc: what the lens does wrong.
        shown: what `m43 sniff` shows for it.
        at: at which transaction or byte it strikes when the caller does not say; None for all of them.
        lasting: whether it goes on from there, or strikes only there.
        unit: what `at` counts, from 1.
    """

    name: str
    kind: FaultKind
    doc: str
    shown: str
    at: int | None = None
    lasting: bool = False
    unit: str = "transaction"


_CONTENT, _MECHANICAL, _PINS = FaultKind

_ROWS = (
    Fault(
        "wrong_command_sum",
        _CONTENT,
        "The sum that the lens sends for a command is 4 too high.",
        "a wrong sum of the command",
    ),
    Fault(
        "wrong_data_sum",
        _CONTENT,
        "The sum of a block, read or written, is 1 too high.",
        "a wrong sum of the block",
    ),
    Fault(
        "length_off_by_one",
        _CONTENT,
        "The length word of a block that the lens sends announces a byte more than follows.",
        "violation broke_off: the body waits for the byte that is missing",
    ),
    Fault(
        "wrong_identity",
        _CONTENT,
        "The lens gives maker 0, model 99, sub-model 99, which is no known lens.",
        "Identify with model 99 and submodel 99",
        lasting=True,
    ),
    Fault(
        "busy_for_ever",
        _CONTENT,
        "A lens that is to complete a command stays busy for a day.",
        "violation broke_off, in status, once the body has given up and 2 s are over",
    ),
    Fault(
        "aperture_stuck",
        _MECHANICAL,
        "The iris does not move.",
        "Status with the same aperture_f before and after a Drive that sets it",
        lasting=True,
    ),
    Fault(
        "focus_stalls",
        _MECHANICAL,
        "The focus stops half-way to its target.",
        "Status with a focus_position that comes to rest before the focus_target of the Drive",
        lasting=True,
    ),
    Fault(
        "focus_overshoots",
        _MECHANICAL,
        "The focus comes to rest 40 counts behind its target, or at the end stop before that.",
        "Status with a focus_position that comes to rest behind the focus_target of the Drive",
        lasting=True,
    ),
    Fault(
        "status_lies",
        _MECHANICAL,
        "The status gives the target as focus position while the focus is still on its way.",
        "Status with the focus_target of the Drive as focus_position, while focus_distance_m still changes",
        lasting=True,
    ),
    Fault(
        "lens_ack_stuck_high",
        _PINS,
        "LENS_ACK does not fall any more once it has risen in this transaction.",
        "violation broke_off, behind a command; no_command with a body that watches each acknowledge",
        at=6,
        lasting=True,
    ),
    Fault(
        "lens_ack_stuck_low",
        _PINS,
        "LENS_ACK does not rise any more.",
        "violation no_answer",
        at=6,
        lasting=True,
    ),
    Fault(
        "late_ack",
        _PINS,
        "LENS_ACK falls 40 us after a byte of the body, and the lens takes no bit until then.",
        "violation broke_off, behind a command, with a body that does not wait for the acknowledge, as the lens misses "
        "bits; nothing wrong with one that waits",
    ),
    Fault(
        "short_ack_pulse",
        _PINS,
        "LENS_ACK is low for 0.5 us only in the acknowledge of a byte of the body.",
        "violation no_command with a body that polls LENS_ACK too seldom to see it; nothing wrong with one that sees "
        "it: no source tells how short the pulse may be",
    ),
    Fault(
        "lost_bit",
        _PINS,
        "The lens misses a clock in the fourth byte of the command, and waits for another.",
        "violation broke_off, behind a command",
        at=6,
    ),
    Fault(
        "data_into_body_turn",
        _PINS,
        "The lens holds DATA high through the first byte of the command.",
        "violation unknown_shape: the byte reads ff where the body sent another; logic levels do not show that two "
        "sides drive DATA",
        at=6,
    ),
    Fault(
        "reset_mid_transaction",
        _PINS,
        "The lens starts anew in the third byte of the command, and gives its wake pulse into it.",
        "violation broke_off, behind a command",
        at=6,
    ),
    Fault(
        "yanked",
        _PINS,
        "The lens is taken away in the middle of this byte, counted over both directions; nothing drives its lines.",
        "violation broke_off, command_size or no_command, then no_answer",
        at=120,
        lasting=True,
        unit="byte",
    ),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ROWS}
"""Everything that a simulated lens can be told to do wrong, by name."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Which faults are switched on.

    Attributes:
        at: for each of them the number at which it strikes; None for every transaction.
    """

    at: dict[str, int | None] = dataclasses.field(default_factory=dict)

    def hits(self, name: str, number: int) -> bool:
        """Tell whether a fault is switched on and strikes at this transaction or byte."""
        if name not in self.at:
            return False
        at = self.at[name]
        return at is None or number == at or (number > at and FAULTS[name].lasting)

    def of(self, kind: FaultKind) -> tuple[str, ...]:
        """Return the names of the faults of a kind that are switched on."""
        return tuple(name for name in self.at if FAULTS[name].kind is kind)


NO_FAULTS = Faults()

_SWITCH = re.compile(r"([^@]*)(?:@(\d{1,12}))?")


def faults_named(texts: Iterable[str]) -> Faults:
    """Return faults switched on by texts such as ``"lost_bit"`` and ``"yanked@120"``.

    Raises:
        FaultError: one is no fault, is written wrongly, or is given twice.
    """
    at: dict[str, int | None] = {}
    for text in texts:
        name, number = _parsed(text)
        if name in at:
            raise FaultError(f"fault {text}: {name} is switched on twice; give it once")
        at[name] = number
    return Faults(at)


def _parsed(text: str) -> tuple[str, int | None]:
    match = _SWITCH.fullmatch(text)
    if match is None or (match[2] is not None and not int(match[2])):
        raise FaultError(f"fault {text}: write NAME or NAME@N, N counting from 1, such as yanked@120")
    if match[1] not in FAULTS:
        raise FaultError(f"no fault is called {match[1]}; faults: {', '.join(FAULTS)}")
    return match[1], FAULTS[match[1]].at if match[2] is None else int(match[2])


# what the faults of content do to an answer

_NO_MODEL = bytes.fromhex("00009999")
_BUSY_FOR_EVER_NS = 86_400 * 10**9


def _as_nobody(command: bytes, answer: Answer) -> Answer:
    if not command.startswith(Identify.spec.opcode):
        return answer
    return dataclasses.replace(answer, block=_NO_MODEL + answer.block[len(_NO_MODEL) :])


_ANSWERS: dict[str, Callable[[bytes, Answer], Answer]] = {
    "wrong_command_sum": lambda command, answer: dataclasses.replace(answer, command_sum_error=4),
    "wrong_data_sum": lambda command, answer: dataclasses.replace(answer, data_sum_error=1),
    "length_off_by_one": lambda command, answer: dataclasses.replace(answer, length_error=1),
    "wrong_identity": _as_nobody,
    "busy_for_ever": lambda command, answer: dataclasses.replace(answer, busy_ns=_BUSY_FOR_EVER_NS),
}

_FOCUS_DRIVES: dict[str, Callable[[float, float], float]] = {
    "focus_stalls": lambda here, target: (here + target) / 2,
    "focus_overshoots": lambda here, target: target + copysign(40, target - here) if target != here else target,
}

_IRIS_DRIVES: dict[str, Callable[[float, float], float]] = {"aperture_stuck": lambda here, target: here}

_READINGS: dict[str, Callable[[Status, int], Status]] = {
    "status_lies": lambda status, target: dataclasses.replace(status, focus_position=target),
}


def bent_answer(faults: Faults, number: int, command: bytes, answer: Answer) -> Answer:
    """Return what a lens with these faults says to its so many-th command instead of this."""
    for name, bend in _ANSWERS.items():
        if faults.hits(name, number):
            answer = bend(command, answer)
    return answer


def bent_focus(faults: Faults, number: int, here: float, target: float) -> float:
    """Return where the focus goes instead of its target, told so in this transaction."""
    return _bent_drive(_FOCUS_DRIVES, faults, number, here, target)


def bent_iris(faults: Faults, number: int, here: float, target: float) -> float:
    """Return where the iris goes instead of its target, told so in this transaction."""
    return _bent_drive(_IRIS_DRIVES, faults, number, here, target)


def _bent_drive(
    bends: dict[str, Callable[[float, float], float]], faults: Faults, number: int, here: float, target: float
) -> float:
    for name, bend in bends.items():
        if faults.hits(name, number):
            target = bend(here, target)
    return target


def bent_status(faults: Faults, number: int, status: Status, focus_target: int) -> Status:
    """Return what a lens with these faults reports in this transaction instead of this status."""
    for name, bend in _READINGS.items():
        if faults.hits(name, number):
            status = bend(status, focus_target)
    return status
