"""What a bridge that listens tells -> changes of the lines and holes, on its own ticks.

Pure: messages in, pieces and notices out. Measured are all edges of BODY_ACK, LENS_ACK, SLEEP, FOCUS and SHUTTER, the
first fall and the last rise of CLK in each run of up to eight clocks, and the bits. The other edges of CLK, and those
of DATA, are *reconstructed*: evenly between the two, DATA at the falls.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.analyser.model import Notice, NoticeKind, Piece
from m43drivers.bridge.probe import number_at
from m43drivers.capture.stream import Block
from m43proto.errors import DecodeError
from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import LINES, Line

if TYPE_CHECKING:
    from m43drivers.bridge.protocol import Heard

__all__ = ["LONGEST_RUN", "HeardDecoder"]

LONGEST_RUN = 500
"""Ticks after which a run of clocks whose end is not known yet holds up nothing any more."""

_CLK, _DATA = Line.CLK.mask, Line.DATA.mask
_CLOCKED = _CLK | _DATA
_LINES = (1 << len(LINES)) - 1
_BYTE, _FALL, _OTHER = 0, 1, 7
_RUN = 0x80


@lru_cache(maxsize=1 << 15)
def _figure(count: int, bits: int, length: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw a run of clocks: ticks behind its first fall, and CLK and DATA from then on.

    A run that is too short for its edges gets longer, a tick for each: a clock of more than 2.5 MHz.
    """
    phases = 2 * count - 1
    length = max(length, phases)
    ticks = tuple(length * phase // phases for phase in range(phases + 1))
    levels = tuple(_CLK * (phase % 2) | _DATA * (bits >> phase // 2 & 1) for phase in range(phases + 1))
    return ticks, levels


class HeardDecoder:
    """Takes the messages of one listening in their order.

    Attributes:
        position: the first tick that nothing was said of yet.
    """

    def __init__(self) -> None:
        self.position = 0
        self._number = 0
        self._t = 0
        self._levels = _CLK
        self._before = _CLK
        self._fell: int | None = None
        self._late = False
        self._held: list[tuple[int, int]] = []
        self._held_from = 0
        self._ticks: list[int] = []
        self._states: list[int] = []
        self._row(0, _CLK)

    def take(self, message: Heard) -> list[Piece | Notice]:
        """Take a message; return what it tells.

        Raises:
            DecodeError: its events are not coded as they should be.
        """
        items: list[Piece | Notice] = []
        missed = message.number != self._number
        self._number = message.number + 1 & 0xFFFF_FFFF
        if message.lost or (missed and message.t >= self.position):
            items += self._hole(message)
        self._t = message.t
        try:
            self._events(message.coded)
        except IndexError:
            raise DecodeError("the last event is cut off", data=message.coded) from None
        if self._fell is not None and message.until - self._fell > LONGEST_RUN:
            self._let_run_be_late()
        known = self._fell + 1 if self._fell is not None and not self._late else message.until
        return items + self._piece(known)

    def finish(self) -> list[Piece | Notice]:
        """Return what is held because a run of clocks has not ended."""
        if self._fell is not None and not self._late:
            self._let_run_be_late()
        return self._piece(self.position)

    def _hole(self, message: Heard) -> list[Piece | Notice]:
        items = self.finish()
        until = max(message.t, self.position)
        kind, text = (
            (NoticeKind.OVERFLOW, f"the bridge did not keep up: it lost {message.lost} words of what it heard")
            if message.lost
            else (NoticeKind.DAMAGE, "what the bridge told did not come whole")
        )
        items.append(Notice(kind, self.position, until, True, text))
        self.position = until
        self._fell, self._late = (None, False) if message.levels & _CLK else (until, True)
        self._levels = message.levels & _LINES
        self._held_from = self._levels & ~_CLOCKED
        self._row(until, self._levels)
        return items

    def _piece(self, known: int) -> list[Piece | Notice]:
        """Return the rows so far as a piece that speaks of all before a tick."""
        end = max([known - 1, *self._ticks[-1:]])
        if end < self.position:
            return []
        ticks, states = np.array(self._ticks, np.int64), np.array(self._states, np.uint8)
        piece = Piece(self.position, self._before, Block(ticks, states, end))
        self.position = end + 1
        if self._states:
            self._before = self._states[-1]
        self._ticks, self._states = [], []
        return [piece]

    def _row(self, tick: int, levels: int) -> None:
        """Put a row down; what changes at one tick is one row, and rows never go back."""
        if self._ticks and tick <= self._ticks[-1]:
            if tick == self._ticks[-1]:
                self._states[-1] = levels
                return
            tick = self._ticks[-1] + 1
        self._ticks.append(max(tick, self.position))
        self._states.append(levels)

    # events

    def _events(self, coded: bytes) -> None:
        at = 0
        while at < len(coded):
            value, at = number_at(coded, at)
            self._t += value >> 3
            what = value & 7
            if what == _BYTE:
                length, at = number_at(coded, at)
                self._byte(length, coded[at])
                at += 1
            elif what == _FALL:
                self._fell = self._t
                self._levels &= ~_CLK
                self._held_from = self._levels & ~_CLOCKED
                self._row(self._t, self._levels)
            elif what != _OTHER:
                self._line(self._levels ^ 1 << what)
            elif coded[at] & _RUN:
                count, bits = coded[at] & ~_RUN, coded[at + 1]
                ago, at = number_at(coded, at + 2)
                length, at = number_at(coded, at)
                if not 1 <= count <= BITS_PER_BYTE:
                    raise DecodeError(f"a run of {count} clocks", data=coded)
                self._run(count, bits, self._t - ago, length)
            else:
                self._line(self._levels & _CLOCKED | coded[at] & ~_CLOCKED)
                at += 1

    def _byte(self, length: int, value: int) -> None:
        """A whole byte, with nothing else between."""
        offsets, clocked = _figure(BITS_PER_BYTE, value, length)
        rest = self._levels & ~_CLOCKED
        first = self._t
        self._row(first, rest | clocked[0])
        first = self._ticks[-1]
        self._ticks += [first + offset for offset in offsets[1:]]
        self._states += [rest | levels for levels in clocked[1:]]
        self._levels = rest | clocked[-1]
        self._t += length

    def _line(self, levels: int) -> None:
        self._levels = levels
        if self._fell is not None and not self._late:
            self._held.append((self._t, levels & ~_CLOCKED))
            return
        self._held_from = levels & ~_CLOCKED
        self._row(self._t, levels)

    def _run(self, count: int, bits: int, last: int, length: int) -> None:
        """The end of a run that was told before: its clocks go between what happened meanwhile."""
        offsets, clocked = _figure(count, bits, length)
        first = last - length
        edges = [(first + offset, levels) for offset, levels in zip(offsets[1:], clocked[1:], strict=True)]
        if offsets[1] > 1 and not self._late:
            edges.insert(0, (first + 1, clocked[0]))
        lines, clock = self._held_from, self._levels & _DATA
        others = [(t, lines_then, None) for t, lines_then in self._held]
        for t, lines_then, clock_then in sorted(
            [*others, *((t, None, levels) for t, levels in edges)], key=lambda edge: edge[0]
        ):
            lines = lines if lines_then is None else lines_then
            clock = clock if clock_then is None else clock_then
            self._row(t, lines | clock)
        self._levels = lines | clock
        self._fell, self._late, self._held = None, False, []

    def _let_run_be_late(self) -> None:
        """Tell what was held; the clocks of the run come when they are known."""
        for t, lines in self._held:
            self._row(t, lines | self._levels & _CLOCKED)
        self._late, self._held = True, []
        self._held_from = self._levels & ~_CLOCKED
