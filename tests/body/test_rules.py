"""The driver's rules: callers may be cancelled at any point, and what waits, waits in order."""

from __future__ import annotations

import asyncio
import inspect
import os
import random
from typing import TYPE_CHECKING

import pytest

from m43drivers.body import LensStatus, Life, open_lens
from m43drivers.body.errors import DriveSupersededError, LensAsleepError, LensError, LensGoneError
from tests.body.support import OLYMPUS, Wire, driven, until
from tests.virtualtime import VirtualLoop, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from m43drivers.body import BodyDriver, Lens
    from m43drivers.transport import Outcome
    from m43proto.exchange import Transfer


class Uncut(Wire):
    """A transport that notes when one of its calls is cancelled, and whether two overlap."""

    cut = 0
    busy = 0

    async def transact(self, transfers: Sequence[Transfer]) -> Outcome:
        assert not self.busy
        self.busy += 1
        try:
            return await super().transact(transfers)
        except asyncio.CancelledError:
            self.cut += 1
            raise
        finally:
            self.busy -= 1


async def first_status(lens: Lens) -> LensStatus:
    return await anext(lens.statuses())


CALLS: dict[str, Callable[[Lens], Awaitable[object]]] = {
    "aperture": lambda lens: lens.set_aperture(8),
    "wide open": lambda lens: lens.set_aperture(wide_open=True),
    "focus": lambda lens: lens.focus_to(200),
    "no wait": lambda lens: lens.focus_to(200, wait=False),
    "focus by": lambda lens: lens.focus_by(30),
    "distance": lambda lens: lens.focus_to(distance_m=0.4),
    "near": lambda lens: lens.focus_near(),
    "infinity": lambda lens: lens.focus_infinity(),
    "stop": lambda lens: lens.stop_focus(),
    "ring": lambda lens: lens.set_ring_direction("reverse"),
    "status": lambda lens: lens.status_now(),
    "raw": lambda lens: lens.raw(bytes.fromhex("c1f90000"), unsafe=True),
    "read": first_status,
    "sleep": lambda lens: lens.sleep(),
    "wake": lambda lens: lens.wake(),
}


def test_every_call_of_a_lens_is_among_those_that_are_cancelled() -> None:
    from m43drivers.body import Lens

    public = {name for name, call in vars(Lens).items() if inspect.iscoroutinefunction(call) and name[0] != "_"}
    tried = {name for call in CALLS.values() for name in getattr(call, "__code__").co_names}  # noqa: B009
    assert public - {"stabilise"} <= tried


async def cancelled_after(steps: int | None, name: str, address: str = OLYMPUS) -> int:
    """Cancel a call when the loop has gone round so often; return how often it went round in all."""
    wire = Uncut(address)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with driven(wire) as (driver, lens, _):
        if name == "wake":
            await lens.sleep()
        begun = loop.steps
        call = asyncio.ensure_future(CALLS[name](lens))
        asked: list[bool] = []
        if steps is not None:
            loop.call_in_steps(steps, lambda: asked.append(call.cancel()))
        await asyncio.wait([call])
        taken = loop.steps - begun
        assert call.cancelled() == (asked == [True])
        await next_exchange_is_right(driver, wire)
        assert wire.cut == 0
    return taken


async def next_exchange_is_right(driver: BodyDriver, wire: Wire) -> None:
    if driver.life is Life.ASLEEP:
        await driver.wake()
    await until(driver, Life.READY, Life.DRIVING, Life.ASLEEP)
    lens = await driver.wake()
    status = await lens.status_now()
    start_ns = status.t_ns - 2_000_000
    assert status.focus_position is not None
    lowest, highest = sorted(wire.lens.focus.position(at) for at in (start_ns - 1_000_000, status.t_ns))
    assert lowest - 1 <= status.focus_position <= highest + 1
    ended = await lens.focus_to(77)
    assert ended is not None
    assert abs((ended.focus_position or 0) - 77) <= 3
    await asyncio.sleep(1)
    assert not driver._drives


@pytest.mark.parametrize("name", CALLS)
def test_cancelling_a_call_at_any_point_cuts_nothing(name: str) -> None:
    whole = run(cancelled_after(None, name))
    assert whole >= 3
    for steps in range(whole + 2):
        run(cancelled_after(steps, name))


def test_cancelling_with_everything_shuffled() -> None:
    seed = int(os.environ.get("M43_SEED", random.SystemRandom().randrange(2**32)))
    print(f"M43_SEED={seed}")
    rng = random.Random(seed)
    for _ in range(100):
        name, steps = rng.choice(list(CALLS)), rng.randrange(60)
        order = rng.randrange(2**32)
        print(name, steps, order)
        run(cancelled_after(steps, name), seed=order)


def test_the_task_that_calls_ends_as_cancelled() -> None:
    async def phone(wire: Wire) -> None:
        async with open_lens(wire) as lens:
            await lens.focus_infinity()
            async for _ in lens.statuses():
                pass

    async def main(delay_s: float) -> None:
        wire = Wire()
        task = asyncio.create_task(phone(wire))
        await asyncio.sleep(delay_s)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert wire.closed == "closed"
        assert wire.power_changes[-1] is False

    for delay_ms in (1, 30, 100, 520, 560, 600, 700, 2_000):
        run(main(delay_ms / 1000))


def test_a_time_limit_of_the_caller_is_obeyed() -> None:
    async def main() -> None:
        async with driven(Wire()) as (_, lens, _seen):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await lens.focus_infinity()
            assert await lens.focus_to(0)

    run(main())


def test_sleep_overtakes_what_waits() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, _):
            calls = [asyncio.create_task(lens.set_aperture(8)) for _ in range(5)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asleep = asyncio.create_task(lens.sleep())
            wire.commands.clear()
            await asleep
            assert len(wire.commands) <= 1
            assert driver.life is Life.ASLEEP
            for ended in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(ended, (LensAsleepError, DriveSupersededError))

    run(main())


def test_a_command_that_waits_while_the_lens_is_changed_never_reaches_the_next_lens() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, _):
            await asyncio.sleep(1)
            waking = asyncio.create_task(driver.sleep())
            wire.change_lens("panasonic-20")
            calls = [asyncio.create_task(call) for call in (lens.set_aperture(8), lens.focus_to(300))]
            wake = asyncio.create_task(driver.wake())
            new = await wake
            assert new is not lens
            await waking
            for ended in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(ended, LensError)
            with pytest.raises(LensGoneError):
                await lens.focus_to(300)
            assert wire.lens.focus.target == 0
            assert wire.lens.iris.target == wire.lens.iris.low

    run(main())


def test_drives_that_come_at_once_are_done_one_after_the_other() -> None:
    async def main() -> None:
        wire = Uncut()
        async with driven(wire) as (_, lens, _seen):
            wire.commands.clear()
            results = await asyncio.gather(
                *(lens.focus_to(position) for position in (100, 200, 300)),
                lens.set_aperture(8),
                *(lens.status_now() for _ in range(3)),
                return_exceptions=True,
            )
            assert [type(result) for result in results[:2]] == [DriveSupersededError] * 2
            assert all(isinstance(result, LensStatus) for result in results[2:])
            assert len(wire.commands) == 7

    run(main())
