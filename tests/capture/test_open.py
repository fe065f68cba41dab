"""The front door: any file at all gives a capture or one error."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from m43drivers import capture
from m43drivers.capture import READERS, Capture, CaptureError, dsview, open_capture, saleae_binary, saleae_session
from tests.capture.support import capture_of, refusal_of, refused
from tests.capture.writers import (
    channel,
    dsl_bytes,
    logic1_bytes,
    ols_bytes,
    raw_bytes,
    sal_bytes,
    saleae_binary_bytes,
    saleae_csv_bytes,
    sigrok_bytes,
    vcd_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNELS = [channel("CLK", 0, [2000, 4000, 5000, 9000]), channel("DATA", 1, [3000, 8000])]
END_NS = 12_000
VALID = {
    "a.sr": sigrok_bytes(CHANNELS, END_NS, 1_000_000, chunk=7),
    "a.vcd": vcd_bytes(CHANNELS, END_NS),
    "a.csv": saleae_csv_bytes(CHANNELS, END_NS),
    "dates.csv": saleae_csv_bytes(CHANNELS, END_NS, dates=True),
    "a.bin": saleae_binary_bytes(CHANNELS[0], END_NS),
    "b.bin": saleae_binary_bytes(CHANNELS[0], END_NS, version=1),
    "a.sal": sal_bytes(CHANNELS, END_NS, 1_000_000, version=1, chunk=5),
    "b.sal": sal_bytes(CHANNELS, END_NS, 10**9, version=2, method=0),
    "a.dsl": dsl_bytes(CHANNELS, END_NS, 1_000_000),
    "a.ols": ols_bytes(CHANNELS, END_NS, 1_000_000),
    "c.bin": logic1_bytes(CHANNELS, END_NS, 1_000_000),
    "a.raw": raw_bytes(CHANNELS, END_NS, 1_000_000),
}
FORMATS = {
    "a.sr": "sigrok",
    "a.vcd": "vcd",
    "a.csv": "saleae-csv",
    "dates.csv": "saleae-csv",
    "a.bin": "saleae-binary",
    "b.bin": "saleae-binary",
    "a.sal": "saleae-session",
    "b.sal": "saleae-session",
    "a.dsl": "dsview",
    "a.ols": "ols",
    "c.bin": "saleae-logic1",
}
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + bytes(range(256))
WORDS = ["0!", "1!", "x!", "b1", "!", "#", "#0", "#5", "#7", "$dumpvars", "$end", "$comment", "r1", "s", "z%", "$"]
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120)


def survives(path: Path) -> Capture | None:
    """Open anything: a capture with sound channels, or one line of error."""
    try:
        capture = open_capture(path, rate_hz=1e6)
    except CaptureError as error:
        lines = str(error).splitlines()
        return None if len(lines) == 1 else pytest.fail(f"an error of {len(lines)} lines")
    for one in capture.channels:
        assert one.initial in (0, 1)
        assert all(before < after for before, after in zip([0, *one.edges_ns], [*one.edges_ns, 2**63], strict=True))
        assert one.edges_ns.size == 0 or one.edges_ns[-1] <= capture.end_ns
    return capture


def test_readers_have_distinct_names_and_descriptions() -> None:
    assert len({reader.name for reader in READERS}) == len(READERS)
    assert all(reader.description for reader in READERS)


@pytest.mark.parametrize("name", FORMATS)
def test_content_decides_before_the_suffix(tmp_path: Path, name: str) -> None:
    assert capture_of(tmp_path, "capture.dat", VALID[name], rate_hz=1e6).provenance.format == FORMATS[name]


def test_there_is_a_valid_file_of_every_format() -> None:
    assert {*FORMATS.values(), "raw"} == {reader.name for reader in READERS}
    assert {*FORMATS, "a.raw"} == set(VALID)


def test_a_suffix_decides_where_content_does_not(tmp_path: Path) -> None:
    assert "line 1" in refusal_of(tmp_path, "a.VCD", b"hello world")
    assert "line 1" in refusal_of(tmp_path, "a.csv", b"hello world")
    assert "expected a zip archive" in refusal_of(tmp_path, "a.sr", b"hello world")
    assert "rate_hz" in refusal_of(tmp_path, "a.bin", b"hello world")


@pytest.mark.parametrize("make", [str, Path, lambda path: [path], lambda path: (str(path),)])
def test_a_path_may_be_a_string_or_a_sequence(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    (tmp_path / "a.vcd").write_bytes(VALID["a.vcd"])
    assert open_capture(make(tmp_path / "a.vcd")).end_ns == END_NS


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("photo.jpg", JPEG),
        ("photo.jpg", JPEG[:3]),
        ("noise", bytes(range(256)) * 20),
        ("tool.py", b'"""A tool."""\n\nimport sys\n'),
        ("old.logicdata", b"\x00\x01serialization::archive"),
    ],
)
def test_what_is_no_capture_is_told_what_is(tmp_path: Path, name: str, data: bytes) -> None:
    text = refusal_of(tmp_path, name, data)
    assert all(reader.description in text for reader in READERS)


@pytest.mark.parametrize("name", ["a.sr", "a.vcd", "a.csv", "a.bin", "a.raw", "a"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    assert "the file is empty" in refusal_of(tmp_path, name, b"", rate_hz=1e6)


@pytest.mark.parametrize("name", ["a.sr", "digital_0.bin", "a"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    assert "cannot be read (No such file or directory)" in refused(tmp_path / name)
    assert name in refused([tmp_path / name, tmp_path / name])


def test_no_file_at_all_is_refused() -> None:
    assert "at least one capture file" in refused([])


def test_a_file_used_as_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.vcd").write_bytes(VALID["a.vcd"])
    assert "cannot be read" in refused(tmp_path / "a.vcd" / "b.vcd")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.vcd")
    assert "expected a file or one folder" in refused(tmp_path / "a.vcd")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions stop")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.vcd").write_bytes(VALID["a.vcd"])
    (tmp_path / "a.vcd").chmod(0)
    assert "cannot be read (Permission denied)" in refused(tmp_path / "a.vcd")


@pytest.mark.parametrize("name", ["nul\0byte.vcd", "lone\ud800surrogate.vcd"])
def test_an_impossible_path_is_refused_on_one_line(tmp_path: Path, name: str) -> None:
    assert "no path can look like this" in refused(tmp_path / name)


@pytest.mark.skipif(os.name == "nt", reason="needs a system with such file names")
def test_a_file_name_of_two_lines_keeps_the_error_on_one(tmp_path: Path) -> None:
    assert r"two\nlines" in refusal_of(tmp_path, "two\nlines.vcd", b"x")


def test_the_place_of_an_error_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.vcd").write_bytes(VALID["a.vcd"] + b"oops")
    with pytest.raises(CaptureError) as caught:
        open_capture(tmp_path / "a.vcd")
    assert caught.value.path == str(tmp_path / "a.vcd")
    lines = VALID["a.vcd"].count(b"\n") + 1
    assert caught.value.where == f"line {lines}"


def test_an_interrupt_of_progress_is_passed_on(tmp_path: Path) -> None:
    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a.vcd").write_bytes(VALID["a.vcd"])
    with pytest.raises(KeyboardInterrupt):
        open_capture(tmp_path / "a.vcd", progress=stop)


@pytest.mark.parametrize("name", VALID)
def test_every_truncation_gives_a_capture_or_an_error(tmp_path: Path, name: str) -> None:
    assert survives_as(tmp_path, name, VALID[name]) is not None
    for size in range(0, len(VALID[name]), 1 + len(VALID[name]) // 400):
        survives_as(tmp_path, name, VALID[name][:size])


@pytest.mark.parametrize("name", VALID)
def test_single_corruptions_give_a_capture_or_an_error(tmp_path: Path, name: str) -> None:
    data = VALID[name]

    @in_one_folder
    @given(at=st.integers(0, len(data) - 1), byte=st.integers(0, 255))
    def check(at: int, byte: int) -> None:
        survives_as(tmp_path, name, data[:at] + bytes([byte]) + data[at + 1 :])

    check()


@pytest.mark.parametrize("name", [*VALID, "digital_0.bin", "unknown"])
def test_arbitrary_bytes_give_a_capture_or_an_error(tmp_path: Path, name: str) -> None:
    starts = st.sampled_from([b"", b"PK\x03\x04", b"<SALEAE>", b"$date $end ", b"Time [s],A\n", VALID["a.sr"][:-22]])

    @in_one_folder
    @given(start=starts, rest=st.binary(max_size=300))
    @example(start=b"", rest=b"PK\x05\x06" + bytes(18))
    @example(start=b"", rest=b"PK\x05\x06" + b"\xff" * 16 + bytes(2))
    @example(start=b"PK\x03\x04", rest=bytes(40) + b"PK\x05\x06" + bytes(8) + b"\xff" * 4 + bytes(6))
    def check(start: bytes, rest: bytes) -> None:
        survives_as(tmp_path, name, start + rest)

    check()


@in_one_folder
@given(words=st.lists(st.sampled_from(WORDS), max_size=12))
def test_arbitrary_words_of_a_dump_give_a_capture_or_an_error(tmp_path: Path, words: list[str]) -> None:
    head = "$timescale 1 ns $end $var wire 1 ! CLK $end $enddefinitions $end "
    survives_as(tmp_path, "a.vcd", (head + " ".join(words)).encode())


@in_one_folder
@given(cells=st.lists(st.sampled_from(["0", "1", "X", "0.1", "-1", "1e9", ",", "\n", '"', "Z", "2022-01-01T00:00:00"])))
def test_arbitrary_cells_of_a_table_give_a_capture_or_an_error(tmp_path: Path, cells: list[str]) -> None:
    survives_as(tmp_path, "a.csv", ("Time [s],A\n0.0,0\n" + "".join(cells)).encode())


def test_arbitrary_bytes_need_little_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    for name, data in VALID.items():
        for at in range(0, len(data), 3):
            survives_as(tmp_path, name, data[:at] + b"\xff\x7f" + data[at + 2 :])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def survives_as(folder: Path, name: str, data: bytes) -> Capture | None:
    path = folder / name
    path.write_bytes(data)
    return survives(path)


def test_the_table_names_the_entries_and_the_start_as_their_readers_do() -> None:
    """The readers are imported when they are asked for, so the table holds these three itself."""
    entries = {reader.name: reader.entry for reader in READERS}
    assert entries["saleae-session"] == saleae_session.META
    assert entries["dsview"] == dsview.HEADER
    assert capture.SALEAE_START == saleae_binary.MAGIC
