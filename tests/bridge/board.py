"""L1: a board under CPython: MicroPython's `machine`, `rp2` and `time`, over an emulated PIO and a lens at the pins.

The firmware's own `PioContacts` runs on it. Its PIO program runs instruction by instruction in `pioemu`, whose times
are exact to a cycle of 250 ns; the lens is a `PinEnd` of `m43proto`; each call of the firmware into the hardware costs
some virtual time, drawn from a seed. All times are nanoseconds of virtual time.

What the emulator does not know, and so nobody has proved here: the input synchroniser (two cycles of the system clock),
the clock divider, IRQs, more than one state machine, the RP2350. Autopush into a full FIFO is wrong in it; the program
pushes by itself. It counts the pins of `in` and `wait` from GPIO 0, so those of this board begin there. Between two
edges that the PIO waits for, this board skips the cycles in which the state machine stands still.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from pioemu import State, emulate

from m43proto.ends import NEVER
from m43proto.pins import Line
from tests.bridge.pioasm import Program, stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43proto.ends import PinEnd

stand_in()

CYCLE_NS = 250
US = 1_000


class BoardPins:
    """Which GPIO is which line on this board."""

    DATA, BODY_ACK, LENS_ACK, CLK, SLEEP, FOCUS, SHUTTER, KEEP_OUT, MARK = range(9)


_LINES = (Line.DATA, Line.BODY_ACK, Line.LENS_ACK, Line.CLK, Line.SLEEP, Line.FOCUS, Line.SHUTTER)
_BY_PIO = (BoardPins.DATA, BoardPins.BODY_ACK, BoardPins.CLK)


class Board:
    """The board, its virtual time, and what is at its contacts.

    Args:
        lens: the lens, or None.
        seed: decides how long each call of the firmware takes.

    Attributes:
        now_ns: the time.
        levels: the levels of all lines, one bit per line in the order of `LINES`.
        changes: every change of the lines, as time and new levels.
        contention_ns: when two began to drive a line against each other.
        pulls: which GPIO is pulled up.
        shorts: the level at which a GPIO is held, whoever drives it.
        death_ns: when the lens died, for tests that let it.
    """

    def __init__(self, lens: PinEnd | None = None, seed: int = 0) -> None:
        self.lens = lens
        self.random = Random(seed)
        self.now_ns = 0
        self.levels = 0
        self.changes: list[tuple[int, int]] = []
        self.contention_ns: list[int] = []
        self.pulls: dict[int, bool] = {}
        self.shorts: dict[int, int] = {}
        self.outputs: dict[int, int] = {}
        self.sm: StateMachine | None = None
        self.death_ns: int | None = None
        self._fighting = False
        self._lens_ns = 0 if lens else NEVER
        self.machine = Machine(self)
        self.rp2 = Rp2(self)
        self.time = Time(self)

    # time

    def cost(self) -> None:
        """Let the time of one call of the firmware pass: some microseconds, now and then a garbage collection."""
        self.pass_ns(self.random.randrange(2_000, 9_000) if self.random.random() < 0.998 else 3_000_000)

    def pass_ns(self, for_ns: int) -> None:
        """Let time pass for lens and state machine."""
        until_ns = self.now_ns + for_ns
        while True:
            pio_ns = NEVER if self.sm is None else self.sm.next_ns
            next_ns = min(pio_ns, self._lens_ns)
            if next_ns > until_ns:
                break
            self.now_ns = max(next_ns, self.now_ns)
            if self._lens_ns <= self.now_ns:
                self._let_lens_act()
            else:
                assert self.sm is not None
                self.sm.step()
                self.resolve()
        self.now_ns = until_ns

    def plug_in(self, lens: PinEnd) -> None:
        """Change the lens for another."""
        self.lens = lens
        self._lens_ns = self.now_ns
        self.resolve()

    def wake_lens_at(self, t_ns: int) -> None:
        """Let the lens act at this time at the latest."""
        self._lens_ns = min(self._lens_ns, t_ns)

    def _let_lens_act(self) -> None:
        assert self.lens is not None
        self._lens_ns = self.lens.advance(self.now_ns, self.levels)
        self.resolve()

    # lines

    def resolve(self) -> None:
        """Reckon the levels of all lines from who drives them; tell everybody when one has changed."""
        while True:
            levels = self._reckoned()
            if levels == self.levels:
                return
            self.levels = levels
            self.changes.append((self.now_ns, levels))
            if self.sm is not None:
                self.sm.wake()
            if self.lens is not None:
                self._lens_ns = self.lens.advance(self.now_ns, self.levels)

    def _reckoned(self) -> int:
        levels, fighting = 0, False
        for gpio, line in enumerate(_LINES):
            ours = self._ours(gpio)
            theirs = None
            if self.lens is not None and self.lens.drives & line.mask:
                theirs = int(bool(self.lens.outputs & line.mask))
            fighting |= ours is not None and theirs is not None and ours != theirs
            level = self.pulls.get(gpio, 0) if ours is None and theirs is None else (ours or 0) | (theirs or 0)
            levels |= line.mask * bool(self.shorts.get(gpio, level))
        if fighting and not self._fighting:
            self.contention_ns.append(self.now_ns)
        self._fighting = fighting
        return levels

    def _ours(self, gpio: int) -> int | None:
        if gpio in _BY_PIO:
            return None if self.sm is None else self.sm.drives(gpio)
        return self.outputs.get(gpio)

    def level(self, gpio: int) -> int:
        """Return the level of a GPIO."""
        return int(bool(self.levels & _LINES[gpio].mask))

    @property
    def word(self) -> int:
        """The levels as the state machine sees them, one bit per GPIO."""
        return sum(self.level(gpio) << gpio for gpio in range(len(_LINES)))


class StateMachine:
    """MicroPython's `rp2.StateMachine` over the emulator."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._state = State()
        self._run: Iterator[tuple[State, State]] | None = None
        self._offset_ns = 0
        self._stalled = False
        self.starts = 0

    def init(
        self, program: Program, *, freq: int, in_base: Pin, out_base: Pin, set_base: Pin, sideset_base: Pin
    ) -> None:
        assert freq * CYCLE_NS == 10**9
        assert (in_base.gpio, out_base.gpio, set_base.gpio, sideset_base.gpio) == (0, 0, 0, BoardPins.CLK)
        self._board.cost()
        outputs = 1 << BoardPins.BODY_ACK | 1 << BoardPins.CLK
        self._state = State(pin_directions=outputs, pin_values=1 << BoardPins.CLK)
        options = program.options
        self._run = emulate(
            program.opcodes,
            stop_when=lambda opcode, state: False,
            initial_state=self._state,
            input_source=self._inputs(),
            shift_isr_right=bool(options["in_shiftdir"]),
            shift_osr_right=bool(options["out_shiftdir"]),
            out_count=len(options["out_init"]),
            set_count=len(options["set_init"]),
            side_set_base=BoardPins.CLK,
            side_set_count=len(options["sideset_init"]),
            wrap_target=program.wrap_target,
            wrap_top=program.wrap,
        )
        self._offset_ns = self._board.now_ns
        self._stalled = False
        self.starts += 1
        self._board.sm = self
        self._board.resolve()

    def active(self, on: int) -> None:
        if not on and self._board.sm is self:
            self._board.sm = None
            self._board.resolve()

    def _inputs(self) -> Callable[[State], int]:
        """Return what the emulator asks for levels; it looks at the annotation, which may not be text."""

        def levels(state: State) -> int:
            return self._board.word

        levels.__annotations__["state"] = State
        return levels

    # for the board

    @property
    def next_ns(self) -> int:
        return NEVER if self._stalled else self._state.clock * CYCLE_NS + self._offset_ns

    def step(self) -> None:
        assert self._run is not None
        before = self._state
        _, self._state = next(self._run)
        self._stalled = _still(before, self._state)

    def wake(self) -> None:
        """Go on behind a change of the lines or the FIFOs: at the next cycle, as if it had waited in each before."""
        if self._stalled:
            behind_ns = self._board.now_ns - (self._state.clock * CYCLE_NS + self._offset_ns)
            self._offset_ns += max(-(-behind_ns // CYCLE_NS), 0) * CYCLE_NS
            self._stalled = False

    def drives(self, gpio: int) -> int | None:
        if not self._state.pin_directions >> gpio & 1:
            return None
        return int(self._state.pin_values >> gpio & 1)

    # for the firmware

    def put(self, word: int) -> None:
        self._board.cost()
        assert len(self._state.transmit_fifo) < 4, "put would wait for ever"
        self._state.transmit_fifo.append(word)
        self.wake()

    def get(self) -> int:
        self._board.cost()
        assert self._state.receive_fifo, "get would wait for ever"
        word: int = self._state.receive_fifo.popleft()
        self.wake()
        return word

    def tx_fifo(self) -> int:
        self._board.cost()
        return len(self._state.transmit_fifo)

    def rx_fifo(self) -> int:
        self._board.cost()
        return len(self._state.receive_fifo)


def _still(before: State, after: State) -> bool:
    """Tell whether an instruction only waited."""
    if before.program_counter != after.program_counter or before.pin_directions != after.pin_directions:
        return False
    unlike = ("x_register", "y_register", "transmit_fifo", "receive_fifo", "output_shift_register")
    return all(getattr(before, name) == getattr(after, name) for name in unlike)


class Pin:
    """MicroPython's `machine.Pin`, as far as the firmware uses it."""

    IN, OUT = range(2)
    PULL_UP, PULL_DOWN = 1, 2

    def __init__(self, board: Board, gpio: int, mode: int | None = None, pull: int = 0, value: int = 0) -> None:
        self._board = board
        self.gpio = gpio
        if mode == self.OUT:
            board.outputs[gpio] = value
        elif mode == self.IN:
            board.outputs.pop(gpio, None)
            board.pulls[gpio] = pull == self.PULL_UP
        board.resolve()

    def value(self, level: int | None = None) -> int | None:
        self._board.cost()
        if level is None:
            return self._board.level(self.gpio)
        self._board.outputs[self.gpio] = level
        self._board.resolve()
        return None


class _PinMaker:
    IN, OUT, PULL_UP, PULL_DOWN = Pin.IN, Pin.OUT, Pin.PULL_UP, Pin.PULL_DOWN

    def __init__(self, board: Board) -> None:
        self._board = board

    def __call__(self, *arguments: Any, **options: Any) -> Pin:
        return Pin(self._board, *arguments, **options)


class Machine:
    """MicroPython's `machine`."""

    def __init__(self, board: Board) -> None:
        self.Pin = _PinMaker(board)


class Rp2:
    """MicroPython's `rp2`."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def StateMachine(self, number: int) -> StateMachine:  # noqa: N802
        return StateMachine(self._board)


class Timed(Protocol):
    """A board with a time of its own."""

    @property
    def now_ns(self) -> int:
        """The time."""

    def cost(self) -> None:
        """Let the time of a call pass."""

    def pass_ns(self, for_ns: int) -> None:
        """Let time pass."""


class Time:
    """MicroPython's `time`: ticks that go round at 2**30."""

    def __init__(self, board: Timed) -> None:
        self._board = board

    def ticks_us(self) -> int:
        self._board.cost()
        return (self._board.now_ns // US + 2**30 - 10_000) % 2**30

    def sleep_us(self, for_us: int) -> None:
        self._board.pass_ns(for_us * US)
