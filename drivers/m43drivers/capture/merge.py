"""All lines on one time axis: the list of bus states that decoders walk along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from m43drivers.capture.model import Channel

__all__ = ["merged_changes"]

MAX_CHANNELS = 64


def merged_changes(channels: Sequence[Channel]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Merge channels into one list of states.

    Args:
        channels: up to 64 channels; the k-th becomes bit k.

    Returns:
        times in nanoseconds (``int64``) and the state from each time on (``uint64``), both of length 1 + number of
        distinct edge times. The first row is time 0 with the initial levels; the others are strictly increasing.

    Raises:
        ValueError: there are more than 64 channels.
    """
    if len(channels) > MAX_CHANNELS:
        raise ValueError(f"{len(channels)} channels do not fit the {MAX_CHANNELS} bits of a state")
    initial = sum(channel.initial << bit for bit, channel in enumerate(channels))
    times = np.concatenate([np.zeros(1, np.int64), *(channel.edges_ns for channel in channels)])
    toggles = np.concatenate([np.array([initial], np.uint64), *_toggles(channels)])
    order = np.argsort(times, kind="stable")
    times, states = times[order], np.bitwise_xor.accumulate(toggles[order])
    last_of_its_time = np.append(times[1:] != times[:-1], True)
    return times[last_of_its_time], states[last_of_its_time]


def _toggles(channels: Sequence[Channel]) -> list[NDArray[np.uint64]]:
    return [np.full(channel.edges_ns.size, 1 << bit, np.uint64) for bit, channel in enumerate(channels)]
