"""``bridge:PORT`` as its user has it: the firmware as a process behind a PTY, and models of bridges that are broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.analyser import ANALYSERS, AnalyserError, Notice, NoticeKind, open_analyser
from m43drivers.analyser.bridgeport import RECONSTRUCTED, can_listen
from m43drivers.bridge.protocol import (
    Heard,
    Heartbeat,
    Hello,
    HelloAnswer,
    LinkMessage,
    Listen,
    ListenBegun,
    Refusal,
    RefusalCode,
    Stop,
    Stopped,
    encode,
)
from m43drivers.capture import open_capture
from m43proto.pins import LINES
from m43tools import live as live_module
from m43tools.cli import main
from tests.analyser.models import Answering, Plugged
from tests.analyser.pairs import differences, listening_bridge
from tests.analyser.support import expanded
from tests.bridge.test_process import bridge
from tests.transports.support import descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")

MINUTE = 'step = ["power_up", "start_up", {do = "poll", frames = 3500}, {do = "aperture", f = 8}, "power_down"]'


@pytest.fixture(autouse=True)
def _plugged_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(ANALYSERS, "truth", ("tests.analyser.pairs:truth", "truth:"))
    # Virtual time may be slower than the clock on the wall, which ends a limit of time, too.
    monkeypatch.setattr(live_module, "PATIENCE_S", 300.0)
    before = descriptors(), threading.active_count()
    yield
    assert (descriptors(), threading.active_count()) == before


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["sniff", *map(str, arguments)])
    return (code, *capsys.readouterr())


def compared(
    capsys: pytest.CaptureFixture[str], script: object, query: str, *options: str, layer: str = "messages"
) -> str:
    """Decode a pair and what a bridge hears of it, which has to be the same; return the rows."""
    shown = ("--layer", layer, "--format", "jsonl")
    true_code, true, _ = run(capsys, "--live", f"truth:{script}?{query}", *shown)
    with listening_bridge(str(script), *options) as path:
        code, heard, err = run(capsys, "--live", f"bridge:{path}", "--duration", until_end_of(true), *shown)
    assert (differences(true, heard), code, err) == ([], true_code, "")
    return true


def until_end_of(true: str) -> str:
    """Return a limit of time shortly behind the last event."""
    return f"{max(json.loads(row)['end_ns'] for row in true.splitlines()) // 1_000_000 + 50}ms"


# the truth


@pytest.mark.parametrize("layer", ["messages", "transactions", "bytes"])
def test_a_pair_is_heard_as_it_is(capsys: pytest.CaptureFixture[str], layer: str) -> None:
    assert (
        compared(capsys, "power-up", "", layer=layer).count("\n")
        > {"messages": 10, "transactions": 10, "bytes": 150}[layer]
    )


@pytest.mark.parametrize(
    ("body", "lens", "seed"),
    [("fast", "fast", 0), ("patient", "slow", 0), ("jittery", "jittery", 3), ("fast", "slow", 1)],
)
def test_with_other_timings(capsys: pytest.CaptureFixture[str], body: str, lens: str, seed: int) -> None:
    options = ("--body-timing", body, "--lens-timing", lens, "--seed", str(seed))
    query = f"body={body}&lens={lens}&seed={seed}"
    assert compared(capsys, "polling", query, *options, layer="bytes").count("\n") > 1_000


@pytest.mark.parametrize("fault", ["lost_bit@5", "yanked@300", "wrong_data_sum", "late_ack", "reset_mid_transaction@9"])
def test_faults_are_heard_as_they_are(capsys: pytest.CaptureFixture[str], fault: str) -> None:
    rows = compared(capsys, "polling", f"fault={fault}", "--fault", fault)
    assert "violation" in rows or '"data_sum_ok": false' in rows


def test_a_minute_is_heard_as_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Ten minutes of it: ``python -m tests.benchmarks.listening``."""
    script = tmp_path / "minute.toml"
    script.write_text(MINUTE, encoding="utf-8")
    assert compared(capsys, script, "").count('"Status"') > 3_500


def test_a_recording_is_whole_and_says_what_is_reconstructed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.sr"
    with listening_bridge("polling") as port:
        code, heard, err = run(
            capsys, "--live", f"bridge:{port}", "--duration", "1s", "--format", "jsonl", "--record", path
        )
    assert (code, f"{path}: 1.000 s recorded" in err) == (0, True)
    assert run(capsys, path, "--format", "jsonl")[1] == heard
    assert RECONSTRUCTED in open_capture(path).provenance.details["comment"]


def test_triggers_see_messages_and_edges(capsys: pytest.CaptureFixture[str]) -> None:
    with listening_bridge("aperture-sweep") as path:
        trigger = ("--trigger", "Drive.aperture_f>8", "--pre", "0", "--duration", "10ms", "--format", "jsonl")
        code, out, _ = run(capsys, "--live", f"bridge:{path}", *trigger)
    first, second, *_ = map(json.loads, out.splitlines())
    assert (code, first["event"], second["name"]) == (0, "trigger", "Drive")


# what goes wrong


def test_what_the_bridge_cannot_keep_is_told_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with listening_bridge("polling", "--deaf", "700:500") as path:
        code, out, err = run(capsys, "--live", f"bridge:{path}", "--duration", "1500ms", "--format", "jsonl")
    records = [json.loads(line) for line in out.splitlines()]
    (lost,) = [record for record in records if record.get("event") == "overflow"]
    assert code == 1
    assert "overflow: the bridge did not keep up: it lost" in err
    assert (690_000_000 < lost["t_ns"] <= 700_000_000, lost["exact"]) == (True, True)
    assert lost["end_ns"] == pytest.approx(1_200_000_000, abs=200_000)
    _, true, _ = run(capsys, "--live", "truth:polling", "--format", "jsonl")
    whole = [json.loads(line) for line in true.splitlines()]
    for begin_ns, end_ns in ((0, lost["t_ns"] - 30_000_000), (lost["end_ns"] + 30_000_000, 1_450_000_000)):
        told = [
            "\n".join(json.dumps(one) for one in some if begin_ns <= one["t_ns"] and one["end_ns"] <= end_ns)
            for some in (whole, records)
        ]
        assert differences(*told) == []
        assert told[0].count("\n") > 20


def test_garbage_between_the_frames_costs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    _, true, _ = run(capsys, "--live", "truth:polling", "--format", "jsonl")
    with listening_bridge("polling", "--garbage-every", "2") as path:
        _, heard, err = run(capsys, "--live", f"bridge:{path}", "--duration", "3s", "--format", "jsonl")
    assert (differences(true, heard), err) == ([], "")


def test_unplugged_in_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    with listening_bridge("polling", "--die-after", "20000") as path:
        code, out, err = run(capsys, "--live", f"bridge:{path}", "--format", "jsonl")
    *rest, lost = map(json.loads, out.splitlines())
    assert (code, lost["event"], lost["end_ns"]) == (1, "lost", None)
    assert lost["t_ns"] > max(one["end_ns"] for one in rest if one.get("name")) > 500_000_000
    assert f"m43: {lost['t_ns'] / 1e9:.6f} s: lost: the port is gone (" in err


def test_ctrl_c_ends_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.sr"
    with listening_bridge("polling", "--realtime") as port:
        command = [sys.executable, "-m", "m43tools", "sniff", "--live", f"bridge:{port}", "--record", str(path)]
        sniff = subprocess.Popen(
            [*command, "--format", "jsonl"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert sniff.stdout is not None
        assert "power_up" in sniff.stdout.readline()
        time.sleep(0.7)
        sniff.send_signal(signal.SIGINT)
        out, err = sniff.communicate(timeout=20)
        assert (sniff.returncode, "Initialise" in out) == (0, True)
        assert "recorded" in err
        assert open_capture(path).end_ns > 500_000_000
        # The bridge has stopped, and serves the next one.
        with open_analyser(f"bridge:{port}") as live:
            live.stop()
            assert all(not isinstance(item, Notice) for item in live.items())


# bridges that are none, or not such


def hello(version: int = 1, firmware: str = "0.3.0") -> HelloAnswer:
    return HelloAnswer(version, 7, 0x2002, "m43 bridge", firmware)


def heard(number: int, until: int, coded: str = "", **changed: Any) -> Heard:
    return Heard(
        **{"number": number, "lost": 0, "t": 0, "levels": 1, "until": until, "coded": bytes.fromhex(coded), **changed}
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, "no bridge answers Hello within 0.9 s; does its firmware run, is it the right port?"),
        ({Hello: Refusal(RefusalCode.INTERNAL, "tired")}, "the bridge refuses Hello: tired"),
        (
            {Hello: hello(version=2)},
            "the bridge speaks version 2 of the link, this program version 1; copy the firmware",
        ),
        (
            {Hello: hello(firmware="0.2.0"), Listen: Refusal(RefusalCode.UNKNOWN_KIND, "kind 10 is unknown")},
            "the bridge (m43 bridge, firmware 0.2.0) is too old to listen; copy firmware 0.3.0 or later to it",
        ),
        (
            {Hello: hello(), Listen: Refusal(RefusalCode.UNABLE, "these contacts cannot listen")},
            "the bridge (m43 bridge, firmware 0.3.0) cannot listen: these contacts cannot listen",
        ),
        ({Hello: hello()}, "no bridge answers Listen within 2 s"),
    ],
)
def test_bridges_that_do_not_listen(answers: dict[type[LinkMessage], LinkMessage], said: str) -> None:
    with Plugged(Answering(dict(answers))) as path, pytest.raises(AnalyserError) as caught:
        open_analyser(f"bridge:{path}")
    assert str(caught.value).startswith(f"bridge:{path}: {said}")
    assert "\n" not in str(caught.value)


def test_what_is_no_bridge_is_quoted() -> None:
    with Plugged(Answering({}, noise=b"SRPICO,A03D21,02")) as path, pytest.raises(AnalyserError) as caught:
        open_analyser(f"bridge:{path}")
    assert "is it the right port?; what it says is no answer: b'SRPICO,A03D21,02" in str(caught.value)


def test_a_bridge_without_a_body_says_so() -> None:
    with bridge("--pty") as (_, path), pytest.raises(AnalyserError, match="cannot listen: there is no simulated body"):
        open_analyser(f"bridge:{path}")


@pytest.mark.parametrize(
    ("source", "settings", "said"),
    [
        ("bridge:", {}, "expected bridge:PORT"),
        ("bridge:/dev/nowhere", {}, "there is no such port; m43 ports lists those there are"),
        ("bridge:x?rle=0", {}, "no option is called rle"),
        ("bridge:x", {"rate_hz": 1_000_000}, "has no sample rate to choose; leave out --rate"),
        ("bridge:x", {"channels": 8}, "a bridge tells of all 7 lines; leave out --channels"),
    ],
)
def test_what_does_not_go_is_said(source: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(AnalyserError, match=said.replace("?", r"\?")):
        open_analyser(source, **settings)


LISTENS: dict[type[LinkMessage], LinkMessage | list[LinkMessage]] = {Hello: hello(), Stop: Stopped()}


def items_of(*told: LinkMessage, stop: bool = True) -> tuple[list[int], list[Notice]]:
    model = Answering({**LISTENS, Listen: [heard(0, 3), ListenBegun(200), *told]})
    with Plugged(model) as path, open_analyser(f"bridge:{path}") as live:
        assert [label.name for label in live.capture.labels] == [str(line) for line in LINES]
        if stop:
            time.sleep(0.3)
            live.stop()
        items = list(live.items())
        ended = not stop or isinstance(model.asked[-1], Stop)
    assert ended
    return expanded(items)


def test_messages_of_the_listening_before_are_not_taken() -> None:
    """SLEEP rises at tick 4, FOCUS at 6; everything is known until 10."""
    assert items_of(heard(0, 10, "24 15")) == ([1] * 4 + [0x11] * 2 + [0x31] * 4, [])


def test_a_message_that_is_missing_is_a_hole_of_exact_size() -> None:
    levels, (notice,) = items_of(heard(0, 10, "24"), heard(2, 30, "15", t=20, levels=0x11))
    assert levels == [1] * 4 + [0x11] * 6 + [-1] * 10 + [0x11] * 2 + [0x31] * 8
    assert (notice.kind, notice.tick, notice.until, notice.exact) == (NoticeKind.DAMAGE, 10, 20, True)


def test_a_message_that_is_missing_and_told_nothing_is_no_hole() -> None:
    levels, notices = items_of(heard(0, 10, "24"), heard(2, 30, "bb01", t=4, levels=0x11))
    assert (levels, notices) == ([1] * 4 + [0x11] * 23 + [0x19] * 3, [])


@pytest.mark.parametrize("coded", ["24 95", "0f", "07 89 00 00 00"])
def test_what_makes_no_sense_ends_it(coded: str) -> None:
    _, (notice,) = items_of(heard(0, 10, coded), stop=False)
    assert (notice.kind, notice.until) == (NoticeKind.LOST, None)
    assert notice.text.startswith("what the bridge tells makes no sense: ")


@pytest.mark.parametrize(
    ("beats", "said"),
    [
        ([], "the bridge has said nothing for 0.4 s; plug it out and in again"),
        ([Heartbeat(*[0] * 7)], "the bridge does not listen any more; has it started anew? Begin again"),
    ],
)
def test_a_bridge_that_falls_silent(monkeypatch: pytest.MonkeyPatch, beats: list[LinkMessage], said: str) -> None:
    monkeypatch.setattr("m43drivers.analyser.bridgeport.SILENCE_S", 0.4)
    model = Answering({**LISTENS, Listen: [ListenBegun(200), heard(0, 10)]})
    if beats:
        model.more = lambda: encode(0, beats[0])  # type: ignore[method-assign]
    with Plugged(model) as path, open_analyser(f"bridge:{path}") as live:
        levels, (notice,) = expanded(list(live.items()))
    assert (levels, notice.kind, notice.tick, notice.text) == ([1] * 10, NoticeKind.LOST, 10, said)


def test_which_firmware_listens() -> None:
    assert [can_listen(firmware) for firmware in ("0.2.0", "0.3.0", "1.0", "0.10.1", "x")] == [
        False,
        True,
        True,
        True,
        False,
    ]
