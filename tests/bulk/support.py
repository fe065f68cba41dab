"""Traffic with anything wrong in it, and the two decoders that must agree on it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.decoder import End
from m43drivers.bulk.observing import observe_stream
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Block, CaptureStream, Label
from m43proto.connection import Connection
from m43proto.messages import PUBLIC
from m43proto.pins import LINES, Line
from tests.waveform import Waveform, random_script

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Sequence

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event

Changes = list[tuple[int, int]]


def stream_of(changes: Changes, end: int, cuts: Sequence[int] = (), tick_ns: Fraction = Fraction(1)) -> CaptureStream:
    """Return changes as a stream whose blocks end at some rows; bit k is line k."""

    def blocks(mask: int | None) -> Iterator[Block]:
        ticks = np.array([t_ns for t_ns, _ in changes], np.int64)
        states = np.array([levels for _, levels in changes], np.uint8)
        if mask is not None:
            states &= np.uint8(mask)
        for start, stop in zip([0, *cuts], [*cuts, len(changes)], strict=True):
            last = end if stop == len(changes) else int(ticks[stop]) - 1
            yield Block(ticks[start:stop], states[start:stop], last)

    labels = tuple(Label(line) for line in LINES)
    return CaptureStream(labels, tick_ns, None, Provenance("-", "test"), blocks)


def in_bulk(stream: CaptureStream, lines: Iterable[Line], catalogue: Catalogue = PUBLIC) -> tuple[list[Event], int]:
    """Return what the bulk decoder says, event by event, and how many events came in stretches."""
    events: list[Event] = []
    regular = 0
    for found in observe_stream(stream, {line: line.bit for line in lines}, catalogue):
        if isinstance(found, Stretch):
            told = list(found.events(catalogue))
            regular += len(told)
            events += told
        elif not isinstance(found, End):
            events += found
    return events, regular


def one_by_one(changes: Changes, end_ns: int, lines: Sequence[Line], catalogue: Catalogue = PUBLIC) -> list[Event]:
    """Return what the observing engine says."""
    connection = Connection(catalogue=catalogue, lines=tuple(lines))
    mask = sum(line.mask for line in lines)
    for t_ns, levels in changes:
        connection.receive_levels(t_ns, levels & mask)
    connection.receive_end(end_ns)
    return list(connection.events())


def traffic(rng: random.Random, transactions: int = 12) -> Waveform:
    """Return transactions with frames between them, and here and there a clock hold or a power cycle."""
    waveform = Waveform(rng)
    if rng.random() < 0.7:
        waveform.power_up()
    for _ in range(transactions):
        waveform.transaction(random_script(rng, longest=12))
        chance = rng.random()
        if chance < 0.3:
            waveform.frame_sync()
            waveform.set(Line.FOCUS, 1 - waveform.levels[Line.FOCUS])
        elif chance < 0.4:
            waveform.clock_hold()
        elif chance < 0.45:
            waveform.set(Line.SLEEP, 0)
            waveform.idle(1_000_000)
            waveform.power_up()
        waveform.idle(rng.choice([20_000, 300_000, 3_000_000, 9_000_000, 150_000_000]))
    return waveform


def spoilt(rng: random.Random, changes: Changes) -> Changes:
    """Return changes with glitches, lost edges, and a cut start or end."""
    found = list(changes)
    for _ in range(rng.choice([0, 0, 1, 3, 10])):
        at = rng.randrange(1, len(found))
        t_ns, levels = found[at]
        line = rng.choice(LINES)
        chance = rng.random()
        if chance < 0.4 and t_ns - found[at - 1][0] > 20:
            before = found[at - 1][1]
            found[at:at] = [(t_ns - 15, before ^ line.mask), (t_ns - 5, before)]
        elif chance < 0.7:
            found[at] = (t_ns, levels ^ line.mask)
        elif at + 1 < len(found):
            del found[at]
    start = rng.randrange(len(found) // 2) if rng.random() < 0.3 else 0
    stop = rng.randrange(len(found) // 2, len(found)) if rng.random() < 0.3 else len(found)
    zero = found[start][0]
    return [(t_ns - zero, levels) for t_ns, levels in found[start:stop]]
