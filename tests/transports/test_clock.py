"""The bridge's clock on the host's: the quickest exchange tells, and times never go back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from m43drivers.bridge.clock import DRIFT, BridgeClock

S = 1_000_000_000

_WAYS = st.integers(0, 10**7)


def exchange(clock: BridgeClock, sent_ns: int, there_ns: int, back_ns: int, offset_ns: int = 5 * S) -> None:
    """Let a clock learn from an exchange that took so long there and back, with a bridge behind by the offset."""
    at_us = (sent_ns + there_ns - offset_ns) // 1000
    clock.learn(sent_ns, at_us, at_us, sent_ns + there_ns + back_ns)


def test_the_quickest_exchange_tells() -> None:
    clock = BridgeClock()
    assert not clock.known
    exchange(clock, 10 * S, 40_000, 40_000)
    assert clock.known
    assert clock.raw_ns(6 * S // 1000) == 11 * S
    exchange(clock, 11 * S - 1000, 2_000, 9_000_000)
    assert clock.raw_ns(6 * S // 1000) == 11 * S
    exchange(clock, 11 * S, 10_000, 10_000, offset_ns=5 * S + 20_000)
    assert clock.raw_ns(6 * S // 1000) == 11 * S + 20_000


def test_a_slower_one_takes_over_when_the_clocks_may_have_run_apart() -> None:
    clock = BridgeClock()
    exchange(clock, 10 * S, 10_000, 10_000)
    slower_by_ns = 80_000
    wait_ns = round(slower_by_ns / DRIFT)
    exchange(clock, 10 * S + wait_ns // 2, 50_000, 50_000, offset_ns=6 * S)
    assert clock.raw_ns(0) == 5 * S
    exchange(clock, 10 * S + 2 * wait_ns, 50_000, 50_000, offset_ns=6 * S)
    assert clock.raw_ns(0) == 6 * S


def test_an_exchange_that_took_less_than_no_time_tells_nothing() -> None:
    clock = BridgeClock()
    clock.learn(0, 0, 1_000, 999_999)
    assert not clock.known


def test_times_stay_when_the_offset_goes_back() -> None:
    clock = BridgeClock()
    exchange(clock, 10 * S, 40_000, 40_000)
    first_ns = clock.host_ns(6 * S // 1000, 20 * S)
    exchange(clock, 11 * S, 10_000, 10_000, offset_ns=5 * S - 30_000)
    assert clock.host_ns(6 * S // 1000 + 5, 20 * S) == first_ns
    assert clock.host_ns(6 * S // 1000 + 40, 20 * S) == first_ns + 10_000
    assert clock.host_ns(7 * S // 1000, first_ns + 15_000) == first_ns + 15_000


@given(
    steps=st.lists(
        st.tuples(st.integers(1, S), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(-(10**6), 10**6))
    )
)
def test_times_never_go_back_and_are_never_later_than_now(steps: list[tuple[int, int, int, int]]) -> None:
    clock = BridgeClock()
    now_ns = last_ns = 100 * S
    exchange(clock, now_ns, 0, 0)
    for wait_ns, there_ns, back_ns, wander_ns in steps:
        now_ns += wait_ns
        told_ns = clock.host_ns((now_ns - 5 * S) // 1000, now_ns)
        assert last_ns <= told_ns <= now_ns
        last_ns = told_ns
        exchange(clock, now_ns, there_ns, back_ns, offset_ns=5 * S + wander_ns)
        now_ns += there_ns + back_ns
