"""DSView sessions ``.dsl`` of version 3: a zip of a ``header`` key file and a folder of packed bits per line.

The note is a key that DSView does not look for. Whether DSView itself opens such a file was not tried.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.dsview import BLOCK_SAMPLES, HEADER
from m43drivers.capture.writing.sigrok import add_entry

if TYPE_CHECKING:
    from pathlib import Path

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["write"]

PIECE_SAMPLES = 1 << 18
UNITS = (1, 2, 4, 8)


def write(target: Path, samples: Samples, note: str) -> None:
    """Write a session."""
    unit = next(unit for unit in UNITS if len(samples.names) <= 8 * unit)
    bits = [bytearray() for _ in samples.names]
    count = blocks = 0
    with zipfile.ZipFile(target, "x") as archive:
        for piece in samples.pieces(unit, PIECE_SAMPLES):
            states = np.frombuffer(piece, f"<u{unit}")
            for bit, packed in enumerate(bits):
                high = (states & states.dtype.type(1 << bit)) != 0
                packed += np.packbits(high, bitorder="little").tobytes()
            count += states.size
            if not count % BLOCK_SAMPLES:
                _add(archive, blocks, bits)
                blocks += 1
        if bits[0]:
            _add(archive, blocks, bits)
            blocks += 1
        add_entry(archive, HEADER, _header(samples, count, blocks, note).encode())
        add_entry(archive, "decoders", b"[]")
        add_entry(archive, "session", b"{}")


def _add(archive: zipfile.ZipFile, block: int, bits: list[bytearray]) -> None:
    for number, packed in enumerate(bits):
        add_entry(archive, f"L-{number}/{block}", bytes(packed))
        packed.clear()


def _header(samples: Samples, count: int, blocks: int, note: str) -> str:
    lines = [
        "[version]",
        "version = 3",
        "[header]",
        "driver = virtual-session",
        "device mode = 0",
        "capturefile = data",
        f"total samples = {count}",
        f"total probes = {len(samples.names)}",
        f"total blocks = {blocks}",
        f"samplerate = {_rate(samples.rate_hz)}",
        "trigger time = 0",
        "trigger pos = 0",
        *(f"probe{number} = {name}" for number, name in enumerate(samples.names)),
        f"comment = {note}",
    ]
    return "\n".join(lines) + "\n"


def _rate(rate_hz: int) -> str:
    factor, prefix = next((f, p) for f, p in ((10**9, "G"), (10**6, "M"), (10**3, "k"), (1, "")) if rate_hz % f == 0)
    return f"{rate_hz // factor} {prefix}Hz"
