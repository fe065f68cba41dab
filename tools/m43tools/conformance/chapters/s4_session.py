"""Chapter 4: start-up, polling, and switching off."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from m43proto.dialects import DIALECTS
from m43proto.events import Cause, PinEvent
from m43proto.messages import BodyCapability, EnableDrive, Initialise, InitialiseF0, SetFocusRing, Status
from m43tools.conformance.judging import Breach, Case, Finding, every, nothing, within
from m43tools.conformance.operations import MS, SECOND, US
from m43tools.conformance.recovery import ended, followed, recovered
from m43tools.conformance.stimuli import STIMULI
from m43tools.conformance.timings import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from m43proto.events import MessageSeen
    from m43proto.schema import Message
    from m43tools.conformance.judging import Context
    from m43tools.conformance.trace import Trace

__all__ = ["CASES"]

_ORDER = [step.request for step in DIALECTS["E-P1"].steps]


def _start_up(trace: Trace, context: Context) -> Finding:
    """Judge each session that begins with Initialise: the steps that were begun came to their end, in order."""
    expected = f"{len(_ORDER)} commands, each to its end"
    firsts = [event for event in trace.messages if event.kind is Initialise]

    def wrong(first: MessageSeen) -> str | None:
        behind = [event for event in trace.messages if event.t_ns >= first.t_ns and event.kind in _ORDER]
        steps = behind[: len(_ORDER)]
        broken = [event.name for event in steps if not ended(event.transaction)]
        missing = next((kind for kind, event in zip(_ORDER, steps, strict=False) if event.kind is not kind), None)
        if broken:
            return f"{', '.join(broken)} broke off"
        return f"{missing.spec.name} was not answered" if missing and _lost_between(trace, first, steps) else None

    told = [first for first in firsts if _goes_on(trace, first) and not _never_ended(trace, first)]
    if not told:
        return nothing(expected, "no whole start-up")
    return every(told, wrong, "C4.3-1", expected, what="start-ups")


def _goes_on(trace: Trace, first: MessageSeen) -> bool:
    """Tell whether the body did not stop by itself before the end of the start-up."""
    kinds = {event.kind for event in trace.messages if event.t_ns >= first.t_ns}
    return EnableDrive in kinds or _lost_between(trace, first, [])


def _lost_between(trace: Trace, first: MessageSeen, steps: list[MessageSeen]) -> bool:
    """Tell whether anything broke off, or was not answered, in a start-up."""
    until_ns = steps[-1].end_ns if steps else trace.end_ns
    causes = {Cause.BROKE_OFF, Cause.NO_ANSWER}
    lost = [event for event in trace.violations if event.cause in causes and "switched" not in event.detail]
    return any(first.t_ns <= event.t_ns <= until_ns for event in lost)


def _both_forms(trace: Trace, context: Context) -> Finding:
    asked = [event for event in trace.messages if event.kind is Status]
    seen = {event.transaction.command[3] for event in asked}
    answered = {event.transaction.command[3] for event in asked if event.transaction.command_sum is not None}

    def wrong(event: MessageSeen) -> str | None:
        form = event.transaction.command[3]
        return None if form in answered else f"the form {form:02x} was never answered"

    finding = every(asked, wrong, "C4.3-2", "status commands of both forms are answered", what="status commands")
    if not finding.breaches and seen < {2, 6}:
        return nothing(finding.expected, f"only the form {', '.join(f'{one:02x}' for one in sorted(seen))} was asked")
    return finding


def _works(trace: Trace, kind: type[Message]) -> list[Span]:
    """Return how long the lens worked on each completion of a kind."""
    asked = [event for event in trace.messages if event.kind is kind]
    return [Span(event.transaction.busy_ns, event.t_ns) for event in asked if event.transaction.busy_ns is not None]


def _measured_work(kind: type[Message], clause: str) -> Callable[[Trace, Context], Finding]:
    """Measure how long a lens works on a completion; there is no limit."""
    return lambda trace, context: within(_works(trace, kind), f"work of {kind.spec.name}", clause)


def _busy(kind: type[Message], clause: str, limit_ns: int) -> Callable[[Trace, Context], Finding]:
    """Judge how long a lens works on a completion; one that never ends breaks off."""

    def judge(trace: Trace, context: Context) -> Finding:
        asked = [event for event in trace.messages if event.kind is kind]
        broken = [event for event in asked if event.transaction.command_sum is not None and _never_ended(trace, event)]
        if broken:
            breach = Breach(clause, broken[0].t_ns, broken[0].end_ns, f"{broken[0].name} did not end")
            moment = (broken[0].t_ns, broken[0].end_ns)
            return Finding(f"at most {limit_ns / 1e6:g} ms", breach.text, len(asked), (breach,), (), moment)
        return within(_works(trace, kind), f"work of {kind.spec.name}", clause, high_ns=limit_ns)

    return judge


def _never_ended(trace: Trace, event: MessageSeen) -> bool:
    if event.transaction.complete:
        return False
    lost = [one for one in trace.violations if one.cause is Cause.BROKE_OFF and "switched" not in one.detail]
    return any(one.t_ns <= event.end_ns and one.end_ns >= event.t_ns for one in lost)


def _polls(rate_hz: int, clause: str) -> Callable[[Trace, Context], Finding]:
    """Judge the polls of frames at a rate, each frame begun by a pulse on SHUTTER."""

    def judge(trace: Trace, context: Context) -> Finding:
        expected = f"every poll at {rate_hz} Hz comes to its end"
        frames = trace.pins(PinEvent.FRAME_SYNC)
        period_ns = SECOND // rate_hz
        near = [
            frame
            for frame, after in itertools.pairwise(frames)
            if 0.6 * period_ns < after.t_ns - frame.t_ns < 1.4 * period_ns
        ]
        if len(near) < 3:
            return nothing(expected, f"no polling at {rate_hz} Hz")
        if trace.live:
            return recovered(trace, near, clause, expected)
        return followed(trace, [frame for frame in near if frame.t_ns < _last_heard_ns(trace)], clause, expected)

    return judge


def _last_heard_ns(trace: Trace) -> int:
    """Return when a capture last shows a whole transaction begin; a lens that falls silent for good is judged by others."""
    return max((event.t_ns for event in trace.whole), default=0)


def _poll_time(high_ns: int | None) -> Callable[[Trace, Context], Finding]:
    """Judge how long polls take; without a limit only measure it."""

    def judge(trace: Trace, context: Context) -> Finding:
        spans = [Span(event.end_ns - event.t_ns, event.t_ns) for event in trace.statuses]
        return within(spans, "length of a poll", "C4.4-4", high_ns=high_ns)

    return judge


def _without_frames(trace: Trace, context: Context) -> Finding:
    """Judge the polls before which neither SHUTTER nor FOCUS moved."""
    frames = trace.pins(PinEvent.FRAME_SYNC)
    asked = [event for event in trace.messages if event.kind is Status]
    bare = [event for event in asked if not any(0 <= event.t_ns - frame.t_ns < 4 * MS for frame in frames)]
    none = not any(event.transaction.command_sum is not None for event in bare)

    def wrong(event: MessageSeen) -> str | None:
        return "none was answered" if none else None

    return every(bare, wrong, "C4.4-5", "polls without frames are answered", what="polls without a frame")


def _far_between(trace: Trace, context: Context) -> Finding:
    """Judge what follows a silence of a second, and what follows another transaction within 60 us."""
    expected = "the next transaction comes to its end"
    behind = [
        before
        for before, after in zip(trace.messages, trace.messages[1:], strict=False)
        if after.t_ns - before.end_ns > SECOND or after.t_ns - before.end_ns < 60 * US
    ]
    return recovered(trace, behind, "C4.4-6", expected)


def _completes(kind: type[Message], clause: str) -> Callable[[Trace, Context], Finding]:
    """Judge that a message comes to its end each time; one that the lens had no say in does not count."""

    def wrong(event: MessageSeen) -> str | None:
        return None if ended(event.transaction) else f"{event.name} broke off"

    return lambda trace, context: every(
        [event for event in trace.messages if event.kind is kind],
        wrong,
        clause,
        f"{kind.spec.name} comes to its end",
        what=kind.spec.name,
    )


def _ring_set(trace: Trace, context: Context) -> Finding:
    finding = _completes(SetFocusRing, "C5.6-1")(trace, context)
    directions = {event.values["ring_direction"] for event in trace.named(SetFocusRing)}
    if not finding.breaches and not {"forward", "reverse"} <= directions:
        return nothing(finding.expected, "not both directions were set")
    return finding


def _capability_taken(trace: Trace, context: Context) -> Finding:
    """Judge that the block is taken whole: its sum comes back."""
    asked = [event for event in trace.messages if event.kind is BodyCapability]

    def wrong(event: MessageSeen) -> str | None:
        return None if event.transaction.data_sum is not None else "no sum came back"

    return every(asked, wrong, "C5.3-1", "the block is taken", what="blocks")


TOUR = STIMULI["tour"]
_M = ("measured",)

# fmt: off
CASES = (
    Case("SES-001", "The start-up runs through.", ("C4.3-1",), TOUR, _start_up, ("start-up",)),
    Case("SES-002", "Both forms of the status command are answered.", ("C4.3-2",), TOUR, _both_forms, ("start-up",)),
    Case("SES-003", "Initialise ends.", ("C4.3-3",), TOUR, _busy(Initialise, "C4.3-3", 2 * SECOND), ("start-up", "timing")),
    Case("SES-004", "Initialise ends soon.", ("C4.3-4",), TOUR, _busy(Initialise, "C4.3-4", SECOND), ("start-up", "timing")),
    Case("SES-005", "EnableDrive ends.", ("C4.3-5",), TOUR, _busy(EnableDrive, "C4.3-5", SECOND // 2), ("start-up", "timing")),
    Case("SES-006", "B0 F0 completes as the first command.", ("C4.3-6",), STIMULI["first F0"], _completes(InitialiseF0, "C4.3-6"), ("start-up",)),
    Case("SES-007", "EnableDrive comes to its end.", ("C5.5-20",), TOUR, _completes(EnableDrive, "C5.5-20"), ("start-up",)),
    Case("SES-008", "SetFocusRing is taken in both directions.", ("C5.6-1",), TOUR, _ring_set, ("start-up",)),
    Case("SES-009", "BodyCapability is taken.", ("C5.3-1",), STIMULI["patterns"], _capability_taken, ("start-up",)),
    Case("SES-010", "Polling at 30 Hz holds.", ("C4.4-1",), STIMULI["poll at 30 Hz"], _polls(30, "C4.4-1"), ("soak",)),
    Case("SES-011", "Polling at 60 Hz holds.", ("C4.4-2",), STIMULI["poll at 60 Hz"], _polls(60, "C4.4-2"), ("soak",)),
    Case("SES-012", "Polling at 120 Hz holds.", ("C4.4-3",), STIMULI["poll at 120 Hz"], _polls(120, "C4.4-3"), ("soak",)),
    Case("SES-013", "A poll is short.", ("C4.4-4",), TOUR, _poll_time(4_160 * US), ("timing",)),
    Case("SES-014", "Polls need no frames.", ("C4.4-5",), TOUR, _without_frames),
    Case("SES-015", "Silence and haste do no harm.", ("C4.4-6",), STIMULI["pauses"], _far_between, ("negative",)),
    Case("MEA-003", "How long a poll takes.", ("C4.4-4",), STIMULI["poll at 60 Hz"], _poll_time(None), _M, measures=True),
    Case("MEA-004", "How long Initialise takes.", ("C4.3-3",), STIMULI["rewake"], _measured_work(Initialise, "C4.3-3"), _M, measures=True),
    Case("MEA-005", "How long EnableDrive takes.", ("C4.3-5",), TOUR, _measured_work(EnableDrive, "C4.3-5"), _M, measures=True),
)
# fmt: on
