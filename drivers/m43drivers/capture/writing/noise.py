"""Noise on channels: what cables, inputs and an overrun analyser do to a recording, from a seed.

Nobody has measured the noise on a mount; every figure here is this project's choice (provisional). The same seed gives
the same noise on every platform: only `random.Random.random` is used, whose sequence Python guarantees, and arithmetic
that IEEE 754 fixes. Each line has a sequence of its own by its name, so one that is left out changes no other.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.times import channel_of
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from m43drivers.capture.model import Channel

__all__ = ["NOISES", "Noise", "with_noise"]


@record(frozen=True, slots=True, kw_only=True)
class Noise:
    """How much noise.

    Attributes:
        jitter_ns: how far an edge moves at most, earlier or later; edges of a line keep their order, and none is lost.
        glitches_per_s: short pulses on each line, at any time, in the middle of a byte as well as between.
        glitch_ns: shortest and longest of them.
        losses_per_s: how often the analyser loses samples, on all lines at once. What is lost is cut out of time, and
            what follows comes earlier, as an analyser that streams samples without time stamps knows no better when it
            is overrun (that they are: libsigrok pull request 145; that time is cut: inferred).
        loss_ns: shortest and longest stretch that is lost.
    """

    jitter_ns: int = 0
    glitches_per_s: float = 0.0
    glitch_ns: tuple[int, int] = (1, 1)
    losses_per_s: float = 0.0
    loss_ns: tuple[int, int] = (1, 1)


NOISES: dict[str, Noise] = {
    "none": Noise(),
    "light": Noise(jitter_ns=60),
    "medium": Noise(jitter_ns=60, glitches_per_s=10, glitch_ns=(5, 60)),
    "heavy": Noise(jitter_ns=120, glitches_per_s=200, glitch_ns=(5, 250), losses_per_s=5, loss_ns=(20_000, 2_000_000)),
}
"""Noises by name.

``light`` is jitter alone, and every byte can be decoded: DATA is set up 150 ns before CLK rises even in the tightest
of the named timings (`m43proto.timing`), and two edges come nearer to each other by 120 ns at most. ``medium`` has a
few glitches. Most fall between bytes or on lines at rest; one on CLK, an ack line or SLEEP within a transaction breaks
it for a decoder that takes every pulse for real, and no promise is made. ``heavy`` breaks bytes.
"""


def with_noise(channels: Sequence[Channel], end_ns: int, noise: Noise, seed: int) -> tuple[Channel, ...]:
    """Return channels with noise on them.

    The capture keeps its length. Where samples are lost, the lines rest at its end for as long as was lost.

    Args:
        channels: lines of distinct names.
        end_ns: length of the capture in nanoseconds.
        noise: how much.
        seed: any integer; another gives other noise of the same kind.
    """
    losses = _spans(_generator(seed, "losses"), end_ns, noise.losses_per_s, noise.loss_ns)
    return tuple(_noisy(channel, end_ns, noise, losses, seed) for channel in channels)


def _noisy(channel: Channel, end_ns: int, noise: Noise, losses: NDArray[np.int64], seed: int) -> Channel:
    edges = _jittered(_generator(seed, "jitter", channel.name), channel.edges_ns, end_ns, noise.jitter_ns)
    glitches = _spans(_generator(seed, "glitches", channel.name), end_ns, noise.glitches_per_s, noise.glitch_ns)
    edges = np.sort(np.concatenate([edges, glitches.ravel()]))
    for begin, end in losses:
        edges = edges - np.clip(edges - begin, 0, end - begin)
    return channel_of(channel.name, channel.initial, edges, channel.aliases)


def _generator(seed: int, *purpose: str) -> random.Random:
    return random.Random("/".join([str(seed), *purpose]))


def _shares(rng: random.Random, count: int) -> NDArray[np.float64]:
    return np.fromiter((rng.random() for _ in range(count)), np.float64, count)


def _between(rng: random.Random, count: int, low: int, high: int) -> NDArray[np.int64]:
    """Draw integers, both ends included."""
    return (low + np.floor(_shares(rng, count) * (high - low + 1))).astype(np.int64)


def _spans(rng: random.Random, end_ns: int, per_s: float, width_ns: tuple[int, int]) -> NDArray[np.int64]:
    """Draw stretches of time within the capture, in any order: an array of rows of begin and end."""
    count = int(per_s * end_ns / 1e9 + rng.random())
    begins = _between(rng, count, 1, end_ns)
    return np.stack([begins, np.minimum(begins + _between(rng, count, *width_ns), end_ns)], axis=1)


def _jittered(rng: random.Random, edges: NDArray[np.int64], end_ns: int, jitter_ns: int) -> NDArray[np.int64]:
    """Move edges, each by less than half of the way to its neighbours, and never to 0 or behind the end."""
    if not (edges.size and jitter_ns):
        return edges
    room = (np.diff(edges) - 1) // 2
    earliest = np.append(edges[0] - 1, room)
    latest = np.append(room, max(end_ns - int(edges[-1]), 0))
    moves = _between(rng, edges.size, -jitter_ns, jitter_ns)
    return edges + np.clip(moves, -earliest, latest)
