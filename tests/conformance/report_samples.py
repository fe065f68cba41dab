"""Reports for tests of the writers: edges and messages of a simulated lens, and verdicts that are made up."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from m43drivers.simulator.faults import NO_FAULTS
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43proto.ends import PinBody, Script
from m43proto.events import MessageSeen, PinEventSeen, Violation
from m43proto.messages import PUBLIC, Drive, Identify, Status
from m43proto.mount import Mount
from m43proto.pins import LINES, Line
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from m43tools.conformance.model import (
    CaseInfo,
    CaseResult,
    ClauseInfo,
    Edge,
    Exchange,
    Moment,
    Provenance,
    Report,
    Sanity,
    measured,
)
from m43tools.conformance.verdicts import Verdict
from m43tools.render.glyphs import UNICODE
from m43tools.render.records import record_of
from m43tools.render.values import decoded
from tests.observing import observed

if TYPE_CHECKING:
    from m43proto.events import Event

HOSTILE = "<script>document.title='owned'</script>\x01&\"'\ud800"
"""What a lens may say of itself, and no report may fall for."""

CLAUSES = (
    ClauseInfo("C2.4-1", "2.4", "MUST", "confirmed", "BELL", "DATA changes behind the fall of CLK, bit 0 first."),
    ClauseInfo(
        "C2.6-1",
        "2.6",
        "SHOULD",
        "observed",
        "BELL, SIM",
        "Behind the last bit of a byte, the lens lowers LENS_ACK within 100 µs.",
    ),
    ClauseInfo("C3.2-1", "3.2", "MUST", "confirmed", "BELL", "The lens sends the sum of the four command bytes."),
    ClauseInfo("C5.4-1", "5.4", "MUST", "inferred", "BELL, EXIFTOOL", "The aperture in a status is within the range."),
    ClauseInfo("C5.8-1", "5.8", "OBSERVED", "provisional", "PROJECT", "A stabilised lens answers the placeholder."),
)


def script(end: PinBody) -> Script[None]:
    yield from end.power_up()
    yield from end.transact(Identify.request())
    yield from end.pause(2_000_000)
    yield from end.transact(Status.request())
    yield from end.pause(2_000_000)
    drive = Drive(aperture_operation="set", aperture_f=5.6)
    yield from end.transact(drive.command, drive.block)
    yield from end.pause(1_000_000)


@cache
def session(profile: str, timing: str) -> tuple[tuple[tuple[int, int], ...], tuple[Event, ...]]:
    """Return the changes and the events of a short session with a simulated lens."""
    lens = pin_lens(SimulatedLens(PROFILES[profile], NO_FAULTS, PUBLIC), LENS_TIMINGS[timing], PUBLIC.shape_of)
    body = PinBody(BODY_TIMINGS["bell_body"], script, PUBLIC.shape_of)
    changes = tuple(Mount(body, lens).run(60 * 10**9))
    return changes, tuple(observed(changes))


def moment(event: Event) -> Moment:
    """Return an event as a report shows it."""
    if isinstance(event, MessageSeen):
        text = " · ".join(decoded(event, UNICODE, raw=False))
        return Moment(event.t_ns, event.end_ns, "message", event.name, text, record_of(event))
    if isinstance(event, Violation):
        return Moment(event.t_ns, event.end_ns, "violation", str(event.cause), event.detail, record_of(event))
    assert isinstance(event, PinEventSeen)
    return Moment(event.t_ns, event.end_ns, "pin", str(event.event), "", record_of(event))


def exchange(profile: str, timing: str, name: str, *, bytes_shown: int = 5) -> Exchange:
    """Return the first message of this name with its first bytes, as the decisive moment."""
    changes, events = session(profile, timing)
    seen = next(event for event in events if isinstance(event, MessageSeen) and event.name == name)
    start_ns, end_ns = seen.t_ns - 30_000, seen.transaction.wire[:bytes_shown][-1].end_ns + 60_000
    before = [levels for t_ns, levels in changes if t_ns <= start_ns][-1]
    edges, now = [], before
    for t_ns, levels in changes:
        if start_ns < t_ns <= end_ns:
            edges += [Edge(t_ns, str(line), int(bool(levels & line.mask))) for line in moved(levels ^ now)]
            now = levels
    within = [event for event in events if start_ns <= event.t_ns <= end_ns]
    shown = tuple(moment(event) for event in within if isinstance(event, MessageSeen | PinEventSeen | Violation))
    initial = {str(line): int(bool(before & line.mask)) for line in LINES}
    return Exchange(start_ns, end_ns, shown, initial, tuple(edges))


def moved(mask: int) -> list[Line]:
    return [line for line in LINES if mask & line.mask]


def acknowledge_ns(shown: Exchange) -> list[int]:
    """Return how long after each rise of CLK at the end of a byte LENS_ACK falls."""
    falls = [edge.t_ns for edge in shown.edges if edge.line == Line.LENS_ACK and edge.level == 0]
    rises = [edge.t_ns for edge in shown.edges if edge.line == Line.CLK and edge.level == 1]
    return [fall - max(rise for rise in rises if rise < fall) for fall in falls if any(rise < fall for rise in rises)]


def case(number: int, chapter: str, prefix: str, title: str, clauses: tuple[str, ...], *tags: str) -> CaseInfo:
    doc = "Every occasion in the recording is judged, not the first one only."
    return CaseInfo(f"{prefix}-{number:03}", chapter, title, doc, clauses, tags, "lens", "negative" in tags, "poll")


def results(profile: str, timing: str) -> tuple[CaseResult, ...]:
    poll = exchange(profile, timing, "Status")
    identify = exchange(profile, timing, "Identify", bytes_shown=7)
    drive = exchange(profile, timing, "Drive", bytes_shown=12)
    times = acknowledge_ns(poll)
    late = timing == "slow"
    return (
        CaseResult(
            case(1, "s2_link", "LNK", "DATA changes behind the fall of CLK", ("C2.4-1",), "timing"),
            Verdict.PASS,
            "DATA is steady from 100 ns before CLK rises",
            "steady at all 40 rises",
            occasions=40,
            measurements=(measured("DATA to CLK rise", "ns", [690, 700, 702, 745, 750], low=100),),
            exchange=poll,
            sanity=Sanity.ALIVE,
            duration_ns=41_250_000,
        ),
        CaseResult(
            case(2, "s2_link", "LNK", "Each byte is acknowledged in time", ("C2.6-1",), "timing", "ack"),
            Verdict.WARN if late else Verdict.PASS,
            "LENS_ACK falls within 100 µs behind the last rise of CLK",
            f"{max(times) / 1000:.1f} µs at the most, {len(times)} times",
            message="C2.6-1: the margin is thin" if late else "",
            breached=("C2.6-1",) if late else (),
            occasions=len(times),
            measurements=(
                measured("CLK rises to LENS_ACK falls", "ns", times, high=100_000),
                measured("CLK period", "ns", [2_000] * 38 + [2_040, 2_100], low=1_000, high=8_000),
            ),
            exchange=poll,
            sanity=Sanity.ALIVE,
            duration_ns=41_250_000,
        ),
        CaseResult(
            case(1, "s3_framing", "FRM", "The sum of a command is right", ("C3.2-1",), "sum"),
            Verdict.FAIL if late else Verdict.PASS,
            "the lens sends 47",
            "the lens sent 46 to C1 80 01 06" if late else "47 to C1 80 01 06, and right to 11 others",
            message="C3.2-1: sum 46 to C1 80 01 06, 47 expected" if late else "",
            breached=("C3.2-1",) if late else (),
            occasions=12,
            exchange=poll,
            sanity=Sanity.ALIVE,
            duration_ns=41_250_000,
        ),
        CaseResult(
            case(7, "s3_framing", "FRM", "A wrong sum from the body is survived", ("C3.2-1",), "sum", "negative"),
            Verdict.ERROR if late else Verdict.PASS,
            "the next poll is answered",
            "it was answered",
            message="known deviation did not show" if late else "",
            occasions=1,
            exchange=identify,
            sanity=Sanity.REVIVED,
            duration_ns=97_000_000,
        ),
        CaseResult(
            case(3, "s5_status", "STA", "The aperture is within the range of the lens", ("C5.4-1",), "aperture"),
            Verdict.FAIL if profile == "panasonic-pz-14-42" else Verdict.PASS,
            "896 to 2275 Av/256 at every poll",
            "890 to 2275 Av/256" if profile == "panasonic-pz-14-42" else "910 to 2275 Av/256",
            message="C5.4-1: 890 Av/256 at 1 of 120 polls" if profile == "panasonic-pz-14-42" else "",
            breached=("C5.4-1",) if profile == "panasonic-pz-14-42" else (),
            occasions=120,
            measurements=(
                measured(
                    "aperture",
                    "Av/256",
                    [890 if profile == "panasonic-pz-14-42" else 910, 1275, 1280, 2275],
                    low=896,
                    high=2304,
                ),
            ),
            exchange=drive,
            deviation="documented in the errata of this firmware" if profile == "panasonic-pz-14-42" else None,
            sanity=Sanity.ALIVE,
            duration_ns=41_250_000,
        ),
        CaseResult(
            case(9, "s5_status", "STA", "Polls at 120 Hz for a minute", ("C5.4-1",), "soak"),
            Verdict.INCONCLUSIVE,
            "7200 polls are answered",
            "the capture ends after 12 s",
            message="not exercised: 1440 polls of 7200",
            runs=(Verdict.PASS, Verdict.INCONCLUSIVE),
        ),
        CaseResult(
            case(1, "s5_stabilisation", "STB", "The placeholder is answered", ("C5.8-1",), "stabilisation"),
            Verdict.NOT_APPLICABLE,
            "a stabilised lens",
            "the lens has no stabiliser",
            message="needs the catalogue of placeholders",
        ),
        CaseResult(
            case(2, "s5_status", "STA", "How long the lens is busy behind a drive", (), "timing"),
            Verdict.INFO,
            "nothing: measured only",
            "2.4 ms in the middle",
            measurements=(measured("busy", "ns", [1_900_000, 2_400_000, 9_800_000]),),
            exchange=drive,
            sanity=Sanity.ALIVE,
            duration_ns=41_250_000,
        ),
    )


def report(profile: str = "olympus-14-42", timing: str = "bell_lens", **lens: object) -> Report:
    """Return a report on a simulated lens with every verdict in it."""
    provenance = Provenance(
        tool="0.1.0",
        spec="1",
        mode="live",
        lens_url=f"sim:{profile}",
        lens={"lens": PROFILES[profile].lens.name, "firmware": "1.0", "serial": "ABC123", **lens},
        statement={"zoom": True, "aperture": {"widest_av": 896, "narrowest_av": 2304}},
        seed=43,
        command_line=("conform", "--lens", f"sim:{profile}", "--json", "report.json"),
    )
    return Report(provenance, results(profile, timing), CLAUSES)


def with_verdict(whole: Report, case_id: str, verdict: Verdict) -> Report:
    """Return the report with another verdict in one case."""
    changed = [replace(one, verdict=verdict) if one.case.id == case_id else one for one in whole.results]
    return replace(whole, results=tuple(changed))
