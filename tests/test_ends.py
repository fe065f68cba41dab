"""Both ends at the pins: body against lens, judged by the observer, which shares only the grammar with them."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from m43proto.drafts import Draft
from m43proto.ends import Answer, PinBody, PinEnd, PinLens, Script
from m43proto.events import ByteSeen, Cause, FragmentSeen, PinEvent, PinEventSeen, TransactionSeen, Violation
from m43proto.evidence import cited_sources
from m43proto.messages import PUBLIC
from m43proto.mount import Mount
from m43proto.pins import LINES, Line
from m43proto.shapes import Shape
from m43proto.timing import (
    BODY_TIMINGS,
    JITTERY,
    LENS_TIMINGS,
    BodyTiming,
    LensTiming,
    body_timing,
    delays_of,
    jittery_lens,
    lens_timing,
    replaced,
    scaled,
)
from tests.observing import observed, of
from tests.waveform import BODY_ACK, CLK, DATA, LENS_ACK, SLEEP, random_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.waveform import Script as Drawn

POLL = bytes.fromhex("c1800106")
DRIVE = bytes.fromhex("6080fe02")
INITIALISE = bytes.fromhex("b0f20000")
BLOCK = bytes.fromhex("01d703000000000000")

HOUR_NS = 3_600 * 10**9

STRANGERS = {("bell_body", "slow"), ("bell_body", JITTERY), (JITTERY, "fast")}
"""Timings that do not get on: a body that does not watch the acknowledges needs a lens that is quick enough for it,
and a body with interrupts misses the acknowledges of a lens that is too quick (specs/2-link.md §2.12)."""

MEETING = [
    (body, lens)
    for body in (*BODY_TIMINGS, JITTERY)
    for lens in (*LENS_TIMINGS, JITTERY)
    if (body, lens) not in STRANGERS
]


class Memory:
    """A lens's inside that answers from a table and keeps what was written."""

    def __init__(self, answers: dict[bytes, Answer] | None = None) -> None:
        self.answers = answers or {}
        self.taken: list[tuple[bytes, bytes]] = []
        self.asked_ns: list[int] = []

    def answer(self, command: bytes, now_ns: int) -> Answer:
        self.asked_ns.append(now_ns)
        return self.answers.get(command, Answer())

    def take(self, command: bytes, block: bytes, now_ns: int) -> None:
        self.taken.append((command, block))


class Session:
    """A body and a lens that have talked."""

    def __init__(
        self,
        script: Callable[[PinBody], Script[None]],
        memory: Memory | None = None,
        *,
        body: BodyTiming = BODY_TIMINGS["bell_body"],
        lens: LensTiming = LENS_TIMINGS["bell_lens"],
        in_whole_bytes: bool | None = None,
    ) -> None:
        self.memory = memory or Memory()
        self.body = PinBody(body, script, PUBLIC.shape_of)
        self.lens = PinLens(lens, self.memory, PUBLIC.shape_of)
        self.mount = Mount(self.body, self.lens)
        if in_whole_bytes is not None:
            self.body.in_whole_bytes = in_whole_bytes
        self.changes = list(self.mount.run(HOUR_NS))
        self.events = observed(self.changes)


@pytest.mark.parametrize(("body", "lens"), MEETING)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_body_lens_and_observer_agree_on_everything(body: str, lens: str, seed: int) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    drawn: list[Drawn] = [random_script(rng, longest=20) for _ in range(4)]
    memory = Memory({one.command: Answer(one.data, one.status, rng.randrange(100_000)) for one in drawn})
    results: list[TransactionSeen | None] = []

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        for one in drawn:
            results.append((yield from end.transact(one.command, one.data if one.letter == "6" else b"")))
            yield from end.pause(rng.choice([25_000, 1_000_000]))

    session = Session(script, memory, body=body_timing(body, seed), lens=lens_timing(lens, seed))
    assert session.body.done
    seen = of(TransactionSeen, session.events)
    assert seen == results
    assert [event.wire for event in seen] == [result.wire for result in results if result]
    assert [event.command for event in seen] == [one.command for one in drawn]
    assert all(event.complete and event.sums_ok for event in seen)
    assert [event.data for event in seen if event.shape == "read"] == [one.data for one in drawn if one.letter == "C"]
    assert memory.taken == [(one.command, one.data) for one in drawn if one.letter == "6"]
    assert of(Violation, session.events) == []
    assert session.mount.contention_ns == []


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), body=st.sampled_from(sorted(BODY_TIMINGS)))
def test_bytes_as_a_whole_and_bit_by_bit_are_the_same_edges(seed: int, body: str) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    drawn: list[Drawn] = [random_script(rng, longest=8) for _ in range(3)]

    def run(*, in_whole_bytes: bool) -> Session:
        def script(end: PinBody) -> Script[None]:
            yield from end.power_up()
            for one in drawn:
                yield from end.transact(one.command, one.data if one.letter == "6" else b"")

        memory = Memory({one.command: Answer(one.data, one.status) for one in drawn})
        return Session(script, memory, body=BODY_TIMINGS[body], in_whole_bytes=in_whole_bytes)

    whole, bits = run(in_whole_bytes=True), run(in_whole_bytes=False)
    assert whole.changes == bits.changes
    assert whole.memory.taken == bits.memory.taken
    assert whole.memory.asked_ns == bits.memory.asked_ns


def test_a_byte_goes_bit_by_bit_to_a_lens_that_does_not_wait_for_it() -> None:
    """A body that does not watch the acknowledges clocks into the acknowledge of a slow lens, which loses bits."""

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        results.append((yield from end.transact(POLL)))

    results: list[TransactionSeen | None] = []
    session = Session(script, lens=LENS_TIMINGS["slow"])
    assert results[0] is not None
    assert not results[0].complete
    assert session.body.done


def test_a_byte_that_both_ends_drive_goes_bit_by_bit() -> None:
    class Pusher(PinLens):
        def _hear(self, size: int | None) -> Script[bytes | None]:
            self._set(DATA.mask, 1)
            self.drives |= DATA.mask
            return (yield from super()._hear(size))

    body = PinBody(BodyTiming(), two_polls, PUBLIC.shape_of)
    mount = Mount(body, Pusher(LensTiming(), Memory(), PUBLIC.shape_of))
    commands = [event.command for event in of(TransactionSeen, observed(list(mount.run(HOUR_NS))))]
    assert mount.contention_ns
    assert POLL not in commands


def test_ends_that_are_unplugged_leave_their_lines_low() -> None:
    body = PinBody(BodyTiming(), two_polls, PUBLIC.shape_of)
    mount = Mount(body)
    list(mount.run(10_000_000))
    assert mount.levels == CLK.mask | SLEEP.mask | BODY_ACK.mask
    mount.unplug(body)
    assert mount.levels == 0
    assert list(mount.run(HOUR_NS)) == []


def test_a_body_that_has_ended_takes_up_another_script() -> None:
    session = Session(two_polls)
    asleep_ns = session.mount.now_ns
    session.body.begin(two_polls)
    session.mount.rouse(session.body, asleep_ns + 1_000_000)
    again = list(session.mount.run(HOUR_NS))
    assert session.body.done
    assert min(t_ns for t_ns, _ in again) >= asleep_ns + 1_000_000
    seen = of(TransactionSeen, observed([*session.changes, *again]))
    assert [(event.command, event.complete) for event in seen] == [(POLL, True)] * 4


def test_ends_in_lockstep_make_the_edges_that_they_make_on_a_mount() -> None:
    """Each end is stepped with what the other drives, as somebody else's simulator would."""
    body = PinBody(BODY_TIMINGS["bell_body"], two_polls, PUBLIC.shape_of)
    lens = PinLens(LENS_TIMINGS["bell_lens"], Memory(), PUBLIC.shape_of)
    ends, next_ns = (body, lens), {body: 0, lens: 0}
    shown: dict[PinEnd, dict[Line, int | None]] = {body: {}, lens: {}}
    now_ns, changes = 0, [(0, 0)]
    while not body.done:
        now_ns = min(next_ns.values())
        moved = [end for end in ends if next_ns[end] <= now_ns]
        while moved:
            end = moved.pop(0)
            other = lens if end is body else body
            before = shown[end]
            shown[end], due_ns = end.step(now_ns, shown[other])
            next_ns[end] = HOUR_NS if due_ns is None else due_ns
            if shown[end] != before:
                moved.append(other)
        levels = sum(line.mask for line in LINES if shown[body].get(line) or shown[lens].get(line))
        if changes[-1][1] != levels:
            changes.append((now_ns, levels))
    expected = of(TransactionSeen, Session(two_polls).events)
    assert of(TransactionSeen, observed(changes)) == expected
    assert len(expected) == 2


def test_a_lens_that_is_too_slow_for_the_clock_gives_wrong_bits() -> None:
    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        results.append((yield from end.transact(POLL)))

    results: list[TransactionSeen | None] = []
    Session(script, lens=dataclasses.replace(LensTiming(), data_ns=460))
    [result] = results
    assert result is not None
    assert not result.command_sum_ok


@pytest.mark.parametrize("kind", [body_timing, lens_timing])
def test_jitter_is_fixed_by_its_seed_and_only_makes_longer(kind: Callable[[str, int], BodyTiming | LensTiming]) -> None:
    def drawn(seed: int, name: str) -> list[int]:
        timing = kind(JITTERY, seed)
        return [getattr(timing, name) for _ in range(2_000)]

    steady = kind("slow", 0)
    for name in delays_of(type(steady)):
        least = getattr(type(steady)(), name)
        values = drawn(1, name)
        assert values == drawn(1, name)
        if name.endswith("_limit_ns"):
            assert set(values) == {least}
            continue
        assert values != drawn(2, name)
        assert min(values) >= least
        hardware = name in ("setup_ns", "data_ns")
        assert least * 1.05 < max(values) <= least * 1.1 + (0 if hardware else 6_500)


def test_a_session_has_its_pin_events() -> None:
    awake: list[bool] = []

    def script(end: PinBody) -> Script[None]:
        awake.append((yield from end.power_up()))
        yield from end.clock_hold(1_000_000)
        yield from end.pause(1_000_000)
        yield from end.frame_sync(500_000)
        yield from end.transact(POLL)
        yield from end.toggle_focus()
        yield from end.pause(1_000)
        yield from end.toggle_focus()
        yield from end.pause(1_000)
        yield from end.power_down()

    session = Session(script)
    assert awake == [True]
    assert [event.event for event in of(PinEventSeen, session.events)] == [
        PinEvent.POWER_UP,
        PinEvent.WAKE_PULSE,
        PinEvent.CLOCK_HOLD,
        PinEvent.FRAME_SYNC,
        PinEvent.FOCUS_TOGGLE,
        PinEvent.FOCUS_TOGGLE,
        PinEvent.POWER_DOWN,
    ]


def test_the_lens_answers_from_the_moment_of_the_command() -> None:
    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        yield from end.transact(POLL)

    session = Session(script)
    [asked_ns] = session.memory.asked_ns
    fourth = of(ByteSeen, session.events)[3]
    assert fourth.end_ns < asked_ns < of(ByteSeen, session.events)[4].t_ns


def test_a_lens_of_unknown_shape_gives_its_sum_and_nothing_more() -> None:
    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        with pytest.raises(ValueError, match="30 00 00 00 is no command of a known shape"):
            yield from end.transact(bytes.fromhex("30000000"))
        with pytest.raises(ValueError, match="c1 80 01 is no command"):
            yield from end.transact(POLL[:3])

    assert Session(script).body.done
    lens = PinLens(LensTiming(), Memory(), lambda _: None)
    body = PinBody(BodyTiming(), two_polls, PUBLIC.shape_of)
    seen = of(TransactionSeen, observed(list(Mount(body, lens).run(HOUR_NS))))
    assert [(event.command_sum, event.length, event.complete) for event in seen] == [(0x48, None, False)] * 2


def two_polls(end: PinBody) -> Script[None]:
    yield from end.power_up()
    yield from end.transact(POLL)
    yield from end.transact(POLL)


# the lens does not do what it should


def test_a_mount_without_a_lens_is_noticed_and_waited_for_no_longer_than_allowed() -> None:
    results: list[object] = []

    def script(end: PinBody) -> Script[None]:
        results.append((yield from end.power_up()))
        results.append((yield from end.transact(POLL)))

    body = PinBody(BodyTiming(), script, PUBLIC.shape_of)
    mount = Mount(body)
    events = observed(list(mount.run(HOUR_NS)))
    assert body.done
    assert results == [False, None]
    assert mount.now_ns < 300_000_000
    assert of(ByteSeen, events) == []


@pytest.mark.parametrize("command", [POLL, DRIVE, INITIALISE, bytes.fromhex("a0f50100")], ids="C6BA")
def test_a_lens_that_dies_at_any_moment_leaves_an_incomplete_transaction(command: bytes) -> None:
    block = BLOCK if command == DRIVE else b""

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        result.append((yield from end.transact(command, block)))

    result: list[TransactionSeen | None] = []
    alive = Session(script)
    first_ns = of(ByteSeen, alive.events)[0].t_ns
    times = [t_ns for t_ns, _ in alive.changes if t_ns > first_ns]
    for dies_ns in times[:: max(len(times) // 40, 1)]:
        result.clear()
        body = PinBody(BodyTiming(), script, PUBLIC.shape_of)
        lens = PinLens(LensTiming(), Memory(), PUBLIC.shape_of)
        mount = Mount(body, lens)
        for _ in mount.run(dies_ns):
            pass
        mount.unplug(lens)
        for _ in mount.run(HOUR_NS):
            pass
        assert body.done, dies_ns
        believed = result[0] is not None and result[0].complete and result[0].sums_ok
        assert not believed or result[0] in of(TransactionSeen, alive.events), dies_ns


def test_a_lens_whose_block_has_no_room_for_a_sum_ends_the_transaction() -> None:
    results: list[TransactionSeen | None] = []

    class Liar(PinLens):
        def _say(self, values: bytes, *, first: bool = True) -> Script[bool]:
            return (yield from super()._say(b"\0\0" if len(values) > 1 else values, first=first))

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        results.append((yield from end.transact(POLL)))

    body = PinBody(BodyTiming(), script, PUBLIC.shape_of)
    list(Mount(body, Liar(LensTiming(), Memory(), PUBLIC.shape_of)).run(HOUR_NS))
    [result] = results
    assert result is not None
    assert (result.length, result.complete) == (0, False)


def test_a_lens_that_stays_busy_is_given_up() -> None:
    results: list[TransactionSeen | None] = []

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        results.append((yield from end.transact(INITIALISE)))

    Session(script, Memory({INITIALISE: Answer(busy_ns=10 * 10**9)}))
    [result] = results
    assert result is not None
    assert (result.command_sum, result.status, result.complete) == (0xA2, None, False)


# the body does not do what it should


def break_off(end: PinBody, bits: int) -> Script[None]:
    """Begin a command, and drop BODY_ACK after some bits of it."""
    end._set(BODY_ACK.mask, 1)
    yield 50_000
    for _ in range(bits):
        end._set(CLK.mask, 0)
        yield 500
        end._set(CLK.mask, 1)
        yield 500
        if bits % 8 == 0:
            yield 30_000
    end._set(BODY_ACK.mask, 0)
    yield 200_000


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 20, 32])
def test_a_lens_serves_the_next_command_after_one_that_broke_off(bits: int) -> None:
    results: list[TransactionSeen | None] = []

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        yield from break_off(end, bits)
        yield from break_off(end, 3)
        results.append((yield from end.transact(POLL)))
        results.append((yield from end.transact(POLL)))

    Session(script, Memory({POLL: Answer(BLOCK)}))
    assert results[-1] is not None
    assert (results[-1].complete, results[-1].data) == (True, BLOCK)


@pytest.mark.parametrize("turn", ["command sum", "block", "data sum"])
def test_a_lens_serves_the_next_command_after_a_turn_that_was_cut(turn: str) -> None:
    results: list[TransactionSeen | None] = []

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        end._draft = Draft(DRIVE, Shape.WRITE)
        yield from end._speak(DRIVE)
        if turn != "command sum":
            yield from end._listen()
        if turn == "data sum":
            yield from end._speak(b"\x0a\x00" + BLOCK)
        yield 50_000
        yield from break_off(end, 3)
        results.append((yield from end.transact(POLL)))

    session = Session(script, Memory({POLL: Answer(BLOCK)}))
    assert results[0] is not None
    assert results[0].complete
    assert session.memory.taken == []
    assert [event.cause for event in of(Violation, session.events)] == [Cause.SHORT_BYTE]


@pytest.mark.parametrize("after_ns", range(100_000, 1_300_000, 60_000))
def test_a_power_cycle_at_any_moment_brings_the_lens_back(after_ns: int) -> None:
    results: list[object] = []

    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        polling = end.transact(POLL)
        began_ns = end.now_ns
        wait = next(polling)
        while end.now_ns < began_ns + after_ns:
            wait = polling.send((yield wait))
        end.drives &= ~DATA.mask
        end._set(CLK.mask, 1)
        yield from end.power_down()
        yield 5_000_000
        results.append((yield from end.power_up()))
        results.append((yield from end.transact(POLL)))

    session = Session(script, Memory({POLL: Answer(bytes(30))}))
    assert results[0] is True
    assert isinstance(results[1], TransactionSeen)
    assert results[1].complete
    assert of(FragmentSeen, session.events) == []


# timing


def test_every_delay_says_what_it_is_and_how_sure() -> None:
    for kind in (BodyTiming, LensTiming):
        delays = delays_of(kind)
        assert set(delays) == {field.name for field in dataclasses.fields(kind)} - {"watches_acks"}
        for name, delay in delays.items():
            assert name.endswith("_ns")
            assert delay.doc
            assert cited_sources(delay.source)


def test_a_jittery_timing_with_a_delay_changed_goes_on_with_its_draws() -> None:
    changed = replaced(jittery_lens(1), wake_ns=1_000_000)
    assert 1_000_000 <= changed.wake_ns <= 1_106_500
    assert len({changed.ack_ns for _ in range(20)}) > 1
    assert replaced(LensTiming(), wake_ns=5) == LensTiming(wake_ns=5)


def test_scaling_keeps_the_limits() -> None:
    slower = scaled(BodyTiming(), 3)
    assert (slower.byte_ns, slower.busy_limit_ns) == (3 * BodyTiming().byte_ns, BodyTiming().busy_limit_ns)
    assert scaled(LensTiming(), 0).data_ns == 1


def edges(session: Session, line: Line, level: int) -> list[int]:
    """Return the times at which a line takes a level."""
    return edges_of(session.changes, line, level)


def edges_of(changes: list[tuple[int, int]], line: Line, level: int) -> list[int]:
    """Return the times at which a line takes a level."""
    before = changes[0][1]
    times = []
    for t_ns, word in changes[1:]:
        if (before ^ word) & line.mask and bool(word & line.mask) == bool(level):
            times.append(t_ns)
        before = word
    return times


def gaps(earlier: list[int], later: list[int]) -> list[int]:
    """Return, for each later edge, the time since the last earlier one."""
    return [at - max(before for before in earlier if before < at) for at in later if at > earlier[0]]


@pytest.fixture(scope="module")
def bell() -> Session:
    def script(end: PinBody) -> Script[None]:
        yield from end.power_up()
        for _ in range(3):
            yield from end.transact(INITIALISE)
            yield from end.transact(POLL)
            yield from end.transact(DRIVE, BLOCK)
            yield from end.pause(1_000_000)

    return Session(script, Memory({POLL: Answer(bytes(range(30)))}))


def test_the_bell_lens_keeps_what_the_public_body_program_needs(bell: Session) -> None:
    """BODY_ACK to LENS_ACK low in 4.1 us; 1 us low before a reply; acknowledged in 14.5 us; sum after 1.1 us."""
    lens_bytes = [byte for event in of(TransactionSeen, bell.events) for byte in event.wire if byte.sender == "lens"]
    body_bytes = [byte for event in of(TransactionSeen, bell.events) for byte in event.wire if byte.sender == "body"]
    falls, rises, drops = edges(bell, LENS_ACK, 0), edges(bell, LENS_ACK, 1), edges(bell, BODY_ACK, 0)
    for byte in lens_bytes:
        drop = min(at for at in drops if at > byte.end_ns)
        assert min(at for at in falls if at > drop) - drop <= 4_100
    for byte in body_bytes:
        fall = min(at for at in falls if at > byte.end_ns)
        rise = min(at for at in rises if at > fall)
        drop = min(at for at in drops if at > byte.end_ns)
        assert rise - byte.end_ns <= 14_500 or (drop < rise and rise - drop >= 1_100)
    assert min(gaps(falls, rises)[1:]) >= 1_000


def test_the_bell_body_keeps_what_the_public_lens_program_needs(bell: Session) -> None:
    """LENS_ACK high 10 us before CLK; BODY_ACK high 6 us behind the sum; BODY_ACK high 8 us behind LENS_ACK low."""
    rises, falls, drops = edges(bell, LENS_ACK, 1), edges(bell, LENS_ACK, 0), edges(bell, BODY_ACK, 0)
    for event in of(TransactionSeen, bell.events):
        ends = [0, *(byte.end_ns for byte in event.wire)]
        for index, byte in enumerate(event.wire):
            drop = min(at for at in drops if at > byte.end_ns)
            assert byte.t_ns - max(at for at in rises if at < byte.t_ns) >= 10_000, index
            assert byte.sender == "lens" or byte.t_ns - max(at for at in ends if at < byte.t_ns) >= 22_300 + 10_000, (
                index
            )
            if byte.sender == "lens":
                assert drop - byte.end_ns >= 6_000
    for drop in drops[1:]:
        fall = max(at for at in falls if at < drop)
        if max(at for at in rises if at < drop) < fall:
            assert drop - fall >= 8_000


def test_two_ends_that_drive_one_line_against_each_other_are_noted() -> None:
    def script(end: PinBody) -> Script[None]:
        end._set(SLEEP.mask, 1)
        yield 100
        end.drives |= LENS_ACK.mask
        end._set(LENS_ACK.mask, 1)
        yield 100

    session = Session(script)
    assert session.mount.contention_ns == [100]
    assert set(LINES) == set(Line)
