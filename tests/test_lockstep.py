"""The line protocol under any input: what is no line gets an error line, and the session goes on."""

from __future__ import annotations

import io
import random
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, note, settings
from hypothesis import strategies as st

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.lockstep import LONGEST_LINE, Lockstep, LockstepError, lines_of, serve
from m43drivers.simulator.profiles import PROFILES
from m43proto.ends import PinBody, PinLens, Script
from m43proto.messages import PUBLIC
from m43proto.pins import LINES, Line
from m43proto.timing import BODY_TIMINGS, LENS_TIMINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = [sys.executable, "-m", "m43tools", "simulate", "lens", "--stdio"]

ANSWER = re.compile(r"\d{1,18}( [A-Z_]+=[01z])+ next=(never|\d+)|error: [ -~]+")


def a_lens() -> Lockstep:
    return Lockstep(PinLens(LENS_TIMINGS["bell_lens"], SimulatedLens(PROFILES["olympus-14-42"]), PUBLIC.shape_of))


def a_body() -> Lockstep:
    def script(body: PinBody) -> Script[None]:
        yield from body.power_up()

    return Lockstep(PinBody(BODY_TIMINGS["bell_body"], script, PUBLIC.shape_of))


def state(lockstep: Lockstep) -> tuple[object, ...]:
    return lockstep.now_ns, lockstep.next_ns, lockstep.outputs


# any text

words = st.one_of(
    st.sampled_from([f"{line}={level}" for line in LINES for level in "01z"]),
    st.text(max_size=12),
    st.integers(-5, 10**20).map(str),
)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.one_of(st.text(), st.lists(words, max_size=6).map(" ".join)), max_size=30))
@example(
    texts=["٣ CLK=1", "0\N{NO-BREAK SPACE}CLK=1", "0\0", "0 CLK=1\nCLK=0", "²", "1_000", "+0", "\ud800", "0 ſLEEP=1"]
)
def test_any_text_gets_one_line_and_an_error_changes_nothing(texts: list[str]) -> None:
    for lockstep in (a_lens(), a_body()):
        for text in texts:
            before = state(lockstep)
            answer = lockstep.take_line(text)
            assert ANSWER.fullmatch(answer), (text, answer)
            assert not answer.startswith("error: ") or state(lockstep) == before
        assert not lockstep.take_line(str(lockstep.now_ns)).startswith("error: ")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("٣ CLK=1", "'\\u0663 CLK=1': a line is of ASCII characters"),
        ("0 CLK=1 SLEEP=0 CLK=0", "CLK stands twice; give its last level only"),
        ("0 CLK=1 CLK=1", "CLK stands twice"),
        ("0" * 1001, "a line has at most 1000 characters"),
        ("0 LENS_ACK=1", "LENS_ACK: only this end drives that; leave it out"),
        ("0 CLK=1 LENS_ACK=0", "LENS_ACK: only this end drives that"),
    ],
)
def test_what_a_line_may_not_say(text: str, complaint: str) -> None:
    lockstep = a_lens()
    lockstep.take_line("0 SLEEP=1")
    answer = lockstep.take_line(text)
    assert answer.startswith("error: ")
    assert complaint in answer
    assert lockstep.take_line("0") == "0 DATA=z LENS_ACK=0 next=never"


def test_a_line_of_the_other_end_may_be_released_and_a_long_line_be_just_long_enough() -> None:
    assert a_lens().take_line("0 LENS_ACK=z") == "0 DATA=z LENS_ACK=0 next=never"
    assert a_lens().take_line("0".ljust(LONGEST_LINE)) == "0 DATA=z LENS_ACK=0 next=never"
    with pytest.raises(LockstepError, match="BODY_ACK, SLEEP: only this end drives that"):
        a_body().step(0, {Line.BODY_ACK: 0, Line.LENS_ACK: 1, Line.SLEEP: 1})


# a lens that a body without sense talks to


@pytest.mark.parametrize("seed", range(20))
def test_no_levels_at_any_time_break_a_lens(seed: int) -> None:
    rng = random.Random(seed)
    lockstep = a_lens()
    theirs = [line for line in LINES if line is not Line.LENS_ACK]
    now_ns, next_ns = 0, lockstep.step(0, {Line.SLEEP: 1, Line.BODY_ACK: 1})[1]
    for _ in range(3_000):
        now_ns += rng.choice([0, 100, 700, 20_000])
        now_ns = now_ns if next_ns is None else min(now_ns, next_ns)
        line = rng.choices(theirs, [20, 4, 4, 0.01, 1, 1])[0]
        _, next_ns = lockstep.step(now_ns, {line: rng.choice([0, 1])})
        assert next_ns is None or next_ns > now_ns


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_command_breaks_a_lens(seed: int) -> None:
    note(f"seed={seed}")
    rng = random.Random(seed)
    known = [kind.spec.opcode for kind in PUBLIC if kind.spec.opcode[0] >> 4 in (0x6, 0xA, 0xB, 0xC)]
    results = []

    def script(body: PinBody) -> Script[None]:
        yield from body.power_up()
        for _ in range(3):
            command = rng.choice(known) + rng.randbytes(2)
            block = rng.randbytes(rng.choice([0, 1, 9, 9, 9, 30]))
            results.append((yield from body.transact(command, block if command[0] >> 4 == 6 else b"")))

    run_together(PinBody(BODY_TIMINGS["fast"], script, PUBLIC.shape_of), a_lens())
    assert [one is not None and one.complete and one.sums_ok for one in results] == [True] * 3


def run_together(body: PinBody, lens: Lockstep) -> None:
    """Run a body against a lens in lockstep until its script has ended."""
    theirs, now_ns = 0, 0
    while True:
        body_ns = body.advance(now_ns, theirs | (body.outputs & body.drives))
        if body.done:
            return
        driven = {line: int(bool(body.outputs & line.mask)) if body.drives & line.mask else None for line in LINES}
        before = theirs
        told, lens_ns = lens.step(now_ns, driven)
        theirs = sum(line.mask for line, level in told.items() if level)
        if theirs == before:
            now_ns = min(at_ns for at_ns in (body_ns, lens_ns) if at_ns is not None)


# bytes


def served(stdin: bytes) -> list[str]:
    answers: list[str] = []
    serve(a_lens(), lines_of(io.BytesIO(stdin)), answers.append)
    return answers


@settings(max_examples=150, deadline=None)
@given(stdin=st.binary())
@example(stdin=b"0 CLK=1\xff\n\xc3\x28\n\x85\n")
def test_any_bytes_get_one_answer_to_each_line_that_is_not_blank(stdin: bytes) -> None:
    answers = served(stdin)
    assert len(answers) == sum(bool(line.strip(b" \t\r\n")) for line in stdin.split(b"\n"))
    assert all(ANSWER.fullmatch(answer) for answer in answers)


@pytest.mark.parametrize("long", [b"7" * 5_000_000, b"0 ".ljust(LONGEST_LINE + 1) + b"\r"], ids=["far", "by one"])
def test_a_very_long_line_gets_one_error_and_is_passed_over(long: bytes) -> None:
    first, second, third = served(b"0 SLEEP=1\n" + long + b"\n5 BODY_ACK=1\n")
    assert (first, third) == ("0 DATA=z LENS_ACK=0 next=never", "5 DATA=z LENS_ACK=0 next=4505")
    assert second.endswith("a line has at most 1000 characters")


def test_a_very_long_line_is_never_held_as_a_whole() -> None:
    sizes = [len(line) for line in lines_of(io.BytesIO(b"x" * 100_000 + b"\n" + b"y" * 1_002 + b"\nz"))]
    assert sizes == [LONGEST_LINE + 2, LONGEST_LINE + 2, 1]


def test_line_ends_of_all_kinds() -> None:
    assert served(b"0 CLK=1\r\n\r\n  \t\n\n5 SLEEP=1\n9") == [
        "0 DATA=z LENS_ACK=0 next=never",
        "5 DATA=z LENS_ACK=0 next=never",
        "9 DATA=z LENS_ACK=0 next=never",
    ]


# the command


def test_the_command_survives_what_is_no_text_and_ends_with_its_input() -> None:
    done = subprocess.run(
        COMMAND, input=b"0 SLEEP=1\n\xff\xfe\0\n7 BODY_ACK=1\r\n4507 CL", capture_output=True, timeout=60, check=True
    )
    first, second, third, fourth = done.stdout.decode("ascii").splitlines()
    assert (first, third) == ("0 DATA=z LENS_ACK=0 next=never", "7 DATA=z LENS_ACK=0 next=4507")
    assert second == "error: '\\xff\\xfe\\x00': a line is of ASCII characters"
    assert fourth.startswith("error: 'CL': write LINE=0")
    assert done.stderr == b""


@pytest.fixture
def running() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as started:
        yield started
        started.kill()


def test_ctrl_c_ends_a_session_with_130(running: subprocess.Popen[bytes]) -> None:
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"0 CLK=1\n")
    assert running.stdout.readline() == b"0 DATA=z LENS_ACK=0 next=never\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (130, b"", b"m43: interrupted\n")


def test_a_caller_that_reads_no_more_ends_a_session_quietly(running: subprocess.Popen[bytes]) -> None:
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    running.stdin.write(b"0 CLK=1\n")
    assert running.wait(timeout=60) == 141
    assert running.stderr.read() == b""


@pytest.mark.parametrize("closed", ["<&-", "</dev/null >&-", "</dev/null 2>&-", "<&- >&- 2>&-"])
def test_streams_that_were_closed_from_the_start_end_a_session_quietly(closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", *COMMAND], capture_output=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == (b"", b"")
