"""``m43 simulate session`` as its user runs it, and that its files hold what body and lens really said."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from m43drivers.capture import open_capture
from m43drivers.capture.writing import WRITERS
from m43drivers.lines import lines_by_name
from m43drivers.observe import observe
from m43drivers.simulator.profiles import PROFILES
from m43proto.events import TransactionSeen, Violation
from m43proto.messages import PUBLIC
from m43proto.pins import LINES
from m43proto.timing import BODY_TIMINGS, JITTERY, LENS_TIMINGS
from m43tools.cli import main
from m43tools.render.records import record_of
from tests.observing import of
from tests.test_ends import STRANGERS
from tests.test_sniff import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

M43: TypeAlias = "Callable[..., Run]"

SHORT = """
about = "Short."
step = ["power_up", "start_up", {do = "aperture", f = 8}, {do = "focus", position = 90}, "poll", "power_down"]
"""


@pytest.fixture
def m43(capsys: pytest.CaptureFixture[str]) -> M43:
    return lambda *arguments: Run(arguments, capsys)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "short.toml"
    path.write_text(SHORT)
    return path


def truth(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


# the same everywhere


MEETING = [
    pair for pair in itertools.product((*BODY_TIMINGS, JITTERY), (*LENS_TIMINGS, JITTERY)) if pair not in STRANGERS
]


@settings(max_examples=30, deadline=None)
@given(
    profile=st.sampled_from(sorted(PROFILES)),
    suffix=st.sampled_from(sorted(WRITERS)),
    timings=st.sampled_from(MEETING),
    dialect=st.sampled_from(["E-P1", "E-PL1"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_body_file_and_sniffer_agree_on_every_byte(
    profile: str,
    suffix: str,
    timings: tuple[str, str],
    dialect: str,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    note(f"{profile=} {suffix=} {timings=} {dialect=} {seed=}")
    folder = tmp_path_factory.mktemp("agree")
    script, target, log = folder / "short.toml", folder / f"session{suffix}", folder / "truth.jsonl"
    script.write_text(SHORT)
    options = ["--lens", profile, "--body", dialect, "--script", script, "--seed", seed, "--log", log]
    options += ["--body-timing", timings[0], "--lens-timing", timings[1], "-o", target]
    assert main(["simulate", "session", *map(str, options)]) == 0
    capture = open_capture(target)
    events = list(observe(capture, lines_by_name(capture), PUBLIC))
    assert of(Violation, events) == []
    seen = [{**record_of(event), "t_ns": 0, "end_ns": 0} for event in of(TransactionSeen, events)]
    said = truth(log)
    assert [one["ok"] for one in said] == [True] * len(said)
    assert seen == [{**one["seen"], "t_ns": 0, "end_ns": 0} for one in said]


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_same_options_give_the_same_bytes(suffix: str, m43: M43, tmp_path: Path, short: Path) -> None:
    def made(name: str, seed: int) -> dict[str, bytes]:
        folder = tmp_path / name
        folder.mkdir()
        options = ("--noise", "heavy", "--body-timing", JITTERY, "--lens-timing", JITTERY, "--seed", seed)
        run = m43("simulate", "session", "--script", short, *options, "-o", folder / f"one{suffix}")
        assert run.code == 0
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert made("a", 7) == made("b", 7)
    assert made("c", 8) != made("d", 7)


# what is written


def test_a_line_tells_what_was_written(m43: M43, tmp_path: Path) -> None:
    target = tmp_path / "session.sr"
    run = m43("simulate", "session", "-o", target)
    assert (run.code, run.err) == (0, "")
    told = re.fullmatch(r"written: (.*) \(synthetic sigrok session, (.*) s, 43 transactions, 0 failed\)\n", run.out)
    assert told
    assert (told[1], float(told[2])) == (str(target), round(open_capture(target).end_ns / 1e9, 3))
    assert b"Synthetic: computed by m43proto" in open_metadata(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["session.sr"]


def open_metadata(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("metadata")


def test_lines_rate_and_names_are_as_asked_for(m43: M43, tmp_path: Path, short: Path) -> None:
    target = tmp_path / "session.sr"
    options = ("--lines", "lens_ack,CLK,DATA,BODY_ACK", "--unnamed", "--rate", "12M", "--script", short)
    assert m43("simulate", "session", *options, "-o", target).code == 0
    capture = open_capture(target)
    assert [channel.name for channel in capture.channels] == ["D0", "D1", "D2", "D3"]
    assert capture.sample_rate_hz == 12_000_000
    pins = "LENS_ACK=D0,CLK=D1,DATA=D2,BODY_ACK=D3"
    assert m43("sniff", target, "--pins", pins, "--only", "Drive", "--format", "jsonl").records[-1]["name"] == "Drive"


def test_a_part_of_a_session_is_what_the_whole_has_there(m43: M43, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.vcd", tmp_path / "part.vcd"
    assert m43("simulate", "session", "-o", whole).code == 0
    assert m43("simulate", "session", "--start-at", "700ms", "--end-at", "0.9s", "-o", part).code == 0
    window = ("--from", "700ms", "--to", "0.9s", "--layer", "bytes", "--format", "jsonl")
    expected = [record | {"t_ns": record["t_ns"] - 700_000_000} for record in m43("sniff", whole, *window).records]
    found = m43("sniff", part, "--layer", "bytes", "--format", "jsonl").records
    assert [(record["t_ns"], record["value"]) for record in found] == [
        (record["t_ns"], record["value"]) for record in expected
    ]
    assert open_capture(part).end_ns <= 200_000_000


def test_the_dialect_of_the_command_line_wins(m43: M43, tmp_path: Path, short: Path) -> None:
    short.write_text('dialect = "E-P1"\n' + SHORT)
    polls = {}
    for name, options in (("own", ()), ("asked", ("--body", "E-PL1"))):
        target = tmp_path / f"{name}.vcd"
        m43("simulate", "session", "--script", short, *options, "-o", target)
        rows = m43("sniff", target, "--only", "Status", "--format", "jsonl").records
        polls[name] = {row["command"] for row in rows}
    assert polls == {"own": {"c1800102"}, "asked": {"c1800106"}}


def test_faults_and_failures_are_told_and_are_no_failure_of_the_command(m43: M43, tmp_path: Path) -> None:
    target, log = tmp_path / "bad.sr", tmp_path / "truth.jsonl"
    run = m43("simulate", "session", "--script", "yank", "--fault", "wrong_command_sum@3", "-o", target, "--log", log)
    assert run.code == 0
    assert "22 transactions, 3 failed, 12 frames skipped" in run.out
    said = truth(log)
    assert [one["seen"] for one in said if not one["ok"]][1:] == [None, None]


def test_provisional_messages_need_their_catalogue(m43: M43, tmp_path: Path) -> None:
    target = tmp_path / "is.sr"
    options = ("simulate", "session", "--lens", "olympus-12-100-is", "--script", "stabilisation", "-o", target)
    assert m43(*options).code == 2
    assert m43("--catalogue", "provisional", *options).code == 0
    run = m43("--catalogue", "provisional", "sniff", target, "--only", "StabilisationStatus", "--format", "jsonl")
    assert [row["fields"]["state"] for row in run.records] == ["starting", "starting", "at-limit", "parked"]


# what is refused


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("-o", "x.txt"), "x.txt: no capture format has this suffix; choose one of .sr, .vcd, .csv, .bin"),
        (("-o", "-"), "-: no capture format has this suffix"),
        ((), "Missing option '-o' / '--output'"),
        (("-o", "none/x.sr"), "there is no folder none; make it first"),
        (("-o", "x.sr", "--lens", "nikon"), "no lens profile is called nikon; profiles: olympus-14-42"),
        (("-o", "x.sr", "--script", "dance"), "no script is called dance; scripts: aperture-sweep"),
        (("-o", "x.sr", "--fault", "gremlin"), "no fault is called gremlin"),
        (("-o", "x.sr", "--noise", "loud"), "'loud' is not one of 'none', 'light', 'medium', 'heavy'"),
        (("-o", "x.sr", "--rate", "fast"), "'fast' is no rate; write it like 24MHz"),
        (("-o", "x.sr", "--rate", "3GHz"), "expected a sample rate from 1 Hz to 1 GHz"),
        (("-o", "x.sr", "--lines", "CLK,MOSI"), "'MOSI' is no line; lines: CLK, DATA"),
        (("-o", "x.sr", "--lines", ","), "',' is no line"),
        (("-o", "x.sr", "--lines", "CLK,clk"), "'CLK,clk' names a line twice"),
        (("-o", "x.sr", "--start-at", "9s"), "--start-at lies behind the end of the session, which lasts 1."),
    ],
)
def test_what_cannot_be_is_told_in_a_line_and_writes_nothing(
    options: tuple[str, ...], line: str, m43: M43, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = m43("simulate", "session", *options)
    assert run.code == 2
    assert line in " ".join(run.err.split())
    assert run.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_kept(m43: M43, tmp_path: Path) -> None:
    (tmp_path / "x.bin").mkdir()
    run = m43("simulate", "session", "-o", tmp_path / "x.bin")
    assert run.code == 2
    assert "a folder of this name is there already" in run.err


def test_an_interrupt_leaves_no_file(tmp_path: Path) -> None:
    """The script tells when it is on its way, and is then interrupted in the midst of it.

    It sets the usual handler, for a shell that runs the tests in the background has its children ignore the signal.
    """
    script, target = tmp_path / "long.py", tmp_path / "long.sr"
    script.write_text(
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def script(body):\n"
        "    yield from body.power_up()\n"
        "    print('on its way', flush=True)\n"
        "    yield from body.poll(100_000_000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "m43tools", "simulate", "session", "--script", str(script), "-o", str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            assert running.stdout.readline() == "on its way\n"
            os.kill(running.pid, signal.SIGINT)
            assert running.wait(timeout=60) == 130
            assert running.stderr.read() == "m43: interrupted\n"
        finally:
            running.kill()
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["long.py"]


def test_progress_is_told_as_the_session_goes_on(m43: M43, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []

    class Watching:
        def update(self, stage: str, fraction: float) -> None:
            told.append((stage, fraction))

        def __enter__(self) -> Watching:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("m43tools.simulate.session.progress_on_stderr", lambda *stages: Watching())
    assert m43("simulate", "session", "-o", tmp_path / "x.sr").code == 0
    simulating = [fraction for stage, fraction in told if stage == "simulating"]
    assert len(simulating) > 3
    assert simulating == sorted(simulating)
    assert simulating[-1] <= 1
    assert told[-1] == ("writing", 1.0)


def test_every_line_can_be_recorded_alone(m43: M43, tmp_path: Path, short: Path) -> None:
    for line in LINES:
        assert m43("simulate", "session", "--script", short, "--lines", line, "-o", tmp_path / "x.vcd").code == 0
        assert [channel.name for channel in open_capture(tmp_path / "x.vcd").channels] == [line]
