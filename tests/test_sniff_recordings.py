"""``m43 sniff`` of a recording of exchanges: the same rows as for a capture of the same traffic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.body import open_lens
from m43drivers.exchanges import observe_exchange
from m43drivers.transports.recorded import read_exchange
from m43proto.events import MessageSeen, Violation
from m43proto.messages import PUBLIC
from m43proto.pins import Role
from tests.recordings import BAD_POLL, session, vcd
from tests.test_sniff import Run
from tests.virtualtime import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.waveform import Waveform

HEAD = {
    "format": "m43-exchange",
    "version": 1,
    "url": "sim:olympus-14-42",
    "name": "x",
    "firmware": "",
    "boot_id": 0,
    "longest_block": 99,
}


def sniffed(capsys: pytest.CaptureFixture[str], *arguments: object) -> Run:
    return Run(("sniff", *arguments), capsys)


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in (HEAD, *rows)), encoding="utf-8")
    return path


def power(t_ns: int, end_ns: int, *, on: bool = True, woke: bool = True) -> dict[str, Any]:
    return {"do": "power", "on": on, "woke": woke, "t_ns": t_ns, "end_ns": end_ns}


def transact(command: str, said: str, *, data: str = "", broke_off: str | None = None, t_ns: int = 0) -> dict[str, Any]:
    span = {"start_ns": t_ns, "end_ns": t_ns + 1000}
    return {"do": "transact", "command": command, "data": data, "said": said, "broke_off": broke_off, **span}


def recording_of(path: Path, waveform: Waveform) -> Path:
    """Return what a transport would have recorded of the transactions of a waveform."""
    rows = []
    for t_ns, end_ns, script in waveform.transactions:
        said = bytes(byte.value for byte in waveform.sent if t_ns <= byte.t_ns <= end_ns and byte.sender is Role.LENS)
        wrote = script.data if script.letter == "6" else b""
        rows.append(
            {**transact(script.command.hex(), said.hex(), data=wrote.hex()), "start_ns": t_ns, "end_ns": end_ns}
        )
    return written(path, *rows)


@pytest.mark.parametrize("layer", ["transactions", "messages"])
@pytest.mark.parametrize("form", ["jsonl", "csv", "text"])
def test_the_rows_are_those_of_a_capture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layer: str, form: str
) -> None:
    waveform = session(BAD_POLL)
    chosen = ["--layer", layer, "--format", form]
    captured = sniffed(capsys, vcd(tmp_path, waveform), *chosen)
    recorded = sniffed(capsys, recording_of(tmp_path / "x.jsonl", waveform), *chosen)
    assert recorded.code == captured.code == 1
    words = ("power_", "wake_pulse", "clock_hold", "frame_sync", "focus_toggle")

    def without_pins(out: str) -> list[str]:
        lines = [line for line in out.splitlines() if not any(word in line for word in words)]
        return [line.partition("  busy ")[0].partition(" · busy ")[0] for line in lines]

    assert without_pins(recorded.out) == without_pins(captured.out)


def test_a_session_of_the_driver_is_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "session.jsonl"

    async def record() -> None:
        async with open_lens("sim:olympus-14-42", record=str(path)) as lens:
            await lens.set_aperture(5.6)
            await lens.focus_to(120)

    run(record())
    shown = sniffed(capsys, path, "--format", "jsonl")
    assert (shown.code, shown.err) == (0, "")
    events = [record["event"] for record in shown.records if "event" in record]
    assert events == ["power_up", "wake_pulse", "power_down"]
    names = [record["name"] for record in shown.records if "name" in record]
    assert names[:9] == [
        "Initialise",
        "LinkCapability",
        "SelectLinkMode",
        "Identify",
        "BodyCapability",
        "Status",
        "SetFocusRing",
        "EnableDrive",
        "Drive",
    ]
    ends = [record["end_ns"] for record in shown.records]
    assert ends == sorted(ends)
    [summary] = sniffed(capsys, path, "--summary", "--format", "jsonl").records
    assert summary["messages"]["Drive"] == 3
    assert summary["identities"][0]["lens"] == "Olympus M.Zuiko Digital ED 14-42mm F3.5-5.6"
    assert summary["poll_rate_hz"] == pytest.approx(60, abs=0.1)
    text = sniffed(capsys, path).out
    assert "·     power_up          rises" in text
    assert "·     wake_pulse\n" in text


@pytest.mark.parametrize(
    ("row", "cause", "seen"),
    [
        (power(0, 9, woke=False), "no_answer", 0),
        (transact("c1800106", "", broke_off="no_answer"), "no_answer", 0),
        (transact("c1800106", "481f00c2", broke_off="silent"), "broke_off", 1),
        (transact("c1800106", "481f00c2"), "broke_off", 1),
        (transact("b0f20000", "a2", broke_off="busy"), "broke_off", 1),
        (transact("c1800106", "480000", broke_off="length"), "block_length", 1),
        (transact("c1800106", "480000"), "block_length", 1),
        (transact("c1800106", "48" + "ff1f", broke_off="length"), "block_length", 1),
        (transact("a0b0fe00", "4e00"), "out_of_turn", 1),
        (transact("33000000", "33"), "unknown_shape", 0),
    ],
)
def test_what_went_wrong_is_a_violation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any], cause: str, seen: int
) -> None:
    path = written(tmp_path / "x.jsonl", row)
    events = list(observe_exchange(read_exchange(path), PUBLIC))
    assert [str(event.cause) for event in events if isinstance(event, Violation)] == [cause]
    assert sum(isinstance(event, MessageSeen) for event in events) == seen
    assert sniffed(capsys, path).code == 1


def test_what_has_no_place_in_a_session_is_shown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path / "x.jsonl", transact("c1800106", "48" + "1f00" + "00" * 31), transact("c7010203", "cd010000")
    )
    shown = sniffed(capsys, path, "--format", "jsonl")
    assert [record["name"] for record in shown.records] == ["Status", "Unknown"]


def test_what_the_rows_cannot_show_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beat = {"do": "heartbeat", "t_ns": 5, "alike": 60, "counters": {}}
    lost = {"do": "lost", "t_ns": 1_500_000_000, "error": "unplugged"}
    failed = {**transact("c1800106", ""), "failed": "timeout", "error": "no answer within 2 s"}
    path = written(
        tmp_path / "x.jsonl", power(0, 5), beat, {**power(6, 7), "failed": "lost", "error": "gone"}, failed, lost
    )
    shown = sniffed(capsys, path, "--format", "jsonl")
    assert [record["event"] for record in shown.records] == ["power_up", "wake_pulse"]
    assert shown.err.splitlines() == [
        "m43: 60 polls are not in the recording, for their answers were like the one before; nor in any figure",
        "m43: line 4: the transport failed at 0.000 s: gone",
        "m43: line 5: the transport failed at 0.000 s: no answer within 2 s",
        "m43: line 6: the transport was lost at 1.500 s: unplugged",
        "m43: no transaction found in this recording",
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--layer", "bytes"], "a recording of exchanges has no times of single bytes; use --layer transactions"),
        (["--pins", "auto"], "--pins is for captures;"),
        (["--rate", "24MHz"], "--rate is for captures;"),
        (["--channels", "3"], "--channels is for captures;"),
    ],
)
def test_options_of_captures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], text: str
) -> None:
    shown = sniffed(capsys, written(tmp_path / "x.jsonl", power(0, 5)), *arguments)
    assert (shown.code, shown.out) == (2, "")
    assert text in shown.err


def test_a_recording_among_captures_is_one_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "x.jsonl", power(0, 5))
    other = vcd(tmp_path, session())
    shown = sniffed(capsys, other, path, "--format", "jsonl")
    assert shown.code == 0
    assert list(dict.fromkeys(row["capture"] for row in shown.records)) == [str(other), str(path)]
    assert sniffed(capsys, other, path, "--pins", "auto").code == 2


def test_a_damaged_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "x.jsonl", power(0, 5))
    path.write_text(path.read_text() + '{"do": "pow')
    shown = sniffed(capsys, path)
    assert (shown.code, shown.err) == (
        2,
        f"m43: {path}: line 3 is cut off; delete it to use what stands before it\n",
    )
