"""Chapter 3: transactions, blocks and sums, and how a lens finds its way back."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING

from m43proto.checksum import wire_sum
from m43proto.events import Cause, PinEvent, Violation
from m43proto.messages import Drive
from m43proto.pins import Line
from m43proto.shapes import Shape
from m43tools.conformance.judging import Case, Finding, Way, every, nothing, one_way
from m43tools.conformance.operations import Attention, Cut, PowerDown, Remove, Speak
from m43tools.conformance.recovery import announces_too_little, announces_too_much, ended, followed, recovered, woken
from m43tools.conformance.stimuli import STIMULI
from m43tools.conformance.timings import GIVEN_UP_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen, TransactionSeen
    from m43tools.conformance.judging import Context
    from m43tools.conformance.operations import Operation
    from m43tools.conformance.trace import Trace

__all__ = ["CASES"]

SHORT_BLOCK = 254


def _sum_of_command(trace: Trace, context: Context) -> Finding:
    asked = [one.transaction for one in trace.messages if one.transaction.command_sum is not None]

    def wrong(one: TransactionSeen) -> str | None:
        if one.command_sum_ok:
            return None
        return f"{one.command.hex(' ')}: sum {one.command_sum:02x} instead of {wire_sum(one.command):02x}"

    return every(asked, wrong, "C3.2-1", "the sum of the four bytes, modulo 256", what="commands")


def _sum_of_block(shape: Shape, clause: str) -> Callable[[Trace, Context], Finding]:
    def wrong(trace: Trace, one: TransactionSeen) -> str | None:
        if one.data_sum_ok is not False or announces_too_little(trace, one):
            return None
        return f"{one.command.hex(' ')}: sum {one.data_sum:02x} instead of {wire_sum(one.data):02x}"

    return lambda trace, context: every(
        trace.shaped(shape),
        partial(wrong, trace),
        clause,
        "the sum of the data, modulo 256",
        what=f"blocks of shape {shape}",
    )


def _length(trace: Trace, context: Context) -> Finding:
    reads = [one.transaction for one in trace.messages if one.transaction.shape is Shape.READ]
    misfits = {event.t_ns for event in trace.violations if event.cause is Cause.BLOCK_LENGTH}

    def wrong(one: TransactionSeen) -> str | None:
        if one.t_ns in misfits or announces_too_much(one) or announces_too_little(trace, one):
            return f"{one.command.hex(' ')}: the length word {one.length} does not fit the block"
        return None

    told = [one for one in reads if one.complete or announces_too_much(one) or one.t_ns in misfits]
    return every(told, wrong, "C3.4-1", "the length word counts data and sum", what="blocks of the lens")


def _high_byte(trace: Trace, context: Context) -> Finding:
    def wrong(one: TransactionSeen) -> str | None:
        assert one.length is not None
        return None if one.length >> 8 == (len(one.data) + 1) >> 8 else f"length word {one.length:04x}"

    asked = [one.transaction for one in trace.messages if one.transaction.shape is Shape.READ]
    held = [one for one in asked if one.length is not None and (one.complete or one.length > SHORT_BLOCK)]
    known = [one for one in held if one.complete or _known_short(one)]
    return every(known, wrong, "C3.4-2", "the high byte is 00 for a short block", what="length words")


def _known_short(one: TransactionSeen) -> bool:
    """Tell whether a block that broke off belongs to a command whose block is known to be short."""
    return one.command[:1] in (b"\xc0", b"\xc1")


def _shape(shape: Shape, clause: str, expected: str) -> Callable[[Trace, Context], Finding]:
    """Judge that nothing but the next transaction follows the end of a transaction of this shape."""

    def judge(trace: Trace, context: Context) -> Finding:
        return followed(trace, trace.shaped(shape), clause, expected)

    return judge


def _unbroken(trace: Trace, context: Context) -> Finding:
    own = [event for event in trace.violations if event.cause is Cause.BROKE_OFF and "switched" not in event.detail]
    steps = trace.did(Cut, Remove, Speak)

    def wrong(one: MessageSeen) -> str | None:
        transaction = one.transaction
        if ended(transaction):
            return None
        if any(step.t_ns <= one.t_ns <= step.end_ns for step in steps):
            return None
        found = [event for event in own if event.t_ns <= one.end_ns and event.end_ns >= one.t_ns]
        last = one is trace.messages[-1]
        if last and _body_waits(trace):
            return f"{one.name} broke off: the lens fell silent, and the body waited to the end"
        stopped = last and all(event.detail.startswith("nothing followed") for event in found)
        return f"{one.name} broke off: {found[0].detail}" if found and not stopped else None

    return every(trace.messages, wrong, "C3.1-1", "every transaction comes to its end", what="transactions")


def _body_waits(trace: Trace) -> bool:
    """Tell whether a recording ends with a body that has dropped BODY_ACK, so that it is the lens's turn to go on."""
    last_ns, levels = trace.changes[-1]
    told = {Line.BODY_ACK, Line.LENS_ACK, Line.SLEEP} <= trace.lines
    waits = levels & (Line.BODY_ACK.mask | Line.SLEEP.mask) == Line.SLEEP.mask
    return told and waits and trace.end_ns - last_ns > GIVEN_UP_NS


def _unasked(trace: Trace, context: Context) -> Finding:
    expected = "LENS_ACK stays low between transactions"
    if not {Line.BODY_ACK, Line.LENS_ACK} <= trace.lines:
        return nothing(expected, "it takes both ack lines to tell")

    def wrong(one: MessageSeen) -> str | None:
        more = trace.offers_more(one.transaction) and not announces_too_little(trace, one.transaction)
        return f"LENS_ACK rose behind {one.name}" if more else None

    return every(trace.whole, wrong, "C3.1-2", expected, what="ends of transactions")


def _status_bytes(trace: Trace, context: Context) -> Finding:
    def wrong(one: TransactionSeen) -> str | None:
        return f"{one.command.hex(' ')}: status {one.status:02x}" if one.status else None

    return every(trace.shaped(Shape.COMPLETE), wrong, "C3.3-3", "status byte 00", what="status bytes")


def _unknown(command: str) -> Callable[[Trace, Context], Finding]:
    """Judge that a command that no source knows keeps its shape, or is left unanswered, and that the lens goes on."""
    ways: tuple[Way[MessageSeen], ...] = (
        Way("keeps its shape", lambda one: None if _kept_shape(one) else "it broke off behind its sum"),
        Way("is not answered", lambda one: None if one.transaction.command_sum is None else "it was answered"),
    )

    def judge(trace: Trace, context: Context) -> Finding:
        asked = [
            one for one in trace.messages if one.kind is None and one.transaction.command.hex().startswith(command)
        ]
        expected = "the next transaction comes to its end"
        went = one_way(asked, ways, "C3.3-4", expected, what="unknown commands")
        return went if went.breaches or not asked else _and_on(went, recovered(trace, asked, "C3.3-4", went.expected))

    return judge


def _kept_shape(one: MessageSeen) -> bool:
    return one.transaction.complete or announces_too_much(one.transaction)


def _and_on(went: Finding, after: Finding) -> Finding:
    """Return the judgement of what follows, with which way each thing went before."""
    return dataclasses.replace(after, observed=f"{went.observed}; behind it {after.observed}")


def _behind(causes: set[Cause], clause: str) -> Callable[[Trace, Context], Finding]:
    expected = "the next transaction comes to its end"
    return lambda trace, context: recovered(
        trace, [event for event in trace.of(Violation) if event.cause in causes], clause, expected
    )


def _behind_step(kind: type[Operation], clause: str) -> Callable[[Trace, Context], Finding]:
    expected = "the next transaction comes to its end"
    return lambda trace, context: recovered(trace, trace.did(kind), clause, expected)


_ODD_DRIVE: tuple[Way[MessageSeen], ...] = (
    Way("is taken", lambda one: None if one.transaction.data_sum_ok else "no right sum came back"),
    Way("is not taken", lambda one: None if one.transaction.data_sum is None else "a wrong sum came back"),
)


def _odd_drives(trace: Trace, context: Context) -> Finding:
    """Judge drives with a block of another size than known: taken or not, without effect."""
    expected = "nothing moves, and the next transaction comes to its end"
    odd = [one for one in trace.messages if one.kind is Drive and one.message is None]
    places = {status.values["focus_position"] for status in trace.statuses}
    if odd and len(places) > 1:
        return every(odd, lambda one: f"the focus moved: {sorted(map(str, places))}", "C3.7-9", expected)
    went = one_way(odd, _ODD_DRIVE, "C3.7-9", expected, what="drives of another size")
    return went if went.breaches or not odd else _and_on(went, recovered(trace, odd, "C3.7-9", went.expected))


def _woken_behind(kind: type[Operation], clause: str) -> Callable[[Trace, Context], Finding]:
    """Judge the next power-up behind what a bench did, or behind a transaction that SLEEP cut, in a capture."""
    expected = "the wake pulse, and the first transaction comes to its end"

    def judge(trace: Trace, context: Context) -> Finding:
        if trace.live:
            return woken(trace, [_Moment(step.t_ns) for step in trace.did(kind)], clause, expected)
        return woken(trace, _cuts(trace), clause, expected)

    return judge


class _Moment:
    """A moment as a thing with a start and an end."""

    def __init__(self, t_ns: int) -> None:
        self.t_ns = self.end_ns = t_ns


def _cuts(trace: Trace) -> list[_Moment]:
    """Return the falls of SLEEP that cut a transaction."""
    downs = trace.pins(PinEvent.POWER_DOWN)
    cut = [event for event in trace.violations if event.cause in (Cause.BROKE_OFF, Cause.SHORT_BYTE)]
    return [_Moment(down.t_ns) for down in downs if any(0 <= down.t_ns - event.end_ns < 10**6 for event in cut)]


TOUR = STIMULI["tour"]
_S = ("sums",)
_N = ("negative", "recovery")
_P = ("power", *_N)
_U = ("unknown-commands", *_N)

# fmt: off
CASES = (
    Case("FRM-001", "The sum of a command is right.", ("C3.2-1",), TOUR, _sum_of_command, _S),
    Case("FRM-002", "The sum of a block that is read is right.", ("C3.5-1",), TOUR, _sum_of_block(Shape.READ, "C3.5-1"), _S),
    Case("FRM-003", "The sum of a block that is written is right.", ("C3.5-2",), STIMULI["patterns"], _sum_of_block(Shape.WRITE, "C3.5-2"), _S, doc="Blocks whose sums differ in every bit are written; the length bytes must stay out of the sum."),
    Case("FRM-004", "The length of a block is right.", ("C3.4-1",), TOUR, _length),
    Case("FRM-005", "The length has two bytes, the low one first.", ("C3.4-2",), TOUR, _high_byte),
    Case("FRM-006", "A set ends with its sum.", ("C3.3-1",), TOUR, _shape(Shape.SET, "C3.3-1", "the next transaction follows")),
    Case("FRM-007", "A completion ends with one status byte.", ("C3.3-2",), TOUR, _shape(Shape.COMPLETE, "C3.3-2", "the next transaction follows")),
    Case("FRM-008", "The status byte is 00.", ("C3.3-3",), TOUR, _status_bytes),
    Case("FRM-009", "No transaction breaks off.", ("C3.1-1", "C2.6-2"), TOUR, _unbroken),
    Case("FRM-010", "The lens says nothing unasked.", ("C3.1-2",), TOUR, _unasked),
    Case("FRM-011", "One byte of a command, then nothing: the lens is back in step.", ("C3.7-1",), STIMULI["short command 1"], _behind({Cause.NO_COMMAND}, "C3.7-1"), _N),
    Case("FRM-012", "Two bytes of a command, then nothing: the lens is back in step.", ("C3.7-1",), STIMULI["short command 2"], _behind({Cause.COMMAND_SIZE}, "C3.7-1"), _N),
    Case("FRM-013", "Three bytes of a command, then nothing: the lens is back in step.", ("C3.7-1",), STIMULI["short command 3"], _behind({Cause.COMMAND_SIZE}, "C3.7-1"), _N),
    Case("FRM-014", "Five bytes of a command: the lens is back in step.", ("C3.7-3",), STIMULI["long command"], _behind({Cause.COMMAND_SIZE}, "C3.7-3"), _N),
    Case("FRM-015", "Seven clocks: the lens is back in step.", ("C3.7-2",), STIMULI["seven clocks"], _behind({Cause.SHORT_BYTE}, "C3.7-2"), _N),
    Case("FRM-016", "One clock of the last byte: the lens is back in step.", ("C3.7-2",), STIMULI["one clock"], _behind({Cause.SHORT_BYTE}, "C3.7-2"), _N),
    Case("FRM-017", "A command of no known shape: the lens is back in step.", ("C3.7-4",), STIMULI["unknown shape"], _behind({Cause.UNKNOWN_SHAPE}, "C3.7-4"), _U),
    Case("FRM-018", "An unknown command that reads keeps its shape.", ("C3.3-4",), STIMULI["unknown read"], _unknown("c"), _U),
    Case("FRM-019", "An unknown command that sets keeps its shape.", ("C3.3-4",), STIMULI["unknown set"], _unknown("a"), _U),
    Case("FRM-020", "An unknown command that completes keeps its shape.", ("C3.3-4",), STIMULI["unknown completion"], _unknown("b"), _U),
    Case("FRM-021", "An unknown command that writes keeps its shape.", ("C3.3-4",), STIMULI["unknown write"], _unknown("6"), _U),
    Case("FRM-022", "A block that is shorter than its length word: the lens is back in step.", ("C3.7-5",), STIMULI["block too short"], _behind({Cause.BLOCK_LENGTH}, "C3.7-5"), _N),
    Case("FRM-023", "A drive with a block of another size does no harm.", ("C3.7-9",), STIMULI["other sized drive"], _odd_drives, _N),
    Case("FRM-024", "An attention without a word does no harm.", ("C3.7-8",), STIMULI["attention"], _behind_step(Attention, "C3.7-8"), _N, passive=False),
    Case("FRM-025", "A sum that is never taken: switched off and on, the lens wakes.", ("C3.7-6",), STIMULI["deaf"], _woken_behind(Speak, "C3.7-6"), _P),
    Case("FRM-026", "Switched off within a command, the lens wakes again.", ("C3.7-6",), STIMULI["cut in command"], _woken_behind(Cut, "C3.7-6"), _P),
    Case("FRM-027", "Switched off within a block of its own, the lens wakes again.", ("C3.7-6",), STIMULI["cut in block"], _woken_behind(Cut, "C3.7-6"), _P),
    Case("FRM-028", "Switched off within a block of the body, the lens wakes again.", ("C3.7-6",), STIMULI["cut in write"], _woken_behind(Cut, "C3.7-6"), _P),
    Case("FRM-029", "Switched off while it is busy, the lens wakes again.", ("C3.7-6",), STIMULI["cut while busy"], _woken_behind(Cut, "C3.7-6"), _P),
    Case("FRM-030", "Switched off while the focus moves, the lens wakes again.", ("C3.7-6",), STIMULI["cut in drive"], _woken_behind(Cut, "C3.7-6"), _P),
    Case("FRM-031", "Taken off within a block and put on again, the lens wakes.", ("C3.7-7",), STIMULI["removed"], _woken_behind(Remove, "C3.7-7"), _P, needs=frozenset({"remove"}), passive=False),
    Case("FRM-032", "The lens wakes each time that it is switched on.", ("C4.2-1",), STIMULI["rewake"], lambda trace, context: _each_wake(trace), ("power",)),
    Case("FRM-033", "A dip of SLEEP of 1 ms within a block: the lens wakes again.", ("C3.7-11",), STIMULI["power glitch"], _woken_behind(Cut, "C3.7-11"), _P, risky=True, doc="No body is known to switch a lens off and on so fast, and a motor may be on its way: --allow-risky only."),
)
# fmt: on


def _each_wake(trace: Trace) -> Finding:
    expected = "the wake pulse, and the first transaction comes to its end"
    downs = trace.pins(PinEvent.POWER_DOWN) if not trace.live else trace.did(PowerDown)
    return woken(trace, [_Moment(down.t_ns) for down in downs], "C4.2-1", expected)
