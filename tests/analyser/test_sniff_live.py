"""``m43 sniff --live`` as its user runs it: with a source that plays a simulated session, a board, and sigrok-cli."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from m43drivers.analyser import ANALYSERS, CLOSE_S, Notice, NoticeKind, open_analyser
from m43drivers.analyser import live as analyser_live
from m43drivers.analyser.changes import ChangeFinder
from m43drivers.analyser.observing import LiveObserver
from m43drivers.analyser.pieces import PieceQueue
from m43drivers.bulk.columns import Stretch
from m43drivers.capture import open_capture
from m43drivers.capture.stream import Block
from m43proto import PUBLIC
from m43proto.events import ByteSeen, FragmentSeen, MessageSeen, Violation
from m43proto.pins import LINES, Line
from m43tools import live as live_module
from m43tools.cli import main
from m43tools.figures import LABELS, Figures, histogram
from m43tools.outlet import TextOutlet
from m43tools.render.glyphs import UNICODE
from m43tools.summary import Summary
from tests.analyser.fakesource import session_samples
from tests.analyser.models import Pico, Plugged
from tests.analyser.test_whole import sent_by_a_board
from tests.capture.sessions import simulated
from tests.observing import of
from tests.transports.support import descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from m43drivers.analyser import Item
    from m43drivers.analyser.model import Piece
    from m43drivers.analyser.observing import LiveFound
    from m43proto.events import Event

posix = pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals and POSIX signals")
STARTED: list[subprocess.Popen[bytes]] = []
"""Processes of the test that runs, which do not outlive it where it fails."""

IN_STATUS = 4_206_000
"""A sample in the middle of the first status."""


@pytest.fixture(autouse=True)
def _plugged_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(ANALYSERS, "fake", ("tests.analyser.fakesource:fake", "fake:"))
    before = descriptors(), threading.active_count()
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
            process.wait()
    STARTED.clear()
    assert (descriptors(), threading.active_count()) == before


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["sniff", *map(str, arguments)])
    return (code, *capsys.readouterr())


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("layer", ["messages", "transactions", "bytes"])
def test_live_tells_what_its_recording_tells(capsys: pytest.CaptureFixture[str], tmp_path: Path, layer: str) -> None:
    shown = ("--layer", layer, "--format", "jsonl")
    code, out, err = run(capsys, "--live", "fake:", "--record", tmp_path / "a.sr", *shown)
    assert (code, len(records(out)) > 10) == (0, True)
    assert f"{tmp_path / 'a.sr'}: 0.56" in err
    assert run(capsys, tmp_path / "a.sr", *shown)[:2] == (0, out)


def test_a_hole_is_told_and_nothing_is_joined_across_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    source = f"fake:?hole=overflow@{IN_STATUS}:2000"
    code, out, err = run(capsys, "--live", source, "--format", "jsonl", "--record", tmp_path / "a.sr")
    found = records(out)
    at = next(index for index, record in enumerate(found) if record.get("event") == "overflow")
    assert found[at] == {
        "event": "overflow",
        "t_ns": IN_STATUS * 125,
        "end_ns": (IN_STATUS + 2000) * 125,
        "exact": True,
        "detail": "2000 samples are lost",
    }
    assert (found[at - 1]["name"], found[at - 1]["complete"]) == ("Status", False)
    assert [record["event"] for record in found[at + 1 : at + 3]] == ["focus_toggle", "fragment"]
    assert all(record.get("event") != "violation" for record in found)
    assert (code, "m43: 0.525750 s: overflow: 2000 samples are lost" in err) == (1, True)
    assert "(overflow)" in open_capture(tmp_path / "a.sr").provenance.details["comment"]


def test_a_hole_is_a_row_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = run(capsys, "--live", f"fake:?hole=overflow@{IN_STATUS}:2000")
    rows = out.splitlines()
    at = next(index for index, row in enumerate(rows) if "overflow" in row)
    assert rows[at].split(maxsplit=1) == ["0.525750000", "overflow: 2000 samples are lost"]
    assert "Status" in rows[at - 1]
    assert err == "m43: 0.525750 s: overflow: 2000 samples are lost\n"


@posix
def test_on_one_terminal_a_hole_is_told_once() -> None:
    process, master = on_terminal(f"fake:?hole=overflow@{IN_STATUS}:2000")
    shown = b"".join(drawn(master)).decode()
    os.close(master)
    assert process.wait(10) == 1
    assert shown.count("samples are lost") == 1
    assert "m43: " not in shown


def test_a_gap_between_buffers_is_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--live", "fake:?hole=gap@60000:5000", "--format", "csv")
    assert code == 0
    assert "gap,,7500000,8125000,,,5000 samples are lost" in out


def test_a_trigger_shows_and_records_what_came_shortly_before(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ("--trigger", "Drive.aperture_f>3", "--pre", "3ms", "--duration", "10ms", "--format", "jsonl")
    code, out, err = run(capsys, "--live", "fake:", *arguments, "--record", tmp_path / "a.sr")
    assert err.startswith("m43: waiting for the trigger Drive.aperture_f>3\n")
    first, *rest = records(out)
    assert (code, first["event"], first["t_ns"]) == (0, "trigger", 527_054_375)
    assert [one.get("name", one.get("event")) for one in rest] == [
        "frame_sync", "Status", "focus_toggle", "Drive", "frame_sync", "Status",
    ]  # fmt: skip
    assert min(one["t_ns"] for one in rest) >= first["t_ns"] - 3_000_000
    assert "0.527054 s: trigger: Drive.aperture_f>3" in err
    assert open_capture(tmp_path / "a.sr").end_ns == pytest.approx(13_000_000, abs=1000)
    _, again, _ = run(capsys, tmp_path / "a.sr", "--format", "jsonl")
    assert [one.get("name", one.get("event")) for one in records(again)] == [
        one.get("name", one.get("event")) for one in rest
    ]


@pytest.mark.parametrize("more", [(), ("--trigger", "violation")])
def test_it_ends_when_nothing_more_can_be_shown(capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    """The source goes on for minutes; what is shown of it is what a capture shows."""
    began_s = time.monotonic()
    code, out, _ = run(capsys, "--live", "fake:?times=200&pace=5", "--format", "jsonl", "--to", "530ms", *more)
    assert (code, time.monotonic() - began_s < 15) == (0, True)
    whole = run(capsys, "--live", "fake:", "--format", "jsonl", "--to", "530ms")[1]
    assert out == ("" if more else whole)
    assert whole.count("\n") > 5


def test_an_edge_is_a_trigger(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "--live", "fake:", "--trigger", "FOCUS_", "--pre", "0", "--format", "jsonl")
    first, second, *_ = records(out)
    assert (first["event"], first["detail"]) == ("trigger", "FOCUS_")
    assert (second["event"], second["level"], second["t_ns"]) == ("focus_toggle", 0, first["t_ns"])


def test_a_trigger_that_never_fires_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "--live", "fake:", "--trigger", "violation", "--record", tmp_path / "a.sr")
    assert (code, out.count("\n")) == (0, 2)
    assert "m43: the trigger violation never fired" in err
    assert "m43: nothing was recorded" in err
    assert not list(tmp_path.iterdir())


def test_lines_are_found_and_a_ring_of_files_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recording = ("--record", tmp_path / "a.sr", "--ring", "2", "--max-size", "3MB")
    code, out, err = run(capsys, "--live", "fake:?names=0&times=6", "--pins", "auto", "--summary", *recording)
    assert code == 0
    assert "m43: waiting for traffic" in err
    assert "--pins" in err
    assert " Identify " in out
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--live", "nonsense:"), "no such source; write fx2lafw"),
        (("--live", "fake:", "--trigger", "Foo"), "nothing is called so"),
        (("--live", "fake:", "a.sr"), "leave out a.sr, or --live"),
        (("--live", "fake:", "--pre", "3ms"), "give both"),
        (("--live", "fake:", "--ring", "3"), "give it, too"),
        (("--live", "fake:", "--record", "a.vcd"), "call it FILE.sr"),
        (("--live", "fake:", "--watch"), "needs a terminal"),
        (("--live", "fake:?names=0"), "--pins auto"),
        (("--live", "fake:", "--record", "/nowhere/a.sr"), "cannot be written"),
        (("--live", "pico:/dev/nowhere"), "m43 ports lists those there are"),
        (("--live", "fake:", "--jobs", "2"), "an analyser is one"),
        (("--live", "fake:", "--watch", "--format", "csv"), "add -o FILE"),
        (("--live", "fake:", "--watch", "--summary"), "leave out --summary"),
        (("--live", "fake:", "--format", "parquet", "--summary"), "--summary has no parquet form"),
        (("--live", "fake:", "--format", "pcapng", "--layer", "bytes"), "shows transactions or messages"),
        (("--watch", "a.sr"), "--watch goes with --live SOURCE only"),
        (("--duration", "1s", "a.sr"), "--duration goes with --live SOURCE only"),
        ((), "name a CAPTURE, or an analyser with --live SOURCE"),
    ],
)
def test_what_does_not_go_is_said(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_slow_terminal_costs_rows_that_are_counted_and_no_samples(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The terminal takes nothing until rows have to be left out."""
    _, everything, _ = run(capsys, "--live", "fake:?times=20", "--format", "jsonl")
    filled = threading.Event()

    class Watched(TextOutlet):
        @property
        def full(self) -> bool:
            full = super().full
            if full:
                filled.set()
            return full

    class Held(io.StringIO):
        def write(self, text: str) -> int:
            assert filled.wait(30)
            return super().write(text)

    held = Held()
    monkeypatch.setattr(sys, "stdout", held)
    monkeypatch.setattr(live_module, "TextOutlet", partial(Watched, most=3000))
    assert main(["sniff", "--live", "fake:?times=20", "--format", "jsonl"]) == 0
    found = records(held.getvalue())
    skipped = [record["rows"] for record in found if record.get("event") == "skipped"]
    assert skipped
    assert len(found) - len(skipped) + sum(skipped) == everything.count("\n") > 300


def test_a_decoder_that_is_too_slow_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder does nothing until the queue has thrown a block away."""
    lost = threading.Event()

    class Watched(PieceQueue):
        def put(self, item: Piece | Notice) -> None:
            super().put(item)
            if self.lost_ticks:
                lost.set()

    class Held(LiveObserver):
        def take(self, item: Item) -> Iterator[LiveFound]:
            assert lost.wait(30)
            return super().take(item)

    monkeypatch.setattr(analyser_live, "PieceQueue", Watched)
    monkeypatch.setattr(live_module, "LiveObserver", Held)
    monkeypatch.setattr(live_module, "open_analyser", partial(open_analyser, capacity=3000))
    code, out, err = run(capsys, "--live", "fake:?times=30", "--format", "jsonl")
    told = [record for record in records(out) if record.get("event") == "overrun"]
    assert (code, bool(told)) == (1, True)
    assert all(f"{record['t_ns'] / 1e9:.6f} s: overrun: {record['detail']}" in err for record in told)


def test_what_waits_for_more_is_told_when_nothing_comes() -> None:
    observer = LiveObserver({line: line.bit for line in LINES}, PUBLIC, Fraction(125))
    finder = ChangeFinder(len(LINES))
    piece = finder.samples(session_samples()[:IN_STATUS])
    assert piece is not None
    assert list(observer.take(piece.block))
    idle = Block(np.empty(0, np.int64), np.empty(0, np.uint8), IN_STATUS + 1_000_000)
    waiting = [event for portion in observer.take(idle) if isinstance(portion, list) for event in portion]
    assert bytes(event.value for event in of(ByteSeen, waiting))[:4] == bytes.fromhex("c1800106")
    assert list(observer.take(idle)) == []


def test_wrong_lines_fill_no_memory() -> None:
    """Clocks without end that are no traffic: what fits nowhere is told now and then, not at the end of time."""
    observer = LiveObserver({Line.CLK: 0, Line.DATA: 1}, PUBLIC, Fraction(125), most_vain=5000)
    finder, rng = ChangeFinder(2), np.random.default_rng(8)
    fragments = []
    for _ in range(20):
        clocks = (
            np.tile(np.array([0, 0, 1, 1], np.uint8), 1000)
            | np.repeat(rng.integers(0, 2, 1000), 4).astype(np.uint8) << 1
        )
        piece = finder.samples(clocks)
        assert piece is not None
        found = [event for portion in observer.take(piece.block) if isinstance(portion, list) for event in portion]
        fragments += of(FragmentSeen, found)
    assert len(fragments) > 5
    assert max(len(fragment.data) for fragment in fragments) < 1000


@posix
@pytest.mark.parametrize("after_s", [0.0, 0.2, 0.45])
def test_ctrl_c_leaves_whole_lines_and_a_recording(tmp_path: Path, after_s: float) -> None:
    command = [sys.executable, "-m", "tests.analyser.fakesource", "sniff", "--live", "fake:?times=900&pace=20&hang=1"]
    command += ["--format", "jsonl", "--layer", "bytes", "--record", str(tmp_path / "a.sr")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert records((first + out).decode())
    assert [path.name for path in tmp_path.iterdir()] == ["a.sr"]
    assert open_capture(tmp_path / "a.sr").end_ns > 0


def sniffing(folder: Path, source: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a process that sniffs and records, and wait for its first line."""
    command = [sys.executable, "-m", "tests.analyser.fakesource", "sniff", "--live", source, *map(str, arguments)]
    command += ["--format", "jsonl", "--layer", "bytes", "--record", str(folder / "a.sr")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    STARTED.append(process)
    assert process.stdout is not None
    assert records(process.stdout.readline().decode())
    return process


@posix
def test_the_first_ctrl_c_waits_for_the_end_and_the_second_does_not(tmp_path: Path) -> None:
    process = sniffing(tmp_path, "fake:?stuck=1")
    assert process.stdout is not None
    while records(process.stdout.readline().decode())[0]["t_ns"] < 549_000_000:
        pass  # What comes behind is the end, where the driver does not return from.
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err.decode().splitlines()[-1]) == (130, "m43: interrupted")
    assert time.monotonic() - began_s < CLOSE_S + 3
    assert records(out.decode())[-1]["t_ns"] < 560_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["a.sr"]
    assert open_capture(tmp_path / "a.sr").end_ns == pytest.approx(0.56e9, rel=0.1)


@posix
@pytest.mark.parametrize("gap_s", [0.002, 0.01, 0.03, 0.1, 0.3])
def test_two_ctrl_c_leave_a_whole_recording_whenever_they_come(tmp_path: Path, gap_s: float) -> None:
    """Ended in order, interrupted, or by the signal itself when everything is done: never half."""
    process = sniffing(tmp_path, "fake:?times=900&pace=20", "-o", "/dev/stdout")
    process.send_signal(signal.SIGINT)
    time.sleep(gap_s)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode in (0, 130, -signal.SIGINT), err
    assert b"Traceback" not in err
    assert records(out.decode()) or process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["a.sr"]
    assert open_capture(tmp_path / "a.sr").end_ns > 0


@posix
def test_a_file_that_is_not_written_whole_does_not_appear(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Stuck(TextOutlet):
        """A disk that does not answer."""

        def close(self, limit_s: float) -> int:
            if self._target is sys.stderr:
                return super().close(limit_s)
            super().close(10)
            return 1

    monkeypatch.setattr(live_module, "TextOutlet", Stuck)
    code, _, err = run(capsys, "--live", "fake:", "--format", "jsonl", "-o", tmp_path / "a.jsonl")
    assert (code, err) == (2, f"m43: {tmp_path / 'a.jsonl'}: cannot be written: it takes longer than 60 s\n")
    assert not list(tmp_path.iterdir())


def drawn(master: int) -> Iterator[bytes]:
    """Yield what a program draws on a terminal until it ends, or nothing has come for ten seconds."""
    while select.select([master], [], [], 10)[0]:
        try:
            yield os.read(master, 65536)
        except OSError:
            return


@posix
def test_the_screen_shows_figures_and_ends_with_ctrl_c() -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "tests.analyser.fakesource", "sniff", "--live", "fake:?times=90&pace=2", "--watch"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "COLUMNS": "60"})
    os.close(slave)
    shown = b""
    for picture in drawn(master):
        shown += picture
        if shown.count(b"poll periods") >= 6 and process.poll() is None:
            process.send_signal(signal.SIGINT)
            shown += b"".join(drawn(master))
    os.close(master)
    process.wait(10)
    text = shown.decode()
    assert process.returncode == 0
    for expected in ("M per second", "Olympus M.Zuiko", "f/3.78", "focus position", "wrong sums", "0 samples", " ms "):
        assert expected in text


def watching(*arguments: str, colours: bool = True) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process that watches on a terminal of its own; return it and the other end of that."""
    return on_terminal(*arguments, "--watch", colours=colours)


def on_terminal(*arguments: str, colours: bool = True) -> tuple[subprocess.Popen[bytes], int]:
    """Start a process that sniffs on a terminal of its own; return it and the other end of that."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "tests.analyser.fakesource", "sniff", "--live", *arguments]
    wish = {} if colours else {"NO_COLOR": "1"}
    known = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env={**known, "TERM": "xterm-256color", **wish}
    )
    STARTED.append(process)
    os.close(slave)
    return process, master


def seen_until(master: int, expected: bytes) -> bytes:
    shown = b""
    for picture in drawn(master):
        shown += picture
        if expected in shown:
            return shown
    raise AssertionError(f"{expected!r} was never shown: {shown[-2000:]!r}")


HOLES = "fake:?times=900&pace=2&hole=overflow@4206000:2000"
LEAVE_SCREEN = b"\x1b[?1049l"


@posix
@pytest.mark.parametrize("colours", [True, False])
def test_what_is_wrong_strikes_the_eye(colours: bool) -> None:
    process, master = watching(HOLES, colours=colours)
    shown = seen_until(master, b"Olympus")
    shown += seen_until(master, b"overflow 2")
    process.send_signal(signal.SIGINT)
    shown += b"".join(drawn(master))
    os.close(master)
    assert process.wait(10) == 1
    assert (b"\x1b[1;31m" in shown, b"\x1b[31m" in shown) == (colours, False)
    assert b"inferred" in shown


@posix
def test_a_terminal_that_is_slow_skips_pictures_and_loses_nothing() -> None:
    process, master = watching("fake:?times=900&pace=2")
    shown = seen_until(master, b"Olympus")
    time.sleep(3)
    shown += seen_until(master, b"pictures left out")
    process.send_signal(signal.SIGINT)
    shown += b"".join(drawn(master))
    os.close(master)
    assert process.wait(10) == 0
    assert re.search(rb"[1-9]\d* pictures left out: the terminal is slow", shown)
    assert b"[0m0 samples" in shown


@posix
def test_a_second_ctrl_c_gives_the_terminal_back() -> None:
    process, master = watching("fake:?stuck=1")
    shown = seen_until(master, b"Olympus")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    shown += b"".join(drawn(master))
    os.close(master)
    assert process.wait(10) == 130
    assert shown.count(LEAVE_SCREEN) == 1
    assert shown.endswith(b"m43: interrupted\r\n")


@posix
def test_rows_go_to_a_file_beside_the_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "a.jsonl"
    process, master = watching("fake:?times=2&pace=2", "--format", "jsonl", "-o", str(target))
    shown = b"".join(drawn(master))
    os.close(master)
    assert (process.wait(10), b"Olympus" in shown) == (0, True)
    _, everything, _ = run(capsys, "--live", "fake:?times=2", "--format", "jsonl")
    assert target.read_text(encoding="utf-8") == everything


@posix
def test_the_screen_counts_while_a_trigger_waits() -> None:
    process, master = watching("fake:?times=900&pace=2", "--trigger", "violation")
    shown = seen_until(master, b"Olympus")
    process.send_signal(signal.SIGINT)
    shown += b"".join(drawn(master))
    os.close(master)
    assert process.wait(10) == 0
    assert b"never fired" in shown


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 26), (40, 30)])
def test_the_screen_fits_the_terminal(size: tuple[int, int]) -> None:
    figures, summary = Figures("fake:?times=90", Fraction(125), PUBLIC), Summary()
    observer = LiveObserver({line: line.bit for line in LINES}, PUBLIC, Fraction(125))
    for item in items_of((IN_STATUS, 2000), 100_000):
        figures.add_item(item)
        for found in observer.take(item):
            figures.add_found(found)
            if isinstance(found, list):
                for event in found:
                    summary.add(event)
    more = [("last told", "0.5 s: overflow"), ("trigger", "waits"), ("recording", "on")]
    rows = figures.rows(summary, UNICODE, more, size)
    columns, lines = size
    assert sum(-(-max(len(text), 1) // (columns - LABELS)) for _, text in rows) + 2 <= lines
    assert [label for label, _ in rows].count("poll periods") == 1
    assert figures.alarms(summary) == {"lost", "notices"}


@posix
def test_a_board_at_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    sent, count = sent_by_a_board()
    with Plugged(Pico([sent])) as path:
        pins = ",".join(f"{line}=D{bit + 2}" for bit, line in enumerate(LINES))
        settings = ("--rate", "8MHz", "--channels", len(LINES), "--duration", f"{count * 125}ns")
        code, out, err = run(capsys, "--live", f"pico:{path}", "--pins", pins, *settings, "--format", "jsonl")
    assert (code, err) == (0, "")
    said = [(record["name"], record["command"]) for record in records(out) if "name" in record]
    assert said == [(event.name, event.transaction.command.hex()) for event in of(MessageSeen, simulated().events)]


@pytest.mark.skipif(shutil.which("sigrok-cli") is None, reason="sigrok-cli is not installed")
def test_sigrok_cli_is_a_source(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("--pins", "CLK=D0,DATA=D1", "--rate", "1MHz", "--channels", "8", "--duration", "300ms", "--summary")
    code, out, err = run(capsys, "--live", "sigrok:demo", *arguments, "--record", tmp_path / "a.sr")
    assert code in (0, 1), err
    assert out.startswith("capture      0.300 s")
    assert open_capture(tmp_path / "a.sr").end_ns == pytest.approx(300_000_000, abs=1000)


def items_of(hole: tuple[int, int] | None, piece: int) -> Iterator[Block | Notice]:
    """Yield the session in pieces, without the samples of a hole: the first, and how many."""
    samples = session_samples()
    finder = ChangeFinder(len(LINES))
    at, count = hole or (samples.size, 0)
    for begin, end in ((0, at), (at + count, samples.size)):
        finder.skip(begin - finder.position)
        if 0 < begin < samples.size:
            yield Notice(NoticeKind.OVERFLOW, at, begin, True, "lost")
        for cut in range(begin, end, piece):
            found = finder.samples(samples[cut : min(cut + piece, end)])
            assert found is not None
            yield found.block


def told_of(lines: tuple[Line, ...], hole: tuple[int, int] | None, piece: int = 100_000) -> tuple[list[Event], int]:
    """Return what is told of a session, and how much of that before the hole."""
    observer = LiveObserver({line: line.bit for line in lines}, PUBLIC, Fraction(125))
    events: list[Event] = []
    before = 0
    for portion in chain((found for item in items_of(hole, piece) for found in observer.take(item)), observer.finish()):
        if isinstance(portion, Notice):
            before = len(events)
        elif isinstance(portion, Stretch):
            events += portion.events(PUBLIC)
        elif isinstance(portion, list):
            events += portion
    return events, before


@pytest.mark.parametrize("seed", range(12))
def test_no_hole_makes_a_violation_or_a_message_that_was_not_sent(seed: int) -> None:
    rng = random.Random(seed)
    lines = tuple(LINES) if seed % 2 else tuple(line for line in LINES if line is not Line.BODY_ACK)
    at, count = rng.randrange(4_150_000, 4_400_000), rng.choice((1, 7, 300, 20_000))
    events, before = told_of(lines, (at, count), rng.choice((5_000, 100_000)))
    sent = of(MessageSeen, told_of(lines, None)[0])
    whole = [event for event in of(MessageSeen, events) if event.transaction.complete]
    assert [event for event in whole if event not in sent] == []
    cut = [one for one in sent if one.end_ns >= at * 125 - 200_000 and one.t_ns <= (at + count) * 125]
    assert len(sent) - len(whole) <= max(len(cut), 1)
    assert not of(Violation, events), f"seed {seed}: {of(Violation, events)}"
    assert all(event.t_ns < at * 125 for event in events[:before])
    assert all(event.t_ns >= at * 125 for event in of(FragmentSeen, events[before:]))


def test_periods_are_counted() -> None:
    assert histogram([0]) == ["fewer than two polls"]
    assert histogram([0, 16_700_000, 33_400_000], 46) == ["    16.7-16.8 ms    2 ########################"]
    rows = histogram([0, 10_000_000, 20_000_000, 40_000_000], width=30)
    assert (rows[0], rows[-1]) == ("    10.0-11.7 ms    2 ########", "    18.3-20.0 ms    1 ####")


def test_a_pause_does_not_hide_the_pace() -> None:
    times_ns = [number * 16_700_000 + (number % 7) * 300_000 for number in range(200)]
    rows = histogram([*times_ns, times_ns[-1] + 2_000_000_000])
    assert rows[-1].split()[:4] == ["to", "2000.0", "ms", "1"]
    assert len(rows) == 7
    assert sum(int(row.split()[-2 if "#" in row else -1]) for row in rows) == 200
