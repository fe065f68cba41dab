"""The captures of the repository, and what a decode of each is known to be."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from m43tools.cli import main
from m43tools.library import capture_file

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path for path in (ROOT / "captures").iterdir() if path.is_dir())

every_capture = pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])


def golden(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "expected.jsonl").read_text(encoding="utf-8").splitlines()]


def told(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "capture.toml").read_text(encoding="utf-8"))


def capture_in(folder: Path) -> Path:
    """Return the file, or the folder, that holds the capture."""
    return folder / capture_file(told(folder))


def sniffed(folder: Path, form: str, target: Path, *more: str) -> Path:
    """Decode a capture as its golden decode was made, but into another format."""
    command = told(folder)["decode"]["command"].replace(capture_file(told(folder)), str(capture_in(folder)))
    words = command.replace("--format jsonl", f"--format {form}").split()[1:]
    assert main([*words, "-o", str(target), *more]) == told(folder)["decode"]["exit_code"]
    return target
