"""Chapter 2, for a body: how it moves BODY_ACK, CLK and DATA."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from m43proto.ends import NEVER
from m43proto.events import PinEvent
from m43proto.messages import SelectLinkMode
from m43proto.pins import Line
from m43proto.shapes import Shape
from m43tools.conformance.judging import NO_ACKS, Breach, Case, Finding, every, never, nothing, within
from m43tools.conformance.operations import MS
from m43tools.conformance.playing import BODY_STIMULI, SESSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen, PinEventSeen, TransactionSeen
    from m43tools.conformance.judging import Context
    from m43tools.conformance.trace import Trace

__all__ = ["CASES"]

_HALF_A_SECOND_NS = 490 * MS
"""The work of 0.5 s that a body is known to wait for, with room for the edges around it."""

_HOLD_WITHIN_NS = 5 * MS
"""How soon a clock hold begins that belongs to SelectLinkMode."""


def _delay(
    name: str, clause: str, label: str, low_ns: float | None = None, high_ns: float | None = None
) -> Callable[[Trace, Context], Finding]:
    """Judge a delay of `m43tools.conformance.body_timings.BODY_DELAYS` by its limits."""
    return lambda trace, context: within(trace.body_spans.get(name, ()), label, clause, low_ns=low_ns, high_ns=high_ns)


def _never(
    bad: str, good: str, clause: str, expected: str, patience_ns: int = NEVER
) -> Callable[[Trace, Context], Finding]:
    """Judge that one thing happens and never another; a body that had waited longer than its patience gave up."""
    return lambda trace, context: never(trace.body_spans, bad, good, clause, expected, below_ns=patience_ns)


def _slept(trace: Trace, context: Context) -> Finding:
    if Line.SLEEP not in trace.lines:
        return nothing("SLEEP is high when BODY_ACK rises", "SLEEP was not recorded")
    return _never("unslept", "awake", "B1.2-1", "SLEEP is high when BODY_ACK rises")(trace, context)


def _bit_order(trace: Trace, context: Context) -> Finding:
    """Judge by the commands: bits alone do not tell their order, but an opcode on record does."""
    expected = "commands read right with the least significant bit first"
    named = [event for event in trace.messages if event.kind is not None]
    backwards = [one for one in trace.violations if _is_known(trace, _mirrored(one.data[:4]))]
    breaches = tuple(
        Breach("B2.1-5", one.t_ns, one.end_ns, f"{one.data[:4].hex(' ')} is a command with its bits turned round")
        for one in backwards
    )
    if not named and not backwards:
        return nothing(expected, "no command that is known either way")
    shown = (backwards or named)[0]
    observed = f"{len(named)} known commands, {len(backwards)} known with their bits turned round"
    return Finding(expected, observed, len(named) + len(backwards), breaches, (), (shown.t_ns, shown.end_ns))


def _mirrored(data: bytes) -> bytes:
    return bytes(int(f"{value:08b}"[::-1], 2) for value in data)


def _is_known(trace: Trace, command: bytes) -> bool:
    return len(command) == 4 and trace.catalogue.find(command[:2]) is not None


def _unspoilt(trace: Trace, context: Context) -> Finding:
    """Judge by the sums: the lens that the suite plays here sends right ones."""
    summed = [event.transaction for event in trace.messages if event.transaction.command_sum is not None]

    def wrong(one: TransactionSeen) -> str | None:
        return None if one.sums_ok else f"{one.command.hex(' ')}: the lens sent right sums, DATA showed others"

    return every(summed, wrong, "B2.2-1", "DATA carries what the lens says", what="transactions")


def _completed(trace: Trace, context: Context) -> Finding:
    asked = [event for event in trace.messages if event.transaction.shape is Shape.COMPLETE]
    asked = [event for event in asked if event.transaction.command_sum is not None]
    worked = trace.body_spans.get("busy", ())
    if not trace.body_spans:
        return nothing("the work is asked for, and the status byte taken", NO_ACKS)

    def wrong(event: MessageSeen) -> str | None:
        wire = event.transaction.wire
        if event.transaction.status is None:
            return f"{event.name}: no status byte was taken"
        asked_for = any(wire[4].end_ns < span.t_ns and span.end_ns < wire[-1].t_ns for span in worked)
        return None if asked_for else f"{event.name}: the work was not asked for"

    return every(asked, wrong, "B2.5-1", "the work is asked for, and the status byte taken", what="completions")


def _half_a_second(trace: Trace, context: Context) -> Finding:
    expected = "BODY_ACK high while LENS_ACK is, for 0.5 s"
    cut = [span for span in trace.body_spans.get("busy cut", ()) if span.value_ns < _HALF_A_SECOND_NS]
    kept = [span for span in trace.body_spans.get("busy", ()) if span.value_ns >= _HALF_A_SECOND_NS]
    if not cut and not kept:
        return nothing(expected, "no work of 0.5 s")
    breaches = tuple(
        Breach("B2.5-2", one.t_ns, one.end_ns, f"the body gave up after {one.value_ns / MS:g} ms") for one in cut
    )
    shown = (cut or kept)[0]
    observed = f"{len(kept)} waits to the end, {len(cut)} given up"
    return Finding(expected, observed, len(cut) + len(kept), breaches, (), (shown.t_ns, shown.end_ns))


def _block_soon(trace: Trace, context: Context) -> Finding:
    expected = "BODY_ACK rises within 5 ms of the sum of the command"
    asked = [event for event in trace.messages if event.transaction.shape is Shape.WRITE]
    asked = [event for event in asked if event.transaction.length is not None]
    if Line.BODY_ACK not in trace.lines:
        return nothing(expected, NO_ACKS)

    def wrong(event: MessageSeen) -> str | None:
        sum_ns = event.transaction.wire[4].end_ns
        waited_ns = trace.next_edge(Line.BODY_ACK, sum_ns, high=True) - sum_ns
        return None if waited_ns <= 5 * MS else f"{event.name}: the block began {waited_ns / MS:g} ms behind the sum"

    return every(asked, wrong, "B2.6-1", expected, what="written blocks")


def _held(trace: Trace, context: Context) -> Finding:
    expected = "CLK is low for 0.5 to 2 ms behind SelectLinkMode"
    holds = trace.pins(PinEvent.CLOCK_HOLD)
    chosen = [event for event in trace.whole if event.kind is SelectLinkMode]

    def wrong(event: MessageSeen) -> str | None:
        behind = [hold for hold in holds if 0 < hold.t_ns - event.end_ns < _HOLD_WITHIN_NS]
        if not behind:
            return "no clock hold"
        width_ns = behind[0].end_ns - behind[0].t_ns
        return None if MS // 2 <= width_ns <= 2 * MS else f"a clock hold of {width_ns / MS:g} ms"

    return every(chosen, wrong, "B2.7-1", expected, what="times that the link mode was chosen")


def _no_strays(trace: Trace, context: Context) -> Finding:
    expected = "CLK moves only while BODY_ACK is high, but for holds"
    if not {Line.BODY_ACK, Line.SLEEP} <= trace.lines:
        return nothing(expected, "it takes BODY_ACK and SLEEP to tell")
    strays = [one for one in trace.pins(PinEvent.STRAY_CLOCK) if _awake(trace, one)]
    breaches = tuple(Breach("B2.7-2", one.t_ns, one.end_ns, "a clock outside any turn") for one in strays)
    turns = trace.body_spans.get("clock at rest", ())
    if not strays and not turns:
        return nothing(expected, "no turn")
    shown = strays[0] if strays else turns[0]
    observed = f"{len(strays)} clocks outside a turn"
    return Finding(expected, observed, len(strays) + len(turns), breaches, (), (shown.t_ns, shown.end_ns))


def _awake(trace: Trace, one: PinEventSeen) -> bool:
    return any(start <= one.t_ns < end for start, end in trace.sessions)


def _woken_first(trace: Trace, context: Context) -> Finding:
    expected = "no byte is clocked before the wake pulse"
    pulses = trace.pins(PinEvent.WAKE_PULSE)
    held = [up for up in trace.pins(PinEvent.POWER_UP) if Line.LENS_ACK in trace.lines]
    return every(held, partial(_hasty, trace, pulses), "B2.9-4", expected, what="times that SLEEP rose")


def _hasty(trace: Trace, pulses: list[PinEventSeen], up: PinEventSeen) -> str | None:
    until_ns = min(trace.asleep_ns(up.t_ns), *(one.t_ns for one in pulses if one.t_ns > up.t_ns), trace.end_ns)
    spans = [span for name in ("whole bytes", "broken byte", "lens byte") for span in trace.body_spans.get(name, ())]
    early = [span for span in spans if up.t_ns < span.t_ns < until_ns]
    return f"{len(early)} turns before any wake pulse" if early else None


_T = ("timing",)
_CLOCK = ("clock",)
_B = BODY_STIMULI


_case = partial(Case, role="body")

# fmt: off
CASES = (
    _case("BOD-001", "BODY_ACK rises only while SLEEP is high.", ("B1.2-1",), SESSION, _slept),
    _case("BOD-002", "SLEEP is high for a while before BODY_ACK.", ("B2.9-1",), SESSION, _delay("awake", "B2.9-1", "SLEEP to BODY_ACK", MS), _T),
    _case("BOD-003", "The body waits for the end of the wake pulse.", ("B2.9-2",), _B["long wake"], _never("wake cut", "wake seen", "B2.9-2", "BODY_ACK high until the wake pulse is over", 100 * MS)),
    _case("BOD-004", "The first command does not hurry.", ("B2.9-3",), SESSION, _delay("first command", "B2.9-3", "wake pulse to the first command", MS), _T),
    _case("BOD-005", "Nothing is clocked before the wake pulse.", ("B2.9-4",), _B["none"], _woken_first),
    _case("BOD-006", "CLK rests high.", ("B2.1-1",), SESSION, _never("clock low", "clock at rest", "B2.1-1", "CLK is high when BODY_ACK rises or falls"), _CLOCK),
    _case("BOD-007", "A byte of the body has eight clocks.", ("B2.1-2",), SESSION, _never("broken byte", "whole bytes", "B2.1-2", "clocks in eights"), _CLOCK),
    _case("BOD-008", "DATA is there before CLK rises.", ("B2.1-3",), SESSION, _delay("set-up", "B2.1-3", "DATA changes to CLK rises", 50), _T),
    _case("BOD-009", "DATA changes only while CLK is low.", ("B2.1-4",), SESSION, _never("late data", "set-up", "B2.1-4", "DATA rests while CLK is high")),
    _case("BOD-010", "The least significant bit comes first.", ("B2.1-5",), SESSION, _bit_order),
    _case("BOD-011", "The clock is not too fast.", ("B2.1-6",), SESSION, _delay("period", "B2.1-6", "period of CLK", 700), (*_T, *_CLOCK)),
    _case("BOD-012", "The lens has time to bring a bit.", ("B2.1-7",), SESSION, _delay("low to read", "B2.1-7", "CLK low in a byte of the lens", 350), (*_T, *_CLOCK)),
    _case("BOD-013", "The body waits for the lens to be ready.", ("B2.3-1",), _B["slow attention"], _never("unready", "ready", "B2.3-1", "LENS_ACK high before the first clock")),
    _case("BOD-014", "The body waits for each acknowledge.", ("B2.3-2",), _B["late acks"], _never("hasty byte", "next byte", "B2.3-2", "an acknowledge between two bytes of the body"), doc="With a quick lens, as in a capture, a body that pauses blindly passes, too; the lens that the suite plays takes 40 us."),
    _case("BOD-015", "The body waits for the lens at the hand-over.", ("B2.3-3",), _B["late acks"], _never("hasty hand-over", "hand-over", "B2.3-3", "LENS_ACK low before BODY_ACK falls", 20 * MS)),
    _case("BOD-016", "The body keeps off DATA in a byte of the lens.", ("B2.2-1",), SESSION, _unspoilt, passive=False, doc="The lens that the suite plays sends right sums; what stands on DATA is compared with that. Levels alone do not show that two sides drive a line."),
    _case("BOD-017", "A byte of the lens has eight clocks, and BODY_ACK falls behind it.", ("B2.4-1",), SESSION, _never("lens byte broken", "lens byte", "B2.4-1", "eight clocks, then BODY_ACK falls"), _CLOCK),
    _case("BOD-018", "The body waits for a byte of the lens to be ready.", ("B2.4-2",), _B["late bytes"], _never("unready byte", "lens byte", "B2.4-2", "LENS_ACK high before the first clock")),
    _case("BOD-019", "The body waits for LENS_ACK to fall between two bytes of the lens.", ("B2.4-3",), _B["late release"], _never("again", "lens byte", "B2.4-3", "LENS_ACK low before BODY_ACK rises again")),
    _case("BOD-020", "BODY_ACK falls soon behind a byte of the lens.", ("B2.4-4",), SESSION, _delay("done", "B2.4-4", "last clock to BODY_ACK falls", None, MS), _T),
    _case("BOD-021", "The body carries completions out.", ("B2.5-1",), SESSION, _completed),
    _case("BOD-022", "The body waits half a second for work.", ("B2.5-2",), _B["half a second"], _half_a_second),
    _case("BOD-023", "A block comes soon.", ("B2.6-1",), SESSION, _block_soon, _T),
    _case("BOD-024", "The body holds the clock behind SelectLinkMode.", ("B2.7-1",), SESSION, _held, _CLOCK),
    _case("BOD-025", "No clock runs outside a turn.", ("B2.7-2",), SESSION, _no_strays, _CLOCK),
)
# fmt: on
