"""Sessions of Logic 2, DSView and the Logic Sniffer, changes of Logic 1: every way in which they can be broken."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from m43drivers.capture import open_capture, saleae_session
from tests.capture.support import capture_of, edges, plain, refusal_of
from tests.capture.writers import channel, dsl_bytes, logic1_bytes, ols_bytes, sal_bytes, sal_run, zip_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHANNELS = [channel("CLK", 0, range(1_000, 90_000, 3_000)), channel("DATA", 1, [5_000, 64_000])]
END_NS = 100_000
RATE = 1_000_000


def changed(archive: bytes, name: str, change: Callable[[bytes], bytes | None]) -> bytes:
    """Change an entry of a zip archive, or take it out."""
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        entries = {entry: whole.read(entry) for entry in whole.namelist()}
    kept = {entry: change(data) if entry == name else data for entry, data in entries.items()}
    return zip_bytes({entry: data for entry, data in kept.items() if data is not None})


def patched(offset: int, layout: str, value: float) -> Callable[[bytes], bytes]:
    return lambda data: data[:offset] + struct.pack(layout, value) + data[offset + struct.calcsize(layout) :]


# Saleae Logic 2

V1, V2 = (sal_bytes(CHANNELS, END_NS, RATE, version=version) for version in (1, 2))
LINE = "digital-0.bin"


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("chunk", [1, 7, 40, 1000])
def test_a_logic_2_session_may_be_cut_into_chunks(tmp_path: Path, version: int, chunk: int) -> None:
    data = sal_bytes(CHANNELS, END_NS, RATE, version=version, chunk=chunk)
    capture = capture_of(tmp_path, "a.sal", data)
    assert plain(capture.channels) == plain(CHANNELS)
    assert (capture.end_ns, capture.sample_rate_hz) == (END_NS, RATE)


def test_a_session_that_starts_late_has_its_first_sample_at_0(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.sal", sal_bytes(CHANNELS, END_NS, RATE, start=123_456))
    assert edges(capture.channels) == edges(CHANNELS)
    assert capture.provenance.details["time zero"] == "sample 123456"


def test_a_trim_is_told(tmp_path: Path) -> None:
    def trimmed(data: bytes) -> bytes:
        return data[:0x29] + struct.pack("<BQB", 1, 5, 0) + data[0x2B:]

    capture = capture_of(tmp_path, "a.sal", changed(V2, LINE, trimmed))
    assert capture.provenance.details["trimmed"] == "in Logic 2 to samples 5 to the end; all are read here"


@pytest.mark.parametrize("meta", ["{}", "[]", '{"data": {"rowsSettings": [1, {}, {"name": 3}]}}'])
def test_lines_without_a_name_are_called_by_their_number(tmp_path: Path, meta: str) -> None:
    capture = capture_of(tmp_path, "a.sal", sal_bytes(CHANNELS, END_NS, RATE, meta=meta))
    assert [(one.name, one.aliases) for one in capture.channels] == [
        ("Channel 0", ("D0", "0")),
        ("Channel 1", ("D1", "1")),
    ]


def test_names_of_the_user_keep_the_number_as_an_alias(tmp_path: Path) -> None:
    aliases = [one.aliases for one in capture_of(tmp_path, "a.sal", V2).channels]
    assert aliases == [("D0", "0", "Channel 0"), ("D1", "1", "Channel 1")]


SAL_BROKEN: dict[str, tuple[bytes, Callable[[bytes], bytes | None], str]] = {
    "magic": (V2, lambda data: b"x" + data[1:], "offset 0: expected a channel file, which begins with '<SALEAE>'"),
    "version": (V2, patched(8, "<I", 3), "offset 8: expected channel file version 1 or 2, found 3; export it as raw"),
    "analog": (V2, patched(12, "<I", 101), "offset 12: expected a digital line (type 100), found type 101"),
    "rate": (V2, patched(17, "<d", float("nan")), "offset 17: expected a sample rate in Hz, found nan"),
    "other rate": (V2, patched(17, "<d", 2e6), "has lines of several sample rates"),
    "no chunk": (V2, patched(43, "<Q", 0), "holds no samples"),
    "too many chunks": (V2, patched(43, "<Q", 2), "expected 26 bytes, found 0; the file is cut"),
    "span": (V2, patched(59, "<Q", 0), "samples 0 to 0 are no stretch"),
    "initial": (V2, patched(67, "<B", 2), "expected an initial state of 0 or 1, found 2"),
    "cut": (V2, lambda data: data[:-1], "the file ends inside a chunk; it is cut"),
    "cut header": (V2, lambda data: data[:30], "offset 0: expected 41 bytes, found 30"),
    "more": (V2, lambda data: data + b"\0", "more bytes than declared"),
    "runs": (V2, lambda data: data[:-1] + b"\1", "expected 101; the file is damaged"),
    "long run": (V2, lambda data: data[:-12] + b"\x41" + b"\xff" * 10 + b"\1", "a run is too long"),
    "run without a first byte": (V2, lambda data: data[:-12] + b"\x81" * 11 + b"\1", "a run is too long"),
    "no table": (V1, lambda data: data[:-28] + bytes(8), "expected the state at the start of a chunk"),
    "state": (V1, lambda data: data[:-4] + b"\7\0\0\0", "expected an initial state of 0 or 1, found 7"),
    "no line": (sal_bytes(CHANNELS[:1], END_NS, RATE), lambda data: None, "a Logic 2 session without digital lines"),
}


@pytest.mark.parametrize("case", SAL_BROKEN)
def test_a_broken_logic_2_session_is_refused(tmp_path: Path, case: str) -> None:
    archive, change, reason = SAL_BROKEN[case]
    assert reason in refusal_of(tmp_path, "a.sal", changed(archive, LINE, change))


def test_a_logic_2_session_whose_meta_is_no_json_is_refused(tmp_path: Path) -> None:
    assert "entry meta.json: is no JSON" in refusal_of(tmp_path, "a.sal", sal_bytes(CHANNELS, END_NS, RATE, meta="{"))


@pytest.mark.parametrize("seed", range(20))
def test_runs_in_columns_are_those_that_were_written(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    lengths = [rng.randrange(1 << rng.randrange(1, 50)) for _ in range(100)]
    runs = [sal_run(length) for length in lengths]
    whole = b"".join(runs)
    for cut in range(len(whole) - 30, len(whole) + 1):
        sizes = np.cumsum([len(run) for run in runs])
        count = int(np.searchsorted(sizes, cut, "right"))
        found, taken = saleae_session._lengths(whole[:cut])
        assert found is not None
        assert (found.tolist(), taken) == (lengths[:count], sizes[count - 1])


# DSView

DSL = dsl_bytes(CHANNELS, END_NS, RATE)


def header(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return change


def test_a_dsview_session_is_read(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.dsl", DSL)
    assert plain(capture.channels) == plain(CHANNELS)
    assert (capture.end_ns, capture.sample_rate_hz) == (END_NS, RATE)


def test_lines_that_were_switched_off_are_not_in_a_dsview_session(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.dsl", changed(DSL, "L-0/0", lambda data: None))
    assert plain(capture.channels) == plain(CHANNELS[1:])


DSL_BROKEN: dict[str, tuple[str, Callable[[bytes], bytes | None], str]] = {
    "version": ("header", header("version = 3", "version = 2"), "expected DSView session version 3, found '2'"),
    "no version": ("header", header("version = 3", ""), "expected DSView session version 3, found ''"),
    "analog": ("header", header("mode = 0", "mode = 1"), "no session of a logic analyser"),
    "rate": (
        "header",
        header("1000000 Hz", "fast"),
        "expected a rate like '25 MHz', found 'fast'; give it with --rate",
    ),
    "samples": ("header", header("samples = 101", "samples = many"), "total samples: expected a number, found 'many'"),
    "no samples": ("header", header("samples = 101", "samples = 0"), "holds no samples"),
    "more samples": (
        "header",
        header("samples = 101", "samples = 900"),
        "entry L-0/0: expected 113 bytes; the file is",
    ),
    "most samples": ("header", header("samples = 101", f"samples = {10**17}"), "samples are not in the file"),
    "short": ("L-1/0", lambda data: data[:5], "entry L-1/0: expected 13 bytes; the file is cut"),
}


@pytest.mark.parametrize("case", DSL_BROKEN)
def test_a_broken_dsview_session_is_refused(tmp_path: Path, case: str) -> None:
    entry, change, reason = DSL_BROKEN[case]
    assert reason in refusal_of(tmp_path, "a.dsl", changed(DSL, entry, change))


def test_a_dsview_session_without_lines_is_refused(tmp_path: Path) -> None:
    only = changed(changed(DSL, "L-0/0", lambda data: None), "L-1/0", lambda data: None)
    assert "expected 1 to 64 lines (L-0/0 and on), found 0" in refusal_of(tmp_path, "a.dsl", only)


# the Logic Sniffer client


def test_a_logic_sniffer_session_is_read(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.ols", ols_bytes(CHANNELS, END_NS, RATE))
    assert edges(capture.channels) == edges(CHANNELS)
    assert [one.name for one in capture.channels] == ["D0", "D1"]
    assert (capture.end_ns, capture.sample_rate_hz) == (END_NS, RATE)


def test_lines_that_were_switched_off_are_left_out(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.ols", ols_bytes(CHANNELS, END_NS, RATE, keys={"EnabledChannels": 2}))
    assert plain(capture.channels) == [("D1", 1, [5_000, 64_000])]


OLS_BROKEN = {
    "row": (b";Rate: 1\n;Channels: 2\n1@0\nhello\n", "line 4: expected a row like '0000001f@10991', found 'hello'"),
    "no rate": (b";Channels: 2\n0@0\n", "line 2: expected a key ';Rate: N' of 1 to 1000000000000 before it, found ''"),
    "channels": (b";Rate: 5\n;Channels: 33\n0@0\n", "';Channels: N' of 1 to 32 before it, found '33'"),
    "back": (b";Rate: 5\n;Channels: 2\n0@9\n1@8\n", "line 4: sample 8 comes after sample 9"),
    "size": (b";Rate: 5\n;Channels: 2\n;Size: 3\n0@0\n1@8\n", "expected 3 rows (Size), found 2; the file is cut"),
    "no rows": (b";Rate: 5\n;Channels: 2\n", "line 2: holds no rows"),
    "no lines": (b";Rate: 5\n;Channels: 2\n;EnabledChannels: 4\n0@0\n", "EnabledChannels names no line"),
    "endless": (b";Rate: 5\n;Channels: 2\n0@0\n" + b"1" * 300_000, "more than 4096 bytes without a line end"),
    "too long": (b";Rate: 1\n;Channels: 2\n0@0\n1@99999999999\n", "lasts longer than 292 years at 1 Hz"),
}


@pytest.mark.parametrize("case", OLS_BROKEN)
def test_a_broken_logic_sniffer_session_is_refused(tmp_path: Path, case: str) -> None:
    data, reason = OLS_BROKEN[case]
    assert reason in refusal_of(tmp_path, "a.ols", data)


# Saleae Logic 1


@pytest.mark.parametrize("word", [1, 2, 4, 8])
def test_changes_of_logic_1_are_read(tmp_path: Path, word: int) -> None:
    (tmp_path / "a.bin").write_bytes(logic1_bytes(CHANNELS, END_NS, RATE, word=word))
    capture = open_capture(tmp_path / "a.bin", rate_hz=RATE, channels=2)
    assert edges(capture.channels) == edges(CHANNELS)
    assert (capture.end_ns, capture.provenance.details) == (END_NS, {"bytes per word": str(word)})
    assert len(open_capture(tmp_path / "a.bin", rate_hz=RATE).channels) == 8 * word


def test_changes_of_logic_1_need_a_rate_and_lines_that_fit(tmp_path: Path) -> None:
    data = logic1_bytes(CHANNELS, END_NS, RATE)
    assert "carry no sample rate; give it with --rate" in refusal_of(tmp_path, "a.bin", data)
    with pytest.raises(Exception, match="9 channels asked for; its words have 1 to 8"):
        open_capture(tmp_path / "a.bin", rate_hz=RATE, channels=9)


def test_broken_changes_of_logic_1_are_refused(tmp_path: Path) -> None:
    many = [channel("CLK", 0, range(1_000, 900_000, 1_000))]
    data = logic1_bytes(many, 1_000_000, RATE)
    cut = refusal_of(tmp_path, "a.bin", data[:-1], rate_hz=RATE)
    assert f"offset {len(data) - 9}: 8 bytes behind the last whole record of 9" in cut
    back = data[:-9] + data[:9]
    assert "expected a sample number above the one before" in refusal_of(tmp_path, "a.bin", back, rate_hz=RATE)


def test_samples_of_logic_1_are_raw_samples(tmp_path: Path) -> None:
    samples = np.arange(1000) % 5 % 2
    (tmp_path / "a.bin").write_bytes(samples.astype(np.uint8).tobytes())
    assert open_capture(tmp_path / "a.bin", rate_hz=RATE).provenance.format == "raw"


def test_a_table_of_logic_1_is_read(tmp_path: Path) -> None:
    data = b"Time[s], Channel 0, Channel 1\n0.000000000000000, 0, 1\n0.000001041666667, 1, 1\n0.000002500000000, 1, 0\n"
    capture = capture_of(tmp_path, "untitled.csv", data)
    assert plain(capture.channels) == [("Channel 0", 0, [1042]), ("Channel 1", 1, [2500])]
