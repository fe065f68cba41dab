"""The same traffic gives the same edges, whatever the format."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m43drivers.capture import Channel, open_capture
from tests.capture.support import capture_of, edges, plain, traffic
from tests.capture.writers import (
    on_grid,
    raw_bytes,
    saleae_binary_files,
    saleae_csv_bytes,
    sigrok_bytes,
    vcd_bytes,
    write_files,
)

Traffic = tuple[list[Channel], int]

# Examples overwrite each other's files, so one folder serves all; where the number of files counts, each has its own.
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@in_one_folder
@given(
    drawn=traffic(),
    rate=st.sampled_from([10**9, 24_000_000, 12_500_000, 333_333, 41_666_667, 20]),
    chunk=st.integers(1, 3000),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_sigrok_gives_the_traffic_on_its_grid(
    tmp_path: Path, drawn: Traffic, rate: int, chunk: int, method: int
) -> None:
    channels, end_ns = drawn
    # Members of some hundred bytes keep the number of zip entries small.
    chunk += end_ns * rate // 10**9 // 100
    data = sigrok_bytes(channels, end_ns, rate, chunk=chunk, method=method)
    capture = capture_of(tmp_path, "a.sr", data)
    assert plain(capture.channels) == plain(on_grid(channels, rate))
    assert capture.sample_rate_hz == rate


@in_one_folder
@given(drawn=traffic(longest_ns=2000), unit=st.integers(2, 8), rate=st.sampled_from([10**9, 24_000_000]))
def test_sigrok_samples_may_be_wider_than_needed(tmp_path: Path, drawn: Traffic, unit: int, rate: int) -> None:
    channels, end_ns = drawn
    capture = capture_of(tmp_path, "a.sr", sigrok_bytes(channels, end_ns, rate, unit=unit, chunk=unit * 50 + 1))
    assert plain(capture.channels) == plain(on_grid(channels, rate))


@in_one_folder
@given(drawn=traffic(), rate=st.sampled_from([Fraction(10**9), Fraction(24_000_000), Fraction(10**6, 3)]))
def test_raw_gives_the_traffic_on_its_grid(tmp_path: Path, drawn: Traffic, rate: Fraction) -> None:
    channels, end_ns = drawn
    (tmp_path / "a.bin").write_bytes(raw_bytes(channels, end_ns, rate))
    capture = open_capture(tmp_path / "a.bin", rate_hz=rate, channels=len(channels))
    assert edges(capture.channels) == edges(on_grid(channels, rate))


@pytest.mark.parametrize("timescale", ["1 ns", "1 ps", "100 fs"])
def test_vcd_gives_the_very_traffic(tmp_path: Path, timescale: str) -> None:
    @in_one_folder
    @given(drawn=traffic())
    def check(drawn: Traffic) -> None:
        channels, end_ns = drawn
        capture = capture_of(tmp_path, "a.vcd", vcd_bytes(channels, end_ns, timescale=timescale))
        assert plain(capture.channels) == plain(channels)
        assert (capture.end_ns, capture.sample_rate_hz) == (end_ns, None)

    check()


@in_one_folder
@given(drawn=traffic(), start_ns=st.integers(-(10**12), 10**12), quoted=st.booleans())
def test_saleae_csv_gives_the_very_traffic(tmp_path: Path, drawn: Traffic, start_ns: int, quoted: bool) -> None:
    channels, end_ns = drawn
    data = saleae_csv_bytes(channels, end_ns, start_ns=start_ns, quoted=quoted)
    capture = capture_of(tmp_path, "a.csv", data)
    assert plain(capture.channels) == plain(channels)
    assert (capture.end_ns, capture.sample_rate_hz) == (end_ns, None)


@in_one_folder
@given(drawn=traffic(), start_ns=st.integers(0, 2 * 10**18))
def test_saleae_csv_with_dates_gives_the_very_traffic(tmp_path: Path, drawn: Traffic, start_ns: int) -> None:
    channels, end_ns = drawn
    capture = capture_of(tmp_path, "a.csv", saleae_csv_bytes(channels, end_ns, start_ns=start_ns, dates=True))
    assert plain(capture.channels) == plain(channels)
    assert capture.end_ns == end_ns


@in_one_folder
@given(
    drawn=traffic(),
    version=st.sampled_from([0, 1]),
    start_s=st.sampled_from([0.0, -0.25, 1.5, 1234.567]),
)
def test_saleae_binary_gives_the_very_traffic(tmp_path: Path, drawn: Traffic, version: int, start_s: float) -> None:
    channels, end_ns = drawn
    files = saleae_binary_files(channels, end_ns, version=version, start_s=start_s)
    capture = open_capture(write_files(Path(mkdtemp(dir=tmp_path)), files))
    assert edges(capture.channels) == edges(channels)
    assert [one.name for one in capture.channels] == [f"Channel {number}" for number in range(len(channels))]
    assert capture.end_ns == end_ns
