"""``m43 conform`` on the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.simulator.faults import FAULTS
from m43tools.cli import main
from m43tools.conformance.cases import CASES
from m43tools.conformance.stimuli import State

if TYPE_CHECKING:
    from pathlib import Path

LENS = "sim:olympus-14-42"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--lens", LENS, "FRM-001", "LNK-0*"], 0),
        (["--lens", f"{LENS}?fault=wrong_command_sum", "FRM-001"], 1),
        (["--lens", f"{LENS}?fault=late_ack", "LNK-010"], 0),
        (["--lens", f"{LENS}?fault=late_ack", "LNK-010", "--strict"], 1),
        (["--lens", f"{LENS}?fault=length_off_by_one", "IDN-001"], 3),
        (["--lens", f"{LENS}?fault=yanked", "FRM-001"], 4),
        (["--lens", LENS, "nothing"], 2),
        (["FRM-001"], 2),
        (["--lens", LENS, "--capture", "x.vcd"], 2),
        (["--lens", "serial:/dev/null"], 2),
        (["--lens", "sim:olympus-14-42?speed=1"], 2),
        (["--lens", "sim:olympus-14-42?timing=none"], 2),
        (["--capture", "missing.vcd"], 2),
        (["--list", "C3.2-1"], 0),
        (["--list", "sums", "--skip", "FRM-002"], 0),
    ],
)
def test_exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", *words]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_the_list_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "--list"]) == 0
    *rows, chapters, total = capsys.readouterr().out.splitlines()
    assert len(rows) == len(CASES)
    assert total == f"{len(CASES)} of {len(CASES)} cases"
    assert "s3_framing" in chapters
    assert all(row.endswith(tuple(f"(from: {state})" for state in State)) for row in rows)


def test_a_statement_is_written_edited_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lens.toml"
    assert main(["conform", "statement", "--lens", LENS, "-o", str(path)]) == 0
    run = ["conform", "--lens", LENS, "--statement", str(path), "IDN-010"]
    assert main(run) == 0
    path.write_text(path.read_text().replace("1.101", "1.102"))
    assert main(run) == 1
    assert "[identity] firmware: declared '1.102', found '1.101'" in capsys.readouterr().out
    path.write_text("[identity]\nmakers = 1\n")
    assert main(run) == 2
    assert "[identity] has no key makers" in capsys.readouterr().err


def test_repeat_and_shuffle_tell_their_seed(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["conform", "--lens", LENS, "sums", "--repeat", "2", "--shuffle", "--seed", "5"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert main(words) == 0
    assert capsys.readouterr().out == first
    assert "seed 5" in first


def test_the_selftest_names_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", "selftest", "--quick", "--only", "status_byte_1"]) == 0
    out = capsys.readouterr().out
    assert "*FRM-008" in out
    assert "1 of 1 broken lenses" in out


def test_a_rerun_gives_the_same_bytes_with_a_catalogue_too(tmp_path: Path) -> None:
    first, again = tmp_path / "first.json", tmp_path / "again.json"
    words = ["--catalogue", "provisional", "conform", "--lens", "sim:panasonic-pz-14-42", "STB-*", "--shuffle"]
    assert main([*words, "--json", str(first)]) == 0
    report = json.loads(first.read_text(encoding="utf-8"))
    assert report["provenance"]["command_line"][:3] == ["--catalogue", "provisional", "conform"]
    assert report["totals"]["PASS"] == 3
    assert main(["conform", "rerun", str(first), "--json", str(again)]) == 0
    assert again.read_bytes() == first.read_bytes()


def test_only_what_is_new_beside_a_baseline_decides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    broken = ["conform", "--lens", f"{LENS}?fault=wrong_command_sum", "FRM-001", "FRM-008"]
    assert main(["conform", "--lens", LENS, "FRM-001", "FRM-008", "--json", str(good)]) == 0
    assert main([*broken, "--json", str(bad)]) == 1
    assert main([*broken, "--baseline", str(bad)]) == 0
    assert "no difference" in capsys.readouterr().out
    assert main([*broken, "--baseline", str(good)]) == 1
    assert "newly failing" in capsys.readouterr().out
    assert main(["conform", "--lens", LENS, "FRM-001", "--baseline", str(bad)]) == 0
    assert "fixed" in capsys.readouterr().out


def test_rounds_fill_a_time_of_the_bus_and_tell_each_verdict(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert main(["conform", "--lens", LENS, "FRM-011", "FRM-012", "--duration", "5s", "--json", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert [one["case"]["id"] for one in results] == ["FRM-011", "FRM-012"]
    assert len(results[0]["runs"]) == len(results[1]["runs"]) > 1
    assert set(results[0]["runs"]) == {"PASS"}


def test_ctrl_c_ends_a_selftest_with_its_processes() -> None:
    """A terminal sends SIGINT to the whole group."""
    lenses = [word for name in FAULTS for word in ("--only", name)]
    words = [sys.executable, "-m", "m43tools", "conform", "selftest", "--quick", "--jobs", "2", *lenses]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes, start_new_session=True) as child:
        assert child.stderr is not None
        child.stderr.readline()  # the first lens is done: both workers are at work
        os.killpg(child.pid, signal.SIGINT)
        # Each of its processes holds these pipes, so this ends only when the last of them has.
        _, told = child.communicate(timeout=30)
    assert child.returncode == 130, told
    assert told.splitlines()[-1] == "m43: interrupted"
    assert "Traceback" not in told
