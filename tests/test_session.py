"""The session as a table, and connections that take part: body against lens, byte by byte, on virtual time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from m43proto.connection import Connection
from m43proto.dialects import DIALECTS
from m43proto.errors import LocalProtocolError
from m43proto.events import (
    Cause,
    MessageSeen,
    PinEvent,
    RequestSeen,
    StateChanged,
    TransactionSeen,
    Violation,
)
from m43proto.evidence import cited_sources
from m43proto.messages import PUBLIC, Drive, Identify, Initialise, InitialiseF0, SetFocusRing, Status
from m43proto.pins import Role
from m43proto.session import SETTLED_POLLS, TIMEOUTS, TRANSITIONS, Legality, Session, Wait
from m43proto.shapes import Shape
from m43proto.states import State, Trigger
from tests.observing import of
from tests.waveform import Script, random_script

STATUS_BLOCK = bytes.fromhex("c2e10000000c4200b103000c0c00d2002f018c01ea014702a4025c034e02")
APERTURE = Drive(aperture_operation="set", aperture_f=5.6)
SET_UP = Drive(focus_operation="setup")


# the tables


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", Trigger)
def test_every_input_has_its_row_in_every_state(state: State, trigger: Trigger) -> None:
    row = TRANSITIONS[state, trigger]
    assert cited_sources(row.source)
    if row.legality is Legality.ILLEGAL:
        assert row.then is state
    if trigger is Trigger.POWER_DOWN and state is not State.OFF:
        assert row.then is State.OFF


def test_a_lens_that_is_off_gone_or_given_up_is_sent_nothing() -> None:
    said = (Trigger.STEP, Trigger.LAST_STEP, Trigger.OUT_OF_ORDER, Trigger.POLL, Trigger.DRIVE, Trigger.OTHER)
    for state in (State.OFF, State.GONE, State.FAILED):
        assert {TRANSITIONS[state, trigger].legality for trigger in said} == {Legality.ILLEGAL}


def test_states_and_triggers_have_a_meaning_and_can_be_reached() -> None:
    assert all(state.meaning for state in State)
    assert all(trigger.meaning for trigger in Trigger)
    reached = {State.OFF, State.UNSEEN}
    for _ in State:
        reached |= {row.then for (state, _), row in TRANSITIONS.items() if state in reached}
    assert reached == set(State)


def test_time_limits_and_start_up_steps_say_where_they_come_from() -> None:
    assert set(TIMEOUTS) == set(Wait)
    for limit in TIMEOUTS.values():
        assert limit.limit_ns > 0
        assert limit.doc
        assert cited_sources(limit.source)
    for dialect in DIALECTS.values():
        assert len(dialect.steps) == 8
        assert [step.clock_hold for step in dialect.steps].index(True) == 2
        for step in dialect.steps:
            assert cited_sources(step.source)
            assert PUBLIC.find(step.command) is step.request


def started(connection: Connection, dialect: str = "E-PL1") -> Session:
    """Bring a connection's session through the start-up without a byte."""
    session = connection._session
    session.apply(Trigger.POWER_UP)
    session.apply(Trigger.WAKE_PULSE)
    for step in DIALECTS[dialect].steps:
        session.take(step.request, None)
    return session


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_start_up_in_its_order_leads_to_ready(dialect: str) -> None:
    session = Session()
    assert [change.after for change in session.apply(Trigger.POWER_UP)] == [State.WAKING] * 2
    session.apply(Trigger.WAKE_PULSE)
    for step in DIALECTS[dialect].steps:
        assert session.states[Role.BODY] is State.INITIALISING
        assert session.transition(Role.BODY, session.trigger_of(step.request)).legality is Legality.LEGAL
        session.take(step.request, None)
    assert set(session.states.values()) == {State.READY}
    assert session.trigger_of(Status) is Trigger.POLL
    assert session.trigger_of(Initialise) is Trigger.STEP
    assert session.trigger_of(Identify) is Trigger.OUT_OF_ORDER
    assert session.trigger_of(InitialiseF0) is Trigger.OTHER
    assert session.trigger_of(None) is Trigger.OTHER
    session.take(Initialise, None)
    assert session.states[Role.BODY] is State.INITIALISING
    session.apply(Trigger.POWER_DOWN)
    assert session.trigger_of(Initialise) is Trigger.STEP


def test_a_start_up_out_of_order_is_untried_and_an_old_body_that_polls_early_is_ready() -> None:
    session = Session(State.INITIALISING)
    assert session.transition(Role.BODY, session.trigger_of(SetFocusRing)).legality is Legality.UNTRIED
    session.take(SetFocusRing, None)
    session.take(Status, None)
    assert session.states[Role.BODY] is State.READY


def status(**changes: object) -> Status:
    values = Status.parse(bytes.fromhex("0106") + STATUS_BLOCK).values
    return Status(**(values | changes))  # type: ignore[arg-type]


def test_a_drive_ends_when_successive_statuses_agree() -> None:
    session = started(Connection(Role.BODY))
    assert session.trigger_of(Drive, SET_UP) is Trigger.OTHER
    session.take(Drive, APERTURE)
    assert session.states[Role.BODY] is State.DRIVING
    for position in (3, 5, 9, 9):
        session.take(Status, status(focus_position=position))
        assert session.states[Role.BODY] is State.DRIVING
    session.take(Drive, APERTURE)
    for _ in range(SETTLED_POLLS - 1):
        session.take(Status, status(focus_position=9))
        assert session.states[Role.BODY] is State.DRIVING
    [body, lens] = session.take(Status, status(focus_position=9), 17)
    assert (body.role, body.before, body.after, body.trigger) == (
        Role.BODY,
        State.DRIVING,
        State.READY,
        Trigger.SETTLED,
    )
    assert (lens.role, lens.t_ns, lens.end_ns) == (Role.LENS, 17, 17)


# both ends


class Pair:
    """A body and a lens, joined by a wire that hands over so many bytes at a time."""

    def __init__(self, portion: int = 1000) -> None:
        self.body = Connection(Role.BODY)
        self.lens = Connection(Role.LENS)
        self.portion = portion
        self.now_ns = 0
        self.seen: list[object] = []
        self.heard: list[object] = []
        self.answers: dict[bytes, bytes] = {}

    def pin_event(self, event: PinEvent) -> None:
        self.now_ns += 1_000
        for end in (self.body, self.lens):
            end.receive_pin_event(event, self.now_ns)
        self.collect()

    def wake(self) -> None:
        self.pin_event(PinEvent.POWER_UP)
        self.pin_event(PinEvent.WAKE_PULSE)
        self.pin_event(PinEvent.CLOCK_HOLD)

    def run(self) -> None:
        """Carry bytes until nobody has anything to say."""
        quiet = 0
        while quiet < 2:
            for sender, receiver in ((self.body, self.lens), (self.lens, self.body)):
                said = sender.data_to_send()
                quiet = 0 if said else quiet + 1
                for start in range(0, len(said), self.portion):
                    self.now_ns += 1_000
                    receiver.receive_data(said[start : start + self.portion], self.now_ns)
                    self.collect()

    def collect(self) -> None:
        self.seen += self.body.events()
        for event in self.lens.events():
            self.heard.append(event)
            if isinstance(event, RequestSeen):
                self.lens.send(self.answers[event.command], self.now_ns)
        self.heard += self.lens.events()

    def transact(self, script: Script) -> None:
        self.answers[script.command] = bytes([script.status]) if script.letter == "B" else script.data
        transfers = self.body.send(script.command, self.now_ns, script.data if script.letter == "6" else b"")
        self.run()
        last = of(TransactionSeen, self.seen)[-1]  # type: ignore[arg-type]
        self.check(transfers, last)

    @staticmethod
    def check(transfers: object, last: TransactionSeen) -> None:
        """The turns foretold are the bytes that went over the wire."""
        sizes = [(one.sender, one.size, one.data) for one in transfers]  # type: ignore[attr-defined]
        at = 0
        for sender, size, said in sizes:
            count = (last.length or 0) - 1 if size is None else size
            part = last.wire[at : at + count]
            assert [byte.sender for byte in part] == [sender] * count
            if sender is Role.BODY:
                assert bytes(byte.value for byte in part) == said
            at += count
        assert at == len(last.wire)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_body_and_lens_agree_on_every_transaction_in_any_portions(seed: int) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    pair = Pair(rng.choice([1, 2, 3, 7, 1000]))
    pair.wake()
    drawn = [random_script(rng, longest=300) for _ in range(6)]
    for script in drawn:
        pair.transact(script)
    mine = of(TransactionSeen, pair.seen)  # type: ignore[arg-type]
    theirs = of(TransactionSeen, pair.heard)  # type: ignore[arg-type]
    assert [one.command for one in mine] == [script.command for script in drawn]
    for one, other, script in zip(mine, theirs, drawn, strict=True):
        assert (one.command, one.data, one.status, one.complete) == (other.command, other.data, other.status, True)
        assert one.sums_ok
        assert other.sums_ok
        assert one.data == (script.data if script.letter in "6C" else b"")
        assert [byte.value for byte in one.wire] == [byte.value for byte in other.wire]
    assert of(Violation, pair.seen) == of(Violation, pair.heard) == []  # type: ignore[arg-type]


def test_a_whole_session_in_typed_messages() -> None:
    pair = Pair()
    pair.wake()
    assert pair.body.states == {Role.BODY: State.INITIALISING, Role.LENS: State.INITIALISING}
    dialect = DIALECTS["E-PL1"]
    for step in dialect.steps:
        pair.answers[step.command] = bytes(1) if PUBLIC.shape_of(step.command) is Shape.COMPLETE else bytes(4)
        if step.request is Identify:
            pair.answers[step.command] = bytes(20)
        if step.request is Status:
            pair.answers[step.command] = STATUS_BLOCK
        pair.body.send(step.command, pair.now_ns, step.block)
        pair.run()
    assert pair.body.states[Role.BODY] is State.READY
    assert pair.lens.states[Role.LENS] is State.READY
    pair.body.send(APERTURE, pair.now_ns)
    pair.run()
    assert pair.lens.states[Role.LENS] is State.DRIVING
    for _ in range(SETTLED_POLLS):
        pair.body.send(dialect.poll, pair.now_ns)
        pair.run()
    changes = [event.after for event in of(StateChanged, pair.seen) if event.role is Role.BODY]  # type: ignore[arg-type]
    assert changes == [State.WAKING, State.INITIALISING, State.READY, State.DRIVING, State.READY]
    last = of(MessageSeen, pair.seen)[-1]  # type: ignore[arg-type]
    assert isinstance(last.message, Status)
    assert last.message.focus_distance_m == 0.33


def test_a_lens_answers_with_typed_messages() -> None:
    pair = Pair()
    pair.wake()
    lens = pair.lens
    with pytest.raises(LocalProtocolError, match="the body has asked nothing"):
        lens.send(status(), 0)
    lens.receive_data(Status.request(), 5)
    [request] = of(RequestSeen, lens.events())
    assert (request.kind, request.shape, request.t_ns, request.end_ns) == (Status, Shape.READ, 5, 5)
    with pytest.raises(LocalProtocolError, match="Initialise does not answer c1 80 01 06"):
        lens.send(Initialise(), 5)
    assert lens.data_to_send() == b"\x48"
    assert lens.send(status(), 6) == ()
    assert lens.data_to_send() == b"\x1f\x00" + STATUS_BLOCK + bytes([sum(STATUS_BLOCK) % 256])
    lens.receive_data(Initialise.request(), 7)
    with pytest.raises(LocalProtocolError, match="a status has one byte, not 3"):
        lens.send(b"abc", 7)
    lens.send(Initialise(), 8)
    assert lens.data_to_send() == b"\xa2\x00"


# what goes wrong


def test_what_has_no_place_is_not_sent() -> None:
    body = Connection(Role.BODY)
    with pytest.raises(LocalProtocolError, match="Status has no place while the session is off: SLEEP is low"):
        body.send(Status.request(), 0)
    with pytest.raises(LocalProtocolError, match="c7 00 00 00 has no place"):
        body.send(bytes.fromhex("c7000000"), 0)
    started(body)
    with pytest.raises(LocalProtocolError, match="30 00 00 00 is no command of a known shape"):
        body.send(bytes.fromhex("30000000"), 0)
    with pytest.raises(LocalProtocolError, match="c1 80 is no command"):
        body.send(bytes.fromhex("c180"), 0)
    body.send(Status.request(), 0)
    with pytest.raises(LocalProtocolError, match="the transaction before has not ended"):
        body.send(Status.request(), 0)
    with pytest.raises(LocalProtocolError, match="an observer sends nothing"):
        Connection().send(Status.request(), 0)
    assert body.data_to_send() == Status.request()
    assert body.data_to_send() == b""


def test_a_lens_that_does_not_answer_is_gone_when_the_time_is_up() -> None:
    body = Connection(Role.BODY)
    started(body)
    assert body.next_timeout() is None
    body.send(Status.request(), 100)
    due_ns = body.next_timeout()
    assert due_ns == 100 + TIMEOUTS[Wait.ANSWER].limit_ns
    body.handle_timeout(due_ns - 1)
    assert body.next_timeout() == due_ns
    body.receive_data(b"\x48", 200)
    assert body.next_timeout() == 200 + TIMEOUTS[Wait.ANSWER].limit_ns
    body.handle_timeout(60_000_000)
    events = list(body.events())
    [broken] = of(TransactionSeen, events)
    assert (broken.command_sum, broken.complete) == (0x48, False)
    assert [event.cause for event in of(Violation, events)] == [Cause.BROKE_OFF]
    assert body.states == {Role.BODY: State.READY, Role.LENS: State.READY}
    body.send(Status.request(), 60_000_000)
    body.handle_timeout(60_000_000 + TIMEOUTS[Wait.ANSWER].limit_ns)
    events = list(body.events())
    assert [event.cause for event in of(Violation, events)] == [Cause.NO_ANSWER]
    assert body.states == {Role.BODY: State.GONE, Role.LENS: State.READY}
    assert body.next_timeout() is None
    body.handle_timeout(200_000_000)
    assert list(body.events()) == []


def test_a_lens_that_gives_no_wake_pulse_is_passive() -> None:
    body = Connection(Role.BODY)
    body.receive_pin_event(PinEvent.POWER_UP, 5)
    due_ns = body.next_timeout()
    assert due_ns == 5 + TIMEOUTS[Wait.WAKE_PULSE].limit_ns
    body.handle_timeout(due_ns)
    assert body.states[Role.BODY] is State.PASSIVE
    assert of(Violation, body.events()) == []
    body.receive_pin_event(PinEvent.POWER_DOWN, due_ns + 1)
    assert body.states[Role.BODY] is State.OFF


def test_a_busy_lens_has_more_time() -> None:
    body = Connection(Role.BODY)
    started(body)
    body.send(Initialise.request(), 0)
    body.receive_data(b"\xa2", 10)
    assert body.next_timeout() == 10 + TIMEOUTS[Wait.BUSY].limit_ns
    body.receive_data(b"\x00", 400_000_000)
    [done] = of(TransactionSeen, body.events())
    assert (done.complete, done.status) == (True, 0)


def test_a_lens_that_is_given_up_takes_nothing_until_it_is_off() -> None:
    body = Connection(Role.BODY)
    started(body)
    body.send(Status.request(), 0)
    body.give_up(10)
    assert [event.cause for event in of(Violation, body.events())] == [Cause.BROKE_OFF]
    assert body.states[Role.BODY] is State.FAILED
    with pytest.raises(LocalProtocolError, match="failed"):
        body.send(Status.request(), 20)
    body.receive_pin_event(PinEvent.POWER_DOWN, 30)
    body.receive_pin_event(PinEvent.POWER_UP, 40)
    assert body.states[Role.BODY] is State.WAKING


def test_a_message_with_a_wrong_sum_changes_no_state() -> None:
    body = Connection(Role.BODY)
    session = started(body)
    session.take(Drive, APERTURE)
    for _ in range(SETTLED_POLLS):
        body.send(Status.request(), 0)
        body.receive_data(b"\x4c\x1f\x00" + STATUS_BLOCK + bytes([sum(STATUS_BLOCK) % 256]), 5)
    assert all(not event.command_sum_ok for event in of(TransactionSeen, body.events()))
    assert body.states[Role.BODY] is State.DRIVING


def test_a_transaction_that_a_transport_has_carried_is_taken_as_a_whole() -> None:
    body = Connection(Role.BODY)
    with pytest.raises(LocalProtocolError):
        body.check(Status.request())
    started(body)
    body.check(APERTURE)
    body.check(Status.request())
    said = b"\x48\x1f\x00" + STATUS_BLOCK + bytes([sum(STATUS_BLOCK) % 256])
    body.receive_transaction(Status.request(), b"", said, 5, 9)
    body.receive_transaction(APERTURE.command, APERTURE.block, b"\xe0" + bytes([sum(APERTURE.block) % 256]), 10, 19)
    [poll, drive] = of(TransactionSeen, body.events())
    assert (poll.t_ns, poll.end_ns, poll.complete, poll.sums_ok) == (5, 9, True, True)
    assert (drive.t_ns, drive.end_ns, drive.complete, drive.sums_ok) == (10, 19, True, True)
    body.receive_transaction(Status.request(), b"", said[:9], 20, 30)
    assert [event.cause for event in of(Violation, body.events())] == [Cause.BROKE_OFF]
    body.receive_transaction(Status.request(), b"", b"", 40, 50)
    assert [event.cause for event in of(Violation, body.events())] == [Cause.NO_ANSWER]
    assert body.states[Role.BODY] is State.GONE


def test_bytes_out_of_turn_are_violations() -> None:
    body, lens = Connection(Role.BODY), Connection(Role.LENS)
    body.receive_data(b"\x11", 5)
    [event] = of(Violation, body.events())
    assert (event.cause, event.data) == (Cause.OUT_OF_TURN, b"\x11")
    lens.receive_data(Status.request() + b"\x22", 5)
    [event] = of(Violation, lens.events())
    assert (event.cause, event.data) == (Cause.OUT_OF_TURN, b"\x22")


def test_a_block_without_room_for_a_sum_ends_the_transaction_at_both_ends() -> None:
    body, lens = Connection(Role.BODY), Connection(Role.LENS)
    started(body)
    body.send(Status.request(), 0)
    body.receive_data(b"\x48\x00\x00", 5)
    events = list(body.events())
    assert [event.cause for event in of(Violation, events)] == [Cause.BLOCK_LENGTH]
    assert [event.complete for event in of(TransactionSeen, events)] == [False]
    lens.receive_data(APERTURE.command + b"\x00\x00", 5)
    [event] = of(Violation, lens.events())
    assert (event.cause, event.data) == (Cause.BLOCK_LENGTH, APERTURE.command + b"\xe0\x00\x00")
    lens.data_to_send()
    lens.receive_data(Status.request(), 6)
    assert len(of(RequestSeen, lens.events())) == 1


def test_a_lens_forgets_a_command_that_breaks_off_and_one_of_unknown_shape() -> None:
    lens = Connection(Role.LENS)
    lens.receive_data(b"\xc1\x80", 5)
    due_ns = lens.next_timeout()
    assert due_ns == 5 + TIMEOUTS[Wait.COMMAND].limit_ns
    lens.handle_timeout(due_ns)
    [event] = of(Violation, lens.events())
    assert (event.cause, event.data) == (Cause.BROKE_OFF, b"\xc1\x80")
    lens.receive_data(bytes.fromhex("30000000"), due_ns)
    [event] = of(Violation, lens.events())
    assert (event.cause, event.data) == (Cause.UNKNOWN_SHAPE, bytes.fromhex("30000000"))
    assert lens.data_to_send() == b"\x30"
    assert lens.next_timeout() is None
    lens.receive_data(APERTURE.command, due_ns)
    assert lens.next_timeout() == due_ns + TIMEOUTS[Wait.COMMAND].limit_ns
    lens.receive_pin_event(PinEvent.POWER_DOWN, due_ns)
    lens.receive_data(Status.request(), due_ns)
    assert len(of(RequestSeen, lens.events())) == 1


def test_an_empty_block_has_its_length_and_its_sum() -> None:
    pair = Pair()
    pair.wake()
    pair.transact(Script(bytes.fromhex("60000000"), "6"))
    pair.transact(Script(bytes.fromhex("c0000000"), "C"))
    assert [one.length for one in of(TransactionSeen, pair.seen)] == [1, 1]  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60), role=st.sampled_from(Role), seed=st.integers(0, 2**32 - 1))
def test_garbage_gives_events_and_nothing_else(data: bytes, role: Role, seed: int) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    end = Connection(role)
    started(end)
    if role is Role.BODY:
        end.send(random_script(rng).command, 0)
    now_ns = 0
    for value in data:
        now_ns += rng.choice([1_000, 60_000_000])
        end.handle_timeout(now_ns)
        end.receive_data(bytes([value]), now_ns)
    assert isinstance(list(end.events()), list)
