"""A bridge that only listens: what its state machines hear at the contacts becomes a stream for the host.

Two PIO programs (`m43bridge.pio`) give two streams of words. `edges` samples all lines but CLK and DATA, and a line of
the bridge's own, the mark, which `clocks` keeps high from the first fall of CLK to the end of a run of clocks; so the
order and the times of all stand in one stream. `clocks` gives the bits of each run. `Listening` joins them again, and
codes them as specs/11-bridge-link.md, section 11.7, says. Times are ticks of `Ears.tick_ns`.
"""

import struct

HEARD = 0x44

TIME_BITS = 25
TIME_MASK = (1 << TIME_BITS) - 1

SLACK = 500
"""Ticks by which the clock of the CPU may be ahead of that of the state machine: they do not start at once."""

LONGEST_SILENCE = TIME_MASK // 2
"""Ticks between two looks at the words, beyond which nobody could tell how often their time has gone round."""

LONGEST_RUN = 500
"""Ticks beyond which a run of clocks is told of before its end."""

TIMED_OUT = 13
"""Ticks from the last rise of CLK to the end of a run that ends because CLK rests."""

_FULL = 200
_QUIET_US = 50_000

_CLK, _DATA, _LINES = 1, 2, 0x7C
_MARK = 0x40
_EIGHT = 1 << 23
_BYTE, _FALL, _OTHER = 0, 1, 7
_RUN = 0x80
_NUMBERS = {4: 2, 8: 3, 16: 4, 32: 5, 64: 6}


class Ears:
    """What hears the lines.

    Attributes:
        tick_ns: the unit of all times.
        pause_us: how long to wait between two looks.
    """

    tick_ns = 200
    pause_us = 5_000

    def now(self) -> int:
        """Return the time since listening began."""
        raise NotImplementedError

    def take(self) -> tuple[list[int], list[int]] | None:
        """Return the words of `edges` and of `clocks` since it was asked last, or None when some are lost.

        The runs that end in the one are all in the other.
        """
        raise NotImplementedError

    def recover(self) -> tuple[int, int]:
        """Forget what is held, and hear anew; return how many words of `edges` are lost, and the last of them."""
        raise NotImplementedError

    def end(self) -> None:
        """Hear no more."""
        raise NotImplementedError


class Listening:
    """Codes what ears hear.

    Args:
        ears: what hears.
        tell: takes kind and payload of what the host is to be told; there is room for it.
    """

    def __init__(self, ears: Ears, tell) -> None:  # type: ignore[no-untyped-def]
        self.ears = ears
        self._tell = tell
        self._number = 0
        self._lost = 0
        self._t = 0
        self._until = 0
        self._told_until = 0
        self._sure = 0
        self._from = 0
        self._levels = _CLK
        self._fell = -1
        self._first = 0
        self._open = False
        self._runs: list[int] = []
        self._begin_message()

    def work(self) -> None:
        """Take what was heard; tell it, unless it is little and new."""
        now = self.ears.now()
        words = self.ears.take() if now - self._sure <= LONGEST_SILENCE else None
        if words is None or not self._put_all(words[0], words[1]):
            self._recover(now)
            return
        self._sure = max(self._sure, now - SLACK)
        if self._sure < self._from:
            return
        self._until = max(self._until, self._t, self._sure)
        if self._fell >= 0 and self._until - self._fell > LONGEST_RUN:
            self._put_fall()
        if (self._until - self._told_until) * self.ears.tick_ns >= _QUIET_US * 1000:
            self.flush()

    @property
    def _known_until(self) -> int:
        """The time before which all is coded: a run whose end is not known yet may not be."""
        return self._fell if self._fell >= 0 else self._until

    def flush(self) -> None:
        """Tell what is coded."""
        t, levels = self._base
        head = struct.pack("<IIQBQ", self._number, self._lost, t, levels, self._known_until)
        self._tell(HEARD, head + bytes(self._message))
        self._number = (self._number + 1) & 0xFFFF_FFFF
        self._told_until = self._until
        self._lost = 0
        self._begin_message()

    def _begin_message(self) -> None:
        self._message = bytearray()
        self._base = (self._t, self._levels & ~_CLK if self._open else self._levels)

    def _recover(self, now: int) -> None:
        """Tell what is sure, and go on behind what is lost.

        Words that come from before all is known again are not told, but their levels count.
        """
        self._put_fall()
        self._until = max(self._until, self._t)
        self.flush()
        lost, word = self.ears.recover()
        self._lost += max(lost, 1)
        self._sure = max(self._sure, now - SLACK)
        self._t = self._until = self._from = max(self._until, self.ears.now())
        self._levels = self._levels & _DATA | _CLK | (word & 0x1F) << 2
        self._fell = -1
        self._open = False
        self._runs = []
        self._begin_message()

    def _put_all(self, edges, runs) -> bool:  # type: ignore[no-untyped-def]
        """Code words; return False when the two streams do not belong together."""
        self._runs.extend(runs)
        for word in edges:
            t = self._sure + ((~(word >> 7) - self._sure) & TIME_MASK)
            self._sure = t
            marked = word & _MARK
            if t < self._from:
                if not self._put_early(word, marked):
                    return False
                continue
            if not marked and (self._open or self._fell >= 0) and not self._end_run(t):
                return False
            lines = (word & 0x1F) << 2
            if lines != self._levels & _LINES:
                self._put_lines(t, lines)
            if marked and not self._open and self._fell < 0:
                self._fell = t
            if len(self._message) >= _FULL and self._fell < 0:
                self._until = t
                self.flush()
        return len(self._runs) <= 1

    def _put_early(self, word: int, marked: int) -> bool:
        """Take a word of which only the levels count; return False when the two streams do not belong together."""
        if not marked and self._open:
            if not self._runs:
                return False
            self._runs.pop(0)
        self._open = bool(marked)
        self._first = self._from
        self._levels = self._levels & ~_LINES | (word & 0x1F) << 2
        self._begin_message()
        return True

    def _put_lines(self, t: int, lines: int) -> None:
        self._put_fall()
        changed = self._levels & _LINES ^ lines
        self._levels = self._levels & ~_LINES | lines
        self._put(t, _NUMBERS.get(changed, _OTHER))
        if changed not in _NUMBERS:
            self._message.append(self._levels & ~_CLK if self._open else self._levels)

    def _put_fall(self) -> None:
        """Tell of a run before its end is known, because something else comes first."""
        if self._fell >= 0:
            self._first = self._fell
            self._put(self._fell, _FALL)
            self._fell = -1
            self._open = True

    def _end_run(self, t: int) -> bool:
        if not self._runs:
            return False
        word = self._runs.pop(0)
        if self._fell >= 0 and word & 0xFF_FFFF == _EIGHT:
            self._put(self._fell, _BYTE)
            self._put_number(t - self._fell)
            self._message.append(word >> 24)
            self._t = t
            self._fell = -1
            self._see_bit(word >> 31)
            return True
        self._put_fall()
        count, bits, ago = _run_of(word)
        if not 1 <= count <= 8:
            return False
        self._put(t, _OTHER)
        self._message.append(_RUN | count)
        self._message.append(bits)
        self._put_number(ago)
        self._put_number(max(t - ago - self._first, 0))
        self._open = False
        self._see_bit(bits >> count - 1)
        return True

    def _see_bit(self, bit: int) -> None:
        self._levels = self._levels & ~_DATA | (_DATA if bit else 0)

    def _put(self, t: int, what: int) -> None:
        self._put_number(t - self._t << 3 | what)
        self._t = t

    def _put_number(self, value: int) -> None:
        message = self._message
        while value > 0x7F:
            message.append(value & 0x7F | 0x80)
            value >>= 7
        message.append(value)


def _run_of(word: int) -> tuple[int, int, int]:
    """Return the number of clocks, their bits, the first one lowest, and how many ticks ago CLK rose last.

    The lowest bit that is set stands before the first clock; a run that ends because CLK rests has eight zeros behind.
    """
    place = 0
    while place < 31 and not word >> place & 1:
        place += 1
    end, ago = (32, 0) if place >= 23 else (24, TIMED_OUT)
    count = end - 1 - place
    return count, word >> place + 1 & (1 << count) - 1, ago
