"""A probe: programs of the host are carried out at the pins one behind the other, and every edge is told.

Programs and edges come in pieces: the host sends a program while there is room for it, and is told when each has ended.
Nothing goes on while the host leaves too much unread, as far as the pins can hold still; edges that the pins could not
keep meanwhile are told as lost.
"""

import struct

from m43bridge.probe import Interpreter, Program

EDGES, STEP_DONE = 0x42, 0x43

ROOM = 2048
"""Bytes of programs that it holds: read, they take many times as much of a board's memory."""

_BATCH = 32
"""Instructions between two looks at the host."""

_FULL = 200
"""Bytes of edges that make a message."""

_SEVERAL = 7
"""Stands in place of the number of a line when several have changed at once."""

_UNSURE = 0x80
"""Beside the lines, in the levels told last: edges were lost since, so the next one is told with all levels."""

_BIT_NUMBERS = {1 << line: line for line in range(_SEVERAL)}


class Probing:
    """A probe that goes on.

    Args:
        pins: where; see `m43bridge.probe.Pins`.
        tell: takes kind and payload of what the host is to be told; there is room for it.

    Attributes:
        room: how many bytes of programs it can take.
    """

    def __init__(self, pins, tell) -> None:  # type: ignore[no-untyped-def]
        self.room = ROOM
        self._pins = pins
        self._tell = tell
        self._waiting: list[Program] = []
        self._current: tuple[Interpreter, int, int] | None = None
        self._told = 0
        self._ended = 0
        pins.edges()
        pins.lost()
        self._levels: int = pins.levels
        self._t = self.now()
        self._begin_message(0)

    @property
    def busy(self) -> bool:
        """Whether there is something to carry out."""
        return self._current is not None or bool(self._waiting)

    def load(self, program: Program) -> None:
        """Put a program behind the others; there must be room for it."""
        self.room -= program.size
        self._waiting.append(program)

    def work(self) -> None:
        """Go on for a while."""
        for _ in range(_BATCH):
            if self._current is None:
                if not self._waiting:
                    return
                program = self._waiting.pop(0)
                self._current = (Interpreter(self._pins, program), program.size, self.now())
            interpreter, size, start = self._current
            interpreter.step()
            self._take_edges()
            if interpreter.ended:
                self._current = None
                self.room += size
                self._tell_end(interpreter.done, start)

    def _tell_end(self, done: bool, start: int) -> None:
        self._flush()
        self._say(STEP_DONE, struct.pack("<IIBQQ", self._told, self._ended, done, start, self.now()))
        self._ended += 1

    def now(self) -> int:
        """Return the time of the pins, in ticks."""
        now: int = self._pins.now_ns() // self._pins.tick_ns
        return now

    def rest(self) -> None:
        """Bring all lines to rest: the lens is switched off."""
        self._waiting = []
        self._current = None
        self._pins.set(0xFF, 1)
        self._pins.delay(0, -1)

    # edges

    def _take_edges(self) -> None:
        lost = self._pins.lost()
        if lost:
            self._flush()
            self._begin_message(lost)
            self._levels |= _UNSURE
        for t, levels in self._pins.edges():
            self._put(t, levels)
        if len(self._message) >= _FULL:
            self._flush()

    def _begin_message(self, lost: int) -> None:
        self._lost = lost
        self._base = (self._t, self._levels)
        self._message = bytearray()

    def _put(self, t: int, levels: int) -> None:
        changed = levels ^ self._levels
        if not changed:
            return
        line = _BIT_NUMBERS.get(changed, _SEVERAL)
        value = (t - self._t) << 3 | line
        message = self._message
        while value > 0x7F:
            message.append(value & 0x7F | 0x80)
            value >>= 7
        message.append(value)
        if line == _SEVERAL:
            message.append(levels)
        self._t = t
        self._levels = levels

    def _flush(self) -> None:
        if self._message or self._lost:
            t, levels = self._base
            payload = struct.pack("<IIQB", self._told, self._lost, t, levels) + bytes(self._message)
            self._say(EDGES, payload)
        self._begin_message(0)

    def _say(self, kind: int, payload: bytes) -> None:
        self._told = (self._told + 1) & 0xFFFF_FFFF
        self._tell(kind, payload)
