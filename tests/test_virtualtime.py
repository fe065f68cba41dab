"""The event loop that other tests trust."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.virtualtime import DeadlockError, run


def test_a_day_takes_no_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(24):
            await asyncio.sleep(3600)
        return loop.time() - began

    began = time.perf_counter()
    assert run(main()) == pytest.approx(86_400, abs=1e-6)
    assert time.perf_counter() - began < 5


def test_limits_end_when_they_should() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await asyncio.sleep(1)
        return loop.time() - began

    assert run(main()) == pytest.approx(0.25, abs=1e-6)


async def race() -> str:
    order: list[str] = []

    async def runner(name: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            order.append(name)

    async with asyncio.TaskGroup() as group:
        for name in "abcd":
            group.create_task(runner(name))
    return "".join(order)


def test_a_seed_decides_the_order() -> None:
    assert run(race()) == "abcd" * 3
    orders = [run(race(), seed=seed) for seed in range(20)]
    assert orders == [run(race(), seed=seed) for seed in range(20)]
    assert len(set(orders)) > 10


def test_callbacks_keep_their_order_under_every_seed() -> None:
    async def main() -> str:
        order: list[str] = []
        for name in "abcdef":
            asyncio.get_running_loop().call_soon(order.append, name)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "".join(order)

    assert {run(main(), seed=seed) for seed in range(20)} == {"abcdef"}


def test_a_deadlock_is_told() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run(main())


def test_a_task_left_running_is_told() -> None:
    async def main() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(10))

    with pytest.raises(AssertionError, match="left running"):
        run(main())


def test_an_exception_without_taker_is_told() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        asyncio.get_running_loop().call_soon(broken)
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(main())
