"""Whole transactions with a simulated lens: the same bytes as at the pins, and as much time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.link import LensLink
from m43drivers.simulator.profiles import PROFILES
from m43proto.connection import Connection
from m43proto.dialects import DIALECTS
from m43proto.encodings import F_NUMBER
from m43proto.ends import Answer, PinBody, PinLens, Script
from m43proto.events import MessageSeen, PinEvent, PinEventSeen, TransactionSeen
from m43proto.messages import PUBLIC, Drive, Identify, Status
from m43proto.mount import Mount
from m43proto.pins import Role
from m43proto.states import State
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.observing import observed, of
from tests.test_ends import HOUR_NS, MEETING, Memory, edges_of
from tests.waveform import BODY_ACK, LENS_ACK, random_script

STEADY = [pair for pair in MEETING if "jittery" not in pair]


@pytest.mark.parametrize(("body", "lens"), STEADY)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bytes_and_durations_are_those_of_the_pins(body: str, lens: str, seed: int) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    drawn = [random_script(rng, longest=20) for _ in range(4)]
    answers = {one.command: Answer(one.data, one.status, rng.randrange(100_000)) for one in drawn}

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        for one in drawn:
            yield from end.transact(one.command, one.data if one.letter == "6" else b"")
            yield from end.pause(1_000_000)

    timings = BODY_TIMINGS[body], LENS_TIMINGS[lens]
    pins = Memory(answers)
    changes = list(
        Mount(PinBody(timings[0], script, PUBLIC.shape_of), PinLens(timings[1], pins, PUBLIC.shape_of)).run(HOUR_NS)
    )
    rises, falls = edges_of(changes, BODY_ACK, 1), edges_of(changes, LENS_ACK, 0)

    memory = Memory(answers)
    link = LensLink(memory, body=timings[0], lens=timings[1])
    pulse_ns, first_ns = link.power_up(0)
    [pulse] = [event for event in of(PinEventSeen, observed(changes)) if event.event is PinEvent.WAKE_PULSE]
    assert pulse_ns == pulse.end_ns
    assert first_ns == rises[1]
    connection = Connection(Role.BODY)
    connection.receive_pin_event(PinEvent.POWER_UP, 0)
    connection.receive_pin_event(PinEvent.WAKE_PULSE, pulse_ns)
    for one, seen in zip(drawn, of(TransactionSeen, observed(changes)), strict=True):
        start_ns = max(at for at in rises if at < seen.t_ns)
        transfers = connection.send(one.command, start_ns, one.data if one.letter == "6" else b"")
        said, end_ns = link.transact(transfers, start_ns)
        assert end_ns == min(at for at in falls if at > seen.end_ns)
        connection.receive_data(said, end_ns)
        [mine] = of(TransactionSeen, connection.events())
        assert [byte.value for byte in mine.wire] == [byte.value for byte in seen.wire]
        assert (mine.sums_ok, mine.complete, mine.status) == (True, True, seen.status)
    assert memory.taken == pins.taken
    assert len(memory.asked_ns) == len(pins.asked_ns) == len(drawn)


@pytest.mark.parametrize(("letter", "command"), [("C", "c1800106"), ("6", "6080fe02"), ("A", "a0f50100")])
def test_a_lens_that_cannot_reckon_is_wrong_by_as_much(letter: str, command: str) -> None:
    answer = Answer(bytes(5) if letter == "C" else b"", command_sum_error=4, data_sum_error=1, length_error=1)
    link = LensLink(Memory({bytes.fromhex(command): answer}))
    body = Connection(Role.BODY)
    body.receive_pin_event(PinEvent.POWER_UP, 0)
    body.receive_pin_event(PinEvent.WAKE_PULSE, 0)
    said, _ = link.transact(body.send(bytes.fromhex(command), 0, bytes(9) if letter == "6" else b""), 0)
    expected = {"C": "4c 07 00 00 00 00 00 00 01", "6": "e4 01", "A": "9a"}
    assert said.hex(" ") == expected[letter]


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_comes_up_and_drives(name: str) -> None:
    glass = SimulatedLens(PROFILES[name])
    link = LensLink(glass)
    body = Connection(Role.BODY)
    messages: dict[str, MessageSeen] = {}

    _, now_ns = link.power_up(0)
    body.receive_pin_event(PinEvent.POWER_UP, 0)
    body.receive_pin_event(PinEvent.WAKE_PULSE, now_ns)

    def transact(message: bytes | Drive, block: bytes = b"") -> None:
        nonlocal now_ns
        said, end_ns = link.transact(body.send(message, now_ns, block), now_ns)
        body.receive_data(said, end_ns)
        messages.update({event.name: event for event in of(MessageSeen, body.events())})
        now_ns = end_ns + 14_000_000

    for step in DIALECTS["E-PL1"].steps:
        transact(step.command, step.block)
    identity = messages["Identify"].message
    assert isinstance(identity, Identify)
    assert (identity.maker, identity.model) == (PROFILES[name].lens.maker, PROFILES[name].lens.model)
    transact(Drive(focus_operation="move", focus_target=100, aperture_operation="set", aperture_f=8.0))
    assert body.states[Role.BODY] is State.DRIVING
    for _ in range(60):
        transact(Status.request())
    assert body.states == {Role.BODY: State.READY, Role.LENS: State.READY}
    status = messages["Status"].message
    assert isinstance(status, Status)
    assert status.focus_position == 100
    assert abs(F_NUMBER.encode(status.aperture_f) - F_NUMBER.encode(8.0)) <= PROFILES[name].av_step / 2
    link.power_down(now_ns)
    assert link.connection.states[Role.LENS] is State.OFF
