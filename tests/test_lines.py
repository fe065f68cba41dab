"""Channels to lines: by name, by request, and found out from the traffic."""

from __future__ import annotations

import random

import numpy as np
import pytest

from m43drivers.capture import Capture, CaptureError, Channel, Provenance
from m43drivers.lines import channel_named, lines_by_name, lines_by_request
from m43drivers.observe import observe
from m43drivers.pinfinder import find_lines
from m43proto.events import ByteSeen
from m43proto.messages import PUBLIC
from m43proto.pins import LINES, Line
from tests.observing import observed, of
from tests.recordings import BAD_POLL, POLL, session
from tests.waveform import Waveform


def capture_of(*names: str, waveform: Waveform | None = None) -> Capture:
    if waveform is None:
        channels = tuple(Channel(name, 0, np.empty(0, np.int64), (f"D{at}", str(at))) for at, name in enumerate(names))
        return Capture(channels, 0, None, Provenance("some.sr", "test"))
    order = [LINES.index(Line(name)) for name in names] if names else range(len(LINES))
    drawn = waveform.channels()
    channels = tuple(Channel(f"D{at}", drawn[index].initial, drawn[index].edges_ns) for at, index in enumerate(order))
    return Capture(channels, waveform.now_ns, None, Provenance("some.sr", "test"))


def test_channels_map_by_their_names_in_any_case() -> None:
    mapping = lines_by_name(capture_of("SLEEP", "clk", "Data", "spare"))
    assert {line: channel.name for line, channel in mapping.items()} == {
        Line.SLEEP: "SLEEP",
        Line.CLK: "clk",
        Line.DATA: "Data",
    }


def test_a_request_wins_and_names_fill_the_rest() -> None:
    capture = capture_of("a", "b", "BODY_ACK", "CLK")
    mapping = lines_by_request(capture, {"clk": "D0", "DATA": "1"})
    assert {line: channel.name for line, channel in mapping.items()} == {
        Line.CLK: "a",
        Line.DATA: "b",
        Line.BODY_ACK: "BODY_ACK",
    }


def test_a_channel_that_was_taken_does_not_map_by_its_name() -> None:
    mapping = lines_by_request(capture_of("CLK", "DATA", "x"), {"BODY_ACK": "CLK", "CLK": "x"})
    assert {line: channel.name for line, channel in mapping.items()} == {
        Line.BODY_ACK: "CLK",
        Line.CLK: "x",
        Line.DATA: "DATA",
    }


def test_own_names_win_over_aliases() -> None:
    capture = capture_of("D1", "other")
    assert channel_named(capture, "D1").name == "D1"
    assert channel_named(capture, "1").name == "other"


@pytest.mark.parametrize(
    ("names", "request_", "text"),
    [
        (["a", "b"], {"CLK": "D0"}, "no channel for DATA among a, b; give --pins"),
        (["a", "b"], {"CLOCK": "D0"}, "no line is called CLOCK; lines: CLK, DATA"),
        (["a", "b"], {"CLK": "D7"}, "no channel is called D7; channels: a, b"),
        (["a", "b"], {"CLK": "a", "DATA": "D0"}, "D0 is given to both CLK and DATA"),
        (["a", "A"], {"CLK": "a"}, "2 channels are called a"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(names: list[str], request_: dict[str, str], text: str) -> None:
    with pytest.raises(CaptureError, match=text) as refused:
        lines_by_request(capture_of(*names), request_)
    assert str(refused.value).startswith("some.sr: ")


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["D0", "D1"], "no channel for CLK, DATA among D0, D1; give --pins .* or --pins auto"),
        (["CLK", "clk", "DATA"], "two channels are called clk"),
        ([], "among none"),
    ],
)
def test_names_that_do_not_map_say_what_to_do(names: list[str], text: str) -> None:
    with pytest.raises(CaptureError, match=text):
        lines_by_name(capture_of(*names))


@pytest.mark.parametrize("seed", range(8))
def test_lines_are_found_in_any_order(seed: int) -> None:
    names = [str(line) for line in LINES]
    random.Random(seed).shuffle(names)
    finding = find_lines(capture_of(*names, waveform=session(seed=seed)))
    assert {line: names[int(channel.name[1:])] for line, channel in finding.mapping.items()} == {
        line: line for line in LINES
    }
    assert finding.sure
    assert finding.wrong == 0
    assert str(finding).endswith("SLEEP, FOCUS, SHUTTER: likely, by pattern")
    assert ": sure, " in str(finding)


@pytest.mark.parametrize(
    ("names", "found", "missing"),
    [
        (("DATA", "CLK"), ("CLK", "DATA"), "BODY_ACK, LENS_ACK: not found"),
        (("CLK", "LENS_ACK", "DATA"), ("CLK", "DATA"), "BODY_ACK, LENS_ACK: not found"),
        (("BODY_ACK", "DATA", "CLK"), ("CLK", "DATA", "BODY_ACK"), "LENS_ACK: not found"),
        (("BODY_ACK", "FOCUS", "DATA", "CLK"), ("CLK", "DATA", "BODY_ACK", "FOCUS"), "LENS_ACK: not found"),
        (("BODY_ACK", "SLEEP", "DATA", "CLK"), ("CLK", "DATA", "BODY_ACK", "SLEEP"), "LENS_ACK: not found"),
    ],
)
def test_lines_are_found_without_ack_lines(names: tuple[str, ...], found: tuple[str, ...], missing: str) -> None:
    finding = find_lines(capture_of(*names, waveform=session()))
    assert {str(line): names[int(channel.name[1:])] for line, channel in finding.mapping.items()} == {
        line: line for line in found
    }
    assert str(finding).endswith(missing)


def test_a_wrong_sum_does_not_mislead() -> None:
    finding = find_lines(capture_of(waveform=session(BAD_POLL, POLL, POLL)))
    assert (finding.sure, finding.wrong) == (True, 1)
    assert Line.LENS_ACK in finding.mapping


def test_little_traffic_is_not_sure() -> None:
    waveform = Waveform(random.Random(1))
    waveform.transaction(POLL)
    finding = find_lines(capture_of(waveform=waveform))
    assert not finding.sure
    assert "NOT sure, 2 of 2 sums right" in str(finding)


@pytest.mark.parametrize("seed", range(3))
def test_foreign_traffic_is_refused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels = tuple(Channel(f"D{at}", 0, np.cumsum(rng.integers(100, 100_000, 500))) for at in range(4))
    with pytest.raises(CaptureError, match="no two of its 4 active channels carry traffic of the mount"):
        find_lines(Capture(channels, 10**9, None, Provenance("noise.sr", "test")))


def test_silence_is_refused() -> None:
    with pytest.raises(CaptureError, match="no two of its 0 active channels"):
        find_lines(capture_of("a", "b"))


def test_observing_a_capture_equals_the_engine_and_tells_its_progress() -> None:
    waveform = session()
    capture = capture_of(waveform=waveform)
    fractions: list[float] = []
    mapping = dict(zip(LINES, capture.channels, strict=True))
    events = list(observe(capture, mapping, PUBLIC, progress=fractions.append))
    assert events == observed(waveform.changes, end_ns=waveform.now_ns)
    assert len(of(ByteSeen, events)) == len(waveform.sent)
    assert fractions[-1] == 1.0
