# mypy: ignore-errors
# ruff: noqa: F821
"""The handshake of the contacts as one PIO program, and two programs that only listen.

`handshake`: command, hand-over, sums, blocks and the work of shape complete.

A state machine at 4 MHz, 250 ns a cycle, takes orders from its FIFO and carries each out edge by edge
(specs/2-link.md).
An order is one word: the number of bytes less one, and what to do in bits 16 and 17:

* SPEAK: raise BODY_ACK, wait for LENS_ACK, clock out the bytes, which follow in the FIFO, one a word, each acknowledged
  by the lens; then let go of DATA and drop BODY_ACK: the hand-over. A command, or a block.
* WORK: the same without bytes: the lens keeps LENS_ACK high while it works. The wake pulse has the same edges.
* LISTEN: take bytes of the lens, each in a turn of its own: sums, length, data, status. They come back in the upper
  eight bits of a word each.

It fills all 32 places of a PIO block. No `wait` of PIO ends by itself; whoever feeds it watches, and starts it anew.

Pins, from `in_base` = `out_base` = `set_base`: DATA, BODY_ACK, LENS_ACK, side by side; CLK is the side-set pin.

`clocks` and `edges` listen, side by side in another PIO block, and fill it. Both give words for `m43bridge.listening`;
neither drives a line of the mount. `clocks` drives the mark, a GPIO with nothing at it that `edges` samples, too: it is
high from the first fall of CLK to the end of a run of clocks. So times and order of all stand in the words of `edges`.
"""

import rp2

FREQUENCY_HZ = 4_000_000

LISTEN = 0 << 16
WORK = 1 << 16
SPEAK = 2 << 16

LISTENING_HZ = 100_000_000
"""Frequency of the programs that listen: 10 ns a cycle."""

TICK_CYCLES = 20
"""Cycles of a turn of `edges`: the tick in which it counts time."""


@rp2.asm_pio(
    out_init=(rp2.PIO.IN_LOW,),
    set_init=(rp2.PIO.IN_LOW, rp2.PIO.OUT_LOW),
    sideset_init=(rp2.PIO.OUT_HIGH,),
    in_shiftdir=rp2.PIO.SHIFT_RIGHT,
    out_shiftdir=rp2.PIO.SHIFT_RIGHT,
)
def handshake():
    """Carry out orders.

    Times, from the edge that a `wait` sees: LENS_ACK up to CLK down 12 us, to BODY_ACK up 8 us; LENS_ACK down to
    BODY_ACK down in the hand-over 8.5 us; last CLK up to BODY_ACK down 8 us; CLK 500 kHz, DATA 250 ns behind its fall.
    """
    wrap_target()
    label("order")
    pull(block).side(1)
    out(y, 16).side(1)
    out(x, 2).side(1)
    jmp(x_dec, "speak").side(1)

    label("listen")
    wait(1, pin, 2).side(1)[15]
    nop().side(1)[15]
    set(pins, 2).side(1)[11]
    set(x, 7).side(1)[3]
    label("in_bit")
    nop().side(0)[3]
    in_(pins, 1).side(1)[2]
    jmp(x_dec, "in_bit").side(1)
    push(block).side(1)[15]
    nop().side(1)[11]
    set(pins, 0).side(1)
    wait(0, pin, 2).side(1)
    jmp(y_dec, "listen").side(1)
    jmp("order").side(1)

    label("speak")
    set(pins, 2).side(1)
    label("more")
    wait(1, pin, 2).side(1)[15]
    jmp(not_x, "taken").side(1)
    pull(block).side(1)[15]
    set(pindirs, 3).side(1)[10]
    set(x, 7).side(1)
    label("out_bit")
    nop().side(1)[2]
    nop().side(0)
    out(pins, 1).side(0)[2]
    jmp(x_dec, "out_bit").side(1)
    label("taken")
    wait(0, pin, 2).side(1)
    jmp(y_dec, "more").side(1)
    set(pindirs, 2).side(1)[15]
    nop().side(1)[15]
    set(pins, 0).side(1)
    wrap()


@rp2.asm_pio(
    sideset_init=(rp2.PIO.OUT_LOW,),
    in_shiftdir=rp2.PIO.SHIFT_RIGHT,
)
def clocks():
    """Take DATA at each rise of CLK; give a word for each run of clocks, and keep the mark high through it.

    A run ends with its eighth clock, with a clock whose low time was longer than 2.6 us, or when CLK stays high for so
    long. A word holds a 1, and behind it the bits, the last one highest; a run that ended because CLK rests has eight
    zeros behind those. The mark stays low for 21 cycles at least, so `edges` sees it.

    Pins, from `in_base`: DATA, two more, CLK. `jmp_pin`: CLK. The side-set pin is the mark.
    """
    wrap_target()
    wait(0, pin, 3).side(0)[4]
    set(y, 7).side(1)
    in_(y, 1).side(1)
    label("low")
    set(x, 31).side(1)
    label("is_low")
    jmp(pin, "rose").side(1)[3]
    jmp(x_dec, "is_low").side(1)[3]
    wait(1, pin, 3).side(1)
    set(y, 0).side(1)
    label("rose")
    in_(pins, 1).side(1)
    jmp(y_dec, "more").side(1)
    label("done")
    push(noblock).side(0)[15]
    wrap()
    label("more")
    set(x, 31).side(1)
    label("is_high")
    jmp(pin, "stays").side(1)[3]
    jmp("low").side(1)
    label("stays")
    jmp(x_dec, "is_high").side(1)[3]
    in_(null, 8).side(1)
    jmp("done").side(1)


@rp2.asm_pio(
    in_shiftdir=rp2.PIO.SHIFT_RIGHT,
)
def edges():
    """Sample the lines and the mark every 20 cycles; give a word for each sample that differs from the one before.

    The lowest seven bits of a word are BODY_ACK, LENS_ACK, SLEEP, FOCUS, SHUTTER, the pin behind it, and the mark; the
    rest counts down, one a sample. x holds the lines of the sample before, osr the count: whoever starts it sets both.

    Pins, from `in_base`: BODY_ACK, LENS_ACK, one that is left out, SLEEP, FOCUS, SHUTTER, one of no meaning, the mark.
    """
    wrap_target()
    mov(isr, pins)
    in_(null, 3)
    mov(y, isr)
    mov(isr, null)
    in_(pins, 2)
    in_(y, 5)
    mov(y, isr)
    jmp(x_not_y, "changed")
    jmp("next")[2]
    label("changed")
    mov(x, y)
    in_(osr, 25)
    push(noblock)
    label("next")
    mov(y, osr)
    jmp(y_dec, "keep")
    label("keep")
    mov(osr, y)[6]
    wrap()
