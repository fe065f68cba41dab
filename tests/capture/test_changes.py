"""Changes in packed samples, against looking at every sample."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m43drivers.capture import packed
from m43drivers.capture.packed import changes_in


def every_sample(samples: list[int], mask: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for at, sample in enumerate(samples):
        if not found or sample & mask != found[-1][1]:
            found.append((at, sample & mask))
    return found


def runs(rng: random.Random, lines: int) -> list[int]:
    """Return samples that rest for long and move for short, some across the strips that are compared at once."""
    samples: list[int] = []
    for _ in range(rng.randrange(1, 12)):
        state = rng.getrandbits(lines)
        samples += [state] * rng.choice([1, 2, 7, 63, 64, 65, 200, 500])
        if rng.random() < 0.3:
            samples += [rng.getrandbits(lines) for _ in range(rng.randrange(90))]
    return samples


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_changes(seed: int) -> None:
    rng = random.Random(seed)
    unit = rng.randrange(1, 9)
    samples = runs(rng, 8 * unit)
    data = b"".join(sample.to_bytes(unit, "little") for sample in samples)
    mask = rng.choice([(1 << 8 * unit) - 1, rng.getrandbits(8 * unit), 1])
    cuts = sorted(rng.sample(range(len(data) + 1), min(len(data), rng.choice([0, 1, 4, 20]))))
    pieces = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "STRIP", 64)
        patch.setattr(packed, "ROWS_OF_A_BLOCK", rng.choice([1, 20, 1 << 16]))
        blocks = list(changes_in(iter(pieces), unit, mask))
    ticks = np.concatenate([block.ticks for block in blocks]).tolist()
    states = np.concatenate([block.states for block in blocks]).tolist()
    assert list(zip(ticks, states, strict=True)) == every_sample(samples, mask)
    assert blocks[-1].end == len(samples) - 1
    for block in blocks:
        assert not len(block.ticks) or int(block.ticks[-1]) <= block.end


def test_an_empty_piece_gives_what_there_is() -> None:
    found = changes_in(iter([b"\0\0\1", b"", b"\1\0"]), 1, 0xFF)
    first = next(found)
    assert (first.ticks.tolist(), first.states.tolist(), first.end) == ([0, 2], [0, 1], 2)
    assert [block.ticks.tolist() for block in found] == [[4]]
