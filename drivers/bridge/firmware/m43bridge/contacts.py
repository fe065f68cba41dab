"""The contacts of the mount on an RP2040 or RP2350: a PIO state machine does the handshake, the CPU watches it.

Nothing is driven before the bridge is first asked to be a body, nor while it listens: a real body may be at the lines.
"""

from m43bridge import pins as board_pins
from m43bridge.bridge import BUSY, COMPLETE, LENGTH, LONGEST_BLOCK, NO_ANSWER, NONE, READ, SILENT, WRITE, Contacts
from m43bridge.ears import PioEars
from m43bridge.pio import FREQUENCY_HZ, LISTEN, SPEAK, WORK, handshake

SILENCE_US = 40_000
"""How long the lens may do nothing: short of 50 ms, so that a dead lens is told of within that."""

BUSY_US = 2_000_000
PULSE_US = 100_000
ATTENTION_US = 10_000
FIRST_COMMAND_US = 20_000
BLOCK_US = 250

_FIFO = 4
_SUM = 1
_LENGTH = 2
_TICKS = 1 << 30
_SETTLE_US = 50


class PioContacts(Contacts):
    """The contacts.

    Args:
        machine: MicroPython's module of that name.
        rp2: likewise.
        time: likewise.
        pins: which GPIO is which line.
    """

    def __init__(self, machine, rp2, time, pins=board_pins) -> None:  # type: ignore[no-untyped-def]
        self._modules = (machine, rp2, time)
        self._time = time
        self._pin = machine.Pin
        self._pins = pins
        self._ticks: int = time.ticks_us()
        self._now_us: int = self._ticks
        self._machine = rp2.StateMachine(0)
        self._let_go()

    def _let_go(self) -> None:
        """Drive no line."""
        self._drives = False
        self._machine.active(0)
        pins = self._pins
        for number in (pins.SLEEP, pins.FOCUS, pins.SHUTTER, pins.CLK, pins.BODY_ACK, pins.DATA, pins.LENS_ACK):
            self._input(number, up=False)

    def _drive(self) -> None:
        """Be the body: take the lines, at rest, unless they are taken."""
        if self._drives:
            return
        self._drives = True
        pins = self._pins
        self._focus_level = 0
        self._sleep = self._output(pins.SLEEP)
        self._focus = self._output(pins.FOCUS)
        self._shutter = self._output(pins.SHUTTER)
        self._outputs = (self._sleep, self._focus, self._shutter)
        self._lens_ack = self._input(pins.LENS_ACK, up=False)
        self._body_ack = self._pin(pins.BODY_ACK)
        self._clk = self._pin(pins.CLK)
        self._start()

    def _output(self, number: int):  # type: ignore[no-untyped-def]
        return self._pin(number, self._pin.OUT, value=0)

    def _input(self, number: int, up: bool):  # type: ignore[no-untyped-def]
        return self._pin(number, self._pin.IN, self._pin.PULL_UP if up else self._pin.PULL_DOWN)

    def _start(self) -> None:
        """Start the state machine from its beginning: FIFOs empty, DATA free, BODY_ACK low, CLK high."""
        data = self._pin(self._pins.DATA)
        self._machine.init(
            handshake,
            freq=FREQUENCY_HZ,
            in_base=data,
            out_base=data,
            set_base=data,
            sideset_base=self._clk,
        )
        self._machine.active(1)

    def now_us(self) -> int:
        """Return the time since the start; it must be asked more often than the ticks go round, every 17 minutes."""
        ticks: int = self._time.ticks_us()
        self._now_us += (ticks - self._ticks) % _TICKS
        self._ticks = ticks
        return self._now_us

    # what the bridge asks

    def power(self, on: bool) -> bool:
        """Raise SLEEP and see the wake pulse, or drop it; return whether the lens gave its wake pulse."""
        if not on and not self._drives:
            return False
        self._drive()
        if not on:
            self._sleep.value(0)
            self._start()
            return False
        self._sleep.value(1)
        self._time.sleep_us(ATTENTION_US)
        self._machine.put(WORK)
        self._time.sleep_us(_SETTLE_US)
        woke = self._see_pulse()
        if not woke:
            self._start()
        self._time.sleep_us(FIRST_COMMAND_US)
        return woke

    def _see_pulse(self) -> bool:
        """Wait until the state machine has dropped BODY_ACK behind the pulse; return False when there is none."""
        began_us = self.now_us()
        risen = False
        while self._body_ack.value():
            risen = risen or self._lens_ack.value()
            if self.now_us() - began_us > (PULSE_US if risen else SILENCE_US):
                return False
        return True

    def transact(self, command: bytes, shape: int, block: bytes) -> tuple[int, int, int, bytes]:
        """Carry out one transaction; a lens that is silent for 40 ms, or at work for 2 s, ends it."""
        self._drive()
        start_us = self.now_us()
        said = bytearray()
        broke_off = self._command(command, said) or self._follow(shape, block, said)
        if broke_off:
            self._start()
        return broke_off, start_us, self.now_us(), bytes(said)

    def shutter(self, level: int) -> None:
        """Set SHUTTER."""
        self._drive()
        self._shutter.value(level)

    def focus(self) -> None:
        """Change the level of FOCUS."""
        self._drive()
        self._focus_level ^= 1
        self._focus.value(self._focus_level)

    def listen(self) -> PioEars:
        """Let go of all lines, and return what hears them."""
        self._let_go()
        machine, rp2, time = self._modules
        return PioEars(machine, rp2, time, self._pins)

    # turns

    def _command(self, command: bytes, said: bytearray) -> int:
        if not self._lens_is_at_rest():
            return NO_ANSWER
        words = [SPEAK | len(command) - 1] + list(command) + [LISTEN]
        left = self._pump(words, _SUM, said)
        if left is None:
            return NONE
        return NO_ANSWER if left else SILENT

    def _lens_is_at_rest(self) -> bool:
        began_us = self.now_us()
        while self._lens_ack.value():
            if self.now_us() - began_us > SILENCE_US:
                return False
        return True

    def _follow(self, shape: int, block: bytes, said: bytearray) -> int:
        if shape == COMPLETE:
            return self._work(said)
        if shape == READ:
            return self._read(said)
        if shape == WRITE:
            self._time.sleep_us(BLOCK_US)
            size = len(block) + 1
            words = [SPEAK | len(block) + 1, size & 0xFF, size >> 8] + list(block) + [LISTEN]
            return NONE if self._pump(words, _SUM, said) is None else SILENT
        return NONE

    def _read(self, said: bytearray) -> int:
        if self._pump([LISTEN | _LENGTH - 1], _LENGTH, said) is not None:
            return SILENT
        size = said[-2] | said[-1] << 8
        if size == 0 or size + _LENGTH > LONGEST_BLOCK:
            return LENGTH
        return NONE if self._pump([LISTEN | size - 1], size, said) is None else SILENT

    def _work(self, said: bytearray) -> int:
        """Let the lens work; it is busy as long as both ack lines are high."""
        self._machine.put(WORK)
        self._machine.put(LISTEN)
        began_us = since_us = self.now_us()
        while not self._machine.rx_fifo():
            now_us = self.now_us()
            if self._lens_ack.value() and self._body_ack.value():
                since_us = now_us
                if now_us - began_us > BUSY_US:
                    return BUSY
            elif now_us - since_us > SILENCE_US:
                return SILENT
        said.append(self._machine.get() >> 24)
        return NONE

    def _pump(self, words: list[int], wanted: int, said: bytearray) -> int | None:
        """Feed the state machine and take what comes back.

        Args:
            words: orders, and the bytes that they speak.
            wanted: how many bytes the lens is to say.
            said: takes them.

        Returns:
            None when all is done, or how many words the state machine had no room for when the lens fell silent.
        """
        machine = self._machine
        fed = 0
        since_us = self.now_us()
        while wanted:
            if fed < len(words) and machine.tx_fifo() < _FIFO:
                machine.put(words[fed])
                fed += 1
            elif machine.rx_fifo():
                said.append(machine.get() >> 24)
                wanted -= 1
            elif self.now_us() - since_us > SILENCE_US:
                return len(words) - fed
            else:
                continue
            since_us = self.now_us()
        return None

    # the bridge itself

    def self_test(self) -> tuple[int, str]:
        """Play the lens with the board's own pull resistors, with nothing at the contacts.

        Returns:
            0, or the number of the step that failed, and one line for a person.
        """
        self._drive()
        failed = self._outputs_follow() or self._inputs_follow() or self._plays(0) or self._plays(1)
        for output in self._outputs:
            output.value(0)
        self._input(self._pins.LENS_ACK, up=False)
        self._input(self._pins.DATA, up=False)
        self._start()
        return failed or (0, "passed")

    def _outputs_follow(self) -> tuple[int, str] | None:
        for output in self._outputs:
            for level in (1, 0):
                output.value(level)
                if output.value() != level:
                    return 1, "SLEEP, FOCUS or SHUTTER does not take its level: is it shorted?"
        return None

    def _inputs_follow(self) -> tuple[int, str] | None:
        for number, name in ((self._pins.LENS_ACK, "LENS_ACK"), (self._pins.DATA, "DATA")):
            for level in (1, 0):
                pin = self._input(number, up=bool(level))
                self._time.sleep_us(_SETTLE_US)
                if pin.value() != level:
                    return 2, "%s does not follow the board's own resistor: is something connected?" % name
        return None

    def _plays(self, level: int) -> tuple[int, str] | None:
        """Say one byte to the state machine's lens, which the resistors play, and hear one of eight equal bits."""
        self._input(self._pins.DATA, up=bool(level))
        self._pull(0)
        self._start()
        machine = self._machine
        if self._body_ack.value() or not self._clk.value():
            return 3, "BODY_ACK is not low, or CLK not high, at rest"
        for word in (SPEAK, 0x55, LISTEN):
            machine.put(word)
        for turn in ("speaks", "listens"):
            if turn == "speaks":
                self._time.sleep_us(_SETTLE_US)
                if not self._body_ack.value():
                    return 4, "BODY_ACK does not rise when the bridge %s" % turn
            self._pull(1)
            self._time.sleep_us(_SETTLE_US)
            self._pull(0)
            if self._body_ack.value():
                return 5, "BODY_ACK does not fall when the bridge %s" % turn
        if machine.rx_fifo() != 1 or machine.get() >> 24 != 0xFF * level:
            return 6, "DATA does not read as %d" % level
        return None

    def _pull(self, level: int) -> None:
        """Let the resistor of LENS_ACK play the lens, and time pass."""
        self._input(self._pins.LENS_ACK, up=bool(level))
        self._time.sleep_us(_SETTLE_US)
