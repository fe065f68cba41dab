"""``m43 sniff`` of many captures in one call."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from m43tools.cli import main
from m43tools.many import captures_in, folder_asked_for, targets_in
from tests.formats.support import FOLDERS, ROOT, golden
from tests.recordings import FORMATS, session

if TYPE_CHECKING:
    from collections.abc import Sequence

CLEAN, WRONG = (
    next(folder / "capture.sr" for folder in FOLDERS if folder.name.endswith(end))
    for end in ("olympus-45__aperture-sweep", "wrong-sums")
)


def sniff(*words: object) -> int:
    return main(["sniff", *map(str, words)])


def test_rows_stand_in_the_order_of_the_captures_and_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert sniff(CLEAN, WRONG, "--format", "jsonl") == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = [{"capture": str(one), **record} for one in (CLEAN, WRONG) for record in golden(one.parent)]
    assert rows == expected
    assert next(iter(rows[0])) == "capture"


def test_csv_has_one_head_and_text_has_headings(capsys: pytest.CaptureFixture[str]) -> None:
    assert sniff(WRONG, CLEAN, "--format", "csv", "--only", "Identify") == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["capture"], row["name"]) for row in rows] == [(str(WRONG), "Identify"), (str(CLEAN), "Identify")]
    assert sniff(WRONG, CLEAN, "--only", "Identify") == 1
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.startswith("== ")] == [f"== {WRONG}", f"== {CLEAN}"]


def test_a_folder_gets_a_file_of_each(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert sniff(CLEAN, WRONG, "--format", "jsonl", "-o", folder) == 1
    for one in (CLEAN, WRONG):
        text = (folder / one.parent.name / "capture.sr.jsonl").read_text(encoding="utf-8")
        assert text == (one.parent / "expected.jsonl").read_text(encoding="utf-8")
    assert sniff(CLEAN, WRONG, "--format", "pcapng", "-o", folder) == 1
    assert len(list(folder.rglob("*.pcapng"))) == 2


def test_the_worst_code_wins_and_the_others_are_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.sr"
    broken.write_bytes(b"PK\x03\x04 nothing")
    assert sniff(broken, CLEAN, "--format", "jsonl") == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(golden(CLEAN.parent))
    assert err.startswith(f"m43: {broken}")
    assert err.count("\n") == 1


def test_binary_formats_want_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert sniff(CLEAN, WRONG, "--format", "pcapng") == 2
    assert "name a folder with -o DIR" in capsys.readouterr().err


def test_saleae_binary_files_of_a_folder_are_one_capture(tmp_path: Path) -> None:
    waveform = session()
    folder = FORMATS["bin"](tmp_path, waveform.channels(), waveform.now_ns)
    files = sorted(folder.glob("*.bin"))
    assert len(files) > 1
    assert captures_in(files) == [tuple(files)]
    assert captures_in([CLEAN, *files, WRONG]) == [(CLEAN,), tuple(files), (WRONG,)]
    assert captures_in([folder]) == [(folder,)]


def test_names_in_the_folder_tell_the_captures_apart(tmp_path: Path) -> None:
    groups: Sequence[tuple[Path, ...]] = [(tmp_path / "a" / "x.sr",), (tmp_path / "b" / "x.sr",), (tmp_path / "x.vcd",)]
    assert targets_in(Path("out"), groups, ".csv") == [
        Path("out/a/x.sr.csv"),
        Path("out/b/x.sr.csv"),
        Path("out/x.vcd.csv"),
    ]


@pytest.mark.parametrize(
    ("name", "always", "expected"), [("new", False, True), ("new.csv", False, False), ("new.csv", True, True)]
)
def test_what_is_a_folder(name: str, always: bool, expected: bool, tmp_path: Path) -> None:
    assert folder_asked_for(tmp_path / name, always=always) is expected
    assert folder_asked_for(tmp_path, always=always)
    assert not folder_asked_for(None, always=always)


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    noisy = next(folder for folder in FOLDERS if folder.name.endswith("noisy"))
    captures = [shutil.copy(noisy / "capture.sr", tmp_path / f"{index}.sr") for index in range(30)]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = subprocess.Popen(
        [sys.executable, "-m", "m43tools", "sniff", *captures, "--format", "jsonl", "-o", str(tmp_path / "all.jsonl")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(scratch.glob("m43-*/*")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert err == "m43: interrupted\n"
    assert not list(scratch.iterdir())
    assert not list(tmp_path.glob("*all.jsonl*"))
