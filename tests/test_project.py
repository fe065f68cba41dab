"""What is promised about the project as a whole: README, CI, package, spec links."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "specs").glob("*.md"),
        *(ROOT / "captures").glob("*.md"),
        *(ROOT / "drivers").rglob("*.md"),
        *ROOT.glob("tools/*/*.md"),
    ]
)


def shell_lines(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


def test_ci_calls_exactly_the_test_command_of_the_readme() -> None:
    [command] = [line for line in shell_lines(README) if "pytest" in line]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[-1] == command


def test_every_option_in_the_readme_exists() -> None:
    from m43tools.cli import root
    from m43tools.conform import conform
    from m43tools.lens import lens as driven
    from m43tools.lenses import lenses
    from m43tools.plot import plot
    from m43tools.simulate.body import body
    from m43tools.simulate.lens import lens
    from m43tools.simulate.session import session
    from m43tools.sniff import sniff

    commands = (root, sniff, plot, lens, body, session, lenses, conform, *driven.commands.values())
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    own = [line.split(" | ")[0] for line in shell_lines(README) if line.startswith("m43 ")]
    own += re.findall(r"`((?:m43 |--)[^`]*)`", README)
    used = {word.split("=")[0] for line in own for word in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line)}
    assert used
    assert used <= known


def test_the_python_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    blocks = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "# mine.py" not in block]
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "MessageSeen" in capsys.readouterr().out


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    text = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" in target:
            continue
        name, _, place = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        if place:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in {anchor(heading) for heading in headings}, target


def test_every_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert listed
    lines = listed[1].splitlines()
    for index, line in enumerate(lines):
        if line.strip().startswith('"'):
            assert lines[index - 1].strip().startswith("#"), line


def test_the_wheel_holds_exactly_the_three_packages(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"m43proto", "m43drivers", "m43tools"}
    for package in ("m43proto", "m43drivers", "m43tools"):
        assert f"{package}/py.typed" in names
    assert "m43proto/lenses.csv" in names
    scripts = (ROOT / "drivers" / "m43drivers" / "simulator" / "scripts").glob("*.toml")
    assert {f"m43drivers/simulator/scripts/{path.name}" for path in scripts} <= set(names)
    assert {f"m43tools/conformance/report/report.{kind}" for kind in ("html.jinja", "css", "js")} <= set(names)
    assert "m43tools/exporting/templates/wireshark/m43.lua.jinja" in names
    [source] = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"specs/README.md", "captures/README.md", "tests/waveform.py", "LICENSE"} <= held


def test_the_version_stands_once() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert importlib.metadata.version("m43proto") == declared
    assert f"## {declared}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_top_level_is_as_agreed() -> None:
    agreed = {"pyproject.toml", "README.md", "m43proto", "drivers", "captures", "tools", "tests", "specs"}
    usual = {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {path.split("/")[0] for path in listed if not path.startswith(".")} == agreed | usual
