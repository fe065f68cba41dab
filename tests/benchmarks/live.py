"""Dense traffic at 24 M samples/s, decoded live on one core: ``python -m tests.benchmarks.live``.

An analyser that sends status polls back to back is played by a thread that hands out packed samples, eight lines a
byte, in the transfers of an FX2 analyser (specs: 24 MB/s). Goals: at ten times the real pace nothing is lost, and a
second of traffic costs less than a tenth of a second of processor time: reading, finding changes, the queue, decoding.
Rows are counted; then the whole command writes them as JSON lines to a file that forgets them, and in the formats that
are written event by event, at the real pace.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from fractions import Fraction
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING

from m43drivers.analyser import ANALYSERS
from m43drivers.analyser.changes import PackedChanges
from m43drivers.analyser.live import LiveStream, Reader
from m43drivers.analyser.observing import LiveObserver
from m43drivers.bulk.columns import Stretch
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from m43proto import PUBLIC
from m43proto.pins import LINES
from m43tools.cli import main as m43
from m43tools.render.binary import BINARY_FORMATS
from tests.benchmarks.traffic import DENSE, RATE_HZ, entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m43drivers.analyser.model import Piece, Settings

SECONDS = 20
GOAL = 10.0
TRANSFER = 1 << 18
PACES = (1.0, 5.0, 10.0, 15.0, 20.0)


@cache
def _samples() -> bytes:
    """Return whole polls, which follow each other without a seam."""
    return b"".join(islice(entries(DENSE, 1 << 40), 4))


class Dense(Reader):
    """Sends dense traffic at a multiple of its real pace, and never waits for its taker.

    Args:
        pace: the multiple.
        seconds: how much traffic.
    """

    labels = tuple(Label(line) for line in LINES)
    tick_ns = Fraction(10**9, RATE_HZ)
    sample_rate_hz = float(RATE_HZ)
    provenance = Provenance("benchmark", "packed")

    def __init__(self, pace: float, seconds: float) -> None:
        self._changes = PackedChanges(1, len(LINES))
        self._total = int(seconds * RATE_HZ)
        self._samples = _samples()
        self._bytes_per_s = pace * RATE_HZ
        self._sent = 0

    def start(self) -> None:
        """Begin."""
        self._began_s = time.perf_counter()

    def read(self) -> Iterable[Piece]:
        """Send what is due."""
        ahead_s = self._sent / self._bytes_per_s - (time.perf_counter() - self._began_s)
        if ahead_s > 0:
            time.sleep(min(ahead_s, 0.1))
            return []
        piece = self._changes.feed(self._next())
        self._sent += TRANSFER
        self.ended = self._sent >= self._total
        return [] if piece is None else [piece]

    def _next(self) -> bytes:
        begin = self._sent % len(self._samples)
        some = self._samples[begin : begin + TRANSFER]
        return some + self._samples[: TRANSFER - len(some)]

    def finish(self) -> Iterable[Piece]:
        """Send no more."""
        return []

    def close(self) -> None:
        """Nothing is open."""


def run(pace: float, seconds: float) -> tuple[int, int, float, float]:
    """Decode at a pace.

    Returns:
        transactions, lost samples, processor seconds, wall seconds.
    """
    reader = Dense(pace, seconds)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    transactions = 0
    with LiveStream(reader) as live:
        observer = LiveObserver({line: bit for bit, line in enumerate(LINES)}, PUBLIC, reader.tick_ns)
        taken = (found for item in live.items() for found in observer.take(item))
        for portion in chain(taken, observer.finish()):
            if isinstance(portion, Stretch):
                transactions += int(portion.command_sums_ok.sum() + portion.data_sums_ok.sum()) // 2
        lost = live.lost_ticks
    return transactions, lost, time.process_time() - cpu_s, time.perf_counter() - wall_s


def dense(address: str, settings: Settings) -> Dense:
    """Make the reader of ``dense:?pace=...&seconds=...``."""
    return Dense(float(settings.options["pace"]), float(settings.options["seconds"]))


def command(pace: float, seconds: float, form: str = "jsonl") -> str:
    """Run ``m43 sniff --live`` at a pace into a format; return what came of it."""
    ANALYSERS["dense"] = ("tests.benchmarks.live:dense", "dense:")
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    source = f"dense:?pace={pace:g}&seconds={seconds:g}"
    code = m43(["sniff", "--live", source, "--format", form, "-o", os.devnull])
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    told = "something lost or left out" if code else "nothing lost"
    return f"{told} in {wall_s:.2f} s, processor {cpu_s:.2f} s = {seconds / cpu_s:.1f} x real time"


def main() -> None:
    """Measure and print."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.live", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS, help="of traffic (default: %(default)g)")
    seconds = parser.parse_args().seconds
    print(f"{seconds:g} s of dense traffic at {RATE_HZ / 1e6:g} M samples/s, on one core; goal {GOAL:g} x real time")
    for pace in PACES:
        transactions, lost, cpu_s, wall_s = run(pace, seconds)
        told = "nothing lost" if not lost else f"{lost} samples lost ({lost / RATE_HZ / seconds:.1%})"
        print(
            f"at {pace:>4g} x: {told}; {transactions} transactions in {wall_s:.2f} s,"
            f" processor {cpu_s:.2f} s = {seconds / cpu_s:.1f} x real time"
        )
    for pace in PACES:
        print(f"m43 sniff --live --format jsonl at {pace:>4g} x: {command(pace, seconds)}")
    for form in BINARY_FORMATS:
        print(f"m43 sniff --live --format {form} at 1 x: {command(1, seconds, form)}")


if __name__ == "__main__":
    main()
