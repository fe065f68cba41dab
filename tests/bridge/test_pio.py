"""L1: the PIO program and the firmware that feeds it, cycle by cycle against the lens at the pins.

`tests.bridge.board` says what the emulator does not know: that part nobody has proved.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from m43drivers.simulator.faults import FAULTS, faults_named
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.pins import pin_lens
from m43drivers.simulator.profiles import PROFILES
from m43proto.checksum import wire_sum
from m43proto.ends import Answer, PinLens
from m43proto.events import TransactionSeen, Violation
from m43proto.exchange import block_with_length
from m43proto.messages import PUBLIC
from m43proto.pins import Line
from m43proto.timing import JITTERY, LENS_TIMINGS, LensTiming, delays_of, lens_timing
from tests.bridge.board import CYCLE_NS, Board, BoardPins
from tests.observing import observed, of
from tests.test_ends import Memory
from tests.waveform import random_script

# The stand-in for MicroPython's rp2 is installed by tests.bridge.board.
from m43bridge import bridge as firmware  # isort: skip
from m43bridge import pio  # isort: skip
from m43bridge.contacts import PioContacts  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43proto.ends import PinEnd

POLL = bytes.fromhex("c1800106")
DRIVE = bytes.fromhex("6080fe02")
INITIALISE = bytes.fromhex("b0f20000")
SET = bytes.fromhex("a0f50100")
BLOCK = bytes.fromhex("01d703000000000000")

SHAPES = {"A": firmware.SET, "B": firmware.COMPLETE, "C": firmware.READ, "6": firmware.WRITE}

MS = 1_000_000
DEAD_NS = 50 * MS
US = 1_000

CLK, DATA, BODY_ACK, LENS_ACK = (line.mask for line in (Line.CLK, Line.DATA, Line.BODY_ACK, Line.LENS_ACK))

OPCODES = """
    90a0 7050 7022 1051 3fa2 bf42 fb02 f327 a342 5201 1048 9f20 bb42 f000 3022 1084
    1000 f002 3fa2 103b 9fa0 fa83 f027 b242 a042 6201 1057 3022 1092 ff82 bf42 f000
"""
"""The program as another assembler made it: adafruit-circuitpython-pioasm 1.3.8, from the same instructions in pioasm's
own language. A change of the program has to go through that again."""


SETTLE_NS = 300 * US
"""Behind the last byte, body and lens still drop their ack lines."""


class Bench:
    """A board with a lens at its contacts and the firmware's contacts on it."""

    def __init__(self, lens: PinEnd | None, seed: int = 0) -> None:
        self.board = Board(lens, seed)
        self.ended_ns = 0
        board: Any = self.board
        self.contacts = PioContacts(board.machine, board.rp2, board.time, BoardPins)

    def transact(self, command: bytes, shape: int, block: bytes = b"") -> tuple[int, bytes]:
        broke_off, start_us, end_us, said = self.contacts.transact(command, shape, block)
        self.ended_ns = self.board.now_ns
        self.board.pass_ns(SETTLE_NS)
        assert start_us <= end_us
        return broke_off, said

    def at_rest(self) -> bool:
        """Tell whether the bridge has let go of everything: CLK high, BODY_ACK low, DATA free."""
        sm = self.board.sm
        assert sm is not None
        return bool(self.board.levels & CLK) and not self.board.levels & BODY_ACK and sm.drives(BoardPins.DATA) is None


def bench_of(memory: Memory, timing: LensTiming, seed: int = 0) -> Bench:
    bench = Bench(PinLens(timing, memory, PUBLIC.shape_of), seed)
    assert bench.contacts.power(True)
    return bench


def test_the_program_is_what_another_assembler_makes_of_it() -> None:
    assert pio.handshake.opcodes == [int(word, 16) for word in OPCODES.split()]
    assert (pio.handshake.wrap_target, pio.handshake.wrap) == (0, 31)


def drawn_timing(rng: random.Random) -> LensTiming:
    """Return delays of a lens from a quarter of the usual to ten times as long; DATA changes before CLK rises."""
    delays = {name: round(getattr(LensTiming(), name) * 10 ** rng.uniform(-0.6, 1)) for name in delays_of(LensTiming)}
    delays["wake_width_ns"] = rng.randrange(1_000, 90 * MS)
    delays["data_ns"] = rng.randrange(0, 950)
    delays["ack_ns"] = max(delays["ack_ns"], 300)
    delays["ack_width_ns"] = max(delays["ack_width_ns"], CYCLE_NS)
    delays["release_ns"] = max(delays["release_ns"], 0)
    return LensTiming(**delays)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_transactions_with_random_timings(seed: int) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    drawn = [random_script(rng, longest=20) for _ in range(4)]
    memory = Memory({one.command: Answer(one.data, one.status, rng.randrange(300_000)) for one in drawn})
    timing = rng.choice([lens_timing(JITTERY, seed), lens_timing("slow"), lens_timing("fast"), drawn_timing(rng)])
    bench = bench_of(memory, timing, seed)
    for one in drawn:
        block = one.data if one.letter == "6" else b""
        wanted = bytes([wire_sum(one.command)])
        wanted += {
            "A": b"",
            "B": bytes([one.status]),
            "C": block_with_length(one.data) + bytes([wire_sum(one.data)]),
            "6": bytes([wire_sum(one.data)]),
        }[one.letter]
        assert bench.transact(one.command, SHAPES[one.letter], block) == (firmware.NONE, wanted)
        assert bench.at_rest()
    assert memory.taken == [(one.command, one.data) for one in drawn if one.letter == "6"]
    assert bench.board.contention_ns == []
    events = observed(bench.board.changes)
    assert of(Violation, events) == []
    assert [seen.command for seen in of(TransactionSeen, events)] == [one.command for one in drawn]
    assert all(seen.complete and seen.sums_ok for seen in of(TransactionSeen, events))


@pytest.mark.parametrize("timing", [*LENS_TIMINGS, JITTERY])
def test_the_simulated_lens_is_polled(timing: str) -> None:
    """A whole simulated lens, whose wake pulse waits for its profile, with each named timing."""
    simulated = SimulatedLens(PROFILES["panasonic-pz-14-42"])
    bench = Bench(pin_lens(simulated, lens_timing(timing, 3), PUBLIC.shape_of), 9)
    assert bench.contacts.power(True)
    broke_off, said = bench.transact(POLL, firmware.READ)
    assert (broke_off, said[3:-1]) == (firmware.NONE, simulated.status(bench.board.now_ns).block)


# the handshake, edge by edge


def edges(changes: list[tuple[int, int]], mask: int, *, rise: bool) -> list[int]:
    found, before = [], 0
    for t_ns, levels in changes:
        if (levels ^ before) & mask and bool(levels & mask) is rise:
            found.append(t_ns)
        before = levels
    return found


@pytest.fixture(scope="module", params=["bell_lens", "fast", "slow", JITTERY])
def session(request: pytest.FixtureRequest) -> tuple[Bench, list[TransactionSeen]]:
    """Return a session with each shape, and what the observer made of it."""
    bench = bench_of(Memory({POLL: Answer(bytes(range(30)))}), lens_timing(request.param, 1), 7)
    for _ in range(3):
        bench.transact(SET, firmware.SET)
        bench.transact(INITIALISE, firmware.COMPLETE)
        bench.transact(POLL, firmware.READ)
        bench.transact(DRIVE, firmware.WRITE, BLOCK)
    seen = of(TransactionSeen, observed(bench.board.changes))
    assert len(seen) == 12
    return bench, seen


Session = tuple[Bench, list[TransactionSeen]]


def test_the_clock_has_500_khz(session: Session) -> None:
    bench, seen = session
    falls = edges(bench.board.changes, CLK, rise=False)
    for event in seen:
        for byte in event.wire:
            inside = [t_ns for t_ns in falls if byte.t_ns <= t_ns <= byte.end_ns]
            assert [t_ns - byte.t_ns for t_ns in inside] == [2_000 * bit for bit in range(8)]
            assert byte.end_ns - byte.t_ns == 15_000


def test_data_change_behind_the_fall_and_stand_before_the_rise(session: Session) -> None:
    bench, seen = session
    changes, falls = bench.board.changes, edges(bench.board.changes, CLK, rise=False)
    moved = edges(changes, DATA, rise=True) + edges(changes, DATA, rise=False)
    for byte in (byte for event in seen for byte in event.wire if byte.sender == "body"):
        for t_ns in (t_ns for t_ns in moved if byte.t_ns <= t_ns <= byte.end_ns):
            assert t_ns - max(fall for fall in falls if fall <= t_ns) == CYCLE_NS


def test_it_keeps_what_the_public_lens_program_needs(session: Session) -> None:
    """LENS_ACK up 10 us before CLK; BODY_ACK up 6 us behind a sum; BODY_ACK up 8 us behind LENS_ACK down (§2.12)."""
    bench, seen = session
    rises, drops = edges(bench.board.changes, LENS_ACK, rise=True), edges(bench.board.changes, BODY_ACK, rise=False)
    falls = edges(bench.board.changes, LENS_ACK, rise=False)
    for byte in (byte for event in seen for byte in event.wire):
        assert byte.t_ns - max(t_ns for t_ns in rises if t_ns < byte.t_ns) >= 10_000
        if byte.sender == "lens":
            assert min(t_ns for t_ns in drops if t_ns > byte.end_ns) - byte.end_ns >= 6_000
    for drop_ns in drops:
        fall_ns = max(t_ns for t_ns in falls if t_ns < drop_ns)
        if fall_ns > max(t_ns for t_ns in rises if t_ns < drop_ns):
            assert drop_ns - fall_ns >= 8_000


def test_it_lets_go_of_data_before_it_drops_body_ack_and_waits_for_lens_ack_low(session: Session) -> None:
    """The advice of §2.13."""
    bench, _ = session
    ups, before = [], 0
    for t_ns, levels in bench.board.changes:
        if levels & ~before & BODY_ACK:
            ups.append((t_ns, bool(levels & LENS_ACK)))
        before = levels
    sums = [byte.t_ns for event in session[1] for byte in event.wire if byte.sender == "lens"]
    for t_ns, lens_is_up in ups:
        reads = any(0 < first_ns - t_ns < 6_000 for first_ns in sums)
        assert lens_is_up is reads, "BODY_ACK rises with LENS_ACK up exactly to take a byte of the lens (§2.2)"
    assert bench.board.contention_ns == []


def test_a_poll_takes_as_long_as_that_of_a_real_body() -> None:
    """A status transaction of the public body program takes 1.27 ms, with one lens 1.6 ms (§2.11)."""
    bench = bench_of(Memory({POLL: Answer(bytes(30))}), LENS_TIMINGS["bell_lens"])
    _, start_us, end_us, _ = bench.contacts.transact(POLL, firmware.READ, b"")
    assert 1_200 < end_us - start_us < 2_600


def test_an_acknowledge_of_half_a_microsecond_is_seen() -> None:
    timing = LensTiming(ack_width_ns=500)
    bench = bench_of(Memory({POLL: Answer(b"\x01")}), timing)
    assert bench.transact(POLL, firmware.READ)[0] == firmware.NONE


# lenses that die


def counting(memory: Memory) -> Bench:
    return bench_of(memory, LENS_TIMINGS["bell_lens"], 3)


TRANSACTIONS = [
    (SET, firmware.SET, b""),
    (INITIALISE, firmware.COMPLETE, b""),
    (POLL, firmware.READ, b""),
    (DRIVE, firmware.WRITE, BLOCK),
]


@settings(max_examples=100, deadline=None)
@given(
    what=st.sampled_from(TRANSACTIONS),
    share=st.floats(0, 0.999),
    how=st.sampled_from(["unplugged", "frozen"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_lens_that_dies_at_any_moment_is_told_of_within_50_ms(
    what: tuple[bytes, int, bytes], share: float, how: str, seed: int
) -> None:
    """Unplugged: nobody drives its lines. Frozen: they stay as they are."""
    command, shape, block = what
    memory = Memory({POLL: Answer(bytes(30)), INITIALISE: Answer(busy_ns=400 * US)})
    whole = bench_of(memory, LENS_TIMINGS["bell_lens"], seed)
    began_ns = whole.board.now_ns
    whole.transact(command, shape, block)
    length_ns = whole.board.now_ns - began_ns

    bench = bench_of(memory, LENS_TIMINGS["bell_lens"], seed)
    board = bench.board
    lens = board.lens
    assert isinstance(lens, PinLens)
    death_ns = board.now_ns + round(share * length_ns)
    Dying(board, lens, death_ns, frozen=how == "frozen")
    broke_off, said = bench.transact(command, shape, block)
    assert death_ns == board.death_ns or broke_off == firmware.NONE
    works = bool(board.levels & LENS_ACK) and shape == firmware.COMPLETE and len(said) == 1
    if broke_off:
        limit_ns = 2_100 * MS if broke_off == firmware.BUSY else DEAD_NS
        assert bench.ended_ns - death_ns <= limit_ns
        assert broke_off != firmware.BUSY or works
    assert bench.at_rest()
    begun_ns = board.now_ns
    assert bench.transact(POLL, firmware.READ)[0] == firmware.NO_ANSWER
    assert bench.ended_ns - begun_ns <= DEAD_NS
    assert bench.at_rest()
    plug_in(bench, memory)


class Dying:
    """Lets the lens of a board die at a time; `board.death_ns` says that it has."""

    def __init__(self, board: Board, lens: PinLens, death_ns: int, *, frozen: bool) -> None:
        self._advance = lens.advance
        self._lens = lens
        self._board = board
        self._death_ns = death_ns
        self._frozen = frozen
        lens.advance = self.advance  # type: ignore[method-assign]
        board.wake_lens_at(death_ns)

    def advance(self, now_ns: int, levels: int, changed: int | None = None) -> int:
        if now_ns < self._death_ns:
            return min(self._advance(now_ns, levels, changed), self._death_ns)
        self._board.death_ns = self._death_ns
        if not self._frozen:
            self._lens.drives = 0
        return 1 << 63


def plug_in(bench: Bench, memory: Memory) -> None:
    """Change the lens for one that lives; the next session is right."""
    assert not bench.contacts.power(False)
    bench.board.plug_in(PinLens(LENS_TIMINGS["bell_lens"], memory, PUBLIC.shape_of))
    assert bench.contacts.power(True)
    data = bytes(30)
    wanted = bytes([wire_sum(POLL)]) + block_with_length(data) + bytes([wire_sum(data)])
    assert bench.transact(POLL, firmware.READ) == (firmware.NONE, wanted)


def test_a_lens_that_is_busy_for_ever_is_given_up_after_two_seconds() -> None:
    bench = counting(Memory({INITIALISE: Answer(busy_ns=3_600 * 1_000 * MS)}))
    began_ns = bench.board.now_ns
    assert bench.transact(INITIALISE, firmware.COMPLETE) == (firmware.BUSY, bytes([wire_sum(INITIALISE)]))
    assert 2_000 * MS <= bench.board.now_ns - began_ns <= 2_050 * MS
    assert bench.at_rest()


def test_a_lens_that_works_for_half_a_second_is_waited_for() -> None:
    bench = counting(Memory({INITIALISE: Answer(busy_ns=500 * MS, status=5)}))
    assert bench.transact(INITIALISE, firmware.COMPLETE) == (firmware.NONE, bytes([wire_sum(INITIALISE), 5]))


@pytest.mark.parametrize(("error", "length"), [(-2, 0), (0x2000, 0x2002)])
def test_a_length_that_cannot_be_is_told(error: int, length: int) -> None:
    bench = counting(Memory({POLL: Answer(b"\x01", length_error=error)}))
    assert bench.transact(POLL, firmware.READ) == (
        firmware.LENGTH,
        bytes([wire_sum(POLL)]) + length.to_bytes(2, "little"),
    )
    assert bench.at_rest()


def test_the_longest_block_is_taken() -> None:
    data = bytes(range(256)) * 8
    bench = counting(Memory({POLL: Answer(data)}))
    broke_off, said = bench.transact(POLL, firmware.READ)
    assert (broke_off, said[3:-1]) == (firmware.NONE, data)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_the_simulated_lens_ends_in_time(name: str) -> None:
    """Whatever the lens does wrong: each transaction ends, lets go, and tells nothing that the lens did not say."""
    profile = PROFILES["olympus-14-42"].replace(initialise_ns=2 * MS)
    lens = pin_lens(SimulatedLens(profile, faults_named([name])), LENS_TIMINGS["bell_lens"], PUBLIC.shape_of)
    bench = Bench(lens, 5)
    assert bench.contacts.power(True)
    for number in range(10):
        command, shape, block = TRANSACTIONS[number % 4]
        began_ns = bench.board.now_ns
        broke_off, said = bench.transact(command, shape, block)
        assert bench.board.now_ns - began_ns <= (2_100 * MS if broke_off == firmware.BUSY else 2 * DEAD_NS)
        assert broke_off or said[0] in (wire_sum(command), wire_sum(command) + 4, 0xFF) or name in MISHEARD
        assert bench.at_rest()


MISHEARD = ("lost_bit", "data_into_body_turn", "reset_mid_transaction", "lens_ack_stuck_high", "yanked")


# power


def test_no_lens_is_told_within_the_time_of_a_silence() -> None:
    bench = Bench(None)
    began_ns = bench.board.now_ns
    assert not bench.contacts.power(True)
    assert bench.board.now_ns - began_ns <= 10 * MS + DEAD_NS + 20 * MS
    assert bench.board.levels & Line.SLEEP.mask
    assert bench.at_rest()
    assert bench.transact(POLL, firmware.READ) == (firmware.NO_ANSWER, b"")


def test_a_wake_pulse_without_end_is_given_up() -> None:
    bench = Bench(PinLens(LensTiming(wake_width_ns=10**12), Memory(), PUBLIC.shape_of))
    assert not bench.contacts.power(True)
    assert bench.at_rest()
    assert bench.transact(POLL, firmware.READ) == (firmware.NO_ANSWER, b"")


# the bridge on the board


def due_times(bench: Bench, bridge: firmware.Bridge, until_ns: int) -> Iterator[None]:
    while bench.board.now_ns < until_ns:
        bridge.step()
        bench.board.pass_ns(max(0, bridge.next_us() - bench.contacts.now_us()) * US)
        yield


def test_frames_on_the_board() -> None:
    """SHUTTER, poll and FOCUS at their times, across the moment at which the ticks of the board go round."""
    from m43drivers.bridge.protocol import Decoder, Frame, Polled, StartFrames, encode
    from m43drivers.transport import Report

    bench = bench_of(Memory({POLL: Answer(bytes(30))}), LENS_TIMINGS["bell_lens"], 1)
    bridge = firmware.Bridge(bench.contacts, 1)
    began_ns = bench.board.now_ns
    bridge.feed(encode(1, StartFrames(16_667, 500, 1_500, Report.ALL, POLL)))
    for _ in due_times(bench, bridge, began_ns + 300 * MS):
        pass
    frames = Decoder().feed(bridge.take(1 << 20))
    polls = [frame.message for frame in frames if isinstance(frame, Frame) and isinstance(frame.message, Polled)]
    assert len(polls) == 18
    assert {poll.said for poll in polls} == {bytes([wire_sum(POLL)]) + block_with_length(bytes(30)) + b"\0"}
    changes = bench.board.changes
    ups = edges(changes, Line.SHUTTER.mask, rise=True)
    downs = edges(changes, Line.SHUTTER.mask, rise=False)
    focus = edges(changes, Line.FOCUS.mask, rise=True) + edges(changes, Line.FOCUS.mask, rise=False)
    assert len(focus) in (17, 18)
    assert bridge.late_frames <= 1
    widths = sorted(down_ns - up_ns for up_ns, down_ns in zip(ups, downs, strict=False))
    assert 500_000 <= widths[len(widths) // 2] < 600_000
    assert bench.board.contention_ns == []


# the self-test


def test_the_self_test_passes_on_a_sound_board() -> None:
    bench = Bench(None)
    assert bench.contacts.self_test() == (0, "passed")
    assert bench.at_rest()
    assert not bench.board.levels & (Line.SLEEP.mask | Line.FOCUS.mask | Line.SHUTTER.mask)


@pytest.mark.parametrize(
    ("gpio", "level", "step"),
    [
        (BoardPins.SLEEP, 0, 1),
        (BoardPins.FOCUS, 1, 1),
        (BoardPins.SHUTTER, 0, 1),
        (BoardPins.LENS_ACK, 0, 2),
        (BoardPins.LENS_ACK, 1, 2),
        (BoardPins.DATA, 1, 2),
        (BoardPins.DATA, 0, 2),
        (BoardPins.CLK, 0, 3),
        (BoardPins.BODY_ACK, 1, 3),
        (BoardPins.BODY_ACK, 0, 4),
    ],
)
def test_the_self_test_tells_which_line_is_stuck(gpio: int, level: int, step: int) -> None:
    bench = Bench(None)
    bench.board.shorts[gpio] = level
    bench.board.resolve()
    told, text = bench.contacts.self_test()
    assert told == step
    assert text


# who drives the lines


def driven(board: Board) -> list[int]:
    """Return the GPIOs that the board drives."""
    by_pio = [gpio for gpio in range(7) if board.sm is not None and board.sm.drives(gpio) is not None]
    return sorted({*board.outputs, *by_pio})


def test_nothing_is_driven_before_the_bridge_is_asked_to_be_a_body() -> None:
    bench = Bench(None)
    assert driven(bench.board) == []
    assert not bench.contacts.power(False)
    assert driven(bench.board) == []
    bench.contacts.power(True)
    body = [BoardPins.BODY_ACK, BoardPins.CLK, BoardPins.SLEEP, BoardPins.FOCUS, BoardPins.SHUTTER]
    assert driven(bench.board) == sorted(body)
    bench.contacts._let_go()
    assert driven(bench.board) == []
    assert bench.board.levels == 0, "with nobody at the contacts, the pull-downs hold them"


@pytest.mark.parametrize("ask", ["shutter", "focus", "transact", "self_test"])
def test_each_request_takes_the_lines_first(ask: str) -> None:
    bench = Bench(None)
    arguments = {"shutter": (1,), "transact": (SET, firmware.SET, b"")}.get(ask, ())
    getattr(bench.contacts, ask)(*arguments)
    assert len(driven(bench.board)) == 5
