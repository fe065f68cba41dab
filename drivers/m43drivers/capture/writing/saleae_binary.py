"""Binary exports of Saleae Logic 2, version 0: a folder with a file per line, which holds its toggles as doubles.

Version 0 is what Logic 2 writes for all analysers but the newest kind, and what readers of such files know.
Logic 2 calls the files ``digital_0.bin`` and so on; here each is called after its line, so that the lines map by
themselves. The note is a text file beside them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.saleae_binary import DIGITAL, MAGIC, TIME

if TYPE_CHECKING:
    from pathlib import Path

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["NOTE", "write"]

NOTE = "README.txt"
VERSION = 0
HEADER = struct.Struct("<8siiIddQ")


def write(target: Path, samples: Samples, note: str) -> None:
    """Write a folder."""
    target.mkdir()
    (target / NOTE).write_text(f"{note}\n", encoding="utf-8", newline="\n")
    seconds, end_s = samples.times_ns[1:] / 1e9, samples.end_ns / 1e9
    toggled, first = samples.states[1:] ^ samples.states[:-1], int(samples.states[0])
    for bit, name in enumerate(samples.names):
        times = seconds[(toggled & np.uint64(1 << bit)) != 0]
        header = HEADER.pack(MAGIC, VERSION, DIGITAL, first >> bit & 1, 0.0, end_s, times.size)
        (target / f"{name}.bin").write_bytes(header + times.astype(TIME).tobytes())
