"""Raw samples: everything but the bytes comes from the user."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from m43drivers.capture import open_capture
from tests.capture.support import capture_of, refusal_of, refused

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["a.raw", "a.bin", "a.DAT"])
def test_eight_lines_unless_told(tmp_path: Path, name: str) -> None:
    capture = capture_of(tmp_path, name, bytes([0, 1, 0x81, 0]), rate_hz=1e6)
    assert [(one.name, one.aliases) for one in capture.channels] == [(f"D{bit}", (str(bit),)) for bit in range(8)]
    assert capture.channels[0].edges_ns.tolist() == [1000, 3000]
    assert capture.channels[7].edges_ns.tolist() == [2000, 3000]
    assert (capture.end_ns, capture.sample_rate_hz, capture.provenance.format) == (3000, 1e6, "raw")


def test_more_than_eight_lines_take_more_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes([0, 0, 0, 0, 0, 1]))
    capture = open_capture(path, rate_hz=Fraction(1000), channels=17)
    assert len(capture.channels) == 17
    assert capture.channels[16].edges_ns.tolist() == [1_000_000]


def test_a_fractional_rate_is_taken_as_written(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.raw", bytes(34), rate_hz=333333.3)
    assert capture.end_ns == 99_000  # 33 / 333333.3 Hz = 99.0000099 us


def test_a_missing_rate_is_asked_for(tmp_path: Path) -> None:
    assert "give it with --rate (rate_hz)" in refusal_of(tmp_path, "a.raw", b"\x00\x01")


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), 10**400])
def test_impossible_rates_are_refused(tmp_path: Path, rate: float) -> None:
    assert "expected a sample rate above 0 Hz" in refusal_of(tmp_path, "a.raw", b"\x00\x01", rate_hz=rate)


@pytest.mark.parametrize("channels", [0, -8, 65])
def test_impossible_numbers_of_lines_are_refused(tmp_path: Path, channels: int) -> None:
    (tmp_path / "a.raw").write_bytes(b"\x00")
    assert "raw samples have 1 to 64" in refused(tmp_path / "a.raw", rate_hz=1, channels=channels)


def test_half_a_sample_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(5))
    assert "offset 4: expected samples of 2 bytes" in refused(tmp_path / "a.raw", rate_hz=1, channels=16)
