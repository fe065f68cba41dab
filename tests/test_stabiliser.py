"""The stabiliser of a simulated lens, behind the placeholder messages of the provisional catalogue."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43drivers.simulator.stabiliser import Shake, Stabilisation, Stabiliser
from m43proto.ends import PinBody, Script
from m43proto.events import MessageSeen, Violation
from m43proto.messages import PROVISIONAL, PUBLIC, SetStabilisation, StabilisationStatus
from m43proto.mount import Mount
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.observing import observed, of

SECOND = 10**9
CATALOGUE = PUBLIC | PROVISIONAL
STABILISED = PROFILES["olympus-12-100-is"]
MODES = ("off", "all-axes", "vertical-pan", "horizontal-pan", "auto")


def told(
    mode: int | str = "all-axes", corrector: int | str = "lens", focal_length_mm: float = 14.0
) -> SetStabilisation:
    return SetStabilisation(mode=mode, corrector=corrector, focal_length_mm=focal_length_mm)


def stabiliser(seed: int = 1) -> Stabiliser:
    return Stabiliser(Stabilisation(shake_seed=seed), 12.0)


def offsets(status: StabilisationStatus) -> tuple[float, float]:
    return status.pitch_offset_deg, status.yaw_offset_deg


def test_it_starts_corrects_and_parks() -> None:
    steady = stabiliser()
    assert steady.status(0) == StabilisationStatus(mode="off", state="parked", pitch_offset_deg=0, yaw_offset_deg=0)
    steady.set(told(), SECOND)
    assert (steady.status(SECOND).state, steady.status(SECOND).mode) == ("starting", "all-axes")
    assert steady.status(SECOND + 199_000_000).state == "starting"
    assert steady.status(SECOND + 200_000_000).state == "correcting"
    steady.set(told("off"), 2 * SECOND)
    assert steady.status(2 * SECOND).state == "correcting"
    assert offsets(steady.status(2 * SECOND)) != (0, 0)
    assert steady.status(2 * SECOND + 200_000_000).state == "parked"
    assert offsets(steady.status(3 * SECOND)) == (0, 0)


@given(seed=st.integers(0, 1_000), focal_mm=st.floats(7, 600), mode=st.sampled_from(MODES), at=st.integers(0, 30))
def test_it_moves_against_the_shake_as_far_as_it_reaches(seed: int, focal_mm: float, mode: str, at: int) -> None:
    steady = stabiliser(seed)
    steady.set(told(mode, "lens", focal_mm), 0)
    now_ns = SECOND + at * 77_000_000
    status, limit = steady.status(now_ns), steady.limit_deg
    assert limit == pytest.approx(math.degrees(0.12 / focal_mm), rel=0.01)
    wanted = [-turn for turn in Shake(seed).at(now_ns)]
    free = {"off": (), "vertical-pan": (1,), "horizontal-pan": (0,)}.get(mode, (0, 1))
    for axis, offset in enumerate(offsets(status)):
        assert abs(offset) <= limit
        assert offset == pytest.approx(min(max(wanted[axis], -limit), limit) if axis in free else 0.0)
    over = any(abs(wanted[axis]) > limit for axis in free)
    assert status.state == ("parked" if not free else "at-limit" if over else "correcting")
    StabilisationStatus.parse(status.build())


def test_it_reaches_its_limit_at_a_long_focal_length_only() -> None:
    def states(focal_length_mm: float) -> set[int | str]:
        steady = stabiliser()
        steady.set(told("auto", "lens", focal_length_mm), 0)
        return {steady.status(SECOND + at * 10_000_000).state for at in range(300)}

    assert states(12.0) == {"correcting"}
    assert states(100.0) == {"correcting", "at-limit"}


@settings(deadline=None)
@given(seed=st.integers(0, 1_000), mode=st.sampled_from(MODES))
def test_it_comes_and_goes_without_a_jump(seed: int, mode: str) -> None:
    steady = stabiliser(seed)
    before = (0.0, 0.0)
    for tick in range(800):
        now_ns = tick * 1_000_000
        if tick in (100, 500):
            steady.set(told(mode if tick == 100 else "off", "lens", 12.0), now_ns)
        after = offsets(steady.status(now_ns))
        assert all(abs(late - early) < 0.01 for early, late in zip(before, after, strict=True))
        before = after


def test_a_body_that_corrects_leaves_the_lens_parked_and_a_share_is_half() -> None:
    alone, shared, idle = stabiliser(), stabiliser(), stabiliser()
    for steady, corrector in ((alone, "lens"), (shared, "both"), (idle, "body")):
        steady.set(told("all-axes", corrector, 12.0), 0)
    full, half = offsets(alone.status(SECOND)), offsets(shared.status(SECOND))
    assert half == pytest.approx([angle / 2 for angle in full])
    assert (idle.status(SECOND).state, offsets(idle.status(SECOND))) == ("parked", (0, 0))


@pytest.mark.parametrize("setting", [told(9), told("auto", 7), told("auto", "lens", 0.0)])
def test_a_setting_that_nobody_has_named_changes_nothing(setting: SetStabilisation) -> None:
    steady = stabiliser()
    steady.set(told("vertical-pan"), 0)
    steady.set(setting, SECOND)
    assert steady.status(2 * SECOND).mode == "vertical-pan"


def test_the_shake_is_the_same_at_every_run() -> None:
    assert Shake(3).at(SECOND) == Shake(3).at(SECOND)
    assert Shake(3).at(SECOND) != Shake(4).at(SECOND)


def test_only_a_stabilised_lens_with_the_provisional_catalogue_answers() -> None:
    ask = StabilisationStatus.request()
    assert len(SimulatedLens(STABILISED, catalogue=CATALOGUE).answer(ask, 0).block) == 6
    assert SimulatedLens(STABILISED).answer(ask, 0).block == b""
    bare = SimulatedLens(PROFILES["olympus-14-42"], catalogue=CATALOGUE)
    assert bare.answer(ask, 0).block == b""
    bare.take(told().command, told().block, 0)
    assert bare.stabiliser is None


def test_a_block_of_another_size_changes_nothing() -> None:
    lens = SimulatedLens(STABILISED, catalogue=CATALOGUE)
    lens.take(told().command, told().block[:-1], 0)
    lens.take(told().command, told().block + b"\0", 0)
    assert StabilisationStatus.parse(bytes(2) + lens.answer(StabilisationStatus.request(), 0).block).mode == "off"


def test_a_body_steadies_the_picture_over_the_pins() -> None:
    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        yield from end.transact(told("auto").command, told("auto").block)
        for _ in range(30):
            yield from end.transact(StabilisationStatus.request())
            yield from end.pause(20_000_000)

    lens = pin_lens(SimulatedLens(STABILISED, catalogue=CATALOGUE), LENS_TIMINGS["bell_lens"], CATALOGUE.shape_of)
    body = PinBody(BODY_TIMINGS["bell_body"], script, CATALOGUE.shape_of)
    events = observed(list(Mount(body, lens).run(3_600 * SECOND)), catalogue=CATALOGUE)
    assert of(Violation, events) == []
    told_back = [event.message for event in of(MessageSeen, events)]
    states = [message.state for message in told_back if isinstance(message, StabilisationStatus)]
    assert len(states) == 30
    assert (states[0], states[-1]) == ("starting", "correcting")
