"""Output that never waits: whole lines, in order, and what was left out is counted."""

from __future__ import annotations

import io
import os
import threading
from typing import TYPE_CHECKING

import pytest

from m43tools.outlet import BinaryOutlet, TextOutlet

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="looks at pipes")


def test_everything_comes_in_order(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w", encoding="utf-8") as file:
        outlet = TextOutlet(file)
        for number in range(1000):
            outlet.write(f"{number}\n")
        outlet.writelines(["x\n", "y\n"])
        assert outlet.close(10) == 0
    assert (tmp_path / "a").read_text() == "".join(f"{number}\n" for number in range(1000)) + "x\ny\n"


def test_a_pipe_that_nobody_reads_gets_whole_lines_and_keeps_nobody_waiting() -> None:
    reading, writing = os.pipe()
    lines = [f"{number:>99}\n" for number in range(3000)]
    with os.fdopen(writing, "w") as pipe, os.fdopen(reading, "rb") as reader:
        outlet = TextOutlet(pipe, most=10_000)
        for line in lines:
            outlet.write(line)
        assert outlet.full
        assert not outlet.roomy
        left = outlet.close(0.2)
        assert outlet.close(10) == left
        os.set_blocking(reading, False)
        got = reader.read(1 << 20).decode()
    assert 0 < left < len(lines)
    assert got == "".join(lines[: len(lines) - left])


def test_closing_waits_no_longer_when_it_is_given_up() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe, os.fdopen(reading, "rb") as reader:
        outlet = BinaryOutlet(pipe)
        outlet.write(bytes(1 << 20))
        outlet.write(bytes(10))
        threading.Timer(0.2, outlet.give_up).start()
        assert outlet.close(1000) == 2
        reader.read(1 << 16)
        outlet._thread.join(5)


def test_a_reader_that_goes_away_is_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        outlet = TextOutlet(pipe)
        outlet.write("lost\n")
        outlet.close(5)
    assert isinstance(outlet.error, BrokenPipeError)


def test_a_stream_without_a_descriptor_does_too() -> None:
    before = threading.active_count()
    text = io.StringIO()
    outlet = TextOutlet(text)
    outlet.write("a\n")
    assert outlet.close(5) == 0
    assert text.getvalue() == "a\n"
    assert threading.active_count() == before
