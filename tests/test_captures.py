"""Every folder in ``captures/`` against its golden decode and its provenance."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from m43drivers.capture import open_capture
from m43proto.evidence import SOURCES
from tests.test_sniff import Run

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path for path in (ROOT / "captures").iterdir() if path.is_dir())
ORIGINS = {"recorded", "simulated", "synthetic"}

every_capture = pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])


def provenance(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "capture.toml").read_text(encoding="utf-8"))


def test_there_are_captures() -> None:
    assert FOLDERS


@every_capture
def test_the_decode_is_golden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(("sniff", folder / "capture.sr", "--format", "jsonl"), capsys)
    assert run.code == provenance(folder)["decode"]["exit_code"]
    assert run.out == (folder / "expected.jsonl").read_text(encoding="utf-8")


@every_capture
def test_the_provenance_is_whole_and_true(folder: Path) -> None:
    told = provenance(folder)
    capture = open_capture(folder / "capture.sr")
    assert len(folder.name.split("__")) == 3
    assert told["capture"]["origin"] in ORIGINS
    assert told["capture"]["source"] in SOURCES
    assert told["capture"]["licence"]
    assert told["sampling"]["rate_hz"] == capture.sample_rate_hz
    assert told["sampling"]["lines"] == [channel.name for channel in capture.channels]


SIMULATED = ROOT.parent / "shared" / "captures"


@pytest.mark.skipif(not SIMULATED.is_dir(), reason="the simulated captures with ground truth are not on this machine")
@pytest.mark.parametrize(
    ("name", "code"),
    [("A0-tiny-powerup-3frames", 0), ("B1-fakelens-vs-bodymodel-EP1", 0), ("D1a-corrupt-command-checksum", 1)],
)
def test_captures_with_ground_truth_decode_to_the_truth(
    name: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (SIMULATED / f"{name}.truth.jsonl").read_text(encoding="utf-8").splitlines()
    truth = [json.loads(line) for line in lines]
    run = Run(("sniff", SIMULATED / f"{name}.vcd", "--layer", "bytes", "--format", "jsonl"), capsys)
    assert run.code == code
    assert [(row["t_ns"], row["end_ns"], row["from"], row["value"]) for row in run.records] == [
        (row["time_ns"], row["end_ns"], row["direction"].partition("->")[0], row["value"])
        for row in truth
        if row["type"] == "byte"
    ]
    run = Run(("sniff", SIMULATED / f"{name}.vcd", "--layer", "transactions", "--format", "jsonl"), capsys)
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
