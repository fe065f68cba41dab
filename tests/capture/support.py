"""What the tests of this folder share: random traffic, comparisons, and the way to real files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import strategies as st

from m43drivers.capture import Capture, CaptureError, Channel, open_capture
from tests.capture.writers import channel

if TYPE_CHECKING:
    from collections.abc import Iterable

DUMPS = Path(__file__).parents[2].parent / "shared" / "dumps"
NAMES = ["CLK", "DATA", "LENS_ACK", "BODY_ACK", "SLEEP", "FOCUS", "SHUTTER", "SPARE", "EXTRA"]


def dump(name: str) -> Path:
    """Give a real capture file, or skip the test."""
    path = DUMPS / name
    if not path.exists():
        pytest.skip(f"needs the real capture {name}, which is not part of this repository")
    return path


def edges(channels: Iterable[Channel]) -> list[tuple[int, list[int]]]:
    """Give initial level and edges of each channel."""
    return [(one.initial, one.edges_ns.tolist()) for one in channels]


def plain(channels: Iterable[Channel]) -> list[tuple[str, int, list[int]]]:
    """Give name, initial level and edges of each channel."""
    return [(one.name, one.initial, one.edges_ns.tolist()) for one in channels]


def refused(path: Path | list[Path], *, rate_hz: float | None = None, channels: int | None = None) -> str:
    """Give the text of the error that a capture raises; it must be one printable line that begins with a file."""
    with pytest.raises(CaptureError) as caught:
        open_capture(path, rate_hz=rate_hz, channels=channels)
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith(caught.value.path)
    assert caught.value.expected
    return text


def capture_of(folder: Path, name: str, data: bytes, *, rate_hz: float | None = None) -> Capture:
    """Write one file and read it."""
    path = folder / name
    path.write_bytes(data)
    return open_capture(path, rate_hz=rate_hz)


def refusal_of(folder: Path, name: str, data: bytes, *, rate_hz: float | None = None) -> str:
    """Write one file and give the text of the error that it raises."""
    path = folder / name
    path.write_bytes(data)
    return refused(path, rate_hz=rate_hz)


@st.composite
def traffic(draw: st.DrawFn, *, longest_ns: int = 200_000, most: int = 9) -> tuple[list[Channel], int]:
    """Draw named channels with edges at distinct times after 0, and an end that is not before any of them."""
    end_ns = draw(st.integers(1, longest_ns))
    names = NAMES[: draw(st.integers(1, most))]
    times = st.lists(st.integers(1, end_ns), unique=True, max_size=20).map(sorted)
    return [channel(name, draw(st.integers(0, 1)), draw(times)) for name in names], end_ns
