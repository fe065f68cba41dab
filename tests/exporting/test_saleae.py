"""The extension for Logic 2, driven with frames as Saleae's pages describe them, on the bytes of every capture."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from m43drivers.capture import open_capture
from m43drivers.observe import changes_of
from m43proto.pins import Line
from m43tools.library import EXPECTED
from tests.exporting.test_sigrok import FOLDERS, bytes_seen, every_capture, mapping_of, provenance, records, session_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "tools" / "saleae"
PYTHON_38 = next(iter(sorted(Path.home().glob(".pyenv/versions/3.8.*/bin/python"))), shutil.which("python3.8"))

Frame = tuple[str, int, int, dict[str, str]]

NOISY = "sim-e-pl1__sim-olympus-14-42__noisy"
"""Where clocks come and go: an SPI analyser drops the bits that make no byte, and does not say so."""

NOISY_KEPT, NOISY_KEPT_BARE = 27, 25
"""Rows of its golden decode, of 38, that an SPI analyser leaves, and that its bytes give without turns; measured."""


def logic2(frames: Iterable[Frame], *, provisional: bool = False, python: object = sys.executable) -> dict[str, Any]:
    asked = {
        "folder": str(EXTENSION),
        "settings": {"data_line": "MOSI", "messages": "provisional too" if provisional else "public"},
        "frames": list(frames),
    }
    run = subprocess.run(
        [str(python), "-B", str(Path(__file__).with_name("logic2.py"))],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer


def spi_frames(folder: Path) -> Iterator[Frame]:
    """What an SPI analyser gives: words of eight bits, least significant first, on rising clocks while it is enabled.

    A word spans its first falling to its last rising clock; an enable line that is active at the start is not one.
    """
    capture = open_capture(session_of(folder))
    before, enabled, fell_ns = 0, False, 0
    bits: list[tuple[int, int]] = []
    for t_ns, levels in changes_of(mapping_of(folder, capture)):
        rose, fell = levels & ~before, before & ~levels
        if enabled and rose & Line.CLK.mask:
            bits.append((fell_ns, int(bool(levels & Line.DATA.mask))))
            if len(bits) == 8:
                value = sum(bit << place for place, (_, bit) in enumerate(bits))
                yield "result", bits[0][0], t_ns, {"mosi": f"{value:02x}", "miso": "00"}
                bits = []
        if fell & Line.CLK.mask:
            fell_ns = t_ns
        if rose & Line.BODY_ACK.mask and t_ns:
            enabled, bits = True, []
            yield "enable", t_ns, t_ns, {}
        elif enabled and fell & Line.BODY_ACK.mask:
            enabled = False
            yield "disable", t_ns, t_ns, {}
        before = levels


def golden_rows(folder: Path) -> list[tuple[object, ...]]:
    rows = [record for record in records(folder / EXPECTED) if "event" not in record]
    return [
        (
            kind_of(one),
            one["t_ns"],
            one["end_ns"],
            one["name"],
            one["shape"],
            one["command"],
            sum_of(one, "command"),
            one["data"],
            sum_of(one, "data"),
            {name: "none" if value is None else value for name, value in one["fields"].items()},
            one["evidence"],
        )
        for one in rows
    ]


def kind_of(record: dict[str, Any]) -> str:
    if not record["complete"]:
        return "broke_off"
    return "wrong_sum" if False in (record["command_sum_ok"], record["data_sum_ok"]) else "message"


def sum_of(record: dict[str, Any], what: str) -> str:
    value, right = record[f"{what}_sum"], record[f"{what}_sum_ok"]
    return "none" if value is None else f"{value:02X} {'right' if right else 'WRONG'}"


def told(answer: dict[str, Any]) -> list[tuple[object, ...]]:
    rows = [row for row in answer["rows"] if row[0] in ("message", "wrong_sum", "broke_off")]
    fixed = {"name", "fields", "evidence", "shape", "command", "command_sum", "block", "data_sum", "status"}
    return [
        (
            kind,
            start_ns,
            end_ns,
            data["name"],
            data["shape"],
            data["command"],
            data["command_sum"],
            data["block"],
            data["data_sum"],
            {name: value for name, value in data.items() if name not in fixed},
            data["evidence"],
        )
        for kind, start_ns, end_ns, data in rows
    ]


def provisional_in(folder: Path) -> bool:
    return "provisional" in provenance(folder)["decode"]["command"]


with_body_ack = pytest.mark.parametrize(
    "folder",
    [folder for folder in FOLDERS if "BODY_ACK" in (folder / "capture.toml").read_text(encoding="utf-8")],
    ids=lambda folder: folder.name,
)


@with_body_ack
def test_the_rows_are_the_golden_messages(folder: Path) -> None:
    """All of them but those that broke off because the lens fell silent: without LENS_ACK nobody sees that."""
    found, golden = told(logic2(spi_frames(folder), provisional=provisional_in(folder))), golden_rows(folder)
    if folder.name == NOISY:
        assert len([row for row in found if row in golden]) == NOISY_KEPT
    else:
        assert found == [row for row in golden if row[0] != "broke_off"]


@every_capture
def test_bytes_alone_give_the_golden_messages(folder: Path) -> None:
    seen = bytes_seen(folder)
    frames = [("result", one["t_ns"], one["end_ns"], {"mosi": f"{one['value']:02x}", "miso": "00"}) for one in seen]
    found = told(logic2(frames, provisional=provisional_in(folder)))
    golden = golden_rows(folder)
    if folder.name == NOISY:
        assert len([row for row in found if row in golden]) == NOISY_KEPT_BARE
    else:
        assert found == [row for row in golden if row[0] != "broke_off"]


def test_violations_and_fragments_are_rows() -> None:
    at = (ROOT / "captures" / "sim-e-pl1__sim-olympus-14-42__joined-late", ROOT / "captures" / NOISY)
    late, noisy = (logic2(spi_frames(folder))["rows"] for folder in at)
    assert late[0][0] == "fragment"
    told = [row[3] for row in noisy if row[0] == "violation"]
    assert told
    assert all(set(data) == {"cause", "detail", "data"} for data in told)


SEED = 43


@pytest.mark.parametrize("with_enable", [True, False])
def test_any_frames_give_rows_and_never_an_error(*, with_enable: bool) -> None:
    draw = random.Random(SEED)
    seen = bytes_seen(ROOT / "captures" / NOISY)
    frames: list[Frame] = []
    now_ns = at = 0
    for _ in range(4000):
        now_ns += 20_000 if draw.random() < 0.98 else draw.choice((1000, 3_000_000, 150_000_000))
        kind = draw.choice(("enable", "disable", "result", "result", "result", "error")) if with_enable else "result"
        at = at + 1 if draw.random() < 0.98 else draw.randrange(len(seen))
        value = seen[at % len(seen)]["value"]
        data = {"mosi": f"{value:02x}", "miso": "00"} if kind == "result" else {}
        frames.append((kind, now_ns, now_ns + 500, data))
    rows = logic2(frames)["rows"]
    assert {"violation", "broke_off"} & {row[0] for row in rows}


@pytest.mark.skipif(PYTHON_38 is None, reason="Python 3.8, which Logic 2 runs, is not on this machine")
def test_its_python_is_old_and_gives_the_same() -> None:
    frames = list(spi_frames(ROOT / "captures" / NOISY))
    old, new = logic2(frames, python=PYTHON_38), logic2(frames)
    assert old["python"] == [3, 8]
    assert old["rows"] == new["rows"]


def test_every_file_is_python_38() -> None:
    files = sorted(EXTENSION.rglob("*.py"))
    assert files
    for path in files:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_the_manifest_is_what_logic_2_asks_for() -> None:
    about = json.loads((EXTENSION / "extension.json").read_text(encoding="utf-8"))
    assert set(about) == {"version", "apiVersion", "author", "name", "description", "extensions"}
    assert about["apiVersion"] == "1.0.0"
    assert (EXTENSION / "README.md").is_file()
