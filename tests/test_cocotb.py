"""Somebody else's Verilog against both ends, as a user runs it: by Icarus Verilog and cocotb."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from m43drivers.simulator.lens import SimulatedLens
from m43drivers.simulator.profiles import PROFILES

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = Path(__file__).parents[1] / "tools" / "hdl" / "run.py"
STATUS = SimulatedLens(PROFILES["olympus-14-42"]).status(0).block.hex()
MISSING = 3


class Example:
    """An example that has run; skips the test when this machine cannot run it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, PROGRAM, *arguments, "--folder", folder], capture_output=True, text=True, timeout=300
        )
        if done.returncode == MISSING:
            pytest.skip(done.stderr.strip())
        self.code = done.returncode
        self.log = done.stdout + done.stderr
        self.failures: Mapping[str, bool] = {
            case.attrib["name"]: case.find("failure") is not None or case.find("error") is not None
            for case in ElementTree.parse(folder / "results.xml").iter("testcase")
        }


def test_the_verilog_body_reads_the_status_of_the_simulated_lens(tmp_path: Path) -> None:
    example = Example(tmp_path, "body")
    assert (example.code, example.failures) == (0, {"the_body_reads_the_status": False}), example.log
    assert re.findall(r"the body holds (\w+)", example.log) == [STATUS]


def test_the_simulated_body_reads_the_status_of_the_verilog_lens(tmp_path: Path) -> None:
    example = Example(tmp_path, "lens")
    assert (example.code, example.failures) == (0, {"the_lens_answers": False}), example.log
    assert re.findall(r"the lens said (\w+) to (\w+)", example.log) == [
        ("nothing", "a0f50100"),
        (STATUS, "c1800106"),
        (STATUS, "c1800106"),
    ]


def test_a_verilog_lens_that_sends_a_wrong_sum_is_caught(tmp_path: Path) -> None:
    example = Example(tmp_path, "lens", "--parameter", "BENT=1")
    assert (example.code, example.failures) == (1, {"the_lens_answers": True}), example.log
    assert "one.complete and one.sums_ok" in example.log


@pytest.mark.parametrize("arguments", [[], ["camera"], ["lens", "--parameter", "BENT"]])
def test_wrong_usage_is_exit_2(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "run.py: error: " in done.stderr


def test_without_iverilog_the_program_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = subprocess.run([sys.executable, PROGRAM, "lens"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (
        MISSING,
        "run.py: iverilog is not there; on Debian: apt-get install iverilog\n",
    )
