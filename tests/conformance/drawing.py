"""Draws some of many for each run of the suite, and tells how to draw them again."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def drawn(names: Iterable[str], count: int) -> list[str]:
    """Return so many of the names; the environment variable ``M43_SEED``, which is printed, draws the same ones."""
    seed = int(os.environ.get("M43_SEED", random.SystemRandom().randrange(2**32)))
    print(f"M43_SEED={seed}")
    return random.Random(seed).sample(sorted(names), count)
