"""What moves in a simulated lens: motions, the motor with its play and its end stops, iris and rings."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.mechanics import Motion, Motor
from m43drivers.simulator.profiles import PROFILES, Profile, ProfileError, from_lens, profile_named, profile_of
from m43proto.encodings import F_NUMBER, nearest
from m43proto.errors import EncodeError
from m43proto.lensdb import lenses
from m43proto.messages import Drive, Identify, SetFocusRing

if TYPE_CHECKING:
    from m43proto.lensdb import Lens

SECOND = 10**9

SPEED = 1_000.0
ACCELERATION = 20_000.0
LOW, HIGH = -100.0, 500.0

orders = st.lists(
    st.tuples(st.integers(0, 400_000_000), st.floats(-900, 1_300)),
    min_size=1,
    max_size=8,
)
"""Drives: how long after the one before, and where to."""

every_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


def motor(backlash: float = 0.0) -> Motor:
    return Motor.resting(0, LOW, HIGH, speed=SPEED, acceleration=ACCELERATION, backlash=backlash)


@given(
    start=st.floats(-1_000, 1_000),
    target=st.floats(-1_000, 1_000),
    speed=st.floats(10, 5_000),
    acceleration=st.floats(100, 100_000),
    head=st.floats(0, 1),
    shares=st.lists(st.floats(-0.2, 1.2), min_size=2, max_size=2),
)
def test_a_motion_goes_from_start_to_target_and_keeps_its_speed(
    start: float, target: float, speed: float, acceleration: float, head: float, shares: list[float]
) -> None:
    start_speed = head * min(speed, math.sqrt(2 * acceleration * abs(target - start)))
    motion = Motion(start, target, 7 * SECOND, speed, acceleration, start_speed)
    early, late = (round(7 * SECOND + share * motion.duration_s * SECOND) for share in sorted(shares))
    low, high = sorted((start, target))
    assert low - 1e-6 <= motion.at(early) <= high + 1e-6
    assert motion.at(0) == start
    assert motion.at(motion.end_ns) == target
    assert motion.at(motion.end_ns - 1) == pytest.approx(target, abs=1e-3)
    assert motion.speed_at(motion.end_ns) == 0
    assert abs(motion.speed_at(7 * SECOND)) == pytest.approx(start_speed, rel=1e-6) or start == target
    gone = (motion.at(late) - motion.at(early)) * (1 if target >= start else -1)
    assert -1e-6 <= gone <= (late - early) / SECOND * speed + 1e-3


def test_a_long_motion_takes_its_ramps_and_its_run() -> None:
    motion = Motion(0, 1_000, 0, 1_000, 10_000)
    assert motion.duration_s == pytest.approx(1.1)
    assert motion.end_ns == pytest.approx(1_100_000_000, abs=1)
    assert motion.at(50_000_000) == pytest.approx(12.5)
    assert motion.at(550_000_000) == pytest.approx(500)
    assert motion.at(1_050_000_000) == pytest.approx(987.5)


def test_a_motion_that_begins_at_speed_is_shorter_by_that_ramp() -> None:
    assert Motion(0, 950, 0, 1_000, 10_000, 1_000).duration_s == pytest.approx(1.0)


@settings(deadline=None)
@given(orders=orders, backlash=st.sampled_from([0.0, 3.0, 20.0]), ticks=st.lists(st.integers(1, 30), max_size=40))
def test_a_motor_keeps_its_limits_however_it_is_driven(
    orders: list[tuple[int, float]], backlash: float, ticks: list[int]
) -> None:
    """End stops, speed, acceleration and play hold at all times, and the load arrives."""
    turned = motor(backlash)
    now_ns = 0
    for index, (wait_ns, target) in enumerate(orders):
        before = turned.position(now_ns), turned.shaft(now_ns)
        turned.drive(target, now_ns)
        assert (turned.position(now_ns), turned.shaft(now_ns)) == pytest.approx(before, abs=1e-4)
        end_ns = now_ns + wait_ns if index < len(orders) - 1 else turned.arrives_ns
        _watch(turned, now_ns, end_ns, ticks, backlash)
        now_ns = end_ns
    assert turned.position(now_ns) == pytest.approx(min(max(orders[-1][1], LOW), HIGH), abs=1e-6)
    assert not turned.moving(now_ns)


def _watch(turned: Motor, now_ns: int, end_ns: int, ticks: list[int], backlash: float) -> None:
    times = [now_ns]
    for tick in ticks:
        times.append(min(times[-1] + tick * 1_000_000, end_ns))
    states = [(at, turned.position(at), turned.shaft(at)) for at in [*times, end_ns]]
    speeds = [_shaft_speed(turned, at) for at, _, _ in states]
    for (early, load, shaft), (late, next_load, next_shaft) in pairwise(states):
        reach = SPEED * (late - early) / SECOND + 1e-3
        assert abs(next_load - load) <= reach
        assert abs(next_shaft - shaft) <= reach
    for (early, was), (late, is_now) in pairwise(zip((at for at, _, _ in states), speeds, strict=True)):
        assert abs(is_now - was) <= ACCELERATION * (late - early) / SECOND + 1
    for _, load, shaft in states:
        assert LOW - 1e-6 <= load <= HIGH + 1e-6
        assert -1e-6 <= shaft - load <= backlash + 1e-6


def _shaft_speed(turned: Motor, now_ns: int) -> float:
    running = [motion for motion in turned.motions if motion.t_ns <= now_ns < motion.end_ns]
    return running[0].speed_at(now_ns) if running else 0.0


def test_a_motor_stops_at_its_end_stops() -> None:
    turned = motor()
    turned.drive(9_999, 0)
    assert (turned.position(10 * SECOND), turned.target) == (500, 500)
    turned.drive(-9_999, 10 * SECOND)
    assert turned.position(20 * SECOND) == -100


def test_a_motor_arrives_whatever_its_backlash_and_stands_still_while_it_takes_it_up() -> None:
    turned = motor(backlash=20)
    now_ns = 0
    for target in (300, 100, 100, 400, -50):
        before = turned.position(now_ns)
        turned.drive(target, now_ns)
        assert turned.position(now_ns) == before
        assert turned.moving(now_ns) == (target != before)
        if target != before:
            assert turned.position(now_ns + 5_000_000) == pytest.approx(before, abs=0.7)
        now_ns += 10 * SECOND
        assert turned.position(now_ns) == target
        assert not turned.moving(now_ns)


def test_a_motor_told_anew_on_its_way_slows_down_before_it_turns_round() -> None:
    turned = motor(backlash=5)
    turned.drive(500, 0)
    here = turned.position(200_000_000)
    assert 0 < here < 400
    turned.drive(0, 200_000_000)
    assert turned.position(200_000_000) == here
    assert turned.position(220_000_000) > here + 10
    assert len(turned.motions) == 2
    assert turned.position(20 * SECOND) == 0


def test_a_motor_told_of_a_target_farther_on_does_not_slow_down() -> None:
    turned, straight = motor(), motor()
    straight.drive(500, 0)
    turned.drive(250, 0)
    turned.drive(500, 100_000_000)
    assert turned.arrives_ns == pytest.approx(straight.arrives_ns, abs=2)


# iris and rings


def driven(lens: SimulatedLens, aperture_f: float, now_ns: int) -> None:
    message = Drive(aperture_operation="set", aperture_f=aperture_f)
    lens.take(message.command, message.block, now_ns)


@every_profile
@settings(deadline=None)
@given(aperture_f=st.floats(1.0, 40.0), step=st.integers(-3, 40))
def test_the_iris_stays_in_the_range_of_its_focal_length(profile: Profile, aperture_f: float, step: int) -> None:
    lens = SimulatedLens(profile)
    lens.turn_zoom(step, 0)
    driven(lens, aperture_f, SECOND)
    widest = profile.widest_at(lens.zoom_step)
    wanted = min(max(F_NUMBER.encode(aperture_f), widest), profile.smallest_av)
    reached = lens.aperture_av(10 * SECOND)
    assert abs(reached - wanted) <= profile.av_step / 2
    assert (reached - widest) % profile.av_step == 0 or reached == profile.smallest_av
    for now_ns in range(SECOND, SECOND + 200_000_000, 20_000_000):
        assert widest <= lens.aperture_av(now_ns) <= profile.smallest_av


def test_the_zoom_ring_shifts_the_aperture_until_the_iris_has_followed() -> None:
    lens = SimulatedLens(PROFILES["olympus-14-42"])
    driven(lens, 8.0, 0)
    before = lens.aperture_av(SECOND)
    lens.turn_zoom(31, SECOND)
    assert lens.aperture_av(SECOND) == before + (1293 - 945)
    assert lens.aperture_av(2 * SECOND) == before
    assert lens.iris.position(2 * SECOND) == before - (1293 - 945)


def test_a_prime_has_no_zoom() -> None:
    lens = SimulatedLens(PROFILES["olympus-45"])
    lens.turn_zoom(20, 0)
    assert lens.status(SECOND).zoom_step == 0


def test_the_focus_ring_adds_up_while_the_focus_still_moves() -> None:
    lens = SimulatedLens(PROFILES["olympus-14-42"])
    for turn in range(5):
        lens.turn_focus_ring(20, turn * 1_000_000)
    assert lens.status(SECOND).focus_position == 112
    lens.answer(SetFocusRing.request(ring_direction="reverse"), SECOND)
    lens.turn_focus_ring(100, SECOND)
    assert lens.status(2 * SECOND).focus_position == 12


# profiles


def test_the_profiles_are_what_the_database_says() -> None:
    kinds = {
        name: (
            profile.lens.maker_name,
            bool(profile.zoom_steps),
            profile.power_zoom,
            profile.stabilisation is not None,
            profile.adapter,
        )
        for name, profile in PROFILES.items()
    }
    assert kinds == {
        "olympus-14-42": ("Olympus", True, False, False, False),
        "olympus-45": ("Olympus", False, False, False, False),
        "olympus-12-100-is": ("Olympus", True, False, True, False),
        "olympus-ft-14-54": ("Olympus", True, False, False, True),
        "panasonic-pz-14-42": ("Panasonic", True, True, True, False),
        "panasonic-20": ("Panasonic", False, False, False, False),
    }
    for profile in PROFILES.values():
        assert profile.adapter == profile.lens.submodel.startswith("0")
        wide, tele = (F_NUMBER.decode(word) for word in profile.widest_av)
        assert wide == pytest.approx(profile.lens.aperture_wide_f, rel=0.03)
        assert tele == pytest.approx(profile.lens.aperture_tele_f, rel=0.03)
        assert profile.synthetic


@pytest.mark.parametrize("lens", lenses(), ids=lambda lens: lens.id_text)
def test_every_lens_of_the_database_can_be_simulated(lens: Lens) -> None:
    profile = profile_named(lens.id_text)
    assert profile_named(f"lens:{lens.id_text.replace(' ', '-')}") == profile
    identity = Identify.parse(bytes(2) + SimulatedLens(profile).answer(Identify.request(), 0).block)
    assert (identity.maker, identity.model, identity.submodel) == (lens.maker, lens.model, lens.submodel)
    status = SimulatedLens(profile).status(0)
    assert status.aperture_f == pytest.approx(lens.aperture_wide_f, rel=0.01)


def test_a_caller_gives_a_profile_another_serial_number() -> None:
    profile = PROFILES["olympus-45"].replace(serial="ABC123456", firmware="2.005")
    identity = Identify.parse(bytes(2) + SimulatedLens(profile).answer(Identify.request(), 0).block)
    assert (identity.serial, identity.firmware) == ("ABC123456", "2.005")
    assert from_lens("mine", 0, "11", "10", serial="X").serial == "X"
    with pytest.raises(EncodeError, match="must be at most 12 characters"):
        profile.replace(serial="ABC1234567890")
    with pytest.raises(EncodeError, match=r"must look like 1\.101"):
        profile.replace(firmware="v2")


def test_a_lens_that_is_not_known_well_enough_is_refused() -> None:
    lens = PROFILES["olympus-45"].lens
    with pytest.raises(ProfileError, match=r"lens 0 11 10, .* 45mm F1\.8: its aperture is not known"):
        profile_of(dataclasses.replace(lens, aperture_tele_f=math.nan), "x")
    with pytest.raises(ProfileError, match="its focal length is not known"):
        profile_of(dataclasses.replace(lens, focal_min_mm=0.0), "x")
    with pytest.raises(ProfileError, match="no lens 9 99 10 in the lens database; m43 lenses lists them"):
        profile_named("lens:9-99-10")
    with pytest.raises(ProfileError, match="no lens profile is called lens:2-14; profiles: olympus-14-42, "):
        profile_named("lens:2-14")


def test_the_focus_position_of_a_status_is_rounded_once() -> None:
    lens = SimulatedLens(PROFILES["olympus-14-42"])
    message = Drive(focus_operation="move", focus_target=300)
    lens.take(message.command, message.block, 0)
    for now_ns in range(0, SECOND, 7_000_000):
        status = lens.status(now_ns)
        assert status.focus_position == nearest(lens.focus.position(now_ns))
        assert status.unknown_5[0] == status.focus_position & 0xFF
