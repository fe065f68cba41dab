"""``m43 sniff`` as its user runs it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from m43tools.cli import main
from m43tools.output import progress_on_stderr
from tests.recordings import (
    BAD_POLL,
    DRIVE,
    FORMATS,
    IDENTIFY,
    POLL,
    RATE_HZ,
    renamed,
    session,
    vcd,
)
from tests.waveform import BODY_ACK, LENS_ACK, Script, Waveform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from m43proto.pins import Line

PINS = "SLEEP=D4,BODY_ACK=D2,LENS_ACK=D3,CLK=D0,DATA=D1,FOCUS=D5,SHUTTER=D6"


@pytest.fixture
def waveform() -> Waveform:
    return session()


@pytest.fixture
def capture(tmp_path: Path, waveform: Waveform) -> Path:
    return vcd(tmp_path, waveform)


class Run:
    """What a run of ``m43`` in this process gave."""

    def __init__(self, arguments: tuple[Any, ...], capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        self.code = main([str(argument) for argument in arguments])
        self.out, self.err = capsys.readouterr()

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


M43: TypeAlias = "Callable[..., Run]"


@pytest.fixture
def m43(capsys: pytest.CaptureFixture[str]) -> M43:
    return lambda *arguments: Run(arguments, capsys)


def test_bytes_equal_what_was_sent(m43: M43, capture: Path, waveform: Waveform) -> None:
    run = m43("sniff", capture, "--layer", "bytes", "--format", "jsonl")
    assert run.code == 0
    assert run.records == [
        {"t_ns": sent.t_ns, "end_ns": sent.end_ns, "from": str(sent.sender), "value": sent.value}
        for sent in waveform.sent
    ]


def test_transactions_have_the_stable_keys(m43: M43, tmp_path: Path) -> None:
    waveform = session(BAD_POLL)
    run = m43("sniff", vcd(tmp_path, waveform), "--layer", "transactions", "--format", "jsonl")
    assert run.code == 1
    rows = [record for record in run.records if "event" not in record]
    assert [(row["t_ns"], row["end_ns"], row["command"], row["data"]) for row in rows] == [
        (t_ns, end_ns, script.command.hex(), script.data.hex()) for t_ns, end_ns, script in waveform.transactions
    ]
    shapes = {"A": "set", "B": "complete", "C": "read", "6": "write"}
    assert [row["shape"] for row in rows] == [shapes[script.letter] for *_, script in waveform.transactions]
    assert rows[-1] == {
        "t_ns": rows[-1]["t_ns"],
        "end_ns": rows[-1]["end_ns"],
        "command": "c1800106",
        "shape": "read",
        "command_sum": 0x4C,
        "command_sum_ok": False,
        "length": 31,
        "data": POLL.data.hex(),
        "data_sum": sum(POLL.data) % 256,
        "data_sum_ok": True,
        "status": None,
        "complete": True,
    }
    assert rows[0]["status"] == 0
    assert rows[0]["length"] is None
    assert rows[0]["data_sum_ok"] is None


def test_messages_have_names_fields_and_evidence(m43: M43, capture: Path) -> None:
    run = m43("sniff", capture, "--format", "jsonl")
    named: dict[str, Any] = {record["name"]: record for record in run.records if "name" in record}
    assert named["Status"]["fields"]["focus_distance_m"] == 0.33
    assert named["Status"]["fields"]["aperture_f"] == 3.5943
    assert named["Status"]["fields"]["flags"] == "c2e10000"
    assert named["Status"]["evidence"] == "confirmed"
    assert named["Identify"]["fields"]["lens"] == "Olympus M.Zuiko Digital 17mm F2.8 Pancake"
    assert named["Drive"]["fields"]["aperture_operation"] == "set"
    assert list(named["Drive"])[-3:] == ["name", "fields", "evidence"]


def test_pin_events_are_lines_with_an_event(m43: M43, capture: Path) -> None:
    events = [record for record in m43("sniff", capture, "--format", "jsonl").records if "event" in record]
    kinds = [record["event"] for record in events]
    assert kinds[:3] == ["power_up", "wake_pulse", "clock_hold"]
    assert kinds.count("frame_sync") == kinds.count("focus_toggle") == 6
    assert set(events[0]) == {"event", "t_ns", "end_ns", "level"}
    assert events[2]["end_ns"] - events[2]["t_ns"] == 1_000_000


def test_violations_are_lines_with_an_event_and_the_exit_code_says_so(m43: M43, tmp_path: Path) -> None:
    waveform = session()
    waveform.body_turn(b"\x33\x00\x00\x00")
    waveform.lens_byte(0x33)
    waveform.idle()
    waveform.transaction(POLL)
    path = vcd(tmp_path, waveform)
    for layer in ("bytes", "transactions", "messages"):
        run = m43("sniff", path, "--format", "jsonl", "--layer", layer)
        assert run.code == 1
        [violation] = [record for record in run.records if record.get("event") == "violation"]
        assert (violation["cause"], violation["data"]) == ("unknown_shape", "3300000033")
    assert "violation: unknown_shape: command 33 00 00 00" in m43("sniff", path).out


def test_a_cut_start_is_a_fragment_and_clean(m43: M43, tmp_path: Path, waveform: Waveform) -> None:
    cut = next(index for index, (t_ns, _) in enumerate(waveform.changes) if t_ns > waveform.sent[12].t_ns)
    waveform.changes[:cut] = [(0, waveform.changes[cut - 1][1])]
    path = vcd(tmp_path, waveform)
    run = m43("sniff", path, "--format", "jsonl")
    assert run.code == 0
    assert [record["event"] for record in run.records if "event" in record].count("fragment") == 1
    assert "fragment: " in m43("sniff", path).out


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_messages(m43: M43, tmp_path: Path, waveform: Waveform, form: str) -> None:
    raw = form == "raw"
    named = renamed(waveform.channels(), lambda number: f"D{number}") if raw else waveform.channels()
    path = FORMATS[form](tmp_path, named, waveform.now_ns)
    pins = PINS if raw else ",".join(f"{line}=D{at}" for at, line in enumerate(LINE_NAMES)) if form == "bin" else None
    run = m43(
        "sniff", path, "--format", "jsonl", *(["--pins", pins] if pins else []), *(["--rate", "24MHz"] if raw else [])
    )
    assert run.code == 0, run.err
    reference = m43("sniff", vcd(tmp_path, waveform, "reference.vcd"), "--format", "jsonl")
    assert [row.get("data") for row in run.records] == [row.get("data") for row in reference.records]
    assert [row.get("fields") for row in run.records] == [row.get("fields") for row in reference.records]
    tolerance_ns = 10**9 // RATE_HZ + 1
    for ours, theirs in zip(run.records, reference.records, strict=True):
        assert abs(ours["t_ns"] - theirs["t_ns"]) <= tolerance_ns


LINE_NAMES = ("CLK", "DATA", "BODY_ACK", "LENS_ACK", "SLEEP", "FOCUS", "SHUTTER")


@pytest.mark.parametrize("form", ["sr", "bin", "csv", "raw"])
def test_pins_auto_finds_unnamed_lines_and_says_how_sure(
    m43: M43, tmp_path: Path, waveform: Waveform, form: str
) -> None:
    channels = tuple(reversed(waveform.channels()))
    path = FORMATS[form](tmp_path, renamed(channels, lambda number: f"Channel {number}"), waveform.now_ns)
    rate = ["--rate", "24M", "--channels", "7"] if form == "raw" else []
    run = m43("sniff", path, "--pins", "auto", "--format", "jsonl", *rate)
    assert run.code == 0
    assert "sure, " in run.err
    assert "likely, by pattern" in run.err
    named = m43("sniff", vcd(tmp_path, waveform, "reference.vcd"), "--format", "jsonl")
    assert [row.get("fields") for row in run.records] == [row.get("fields") for row in named.records]


def test_missing_ack_lines_are_fine(m43: M43, tmp_path: Path, waveform: Waveform) -> None:
    path = FORMATS["sr"](tmp_path, waveform.channels()[:2], waveform.now_ns)
    names = [record["name"] for record in m43("sniff", path, "--format", "jsonl").records if "name" in record]
    assert names == ["Initialise", "Identify", *["Status"] * 3, "Drive", *["Status"] * 3]


# choosing


def test_only_shows_what_is_named(m43: M43, capture: Path) -> None:
    run = m43("sniff", capture, "--only", "Drive, clock_hold", "--format", "jsonl")
    assert [record.get("name", record.get("event")) for record in run.records] == ["clock_hold", "Drive"]


def test_from_and_to_choose_by_start_and_the_exit_code_follows(m43: M43, tmp_path: Path) -> None:
    waveform = session(BAD_POLL, POLL)
    path = vcd(tmp_path, waveform)
    bad_ns, last_ns = waveform.transactions[-2][0], waveform.transactions[-1][0]
    run = m43("sniff", path, "--from", f"{bad_ns}ns", "--to", f"{last_ns}ns", "--format", "jsonl")
    assert [record["t_ns"] for record in run.records] == [bad_ns]
    assert run.code == 1
    assert m43("sniff", path, "--from", f"{last_ns / 1e6}ms").code == 0
    assert m43("sniff", path, "--from", "1 week").code == 2


def test_csv_has_one_column_per_field(m43: M43, capture: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(m43("sniff", capture, "--format", "csv").out)))
    status = next(row for row in rows if row["name"] == "Status")
    assert (status["focus_distance_m"], status["aperture_f"], status["command_sum_ok"]) == ("0.33", "3.5943", "1")
    assert rows[0]["event"] == "power_up"
    for layer in ("bytes", "transactions"):
        rows = list(csv.DictReader(io.StringIO(m43("sniff", capture, "--format", "csv", "--layer", layer).out)))
        assert int(next(row for row in rows if not row["event"])["t_ns"]) > 0


def test_csv_and_jsonl_hold_the_same(m43: M43, tmp_path: Path) -> None:
    waveform = session(Script(bytes.fromhex("c7000000"), "C", b"xyz"), Script(POLL.command, "C", bytes(31)))
    path = vcd(tmp_path, waveform)
    rows = list(csv.DictReader(io.StringIO(m43("sniff", path, "--format", "csv").out)))
    records = m43("sniff", path, "--format", "jsonl").records
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        flat = {**record.pop("fields", {}), **record}
        for key, value in flat.items():
            expected = "" if value is None else str(int(value)) if isinstance(value, bool) else str(value)
            assert row[key] == expected


# text


def test_text_reads_at_once(m43: M43, capture: Path) -> None:
    lines = m43("sniff", capture).out.splitlines()
    assert lines[0].split() == ["time/s", "message"]
    status = next(line for line in lines if " Status " in line)
    assert status.endswith("zoom step 0◑ · focus distance 0.330 m◑ · aperture f/3.59◑ · focus position 12◑")
    assert "← ✓ ● Status" in status
    drive = next(line for line in lines if " Drive " in line)
    assert "→ ✓ ● Drive" in drive
    assert drive.endswith("aperture operation set◑ · aperture f/3.78◑")
    identify = next(line for line in lines if " Identify " in line)
    assert "Olympus M.Zuiko Digital 17mm F2.8 Pancake (0 02 10)◑ · serial AAA243841◑ · firmware 1.101◑" in identify
    assert lines[-1].startswith("→ body to lens  ← lens to body")
    assert "\x1b" not in "".join(lines)


def test_text_shows_raw_bytes_on_request(m43: M43, capture: Path) -> None:
    assert "flags C2 E1 00 00○" not in m43("sniff", capture).out
    assert "flags C2 E1 00 00○" in m43("sniff", capture, "--raw").out


def test_text_of_a_wrong_sum_and_of_the_other_layers(m43: M43, tmp_path: Path) -> None:
    path = vcd(tmp_path, session(BAD_POLL))
    run = m43("sniff", path)
    assert run.code == 1
    assert "✗ command sum 4C is wrong" in run.out
    assert "C1 80 01 06 =4C✗ [31] C2 E1" in m43("sniff", path, "--layer", "transactions").out
    assert "→   B0" in m43("sniff", path, "--layer", "bytes").out


def test_text_of_unknown_opcodes_odd_sizes_infinity_and_angles(m43: M43, tmp_path: Path) -> None:
    far = bytearray(POLL.data)
    far[6:8] = b"\xff\xff"
    waveform = session(
        Script(bytes.fromhex("c7010203"), "C", b"xyz"),
        Script(POLL.command, "C", POLL.data + b"\x01\x02"),
        Script(POLL.command, "C", bytes(far)),
        Script(bytes.fromhex("c1900000"), "C", bytes.fromhex("0102fff60019")),
        Script(IDENTIFY.command, "C", bytes.fromhex("630099000000424307001b000000000000000211")),
    )
    path = vcd(tmp_path, waveform)
    run = m43("--catalogue", "provisional", "sniff", path)
    assert "○ Unknown           C7 01 02 03 [78 79 7A]○" in run.out
    assert "2 bytes more: 01 02" in run.out
    assert "focus distance ∞◑" in run.out
    assert "PROVISIONAL · mode all-axes · state correcting · pitch offset -2.305° · yaw offset +6.400°" in run.out
    assert "serial BC\\x07\\x00\\x1b" in run.out
    assert "Unknown           C1 90 00 00" in m43("sniff", path).out
    assert any(
        record.get("fields", {}).get("focus_distance_m") == "infinity"
        for record in m43("sniff", path, "--format", "jsonl").records
    )


def test_a_stream_that_cannot_show_signs_gets_words(capture: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    out = subprocess.run(
        [sys.executable, "-m", "m43tools", "sniff", capture], capture_output=True, env=environment, check=True
    ).stdout
    text = out.decode("ascii")
    assert "<- ok  (c) Status" in text
    assert "aperture f/3.59(i)" in text


# summary


def test_a_summary_counts(m43: M43, tmp_path: Path) -> None:
    waveform = session(BAD_POLL)
    waveform.body_turn(POLL.command)
    waveform.lens_byte(0x48)
    waveform.idle()
    waveform.transaction(DRIVE)
    path = vcd(tmp_path, waveform)
    run = m43("sniff", path, "--summary", "--format", "jsonl")
    [summary] = run.records
    assert run.code == 1
    assert summary["messages"] == {"Initialise": 1, "Identify": 1, "Status": 8, "Drive": 2}
    assert (summary["command_sums_wrong"], summary["data_sums_wrong"], summary["incomplete"]) == (1, 0, 1)
    assert summary["violations"] == {"broke_off": 1}
    assert summary["identities"][0]["lens"] == "Olympus M.Zuiko Digital 17mm F2.8 Pancake"
    assert 50 < summary["poll_rate_hz"] < 70
    assert summary["shortest_gaps"][0]["before"] == "Status"
    assert summary["shortest_gaps"][0]["after"] == "Drive"
    assert summary["longest_gaps"][0]["length_ns"] >= summary["longest_gaps"][1]["length_ns"]
    text = m43("sniff", path, "--summary").out
    assert "✗ 1 with wrong sums" in text
    assert "(0 02 10), serial AAA243841, firmware 1.101" in text


def test_a_summary_of_silence_says_so(m43: M43, tmp_path: Path) -> None:
    waveform = Waveform(__import__("random").Random(1))
    waveform.wait(1_000_000)
    path = vcd(tmp_path, waveform)
    run = m43("sniff", path, "--summary")
    assert run.code == 0
    assert "fewer than two polls" in run.out
    assert "no transaction found; are the lines right? Try --pins auto" in run.err


def test_a_summary_of_provisional_messages_says_so(m43: M43, tmp_path: Path) -> None:
    path = vcd(tmp_path, session(Script(bytes.fromhex("60900000"), "6", bytes.fromhex("0102a401"))))
    assert "SetStabilisation   ✓  PROVISIONAL" in m43("--catalogue", "provisional", "sniff", path, "--summary").out


# bad input and usage


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--layer", "words"], "'words' is not one of"),
        (["--only", "Statsu"], "nothing is called Statsu; did you mean Status?"),
        (["--only", "Xyzzyq"], "known: Initialise, "),
        (["--only", "Status", "--layer", "bytes"], "--only chooses messages"),
        (["--from", "2", "--to", "1"], "--to must lie behind --from"),
        (["--from", "soon"], "'soon' is no time; write it like 2m, 0.5"),
        (["--rate", "fast"], "'fast' is no rate; write it like 24MHz"),
        (["--summary", "--format", "csv"], "--summary has no csv form"),
        (["--pins", "CLK"], "must be 'auto' or look like CLK=D3"),
        (["--pins", ","], "must be 'auto' or look like CLK=D3"),
        (["--pins", "CLK=a,CLK=b"], "line CLK is given twice"),
        (["--pins", "CLK=D9"], "no channel is called D9; channels: CLK, DATA"),
        (["--pins", "CLOCK=CLK"], "no line is called CLOCK"),
        (["-o", "no/such/folder/x"], "no/such/folder/x: cannot be written: No such file or directory"),
        (["--channels", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_2(m43: M43, capture: Path, arguments: list[str], text: str) -> None:
    run = m43("sniff", capture, *arguments)
    assert run.code == 2
    assert text in run.err
    assert run.out == ""
    assert "Traceback" not in run.err


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.sr", b"", "empty"),
        ("picture.jpg", b"\xff\xd8\xff\xe0" + bytes(100), "picture.jpg"),
        ("cut.sr", b"PK\x03\x04" + bytes(100), "cut.sr"),
        ("bad.vcd", b"$timescale 1 ns $end\n$var wire 1 ! CLK $end\n$enddefinitions $end\n#0\n1?\n", "line 5"),
        ("bad.csv", b"Time [s],CLK,DATA\n0.0,1,0\n0.1,7,0\n", "line 3"),
        ("samples.raw", b"\x00\x01", "--rate"),
    ],
)
def test_a_bad_file_is_one_clear_line_and_exit_2(
    m43: M43, tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    run = m43("sniff", path)
    assert run.code == 2
    assert run.out == ""
    assert run.err.startswith(f"m43: {path}")
    assert text in run.err
    assert run.err.count("\n") == 1


def test_a_missing_file_is_one_clear_line(m43: M43, tmp_path: Path) -> None:
    run = m43("sniff", tmp_path / "none.sr")
    assert (run.code, run.err.count("\n")) == (2, 1)
    assert "none.sr" in run.err


def test_unnamed_channels_ask_for_pins(m43: M43, tmp_path: Path, waveform: Waveform) -> None:
    path = FORMATS["sr"](tmp_path, renamed(waveform.channels(), lambda n: f"x{n}"), waveform.now_ns)
    run = m43("sniff", path)
    assert run.code == 2
    assert "no channel for CLK, DATA among x0, x1, x2" in run.err
    assert "--pins auto" in run.err


# output


def test_output_appears_whole_or_not_at_all(m43: M43, tmp_path: Path, capture: Path) -> None:
    target = tmp_path / "out.jsonl"
    run = m43("sniff", capture, "--format", "jsonl", "-o", target)
    assert (run.code, run.out, run.err) == (0, "", "")
    assert target.read_text(encoding="utf-8") == m43("sniff", capture, "--format", "jsonl").out
    target.write_text("kept", encoding="utf-8")
    bad = tmp_path / "bad.vcd"
    bad.write_bytes(capture.read_bytes() + b"\nrubbish\n")
    assert m43("sniff", bad, "-o", target).code == 2
    assert target.read_text(encoding="utf-8") == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.vcd", "capture.vcd", "out.jsonl"]


def test_an_interrupted_output_leaves_nothing_half_done(
    m43: M43, tmp_path: Path, capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("m43tools.render.columns.JsonWriter.write_events", interrupted)
    run = m43("sniff", capture, "--format", "jsonl", "-o", tmp_path / "out.jsonl")
    assert (run.code, run.err.strip()) == (130, "m43: interrupted")
    assert [path.name for path in tmp_path.iterdir()] == ["capture.vcd"]


def test_the_capture_itself_is_no_output(m43: M43, capture: Path) -> None:
    before = capture.read_bytes()
    run = m43("sniff", capture, "-o", capture)
    assert run.code == 2
    assert "is the capture itself" in run.err
    assert capture.read_bytes() == before


def test_output_goes_into_pipes_and_devices(m43: M43, capture: Path) -> None:
    assert m43("sniff", capture, "-o", os.devnull).code == 0
    assert Path(os.devnull).is_char_device()


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    capture = vcd(tmp_path, session(frames=60))
    command = f"{sys.executable} -m m43tools sniff {capture} --layer bytes --format jsonl; echo code $? >&2"
    done = subprocess.run(["bash", "-c", f"({command}) | head -1"], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == "code 141\n"


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    path = str(vcd(tmp_path, session(frames=40)))
    command = [sys.executable, "-m", "m43tools", "sniff", path, "--layer", "bytes", "--format", "jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as running:
        assert running.stdout is not None
        assert running.stdout.read(1) == b"{"
        running.send_signal(signal.SIGINT)  # more is to come than the pipe holds, so it is still writing
        out, err = running.communicate(timeout=20)
    assert (running.returncode, err.strip()) == (130, b"m43: interrupted")
    assert out.endswith(b"}\n")


def on_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """Run ``m43`` on a pseudo-terminal and return what it shows."""
    leader, follower = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "m43tools", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", **environment},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    running.wait(timeout=20)
    os.close(leader)
    return shown.decode()


def test_colours_only_on_a_terminal(tmp_path: Path) -> None:
    path = str(vcd(tmp_path, session(BAD_POLL)))
    assert "\x1b[" in on_terminal(["sniff", path], {})
    assert "\x1b[" not in on_terminal(["sniff", path], {"NO_COLOR": "1"})


@pytest.mark.parametrize("columns", [80, 120])
def test_rows_fit_the_terminal(tmp_path: Path, columns: int) -> None:
    path = str(vcd(tmp_path, session()))
    rows = on_terminal(
        ["sniff", path, "--only", "Status,Drive"], {"COLUMNS": str(columns), "NO_COLOR": "1"}
    ).splitlines()
    assert all(len(row) <= columns for row in rows[:-1])
    text = " ".join(" ".join(rows).split())
    assert "zoom step 0◑ · focus distance 0.330 m◑" in text
    assert "focus position 12◑" in text
    continued = [row for row in rows if row.startswith(" " * 30)]
    assert bool(continued) == (columns == 80)
    assert {len(row) - len(row.lstrip()) for row in continued} <= {39}


@pytest.mark.parametrize("dead", [BODY_ACK, LENS_ACK])
def test_ack_lines_that_never_change_are_left_out_and_named(m43: M43, tmp_path: Path, dead: Line) -> None:
    waveform = session()
    waveform.changes[:] = [(t_ns, word & ~dead.mask) for t_ns, word in waveform.changes]
    run = m43("sniff", vcd(tmp_path, waveform), "--layer", "bytes", "--format", "jsonl")
    assert [row["value"] for row in run.records if "value" in row] == [sent.value for sent in waveform.sent]
    assert run.err == f"m43: {dead} never changes: decoding without it\n"


def progress_with(clock: Iterator[float], stage: float) -> None:
    with progress_on_stderr("reading", clock=clock.__next__) as progress:
        progress.update("reading", stage)
        progress.update("reading", stage)
        progress.hide()
        progress.hide()


def test_progress_appears_on_a_terminal_once_it_takes_longer_than_a_second(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress_with(iter([0.0, 5.0, 5.0]), 0.5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    progress_with(iter([0.0, 0.5, 0.9]), 0.5)
    assert capsys.readouterr().err == ""
    progress_with(iter([0.0, 0.5, 1.5, 9.0]), 0.5)
    assert "reading" in capsys.readouterr().err


def test_reading_and_decoding_tell_their_progress(m43: M43, capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, float]] = []
    monkeypatch.setattr("m43tools.output.Progress.update", lambda _, stage, done: told.append((stage, done)))
    assert m43("sniff", capture).code == 0
    assert ("decoding", 1.0) in told
    assert {stage for stage, _ in told} == {"reading", "decoding"}
