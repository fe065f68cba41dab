"""Chapter 3, for a body: commands, shapes and the blocks that it writes and takes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from m43proto.events import Cause, Violation
from m43proto.messages import BodyCapability, Drive
from m43proto.shapes import COMMAND_SIZE, Shape
from m43tools.conformance.judging import Case, Finding, every, nothing
from m43tools.conformance.operations import MS
from m43tools.conformance.playing import BODY_STIMULI, SESSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen
    from m43tools.conformance.judging import Context
    from m43tools.conformance.trace import Trace

__all__ = ["CASES", "carried_out"]


def _handed_over(trace: Trace, end_ns: int) -> bool:
    """Tell whether the lens acknowledged the byte that ended then, and the body handed over behind that."""
    return any(end_ns < span.t_ns < end_ns + MS for span in trace.body_spans.get("hand-over", ()))


_Spoken: TypeAlias = "MessageSeen | Violation"


def _wrong_one(one: _Spoken) -> str | None:
    return one.detail if isinstance(one, Violation) else None


def _four_bytes(trace: Trace, context: Context) -> Finding:
    odd = [one for one in trace.violations if one.cause is Cause.COMMAND_SIZE]
    odd = [one for one in odd if len(one.data) > COMMAND_SIZE or _handed_over(trace, one.end_ns)]
    held: list[_Spoken] = [*odd, *trace.messages]
    return every(held, _wrong_one, "B3.1-1", "commands of four bytes", what="commands")


def carried_out(clause: str) -> Callable[[Trace, Context], Finding]:
    """Judge that every transaction comes to its end; the fault is the body's where the lens is one in order."""

    def judge(trace: Trace, context: Context) -> Finding:
        expected = "every transaction comes to its end"
        broken = [event for event in trace.messages if not event.transaction.complete]
        if broken and not trace.live:
            return nothing(expected, "a transaction broke off, and a capture does not tell through whom")

        def wrong(one: _Spoken) -> str | None:
            if isinstance(one, Violation):
                return one.detail
            return None if one.transaction.complete else f"{one.name} broke off"

        odd = trace.violations if trace.live else []
        held: list[_Spoken] = [*broken, *odd, *trace.whole]
        return every(held, wrong, clause, expected, what="transactions")

    return judge


def _known_shape(trace: Trace, context: Context) -> Finding:
    odd = [one for one in trace.violations if one.cause is Cause.UNKNOWN_SHAPE]
    held: list[_Spoken] = [*odd, *trace.messages]
    return every(held, _wrong_one, "B3.3-1", "a first nibble of A, B, C or 6", what="commands")


def _known_opcode(trace: Trace, context: Context) -> Finding:
    def wrong(one: MessageSeen) -> str | None:
        return None if one.kind is not None else f"{one.transaction.command.hex(' ')} is on no record"

    return every(trace.messages, wrong, "B3.3-2", "a command on record", what="commands")


def _length(trace: Trace, context: Context) -> Finding:
    written = [one for one in trace.messages if one.transaction.shape is Shape.WRITE and one.transaction.length]
    told = [one for one in written if one.transaction.complete or _block_ended(trace, one)]

    def wrong(one: MessageSeen) -> str | None:
        held = one.transaction
        assert held.length is not None
        if held.length == len(held.data) + 1:
            return None
        return f"{one.name}: the length word {held.length} announces {held.length - 1} bytes, {len(held.data)} came"

    return every(told, wrong, "B3.4-1", "the length word counts data and sum", what="blocks of the body")


def _block_ended(trace: Trace, one: MessageSeen) -> bool:
    return _handed_over(trace, one.transaction.wire[-1].end_ns)


def _as_announced(trace: Trace, context: Context) -> Finding:
    reads = [one for one in trace.messages if one.transaction.shape is Shape.READ and one.transaction.length]

    def wrong(one: MessageSeen) -> str | None:
        held = one.transaction
        if held.complete:
            return None
        assert held.length is not None
        return f"{one.name}: {len(held.data)} of {held.length - 1} data bytes were taken"

    return every(reads, wrong, "B3.4-2", "the whole block is taken", what="blocks of the lens")


def _known_size(trace: Trace, context: Context) -> Finding:
    def wrong(one: MessageSeen) -> str | None:
        return None if one.message is not None else f"{one.name} with {len(one.transaction.data)} data bytes"

    return every(trace.named(BodyCapability, Drive), wrong, "B5.3-1", "four or nine data bytes", what="blocks")


_case = partial(Case, role="body")

# fmt: off
CASES = (
    _case("BOD-026", "A command has four bytes.", ("B3.1-1",), SESSION, _four_bytes),
    _case("BOD-027", "Transactions are carried out to their end.", ("B3.1-2",), SESSION, carried_out("B3.1-2"), doc="The lens that the suite plays is in order, so what breaks off breaks off through the body; where a transaction breaks off in a capture, nothing is said."),
    _case("BOD-028", "The shape of a command is known.", ("B3.3-1",), SESSION, _known_shape),
    _case("BOD-029", "The command is on record.", ("B3.3-2",), SESSION, _known_opcode),
    _case("BOD-030", "A length word fits its block.", ("B3.4-1",), SESSION, _length),
    _case("BOD-031", "The body takes a block as long as it is.", ("B3.4-2",), BODY_STIMULI["long capability"], _as_announced, passive=False),
    _case("BOD-032", "Blocks of the body have their known size.", ("B5.3-1",), SESSION, _known_size),
)
# fmt: on
