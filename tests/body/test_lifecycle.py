"""How a lens comes and goes, as the driver tells it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from m43drivers.body import BodyDriver, Life, open_lens
from m43drivers.body.driver import ABORT_S, CLOSE_S
from m43drivers.body.errors import (
    LensAsleepError,
    LensError,
    LensFailedError,
    LensGoneError,
    LensPassiveError,
    LensRefusedError,
)
from m43drivers.simulator.profiles import PROFILES
from m43drivers.transport import Break, Lost, TransportError, TransportLostError, TransportTimeoutError
from m43proto.dialects import DIALECTS
from tests.body.support import OLYMPUS, Seen, Wire, driven, until
from tests.virtualtime import run

if TYPE_CHECKING:
    from m43drivers.transport import Abilities, Outcome


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_comes_up_in_both_dialects_moves_and_sleeps(profile: str, dialect: str) -> None:
    async def main() -> None:
        wire = Wire(profile)
        async with driven(wire, dialect=dialect) as (driver, lens, seen):
            assert driver.life == "ready"
            real = PROFILES[profile].lens
            assert lens.identity is not None
            assert (lens.identity.maker, lens.identity.model) == (real.maker, real.model)
            assert lens.capabilities.name == real.name
            assert wire.commands[:8] == [step.command.hex() for step in DIALECTS[dialect].steps]
            status = await lens.focus_to(100)
            assert status is not None
            assert abs((status.focus_position or 0) - 100) <= 3
            await lens.status_now()
            assert wire.commands.count(DIALECTS[dialect].poll.hex()) == 2
        assert seen.lives[:3] == ["waking", "initialising", "ready"]
        assert "driving" in seen.lives
        assert seen.lives[-2:] == ["ready", "asleep"]
        assert [handle.identity for handle in seen.attached] == [lens.identity]
        assert [(gone.lens, gone.error) for gone in seen.detached] == [(lens, None)]
        assert wire.power_changes == [True, False]
        assert wire.closed == "closed"

    run(main())


def test_another_lens_ends_the_old_handle_with_one_typed_error() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, seen):
            statuses = lens.statuses()
            moving = asyncio.create_task(lens.focus_infinity())
            await asyncio.sleep(0.05)
            wire.change_lens("panasonic-20")
            with pytest.raises(LensGoneError):
                await moving
            await asyncio.sleep(2)
            assert driver.life == "ready"
            new = driver.lens
            assert new is not None
            assert new is not lens
            assert new.identity is not None
            assert new.identity.maker == 2
            assert seen.attached == [lens, new]
            [gone] = seen.detached
            assert isinstance(gone.error, LensGoneError)
            with pytest.raises(LensGoneError, match="another lens"):
                await lens.set_aperture(8)
            with pytest.raises(LensGoneError, match="another lens"):
                async for _ in statuses:
                    pass
            await new.set_aperture(8)

    run(main())


@pytest.mark.parametrize("readers", [0, 1])
def test_a_lens_that_is_taken_away_is_noticed_at_the_next_poll_whoever_reads(readers: int) -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, seen):
            streams = [lens.statuses() for _ in range(readers)]
            await asyncio.sleep(3)
            wire.change_lens("none")
            assert await until(driver, Life.PASSIVE) < 0.5
            with pytest.raises(LensGoneError):
                await lens.status_now()
            assert driver.lens is not None
            with pytest.raises(LensPassiveError):
                await driver.lens.status_now()
            assert len(streams) == readers
        assert "gone" in seen.lives

    run(main())


def test_a_lens_put_on_in_place_of_another_of_its_kind_keeps_the_handle() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, seen):
            await asyncio.sleep(1)
            wire.change_lens(OLYMPUS)
            await until(driver, Life.INITIALISING)
            await until(driver, Life.READY)
            assert driver.lens is lens
            await lens.set_aperture(8)
        assert len(seen.attached) == 1

    run(main())


def test_glass_without_contacts_is_passive_and_carries_what_a_person_says() -> None:
    async def main() -> None:
        wire = Wire("none")
        async with driven(wire) as (driver, lens, seen):
            assert driver.life == "passive"
            assert lens.identity is None
            assert lens.status is None
            with pytest.raises(LensPassiveError):
                await lens.set_aperture(2.8)
            lens.describe(focal_length_mm=50, aperture_f=1.4)
            assert lens.status is not None
            assert (lens.status.focal_length_mm, lens.status.aperture_f) == (50, 1.4)
            await asyncio.sleep(10)
            assert driver.lens is lens
            assert lens.status.focal_length_mm == 50
            assert seen.lives == ["waking", "passive"]
            wire.change_lens(OLYMPUS)
            assert await until(driver, Life.READY) < 3
            assert lens.ended
            assert driver.lens is not None
            with pytest.raises(LensRefusedError, match="answers"):
                driver.lens.describe(aperture_f=2)
            await driver.lens.set_aperture(8)

    run(main())


def test_sleep_and_wake() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, seen):
            moving = asyncio.create_task(lens.focus_infinity())
            await asyncio.sleep(0.05)
            await lens.sleep()
            with pytest.raises(LensAsleepError):
                await moving
            assert driver.life == "asleep"
            await lens.sleep()
            with pytest.raises(LensAsleepError, match="wake"):
                await lens.set_aperture(8)
            before = dict(driver.counters)
            await asyncio.sleep(10)
            assert dict(driver.counters) == before
            assert await lens.wake() is lens
            assert await lens.wake() is lens
            await lens.set_aperture(8)
        assert wire.power_changes == [True, False, False, True, False]
        assert seen.lives.count("asleep") == 2

    run(main())


def test_a_lens_put_to_sleep_while_it_is_to_be_repaired_stays_asleep() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, _):
            await asyncio.sleep(1)
            wire.change_lens(OLYMPUS)
            await until(driver, Life.INITIALISING)
            await lens.sleep()
            assert driver.life == "asleep"
            await asyncio.sleep(10)
            assert driver.life == "asleep"
            await lens.wake()
            assert driver.life == "ready"

    run(main())


def test_a_sleep_that_is_cancelled_while_a_start_up_gives_way_leaves_no_lens_half_started() -> None:
    async def attempt(delay_s: float) -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, _):
            await asyncio.sleep(1)
            wire.change_lens(OLYMPUS)
            await until(driver, Life.INITIALISING)
            asleep = asyncio.create_task(lens.sleep())
            await asyncio.sleep(delay_s)
            asleep.cancel()
            await asyncio.wait([asleep])
            await asyncio.sleep(10)
            assert driver.life == "asleep" if not asleep.cancelled() else driver.life in (Life.READY, Life.ASLEEP)

    for delay_ms in range(0, 700, 7):
        run(attempt(delay_ms / 1000))


@pytest.mark.parametrize("fault", ["wrong_command_sum", "wrong_data_sum", "length_off_by_one", "busy_for_ever"])
def test_a_lens_that_wakes_and_never_answers_well_fails_with_its_cause(fault: str) -> None:
    async def main() -> None:
        wire = Wire(f"{OLYMPUS}?fault={fault}")
        driver = BodyDriver(wire)
        seen = Seen(driver.events())
        with pytest.raises(LensFailedError, match=r"wakes up, but (Initialise|LinkCapability)") as caught:
            await driver.open()
        assert isinstance(caught.value.__cause__, LensGoneError)
        await seen.task
        assert seen.lives.count("failed") == 1
        assert wire.power_changes == [True, False] * 3
        assert wire.closed == "closed"

    run(main())


def test_a_lens_that_wakes_only_once_and_never_answers_is_passive() -> None:
    async def main() -> None:
        async with driven(Wire(f"{OLYMPUS}?fault=lens_ack_stuck_low@1")) as (driver, lens, seen):
            assert driver.life == "passive"
            assert lens.identity is None
        assert seen.lives == ["waking", "initialising", "gone", "absent", "waking", "passive", "asleep"]

    run(main())


def test_out_of_failed_leads_wake() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, seen):
            wire.spoil = lambda command, outcome: broken(outcome)
            with pytest.raises(LensFailedError) as caught:
                await lens.set_aperture(8)
            assert driver.life == "failed"
            first = caught.value.__cause__
            assert isinstance(first, LensGoneError)
            for call in (lens.status_now, lens.sleep):
                with pytest.raises(LensFailedError) as again:
                    await call()
                assert again.value.__cause__ is first
            with pytest.raises(LensFailedError):
                await lens.wake()
            wire.spoil = lambda command, outcome: outcome
            new = await lens.wake()
            assert driver.life == "ready"
            assert new is driver.lens
            assert new is not lens
            await new.set_aperture(8)
        assert [handle.identity for handle in seen.attached] == [lens.identity, new.identity]

    run(main())


def broken(outcome: Outcome) -> Outcome:
    return type(outcome)(outcome.start_ns, outcome.end_ns, outcome.said[:1], Break.SILENT)


def test_a_lens_whose_polls_alone_go_wrong_is_given_up_in_the_end() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, seen):
            contacts = wire._contacts.transact
            wire._contacts.transact = lambda transfers, now_ns: (  # type: ignore[method-assign]
                broken(contacts(transfers, now_ns)) if wire._frames else contacts(transfers, now_ns)
            )
            wire._touched()
            assert await until(driver, Life.FAILED) < 10
            assert driver.counters["restarts"] == 4
            with pytest.raises(LensFailedError, match="comes up, but Status"):
                await lens.status_now()
        assert seen.lives.count("ready") == 4

    run(main())


# the transport


class Hanging(Wire):
    """A transport of which one call hangs, and does not even listen to being cancelled."""

    hangs = "close"

    async def _hang(self, name: str) -> None:
        while self.hangs == name:
            try:
                await asyncio.sleep(3_600)
            except asyncio.CancelledError:
                if self.closed != "aborted":
                    raise

    async def close(self) -> None:
        await self._hang("close")
        await super().close()

    async def power(self, *, on: bool) -> bool:
        await self._hang(f"power {on}")
        return await super().power(on=on)

    async def stop_frames(self) -> None:
        await self._hang("stop")
        await super().stop_frames()


@pytest.mark.parametrize("hangs", ["close", "power False", "stop"])
def test_closing_has_a_deadline_and_then_aborts(hangs: str) -> None:
    async def main() -> None:
        wire = Hanging()
        wire.hangs = hangs
        loop = asyncio.get_running_loop()
        async with driven(wire) as (_, lens, seen):
            statuses = lens.statuses()
            moving = asyncio.create_task(lens.focus_infinity())
            await asyncio.sleep(0.02)
            start_s = loop.time()
        assert loop.time() - start_s <= CLOSE_S + ABORT_S + 0.001
        assert wire.closed == "aborted"
        [result] = await asyncio.gather(moving, return_exceptions=True)
        assert isinstance(result, LensError)
        assert [status async for status in statuses]
        assert seen.task.done()
        wire.hangs = ""
        await asyncio.sleep(4_000)

    run(main())


def test_closing_while_a_lens_is_busy_for_ever_ends_the_call_that_waits() -> None:
    async def main() -> None:
        wire = Wire(f"{OLYMPUS}?fault=busy_for_ever@12")
        loop = asyncio.get_running_loop()
        async with driven(wire) as (_, lens, _seen):
            await asyncio.sleep(1)
            call = asyncio.create_task(lens.raw(bytes.fromhex("b1880302"), unsafe=True))
            wire.lens.transactions = 11
            queued = asyncio.create_task(lens.set_aperture(8))
            await asyncio.sleep(0.1)
            start_s = loop.time()
        assert loop.time() - start_s <= CLOSE_S + ABORT_S + 0.001
        for task in (call, queued):
            with pytest.raises(LensFailedError, match="closed"):
                await task
        for late in (lens.sleep, lens.wake, lens.status_now, lens.stop_focus):
            with pytest.raises(LensFailedError, match="closed"):
                await late()

    run(main())


def test_closing_that_is_cancelled_aborts_at_once() -> None:
    async def main() -> None:
        wire = Hanging()
        driver = BodyDriver(wire)
        await driver.open()
        closing = asyncio.create_task(driver.close())
        await asyncio.sleep(0.1)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert wire.closed == "aborted"
        wire.hangs = ""
        await driver.close()
        await asyncio.sleep(4_000)

    run(main())


def test_opening_that_is_cancelled_at_any_time_leaves_nothing_behind() -> None:
    async def attempt(delay_s: float) -> None:
        wire = Wire()
        driver = BodyDriver(wire)
        opening = asyncio.create_task(driver.open())
        await asyncio.sleep(delay_s)
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled() == (delay_s < 0.55)
        await driver.close()
        assert wire.closed
        assert wire.power_changes[-1:] in ([], [False]) or wire.closed == "aborted"

    for delay_ms in range(0, 520, 5):
        run(attempt(delay_ms / 1000))


class Unreachable(Wire):
    async def open(self) -> Abilities:
        raise TransportError("nothing.here: no such port; m43 ports lists them")


def test_a_mount_that_cannot_be_reached() -> None:
    async def main() -> None:
        wire = Unreachable()
        with pytest.raises(TransportError, match="no such port"):
            async with open_lens(wire):
                raise AssertionError
        assert wire.closed == "closed"
        driver = BodyDriver(Wire())
        await driver.open()
        with pytest.raises(LensFailedError, match="opened once"):
            await driver.open()
        await driver.close()

    run(main())


def test_a_lost_transport_is_the_cause_of_all_that_follows() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, seen):
            statuses = lens.statuses()
            moving = asyncio.create_task(lens.focus_infinity())
            await asyncio.sleep(0.05)
            first = TransportLostError("bridge unplugged; plug it in and open it again")
            wire.tell(Lost(first))
            wire.tell(Lost(TransportLostError("another")))
            calls = [lens.status_now, lens.sleep, lens.wake, driver.wake, lens.stop_focus]
            for call in (lambda: moving, *calls):
                with pytest.raises(LensFailedError, match="plug it in") as caught:
                    await call()
                assert caught.value.__cause__ is first
            with pytest.raises(LensFailedError, match="plug it in"):
                async for _ in statuses:
                    pass
            assert seen.lives[-1] == "failed"
        assert seen.lives.count("failed") == 1
        assert wire.power_changes == [True]

    run(main())


def test_a_transport_that_does_not_answer_in_time_fails_the_driver_until_it_answers_again() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire) as (driver, lens, _):

            def late(command: bytes, outcome: Outcome) -> Outcome:
                raise TransportTimeoutError("the bridge did not answer in time")

            wire.spoil = late
            with pytest.raises(LensFailedError, match="in time") as caught:
                await lens.status_now()
            assert isinstance(caught.value.__cause__, TransportTimeoutError)
            assert driver.life == "failed"
            wire.spoil = lambda command, outcome: outcome
            assert (await driver.wake()).identity == lens.identity
            assert driver.life == "ready"

    run(main())


def test_a_transport_that_is_lost_while_a_passive_mount_is_asked_again() -> None:
    async def main() -> None:
        wire = Wire("none")
        async with driven(wire) as (driver, lens, _):

            async def power(*, on: bool) -> bool:
                raise TransportLostError("bridge unplugged")

            wire.power = power  # type: ignore[method-assign]
            await until(driver, Life.FAILED)
            with pytest.raises(LensFailedError, match="unplugged"):
                await lens.wake()

    run(main())


def test_wrong_dialects_and_rates_are_refused() -> None:
    with pytest.raises(LensRefusedError, match="E-PL1"):
        BodyDriver(Wire(), dialect="E-M1")
    for rate_hz in (0, -1, float("nan"), float("inf")):
        with pytest.raises(LensRefusedError, match="above 0"):
            BodyDriver(Wire(), frame_hz=rate_hz)


def test_one_line_per_state_and_bytes_only_when_asked(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with driven(Wire()) as (_, lens, _seen):
            await lens.set_aperture(8)

    caplog.set_level(logging.INFO, "m43drivers")
    run(main())
    lives = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert lives[:3] == ["absent -> waking", "waking -> initialising", "initialising -> ready"]
    assert lives[3:] == ["ready -> driving", "driving -> ready", "ready -> asleep"]
    caplog.clear()
    caplog.set_level(logging.DEBUG, "m43drivers")
    run(main())
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.DEBUG]
    assert "sim:olympus-14-42: b0 f2 00 00 -> a2 00" in told
    assert sum("60 80 fe 02 + " in line for line in told) == 1
