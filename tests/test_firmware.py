"""The simulated ends against programs that look at levels now and then, and would hang for ever."""

from __future__ import annotations

import pytest

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.lockstep import Lockstep
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43proto.dialects import DIALECTS
from m43proto.ends import PinBody, Script
from m43proto.events import MessageSeen, TransactionSeen, Violation
from m43proto.messages import PUBLIC, Drive, Identify, Status
from m43proto.shapes import Shape
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.firmware import FOCUS, SHUTTER, BodyProgram, LensProgram
from tests.observing import observed, of

SECOND = 10**9
STATUS_BLOCK = bytes.fromhex("c2e10000000c4200b103000c0c00d2002f018c01ea014702a4025c034e02")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_body_program_that_polls_gets_on_with_the_simulated_lens_for_200_frames(dialect: str) -> None:
    glass = SimulatedLens(PROFILES["olympus-14-42"])
    lens = pin_lens(glass, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of)
    body = BodyProgram(Lockstep(lens), 8 * SECOND)
    body.power_up()
    read: dict[bytes, bytes] = {}
    for step in DIALECTS[dialect].steps:
        shape = PUBLIC.shape_of(step.command)
        if shape is Shape.READ:
            read[step.command] = body.read(step.command)
        elif shape is Shape.COMPLETE:
            assert body.complete(step.command) == 0
        elif shape is Shape.WRITE:
            body.write(step.command, step.block)
        else:
            body.command(step.command)
        body.pins.wait(1_000_000)
    assert Identify.parse(bytes(2) + read[Identify.request()]).serial == "AAA243841"
    drives = (
        Drive(focus_operation="setup"),
        Drive(aperture_operation="set", aperture_f=5.6),
        Drive(focus_operation="move", focus_target=590),
        Drive(aperture_operation="set", aperture_f=4.0),
        Drive(focus_operation="move", focus_target=-41),
    )
    polls = []
    for frame in range(200):
        body.pins.write(SHUTTER, 1)
        body.pins.wait(500_000)
        body.pins.write(SHUTTER, 0)
        body.pins.wait(1_500_000)
        polls.append(Status.parse(bytes.fromhex("0106") + body.read(DIALECTS[dialect].poll)))
        if frame % 30 == 1 and frame // 30 < len(drives):
            drive = drives[frame // 30]
            body.write(drive.command, drive.block)
        body.pins.wait(4_000_000)
        body.pins.write(FOCUS, frame % 2)
        body.pins.wait(9_000_000)
    assert (polls[60].aperture_f, polls[-1].aperture_f) == pytest.approx((5.6, 4.0), rel=0.01)
    assert (polls[90].focus_position, polls[-1].focus_position) == (590, -41)
    events = observed(body.pins.changes)
    assert of(Violation, events) == []
    seen = of(TransactionSeen, events)
    assert len(seen) == 8 + 200 + len(drives)
    assert all(one.complete and one.sums_ok for one in seen)


@pytest.mark.parametrize(("timing", "busy_ns"), [("bell_body", 0), ("bell_body", 500_000_000), ("patient", 0)])
def test_a_lens_program_that_polls_gets_on_with_the_simulated_body_for_200_frames(timing: str, busy_ns: int) -> None:
    dialect = DIALECTS["E-P1"]
    drive = Drive(aperture_operation="set", aperture_f=5.6)
    results: list[TransactionSeen | None] = []

    def script(body: PinBody) -> Script[None]:
        assert (yield from body.power_up())
        for step in dialect.steps:
            results.append((yield from body.transact(step.command, step.block)))
            yield from body.pause(1_000_000)
            if step.clock_hold:
                yield from body.clock_hold(1_000_000)
                yield from body.pause(1_000_000)
        for frame in range(200):
            yield from body.frame_sync(500_000)
            yield from body.pause(1_500_000)
            results.append((yield from body.transact(dialect.poll)))
            if frame % 30 == 1:
                results.append((yield from body.transact(drive.command, drive.block)))
            yield from body.toggle_focus()
            yield from body.pause(12_000_000)

    body = PinBody(BODY_TIMINGS[timing], script, PUBLIC.shape_of)
    answers = {b"\xc0\xf6": bytes.fromhex("0a10c409"), b"\xc1\xf9": bytes(20), b"\xc1\x80": STATUS_BLOCK}
    lens = LensProgram(Lockstep(body), 20 * SECOND, answers, busy_ns)
    serving = lens.run()
    for _ in range(8 + 200 + 7):
        next(serving)
    lens.pins.wait(1_000_000)
    events = observed(lens.pins.changes)
    assert of(Violation, events) == []
    assert len(results) == 8 + 200 + 7
    assert all(one is not None and one.complete and one.sums_ok for one in results)
    assert of(TransactionSeen, events) == results
    seen = [one.message for one in of(MessageSeen, events)]
    assert [one.block for one in seen if isinstance(one, Drive)] == [drive.block] * 7
    assert lens.heard[-1][:4] == dialect.poll
