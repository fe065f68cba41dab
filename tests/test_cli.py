"""``m43`` itself, and its small subcommands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from m43tools.cli import COMMANDS, main, root
from m43tools.export import PICTURED
from m43tools.render.picture import text_in
from tests.test_sniff import Run

CAPTURE = next((Path(__file__).parents[1] / "captures").glob("*/capture.sr"))


def run(*arguments: str, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(arguments, capsys)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [["lenses", "pz"], ["sniff", str(CAPTURE), "--format", "jsonl"], ["--version"]])
def test_output_that_finds_no_room_is_told_in_a_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "m43tools", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "m43: [Errno 28] No space left on device\n")


def test_help_lists_every_command_with_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run("--help", capsys=capsys)
    assert shown.code == 0
    context = click.Context(root)
    for name, (_, summary) in COMMANDS.items():
        assert summary in " ".join(shown.out.split())
        command = root.get_command(context, name)
        assert command is not None
        assert command.short_help == summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_and_exit_codes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(name, "--help", capsys=capsys)
    assert shown.code == 0
    assert "Examples:" in shown.out
    assert re.search(rf"^ +(\$ )?(\S+ \S+ \| )?m43 (--\S+ \S+ )?{name}", shown.out, re.MULTILINE)
    assert "\\b" not in shown.out
    assert "Exit codes: 0" in shown.out


def test_help_imports_nothing_but_click() -> None:
    """The start-up of ``m43 --help`` stays near that of a bare click program: the benchmark measures it."""
    code = (
        "import sys; from m43tools.cli import main; main(['--help']);"
        "print([name for name in ('numpy', 'construct', 'rich', 'm43proto', 'm43drivers', 'serial', 'usb')"
        " if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version", capsys=capsys).out.startswith("m43, version 0.1.0")


@pytest.mark.parametrize("arguments", [["frobnicate"], ["--frobnicate"], ["sniff"], ["sniff", "--frobnicate"]])
def test_wrong_usage_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(*arguments, capsys=capsys)
    assert shown.code == 2
    assert "Error: " in shown.err
    assert "Traceback" not in shown.err


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys=capsys)
    assert shown.code == 2
    assert "Usage: m43" in shown.out + shown.err


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("m43tools.lenses.search_lenses", broken)
    with pytest.raises(ZeroDivisionError):
        main(["lenses"])


def test_shell_completion_knows_the_commands() -> None:
    environment = {**os.environ, "_M43_COMPLETE": "bash_complete", "COMP_WORDS": "m43 sn", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "m43tools"], env=environment, capture_output=True, text=True, check=False
    )
    assert "sniff" in done.stdout


# lenses


def test_lenses_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run("lenses", "panasonic", "pz", capsys=capsys)
    lines = shown.out.splitlines()
    assert shown.code == 0
    assert lines[0].split()[:3] == ["id", "bytes", "maker"]
    assert "2 14 10  02 00 14 10  Panasonic  Lumix G X Vario PZ 14-42mm F3.5-5.6 Asph. Power OIS" in lines[2]
    assert "EXIFTOOL@38bdbac" in lines[2]
    assert len(lines) == 3


def test_lenses_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    [lens] = json.loads(run("lenses", "0 01 10", "--json", capsys=capsys).out)
    assert lens["id_bytes"] == "00000110"
    assert (lens["focal_min_mm"], lens["aperture_tele_f"], lens["stabilised"]) == (14.0, 5.6, None)
    assert "BELL@44f0dea" in lens["source"]
    assert len(json.loads(run("lenses", "--json", capsys=capsys).out)) == 141


def test_no_lens_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run("lenses", "nonsense", capsys=capsys)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err == "m43: no lens has all of: nonsense\n"
    assert run("lenses", "nonsense", "--json", capsys=capsys).out == "[]\n"


def test_lenses_on_a_terminal_are_a_table() -> None:
    from tests.test_sniff import on_terminal

    shown = on_terminal(["lenses", "0 01 10"], {"COLUMNS": "200"})
    assert "M.Zuiko Digital ED 14-42mm F3.5-5.6" in shown
    assert "1 lens; ? = the name does not say" in shown


# messages


def test_messages_lists_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run("messages", capsys=capsys).out.splitlines()
    assert len(lines) == 13
    assert lines[0].startswith("B0 F2  complete  ● Initialise")
    assert len(run("--catalogue", "provisional", "messages", capsys=capsys).out.splitlines()) == 15


def test_messages_shows_fields(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run("messages", "Status", "Drive", capsys=capsys).out
    assert "◑ focus_distance_m     distance that is in focus [m]" in shown
    assert "confirmed, source: BELL@f7123ba, BELL@0b15280, specs §5.4.1" in shown
    assert "60 80  write     ● Drive" in shown


def test_messages_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    [status] = json.loads(run("messages", "Status", "--json", capsys=capsys).out)
    assert (status["opcode"], status["shape"], status["section"]) == ("c180", "read", "5.4.1")
    assert {"name": "aperture_f", "part": "block", "offset": 8, "size": 2, "unit": "f"}.items() <= status["fields"][
        6
    ].items()


def test_an_unknown_message_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run("messages", "Nonsense", capsys=capsys)
    assert shown.code == 2
    assert "no message is called Nonsense; known: Initialise" in shown.err


# export


ROOT = Path(__file__).parents[1]


def test_everything_generated_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    shown = run("export", "--check", "--root", str(ROOT), capsys=capsys)
    assert (shown.code, shown.out) == (0, ""), f"run: m43 export\n{shown.out}"


def test_the_picture_shows_what_the_readme_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    printed = run("sniff", str(ROOT / PICTURED), capsys=capsys).out
    pictured = text_in((ROOT / "specs/pictures/sniff.svg").read_text(encoding="utf-8"))
    for line in printed.splitlines():
        assert " ".join(line.split()) in pictured


def pages(tmp_path: Path, page: str) -> Path:
    path = tmp_path / "specs" / "page.md"
    path.parent.mkdir()
    path.write_text(page, encoding="utf-8")
    return path


def test_a_stale_page_is_named_and_then_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = pages(tmp_path, "before\n<!-- generated: shapes -->\nold\n<!-- end generated -->\nafter\n")
    checked = run("export", "spec", "--check", "--root", str(tmp_path), capsys=capsys)
    assert (checked.code, checked.out) == (1, f"stale: {page}\n")
    assert "old" in page.read_text(encoding="utf-8")
    assert run("export", "spec", "--root", str(tmp_path), capsys=capsys).out == f"written: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert "| `read` (C) | C | the lens sends a block with its sum | confirmed | [1] |" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert run("export", "spec", "--check", "--root", str(tmp_path), capsys=capsys).code == 0


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<!-- generated: shapes -->\n", "has no '<!-- end generated -->'"),
        ("<!-- generated: colours -->\n<!-- end generated -->\n", "no table is called 'colours'"),
        ("<!-- generated: message Xyz -->\n<!-- end generated -->\n", "no message is called 'Xyz'"),
        (None, "no page of the spec"),
    ],
)
def test_a_broken_page_is_one_clear_line(
    page: str | None, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if page is not None:
        pages(tmp_path, page)
    shown = run("export", "spec", "--root", str(tmp_path), capsys=capsys)
    assert shown.code == 2
    assert text in shown.err
    assert shown.err.count("\n") == 1
