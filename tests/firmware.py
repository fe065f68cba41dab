"""Programs of a microcontroller that plays one end of the mount: they look at levels now and then, without time-outs.

Written from specs/2-link.md and its figures (§2.11, §2.12), not from any program: a write of a pin takes 4.56 us (7.25
us on BODY_ACK), a read 1 us, a timer interrupt of 6.5 us comes every 1.024 ms, hardware shifts the bits of a byte. The
other end is a `Lockstep`, asked as somebody else's simulator would ask it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43proto.pins import LINES, Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43drivers.simulator.lockstep import Lockstep

CLK, DATA, BODY_ACK, LENS_ACK, SLEEP, FOCUS, SHUTTER = LINES

READ_NS = 1_000
WRITE_NS = {BODY_ACK: 7_250}
OTHER_WRITE_NS = 4_560
INTERRUPT_EVERY_NS = 1_024_000
INTERRUPT_NS = 6_500


class HungError(AssertionError):
    """The program waits for ever."""


class Controller:
    """A microcontroller on one end, and a `Lockstep` on the other.

    Args:
        lockstep: the other end.
        ours: lines that this end drives, with their first levels; DATA may be None.
        limit_ns: when a program that has not ended counts as hung.
    """

    def __init__(self, lockstep: Lockstep, ours: dict[Line, int | None], limit_ns: int) -> None:
        self.lockstep = lockstep
        self.now_ns = 0
        self.ours = dict(ours)
        self.theirs: dict[Line, int | None] = {}
        self.limit_ns = limit_ns
        self.changes: list[tuple[int, int]] = []
        self._interrupt_ns = INTERRUPT_EVERY_NS
        self.on_change: Callable[[], None] = lambda: None
        self._step(0, ours)

    def level(self, line: Line) -> int:
        """Return the level of a line; one that nobody drives is low."""
        return int(bool(self.theirs.get(line)) or bool(self.ours.get(line)))

    def wait(self, ns: int) -> None:
        """Let time pass; an interrupt may make it longer."""
        end_ns = self.now_ns + ns
        if end_ns >= self._interrupt_ns:
            end_ns += INTERRUPT_NS
            self._interrupt_ns += INTERRUPT_EVERY_NS
        if end_ns > self.limit_ns:
            raise HungError(f"still waiting at {self.now_ns}")
        while self.lockstep.next_ns is not None and self.lockstep.next_ns <= end_ns:
            self._step(max(self.lockstep.next_ns, self.now_ns), {})
        self.now_ns = end_ns

    def write(self, line: Line, level: int) -> None:
        """Write a pin; the level changes at the end of that."""
        self.wait(WRITE_NS.get(line, OTHER_WRITE_NS))
        self.put({line: level})

    def put(self, lines: dict[Line, int | None]) -> None:
        """Drive lines from now on."""
        self._step(self.now_ns, lines)

    def until(self, line: Line, level: int) -> None:
        """Look at a pin again and again, for ever if need be."""
        while True:
            self.wait(READ_NS)
            if self.level(line) == level:
                return

    def _step(self, at_ns: int, lines: dict[Line, int | None]) -> None:
        self.now_ns = at_ns
        before = self._word()
        self.ours |= lines
        self.theirs, _ = self.lockstep.step(at_ns, lines)
        word = self._word()
        if word != before or not self.changes:
            self.changes.append((at_ns, word))
        self.on_change()

    def _word(self) -> int:
        return sum(line.mask for line in LINES if self.level(line))


class BodyProgram:
    """A body that pauses blindly behind each byte that it says, and believes every sum."""

    def __init__(self, lens: Lockstep, limit_ns: int) -> None:
        lines: dict[Line, int | None] = dict.fromkeys((BODY_ACK, SLEEP, FOCUS, SHUTTER), 0)
        self.pins = Controller(lens, lines | {CLK: 1, DATA: None}, limit_ns)

    def power_up(self) -> None:
        pins = self.pins
        pins.write(SLEEP, 1)
        pins.wait(10_000_000)
        pins.write(BODY_ACK, 1)
        pins.until(LENS_ACK, 1)
        pins.until(LENS_ACK, 0)
        pins.write(BODY_ACK, 0)
        pins.wait(20_000_000)

    def say(self, values: bytes) -> None:
        pins = self.pins
        pins.write(BODY_ACK, 1)
        pins.until(LENS_ACK, 1)
        for value in values:
            for place in range(8):
                pins.put({CLK: 0})
                pins.wait(280)
                pins.put({DATA: value >> place & 1})
                pins.wait(160)
                pins.put({CLK: 1})
                pins.wait(375)
            pins.wait(15_000)
        pins.until(LENS_ACK, 0)
        pins.put({DATA: None})
        pins.write(BODY_ACK, 0)

    def hear(self) -> int:
        pins = self.pins
        pins.until(LENS_ACK, 1)
        pins.write(BODY_ACK, 1)
        pins.wait(1_375)
        value = 0
        for place in range(8):
            pins.put({CLK: 0})
            pins.wait(440)
            value |= pins.level(DATA) << place
            pins.put({CLK: 1})
            pins.wait(500)
        pins.write(BODY_ACK, 0)
        return value

    def command(self, command: bytes) -> None:
        self.say(command)
        self.hear()
        self.pins.until(LENS_ACK, 0)

    def read(self, command: bytes) -> bytes:
        self.command(command)
        low, high = self._next(), self._next()
        return bytes(self._next() for _ in range(low + 256 * high))[:-1]

    def _next(self) -> int:
        value = self.hear()
        self.pins.wait(10_000)
        return value

    def write(self, command: bytes, data: bytes) -> None:
        self.command(command)
        self.pins.wait(250_000)
        self.say(bytes([len(data) + 1, 0]) + data)
        self.hear()
        self.pins.wait(100_000)

    def complete(self, command: bytes) -> int:
        pins = self.pins
        self.command(command)
        pins.write(BODY_ACK, 1)
        pins.until(LENS_ACK, 1)
        pins.until(LENS_ACK, 0)
        pins.write(BODY_ACK, 0)
        return self.hear()


class LensProgram:
    """A lens whose bits are shifted by hardware, and whose handshake is a loop that looks at BODY_ACK."""

    def __init__(self, body: Lockstep, limit_ns: int, answers: dict[bytes, bytes], busy_ns: int = 0) -> None:
        self.pins = Controller(body, {LENS_ACK: 0, DATA: None}, limit_ns)
        self.answers = answers
        self.busy_ns = busy_ns
        self.heard: list[bytes] = []
        self._clk = self.pins.level(CLK)
        self._out = self._in = self._places = 0
        self._driving = False
        self.pins.on_change = self._shift

    def _shift(self) -> None:
        """Do what a shift register does at an edge of CLK."""
        clk, before = self.pins.level(CLK), self._clk
        self._clk = clk
        if clk == before:
            return
        if clk:
            self._in |= self.pins.level(DATA) << self._places
            self._places += 1
        elif self._driving and self._places < 8:
            self.pins.put({DATA: self._out >> self._places & 1})

    def run(self) -> Iterator[None]:
        """Serve for ever; yields behind each transaction."""
        pins = self.pins
        pins.until(SLEEP, 1)
        pins.until(BODY_ACK, 1)
        pins.write(LENS_ACK, 1)
        pins.wait(10_000_000)
        pins.write(LENS_ACK, 0)
        pins.until(BODY_ACK, 0)
        while True:
            self._serve()
            yield

    def _serve(self) -> None:
        command = self._take(4)
        self._give(sum(command) % 256)
        data = b""
        kind = command[0] >> 4
        if kind == 0xB:
            self._work()
            self._give(0)
        elif kind == 0xC:
            block = self.answers.get(command[:2], b"")
            for value in (*(len(block) + 1).to_bytes(2, "little"), *block, sum(block) % 256):
                self._give(value)
        elif kind == 0x6:
            data = self._take(None)
            self._give(sum(data[2:]) % 256)
        self.heard.append(command + data[2:])

    def _take(self, count: int | None) -> bytes:
        pins = self.pins
        pins.until(BODY_ACK, 1)
        self._release()
        pins.write(LENS_ACK, 1)
        taken = b""
        while True:
            self._in = self._places = 0
            pins.wait(3_000)
            while self._places < 8:
                pins.wait(READ_NS)
            taken += bytes([self._in])
            pins.write(LENS_ACK, 0)
            wanted = count or (2 + taken[0] - 1 if len(taken) > 1 else 3)
            if len(taken) == wanted:
                pins.until(BODY_ACK, 0)
                return taken
            pins.write(LENS_ACK, 1)

    def _give(self, value: int) -> None:
        pins = self.pins
        self._out, self._in, self._places, self._driving = value, 0, 0, True
        pins.put({DATA: 0})
        pins.write(LENS_ACK, 1)
        pins.until(BODY_ACK, 1)
        pins.until(BODY_ACK, 0)
        pins.write(LENS_ACK, 0)
        self._release()

    def _release(self) -> None:
        if self._driving:
            self._driving = False
            self.pins.put({DATA: None})

    def _work(self) -> None:
        pins = self.pins
        pins.until(BODY_ACK, 1)
        pins.write(LENS_ACK, 1)
        pins.wait(self.busy_ns + 1_000)
        pins.write(LENS_ACK, 0)
        pins.until(BODY_ACK, 0)
