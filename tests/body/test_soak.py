"""Ten minutes of the soak; ``python -m tests.benchmarks.soak`` runs a day."""

from __future__ import annotations

import pytest

from tests.benchmarks.soak import DRIVE_EVERY_S, FRAME_HZ, soak
from tests.virtualtime import run


def test_ten_minutes() -> None:
    soaked = run(soak(1 / 6))
    assert soaked.polls == pytest.approx(600 * FRAME_HZ, rel=0.06)
    assert soaked.drives == pytest.approx(600 / DRIVE_EVERY_S, abs=1)
    assert soaked.counters == {"polls": soaked.polls}
