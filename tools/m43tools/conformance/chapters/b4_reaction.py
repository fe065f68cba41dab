"""Chapter 4, for a body: what it makes of a lens that goes wrong, or is not what it is used to.

What a real body does then is not public, so these clauses are this project's, and none is a MUST.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from m43proto.events import Cause, MessageSeen, PinEvent, PinEventSeen, Violation
from m43proto.messages import Identify, Status
from m43proto.pins import Line
from m43proto.shapes import Shape
from m43tools.conformance.chapters.b3_framing import carried_out
from m43tools.conformance.judging import Breach, Case, Finding, every, nothing, within
from m43tools.conformance.operations import SECOND
from m43tools.conformance.playing import BODY_STIMULI
from m43tools.conformance.recovery import ended, woken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43proto.events import Event
    from m43tools.conformance.judging import Context, Spanned
    from m43tools.conformance.trace import Trace

__all__ = ["CASES"]

_SOON_NS = 5 * SECOND
_LONGEST_WAIT_NS = 3 * SECOND
_LONGEST_WORK_NS = 10 * SECOND
_ENOUGH_POLLS = 3

_IN_STEP = "the next transaction comes to its end, or SLEEP falls, within 5 s"


def _goes_on(
    troubles: Callable[[Trace], Sequence[Spanned]], clause: str, what: str
) -> Callable[[Trace, Context], Finding]:
    """Judge what follows each trouble: the next transaction comes to its end, or the body switches the lens off."""

    def judge(trace: Trace, context: Context) -> Finding:
        held = [one for one in troubles(trace) if _next(trace, one) or trace.end_ns - one.end_ns > _SOON_NS]
        return every(held, partial(_lost_step, trace), clause, _IN_STEP, what=what)

    return judge


def _next(trace: Trace, trouble: Spanned) -> Event | None:
    """Return what the body did next: a transaction, another trouble, or switching the lens off."""
    behind = [event for event in trace.events if event.t_ns > trouble.end_ns and _is_deed(event)]
    return min(behind, key=lambda event: event.t_ns, default=None)


def _is_deed(event: Event) -> bool:
    if isinstance(event, PinEventSeen):
        return event.event is PinEvent.POWER_DOWN
    return isinstance(event, MessageSeen | Violation)


def _lost_step(trace: Trace, trouble: Spanned) -> str | None:
    found = _next(trace, trouble)
    if found is None or found.t_ns - trouble.end_ns > _SOON_NS:
        return "the body did nothing more for 5 s"
    if isinstance(found, MessageSeen):
        return None if ended(found.transaction) else f"the next transaction, {found.name}, broke off"
    return f"the next transaction failed: {found.detail}" if isinstance(found, Violation) else None


def _wrong_command_sums(trace: Trace) -> list[MessageSeen]:
    return [event for event in trace.messages if event.transaction.command_sum_ok is False]


def _wrong_data_sums(trace: Trace) -> list[MessageSeen]:
    return [event for event in trace.messages if event.transaction.data_sum_ok is False]


def _broken_off(trace: Trace) -> list[Violation]:
    """Return the violations behind which the lens is in order again."""
    return trace.violations


def _odd_statuses(trace: Trace) -> list[MessageSeen]:
    whole = [event for event in trace.whole if event.transaction.shape is Shape.COMPLETE]
    return [event for event in whole if event.transaction.status]


def _patient(trace: Trace, context: Context) -> Finding:
    """Judge the waits in what broke off: from its last byte, or the attention, to the next deed of the body."""

    def wrong(one: Violation) -> str | None:
        start_ns = one.t_ns if one.cause is Cause.NO_ANSWER else one.end_ns
        waited_ns = _moves_ns(trace, start_ns) - start_ns
        return None if waited_ns <= _LONGEST_WAIT_NS else f"the body waited {waited_ns / SECOND:.1f} s"

    return every(trace.violations, wrong, "B4.8-4", "waits of 3 s at most", what="answers that did not come")


def _moves_ns(trace: Trace, start_ns: int) -> int:
    """Return when the body next moved BODY_ACK or SLEEP, behind the attention itself."""
    behind = start_ns + 1
    moves = [trace.next_edge(Line.BODY_ACK, behind, high=high) for high in (True, False)]
    return min(*moves, trace.asleep_ns(behind))


def _gives_up_work(trace: Trace, context: Context) -> Finding:
    spans = [*trace.body_spans.get("busy cut", ())]
    return within(spans, "LENS_ACK rises for the work to the body gives up", "B4.8-5", high_ns=_LONGEST_WORK_NS)


def _quiet_when_alone(trace: Trace, context: Context) -> Finding:
    expected = "nothing is clocked before the next wake pulse"
    unanswered = trace.body_spans.get("unanswered", ())
    lost = [one for one in trace.sessions if any(one[0] < span.t_ns < one[1] for span in unanswered)]
    lost += [one for one in trace.sessions if one not in lost and _turns_alone(trace, one)]
    breaches = tuple(
        Breach("B4.8-6", turn[0], turn[1], "a turn behind the last word of the lens")
        for one in lost
        for turn in _turns_alone(trace, one)
    )
    if not lost:
        return nothing(expected, "no lens went away")
    shown = breaches[0].t_ns if breaches else lost[0][1]
    observed = f"{len(breaches)} turns behind the last word of the lens"
    return Finding(expected, observed, len(lost), breaches, (), (shown, shown + 1))


def _turns_alone(trace: Trace, session: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the turns with clocks that began in a session behind the last edge of LENS_ACK."""
    start_ns, end_ns = session
    names = ("whole bytes", "broken byte", "lens byte", "lens byte broken")
    turns = [span for name in names for span in trace.body_spans.get(name, ()) if start_ns < span.t_ns < end_ns]
    return [(turn.t_ns, turn.end_ns) for turn in turns if _alone(trace, turn.t_ns, end_ns)]


def _alone(trace: Trace, t_ns: int, end_ns: int) -> bool:
    """Tell whether LENS_ACK is low where a turn begins, and does not move before SLEEP falls."""
    if trace.levels_at(t_ns) & Line.LENS_ACK.mask:
        return False
    return trace.next_edge(Line.LENS_ACK, t_ns, high=True) >= end_ns


def _wakes_again(trace: Trace, context: Context) -> Finding:
    troubles = trace.violations[:1]
    return woken(trace, troubles, "B4.8-7", "the lens that is put on is woken, and answers a transaction")


def _polls_a_stranger(trace: Trace, context: Context) -> Finding:
    strange = [event for event in trace.named(Identify) if getattr(event.message, "model", "") == "99"]

    def wrong(event: MessageSeen) -> str | None:
        until_ns = trace.asleep_ns(event.end_ns)
        polls = [one for one in trace.named(Status) if event.end_ns < one.t_ns < until_ns]
        return None if len(polls) > _ENOUGH_POLLS else f"{len(polls)} polls behind the identity"

    return every(strange, wrong, "B4.8-9", "polls behind the identity", what="identities of no known lens")


def _polls_on(trace: Trace, context: Context) -> Finding:
    expected = "polls go on behind the drives"
    first = next((ask.seen for ask in trace.drives if ask.drive.focus_operation != "setup"), None)
    if first is None:
        return nothing(expected, "the body drives nothing")
    polls = [one for one in trace.named(Status) if one.t_ns > first.t_ns]
    gaps = {two.t_ns: _gap(trace, one, two) for one, two in pairwise([first, *polls])}
    return every(
        polls,
        lambda poll: f"no poll for {gaps[poll.t_ns] / SECOND:.1f} s" if gaps[poll.t_ns] > _SOON_NS else None,
        "B4.8-10",
        expected,
        what="polls",
    )


def _gap(trace: Trace, one: MessageSeen, two: MessageSeen) -> int:
    """Return how long the body did not poll, up to where it switched the lens off."""
    return min(two.t_ns, trace.asleep_ns(one.end_ns)) - one.end_ns


_N = ("negative",)
_R = ("negative", "recovery")
_B = BODY_STIMULI
_case = partial(Case, role="body")

# fmt: off
CASES = (
    _case("BOD-047", "The body goes on behind a wrong sum of a command.", ("B4.8-1",), _B["wrong command sum"], _goes_on(_wrong_command_sums, "B4.8-1", "wrong sums"), (*_R, "sums")),
    _case("BOD-048", "The body goes on behind a wrong sum of a block.", ("B4.8-2",), _B["wrong data sum"], _goes_on(_wrong_data_sums, "B4.8-2", "wrong sums"), (*_R, "sums")),
    _case("BOD-049", "The body goes on behind a block that is shorter than announced.", ("B4.8-3",), _B["long length"], _goes_on(_broken_off, "B4.8-3", "broken transactions"), _R, passive=False),
    _case("BOD-050", "The body goes on behind a lens that missed a bit.", ("B4.8-3",), _B["lost bit"], _goes_on(_broken_off, "B4.8-3", "broken transactions"), _R, passive=False),
    _case("BOD-051", "The body goes on behind a lens that started anew.", ("B4.8-3",), _B["reset"], _goes_on(_broken_off, "B4.8-3", "broken transactions"), _R, passive=False),
    _case("BOD-052", "The body goes on behind a byte that the lens spoilt.", ("B4.8-3",), _B["spoilt byte"], _goes_on(_broken_off, "B4.8-3", "broken transactions"), _R, passive=False),
    _case("BOD-053", "The body does not wait for ever for a silent lens.", ("B4.8-4",), _B["silent"], _patient, _N, passive=False),
    _case("BOD-054", "The body does not wait for ever for LENS_ACK to fall.", ("B4.8-4",), _B["stuck"], _patient, _N, passive=False),
    _case("BOD-055", "The body gives up work that does not end.", ("B4.8-5",), _B["busy"], _gives_up_work, _N),
    _case("BOD-056", "A body whose lens is taken off clocks nothing more.", ("B4.8-6",), _B["taken off"], _quiet_when_alone, _N),
    _case("BOD-057", "A lens that is put on again is woken.", ("B4.8-7",), _B["taken off"], _wakes_again, _R, passive=False),
    _case("BOD-058", "The body goes on behind another status byte.", ("B4.8-8",), _B["status 1"], _goes_on(_odd_statuses, "B4.8-8", "status bytes other than 00"), _R),
    _case("BOD-059", "The body polls a lens that it does not know.", ("B4.8-9",), _B["stranger"], _polls_a_stranger, _N),
    _case("BOD-060", "The body polls on when nothing moves.", ("B4.8-10",), _B["stuck aperture"], _polls_on, _N, passive=False),
    _case("BOD-061", "The body gets on with a slow lens.", ("B4.9-1",), _B["slow"], carried_out("B4.9-1"), ("pace",), passive=False),
    _case("BOD-062", "The body gets on with a fast lens.", ("B4.9-2",), _B["fast"], carried_out("B4.9-2"), ("pace",), passive=False),
    _case("BOD-063", "The body gets on with short acknowledges.", ("B4.9-3",), _B["short acks"], carried_out("B4.9-3"), ("pace",), passive=False),
    _case("BOD-064", "The body gets on with late bytes.", ("B4.9-4",), _B["late bytes"], carried_out("B4.9-4"), ("pace",), passive=False),
)
# fmt: on
