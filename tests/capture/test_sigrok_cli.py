"""Cross-checks against sigrok-cli, where it is installed: each reads what the other wrote."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from m43drivers.capture import open_capture
from tests.capture.support import edges, plain
from tests.capture.writers import channel, on_grid, packed, raw_bytes, samples_of, sigrok_bytes, vcd_bytes

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = shutil.which("sigrok-cli")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="sigrok-cli is not installed")

RATE = 1_000_000
END_NS = 700_000
CHANNELS = [
    channel("CLK", 1, range(3000, 600_000, 7000)),
    channel("DATA", 0, [5000, 11_000, 500_000]),
    channel("ACK", 1, []),
]


def sigrok(*arguments: str | Path) -> bytes:
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=30).stdout


def test_a_session_that_sigrok_made_of_raw_samples_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(raw_bytes(CHANNELS, END_NS, RATE))
    options = f"binary:numchannels=3:samplerate={RATE}"
    sigrok("-i", tmp_path / "a.raw", "-I", options, "-O", "srzip", "-o", tmp_path / "a.sr")
    capture = open_capture(tmp_path / "a.sr")
    assert edges(capture.channels) == edges(CHANNELS)
    assert (capture.end_ns, capture.sample_rate_hz) == (END_NS, RATE)


def test_a_session_that_sigrok_made_of_a_dump_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.vcd").write_bytes(vcd_bytes(CHANNELS, END_NS, timescale="1 us"))
    sigrok("-i", tmp_path / "a.vcd", "-I", "vcd", "-O", "srzip", "-o", tmp_path / "a.sr")
    capture = open_capture(tmp_path / "a.sr")
    assert capture.sample_rate_hz == RATE
    # sigrok ends a dump at its last time stamp or one sample before, as its release goes.
    assert capture.end_ns in (END_NS - 1000, END_NS)
    assert edges(capture.channels) == edges(CHANNELS)
    # Some releases put the scope before the name.
    assert [one.name.rpartition(".")[2] for one in capture.channels] == ["CLK", "DATA", "ACK"]


def test_a_dump_that_sigrok_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.sr").write_bytes(sigrok_bytes(CHANNELS, END_NS, RATE))
    (tmp_path / "a.vcd").write_bytes(sigrok("-i", tmp_path / "a.sr", "-O", "vcd"))
    capture = open_capture(tmp_path / "a.vcd")
    assert plain(capture.channels) == plain(CHANNELS)


def test_sigrok_reads_the_session_of_our_writer(tmp_path: Path) -> None:
    rate = 24_000_000
    (tmp_path / "a.sr").write_bytes(sigrok_bytes(CHANNELS, END_NS, rate, chunk=5000))
    assert sigrok("-i", tmp_path / "a.sr", "-O", "binary") == packed(samples_of(CHANNELS, END_NS, rate), 1)
    shown = sigrok("-i", tmp_path / "a.sr", "--show").decode()
    assert "24000000" in shown
    assert all(one.name in shown for one in CHANNELS)
    assert plain(open_capture(tmp_path / "a.sr").channels) == plain(on_grid(CHANNELS, rate))
