"""Raw CSV exports as Saleae Logic 2 writes them: a row per change of any line, with the levels of all lines.

The last row repeats the levels at the end of the capture; Logic 2 itself has no such row, and its files do not say how
long a capture was. The format has no place for a note.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["write"]


def write(target: Path, samples: Samples, note: str) -> None:
    """Write an export; the note is lost."""
    with target.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(f"{','.join(['Time [s]', *samples.names])}\n")
        stream.writelines(_rows(samples))


def _rows(samples: Samples) -> Iterator[str]:
    width = len(samples.names)

    @cache
    def cells(state: int) -> str:
        return ",".join(str(state >> bit & 1) for bit in range(width))

    for now_ns, state in samples.rows():
        yield f"{now_ns // 10**9}.{now_ns % 10**9:09d},{cells(state)}\n"
