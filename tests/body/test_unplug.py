"""A lens that is taken away in the middle of any byte of the start-up and of the polls and drives behind it."""

from __future__ import annotations

import asyncio
import os
import random
from typing import TYPE_CHECKING

import pytest

from m43drivers.body import LensStatus, Life
from m43drivers.body.errors import LensGoneError, LensPassiveError
from tests.body.schedules import WatchedSim, Witness
from tests.body.support import OLYMPUS, driven, until
from tests.virtualtime import run

if TYPE_CHECKING:
    from m43drivers.body.status import BoundedStream

START_UP_BYTES = 150
"""More than a start-up has: 148 with the drive behind it."""

LAST_BYTE = 340
"""Some polls and a drive later."""


async def read(stream: BoundedStream[LensStatus], witness: Witness) -> None:
    async for status in stream:
        witness.accept(status)


async def unplugged(byte: int) -> str:
    """Take the lens away in this byte; return when that was."""
    witness = Witness()
    wire = WatchedSim(f"{OLYMPUS}?pins=1&fault=yanked@{byte}", witness)
    async with driven(wire) as (driver, lens, seen):
        when = "start-up"
        if driver.life is Life.READY:
            when = "behind it"
            assert lens.identity is not None
            assert lens.identity.block in witness.identities
            stream = lens.statuses()
            calls = [asyncio.create_task(call) for call in (lens.set_aperture(8), lens.status_now())]
            await until(driver, Life.PASSIVE)
            for ended in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(ended, (LensStatus, LensGoneError)), ended
            with pytest.raises(LensGoneError):
                await read(stream, witness)
            with pytest.raises(LensGoneError):
                await lens.status_now()
            assert [gone.lens for gone in seen.detached] == [lens]
        assert driver.life == "passive"
        assert driver.lens is not None
        with pytest.raises(LensPassiveError):
            await driver.lens.set_aperture(8)
        await wire.heal()
        assert await until(driver, Life.READY) < 3
        assert driver.lens.identity is not None
        assert (await driver.lens.status_now()).focus_position == 12
        assert not witness.wrong
    return when


def test_a_lens_taken_away_in_any_byte() -> None:
    """Each run takes every third byte."""
    seed = int(os.environ.get("M43_SEED", random.SystemRandom().randrange(2**32)))
    print(f"M43_SEED={seed}")
    when = {byte: run(unplugged(byte)) for byte in range(1 + seed % 3, LAST_BYTE, 3)}
    assert set(when.values()) == {"start-up", "behind it"}
    last_of_start_up = max(byte for byte, part in when.items() if part == "start-up")
    assert all(part == "start-up" for byte, part in when.items() if byte <= last_of_start_up)
    assert 80 < last_of_start_up < START_UP_BYTES
