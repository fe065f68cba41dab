"""Every folder in ``captures/`` against its golden decode and its provenance."""

from __future__ import annotations

import json
import shlex
import shutil
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from m43drivers.capture import open_capture
from m43drivers.capture.writing import FORMATS
from m43proto.evidence import SOURCES
from m43tools.cli import main
from m43tools.library import CAPTURE, EXPECTED, capture_file, rebuilt, same_session
from tests.test_sniff import Run

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path for path in (ROOT / "captures").iterdir() if path.is_dir())
ORIGINS = {"recorded", "simulated", "synthetic"}

every_capture = pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])


def provenance(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "capture.toml").read_text(encoding="utf-8"))


def test_there_is_a_capture_of_every_format_that_can_be_written() -> None:
    """But raw samples, which would be large and do not tell what they are."""
    names = {Path(capture_file(provenance(folder))).suffix for folder in FOLDERS}
    assert names == {suffix for form in FORMATS.values() for suffix in form.suffixes[:1]} - {".raw"}


def test_there_are_captures() -> None:
    assert FOLDERS


@every_capture
def test_the_decode_is_golden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = shlex.split(provenance(folder)["decode"]["command"])
    assert command[0] == "m43"
    name = capture_file(provenance(folder))
    run = Run(tuple(folder / name if word == name else word for word in command[1:]), capsys)
    assert run.code == provenance(folder)["decode"]["exit_code"]
    assert run.out == (folder / "expected.jsonl").read_text(encoding="utf-8")


@every_capture
def test_the_provenance_is_whole_and_true(folder: Path) -> None:
    told = provenance(folder)
    capture = open_capture(folder / capture_file(told))
    assert len(folder.name.split("__")) == 3
    assert told["capture"]["origin"] in ORIGINS
    assert told["capture"]["source"] in SOURCES
    assert told["capture"]["licence"]
    assert told["sampling"].get("rate_hz") == capture.sample_rate_hz
    assert told["sampling"]["lines"] == [channel.name for channel in capture.channels]


SYNTHETIC = [folder for folder in FOLDERS if provenance(folder)["capture"]["origin"] == "synthetic"]

CONVERTED = [folder for folder in SYNTHETIC if provenance(folder)["made"]["command"].startswith("m43 convert ")]
SIMULATED = [folder for folder in SYNTHETIC if folder not in CONVERTED]

every_synthetic = pytest.mark.parametrize("folder", SYNTHETIC, ids=[folder.name for folder in SYNTHETIC])


@every_synthetic
def test_a_synthetic_capture_is_what_its_command_makes(folder: Path) -> None:
    fresh = rebuilt(folder, provenance(folder))
    assert set(fresh) == {path for path in folder.rglob("*") if path.is_file()} - {folder / "capture.toml"}
    for path, content in fresh.items():
        assert same_session(path.read_bytes(), content)


@pytest.mark.parametrize("folder", CONVERTED, ids=[folder.name for folder in CONVERTED])
def test_a_converted_capture_says_what_its_source_says(folder: Path) -> None:
    source = folder.parent / Path(shlex.split(provenance(folder)["made"]["command"])[2]).parent.name
    assert (folder / EXPECTED).read_bytes() == (source / EXPECTED).read_bytes()


@pytest.mark.parametrize("folder", SIMULATED, ids=[folder.name for folder in SIMULATED])
def test_a_synthetic_capture_holds_what_the_body_saw(folder: Path, tmp_path: Path) -> None:
    """The truth comes from the simulated body itself; noise and a late start leave some of it out."""
    command = shlex.split(provenance(folder)["made"]["command"])[1:-2]
    log = tmp_path / "truth.jsonl"
    assert main([*command, "--log", str(log), "-o", str(tmp_path / capture_file(provenance(folder)))]) == 0
    said = [json.loads(line)["seen"] for line in log.read_text(encoding="utf-8").splitlines()]
    golden = [json.loads(line) for line in (folder / EXPECTED).read_text(encoding="utf-8").splitlines()]
    found = [(row["command"], row["data"]) for row in golden if "event" not in row]
    truth = [(one["command"], one["data"]) for one in said if one]
    if "--start-at" in command:
        truth = truth[-len(found) :]
    if "heavy" in command:
        assert len(found) > len(truth) / 2
        assert set(found) & set(truth)
    else:
        assert found == truth


def test_the_captures_show_faults_and_provisional_messages_as_such() -> None:
    for folder in SYNTHETIC:
        told = provenance(folder)
        made, lines = told["made"]["command"], (folder / EXPECTED).read_text(encoding="utf-8")
        spoilt = "--fault" in made or "heavy" in made
        assert told["decode"]["exit_code"] == int(spoilt)
        assert ('"evidence": "provisional"' in lines) == ("provisional" in made) == ("stabilisation" in folder.name)
        assert ('"event": "fragment"' in lines) >= ("--start-at" in made)


def test_the_library_is_small_and_says_that_it_is_synthetic() -> None:
    files = [path for folder in FOLDERS for path in folder.rglob("*")]
    assert sum(path.stat().st_size for path in files) < 5_000_000
    assert len(SYNTHETIC) >= 15
    for folder in SYNTHETIC:
        capture = open_capture(folder / capture_file(provenance(folder)))
        if (folder / CAPTURE).exists():
            assert "Synthetic" in zipfile.ZipFile(folder / CAPTURE).read("metadata").decode()
        assert capture.end_ns < 2e9


def test_a_stale_capture_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for one in SYNTHETIC[:2]:
        shutil.copytree(one, tmp_path / "captures" / one.name)
    shutil.copy(ROOT / "captures" / "README.md", tmp_path / "captures")
    page = tmp_path / "captures" / "README.md"
    assert Run(("export", "captures", "--root", tmp_path), capsys).out == f"written: {page}\n"
    assert Run(("export", "captures", "--check", "--root", tmp_path), capsys).code == 0
    folder = tmp_path / "captures" / SYNTHETIC[0].name
    whole = (folder / CAPTURE).read_bytes()
    (folder / CAPTURE).write_bytes(b"")
    (folder / EXPECTED).unlink()
    run = Run(("export", "captures", "--check", "--root", tmp_path), capsys)
    assert run.code == 1
    assert run.out == f"stale: {folder / CAPTURE}\nstale: {folder / EXPECTED}\n"
    assert Run(("export", "captures", "--root", tmp_path), capsys).code == 0
    assert same_session((folder / CAPTURE).read_bytes(), whole)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("m43 simulate", "rm simulate", "expected a command of m43"),
        ("--script power-up", "--script dance", "expected exit code 0, found 2: m43: no script is called dance"),
        ("exit_code = 0", "exit_code = 1", "expected exit code 1, found 0"),
        ("[made]", "[made", "is no TOML"),
    ],
)
def test_a_provenance_that_is_not_true_is_told_in_a_line(
    old: str, new: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "captures" / "sim-e-p1__sim-olympus-14-42__power-up"
    shutil.copytree(ROOT / "captures" / folder.name, folder)
    (tmp_path / "captures" / "README.md").write_text("", encoding="utf-8")
    text = (folder / "capture.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "capture.toml").write_text(text.replace(old, new), encoding="utf-8")
    run = Run(("export", "captures", "--root", tmp_path), capsys)
    assert run.code == 2
    assert line in run.err
    assert run.err.count("\n") == 1


def test_a_folder_without_captures_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(("export", "captures", "--root", tmp_path), capsys)
    assert run.code == 2
    assert "no captures/*/capture.toml here" in run.err


TRUTHS = ROOT.parent / "shared" / "captures"


@pytest.mark.skipif(not TRUTHS.is_dir(), reason="the simulated captures with ground truth are not on this machine")
@pytest.mark.parametrize(
    ("name", "code"),
    [("A0-tiny-powerup-3frames", 0), ("B1-fakelens-vs-bodymodel-EP1", 0), ("D1a-corrupt-command-checksum", 1)],
)
def test_captures_with_ground_truth_decode_to_the_truth(
    name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (TRUTHS / f"{name}.truth.jsonl").read_text(encoding="utf-8").splitlines()
    truth = [json.loads(line) for line in lines]
    run = Run(("sniff", TRUTHS / f"{name}.vcd", "--layer", "bytes", "--format", "jsonl"), capsys)
    assert run.code == code
    assert [(row["t_ns"], row["end_ns"], row["from"], row["value"]) for row in run.records] == [
        (row["time_ns"], row["end_ns"], row["direction"].partition("->")[0], row["value"])
        for row in truth
        if row["type"] == "byte"
    ]
    run = Run(("sniff", TRUTHS / f"{name}.vcd", "--layer", "transactions", "--format", "jsonl"), capsys)
    assert [
        (row["t_ns"], row["command"], row["command_sum_ok"], row["data_sum_ok"], row["data"])
        for row in run.records
        if "event" not in row
    ] == [
        (
            row["t_start_ns"],
            row["command"].replace(" ", ""),
            row["command_checksum_ok"],
            row.get("payload_checksum_ok"),
            row.get("payload", "").replace(" ", ""),
        )
        for row in truth
        if row["type"] == "packet"
    ]
