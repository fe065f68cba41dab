"""``fake:`` as a live source: a simulated session, over and over, with what its options ask for."""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.analyser import ANALYSERS
from m43drivers.analyser.changes import ChangeFinder
from m43drivers.analyser.live import Reader
from m43drivers.analyser.model import Notice, NoticeKind
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from m43proto.pins import LINES
from tests.capture.sessions import simulated
from tests.capture.writers import samples_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from m43drivers.analyser.model import Piece, Settings

RATE = 8_000_000
PIECE = 20_000


@cache
def session_samples() -> NDArray[np.uint8]:
    session = simulated()
    return samples_of(session.channels, session.end_ns, RATE).astype(np.uint8)


class Fake(Reader):
    """Plays the session.

    Options: ``times`` (how often, 1), ``pace`` (0 for as fast as it is taken), ``hole`` (``KIND@SAMPLE:COUNT``),
    ``names=0`` for channels called D0 and so on, ``hang=1`` to stay silent at the end, ``stuck=1`` not to return from
    there, as a broken driver.
    """

    tick_ns = Fraction(10**9, RATE)
    sample_rate_hz = float(RATE)
    provenance = Provenance("fake:", "fake")

    def __init__(self, options: dict[str, str]) -> None:
        names = LINES if options.get("names") != "0" else [f"D{bit}" for bit in range(len(LINES))]
        self.labels = tuple(Label(str(name)) for name in names)
        self._times = int(options.get("times", "1"))
        self._pace = float(options.get("pace", "0"))
        self._hang = options.get("hang") == "1"
        self._stuck = options.get("stuck") == "1"
        self._finder = ChangeFinder(len(LINES))
        self._steps = self._played(options.get("hole", ""))

    def start(self) -> None:
        self._began_s = time.monotonic()

    def read(self) -> list[Piece | Notice]:
        due_s = self._finder.position / RATE / self._pace if self._pace else 0
        ahead_s = due_s - (time.monotonic() - self._began_s)
        if ahead_s > 0:
            time.sleep(min(ahead_s, 0.05))
            return []
        step = next(self._steps, None)
        while step is None and self._stuck:
            time.sleep(1)
        if step is None and self._hang:
            time.sleep(0.02)
        self.ended = step is None and not self._hang
        return [] if step is None else [step]

    def finish(self) -> list[Piece | Notice]:
        return []

    def close(self) -> None:
        pass

    def _played(self, hole: str) -> Iterator[Piece | Notice]:
        samples = session_samples()
        kind, _, rest = hole.partition("@")
        at, count = map(int, rest.split(":")) if hole else (-1, 0)
        for _ in range(self._times):
            begin = 0
            while begin < samples.size:
                end = min(begin + PIECE, samples.size, at if begin < at else samples.size)
                piece = self._finder.samples(samples[begin:end])
                assert piece is not None
                yield piece
                begin = end
                if begin == at:
                    begin += count
                    tick = self._finder.position
                    self._finder.skip(count)
                    yield Notice(NoticeKind(kind), tick, tick + count, True, f"{count} samples are lost")


def fake(address: str, settings: Settings) -> Fake:
    return Fake(dict(settings.options))


def plug_in() -> None:
    """Make ``fake:`` a source of this process."""
    ANALYSERS["fake"] = ("tests.analyser.fakesource:fake", "fake:")


if __name__ == "__main__":
    from m43tools.cli import main

    plug_in()
    sys.exit(main())
