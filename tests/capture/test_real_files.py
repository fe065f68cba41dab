"""Real captures of other programs, where they are at hand: counts, rates and names that sigrok-cli gives for them."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from m43drivers.capture import open_capture
from m43drivers.capture.times import nearest, period_ns
from tests.capture.support import dump, edges, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from m43drivers.capture import Channel

SIGROK = "sigrok-dumps"
EMOUNT = ["BODY_VD_LENS", "VCC", "LENS_CS_BODY", "RXD", "TXD", "BODY_CS_LENS"]
BIT_NS = Fraction(10**9, 115_200)
MODES = ["0", "1", "MOSI", "MISO", "CLK", "CS#", "6", "7"]
PORTS = [f"{port}{bit}" for port in "AB" for bit in range(8)]
SMALL = {
    "lens_mounts/sony_emount/a6000_selp1650_init.sr": (6e6, 30_641_011, EMOUNT),
    "lens_mounts/sony_emount/a6000_sel55210_init_55.sr": (6e6, 15_768_289, EMOUNT),
    "spi/spi_atmega32/spi_atmega32_11.sr": (500e3, 1_000_000, list("01234567")),
    "spi/spi-count-lsb.sr": (400e3, 9_500, list("012")),
    "spi/allmodes/spi_0x5a6b7c8d9e_cpol0_cpha1_trigger_cs_falling_lsbfirst_ok.sr": (16e6, 1000, MODES),
    "spi/allmodes/spi_0x5a6b7c8d9e_cpol0_cpha1_trigger_none_incomplete.sr": (16e6, 1000, MODES),
    "spi/mx25l1605d/mx25l1605d_probe.sr": (25e6, 8_240_385, ["CS#", "MISO", "SCLK", "MOSI", "WP#", "HOLD#"]),
    "spi/mrf24j40/sensormote/mrf24j40-wake-tx-ack.sr": (
        16e6,
        320_000,
        ["nRESET", "INT", "SDI", "SCK", "SDO", "nCS", "VDD"],
    ),
    "spi/adxl345/adxl345_axis.sr": (2e6, 200_000, list("0123")),
    "onewire/owfs/owdir.sr": (1e6, 59_556, list("01234567")),
    "usb/hid/mouse/logitech_rx250/logitech_rx250_idle_12_5mhz.sr": (12.5e6, 8_388_608, ["David Prowse", "Demi Moore"]),
    "uart/unitsize/zp_a0_uart_a_115200_unitsize4.sr": (1e6, 999, PORTS),
    "sdcard/sd_mode/card_reader/unknown_card/cmd13_r1_2.sr": (125e6, 649, ["D0", "D1", "D2", "D3", "CMD", "CLK"]),
    "uart/counter/uart_count_19200_8n1.sr": (500e3, 189_065, ["tx", "rx", "ch"]),
}
LARGE = {
    "spi/enc28j60/enc28j60-init-and-ping.sr": (1e9, 1_017_531_342, ["CS", "MISO", "CLK", "MOSI"]),
    "spi/max3420e/datq1thd6b0/max3420e_left_pcb_unconnected.sr": (
        50e6,
        522_932_523,
        ["USB D-", "USB D+", "MOSI", "CLK", "CS#", "MISO"],
    ),
}


def check(path: Path, rate_hz: float, samples: int, names: list[str]) -> None:
    capture = open_capture(path)
    assert capture.sample_rate_hz == rate_hz
    assert capture.end_ns == nearest((samples - 1) * period_ns(Fraction(rate_hz)))
    assert [one.name for one in capture.channels][: len(names)] == names


@pytest.mark.parametrize("name", SMALL)
def test_a_real_session_has_the_known_rate_length_and_names(name: str) -> None:
    check(dump(f"{SIGROK}/{name}"), *SMALL[name])


@pytest.mark.parametrize("name", LARGE)
def test_a_real_session_of_giga_samples_has_the_known_rate_length_and_names(name: str) -> None:
    check(dump(f"{SIGROK}/{name}"), *LARGE[name])


def test_a_real_session_without_a_rate_asks_for_it() -> None:
    path = dump(f"{SIGROK}/misc/no-samplerate.sr")
    assert "give it with --rate (rate_hz)" in refused(path)
    capture = open_capture(path, rate_hz=1e6)
    assert capture.end_ns == 24_575_000
    assert [one.name for one in capture.channels][:3] == ["SCL", "SDA", "D2"]


def test_a_real_analog_session_is_refused() -> None:
    assert "analog channels only" in refused(dump(f"{SIGROK}/onewire/ds2408/read-pio-registers.sr"))


def test_a_real_dump_with_digits_as_identifiers_is_read() -> None:
    capture = open_capture(dump(f"{SIGROK}/spi/spiflash_read16/chronovu_la8/chronovu_la8_spiflash_read16.vcd"))
    assert [one.name for one in capture.channels] == [f"Channel_{number}" for number in range(8)]
    assert [one.edges_ns.size for one in capture.channels] == [0, 40, 0, 1280, 0, 0, 0, 8]
    assert capture.end_ns == 83_886_070
    assert capture.channels[7].edges_ns[0] == 5_597_520


@pytest.mark.parametrize("other", ["cap1/digital_only/digital.csv", "cap1/all_isotimestamps/digital.csv"])
def test_the_exports_of_one_real_capture_agree_edge_for_edge(other: str) -> None:
    binary = open_capture(dump("saleae-logic2-automation/cap1/digital_bin"))
    table = open_capture(dump(f"saleae-logic2-automation/{other}"))
    assert [one.name for one in binary.channels] == [one.name for one in table.channels] == ["Channel 0", "Channel 1"]
    assert [one.edges_ns.size for one in binary.channels] == [925, 926]
    assert edges(binary.channels) == edges(table.channels)
    assert abs(binary.end_ns - table.end_ns) < 20


SESSIONS = {
    "cap1.sal": (50e6, ["Channel 0", "Channel 1"]),
    "cap2.sal": (100e6, ["Channel 2", "Channel 3"]),
    "cap3.sal": (100e6, ["Channel 4", "Channel 5"]),
    "cap4.sal": (20e6, [f"Channel {number}" for number in range(8)]),
    "large_async_capture.sal": (500e6, ["Channel 0"]),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_a_real_session_of_logic_2_has_the_known_rate_and_names(name: str) -> None:
    capture = open_capture(dump(f"saleae-logic2-automation/{name}"))
    assert (capture.sample_rate_hz, [one.name for one in capture.channels]) == SESSIONS[name]
    assert capture.provenance.format == "saleae-session"


def test_the_session_of_a_real_capture_agrees_with_its_exports_edge_for_edge() -> None:
    """The session goes on behind the end of the exports, by one edge."""
    session = open_capture(dump("saleae-logic2-automation/cap1.sal"))
    export = open_capture(dump("saleae-logic2-automation/cap1/digital_bin"))
    assert [one.initial for one in session.channels] == [one.initial for one in export.channels]
    for one, other in zip(session.channels, export.channels, strict=True):
        assert one.edges_ns[one.edges_ns <= export.end_ns].tolist() == other.edges_ns.tolist()
        assert one.edges_ns.size - other.edges_ns.size <= 1
    assert [one.edges_ns.size for one in session.channels] == [925, 927]


def uart_bytes(one: Channel, bit_ns: Fraction) -> Iterator[tuple[int, int]]:
    """Decode 8N1 from edges: the time of each start bit and the byte."""
    edges = one.edges_ns
    middles = np.array([nearest((2 * bit + 1) * bit_ns / 2) for bit in range(1, 10)])
    at = 0
    while at < edges.size:
        start = int(edges[at])
        level_at = np.searchsorted(edges, start + middles, "right").tolist()
        levels = [(one.initial ^ count) & 1 for count in level_at]
        yield start, sum(level << bit for bit, level in enumerate(levels[:8]))
        at = level_at[-1]


def test_the_uart_bytes_of_a_real_session_are_those_of_its_maker() -> None:
    path = dump("saleae-logic2-automation/large_async_capture/2_analyzers.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["name"] == "Async 1"]
    assert len(rows) == 28_434
    truth = [(Decimal(row["start_time"]), int(row["data"], 16)) for row in rows]
    (line,) = open_capture(dump("saleae-logic2-automation/large_async_capture.sal")).channels
    found = [(Decimal(start) / 10**9, value) for start, value in uart_bytes(line, BIT_NS)]
    assert found == truth


def test_a_real_session_of_dsview_has_the_known_rate_length_and_names() -> None:
    capture = open_capture(dump("other/dsview_protocol.demo.dsl"))
    assert (capture.sample_rate_hz, capture.end_ns) == (25e6, 131_071 * 40)
    assert [one.name for one in capture.channels][12:] == ["CLK", "CS#", "MOSI", "MISO"]
    assert capture.provenance.format == "dsview"


def test_a_real_session_of_the_logic_sniffer_is_read() -> None:
    capture = open_capture(dump("other/jawi_uart_8bit_2.ols"))
    assert (capture.sample_rate_hz, len(capture.channels)) == (1e6, 8)
    assert edges(capture.channels)[4][0] == 1
    assert capture.channels[4].edges_ns.tolist() == [10_991_000, 14_979_000]
    assert (capture.channels[2].edges_ns.size, capture.end_ns) == (38, 18_434_000)
