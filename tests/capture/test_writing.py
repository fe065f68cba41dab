"""Written captures hold what was given, in every format: judged by the readers, and by a sampler of the tests' own."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from fractions import Fraction
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m43drivers.capture import CaptureError, Channel, open_capture
from m43drivers.capture.writing import (
    EXACT_HZ,
    SYNTHETIC,
    WRITERS,
    Writer,
    channels_of,
    write_capture,
    writer_for,
)
from m43proto.pins import LINES, Line
from tests.capture.sessions import decoded, pins, said, simulated
from tests.capture.support import edges, plain, traffic
from tests.capture.writers import channel
from tests.test_sniff import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from m43drivers.capture.writing.sampling import Samples

Traffic = tuple[list[Channel], int]

every_format = pytest.mark.parametrize("suffix", WRITERS)
examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)

CHANNELS = [channel("CLK", 1, [100, 900]), channel("DATA", 0, [500])]


def seen_by_an_analyser(channels: Sequence[Channel], end_ns: int, rate_hz: int) -> tuple[list[object], int]:
    """Sample by the definition, one sample after the other; give names, levels and edges, and the end."""
    period = Fraction(10**9, rate_hz)
    count = int(end_ns / period) + 1
    instants = [number * period for number in range(count)]
    found: list[object] = []
    for one in channels:
        toggles = one.edges_ns.tolist()
        levels = [one.initial ^ sum(at <= instant for at in toggles) & 1 for instant in instants]
        changed = [number for number in range(1, count) if levels[number] != levels[number - 1]]
        found.append((one.name, levels[0], [_rounded(instants[number]) for number in changed]))
    return sorted(found, key=str), _rounded(instants[-1])


def _rounded(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


@every_format
@examples
@given(
    drawn=traffic(longest_ns=5_000), rate=st.sampled_from([None, 24_000_000, 8_000_000, 12_500_000, 333_333, 10**9, 1])
)
def test_a_file_holds_the_levels_at_each_sample(suffix: str, tmp_path: Path, drawn: Traffic, rate: int | None) -> None:
    channels, end_ns = drawn
    path = Path(mkdtemp(dir=tmp_path)) / f"written{suffix}"
    write_capture(path, channels, end_ns, rate_hz=rate)
    capture = open_capture(path)
    expected, last_ns = seen_by_an_analyser(channels, end_ns, rate or WRITERS[suffix].rate_hz)
    assert sorted(plain(capture.channels), key=str) == expected
    assert capture.end_ns == last_ns


@every_format
@examples
@given(drawn=traffic())
def test_at_1_ghz_a_file_holds_the_very_edges(suffix: str, tmp_path: Path, drawn: Traffic) -> None:
    channels, end_ns = drawn
    path = Path(mkdtemp(dir=tmp_path)) / f"written{suffix}"
    write_capture(path, channels, end_ns, rate_hz=EXACT_HZ)
    capture = open_capture(path)
    assert sorted(plain(capture.channels)) == sorted(plain(channels))
    assert capture.end_ns == end_ns


@pytest.mark.parametrize("count", [1, 8, 9, 33, 64])
@every_format
def test_up_to_64_lines_are_written(suffix: str, count: int, tmp_path: Path) -> None:
    channels = [channel(f"line {bit:02}", bit & 1, [1_000 * (bit + 1)]) for bit in range(count)]
    path = tmp_path / f"a{suffix}"
    write_capture(path, channels, 100_000, rate_hz=EXACT_HZ)
    assert edges(open_capture(path).channels) == edges(channels)


def test_samples_are_cut_into_entries_without_a_seam(tmp_path: Path) -> None:
    entry_ns = (4 << 20) * 1_000
    toggles = [entry_ns - 1_000, entry_ns, entry_ns + 1_000, 2 * entry_ns + 5_000]
    channels = [channel("CLK", 1, toggles), *(channel(f"D{bit}", 0, []) for bit in range(8))]
    path = tmp_path / "a.sr"
    write_capture(path, channels, 2 * entry_ns + 9_000, rate_hz=1_000_000)
    capture = open_capture(path)
    assert plain(capture.channels) == plain(channels)
    assert capture.end_ns == 2 * entry_ns + 9_000
    with zipfile.ZipFile(path) as archive:
        sizes = [entry.file_size for entry in archive.infolist() if entry.filename.startswith("logic-1-")]
    assert sizes == [4 << 20] * 4 + [20]


# what body and lens said


@pytest.mark.parametrize("suffix", [".vcd", ".csv", ".bin"])
def test_an_exact_file_decodes_to_the_very_events_of_the_simulation(suffix: str, tmp_path: Path) -> None:
    session = simulated()
    path = tmp_path / f"a{suffix}"
    write_capture(path, session.channels, session.end_ns, rate_hz=EXACT_HZ)
    assert len(session.events) > 8
    assert decoded(path) == session.events


@pytest.mark.parametrize("timings", [("bell_body", "bell_lens"), ("fast", "fast"), ("slow", "slow")])
@pytest.mark.parametrize("rate", [8_000_000, 24_000_000])
@every_format
def test_a_sampled_file_says_what_the_simulation_said(
    suffix: str, rate: int, timings: tuple[str, str], tmp_path: Path
) -> None:
    session = simulated(*timings)
    path = tmp_path / f"a{suffix}"
    write_capture(path, session.channels, session.end_ns, rate_hz=rate)
    events = decoded(path)
    assert said(events) == said(session.events)
    assert pins(events) == pins(session.events)


@every_format
def test_m43_sniff_reads_what_was_written(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = simulated()
    path = tmp_path / f"a{suffix}"
    write_capture(path, session.channels, session.end_ns)
    run = Run(("sniff", path, "--format", "jsonl"), capsys)
    names = [record["name"] for record in map(json.loads, run.out.splitlines()) if "name" in record]
    assert (run.code, run.err) == (0, "")
    assert names == ["Initialise", "Identify", *["Status", "Drive"] * 3]


# the bytes


@every_format
def test_the_same_input_gives_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    session = simulated()
    written = []
    for name in ("first", "second"):
        path = tmp_path / name / f"a{suffix}"
        path.parent.mkdir()
        write_capture(path, session.channels, session.end_ns, comment="seed 7")
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        written.append([(file.name, file.read_bytes()) for file in files])
    assert written[0] == written[1]


def test_the_bytes_of_a_dump(tmp_path: Path) -> None:
    write_capture(tmp_path / "a.vcd", CHANNELS, 1_000, comment="say\n $end")
    assert (tmp_path / "a.vcd").read_text().splitlines() == [
        "$comment Synthetic: computed by m43proto, not recorded. say $ end $end",
        "$timescale 1 ns $end",
        "$scope module mount $end",
        "$var wire 1 ! CLK $end",
        '$var wire 1 " DATA $end',
        "$upscope $end",
        "$enddefinitions $end",
        "#0",
        "$dumpvars",
        "1!",
        '0"',
        "$end",
        "#100",
        "0!",
        "#500",
        '1"',
        "#900",
        "1!",
        "#1000",
    ]


def test_the_bytes_of_a_csv_export(tmp_path: Path) -> None:
    write_capture(tmp_path / "a.csv", CHANNELS, 1_010, rate_hz=100_000_000)
    assert (tmp_path / "a.csv").read_bytes() == (
        b"Time [s],CLK,DATA\n0.000000000,1,0\n0.000000100,0,0\n0.000000500,0,1\n0.000000900,1,1\n0.000001010,1,1\n"
    )


def test_a_pulse_between_two_samples_leaves_nothing(tmp_path: Path) -> None:
    write_capture(tmp_path / "a.csv", [channel("CLK", 1, [11, 19])], 30, rate_hz=100_000_000)
    assert (tmp_path / "a.csv").read_bytes() == b"Time [s],CLK\n0.000000000,1\n0.000000030,1\n"


def test_a_binary_export_is_a_folder_with_a_file_per_line(tmp_path: Path) -> None:
    write_capture(tmp_path / "a.bin", CHANNELS, 1_000, comment="seed 7")
    assert {file.name for file in (tmp_path / "a.bin").iterdir()} == {"CLK.bin", "DATA.bin", "README.txt"}
    assert (tmp_path / "a.bin" / "README.txt").read_text() == f"{SYNTHETIC} seed 7\n"
    assert [one.name for one in open_capture(tmp_path / "a.bin" / "CLK.bin").channels] == ["CLK"]


@pytest.mark.parametrize("suffix", [".sr", ".vcd"])
def test_the_readers_tell_that_the_data_are_synthetic(suffix: str, tmp_path: Path) -> None:
    write_capture(tmp_path / f"a{suffix}", CHANNELS, 1_000, comment=r"seed 7, C:\new")
    assert open_capture(tmp_path / f"a{suffix}").provenance.details["comment"] == rf"{SYNTHETIC} seed 7, C:\new"


def test_a_space_in_a_name_is_an_underscore_in_a_dump(tmp_path: Path) -> None:
    write_capture(tmp_path / "a.vcd", [channel("Channel 0", 0, [])], 10)
    assert [one.name for one in open_capture(tmp_path / "a.vcd").channels] == ["Channel_0"]


@every_format
def test_a_long_idle_capture_costs_little_memory(suffix: str, tmp_path: Path) -> None:
    channels = [channel("CLK", 1, [4_999_999_000]), channel("DATA", 0, [5])]
    tracemalloc.start()
    write_capture(tmp_path / f"a{suffix}", channels, 5 * 10**9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 << 20
    assert open_capture(tmp_path / f"a{suffix}").channels[0].edges_ns.size == 1


# whole or not at all


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@every_format
def test_a_write_that_is_stopped_leaves_everything_as_it_was(
    suffix: str, stop: type[BaseException] | OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = WRITERS[suffix].write

    def stopped(target: Path, samples: Samples, note: str) -> None:
        whole(target, samples, note)
        assert target.parent == tmp_path
        raise stop

    path = tmp_path / f"a{suffix}"
    if suffix != ".bin":
        path.write_bytes(b"before")
    monkeypatch.setitem(WRITERS, suffix, Writer(stopped, EXACT_HZ, ""))
    with pytest.raises((KeyboardInterrupt, CaptureError)) as caught:
        write_capture(path, CHANNELS, 1_000)
    if caught.type is CaptureError:
        assert "cannot be written (No space left on device)" in str(caught.value)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == (
        [] if suffix == ".bin" else [(path.name, b"before")]
    )


@pytest.mark.parametrize("suffix", [".sr", ".vcd", ".csv"])
def test_a_file_is_replaced(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"before")
    write_capture(path, CHANNELS, 1_000)
    assert len(open_capture(path).channels) == 2
    assert list(tmp_path.iterdir()) == [path]


@every_format
def test_a_folder_is_not_replaced(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.mkdir()
    (path / "mine").touch()
    with pytest.raises(CaptureError, match="a folder of this name is there already; remove it or choose another name"):
        write_capture(path, CHANNELS, 1_000)
    assert (path / "mine").exists()


def test_a_file_in_the_place_of_a_folder_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    with pytest.raises(CaptureError, match=r"a\.bin: cannot be written \(Not a directory\)"):
        write_capture(path, CHANNELS, 1_000)
    assert (list(tmp_path.iterdir()), path.read_bytes()) == ([path], b"before")


# what cannot be written


@pytest.mark.parametrize("name", ["a.wav", "a", "a.sr.gz", ".sr"])
def test_an_unknown_suffix_is_refused_with_those_that_are_known(name: str, tmp_path: Path) -> None:
    reason = r"no capture format has this suffix; choose one of \.sr, \.vcd, \.csv, \.bin$"
    with pytest.raises(CaptureError, match=reason):
        write_capture(tmp_path / name, CHANNELS, 1_000)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_may_be_in_capitals() -> None:
    assert writer_for("A.VCD") is WRITERS[".vcd"]


TWO = [channel("CLK", 0, []), channel("clk", 0, [])]


@pytest.mark.parametrize(
    ("channels", "end_ns", "rate_hz", "reason"),
    [
        ([], 10, None, "expected 1 to 64 channels of distinct names in any case, found ''"),
        (TWO, 10, None, "expected 1 to 64 channels of distinct names in any case, found 'CLK, clk'"),
        ([channel(f"D{bit}", 0, []) for bit in range(65)], 10, None, "expected 1 to 64 channels"),
        ([channel("a/b", 0, [])], 10, None, "names of letters, digits, spaces and _ . + -, found 'a/b'"),
        ([channel("..", 0, [])], 10, None, "found '..'"),
        ([channel("a,b", 0, [])], 10, None, "found 'a,b'"),
        ([channel("", 0, [])], 10, None, "found ''"),
        (CHANNELS, 10, 0, "expected a sample rate from 1 Hz to 1 GHz, found 0 Hz"),
        (CHANNELS, 10, 10**9 + 1, "expected a sample rate from 1 Hz to 1 GHz, found 1000000001 Hz"),
        (CHANNELS, -1, None, "expected an end that is not before 0, found -1 ns"),
    ],
)
def test_what_no_format_can_hold_is_refused(
    channels: list[Channel], end_ns: int, rate_hz: int | None, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(CaptureError) as caught:
        write_capture(tmp_path / "a.sr", channels, end_ns, rate_hz=rate_hz)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@every_format
def test_a_folder_that_is_not_there_is_one_line(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=rf"a\{suffix}: cannot be written \(No such file or directory\)"):
        write_capture(tmp_path / "missing" / f"a{suffix}", CHANNELS, 1_000)


# channels of a simulation


def test_channels_are_called_like_the_lines_unless_asked_otherwise() -> None:
    changes = [(0, 0b01), (10, 0b11), (20, 0b10), (20, 0b11), (30, 0b00)]
    assert plain(channels_of(iter(changes))) == [
        ("CLK", 1, [30]),
        ("DATA", 0, [10, 30]),
        *((line.value, 0, []) for line in LINES[2:]),
    ]
    kept = channels_of(changes, lines=(Line.DATA, Line.CLK), names=["D0", "D1"])
    assert plain(kept) == [("D0", 0, [10, 30]), ("D1", 1, [30])]


def test_a_change_at_time_0_belongs_to_the_beginning() -> None:
    assert plain(channels_of([(0, 0), (0, 1), (5, 0)], lines=[Line.CLK])) == [("CLK", 1, [5])]


def test_no_changes_and_too_few_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no changes"):
        channels_of([])
    with pytest.raises(ValueError, match="zip"):
        channels_of([(0, 0)], names=["D0"])


def test_channels_hold_every_change_of_a_session() -> None:
    session = simulated()
    words = dict(session.changes)
    for line, one in zip(LINES, session.channels, strict=True):
        times = np.array(sorted(words))
        levels = np.array([bool(words[at] & line.mask) for at in times.tolist()])
        assert one.edges_ns.tolist() == times[1:][levels[1:] != levels[:-1]].tolist()
