"""The site: every page of the repository is on it, every link leads somewhere, and a broken one ends the build."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "docs" / "build.py"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None,
    reason="the site needs the extra docs: pip install -e '.[docs]'",
)


def built(tool: Path, target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tool), "-o", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("built") / "site"
    run = built(TOOL, target)
    assert (run.returncode, run.stderr) == (0, "")
    return target


def test_site_holds_readme_specification_and_api(site: Path) -> None:
    pages = {str(page.relative_to(site)) for page in site.rglob("*.html")}
    chapters = {f"specs/{page.stem}.html" for page in (ROOT / "specs").glob("*.md") if page.stem != "README"}
    assert {"index.html", "specs/index.html", "api/m43proto.connection.html", "api/m43drivers.body.html"} <= pages
    assert chapters <= pages
    assert "Raises" in (site / "api" / "m43proto.connection.html").read_text(encoding="utf-8")
    assert 'class="mermaid"' in (site / "specs" / "4-session.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("link", ["no-such-page.md", "1-electrical.md#no-such-heading", "no-such-file.toml"])
def test_broken_link_ends_the_build(tmp_path: Path, link: str) -> None:
    root = tmp_path / "clone"
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        root.mkdir(exist_ok=True)
        (root / name).write_text("# A page\n", encoding="utf-8")
    shutil.copytree(ROOT / "tools" / "docs", root / "tools" / "docs")
    (root / "specs").mkdir()
    (root / "specs" / "1-electrical.md").write_text("# Electrical\n", encoding="utf-8")
    (root / "m43proto").mkdir()
    (root / "drivers" / "m43drivers").mkdir(parents=True)
    tool = root / "tools" / "docs" / "build.py"
    assert built(tool, tmp_path / "site").returncode == 0
    with (root / "specs" / "1-electrical.md").open("a", encoding="utf-8") as page:
        page.write(f"\nSee [there]({link}).\n")
    run = built(tool, tmp_path / "other")
    assert run.returncode == 1
    assert link.partition("#")[0] in run.stdout + run.stderr
    assert not (tmp_path / "other").exists()
