"""Drawn traffic as capture files of every readable format."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from m43drivers.capture import Channel
from tests.capture.writers import (
    raw_bytes,
    saleae_binary_files,
    saleae_csv_bytes,
    sigrok_bytes,
    vcd_bytes,
    write_files,
)
from tests.waveform import FOCUS, Script, Waveform

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDENTIFY = Script(bytes.fromhex("c1f90000"), "C", bytes.fromhex("0000021000004141413234333834310000000111"))
INITIALISE = Script(bytes.fromhex("b0f20000"), "B")
STATUS_DATA = bytes.fromhex("c2e10000000c4200b103000c0c00d2002f018c01ea014702a4025c034e02")
POLL = Script(bytes.fromhex("c1800106"), "C", STATUS_DATA)
BAD_POLL = Script(bytes.fromhex("c1800106"), "C", STATUS_DATA, command_sum=0x4C)
DRIVE = Script(bytes.fromhex("6080fe02"), "6", bytes.fromhex("01d703000000000000"))


def session(*extra: Script, seed: int = 7, frames: int = 6) -> Waveform:
    """Draw a power-up, a start-up, and some frames; `extra` transactions come at the end."""
    waveform = Waveform(random.Random(seed))
    waveform.power_up()
    for script in (INITIALISE, IDENTIFY):
        waveform.transaction(script)
        waveform.idle(1_000_000)
    waveform.clock_hold()
    waveform.wait(1_000_000)
    for frame in range(frames):
        waveform.frame_sync()
        waveform.transaction(POLL)
        if frame == 2:
            waveform.idle(40_000)
            waveform.transaction(DRIVE)
        waveform.idle(4_000_000)
        waveform.set(FOCUS, frame % 2 ^ 1)
        waveform.idle()
    for script in extra:
        waveform.transaction(script)
        waveform.idle()
    return waveform


def renamed(channels: tuple[Channel, ...], name: Callable[[int], str]) -> tuple[Channel, ...]:
    """Give channels the names that an analyser gives."""
    return tuple(Channel(name(number), channel.initial, channel.edges_ns) for number, channel in enumerate(channels))


RATE_HZ = 24_000_000

FORMATS: dict[str, Callable[[Path, tuple[Channel, ...], int], Path]] = {
    "sr": lambda folder, channels, end_ns: _written(folder / "capture.sr", sigrok_bytes(channels, end_ns, RATE_HZ)),
    "vcd": lambda folder, channels, end_ns: _written(folder / "capture.vcd", vcd_bytes(channels, end_ns)),
    "csv": lambda folder, channels, end_ns: _written(folder / "digital.csv", saleae_csv_bytes(channels, end_ns)),
    "bin": lambda folder, channels, end_ns: write_files(folder / "export", saleae_binary_files(channels, end_ns)),
    "raw": lambda folder, channels, end_ns: _written(folder / "samples.raw", raw_bytes(channels, end_ns, RATE_HZ)),
}
"""Writers by name: folder, channels and length in, path of the capture out."""


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def vcd(folder: Path, waveform: Waveform, name: str = "capture.vcd") -> Path:
    """Write drawn traffic as a VCD file with the right line names."""
    return _written(folder / name, vcd_bytes(waveform.channels(), waveform.now_ns))
