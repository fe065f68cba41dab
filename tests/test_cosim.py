"""An end on the lines of a simulator of hardware descriptions: its logic values, and its steps of time."""

from __future__ import annotations

import pytest

from m43drivers.simulator.cosim import Coupling, Drive, levels_of, steps_per_ns
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.lockstep import Lockstep, LockstepError
from m43drivers.simulator.profiles import PROFILES
from m43proto.ends import NEVER, PinBody, PinEnd, PinLens, Script
from m43proto.messages import PUBLIC
from m43proto.pins import Line
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS

CLK, DATA, BODY_ACK, LENS_ACK, SLEEP = (line.mask for line in list(Line)[:5])

# SHUTTER, FOCUS, SLEEP, LENS_ACK, BODY_ACK, DATA, CLK
OFF = "00000Z1"
AWAKE = "00100Z1"
ATTENTION = "00101Z1"


def a_lens() -> Lockstep:
    return Lockstep(PinLens(LENS_TIMINGS["bell_lens"], SimulatedLens(PROFILES["olympus-14-42"]), PUBLIC.shape_of))


def a_body(*levels: int, pause_ns: int = 100) -> Lockstep:
    """Return a body that drives DATA to these levels, one after another, and then releases it."""

    def script(body: PinBody) -> Script[None]:
        body.drives |= DATA
        for level in levels:
            body.outputs = (body.outputs & ~DATA) | level * DATA
            yield pause_ns
        body.drives &= ~DATA

    return Lockstep(PinBody(BODY_TIMINGS["bell_body"], script, PUBLIC.shape_of))


@pytest.mark.parametrize(("precision", "steps"), [(-9, 1), (-10, 10), (-12, 1_000), (-15, 1_000_000)])
def test_a_nanosecond_has_so_many_steps(precision: int, steps: int) -> None:
    assert steps_per_ns(precision) == steps


def test_steps_that_are_too_long_are_refused() -> None:
    with pytest.raises(LockstepError, match=r"in steps of 1e-8 s, .* finer precision, such as `timescale 1ns/1ns"):
        steps_per_ns(-8)


@pytest.mark.parametrize("per_ns", [1, 10, 1_000])
def test_waits_are_in_steps_and_count_from_the_step_not_the_nanosecond(per_ns: int) -> None:
    coupling = Coupling(a_lens(), per_ns)
    assert coupling.step(0, OFF) == Drive(0, LENS_ACK, None)
    assert coupling.step(1_000 * per_ns, AWAKE) == Drive(0, LENS_ACK, None)
    late = per_ns - 1
    assert coupling.step(2_000 * per_ns + late, ATTENTION) == Drive(0, LENS_ACK, 4_500 * per_ns - late)
    assert coupling.step(6_500 * per_ns - 1, ATTENTION).wait_steps == 1
    assert coupling.step(6_500 * per_ns, ATTENTION) == Drive(LENS_ACK, LENS_ACK, 10_000_000 * per_ns)


def test_a_step_too_far_is_refused() -> None:
    coupling = Coupling(a_lens(), 1_000)
    for now_steps, shown in ((0, OFF), (0, AWAKE), (0, ATTENTION)):
        coupling.step(now_steps, shown)
    with pytest.raises(LockstepError, match="time 4501 is past 4500"):
        coupling.step(4_501_000, ATTENTION)


def test_an_end_that_is_joined_late_has_done_what_it_does_by_itself() -> None:
    assert Coupling(a_body(1, 0, 1), 1_000, 250_000).step(250_000, "ZZZZZZZ") == Drive(
        CLK | DATA, CLK | DATA | BODY_ACK | SLEEP | Line.FOCUS.mask | Line.SHUTTER.mask, 50_000
    )


def test_an_end_that_acts_again_at_once_is_let() -> None:
    class Hasty(PinEnd):
        acts = 3

        def advance(self, now_ns: int, levels: int, changed: int | None = None) -> int:
            self.acts -= 1
            self.outputs = CLK if self.acts % 2 else 0
            return now_ns if self.acts else NEVER

    assert Coupling(Lockstep(Hasty(CLK, 0)), 1).step(0, OFF) == Drive(0, CLK, None)


def test_what_an_end_drives_itself_does_not_come_back_to_it() -> None:
    heard: list[int] = []

    class Ear(PinEnd):
        def advance(self, now_ns: int, levels: int, changed: int | None = None) -> int:
            heard.append(levels)
            self.drives = DATA if now_ns < 20 else 0
            return NEVER

    coupling = Coupling(Lockstep(Ear(DATA, DATA)), 1)
    for now_ns, shown in ((0, "ZZZZZ11"), (10, "ZZZZZ11"), (20, "ZZZZZ11"), (20, "ZZZZZ01"), (30, "ZZZZZ11")):
        coupling.step(now_ns, shown)
    assert heard == [CLK | DATA, CLK | DATA, CLK | DATA, CLK, CLK | DATA]


def test_lines_that_are_unclear_are_noted_once_and_low() -> None:
    coupling = Coupling(a_lens(), 1)
    coupling.step(0, "xxX0UxW")
    assert coupling.unclear == [(0, line) for line in Line if line is not Line.LENS_ACK]
    coupling.step(5, "0010ZZX")
    coupling.step(7, "00100X1")
    coupling.step(9, "0010-X1")
    assert coupling.unclear[6:] == [(7, Line.DATA), (9, Line.BODY_ACK)]
    assert coupling.step(9, "00100X1").wait_steps is None
    assert coupling.step(10, "0010HX1").wait_steps == 4_500


def test_two_that_drive_data_against_each_other_are_noted() -> None:
    coupling = Coupling(a_body(0), 1)
    assert coupling.step(0, "0000001").driven & DATA
    coupling.step(50, "00000X1")
    assert coupling.unclear == [(50, Line.DATA)]


def test_levels_for_an_observer() -> None:
    assert levels_of("0010ZX1") == SLEEP | CLK
    assert levels_of("LZWHhl0") == LENS_ACK | BODY_ACK
    with pytest.raises(ValueError, match="shorter"):
        levels_of("0010Z1")
