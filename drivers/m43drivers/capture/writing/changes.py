"""From a simulation to channels: what a recording of all lines of the mount would hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.times import channel_of
from m43proto.pins import LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from m43drivers.capture.model import Channel
    from m43proto.pins import Line

__all__ = ["channels_of"]

CHANGE = np.dtype([("t_ns", np.int64), ("levels", np.int64)])


def channels_of(
    changes: Iterable[tuple[int, int]],
    *,
    lines: Sequence[Line] = LINES,
    names: Sequence[str] | None = None,
) -> tuple[Channel, ...]:
    """Turn changes of levels into channels.

    Args:
        changes: time in nanoseconds and levels from then on, one bit per line in the order of `LINES`, as `Mount.run`
            yields them: the first is how the lines begin, times do not decrease. May be an iterator.
        lines: the lines to keep, in the order of the channels.
        names: what to call them (``["D0", "D1"]``), as many as there are lines; their own names unless given.

    Raises:
        ValueError: there are no changes, or not as many names as lines.
    """
    table = np.fromiter(changes, CHANGE)
    if not table.size:
        raise ValueError("no changes; the first tells the levels at the beginning")
    times, levels = table["t_ns"][1:], table["levels"]
    toggled, first = levels[1:] ^ levels[:-1], int(levels[0])
    return tuple(
        channel_of(str(name), int(bool(first & line.mask)), times[(toggled & line.mask) != 0])
        for line, name in zip(lines, lines if names is None else names, strict=True)
    )
