"""What is found out about a stream before it is decoded, and a capture that comes through a pipe."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from m43drivers.bulk import looking
from m43drivers.bulk.looking import living_lines
from m43proto.pins import LINES, Line
from tests.bulk.support import in_bulk, one_by_one, stream_of
from tests.capture.writers import raw_bytes
from tests.recordings import RATE_HZ, session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from m43drivers.capture.stream import Block

NUMBERS = {line: line.bit for line in LINES}


@pytest.mark.parametrize("dead", [(), (Line.BODY_ACK,), (Line.BODY_ACK, Line.LENS_ACK)])
@pytest.mark.parametrize("again", [True, False], ids=["file", "pipe"])
@pytest.mark.parametrize("most", [100, 1 << 19])
def test_dead_lines_are_left_out(
    dead: tuple[Line, ...], again: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "PREFIX_ROWS", most)
    waveform = session()
    gone = sum(line.mask for line in dead)
    changes = [(t_ns, levels & ~gone) for t_ns, levels in waveform.changes]
    stream = replace(stream_of(changes, waveform.now_ns, range(50, len(changes), 50)), again=again)
    stream, living, found = living_lines(stream, NUMBERS)
    assert found == dead
    assert set(living) == set(LINES) - set(dead)
    lines = tuple(line for line in LINES if line not in dead)
    assert in_bulk(stream, lines)[0] == one_by_one(changes, waveform.now_ns, lines)


def test_a_line_that_wakes_late_in_a_file_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "PREFIX_ROWS", 100)
    waveform = session()
    late = len(waveform.changes) // 2
    changes = [
        (t, levels if at > late else levels & ~Line.LENS_ACK.mask) for at, (t, levels) in enumerate(waveform.changes)
    ]
    stream, living, dead = living_lines(stream_of(changes, waveform.now_ns, range(50, len(changes), 50)), NUMBERS)
    assert dead == ()
    assert in_bulk(stream, living)[0] == one_by_one(changes, waveform.now_ns, LINES)


def test_a_pipe_is_read_no_further_than_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = session()
    read: list[Block] = []
    whole = stream_of(waveform.changes, waveform.now_ns, range(50, len(waveform.changes), 50))

    def blocks(mask: int | None) -> Iterator[Block]:
        for block in whole.blocks(mask):
            read.append(block)
            yield block

    living_lines(replace(whole, blocks=blocks, again=False), NUMBERS)
    assert len(read) < 5


def test_a_pipe_is_decoded_as_it_arrives() -> None:
    """The messages of the first half come out while the second has not come in."""
    waveform = session(frames=20)
    data = raw_bytes(waveform.channels(), waveform.now_ns, RATE_HZ)
    pins = ",".join(f"{line}=D{line.bit}" for line in LINES)
    command = [
        sys.executable,
        "-m",
        "m43tools",
        "sniff",
        "-",
        "--rate",
        str(RATE_HZ),
        "--pins",
        pins,
        "--format",
        "jsonl",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        half = len(data) // 2
        view, at = memoryview(data), 0
        while at < half:
            at += running.stdin.write(view[at:half]) or 0
        early = b""
        while early.count(b'"name": "Status"') < 5:
            early += running.stdout.read(65536)
        while at < len(data):
            at += running.stdin.write(view[at:]) or 0
        running.stdin.close()
        late = running.stdout.read()
        while more := running.stdout.read():
            late += more
    assert running.returncode == 0
    said = [script.command.hex() for *_, script in waveform.transactions]
    lines = (early + late).decode().splitlines()
    assert [line.split('"command": "')[1][:8] for line in lines if '"command"' in line] == said
