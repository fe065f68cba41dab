"""Draws transactions as edges of the seven lines, for tests: both ends of the bus, with any timing and some faults.

It knows the wire only from specs/2-link.md and specs/3-framing.md and shares no code with the decoder that it tests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.model import Channel
from m43proto.pins import LINES, Line, Role

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

CLK, DATA, BODY_ACK, LENS_ACK, SLEEP, FOCUS, SHUTTER = LINES


@dataclass(frozen=True)
class Script:
    """One transaction to draw: command, shape letter, block data, sums as sent (None = right), status byte."""

    command: bytes
    letter: str
    data: bytes = b""
    status: int = 0
    command_sum: int | None = None
    data_sum: int | None = None
    length: int | None = None


@dataclass
class SentByte:
    """What was really sent: the truth that a decoder must find."""

    t_ns: int
    end_ns: int
    sender: Role
    value: int


@dataclass
class Waveform:
    """Lines over time, and the truth about them.

    Args:
        rng: source of every delay.
        low_ns, high_ns: range of a clock phase.
        gap_ns: range of every pause of the handshake.
        stretch: how often a clock phase is stretched to up to 28 us, as an interrupt does.
    """

    rng: random.Random
    low_ns: tuple[int, int] = (440, 500)
    gap_ns: tuple[int, int] = (1_400, 12_000)
    stretch: float = 0.01
    now_ns: int = 0
    levels: dict[Line, int] = field(default_factory=lambda: {line: int(line is CLK) for line in LINES})
    changes: list[tuple[int, int]] = field(default_factory=list)
    sent: list[SentByte] = field(default_factory=list)
    transactions: list[tuple[int, int, Script]] = field(default_factory=list)
    on_byte: Callable[[Waveform, Role], None] | None = None

    def __post_init__(self) -> None:
        self.changes.append((0, self._word()))

    def _word(self) -> int:
        return sum(level << LINES.index(line) for line, level in self.levels.items())

    def set(self, line: Line, level: int) -> None:
        if self.levels[line] != level:
            self.levels[line] = level
            if self.changes[-1][0] == self.now_ns:
                self.changes.pop()
            self.changes.append((self.now_ns, self._word()))

    def wait(self, ns: int) -> None:
        self.now_ns += ns

    def pause(self) -> None:
        self.wait(self.rng.randint(*self.gap_ns))

    def step(self, line: Line, level: int) -> None:
        self.pause()
        self.set(line, level)

    def _phase(self) -> None:
        self.wait(
            self.rng.randint(1_000, 28_000) if self.rng.random() < self.stretch else self.rng.randint(*self.low_ns)
        )

    def bits(self, value: int, count: int = 8) -> tuple[int, int]:
        start = self.now_ns
        for bit in range(count):
            self.set(CLK, 0)
            start = self.now_ns if bit == 0 else start
            half = self.rng.randint(self.low_ns[0] // 3, self.low_ns[0] // 2)
            self.wait(half)
            self.set(DATA, value >> bit & 1)
            self._phase()
            self.set(CLK, 1)
            end = self.now_ns
            self._phase()
        return start, end

    def byte(self, sender: Role, value: int) -> None:
        self.pause()
        start, end = self.bits(value)
        self.sent.append(SentByte(start, end, sender, value))
        if self.on_byte:
            self.on_byte(self, sender)

    def power_up(self) -> None:
        self.wait(1_000_000)
        self.set(SLEEP, 1)
        self.wait(10_000_000)
        self.set(BODY_ACK, 1)
        self.step(LENS_ACK, 1)
        self.wait(10_000_000)
        self.set(LENS_ACK, 0)
        self.step(BODY_ACK, 0)
        self.wait(20_000_000)

    def body_turn(self, values: bytes) -> None:
        """Attention, bytes with their acknowledges, hand-over."""
        self.step(BODY_ACK, 1)
        self.step(LENS_ACK, 1)
        for index, value in enumerate(values):
            self.byte(Role.BODY, value)
            self.step(LENS_ACK, 0)
            if index < len(values) - 1:
                self.step(LENS_ACK, 1)
        self.step(BODY_ACK, 0)

    def lens_byte(self, value: int) -> None:
        self.step(LENS_ACK, 1)
        self.step(BODY_ACK, 1)
        self.byte(Role.LENS, value)
        self.step(BODY_ACK, 0)
        self.step(LENS_ACK, 0)

    def completion(self, busy_ns: int) -> None:
        self.step(BODY_ACK, 1)
        self.step(LENS_ACK, 1)
        self.wait(busy_ns)
        self.set(LENS_ACK, 0)
        self.step(BODY_ACK, 0)

    def transaction(self, script: Script) -> None:
        first = len(self.sent)
        self.body_turn(script.command)
        self.lens_byte(sum(script.command) % 256 if script.command_sum is None else script.command_sum)
        length = len(script.data) + 1 if script.length is None else script.length
        block = length.to_bytes(2, "little") + script.data
        data_sum = sum(script.data) % 256 if script.data_sum is None else script.data_sum
        if script.letter == "B":
            self.completion(self.rng.randint(0, 500_000))
            self.lens_byte(script.status)
        elif script.letter == "C":
            for value in [*block, data_sum]:
                self.lens_byte(value)
        elif script.letter == "6":
            self.body_turn(block)
            self.lens_byte(data_sum)
        self.transactions.append((self.sent[first].t_ns, self.sent[-1].end_ns, script))

    def idle(self, ns: int = 9_000_000) -> None:
        self.wait(ns)

    def frame_sync(self) -> None:
        self.set(SHUTTER, 1)
        self.wait(500_000)
        self.set(SHUTTER, 0)
        self.wait(1_500_000)

    def clock_hold(self, ns: int = 1_000_000) -> None:
        self.pause()
        self.set(CLK, 0)
        self.wait(ns)
        self.set(CLK, 1)

    def channels(self) -> tuple[Channel, ...]:
        """Return the lines as recorded channels."""
        times = np.array([t_ns for t_ns, _ in self.changes], np.int64)
        words = np.array([word for _, word in self.changes], np.int64)
        toggled = words[1:] ^ words[:-1]
        return tuple(
            Channel(line, int(words[0]) >> bit & 1, times[1:][(toggled >> bit & 1).astype(bool)])
            for bit, line in enumerate(LINES)
        )


LETTERS = {"6": 0x60, "A": 0xA0, "B": 0xB0, "C": 0xC0}


def random_script(rng: random.Random, *, longest: int = 40) -> Script:
    """Return any valid transaction: any opcode of a known shape, any data."""
    letter = rng.choice("6ABC")
    command = bytes([LETTERS[letter] | rng.randrange(16), *rng.randbytes(3)])
    data = rng.randbytes(rng.randrange(longest)) if letter in "6C" else b""
    return Script(command, letter, data, rng.randrange(256))
