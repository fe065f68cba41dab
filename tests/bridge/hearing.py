"""L1: a board that listens, under CPython: MicroPython's `machine`, `rp2` and `time`, over two emulated state machines.

The firmware's own `PioEars` runs on it. What is at the lines is a table of changes. Both PIO programs run, one
instruction after the other, in `pioemu`; between two changes that they see, waits and turns in which nothing changes
are skipped, which `whole` switches off. DMA takes each word at once, and writes it to its ring. All times are
nanoseconds of virtual time.

What the emulator does not know: the input synchroniser, the clock divider, the time that DMA takes, and two state
machines in one block: each has an emulator of its own, and the mark of the one is an input of the other.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from pioemu import ShiftRegister, State, emulate

from m43proto.pins import Line
from tests.bridge.board import BoardPins, Time
from tests.bridge.pioasm import Program, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CYCLE_NS = 10
TURN_NS = 200
US = 1_000
NEVER = 1 << 63
_WAIT = 1

_GPIO = {
    BoardPins.DATA: Line.DATA,
    BoardPins.BODY_ACK: Line.BODY_ACK,
    BoardPins.LENS_ACK: Line.LENS_ACK,
    BoardPins.CLK: Line.CLK,
    BoardPins.SLEEP: Line.SLEEP,
    BoardPins.FOCUS: Line.FOCUS,
    BoardPins.SHUTTER: Line.SHUTTER,
}
_CLOCKS, _EDGES = 4, 5


class HearingBoard:
    """The board, its virtual time, and what is at its lines.

    Args:
        changes: times and the levels of all lines from then on.
        seed: decides how long each call of the firmware takes, and what registers hold at first.
        whole: leave no cycle out.

    Attributes:
        now_ns: the time.
        mark_times: when the mark changed.
        mark_levels: its levels from then on.
        outputs: GPIOs that somebody drives.
        memory: registers of the chip.
    """

    def __init__(self, changes: Sequence[tuple[int, int]], seed: int = 0, *, whole: bool = False) -> None:
        self.random = Random(seed)
        self.whole = whole
        self.now_ns = 0
        self.times = [t_ns for t_ns, _ in changes]
        self.levels = [levels for _, levels in changes]
        self.mark_times, self.mark_levels = [0], [0]
        self.outputs: set[int] = set()
        self.machines: dict[int, HearingMachine] = {}
        self.memory: dict[int, int] = {0x50300008: 0}
        self.machine = _Machine(self)
        self.rp2 = _Rp2(self)
        self.time = Time(self)

    def cost(self) -> None:
        """Let the time of one call of the firmware pass."""
        self.pass_ns(self.random.randrange(2_000, 9_000))

    def pass_ns(self, for_ns: int) -> None:
        """Let time pass: first for what makes the mark, and then for what sees it."""
        self.now_ns += for_ns
        for number in (_CLOCKS, _EDGES):
            if number in self.machines:
                self.machines[number].run(self.now_ns)

    def gpios(self, t_ns: int) -> int:
        """Return the levels of all GPIOs at a time."""
        at = bisect_right(self.times, t_ns) - 1
        levels = self.levels[at] if at >= 0 else 0
        word = sum(1 << gpio for gpio, line in _GPIO.items() if levels & line.mask) | 1 << BoardPins.KEEP_OUT
        marked = self.mark_levels[bisect_right(self.mark_times, t_ns) - 1]
        return word | marked << BoardPins.MARK

    def next_change_ns(self, t_ns: int, *, with_mark: bool) -> int:
        """Return when something changes next behind a time."""
        seen = [self.times, self.mark_times] if with_mark else [self.times]
        return min((times[at] for times in seen if (at := bisect_right(times, t_ns)) < len(times)), default=NEVER)


class HearingMachine:
    """MicroPython's `rp2.StateMachine` over the emulator."""

    began_ns = 0

    def __init__(self, board: HearingBoard, number: int) -> None:
        self.board = board
        self.number = number
        self.dma: Dma | None = None
        self._state = State(x_register=board.random.getrandbits(32), y_register=board.random.getrandbits(32))
        self._run: Iterator[tuple[State, State]] | None = None
        self._offset_ns = 0
        self._on = False

    def init(
        self, program: Program, *, freq: int, in_base: Pin, jmp_pin: Pin | None = None, sideset_base: Pin | None = None
    ) -> None:
        self.board.cost()
        assert freq * CYCLE_NS == 10**9
        self.board.machines[self.number] = self
        self._on = False
        self._program = program
        self._base = in_base.gpio
        self._side = None if sideset_base is None else sideset_base.gpio
        self._jmp = 0 if jmp_pin is None else (jmp_pin.gpio - self._base) % 32
        self._state = State(
            x_register=self._state.x_register,
            y_register=self._state.y_register,
            output_shift_register=ShiftRegister(self.board.random.getrandbits(32), 0),
            pin_directions=0 if self._side is None else 1 << (self._side - self._base) % 32,
        )
        if self._side is not None:
            self.board.outputs.add(self._side)
            self._note_mark(self.board.now_ns)

    def exec(self, text: str) -> None:
        self.board.cost()
        assert not self._on, "the emulator carries out an instruction only before the start"
        [(_, after)] = [next(emulate([encoded(text)], stop_when=lambda _, __: False, initial_state=self._state))]
        self._state = replace(after, clock=self._state.clock, program_counter=self._state.program_counter)

    def active(self, on: int) -> None:
        self.board.cost()
        if on and not self._on:
            self.began_ns = self.board.now_ns
            self._offset_ns = self.board.now_ns - self._state.clock * CYCLE_NS
            self._run = self._emulated()
        self._on = bool(on)

    def _emulated(self) -> Iterator[tuple[State, State]]:
        program, state = self._program, self._state
        side = 0 if self._side is None else (self._side - self._base) % 32
        run: Iterator[tuple[State, State]] = emulate(
            program.opcodes,
            stop_when=lambda _, __: False,
            initial_state=state,
            input_source=self._inputs(),
            shift_isr_right=bool(program.options["in_shiftdir"]),
            jmp_pin=self._jmp,
            side_set_base=side,
            side_set_count=len(program.options.get("sideset_init", ())),
            wrap_target=program.wrap_target,
            wrap_top=program.wrap,
        )
        return run

    def _inputs(self) -> Callable[[State], int]:
        """Return what the emulator asks for levels, as `in` and `wait` count the pins: from `in_base`, and round."""

        def levels(state: State) -> int:
            return self._seen(state.clock * CYCLE_NS + self._offset_ns)

        levels.__annotations__["state"] = State
        return levels

    def _seen(self, t_ns: int) -> int:
        word: int = self.board.gpios(t_ns)
        return _turned(word, self._base)

    # time

    @property
    def _now_ns(self) -> int:
        cycles: int = self._state.clock
        return cycles * CYCLE_NS + self._offset_ns

    def run(self, until_ns: int) -> None:
        """Go on up to a time."""
        while self._on and self._now_ns <= until_ns:
            if not self.board.whole and self._skip(until_ns):
                continue
            assert self._run is not None
            before = self._state
            _, self._state = next(self._run)
            if self._state.pin_values & self._state.pin_directions != before.pin_values & before.pin_directions:
                self._note_mark(before.clock * CYCLE_NS + self._offset_ns)
            self._give_words()

    def _note_mark(self, t_ns: int) -> None:
        level = int(bool(self._state.pin_values & self._state.pin_directions))
        if self.board.mark_levels[-1] != level:
            self.board.mark_times.append(t_ns)
            self.board.mark_levels.append(level)

    def _give_words(self) -> None:
        fifo = self._state.receive_fifo
        while fifo and self.dma is not None:
            self.dma.write_word(fifo.popleft())

    def _skip(self, until_ns: int) -> bool:
        """Leave out what changes nothing; return whether there was such a thing."""
        now_ns = self._now_ns
        change_ns = min(self.board.next_change_ns(now_ns, with_mark=self._side is None), until_ns + CYCLE_NS)
        opcode = self._program.opcodes[self._state.program_counter]
        if opcode >> 13 == _WAIT:
            waits = self.board.gpios(now_ns) >> BoardPins.CLK & 1 != opcode >> 7 & 1
            cycles = (change_ns - now_ns) // CYCLE_NS if waits else 0
            self._offset_ns += cycles * CYCLE_NS
            return cycles > 0
        if self._side is not None or self._state.program_counter:
            return False
        turns = (change_ns - now_ns) // TURN_NS if self._sampled(now_ns) == self._state.x_register else 0
        if turns:
            count = self._state.output_shift_register.contents - turns & 0xFFFF_FFFF
            state = replace(self._state, output_shift_register=ShiftRegister(count, 0), y_register=count)
            self._state = state
            self._offset_ns += turns * TURN_NS
            self._run = self._emulated()
        return turns > 0

    def _sampled(self, t_ns: int) -> int:
        seen = self._seen(t_ns)
        sampled: int = (seen >> 3 & 0x1F) << 27 | (seen & 3) << 25
        return sampled


def _turned(word: int, base: int) -> int:
    """Return the levels of all GPIOs, counted from one of them on, and round."""
    return (word >> base | word << 32 - base) & 0xFFFF_FFFF


class Dma:
    """MicroPython's `rp2.DMA`, at an address of its own choice, which it wraps as it is told."""

    def __init__(self, board: HearingBoard) -> None:
        self._board = board
        self.count = 0
        self._address = 0x2000_0000 + 4 * board.random.randrange(0x4000)
        self._begin = self._address
        self._buffer = bytearray()
        self._wraps = 1
        self._machine: HearingMachine | None = None

    @property
    def write(self) -> int:
        return self._address

    @write.setter
    def write(self, buffer: bytearray) -> None:
        self._buffer = buffer

    @staticmethod
    def pack_ctrl(**fields: int) -> dict[str, int]:
        assert (fields["size"], fields["inc_read"], fields["inc_write"], fields["ring_sel"]) == (2, False, True, True)
        return fields

    def config(self, *, read: HearingMachine, write: int, count: int, ctrl: dict[str, int], trigger: bool) -> None:
        assert trigger
        assert ctrl["treq_sel"] == 12 + read.number - _CLOCKS, "the request of another FIFO"
        self._board.cost()
        self._wraps = 1 << ctrl["ring_size"]
        assert write % self._wraps == 0, "the ring does not begin where it wraps"
        self._address, self.count = write, count
        self._machine = read
        read.dma = self

    def write_word(self, word: int) -> None:
        at = self._address - self._begin
        self._buffer[at : at + 4] = word.to_bytes(4, "little")
        begin = self._address - self._address % self._wraps
        self._address = begin + (self._address + 4 - begin) % self._wraps
        self.count -= 1

    def active(self, on: int) -> None:
        assert not on
        if self._machine is not None and self._machine.dma is self:
            self._machine.dma = None

    def close(self) -> None:
        self._machine = None


class Pin:
    """MicroPython's `machine.Pin`, as far as the firmware uses it."""

    def __init__(self, board: HearingBoard, gpio: int, mode: int | None) -> None:
        self.gpio = gpio
        if mode == _PinMaker.IN:
            board.outputs.discard(gpio)
        elif mode == _PinMaker.OUT:
            board.outputs.add(gpio)


class _PinMaker:
    IN, OUT, PULL_UP, PULL_DOWN = 0, 1, 1, 2

    def __init__(self, board: HearingBoard) -> None:
        self._board = board

    def __call__(self, gpio: int, mode: int | None = None, pull: int = 0, value: int = 0) -> Pin:
        return Pin(self._board, gpio, mode)


class _Memory:
    """MicroPython's `machine.mem32`; writing ones clears flags."""

    def __init__(self, board: HearingBoard) -> None:
        self._board = board

    def __getitem__(self, address: int) -> int:
        return self._board.memory[address]

    def __setitem__(self, address: int, value: int) -> None:
        self._board.memory[address] &= ~value


class _Machine:
    def __init__(self, board: HearingBoard) -> None:
        self.Pin = _PinMaker(board)
        self.mem32 = _Memory(board)


class _Handshake:
    """The state machine of the handshake, which does nothing while the board listens."""

    def active(self, on: int) -> None:
        assert not on


class _Rp2:
    def __init__(self, board: HearingBoard) -> None:
        self._board = board

    def StateMachine(self, number: int) -> Any:  # noqa: N802
        if number == 0:
            return _Handshake()
        return self._board.machines.setdefault(number, HearingMachine(self._board, number))

    def DMA(self) -> Dma:  # noqa: N802
        return Dma(self._board)
