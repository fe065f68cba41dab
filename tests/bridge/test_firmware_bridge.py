"""L0: the firmware's command logic against contacts that are a table, on virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

import m43bridge.bridge as firmware
from m43bridge.listening import TIME_MASK, Ears
from m43drivers.bridge.protocol import (
    Counters,
    CountersAnswer,
    Decoder,
    Done,
    Frame,
    FramesStarted,
    Heard,
    Heartbeat,
    Hello,
    HelloAnswer,
    LinkMessage,
    Listen,
    ListenBegun,
    Polled,
    Power,
    PowerAnswer,
    Refusal,
    RefusalCode,
    SelfTest,
    SelfTestAnswer,
    StartFrames,
    Stop,
    Stopped,
    Transact,
    cobs_encoded,
    crc16,
    encode,
)
from m43drivers.transport import Break, Report
from m43proto.shapes import Shape
from tests.bridge.support import GARBAGE

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = bytes.fromhex("c1800106")
SECOND_US = 1_000_000
POLL_US = 1_600
PERIOD_US = 16_667

T = TypeVar("T")


class FakeContacts(firmware.Contacts):
    """Contacts that take time and tell what they did; `answers` says what the lens says, call by call."""

    def __init__(self) -> None:
        self.t_us = 5_000_000
        self.did: list[tuple[int, str, object]] = []
        self.answer: Callable[[int], tuple[int, bytes]] = lambda number: (firmware.NONE, b"\x48\x02\x00\x07\x07")
        self.takes_us: Callable[[bytes], int] = lambda command: POLL_US
        self.wakes = True
        self.broken = ""
        self.commands = 0

    def note(self, what: str, how: object = None) -> None:
        self.did.append((self.t_us, what, how))

    def now_us(self) -> int:
        return self.t_us

    def power(self, on: bool) -> bool:
        self.note("power", on)
        self.t_us += 40_000 if on else 0
        return on and self.wakes

    def transact(self, command: bytes, shape: int, block: bytes) -> tuple[int, int, int, bytes]:
        if self.broken:
            raise OSError(self.broken)
        self.note("transact", (command, shape, block))
        self.commands += 1
        start_us = self.t_us
        self.t_us += self.takes_us(command)
        broke_off, said = self.answer(self.commands)
        return broke_off, start_us, self.t_us, said

    def shutter(self, level: int) -> None:
        self.note("shutter", level)

    def focus(self) -> None:
        self.note("focus")

    def self_test(self) -> tuple[int, str]:
        return 3, "LENS_ACK does not follow its pull-up"


class Desk:
    """A host's side of a bridge, on virtual time."""

    def __init__(self) -> None:
        self.contacts = FakeContacts()
        self.bridge = firmware.Bridge(self.contacts, 0xDEADBEEF)
        self._decoder = Decoder()
        self.heard: list[Frame] = []

    def say(self, seq: int, message: LinkMessage) -> None:
        self.bridge.feed(encode(seq, message))

    def listen(self) -> list[Frame]:
        """Return all that the bridge has said since the last time."""
        frames: list[Frame] = []
        while part := self.bridge.take(64):
            for frame in self._decoder.feed(part):
                assert isinstance(frame, Frame), frame
                frames.append(frame)
        self.heard += frames
        return frames

    def run(self, for_us: int, *, deaf: bool = False) -> list[Frame]:
        """Let time pass; return all that is said in it."""
        until_us = self.contacts.t_us + for_us
        frames = []
        while (due_us := self.bridge.next_us()) <= until_us:
            self.contacts.t_us = max(due_us, self.contacts.t_us)
            self.bridge.step()
            if not deaf:
                frames += self.listen()
        self.contacts.t_us = max(until_us, self.contacts.t_us)
        return frames

    def ask(self, seq: int, message: LinkMessage) -> LinkMessage:
        """Return the answer to a request that is answered at once."""
        self.say(seq, message)
        self.bridge.step()
        [frame] = [frame for frame in self.listen() if frame.seq == seq and not isinstance(frame.message, Heartbeat)]
        return frame.message

    def did(self, what: str) -> list[tuple[int, object]]:
        return [(t_us, how) for t_us, name, how in self.contacts.did if name == what]


def messages(frames: list[Frame], kind: type[T]) -> list[T]:
    return [frame.message for frame in frames if isinstance(frame.message, kind)]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def frames_of(report: Report = Report.ALL, period_us: int = PERIOD_US) -> StartFrames:
    return StartFrames(period_us=period_us, shutter_us=500, lead_us=1_500, report=report, poll=POLL)


# requests


def test_hello(desk: Desk) -> None:
    assert desk.ask(7, Hello()) == HelloAnswer(1, 0xDEADBEEF, firmware.LONGEST_BLOCK, "m43 bridge", firmware.FIRMWARE)


def test_a_transaction_is_carried_out_and_told(desk: Desk) -> None:
    block = bytes(range(9))
    done = desk.ask(1, Transact(bytes.fromhex("6080fe02"), Shape.WRITE, block))
    assert done == Done(None, 5_000_000, 5_000_000 + POLL_US, b"\x48\x02\x00\x07\x07")
    assert desk.did("transact") == [(5_000_000, (bytes.fromhex("6080fe02"), firmware.WRITE, block))]


@pytest.mark.parametrize("broke_off", Break)
def test_why_a_transaction_broke_off_is_told_and_counted(desk: Desk, broke_off: Break) -> None:
    code = 1 + list(Break).index(broke_off)
    desk.contacts.answer = lambda number: (code, b"\x48")
    done = desk.ask(1, Transact(POLL, Shape.READ))
    assert isinstance(done, Done)
    assert (done.broke_off, done.said) == (broke_off, b"\x48")
    counters = desk.ask(2, Counters())
    assert isinstance(counters, CountersAnswer)
    assert counters.lens_breaks == 1


def test_power(desk: Desk) -> None:
    assert desk.ask(1, Power(on=True)) == PowerAnswer(woke=True, t_us=5_040_000)
    assert desk.ask(2, Power(on=True)) == PowerAnswer(woke=True, t_us=5_040_000), "it is on already: nothing moves"
    assert desk.ask(3, Power(on=False)) == PowerAnswer(woke=False, t_us=5_040_000)
    desk.contacts.wakes = False
    assert desk.ask(4, Power(on=True)) == PowerAnswer(woke=False, t_us=5_080_000)
    assert [how for _, how in desk.did("power")] == [True, False, True]


def test_the_self_test_is_told_and_only_done_with_the_lens_off(desk: Desk) -> None:
    assert desk.ask(1, SelfTest()) == SelfTestAnswer(3, "LENS_ACK does not follow its pull-up")
    desk.ask(2, Power(on=True))
    assert desk.ask(3, SelfTest()) == Refusal(RefusalCode.BUSY, "switch the lens off and stop the frames first")


def test_a_heartbeat_every_second_with_the_counters(desk: Desk) -> None:
    desk.bridge.feed(b"garbage\0")
    beats = messages(desk.run(5 * SECOND_US), Heartbeat)
    assert [beat.t_us for beat in beats] == [5_000_000 + second * SECOND_US for second in range(1, 6)]
    assert beats[-1].counters == {"bad_frames": 1, "lens_breaks": 0, "polls": 0, "late_frames": 0, "dropped": 0}
    assert {frame.seq for frame in desk.heard} == {0}


# repeats, and what is refused


@pytest.mark.parametrize("message", [Transact(POLL, Shape.READ), Power(on=True), Hello(), Counters(), frames_of()])
def test_a_request_that_comes_twice_is_answered_twice_and_done_once(desk: Desk, message: LinkMessage) -> None:
    first = desk.ask(5, message)
    did = list(desk.contacts.did)
    desk.contacts.t_us += 100
    desk.say(5, message)
    [again] = desk.listen()
    assert again.message == first
    assert desk.contacts.did == did


def test_the_same_number_is_done_anew_once_another_was_answered(desk: Desk) -> None:
    desk.ask(5, Transact(POLL, Shape.READ))
    desk.ask(6, Transact(POLL, Shape.READ))
    desk.ask(5, Transact(POLL, Shape.READ))
    assert desk.contacts.commands == 3


def test_a_transaction_that_waits_and_comes_again_is_done_once(desk: Desk) -> None:
    desk.ask(1, frames_of())
    desk.say(2, Transact(POLL, Shape.SET))
    desk.say(2, Transact(POLL, Shape.SET))
    assert len(messages(desk.run(3 * PERIOD_US), Done)) == 1


def sealed(body: bytes) -> bytes:
    return cobs_encoded(body + crc16(body).to_bytes(2, "little")) + b"\0"


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("0133", RefusalCode.UNKNOWN_KIND, "kind 51 is unknown"),
        ("010100", RefusalCode.MALFORMED, "HELLO has no payload"),
        ("010302", RefusalCode.MALFORMED, "POWER has one byte, 0 or 1"),
        ("0103", RefusalCode.MALFORMED, "POWER has one byte, 0 or 1"),
        ("010500", RefusalCode.MALFORMED, "STOP has no payload"),
        ("010600", RefusalCode.MALFORMED, "COUNTERS has no payload"),
        ("010700", RefusalCode.MALFORMED, "SELFTEST has no payload"),
        ("0102c1800106", RefusalCode.MALFORMED, "TRANSACT has at least 7 bytes"),
        ("0102c1800106040000", RefusalCode.MALFORMED, "TRANSACT: shape is 0 to 3"),
        ("0102c180010603000201", RefusalCode.MALFORMED, "TRANSACT: the block is not as long as it says"),
        ("0102c180010602010001", RefusalCode.MALFORMED, "TRANSACT: only shape 3 writes a block"),
        ("0104", RefusalCode.MALFORMED, "FRAMES has 13 bytes"),
        ("01041b410000f401dc0502c1800106", RefusalCode.MALFORMED, "FRAMES: report is 0 or 1"),
        ("0104d0070000f401dc0501c1800106", RefusalCode.MALFORMED, "FRAMES: the period is at least 2000 us"),
        ("010400000000f401dc0501c1800106", RefusalCode.MALFORMED, "FRAMES: the period is at least 2000 us"),
    ],
)
def test_what_is_wrong_is_refused(desk: Desk, body: str, code: int, text: str) -> None:
    desk.bridge.feed(sealed(bytes.fromhex(body)))
    [frame] = desk.listen()
    assert frame.seq == 1
    assert isinstance(frame.message, Refusal)
    assert frame.message.code == code
    assert frame.message.text.startswith(text)
    assert desk.contacts.did == []


def test_a_block_that_is_too_long_is_refused(desk: Desk) -> None:
    longest = firmware.LONGEST_BLOCK - 3
    assert isinstance(desk.ask(1, Transact(POLL, Shape.WRITE, bytes(longest))), Done)
    refusal = desk.ask(2, Transact(POLL, Shape.WRITE, bytes(longest + 1)))
    assert isinstance(refusal, Refusal)
    assert refusal.code == RefusalCode.TOO_LONG


def test_a_second_transaction_is_refused_while_one_waits(desk: Desk) -> None:
    desk.ask(1, frames_of())
    desk.say(2, Transact(POLL, Shape.SET))
    desk.say(3, Transact(POLL, Shape.SET))
    refusal, *_ = messages(desk.listen(), Refusal)
    assert refusal == Refusal(RefusalCode.BUSY, "another transaction is waiting")


def test_what_goes_wrong_inside_is_told(desk: Desk) -> None:
    desk.contacts.broken = "the state machine is gone"
    refusal = desk.ask(1, Transact(POLL, Shape.READ))
    assert refusal == Refusal(RefusalCode.INTERNAL, "OSError('the state machine is gone')")


def test_a_frame_with_a_wrong_crc_is_not_answered_but_counted(desk: Desk) -> None:
    wire = bytearray(encode(1, Power(on=True)))
    wire[2] ^= 0x10
    desk.bridge.feed(bytes(wire))
    assert desk.listen() == []
    assert desk.contacts.did == []
    counters = desk.ask(2, Counters())
    assert isinstance(counters, CountersAnswer)
    assert counters.bad_frames == 1


@given(st.lists(GARBAGE, max_size=8))
def test_garbage_moves_nothing(pieces: list[bytes]) -> None:
    desk = Desk()
    for piece in pieces:
        desk.bridge.feed(piece)
        desk.bridge.step()
    assert desk.contacts.did == []
    desk.bridge.feed(b"\0")
    assert isinstance(desk.ask(1, Hello()), HelloAnswer)


# frames


def test_a_frame_is_shutter_poll_and_focus_at_their_times(desk: Desk) -> None:
    t_us = desk.contacts.t_us
    assert desk.ask(1, frames_of()) == FramesStarted()
    desk.run(3 * PERIOD_US - 1)
    wanted: list[tuple[int, str, object]] = []
    for frame in range(3):
        start_us = t_us + frame * PERIOD_US
        wanted += [
            (start_us, "shutter", 1),
            (start_us + 500, "shutter", 0),
            (start_us + 2_000, "transact", (POLL, firmware.READ, b"")),
            (start_us + 2_000 + POLL_US + 4_000, "focus", None),
        ]
    assert desk.contacts.did == wanted


def test_all_polls_are_told(desk: Desk) -> None:
    desk.ask(1, frames_of())
    polled = messages(desk.run(60 * PERIOD_US - 1), Polled)
    assert len(polled) == 60
    assert {poll.alike for poll in polled} == {0}
    assert [poll.start_us for poll in polled] == [5_002_000 + frame * PERIOD_US for frame in range(60)]


def test_of_polls_that_are_alike_the_first_is_told_and_the_others_counted(desk: Desk) -> None:
    desk.contacts.answer = lambda number: (firmware.NONE, b"\x01" if number <= 10 else b"\x02")
    desk.ask(1, frames_of(Report.CHANGES))
    frames = desk.run(70 * PERIOD_US)
    polled = messages(frames, Polled)
    assert [(poll.alike, poll.said) for poll in polled] == [(0, b"\x01"), (9, b"\x02")]
    [beat] = messages(frames, Heartbeat)
    assert beat.polls - beat.alike - 10 - 1 == 0


def test_polls_that_break_off_are_told_each(desk: Desk) -> None:
    desk.contacts.answer = lambda number: (firmware.NO_ANSWER, b"")
    desk.ask(1, frames_of(Report.CHANGES))
    polled = messages(desk.run(5 * PERIOD_US - 1), Polled)
    assert [(poll.broke_off, poll.alike) for poll in polled] == [(Break.NO_ANSWER, 0)] * 5


def test_frames_that_are_asked_for_anew_tell_their_first_poll(desk: Desk) -> None:
    desk.ask(1, frames_of(Report.CHANGES))
    desk.run(10 * PERIOD_US)
    desk.ask(2, frames_of(Report.CHANGES, period_us=2 * PERIOD_US))
    polled = messages(desk.run(10 * PERIOD_US - 1), Polled)
    assert [poll.alike for poll in polled] == [0]


def test_a_transaction_of_the_host_goes_behind_the_poll_when_the_next_frame_is_near(desk: Desk) -> None:
    desk.ask(1, frames_of())
    desk.run(PERIOD_US - firmware.ROOM_US + 1)
    desk.say(2, Transact(bytes.fromhex("6080fe02"), Shape.WRITE, bytes(9)))
    frames = desk.run(PERIOD_US)
    [done] = messages(frames, Done)
    poll = messages(frames, Polled)[-1]
    assert done.start_us == poll.end_us
    assert desk.did("focus")[-1][0] == done.end_us + firmware.FOCUS_US
    counters = desk.ask(3, Counters())
    assert isinstance(counters, CountersAnswer)
    assert counters.late_frames == 0


def test_a_transaction_of_the_host_goes_at_once_when_there_is_room(desk: Desk) -> None:
    desk.ask(1, frames_of())
    desk.run(10_000)
    asked_us = desk.contacts.t_us
    done = desk.ask(2, Transact(POLL, Shape.READ))
    assert isinstance(done, Done)
    assert done.start_us == asked_us


def test_no_transaction_of_the_host_falls_between_shutter_and_poll(desk: Desk) -> None:
    """However the host presses, each frame has its steps, and SHUTTER is followed by the poll."""
    desk.ask(1, frames_of())
    seq = 2
    until_us = desk.contacts.t_us + 30 * PERIOD_US
    while desk.contacts.t_us < until_us:
        desk.say(seq % 200 + 2, Transact(bytes.fromhex("b0f20000"), Shape.COMPLETE))
        seq += bool(messages(desk.run(100), Done))
    inside = False
    for _, what, how in desk.contacts.did:
        if what == "shutter":
            inside = True
        elif what == "transact":
            assert isinstance(how, tuple)
            assert not inside or how[0] == POLL
            inside = False
    assert len(desk.did("focus")) >= 28
    assert seq > 30


def test_a_long_transaction_makes_frames_late_and_they_are_counted(desk: Desk) -> None:
    desk.ask(1, frames_of())
    desk.run(10_000)
    desk.contacts.takes_us = lambda command: POLL_US if command == POLL else 100_000
    began_us = desk.contacts.t_us
    assert isinstance(desk.ask(2, Transact(bytes.fromhex("c3f00000"), Shape.READ)), Done)
    desk.run(3 * PERIOD_US)
    late_us = next(t_us for t_us, level in desk.did("shutter") if t_us > began_us and level)
    assert late_us >= began_us + 100_000
    counters = desk.ask(3, Counters())
    assert isinstance(counters, CountersAnswer)
    assert counters.late_frames == 1 + (late_us - 5_000_000 - PERIOD_US) // PERIOD_US
    *_, last_us = (t_us for t_us, level in desk.did("shutter") if level)
    assert last_us > late_us
    assert (last_us - 5_000_000) % PERIOD_US == 0, "the frames find their grid again"


@given(st.integers(0, 3 * PERIOD_US))
def test_stop_and_power_off_overtake_polling(after_us: int) -> None:
    """Whenever they come: they are answered at once, SHUTTER is low then, and no poll follows."""
    for message in (Stop(), Power(on=False)):
        desk = Desk()
        desk.ask(1, Power(on=True))
        desk.ask(2, frames_of())
        desk.run(after_us)
        now_us = desk.contacts.t_us
        desk.say(3, message)
        [answer] = desk.listen()
        assert isinstance(answer.message, Stopped | PowerAnswer)
        assert desk.contacts.t_us == now_us
        assert desk.did("shutter")[-1][1] == 0
        polls = desk.contacts.commands
        assert messages(desk.run(3 * PERIOD_US), Polled) == []
        assert desk.contacts.commands == polls


def test_a_stop_without_frames_moves_nothing(desk: Desk) -> None:
    assert desk.ask(1, Stop()) == Stopped()
    assert desk.contacts.did == []


def test_a_host_that_does_not_read_costs_polls_and_is_told_how_many(desk: Desk) -> None:
    desk.ask(1, frames_of())
    desk.run(400 * PERIOD_US, deaf=True)
    assert len(desk.bridge._out) <= firmware.OUT_LIMIT
    told = len(messages(desk.listen(), Polled)) + len(messages(desk.heard, Heartbeat))
    desk.run(SECOND_US)
    beat = messages(desk.heard, Heartbeat)[-1]
    assert beat.dropped > 200
    assert told + beat.dropped == 400 + 6, "every poll and every heartbeat is told or counted"


def test_it_stops_hearing_while_too_much_is_unread(desk: Desk) -> None:
    seq = 0
    while desk.bridge.hears:
        seq += 1
        desk.say(seq % 256, Hello())
    assert firmware.OUT_LIMIT < len(desk.bridge._out) < firmware.OUT_LIMIT + 64
    desk.listen()
    assert desk.bridge.hears


def test_a_poll_that_was_dropped_is_told_again_though_nothing_changed(desk: Desk) -> None:
    desk.ask(1, frames_of(Report.CHANGES))
    desk.run(PERIOD_US - 1)
    desk.contacts.answer = lambda number: (firmware.NONE, b"new")
    desk.bridge._out.extend(bytes(firmware.OUT_LIMIT))
    desk.run(PERIOD_US, deaf=True)
    desk.bridge.take(2 * firmware.OUT_LIMIT)
    assert [poll.said for poll in messages(desk.run(PERIOD_US), Polled)] == [b"new"]


# listening


class FakeEars(Ears):
    """Ears that hear SLEEP change at each look; they count how often somebody looks."""

    def __init__(self, contacts: FakeContacts) -> None:
        self._contacts = contacts
        self._began_us = contacts.t_us
        self.looks = 0
        self.ended = False

    def now(self) -> int:
        return (self._contacts.t_us - self._began_us) * 5

    def take(self) -> tuple[list[int], list[int]]:
        self.looks += 1
        return [(~self.now() & TIME_MASK) << 7 | (self.looks & 1) << 2], []

    def recover(self) -> tuple[int, int]:
        return 7, 0

    def end(self) -> None:
        self.ended = True


class HearingContacts(FakeContacts):
    def listen(self) -> Ears:
        self.note("listen")
        self.ears = FakeEars(self)
        return self.ears


def hearing_desk() -> Desk:
    desk = Desk()
    desk.contacts = HearingContacts()
    desk.bridge = firmware.Bridge(desk.contacts, 0xDEADBEEF)
    return desk


def test_listening_keeps_all_else_away_until_it_is_stopped() -> None:
    desk = hearing_desk()
    desk.ask(1, Power(on=True))
    assert desk.ask(2, Listen()) == ListenBegun(tick_ns=200)
    assert [(what, how) for _, what, how in desk.contacts.did] == [("power", True), ("power", False), ("listen", None)]
    frames = StartFrames(PERIOD_US, 500, 1_500, Report.ALL, POLL)
    for seq, request in enumerate((Power(on=True), Power(on=False), Transact(POLL, Shape.READ), frames, SelfTest()), 3):
        answer = desk.ask(seq, request)
        assert answer == Refusal(RefusalCode.BUSY, "the bridge listens; STOP ends it")
    assert len(desk.contacts.did) == 3, "nothing is done at the contacts"
    assert desk.ask(9, Stop()) == Stopped()
    assert isinstance(desk.contacts, HearingContacts)
    assert desk.contacts.ears.ended
    assert desk.ask(10, Power(on=True)) == PowerAnswer(True, desk.contacts.t_us)


def test_what_was_heard_comes_before_the_answer_to_stop_and_nothing_behind_it() -> None:
    desk = hearing_desk()
    desk.ask(1, Listen())
    told = [frame.message for frame in desk.run(SECOND_US // 2) if isinstance(frame.message, Heard)]
    assert [message.number for message in told] == list(range(len(told)))
    assert 8 <= len(told) <= 11, "every 50 ms"
    desk.say(2, Stop())
    last = [frame.message for frame in desk.listen()]
    assert [type(message) for message in last] == [Heard, Stopped]
    assert not [frame for frame in desk.run(2 * SECOND_US) if isinstance(frame.message, Heard)]


def test_a_new_listening_begins_anew_and_a_repeated_request_does_not() -> None:
    desk = hearing_desk()
    desk.ask(1, Listen())
    desk.run(SECOND_US // 10)
    assert desk.ask(1, Listen()) == ListenBegun(200)
    assert [what for _, what, _ in desk.contacts.did] == ["listen"]
    assert desk.ask(2, Listen()) == ListenBegun(200)
    desk.listen()
    first = next(frame.message for frame in desk.run(SECOND_US) if isinstance(frame.message, Heard))
    assert (first.number, first.t, [what for _, what, _ in desk.contacts.did]) == (0, 0, ["listen", "listen"])


def test_nobody_looks_while_the_host_reads_nothing() -> None:
    desk = hearing_desk()
    desk.ask(1, Listen())
    desk.run(300 * SECOND_US, deaf=True)
    assert isinstance(desk.contacts, HearingContacts)
    looks = desk.contacts.ears.looks
    unread = len(desk.bridge.take(1 << 20))
    assert firmware.OUT_LIMIT < unread < 2 * firmware.OUT_LIMIT
    frames = desk.run(SECOND_US)
    assert desk.contacts.ears.looks > looks + 100, "it goes on when the host has read"
    lost = [frame.message.lost for frame in frames if isinstance(frame.message, Heard) and frame.message.lost]
    assert lost == [7], "nobody can tell how often the time went round"


def test_contacts_without_ears_and_a_payload_are_refused() -> None:
    assert Desk().ask(1, Listen()) == Refusal(RefusalCode.UNABLE, "these contacts cannot listen")
    desk = hearing_desk()
    desk.bridge.feed(cobs_encoded((body := b"\x01\x0a\x00") + crc16(body).to_bytes(2, "little")) + b"\0")
    [frame] = desk.listen()
    assert frame.message == Refusal(RefusalCode.MALFORMED, "LISTEN has no payload")
