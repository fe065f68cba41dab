"""L0 and L1: what a bridge hears is what was at its lines: both PIO programs, the firmware, the link, the host.

The wave is random: both directions, odd clocks, bytes of fewer or more than eight, holds, acknowledges in the middle of
a byte and without one, spikes. What the host makes of it must be what a decoder makes of the wave itself.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from m43drivers.analyser import Notice
from m43drivers.analyser.heard import HeardDecoder
from m43drivers.bridge.ears import Words
from m43drivers.bridge.protocol import Decoder, Frame, Heard
from m43proto.events import PinEventSeen
from m43proto.phy import BITS_PER_BYTE, Burst, LinkSignal, PinDecoder
from m43proto.pins import LINES, Line
from tests.bridge.board import BoardPins
from tests.bridge.hearing import HearingBoard

# The stand-in for MicroPython's rp2 is installed by tests.bridge.board.
from m43bridge import pio  # isort: skip
from m43bridge.contacts import PioContacts  # isort: skip
from m43bridge.frames import encode  # isort: skip
from m43bridge.listening import Ears, Listening  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43drivers.analyser.model import Piece

US, MS = 1_000, 1_000_000
TICK_NS = 200
LATE_NS = TICK_NS + 120
"""How much later than it happened something is heard at most: up to a tick until the sample, and ten cycles."""

CLK, DATA, BODY_ACK, LENS_ACK = (line.mask for line in (Line.CLK, Line.DATA, Line.BODY_ACK, Line.LENS_ACK))

CLOCKS = "2423 f047 5041 f03f 13c8 1344 30a3 f040 5001 108b 8f00 f03f 13ce 1003 134c 5068 100a"
EDGES = "a0c0 4063 a046 a0c3 4002 4045 a046 00a9 020c a022 40f9 8000 a047 008e a6e2"
"""The programs as another assembler made them: adafruit-circuitpython-pioasm 1.3.8, from the same instructions in
pioasm's own language. A change of the programs has to go through that again."""


def test_the_programs_are_what_another_assembler_makes_of_them() -> None:
    assert pio.clocks.opcodes == [int(word, 16) for word in CLOCKS.split()]
    assert pio.edges.opcodes == [int(word, 16) for word in EDGES.split()]
    assert (pio.clocks.wrap_target, pio.clocks.wrap) == (0, 10)
    assert (pio.edges.wrap_target, pio.edges.wrap) == (0, 14)
    assert len(pio.clocks.opcodes) + len(pio.edges.opcodes) <= 32, "both stand in one block"


# waves


@dataclass
class Wave:
    """Changes of the lines."""

    random: random.Random
    t_ns: int = 50 * US
    levels: int = CLK
    changes: list[tuple[int, int]] = field(default_factory=lambda: [(0, CLK)])
    odd_ns: list[int] = field(default_factory=list)
    """When clocks began that are no whole bytes."""

    def wait(self, low_ns: int, high_ns: int) -> None:
        self.t_ns += self.random.randrange(low_ns, high_ns)

    def set(self, mask: int, *, high: bool) -> None:
        levels = self.levels | mask if high else self.levels & ~mask
        if levels != self.levels:
            self.levels = levels
            self.changes.append((self.t_ns, levels))

    def clock(self, low_ns: int, high_ns: int, bit: int) -> None:
        self.set(CLK, high=False)
        self.t_ns += 120
        self.set(DATA, high=bool(bit))
        self.t_ns += low_ns - 120
        self.set(CLK, high=True)
        self.t_ns += high_ns

    def clocks(self, count: int) -> None:
        """Clock bits: each phase its own, but none so near to the limit of a run that either would be right."""
        if count % BITS_PER_BYTE:
            self.odd_ns.append(self.t_ns)
        slow = self.random.random() < 0.1
        for _ in range(count):
            phases = [self._phase(slow=slow) for _ in range(2)]
            self.clock(phases[0], phases[1], self.random.getrandbits(1))

    def _phase(self, *, slow: bool) -> int:
        return self.random.randrange(2_900, 30_000) if slow else self.random.randrange(350, 2_300)

    def acknowledged_late(self) -> None:
        """The acknowledge falls into the middle of the next byte."""
        phase_ns = self.random.randrange(700, 1_500)
        at = self.random.randrange(1, 7)
        for place in range(BITS_PER_BYTE):
            self.clock(phase_ns, phase_ns, self.random.getrandbits(1))
            if place in (at, 7):
                self.set(LENS_ACK, high=not self.levels & LENS_ACK)
                self.t_ns += phase_ns - 50

    def turn_of_body(self) -> None:
        self.set(BODY_ACK, high=True)
        self.wait(500, 20 * US)
        self.set(LENS_ACK, high=True)
        for _ in range(self.random.randrange(1, 5)):
            self.wait(700, 20 * US)
            if self.random.random() < 0.2 and self.levels & LENS_ACK:
                self.acknowledged_late()
            else:
                self.clocks(self.random.choice([8, 8, 8, 8, 7, 9, 3, 16]))
            self.wait(3_600, 20 * US)
            self.set(LENS_ACK, high=False)
            self.wait(500, 9 * US)
            self.set(LENS_ACK, high=True)
        self.wait(600, 9 * US)
        self.set(LENS_ACK, high=False)
        self.wait(600, 20 * US)
        self.set(BODY_ACK, high=False)

    def turn_of_lens(self) -> None:
        for _ in range(self.random.randrange(1, 5)):
            self.set(LENS_ACK, high=True)
            self.wait(600, 30 * US)
            self.set(BODY_ACK, high=True)
            self.wait(500, 3 * US)
            self.clocks(self.random.choice([8, 8, 8, 8, 8, 6]))
            self.wait(3_600, 20 * US)
            self.set(BODY_ACK, high=False)
            self.wait(600, 9 * US)
            self.set(LENS_ACK, high=False)
            self.wait(600, 30 * US)

    def hold(self) -> None:
        self.set(CLK, high=False)
        self.wait(3 * US, 190 * US)
        if self.random.random() < 0.5:
            self.t_ns += 200 * US
            self.set(Line.FOCUS.mask, high=not self.levels & Line.FOCUS.mask)
            self.wait(3 * US, 900 * US)
        self.set(CLK, high=True)

    def acks_only(self) -> None:
        self.set(BODY_ACK, high=True)
        for _ in range(self.random.randrange(1, 4)):
            self.wait(300, 9 * US)
            self.set(LENS_ACK, high=True)
            self.wait(260, 5 * US)
            self.set(LENS_ACK, high=False)
        self.wait(500, 9 * US)
        self.set(BODY_ACK, high=False)

    def spike(self) -> None:
        self.clock(self.random.randrange(200, 340), 5 * US, 1)

    def frame_lines(self) -> None:
        for line in (Line.SHUTTER, Line.SLEEP):
            self.set(line.mask, high=True)
            self.wait(300, 500 * US)
            self.set(line.mask, high=False)
            self.wait(300, 500 * US)

    def rest(self) -> None:
        self.wait(1 * MS, 3 * MS)


def random_wave(seed: int, steps: int) -> Wave:
    wave = Wave(random.Random(seed))
    kinds = [
        wave.turn_of_body, wave.turn_of_body, wave.turn_of_lens, wave.turn_of_lens, wave.hold, wave.acks_only,
        wave.spike, wave.frame_lines, wave.rest,
    ]  # fmt: skip
    for _ in range(steps):
        wave.random.choice(kinds)()
        wave.wait(4 * US, 60 * US)
    return wave


# what becomes of them


class ModelEars(Ears):
    """The ears of the simulated bridge, at a wave."""

    def __init__(self, changes: Sequence[tuple[int, int]]) -> None:
        self._changes = list(changes)
        self._words = Words()
        self.now_ns = 0

    def now(self) -> int:
        return self.now_ns // TICK_NS

    def take(self) -> tuple[list[int], list[int]]:
        self.now_ns += 777 * US // TICK_NS * TICK_NS
        some = [change for change in self._changes if change[0] <= self.now_ns]
        del self._changes[: len(some)]
        return self._words.take(some, self.now_ns)


class Host:
    """Takes what the firmware tells, through the frames of the link."""

    def __init__(self) -> None:
        self.decoder = HeardDecoder()
        self.link = Decoder()
        self.items: list[Piece | Notice] = []
        self.messages: list[Heard] = []

    def tell(self, kind: int, payload: bytes) -> None:
        wire = encode(0, kind, payload)
        for frame in self.link.feed(wire):
            assert isinstance(frame, Frame)
            assert isinstance(frame.message, Heard)
            self.messages.append(frame.message)
            self.items += self.decoder.take(frame.message)

    @property
    def lost(self) -> int:
        """How many words the bridge says it lost."""
        return sum(message.lost for message in self.messages)

    def finish(self) -> list[tuple[int, int]]:
        """Return the changes that were told, as ticks and levels; the rules of the seam hold."""
        self.items += self.decoder.finish()
        rows: list[tuple[int, int]] = []
        here = 0
        for item in self.items:
            if isinstance(item, Notice):
                assert item.tick == here
                here = item.until or here
                continue
            assert item.start == here
            ticks = item.block.ticks.tolist()
            assert all(one < other for one, other in pairwise(ticks))
            assert not ticks or (ticks[0] >= here and ticks[-1] <= item.block.end)
            rows += zip(ticks, item.block.states.tolist(), strict=True)
            here = item.block.end + 1
        return rows


def through_model(changes: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], Host]:
    """Return the rows that the host has, in nanoseconds."""
    ears, host = ModelEars(changes), Host()
    listening = Listening(ears, host.tell)
    while ears.now_ns < changes[-1][0] + MS:
        listening.work()
    listening.flush()
    return [(tick * TICK_NS, levels) for tick, levels in host.finish()], host


def through_pio(
    changes: Sequence[tuple[int, int]], seed: int, *, whole: bool = False, pace_ns: int = MS
) -> tuple[list[tuple[int, int]], Host]:
    """The same, with the firmware's own ears over both PIO programs."""
    begins_ns = 2 * pace_ns
    board: Any = HearingBoard(
        [(t_ns + begins_ns if t_ns else 0, levels) for t_ns, levels in changes], seed, whole=whole
    )
    contacts = PioContacts(board.machine, board.rp2, board.time, BoardPins)
    ears, host = contacts.listen(), Host()
    assert board.outputs == {BoardPins.MARK}, "a bridge that listens drives nothing but its mark"
    listening = Listening(ears, host.tell)
    while board.now_ns < begins_ns + changes[-1][0] + pace_ns:
        board.pass_ns(board.random.randrange(pace_ns, 7 * pace_ns))
        listening.work()
    listening.work()
    listening.flush()
    zero_ns = board.machines[5].began_ns
    ears.end()
    assert board.outputs == set()
    return [(tick * TICK_NS + zero_ns - begins_ns, levels) for tick, levels in host.finish()], host


def signals_of(changes: Sequence[tuple[int, int]]) -> list[LinkSignal]:
    decoder = PinDecoder(LINES)
    found: list[LinkSignal] = []
    for t_ns, levels in changes:
        found += decoder.receive(t_ns, levels)
    return found


def shape_of(signal: LinkSignal) -> object:
    """Return all of a signal but its times."""
    if isinstance(signal, PinEventSeen):
        return signal.event, signal.level
    assert isinstance(signal, Burst)
    lost = signal.lost and (signal.lost.bits, signal.lost.cause)
    return (
        signal.opened_by, [byte.value for byte in signal.bytes], lost, signal.pulse_ns is None, signal.answered,
        signal.begun, signal.ended,
    )  # fmt: skip


def times_of(signal: LinkSignal) -> list[int]:
    """Return the times of a signal that are measured, and not reconstructed."""
    times = [signal.t_ns, signal.end_ns]
    if isinstance(signal, Burst):
        times += signal.pulse_ns or ()
        times += [t_ns for byte in signal.bytes for t_ns in (byte.t_ns, byte.end_ns)]
    return times


def assert_heard(wave: Wave, rows: Sequence[tuple[int, int]]) -> None:
    true, heard = signals_of(wave.changes), signals_of(rows)
    assert [shape_of(signal) for signal in heard] == [shape_of(signal) for signal in true]
    for one, other in zip(true, heard, strict=True):
        if not any(one.t_ns <= odd_ns <= one.end_ns for odd_ns in wave.odd_ns):
            late_ns = [b - a for a, b in zip(times_of(one), times_of(other), strict=True)]
            assert all(-TICK_NS <= late <= LATE_NS + TICK_NS for late in late_ns), (one, other, late_ns)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_host_has_what_was_at_the_lines_of_simulated_ears(seed: int) -> None:
    note(f"seed={seed}")
    wave = random_wave(seed, 12)
    assert_heard(wave, through_model(wave.changes)[0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_host_has_what_was_at_the_pins_of_a_board(seed: int) -> None:
    note(f"seed={seed}")
    wave = random_wave(seed, 6)
    assert_heard(wave, through_pio(wave.changes, seed)[0])


def test_no_cycle_that_the_emulator_leaves_out_matters() -> None:
    wave = Wave(random.Random(5))
    for kind in (wave.turn_of_lens, wave.spike, wave.acks_only):
        kind()
        wave.wait(4 * US, 9 * US)
    whole, _ = through_pio(wave.changes, 4, whole=True, pace_ns=60 * US)
    assert whole == through_pio(wave.changes, 4, pace_ns=60 * US)[0]
    assert_heard(wave, whole)


def test_the_mark_is_seen_between_two_bytes_without_a_pause() -> None:
    """CLK is high for 150 ns behind the eighth rise: less than the 200 ns between two samples of the mark."""
    wave = Wave(random.Random(3))
    for _ in range(40):
        wave.set(BODY_ACK, high=True)
        wave.wait(1 * US, 3 * US)
        for _ in range(2 * BITS_PER_BYTE):
            wave.clock(260, 150, wave.random.getrandbits(1))
        wave.wait(5 * US, 9 * US)
        wave.set(BODY_ACK, high=False)
        wave.wait(4 * US, 9 * US)
    rows, host = through_pio(wave.changes, 3)
    assert [shape_of(signal) for signal in signals_of(rows)] == [
        shape_of(signal) for signal in signals_of(wave.changes)
    ]
    assert host.lost == 0


# what is lost


def polls(count: int) -> list[tuple[int, int]]:
    """Return so many bytes of a lens, dense, as a poll has them."""
    wave = Wave(random.Random(1))
    for _ in range(count):
        wave.set(LENS_ACK, high=True)
        wave.t_ns += 9 * US
        wave.set(BODY_ACK, high=True)
        wave.t_ns += 2 * US
        for bit in range(BITS_PER_BYTE):
            wave.clock(440, 500, bit & 1)
        wave.t_ns += 7 * US
        wave.set(BODY_ACK, high=False)
        wave.t_ns += 4 * US
        wave.set(LENS_ACK, high=False)
        wave.t_ns += 12 * US
    return wave.changes


@pytest.mark.parametrize("how", ["the ring ran over", "a state machine found no room"])
def test_a_board_tells_what_it_lost_and_goes_on(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The CPU is busy for 3 ms of dense traffic, with rings of 128 and 32 words."""
    monkeypatch.setattr("m43bridge.ears.EDGE_WORDS", 128)
    monkeypatch.setattr("m43bridge.ears.RUN_WORDS", 32)
    changes = polls(150)
    board: Any = HearingBoard(changes, 1)
    ears, host = PioContacts(board.machine, board.rp2, board.time, BoardPins).listen(), Host()
    listening = Listening(ears, host.tell)
    while board.now_ns < 2 * MS:
        board.pass_ns(200 * US)
        listening.work()
    deaf_from_ns = board.now_ns
    if how == "the ring ran over":
        board.pass_ns(3 * MS)
    else:
        board.memory[0x50300008] |= 2
    listening.work()
    deaf_until_ns = board.now_ns
    while board.now_ns < changes[-1][0] + MS:
        board.pass_ns(200 * US)
        listening.work()
    listening.flush()
    zero_ns = board.machines[5].began_ns
    rows = [(tick * TICK_NS + zero_ns, levels) for tick, levels in host.finish()]
    (notice,) = [item for item in host.items if isinstance(item, Notice)]
    assert notice.until is not None
    begin_ns, end_ns = (tick * TICK_NS + zero_ns for tick in (notice.tick, notice.until))
    assert deaf_from_ns - 400 * US <= begin_ns <= deaf_from_ns
    assert deaf_until_ns - 300 * US <= end_ns <= deaf_until_ns + 100 * US
    assert (notice.kind, notice.exact) == ("overflow", True)
    assert f"lost {host.lost} words" in notice.text
    assert (host.lost > 128) is (how == "the ring ran over")
    for first_ns, last_ns in ((0, begin_ns - 50 * US), (end_ns + 50 * US, board.now_ns)):
        true, heard = (
            [signal for signal in signals_of(some) if first_ns < signal.t_ns and signal.end_ns < last_ns]
            for some in (changes, rows)
        )
        assert [shape_of(signal) for signal in heard] == [shape_of(signal) for signal in true]
        assert len(true) > 25


def test_rings_that_count_out_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m43bridge.ears._MOST", (1 << 20) + 100)
    changes = polls(100)
    board: Any = HearingBoard(changes, 1)
    host = Host()
    listening = Listening(PioContacts(board.machine, board.rp2, board.time, BoardPins).listen(), host.tell)
    while board.now_ns < changes[-1][0] + MS:
        board.pass_ns(200 * US)
        listening.work()
    listening.flush()
    assert host.finish()
    assert {item.kind for item in host.items if isinstance(item, Notice)} == {"overflow"}
    assert host.decoder.position * TICK_NS < changes[-1][0] + 2 * MS


def test_who_was_not_asked_for_seconds_cannot_tell_the_time() -> None:
    """25 bits of ticks go round in 6.7 s: half of it without a look, and what was heard is given up."""
    ears, host = ModelEars(polls(3)), Host()
    ears.recover = lambda: (5, 0x1)  # type: ignore[method-assign]
    listening = Listening(ears, host.tell)
    listening.work()
    ears.now_ns = 4_000 * MS
    listening.work()
    listening.work()
    listening.flush()
    assert [(message.lost, message.levels, message.t) for message in host.messages[1:]] == [(5, 7, 20_000_000)]
