"""The reports of the simulated lenses that are kept in ``specs/reports/``: each byte of them is what a run writes."""

from __future__ import annotations

import io
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from m43drivers.simulator.profiles import PROFILES

__all__ = ["FOLDER", "golden_reports", "golden_text", "golden_words"]

FOLDER = "specs/reports"
"""Where they are, from the root of the repository."""


def golden_words(profile: str) -> tuple[str, ...]:
    """Return the words behind ``m43`` that make the report of a profile: all cases, and no exchanges."""
    return (
        *("--catalogue", "provisional", "conform", "--lens", f"sim:{profile}"),
        *("--allow-risky", "--poll-time", "1s", "--brief"),
    )


def golden_text(profile: str) -> str:
    """Run the suite on a simulated lens, and return its report as JSON."""
    from m43tools.cli import main

    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        path = Path(folder, "report.json")
        main([*golden_words(profile), "--json", str(path)])
        return path.read_text(encoding="utf-8")


def golden_reports() -> dict[str, str]:
    """Return the report of every profile by the name of its file; the cores share the work."""
    # A process with threads cannot be forked safely.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return {f"{name}.json": text for name, text in zip(PROFILES, pool.map(golden_text, PROFILES), strict=True)}
