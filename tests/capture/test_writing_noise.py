"""Noise: the same on every platform, never more than asked for, and light noise leaves every byte readable."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from m43drivers.capture import Channel, merged_changes
from m43drivers.capture.writing import EXACT_HZ, NOISES, Noise, with_noise, write_capture
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.capture.sessions import decoded, pins, said, simulated
from tests.capture.support import edges, plain, traffic
from tests.capture.writers import channel
from tests.observing import observed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Traffic = tuple[list[Channel], int]

SECOND = 10**9
SQUARE = channel("CLK", 1, range(1_000, SECOND, 1_000_000))
FLAT = channel("DATA", 0, [])
JITTER = Noise(jitter_ns=100)
GLITCHES = Noise(glitches_per_s=1_000, glitch_ns=(5, 20))
LOSSES = Noise(losses_per_s=10, loss_ns=(1_000, 50_000_000))
MEETING = [("bell_body", "bell_lens"), ("bell_body", "fast"), ("fast", "bell_lens"), ("fast", "fast"), ("slow", "slow")]

seeds = st.integers(-(2**63), 2**63)


def events_of(channels: Sequence[Channel], end_ns: int) -> list[object]:
    """Return what is said on channels of all lines."""
    times, states = merged_changes(channels)
    return said(observed(zip(times.tolist(), states.tolist(), strict=True), end_ns=end_ns))


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@given(drawn=traffic(), seed=seeds)
def test_noise_gives_channels_of_the_same_names_within_the_capture(noise: Noise, drawn: Traffic, seed: int) -> None:
    channels, end_ns = drawn
    much = dataclasses.replace(noise, glitches_per_s=noise.glitches_per_s * 1_000, losses_per_s=100_000)
    noisy = with_noise(channels, end_ns, much, seed)
    assert [one.name for one in noisy] == [one.name for one in channels]
    for one in noisy:
        assert one.edges_ns.dtype == np.dtype(np.int64)
        assert all(0 < before < after for before, after in zip(one.edges_ns, one.edges_ns[1:], strict=False))
        assert not one.edges_ns.size or 0 < one.edges_ns[0] <= one.edges_ns[-1] <= end_ns
    assert plain(noisy) == plain(with_noise(channels, end_ns, much, seed))


@given(drawn=traffic(), seed=seeds)
def test_no_noise_changes_nothing(drawn: Traffic, seed: int) -> None:
    channels, end_ns = drawn
    assert plain(with_noise(channels, end_ns, NOISES["none"], seed)) == plain(channels)


def test_a_seed_gives_the_same_noise_on_every_platform() -> None:
    """These figures were computed once; whatever changes them changes captures that people compare."""
    channels = [channel("CLK", 1, range(1_000, 9_000, 1_000)), channel("DATA", 0, [500])]
    noise = Noise(
        jitter_ns=300, glitches_per_s=200_000, glitch_ns=(5, 60), losses_per_s=100_000, loss_ns=(1_000, 2_000)
    )
    assert plain(with_noise(channels, 10_000, noise, 43)) == [
        ("CLK", 1, [1287, 1930, 3101, 4239, 5588, 6228, 7013, 7066]),
        ("DATA", 0, [783, 7005, 7015, 8206, 8231]),
    ]


def test_another_seed_gives_other_noise() -> None:
    assert edges(with_noise([SQUARE], SECOND, JITTER, 1)) != edges(with_noise([SQUARE], SECOND, JITTER, 2))


def test_the_noise_of_a_line_does_not_depend_on_the_other_lines() -> None:
    both = with_noise([SQUARE, FLAT], SECOND, NOISES["heavy"], 7)
    assert plain(both[1:]) == plain(with_noise([FLAT], SECOND, NOISES["heavy"], 7))


@given(drawn=traffic(), seed=seeds)
def test_jitter_loses_no_edge_and_moves_none_too_far(drawn: Traffic, seed: int) -> None:
    channels, end_ns = drawn
    for before, after in zip(channels, with_noise(channels, end_ns, JITTER, seed), strict=True):
        assert after.edges_ns.size == before.edges_ns.size
        assert np.all(np.abs(after.edges_ns - before.edges_ns) <= 100)


def test_jitter_is_spread_over_its_whole_width() -> None:
    [noisy] = with_noise([SQUARE], SECOND, JITTER, 7)
    moves = noisy.edges_ns - SQUARE.edges_ns
    assert (moves.min(), moves.max()) == (-100, 100)
    assert abs(moves.mean()) < 10


def test_glitches_are_as_many_and_as_long_as_asked_for() -> None:
    noisy = with_noise([SQUARE, FLAT], SECOND, GLITCHES, 7)
    assert noisy[0].edges_ns.size == pytest.approx(1_000 + 2 * 1_000, abs=4)
    widths = np.diff(noisy[1].edges_ns)[::2]
    assert widths.size == pytest.approx(1_000, abs=2)
    assert (widths.min(), widths.max()) == (5, 20)


def test_lost_samples_are_cut_out_of_time_on_all_lines_at_once() -> None:
    square, late = with_noise([SQUARE, channel("DATA", 0, [SECOND - 1])], SECOND, LOSSES, 7)
    lost_ns = SECOND - 1 - int(late.edges_ns[0])
    assert 10_000 < lost_ns < 10 * 50_000_000
    gaps = np.diff(square.edges_ns)
    assert np.count_nonzero(gaps != 1_000_000) <= 11
    assert square.edges_ns.size == pytest.approx(1_000 - lost_ns / 1e6, abs=11)
    assert square.edges_ns[-1] == pytest.approx(SECOND - lost_ns, abs=1_000_000)


# what a sniffer makes of it


def test_light_jitter_is_less_than_any_set_up_time() -> None:
    bodies, lenses = BODY_TIMINGS.values(), LENS_TIMINGS.values()
    speaking = [body.write_low_ns - body.setup_ns for body in bodies]
    listening = [body.read_low_ns - lens.data_ns for body in bodies for lens in lenses]
    assert min(speaking + listening) == 150
    assert 2 * NOISES["light"].jitter_ns < 150


@pytest.mark.parametrize("timings", MEETING)
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_light_noise_leaves_everything_readable(timings: tuple[str, str], seed: int) -> None:
    note(f"{seed=}")
    session = simulated(*timings)
    noisy = with_noise(session.channels, session.end_ns, NOISES["light"], seed)
    assert plain(noisy) != plain(session.channels)
    assert events_of(noisy, session.end_ns) == said(session.events)


@pytest.mark.parametrize("suffix", [".sr", ".vcd", ".csv", ".bin"])
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=seeds)
def test_light_noise_is_readable_in_every_format(
    suffix: str, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    note(f"{seed=}")
    session = simulated()
    path = tmp_path_factory.mktemp("noise") / f"a{suffix}"
    write_capture(path, with_noise(session.channels, session.end_ns, NOISES["light"], seed), session.end_ns)
    events = decoded(path)
    assert said(events) == said(session.events)
    assert pins(events) == pins(session.events)


@pytest.mark.parametrize("seed", range(5))
def test_heavy_noise_breaks_bytes(seed: int, tmp_path: Path) -> None:
    session = simulated()
    noisy = with_noise(session.channels, session.end_ns, NOISES["heavy"], seed)
    write_capture(tmp_path / "a.vcd", noisy, session.end_ns, rate_hz=EXACT_HZ)
    assert said(decoded(tmp_path / "a.vcd")) != said(session.events)
