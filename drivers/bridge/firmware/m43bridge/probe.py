"""Programs of single steps at the pins, and what carries them out (specs/11-bridge-link.md, section 11.6).

A bridge that probes a lens knows nothing of the handshake: a host sends programs, and this interpreter sets lines,
waits for them, and clocks bits. The file is plain Python that MicroPython runs too, and imports nothing: `m43 export
firmware` copies it into the firmware, so there is one interpreter for a board, a bridge in a process, and the simulated
bench.

A program is bytes: the number of an instruction, then its operands by the letters of its form:

* ``b`` a byte; ``n`` a number, seven bits a byte, the lowest first, bit 7 set in all but the last; ``z`` the same with
  a sign in its lowest bit; ``t`` where to go on, two bytes, counted from the start of the program; ``s`` bytes, and
  before them their number as ``n``.

Lines are bits of a byte: CLK 1, DATA 2, BODY_ACK 4, LENS_ACK 8, SLEEP 10, FOCUS 20, SHUTTER 40 (hexadecimal). Times are
nanoseconds.
"""

DATA_DRIVE = 0x80
"""Beside the lines, in the mask of `SET`: whether the bridge drives DATA, as this bit of the levels says."""

INSTRUCTIONS = (
    ("END", "", "ends the program"),
    ("FAIL", "", "notes that it did not go as it should"),
    ("DELAY", "n", "lets time pass"),
    ("SET", "bb", "sets the lines of a mask to levels; bit 80 of the mask: drives DATA (bit 80 of the levels), or not"),
    ("FLIP", "b", "changes the levels of the lines of a mask"),
    (
        "WAIT",
        "bbnt",
        "waits until the lines of a mask have levels; when that takes longer than the limit, goes on at `t`",
    ),
    ("JUMP", "t", "goes on at `t`"),
    ("RATE", "nnnnn", "bits from now on: CLK falls to DATA changes; CLK low, high in `OUT`; CLK low, high in `IN`"),
    ("SAY", "s", "takes up bytes to say"),
    ("OUT", "b", "clocks out so many bits of the next byte to say, the lowest first"),
    ("MORE", "t", "goes on at `t` while there are bytes to say"),
    ("IN", "", "clocks in a byte; DATA is taken when CLK rises"),
    ("CLEAR", "", "forgets what was heard"),
    ("LENGTH", "t", "counts from the last two bytes heard, as a length; goes on at `t` when that is 0"),
    ("COUNT", "n", "counts from a number"),
    ("AGAIN", "t", "counts down; goes on at `t` while that is not 0"),
    ("TIMER", "n", "starts the timer"),
    ("EARLY", "t", "goes on at `t` while the timer runs"),
    ("NOTE", "bb", "compares what was heard, without so many bytes before and behind, with what was noted last"),
    ("SETTLED", "bt", "goes on at `t` when so many were noted alike, one behind the other"),
    ("ALARM", "nt", "goes on at `t` after a time, whatever goes on then"),
    (
        "HAND",
        "bz",
        "lets a hand do what it can: 0 zoom ring to, 1 focus ring by, 2 lens off, 3 lens on; else as `FAIL`",
    ),
)
"""Name, form and meaning of each instruction; its place is its number."""

(
    END, FAIL, DELAY, SET, FLIP, WAIT, JUMP, RATE, SAY, OUT, MORE, IN, CLEAR, LENGTH, COUNT, AGAIN, TIMER, EARLY, NOTE,
    SETTLED, ALARM, HAND,
) = range(len(INSTRUCTIONS))  # fmt: skip

NUMBERS = {row[0]: number for number, row in enumerate(INSTRUCTIONS)}
"""The number of each instruction, by its name."""

ZOOM, FOCUS, REMOVE, INSERT, FRESH = range(5)
"""Hands: turn the zoom ring to a step, the focus ring by counts, take the lens off, put it on; the last is none that a
program calls for: with it a bridge puts a new lens on when a probe begins."""

NEVER = -1
"""Stands for no time."""

MISSED, REACHED, CUT = range(3)
"""How a wait ends: its limit was over, the levels were there, or an alarm came before both."""


class ProgramError(Exception):
    """Bytes are no program; the text says what is wrong, and where."""


class Pins:
    """The lines of the mount, and their clock.

    What takes time takes `until_ns`: the time at which it is broken off, or `NEVER`. What happens at that very time
    still counts. Lines that are set change together when time next passes.

    Attributes:
        tick_ns: the unit of the times of edges.
        hands: bits of `ZOOM` to `FRESH`: what it can do to a lens.
        levels: the levels of all lines when the last edge was taken, at first those at the beginning.
    """

    tick_ns = 1
    hands = 0
    levels = 0

    def now_ns(self) -> int:
        """Return the time since the probe began."""
        raise NotImplementedError

    def set(self, mask: int, levels: int) -> None:
        """Set lines; see `SET`."""
        raise NotImplementedError

    def flip(self, mask: int) -> None:
        """Change the levels of lines."""
        raise NotImplementedError

    def rate(self, setup_ns: int, out_low_ns: int, out_high_ns: int, in_low_ns: int, in_high_ns: int) -> None:
        """Choose how bits are clocked."""
        raise NotImplementedError

    def delay(self, pause_ns: int, until_ns: int) -> bool:
        """Let time pass; return False when it was broken off."""
        raise NotImplementedError

    def wait(self, mask: int, levels: int, limit_ns: int, until_ns: int) -> int:
        """Wait for levels; return `MISSED`, `REACHED` or `CUT`."""
        raise NotImplementedError

    def clock_out(self, value: int, count: int, until_ns: int) -> bool:
        """Clock out bits; return False when it was broken off."""
        raise NotImplementedError

    def clock_in(self, until_ns: int) -> int:
        """Clock in a byte; return it, or -1 when it was broken off."""
        raise NotImplementedError

    def hand(self, kind: int, amount: int) -> None:
        """Do something to the lens."""
        raise NotImplementedError

    def edges(self) -> list[tuple[int, int]]:
        """Return what changed since it was asked last: times in ticks, and the levels of all lines from then on."""
        raise NotImplementedError

    def lost(self) -> int:
        """Return how many edges were lost since it was asked last; they came before those that `edges` returns next."""
        raise NotImplementedError


def number_at(program: bytes, at: int) -> tuple[int, int]:
    """Return the number that stands at a place, and the place behind it."""
    value = shift = 0
    while True:
        byte = program[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def operands_at(program: bytes, at: int) -> tuple[list, int]:  # type: ignore[type-arg]
    """Return the operands of the instruction that stands at a place, and the place behind them."""
    operands: list = []  # type: ignore[type-arg]
    form = INSTRUCTIONS[program[at]][1]
    at += 1
    for letter in form:
        if letter == "b":
            operands.append(program[at])
            at += 1
        elif letter == "t":
            operands.append(program[at] | program[at + 1] << 8)
            at += 2
        else:
            value, at = number_at(program, at)
            if letter == "z":
                value = -(value >> 1) - 1 if value & 1 else value >> 1
            if letter == "s":
                operands.append(bytes(program[at : at + value]))
                at += value
            else:
                operands.append(value)
    return operands, at


class Program:
    """A program, checked and read: it cannot leave its bytes, whatever they are.

    Args:
        program: its bytes.

    Raises:
        ProgramError: they are no program.

    Attributes:
        size: how many bytes it has.
        steps: instruction and operands, one behind the other; `t` is an index of this list.
    """

    def __init__(self, program: bytes) -> None:
        self.size = len(program)
        self.steps: list[tuple[int, list]] = []  # type: ignore[type-arg]
        places = {}
        at = 0
        while at < len(program):
            places[at] = len(self.steps)
            at = self._read(program, at)
        if not self.steps or self.steps[-1][0] not in (END, JUMP):
            raise ProgramError("the program does not end with END or JUMP")
        for code, operands in self.steps:
            if INSTRUCTIONS[code][1].endswith("t"):
                target = operands[-1]
                if target not in places:
                    raise ProgramError(
                        "%s goes on at %d, where no instruction stands" % (INSTRUCTIONS[code][0], target)
                    )
                operands[-1] = places[target]

    def _read(self, program: bytes, at: int) -> int:
        if program[at] >= len(INSTRUCTIONS):
            raise ProgramError("at %d: no instruction has the number %d" % (at, program[at]))
        try:
            operands, behind = operands_at(program, at)
        except IndexError:
            behind = len(program) + 1
        if behind > len(program):
            raise ProgramError("at %d: %s is cut off" % (at, INSTRUCTIONS[program[at]][0]))
        self.steps.append((program[at], operands))
        return behind


class Interpreter:
    """Carries out one program.

    Args:
        pins: where.
        program: what.

    Attributes:
        done: whether it has gone as it should so far.
        ended: whether it is at its end.
    """

    def __init__(self, pins: Pins, program: Program) -> None:
        self.done = True
        self.ended = False
        self._pins = pins
        self._steps = program.steps
        self._at = 0
        self._say = b""
        self._said = 0
        self._heard = bytearray()
        self._count = 0
        self._timer_ns = 0
        self._noted: bytes | None = None
        self._alike = 0
        self._alarm_ns = NEVER
        self._alarm_at = 0

    def step(self) -> None:
        """Carry out one instruction."""
        code, operands = self._steps[self._at]
        self._at += 1
        _DOERS[code](self, *operands)

    def _alarm_if(self, cut: bool) -> None:
        if cut and self._alarm_ns != NEVER:
            self._at = self._alarm_at
            self._alarm_ns = NEVER

    def _end(self) -> None:
        self._pins.delay(0, NEVER)
        self.ended = True

    def _fail(self) -> None:
        self.done = False

    def _delay(self, pause_ns: int) -> None:
        self._alarm_if(not self._pins.delay(pause_ns, self._alarm_ns))

    def _set(self, mask: int, levels: int) -> None:
        self._pins.set(mask, levels)

    def _flip(self, mask: int) -> None:
        self._pins.flip(mask)

    def _wait(self, mask: int, levels: int, limit_ns: int, otherwise: int) -> None:
        how = self._pins.wait(mask, levels, limit_ns, self._alarm_ns)
        if how == MISSED:
            self._at = otherwise
        self._alarm_if(how == CUT)

    def _jump(self, target: int) -> None:
        self._at = target

    def _rate(self, setup_ns: int, out_low_ns: int, out_high_ns: int, in_low_ns: int, in_high_ns: int) -> None:
        self._pins.rate(setup_ns, out_low_ns, out_high_ns, in_low_ns, in_high_ns)

    def _take_up(self, data: bytes) -> None:
        self._say = data
        self._said = 0

    def _out(self, count: int) -> None:
        value = self._say[self._said] if self._said < len(self._say) else 0
        self._said += 1
        self._alarm_if(not self._pins.clock_out(value, count, self._alarm_ns))

    def _more(self, target: int) -> None:
        if self._said < len(self._say):
            self._at = target

    def _in(self) -> None:
        value = self._pins.clock_in(self._alarm_ns)
        if value >= 0:
            self._heard.append(value)
        self._alarm_if(value < 0)

    def _clear(self) -> None:
        self._heard = bytearray()

    def _length(self, otherwise: int) -> None:
        heard = self._heard
        self._count = heard[-2] | heard[-1] << 8 if len(heard) > 1 else 0
        if not self._count:
            self._at = otherwise

    def _count_from(self, count: int) -> None:
        self._count = count

    def _again(self, target: int) -> None:
        self._count -= 1
        if self._count > 0:
            self._at = target

    def _timer(self, limit_ns: int) -> None:
        self._timer_ns = self._pins.now_ns() + limit_ns

    def _early(self, target: int) -> None:
        if self._pins.now_ns() < self._timer_ns:
            self._at = target

    def _note(self, before: int, behind: int) -> None:
        new = bytes(self._heard[before : len(self._heard) - behind])
        self._alike = self._alike + 1 if new == self._noted else 1
        self._noted = new

    def _settled(self, wanted: int, target: int) -> None:
        if self._alike >= wanted:
            self._at = target

    def _alarm(self, after_ns: int, target: int) -> None:
        self._alarm_ns = self._pins.now_ns() + after_ns
        self._alarm_at = target

    def _hand(self, kind: int, amount: int) -> None:
        needed = REMOVE if kind == INSERT else kind
        if kind < FRESH and self._pins.hands >> needed & 1:
            self._pins.hand(kind, amount)
        else:
            self.done = False


_DOERS = (
    Interpreter._end,
    Interpreter._fail,
    Interpreter._delay,
    Interpreter._set,
    Interpreter._flip,
    Interpreter._wait,
    Interpreter._jump,
    Interpreter._rate,
    Interpreter._take_up,
    Interpreter._out,
    Interpreter._more,
    Interpreter._in,
    Interpreter._clear,
    Interpreter._length,
    Interpreter._count_from,
    Interpreter._again,
    Interpreter._timer,
    Interpreter._early,
    Interpreter._note,
    Interpreter._settled,
    Interpreter._alarm,
    Interpreter._hand,
)
"""What carries out each instruction, in the order of `INSTRUCTIONS`."""
