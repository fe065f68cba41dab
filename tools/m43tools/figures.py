"""What a live screen shows: rates, the lens and its last status, the pace of the polls, and what went wrong."""

from __future__ import annotations

import time
from collections import Counter, deque
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.analyser.model import Notice, NoticeKind
from m43drivers.bulk.columns import Stretch
from m43proto.events import MessageSeen
from m43proto.messages import Status
from m43tools.render.lens import STATUS_VALUES, legend, status_field, value_text
from m43tools.render.records import fields_of
from m43tools.render.values import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from fractions import Fraction

    from m43drivers.analyser.observing import LiveFound
    from m43drivers.analyser.pieces import Item
    from m43proto.catalogue import Catalogue
    from m43tools.render.glyphs import Glyphs
    from m43tools.render.lens import Row
    from m43tools.summary import Summary

__all__ = ["Figures", "histogram"]

POLLS = 500
WINDOW_NS = 1_000_000_000
BUCKETS = 6
LEAST_BUCKETS, MOST_BUCKETS = 3, 12
USUAL = 2
"""Periods longer than this many medians are counted in one row, so that a pause does not hide the pace."""

LONGEST_BAR = 60
NUMBERS = 22
LABELS = 16
BELOW = 4
"""Rows that may stand below the others: what the screen says of itself, the longest periods, and the marks."""

_STATUS = int.from_bytes(Status.spec.opcode, "big")


class Figures:
    """Figures of a live source, in memory that does not grow.

    Args:
        source: what is shown, as the user called it.
        tick_ns: length of a tick.
        catalogue: the messages to know.
        clock: seconds; for tests.

    Attributes:
        notices: what was told of holes, by kind.
        lost_ticks: samples that are not known, gaps between buffers aside.
        end: the tick behind all that came.
    """

    def __init__(
        self, source: str, tick_ns: Fraction, catalogue: Catalogue, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.notices: Counter[NoticeKind] = Counter()
        self.lost_ticks = 0
        self._source = source
        self._tick_ns = tick_ns
        self._catalogue = catalogue
        self._clock = clock
        self.end = 0
        self._known_ticks = 0
        self._samples: deque[tuple[float, int]] = deque(maxlen=2000)
        self._traffic: deque[tuple[int, int, int]] = deque()
        self._polls_ns: deque[int] = deque(maxlen=POLLS)
        self._last: Callable[[], MessageSeen] | None = None

    @property
    def lost(self) -> bool:
        """Whether samples are missing that should be there."""
        return any(kind is not NoticeKind.GAP for kind in self.notices)

    def add_item(self, item: Item) -> None:
        """Take note of a block or a notice as it comes."""
        if isinstance(item, Notice):
            self.notices[item.kind] += 1
            until = item.tick if item.until is None else item.until
            if item.kind is not NoticeKind.GAP:
                self.lost_ticks += max(until - item.tick, 0)
            self.end = max(self.end, until)
            return
        self._known_ticks += max(item.end + 1 - self.end, 0)
        self.end = item.end + 1
        self._samples.append((self._clock(), self._known_ticks))

    def add_found(self, found: LiveFound) -> None:
        """Take note of what was decoded."""
        if isinstance(found, Stretch) and len(found):
            self._add_stretch(found)
        elif isinstance(found, list):
            self._add_messages(event for event in found if isinstance(event, MessageSeen))

    def _add_stretch(self, stretch: Stretch) -> None:
        polls = np.flatnonzero(stretch.opcodes == _STATUS)
        self._polls_ns.extend(stretch.t_ns[polls[-POLLS:]].tolist())
        self._count(int(stretch.end_ns[-1]), len(stretch), int(polls.size))
        if polls.size:
            last = int(polls[-1])
            self._last = lambda: stretch.message_at(last, self._catalogue)

    def _add_messages(self, messages: Iterable[MessageSeen]) -> None:
        for message in messages:
            is_poll = message.transaction.command[:2] == Status.spec.opcode
            self._count(message.end_ns, 1, int(is_poll))
            if is_poll:
                self._polls_ns.append(message.t_ns)
            if is_poll and message.transaction.complete and message.transaction.sums_ok:
                self._set_last(message)

    def _count(self, end_ns: int, transactions: int, polls: int) -> None:
        self._traffic.append((end_ns, transactions, polls))
        while self._traffic[0][0] < end_ns - WINDOW_NS:
            self._traffic.popleft()

    def _set_last(self, message: MessageSeen) -> None:
        self._last = lambda: message

    def alarms(self, summary: Summary) -> frozenset[str]:
        """Return the labels of rows that tell of something wrong."""
        wrong = {
            "wrong sums": summary.command_sums_wrong + summary.data_sums_wrong,
            "violations": summary.violations.total(),
            "lost": self.lost_ticks,
            "notices": self.lost,
        }
        return frozenset(label for label, count in wrong.items() if count)

    def rows(self, summary: Summary, glyphs: Glyphs, more: list[Row], size: tuple[int, int]) -> list[Row]:
        """Return what to show: labels and texts, the most important first.

        Args:
            summary: what was counted.
            glyphs: the signs to use.
            more: other rows to show.
            size: columns and lines of the terminal.
        """
        width, height = size
        transactions, polls = self._in_window()
        values = self._last().values if self._last is not None else {}
        fields = [(name, status_field(name)) for name in STATUS_VALUES]
        wrong = summary.command_sums_wrong + summary.data_sums_wrong
        rows = [
            ("source", printable(self._source)),
            ("time", f"{self._now_ns / 1e9:.1f} s"),
            ("samples", f"{self._samples_per_s() / 1e6:.2f} M per second"),
            ("transactions", f"{transactions:.0f} per second, {sum(summary.messages.values())} in all"),
            ("polls", f"{polls:.1f} per second"),
            ("lens", _lens(summary)),
            *((label, value_text(field, values.get(name), glyphs)) for name, (label, field) in fields),
            ("wrong sums", str(wrong)),
            ("violations", _counted(summary.violations)),
            ("lost", f"{self.lost_ticks} samples"),
            ("notices", _counted(self.notices)),
            *more,
        ]
        taken = sum(max(-(-len(text) // (width - LABELS)), 1) for _, text in rows)
        buckets = min(max(height - taken - BELOW, LEAST_BUCKETS), MOST_BUCKETS)
        marks = legend(rows, glyphs)
        periods = histogram(self._polls_ns, width - LABELS, buckets)
        return [*rows, *_labelled("poll periods", periods), *([("", marks)] if marks else [])]

    @property
    def _now_ns(self) -> int:
        return int(self.end * self._tick_ns)

    def _in_window(self) -> tuple[float, float]:
        """Return transactions and polls per second, over the last second of the stream."""
        begin = self._now_ns - WINDOW_NS
        while self._traffic and self._traffic[0][0] < begin:
            self._traffic.popleft()
        span_s = min(max(self._now_ns, 1), WINDOW_NS) / 1e9
        return tuple(sum(one[at] for one in self._traffic) / span_s for at in (1, 2))  # type: ignore[return-value]  # two of them

    def _samples_per_s(self) -> float:
        """Return how many samples came in the last seconds, by the clock of this machine."""
        now_s = self._clock()
        while len(self._samples) > 2 and self._samples[0][0] < now_s - 2:
            self._samples.popleft()
        if len(self._samples) < 2 or self._samples[-1][0] < now_s - 2:
            return 0.0
        (begin_s, before), (end_s, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end_s - begin_s) if end_s > begin_s else 0.0


def histogram(times_ns: Iterable[int], width: int = 80, buckets: int = BUCKETS) -> list[str]:
    """Return the periods between times as rows: from, to, how many, and a bar.

    Args:
        times_ns: when.
        width: how much room a row has.
        buckets: how many rows there are at most, but for one of periods that are much longer than most.
    """
    periods = np.array([later - earlier for earlier, later in pairwise(times_ns)]) / 1e6
    if not periods.size:
        return ["fewer than two polls"]
    usual = periods[periods <= USUAL * np.median(periods)]
    low, high = np.floor(usual.min() * 10) / 10, np.ceil(usual.max() * 10) / 10
    counts, edges = np.histogram(usual, buckets if high - low > 0.1 * buckets else 1, (low, max(high, low + 0.1)))
    rows = [
        (f"{begin:.1f}-{end:.1f}", count)
        for (begin, end), count in zip(pairwise(edges.tolist()), counts.tolist(), strict=True)
    ]
    longer = periods.size - usual.size
    if longer:
        rows.append((f"to {periods.max():.1f}", longer))
    most = max(count for _, count in rows)
    bar = min(max(width - NUMBERS, 0), LONGEST_BAR)
    return [f"{span:>13} ms {count:>4} {'#' * round(bar * count / most)}".rstrip() for span, count in rows]


def _labelled(label: str, texts: list[str]) -> list[Row]:
    return [(label if at == 0 else "", text) for at, text in enumerate(texts)]


def _lens(summary: Summary) -> str:
    if not summary.identities:
        return "has not said who it is"
    fields = fields_of(summary.identities[-1])
    name = fields.get("lens") or "not in the lens database"
    identity = f"{fields.get('maker')} {fields.get('model')} {fields.get('submodel')}"
    return printable(f"{name} ({identity}), firmware {fields.get('firmware')}")


def _counted(counts: Counter[str] | Counter[NoticeKind]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
