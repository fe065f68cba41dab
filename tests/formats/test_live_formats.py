"""The binary formats of ``m43 sniff --live``, read back while they grow and when they are whole."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.analyser import ANALYSERS, NoticeKind
from m43tools import live as live_module
from m43tools.cli import main
from m43tools.extras import MissingExtraError
from m43tools.outlet import BinaryOutlet
from m43tools.render import binary, packets
from m43tools.render.perfetto import REMARKS_TRACK
from m43tools.render.remarks import REMARKS
from tests.formats.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TSHARK = shutil.which("tshark") or ""
DISSECTOR = ROOT / "tools" / "wireshark" / "m43.lua"
FORMATS = ("pcapng", "perfetto", "parquet")
HOLE = "fake:?hole=overflow@4206000:2000"
"""A session without 2000 samples in the middle of its first status."""

IN_HOLE_NS = 4_206_000 * 125
LOST_NS = 2000 * 125

needs_tshark = pytest.mark.skipif(not TSHARK, reason="tshark is not on this machine (apt-get install tshark)")
posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


@pytest.fixture(autouse=True)
def _plugged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ANALYSERS, "fake", ("tests.analyser.fakesource:fake", "fake:"))


def needed(module: str) -> Any:
    return pytest.importorskip(module, reason=f"{module} is not installed (pip install -e '.[dev]')")


def fields_shown(path: Path | str, *names: str, **options: Any) -> list[list[str]]:
    """Return the packets of a file as tshark shows them: some fields of each."""
    wanted = [word for name in names for word in ("-e", name)]
    command = [TSHARK, "-X", f"lua_script:{DISSECTOR}", "-r", str(path), "-T", "fields", *wanted]
    run = subprocess.run(command, capture_output=True, check=True, text=True, **options)
    assert "Lua" not in run.stderr
    return [line.split("\t") for line in run.stdout.splitlines()]


def read_pcapng(path: Path) -> list[object]:
    """Return the packets, each with its time and all of its bytes and comments."""
    assert TSHARK, "tshark is not on this machine (apt-get install tshark)"
    names = (
        "frame.time_epoch",
        "frame.comment",
        "m43.kind",
        "m43.remark",
        "m43.duration_ns",
        "m43.command",
        "m43.data",
    )
    return [tuple(row) for row in fields_shown(path, *names)]


def read_parquet(path: Path) -> list[object]:
    """Return the rows, without the columns in which a live source is unlike a capture."""
    rows = needed("pyarrow.parquet").read_table(path).to_pylist()
    return [{key: value for key, value in row.items() if key not in ("capture", "exact", "rows")} for row in rows]


def read_perfetto(path: Path) -> list[object]:
    """Return the packets, without the name of the capture."""
    pb2 = needed("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    return [str(packet) for packet in pb2.Trace.FromString(path.read_bytes()).packet[1:]]


READ = {"pcapng": read_pcapng, "parquet": read_parquet, "perfetto": read_perfetto}


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> str:
    if request.param == "pcapng" and not TSHARK:
        pytest.skip("tshark is not on this machine (apt-get install tshark)")
    return str(request.param)


def sniffed(*arguments: object) -> int:
    return main(["sniff", *map(str, arguments)])


@pytest.mark.parametrize("more", [(), ("--from", "520ms", "--to", "549ms"), ("--only", "Status,power_up,focus_toggle")])
def test_live_writes_what_its_recording_gives(form: str, tmp_path: Path, more: tuple[str, ...]) -> None:
    recorded, live, later = tmp_path / "a.sr", tmp_path / "live", tmp_path / "later"
    assert sniffed("--live", "fake:", "--record", recorded, "--format", form, "-o", live, *more) == 0
    assert sniffed(recorded, "--format", form, "-o", later, *more) == 0
    assert READ[form](live) == READ[form](later)
    assert len(READ[form](live)) > 3


@needs_tshark
def test_a_hole_is_a_packet_with_a_comment(tmp_path: Path) -> None:
    assert sniffed("--live", HOLE, "--format", "pcapng", "-o", tmp_path / "a") == 1
    rows = fields_shown(
        tmp_path / "a", "frame.time_epoch", "m43.remark", "m43.duration_ns", "frame.comment", "m43.name"
    )
    at = next(index for index, row in enumerate(rows) if row[1])
    code = packets.REMARK_CODES["overflow"]
    assert rows[at] == ["0.525750000", str(code), str(LOST_NS), "overflow: 2000 samples are lost", ""]
    assert rows[at - 1][3:] == ["the transaction broke off", "Status"]
    assert [row[1] for row in rows].count("") == len(rows) - 1


def test_a_hole_is_a_row_of_parquet(tmp_path: Path) -> None:
    duckdb = needed("duckdb")
    target = tmp_path / "a.parquet"
    assert sniffed("--live", HOLE, "--format", "parquet", "-o", target) == 1
    query = f"SELECT event, t_ns, end_ns, exact, rows, detail, capture FROM '{target}' WHERE exact IS NOT NULL"
    expected = ("overflow", IN_HOLE_NS, IN_HOLE_NS + LOST_NS, True, None, "2000 samples are lost", HOLE)
    assert duckdb.connect().sql(query).fetchall() == [expected]


def test_a_hole_is_a_slice_on_a_track_of_its_own(tmp_path: Path) -> None:
    pb2 = needed("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    assert sniffed("--live", HOLE, "--format", "perfetto", "-o", tmp_path / "a") == 1
    trace = pb2.Trace.FromString((tmp_path / "a").read_bytes())
    (track,) = [p.track_descriptor for p in trace.packet if p.track_descriptor.name == REMARKS_TRACK]
    begin, end = [p for p in trace.packet if p.track_event.track_uuid == track.uuid]
    told = {one.name: one.string_value or one.bool_value for one in begin.track_event.debug_annotations}
    assert (begin.track_event.name, told) == ("overflow", {"detail": "2000 samples are lost", "exact": True})
    assert (begin.timestamp, end.timestamp) == (IN_HOLE_NS, IN_HOLE_NS + LOST_NS)


def test_a_trigger_is_first_in_each(form: str, tmp_path: Path) -> None:
    target = tmp_path / "a"
    assert sniffed("--live", "fake:", "--format", form, "-o", target, "--trigger", "Drive.aperture_f>3") == 0
    first = next(text for text in map(str, READ[form](target)) if "trigger" in text)
    assert "Drive.aperture_f>3" in first
    assert len(READ[form](target)) > 5


def started(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.analyser.fakesource", "sniff", "--live", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, **options)


@needs_tshark
@posix
@pytest.mark.parametrize("through", ["pipe", "fifo"])
def test_tshark_shows_packets_while_the_source_runs(tmp_path: Path, through: str) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    target, where = (fifo, str(fifo)) if through == "fifo" else ("/dev/stdout", "-")
    source = started("fake:?times=9000&pace=1", "--format", "pcapng", "-o", target, stdout=subprocess.PIPE)
    show = [TSHARK, "-l", "-X", f"lua_script:{DISSECTOR}", "-r", where]
    shark = subprocess.Popen(show, bufsize=0, stdin=source.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shark.stdout is not None
    shown = [shark.stdout.readline().decode() for _ in range(30)]
    assert source.poll() is None, "it has ended"
    assert any("Identify" in line for line in shown)
    source.send_signal(signal.SIGINT)
    assert source.stdout is not None
    source.stdout.close()
    rest, told = shark.communicate(timeout=20)
    assert source.wait(20) == 0, source.communicate()
    lines = "".join(shown).splitlines() + rest.decode().splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    assert all("M43" in line for line in lines)
    assert b"cut short" not in told
    assert source.stderr is not None
    source.stderr.close()


@posix
@pytest.mark.parametrize("after_s", [0.0, 0.3])
def test_ctrl_c_leaves_a_whole_file(form: str, tmp_path: Path, after_s: float) -> None:
    target = tmp_path / "a"
    process = started("fake:?times=9000&pace=5", "--format", form, "-o", target, "--record", tmp_path / "a.sr")
    wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(".a.*.part")))
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert len(READ[form](target)) > (3 if after_s else -1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.sr"]


def wait_until(holds: Any, limit_s: float = 20.0) -> None:
    end_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end_s, "it never happened"
        time.sleep(0.01)


class Slow(io.BytesIO):
    """A reader that takes its time."""

    def write(self, data: Any) -> int:
        time.sleep(0.002)
        return super().write(data)


@needs_tshark
def test_a_slow_reader_costs_packets_that_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    everything = tmp_path / "all"
    assert sniffed("--live", "fake:?times=20", "--format", "pcapng", "-o", everything) == 0
    slow = Slow()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=slow, isatty=lambda: False, flush=lambda: None))
    monkeypatch.setattr(live_module, "BinaryOutlet", partial(BinaryOutlet, most=3000))
    assert sniffed("--live", "fake:?times=20", "--format", "pcapng") == 0
    monkeypatch.undo()
    (tmp_path / "slow").write_bytes(slow.getvalue())
    rows = fields_shown(tmp_path / "slow", "m43.remark", "frame.comment")
    skipped = [int(comment.split()[1]) for remark, comment in rows if remark == str(packets.REMARK_CODES["skipped"])]
    assert skipped
    assert len(rows) - len(skipped) + sum(skipped) == len(fields_shown(everything, "m43.kind")) > 300


def test_what_is_not_installed_is_said_before_the_analyser_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise MissingExtraError("this needs pyarrow; install it with: pip install 'm43proto[columns]'")

    one = binary.BINARY_FORMATS["parquet"]
    monkeypatch.setitem(binary.BINARY_FORMATS, "parquet", binary.BinaryFormat(one.suffix, one.layers, refuse))  # type: ignore[arg-type]
    monkeypatch.setattr(live_module, "open_analyser", lambda *_, **__: pytest.fail("it was opened"))
    assert sniffed("--live", "fake:", "--format", "parquet", "-o", tmp_path / "a") == 2
    assert capsys.readouterr().err == "m43: this needs pyarrow; install it with: pip install 'm43proto[columns]'\n"


def test_every_remark_has_a_number_that_stays() -> None:
    """Files on disk hold them: a number may be added, never changed."""
    assert list(packets.REMARK_CODES.values()) == list(range(1, 8))
    assert list(packets.REMARK_CODES) == list(REMARKS) == [*map(str, NoticeKind), "skipped", "trigger"]
