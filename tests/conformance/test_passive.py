"""Passive mode on captures that are bent in one place: exactly the clause that it breaks is found, and nothing else."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from m43proto.connection import Connection
from m43proto.events import ByteSeen
from m43proto.messages import Status
from m43proto.pins import Line
from m43tools.conform import recording_of
from m43tools.conformance.cases import CASES
from m43tools.conformance.operations import Recording
from m43tools.conformance.runner import Options, run_passive
from m43tools.conformance.trace import Trace
from m43tools.conformance.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLIC_CAPTURE = Path(__file__).parents[2] / "captures/bell-fakebody__lens-model__power-up/capture.sr"
CLK, DATA, LENS_ACK, BODY_ACK = (line.mask for line in (Line.CLK, Line.DATA, Line.LENS_ACK, Line.BODY_ACK))
COMMAND_SUM, LENGTH, LENGTH_HIGH, DATA_SUM = 4, 5, 6, -1
"""Places of bytes in a status transaction."""

Changes = list[tuple[int, int]]


@cache
def whole() -> Recording:
    return recording_of(PUBLIC_CAPTURE)


@cache
def poll_bytes() -> tuple[ByteSeen, ...]:
    """Return the bytes of the second status transaction."""
    recording = whole()
    status = [event for event in Trace(recording).messages if event.kind is Status][1]
    connection = Connection(lines=recording.lines)
    seen: list[ByteSeen] = []
    for t_ns, levels in recording.changes:
        connection.receive_levels(t_ns, levels)
        seen += [event for event in connection.events() if isinstance(event, ByteSeen)]
    return tuple(one for one in seen if status.t_ns <= one.t_ns < status.end_ns)


def edges(mask: int, start_ns: int, end_ns: int, *, rise: bool) -> list[int]:
    return [
        t_ns
        for (_, before), (t_ns, levels) in pairwise(whole().changes)
        if start_ns <= t_ns <= end_ns and (before ^ levels) & mask and bool(levels & mask) is rise
    ]


def held(mask: int, start_ns: int, end_ns: int, level: int) -> Changes:
    """Return the changes with a line at one level for a while; level -1 turns it over."""
    cuts: list[tuple[int, int]] = []
    before = 0
    for t_ns, levels in whole().changes:
        cuts += [(edge, before) for edge in (start_ns, end_ns) if cuts and cuts[-1][0] < edge < t_ns]
        cuts.append((t_ns, levels))
        before = levels
    clear, turn = (0, mask) if level < 0 else (mask, mask * level)
    moved = [(t_ns, levels & ~clear ^ turn if start_ns <= t_ns < end_ns else levels) for t_ns, levels in cuts]
    return [moved[0], *(after for one, after in pairwise(moved) if one[1] != after[1])]


def flipped(index: int, bit: int) -> Recording:
    """Turn one bit of a byte over."""
    byte = poll_bytes()[index]
    falls = [*edges(CLK, byte.t_ns, byte.end_ns, rise=False), byte.end_ns + 200]
    return recorded(held(DATA, falls[bit], falls[bit + 1], -1))


def recorded(changes: Changes, end_ns: int = 0, lines: tuple[Line, ...] = ()) -> Recording:
    return Recording(tuple(changes), end_ns or whole().end_ns, lines or whole().lines)


def clock_lost(index: int) -> Recording:
    byte = poll_bytes()[index]
    falls, rises = (edges(CLK, byte.t_ns, byte.end_ns, rise=rise) for rise in (False, True))
    return recorded(held(CLK, falls[3], next(rise for rise in rises if rise > falls[3]), 1))


def acknowledge(low_ns: int) -> Recording:
    """Shorten an acknowledge; 0 takes it out."""
    one, after = poll_bytes()[1:3]
    (fall,) = edges(LENS_ACK, one.end_ns, after.t_ns, rise=False)
    return recorded(held(LENS_ACK, fall + low_ns, after.t_ns, 1))


def dead(index: int, wait_ns: int = 10**9) -> Recording:
    """Have the lens die within a byte of the body, or of its own; the body waits for it, and never goes on."""
    byte = poll_bytes()[index]
    stop_ns = byte.end_ns
    if index > COMMAND_SUM:
        stop_ns = edges(BODY_ACK, byte.end_ns, whole().end_ns, rise=False)[0]
    kept = [change for change in whole().changes if change[0] <= stop_ns]
    return recorded(kept, stop_ns + wait_ns)


def unanswered() -> Recording:
    """Have the lens die between two transactions."""
    up_ns = edges(BODY_ACK, poll_bytes()[-1].end_ns + 100_000, whole().end_ns, rise=True)[0]
    return recorded([change for change in whole().changes if change[0] <= up_ns], up_ns + 10**9)


def sampled(rate_hz: float) -> Recording:
    period_ns = 1e9 / rate_hz
    last = {math.ceil(t_ns / period_ns): levels for t_ns, levels in whole().changes}
    return recorded([(round(sample * period_ns), levels) for sample, levels in last.items()])


def without(*lines: Line) -> Recording:
    mask = ~sum(line.mask for line in lines)
    kept = tuple(line for line in whole().lines if line not in lines)
    return recorded([(t_ns, levels & mask) for t_ns, levels in whole().changes], lines=kept)


def failed(recording: Recording) -> dict[str, tuple[str, ...]]:
    report = run_passive(recording, list(CASES.values()), Options(brief=True))
    bad = (Verdict.FAIL, Verdict.ERROR)
    return {one.case.id: one.breached for one in report.results if one.verdict in bad}


@pytest.mark.parametrize(
    ("bend", "wanted"),
    [
        (lambda: flipped(COMMAND_SUM, 3), {"FRM-001": ("C3.2-1",)}),
        (lambda: flipped(DATA_SUM, 0), {"FRM-002": ("C3.5-1",)}),
        (lambda: flipped(20, 3), {"FRM-002": ("C3.5-1",)}),
        (lambda: flipped(LENGTH, 3), {"FRM-004": ("C3.4-1",)}),
        (lambda: flipped(LENGTH_HIGH, 0), {"FRM-004": ("C3.4-1",), "FRM-005": ("C3.4-2",)}),
        (lambda: acknowledge(300), {"LNK-008": ("C2.3-4",)}),
        (lambda: acknowledge(0), {"LNK-007": ("C2.3-3",)}),
        (lambda: clock_lost(1), {"LNK-011": ("C2.3-7",)}),
        (lambda: clock_lost(20), {}),
        (lambda: dead(20), {"FRM-009": ("C3.1-1",)}),
        (lambda: dead(20, wait_ns=1_000_000), {}),
        (lambda: dead(1), {"LNK-007": ("C2.3-3",)}),
        (unanswered, {"LNK-005": ("C2.3-1",)}),
        (lambda: sampled(24e6), {}),
        (lambda: sampled(8e6), {}),
        (lambda: sampled(4e6), {}),
        (lambda: without(Line.BODY_ACK, Line.LENS_ACK), {}),
        (lambda: without(*(line for line in Line if line not in (Line.CLK, Line.DATA))), {}),
    ],
    ids=[
        "command sum", "data sum", "data byte", "length", "length high byte", "short acknowledge", "no acknowledge",
        "clock lost in a byte of the body", "clock lost in a byte of the lens", "dies in a block",
        "capture ends in a block", "dies in a command", "dies between transactions", "24 MHz", "8 MHz", "4 MHz",
        "no ack lines", "CLK and DATA only",
    ],
)  # fmt: skip
def test_one_thing_wrong_is_one_clause(bend: Callable[[], Recording], wanted: dict[str, tuple[str, ...]]) -> None:
    assert failed(bend()) == wanted


@pytest.mark.parametrize("per_cent", range(3, 100, 12))
def test_a_piece_of_a_capture_has_no_fail(per_cent: int) -> None:
    at_ns = whole().end_ns * per_cent // 100
    at = max(index for index, (t_ns, _) in enumerate(whole().changes) if t_ns <= at_ns)
    assert failed(recorded(list(whole().changes[: at + 1]), at_ns)) == {}
    assert failed(recorded([(at_ns, whole().changes[at][1]), *whole().changes[at + 1 :]])) == {}


def test_a_body_that_stops_in_a_byte_says_nothing_against_the_lens() -> None:
    stop_ns = edges(CLK, poll_bytes()[20].t_ns, poll_bytes()[20].end_ns, rise=True)[2]
    kept = [change for change in whole().changes if change[0] <= stop_ns]
    assert failed(recorded(kept, stop_ns + 2 * 10**9)) == {}
