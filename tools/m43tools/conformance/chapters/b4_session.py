"""Chapter 4, for a body: start-up, polling, drives, switching off."""

from __future__ import annotations

import statistics
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from m43proto.dialects import DIALECTS
from m43proto.events import PinEvent
from m43proto.messages import Drive, EnableDrive, Status
from m43proto.pins import Line
from m43tools.conformance.judging import Breach, Case, Finding, every, nothing, within
from m43tools.conformance.model import measured
from m43tools.conformance.operations import MS, SECOND
from m43tools.conformance.playing import SESSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from m43proto.events import MessageSeen, PinEventSeen
    from m43tools.conformance.judging import Context
    from m43tools.conformance.trace import Ask, Trace

__all__ = ["CASES"]

_ORDER = [step.request for step in DIALECTS["E-PL1"].steps]
"""The start-up; both dialects have the same order."""

_PAUSE_NS = SECOND // 2
"""Polls that are further apart than this are no successive ones."""

_FRAME_NS = 5 * MS

_FORMS = {dialect.poll[2:]: name for name, dialect in DIALECTS.items()}


# the start-up


class _StartUp:
    """What a body sent from SLEEP's rise to its first EnableDrive, by the first time of each message."""

    def __init__(self, trace: Trace, start_ns: int, end_ns: int) -> None:
        self.t_ns = start_ns
        within_it = [event for event in trace.whole if start_ns < event.t_ns < end_ns]
        until = next((index for index, event in enumerate(within_it) if event.kind is EnableDrive), None)
        self.through = until is not None
        before = within_it if until is None else within_it[: until + 1]
        self.end_ns = before[-1].end_ns if before else start_ns
        self.kinds = list(dict.fromkeys(event.kind for event in before if event.kind in _ORDER))
        self.polled = any(one.kind is Status and two.kind is Status for one, two in pairwise(within_it))


def _start_ups(trace: Trace) -> list[_StartUp]:
    found = [_StartUp(trace, start, end) for start, end in trace.sessions]
    return [one for one in found if one.kinds]


def _in_order(trace: Trace, context: Context) -> Finding:
    def wrong(one: _StartUp) -> str | None:
        places = [_ORDER.index(kind) for kind in one.kinds]
        late = next((right for left, right in pairwise(places) if right < left), None)
        return None if late is None else f"{_ORDER[late].spec.name} came late"

    expected = " ".join(kind.spec.name for kind in _ORDER)
    return every(_start_ups(trace), wrong, "B4.3-1", expected, what="start-ups")


def _nothing_left_out(trace: Trace, context: Context) -> Finding:
    told = [one for one in _start_ups(trace) if one.through or one.polled]

    def wrong(one: _StartUp) -> str | None:
        missing = [kind.spec.name for kind in _ORDER if kind not in one.kinds]
        return f"without {', '.join(missing)}" if missing else None

    return every(told, wrong, "B4.3-2", "all eight commands", what="start-ups")


def _enabled_first(trace: Trace, context: Context) -> Finding:
    enabled = [event.end_ns for event in trace.named(EnableDrive)]
    asked = [event for event in trace.named(Drive) if _session_of(trace, event) is not None]

    def wrong(event: MessageSeen) -> str | None:
        session = _session_of(trace, event)
        assert session is not None
        return None if any(session[0] < one <= event.t_ns for one in enabled) else "a drive before EnableDrive"

    return every(asked, wrong, "B4.3-3", "EnableDrive before the first drive", what="drives")


def _session_of(trace: Trace, event: MessageSeen) -> tuple[int, int] | None:
    return next((one for one in trace.sessions if one[0] < event.t_ns < one[1]), None)


# polls


def _polls(trace: Trace) -> list[MessageSeen]:
    """Return the statuses behind a start-up."""
    enabled = [event.end_ns for event in trace.named(EnableDrive)]
    return [event for event in trace.named(Status) if enabled and event.t_ns > enabled[0] and _behind(trace, event)]


def _behind(trace: Trace, event: MessageSeen) -> bool:
    """Tell whether the start-up of the session of a status was through, as far as that was recorded."""
    session = _session_of(trace, event)
    if session is None:
        return not trace.sessions
    return any(session[0] < one.end_ns < event.t_ns for one in trace.named(EnableDrive))


def _successive(trace: Trace) -> list[tuple[MessageSeen, MessageSeen]]:
    return [(one, two) for one, two in pairwise(_polls(trace)) if two.t_ns - one.t_ns < _PAUSE_NS]


def _one_form(trace: Trace, context: Context) -> Finding:
    asked = trace.named(Status)

    def wrong(event: MessageSeen) -> str | None:
        first = asked[0].transaction.command
        said = event.transaction.command
        return None if said == first else f"{said.hex(' ')} behind {first.hex(' ')}"

    return every(asked, wrong, "B4.3-4", "the same form each time", what="statuses")


def _known_form(trace: Trace, context: Context) -> Finding:
    def wrong(event: MessageSeen) -> str | None:
        said = event.transaction.command
        return None if said[2:] in _FORMS else f"{said.hex(' ')} is on no record"

    expected = " or ".join(form.hex(" ") for form in _FORMS)
    return every(trace.named(Status), wrong, "B4.3-5", expected, what="statuses")


def _rate(trace: Trace, context: Context) -> Finding:
    expected = "25 to 130 polls a second"
    gaps = [two.t_ns - one.t_ns for one, two in _successive(trace)]
    if not gaps:
        return nothing(expected, "no successive polls")
    hertz = SECOND / statistics.median(gaps)
    moment = (_polls(trace)[0].t_ns, _polls(trace)[1].end_ns)
    breaches = () if 25 <= hertz <= 130 else (Breach("B4.4-1", *moment, f"{hertz:.1f} polls a second"),)
    numbers = measured("poll to poll", "ns", gaps)
    return Finding(expected, f"{hertz:.1f} polls a second", len(gaps), breaches, (numbers,), moment)


def _synchronised(trace: Trace, context: Context) -> Finding:
    expected = "a pulse on SHUTTER that ends less than 5 ms before the poll"
    if Line.SHUTTER not in trace.lines:
        return nothing(expected, "SHUTTER was not recorded")
    ends = [one.end_ns for one in trace.pins(PinEvent.FRAME_SYNC)]

    def wrong(event: MessageSeen) -> str | None:
        return None if any(0 < event.t_ns - end < _FRAME_NS for end in ends) else "a poll without a pulse on SHUTTER"

    return every(_polls(trace), wrong, "B4.4-2", expected, what="polls")


def _toggled(trace: Trace, context: Context) -> Finding:
    expected = "FOCUS changes between two polls"
    if Line.FOCUS not in trace.lines:
        return nothing(expected, "FOCUS was not recorded")
    times = [one.t_ns for one in trace.pins(PinEvent.FOCUS_TOGGLE)]
    quiet = [one for one, two in _successive(trace) if not any(one.end_ns < t_ns < two.t_ns for t_ns in times)]
    held = [one for one, _ in _successive(trace)]

    def wrong(event: MessageSeen) -> str | None:
        return "FOCUS stood still" if event in quiet else None

    return every(held, wrong, "B4.4-3", expected, what="polls")


# drives


def _behind_a_status(trace: Trace, context: Context) -> Finding:
    ends = [event.end_ns for event in trace.named(Status)]

    def wrong(event: MessageSeen) -> str | None:
        return None if any(0 < event.t_ns - end < _FRAME_NS for end in ends) else "a drive of its own"

    return every(trace.named(Drive), wrong, "B4.5-1", "a status less than 5 ms before it", what="drives")


def _set_up_first(trace: Trace, context: Context) -> Finding:
    set_up = [ask.seen.t_ns for ask in trace.drives if ask.drive.focus_operation == "setup"]
    moving = [ask.seen for ask in trace.drives if ask.drive.focus_operation in ("move", "scan")]
    moving = [event for event in moving if _session_of(trace, event) is not None]

    def wrong(event: MessageSeen) -> str | None:
        session = _session_of(trace, event)
        assert session is not None
        return None if any(session[0] < one < event.t_ns for one in set_up) else "no set-up drive before it"

    return every(moving, wrong, "B4.5-2", "a set-up drive before it", what="drives of the focus")


def _judged_drives(
    wrong: Callable[[Drive], str | None], clause: str, expected: str, wanted: Callable[[Drive], bool]
) -> Callable[[Trace, Context], Finding]:
    def judge(trace: Trace, context: Context) -> Finding:
        asks: Sequence[Ask] = [ask for ask in trace.drives if wanted(ask.drive)]
        texts = {ask.seen.t_ns: wrong(ask.drive) for ask in asks}
        return every([ask.seen for ask in asks], lambda seen: texts[seen.t_ns], clause, expected, what="drives")

    return judge


def _odd_operation(drive: Drive) -> str | None:
    odd = [one for one in (drive.focus_operation, drive.aperture_operation) if not isinstance(one, str)]
    return f"operation {odd[0]:02x}" if odd else None


def _odd_aperture(drive: Drive) -> str | None:
    return None if 0.7 <= drive.aperture_f <= 91 else f"f/{drive.aperture_f:.4g}"


# switching off


def _between_transactions(trace: Trace, context: Context) -> Finding:
    broken = [event.end_ns for event in trace.messages if not event.transaction.complete]

    def wrong(down: PinEventSeen) -> str | None:
        if trace.levels_at(down.t_ns - 1) & Line.BODY_ACK.mask:
            return "SLEEP fell while BODY_ACK was high"
        return "SLEEP fell in a transaction" if any(0 <= down.t_ns - end < MS for end in broken) else None

    return every(trace.pins(PinEvent.POWER_DOWN), wrong, "B4.7-1", "SLEEP falls at rest", what="times that SLEEP fell")


def _let_go(trace: Trace, context: Context) -> Finding:
    if Line.SLEEP not in trace.lines:
        return nothing("SLEEP falls to BODY_ACK low", "SLEEP was not recorded")
    return within(trace.body_spans.get("let go", ()), "SLEEP falls to BODY_ACK low", "B4.7-2", high_ns=MS)


_case = partial(Case, role="body")
_T = ("timing",)

# fmt: off
CASES = (
    _case("BOD-033", "The start-up keeps its order.", ("B4.3-1",), SESSION, _in_order),
    _case("BOD-034", "The start-up leaves nothing out.", ("B4.3-2",), SESSION, _nothing_left_out),
    _case("BOD-035", "No drive comes before EnableDrive.", ("B4.3-3",), SESSION, _enabled_first),
    _case("BOD-036", "The body keeps to one form of the status command.", ("B4.3-4",), SESSION, _one_form),
    _case("BOD-037", "The form of the status command is known.", ("B4.3-5",), SESSION, _known_form),
    _case("BOD-038", "The body polls about once a frame.", ("B4.4-1",), SESSION, _rate, ("polling", *_T)),
    _case("BOD-039", "A pulse on SHUTTER comes before each poll.", ("B4.4-2",), SESSION, _synchronised, ("polling",)),
    _case("BOD-040", "FOCUS changes once a frame.", ("B4.4-3",), SESSION, _toggled, ("polling",)),
    _case("BOD-041", "A drive follows a status.", ("B4.5-1",), SESSION, _behind_a_status),
    _case("BOD-042", "The set-up drive comes before drives of the focus.", ("B4.5-2",), SESSION, _set_up_first),
    _case("BOD-043", "The operations of a drive are on record.", ("B5.5-1",), SESSION, _judged_drives(_odd_operation, "B5.5-1", "operations on record", lambda drive: True)),
    _case("BOD-044", "An aperture that is set is one.", ("B5.5-2",), SESSION, _judged_drives(_odd_aperture, "B5.5-2", "f/0.7 to f/91", lambda drive: drive.aperture_operation == "set")),
    _case("BOD-045", "The lens is switched off between two transactions.", ("B4.7-1",), SESSION, _between_transactions),
    _case("BOD-046", "BODY_ACK is low when the lens is switched off.", ("B4.7-2",), SESSION, _let_go, _T),
)
# fmt: on
