"""An hour of live traffic through ``m43 sniff --live``: ``python -m tests.benchmarks.live_soak``.

The command itself runs, in this process, on a source that plays a simulated session over and over: rows go to a file
that forgets them, and a ring of recordings is written. The hour is an hour of the stream, played ten times as fast
(``--pace 1`` plays it in real time). Goals: resident memory at the end no higher than in the first tenth (with 16 MiB
of play), no descriptor and no thread more than before, nothing lost.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

from m43tools.cli import main as m43
from tests.analyser.fakesource import plug_in, session_samples
from tests.benchmarks.soak import resident_mib

HOURS = 1.0
PACE = 10.0
PLAY_MIB = 16.0
RATE_HZ = 8_000_000


def descriptors() -> int:
    """Return how many descriptors are open; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


class Watcher(threading.Thread):
    """Takes the resident memory twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mib: list[float] = []
        self.ending = threading.Event()

    def run(self) -> None:
        """Measure until told to end."""
        while not self.ending.wait(0.5):
            self.mib.append(resident_mib())


def medians(mib: list[float], parts: int = 10) -> list[float]:
    """Return the median of each part, so that a slow rise shows as one."""
    cuts = [len(mib) * part // parts for part in range(parts + 1)]
    return [median(mib[begin:end]) for begin, end in pairwise(cuts) if end > begin]


def main() -> int:
    """Measure and print; return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=HOURS, help="of stream time")
    parser.add_argument("--pace", type=float, default=PACE, help="1 for real time")
    asked = parser.parse_args()
    plug_in()
    times = round(asked.hours * 3600 * RATE_HZ / session_samples().size)
    before = descriptors(), threading.active_count()
    watcher, began_s = Watcher(), time.perf_counter()
    watcher.start()
    with tempfile.TemporaryDirectory() as folder:
        ring = ("--record", str(Path(folder) / "ring.sr"), "--ring", "4", "--max-size", "64MB")
        source = f"fake:?times={times}&pace={asked.pace:g}"
        code = m43(["sniff", "--live", source, "--format", "jsonl", "-o", os.devnull, *ring])
    watcher.ending.set()
    watcher.join()
    after = descriptors(), threading.active_count()
    early = max(watcher.mib[: max(len(watcher.mib) // 10, 1)], default=0.0)
    late = max(watcher.mib[-max(len(watcher.mib) // 10, 1) :], default=0.0)
    print(f"{asked.hours:g} h of stream ({times} sessions) in {time.perf_counter() - began_s:.1f} s; exit code {code}")
    print(
        f"resident memory: {early:.1f} MiB in the first tenth, {late:.1f} in the last, {max(watcher.mib):.1f} at most"
    )
    print(f"medians of the tenths: {', '.join(f'{mib:.1f}' for mib in medians(watcher.mib))} MiB")
    print(f"descriptors {before[0]} before, {after[0]} after; threads {before[1]} before, {after[1]} after")
    return int(code != 0 or late > early + PLAY_MIB or before != after)


if __name__ == "__main__":
    sys.exit(main())
