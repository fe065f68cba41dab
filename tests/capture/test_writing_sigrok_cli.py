"""sigrok-cli reads what is written, and its own SPI decoder finds the bytes that this project's decoder finds.

That decoder counts clocks and knows no ack line. The session has no clock hold and no stray clock, so every eight
clocks from the first on are a byte, and the lines that say otherwise are not needed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from m43drivers.capture.writing import NOISES, channels_of, with_noise, write_capture
from m43proto.events import PinEvent, PinEventSeen, TransactionSeen
from m43proto.pins import LINES
from tests.capture.sessions import Session, simulated
from tests.capture.test_sigrok_cli import PROGRAM, sigrok
from tests.capture.writers import channel, packed
from tests.observing import of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from m43drivers.capture import Channel

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="sigrok-cli is not installed")

RATE = 24_000_000
INPUTS = {".sr": (), ".vcd": ("-I", f"vcd:downsample={1_000_000_000 // 25_000_000}")}


def bytes_of(session: Session) -> bytes:
    """Return every byte of a session, as this project's decoder sees it in the simulator's own changes."""
    unaligned = {PinEvent.CLOCK_HOLD, PinEvent.STRAY_CLOCK}
    assert not unaligned & {event.event for event in of(PinEventSeen, session.events)}
    return bytes(byte.value for one in of(TransactionSeen, session.events) for byte in one.wire)


def bytes_by_sigrok(path: Path, clk: str = "CLK", data: str = "DATA") -> bytes:
    """Return what sigrok's SPI decoder finds."""
    decoder = f"spi:clk={clk}:mosi={data}:cpol=1:cpha=1:bitorder=lsb-first"
    shown = sigrok("-i", path, *INPUTS[path.suffix], "-P", decoder, "-A", "spi=mosi-data").decode()
    return bytes.fromhex("".join(re.findall(r"^spi-1: ([0-9A-F]{2})$", shown, re.MULTILINE)))


@pytest.mark.parametrize("timings", [("bell_body", "bell_lens"), ("fast", "fast"), ("slow", "slow")])
@pytest.mark.parametrize("suffix", INPUTS)
def test_its_spi_decoder_finds_the_same_bytes(suffix: str, timings: tuple[str, str], tmp_path: Path) -> None:
    session = simulated(*timings)
    write_capture(tmp_path / f"a{suffix}", session.channels, session.end_ns)
    expected = bytes_of(session)
    assert len(expected) > 150
    assert bytes_by_sigrok(tmp_path / f"a{suffix}") == expected


def test_its_spi_decoder_finds_the_same_bytes_under_light_noise(tmp_path: Path) -> None:
    session = simulated()
    noisy = with_noise(session.channels, session.end_ns, NOISES["light"], 7)
    write_capture(tmp_path / "a.sr", noisy, session.end_ns)
    assert bytes_by_sigrok(tmp_path / "a.sr") == bytes_of(session)


def test_its_spi_decoder_reads_lines_without_names(tmp_path: Path) -> None:
    session = simulated()
    unnamed = channels_of(session.changes, names=[f"D{bit}" for bit in range(len(LINES))])
    write_capture(tmp_path / "a.sr", unnamed, session.end_ns)
    assert bytes_by_sigrok(tmp_path / "a.sr", "D0", "D1") == bytes_of(session)


def test_it_shows_rate_names_and_length(tmp_path: Path) -> None:
    session = simulated()
    write_capture(tmp_path / "a.sr", session.channels, session.end_ns)
    shown = sigrok("-i", tmp_path / "a.sr", "--show").decode()
    assert "Samplerate: 24000000" in shown
    assert f"Logic sample count: {session.end_ns * RATE // 10**9 + 1}" in shown
    assert re.findall(r"^- (\w+): logic$", shown, re.MULTILINE) == list(LINES)


NINE = [channel("CLK", 1, range(3_000, 600_000, 7_000)), *(channel(f"D{bit}", bit & 1, [bit + 9]) for bit in range(8))]


@pytest.mark.parametrize("channels", [NINE[:2], NINE], ids=["one byte", "two bytes"])
def test_it_reads_every_sample(channels: Sequence[Channel], tmp_path: Path) -> None:
    write_capture(tmp_path / "a.sr", channels, 700_000, rate_hz=1_000_000)
    instants = np.arange(701) * 1_000
    states = sum(
        np.uint64(1 << bit) * (one.initial ^ np.searchsorted(one.edges_ns, instants, "right") & 1).astype(np.uint64)
        for bit, one in enumerate(channels)
    )
    assert sigrok("-i", tmp_path / "a.sr", "-O", "binary") == packed(np.asarray(states), (len(channels) + 7) // 8)
