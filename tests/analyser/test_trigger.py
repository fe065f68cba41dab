"""Triggers as people type them, on the events of a real decode and on blocks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m43drivers.analyser.changes import ChangeFinder
from m43drivers.analyser.observing import FoundGate, fires_in
from m43drivers.analyser.trigger import (
    BlockGate,
    EdgeTrigger,
    EventTrigger,
    TriggerError,
    parse_trigger,
)
from m43drivers.bulk.decoder import End
from m43drivers.capture.stream import Block
from m43proto import PUBLIC
from m43proto.events import Cause, MessageSeen, PinEvent, PinEventSeen, Violation
from m43proto.pins import Line
from tests.analyser.support import expanded
from tests.capture.sessions import simulated
from tests.observing import of

if TYPE_CHECKING:
    from m43proto.events import Event

BROKEN = Violation(5, 9, Cause.SHORT_BYTE, "a byte broke off", b"")


def events() -> list[Event]:
    return [*simulated().events, BROKEN]


def on_event(text: str) -> EventTrigger:
    trigger = parse_trigger(text, PUBLIC)
    assert isinstance(trigger, EventTrigger)
    return trigger


def fired(text: str) -> list[Event]:
    trigger = on_event(text)
    return [event for event in events() if trigger.fires(event)]


def with_values(name: str, **values: object) -> MessageSeen:
    seen = next(event for event in of(MessageSeen, events()) if event.name == name)
    return replace(seen, values={**seen.values, **values})


def test_messages_by_name() -> None:
    found = fired("Status")
    assert len(found) == 3
    assert all(isinstance(event, MessageSeen) and event.name == "Status" for event in found)
    assert len(fired(" Identify ")) == 1


def test_violations_and_what_happens_on_the_lines() -> None:
    assert fired("violation") == fired("violation:short_byte") == [BROKEN]
    assert fired("violation:no_answer") == []
    assert [type(event) for event in fired("power_up")] == [PinEventSeen]
    assert len(fired("frame_sync")) == 3
    assert fired("fragment") == []


def test_wrong_sums() -> None:
    status = with_values("Status")
    assert fired("wrong_sum") == []
    transaction = replace(status.transaction, data_sum=(status.transaction.data_sum or 0) ^ 1)
    for event in (transaction, replace(status, transaction=transaction)):
        assert on_event("wrong_sum").fires(event)


@pytest.mark.parametrize(
    ("condition", "value", "fires"),
    [
        ("aperture_f>8", 8.1, True),
        ("aperture_f>8", 8.0, False),
        ("aperture_f >= 8", 8.0, True),
        ("aperture_f<8", 7.9, True),
        ("aperture_f<=8", 8.01, False),
        ("aperture_f==5.66", 2**2.5, True),
        ("aperture_f=5.6", 2**2.5, False),
        ("aperture_f!=5.66", 2**2.5, False),
        ("aperture_f=8", "set", False),
        ("aperture_f>8", "set", False),
        ("focus_distance_m=infinity", math.inf, True),
        ("focus_distance_m<infinity", math.inf, False),
        ("focus_distance_m==3", math.inf, False),
        ("flags=C2 E1 00 00", b"\xc2\xe1\0\0", True),
        ("flags!=c2e10000", b"\xc2\xe1\0\0", False),
    ],
)
def test_conditions_on_fields(condition: str, value: object, fires: bool) -> None:
    field = "".join(letter for letter in condition.partition(" ")[0] if letter.isalpha() or letter == "_")
    name = next(name for name in ("aperture_f", "focus_distance_m", "flags") if field.startswith(name))
    event = with_values("Status", **{name: value})
    assert on_event(f"Status.{condition}").fires(event) is fires
    assert not on_event(f"Drive.aperture_f{'>8'}").fires(event)


def test_words_and_fields_that_did_not_come() -> None:
    drive = with_values("Drive", aperture_operation="set")
    assert on_event("Drive.aperture_operation=set").fires(drive)
    assert not on_event("Drive.aperture_operation!=set").fires(drive)
    cut = replace(drive, values={})
    assert not on_event("Drive.aperture_operation!=set").fires(cut)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Statsu", "trigger 'Statsu': nothing is called so; did you mean Status?"),
        ("Drvie.aperture_f>8", "trigger 'Drvie.aperture_f>8': no message is called Drvie; did you mean Drive?"),
        ("Drive.aperture>8", "trigger 'Drive.aperture>8': Drive has no field aperture; did you mean aperture_f?"),
        ("Drive.aperture_f>wide", "trigger 'Drive.aperture_f>wide': > needs a number, found 'wide'"),
        ("violation:short", "trigger 'violation:short': no cause is called 'short'; did you mean short_byte?"),
        ("XLK^", "trigger 'XLK^': no line is called XLK; lines: CLK, DATA, BODY_ACK, LENS_ACK, SLEEP, FOCUS, SHUTTER"),
    ],
)
def test_triggers_that_say_nothing(text: str, told: str) -> None:
    with pytest.raises(TriggerError) as caught:
        parse_trigger(text, PUBLIC)
    assert str(caught.value) == told


@pytest.mark.parametrize("text", ["", "^", "Drive.", "Drive.aperture_f>", "a.b.c", "CLK^^", "\n"])
def test_nonsense_is_refused_on_one_line(text: str) -> None:
    with pytest.raises(TriggerError) as caught:
        parse_trigger(text, PUBLIC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "tick"), [("CLK^", Line.CLK, 7), ("clk_", Line.CLK, 3), ("BODY_ACK~", Line.BODY_ACK, 5)]
)
def test_edges(text: str, line: Line, tick: int) -> None:
    trigger = parse_trigger(text.replace("clk_", "CLK_"), PUBLIC)
    assert isinstance(trigger, EdgeTrigger)
    assert trigger.line is line
    bit = {Line.CLK: 0, Line.BODY_ACK: 3}[line]
    first = Block(np.array([0, 3]), np.array([1, 0], np.uint8), 4)
    second = Block(np.array([5, 7]), np.array([8, 9], np.uint8), 8)
    found = trigger.find(first, bit, None) or trigger.find(second, bit, 0)
    assert found == tick
    assert trigger.find(Block(np.array([], np.int64), np.array([], np.uint8), 9), bit, 9) is None


def test_a_trigger_fires_in_portions() -> None:
    every = simulated().events
    drive = next(event for event in every if on_event("Drive").fires(event))
    assert fires_in(on_event("Drive"), every, PUBLIC) == drive.t_ns
    assert fires_in(on_event("violation"), every, PUBLIC) is None
    assert fires_in(on_event("Drive"), End(5), PUBLIC) is None


def test_what_came_shortly_before_goes_through() -> None:
    every = simulated().events
    drive = next(event for event in every if on_event("Drive").fires(event))
    gate = FoundGate(1_000_000)
    for event in every[: every.index(drive) + 1]:
        gate.hold([event])
    held = [event for portion in gate.open(drive.t_ns) if isinstance(portion, list) for event in portion]
    assert gate.opened_ns == drive.t_ns - 1_000_000
    upto = every[: every.index(drive) + 1]
    assert 1 < len(held) < len(upto)
    assert held == [event for event in upto if event.end_ns >= drive.t_ns - 1_000_000]
    assert gate.open(drive.t_ns) == []


def test_what_is_held_is_bounded_in_time_and_in_portions() -> None:
    every = simulated().events
    brief, few = FoundGate(1_000_000), FoundGate(10**12, most=4)
    for event in every:
        brief.hold([event])
        few.hold([event])
    late = PinEventSeen(10**10, 10**10, PinEvent.POWER_UP, 1)
    brief.hold([late])
    assert brief.open(0) == [[late]]
    assert few.open(every[-1].end_ns) == [[event] for event in every[-4:]]


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.integers(0, 80),
    st.integers(0, 59),
)
def test_history_of_blocks(samples: list[int], sizes: list[int], history: int, tick: int) -> None:
    finder, gate = ChangeFinder(2), BlockGate(history)
    through: list[Any] = []
    at = turn = 0
    fired_at = min(tick, len(samples) - 1)
    opened = False
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        piece = finder.samples(np.array(samples[at : at + size], np.uint8))
        assert piece is not None
        through += gate.feed(piece.block)
        at, turn = at + size, turn + 1
        if not opened and piece.block.end >= fired_at:
            through += gate.open(fired_at)
            opened = True
    begin = max(0, fired_at - history)
    levels = expanded(through)[0]
    assert levels[begin:] == samples[begin:]
    assert all(level == -1 for level in levels[:begin])
    assert int(through[0].ticks[0]) == begin


def test_history_of_blocks_is_bounded_in_rows() -> None:
    gate = BlockGate(10**9, most_rows=100)
    for begin in range(0, 10_000, 50):
        ticks = np.arange(begin, begin + 50)
        assert list(gate.feed(Block(ticks, (ticks & 1).astype(np.uint8), begin + 49))) == []
    through = list(gate.open(9_999))
    assert sum(block.ticks.size for block in through) <= 101
