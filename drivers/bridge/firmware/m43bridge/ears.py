"""What hears the lines on an RP2040 or RP2350: two PIO state machines, and DMA that keeps their words in two rings."""

import struct

from m43bridge.listening import Ears
from m43bridge.pio import LISTENING_HZ, TICK_CYCLES, clocks, edges

EDGE_WORDS, RUN_WORDS = 4096, 1024
"""Words that the rings hold, as powers of two: some 700 bytes of traffic."""

_CLOCKS, _EDGES = 4, 5
"""State machines: the first two of the second PIO block."""

_DREQ = 12
"""The request of the receive FIFO of the first of them (RP2040 datasheet, 2.5.3.1; the RP2350 numbers it alike)."""

_FDEBUG = 0x50300008
_STALLED = 3
"""Register of that block, and its flags of a push that found no room (RP2040 datasheet, 3.7)."""

_MOST = 0x0FFF_FFFF
"""Words until DMA stops by itself: what both chips can count."""

_RUNS_OUT = 1 << 20
"""How many of these are left when the rings begin anew; otherwise nobody would see that DMA has stopped."""

_SETTLE_US = 2
_TICKS = 1 << 30


class _Ring:
    """Words that DMA takes from a state machine.

    Args:
        rp2: MicroPython's module of that name.
        machine: the state machine.
        request: the number of the request by which it asks for DMA.
        words: how many it holds, a power of two.
    """

    def __init__(self, rp2, machine, request: int, words: int) -> None:  # type: ignore[no-untyped-def]
        self._words = words
        self._buffer = bytearray(8 * words)
        self._dma = rp2.DMA()
        self._dma.write = self._buffer
        # The ring wraps where its size divides the address, somewhere in the first half of the buffer.
        address = self._dma.write
        self._start = -address % (4 * words)
        size_bits = 2
        while 1 << size_bits < 4 * words:
            size_bits += 1
        ctrl = self._dma.pack_ctrl(
            size=2, inc_read=False, inc_write=True, ring_size=size_bits, ring_sel=True, treq_sel=request
        )
        self._dma.config(read=machine, write=address + self._start, count=_MOST, ctrl=ctrl, trigger=True)
        self._taken = 0

    @property
    def _written(self) -> int:
        return _MOST - int(self._dma.count)

    @property
    def runs_out(self) -> bool:
        """Whether DMA will soon stop by itself."""
        return self._written > _MOST - _RUNS_OUT

    def take(self) -> list[int] | None:
        """Return the words that are new, or None when some were written over."""
        begin, end = self._taken, self._written
        if end - begin > self._words:
            return None
        first = begin % self._words
        count = min(end - begin, self._words - first)
        words = self._read(first, count) + self._read(0, end - begin - count)
        if self._written - begin > self._words:
            return None
        self._taken = end
        return words

    def skip(self) -> tuple[int, int]:
        """Forget what is new; return how many words, and the last one."""
        skipped = self._written - self._taken
        self._taken += skipped
        return skipped, self._read((self._taken - 1) % self._words, 1)[0]

    def _read(self, first: int, count: int) -> list[int]:
        return list(struct.unpack_from("<%dI" % count, self._buffer, self._start + 4 * first))

    def close(self) -> None:
        """Stop the DMA."""
        self._dma.active(0)
        self._dma.close()


class PioEars(Ears):
    """Hears the lines, and drives none: only the mark, which nothing is connected to.

    Args:
        machine: MicroPython's module of that name.
        rp2: likewise.
        time: likewise.
        pins: which GPIO is which line.
    """

    tick_ns = TICK_CYCLES * 1_000_000_000 // LISTENING_HZ

    def __init__(self, machine, rp2, time, pins) -> None:  # type: ignore[no-untyped-def]
        self._memory = machine.mem32
        self._time = time
        self._pin = machine.Pin
        self._pins = pins
        self._rp2 = rp2
        self._clocks = rp2.StateMachine(_CLOCKS)
        self._edges = rp2.StateMachine(_EDGES)
        self._init_clocks()
        self._edges.init(edges, freq=LISTENING_HZ, in_base=self._pin(pins.BODY_ACK))
        self._edges.exec("set(x, 0)")
        self._edges.exec("mov(osr, invert(null))")
        self._heard = _Ring(rp2, self._edges, _DREQ + _EDGES - _CLOCKS, EDGE_WORDS)
        self._runs = _Ring(rp2, self._clocks, _DREQ, RUN_WORDS)
        self._memory[_FDEBUG] = _STALLED
        self._ticks: int = time.ticks_us()
        self._now_us = 0
        self._edges.active(1)
        self._clocks.active(1)

    def _init_clocks(self) -> None:
        pins = self._pins
        clk, data, mark = self._pin(pins.CLK), self._pin(pins.DATA), self._pin(pins.MARK)
        self._clocks.init(clocks, freq=LISTENING_HZ, in_base=data, jmp_pin=clk, sideset_base=mark)

    def now(self) -> int:
        """Return the time since listening began; it must be asked more often than the ticks go round."""
        ticks: int = self._time.ticks_us()
        self._now_us += (ticks - self._ticks) % _TICKS
        self._ticks = ticks
        return self._now_us * 1000 // self.tick_ns

    def take(self) -> tuple[list[int], list[int]] | None:
        """Return the words that are new; the mark falls behind the word of its run, so edges are taken first."""
        heard = self._heard.take()
        runs = self._runs.take()
        stalled = self._memory[_FDEBUG] & _STALLED
        if heard is None or runs is None or stalled or self._heard.runs_out:
            return None
        return heard, runs

    def recover(self) -> tuple[int, int]:
        """Begin anew with the clocks; the time and the words of the lines go on."""
        self._clocks.active(0)
        self._init_clocks()
        self._time.sleep_us(_SETTLE_US)
        lost, word = self._heard.skip()
        self._runs.close()
        self._runs = _Ring(self._rp2, self._clocks, _DREQ, RUN_WORDS)
        if self._heard.runs_out:
            self._heard.close()
            self._heard = _Ring(self._rp2, self._edges, _DREQ + _EDGES - _CLOCKS, EDGE_WORDS)
        self._memory[_FDEBUG] = _STALLED
        self._clocks.active(1)
        return lost, word

    def end(self) -> None:
        """Stop both state machines and their DMA; the mark is let go."""
        self._clocks.active(0)
        self._edges.active(0)
        self._heard.close()
        self._runs.close()
        self._pin(self._pins.MARK, self._pin.IN)
