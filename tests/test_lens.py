"""``m43 lens`` as its user runs it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from m43drivers.body.errors import LensError
from m43drivers.transport import TransportError
from m43proto.dialects import DIALECTS
from m43tools.cli import main, with_paragraphs
from m43tools.driving import EXITS
from m43tools.lens import DEFAULT_LENS, EXIT_CODES, lens
from tests.test_sniff import Run, on_terminal
from tests.virtualtime import run as run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

COMMANDS = sorted(lens.commands)


@pytest.fixture
def m43(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Run ``m43 lens`` on virtual time."""

    def run(coroutine: Coroutine[Any, Any, Any], *, debug: bool) -> Any:
        assert debug is False
        return run_virtually(coroutine)

    monkeypatch.setattr("m43tools.driving.asyncio.run", run)
    return lambda *arguments: Run(("lens", *arguments), capsys)


def rows(out: str) -> dict[str, str]:
    return {line[:16].strip(): line[16:] for line in out.splitlines()}


# what it says


def test_the_first_try_needs_nothing_attached_and_says_so(m43: Callable[..., Run]) -> None:
    shown = m43("info")
    assert (shown.code, shown.err) == (0, "")
    assert rows(shown.out) == {
        "at": "simulated olympus-14-42 (sim:olympus-14-42)",
        "lens": "Olympus M.Zuiko Digital ED 14-42mm F3.5-5.6 (0 01 10)",
        "serial": "AAA243841◑",
        "firmware": "1.101◑",
        "focal length": "14 to 42 mm (lens database)",
        "widest aperture": "f/3.5 to f/5.6 (lens database)",
        "link capability": "0A 10 C4 09○",
        "◑ inferred  ○ un": "known",
    }
    [record] = m43("info", "--json").records
    assert record["at"] == "simulated olympus-14-42"
    assert record["identity"]["serial"] == "AAA243841"
    assert (record["aperture_wide_f"], record["bridge_firmware"]) == (3.5, None)


@pytest.mark.parametrize("command", [["status"], ["aperture", "8"], ["focus", "--near"], ["ring", "reverse"]])
def test_every_answer_says_that_the_lens_is_simulated(m43: Callable[..., Run], command: list[str]) -> None:
    assert "at              simulated olympus-14-42 (sim:olympus-14-42)" in m43(*command).out.splitlines()
    assert m43(*command, "--json").records[0]["url"] == DEFAULT_LENS


def test_a_bridge_tells_its_firmware(m43: Callable[..., Run]) -> None:
    shown = m43("info", "--lens", "loopback:olympus-45")
    assert shown.code == 0
    assert "bridge firmware" in rows(shown.out)
    assert "m43 bridge, in this process" in shown.out


def test_a_lens_that_no_database_has_is_shown(m43: Callable[..., Run], tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    assert m43("info", "--record", path).code == 0
    text = path.read_text()
    said = re.search(r'"said": "(ba1500[0-9a-f]*)"', text)
    assert said is not None
    data = bytearray.fromhex(said[1])[3:-1]
    data[1:4] = b"\x09\x99\x99"
    other = (bytes.fromhex("ba1500") + data + bytes([sum(data) % 256])).hex()
    path.write_text(text.replace(said[1], other))
    shown = m43("info", "--lens", f"replay:{path}")
    assert shown.code == 0
    assert "not in the lens database" in shown.out
    assert "focal length" not in shown.out


def test_the_status_reads_at_once(m43: Callable[..., Run]) -> None:
    shown = rows(m43("status").out)
    assert [shown[name] for name in ("aperture", "focus position", "focus distance", "zoom step")] == [
        "f/3.59◑",
        "12◑",
        "0.330 m◑",
        "0◑",
    ]
    [record] = m43("status", "--json").records
    assert record == {
        "url": DEFAULT_LENS,
        "aperture_f": 3.5943,
        "focus_position": 12,
        "focus_distance_m": 0.33,
        "zoom_step": 0,
        "aperture_av": 3.6914,
    }


@pytest.mark.parametrize(
    ("arguments", "f"),
    [(["5.6"], 5.6), (["f/8"], 8), (["F/8"], 8), (["--av", "6"], 8), (["--wide-open"], 3.5), (["1.4", "--clamp"], 3.5)],
)
def test_the_aperture_goes_where_it_should(m43: Callable[..., Run], arguments: list[str], f: float) -> None:
    shown = m43("aperture", *arguments, "--json")
    assert shown.code == 0
    assert shown.records[0]["aperture_f"] == pytest.approx(f, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "key", "value", "near"),
    [
        (["--position", "120"], "focus_position", 120, 3),
        (["--by", "-20"], "focus_position", -8, 3),
        (["--distance", "1.5"], "focus_distance_m", 1.5, 0.06),
        (["--near"], "focus_position", -148, 3),
    ],
)
def test_the_focus_goes_where_it_should(
    m43: Callable[..., Run], arguments: list[str], key: str, value: float, near: float
) -> None:
    shown = m43("focus", *arguments, "--json")
    assert shown.code == 0
    assert shown.records[0][key] == pytest.approx(value, abs=near)


def test_infinity_is_a_word(m43: Callable[..., Run]) -> None:
    assert m43("focus", "--infinity", "--json").records[0]["focus_distance_m"] == "infinity"
    assert rows(m43("focus", "--distance", "inf").out)["focus distance"] == "∞◑"


def test_the_ring_cannot_be_read_back(m43: Callable[..., Run]) -> None:
    assert rows(m43("ring", "reverse").out)["focus ring"] == "reverse (sent; no message reads it back)"


def test_a_raw_command_shows_what_came_back(m43: Callable[..., Run]) -> None:
    shown = m43("raw", "--unsafe", "c1 80 01 06")
    assert shown.code == 0
    assert rows(shown.out)["sent"] == "C1 80 01 06 (read)"
    assert "                focus distance 0.330 m◑" in shown.out.splitlines()
    [record] = m43("raw", "--unsafe", "c1800106", "--json").records
    assert (record["name"], record["t_ns"], record["fields"]["aperture_f"]) == ("Status", 0, 3.5943)
    status = m43("raw", "--unsafe", "b1880302")
    assert rows(status.out)["status byte"] == "00"
    write = m43("raw", "--unsafe", "6080fe02", "01f904000000000000")
    assert rows(write.out)["data"] == "01 F9 04 00 00 00 00 00 00"


def test_a_session_can_be_recorded_replayed_and_sniffed(m43: Callable[..., Run], tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    first = m43("focus", "--distance", "1.5", "--record", path, "--json")
    again = m43("focus", "--distance", "1.5", "--lens", f"replay:{path}?fast=1", "--json")
    assert again.code == 0
    assert {**again.records[0], "url": DEFAULT_LENS} == first.records[0]
    before = path.read_bytes()
    refused = m43("status", "--lens", f"replay:{path}", "--record", path)
    assert refused.code == 2
    assert "is what is replayed; record to another file" in refused.err
    assert path.read_bytes() == before
    assert main(["sniff", str(path), "--summary"]) == 0


def test_the_commands_of_the_readme_are_commands() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^m43 lens (.*)$", readme, re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        lens.commands[name].make_context(name, arguments)


# what goes wrong


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["aperture", "99"], 2, "f/99 is out of range: this lens goes from f/3.5, at most to f/32"),
        (["aperture", "1.4"], 2, "f/1.4 is out of range"),
        (["aperture"], 2, "give one of: an f-number such as f/5.6, --av AV, --wide-open"),
        (["aperture", "8", "--wide-open"], 2, "give one of"),
        (["aperture", "wide"], 2, "'wide' is no f-number; write it like 5.6 or f/5.6"),
        (["focus"], 2, "give one of: --position N"),
        (["focus", "--near", "--infinity"], 2, "give one of: --position N"),
        (["focus", "--distance", "-1"], 2, "a distance is a number of metres above 0"),
        (["focus", "--position", "99999"], 2, "a focus position is an integer from -32768 to 32767"),
        (["ring", "left"], 2, "'left' is not one of 'forward', 'reverse'"),
        (["raw", "c1800106"], 2, "add --unsafe to send it all the same"),
        (["raw", "--unsafe", "xyz"], 2, "'xyz' is not hexadecimal"),
        (["raw", "--unsafe", "c180"], 2, "c1 80 is no command of a known shape"),
        (["raw", "--unsafe", "33000000"], 2, "33 00 00 00 is no command of a known shape"),
        (["info", "--dialect", "E-P9"], 2, "no dialect is called E-P9; known: E-P1, E-PL1"),
        (["info", "--rate", "0"], 2, "0.0 is not in the range"),
        (["info", "--lens", "olympus"], 2, "olympus: no such lens; write sim:PROFILE"),
        (["info", "--lens", "sim:olympos"], 2, "no lens profile is called olympos"),
        (["info", "--lens", "sim:olympus-45?fault=xyz"], 2, "no fault is called xyz"),
        (["info", "--lens", "replay:none.jsonl"], 2, "none.jsonl: cannot be read"),
        (["info", "--record", "no/such/folder/x"], 2, "no/such/folder/x: cannot record here"),
        (["status", "--lens", "sim:none"], 4, "sim:none: nothing answers"),
        (["watch", "--for", "3", "--lens", "sim:none"], 4, "sim:none: nothing has answered"),
        (["aperture", "8", "--lens", "sim:olympus-14-42?fault=aperture_stuck"], 1, "aperture stands at"),
        (["focus", "--near", "--lens", "sim:olympus-14-42?fault=yanked@12"], 4, ""),
        (["status", "--lens", "sim:olympus-14-42?fault=busy_for_ever"], 4, "the lens wakes up, but"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    m43: Callable[..., Run], arguments: list[str], code: int, text: str
) -> None:
    shown = m43(*arguments)
    assert shown.code == code, shown.err
    assert text in shown.err
    assert "Traceback" not in shown.err
    lines = [line for line in shown.err.splitlines() if line.startswith(("m43: ", "Error: "))]
    assert len(lines) == 1, shown.err
    assert shown.err.count("\n") == (4 if lines[0].startswith("Error") else 1)


def test_every_error_has_an_exit_code_that_is_documented() -> None:
    def below(kind: type[Exception]) -> Iterator[type[Exception]]:
        yield kind
        for one in kind.__subclasses__():
            yield from below(one)

    for kind in [*below(LensError), *below(TransportError)]:
        assert next(code for known, code in EXITS if issubclass(kind, known)) in EXIT_CODES, kind
    assert {code for _, code in EXITS} <= set(EXIT_CODES)


# watch


def test_watching_writes_a_json_line_for_each_status(m43: Callable[..., Run]) -> None:
    shown = m43("watch", "--count", "4", "--json")
    assert shown.code == 0
    first, *statuses, last = shown.records
    assert (first["event"], first["identity"]["model"]) == ("attached", "01")
    assert [status["focus_position"] for status in statuses] == [12] * 4
    times = [status["t_ns"] for status in statuses]
    assert [round((later - one) / 1e6) for one, later in itertools.pairwise(times)] == [17, 17, 17]
    assert last == {"event": "ended", "polls": 4, "missed": 0, "errors": {}}


def test_watching_for_a_while_at_a_rate(m43: Callable[..., Run]) -> None:
    shown = m43("watch", "--for", "2", "--rate", "10")
    lines = shown.out.splitlines()
    assert lines[1].endswith("(0 01 10)")
    assert lines[2].split() == ["time/s", "aperture", "focus", "position", "focus", "distance", "zoom", "step"]
    assert 19 <= len(lines) - 6 <= 20
    assert rows(shown.out)["polls"] == "10.0 per second"
    assert rows(shown.out)["errors"] == "none"


def test_watching_shows_what_goes_wrong(m43: Callable[..., Run]) -> None:
    shown = m43("watch", "--for", "3", "--json", "--lens", "sim:olympus-14-42?fault=wrong_data_sum@30")
    assert shown.code == 0
    assert shown.records[-1]["errors"]["wrong_sum"] >= 1


def test_watching_goes_on_with_another_lens(m43: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    from m43drivers.transports.sim import SimTransport

    opened = SimTransport.open

    async def open_and_change(self: SimTransport) -> Any:
        loop = asyncio.get_running_loop()
        loop.call_later(2.0, self.change_lens, "none")
        loop.call_later(4.0, self.change_lens, "panasonic-20")
        return await opened(self)

    monkeypatch.setattr(SimTransport, "open", open_and_change)
    for form in ([], ["--json"]):
        shown = m43("watch", "--for", "8", *form)
        assert shown.code == 0, shown.err
        assert "Olympus M.Zuiko Digital ED 14-42mm" in shown.out
        assert "Lumix G 20mm" in shown.out
    events = [record["event"] for record in shown.records if "event" in record]
    assert events == ["attached", "detached", "passive", "detached", "attached", "ended"]


def test_watching_a_recording_that_ends_is_a_loss(m43: Callable[..., Run], tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    assert m43("watch", "--for", "1", "--json", "--record", path).code == 0
    shown = m43("watch", "--json", "--lens", f"replay:{path}")
    assert shown.code == 4
    assert re.fullmatch(r"m43: the lens cannot be driven any more: .*: the recording ends with line \d+\n", shown.err)
    assert len(shown.records) > 50


# the terminal


def shown_at_last(text: str) -> list[str]:
    """Return the lines of the last table that was drawn, without colours."""
    last = text.rsplit("\x1b[1A", 1)[-1]
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", last).splitlines() if line.strip()]


@pytest.mark.parametrize("columns", [60, 80])
def test_the_live_table_fits_the_terminal(columns: int) -> None:
    text = on_terminal(["lens", "watch", "--for", "0.4"], {"COLUMNS": str(columns), "LINES": "40"})
    assert "\x1b[1A" in text
    lines = shown_at_last(text)
    assert all(len(line) <= columns for line in lines)
    joined = " ".join(" ".join(lines).split())
    for words in (
        "at simulated olympus-14-42 (sim:olympus-14-42)",
        "lens Olympus M.Zuiko Digital ED 14-42mm F3.5-5.6 (0 01 10)",
        "state ready",
        "aperture f/3.59◑",
        "focus position 12◑",
        "focus distance 0.330 m◑",
        "zoom step 0◑",
        "per second",
        "errors none",
        "◑ inferred ○ unknown",
    ):
        assert words in joined, lines


@pytest.mark.parametrize("columns", [60, 80])
def test_pages_fit_the_terminal(columns: int) -> None:
    for command in (["info"], ["raw", "--unsafe", "c1800106"]):
        lines = on_terminal(["lens", *command], {"COLUMNS": str(columns)}).splitlines()
        assert all(len(line) <= columns for line in lines), lines
        assert "14-42mm F3.5-5.6 (0 01 10)" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [60, 80])
def test_help_has_examples_and_exit_codes(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    command = with_paragraphs(lens.commands[name])
    context = click.Context(command, info_name=f"m43 lens {name}", max_content_width=columns)
    text = command.get_help(context)
    assert f"m43 lens {name}" in text.partition("Examples:")[2]
    assert "\\b" not in text
    joined = " ".join(text.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in joined
    for dialect in DIALECTS:
        assert dialect in joined


def test_help_imports_no_driver() -> None:
    code = (
        "import sys; from m43tools.cli import main; main(['lens', '--help']); main(['lens', 'watch', '--help']);"
        "print([name for name in ('numpy', 'construct', 'rich', 'asyncio', 'm43proto', 'm43drivers', 'serial')"
        " if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_command_imports_neither_numpy_nor_rich_nor_serial() -> None:
    code = (
        "import sys; from m43tools.cli import main; main(['lens', 'status']);"
        "print([name for name in ('numpy', 'rich', 'serial', 'usb') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


# real processes


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_ctrl_c_ends_it_with_the_lens_asleep(tmp_path: Path, form: list[str]) -> None:
    path = tmp_path / "session.jsonl"
    command = [sys.executable, "-m", "m43tools", "lens", "watch", "--record", str(path), *form]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        while "0.33" not in running.stdout.readline():
            pass
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, err) == (130, "m43: interrupted\n")
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["do"], last["on"]) == ("power", False)
    assert "errors" in out


def test_ctrl_c_while_the_lens_wakes_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    command = [sys.executable, "-m", "m43tools", "lens", "info", "--record", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while not path.exists() or '"power"' not in path.read_text():
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(0.01)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    assert (running.returncode, out, err) == (130, "", "m43: interrupted\n")
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["do"], last["on"]) == ("power", False)


def test_a_closed_pipe_ends_it_quietly(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    command = f"{sys.executable} -m m43tools lens watch --json --record {path}; echo code $? >&2"
    done = subprocess.run(["bash", "-c", f"({command}) | head -1"], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == "code 141\n"
    assert json.loads(path.read_text().splitlines()[-1])["on"] is False


def test_no_noise_of_asyncio_or_of_the_log() -> None:
    environment = {**os.environ, "PYTHONASYNCIODEBUG": "1", "PYTHONWARNINGS": "default"}
    lens_url = "sim:olympus-14-42?fault=wrong_data_sum@12"
    command = [sys.executable, "-m", "m43tools", "lens", "status", "--json", "--lens", lens_url]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stream_that_cannot_show_signs_gets_words() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "m43tools", "lens", "status"]
    done = subprocess.run(command, capture_output=True, env=environment, check=True)
    assert "aperture        f/3.59(i)" in done.stdout.decode("ascii")
