"""Exact times: from sample numbers and ticks to integer nanoseconds, and edges that fall on the same one.

A product such as ``sample * 10**9`` leaves int64 after 9.2 G samples, and a float has no nanosecond left after 104
days at any rate; so all arithmetic here is on integers, split into whole periods and a rest.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.model import CaptureError, Channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["INT64_MAX", "channel_of", "last_sample_ns", "nearest", "period_ns", "ticks_to_ns"]

INT64_MAX = 2**63 - 1


def period_ns(rate_hz: Fraction) -> Fraction:
    """Give the exact time between two samples, in nanoseconds."""
    return Fraction(10**9) / rate_hz


def nearest(value: Fraction) -> int:
    """Round to the nearest integer, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def ticks_to_ns(ticks: NDArray[np.int64], tick_ns: Fraction) -> NDArray[np.int64]:
    """Convert tick or sample numbers to the nearest nanosecond, halves up, exactly.

    Args:
        ticks: numbers from 0, any length.
        tick_ns: length of a tick in nanoseconds; the last tick times this must fit 63 bits.
    """
    step, parts = tick_ns.numerator, tick_ns.denominator
    if 2 * step * parts + parts > INT64_MAX:
        return np.array([nearest(tick * tick_ns) for tick in ticks.tolist()], dtype=np.int64)
    whole, rest = np.divmod(ticks, np.int64(parts))
    return np.asarray(whole * step + (2 * rest * step + parts) // (2 * parts), dtype=np.int64)


def last_sample_ns(path: object, samples: int, tick_ns: Fraction) -> int:
    """Give the time of the last of ``samples`` samples in nanoseconds.

    Raises:
        CaptureError: there is no sample, or the capture lasts longer than 63 bits of nanoseconds (292 years).
    """
    if samples == 0:
        raise CaptureError(path, "holds no samples; record the capture again")
    end_ns = nearest((samples - 1) * tick_ns)
    if end_ns > INT64_MAX:
        raise CaptureError(path, f"lasts longer than 292 years at {float(10**9 / tick_ns):g} Hz; check the sample rate")
    return end_ns


def channel_of(name: str, initial: int, edges_ns: NDArray[np.int64], aliases: tuple[str, ...] = ()) -> Channel:
    """Make a channel of toggle times that may repeat: toggles on one nanosecond cancel in pairs.

    Args:
        name: name of the channel.
        initial: level before the first toggle.
        edges_ns: toggle times from 0, not decreasing; one at 0 becomes part of the initial level.
        aliases: other names.
    """
    edges = _odd_times(edges_ns)
    if edges.size and edges[0] == 0:
        initial, edges = initial ^ 1, edges[1:]
    return Channel(name, initial, edges, aliases)


def _odd_times(times: NDArray[np.int64]) -> NDArray[np.int64]:
    if not np.any(times[1:] == times[:-1]):
        return times
    distinct, counts = np.unique(times, return_counts=True)
    return np.asarray(distinct[counts % 2 == 1], dtype=np.int64)
