"""``m43 sniff`` of one long capture on several cores: what is written is what one process writes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import BinaryIO

import pytest

from m43drivers.capture import open_capture
from m43drivers.capture.writing import write_capture
from m43tools import cores as cores_module
from m43tools.cli import main
from tests.recordings import BAD_POLL, session, vcd

SECTION = 1 << 18
"""Samples of a section here: some ten frames."""

if not hasattr(os, "fork"):
    pytest.skip("a process cannot be copied here, so one process decodes", allow_module_level=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of many small entries, with a wrong sum near its start."""
    folder = tmp_path_factory.mktemp("cores")
    source, path = open_capture(vcd(folder, session(BAD_POLL, frames=100))), folder / "long.sr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("m43drivers.capture.writing.sigrok.ENTRY_BYTES", 1 << 16)
        write_capture(path, source.channels, source.end_ns, rate_hz=4_000_000)
    return path


@pytest.fixture
def capture(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session, to be decoded in small sections."""
    monkeypatch.setattr("m43drivers.bulk.parts.SECTION_TICKS", SECTION)
    return Path(shutil.copy(written, tmp_path))


def run(capture: Path, jobs: int, *options: str) -> tuple[int, bytes]:
    """Decode into a file; return the exit code and the file."""
    output = capture.with_name(f"out-{jobs}")
    code = main(["sniff", str(capture), "--jobs", str(jobs), "-o", str(output), *options])
    return code, output.read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "jsonl"],
        ["--format", "csv"],
        [],
        ["--raw", "--layer", "transactions"],
        ["--format", "jsonl", "--layer", "bytes"],
        ["--format", "csv", "--layer", "transactions"],
        ["--format", "jsonl", "--only", "Status,frame_sync", "--from", "0.2", "--to", "1.3"],
        ["--summary"],
        ["--summary", "--format", "jsonl"],
    ],
    ids=" ".join,
)
def test_the_output_is_that_of_one_process(
    capture: Path, options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = run(capture, 1, *options)
    monkeypatch.setattr(cores_module, "_anew", None)  # No part of it has to be decoded a second time.
    assert run(capture, 2, *options) == expected
    assert run(capture, 3, *options) == expected
    assert len(expected[1]) > 500
    assert expected[0] == (0 if "--from" in options else 1)
    assert capsys.readouterr().err == ""


def test_text_on_a_terminal_is_written_by_one_process(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m43tools.sniff.decode_parts", None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["sniff", str(capture), "--jobs", "2"]) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_signs_are_those_that_the_output_takes(capture: Path, encoding: str) -> None:
    command = [sys.executable, "-c", PROGRAM, "sniff", str(capture), "--jobs"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    one, two = (
        subprocess.run([*command, jobs], capture_output=True, check=False, env=environment).stdout for jobs in "12"
    )
    assert one == two
    assert ("→".encode() in one) == (encoding == "utf-8")


def test_a_process_that_dies_costs_time_only(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(capture, 1, "--format", "jsonl")
    original = cores_module._make

    def dying(job: object, number: int, pipe: object) -> None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        original(job, number, pipe)  # type: ignore[arg-type]

    monkeypatch.setattr(cores_module, "_make", dying)
    assert run(capture, 2, "--format", "jsonl") == expected


def test_a_process_that_dies_while_it_tells_costs_time_only(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(capture, 1, "--format", "jsonl")

    def cut_short(lines: BinaryIO, pipe: BinaryIO, size: int) -> None:
        text = lines.read(size)
        pipe.write(text[: len(text) // 2])
        pipe.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(shutil, "copyfileobj", cut_short)
    assert run(capture, 2, "--format", "jsonl") == expected


def test_a_long_part_waits_in_a_file(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(capture, 1, "--format", "jsonl")
    monkeypatch.setattr(cores_module, "KEPT", 100)
    monkeypatch.setattr(cores_module, "CHUNK", 1000)
    assert run(capture, 2, "--format", "jsonl") == expected


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_damaged_entry_is_told_behind_what_comes_before_it(
    capture: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run(capture, 1, "--format", form)[1].decode()
    with zipfile.ZipFile(capture) as archive:
        names = [name for name in archive.namelist() if name.startswith("logic-1-")]
        entry = archive.getinfo(names[len(names) // 2])
    data = bytearray(capture.read_bytes())
    data[entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2] ^= 0xFF
    capture.write_bytes(data)
    alone = main(["sniff", str(capture), "--jobs", "1", "--format", form]), *capsys.readouterr()
    shared = main(["sniff", str(capture), "--jobs", "2", "--format", form]), *capsys.readouterr()
    assert (alone[0], alone[2]) == (shared[0], shared[2])
    assert alone[0] == 2
    assert whole.startswith(shared[1])
    assert shared[1].startswith(alone[1])
    assert shared[1].count("\n") > 10


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_ctrl_c_ends_all_processes(capture: Path, unbuffered: str) -> None:
    """Without a buffer, Python would drop the rest of a write that the signal cuts short."""
    command = [sys.executable, "-c", PROGRAM, "sniff", str(capture), "--layer", "bytes", "--format", "jsonl"]
    with subprocess.Popen(
        [*command, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    ) as running:
        assert running.stdout is not None
        assert running.stdout.read(1) == b"{"
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err.strip()) == (130, b"m43: interrupted")
    assert out.endswith(b"}\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


def test_a_closed_pipe_ends_all_processes(capture: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "sniff", str(capture), "--layer", "bytes", "--format", "jsonl"]
    with subprocess.Popen([*command, "--jobs", "2"], stdout=subprocess.PIPE, start_new_session=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith(b"{")
        running.stdout.close()
        assert running.wait(timeout=60) == 141
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


PROGRAM = f"""
import m43drivers.bulk.parts
m43drivers.bulk.parts.SECTION_TICKS = {SECTION}
from m43tools.entry import entry_point
entry_point()
"""


def test_a_process_that_cannot_be_copied_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores_module.cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores_module.cores() == os.cpu_count()
    monkeypatch.delattr(os, "fork")
    assert cores_module.cores() == 1
