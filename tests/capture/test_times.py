"""Times are exact: nearest nanosecond, no float, no overflow."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m43drivers.capture import CaptureError
from m43drivers.capture.times import channel_of, last_sample_ns, nearest, period_ns, ticks_to_ns

RATES = st.one_of(
    st.integers(1, 20 * 10**9).map(Fraction),
    st.fractions(Fraction(1, 10), Fraction(10**10), max_denominator=10**6),
)


@given(st.lists(st.integers(0, 10**8), max_size=20), RATES)
def test_every_sample_gets_the_nearest_nanosecond(samples: list[int], rate: Fraction) -> None:
    times = ticks_to_ns(np.array(samples, np.int64), period_ns(rate))
    assert times.dtype == np.int64
    assert times.tolist() == [nearest(Fraction(sample * 10**9) / rate) for sample in samples]


@pytest.mark.parametrize("rate", [Fraction(24_000_000), Fraction(10**9), Fraction(6_000_000), Fraction(9_999_999_967)])
def test_ten_giga_samples_do_not_overflow(rate: Fraction) -> None:
    last = 10**10
    assert ticks_to_ns(np.array([last]), period_ns(rate)).tolist() == [nearest(Fraction(last * 10**9) / rate)]


def test_femtosecond_ticks_do_not_overflow() -> None:
    ticks = np.array([2**62, 2**63 - 1], np.int64)
    assert ticks_to_ns(ticks, Fraction(1, 10**6)).tolist() == [nearest(Fraction(int(t), 10**6)) for t in ticks]


def test_rates_with_huge_fractions_stay_exact() -> None:
    rate = Fraction("333333.3333333333")
    assert ticks_to_ns(np.array([0, 1, 10**9]), period_ns(rate)).tolist() == [0, 3000, 3000000000000]


def test_halves_round_up() -> None:
    assert ticks_to_ns(np.array([0, 1, 2, 3]), Fraction(1, 2)).tolist() == [0, 1, 1, 2]


def test_end_is_the_time_of_the_last_sample() -> None:
    assert last_sample_ns("x", 24_000_001, period_ns(Fraction(24_000_000))) == 10**9


@pytest.mark.parametrize(("samples", "rate", "reason"), [(0, 1, "no samples"), (10**10, Fraction(1, 10), "292 years")])
def test_impossible_lengths_are_refused(samples: int, rate: Fraction, reason: str) -> None:
    with pytest.raises(CaptureError, match=reason):
        last_sample_ns("x", samples, period_ns(Fraction(rate)))


@pytest.mark.parametrize(
    ("toggles", "initial", "edges"),
    [
        ([], 0, []),
        ([5, 5], 0, []),
        ([5, 5, 5], 0, [5]),
        ([1, 2, 2, 3], 1, [1, 3]),
        ([0, 4], 0, [4]),
        ([0, 0, 4], 0, [4]),
    ],
)
def test_toggles_on_one_nanosecond_cancel_in_pairs(toggles: list[int], initial: int, edges: list[int]) -> None:
    one = channel_of("CLK", initial, np.array(toggles, np.int64))
    assert one.edges_ns.tolist() == edges
    assert one.initial == initial ^ (toggles.count(0) % 2)
