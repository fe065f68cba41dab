"""Sessions of the Logic Sniffer client ``.ols``: keys, then a row of ``state@sample`` per change.

The last row repeats the levels at the end of the capture. The number of rows is not told, for it is known only in the
end. The note is a key that the client does not look for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from m43drivers.capture.writing.sampling import Samples

__all__ = ["MAX_LINES", "write"]

MAX_LINES = 32


def write(target: Path, samples: Samples, note: str) -> None:
    """Write a session; the names of the lines are lost, but stand in a key."""
    names = ", ".join(samples.names)
    with target.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(f";Rate: {samples.rate_hz}\n;Channels: {len(samples.names)}\n;EnabledChannels: -1\n")
        stream.write(f";Compressed: true\n;Comment: {note}\n;Names: {names}\n")
        stream.writelines(_rows(samples))


def _rows(samples: Samples) -> Iterator[str]:
    last = state = count = 0
    for stretch in samples.stretches:
        count = stretch.count
        for last, state in zip(stretch.starts.tolist(), stretch.states.tolist(), strict=True):
            yield f"{state:08x}@{last}\n"
    if last < count - 1:
        yield f"{state:08x}@{count - 1}\n"
