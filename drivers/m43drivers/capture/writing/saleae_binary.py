"""Binary exports of Saleae Logic 2, version 0: a folder with a file per line, which holds its toggles as doubles.

Version 0 is what Logic 2 writes for all analysers but the newest kind, and what readers of such files know.
Logic 2 calls the files ``digital_0.bin`` and so on; here each is called after its line, so that the lines map by
themselves. The note is a text file beside them.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from m43drivers.capture.saleae_binary import DIGITAL, MAGIC, TIME

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["NOTE", "write"]

NOTE = "README.txt"
VERSION = 0
HEADER = struct.Struct("<8siiIddQ")


def write(target: Path, samples: Samples, note: str) -> None:
    """Write a folder."""
    target.mkdir()
    (target / NOTE).write_text(f"{note}\n", encoding="utf-8", newline="\n")
    with ExitStack() as stack:
        lines = [
            _Line(bit, stack.enter_context((target / f"{name}.bin").open("xb")))
            for bit, name in enumerate(samples.names)
        ]
        count = 0
        for stretch in samples.stretches:
            seconds, count = samples.times_ns(stretch) / 1e9, stretch.count
            for line in lines:
                line.add(seconds, stretch.states)
        for line in lines:
            line.finish(samples.end_ns(count) / 1e9)


class _Line:
    """One file; what its header tells is known in the end."""

    def __init__(self, bit: int, stream: BinaryIO) -> None:
        self._mask = np.uint64(1 << bit)
        self._stream = stream
        self._initial: int | None = None
        self._high = False
        self._count = 0
        stream.write(bytes(HEADER.size))

    def add(self, seconds: NDArray[np.float64], states: NDArray[np.uint64]) -> None:
        """Add the toggles among some changes."""
        high = (states & self._mask) != 0
        if self._initial is None:
            self._initial, self._high = int(high[0]), bool(high[0])
        times = seconds[high != np.append(self._high, high[:-1])[: high.size]]
        self._high = bool(high[-1]) if high.size else self._high
        self._count += times.size
        self._stream.write(times.astype(TIME).tobytes())

    def finish(self, end_s: float) -> None:
        """Write the header."""
        self._stream.seek(0)
        self._stream.write(HEADER.pack(MAGIC, VERSION, DIGITAL, self._initial, 0.0, end_s, self._count))
