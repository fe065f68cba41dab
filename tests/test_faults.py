"""What a simulated lens does wrong on purpose, and that `m43 sniff` shows of it what the table says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m43drivers.capture import Channel
from m43drivers.simulator.faults import FAULTS, NO_FAULTS, FaultError, FaultKind, Faults, faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import FaultyPinLens, pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43proto.ends import PinBody, PinLens, Script
from m43proto.events import ByteSeen, Cause, Event, MessageSeen, TransactionSeen, Violation
from m43proto.messages import PUBLIC, Drive, EnableDrive, Identify, SetFocusRing, Status
from m43proto.mount import Mount
from m43proto.pins import LINES, Line
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.capture.writers import vcd_bytes
from tests.observing import observed, of
from tests.test_sniff import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECOND = 10**9
HOUR_NS = 3_600 * SECOND
LONGEST_NS = 60 * SECOND
"""No session may take longer than this, whatever is wrong with the lens."""

OLYMPUS = PROFILES["olympus-14-42"]
START_UP = ("b0f20000", "c0f60000", "a0f50100", "c1f90000")
TARGET = 300

every_fault = pytest.mark.parametrize("name", FAULTS)


def talk(end: PinBody) -> Script[None]:
    """Start up, poll, drive iris and focus, and watch them until they rest."""
    yield from end.pause(1_000_000)
    yield from end.power_up()
    for opcode in START_UP:
        yield from end.transact(bytes.fromhex(opcode))
        yield from end.pause(1_000_000)
    yield from end.transact(bytes.fromhex("60f00000"), bytes(4))
    for command in (Status.request(), SetFocusRing.request(ring_direction="forward"), EnableDrive.request()):
        yield from end.pause(1_000_000)
        yield from end.transact(command)
    for drive in (
        Drive(aperture_operation="set", aperture_f=8.0),
        Drive(focus_operation="move", focus_target=TARGET),
    ):
        yield from end.pause(1_000_000)
        yield from end.transact(drive.command, drive.block)
    for _ in range(20):
        yield from end.transact(Status.request())
        yield from end.pause(15_000_000)
    yield from end.pause(3 * SECOND)


class PollingBody(PinBody):
    """A body that looks at LENS_ACK only now and then, like a loop on a microcontroller."""

    poll_ns = 4_000
    _sampled = 0
    _next_ns = 0

    def advance(self, now_ns: int, levels: int, changed: int | None = None) -> int:
        if now_ns >= self._next_ns:
            self._sampled = levels & Line.LENS_ACK.mask
            self._next_ns = (now_ns // self.poll_ns + 1) * self.poll_ns
        due_ns = super().advance(now_ns, levels & ~Line.LENS_ACK.mask | self._sampled)
        waits = (self.watches_rises | self.watches_falls) & Line.LENS_ACK.mask
        return min(due_ns, self._next_ns) if waits else due_ns


@dataclass
class Talk:
    """A session with a lens, and what an observer saw of it."""

    events: list[Event]
    changes: list[tuple[int, int]]
    mount: Mount
    body: PinBody
    lens: SimulatedLens

    @property
    def causes(self) -> set[str]:
        return {str(violation.cause) for violation in of(Violation, self.events)}

    @property
    def transactions(self) -> list[TransactionSeen]:
        return of(TransactionSeen, self.events)

    @property
    def polls(self) -> list[Status]:
        messages = of(MessageSeen, self.events)
        return [event.message for event in messages if isinstance(event.message, Status)]


@cache
def session(
    *faults: str,
    body: str = "bell_body",
    script: Callable[[PinBody], Script[None]] = talk,
    kind: type[PinBody] = PinBody,
) -> Talk:
    lens = SimulatedLens(OLYMPUS, faults_named(faults))
    end = kind(BODY_TIMINGS[body], script, PUBLIC.shape_of)
    mount = Mount(end, pin_lens(lens, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of))
    changes = list(mount.run(LONGEST_NS))
    return Talk(observed(changes, end_ns=mount.now_ns), changes, mount, end, lens)


@pytest.fixture(scope="module")
def honest() -> Talk:
    return session()


# what each fault shows


def command_sums_wrong(seen: Talk) -> bool:
    wrong = [one for one in seen.transactions if one.command_sum_ok is False]
    return bool(wrong) and all(((one.command_sum or 0) - sum(one.command)) & 0xFF == 4 for one in wrong)


def data_sums_wrong(seen: Talk) -> bool:
    wrong = [one for one in seen.transactions if one.data_sum_ok is False]
    return {str(one.shape) for one in wrong} == {"read", "write"}


def identity_is_nobodys(seen: Talk) -> bool:
    [identity] = [event.message for event in of(MessageSeen, seen.events) if isinstance(event.message, Identify)]
    return (identity.maker, identity.model, identity.submodel, identity.serial) == (0, "99", "99", OLYMPUS.serial)


def aperture_stands(seen: Talk) -> bool:
    return len({poll.aperture_f for poll in seen.polls}) == 1


def comes_to_rest_before(seen: Talk) -> bool:
    return OLYMPUS.rest < seen.polls[-1].focus_position == seen.polls[-2].focus_position < TARGET


def comes_to_rest_behind(seen: Talk) -> bool:
    return seen.polls[-1].focus_position == seen.polls[-2].focus_position == TARGET + 40


def says_target_while_moving(seen: Talk) -> bool:
    there = [poll.focus_distance_m for poll in seen.polls if poll.focus_position == TARGET]
    return len(set(there)) > 3


def causes_of(*causes: Cause) -> Callable[[Talk], bool]:
    return lambda seen: seen.causes == set(causes)


JUDGES: dict[str, Callable[[Talk], bool]] = {
    "wrong_command_sum": command_sums_wrong,
    "wrong_data_sum": data_sums_wrong,
    "length_off_by_one": causes_of(Cause.BROKE_OFF),
    "wrong_identity": identity_is_nobodys,
    "busy_for_ever": causes_of(Cause.BROKE_OFF),
    "aperture_stuck": aperture_stands,
    "focus_stalls": comes_to_rest_before,
    "focus_overshoots": comes_to_rest_behind,
    "status_lies": says_target_while_moving,
    "lens_ack_stuck_high": causes_of(Cause.BROKE_OFF),
    "lens_ack_stuck_low": causes_of(Cause.NO_ANSWER),
    "late_ack": causes_of(Cause.BROKE_OFF),
    "short_ack_pulse": causes_of(Cause.NO_COMMAND),
    "lost_bit": causes_of(Cause.BROKE_OFF),
    "data_into_body_turn": causes_of(Cause.UNKNOWN_SHAPE),
    "reset_mid_transaction": causes_of(Cause.BROKE_OFF),
    "yanked": causes_of(Cause.BROKE_OFF, Cause.NO_ANSWER),
}
"""What `m43 sniff` shows of each fault that shows with the public body program."""

POLLED = {"short_ack_pulse"}
"""Faults that show with a body that polls, only."""

HARMLESS = {"fast": {"late_ack", "short_ack_pulse"}, "bell_body": {"short_ack_pulse"}}
"""Faults that bodies which wait for edges, or do not look, do not suffer from."""


def talk_with(name: str) -> Talk:
    if name in POLLED:
        return session(name, body="fast", kind=PollingBody)
    return session(name)


def test_every_fault_has_a_judge() -> None:
    assert set(JUDGES) == set(FAULTS)
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert fault.doc.endswith(".")
        assert fault.unit in ("transaction", "byte")
        assert fault.shown


@every_fault
def test_the_sniffer_shows_what_the_table_says(name: str, honest: Talk) -> None:
    seen = talk_with(name)
    assert JUDGES[name](seen), seen.causes
    control = session(body="fast", kind=PollingBody) if name in POLLED else honest
    assert not JUDGES[name](control)
    assert control.causes == set()


@every_fault
@pytest.mark.parametrize("body", ["bell_body", "fast"])
def test_the_sniffer_shows_nothing_that_the_table_does_not_say(name: str, body: str) -> None:
    seen, shown = session(name, body=body), FAULTS[name].shown
    named = {str(cause) for cause in Cause if cause in shown}
    assert seen.causes <= named
    assert bool(seen.causes) == bool(named) or name in HARMLESS[body]
    assert all(one.sums_ok for one in seen.transactions) or "wrong sum" in shown


@every_fault
@pytest.mark.parametrize("body", ["bell_body", "fast"])
def test_no_fault_makes_the_body_hang(name: str, body: str) -> None:
    seen = session(name, body=body)
    assert seen.body.done
    assert seen.mount.now_ns < LONGEST_NS


@settings(deadline=None, max_examples=25)
@given(
    switches=st.dictionaries(st.sampled_from(list(FAULTS)), st.none() | st.integers(1, 200), max_size=4),
    body=st.sampled_from(["bell_body", "fast"]),
)
def test_no_faults_together_make_the_body_hang(switches: dict[str, int | None], body: str) -> None:
    seen = session.__wrapped__(*(name if at is None else f"{name}@{at}" for name, at in switches.items()), body=body)
    assert seen.body.done
    assert seen.mount.now_ns < LONGEST_NS


@every_fault
def test_a_fault_strikes_the_same_way_every_time(name: str) -> None:
    assert session(name).changes == session.__wrapped__(name).changes


@every_fault
def test_m43_sniff_shows_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = talk_with(name)
    path = tmp_path / "capture.vcd"
    path.write_bytes(vcd_bytes(channels(seen.changes), seen.mount.now_ns))
    run = Run(("sniff", path, "--format", "jsonl"), capsys)
    assert {record["cause"] for record in run.records if record.get("event") == "violation"} == seen.causes
    wrong = any(record.get("command_sum_ok") is False or record.get("data_sum_ok") is False for record in run.records)
    assert run.code == int(wrong or bool(seen.causes))


def channels(changes: list[tuple[int, int]]) -> tuple[Channel, ...]:
    """Return what an analyser on every line records of these changes."""
    times = np.array([t_ns for t_ns, _ in changes], np.int64)
    words = np.array([levels for _, levels in changes], np.int64)
    toggled = words[1:] ^ words[:-1]
    return tuple(
        Channel(line, int(bool(words[0] & line.mask)), times[1:][(toggled & line.mask).astype(bool)]) for line in LINES
    )


# where they strike


def wrong_sums(seen: Talk) -> list[int]:
    return [number for number, one in enumerate(seen.transactions, 1) if not one.sums_ok]


def test_a_fault_strikes_at_the_transaction_that_is_named(honest: Talk) -> None:
    assert wrong_sums(session("wrong_command_sum@5")) == [5]
    assert wrong_sums(session("wrong_command_sum")) == list(range(1, len(honest.transactions) + 1))
    assert wrong_sums(session("wrong_data_sum@5")) == [5]
    assert wrong_sums(session("wrong_data_sum@1")) == []


@pytest.mark.parametrize("number", [1, 2, 7, 10])
@pytest.mark.parametrize("name", ["lost_bit", "reset_mid_transaction", "data_into_body_turn"])
def test_a_fault_of_the_pins_strikes_once(name: str, number: int, honest: Talk) -> None:
    seen = session(f"{name}@{number}")
    assert sum(one.complete for one in seen.transactions) == len(honest.transactions) - 1
    for violation in of(Violation, seen.events):
        assert sum(one.complete for one in seen.transactions if one.end_ns < violation.t_ns) == number - 1
    assert of(Violation, seen.events)


@pytest.mark.parametrize("name", ["lens_ack_stuck_high", "lens_ack_stuck_low"])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_a_line_that_sticks_goes_on_sticking(name: str, number: int) -> None:
    seen = session(f"{name}@{number}")
    assert sum(one.complete for one in seen.transactions) == number - 1


def test_a_mechanical_fault_begins_with_a_transaction() -> None:
    def twice(end: PinBody) -> Script[None]:
        yield from end.power_up()
        for target in (100, 200):
            drive = Drive(focus_operation="move", focus_target=target)
            yield from end.transact(drive.command, drive.block)
            yield from end.pause(SECOND)
            yield from end.transact(Status.request())

    assert [poll.focus_position for poll in session("focus_stalls@3", script=twice).polls] == [100, 150]
    assert [poll.focus_position for poll in session("focus_stalls@1", script=twice).polls] == [56, 128]
    assert [poll.focus_position for poll in session("focus_overshoots@3", script=twice).polls] == [100, 240]


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 40, 71, 90, 119, 120, 121])
def test_a_lens_is_yanked_in_the_middle_of_the_byte_that_is_named(number: int, honest: Talk) -> None:
    seen = session(f"yanked@{number}")
    assert seen.body.done
    last = of(ByteSeen, honest.events)[number - 1]
    edges = [t_ns for t_ns, _ in honest.changes if last.t_ns <= t_ns <= last.end_ns]
    same = sum(one == other for one, other in zip(seen.changes, honest.changes, strict=False))
    assert honest.changes[same][0] in edges
    assert Cause.NO_ANSWER in seen.causes
    assert [one.complete for one in seen.transactions].count(True) < len(honest.transactions)


def test_an_overshoot_ends_at_the_end_stop() -> None:
    lens = SimulatedLens(OLYMPUS, faults_named(["focus_overshoots@1"]))
    message = Drive(focus_operation="scan", focus_target=0x7FFF)
    lens.answer(message.command, 0)
    lens.take(message.command, message.block, 0)
    assert lens.focus.position(SECOND) == lens.focus.high
    lens.turn_focus_ring(0, SECOND)
    assert lens.focus.position(2 * SECOND) == lens.focus.high


def test_data_into_the_body_s_turn_is_contention_on_the_mount(honest: Talk) -> None:
    assert honest.mount.contention_ns == []
    seen = session("data_into_body_turn@5")
    [violation] = of(Violation, seen.events)
    assert violation.data[0] == 0xFF
    assert all(violation.t_ns <= at <= violation.end_ns for at in seen.mount.contention_ns)
    assert seen.mount.contention_ns


def test_faults_of_the_content_need_no_pins() -> None:
    lens = SimulatedLens(OLYMPUS, faults_named(["wrong_command_sum@2", "length_off_by_one@1", "wrong_data_sum@3"]))
    first, second, third = (lens.answer(Status.request(), 0) for _ in range(3))
    assert first.wire_block()[:2] == b"\x20\x00"
    assert (first.command_sum(Status.request()), second.command_sum(Status.request())) == (b"\x48", b"\x4c")
    assert third.wire_block()[-1] == (sum(third.block) + 1) & 0xFF
    assert first.block == second.block == third.block


def test_only_faults_of_the_pins_need_a_faulty_lens() -> None:
    for name, fault in FAULTS.items():
        lens = pin_lens(SimulatedLens(OLYMPUS, faults_named([name])), LENS_TIMINGS["bell_lens"], PUBLIC.shape_of)
        assert isinstance(lens, FaultyPinLens) == (fault.kind is FaultKind.PINS)
    assert type(pin_lens(SimulatedLens(OLYMPUS), LENS_TIMINGS["bell_lens"], PUBLIC.shape_of)) is PinLens


def test_the_wake_pulse_comes_no_sooner_than_the_profile_says() -> None:
    late = SimulatedLens(PROFILES["panasonic-pz-14-42"])
    assert pin_lens(late, LENS_TIMINGS["bell_lens"], PUBLIC.shape_of).timing.wake_ns == 2_000_000
    assert pin_lens(SimulatedLens(OLYMPUS), LENS_TIMINGS["slow"], PUBLIC.shape_of).timing.wake_ns == 18_000


# how they are switched on


def test_faults_are_named_in_one_way() -> None:
    faults = faults_named(["yanked", "lost_bit@3", "wrong_command_sum"])
    assert faults == Faults({"yanked": 120, "lost_bit": 3, "wrong_command_sum": None})
    assert faults_named([]) == NO_FAULTS
    assert [faults.hits("lost_bit", number) for number in (2, 3, 4)] == [False, True, False]
    assert [faults.hits("yanked", number) for number in (119, 120, 4_000)] == [False, True, True]
    assert faults.hits("wrong_command_sum", 77)
    assert not faults.hits("wrong_data_sum", 1)
    assert faults.of(FaultKind.PINS) == ("yanked", "lost_bit")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lost_bits", "no fault is called lost_bits; faults: wrong_command_sum, "),
        ("", "no fault is called ; faults: "),
        ("lost_bit@", "fault lost_bit@: write NAME or NAME@N, N counting from 1, such as yanked@120"),
        ("lost_bit@0", "write NAME or NAME@N"),
        ("lost_bit@-1", "write NAME or NAME@N"),
        ("lost_bit@two", "write NAME or NAME@N"),
        ("lost_bit@1@2", "write NAME or NAME@N"),
        ("lost_bit@" + "9" * 30, "write NAME or NAME@N"),
    ],
)
def test_a_fault_that_is_written_wrongly_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(FaultError) as refused:
        faults_named([text])
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_fault_is_given_once() -> None:
    with pytest.raises(FaultError, match="fault lost_bit@3: lost_bit is switched on twice; give it once"):
        faults_named(["lost_bit", "lost_bit@3"])
