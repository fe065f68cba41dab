"""A live source through the bulk decoder: blocks and notices in, what body and lens said and the notices out, in order.

A hole is a hole: behind a notice the decoder begins anew, so no byte is put together from both sides of it. What the
hole cut off is told as the end and the beginning of a capture are told: incomplete, or a fragment.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from m43drivers.analyser.model import Notice
from m43drivers.bulk.columns import Stretch
from m43drivers.bulk.decoder import End, Found
from m43drivers.bulk.looking import WAITED_ROWS, Looker
from m43drivers.bulk.observing import Words, decoder_for
from m43drivers.capture.stream import Block
from m43drivers.capture.times import nearest
from m43proto.events import ByteSeen
from m43proto.phy import REST_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from fractions import Fraction

    from numpy.typing import NDArray

    from m43drivers.analyser.pieces import Item
    from m43drivers.analyser.trigger import EventTrigger
    from m43drivers.bulk.decoder import Decoder
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43proto.pins import Line

__all__ = ["LONGEST_NS", "FoundGate", "LiveFound", "LiveObserver", "beginning", "fires_in"]

LiveFound: TypeAlias = Found | Notice
"""What a live source gives: what a capture does, and notices between."""

LONGEST_NS = 2_000_000_000
"""How long what fires a trigger may take: its history ends where it began, and it is known when it has ended."""

MOST_VAIN = 1 << 22
"""Rows without anything that is understood: some 200 kilobytes."""


def beginning(items: Iterator[Item], mapping: Mapping[Line, int] | None) -> list[Item]:
    """Read from a live source what has to be known before it is decoded.

    Args:
        items: the source, of which this takes the first.
        mapping: the channel of each line, by its number, to read until each ack line has changed or is dead; None to
            read as much as the lines are found in.

    Returns:
        what was read; blocks in which nothing happens are joined.
    """
    looker = None if mapping is None else Looker(mapping)
    read: list[Item] = []
    rows = 0
    for item in items:
        last = read[-1] if read else None
        if isinstance(item, Block) and isinstance(last, Block) and not item.ticks.size:
            read[-1] = Block(last.ticks, last.states, item.end)
            continue
        read.append(item)
        if isinstance(item, Block):
            rows += item.ticks.size
            if looker is not None:
                for _ in looker.looked(iter([item])):
                    pass
        if rows >= WAITED_ROWS or (looker is not None and looker.done):
            break
    return read


class LiveObserver:
    """Decodes what a live source gives.

    Args:
        mapping: the channel of each line, by its number.
        catalogue: the messages to know.
        tick_ns: length of a tick in nanoseconds, not below 1.
        most_vain: rows in which bytes are found but nothing that holds them, before it begins anew: what fits nowhere
            is told as a whole, and would fill the memory where the lines are the wrong ones.
    """

    def __init__(
        self, mapping: Mapping[Line, int], catalogue: Catalogue, tick_ns: Fraction, most_vain: int = MOST_VAIN
    ) -> None:
        self._lines = tuple(mapping)
        self._catalogue = catalogue
        self._tick_ns = tick_ns
        self._words = Words(mapping)
        self._decoder = self._new()
        self._state: Any = None
        self._behind: int | None = None
        self._changed = 0
        self._end = -1
        self._most_vain = most_vain
        self._vain = 0

    def take(self, item: Item) -> Iterator[LiveFound]:
        """Take the next block or notice; yield what it completes."""
        if isinstance(item, Notice):
            yield from self._break_off(item)
            return
        block = item if self._behind is None else self._opened(item, self._behind)
        self._end = block.end
        if not block.ticks.size:
            if (block.end - self._changed) * self._tick_ns >= REST_NS:
                yield from self._decoder.flush()
            return
        self._changed, self._state = int(block.ticks[-1]), block.states[-1:]
        self._vain += block.ticks.size
        for portion in self._decoder.take(*_changes(block.ticks, self._words.of(block.states))):
            if not (isinstance(portion, list) and all(isinstance(event, ByteSeen) for event in portion)):
                self._vain = 0
            yield portion
        if self._vain > self._most_vain:
            yield from self._begin_anew(block.end + 1)
            self._behind = block.end + 1

    def finish(self) -> Iterator[Found]:
        """Take the end of the source; yield what was still open, and last the end."""
        yield from self._decoder.finish(self._ns(self._end))

    def _break_off(self, notice: Notice) -> Iterator[LiveFound]:
        until = notice.tick if notice.until is None else notice.until
        if self._behind is None:
            yield from self._begin_anew(notice.tick)
        self._behind, self._end = until, max(self._end, until - 1)
        yield notice

    def _begin_anew(self, tick: int) -> Iterator[Found]:
        yield from (found for found in self._decoder.finish(self._ns(tick)) if not isinstance(found, End))
        self._decoder = self._new()
        self._vain = 0

    def _opened(self, block: Block, start: int) -> Block:
        """Return the first block behind a hole with a row for the levels at its start."""
        self._behind = None
        if self._state is None or (block.ticks.size and int(block.ticks[0]) <= start):
            return block
        states: NDArray[Any] = np.concatenate([self._state, block.states])
        return Block(np.concatenate([[start], block.ticks]), states, block.end)

    def _new(self) -> Decoder:
        return decoder_for(self._lines, self._catalogue, self._tick_ns)

    def _ns(self, tick: int) -> int:
        return nearest(max(tick, 0) * self._tick_ns)


def _changes(ticks: NDArray[np.int64], levels: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Leave out rows in which only channels change that are no lines; the first row stays."""
    kept = np.append(True, levels[1:] != levels[:-1])
    return (ticks, levels) if kept.all() else (ticks[kept], levels[kept])


def fires_in(trigger: EventTrigger, portion: LiveFound, catalogue: Catalogue) -> int | None:
    """Return when the first event in a portion begins on which a trigger fires, in nanoseconds, or None."""
    if isinstance(portion, Stretch):
        messages = (portion.message_at(at, catalogue) for at in range(len(portion)))
        hits = (_first(trigger, messages), _first(trigger, portion.pin_events()))
        return min((t_ns for t_ns in hits if t_ns is not None), default=None)
    if isinstance(portion, list):
        return _first(trigger, portion)
    return None


def _first(trigger: EventTrigger, events: Iterable[Event]) -> int | None:
    return next((event.t_ns for event in events if trigger.fires(event)), None)


class FoundGate:
    """Holds what was found until it is opened at a time; what lies further back than the history is forgotten.

    Args:
        history_ns: how far back.
        most: portions that it holds at most, whatever the time.

    Attributes:
        opened_ns: from when on things go through, or None while it is closed.
    """

    def __init__(self, history_ns: int, most: int = 100_000) -> None:
        self._history_ns = history_ns
        self._held: deque[tuple[int, LiveFound]] = deque(maxlen=most)
        self.opened_ns: int | None = None

    def hold(self, portion: LiveFound) -> None:
        """Keep a portion for as long as it may be wanted."""
        end_ns = _end_of(portion, self._held[-1][0] if self._held else 0)
        self._held.append((end_ns, portion))
        while self._held[0][0] < end_ns - self._history_ns - LONGEST_NS:
            self._held.popleft()

    def open(self, t_ns: int) -> list[LiveFound]:
        """Open; return what is held, of which what begins before `opened_ns` is not wanted."""
        self.opened_ns = t_ns - self._history_ns
        held = [portion for end_ns, portion in self._held if end_ns >= self.opened_ns]
        self._held.clear()
        return held


def _end_of(portion: LiveFound, before_ns: int) -> int:
    """Return about when a portion ended."""
    if isinstance(portion, Stretch) and len(portion):
        return int(portion.end_ns[-1])
    if isinstance(portion, list) and portion:
        return max(portion[-1].end_ns, before_ns)
    return before_ns
