"""The queue between a source and its taker: nothing is lost unseen, nobody waits who must not."""

from __future__ import annotations

import asyncio
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from m43drivers.analyser.changes import ChangeFinder
from m43drivers.analyser.live import LiveStream, Reader
from m43drivers.analyser.model import AnalyserError, Notice, NoticeKind
from m43drivers.capture.model import Provenance
from m43drivers.capture.stream import Label
from tests.analyser.support import expanded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from m43drivers.analyser.model import Piece


class Script(Reader):
    """A reader that follows a list: samples, notices, and functions that it calls."""

    labels = (Label("D0"), Label("D1"))
    tick_ns = Fraction(1000)
    sample_rate_hz = 1e6
    provenance = Provenance("script", "script")

    def __init__(self, *steps: object, last: Iterable[object] = ()) -> None:
        self._steps = list(steps)
        self._last = list(last)
        self.finder = ChangeFinder(2)
        self.closed = 0

    def start(self) -> None:
        pass

    def read(self) -> list[Piece | Notice]:
        if not self._steps:
            self.ended = True
            return []
        return self._done(self._steps.pop(0))

    def finish(self) -> list[Piece | Notice]:
        return [item for step in self._last for item in self._done(step)]

    def close(self) -> None:
        self.closed += 1

    def _done(self, step: object) -> list[Piece | Notice]:
        if isinstance(step, Notice):
            self.finder.skip((step.until or step.tick) - step.tick)
            return [step]
        if callable(step):
            step()
            return []
        assert isinstance(step, list)
        piece = self.finder.samples(np.array(step, np.uint8))
        return [] if piece is None else [piece]


@pytest.fixture(autouse=True)
def _no_threads_stay() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_blocks_and_notices_come_in_order() -> None:
    gap = Notice(NoticeKind.GAP, 3, 10, False, "armed again")
    reader = Script([0, 1, 1], gap, [1, 2])
    with LiveStream(reader) as live:
        assert expanded(live.items()) == ([0, 1, 1, *[-1] * 7, 1, 2], [gap])
        assert list(live.notices) == [gap]
    assert reader.closed == 1


def test_the_seam_of_all_captures() -> None:
    gap = Notice(NoticeKind.GAP, 3, 10, False, "armed again")
    with LiveStream(Script([0, 1, 3], gap, [3, 2])) as live:
        capture = live.capture
        assert (capture.again, capture.tick_ns, capture.sample_rate_hz) == (False, Fraction(1000), 1e6)
        blocks = list(capture.blocks(0b10))
        rows = [(block.ticks.tolist(), block.states.tolist(), block.end) for block in blocks]
        assert rows == [([0, 2], [0, 2], 2), ([], [], 11)]
        assert list(live.notices) == [gap]


def test_a_slow_taker_loses_whole_blocks_and_is_told_which() -> None:
    full, resume = threading.Event(), threading.Event()
    reader = Script([0, 1], [2, 3], [1, 1], [0, 0], full.set, resume.wait, [0, 0, 3, 3])
    with LiveStream(reader, capacity=16) as live:
        assert full.wait(2)
        items = live.items()
        first = next(items)
        resume.set()
        levels, notices = expanded([first, *items])
    # While nobody took, three blocks had no place behind the first.
    (overrun,) = notices
    assert overrun == Notice(NoticeKind.OVERRUN, 2, 8, True, "this program did not keep up: 6 samples are lost")
    assert live.lost_ticks == 6
    assert levels == [0, 1, *[-1] * 6, 0, 0, 3, 3]


def test_the_level_behind_a_loss_is_told_even_if_nothing_changes_there() -> None:
    full, resume = threading.Event(), threading.Event()
    reader = Script([0, 1], [2, 2], full.set, resume.wait, [2, 2])
    with LiveStream(reader, capacity=16) as live:
        assert full.wait(2)
        items = live.items()
        first = next(items)
        resume.set()
        assert expanded([first, *items])[0] == [0, 1, -1, -1, 2, 2]


def test_a_loss_at_the_very_end_is_told() -> None:
    over = threading.Event()
    with LiveStream(Script([0, 1], [2, 2], over.set), capacity=16) as live:
        assert over.wait(2)
        live.close()
        (notice,) = expanded(live.items())[1]
    assert (notice.kind, notice.tick, notice.until) == (NoticeKind.OVERRUN, 2, None)


def test_stopping_brings_what_was_under_way() -> None:
    stopped = threading.Event()
    with LiveStream(Script([0], lambda: stopped.wait(30), [2], last=[[1, 1]])) as live:
        items = live.items()
        first = next(items)
        live.stop()
        stopped.set()
        assert expanded([first, *items])[0] == [0, 1, 1]


def test_closing_does_not_wait_for_a_driver_that_hangs() -> None:
    hang = threading.Event()
    live = LiveStream(Script([0], hang.wait))
    began_s = time.monotonic()
    assert live.close(0.1) is False
    assert time.monotonic() - began_s < 1
    hang.set()
    assert live.close() is True


def test_a_defect_of_a_reader_reaches_the_taker() -> None:
    def defect() -> None:
        raise ZeroDivisionError

    reader = Script([0, 1], defect)
    with LiveStream(reader) as live:
        items = live.items()
        next(items)
        with pytest.raises(ZeroDivisionError):
            next(items)
    assert reader.closed == 1


def test_a_source_that_does_not_begin_is_closed() -> None:
    class Broken(Script):
        def start(self) -> None:
            raise AnalyserError("does not begin")

    reader = Broken()
    with pytest.raises(AnalyserError):
        LiveStream(reader)
    assert reader.closed == 1


async def test_an_event_loop_is_not_blocked() -> None:
    """The source goes on only when the event loop has turned often enough."""
    turned = threading.Event()
    seen: list[bool] = []

    def wait() -> None:
        seen.append(turned.wait(30))
        turned.clear()

    async def turn() -> None:
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            turned.set()

    turning = asyncio.create_task(turn())
    with LiveStream(Script([0, 1], wait, [1, 2], wait, wait, [3])) as live:
        levels = expanded([item async for item in live.items_async()])[0]
    turning.cancel()
    assert levels == [0, 1, 1, 2, 3]
    assert seen == [True, True, True]


async def test_a_defect_reaches_an_event_loop_too() -> None:
    def defect() -> None:
        raise ZeroDivisionError

    with LiveStream(Script(defect)) as live, pytest.raises(ZeroDivisionError):
        [item async for item in live.items_async()]
