"""How long a ``.sr`` capture takes, beside `zipfile` with the same samples: ``python -m tests.benchmarks.writing``.

The peer is given the samples as ready bytes, and deflates them in entries of the same size at the same level; so the
ratio tells what sampling and packing cost on top. The goal is a ratio below 2.
"""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from m43drivers.capture import Channel
from m43drivers.capture.writing import ANALYSER_HZ, write_capture
from tests.capture.sessions import simulated

ROUNDS = 15
REPEATS = 8
GOAL = 2.0
ENTRY = 4 << 20


def traffic() -> tuple[list[Channel], int]:
    """Return some seconds of simulated traffic: one session again and again, on the lines that end as they began."""
    session = simulated()
    starts = range(0, REPEATS * session.end_ns, session.end_ns)
    channels = [
        Channel(one.name, one.initial, np.concatenate([one.edges_ns + start for start in starts]))
        for one in session.channels
        if one.edges_ns.size % 2 == 0
    ]
    return channels, REPEATS * session.end_ns


def samples_in(path: Path) -> bytes:
    """Return the samples of a session."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("logic-1-")]
        return b"".join(archive.read(name) for name in names)


def zipped(path: Path, samples: bytes) -> None:
    """Write samples as plain entries."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, at in enumerate(range(0, len(samples), ENTRY), 1):
            archive.writestr(f"logic-1-{number}", samples[at : at + ENTRY])


def main() -> None:
    """Measure and print."""
    channels, end_ns = traffic()
    with TemporaryDirectory() as folder:
        ours, plain = Path(folder, "ours.sr"), Path(folder, "plain.zip")
        write_capture(ours, channels, end_ns)
        samples = samples_in(ours)
        pairs = []
        for _ in range(ROUNDS):
            start_s = time.perf_counter()
            zipped(plain, samples)
            middle_s = time.perf_counter()
            write_capture(ours, channels, end_ns)
            pairs.append((middle_s - start_s, time.perf_counter() - middle_s))
    plain_s, ours_s = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(ours / plain for plain, ours in pairs)
    print(
        f"{end_ns / 1e9:.1f} s at {ANALYSER_HZ / 1e6:.0f} MHz: zipfile {plain_s * 1e3:.0f} ms,"
        f" write_capture {ours_s * 1e3:.0f} ms, ratio {ratio:.2f} (goal below {GOAL})"
    )


if __name__ == "__main__":
    main()
