"""``m43 simulate body``: the simulated body in lockstep with another lens, here our own, joined line by line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from m43drivers.simulator.body import SimulatedBody
from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.lockstep import Lockstep
from m43drivers.simulator.profiles import PROFILES
from m43drivers.simulator.script import load_script, parse_script
from m43proto.ends import NEVER, PinLens
from m43proto.messages import PUBLIC, Drive, Status
from m43proto.mount import Mount
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS
from tests.test_sniff import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR_NS = 3_600 * 10**9
OLYMPUS = PROFILES["olympus-14-42"]

LONG = """
step = [
    "power_up", "start_up", {do = "poll", frames = 60},
    {do = "aperture", f = 5.6}, {do = "poll", frames = 40},
    {do = "focus", position = 300}, {do = "poll", frames = 60},
    {do = "focus", position = -100}, {do = "aperture", f = 11}, {do = "poll", frames = 36}, "power_down",
]
"""


def joined(ask_body: Callable[[str], str], ask_lens: Callable[[str], str]) -> int:
    """Join two ends of the line protocol until neither acts any more; return the time of the end."""
    asked = {ask_body: ask_lens, ask_lens: ask_body}
    shown: dict[Callable[[str], str], dict[str, str]] = {ask_body: {}, ask_lens: {}}
    told: dict[Callable[[str], str], dict[str, str]] = {ask_body: {}, ask_lens: {}}
    due = dict.fromkeys(asked, 0)
    now_ns = 0
    while now_ns < HOUR_NS:
        for ask, other in asked.items():
            changed = {line: level for line, level in shown[other].items() if told[ask].get(line) != level}
            if not changed and due[ask] > now_ns:
                continue
            told[ask] |= changed
            answer = ask(" ".join([str(now_ns), *(f"{line}={level}" for line, level in changed.items())]))
            match = re.fullmatch(r"(\d+) (.*) next=(\d+|never)", answer)
            assert match, answer
            assert int(match[1]) == now_ns
            shown[ask] = dict(pair.split("=") for pair in match[2].split())
            due[ask] = HOUR_NS if match[3] == "never" else int(match[3])
        if all(told[ask].items() >= shown[other].items() for ask, other in asked.items()):
            now_ns = max(now_ns, min(due.values()))
    return now_ns


def lens_end(timing: str = "bell_lens") -> PinLens:
    return PinLens(LENS_TIMINGS[timing], SimulatedLens(OLYMPUS), PUBLIC.shape_of)


def test_two_hundred_frames_in_lockstep_are_what_they_are_at_home() -> None:
    script = parse_script(LONG, "long")
    at_home = SimulatedBody(BODY_TIMINGS["bell_body"], script.run)
    list(Mount(at_home, lens_end()).run(NEVER))
    abroad = SimulatedBody(BODY_TIMINGS["bell_body"], script.run)
    joined(Lockstep(abroad).take_line, Lockstep(lens_end()).take_line)
    assert abroad.outcomes == at_home.outcomes
    assert abroad.done
    assert all(outcome.ok for outcome in abroad.outcomes)
    polls = [outcome.seen for outcome in abroad.outcomes if outcome.command == Status.request()]
    drives = [outcome for outcome in abroad.outcomes if outcome.command[:2] == Drive.spec.opcode]
    assert (len(polls), len(drives)) == (1 + 200, 5)
    assert polls[-1] is not None
    last = Status.parse(polls[-1].command[2:] + polls[-1].data)
    assert (last.focus_position, round(last.aperture_f, 1)) == (-100, 11.0)


@pytest.mark.parametrize("timing", BODY_TIMINGS)
def test_the_default_script_asks_only_what_the_lens_program_knows(timing: str) -> None:
    script = load_script("default")
    body = SimulatedBody(BODY_TIMINGS[timing], script.run)
    joined(Lockstep(body).take_line, Lockstep(lens_end()).take_line)
    assert body.done
    assert all(outcome.ok for outcome in body.outcomes)
    assert {outcome.command[:1] for outcome in body.outcomes} == {
        bytes([first]) for first in b"\xb0\xb1\xc0\xc1\xa0\x60"
    }
    assert b"\xc3\xf0\0\0" not in {outcome.command for outcome in body.outcomes}


class Running:
    """``m43 simulate body`` in a process of its own."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "m43tools", "simulate", "body", "--stdio", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().rstrip("\n")

    def close(self) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=30)
        assert out == ""
        return self.process.returncode, err


def test_the_command_talks_to_a_lens_and_tells_what_it_saw(tmp_path: Path) -> None:
    log = tmp_path / "seen.jsonl"
    running = Running("--script", "power-up", "--dialect", "E-P1", "--log", str(log))
    joined(running.ask, Lockstep(lens_end("slow")).take_line)
    assert running.close() == (0, "m43: power-up has ended: 12 transactions, 0 failed\n")
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [row["ok"] for row in rows] == [True] * 12
    assert rows[-1]["seen"]["command"] == "c1800102"


def test_a_lens_that_says_nothing_ends_the_script_too() -> None:
    running = Running("--script", "power-up", "--timing", "jittery", "--seed", "4")
    now = "0"
    while now != "never":
        now = running.ask(f"{now} LENS_ACK=0").rpartition("next=")[2]
    assert running.close() == (
        0,
        "m43: power-up has ended: 29 transactions, 29 failed, 3 power-ups without a wake pulse, 30 frames skipped\n",
    )


def test_a_connection_that_is_closed_early_is_told() -> None:
    running = Running()
    assert running.ask("0 LENS_ACK=0").endswith("next=5000000")
    assert running.close() == (0, "m43: default has not ended: 0 transactions, 0 failed\n")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ("--script", "zoom", "--stdio"),
            "m43: zoom: step 6: zoom needs a simulated lens; m43",
        ),
        (("--script", "stabilisation", "--stdio"), "m43: stabilisation: step 4: stabilise is provisional"),
        (("--script", "none.toml", "--stdio"), "m43: none.toml: cannot be read"),
        ((), "Missing option '--stdio'"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    options: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(("simulate", "body", *options), capsys)
    assert (run.code, run.out) == (2, "")
    assert line in run.err


def test_the_example_of_the_help_is_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Run(("simulate", "body", "--help"), capsys).out
    [asked] = re.findall(r"printf '(.*?)' \| m43 simulate body --stdio", shown)
    answers = re.findall(r"^ *(\d+ CLK=.*)$", shown, re.MULTILINE)
    body = SimulatedBody(BODY_TIMINGS["patient"], load_script("default").run)
    lockstep = Lockstep(body)
    assert [lockstep.take_line(line) for line in asked.split(r"\n") if line] == answers
