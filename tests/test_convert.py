"""``m43 convert`` as its user runs it: what goes in comes out, in every format, and what does not is told."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m43drivers.capture import Channel, open_capture
from m43drivers.capture.writing import FORMATS, write_capture
from m43drivers.capture.writing.resampling import resampled
from m43proto.pins import LINES
from tests.capture.support import edges, plain, traffic
from tests.capture.writers import channel, on_grid, raw_bytes, sal_bytes, sigrok_bytes, vcd_bytes
from tests.test_sniff import Run

if TYPE_CHECKING:
    from collections.abc import Callable

Traffic = tuple[list[Channel], int]

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "captures" / "sim-e-pl1__sim-olympus-14-42__power-up"
NAMES = [line.value for line in LINES]
PINS = ",".join(f"{name}=D{bit}" for bit, name in enumerate(NAMES))
SUFFIXES = [form.suffixes[0] for form in FORMATS.values()]
NAMELESS = {".raw", ".ols"}

every_format = pytest.mark.parametrize("suffix", SUFFIXES)
examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=10)


@pytest.fixture
def m43(capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    return lambda *arguments: Run(arguments, capsys)


def read(path: Path, rate_hz: int, channels: int) -> Any:
    return open_capture(path, rate_hz=rate_hz if path.suffix == ".raw" else None, channels=channels)


@every_format
@examples
@given(drawn=traffic(longest_ns=20_000), rate=st.sampled_from([24_000_000, 12_500_000, 10**9, 333_333]))
def test_samples_come_back_through_every_format(
    suffix: str, tmp_path: Path, m43: Callable[..., Run], drawn: Traffic, rate: int
) -> None:
    channels, end_ns = drawn
    folder = Path(mkdtemp(dir=tmp_path))
    (folder / "in.sr").write_bytes(sigrok_bytes(channels, end_ns, rate))
    assert m43("convert", folder / "in.sr", folder / f"out{suffix}").code == 0
    back = ("convert", folder / f"out{suffix}", folder / "back.sr", "--rate", f"{rate}", "--channels", len(channels))
    assert m43(*back).code == 0
    first, last = open_capture(folder / "in.sr"), open_capture(folder / "back.sr")
    if suffix in NAMELESS:
        assert edges(last.channels) == edges(first.channels)
    else:
        assert sorted(plain(last.channels)) == sorted(plain(first.channels))
    assert (last.end_ns, last.sample_rate_hz) == (first.end_ns, first.sample_rate_hz)


@every_format
@examples
@given(drawn=traffic(longest_ns=20_000))
def test_times_come_back_through_every_format_at_1_ghz(
    suffix: str, tmp_path: Path, m43: Callable[..., Run], drawn: Traffic
) -> None:
    channels, end_ns = drawn
    folder = Path(mkdtemp(dir=tmp_path))
    (folder / "in.vcd").write_bytes(vcd_bytes(channels, end_ns))
    run = m43("convert", folder / "in.vcd", folder / f"out{suffix}", "--rate", "1GHz")
    assert run.code == 0
    assert "lost" not in run.err
    assert "moved" not in run.err
    capture = read(folder / f"out{suffix}", 10**9, len(channels))
    width = len(channels)
    assert sorted(edges(capture.channels[:width])) == sorted(edges(channels))
    assert capture.end_ns == end_ns


@pytest.mark.parametrize("suffix", [".csv", ".bin", ".vcd"])
def test_times_stay_times_without_a_rate(suffix: str, tmp_path: Path, m43: Callable[..., Run]) -> None:
    channels = [channel("CLK", 0, [3, 41, 83]), channel("DATA", 1, [41])]
    (tmp_path / "in.vcd").write_bytes(vcd_bytes(channels, 100))
    run = m43("convert", tmp_path / "in.vcd", tmp_path / f"out{suffix}")
    assert (run.code, run.err) == (0, "")
    capture = open_capture(tmp_path / f"out{suffix}")
    assert (plain(capture.channels), capture.end_ns) == (plain(channels), 100)


@every_format
def test_a_converted_session_decodes_to_the_same_messages(suffix: str, tmp_path: Path, m43: Callable[..., Run]) -> None:
    """Times may differ by the half nanosecond that formats of times round."""
    out = tmp_path / f"out{suffix}"
    assert m43("convert", LIBRARY / "capture.sr", out).code == 0
    pins = ("--pins", PINS) if suffix in NAMELESS else ()
    rate = ("--rate", "24MHz", "--channels", 7) if suffix == ".raw" else ()
    run = m43("sniff", out, "--format", "jsonl", *pins, *rate)
    assert run.out == (LIBRARY / "expected.jsonl").read_text(encoding="utf-8")


def test_another_rate_is_what_an_analyser_of_that_rate_sees(tmp_path: Path, m43: Callable[..., Run]) -> None:
    channels = [channel("CLK", 0, [250, 500, 2_000, 2_100, 5_500]), channel("DATA", 1, [5_400])]
    (tmp_path / "in.sr").write_bytes(sigrok_bytes(channels, 10_000, 20_000_000))
    run = m43("convert", tmp_path / "in.sr", tmp_path / "out.sr", "--rate", "1MHz")
    assert run.code == 0
    write_capture(tmp_path / "truth.sr", channels, 10_000, rate_hz=1_000_000)
    capture, truth = open_capture(tmp_path / "out.sr"), open_capture(tmp_path / "truth.sr")
    assert plain(capture.channels) == plain(truth.channels)
    assert run.err.splitlines() == [
        "m43: 3 of 6 changes lie between two samples of 1 MHz and are lost",
        "m43: 5 changes moved by up to 900 ns, to the samples of 1 MHz",
    ]


def test_channels_can_be_chosen_and_renamed(tmp_path: Path, m43: Callable[..., Run]) -> None:
    channels = [channel(f"D{bit}", bit & 1, [100 * bit + 100]) for bit in range(8)]
    (tmp_path / "in.sr").write_bytes(sigrok_bytes(channels, 2_000, 10**9))
    run = m43("convert", tmp_path / "in.sr", tmp_path / "out.vcd", "--pins", "CLK=D3,DATA=0,D5")
    assert run.code == 0
    chosen = [(new, channels[bit]) for new, bit in (("CLK", 3), ("DATA", 0), ("D5", 5))]
    assert plain(open_capture(tmp_path / "out.vcd").channels) == [
        (new, one.initial, one.edges_ns.tolist()) for new, one in chosen
    ]


def test_names_that_a_format_cannot_hold_are_told(tmp_path: Path, m43: Callable[..., Run]) -> None:
    channels = [channel(name, 0, [100]) for name in ("CS#", "CS?", "a/b", "clk", "CLK")]
    (tmp_path / "in.sal").write_bytes(sal_bytes(channels, 1_000))
    run = m43("convert", tmp_path / "in.sal", tmp_path / "out.bin")
    assert run.code == 0
    assert "CS# is CS_, CS? is CS_-2, a/b is a_b, CLK is CLK-2" in run.err
    assert sorted(one.name for one in open_capture(tmp_path / "out.bin").channels) == [
        "CLK-2",
        "CS_",
        "CS_-2",
        "a_b",
        "clk",
    ]


def test_that_data_are_synthetic_goes_with_them(tmp_path: Path, m43: Callable[..., Run]) -> None:
    assert m43("convert", LIBRARY / "capture.sr", tmp_path / "a.vcd").code == 0
    assert m43("convert", tmp_path / "a.vcd", tmp_path / "b.sr", "--rate", "24MHz").code == 0
    comment = open_capture(tmp_path / "b.sr").provenance.details["comment"]
    assert comment.startswith("Converted by m43proto from a.vcd (vcd). Converted by m43proto from capture.sr (sigrok).")
    assert "Synthetic: computed by m43proto, not recorded." in comment


def test_a_format_can_be_asked_for_by_name(tmp_path: Path, m43: Callable[..., Run]) -> None:
    run = m43("convert", LIBRARY / "capture.sr", tmp_path / "samples", "--to", "raw")
    assert run.code == 0
    assert "--rate 24000000 --channels 7" in run.err
    with zipfile.ZipFile(LIBRARY / "capture.sr") as archive:
        entries = sorted(name for name in archive.namelist() if name.startswith("logic-1"))
        assert (tmp_path / "samples").read_bytes() == b"".join(map(archive.read, entries))


# what is refused


def sr(folder: Path) -> Path:
    path = folder / "in.sr"
    path.write_bytes(sigrok_bytes([channel("CLK", 0, [100, 300])], 1_000, 10**9))
    return path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("in.sr", "in.sr"), "in.sr is the capture itself; choose another output"),
        (("in.sr", "out.sal"), "out.sal: Logic 2 sessions are read, but not written"),
        (("in.sr", "out.wav"), "out.wav: no format has this suffix; use one of .sr, .vcd, .csv, .bin, .dsl, .ols"),
        (("in.vcd", "out.sr"), "in.vcd holds times, and out.sr samples; say how many per second with --rate"),
        (("in.sr", "out.sr", "--rate", "2GHz"), "expected a sample rate from 1 Hz to 1 GHz, found 2000000000 Hz"),
        (("in.sr", "out.sr", "--rate", "0.5"), "a rate of 0.5 Hz is no whole number"),
        (("in.sr", "out.sr", "--pins", "A=CLOCK"), "no channel is called 'CLOCK'; did you mean CLK?"),
        (("in.sr", "out.sr", "--pins", "A=CLK,A=CLK"), "must look like CLK=D3,DATA=D1, each name once"),
        (("missing.sr", "out.sr"), "missing.sr: cannot be read (No such file or directory)"),
        (("in.raw", "out.sr"), "raw samples carry no sample rate; give it with --rate"),
        (("cut.vcd", "out.csv"), "cut.vcd: line 12: expected a declared identifier"),
        (("in.sr", "folder.sr"), "a folder of this name is there already"),
        (("in.sr",), "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_told_and_writes_nothing(
    arguments: tuple[str, ...], line: str, tmp_path: Path, m43: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = sr(tmp_path).read_bytes()
    (tmp_path / "in.vcd").write_bytes(vcd_bytes([channel("CLK", 0, [100])], 200))
    (tmp_path / "cut.vcd").write_bytes(vcd_bytes([channel("CLK", 0, [100])], 200) + b"1?\n")
    (tmp_path / "in.raw").write_bytes(raw_bytes([channel("CLK", 0, [100])], 200, 10**9))
    (tmp_path / "folder.sr").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    run = m43("convert", *arguments)
    assert run.code == 2
    assert line in run.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "in.sr").read_bytes() == whole


@every_format
def test_an_interrupt_leaves_nothing(
    suffix: str, tmp_path: Path, m43: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sr(tmp_path)

    def interrupted(*arguments: Any) -> Any:
        samples, loss = resampled(*arguments)

        def stopped() -> Any:
            yield from list(samples.stretches)[:1]
            raise KeyboardInterrupt

        return type(samples)(samples.names, samples.rate_hz, stopped()), loss

    monkeypatch.setattr("m43drivers.capture.writing.resampled", interrupted)
    run = m43("convert", source, tmp_path / f"out{suffix}")
    assert (run.code, run.err) == (130, "m43: interrupted\n")
    assert list(tmp_path.iterdir()) == [source]


# pipes


def piped(data: bytes, *arguments: object, folder: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "m43tools", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, cwd=folder, timeout=60, check=False)


def test_captures_come_through_a_pipe(tmp_path: Path) -> None:
    channels = [channel("CLK", 0, range(100, 60_000, 125)), channel("DATA", 1, [3_000, 8_000])]
    expected = plain(on_grid(channels, 8_000_000))
    (tmp_path / "in.sr").write_bytes(sigrok_bytes(channels, 60_000, 8_000_000))
    dump = vcd_bytes(on_grid(channels, 8_000_000), 60_000)
    run = piped(dump, "convert", "-", "out.sr", "--rate", "8MHz", folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    assert plain(open_capture(tmp_path / "out.sr").channels) == expected
    samples = raw_bytes(channels, 60_000, 8_000_000)
    run = piped(samples, "convert", "-", "raw.sr", "--rate", "8MHz", "--channels", 2, folder=tmp_path)
    assert (run.returncode, run.stderr) == (0, b"")
    assert edges(open_capture(tmp_path / "raw.sr").channels) == [one[1:] for one in expected]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "nothing came in; check the program before the pipe"),
        (b"hello\n", "begins with 'hello\\n'; from a pipe can be read: value change dump (.vcd)"),
        (b"PK\x03\x04", "save anything else to a file"),
        (b"$timescale 1 ns $end\n", "line 2: the file ends before $enddefinitions"),
    ],
)
def test_what_cannot_be_read_from_a_pipe_is_told(data: bytes, line: str, tmp_path: Path) -> None:
    run = piped(data, "convert", "-", "out.csv", folder=tmp_path)
    assert run.returncode == 2
    assert line in run.stderr.decode()
    assert run.stderr.count(b"\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="needs a pipe that tells when it is read")
def test_a_dump_is_decoded_as_it_arrives(tmp_path: Path, m43: Callable[..., Run]) -> None:
    """The first messages are out before the last bytes are in."""
    assert m43("convert", LIBRARY / "capture.sr", tmp_path / "a.vcd").code == 0
    with subprocess.Popen(
        [sys.executable, "-m", "m43tools", "sniff", "-", "--format", "jsonl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write((tmp_path / "a.vcd").read_bytes())
        program.stdin.flush()
        first = program.stdout.readline()
        program.stdin.close()
        rest = program.stdout.read()
    assert (first + rest).decode() == (LIBRARY / "expected.jsonl").read_text(encoding="utf-8")
