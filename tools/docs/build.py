"""Builds the project's site: README, specification and API, as one set of pages whose links all lead somewhere.

With the extra ``docs``, in a clone of the repository::

    python tools/docs/build.py -o site

The pages are those of the repository, where they stand, with what they link to; what is generated in them is the
business of ``m43 export``. The pages of the API are made from docstrings, by mkdocstrings, one for each room.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]

GUIDES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
SECTIONS = {
    "Specification": "specs/*.md",
    "Captures": "captures/*.md",
    "Bridge": "drivers/bridge/*.md",
    "Tools": "tools/*/*.md",
}
"""Headings of the site, and the pages below them."""

PACKAGES = {"m43proto": "m43proto", "m43drivers": "drivers/m43drivers"}
"""The packages whose docstrings make the pages of the API, and where they stand."""

_LINK = re.compile(r"(?<!`)\]\(([^)#\s:]+)(?:#[^)\s]*)?\)")
_NUMBERED = re.compile(r"(\d+)-")

EXIT_BROKEN = 1


def _in_order(page: Path) -> tuple[bool, int, str]:
    """Sort a README first, then chapters by their number, then the rest."""
    number = _NUMBERED.match(page.name)
    return page.name != "README.md", int(number[1]) if number else 10**6, page.name


def pages() -> dict[str, list[Path]]:
    """Return the pages of each heading, relative to the root of the repository."""
    found = {"": [Path(name) for name in GUIDES]}
    for heading, pattern in SECTIONS.items():
        inside = [page.relative_to(ROOT) for page in ROOT.glob(pattern)]
        found[heading] = sorted(inside, key=lambda page: (page.parent, _in_order(page)))
    return found


def _linked(page: Path) -> Iterator[Path]:
    """Yield the files of the repository that a page links to."""
    for target in _LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        path = (ROOT / page.parent / target).resolve()
        if path.is_relative_to(ROOT) and path.is_file():
            yield path.relative_to(ROOT)


def rooms() -> dict[str, list[str]]:
    """Return the public modules of each room of the API: a module, or a folder with all that it holds."""
    found: dict[str, list[str]] = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            names = [package, *(part for part in parts if part != "__init__")]
            if _is_public(path):
                found.setdefault(".".join(names[:2]), []).append(".".join(names))
    return found


def _is_public(path: Path) -> bool:
    """Tell whether a module says what it offers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)


def stage(folder: Path) -> None:
    """Put pages, what they link to, the API and the configuration into a folder."""
    every = [page for group in pages().values() for page in group]
    for path in dict.fromkeys([*every, *(linked for page in every for linked in _linked(page))]):
        target = folder / "pages" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, target)
    api = folder / "pages" / "api"
    api.mkdir()
    for room, modules in rooms().items():
        (api / f"{room}.md").write_text(_api_page(room, modules), encoding="utf-8")
    (folder / "source").symlink_to(ROOT, target_is_directory=True)
    settings = (ROOT / "tools" / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    (folder / "mkdocs.yml").write_text(f"{settings}nav: {json.dumps(_navigation())}\n", encoding="utf-8")


def _api_page(room: str, modules: Sequence[str]) -> str:
    """Return a page that mkdocstrings fills: one module, or a heading with all modules of a folder below it."""
    if modules == [room]:
        return f"::: {room}\n    options: {{heading_level: 1}}\n"
    return f"# {room}\n\n" + "".join(f"::: {module}\n\n" for module in modules)


def _navigation() -> list[object]:
    grouped = pages()
    nav: list[object] = [str(page) for page in grouped.pop("")]
    nav += [{heading: [str(page) for page in group]} for heading, group in grouped.items() if group]
    nav.append({"API": [{room: f"api/{room}.md"} for room in rooms()]})
    return nav


def build(target: Path) -> int:
    """Build the site into a folder, which is replaced; return mkdocs' exit code, which is not 0 for a broken link."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stage(folder)
        done = subprocess.run(
            # Not --quiet: then mkdocs counts no warnings, and a broken link is one.
            [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(folder / "mkdocs.yml")],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Or the theme tells every build of its successor.
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        )
        sys.stderr.writelines(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("INFO"))
        if done.returncode == 0:
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(folder / "site", target)
    return done.returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Build the project's site.", epilog="Exit codes: 0 built; 1 a link is broken; 2 wrong usage."
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("site"), metavar="DIR", help="where to (default: site)"
    )
    asked = parser.parse_args(arguments)
    return EXIT_BROKEN if build(asked.output) else 0


if __name__ == "__main__":
    sys.exit(main())
