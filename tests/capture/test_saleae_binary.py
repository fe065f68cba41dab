"""Binary exports of Logic 2: which files make a capture, gaps, and every way in which they can be broken."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import pytest

from m43drivers.capture import open_capture
from tests.capture.support import edges, plain, refused
from tests.capture.writers import channel, saleae_binary_bytes, saleae_binary_files, write_files

if TYPE_CHECKING:
    from pathlib import Path

ONE = channel("Channel 0", 0, [1000, 2500])
DATA = saleae_binary_bytes(ONE, 9000)
CHANNELS = [channel(f"Channel {number}", number & 1, [100 * number + 7]) for number in range(12)]


def chunked(*chunks: tuple[int, float, float, list[float]], rate_hz: float = 1e6) -> bytes:
    """Write a file of version 1 from (initial, begin, end, times)."""
    head = struct.pack("<8siiQ", b"<SALEAE>", 1, 0, len(chunks))
    parts = [
        struct.pack(f"<IdddQ{len(times)}d", initial, rate_hz, begin, end, len(times), *times)
        for initial, begin, end, times in chunks
    ]
    return head + b"".join(parts)


def patched(offset: int, layout: str, value: float) -> bytes:
    size = struct.calcsize(layout)
    return DATA[:offset] + struct.pack(layout, value) + DATA[offset + size :]


def test_a_folder_is_one_capture_in_numeric_order(tmp_path: Path) -> None:
    capture = open_capture(write_files(tmp_path / "export", saleae_binary_files(CHANNELS, 2000)))
    assert plain(capture.channels) == plain(CHANNELS)
    assert capture.channels[11].aliases == ("D11", "11", "digital_11")
    assert (capture.end_ns, capture.sample_rate_hz) == (2000, None)
    assert capture.provenance.format == "saleae-binary"
    assert capture.provenance.path == str(tmp_path / "export")


def test_one_numbered_file_brings_its_siblings(tmp_path: Path) -> None:
    write_files(tmp_path, saleae_binary_files(CHANNELS, 2000) | {"digital_x.bin": b"junk", "other.bin": b"junk"})
    assert plain(open_capture(tmp_path / "digital_3.bin").channels) == plain(CHANNELS)


def test_another_name_stands_for_itself(tmp_path: Path) -> None:
    write_files(tmp_path, {"clock.bin": DATA, "digital_0.bin": DATA})
    (one,) = open_capture(tmp_path / "clock.bin").channels
    assert (one.name, one.aliases) == ("clock", ())


def test_several_files_are_taken_without_their_siblings(tmp_path: Path) -> None:
    write_files(tmp_path, saleae_binary_files(CHANNELS, 2000) | {"sleep.bin": DATA})
    wanted = [tmp_path / name for name in ("sleep.bin", "digital_10.bin", "digital_2.bin", "digital_2.bin")]
    names = [one.name for one in open_capture(wanted).channels]
    assert names == ["Channel 2", "Channel 10", "sleep"]


def test_a_folder_s_other_digital_files_count_and_analog_ones_do_not(tmp_path: Path) -> None:
    analog = struct.pack("<8sii", b"<SALEAE>", 0, 1) + bytes(50)
    files = {"digital_0.bin": DATA, "sleep.bin": DATA, "analog_0.bin": analog, "firmware.bin": b"junk"}
    names = [one.name for one in open_capture(write_files(tmp_path / "export", files)).channels]
    assert names == ["Channel 0", "sleep"]


def test_the_earliest_begin_is_time_zero_for_all(tmp_path: Path) -> None:
    files = {
        "digital_0.bin": saleae_binary_bytes(channel("", 0, [500]), 1000, start_s=-2e-6),
        "digital_1.bin": saleae_binary_bytes(channel("", 1, [500]), 5000, start_s=0.0),
    }
    capture = open_capture(write_files(tmp_path / "export", files))
    assert edges(capture.channels) == [(0, [500]), (1, [2500])]
    assert capture.end_ns == 7000
    assert capture.provenance.details["time zero"] == "-2e-06 s"


def test_chunks_that_touch_are_one_line(tmp_path: Path) -> None:
    data = chunked((0, 0.0, 4e-6, [2e-6]), (1, 5e-6, 9e-6, [7e-6]))
    capture = open_capture(write_files(tmp_path / "export", {"digital_0.bin": data}))
    assert edges(capture.channels) == [(0, [2000, 7000])]
    assert capture.sample_rate_hz == 1e6
    assert "no data read as 0" not in capture.provenance.details


def test_a_level_that_changed_between_chunks_is_an_edge(tmp_path: Path) -> None:
    data = chunked((0, 0.0, 4e-6, [2e-6]), (0, 5e-6, 9e-6, [7e-6]))
    capture = open_capture(write_files(tmp_path / "export", {"digital_0.bin": data}))
    assert edges(capture.channels) == [(0, [2000, 5000, 7000])]


def test_missing_data_count_as_low_and_are_told(tmp_path: Path) -> None:
    files = {
        "digital_0.bin": chunked((1, 0.0, 4e-6, []), (1, 50e-6, 99e-6, [])),
        "digital_1.bin": chunked((1, 20e-6, 60e-6, [30e-6])),
    }
    capture = open_capture(write_files(tmp_path / "export", files))
    assert edges(capture.channels) == [(1, [4000, 50_000]), (0, [20_000, 30_000])]
    assert capture.provenance.details["no data read as 0"] == "3 gaps"
    assert capture.end_ns == 99_000


def test_progress_is_told_per_file(tmp_path: Path) -> None:
    seen: list[float] = []
    open_capture(write_files(tmp_path / "export", saleae_binary_files(CHANNELS, 2000)), progress=seen.append)
    assert len(seen) == 13
    assert seen == sorted(seen)


BROKEN = {
    "empty header": (DATA[:10], "offset 0: expected 16 bytes of header, found 10"),
    "cut in header": (DATA[:30], "offset 16: "),
    "cut in times": (DATA[:-1], "offset 44: declares 2 transitions, has room for 1"),
    "too long": (DATA + b"\0", "offset 60: 1 bytes more than declared"),
    "count lies": (patched(36, "<Q", 2**61), "offset 44: declares 2305843009213693952 transitions, has room for 2"),
    "count too small": (patched(36, "<Q", 1), "offset 52: 8 bytes more than declared"),
    "version": (patched(8, "<i", 2), "offset 8: expected export version 0 or 1, found 2"),
    "analog": (patched(12, "<i", 1), "offset 12: expected digital data (type 0), found type 1"),
    "initial": (patched(16, "<I", 7), "offset 16: expected an initial state of 0 or 1, found 7"),
    "begin nan": (patched(20, "<d", math.nan), "offset 16: begin nan s"),
    "end before begin": (patched(28, "<d", -1.0), "offset 16: begin 0.0 s and end -1.0 s are no stretch of time"),
    "end infinite": (patched(28, "<d", math.inf), "offset 16: begin 0.0 s and end inf s"),
    "begin far away": (patched(20, "<d", -1e300), "offset 16: begin -1e+300 s"),
    "time nan": (patched(44, "<d", math.nan), "offset 44: transition time nan s is no time"),
    "time infinite": (patched(52, "<d", math.inf), "offset 52: transition time inf s is no time"),
    "time repeats": (patched(52, "<d", 1e-6), "offset 52: transition time 1e-06 s does not come after"),
    "time falls": (patched(52, "<d", 0.5e-6), "offset 52: transition time 5e-07 s does not come after"),
    "time after end": (patched(52, "<d", 1.0), "offset 52: transition time 1.0 s lies outside"),
    "time before begin": (patched(44, "<d", -1.0), "offset 44: transition time -1.0 s lies outside"),
    "no chunks": (chunked(), "offset 16: declares 0 chunks"),
    "chunk count lies": (chunked()[:16] + b"\xff" * 8 + bytes(72), "offset 16: declares 18446744073709551615 chunks"),
    "chunks overlap": (chunked((0, 0.0, 1.0, []), (0, 0.5, 2.0, [])), "are no stretch of time"),
    "rate": (chunked((0, 0.0, 1.0, []), rate_hz=0.0), "offset 24: expected a sample rate, found 0.0"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_export_is_refused_with_its_offset(tmp_path: Path, case: str) -> None:
    data, reason = BROKEN[case]
    (tmp_path / "digital_0.bin").write_bytes(data)
    assert reason in refused(tmp_path)


def test_a_broken_sibling_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, {"digital_0.bin": DATA, "digital_1.bin": DATA[:20]})
    assert "digital_1.bin: offset 16" in refused(tmp_path / "digital_0.bin")


def test_an_empty_sibling_is_not_passed_over(tmp_path: Path) -> None:
    write_files(tmp_path, {"digital_0.bin": DATA, "digital_1.bin": b""})
    assert "digital_1.bin: offset 0" in refused(tmp_path)


def test_a_folder_of_analog_files_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"analog_0.bin": patched(12, "<i", 1)})
    assert "found type 1 (1 is analog)" in refused(tmp_path)


@pytest.mark.parametrize("files", [{}, {"a.txt": b"x", "firmware.bin": b"x" * 100}])
def test_a_folder_without_a_capture_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert "a folder without digital_N.bin" in refused(write_files(tmp_path / "export", files))


def test_several_files_of_other_formats_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.sr": b"PK\x03\x04" + bytes(50), "b.sr": b"PK\x03\x04" + bytes(50)})
    assert "only such files can be given several at a time" in refused([tmp_path / "a.sr", tmp_path / "b.sr"])


def test_a_folder_beside_files_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, {"digital_0.bin": DATA})
    assert "expected a file or one folder" in refused([tmp_path, tmp_path / "digital_0.bin"])
