"""The HTML report in a real Chromium: filters, keys, light and dark, narrow and wide, and no request."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from m43tools.conformance.report import html_text
from tests.conformance.report_samples import HOSTILE, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page, Playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.skipif(
    not os.access(CHROMIUM, os.X_OK), reason="no Chromium here: apt-get install chromium, as .ci/run does"
)

WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    texts = {
        "one": html_text(report()),
        "three": html_text(
            report(), report("panasonic-pz-14-42", "slow"), report("olympus-14-42", "fast", lens=HOSTILE)
        ),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    context = playwright.chromium.launch_persistent_context(
        tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, headless=True, args=FLAGS
    )
    yield context
    context.close()


@contextmanager
def opened(
    browser: BrowserContext, path: Path, *, width: int = 1280, scheme: str = "light", anchor: str = ""
) -> Iterator[Page]:
    """Give the page of a report, and see that it asked for nothing and complained of nothing."""
    page = browser.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{path.as_uri()}{anchor}")
    yield page
    assert said == []
    assert asked == [path.as_uri()]
    page.close()


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.hash || ''"))


def titles(page: Page) -> list[str]:
    return page.locator(".matrix .case:visible .id").all_inner_texts()


def brightness(page: Page, name: str) -> float:
    """Return how light a colour of the page's body is, 0 to 255."""
    colour = page.evaluate(f"getComputedStyle(document.body).{name}")
    parts = [float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    return sum(parts) / 3


def test_a_row_of_the_matrix_for_every_case_and_a_cell_for_every_lens(
    browser: BrowserContext, files: dict[str, Path]
) -> None:
    with opened(browser, files["three"]) as page:
        assert page.locator(".matrix .case").count() == 8
        assert page.locator(".matrix .cell").count() == 24
        assert page.locator(".matrix .cell .verdict.fail").count() == 2
        assert page.locator("article.page").count() == 8
        assert page.locator("article.page:visible").count() == 0


def test_filters_by_verdict_tag_and_text(browser: BrowserContext, files: dict[str, Path]) -> None:
    with opened(browser, files["three"]) as page:
        everything = titles(page)
        fail = page.get_by_role("button", name="Fail")
        fail.click()
        assert titles(page) == ["FRM-001", "STA-003"]
        assert fail.get_attribute("aria-pressed") == "true"
        assert page.locator("#shown").inner_text() == "2 of 8 cases"
        page.get_by_role("button", name="Warn").click()
        assert titles(page) == ["LNK-002", "FRM-001", "STA-003"]
        page.get_by_label("Tag").select_option("sum")
        assert titles(page) == ["FRM-001"]
        page.get_by_label("Text").fill("no such thing")
        assert titles(page) == []
        page.get_by_role("button", name="Clear the filters").click()
        assert titles(page) == everything
        page.get_by_label("Text").fill("APERTURE status")
        assert titles(page) == ["STA-003", "STA-009"]


def test_a_filter_that_leaves_out_a_chapter_hides_its_heading(browser: BrowserContext, files: dict[str, Path]) -> None:
    with opened(browser, files["one"]) as page:
        assert page.locator(".chapter:visible").count() == 4
        page.get_by_label("Tag").select_option("ack")
        assert page.locator(".chapter:visible").count() == 1


def test_the_keyboard_alone_is_enough(browser: BrowserContext, files: dict[str, Path]) -> None:
    with opened(browser, files["three"]) as page:
        press = page.keyboard.press
        press("/")
        assert focused(page) == "text"
        page.keyboard.type("the")
        press("ArrowDown")
        press("ArrowDown")
        assert focused(page) == "#case-LNK-002"
        press("ArrowUp")
        assert focused(page) == "#case-LNK-001"
        press("ArrowDown")
        press("Enter")
        page.wait_for_selector("article.open")
        assert focused(page) == "case-LNK-002"
        assert page.locator("article.page:visible").count() == 1
        assert page.locator("#overview").is_hidden()
        for key, expected in (("ArrowRight", "FRM-001"), ("ArrowLeft", "LNK-002"), ("ArrowLeft", "LNK-001")):
            press(key)
            page.wait_for_selector(f"#case-{expected}.open")
        press("ArrowLeft")
        assert page.locator("article.open").get_attribute("id") == "case-LNK-001"
        assert page.locator("article.open .before").get_attribute("aria-disabled") == "true"
        press("Escape")
        page.wait_for_selector("#overview:visible")
        assert focused(page) == "#case-LNK-001"
        press("/")
        press("Escape")
        assert page.locator(".matrix .case:visible").count() == 8
        press("Escape")
        press("Home")
        assert focused(page) == "#case-LNK-001"
        press("End")
        assert focused(page) == "#case-STA-009"


def test_the_focus_can_be_seen_on_everything_that_takes_it(browser: BrowserContext, files: dict[str, Path]) -> None:
    with opened(browser, files["one"]) as page:
        seen = set()
        for _ in range(20):
            page.keyboard.press("Tab")
            name, style, width = page.evaluate(
                "(() => { const e = document.activeElement, s = getComputedStyle(e);"
                " return [e.tagName, s.outlineStyle, parseFloat(s.outlineWidth)] })()"
            )
            if name == "BODY":
                break
            seen.add(name)
            assert (style, width) == ("solid", 2), name
        assert {"BUTTON", "SELECT", "INPUT", "A"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_as_the_system_has_it_and_by_the_button(
    browser: BrowserContext, files: dict[str, Path], scheme: str
) -> None:
    with opened(browser, files["three"], scheme=scheme) as page:
        button = page.get_by_role("button", name="Dark")
        for dark in (scheme == "dark", scheme != "dark", scheme == "dark"):
            assert button.get_attribute("aria-pressed") == str(dark).lower()
            assert (brightness(page, "backgroundColor") < 60) is dark
            assert (brightness(page, "color") > 200) is dark
            button.click()


CONTRAST = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((value) => value / 255)
      .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.endsWith(", 0)")) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length || element.closest("[aria-disabled]")) continue;
    const style = getComputedStyle(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [high, low] = [luminance(ink), luminance(ground(element))].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName}.${element.className.baseVal ?? element.className} ${ratio}`);
  }
  return [...new Set(poor)];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("anchor", ["", "#case-STA-003", "#case-LNK-002"])
def test_every_word_has_the_contrast_that_wcag_asks_for(
    browser: BrowserContext, files: dict[str, Path], scheme: str, anchor: str
) -> None:
    with opened(browser, files["three"], scheme=scheme, anchor=anchor) as page:
        assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["one", "three"])
def test_nothing_scrolls_sideways(browser: BrowserContext, files: dict[str, Path], name: str, width: int) -> None:
    with opened(browser, files[name], width=width) as page:
        anchors = page.evaluate("[...document.querySelectorAll('article.page')].map((page) => '#' + page.id)")
        for anchor in ["", *anchors]:
            page.evaluate("(hash) => { location.hash = hash }", anchor)
            page.wait_for_function("document.querySelectorAll('article.open').length === Number(location.hash !== '')")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, anchor


def test_every_timing_diagram_is_drawn_and_says_what_it_is(browser: BrowserContext, files: dict[str, Path]) -> None:
    with opened(browser, files["one"], anchor="#case-LNK-002") as page:
        diagram = page.locator("article.open svg.timing")
        assert diagram.count() == 1
        assert diagram.get_attribute("role") == "img"
        assert "LNK-002" in (diagram.get_attribute("aria-label") or "")
        box = diagram.bounding_box()
        assert box
        assert box["width"] > 500
        assert box["height"] > 100
        words = [word.strip() for word in diagram.locator("text").all_text_contents()]
        assert {"CLK", "DATA", "BODY_ACK", "LENS_ACK", "C1", "80", "01", "06", "Status"} <= set(words)
        assert any(word.endswith("µs") for word in words)


def test_what_a_lens_says_of_itself_is_shown_and_not_run(browser: BrowserContext, files: dict[str, Path]) -> None:
    with opened(browser, files["three"]) as page:
        assert "owned" not in page.title()
        assert page.locator(".total").last.inner_text().count("<script>") == 1


def test_a_request_that_a_page_made_would_be_seen_and_refused(
    browser: BrowserContext, files: dict[str, Path], tmp_path: Path
) -> None:
    text = files["one"].read_text(encoding="utf-8")
    bad = tmp_path / "bad.html"
    bad.write_text(text.replace("</main>", '<img src="https://m43.invalid/x.png" alt=""></main>'), encoding="utf-8")
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(bad.as_uri())
    page.wait_for_load_state("load")
    assert any("Content Security Policy" in line for line in said)
    page.close()


def test_paper_has_every_case_and_no_buttons(browser: BrowserContext, files: dict[str, Path]) -> None:
    with opened(browser, files["one"], scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.locator("article.page:visible").count() == 8
        assert page.locator("#overview").is_visible()
        assert page.locator("button:visible").count() == 0
        assert brightness(page, "color") < 30
        assert len(page.pdf()) > 10_000


def test_without_its_script_the_page_is_a_whole_document(
    playwright: Playwright, files: dict[str, Path], tmp_path: Path
) -> None:
    context = playwright.chromium.launch_persistent_context(
        tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=FLAGS, java_script_enabled=False
    )
    page = context.new_page()
    page.goto(files["one"].as_uri())
    assert page.locator("article.page:visible").count() == 8
    assert page.locator("#filters").is_hidden()
    assert page.get_by_role("link", name="Each byte is acknowledged in time").is_visible()
    context.close()
