"""Chapter 5: the focus ring, the zoom ring, and the placeholders of stabilisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.messages import SetStabilisation, StabilisationStatus, Status
from m43tools.conformance.chapters.s5_drive import place_of
from m43tools.conformance.chapters.s5_status import av_of
from m43tools.conformance.judging import Case, Finding, every, nothing
from m43tools.conformance.operations import Turn
from m43tools.conformance.stimuli import STIMULI

if TYPE_CHECKING:
    from m43proto.events import MessageSeen
    from m43tools.conformance.judging import Context
    from m43tools.conformance.operations import Step
    from m43tools.conformance.trace import Trace

__all__ = ["CASES"]

_NO_HAND = "only a bench that turns a ring can tell"


def _turns(trace: Trace, ring: str) -> list[Step]:
    return [step for step in trace.did(Turn) if isinstance(step.operation, Turn) and step.operation.ring == ring]


def _moved(trace: Trace, step: Step) -> int:
    """Return by how much the focus moved behind a turn of its ring, up to the next turn."""
    later = [other.t_ns for other in _turns(trace, "focus") if other.t_ns > step.t_ns]
    until_ns = min(later, default=trace.end_ns)
    before = [event for event in trace.statuses if event.end_ns <= step.t_ns]
    behind = [event for event in trace.statuses if step.t_ns < event.t_ns < until_ns]
    return place_of(behind[-1]) - place_of(before[-1]) if before and behind else 0


def _amount(step: Step) -> int:
    assert isinstance(step.operation, Turn)
    return step.operation.amount


def _follows(trace: Trace, context: Context) -> Finding:
    def wrong(step: Step) -> str | None:
        moved = abs(_moved(trace, step))
        return None if moved else "the focus did not move"

    turns = _turns(trace, "focus")
    if not turns or not trace.statuses:
        return nothing("the focus follows the ring", _NO_HAND)
    return every(turns, wrong, "C5.6-3", "the focus follows the ring", what="turns")


def _reverses(trace: Trace, context: Context) -> Finding:
    """Judge that the same turn moves the focus one way before SetFocusRing reverses it, and the other way behind."""
    expected = "the other way when reversed"
    turns = _turns(trace, "focus")
    reversed_ns = [event.end_ns for event in trace.messages if event.values.get("ring_direction") == "reverse"]
    if not turns or not reversed_ns:
        return nothing(expected, _NO_HAND)
    first = _moved(trace, turns[0]) * _amount(turns[0])

    def wrong(step: Step) -> str | None:
        way = _moved(trace, step) * _amount(step)
        return None if way * first < 0 else "the focus went the same way as before"

    behind = [step for step in turns if step.t_ns > reversed_ns[0] and _moved(trace, step) and first]
    return every(behind, wrong, "C5.6-2", expected, what="turns")


def _zooms(trace: Trace, context: Context) -> Finding:
    def wrong(step: Step) -> str | None:
        seen = next((event for event in trace.statuses if event.t_ns > step.t_ns), None)
        if seen is None or seen.values["zoom_step"] == _amount(step):
            return None
        return f"zoom step {seen.values['zoom_step']} where the ring stands at {_amount(step)}"

    turns = _turns(trace, "zoom")
    if not turns:
        return nothing("the zoom step follows the ring", _NO_HAND)
    return every(turns, wrong, "C5.6-4", "the zoom step follows the ring", what="turns")


def _keeps_aperture(trace: Trace, context: Context) -> Finding:
    """Judge the last status behind each turn of the zoom ring: the aperture is what was set, within a twelfth."""
    expected = "the aperture that was set"
    turns = _turns(trace, "zoom")
    sets = [ask for ask in trace.drives if ask.drive.aperture_operation == "set"]
    if not turns or not sets:
        return nothing(expected, _NO_HAND)
    start = [event for event in trace.statuses if event.end_ns <= turns[0].t_ns][-1:]
    ends = [
        [event for event in trace.statuses if step.t_ns < event.t_ns < until][-1:]
        for step, until in zip(turns, [*(step.t_ns for step in turns[1:]), trace.end_ns], strict=True)
    ]

    def wrong(event: MessageSeen) -> str | None:
        off = abs(av_of(event) - av_of(start[0]))
        return None if off <= 32 else f"{off:.0f} Av/256 off"

    return every([one for end in ends for one in end] if start else [], wrong, "C5.6-5", expected, what="zoom steps")


def _polls_on(trace: Trace, context: Context) -> Finding:
    turns = _turns(trace, "zoom")
    if not turns:
        return nothing("polls go on", _NO_HAND)
    asked = [event for event in trace.messages if event.kind is Status and event.t_ns > turns[0].t_ns]

    def wrong(event: MessageSeen) -> str | None:
        return None if event.transaction.command_sum is not None else "a poll was not answered"

    missing = [one for one in trace.violations if one.t_ns > turns[0].t_ns and str(one.cause) == "no_answer"]
    if missing:
        return every(missing, lambda one: "a poll was not answered", "C5.6-6", "polls go on", what="polls")
    return every(asked, wrong, "C5.6-6", "polls go on", what="polls")


# the placeholders


def _told(trace: Trace) -> list[MessageSeen]:
    return [event for event in trace.whole if event.kind is StabilisationStatus]


def _has_none(trace: Trace, expected: str) -> Finding | None:
    """Return the finding for a lens without a stabiliser: it answers the placeholder with an empty block."""
    told = _told(trace)
    if told and not any(event.transaction.data for event in told):
        return Finding(expected, "", 0, inapplicable="the lens has no stabiliser: the block is empty")
    return None


def _form(trace: Trace, context: Context) -> Finding:
    expected = "six bytes, a known mode and state"

    def wrong(event: MessageSeen) -> str | None:
        message = event.message
        if not isinstance(message, StabilisationStatus):
            return f"{len(event.transaction.data)} data bytes"
        words = isinstance(message.mode, str) and isinstance(message.state, str)
        return None if words else f"mode {message.mode}, state {message.state}"

    return _has_none(trace, expected) or every(_told(trace), wrong, "C5.8-1", expected, what="statuses")


def _mode_taken(trace: Trace, context: Context) -> Finding:
    expected = "the mode that was set last"
    sets = [event for event in trace.whole if event.kind is SetStabilisation]
    behind = [event for event in _told(trace) if sets and event.t_ns > sets[0].t_ns]

    def wrong(event: MessageSeen) -> str | None:
        last = [one for one in sets if one.t_ns < event.t_ns][-1]
        mode, wanted = event.values.get("mode"), last.values["mode"]
        return None if mode == wanted else f"mode {mode} behind {wanted}"

    return _has_none(trace, expected) or every(behind, wrong, "C5.8-2", expected, what="statuses")


def _parks(trace: Trace, context: Context) -> Finding:
    """Judge the statuses a second behind a set that switches the stabiliser off."""
    expected = "parked"
    offs = [event for event in trace.whole if event.kind is SetStabilisation and event.values["mode"] == "off"]
    ends = [event for event in _told(trace) if any(0 < event.t_ns - off.end_ns - 900_000_000 < 10**9 for off in offs)]

    def wrong(event: MessageSeen) -> str | None:
        still = event.values.get("state") == "parked" and not event.values.get("pitch_offset_deg")
        return None if still else f"state {event.values.get('state')}"

    return _has_none(trace, expected) or every(ends, wrong, "C5.8-3", expected, what="statuses")


RING, ZOOM, STABILISER = STIMULI["focus ring"], STIMULI["zoom ring"], STIMULI["stabilisation"]
_FOCUS, _ZOOM = frozenset({"focus"}), frozenset({"zoom"})
_P = ("provisional", "stabilisation")

# fmt: off
CASES = (
    Case("RNG-001", "The focus follows the focus ring.", ("C5.6-3",), RING, _follows, ("ring",), needs=_FOCUS, passive=False),
    Case("RNG-002", "The direction of the focus ring can be reversed.", ("C5.6-2",), RING, _reverses, ("ring",), needs=_FOCUS, passive=False),
    Case("RNG-003", "The zoom step follows the zoom ring.", ("C5.6-4",), ZOOM, _zooms, ("ring", "zoom"), needs=_ZOOM, passive=False),
    Case("RNG-004", "The aperture stays while the lens is zoomed.", ("C5.6-5",), ZOOM, _keeps_aperture, ("ring", "zoom", "aperture"), needs=_ZOOM, passive=False),
    Case("RNG-005", "The lens answers while its zoom ring turns.", ("C5.6-6",), ZOOM, _polls_on, ("ring", "zoom"), needs=_ZOOM, passive=False),
    Case("STB-001", "The status of the stabiliser has its form.", ("C5.8-1",), STABILISER, _form, _P),
    Case("STB-002", "The stabiliser takes the mode that is set.", ("C5.8-2",), STABILISER, _mode_taken, _P),
    Case("STB-003", "The stabiliser comes to rest when it is switched off.", ("C5.8-3",), STABILISER, _parks, _P),
)
# fmt: on
