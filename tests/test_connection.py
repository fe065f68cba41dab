"""The observing engine over drawn traffic: what was sent is what is seen, whatever the timing, and faults are named."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from m43proto.connection import UNKNOWN, Connection, read_message
from m43proto.errors import LocalProtocolError
from m43proto.events import (
    ByteSeen,
    Cause,
    Event,
    FragmentSeen,
    MessageSeen,
    PinEvent,
    PinEventSeen,
    TransactionSeen,
    Violation,
)
from m43proto.evidence import Evidence
from m43proto.messages import PROVISIONAL, PUBLIC, Status
from m43proto.phy import PinDecoder, WireByte
from m43proto.pins import LINES, Line, Role
from m43proto.shapes import Shape
from tests.observing import BARE, observed, of
from tests.waveform import BODY_ACK, CLK, DATA, LENS_ACK, SLEEP, Script, SentByte, Waveform, random_script

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = st.integers(0, 2**32 - 1)

IDENTIFY = Script(bytes.fromhex("c1f90000"), "C", bytes.fromhex("0000011000004141413234333834310000000111"))
POLL = Script(bytes.fromhex("c1800106"), "C", bytes(range(30)))
INITIALISE = Script(bytes.fromhex("b0f20000"), "B")
MODE = Script(bytes.fromhex("a0f50100"), "A")
DRIVE = Script(bytes.fromhex("6080fe02"), "6", bytes.fromhex("01d703000000000000"))


def drawn(*scripts: Script, seed: int = 1, power: bool = True) -> Waveform:
    waveform = Waveform(random.Random(seed))
    if power:
        waveform.power_up()
    for script in scripts:
        waveform.transaction(script)
        waveform.idle()
    return waveform


def as_sent(events: list[Event]) -> list[SentByte]:
    return [SentByte(e.t_ns, e.end_ns, e.sender, e.value) for e in of(ByteSeen, events) if e.sender is not None]


def whole(events: list[Event]) -> list[tuple[int, int, bytes, bytes]]:
    return [(e.t_ns, e.end_ns, e.command, e.data) for e in of(TransactionSeen, events) if e.complete]


def truth(waveform: Waveform) -> list[tuple[int, int, bytes, bytes]]:
    return [(t_ns, end_ns, script.command, script.data) for t_ns, end_ns, script in waveform.transactions]


def findings(events: list[Event]) -> list[Event]:
    return [*of(Violation, events), *of(FragmentSeen, events)]


# valid traffic


@settings(max_examples=150, deadline=None)
@given(seed=SEEDS, bare=st.booleans(), gap_ns=st.sampled_from([(200, 900), (1_400, 12_000), (9_000, 60_000)]))
def test_what_was_sent_is_what_is_seen(seed: int, bare: bool, gap_ns: tuple[int, int]) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    waveform = Waveform(rng, gap_ns=gap_ns, low_ns=rng.choice([(360, 500), (900, 1_100)]), stretch=0.02)
    if rng.random() < 0.5:
        waveform.power_up()
    for _ in range(rng.randrange(1, 6)):
        waveform.transaction(random_script(rng))
        waveform.idle(rng.choice([20_000, 9_000_000]))
    events = observed(waveform.changes, lines=BARE if bare else LINES)
    assert as_sent(events) == waveform.sent
    assert whole(events) == truth(waveform)
    assert all(event.sums_ok for event in of(TransactionSeen, events))
    assert findings(events) == []


@pytest.mark.parametrize("lines", [LINES, (*BARE, Line.BODY_ACK), (*BARE, Line.LENS_ACK), BARE], ids=str)
def test_missing_ack_lines_cost_nothing_in_good_traffic(lines: tuple[Line, ...]) -> None:
    waveform = drawn(INITIALISE, MODE, IDENTIFY, DRIVE, POLL, POLL)
    events = observed(waveform.changes, lines=lines)
    assert as_sent(events) == waveform.sent
    assert whole(events) == truth(waveform)


@pytest.mark.parametrize("rate_hz", [8_000_000, 24_000_000])
def test_sampled_traffic_has_the_same_bytes(rate_hz: int) -> None:
    waveform = drawn(INITIALISE, IDENTIFY, DRIVE, POLL, seed=3)
    sampled: dict[int, int] = {}
    for t_ns, word in waveform.changes:
        sampled[-(-t_ns * rate_hz // 10**9)] = word
    changes = [(sample * 10**9 // rate_hz, word) for sample, word in sampled.items()]
    seen = observed(changes)
    assert [(e.sender, e.value) for e in of(ByteSeen, seen)] == [(s.sender, s.value) for s in waveform.sent]
    assert [row[2:] for row in whole(seen)] == [row[2:] for row in truth(waveform)]
    assert findings(seen) == []


def test_a_transaction_keeps_its_bytes_and_its_busy_time() -> None:
    waveform = Waveform(random.Random(5))
    waveform.body_turn(INITIALISE.command)
    waveform.lens_byte(0xA2)
    waveform.completion(480_000_000)
    waveform.lens_byte(7)
    [seen] = of(TransactionSeen, observed(waveform.changes))
    assert (seen.shape, seen.status, seen.command_sum, seen.length, seen.data_sum_ok) == (
        Shape.COMPLETE,
        7,
        0xA2,
        None,
        None,
    )
    assert seen.busy_ns is not None
    assert 480_000_000 <= seen.busy_ns < 480_020_000
    assert [byte.value for byte in seen.wire] == [0xB0, 0xF2, 0, 0, 0xA2, 7]


def test_pin_events_are_reported_with_their_spans() -> None:
    waveform = Waveform(random.Random(1))
    waveform.power_up()
    waveform.transaction(MODE)
    waveform.clock_hold()
    waveform.wait(1_000_000)
    waveform.frame_sync()
    waveform.set(LINES[5], 1)
    waveform.wait(5_000)
    waveform.clock_hold(3_000)
    waveform.wait(1_000)
    waveform.set(SLEEP, 0)
    events = of(PinEventSeen, observed(waveform.changes))
    assert [event.event for event in events] == [
        PinEvent.POWER_UP,
        PinEvent.WAKE_PULSE,
        PinEvent.CLOCK_HOLD,
        PinEvent.FRAME_SYNC,
        PinEvent.FOCUS_TOGGLE,
        PinEvent.STRAY_CLOCK,
        PinEvent.POWER_DOWN,
    ]
    spans = {event.event: event.end_ns - event.t_ns for event in events}
    assert spans[PinEvent.CLOCK_HOLD] == 1_000_000
    assert spans[PinEvent.FRAME_SYNC] == 500_000
    assert spans[PinEvent.STRAY_CLOCK] == 3_000
    assert spans[PinEvent.WAKE_PULSE] == 10_000_000
    assert [event.level for event in events] == [1, None, None, None, 1, None, 0]


def test_without_ack_lines_a_clock_hold_is_told_by_its_length() -> None:
    waveform = drawn(MODE, power=False)
    waveform.clock_hold()
    waveform.wait(1_000_000)
    waveform.transaction(POLL)
    events = observed(waveform.changes, lines=BARE)
    assert [event.event for event in of(PinEventSeen, events)] == [PinEvent.CLOCK_HOLD]
    assert whole(events) == truth(waveform)


# messages


def test_transactions_become_messages() -> None:
    seen = of(MessageSeen, observed(drawn(IDENTIFY, POLL).changes))
    assert [event.name for event in seen] == ["Identify", "Status"]
    assert isinstance(seen[1].message, Status)
    assert seen[0].values["serial"] == "AAA243841"
    assert seen[0].evidence is Evidence.CONFIRMED
    assert (seen[0].t_ns, seen[0].end_ns) == (seen[0].transaction.t_ns, seen[0].transaction.end_ns)


def test_an_unknown_opcode_is_data() -> None:
    [seen] = of(MessageSeen, observed(drawn(Script(bytes.fromhex("c7770102"), "C", b"abc")).changes))
    assert (seen.name, seen.rest, seen.message, seen.kind, seen.values) == (UNKNOWN, b"abc", None, None, {})


def test_provisional_messages_are_named_only_on_request() -> None:
    waveform = drawn(Script(bytes.fromhex("60900000"), "6", bytes.fromhex("0102a401")))
    assert [event.name for event in of(MessageSeen, observed(waveform.changes))] == [UNKNOWN]
    [seen] = of(MessageSeen, observed(waveform.changes, catalogue=PUBLIC | PROVISIONAL))
    assert (seen.name, seen.evidence) == ("SetStabilisation", Evidence.PROVISIONAL)
    assert seen.values["focal_length_mm"] == 42.0


@pytest.mark.parametrize("size", [0, 1, 8, 29, 31, 40])
def test_a_block_of_an_odd_size_is_decoded_as_far_as_it_goes(size: int) -> None:
    [seen] = of(MessageSeen, observed(drawn(Script(POLL.command, "C", bytes(size))).changes))
    assert seen.message is None
    assert ("focus_distance_m" in seen.values) == (size >= 8)
    assert len(seen.rest) == {8: 0, 29: 15, 31: 1, 40: 10}.get(size, size)


def test_a_block_may_be_long() -> None:
    script = Script(bytes.fromhex("c3f00000"), "C", random.Random(2).randbytes(2238))
    [seen] = of(MessageSeen, observed(drawn(script).changes))
    assert seen.values["unknown_0"] == script.data


def test_a_message_can_be_read_from_a_transaction_alone() -> None:
    seen = TransactionSeen(0, 1, b"\xa0\xb0\xfe\x01", Shape.SET, 0x4F, None, b"", None, None, complete=False)
    assert read_message(seen, PUBLIC).values["ring_direction"] == "reverse"
    assert read_message(seen, PUBLIC).message is None


# sums


@pytest.mark.parametrize("lines", [LINES, BARE], ids=["all lines", "bare"])
@pytest.mark.parametrize(
    ("script", "verdicts"),
    [
        (Script(POLL.command, "C", POLL.data, command_sum=0x4C), (False, True)),
        (Script(POLL.command, "C", POLL.data, data_sum=0), (True, False)),
        (Script(DRIVE.command, "6", DRIVE.data, data_sum=0), (True, False)),
        (Script(MODE.command, "A", command_sum=0), (False, None)),
    ],
)
def test_a_wrong_sum_is_a_verdict_and_no_violation(
    script: Script, verdicts: tuple[bool, bool | None], lines: tuple[Line, ...]
) -> None:
    waveform = drawn(IDENTIFY, script, POLL)
    events = observed(waveform.changes, lines=lines)
    assert whole(events) == truth(waveform)
    seen = of(TransactionSeen, events)
    assert [event.sums_ok for event in seen] == [True, False, True]
    assert (seen[1].command_sum_ok, seen[1].data_sum_ok) == verdicts
    assert findings(events) == []


# faults: one violation each, and the next transaction decodes


def short_byte(waveform: Waveform) -> None:
    waveform.step(BODY_ACK, 1)
    waveform.step(LENS_ACK, 1)
    waveform.byte(Role.BODY, 0xC1)
    waveform.step(LENS_ACK, 0)
    waveform.step(LENS_ACK, 1)
    waveform.pause()
    waveform.bits(0x80, 5)
    waveform.step(BODY_ACK, 0)
    waveform.step(LENS_ACK, 0)


def short_first_byte(waveform: Waveform) -> None:
    waveform.step(BODY_ACK, 1)
    waveform.step(LENS_ACK, 1)
    waveform.pause()
    waveform.bits(0x80, 3)
    waveform.step(BODY_ACK, 0)
    waveform.step(LENS_ACK, 0)


def short_reply_byte(waveform: Waveform) -> None:
    waveform.body_turn(POLL.command)
    waveform.lens_byte(0x48)
    waveform.step(LENS_ACK, 1)
    waveform.step(BODY_ACK, 1)
    waveform.pause()
    waveform.bits(0x1F, 7)
    waveform.step(BODY_ACK, 0)
    waveform.step(LENS_ACK, 0)


def unknown_shape(waveform: Waveform) -> None:
    waveform.body_turn(bytes.fromhex("30f00000"))
    waveform.lens_byte(0x20)
    for value in (5, 0, 1, 2, 3, 4, 10):
        waveform.lens_byte(value)


def three_byte_command(waveform: Waveform) -> None:
    waveform.body_turn(b"\xc1\x80\x01")
    waveform.lens_byte(0x42)


def empty_block(waveform: Waveform) -> None:
    waveform.body_turn(POLL.command)
    waveform.lens_byte(0x48)
    waveform.lens_byte(0)
    waveform.lens_byte(0)


def empty_written_block(waveform: Waveform) -> None:
    waveform.body_turn(DRIVE.command)
    waveform.lens_byte(sum(DRIVE.command) % 256)
    waveform.body_turn(b"\0\0\0")
    waveform.lens_byte(0)


def cut_written_length(waveform: Waveform) -> None:
    waveform.body_turn(DRIVE.command)
    waveform.lens_byte(sum(DRIVE.command) % 256)
    waveform.body_turn(b"\x0a")
    waveform.lens_byte(0)


def long_written_block(waveform: Waveform) -> None:
    waveform.transaction(Script(DRIVE.command, "6", DRIVE.data, length=9))
    waveform.transactions.pop()


def lens_speaks_in_the_block(waveform: Waveform) -> None:
    write_breaks_off(waveform)
    waveform.lens_byte(0x0A)


def nobody_answers(waveform: Waveform) -> None:
    waveform.set(BODY_ACK, 1)
    waveform.wait(150_000_000)
    waveform.set(BODY_ACK, 0)


def stray_lens_bytes(waveform: Waveform) -> None:
    waveform.lens_byte(1)
    waveform.lens_byte(2)


def read_breaks_off(waveform: Waveform) -> None:
    waveform.body_turn(POLL.command)
    waveform.lens_byte(0x48)
    for value in (0x1F, 0, 1, 2, 3):
        waveform.lens_byte(value)


def completion_breaks_off(waveform: Waveform) -> None:
    waveform.body_turn(INITIALISE.command)
    waveform.lens_byte(0xA2)


def busy_breaks_off(waveform: Waveform) -> None:
    completion_breaks_off(waveform)
    waveform.completion(1_000_000)


def write_breaks_off(waveform: Waveform) -> None:
    waveform.body_turn(DRIVE.command)
    waveform.lens_byte(sum(DRIVE.command) % 256)


def sum_breaks_off(waveform: Waveform) -> None:
    waveform.body_turn(DRIVE.command)


def power_fails(waveform: Waveform) -> None:
    read_breaks_off(waveform)
    waveform.set(SLEEP, 0)
    waveform.wait(5_000_000)
    waveform.power_up()


FAULTS: list[tuple[Callable[[Waveform], None], Cause]] = [
    (short_byte, Cause.SHORT_BYTE),
    (short_first_byte, Cause.SHORT_BYTE),
    (short_reply_byte, Cause.SHORT_BYTE),
    (unknown_shape, Cause.UNKNOWN_SHAPE),
    (three_byte_command, Cause.COMMAND_SIZE),
    (empty_block, Cause.BLOCK_LENGTH),
    (empty_written_block, Cause.BLOCK_LENGTH),
    (cut_written_length, Cause.BLOCK_LENGTH),
    (long_written_block, Cause.BLOCK_LENGTH),
    (lens_speaks_in_the_block, Cause.OUT_OF_TURN),
    (nobody_answers, Cause.NO_ANSWER),
    (stray_lens_bytes, Cause.NO_COMMAND),
    (read_breaks_off, Cause.BROKE_OFF),
    (completion_breaks_off, Cause.BROKE_OFF),
    (write_breaks_off, Cause.BROKE_OFF),
    (sum_breaks_off, Cause.BROKE_OFF),
    (power_fails, Cause.BROKE_OFF),
]


@pytest.mark.parametrize(("fault", "cause"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
@pytest.mark.parametrize("following", [POLL, INITIALISE, MODE, DRIVE], ids="CBA6")
@pytest.mark.parametrize("gap_ns", [30_000, 9_000_000])
def test_a_fault_is_one_violation_and_the_next_transaction_decodes(
    fault: Callable[[Waveform], None], cause: Cause, following: Script, gap_ns: int
) -> None:
    waveform = drawn(IDENTIFY)
    start_ns = waveform.now_ns
    fault(waveform)
    end_ns = waveform.now_ns
    waveform.idle(gap_ns)
    waveform.transaction(following)
    events = observed(waveform.changes)
    [violation] = of(Violation, events)
    assert violation.cause is cause
    assert start_ns <= violation.t_ns <= violation.end_ns <= end_ns
    assert violation.detail
    assert of(FragmentSeen, events) == []
    assert [row for row in whole(events) if not start_ns < row[0] < end_ns] == truth(waveform)
    assert as_sent(events) == waveform.sent


def test_every_cause_has_a_fault_that_shows_it() -> None:
    assert {cause for _, cause in FAULTS} | {Cause.STRAY_BITS} == set(Cause)


def test_a_broken_transaction_is_reported_as_incomplete_with_what_was_there() -> None:
    waveform = drawn(IDENTIFY)
    read_breaks_off(waveform)
    waveform.transaction(POLL)
    seen = of(TransactionSeen, observed(waveform.changes))
    assert [event.complete for event in seen] == [True, False, True]
    assert (seen[1].length, seen[1].data, seen[1].data_sum) == (31, b"\x01\x02\x03", None)


def test_a_stray_clock_before_an_acknowledge_is_named_and_costs_no_byte() -> None:
    def glitch(waveform: Waveform, sender: Role) -> None:
        if sender is Role.BODY and len(waveform.sent) == 2:
            waveform.wait(1_000)
            waveform.bits(1, 1)

    waveform = Waveform(random.Random(1), on_byte=glitch)
    waveform.power_up()
    waveform.transaction(POLL)
    events = observed(waveform.changes)
    assert as_sent(events) == waveform.sent
    assert whole(events) == truth(waveform)
    [violation] = of(Violation, events)
    assert (violation.cause, violation.detail) == (Cause.STRAY_BITS, "1 bit too many behind a byte")


def test_a_late_acknowledge_inside_the_next_byte_ends_no_byte() -> None:
    waveform = Waveform(random.Random(1))
    waveform.power_up()
    waveform.step(BODY_ACK, 1)
    waveform.step(LENS_ACK, 1)
    for value in POLL.command:
        waveform.pause()
        start, _ = waveform.bits(value & 0x07, 3)
        waveform.set(LENS_ACK, 0)
        waveform.bits(value >> 3 & 1, 1)
        waveform.set(LENS_ACK, 1)
        _, end = waveform.bits(value >> 4, 4)
        waveform.sent.append(SentByte(start, end, Role.BODY, value))
    waveform.step(LENS_ACK, 0)
    waveform.step(BODY_ACK, 0)
    waveform.lens_byte(0x48)
    events = observed(waveform.changes)
    assert as_sent(events) == waveform.sent
    assert of(Violation, events) == []


@pytest.mark.parametrize("racing", [INITIALISE, POLL, MODE], ids="BCA")
def test_a_body_that_does_not_wait_for_the_lens_is_understood(racing: Script) -> None:
    waveform = Waveform(random.Random(4))
    waveform.power_up()
    waveform.body_turn(racing.command)
    replies = [
        sum(racing.command) % 256,
        *{"B": [0], "C": [31, 0, *racing.data, sum(racing.data) % 256]}.get(racing.letter, []),
    ]
    for index, value in enumerate(replies):
        if racing.letter == "B" and index == 1:
            waveform.completion(10_000)
        waveform.step(BODY_ACK, 1)
        waveform.step(LENS_ACK, 1)
        waveform.byte(Role.LENS, value)
        waveform.step(BODY_ACK, 0)
        waveform.step(LENS_ACK, 0)
    waveform.idle()
    waveform.transaction(POLL)
    events = observed(waveform.changes)
    assert as_sent(events) == waveform.sent
    assert [row[2:] for row in whole(events)] == [(racing.command, racing.data), (POLL.command, POLL.data)]
    assert findings(events) == []


def test_lens_bytes_that_run_into_each_other_are_told_by_the_ack_lines() -> None:
    waveform = drawn(IDENTIFY, POLL, DRIVE)
    dips = [
        index
        for index in range(1, len(waveform.changes) - 1)
        if waveform.changes[index - 1][1] & ~waveform.changes[index][1] & BODY_ACK.mask
    ]
    for index in dips[8:14:2]:
        while not waveform.changes[index][1] & BODY_ACK.mask:
            t_ns, word = waveform.changes[index]
            waveform.changes[index] = (t_ns, word | BODY_ACK.mask)
            index += 1
    events = observed(waveform.changes)
    assert as_sent(events) == waveform.sent
    assert whole(events) == truth(waveform)
    assert findings(events) == []


def test_a_lens_that_sends_more_than_its_turn_has_is_out_of_turn() -> None:
    waveform = drawn(IDENTIFY)
    waveform.body_turn(MODE.command)
    waveform.step(LENS_ACK, 1)
    waveform.step(BODY_ACK, 1)
    waveform.byte(Role.LENS, 0x96)
    waveform.byte(Role.LENS, 0x55)
    waveform.step(BODY_ACK, 0)
    waveform.step(LENS_ACK, 0)
    waveform.idle()
    events = observed(waveform.changes)
    assert [(event.cause, event.data) for event in of(Violation, events)] == [(Cause.OUT_OF_TURN, b"\x55")]
    assert [event.complete for event in of(TransactionSeen, events)] == [True, True]


def test_an_endless_burst_is_cut_and_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = 40
    monkeypatch.setattr("m43proto.phy.LONGEST_BURST", longest)
    connection = Connection()
    levels = CLK.mask
    connection.receive_levels(0, levels)
    connection.receive_levels(1, levels := levels | BODY_ACK.mask)
    for clock in range((longest + 3) * 8):
        connection.receive_levels(clock * 1_000 + 2, levels & ~CLK.mask)
        connection.receive_levels(clock * 1_000 + 500, levels)
    connection.receive_end(10**9)
    events = list(connection.events())
    assert len(of(ByteSeen, events)) == longest + 3


@pytest.mark.parametrize("lines", [LINES, BARE], ids=["all lines", "bare"])
def test_decoding_goes_on_after_noise(lines: tuple[Line, ...]) -> None:
    waveform = drawn(IDENTIFY)
    start_ns = waveform.now_ns
    waveform.set(BODY_ACK, 1)
    for value in (0x11, 0x22, 0x33):
        waveform.pause()
        waveform.bits(value)
    waveform.bits(1, 5)
    waveform.set(BODY_ACK, 0)
    waveform.idle()
    end_ns = waveform.now_ns
    waveform.transaction(POLL)
    waveform.transaction(DRIVE)
    events = observed(waveform.changes, lines=lines)
    assert len(of(Violation, events)) == 1
    assert all(start_ns <= event.t_ns <= end_ns for event in of(Violation, events))
    assert whole(events) == truth(waveform)


# where a capture begins and ends


@pytest.mark.parametrize("script", [INITIALISE, MODE, POLL, DRIVE], ids="BAC6")
def test_a_capture_may_begin_anywhere(script: Script) -> None:
    waveform = drawn(script, IDENTIFY, seed=9)
    last_ns = waveform.transactions[0][1]
    for cut in range(len(waveform.changes)):
        changes = waveform.changes[cut:]
        events = observed(changes)
        assert of(Violation, events) == [], cut
        expected = [row for row in truth(waveform) if row[0] > changes[0][0]]
        late = [row for row in whole(events) if row not in expected]
        assert late == [], cut
        if changes[0][0] < last_ns or not expected:
            assert [row for row in whole(events) if row[0] > last_ns] == expected[-1:] * bool(expected), cut


@pytest.mark.parametrize("script", [INITIALISE, MODE, POLL, DRIVE], ids="BAC6")
def test_a_capture_may_end_anywhere(script: Script) -> None:
    waveform = drawn(IDENTIFY, script, seed=9)
    for cut in range(1, len(waveform.changes)):
        changes = waveform.changes[:cut]
        events = observed(changes)
        assert of(Violation, events) == [], cut
        assert whole(events) == [row for row in truth(waveform) if row[1] <= changes[-1][0]][: len(whole(events))], cut
        assert [e.value for e in of(ByteSeen, events)] == [s.value for s in waveform.sent if s.end_ns <= changes[-1][0]]


def test_bare_traffic_may_end_in_a_command() -> None:
    waveform = drawn(IDENTIFY, power=False)
    for value in POLL.command[:2]:
        waveform.byte(Role.BODY, value)
    events = observed(waveform.changes, lines=BARE)
    assert of(Violation, events) == []
    assert whole(events) == truth(waveform)
    assert [event.value for event in of(ByteSeen, events)] == [sent.value for sent in waveform.sent]
    assert [event.data for event in of(FragmentSeen, events)] == [POLL.command[:2]]


@pytest.mark.parametrize(
    ("cut", "silence_ns", "broken"),
    [
        (read_breaks_off, 90_000_000, False),
        (read_breaks_off, 110_000_000, True),
        (completion_breaks_off, 1_900_000_000, False),
        (completion_breaks_off, 2_100_000_000, True),
    ],
)
def test_a_lens_that_falls_silent_for_too_long_is_a_violation(
    cut: Callable[[Waveform], None], silence_ns: int, broken: bool
) -> None:
    waveform = drawn(IDENTIFY)
    cut(waveform)
    events = observed(waveform.changes, end_ns=waveform.now_ns + silence_ns)
    assert [event.complete for event in of(TransactionSeen, events)] == [True, False]
    assert [event.cause for event in of(Violation, events)] == [Cause.BROKE_OFF] * broken


def test_without_ack_lines_a_gap_ends_a_transaction() -> None:
    waveform = drawn(IDENTIFY, power=False)
    read_breaks_off(waveform)
    waveform.idle()
    waveform.transaction(POLL)
    waveform.transaction(DRIVE)
    events = observed(waveform.changes, lines=BARE)
    assert [event.cause for event in of(Violation, events)] == [Cause.BROKE_OFF]
    assert whole(events) == truth(waveform)
    assert as_sent(events) == waveform.sent


def test_without_ack_lines_the_bits_realign_after_a_rest() -> None:
    waveform = Waveform(random.Random(1))
    waveform.bits(0, 3)
    waveform.idle()
    waveform.transaction(POLL)
    waveform.transaction(IDENTIFY)
    waveform.bits(0, 3)
    waveform.idle()
    waveform.transaction(POLL)
    events = observed(waveform.changes, lines=BARE)
    assert whole(events) == truth(waveform)
    assert [event.cause for event in of(Violation, events)] == [Cause.SHORT_BYTE]


@pytest.mark.parametrize("fault", [short_byte, short_reply_byte])
def test_without_ack_lines_a_short_byte_is_one_violation(fault: Callable[[Waveform], None]) -> None:
    waveform = drawn(IDENTIFY, power=False)
    fault(waveform)
    waveform.idle(1_000_000)
    waveform.transaction(POLL)
    waveform.transaction(DRIVE)
    events = observed(waveform.changes, lines=BARE)
    assert [event.cause for event in of(Violation, events)] == [Cause.SHORT_BYTE]
    assert whole(events) == truth(waveform)


def test_a_command_that_stops_is_broken_off_and_not_a_fragment() -> None:
    waveform = drawn(IDENTIFY)
    waveform.step(BODY_ACK, 1)
    waveform.step(LENS_ACK, 1)
    waveform.byte(Role.BODY, 0xC1)
    cut = observed(waveform.changes, end_ns=waveform.now_ns + 50_000_000)
    assert [type(event) for event in findings(cut)] == [FragmentSeen]
    silent = observed(waveform.changes, end_ns=waveform.now_ns + 150_000_000)
    assert [event.detail for event in of(Violation, silent)] == ["nothing followed for 150 ms, 1 bytes into a command"]
    waveform.set(SLEEP, 0)
    off = observed(waveform.changes)
    assert [event.detail for event in of(Violation, off)] == ["the body switched the lens off, 1 bytes into a command"]


@pytest.mark.parametrize(("answered", "cause"), [(False, Cause.NO_ANSWER), (True, Cause.BROKE_OFF)])
def test_a_body_that_hangs_in_its_attention_is_a_violation(answered: bool, cause: Cause) -> None:
    waveform = drawn(IDENTIFY)
    waveform.step(BODY_ACK, 1)
    if answered:
        waveform.step(LENS_ACK, 1)
    events = observed(waveform.changes, end_ns=waveform.now_ns + 3_000_000_000)
    assert [event.cause for event in of(Violation, events)] == [cause]
    assert findings(observed(waveform.changes, end_ns=waveform.now_ns + 50_000_000)) == []


@pytest.mark.parametrize(("high_ns", "causes"), [(10_000_000, []), (30_000_000, [Cause.NO_ANSWER])])
def test_an_attention_that_the_body_gives_up_unanswered_is_a_violation(high_ns: int, causes: list[Cause]) -> None:
    waveform = drawn(IDENTIFY)
    waveform.step(BODY_ACK, 1)
    waveform.wait(high_ns)
    waveform.step(BODY_ACK, 0)
    waveform.transaction(POLL)
    events = observed(waveform.changes)
    assert [event.cause for event in of(Violation, events)] == causes
    assert whole(events) == truth(waveform)
    unseen = observed(waveform.changes, lines=tuple(line for line in LINES if line is not Line.LENS_ACK))
    assert findings(unseen) == []


def test_a_lens_that_is_gone_in_mid_transaction_breaks_it_off_and_answers_no_more() -> None:
    waveform = drawn(IDENTIFY)
    for bits in (bytes.fromhex("c1800106"), b""):
        waveform.step(BODY_ACK, 1)
        for value in bits:
            waveform.byte(Role.BODY, value)
        waveform.wait(50_000_000)
        waveform.step(BODY_ACK, 0)
        waveform.idle()
    waveform.step(BODY_ACK, 1)
    waveform.byte(Role.BODY, 0xC1)
    waveform.step(BODY_ACK, 0)
    waveform.idle()
    waveform.step(BODY_ACK, 1)
    waveform.wait(50_000_000)
    waveform.step(BODY_ACK, 0)
    violations = of(Violation, observed(waveform.changes))
    assert [event.cause for event in violations] == [Cause.BROKE_OFF, Cause.NO_ANSWER]
    assert violations[0].detail == "the lens did not answer, in command sum"
    assert [event.t_ns for event in violations] == sorted(event.t_ns for event in violations)


def test_without_ack_lines_a_start_in_mid_traffic_hunts_for_a_command() -> None:
    waveform = drawn(POLL, IDENTIFY, DRIVE, power=False)
    cut = next(i for i, (t_ns, _) in enumerate(waveform.changes) if t_ns > waveform.sent[6].end_ns)
    events = observed(waveform.changes[cut:], lines=BARE)
    assert whole(events) == truth(waveform)[1:]
    assert [type(event) for event in findings(events)] == [FragmentSeen]


def test_without_ack_lines_the_end_in_a_command_leaves_a_fragment() -> None:
    waveform = drawn(IDENTIFY, POLL)
    third = waveform.sent[-38 + 2]
    cut = [change for change in waveform.changes if change[0] <= third.end_ns]
    events = observed(cut, lines=BARE)
    assert [event.command for event in of(TransactionSeen, events)] == [IDENTIFY.command]
    assert [event.data.hex() for event in of(FragmentSeen, events)] == ["c18001"]
    assert of(Violation, events) == []


# in two parts


def halves(waveform: Waveform) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the changes up to the middle of the pause behind the first transaction, and those behind it."""
    cut_ns = (waveform.transactions[0][1] + waveform.transactions[1][0]) // 2
    first = [change for change in waveform.changes if change[0] <= cut_ns]
    return first, waveform.changes[len(first) :]


@pytest.mark.parametrize("lines", [LINES, BARE], ids=["all lines", "bare"])
def test_an_observer_goes_on_where_another_one_is_at_rest(lines: tuple[Line, ...]) -> None:
    waveform = drawn(POLL, IDENTIFY)
    first, second = halves(waveform)
    mask = sum(line.mask for line in lines)
    former, latter = Connection(lines=lines), Connection(lines=lines)
    assert (former.hunting, former.at_rest) == (lines == BARE, False)
    rested = []
    for t_ns, levels in first:
        former.receive_levels(t_ns, levels & mask)
        rested.append(former.at_rest)
    assert (former.hunting, former.at_rest) == (False, True)
    assert not all(rested)
    latter.rejoin(former.resumed, waveform.transactions[0][1])
    assert (latter.hunting, latter.at_rest) == (False, True)
    for t_ns, levels in second:
        latter.receive_levels(t_ns, levels & mask)
    latter.receive_end(second[-1][0])
    assert [*former.events(), *latter.events()] == observed(waveform.changes, lines=lines)


def test_what_another_decoder_of_levels_has_found_is_the_same() -> None:
    waveform = drawn(INITIALISE, POLL, DRIVE)
    decoder, connection = PinDecoder(LINES), Connection()
    for t_ns, levels in waveform.changes:
        for signal in decoder.receive(t_ns, levels):
            connection.receive_signal(signal)
    connection.receive_end(waveform.changes[-1][0])
    assert list(connection.events()) == observed(waveform.changes)


def some_bytes(rng: random.Random) -> list[WireByte]:
    """Whole, cut and false transactions, and bytes of anything else, with rests between some of them."""
    values = bytearray()
    for _ in range(rng.randrange(1, 12)):
        script = random_script(rng, longest=30)
        whole = bytes(byte.value for byte in drawn(script, seed=rng.randrange(1000), power=False).sent)
        kinds = (rng.randbytes(rng.randrange(12)), whole, whole, whole[: rng.randrange(len(whole))], b"\0" * 7)
        values += rng.choice(kinds)
    rests = rng.choice([0, 0.01, 0.2])
    run, t_ns = [], 0
    for value in values:
        t_ns += rng.randrange(2_000_001, 2_100_000_000) if rng.random() < rests else rng.randrange(1, 2_000_001)
        run.append(WireByte(t_ns, t_ns := t_ns + 15_000, value))
    return run


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS)
def test_a_run_of_bytes_means_what_they_mean_one_by_one(seed: int) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    run = some_bytes(rng)
    single, together = Connection(lines=BARE), Connection(lines=BARE)
    expected: list[Event] = []
    seen: list[Event] = []
    at = 0
    while at < len(run):
        stop = min(at + rng.choice([1, 3, 1000]), len(run))
        end = together.receive_run(run, at, stop)
        assert at < end <= stop
        for byte in run[at:end]:
            assert byte is run[at] or not single.turns_at_rest
            single.receive_signal(byte)
        assert (together.turns_at_rest, together.hunting) == (single.turns_at_rest, single.hunting)
        expected += single.events()
        seen += together.take_events()
        assert not together.take_events()
        assert seen == expected
        at = end
    for connection, events in ((single, expected), (together, seen)):
        connection.receive_end(run[-1].end_ns if run else 0)
        events += connection.events()
    assert seen == expected


def test_foreign_bytes_are_taken_at_once() -> None:
    run = [WireByte(at, at + 1, 0x55) for at in range(0, 3000, 3)]
    assert Connection(lines=BARE).receive_run(run, 0, len(run)) == len(run)


def test_bytes_come_in_bursts_with_body_ack() -> None:
    with pytest.raises(LocalProtocolError, match="bursts"):
        Connection().receive_run([WireByte(0, 1, 0)], 0, 1)


# anything at all


@settings(max_examples=300, deadline=None)
@given(
    words=st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 127)), max_size=200),
    lines=st.sampled_from([LINES, BARE, (*BARE, Line.BODY_ACK), (*BARE, Line.LENS_ACK)]),
)
def test_any_levels_at_all_give_events_and_no_error(words: list[tuple[int, int]], lines: tuple[Line, ...]) -> None:
    t_ns, changes = 0, []
    for step_ns, word in words:
        t_ns += step_ns
        changes.append((t_ns, word))
    for event in observed(changes, lines=lines):
        assert event.t_ns <= event.end_ns


@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, flips=st.integers(1, 5), lines=st.sampled_from([LINES, BARE]))
def test_damaged_traffic_gives_events_and_no_error(seed: int, flips: int, lines: tuple[Line, ...]) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    waveform = Waveform(rng)
    for _ in range(3):
        waveform.transaction(random_script(rng, longest=6))
    changes = list(waveform.changes)
    for _ in range(flips):
        index = rng.randrange(len(changes))
        t_ns, word = changes[index]
        changes[index : index + rng.randrange(2)] = [(t_ns, word ^ 1 << rng.randrange(7))]
    events = observed(changes, lines=lines)
    assert all(event.t_ns <= event.end_ns for event in events)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_feeding_in_pieces_changes_nothing(seed: int) -> None:
    waveform = drawn(POLL, DRIVE, seed=seed)
    connection = Connection()
    pieces: list[Event] = []
    for t_ns, word in waveform.changes:
        connection.receive_levels(t_ns, word)
        while (event := connection.next_event()) is not None:
            pieces.append(event)
    connection.receive_end(waveform.changes[-1][0])
    pieces += connection.events()
    assert pieces == observed(waveform.changes)
    assert connection.next_event() is None


def test_an_observer_needs_clk_and_data() -> None:
    with pytest.raises(ValueError, match="CLK and DATA"):
        Connection(lines=[CLK])
    with pytest.raises(ValueError, match="CLK and DATA"):
        Connection(lines=[DATA, BODY_ACK])
