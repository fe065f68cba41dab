"""Chapter 2: how the lens moves LENS_ACK and DATA."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from m43proto.dialects import DIALECTS
from m43proto.events import PinEvent, Violation
from m43proto.pins import Line
from m43tools.conformance.judging import Case, Finding, every, never, nothing, within
from m43tools.conformance.operations import Transact
from m43tools.conformance.recovery import answered_at, recovered
from m43tools.conformance.stimuli import STIMULI

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen
    from m43tools.conformance.judging import Context
    from m43tools.conformance.operations import Step
    from m43tools.conformance.trace import Trace

__all__ = ["CASES"]

MS = 1_000_000

_START_UP = len(DIALECTS["E-PL1"].steps)
_SANITY = 2
"""Transactions of the bench before and behind what a stimulus does."""


def _delay(
    name: str, clause: str, label: str, low_ns: float | None = None, high_ns: float | None = None
) -> Callable[[Trace, Context], Finding]:
    """Judge a delay of `m43tools.conformance.timings.DELAYS` by its limits."""
    return lambda trace, context: within(trace.spans.get(name, ()), label, clause, low_ns=low_ns, high_ns=high_ns)


def _never(bad: str, good: str, clause: str, expected: str, limit_ns: int = 0) -> Callable[[Trace, Context], Finding]:
    """Judge that one thing happens and never another."""
    return lambda trace, context: never(trace.spans, bad, good, clause, expected, least_ns=limit_ns)


def _unspoilt(trace: Trace, context: Context) -> Finding:
    """Compare what the bench said with what stood on DATA."""
    expected = "DATA carries what the body says"
    steps = [step for step in trace.did(Transact) if _heard(trace, step) is not None]
    if not steps:
        return nothing(expected, "only a bench knows what the body meant to say")
    return every(steps, partial(_spoilt, trace), "C2.2-1", expected, what="commands of the bench")


def _heard(trace: Trace, step: Step) -> bytes | None:
    """Return the command that stood on DATA in a step, or None where there was none."""
    for event in trace.events:
        if not step.t_ns <= event.t_ns < step.end_ns:
            continue
        transaction = getattr(event, "transaction", None)
        if transaction is not None:
            return bytes(transaction.command)
        if isinstance(event, Violation) and len(event.data) >= 4:
            return event.data[:4]
    return None


def _spoilt(trace: Trace, step: Step) -> str | None:
    heard, said = _heard(trace, step), getattr(step.operation, "command", b"")
    return None if heard == said else f"the body said {said.hex(' ')}, DATA showed {heard.hex(' ') if heard else '-'}"


def _completed(trace: Trace, context: Context) -> Finding:
    expected = "LENS_ACK rises, stays high, falls, and a status byte follows"
    asked = [event for event in trace.messages if event.transaction.shape == "complete"]
    asked = [event for event in asked if event.transaction.command_sum is not None]

    def wrong(event: MessageSeen) -> str | None:
        up_ns = trace.next_edge(Line.BODY_ACK, event.transaction.wire[4].end_ns, high=True)
        down_ns = trace.next_edge(Line.BODY_ACK, up_ns, high=False)
        if trace.next_edge(Line.LENS_ACK, up_ns, high=True) < down_ns or trace.asleep_ns(up_ns) <= down_ns:
            return None
        return f"{event.name}: LENS_ACK did not rise for the work"

    return every(asked, wrong, "C2.5-1", expected, what="completions")


def _behind_pin(event: PinEvent, clause: str, expected: str) -> Callable[[Trace, Context], Finding]:
    return lambda trace, context: recovered(trace, trace.pins(event), clause, expected)


def _all_done(clause: str, expected: str) -> Callable[[Trace, Context], Finding]:
    """Judge that every transaction behind the start-up came to its end; for paces that only a bench sets."""

    def judge(trace: Trace, context: Context) -> Finding:
        return every(
            trace.did(Transact)[_START_UP:-_SANITY], partial(answered_at, trace), clause, expected, what="transactions"
        )

    return judge


def _no_hold(trace: Trace, context: Context) -> Finding:
    """Judge the start-ups in which no clock hold follows SelectLinkMode."""
    holds = trace.pins(PinEvent.CLOCK_HOLD)
    chosen = [event for event in trace.messages if event.name == "SelectLinkMode"]
    bare = [event for event in chosen if not any(0 < hold.t_ns - event.end_ns < 5 * MS for hold in holds)]
    return recovered(trace, bare, "C2.7-2", "the next transaction comes to its end")


def _asleep(trace: Trace, context: Context) -> Finding:
    if Line.SLEEP not in trace.lines:
        return nothing("LENS_ACK is low while SLEEP is low", "SLEEP was not recorded")
    return within(trace.spans.get("asleep", ()), "SLEEP falls to LENS_ACK low", "C1.2-1", high_ns=MS)


TOUR = STIMULI["tour"]
_T = ("timing",)
_M = ("measured",)
_N = ("negative", "recovery")

# fmt: off
CASES = (
    Case("LIN-001", "LENS_ACK is low when the lens is switched off.", ("C1.2-1",), STIMULI["cut in block"], _asleep, _T),
    Case("LNK-001", "The lens gives its wake pulse.", ("C2.9-1",), TOUR, _never("no wake pulse", "wake pulse", "C2.9-1", "a wake pulse behind BODY_ACK")),
    Case("LNK-002", "The wake pulse comes soon.", ("C2.9-2",), TOUR, _delay("wake", "C2.9-2", "BODY_ACK to the wake pulse", None, 40 * MS), _T),
    Case("LNK-003", "The wake pulse has a usual width.", ("C2.9-3",), TOUR, _delay("wake pulse", "C2.9-3", "width of the wake pulse", MS, 50 * MS), _T),
    Case("LNK-004", "The wake pulse waits for BODY_ACK.", ("C2.9-4",), TOUR, _never("early", "wake", "C2.9-4", "no wake pulse before BODY_ACK")),
    Case("LNK-005", "The lens answers each attention.", ("C2.3-1",), TOUR, _never("unanswered", "attention", "C2.3-1", "LENS_ACK rises when BODY_ACK does", 20 * MS)),
    Case("LNK-006", "The lens answers attention soon.", ("C2.3-2",), TOUR, _delay("attention", "C2.3-2", "attention", None, MS), _T),
    Case("LNK-007", "The lens acknowledges each byte.", ("C2.3-3",), TOUR, _never("unacknowledged", "acknowledge", "C2.3-3", "LENS_ACK falls behind each byte of the body")),
    Case("LNK-008", "An acknowledge is long enough to be seen.", ("C2.3-4",), TOUR, _delay("acknowledge low", "C2.3-4", "acknowledge low", 800), _T),
    Case("LNK-009", "An acknowledge is long enough for a loop.", ("C2.3-5",), TOUR, _delay("acknowledge low", "C2.3-5", "acknowledge low", 4_000), _T),
    Case("LNK-010", "An acknowledge is over soon.", ("C2.3-6",), TOUR, _delay("acknowledge over", "C2.3-6", "acknowledge over", None, 14_500), _T),
    Case("LNK-011", "LENS_ACK falls only behind whole bytes.", ("C2.3-7",), TOUR, _never("too few clocks", "acknowledge", "C2.3-7", "eight clocks before each acknowledge")),
    Case("LNK-012", "LENS_ACK stays low through the hand-over.", ("C2.3-8",), TOUR, _never("hand-over undone", "hand-over", "C2.3-8", "LENS_ACK low until BODY_ACK falls")),
    Case("LNK-013", "The lens does not hurry at the hand-over.", ("C2.3-9",), TOUR, _delay("ready", "C2.3-9", "BODY_ACK falls to a byte is ready", 1_100), _T),
    Case("LNK-014", "A first byte is ready soon.", ("C2.3-10",), TOUR, _delay("ready", "C2.3-10", "BODY_ACK falls to a byte is ready", None, MS), _T),
    Case("LNK-015", "Each further byte is ready soon.", ("C2.3-10",), TOUR, _delay("reply", "C2.3-10", "LENS_ACK low between two bytes", None, MS), _T),
    Case("LNK-016", "LENS_ACK stays high through a byte of the lens.", ("C2.4-1",), TOUR, _never("too early", "release", "C2.4-1", "LENS_ACK high until BODY_ACK falls")),
    Case("LNK-017", "LENS_ACK falls soon behind a byte of the lens.", ("C2.4-2",), TOUR, _delay("release", "C2.4-2", "BODY_ACK falls to LENS_ACK falls", None, 4_100), _T),
    Case("LNK-018", "LENS_ACK is low between two bytes of the lens.", ("C2.4-3",), TOUR, _delay("reply", "C2.4-3", "LENS_ACK low between two bytes", 1_000), _T),
    Case("LNK-019", "LENS_ACK is low long enough for a loop.", ("C2.4-4",), TOUR, _delay("reply", "C2.4-4", "LENS_ACK low between two bytes", 12_000), _T),
    Case("LNK-020", "DATA changes only while CLK is low.", ("C2.1-1",), TOUR, _never("late data", "set-up", "C2.1-1", "DATA rests while CLK is high")),
    Case("LNK-021", "DATA is there before CLK rises.", ("C2.1-2",), TOUR, _delay("set-up", "C2.1-2", "DATA changes to CLK rises", 50), _T),
    Case("LNK-022", "The lens keeps off DATA in the body's turn.", ("C2.2-1",), TOUR, _unspoilt, passive=False, doc="What the bench said is compared with what stood on DATA; levels alone do not show that two sides drive a line."),
    Case("LNK-023", "A completion shows the work on LENS_ACK.", ("C2.5-1",), TOUR, _completed),
    Case("LNK-024", "A body that watches no acknowledge gets on with the lens.", ("C2.3-11",), STIMULI["blind"], _all_done("C2.3-11", "every transaction comes to its end"), ("pace",), passive=False),
    Case("LNK-025", "A clock of 500 kHz does.", ("C2.1-3",), STIMULI["half clock"], _all_done("C2.1-3", "every transaction comes to its end"), ("pace",), passive=False),
    Case("LNK-026", "A stretched clock does no harm.", ("C2.1-4",), STIMULI["stretched"], _all_done("C2.1-4", "every transaction comes to its end"), ("pace", "negative"), passive=False),
    Case("LNK-027", "A slow body does no harm.", ("C2.2-2",), STIMULI["slow hand"], _all_done("C2.2-2", "every transaction comes to its end"), ("pace", "negative"), passive=False),
    Case("LNK-028", "A block that comes at once is taken.", ("C2.6-1",), STIMULI["block at once"], _all_done("C2.6-1", "every transaction comes to its end"), ("pace",), passive=False),
    Case("LNK-029", "A block that comes late is taken.", ("C2.6-3",), STIMULI["block late"], _all_done("C2.6-3", "every transaction comes to its end"), ("pace",), passive=False),
    Case("LNK-030", "The lens goes on behind the clock hold.", ("C2.7-1",), TOUR, _behind_pin(PinEvent.CLOCK_HOLD, "C2.7-1", "the next transaction comes to its end"), ("clock",)),
    Case("LNK-031", "The lens goes on without a clock hold.", ("C2.7-2",), STIMULI["goodbye"], _no_hold, ("clock",)),
    Case("LNK-032", "The lens goes on behind a pause of the clock.", ("C2.8-1",), STIMULI["exposure"], _behind_pin(PinEvent.CLOCK_HOLD, "C2.8-1", "the next transaction comes to its end"), ("clock", *_N)),
    Case("LNK-033", "Clocks between transactions do no harm.", ("C2.7-3",), STIMULI["stray clocks"], _behind_pin(PinEvent.STRAY_CLOCK, "C2.7-3", "the next transaction comes to its end"), ("clock", *_N)),
    Case("MEA-001", "How long the lens takes to acknowledge a byte.", ("C2.3-6",), TOUR, _delay("acknowledge", "C2.3-6", "last clock of a byte to LENS_ACK falls"), _M, measures=True),
    Case("MEA-002", "How long the lens takes to have a byte ready.", ("C2.3-10",), TOUR, _delay("ready", "C2.3-10", "BODY_ACK falls to a byte is ready"), _M, measures=True),
)
# fmt: on
