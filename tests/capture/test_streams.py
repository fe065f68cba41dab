"""Streams: the law of their blocks for every format, and columns that give what words and rows give."""

from __future__ import annotations

import random
import tracemalloc
from itertools import pairwise
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m43drivers.capture import CaptureError, Channel, merged_changes, open_capture, open_stream, saleae_csv, vcd
from m43drivers.capture import input as capture_input
from tests.capture.support import plain, traffic
from tests.capture.writers import (
    channel,
    dsl_bytes,
    logic1_bytes,
    ols_bytes,
    raw_bytes,
    sal_bytes,
    saleae_binary_files,
    saleae_csv_bytes,
    sigrok_bytes,
    vcd_bytes,
    write_files,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from m43drivers.capture.stream import Block, CaptureStream

Traffic = tuple[list[Channel], int]

RATE = 10**9
BINARY = "a folder of .bin"
MAKERS: dict[str, Callable[[list[Channel], int], bytes]] = {
    "a.vcd": vcd_bytes,
    "fine.vcd": lambda channels, end_ns: vcd_bytes(channels, end_ns, timescale="1 ps"),
    "a.csv": saleae_csv_bytes,
    "a.sr": lambda channels, end_ns: sigrok_bytes(channels, end_ns, RATE, chunk=1000),
    "a.raw": lambda channels, end_ns: raw_bytes(channels, end_ns, RATE),
    "v1.sal": lambda channels, end_ns: sal_bytes(channels, end_ns, RATE, version=1, chunk=700),
    "v2.sal": lambda channels, end_ns: sal_bytes(channels, end_ns, RATE, version=2, chunk=700),
    "a.dsl": lambda channels, end_ns: dsl_bytes(channels, end_ns, RATE),
    "a.ols": lambda channels, end_ns: ols_bytes(channels, end_ns, RATE),
    "a.bin": lambda channels, end_ns: logic1_bytes(channels, end_ns, RATE, word=2),
}

every_format = pytest.mark.parametrize("name", [*MAKERS, BINARY])
examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)


@pytest.fixture(params=[64, 1 << 17], ids=["small pieces", "pieces"])
def piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Have texts read in pieces of so many bytes, and lists of toggles of so many eighths."""
    size: int = request.param
    monkeypatch.setattr(capture_input, "BLOCK", size)
    monkeypatch.setattr("m43drivers.capture.saleae_binary.PIECE", size // 8)
    monkeypatch.setattr("m43drivers.capture.saleae_session.PIECE", size // 8)
    monkeypatch.setattr("m43drivers.capture.ols.BATCH", size // 8)
    monkeypatch.setattr("m43drivers.capture.logic1.PIECE_RECORDS", size // 8)
    return size


def written(folder: Path, name: str, channels: list[Channel], end_ns: int) -> Path:
    """Write a capture of a format; one of Logic 1 needs some changes to be known as such."""
    if name == BINARY:
        return write_files(Path(mkdtemp(dir=folder)), saleae_binary_files(channels, end_ns))
    path = folder / name
    path.write_bytes(MAKERS[name](channels, end_ns))
    return path


def opened(path: Path, channels: list[Channel]) -> CaptureStream:
    width = len(channels)
    return open_stream(path, rate_hz=RATE, channels=width)


def checked(blocks: Iterable[Block], mask: int) -> tuple[list[int], list[int], int]:
    """Give all rows and the end, after a check that the blocks keep their law."""
    ticks: list[int] = []
    states: list[int] = []
    end = -1
    for block in blocks:
        assert block.ticks.dtype == np.int64
        assert block.ticks.size == block.states.size
        assert all(end < tick <= block.end for tick in block.ticks.tolist())
        assert block.end >= end
        ticks += block.ticks.tolist()
        states += block.states.tolist()
        end = block.end
    assert ticks[0] == 0
    assert all(before < after for before, after in pairwise(ticks))
    assert all(before != after for before, after in pairwise(states))
    assert all(state & ~mask == 0 for state in states)
    return ticks, states, end


@every_format
@examples
@given(drawn=traffic(longest_ns=5_000), data=st.data())
def test_blocks_hold_the_changes_of_the_lines_that_matter(
    name: str, piece: int, tmp_path: Path, drawn: Traffic, data: st.DataObject
) -> None:
    channels, end_ns = drawn
    channels[0] = channel(channels[0].name, 0, range(1, end_ns + 1, max(end_ns // 40, 1)))
    if name == "a.bin" and end_ns < 10:
        return
    stream = opened(written(tmp_path, name, channels, end_ns), channels)
    mask = data.draw(st.integers(0, (1 << len(channels)) - 1))
    for wanted in (None, mask):
        kept = (1 << len(channels)) - 1 if wanted is None else mask
        rest = [one if kept >> bit & 1 else channel(one.name, 0, []) for bit, one in enumerate(channels)]
        times, states = merged_changes(rest)
        ticks, found, end = checked(stream.blocks(wanted), kept)
        assert (ticks, found, end) == (times.tolist(), states.tolist(), end_ns)


@every_format
def test_a_stream_can_be_read_again(name: str, tmp_path: Path) -> None:
    channels = [channel("CLK", 0, range(10, 500, 7)), channel("DATA", 1, [40, 90])]
    stream = opened(written(tmp_path, name, channels, 600), channels)
    assert stream.again
    assert checked(stream.blocks(None), 3) == checked(stream.blocks(None), 3)


# columns


def outcome(path: Path) -> Any:
    """Give all that a capture holds, or the text of its error."""
    try:
        capture = open_capture(path)
    except CaptureError as error:
        return str(error)
    return plain(capture.channels), capture.end_ns, dict(capture.provenance.details)


def both(path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch, slow: tuple[type, str]) -> tuple[Any, Any]:
    """Read a file in columns as far as they go, and without them."""
    path.write_bytes(data)
    in_columns = outcome(path)
    with monkeypatch.context() as patch:
        patch.setattr(*slow, lambda self, text: None)
        return in_columns, outcome(path)


VCD_HEAD = (
    '$timescale {} $end $var wire 1 ! A $end $var wire 1 "x B $end $var wire 1 0 C $end $var wire 8 # W $end '
    '$enddefinitions $end\n#{} 0! x"x 10\n'
)
VCD_CHANGES = ["0!", "1!", '0"x', '1"x', "00", "10", "x!", "z0", "h!", "L0", "0#"]
VCD_RARE = ["b1 !", "b1010 #", "$comment 0! $end", "$dumpon", "$end", "1?", "#x", "&", "#3", "0", "r1.5 #", "\x00", "#"]
SPACES = ["\n", " ", "\r\n", "\n\n", "\t", "  "]


def vcd_text(rng: random.Random) -> bytes:
    """Draw a dump that is mostly regular."""
    timescale = rng.choice(["1 ns", "1 ps", "10 ps", "1 fs", "100 us", "1 s"])
    now = rng.choice([0, 5, 123_456_789_012])
    parts = [VCD_HEAD.format(timescale, now)]
    strange = rng.random() < 0.4
    for _ in range(rng.randrange(120)):
        now += rng.choice([0, 1, 7, 400, 1_000_000, 10**13]) if rng.random() < 0.9 else rng.randrange(10**6)
        changes = [rng.choice(VCD_CHANGES) for _ in range(rng.randrange(4))]
        if strange and rng.random() < 0.05:
            changes.append(rng.choice(VCD_RARE))
        space = rng.choice(SPACES) if strange else "\n"
        parts.append(space.join([f"#{now}", *changes]) + space)
    return "".join(parts).encode()[: None if rng.random() < 0.8 else -rng.randrange(1, 20)]


@pytest.mark.parametrize("seed", range(60))
def test_a_dump_in_columns_is_the_same_as_word_by_word(
    seed: int, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"seed {seed}")
    data = vcd_text(random.Random(seed))
    columns, words = both(tmp_path / "a.vcd", data, monkeypatch, (vcd._Body, "_in_columns"))
    assert columns == words


def csv_text(rng: random.Random) -> bytes:
    """Draw a table that is mostly regular."""
    width, decimals, comma = rng.choice([1, 2, 4, 5, 9]), rng.choice([9, 9, 12, 15]), rng.choice([",", ", "])
    dates, end = rng.random() < 0.3, rng.choice(["\n", "\r\n"])
    suffix = rng.choice(["Z", "+00:00", "-05:30", ""]) if dates else ""
    units = rng.choice([0, -(10 ** (decimals - 3)), 5 * 10**decimals]) if not dates else 10**decimals
    lines = [comma.join(["Time [s]", *(f"Channel {number}" for number in range(width))])]
    strange = rng.random() < 0.4
    for _ in range(rng.randrange(1, 80)):
        units += rng.choice([0, 1, 499, 10**3, 10 ** (decimals - 1)])
        whole, rest = divmod(abs(units), 10**decimals)
        sign = "-" if units < 0 else ""
        text = f"2024-02-29T23:{whole // 60 % 60:02}:{whole % 60:02}" if dates else f"{sign}{whole}"
        cells = [rng.choice("01") for _ in range(width)]
        stamp = f"{text}.{rest:0{decimals}}{suffix}"
        if strange and rng.random() < 0.05:
            stamp = rng.choice([stamp, f'"{stamp}"', "0.5", "1e-3", "oops", "", "1.2.3", "-0.000000001", f" {stamp}"])
            cells[-1] = rng.choice(["X", "2", "", " 1", '"0"'])
        lines.append(comma.join([stamp, *cells]))
        if strange and rng.random() < 0.05:
            lines.append("")
    return (end.join(lines) + (end if rng.random() < 0.8 else "")).encode()


@pytest.mark.parametrize("seed", range(60))
def test_a_table_in_columns_is_the_same_as_row_by_row(
    seed: int, piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"seed {seed}")
    data = csv_text(random.Random(seed))
    columns, rows = both(tmp_path / "a.csv", data, monkeypatch, (saleae_csv._Table, "_in_columns"))
    assert columns == rows


def test_regular_files_are_read_in_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the two tests above compare is not twice the same: columns take nearly all of a regular file."""
    channels = [channel("CLK", 0, range(10, 600_000, 10)), channel("DATA", 1, range(11, 600_000, 130))]
    seen: dict[str, list[bool]] = {"a.vcd": [], "fine.vcd": [], "a.csv": []}

    def watch(owner: type[vcd._Body] | type[saleae_csv._Table], name: str) -> None:
        whole: Any = owner._in_columns

        def watched(self: Any, text: bytes) -> Any:
            found = whole(self, text)
            seen[name].append(found is not None)
            return found

        monkeypatch.setattr(owner, "_in_columns", watched)

    for name, owner in (("a.vcd", vcd._Body), ("fine.vcd", vcd._Body), ("a.csv", saleae_csv._Table)):
        with monkeypatch.context():
            watch(owner, name)
            assert plain(open_capture(written(tmp_path, name, channels, 600_000)).channels) == plain(channels)
        assert sum(seen[name]) >= 5
        assert seen[name].count(False) <= 1


def test_more_lines_than_a_word_has_bits_are_read(tmp_path: Path) -> None:
    names = [f"LINE{bit}" for bit in range(100)]
    declared = "".join(f"$var wire 1 i{bit} {name} $end\n" for bit, name in enumerate(names))
    changes = "".join(f"#{bit + 1} 1i{bit}\n" for bit in range(100))
    (tmp_path / "a.vcd").write_text(f"$timescale 1 ns $end {declared} $enddefinitions $end\n#0\n{changes}")
    rows = [f"{at}e-9," + ",".join("01"[bit < at] for bit in range(100)) for at in range(101)]
    (tmp_path / "a.csv").write_text("\n".join([",".join(["Time [s]", *names]), *rows]))
    dump = open_capture(tmp_path / "a.vcd").channels
    table = open_capture(tmp_path / "a.csv").channels
    assert plain(dump) == plain(table) == [(name, 0, [bit + 1]) for bit, name in enumerate(names)]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Four times the changes need no more memory."""
    for name in ("a.vcd", "a.csv", BINARY):
        peaks = []
        for count in (80_000, 320_000):
            path = written(tmp_path, name, [channel("CLK", 0, range(10, 10 * count, 10))], 10 * count)
            tracemalloc.start()
            for _ in open_stream(path).blocks(None):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.3 * peaks[0] + (1 << 20), (name, peaks)
