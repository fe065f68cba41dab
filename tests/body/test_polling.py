"""What a user sees of the polls: at each rate, through readers quick and slow, and a bridge that leaves some out."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from m43drivers.body import BodyDriver, Lens
from m43drivers.body.lens import STATUSES_HELD
from m43drivers.transport import Heartbeat, Report
from tests.body.support import Wire, driven
from tests.virtualtime import run

if TYPE_CHECKING:
    from m43drivers.body.status import LensStatus
    from m43drivers.transport import Frames

SECOND = 10**9


class Noting(Wire):
    """A transport that notes how it was told to poll."""

    reports: list[Report]

    async def start_frames(self, frames: Frames) -> None:
        self.reports.append(frames.report)
        await super().start_frames(frames)


def noting() -> Noting:
    wire = Noting()
    wire.reports = []
    return wire


@pytest.mark.parametrize("frame_hz", [30, 60, 120])
def test_a_reader_gets_every_poll_with_rising_times(frame_hz: float) -> None:
    async def main() -> None:
        async with driven(Wire(), frame_hz=frame_hz) as (driver, lens, _):
            times: list[int] = []

            async def read() -> None:
                async for status in lens.statuses():
                    assert status is lens.status
                    assert 0 <= driver.transport.now_ns() - status.t_ns < SECOND // 1000
                    times.append(status.t_ns)

            reader = asyncio.create_task(read())
            moving = [lens.focus_to(500), asyncio.sleep(0.5), lens.focus_to(0)]
            for one in moving:
                await one
            times.clear()
            await asyncio.sleep(2)
            assert abs(len(times) - 2 * frame_hz) <= 1
            gaps = {later - sooner for sooner, later in itertools.pairwise(times)}
            assert max(gaps) - min(gaps) <= 2_000_000
            assert min(gaps) > 0
            reader.cancel()
            await asyncio.wait([reader])
            assert reader.cancelled()

    run(main())


def test_the_latest_status_is_at_hand_whoever_reads() -> None:
    async def main() -> None:
        async with driven(Wire()) as (driver, lens, _):
            last_ns = 0
            for _ in range(500):
                await asyncio.sleep(0.0123)
                assert lens.status is not None
                assert last_ns <= lens.status.t_ns <= driver.transport.now_ns()
                assert driver.transport.now_ns() - lens.status.t_ns <= 1.1 * SECOND
                last_ns = lens.status.t_ns
            stream = lens.statuses()
            await asyncio.sleep(0.1)
            for _ in range(100):
                await asyncio.sleep(0.0123)
                assert lens.status is not None
                assert driver.transport.now_ns() - lens.status.t_ns <= SECOND / 60 + 3_000_000
            assert stream.dropped

    run(main())


def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    async def main() -> None:
        async with driven(Wire()) as (driver, lens, _):
            slow, quick = lens.statuses(), lens.statuses()
            before, taken = driver.counters["polls"], 0

            async def read() -> None:
                nonlocal taken
                async for _ in quick:
                    taken += 1

            reader = asyncio.create_task(read())
            await asyncio.sleep(5)
            count = driver.counters["polls"] - before
            assert 299 <= count <= 301
            assert slow.dropped == count - STATUSES_HELD
            assert quick.dropped == 0
            assert taken == count
            first = await anext(slow)
            assert lens.status is not None
            assert lens.status.t_ns - first.t_ns == pytest.approx((STATUSES_HELD - 1) / 60 * SECOND, abs=5_000_000)
            reader.cancel()
            await asyncio.wait([reader])

    run(main())


def test_as_much_is_told_as_somebody_wants_to_know() -> None:
    async def main() -> None:
        wire = noting()
        async with driven(wire) as (driver, lens, _):
            assert wire.reports == [Report.CHANGES]
            await asyncio.sleep(3)
            stream = lens.statuses()
            await asyncio.sleep(0.1)
            other = lens.statuses()
            await asyncio.sleep(0.1)
            assert wire.reports == [Report.CHANGES, Report.ALL]
            del stream
            await asyncio.sleep(0.1)
            assert len(wire.reports) == 2
            other.end()
            await asyncio.sleep(0.1)
            assert wire.reports[2:] == [Report.CHANGES]
            await lens.set_aperture(8)
            await asyncio.sleep(0.1)
            assert wire.reports[3:] == [Report.ALL, Report.CHANGES]
            await lens.focus_infinity(wait=False)
            await lens.stop_focus()
            await asyncio.sleep(1)
            assert driver.life == "ready"
            assert wire.reports[5:] == [Report.ALL, Report.CHANGES]
            before = driver.counters["polls"]
            await asyncio.sleep(10)
            assert driver.counters["polls"] - before == pytest.approx(600, abs=61)

    run(main())


@pytest.mark.parametrize("readers", [0, 1])
@pytest.mark.parametrize("frame_hz", [30, 60, 120])
def test_polls_that_the_simulator_leaves_out_change_nothing_that_is_seen(
    frame_hz: float, readers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(*, may_skip: bool) -> tuple[list[LensStatus], list[LensStatus]]:
        wire = Wire()
        wire._may_skip = may_skip
        taken: list[LensStatus] = []
        take = Lens.take

        def noted(lens: Lens, status: LensStatus) -> None:
            taken.append(status)
            take(lens, status)

        monkeypatch.setattr(Lens, "take", noted)
        try:
            async with driven(wire, frame_hz=frame_hz) as (_, lens, _seen):
                streams = [lens.statuses() for _ in range(readers)]
                await asyncio.sleep(2.3)
                wire.lens.turn_zoom(7, wire.now_ns())
                await asyncio.sleep(1.7)
                await lens.set_aperture(8)
                await asyncio.sleep(0.4)
                wire.lens.turn_focus_ring(90, wire.now_ns())
                await asyncio.sleep(2.2)
                await lens.focus_to(300)
                await asyncio.sleep(1.1)
                latest = [one for stream in streams for one in list(stream._items)]
                return taken, latest
        finally:
            monkeypatch.setattr(Lens, "take", take)

    lazy, busy = run(main(may_skip=True)), run(main(may_skip=False))
    assert lazy == busy
    assert len(lazy[0]) > 20


def test_polls_are_counted_though_they_are_not_told() -> None:
    async def main(*, may_skip: bool) -> int:
        wire = Wire()
        wire._may_skip = may_skip
        async with driven(wire) as (driver, _lens, _seen):
            await asyncio.sleep(60.5)
            await _lens.set_aperture(8)
            return driver.counters["polls"]

    lazy, busy = run(main(may_skip=True)), run(main(may_skip=False))
    assert abs(lazy - busy) <= 1
    assert busy > 3_600


def test_the_heartbeat_brings_the_counters_of_the_bridge() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, _lens, _seen):
            wire.tell(Heartbeat(wire.now_ns(), 0, {"lost_frames": 3}))
            assert driver.bridge_counters == {"lost_frames": 3}

    run(main())


def test_a_stream_of_events_begun_behind_the_end_is_empty() -> None:
    async def main() -> None:
        driver = BodyDriver(Wire())
        lens = await driver.open()
        await driver.close()
        assert [event async for event in driver.events()] == []
        assert [status async for status in lens.statuses()] == []

    run(main())
