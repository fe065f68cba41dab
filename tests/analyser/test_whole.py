"""From a board to messages: a simulated session, sent as sigrok-pico sends it, decoded and recorded live."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from m43drivers.analyser import Notice, open_analyser
from m43drivers.analyser.observing import fires_in
from m43drivers.analyser.recorder import LiveRecorder
from m43drivers.analyser.trigger import BlockGate, EdgeTrigger, EventTrigger, parse_trigger
from m43proto import PUBLIC
from m43proto.events import MessageSeen
from m43proto.pins import LINES
from tests.analyser.encoders import pico_wide_runs
from tests.analyser.models import Pico, Plugged
from tests.capture.sessions import decoded, pins, said, simulated
from tests.capture.writers import samples_of
from tests.observing import observed, of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from m43drivers.capture.stream import Block
    from m43proto.events import Event

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")

RATE = 8_000_000
TICK_NS = 125


def sent_by_a_board() -> tuple[bytes, int]:
    """Return a session as a board sends it, and how many samples that are."""
    session = simulated()
    samples = samples_of(session.channels, session.end_ns, RATE)
    starts = np.concatenate([[0], np.flatnonzero(samples[1:] != samples[:-1]) + 1])
    counts = np.diff(np.append(starts, samples.size))
    return pico_wide_runs(zip(samples[starts].tolist(), counts.tolist(), strict=True), len(LINES)), samples.size


def events_of(blocks: Iterable[Block], end: int) -> list[Event]:
    rows = (row for block in blocks for row in zip(block.ticks.tolist(), block.states.tolist(), strict=True))
    return observed(((tick * TICK_NS, state) for tick, state in rows), end_ns=end * TICK_NS)


def test_messages_live_and_from_the_recording(tmp_path: Path) -> None:
    sent, count = sent_by_a_board()
    blocks = []
    with (
        Plugged(Pico([sent])) as path,
        open_analyser(f"pico:{path}", rate_hz=RATE) as live,
        LiveRecorder(tmp_path / "a.sr", LINES, RATE, source="a model") as recording,
    ):
        for item in live.items():
            assert not isinstance(item, Notice)
            recording.take(item)
            blocks.append(item)
            if item.end + 1 == count:
                live.stop()
        result = recording.close()
    events = events_of(blocks, count - 1)
    assert len(of(MessageSeen, events)) > 5
    assert (said(events), pins(events)) == (said(simulated().events), pins(simulated().events))
    assert (result.ticks, result.error, live.capture.tick_ns) == (count, None, Fraction(TICK_NS))
    assert decoded(tmp_path / "a.sr") == events

    poll = parse_trigger("Status.zoom_step>=0", PUBLIC)
    assert isinstance(poll, EventTrigger)
    first = next(event for event in of(MessageSeen, events) if event.name == "Status")
    assert fires_in(poll, events, PUBLIC) == first.t_ns

    sleep = parse_trigger("SLEEP^", PUBLIC)
    assert isinstance(sleep, EdgeTrigger)
    bit = LINES.index(sleep.line)
    changing = [block for block in blocks if block.ticks.size]
    befores = [None, *(int(block.states[-1]) for block in changing)]
    found = [sleep.find(block, bit, before) for block, before in zip(changing, befores, strict=False)]
    tick = next(one for one in found if one is not None)
    assert tick * TICK_NS == pytest.approx(1_000_000, abs=TICK_NS)
    held = BlockGate(history_ticks=80)
    assert [block for each in blocks for block in held.feed(each)] == []
    through = list(held.open(tick))
    assert int(through[0].ticks[0]) == max(0, tick - 80)


def test_decoding_joins_nothing_across_a_restart() -> None:
    """A board that overflows in the middle: what is decoded before and behind the gap is what was sent there."""
    sent, _ = sent_by_a_board()
    half = len(sent) // 2
    with Plugged(Pico([sent[:half], b"!!!"], [sent])) as path, open_analyser(f"pico:{path}", rate_hz=RATE) as live:
        parts: list[list[Block]] = [[]]
        notices: list[Notice] = []
        for item in live.items():
            if isinstance(item, Notice):
                notices.append(item)
                parts.append([])
            else:
                parts[-1].append(item)
                if len(parts) == 2 and item.end + 1 - (notices[0].until or 0) >= simulated_count():
                    live.stop()
    assert [notice.kind for notice in notices] == ["overflow"]
    before = of(MessageSeen, events_of(parts[0], notices[0].tick))
    whole = of(MessageSeen, simulated().events)
    complete = [event for event in before if event.transaction.complete]
    assert 0 < len(complete) < len(whole)
    assert said(complete) == said(whole[: len(complete)])


def simulated_count() -> int:
    return sent_by_a_board()[1]
