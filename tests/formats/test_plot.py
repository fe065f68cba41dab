"""``m43 plot``: what its pictures hold, and how they come out in a real browser."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from m43drivers.capture import open_capture
from m43drivers.lines import lines_by_name
from m43drivers.observe import observe
from m43proto.messages import PUBLIC
from m43tools.cli import main
from m43tools.quantities import QUANTITIES
from m43tools.render.plots.story import Story, story_of
from tests.formats.support import FOLDERS, golden

if TYPE_CHECKING:
    from pathlib import Path

SWEEP = next(folder for folder in FOLDERS if folder.name.endswith("14-42__focus-sweep"))
CAPTURE = SWEEP / "capture.sr"
WINDOW_NS = (544_800_000, 546_800_000)
WINDOW = ("--from", "0.5448", "--to", "0.5468")
CHROMIUM = shutil.which("chromium")


def story(window_ns: tuple[int, int] | None = WINDOW_NS) -> Story:
    capture = open_capture(CAPTURE)
    mapping = lines_by_name(capture)
    events = observe(capture, mapping, PUBLIC)
    return story_of(events, capture.end_ns, title="sweep", window_ns=window_ns, mapping=mapping)


def draw(*words: object) -> int:
    return main(["plot", *map(str, words)])


def test_a_story_holds_what_the_golden_decode_says() -> None:
    told = story()
    polls = [row for row in golden(SWEEP) if row.get("name") == "Status"]
    assert [series.quantity for series in told.series] == list(QUANTITIES)
    for series in told.series:
        expected = [row["fields"][series.quantity.field] for row in polls]
        assert series.times_s == [row["end_ns"] / 1e9 for row in polls]
        assert ["infinity" if math.isnan(one) else round(one, 4) for one in series.values] == expected
        assert len(series.infinite_s) == expected.count("infinity")
    assert [drive.words for drive in told.drives] == ["no target", "focus to -120", "focus to 400", "focus to 32767"]
    positions = told.series[0]
    assert [value for _, _, value in positions.targets] == [-120, 400, 32767]
    assert all(
        until == then for (_, until, _), (then, _, _) in zip(positions.targets, positions.targets[1:], strict=False)
    )
    low, high = positions.extent
    assert low < -120 < 400 < high < 32767


def test_the_window_holds_its_bytes_lines_and_transactions() -> None:
    told = story()
    [poll] = [row for row in golden(SWEEP) if row.get("name") == "Status" and WINDOW_NS[0] < row["t_ns"] < WINDOW_NS[1]]
    wire = bytes.fromhex(poll["command"]) + bytes([poll["command_sum"]]) + poll["length"].to_bytes(2, "little")
    wire += bytes.fromhex(poll["data"]) + bytes([poll["data_sum"]])
    assert bytes(octet.value for octet in told.octets) == wire
    assert [(span.name, span.t_ns, span.sound) for span in told.spans] == [("Status", poll["t_ns"], True)]
    assert [line.name for line in told.lines] == ["CLK", "DATA", "BODY_ACK", "LENS_ACK", "SLEEP", "FOCUS", "SHUTTER"]
    clock = told.lines[0]
    assert (clock.times_ns[0], clock.times_ns[-1]) == WINDOW_NS
    assert len(clock.times_ns) == len(clock.levels) == 2 + 16 * len(wire)
    assert clock.levels[:3] == [1, 0, 1]
    bare = story(None)
    assert [*bare.lines, *bare.octets, *bare.spans] == []


def test_png_and_svg_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install -e '.[dev]')")
    assert draw(CAPTURE, "-o", tmp_path / "a.png", *WINDOW) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert draw(CAPTURE, "-o", tmp_path / "a.svg", *WINDOW) == 0
    assert draw(CAPTURE, "-o", tmp_path / "b.svg", *WINDOW) == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    texts = [
        "".join(one.itertext()) for one in ElementTree.parse(tmp_path / "a.svg").iter() if one.tag.endswith("}text")
    ]
    assert {"CLK", "BODY_ACK", "Status", "C2", "E1", "∞", "time, s", SWEEP.name} <= set(texts)
    assert any("focus position" in text for text in texts)
    assert any(text.startswith("Synthetic") for text in texts)
    assert any("focus to 400" in text for text in texts)


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on this machine (apt-get install chromium)")
def test_the_page_works_in_a_browser_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("plotly", reason="plotly is not installed (pip install -e '.[dev]')")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    assert draw(CAPTURE, "-o", tmp_path / "a.html", *WINDOW) == 0
    asked: list[str] = []
    wrong: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1200})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((tmp_path / "a.html").as_uri())
        page.wait_for_selector(".main-svg .scatterlayer .trace")
        texts: list[Any] = page.locator(".main-svg text").all_text_contents()
        title = page.title()
        browser.close()
    assert not wrong
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert title == SWEEP.name
    assert {"CLK", "Status", "C2", "transactions"} <= set(texts)
    assert any("focus distance" in text for text in texts)


def test_a_recording_of_exchanges_can_be_drawn(tmp_path: Path) -> None:
    record, picture = tmp_path / "session.jsonl", tmp_path / "session.svg"
    assert main(["lens", "focus", "--position", "100", "--record", str(record)]) == 0
    assert draw(record, "-o", picture) == 0
    text = picture.read_text(encoding="utf-8")
    assert "focus to 100" in text
    assert "Recorded at sim:" in text
    assert draw(record, "-o", picture, "--from", "0") == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-o", "x.pdf"), r"x\.pdf must end in \.html, \.png, \.svg"),
        (("-o", "x.svg", "--from", "0"), r"holds \d+ edges, more than 20000; narrow it"),
        (("-o", "x.svg", "--from", "2", "--to", "1"), "--to must lie behind --from"),
        ((FOLDERS[0] / "capture.sr", "-o", "x.svg"), "shows one capture, not 2"),
        (("-o", "x.svg", "--pins", "CLK"), "must be 'auto' or look like"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_line(
    words: tuple[str, ...],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert draw(CAPTURE, *words) == 2
    assert re.search(expected, " ".join(capsys.readouterr().err.split()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("plot", CAPTURE, "-o", "x.png"), "matplotlib", "plot"),
        (("plot", CAPTURE, "-o", "x.html"), "plotly", "plot"),
        (("sniff", CAPTURE, "--format", "parquet", "-o", "x"), "pyarrow", "columns"),
        (("sniff", CAPTURE, "--format", "perfetto", "-o", "x"), "perfetto", "perfetto"),
    ],
)
def test_a_missing_extra_is_told_with_its_command(
    words: tuple[object, ...],
    package: str,
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main([str(word) for word in words]) == 2
    assert capsys.readouterr().err == f"m43: this needs {package}; install it with: pip install 'm43proto[{extra}]'\n"
    assert not list(tmp_path.iterdir())


def test_nothing_of_it_is_imported_before_it_is_used() -> None:
    program = "import sys, m43tools.cli, m43tools.sniff, m43tools.plot; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"matplotlib", "plotly", "pyarrow", "perfetto", "google.protobuf"} & set(run.stdout.split())
