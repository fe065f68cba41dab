"""The simulated lens: its mechanics, its answers, and its lockstep with somebody else's simulator."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.simulator.faults import FAULTS
from m43drivers.simulator.lens import LENS_DATA_SIZE, SimulatedLens
from m43drivers.simulator.lockstep import Lockstep, LockstepError
from m43drivers.simulator.profiles import PROFILES, Profile, ProfileError, from_lens, profile_named
from m43proto.encodings import F_NUMBER
from m43proto.ends import PinBody, PinLens, Script
from m43proto.events import TransactionSeen, Violation
from m43proto.messages import PUBLIC, Drive, Identify, SetFocusRing, Status
from m43proto.mount import Mount
from m43proto.pins import LINES, Line
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.observing import observed, of
from tests.test_sniff import Run

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 10**9
HOUR_NS = 3_600 * SECOND
OLYMPUS = PROFILES["olympus-14-42"]

every_profile = pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)


# the lens


def test_the_olympus_answers_with_the_bytes_on_record() -> None:
    lens = SimulatedLens(OLYMPUS)
    assert lens.answer(Identify.request(), 0).block.hex() == "0000011000004141413234333834310000000111"
    assert lens.answer(bytes.fromhex("c0f60000"), 0).block.hex() == "0a10c409"
    first = lens.answer(Status.request(), 0).block
    assert first.hex() == "c2e10000000c4200b103000c0c00d2002f018c01ea014702a4025c034e02"


@every_profile
def test_every_profile_is_a_lens_that_answers(profile: Profile) -> None:
    lens = SimulatedLens(profile)
    identity = Identify.parse(bytes(2) + lens.answer(Identify.request(), 0).block)
    assert (identity.maker, identity.model, identity.submodel) == (
        profile.lens.maker,
        profile.lens.model,
        profile.lens.submodel,
    )
    status = lens.status(0)
    assert lens.answer(Status.request(), 0).block == status.block
    assert status.aperture_f == pytest.approx(profile.lens.aperture_wide_f, rel=0.04)
    assert len(lens.answer(bytes.fromhex("c3f00000"), 0).block) == LENS_DATA_SIZE
    assert lens.answer(bytes.fromhex("b0f20000"), 0).busy_ns == profile.initialise_ns
    assert lens.answer(bytes.fromhex("c7000000"), 0).block == b""
    assert profile.synthetic


def drive(lens: SimulatedLens, message: Drive, now_ns: int) -> None:
    lens.take(message.command, message.block, now_ns)


@every_profile
def test_focus_goes_where_it_is_driven_and_the_distance_follows(profile: Profile) -> None:
    lens = SimulatedLens(profile)
    now_ns, distances = 0, []
    for target in (profile.near, 0, profile.infinity - 1, profile.infinity):
        drive(lens, Drive(focus_operation="move", focus_target=target), now_ns)
        now_ns += 5 * SECOND
        status = lens.status(now_ns)
        assert status.focus_position == target
        distances.append(status.focus_distance_m)
    assert distances == sorted(distances)
    assert distances[-1] == math.inf
    assert distances[0] > 0
    drive(lens, Drive(focus_operation="scan", focus_target=0x7FFF), now_ns)
    assert lens.status(now_ns + 5 * SECOND).focus_position > profile.infinity
    Status.parse(lens.status(now_ns + SECOND).build())


def test_focus_takes_its_time() -> None:
    lens = SimulatedLens(OLYMPUS)
    drive(lens, Drive(focus_operation="move", focus_target=512), 0)
    positions = [lens.status(at * 10_000_000).focus_position for at in range(40)]
    assert positions == sorted(positions)
    assert 12 < positions[10] < 512
    assert positions[-1] == 512


def test_the_iris_goes_where_it_is_set_and_keeps_it_when_the_zoom_turns() -> None:
    lens = SimulatedLens(OLYMPUS)
    drive(lens, Drive(aperture_operation="set", aperture_f=4.0), 0)
    assert lens.status(SECOND).aperture_f == pytest.approx(4.0, abs=0.01)
    lens.turn_zoom(99, SECOND)
    tele = lens.status(2 * SECOND)
    assert (tele.zoom_step, F_NUMBER.encode(tele.aperture_f)) == (31, OLYMPUS.widest_av[1])
    lens.turn_zoom(0, 2 * SECOND)
    assert lens.status(3 * SECOND).aperture_f == pytest.approx(4.0, abs=0.01)
    drive(lens, Drive(aperture_operation="set", aperture_f=99.0), 3 * SECOND)
    assert F_NUMBER.encode(lens.status(5 * SECOND).aperture_f) == OLYMPUS.smallest_av


def test_what_a_drive_leaves_alone_stays() -> None:
    lens = SimulatedLens(OLYMPUS)
    drive(lens, Drive(aperture_f=8.0, focus_target=300), 0)
    lens.take(Drive.request(focus_operation="move"), b"short", 0)
    assert lens.status(SECOND) == SimulatedLens(OLYMPUS).status(0)


@pytest.mark.parametrize(("direction", "position"), [("forward", 52), ("reverse", -28)])
def test_the_focus_ring_turns_the_way_it_was_told(direction: str, position: int) -> None:
    lens = SimulatedLens(OLYMPUS)
    lens.answer(SetFocusRing.request(ring_direction=direction), 0)
    lens.turn_focus_ring(40, 0)
    assert lens.status(SECOND).focus_position == position


def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(ProfileError, match="no lens profile is called nikon; profiles: olympus-14-42, "):
        profile_named("nikon")
    with pytest.raises(ProfileError, match="no lens 0 99 10 in the lens database"):
        from_lens("x", 0, "99", "10")
    assert profile_named("olympus-45").lens.name.endswith("45mm F1.8")


# lockstep

FRAMES = 5
START_UP = [bytes.fromhex(command) for command in ("b0f20000", "c0f60000", "a0f50100", "c1f90000")]


def polling(results: list[TransactionSeen | None]) -> Callable[[PinBody], Script[None]]:
    def script(body: PinBody) -> Script[None]:
        yield from body.power_up()
        for command in START_UP:
            outcome = yield from body.transact(command)
            results.append(outcome)
        for frame in range(FRAMES):
            results.append((yield from body.transact(Status.request())))
            if frame == 1:
                message = Drive(focus_operation="move", focus_target=200)
                results.append((yield from body.transact(message.command, message.block)))
            yield from body.pause(14_000_000)

    return script


def caller(body: PinBody, ask: Callable[[str], str]) -> list[tuple[int, int]]:
    """Run a body as the caller of the line protocol; return the changes of the lines."""
    shown: dict[str, str] = {}
    theirs = 0
    changes: list[tuple[int, int]] = []
    now_ns, next_ns = 0, 0
    while True:
        due_ns = body.advance(now_ns, theirs | (body.outputs & body.drives))
        lines = {str(line): _level(body, line) for line in LINES if line is not Line.LENS_ACK}
        changed = [f"{line}={level}" for line, level in lines.items() if shown.get(line) != level]
        if changed or now_ns == next_ns:
            shown |= lines
            told = ask(f"{now_ns} {' '.join(changed)}")
            answer = re.fullmatch(r"(\d+) DATA=([01z]) LENS_ACK=([01]) next=(\d+|never)", told)
            assert answer, told
            assert int(answer[1]) == now_ns
            theirs = (answer[2] == "1") * Line.DATA.mask | (answer[3] == "1") * Line.LENS_ACK.mask
            next_ns = HOUR_NS if answer[4] == "never" else int(answer[4])
            changes.append((now_ns, theirs | (body.outputs & body.drives)))
            continue
        coming = (due_ns, next_ns)
        if body.done or min(coming) >= HOUR_NS:
            return changes
        now_ns = min(coming)


def _level(body: PinBody, line: Line) -> str:
    if not body.drives & line.mask:
        return "z"
    return "1" if body.outputs & line.mask else "0"


def test_a_lens_in_lockstep_does_what_it_does_at_home() -> None:
    at_home: list[TransactionSeen | None] = []
    body = PinBody(BODY_TIMINGS["bell_body"], polling(at_home), PUBLIC.shape_of)
    lens = PinLens(LENS_TIMINGS["bell_lens"], SimulatedLens(OLYMPUS), PUBLIC.shape_of)
    list(Mount(body, lens).run(HOUR_NS))
    abroad: list[TransactionSeen | None] = []
    lockstep = Lockstep(PinLens(LENS_TIMINGS["bell_lens"], SimulatedLens(OLYMPUS), PUBLIC.shape_of))
    changes = caller(PinBody(BODY_TIMINGS["bell_body"], polling(abroad), PUBLIC.shape_of), lockstep.take_line)
    assert abroad == at_home
    events = observed(changes)
    assert of(Violation, events) == []
    assert of(TransactionSeen, events) == at_home
    polls = [one for one in at_home if one is not None and one.command == Status.request()]
    positions = [Status.parse(one.command[2:] + one.data).focus_position for one in polls]
    assert positions[0] == 12
    assert positions[-1] > 40


def polled_over_the_line_protocol(*options: str) -> list[TransactionSeen | None]:
    """Poll a lens that the real program simulates."""
    with subprocess.Popen(
        [sys.executable, "-m", "m43tools", "simulate", "lens", *options, "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        asked, told = running.stdin, running.stdout

        def ask(line: str) -> str:
            asked.write(line + "\n")
            return told.readline().rstrip("\n")

        results: list[TransactionSeen | None] = []
        caller(PinBody(BODY_TIMINGS["bell_body"], polling(results), PUBLIC.shape_of), ask)
        asked.close()
        assert running.wait(timeout=20) == 0
    return results


def test_the_command_talks_the_line_protocol() -> None:
    results = polled_over_the_line_protocol()
    assert [one.complete and one.sums_ok for one in results if one] == [True] * (5 + FRAMES)


def test_the_command_simulates_any_lens_and_its_faults() -> None:
    results = polled_over_the_line_protocol(
        "--profile", "lens:2-14-10", "--fault", "wrong_command_sum@3", "--fault", "lost_bit@5"
    )
    assert [one.complete and one.sums_ok for one in results if one] == [True, True, False, True, False] + [True] * 5
    identity = results[3]
    assert identity is not None
    assert identity.data[:4].hex() == "02001410"


def test_the_example_of_the_spec_is_what_happens() -> None:
    page = (Path(__file__).parents[1] / "specs" / "8-lockstep.md").read_text(encoding="utf-8")
    example = re.search(r"```text\n(> .*?)```", page, re.DOTALL)
    assert example
    lockstep = Lockstep(PinLens(LENS_TIMINGS["bell_lens"], SimulatedLens(OLYMPUS), PUBLIC.shape_of))
    lines = example[1].splitlines()
    for question, answer in zip(lines[::2], lines[1::2], strict=True):
        assert f"< {lockstep.take_line(question.removeprefix('> '))}" == answer


@pytest.fixture
def lockstep() -> Lockstep:
    stepped = Lockstep(PinLens(LENS_TIMINGS["bell_lens"], SimulatedLens(OLYMPUS), PUBLIC.shape_of))
    stepped.step(0, {Line.CLK: 1})
    stepped.step(1_000, {Line.SLEEP: 1})
    stepped.step(2_000, {Line.BODY_ACK: 1})
    return stepped


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("soon CLK=1", "'soon CLK=1': a line begins with the time in nanoseconds"),
        ("", "a line begins with the time"),
        ("-5", "a line begins with the time"),
        ("1e5", "a line begins with the time"),
        ("9" * 50, "a line begins with the time"),
        ("3000 CLK", "'CLK': write LINE=0, LINE=1 or LINE=z; lines: CLK, DATA"),
        ("3000 CLK=2", "'CLK=2': write LINE=0"),
        ("3000 CLOCK=1", "'CLOCK=1': write LINE=0"),
        ("1999", "time 1999 is before 2000; time does not go back"),
        ("6501", "time 6501 is past 6500, when this end acts; step there first"),
    ],
)
def test_a_bad_line_gets_an_error_and_the_session_goes_on(lockstep: Lockstep, line: str, complaint: str) -> None:
    answer = lockstep.take_line(line)
    assert answer.startswith("error: ")
    assert complaint in answer
    assert lockstep.take_line("2500") == "2500 DATA=z LENS_ACK=0 next=6500"
    assert lockstep.take_line("6500") == "6500 DATA=z LENS_ACK=1 next=10006500"


def test_stepping_in_python(lockstep: Lockstep) -> None:
    assert lockstep.step(6_500) == ({Line.DATA: None, Line.LENS_ACK: 1}, 10_006_500)
    with pytest.raises(LockstepError, match="does not go back"):
        lockstep.step(6_499)


def test_wrong_usage_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: Any) -> Run:
        return Run(("simulate", "lens", *arguments), capsys)

    assert run("--profile", "nikon", "--stdio").code == 2
    assert "no lens profile is called nikon" in run("--profile", "nikon", "--stdio").err
    assert "Missing option '--stdio'" in run().err
    assert run("--stdio", "--timing", "odd").code == 2
    assert run("--stdio", "--fault", "lost_bits").code == 2
    assert run("--stdio", "--fault", "lost_bits").err.startswith("m43: no fault is called lost_bits; faults: wrong_")
    shown = run("--help")
    assert shown.code == 0
    assert "panasonic-pz-14-42" in shown.out
    assert all(name in shown.out for name in FAULTS)
