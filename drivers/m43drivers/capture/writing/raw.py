"""Raw packed samples: nothing but bytes, ``ceil(lines / 8)`` of them per sample, little-endian; the note is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["write"]

PIECE_SAMPLES = 1 << 18


def write(target: Path, samples: Samples, note: str) -> None:
    """Write samples; whoever reads them must be told their rate and the number of lines."""
    with target.open("xb") as stream:
        stream.writelines(samples.pieces((len(samples.names) + 7) // 8, PIECE_SAMPLES))
