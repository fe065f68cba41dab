"""L3: MicroPython from a UF2 on an emulated RP2040 assembles the PIO program; only with files that the user has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.bridge.test_pio import OPCODES

SCRIPT = Path(__file__).parents[2] / "drivers" / "bridge" / "emulated" / "assemble.mjs"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    folder = os.environ.get("M43_RP2040JS", ".")
    return subprocess.run([NODE, str(SCRIPT), *arguments], capture_output=True, text=True, check=False, cwd=folder)


@needs_node
def test_without_a_uf2_it_is_skipped_with_the_reason(tmp_path: Path) -> None:
    skipped = run()
    assert (skipped.returncode, skipped.stdout) == (77, "skipped: no UF2 of MicroPython for RP2040 is given\n")
    (tmp_path / "any").write_bytes(b"")
    skipped = run(str(tmp_path / "any"))
    assert (skipped.returncode, skipped.stdout) == (77, "skipped: no boot ROM of an RP2040 is given\n")


@needs_node
def test_micropython_itself_makes_the_same_opcodes() -> None:
    uf2, bootrom = os.environ.get("M43_UF2", ""), os.environ.get("M43_BOOTROM", "")
    if not uf2 or not bootrom:
        pytest.skip("M43_UF2 and M43_BOOTROM do not name MicroPython for RP2040 and a boot ROM")
    assembled = run(uf2, bootrom)
    assert assembled.returncode == 0, assembled.stdout
    assert assembled.stdout.split() == OPCODES.split()
