"""Real SPI captures, where they are at hand: every reader gives the bytes that sigrok-cli finds in the same file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from m43drivers.capture import open_stream
from m43drivers.capture.selecting import selected
from tests.capture.support import dump
from tests.capture.test_sigrok_cli import PROGRAM, sigrok

if TYPE_CHECKING:
    from pathlib import Path

SPI = "sigrok-dumps/spi"
ALL_MODES = f"{SPI}/allmodes/spi_0x5a6b7c8d9e_cpol0_cpha1_trigger"

# Channels of CLK, MOSI and CS; polarity and phase of the clock; which bit comes first.
SMALL = {
    f"{SPI}/adxl345/adxl345_axis.sr": ("0", "2", "3", 1, 1, "msb"),
    f"{SPI}/spi-count-lsb.sr": ("0", "2", None, 0, 0, "lsb"),
    f"{SPI}/mx25l1605d/mx25l1605d_probe.sr": ("SCLK", "MOSI", "CS#", 0, 0, "msb"),
    f"{SPI}/mrf24j40/sensormote/mrf24j40-wake-tx-ack.sr": ("SCK", "SDI", "nCS", 0, 0, "msb"),
    f"{ALL_MODES}_cs_falling_lsbfirst_ok.sr": ("CLK", "MOSI", "CS#", 0, 1, "lsb"),
    f"{ALL_MODES}_none_incomplete.sr": ("CLK", "MOSI", "CS#", 0, 1, "msb"),
    f"{SPI}/spi_atmega32/spi_atmega32_11.sr": ("2", "0", None, 1, 1, "msb"),
    f"{SPI}/spiflash_read16/chronovu_la8/chronovu_la8_spiflash_read16.vcd": (
        "Channel_3",
        "Channel_1",
        "Channel_7",
        0,
        0,
        "msb",
    ),
}
# Sigrok needs 10 s and more for each of these: their numbers of bytes are what it said once.
LARGE = {
    f"{SPI}/enc28j60/enc28j60-init-and-ping.sr": (("CLK", "MOSI", "CS", 0, 0, "msb"), 5776),
    f"{SPI}/max3420e/datq1thd6b0/max3420e_left_pcb_unconnected.sr": (("CLK", "MOSI", "CS#", 0, 0, "msb"), 2718),
}

Wiring = tuple[str, str, str | None, int, int, str]


def spi_bytes(path: Path, wiring: Wiring) -> bytes:
    """Decode MOSI by its definition: a bit at each active edge of the clock, a byte of eight; CS begins anew."""
    clk, mosi, select, polarity, phase, first = wiring
    wanted = {"CLK": clk, "MOSI": mosi} | ({"CS": select} if select else {})
    parts = [block.states for block in selected(open_stream(path), wanted).blocks(None)]
    states = np.concatenate(parts)
    active, levels = (0 if polarity ^ phase else 1), states & 1
    edge = np.append(False, (levels[1:] != levels[:-1]) & (levels[1:] == active))
    chosen = (states & 4 == 0) if select else np.ones(states.size, bool)
    begins = np.append(True, chosen[1:] != chosen[:-1])
    found, bits = bytearray(), list[int]()
    for begin, is_edge, is_chosen, state in zip(begins, edge, chosen, states.tolist(), strict=True):
        if begin:
            bits = []
        if is_edge and is_chosen:
            bits.append(state >> 1 & 1)
        if len(bits) == 8:
            ordered = bits if first == "lsb" else bits[::-1]
            found.append(sum(bit << place for place, bit in enumerate(ordered)))
            bits = []
    return bytes(found)


@pytest.mark.skipif(PROGRAM is None, reason="sigrok-cli is not installed")
@pytest.mark.parametrize("name", SMALL)
def test_the_bytes_of_a_real_capture_are_those_that_sigrok_finds(name: str) -> None:
    path, (clk, mosi, select, polarity, phase, first) = dump(name), SMALL[name]
    decoder = f"spi:clk={clk}:mosi={mosi}:cpol={polarity}:cpha={phase}:bitorder={first}-first"
    theirs = sigrok("-i", path, "-P", decoder + (f":cs={select}" if select else ""), "-B", "spi=mosi")
    assert len(theirs) >= 5
    assert spi_bytes(path, SMALL[name]) == theirs


@pytest.mark.parametrize("name", LARGE)
def test_a_real_capture_of_giga_samples_has_as_many_bytes_as_sigrok_finds(name: str) -> None:
    wiring, count = LARGE[name]
    assert len(spi_bytes(dump(name), wiring)) == count
