"""Chapter 5: what a lens says at every poll, and whether it fits together."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from m43proto.encodings import AV_STEPS
from m43proto.lensdb import find_lens
from m43proto.messages import Identify, Status
from m43tools.conformance.judging import Breach, Case, Finding, every, nothing
from m43tools.conformance.operations import Turn
from m43tools.conformance.recovery import announces_too_little
from m43tools.conformance.stimuli import STIMULI

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen
    from m43tools.conformance.judging import Context
    from m43tools.conformance.trace import Trace

__all__ = ["CASES", "av_of"]

_SIXTH_AV = AV_STEPS / 6


def av_of(event: MessageSeen) -> float:
    """Return the aperture of a status in wire steps (Av x 256)."""
    return 2 * AV_STEPS * math.log2(_status(event).aperture_f)


def _status(event: MessageSeen) -> Status:
    assert isinstance(event.message, Status)
    return event.message


def _field(
    test: Callable[[Status], bool], clause: str, expected: str, name: str
) -> Callable[[Trace, Context], Finding]:
    def wrong(event: MessageSeen) -> str | None:
        return None if test(_status(event)) else f"{name} {event.values[name]!r}"

    return lambda trace, context: every(trace.statuses, wrong, clause, expected, what="statuses")


def _size(trace: Trace, context: Context) -> Finding:
    def wrong(event: MessageSeen) -> str | None:
        found = len(event.transaction.data)
        return None if found == 30 else f"{found} data bytes"

    held = [event for event in trace.named(Status) if not announces_too_little(trace, event.transaction)]
    return every(held, wrong, "C5.4-1", "30 data bytes", what="statuses")


def _not_wider(trace: Trace, context: Context) -> Finding:
    """Judge the aperture by the widest that the name of the lens tells."""
    expected = "no wider than the lens, within a sixth of an Av step"
    identity = next((event.message for event in trace.identities), None)
    if not isinstance(identity, Identify):
        return nothing(expected, "the lens did not tell who it is")
    lens = find_lens(identity.maker, identity.model, identity.submodel)
    if lens is None or not 0 < lens.aperture_wide_f < math.inf:
        return nothing(expected, "nobody knows the apertures of this lens")
    widest = 2 * AV_STEPS * math.log2(min(lens.aperture_wide_f, lens.aperture_tele_f))

    def wrong(event: MessageSeen) -> str | None:
        return None if av_of(event) >= widest - _SIXTH_AV else f"f/{_status(event).aperture_f:.2f} from {lens.name}"

    return every(trace.statuses, wrong, "C5.4-3", expected, what="statuses")


def _monotonic(trace: Trace, context: Context) -> Finding:
    """Judge that the distance goes one way with the position."""
    expected = "distance rises, or falls, with position all the way"
    places = sorted(
        {(_status(one).focus_position, _status(one).focus_distance_m): one for one in trace.statuses}.items()
    )
    if len({position for (position, _), _ in places}) < 3:
        return nothing(expected, "the focus did not move")
    steps = [
        (before, after)
        for before, after in pairwise(places)
        if before[0][0] != after[0][0] and before[0][1] != after[0][1]
    ]
    rises = sum(after[0][1] > before[0][1] for before, after in steps)
    wrong_way = [after for before, after in steps if (after[0][1] > before[0][1]) != (rises * 2 >= len(steps))]
    breaches = tuple(
        Breach("C5.4-4", one.t_ns, one.end_ns, f"{distance:g} m at {position}")
        for (position, distance), one in wrong_way
    )
    shown = wrong_way[0][1] if wrong_way else places[0][1]
    observed = breaches[0].text if breaches else f"{len(places)} places"
    return Finding(expected, observed, len(steps), breaches, (), (shown.t_ns, shown.end_ns))


def _same_place(trace: Trace, context: Context) -> Finding:
    """Judge that a position goes with one distance, whenever it is seen."""
    seen: dict[int, float] = {}
    held = trace.statuses

    def wrong(event: MessageSeen) -> str | None:
        status = _status(event)
        before = seen.setdefault(status.focus_position, status.focus_distance_m)
        apart = abs(before - status.focus_distance_m) if before != status.focus_distance_m else 0.0
        if apart <= max(0.0051, 0.02 * before):
            return None
        return f"{status.focus_distance_m:g} m at {status.focus_position}, where it was {before:g} m"

    if len({_status(event).focus_position for event in held}) < 2:
        return nothing("one distance for each position", "the focus did not move")
    return every(held, wrong, "C5.4-5", "one distance for each position", what="statuses")


def _together(trace: Trace, context: Context) -> Finding:
    """Judge that the position does not stand still while the distance runs on."""
    expected = "position and distance change together"
    if len({_status(event).focus_position for event in trace.statuses}) < 2:
        return nothing(expected, "the focus did not move")
    still: dict[int, set[float]] = {}
    for event in trace.statuses:
        still.setdefault(_status(event).focus_position, set()).add(_status(event).focus_distance_m)
    lying = {position for position, distances in still.items() if len(distances) > 2}

    def wrong(event: MessageSeen) -> str | None:
        position = _status(event).focus_position
        return f"{len(still[position])} distances at position {position}" if position in lying else None

    return every(trace.statuses, wrong, "C5.4-10", expected, what="statuses")


def _at_rest(trace: Trace, context: Context) -> Finding:
    """Judge the statuses before the first drive, between which nobody touched anything."""
    first = trace.drives[0].seen.t_ns if trace.drives else trace.end_ns
    first = min([first, *(step.t_ns for step in trace.did(Turn))])
    resting = [event for event in trace.statuses if event.end_ns < first]
    if len(resting) < 3:
        return nothing("statuses at rest agree", "too few polls before the first drive")
    forms = {event.transaction.command: event.transaction.data for event in reversed(resting)}

    def wrong(event: MessageSeen) -> str | None:
        before = forms[event.transaction.command]
        differs = [
            index for index, pair in enumerate(zip(before, event.transaction.data, strict=False)) if len(set(pair)) > 1
        ]
        return f"bytes {differs} differ" if differs else None

    return every(resting, wrong, "C5.4-6", "statuses at rest agree", what="statuses")


def _forms_agree(trace: Trace, context: Context) -> Finding:
    """Judge successive statuses of both forms with nothing between them that moves."""
    expected = "the same block for both forms"
    pairs = [
        (before, after)
        for before, after in pairwise(trace.messages)
        if before in trace.statuses
        and after in trace.statuses
        and before.transaction.command != after.transaction.command
    ]
    calm = [
        after
        for before, after in pairs
        if not any(before.t_ns - 10**9 < ask.seen.t_ns < after.t_ns for ask in trace.drives)
    ]
    of = {id(after): before for before, after in pairs}

    def wrong(event: MessageSeen) -> str | None:
        return None if of[id(event)].transaction.data == event.transaction.data else "the blocks differ"

    return every(calm, wrong, "C5.4-11", expected, what="pairs of statuses")


def _zoom_stays(trace: Trace, context: Context) -> Finding:
    """Judge the zoom step where the bench turns no ring; in a capture somebody may have."""
    expected = "one zoom step"
    if not trace.live or trace.did(Turn):
        return nothing(expected, "somebody may have turned the zoom ring")
    steps = [_status(event).zoom_step for event in trace.statuses]

    def wrong(event: MessageSeen) -> str | None:
        return (
            None if _status(event).zoom_step == steps[0] else f"zoom step {_status(event).zoom_step} behind {steps[0]}"
        )

    return every(trace.statuses, wrong, "C5.4-12", expected, what="statuses")


TOUR, SWEEP = STIMULI["tour"], STIMULI["focus sweep"]
_S = ("status",)

# fmt: off
CASES = (
    Case("STA-001", "The status has 30 bytes.", ("C5.4-1",), TOUR, _size, _S),
    Case("STA-002", "The aperture is plausible.", ("C5.4-2",), TOUR, _field(lambda one: 0.7 <= one.aperture_f <= 91, "C5.4-2", "f/0.7 to f/91", "aperture_f"), _S),
    Case("STA-003", "The aperture is not wider than the lens.", ("C5.4-3",), TOUR, _not_wider, _S),
    Case("STA-004", "Distance goes with position.", ("C5.4-4",), SWEEP, _monotonic, _S),
    Case("STA-005", "A position has one distance.", ("C5.4-5",), SWEEP, _same_place, _S),
    Case("STA-006", "At rest the status stays.", ("C5.4-6",), STIMULI["goodbye"], _at_rest, _S),
    Case("STA-007", "The zoom step is plausible.", ("C5.4-7",), TOUR, _field(lambda one: one.zoom_step <= 31, "C5.4-7", "0 to 31", "zoom_step"), _S),
    Case("STA-008", "Byte 5 follows the focus position.", ("C5.4-8",), SWEEP, _field(lambda one: one.unknown_5[0] == one.focus_position & 0xFF, "C5.4-8", "the low byte of the position", "unknown_5"), _S),
    Case("STA-009", "The distance is above 0.", ("C5.4-9",), SWEEP, _field(lambda one: one.focus_distance_m > 0, "C5.4-9", "above 0", "focus_distance_m"), _S),
    Case("STA-010", "Position and distance move together.", ("C5.4-10",), SWEEP, _together, _S),
    Case("STA-011", "Both forms of the status agree.", ("C5.4-11",), STIMULI["both forms"], _forms_agree, _S),
    Case("STA-012", "The zoom step stays by itself.", ("C5.4-12",), TOUR, _zoom_stays, _S, passive=False),
)
# fmt: on
