"""What the tests of analysers share."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.analyser import Notice
from m43drivers.analyser.model import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from m43drivers.capture.stream import Block


def block_of(item: Block | Piece | None) -> Block | None:
    return item.block if isinstance(item, Piece) else item


def expanded(items: Iterable[Any]) -> tuple[list[int], list[Notice]]:
    """Return the level of every tick, -1 where no block speaks of it, and the notices; check the rules of the seam."""
    ticks: list[int] = []
    notices = []
    level = -1
    for item in items:
        if isinstance(item, Notice):
            notices.append(item)
            ticks += [-1] * ((item.until or len(ticks)) - len(ticks))
            continue
        block = block_of(item)
        if block is None:
            continue
        rows = list(zip(block.ticks.tolist(), block.states.tolist(), strict=True))
        assert all(one < other for (one, _), (other, _) in itertools.pairwise(rows))
        for tick, state in [*rows, (block.end + 1, None)]:
            ticks += [level] * (tick - len(ticks))
            assert len(ticks) == tick
            level = level if state is None else state
    return ticks, notices


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """Cut bytes at places, which may be anywhere."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def runs_of_list(samples: Sequence[int]) -> list[tuple[int, int]]:
    """Return samples as runs: state and count."""
    runs: list[tuple[int, int]] = []
    for sample in samples:
        if runs and runs[-1][0] == sample:
            runs[-1] = (sample, runs[-1][1] + 1)
        else:
            runs.append((sample, 1))
    return runs


def packed(samples: Sequence[int], unit: int) -> bytes:
    array: NDArray[Any] = np.array(samples, "<u8")
    return bytes(np.ascontiguousarray(array.view(np.uint8).reshape(-1, 8)[:, :unit]).tobytes())
