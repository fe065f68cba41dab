"""sigrok sessions: what real writers leave in them, and every way in which they can be broken."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from m43drivers.capture import CaptureError, open_capture, open_stream
from m43drivers.capture.archive import PIECE, Archive, _inflated
from tests.capture.support import capture_of, edges, plain, refusal_of
from tests.capture.writers import channel, sigrok_bytes, sigrok_metadata, sigrok_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

METADATA = sigrok_metadata(["CLK", "DATA"], 1_000_000, 1)
SAMPLES = bytes([0, 1, 1, 3, 2, 2, 0, 0])
EDGES = [(0, [1000, 4000]), (0, [3000, 6000])]
DEVICE = "[device 1]\ncapturefile=logic-1\n"


def session(
    metadata: str | None = METADATA, members: dict[str, bytes] | None = None, version: str | None = "2"
) -> bytes:
    return sigrok_zip(metadata, {"logic-1-1": SAMPLES} if members is None else members, version=version)


def with_key(key: str, value: str) -> bytes:
    lines = [line for line in METADATA.splitlines() if not line.startswith(f"{key}=")]
    return session("\n".join([*lines, f"{key}={value}"]))


def resized(data: bytes, name: str, size: int) -> bytes:
    """Change the size that the zip directory declares for an entry."""
    at = data.index(name.encode(), data.index(b"PK\x01\x02"))
    # In a directory record the size stands 24 bytes after its mark, the name 46 bytes.
    return data[: at - 22] + struct.pack("<I", size) + data[at - 18 :]


def test_chunks_make_one_capture(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.sr", session(members={"logic-1-1": SAMPLES[:3], "logic-1-2": SAMPLES[3:]}))
    assert plain(capture.channels) == [("CLK", *EDGES[0]), ("DATA", *EDGES[1])]
    assert (capture.end_ns, capture.sample_rate_hz) == (7000, 1e6)
    assert capture.provenance.format == "sigrok"
    assert capture.provenance.path == str(tmp_path / "a.sr")
    assert capture.provenance.details["samplerate"] == "1000000 Hz"


def test_chunks_are_joined_in_numeric_order(tmp_path: Path) -> None:
    members = {f"logic-1-{number}": bytes([number & 1]) for number in range(12, 0, -1)}
    capture = capture_of(tmp_path, "a.sr", session(members=members))
    assert capture.channels[0].edges_ns.tolist() == [1000 * number for number in range(1, 12)]


@pytest.mark.parametrize("version", ["1", "2", "2\n"])
def test_a_single_member_without_number_is_read(tmp_path: Path, version: str) -> None:
    capture = capture_of(tmp_path, "a.sr", session(members={"logic-1": SAMPLES}, version=version))
    assert edges(capture.channels) == EDGES


def test_metadata_of_version_1_with_indented_keys_is_read(tmp_path: Path) -> None:
    metadata = (
        "[global]\nsigrok version = 0.2.0\n[device 1]\ndriver = ols\ncapturefile = logic-1\nunitsize = 1\n"
        "total probes = 2\nsamplerate = 1 MHz\nprobe1 = SCL\n trigger1 = 1\nprobe2 = SDA\n trigger2 = 0\n"
    )
    capture = capture_of(tmp_path, "a.sr", session(metadata, {"logic-1": SAMPLES}, "1"))
    assert plain(capture.channels) == [("SCL", *EDGES[0]), ("SDA", *EDGES[1])]
    assert capture.provenance.details["driver"] == "ols"


@pytest.mark.parametrize(
    ("text", "hertz"),
    [
        ("24 MHz", 24e6),
        ("2 mHz", 2e6),
        ("1MHz", 1e6),
        ("12.500000 MHz", 12.5e6),
        ("5 Hz", 5),
        ("400 kHz", 400e3),
        ("1 GHz", 1e9),
        ("500000", 500e3),
        ("10 KHZ", 10e3),
        ("1 g", 1e9),
    ],
)
def test_samplerates_are_read_as_sigrok_does(tmp_path: Path, text: str, hertz: float) -> None:
    assert capture_of(tmp_path, "a.sr", with_key("samplerate", text)).sample_rate_hz == hertz


def test_a_given_rate_wins_over_the_file(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.sr", session(), rate_hz=2e6)
    assert (capture.end_ns, capture.sample_rate_hz) == (3500, 2e6)


def test_a_rate_can_be_given_where_the_file_has_none(tmp_path: Path) -> None:
    data = session(METADATA.replace("samplerate=1000000 Hz\n", ""))
    assert "give it with --rate (rate_hz)" in refusal_of(tmp_path, "a.sr", data)
    assert capture_of(tmp_path, "a.sr", data, rate_hz=1e6).end_ns == 7000


def test_lines_without_a_name_are_called_by_their_bit(tmp_path: Path) -> None:
    metadata = f"{DEVICE}total probes=4\nsamplerate=1 MHz\nprobe3=CLK\nprobe4=\nunitsize=1\n"
    capture = capture_of(tmp_path, "a.sr", session(metadata))
    labels = [(one.name, one.aliases) for one in capture.channels]
    assert labels == [("D0", ("0",)), ("D1", ("1",)), ("CLK", ("D2", "2")), ("D3", ("3",))]


def test_names_in_the_file_win_over_stand_ins_and_aliases(tmp_path: Path) -> None:
    metadata = f"{DEVICE}total probes=4\nsamplerate=1 MHz\nprobe2=D0\nprobe3=3\nunitsize=1\n"
    capture = capture_of(tmp_path, "a.sr", session(metadata))
    labels = [(one.name, one.aliases) for one in capture.channels]
    assert labels == [("bit 0", ("0",)), ("D0", ("D1", "1")), ("3", ("D2", "2")), ("D3", ())]


def test_a_name_used_twice_is_told_apart(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.sr", session(METADATA.replace("=DATA", "=CLK")))
    assert [one.name for one in capture.channels] == ["CLK", "CLK (2)"]


def test_escapes_in_names_are_undone(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.sr", session(METADATA.replace("=DATA", r"=\sA\\B")))
    assert capture.channels[1].name == r"A\B"


def test_more_lines_than_bits_leave_the_bits(tmp_path: Path) -> None:
    metadata = f"{DEVICE}unitsize=1\ntotal probes=32\nsamplerate=1 MHz\nprobe1=SCL\nprobe2=SDA\n"
    assert len(capture_of(tmp_path, "a.sr", session(metadata)).channels) == 8


def test_five_byte_samples_are_read(tmp_path: Path) -> None:
    metadata = f"{DEVICE}total probes=34\nsamplerate=1 MHz\nprobe34=TOP\nunitsize=5\n"
    data = b"".join((state << 33).to_bytes(5, "little") for state in SAMPLES)
    capture = capture_of(tmp_path, "a.sr", session(metadata, {"logic-1-1": data[:7], "logic-1-2": data[7:]}))
    assert plain(capture.channels[33:]) == [("TOP", *EDGES[0])]


def test_a_missing_unitsize_follows_from_the_number_of_lines(tmp_path: Path) -> None:
    metadata = f"{DEVICE}total probes=9\nsamplerate=1 MHz\n"
    capture = capture_of(tmp_path, "a.sr", session(metadata, {"logic-1-1": bytes([0, 0, 0, 1])}))
    assert capture.channels[8].edges_ns.tolist() == [1000]


def test_changes_on_unlisted_bits_are_no_edges(tmp_path: Path) -> None:
    capture = capture_of(tmp_path, "a.sr", session(members={"logic-1-1": bytes([0, 0x80, 0x81, 0x01])}))
    assert edges(capture.channels) == [(0, [2000]), (0, [])]


def test_edges_survive_piece_borders(tmp_path: Path) -> None:
    piece = 1 << 18
    toggles = [piece - 1, piece, piece + 1, 2 * piece, 3 * piece - 1]
    channels = [channel("CLK", 1, [1000 * at for at in toggles])]
    capture = capture_of(tmp_path, "a.sr", sigrok_bytes(channels, 4 * piece * 1000, 1_000_000))
    assert plain(capture.channels) == plain(channels)


def test_many_changes_are_all_kept(tmp_path: Path) -> None:
    samples = bytes([0, 1, 3, 2]) * 100_000
    capture = capture_of(tmp_path, "a.sr", session(members={"logic-1-1": samples}))
    assert [one.edges_ns.size for one in capture.channels] == [200_000, 199_999]
    assert capture.channels[0].edges_ns[-3:].tolist() == [399_995_000, 399_997_000, 399_999_000]


def test_faster_than_a_nanosecond_keeps_edges_strictly_increasing(tmp_path: Path) -> None:
    data = session(METADATA.replace("1000000 Hz", "10 GHz"), {"logic-1-1": bytes([0, 1, 0, 1] * 10 + [0])})
    for one in capture_of(tmp_path, "a.sr", data).channels:
        assert all(before < after for before, after in zip([0, *one.edges_ns], one.edges_ns, strict=False))


def test_progress_rises_to_one(tmp_path: Path) -> None:
    data = sigrok_bytes([channel("CLK", 0, [5000])], 10**9 // 2, 10_000_000)
    (tmp_path / "a.sr").write_bytes(data)
    seen: list[float] = []
    open_capture(tmp_path / "a.sr", progress=seen.append)
    assert seen == sorted(seen)
    assert 10 < len(seen) < 300
    assert seen[-1] == 1.0


def test_a_long_idle_capture_costs_no_memory(tmp_path: Path) -> None:
    member = bytes(32 << 20)
    path = tmp_path / "a.sr"
    path.write_bytes(session(members={"logic-1-1": member, "logic-1-2": member}))
    tracemalloc.start()
    capture = open_capture(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert capture.end_ns == ((64 << 20) - 1) * 1000
    assert peak < 4 << 20


def analog() -> bytes:
    metadata = "[device 1]\nsamplerate=500 kHz\ntotal analog=1\nanalog1=CH1\n"
    return session(metadata, {"analog-1-1-1": bytes(400)})


def doubled() -> bytes:
    # Two entries of one name: renamed after writing, since zipfile warns about it.
    data = session(members={"logic-1-1": SAMPLES, "logic-1-X": SAMPLES})
    return data.replace(b"logic-1-X", b"logic-1-1")


def encrypted() -> bytes:
    data = session()
    at = data.index(b"logic-1-1", data.index(b"PK\x01\x02")) - 46
    return data[: at + 8] + b"\x01\x00" + data[at + 10 :]


def corrupt_deflate() -> bytes:
    data = session(members={"logic-1-1": bytes(range(256)) * 4})
    at = data.index(b"logic-1-1") + len("logic-1-1")
    return data[:at] + b"\xff" * 20 + data[at + 20 :]


def wrong_crc() -> bytes:
    data = sigrok_zip(METADATA, {"logic-1-1": SAMPLES}, method=zipfile.ZIP_STORED)
    return data.replace(SAMPLES, SAMPLES[::-1], 1)


def short_deflate() -> bytes:
    """An entry whose deflate stream stops in the middle, with sizes that say so in no way."""
    engine = zlib.compressobj(wbits=-15)
    whole = engine.compress(bytes(range(256)) * 100) + engine.flush()
    data = session(members={"logic-1-1": bytes(range(256)) * 100})
    return data.replace(whole, whole[:-40] + bytes(40), 1)


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "fewer bytes": (lambda: resized(session(), "logic-1-1", 80), "entry logic-1-1: claims 80 bytes but holds 8"),
    "more bytes": (lambda: resized(session(), "logic-1-1", 4), "entry logic-1-1: inflates to more than the 4 bytes"),
    "bomb": (
        lambda: resized(session(), "logic-1-1", 1 << 31),
        "entry logic-1-1: declares 2147483648 bytes, impossible",
    ),
    "large metadata": (lambda: session("#" * (2 << 20)), "entry metadata: is larger than"),
    "bomb in version": (lambda: resized(session(), "version", 1 << 30), "entry version: declares 1073741824 bytes"),
    "corrupt deflate": (corrupt_deflate, "entry logic-1-1: cannot be inflated"),
    "crc": (wrong_crc, "entry logic-1-1: fails its CRC check"),
    "cut deflate": (short_deflate, "entry logic-1-1: "),
    "encrypted": (encrypted, "entry logic-1-1: is encrypted"),
    "entry twice": (doubled, "names an entry twice"),
    "gap": (lambda: session(members={"logic-1-1": b"0", "logic-1-3": b"0"}), "entry logic-1-2: is missing"),
    "no first member": (lambda: session(members={"logic-1-2": b"0"}), "entry logic-1-1: is missing"),
    "no members": (lambda: session(members={}), "entry logic-1-1: is missing"),
    "empty member": (lambda: session(members={"logic-1-1": b""}), "holds no samples"),
    "analog": (analog, "analog channels only"),
    "no samples named": (lambda: session("[device 1]\ntotal probes=2\n"), "names no samples"),
    "no device": (lambda: session("[global]\n"), "names no samples"),
    "no metadata": (lambda: session(None), "without the entry 'metadata'"),
    "no version": (lambda: session(version=None), "without the entry 'version'"),
    "version 3": (lambda: session(version="3"), "entry version: expected sigrok session version 1 or 2, found '3'"),
    "garbage metadata": (lambda: session("[device 1]\nwhat\n"), "found 'what'"),
    "unit 0": (lambda: with_key("unitsize", "0"), "unitsize: expected a number from 1 to 8, found '0'"),
    "unit 99": (lambda: with_key("unitsize", "99"), "unitsize: expected a number from 1 to 8, found '99'"),
    "unit x": (lambda: with_key("unitsize", "x"), "unitsize: expected a number from 1 to 8, found 'x'"),
    "unit negative": (lambda: with_key("unitsize", "-1"), "unitsize: expected a number"),
    "unit does not divide": (lambda: with_key("unitsize", "3"), "8 bytes are no whole number of 3 byte samples"),
    "probes": (lambda: with_key("total probes", "1000000"), "total probes: expected a number from 1 to 64"),
    "no probes": (lambda: with_key("total probes", "none"), "total probes: expected a number from 1 to 64"),
    "probe outside": (lambda: with_key("probe12", "X"), "probe12: lies outside of samples of 1 bytes"),
    "rate 0": (lambda: with_key("samplerate", "0 Hz"), "samplerate: expected a rate like '24 MHz', found '0 Hz'"),
    "rate garbage": (lambda: with_key("samplerate", "fast"), "samplerate: expected a rate like '24 MHz', found 'fast'"),
    "rate negative": (lambda: with_key("samplerate", "-1 MHz"), "samplerate: expected a rate"),
    "unit superscript": (lambda: with_key("unitsize", "²"), "unitsize: expected a number"),
    "rate too slow": (lambda: with_key("samplerate", "0.0000000001 Hz"), "292 years"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_session_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    make, reason = BROKEN[case]
    assert reason in refusal_of(tmp_path, "a.sr", make())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from(
                ["capturefile", "total probes", "samplerate", "unitsize", "probe1", "probe64", "[device 2]"]
            ),
            st.sampled_from(["logic-1", "logic-1-1", "0", "1", "3", "8", "64", "1 MHz", "-1", "", "\\", "x\ty"]),
        )
    )
)
def test_arbitrary_metadata_give_a_capture_or_an_error(tmp_path: Path, lines: list[tuple[str, str]]) -> None:
    metadata = "[device 1]\ncapturefile=logic-1\n" + "\n".join(map("=".join, lines))
    (tmp_path / "a.sr").write_bytes(session(metadata))
    with suppress(CaptureError):
        assert len(open_capture(tmp_path / "a.sr", rate_hz=1e6).channels) <= 64


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
def test_a_cut_zip_is_refused(tmp_path: Path, kept: float) -> None:
    data = session()
    assert "cut or damaged" in refusal_of(tmp_path, "a.sr", data[: int(len(data) * kept)])


@pytest.mark.parametrize(("entry", "program"), [("meta.json", "Logic 2"), ("header", "DSView")])
def test_zips_of_other_programs_name_the_program(tmp_path: Path, entry: str, program: str) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(entry, "{}")
    assert program in refusal_of(tmp_path, "a.sr", target.getvalue())


def test_an_archive_whose_entry_lies_outside_is_refused(tmp_path: Path) -> None:
    data = session()
    at = data.index(b"logic-1-1", data.index(b"PK\x01\x02")) - 4
    assert "no entry begins at offset" in refusal_of(tmp_path, "a.sr", data[:at] + b"\x07" + data[at + 1 :])


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    bomb = resized(session("#" * (1 << 20)), "metadata", 0xFFFFFFF0)
    tracemalloc.start()
    refusal_of(tmp_path, "a.sr", bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_deflate_stream_that_ends_before_its_input_ends() -> None:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    held = bytes(2 * PIECE + 5)
    early = engine.compress(held) + engine.flush() + b"left over" * 100
    pieces = list(islice(_inflated([early, b"more"]), 50))
    assert len(pieces) < 50
    assert b"".join(pieces) == held


def repeated(tmp_path: Path, members: list[bytes], crc: int | None = None) -> Path:
    """Write a session of one line a sample; `crc` replaces the last member's in the zip directory."""
    path = tmp_path / "repeated.sr"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("version", "2")
        archive.writestr(
            "metadata",
            "[device 1]\ncapturefile=logic-1\ntotal probes=8\nsamplerate=1 MHz\nunitsize=1\n",
        )
        for number, data in enumerate(members, 1):
            archive.writestr(f"logic-1-{number}", data)
        entry = archive.getinfo(f"logic-1-{len(members)}")
        entry.CRC = entry.CRC if crc is None else crc
    return path


IDLE, HIGH, BUSY = bytes(5000), b"\x01" * 5000, bytes(2000) + b"\x01\x03" * 1500
NOISE = bytes(1000) + b"\x80" * 3000 + bytes(1000)
"""Changes in a line that does not matter below."""


@pytest.mark.parametrize("mask", [None, 0x7F])
@pytest.mark.parametrize(
    ("members", "inflated"),
    [
        ([IDLE, IDLE, IDLE], 2),
        ([IDLE, IDLE, BUSY, IDLE, IDLE, HIGH, IDLE], 6),
        ([IDLE, BUSY, HIGH, HIGH, HIGH, IDLE, IDLE, IDLE], 6),
        ([BUSY, BUSY, BUSY], 3),
    ],
)
def test_an_entry_like_an_earlier_still_one_is_not_inflated_again(
    tmp_path: Path, members: list[bytes], inflated: int, mask: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = repeated(tmp_path, members)
    streamed: list[str] = []
    original = Archive.stream

    def stream(self: Archive, name: str) -> Iterator[bytes]:
        streamed.append(name)
        return original(self, name)

    opened = open_stream(path)
    monkeypatch.setattr(Archive, "stream", stream)
    blocks = list(opened.blocks(mask))
    samples = np.frombuffer(b"".join(members), np.uint8)
    expected = np.flatnonzero(np.diff(samples, prepend=samples[0] ^ 1))
    assert np.concatenate([block.ticks for block in blocks]).tolist() == expected.tolist()
    assert np.concatenate([block.states for block in blocks]).tolist() == samples[expected].tolist()
    assert blocks[-1].end == len(samples) - 1
    assert len(streamed) == inflated


def test_changes_of_other_lines_are_passed_over_with_their_entry(tmp_path: Path) -> None:
    members = [NOISE, NOISE, NOISE, BUSY]
    blocks = list(open_stream(repeated(tmp_path, members)).blocks(0x7F))
    samples = np.frombuffer(b"".join(members), np.uint8) & 0x7F
    expected = np.flatnonzero(np.diff(samples, prepend=samples[0] ^ 1))
    assert np.concatenate([block.ticks for block in blocks]).tolist() == expected.tolist()


def test_an_entry_like_an_earlier_one_with_another_crc_is_damaged(tmp_path: Path) -> None:
    opened = open_stream(repeated(tmp_path, [IDLE, IDLE, IDLE, IDLE], crc=1))
    with pytest.raises(CaptureError, match="logic-1-4: fails its CRC check"):
        list(opened.blocks(None))
