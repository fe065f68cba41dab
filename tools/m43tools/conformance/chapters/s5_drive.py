"""Chapter 5: where aperture and focus come to rest, when, and what they leave alone.

A lens that reports no motion at all in a capture may have no motors, or be a program that plays statuses back: then
nothing is said of its drives. On a bench it has been told to move, and must.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from m43proto.encodings import AV_STEPS, F_NUMBER
from m43proto.messages import Status
from m43proto.session import SETTLED_POLLS
from m43tools.conformance.chapters.s5_status import av_of
from m43tools.conformance.judging import Breach, Case, Finding, every, nothing, within
from m43tools.conformance.model import measured
from m43tools.conformance.stimuli import FAR, STIMULI
from m43tools.conformance.timings import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43proto.events import MessageSeen
    from m43proto.messages import Drive
    from m43tools.conformance.judging import Context
    from m43tools.conformance.trace import Ask, Trace

__all__ = ["CASES", "place_of", "rested", "stops"]

_MOVES = ("move", "scan")


def place_of(event: MessageSeen) -> int:
    """Return the focus position of a status."""
    assert isinstance(event.message, Status)
    return event.message.focus_position


def _shown(event: MessageSeen) -> tuple[object, ...]:
    return tuple(event.values[name] for name in ("aperture_f", "focus_position", "focus_distance_m"))


def rested(ask: Ask) -> MessageSeen | None:
    """Return the first status behind a drive that shows the lens at rest, or None when none does."""
    polls = ask.statuses
    if len(polls) < SETTLED_POLLS or len({_shown(one) for one in polls[-SETTLED_POLLS:]}) > 1:
        return None
    return next(one for one in polls if _shown(one) == _shown(polls[-1]) and one.t_ns >= _last_change(polls))


def _last_change(polls: Sequence[MessageSeen]) -> int:
    last = polls[-1]
    return next((after.t_ns for before, after in _backwards(polls) if _shown(before) != _shown(last)), polls[0].t_ns)


def _backwards(polls: Sequence[MessageSeen]) -> list[tuple[MessageSeen, MessageSeen]]:
    return list(itertools.pairwise(polls))[::-1]


def _moves(trace: Trace, value: Callable[[MessageSeen], float]) -> bool:
    """Tell whether drives can be judged at all: on a bench, or when the lens reports that anything moves."""
    return trace.live or len({value(event) for event in trace.statuses}) > 1


def _sets(trace: Trace) -> list[Ask]:
    """Return the drives that set an aperture and came to rest."""
    asked = [ask for ask in trace.drives if ask.drive.aperture_operation == "set" and rested(ask) is not None]
    return asked if _moves(trace, av_of) else []


def stops(trace: Trace, operation: str) -> list[Ask]:
    """Return the drives of a focus operation that came to rest."""
    asked = [ask for ask in trace.drives if ask.drive.focus_operation == operation and rested(ask) is not None]
    return asked if _moves(trace, place_of) else []


def _end(ask: Ask) -> MessageSeen:
    status = rested(ask)
    assert status is not None
    return status


def _asked_av(drive: Drive) -> int:
    word: int = F_NUMBER.encode(drive.aperture_f)
    return word


def _off(
    asks: Sequence[Ask], error: Callable[[Ask], float], clause: str, expected: str, unit: str, high: float
) -> Finding:
    """Judge how far each drive came to rest from where it should."""
    if not asks:
        return nothing(expected, "no drive was watched to its end")
    errors = [error(ask) for ask in asks]
    breaches = tuple(
        Breach(clause, ask.seen.t_ns, _end(ask).end_ns, f"{wrong:g} {unit} off")
        for ask, wrong in zip(asks, errors, strict=True)
        if wrong > high
    )
    numbers = measured("error", unit, errors, high=high)
    worst = asks[errors.index(max(errors))]
    observed = f"up to {max(errors):g} {unit} off in {len(asks)} drives"
    return Finding(expected, observed, len(asks), breaches, (numbers,), (worst.seen.t_ns, _end(worst).end_ns))


def _aperture_error(clause: str, high: int, words: str) -> Callable[[Trace, Context], Finding]:
    return lambda trace, context: _off(
        [ask for ask in _sets(trace) if _in_range(trace, ask)],
        lambda ask: abs(round(av_of(_end(ask))) - _asked_av(ask.drive)),
        clause,
        f"within {words} of an Av step of what was set",
        "Av/256",
        high,
    )


def _in_range(trace: Trace, ask: Ask) -> bool:
    """Tell whether an aperture is one that any lens has: not wider than at power-up, and not smaller than f/16."""
    return av_of(trace.statuses[0]) <= _asked_av(ask.drive) + 1 and ask.drive.aperture_f <= 16


def _repeated(
    asks: Sequence[Ask],
    wanted: Callable[[Ask], float],
    value: Callable[[MessageSeen], float],
    clause: str,
    expected: str,
    unit: str,
    high: float,
) -> Finding:
    """Judge how far drives to the same target came to rest from each other."""
    places: dict[float, list[Ask]] = {}
    for ask in asks:
        places.setdefault(wanted(ask), []).append(ask)
    again = [ask for group in places.values() if len(group) > 1 for ask in group]
    first = {target: value(_end(group[0])) for target, group in places.items()}
    return _off(again, lambda ask: abs(round(value(_end(ask)) - first[wanted(ask)], 1)), clause, expected, unit, high)


def _aperture_repeats(trace: Trace, context: Context) -> Finding:
    expected = "the same place each time, within a twelfth of an Av step"
    return _repeated(_sets(trace), lambda ask: _asked_av(ask.drive), av_of, "C5.5-3", expected, "Av/256", 21)


def _focus_repeats(trace: Trace, context: Context) -> Finding:
    expected = "the same place each time, within 4 counts"
    asks = stops(trace, "move")
    return _repeated(asks, lambda ask: ask.drive.focus_target, place_of, "C5.5-9", expected, "count", 4)


def _smaller_is_smaller(trace: Trace, context: Context) -> Finding:
    """Judge pairs of settled apertures, at least two thirds of an Av step apart, in the range of any lens."""
    asks = sorted((ask for ask in _sets(trace) if _in_range(trace, ask)), key=lambda ask: _asked_av(ask.drive))
    expected = "a smaller aperture behind a greater number"
    far = [
        (one, other)
        for one, other in itertools.pairwise(asks)
        if _asked_av(other.drive) - _asked_av(one.drive) > AV_STEPS * 2 // 3
    ]
    smaller = {id(other): one for one, other in far}

    def wrong(event: MessageSeen) -> str | None:
        ask = next(ask for ask in asks if _end(ask) is event)
        before = smaller[id(ask)]
        return None if av_of(event) > av_of(_end(before)) else "a smaller aperture gave none"

    return every([_end(other) for _, other in far], wrong, "C5.5-6", expected, what="pairs of apertures")


def _aperture_ends(trace: Trace, context: Context) -> Finding:
    """Judge apertures wider than at power-up, and smaller than f/45: both ends must stand, and differ."""
    expected = "the end of the range, which is where the lens started, and a smaller one"
    asks = _sets(trace)
    wide = [ask for ask in asks if _asked_av(ask.drive) < av_of(trace.statuses[0]) - AV_STEPS]
    small = [ask for ask in asks if ask.drive.aperture_f > 45]
    if not wide and not small:
        return nothing(expected, "no aperture beyond the range was set")
    widest = min(av_of(event) for event in trace.statuses)

    def wrong(event: MessageSeen) -> str | None:
        at = av_of(event)
        if any(_end(ask) is event for ask in wide):
            return None if abs(at - av_of(trace.statuses[0])) <= 21 else f"{at:.0f} Av/256 at the wide end"
        return None if at > widest + AV_STEPS else f"{at:.0f} Av/256 at the small end"

    return every([_end(ask) for ask in [*wide, *small]], wrong, "C5.5-4", expected, what="ends")


def _time(asks: Sequence[Ask], name: str, clause: str, limit_ns: int) -> Finding:
    return within(
        [Span(_end(ask).end_ns - ask.seen.end_ns, ask.seen.end_ns) for ask in asks], name, clause, high_ns=limit_ns
    )


def _focus_error(clause: str, high: int) -> Callable[[Trace, Context], Finding]:
    return lambda trace, context: _off(
        [ask for ask in stops(trace, "move") if abs(ask.drive.focus_target) < FAR],
        lambda ask: abs(place_of(_end(ask)) - ask.drive.focus_target),
        clause,
        f"within {high} counts of the target",
        "count",
        high,
    )


def _far_end(trace: Trace, context: Context) -> Finding:
    expected = "the far end stop, the same place each time within 4 counts"
    asks = [ask for ask in stops(trace, "scan") if ask.drive.focus_target == FAR]
    return _repeated(asks, lambda ask: 0, place_of, "C5.5-10", expected, "count", 4)


def _near_end(trace: Trace, context: Context) -> Finding:
    expected = "the near end stop, the same place each time within 4 counts"
    asks = [ask for ask in stops(trace, "move") if ask.drive.focus_target <= -FAR]
    return _repeated(asks, lambda ask: 0, place_of, "C5.5-11", expected, "count", 4)


def _stays(trace: Trace, context: Context) -> Finding:
    """Judge drives to where the focus stands: no status behind them shows another place."""
    expected = "it moves by 4 counts at most"
    asks = [ask for ask in stops(trace, "move") if _stood_there(trace, ask)]

    def wrong(event: MessageSeen) -> str | None:
        ask = next(ask for ask in asks if ask.seen is event)
        far = max(abs(place_of(status) - ask.drive.focus_target) for status in ask.statuses)
        return f"it went {far} counts away" if far > 4 else None

    return every([ask.seen for ask in asks], wrong, "C5.5-13", expected, what="drives to where the focus stands")


def _before(trace: Trace, ask: Ask) -> MessageSeen | None:
    return next((event for event in reversed(trace.statuses) if event.end_ns < ask.seen.t_ns), None)


def _stood_there(trace: Trace, ask: Ask) -> bool:
    before = _before(trace, ask)
    return before is not None and abs(place_of(before) - ask.drive.focus_target) <= 4


def _takes_place(trace: Trace, context: Context) -> Finding:
    """Judge drives that came while the focus was on its way somewhere else: they end at the new target."""
    expected = "the new target, within 20 counts"
    asks = [
        after
        for before, after in zip(trace.drives, trace.drives[1:], strict=False)
        if {before.drive.focus_operation, after.drive.focus_operation} <= set(_MOVES)
        and rested(before) is None
        and rested(after) is not None
        and abs(after.drive.focus_target) < FAR
    ]
    asks = asks if _moves(trace, place_of) else []
    return _off(asks, lambda ask: abs(place_of(_end(ask)) - ask.drive.focus_target), "C5.5-14", expected, "count", 20)


def _left_alone(
    what: str, value: Callable[[MessageSeen], float], clause: str, high: float
) -> Callable[[Trace, Context], Finding]:
    """Judge drives that leave a thing alone: no status behind them shows it elsewhere than the last one before."""

    def judge(trace: Trace, context: Context) -> Finding:
        alone = [ask for ask in trace.drives if _leaves(ask.drive, what) and ask.statuses and _settled(trace, ask)]
        alone = alone if _moves(trace, value) else []

        def wrong(event: MessageSeen) -> str | None:
            ask = next(ask for ask in alone if ask.seen is event)
            before = _before(trace, ask)
            assert before is not None
            far = max(abs(value(status) - value(before)) for status in ask.statuses)
            return f"the {what} moved by {far:g}" if far > high else None

        return every([ask.seen for ask in alone], wrong, clause, f"the {what} stays", what="drives that leave it alone")

    return judge


def _leaves(drive: Drive, what: str) -> bool:
    if what == "focus":
        return (drive.focus_operation == "leave" and drive.aperture_operation == "set") or _nothing_at_all(drive)
    return drive.aperture_operation == "leave" and drive.focus_operation != "setup"


def _nothing_at_all(drive: Drive) -> bool:
    return drive.focus_operation == "leave" and drive.aperture_operation == "leave"


def _settled(trace: Trace, ask: Ask) -> bool:
    """Tell whether nothing was moving before a drive."""
    at = trace.drives.index(ask)
    if at:
        return rested(trace.drives[at - 1]) is not None
    return _before(trace, ask) is not None


def _set_up(trace: Trace, context: Context) -> Finding:
    """Judge the set-up drive: it comes to its end, and nothing moves behind it."""
    asks = [ask for ask in trace.drives if ask.drive.focus_operation == "setup" and _settled(trace, ask)]

    def wrong(event: MessageSeen) -> str | None:
        ask = next(ask for ask in asks if ask.seen is event)
        before = _before(trace, ask)
        assert before is not None
        return "something moved" if any(_shown(status) != _shown(before) for status in ask.statuses) else None

    return every([ask.seen for ask in asks], wrong, "C5.5-17", "it is taken, and nothing moves", what="set-up drives")


def _both(trace: Trace, context: Context) -> Finding:
    expected = "both come to rest at their targets"
    asks = [ask for ask in _sets(trace) if ask.drive.focus_operation in _MOVES and abs(ask.drive.focus_target) < FAR]

    def error(ask: Ask) -> float:
        focus = abs(place_of(_end(ask)) - ask.drive.focus_target)
        return max(focus, abs(round(av_of(_end(ask))) - _asked_av(ask.drive)) / 4)

    return _off(asks, error, "C5.5-18", expected, "count, or Av/64", 20)


def _one_way(trace: Trace, context: Context) -> Finding:
    """Judge the way of the focus: once it moves towards a target, it does not turn round."""
    asks = stops(trace, "move")

    def wrong(event: MessageSeen) -> str | None:
        ask = next(ask for ask in asks if ask.seen is event)
        before = _before(trace, ask)
        places = [place_of(status) for status in ([before] if before else []) + list(ask.statuses)]
        steps = [after - one for one, after in itertools.pairwise(places) if abs(after - one) > 4]
        return "it turned round" if steps and math.copysign(1, min(steps)) != math.copysign(1, max(steps)) else None

    return every([ask.seen for ask in asks], wrong, "C5.5-19", "one way to the target", what="drives")


APERTURES, SWEEP, LEAVE = STIMULI["apertures"], STIMULI["focus sweep"], STIMULI["leave alone"]
_A, _F = ("drive", "aperture"), ("drive", "focus")
_ACCURACY = ("accuracy",)

# fmt: off
CASES = (
    Case("DRV-001", "An aperture that is set comes to pass.", ("C5.5-1",), APERTURES, _aperture_error("C5.5-1", AV_STEPS // 3, "a third"), _A + _ACCURACY),
    Case("DRV-002", "An aperture is accurate.", ("C5.5-2",), APERTURES, _aperture_error("C5.5-2", AV_STEPS // 12, "a twelfth"), _A + _ACCURACY),
    Case("DRV-003", "An aperture repeats, from both sides.", ("C5.5-3",), APERTURES, _aperture_repeats, _A + _ACCURACY),
    Case("DRV-004", "An aperture beyond the range stops at its end.", ("C5.5-4",), STIMULI["aperture ends"], _aperture_ends, _A),
    Case("DRV-005", "An aperture comes soon.", ("C5.5-5",), APERTURES, lambda trace, context: _time(_sets(trace), "aperture at rest", "C5.5-5", 500_000_000), (*_A, "timing")),
    Case("DRV-006", "A smaller aperture is smaller.", ("C5.5-6",), APERTURES, _smaller_is_smaller, _A),
    Case("DRV-007", "A focus drive comes to pass.", ("C5.5-7",), SWEEP, _focus_error("C5.5-7", 20), _F + _ACCURACY),
    Case("DRV-008", "The focus is accurate.", ("C5.5-8",), SWEEP, _focus_error("C5.5-8", 4), _F + _ACCURACY),
    Case("DRV-009", "The focus repeats, from both sides.", ("C5.5-9",), SWEEP, _focus_repeats, (*_F, "backlash", *_ACCURACY)),
    Case("DRV-010", "A scan ends at the far end stop.", ("C5.5-10",), STIMULI["far end"], _far_end, (*_F, "end-stop")),
    Case("DRV-011", "The near end stop holds.", ("C5.5-11",), STIMULI["near end"], _near_end, (*_F, "end-stop"), risky=True, doc="The focus is driven beyond its near end stop: no source shows a body that does that."),
    Case("DRV-012", "The focus comes soon.", ("C5.5-12",), SWEEP, lambda trace, context: _time(stops(trace, "move"), "focus at rest", "C5.5-12", 2_000_000_000), (*_F, "timing")),
    Case("DRV-013", "A drive to where the focus stands leaves it there.", ("C5.5-13",), STIMULI["same target"], _stays, _F),
    Case("DRV-014", "A new target takes the place of the old one.", ("C5.5-14",), STIMULI["new target"], _takes_place, _F),
    Case("DRV-015", "What leaves the focus alone does not move it.", ("C5.5-15",), LEAVE, _left_alone("focus", place_of, "C5.5-15", 2), _F),
    Case("DRV-016", "What leaves the aperture alone does not move it.", ("C5.5-16",), LEAVE, _left_alone("aperture", av_of, "C5.5-16", 2), _A),
    Case("DRV-017", "The set-up drive moves nothing.", ("C5.5-17",), LEAVE, _set_up, _F),
    Case("DRV-018", "One drive moves both.", ("C5.5-18",), STIMULI["both at once"], _both, ("drive",)),
    Case("DRV-019", "The focus does not turn round on its way.", ("C5.5-19",), SWEEP, _one_way, _F),
)
# fmt: on
