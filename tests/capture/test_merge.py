"""Merging gives the state of all lines at every change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from m43drivers.capture import Channel, merged_changes
from tests.capture.support import traffic
from tests.capture.writers import channel


def test_one_row_per_distinct_time() -> None:
    times, states = merged_changes([channel("a", 1, [10, 20]), channel("b", 0, [20, 30]), channel("c", 1, [])])
    assert times.tolist() == [0, 10, 20, 30]
    assert states.tolist() == [0b101, 0b100, 0b111, 0b101]
    assert times.dtype == np.dtype(np.int64)
    assert states.dtype == np.dtype(np.uint64)


def test_no_edges_leave_the_initial_row() -> None:
    times, states = merged_changes([channel("a", 1, [])])
    assert (times.tolist(), states.tolist()) == ([0], [1])


def test_no_channels_leave_an_empty_state() -> None:
    times, states = merged_changes([])
    assert (times.tolist(), states.tolist()) == ([0], [0])


def test_sixty_four_channels_fit() -> None:
    channels = [channel(str(bit), 1, [bit + 1]) for bit in range(64)]
    times, states = merged_changes(channels)
    assert times.tolist() == list(range(65))
    assert states[0] == 2**64 - 1
    assert states[-1] == 0


def test_more_channels_than_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="65 channels"):
        merged_changes([channel(str(bit), 0, []) for bit in range(65)])


@given(traffic())
def test_each_bit_follows_its_channel(drawn: tuple[list[Channel], int]) -> None:
    channels, _ = drawn
    times, states = merged_changes(channels)
    assert np.all(np.diff(times) > 0)
    for bit, one in enumerate(channels):
        levels = (states >> np.uint64(bit)) & np.uint64(1)
        assert levels[0] == one.initial
        assert times[1:][levels[1:] != levels[:-1]].tolist() == one.edges_ns.tolist()
