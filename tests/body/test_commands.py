"""What a lens's handle does, and each way in which that can end."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from m43drivers.body.errors import (
    DriveError,
    DriveOvershotError,
    DriveStalledError,
    DriveSupersededError,
    DriveTimeoutError,
    LensError,
    LensRefusedError,
    LensTransactionError,
)
from m43drivers.body.life import Life
from m43drivers.simulator.profiles import PROFILES
from m43drivers.transport import Break
from m43proto.dialects import DIALECTS
from m43proto.messages import PROVISIONAL, PUBLIC, Drive
from tests.body.support import OLYMPUS, Wire, driven, until
from tests.virtualtime import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from m43drivers.body import BodyDriver, Lens
    from m43drivers.transport import Outcome
    from m43proto.dialects import Step


def with_lens(
    script: Callable[[BodyDriver, Lens, Wire], Awaitable[None]], address: str = OLYMPUS, **options: Any
) -> None:
    async def main() -> None:
        wire = Wire(address, **options)
        async with driven(wire, **({"catalogue": options["catalogue"]} if options else {})) as (driver, lens, _):
            await script(driver, lens, wire)

    run(main())


# aperture


@pytest.mark.parametrize(("given", "reached"), [({"f": 5.6}, 5.6), ({"av": 6}, 8.0), ({"wide_open": True}, 3.6)])
def test_aperture(given: dict[str, Any], reached: float) -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        await lens.set_aperture(16)
        ended = await lens.set_aperture(**given)
        assert ended is not None
        assert ended is lens.status
        assert ended.aperture_f == pytest.approx(reached, rel=0.01)
        assert not wire.lens.iris.moving(ended.t_ns)

    with_lens(script)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "give the aperture once"),
        ({"f": 4, "av": 4}, "give the aperture once"),
        ({"f": 4, "wide_open": True}, "give the aperture once"),
        ({"f": 2.8}, r"f/2\.8 is out of range: this lens goes from f/3\.5, at most to f/32"),
        ({"f": 45}, r"f/45 is out of range: this lens goes from f/3\.5, at most to f/32"),
        ({"av": 2}, r"f/2 is out of range"),
        ({"f": 0}, "above 0"),
        ({"f": -4.0}, "above 0"),
        ({"f": math.nan}, "above 0"),
        ({"f": math.inf, "clamp": True}, "above 0"),
        ({"av": math.nan}, "above 0"),
        ({"av": 1e9}, "above 0"),
    ],
)
def test_apertures_that_are_refused(given: dict[str, Any], text: str) -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        wire.commands.clear()
        with pytest.raises(LensRefusedError, match=text):
            await lens.set_aperture(**given)
        assert wire.commands == []

    with_lens(script)


def test_an_aperture_out_of_range_is_clamped_when_asked() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        await lens.set_aperture(1.2, clamp=True)
        assert Drive.parse(bytes.fromhex(wire.commands[-1])[2:] + wire.sent[-1][2:]).aperture_f == pytest.approx(
            3.5, rel=0.01
        )
        with pytest.raises(DriveStalledError, match=r"aperture stands at f/22.*, short of f/32"):
            await lens.set_aperture(90, clamp=True)

    with_lens(script)


# focus


@pytest.mark.parametrize("profile", PROFILES)
def test_focus(profile: str) -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        made, focus = PROFILES[profile], wire.lens.focus
        for position in (100, -60, -60, 101, 300):
            ended = await lens.focus_to(position)
            assert ended is not None
            assert abs((ended.focus_position or 0) - position) <= 3
            await asyncio.sleep(0.5)
            assert abs(focus.position(wire.now_ns()) - position) <= 0.5
        await lens.focus_by(-50)
        await asyncio.sleep(0.5)
        assert abs(focus.position(wire.now_ns()) - 250) <= 0.5
        for distance_m in (made.rest_distance_m * 1.5, made.rest_distance_m * 4, math.inf):
            ended = await lens.focus_to(distance_m=distance_m)
            assert ended is not None
            assert ended.focus_distance_m is not None
            assert abs(1 / ended.focus_distance_m - 1 / distance_m) <= max(0.02, 0.006 / distance_m**2)
        near = await lens.focus_near()
        assert near is not None
        assert near.focus_position == made.near
        far = await lens.focus_infinity()
        assert far is not None
        assert far.focus_distance_m == math.inf
        assert not focus.moving(far.t_ns)

    with_lens(script, profile)


@pytest.mark.parametrize("frame_hz", [30, 60, 120])
@pytest.mark.parametrize("profile", ["olympus-ft-14-54", OLYMPUS])
def test_a_scan_that_turns_round_on_its_way_ends_at_the_stop(profile: str, frame_hz: float) -> None:
    async def main(delay_s: float) -> None:
        wire = Wire(profile)
        async with driven(wire, frame_hz=frame_hz) as (_, lens, _seen):
            await lens.focus_to(0)
            await lens.focus_infinity(wait=False)
            await asyncio.sleep(delay_s)
            near = await lens.focus_near()
            assert near is not None
            assert near.focus_position == PROFILES[profile].near

    for delay_ms in range(0, 300, 20):
        run(main(delay_ms / 1000))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "position or as a distance"),
        ({"position": 1, "distance_m": 1}, "position or as a distance"),
        ({"position": 40_000}, "from -32768 to 32767"),
        ({"position": 1.5}, "an integer"),
        ({"distance_m": 0}, "above 0"),
        ({"distance_m": -1}, "above 0"),
        ({"distance_m": math.nan}, "above 0"),
        ({"distance_m": 1, "wait": False}, "in steps"),
    ],
)
def test_focuses_that_are_refused(given: dict[str, Any], text: str) -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        wire.commands.clear()
        with pytest.raises(LensRefusedError, match=text):
            await lens.focus_to(**given)
        assert wire.commands == []

    with_lens(script)


def test_a_distance_that_the_lens_does_not_reach_is_a_stall() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        with pytest.raises(DriveStalledError) as caught:
            await lens.focus_to(distance_m=0.02)
        assert caught.value.status is not None
        assert caught.value.status.focus_position == PROFILES[OLYMPUS].near

    with_lens(script)


def test_without_waiting_the_call_ends_when_the_drive_is_sent() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        assert await lens.focus_to(500, wait=False) is None
        assert wire.lens.focus.moving(wire.now_ns())
        assert driver.life is Life.DRIVING
        await until(driver, Life.READY)
        assert lens.status is not None
        assert lens.status.focus_position == 500

    with_lens(script)


def test_stop_overtakes_what_waits_and_what_waited_is_not_sent() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        moving = asyncio.create_task(lens.focus_infinity())
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(call) for call in (lens.set_aperture(8), lens.focus_to(-100), lens.focus_to(-9))]
        await asyncio.sleep(0)
        wire.commands.clear()
        await lens.stop_focus()
        rest = round(wire.lens.focus.target)
        assert wire.commands[:2] == ["c1800106", "608003fe"]
        for task in (moving, *waiting[1:]):
            with pytest.raises(DriveSupersededError):
                await task
        assert await waiting[0]
        await until(driver, Life.READY)
        assert lens.status is not None
        assert lens.status.focus_position == rest
        assert 12 < rest < 500

    with_lens(script)


def test_stopping_a_focus_at_rest_does_not_move_the_focus() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        await lens.stop_focus()
        assert wire.lens.focus.target == PROFILES[OLYMPUS].rest

    with_lens(script)


def test_another_drive_takes_the_place_of_one_but_not_of_the_other_kind() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        first = asyncio.create_task(lens.focus_infinity())
        await asyncio.sleep(0.02)
        iris = asyncio.create_task(lens.set_aperture(8))
        await asyncio.sleep(0.02)
        second = await lens.focus_to(50)
        with pytest.raises(DriveSupersededError, match="another focus drive") as caught:
            await first
        assert caught.value.status is not None
        assert await iris
        assert second is not None
        assert abs((second.focus_position or 0) - 50) <= 3

    with_lens(script)


# what goes wrong


@pytest.mark.parametrize(
    ("fault", "call", "kind", "text"),
    [
        ("focus_stalls", lambda lens: lens.focus_to(400), DriveStalledError, "position 206, short of position 400"),
        ("focus_overshoots", lambda lens: lens.focus_to(400), DriveOvershotError, "440, behind position 400"),
        ("aperture_stuck", lambda lens: lens.set_aperture(8), DriveStalledError, r"f/3\.59, short of f/8"),
    ],
)
def test_a_drive_that_ends_elsewhere(
    fault: str, call: Callable[[Lens], Awaitable[object]], kind: type[DriveError], text: str
) -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        with pytest.raises(kind, match=text) as caught:
            await call(lens)
        assert caught.value.status == lens.status
        assert driver.life is Life.READY

    with_lens(script, f"{OLYMPUS}?fault={fault}")


def test_a_drive_that_never_rests_times_out() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        loop = asyncio.get_running_loop()

        async def restless() -> None:
            wire.lens.turn_focus_ring(-250, wire.now_ns())
            while True:
                for counts in (-60, 60):
                    wire.lens.turn_focus_ring(counts, wire.now_ns())
                    await asyncio.sleep(0.04)

        await lens.focus_to(500, wait=False)
        start_s = loop.time()
        moving = asyncio.create_task(lens.focus_to(501))
        await asyncio.sleep(0.02)
        hand = asyncio.create_task(restless())
        with pytest.raises(DriveTimeoutError, match="not come to rest in time") as caught:
            await moving
        assert isinstance(caught.value, TimeoutError)
        assert 5.0 <= loop.time() - start_s < 5.1
        hand.cancel()
        await asyncio.wait([hand])
        await until(driver, Life.READY)
        assert await lens.focus_to(100)

    with_lens(script)


def test_a_wrong_sum_is_retried_twice_and_then_the_lens_is_started_anew() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        left: list[int] = []

        def spoil(command: bytes, outcome: Outcome) -> Outcome:
            if not left:
                return outcome
            left.pop()
            return type(outcome)(outcome.start_ns, outcome.end_ns, bytes([outcome.said[0] ^ 1]) + outcome.said[1:])

        wire.spoil = spoil
        for wrong in (1, 2):
            left[:] = [0] * wrong
            wire.commands.clear()
            await lens.set_ring_direction("reverse")
            assert len(wire.commands) == wrong + 1
            assert len(set(wire.commands)) == 1
        assert driver.counters["wrong_sum"] == 3
        assert driver.counters["restarts"] == 0
        left[:] = [0] * 3
        wire.commands.clear()
        with pytest.raises(LensTransactionError, match="sum is wrong"):
            await lens.set_ring_direction("forward")
        assert len(set(wire.commands[:3])) == 1
        assert wire.commands[3] == "b0f20000"
        assert driver.counters["restarts"] == 1
        assert driver.life is Life.READY
        assert driver.lens is lens
        await lens.set_ring_direction("forward")

    with_lens(script)


def test_a_lens_that_is_busy_for_ever_is_not_asked_again_but_started_anew() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        await wire.stop_frames()
        wire.lens.transactions = 98
        wire.commands.clear()
        with pytest.raises(LensTransactionError, match="EnableDrive went wrong"):
            await lens.raw(bytes.fromhex("b1880302"), unsafe=True)
        assert wire.commands[:2] == ["b1880302", "b0f20000"]
        assert driver.life is Life.READY

    with_lens(script, f"{OLYMPUS}?fault=busy_for_ever@99")


# the rest


def test_ring_direction() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        for direction in ("reverse", "forward"):
            await lens.set_ring_direction(direction)
            assert wire.lens.ring_direction == direction
        with pytest.raises(LensRefusedError, match="forward or reverse"):
            await lens.set_ring_direction("sideways")
        assert driver.life is Life.READY

    with_lens(script)


def test_status_now_is_newer_than_any_poll_and_speaks_the_dialect() -> None:
    async def main() -> None:
        wire = Wire()
        async with driven(wire, dialect="E-P1") as (_, lens, _seen):
            await asyncio.sleep(0.5)
            before = lens.status
            now = await lens.status_now()
            assert before is not None
            assert now.t_ns > before.t_ns
            assert lens.status == now
            assert wire.commands[-1] == "c1800102"

    run(main())


def test_a_status_of_another_size_is_a_typed_error() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        said = bytes.fromhex("48 0300 0102 03")
        wire.spoil = lambda command, outcome: type(outcome)(outcome.start_ns, outcome.end_ns, said)
        with pytest.raises(LensTransactionError, match="a status of 2 bytes is unknown"):
            await lens.status_now()
        wire.spoil = lambda command, outcome: outcome
        assert (await lens.status_now()).focus_position == 12

    with_lens(script)


def test_raw_is_behind_a_word() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        identify = bytes.fromhex("c1f90000")
        wire.commands.clear()
        for command, data, unsafe, text in (
            (identify, b"", False, "unsafe=True"),
            (b"", b"", True, "nothing is no command"),
            (identify[:3], b"", True, "no command of a known shape"),
            (bytes(4), b"", True, "no command of a known shape"),
            (identify, b"1", True, "takes no data"),
            (bytes.fromhex("60800306"), bytes(0x10000), True, "too many"),
        ):
            with pytest.raises(LensRefusedError, match=text):
                await lens.raw(command, data, unsafe=unsafe)
        assert wire.commands == []
        seen = await lens.raw(identify, unsafe=True)
        assert seen.message == lens.identity
        drive = Drive(focus_operation="move", focus_target=77)
        await lens.raw(drive.command, drive.block, unsafe=True)
        await until(driver, Life.DRIVING)
        await until(driver, Life.READY)
        assert lens.status is not None
        assert lens.status.focus_position == 77

    with_lens(script)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("step", DIALECTS["E-PL1"].steps, ids=lambda step: step.request.__name__)
def test_a_raw_command_of_the_start_up_leaves_the_lens_ready(step: Step, times: int) -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        for _ in range(times):
            await lens.raw(step.command, step.block, unsafe=True)
        await asyncio.sleep(2)
        assert driver.life is Life.READY
        assert await lens.focus_to(100)

    with_lens(script)


def test_stabilisation_is_refused_unless_enabled() -> None:
    async def refused(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        with pytest.raises(LensRefusedError, match="provisional catalogue"):
            await lens.stabilise("auto", focal_length_mm=25)

    async def enabled(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        await lens.stabilise("auto", focal_length_mm=25)
        assert wire.lens.stabiliser is not None
        assert wire.lens.stabiliser.status(wire.now_ns() + 10**9).mode == "auto"
        for mode, focal_length_mm in (("wobbly", 25), ("auto", 1e9)):
            with pytest.raises(LensRefusedError):
                await lens.stabilise(mode, focal_length_mm=focal_length_mm)

    with_lens(refused, "olympus-12-100-is")
    with_lens(enabled, "olympus-12-100-is", catalogue=PUBLIC | PROVISIONAL)


def test_hands_at_the_rings_show_and_do_not_end_a_drive_wrongly() -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        moving = asyncio.create_task(lens.focus_infinity())
        await asyncio.sleep(0.1)
        wire.lens.turn_zoom(20, wire.now_ns())
        ended = await moving
        assert ended is not None
        assert ended.zoom_step == 20
        assert ended.focus_position == round(wire.lens.focus.high)
        turned: list[int] = []

        async def follow() -> None:
            async for status in lens.statuses():
                turned.append(status.focus_position or 0)
                if status.focus_position == 300:
                    return

        await lens.focus_to(200)
        follower = asyncio.create_task(follow())
        await asyncio.sleep(0.2)
        wire.lens.turn_focus_ring(100, wire.now_ns())
        async with asyncio.timeout(1):
            await follower
        assert turned[0] == 200
        assert any(200 < position < 300 for position in turned)

    with_lens(script)


@pytest.mark.parametrize("broke_off", Break)
def test_every_way_to_break_off_once_is_survived(broke_off: Break) -> None:
    async def script(driver: BodyDriver, lens: Lens, wire: Wire) -> None:
        left = [1]

        def spoil(command: bytes, outcome: Outcome) -> Outcome:
            if not left:
                return outcome
            left.pop()
            said = b"" if broke_off is Break.NO_ANSWER else outcome.said[:1]
            return type(outcome)(outcome.start_ns, outcome.end_ns, said, broke_off)

        wire.spoil = spoil
        try:
            await lens.set_ring_direction("reverse")
        except LensError:
            assert broke_off in (Break.NO_ANSWER, Break.BUSY)
        assert not left
        await until(driver, Life.READY)
        assert driver.lens is lens
        assert await lens.focus_to(99)

    with_lens(script)
