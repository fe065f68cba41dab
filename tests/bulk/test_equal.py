"""The bulk decoder says what the observing engine says, event for event."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.decoder import End
from m43drivers.bulk.observing import observe_stream
from m43drivers.capture import open_capture, open_stream
from m43drivers.lines import lines_by_name, without_dead_lines
from m43drivers.observe import changes_of, observe
from m43drivers.pinfinder import find_lines
from m43proto.messages import PROVISIONAL, PUBLIC
from m43proto.pins import LINES, Line
from tests.bulk.support import in_bulk, one_by_one, spoilt, stream_of, traffic
from tests.recordings import session
from tests.waveform import Script, Waveform

if TYPE_CHECKING:
    from m43drivers.capture.model import Capture, Channel

CAPTURES = sorted((Path(__file__).parents[2] / "captures").glob("*/capture.sr"))
SHARED = sorted((Path(__file__).parents[3] / "shared" / "captures").glob("*.vcd"))

ACKED = LINES
BARE = tuple(line for line in LINES if line is not Line.BODY_ACK)


def mapped(capture: Capture) -> dict[Line, Channel]:
    named = {channel.name for channel in capture.channels} & set(LINES)
    mapping = lines_by_name(capture) if named else find_lines(capture).mapping
    return without_dead_lines(mapping)[0]


@pytest.mark.parametrize("without", [(), (Line.BODY_ACK,), (Line.LENS_ACK, Line.SLEEP)], ids=["all", "bare", "fewer"])
@pytest.mark.parametrize("path", CAPTURES, ids=[path.parent.name for path in CAPTURES])
def test_every_capture(path: Path, without: tuple[Line, ...]) -> None:
    capture = open_capture(path)
    mapping = {line: channel for line, channel in mapped(capture).items() if line not in without}
    catalogue = PUBLIC | PROVISIONAL
    numbers = {line: capture.channels.index(channel) for line, channel in mapping.items()}
    events = []
    for found in observe_stream(open_stream(path), numbers, catalogue):
        events += found if isinstance(found, list) else []
        events += list(found.events(catalogue)) if isinstance(found, Stretch) else []
    assert events == list(observe(capture, mapping, catalogue))


@pytest.mark.skipif(not SHARED, reason="the simulated captures with ground truth are not on this machine")
@pytest.mark.parametrize("lines", [ACKED, BARE], ids=["acked", "bare"])
def test_captures_with_ground_truth(lines: tuple[Line, ...]) -> None:
    for path in SHARED:
        capture = open_capture(path)
        mapping = {line: channel for line, channel in lines_by_name(capture).items() if line in lines}
        changes = list(changes_of(mapping))
        found, regular = in_bulk(stream_of(changes, capture.end_ns, range(1, len(changes), 5000)), tuple(mapping))
        assert found == list(observe(capture, mapping, PUBLIC))
        assert regular > len(found) / 2


@pytest.mark.parametrize("lines", [ACKED, BARE], ids=["acked", "bare"])
def test_a_cut_between_blocks_at_every_row(lines: tuple[Line, ...]) -> None:
    waveform = Waveform(random.Random(5))
    waveform.frame_sync()
    waveform.transaction(Script(bytes.fromhex("c1800106"), "C", b"\3\4\5", command_sum=0))
    waveform.set(Line.FOCUS, 1)
    waveform.idle()
    waveform.transaction(Script(bytes.fromhex("60f00000"), "6", b"\1\2"))
    waveform.transaction(Script(bytes.fromhex("b1880302"), "B"))
    waveform.transaction(Script(bytes.fromhex("a0f50100"), "A"))
    changes = waveform.changes
    expected = one_by_one(changes, waveform.now_ns, lines)
    for cut in range(1, len(changes)):
        found, _ = in_bulk(stream_of(changes, waveform.now_ns, [cut]), lines)
        assert found == expected, cut


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_any_traffic_with_any_fault_in_any_blocks(seed: int) -> None:
    rng = random.Random(seed)
    changes = spoilt(rng, traffic(rng, rng.choice([1, 3, 12])).changes)
    end_ns = changes[-1][0] + rng.choice([0, 1, 10**6, 3 * 10**8])
    lines = [line for line in LINES if line in (Line.CLK, Line.DATA) or rng.random() < 0.75]
    cuts = sorted(rng.sample(range(1, len(changes)), min(len(changes) - 1, rng.choice([0, 1, 5, 30]))))
    with pytest.MonkeyPatch.context() as patch:
        most = rng.choice([10, 200, 1 << 17])
        patch.setattr("m43drivers.bulk.decoder.MOST_CARRIED", most)
        patch.setattr("m43drivers.bulk.bare.MOST_CARRIED", most)
        patch.setattr("m43drivers.bulk.bare._AT_ONCE", rng.choice([1, 7, 1 << 10]))
        found, _ = in_bulk(stream_of(changes, end_ns, cuts), lines)
    assert found == one_by_one(changes, end_ns, lines)


@pytest.mark.parametrize("lines", [ACKED, BARE], ids=["acked", "bare"])
def test_clean_traffic_is_decoded_as_columns(lines: tuple[Line, ...]) -> None:
    waveform = session(frames=40)
    found, regular = in_bulk(stream_of(waveform.changes, waveform.now_ns), lines)
    assert found == one_by_one(waveform.changes, waveform.now_ns, lines)
    assert regular > 0.9 * len(found)


def test_ticks_shorter_than_a_nanosecond_are_merged() -> None:
    """What falls on one nanosecond is one change, as in a whole capture."""
    waveform = session()
    changes = [(3 * t_ns + 1, levels) for t_ns, levels in waveform.changes]
    changes[0] = (0, changes[0][1])
    at = len(changes) // 2
    changes[at:at] = [(changes[at][0] - 1, changes[at - 1][1] ^ Line.DATA.mask)]
    stream = stream_of(changes, changes[-1][0] + 2, range(1, len(changes), 97), Fraction(1, 3))
    merged = {(2 * tick + 3) // 6: levels for tick, levels in changes}
    found, regular = in_bulk(stream, ACKED)
    assert found == one_by_one(list(merged.items()), max(merged), ACKED)
    assert regular


def test_the_end_comes_last_and_tells_the_length() -> None:
    waveform = session()
    stream = stream_of(waveform.changes, waveform.now_ns)
    found = list(observe_stream(stream, {line: line.bit for line in LINES}, PUBLIC))
    assert found[-1] == End(waveform.now_ns)
    assert not any(isinstance(one, End) for one in found[:-1])
