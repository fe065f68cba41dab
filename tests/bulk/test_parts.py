"""A capture in parts gives what it gives in one go, wherever it is cut and whatever is wrong with it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m43drivers.bulk import parts as parts_module
from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.decoder import End
from m43drivers.bulk.parts import Parts
from m43drivers.capture import CaptureError
from m43drivers.capture.stream import Block
from m43proto.messages import PUBLIC
from m43proto.pins import LINES, Line
from tests.bulk.support import one_by_one, spoilt, stream_of, traffic
from tests.recordings import session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from m43drivers.bulk.decoder import Found
    from m43drivers.capture.stream import CaptureStream
    from m43proto.events import Event
    from tests.bulk.support import Changes


@pytest.fixture(autouse=True)
def _small_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "SECTION_TICKS", 1)


def marked(changes: Changes, end: int, marks: Sequence[int]) -> CaptureStream:
    """Return changes as a stream that can be read from some ticks on; blocks end before each of them."""
    whole = stream_of(changes, end)

    def since(tick: int, mask: int | None, rows: int | None = None, until: int = 0) -> Iterator[Block]:
        (block,) = whole.blocks(mask)
        bounds = [mark for mark in marks if mark > tick]
        for start, stop in zip([tick, *bounds], [*bounds, end + 1], strict=True):
            inside = slice(*block.ticks.searchsorted([start, stop]).tolist())
            ticks, states = block.ticks[inside], block.states[inside]
            if start == tick and not (len(ticks) and ticks[0] == tick):
                at = int(block.ticks.searchsorted(tick, "right")) - 1
                ticks = np.concatenate([[tick], ticks])
                states = np.concatenate([block.states[at : at + 1], states])
            for row in range(0, len(ticks), rows) if rows and len(ticks) else [0]:
                some = slice(row, row + rows if rows else None)
                last = row + rows >= len(ticks) if rows else True
                yield Block(ticks[some], states[some], stop - 1 if last else int(ticks[some][-1]))

    return replace(whole, marks=tuple(marks), since=since)


def in_parts(stream: CaptureStream, lines: Sequence[Line], jobs: int) -> tuple[list[Event], int, int]:
    """Return what the parts say, how many there were, and how many had to be decoded anew."""
    parts = Parts(stream, {line: line.bit for line in lines}, PUBLIC, jobs)
    events: list[Event] = []
    number = count = anew = 0
    while number < len(parts):
        until = number + 1
        while True:
            part = parts.part(number, until)
            assert part is not None
            found = events_of(part.found())
            if part.sound:
                break
            anew += 1
            until = part.stop + 1
        events += found
        number, count = part.stop, count + 1
    return events, count, anew


def events_of(portions: Iterator[Found]) -> list[Event]:
    events: list[Event] = []
    for found in portions:
        if isinstance(found, Stretch):
            events += found.events(PUBLIC)
        elif not isinstance(found, End):
            events += found
    return events


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_any_traffic_with_any_fault_cut_anywhere(seed: int) -> None:
    rng = random.Random(seed)
    changes = spoilt(rng, traffic(rng, rng.choice([6, 12, 30])).changes)
    end_ns = changes[-1][0] + rng.choice([1, 10**6, 3 * 10**8])
    lines = [line for line in LINES if line in (Line.CLK, Line.DATA, Line.BODY_ACK) or rng.random() < 0.75]
    marks = sorted(rng.sample(range(1, end_ns), rng.choice([1, 3, 8])))
    found, _, _ = in_parts(marked(changes, end_ns, marks), lines, rng.choice([1, 3, 9]))
    assert found == one_by_one(changes, end_ns, lines)


@pytest.mark.parametrize("seed", range(4))
def test_clean_traffic_is_decoded_in_as_many_parts_as_there_are_sections(seed: int) -> None:
    waveform = session(seed=seed, frames=80)
    marks = [waveform.now_ns * share // 5 for share in range(1, 5)]
    stream = marked(waveform.changes, waveform.now_ns, marks)
    found, count, anew = in_parts(stream, LINES, 2)
    assert found == one_by_one(waveform.changes, waveform.now_ns, LINES)
    assert (count, anew) == (5, 0)


def test_a_seam_that_proves_false_costs_a_second_decoding_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seam is put into a transaction: the part before it is not at rest there."""
    waveform = traffic(random.Random(5), 30)
    marks = [waveform.now_ns // 2]
    stream = marked(waveform.changes, waveform.now_ns, marks)
    true = Parts(stream, {line: line.bit for line in LINES}, PUBLIC, 1)._seam(1)
    assert true is not None
    later = next(t_ns for t_ns, _ in waveform.changes if t_ns > true.tick + 20_000)
    monkeypatch.setattr(Parts, "_found_seam", lambda self, number: replace(true, tick=later))
    found, count, anew = in_parts(stream, LINES, 1)
    assert found == one_by_one(waveform.changes, waveform.now_ns, LINES)
    assert (count, anew) == (1, 1)


def test_a_section_without_traffic_belongs_to_the_part_before() -> None:
    waveform = traffic(random.Random(6), 20)
    end_ns = waveform.now_ns + 10**9
    marks = [waveform.now_ns + 1, waveform.now_ns + 10**6]
    found, count, anew = in_parts(marked(waveform.changes, end_ns, marks), LINES, 1)
    assert found == one_by_one(waveform.changes, end_ns, LINES)
    assert (count, anew) == (1, 0)


def test_what_cannot_be_read_is_told_by_the_part_that_comes_to_it() -> None:
    waveform = traffic(random.Random(7), 20)
    marks = [waveform.now_ns // 2]
    whole = marked(waveform.changes, waveform.now_ns, marks)

    def since(tick: int, mask: int | None, rows: int | None = None, until: int = 0) -> Iterator[Block]:
        for block in whole.since(tick, mask, rows, until):
            if block.end >= marks[0]:
                raise CaptureError(Path("-"), "is damaged")
            yield block

    parts = Parts(replace(whole, since=since), {line: line.bit for line in LINES}, PUBLIC, 1)
    assert parts.part(1) is None
    part = parts.part(0)
    assert part is not None
    told: list[Event] = []
    with pytest.raises(CaptureError, match="is damaged"):
        told.extend(event for portion in part.found() for event in events_of(iter([portion])))
    assert told == one_by_one(waveform.changes, waveform.now_ns, LINES)[: len(told)]
    assert told
    assert not part.sound


@pytest.mark.parametrize("missing", ["a mark", "BODY_ACK", "whole nanoseconds"])
def test_what_cannot_be_cut(missing: str) -> None:
    waveform = traffic(random.Random(8), 3)
    stream = marked(waveform.changes, waveform.now_ns, [1000])
    mapping = {line: line.bit for line in LINES}
    assert Parts.possible(stream, mapping)
    if missing == "a mark":
        stream = replace(stream, marks=())
    elif missing == "BODY_ACK":
        del mapping[Line.BODY_ACK]
    else:
        stream = replace(stream, tick_ns=stream.tick_ns / 2)
    assert not Parts.possible(stream, mapping)
