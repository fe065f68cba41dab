"""A simulated pair as a live source of its own, to the nanosecond: the truth that a bridge at its pins has to tell."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from m43drivers.analyser import ANALYSERS
from m43drivers.analyser.live import Reader
from m43drivers.analyser.model import Piece
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Block, Label
from m43drivers.simulator.faults import faults_named
from m43drivers.simulator.profiles import profile_named
from m43drivers.simulator.script import load_script
from m43drivers.simulator.session import SessionPlan, paired
from m43proto.messages import PUBLIC
from m43proto.pins import LINES
from tests.bridge.test_process import bridge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from m43drivers.analyser.model import Settings

SLICE_NS = 100_000_000
TOLERANCE_NS = 400
"""A tick of 200 ns until a change is sampled, up to 100 ns until the mark falls behind it, and a tick of rounding."""

_TIMES = ("t_ns", "end_ns")


class TruePair(Reader):
    """The changes of a pair at its pins, as long as its body has something to do."""

    labels = tuple(Label(str(line)) for line in LINES)
    tick_ns = Fraction(1)
    sample_rate_hz = 1e9
    provenance = Provenance("truth:", "simulated")

    def __init__(self, script: str, options: dict[str, str]) -> None:
        body = load_script(script)
        self._pair = paired(
            SessionPlan(
                profile=profile_named("olympus-14-42"),
                script=body,
                dialect=body.dialect_for(None),
                faults=faults_named([options["fault"]] if "fault" in options else []),
                catalogue=PUBLIC,
                body_timing=options.get("body", "bell_body"),
                lens_timing=options.get("lens", "bell_lens"),
                seed=int(options.get("seed", "0")),
            )
        )
        self._now_ns = 0
        self._before = 0

    def start(self) -> None:
        """Nothing has to begin."""

    def read(self) -> list[Piece]:
        """Let the pair go on."""
        begin_ns, self._now_ns = self._now_ns, self._now_ns + SLICE_NS
        changes = np.array(list(self._pair.mount.run(self._now_ns - 1)), np.int64).reshape(-1, 2)
        before = self._before
        if changes.size:
            self._before = int(changes[-1, 1])
        self.ended = self._pair.body.done
        block = Block(changes[:, 0].copy(), changes[:, 1].astype(np.uint8), self._now_ns - 1)
        return [Piece(begin_ns, before, block)]

    def finish(self) -> list[Piece]:
        """There is no more."""
        return []

    def close(self) -> None:
        """Nothing is open."""


def truth(address: str, settings: Settings) -> TruePair:
    """Make the reader of ``truth:SCRIPT?body=TIMING&lens=TIMING&seed=N&fault=NAME``."""
    return TruePair(address, dict(settings.options))


def plug_in() -> None:
    """Make ``truth:`` a source of this process."""
    ANALYSERS["truth"] = ("tests.analyser.pairs:truth", "truth:")


@contextmanager
def listening_bridge(script: str | Path, *options: str) -> Iterator[str]:
    """Run the bridge's firmware as a process at the pins of a pair; yield the path of its PTY."""
    with bridge("--pty", "--body", os.fspath(script), *options) as (_, path):
        yield path


def differences(true: str, heard: str) -> list[str]:
    """Compare rows of JSON: all but the times has to be the same, and those as near as is promised."""
    ours, theirs = true.splitlines(), heard.splitlines()
    found = [] if len(ours) == len(theirs) else [f"{len(theirs)} rows instead of {len(ours)}"]
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if difference := _difference(json.loads(one), json.loads(other)):
            found.append(f"row {number}: {difference}: {one} <> {other}")
    return found


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    late_ns = [other.pop(name) - one.pop(name) for name in _TIMES if one.get(name) is not None]
    if one != other:
        return "not the same"
    return "" if all(abs(late) <= TOLERANCE_NS for late in late_ns) else f"times off by {late_ns} ns"
