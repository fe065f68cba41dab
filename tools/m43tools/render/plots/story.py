"""What a picture tells, before it is known which library draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from m43proto.events import ByteSeen, MessageSeen
from m43proto.messages import Drive
from m43proto.pins import LINES
from m43tools.quantities import QUANTITIES, commands_of, goal_text, reading_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from m43drivers.capture import Channel
    from m43proto.events import Event
    from m43proto.pins import Line, Role
    from m43tools.quantities import Quantity

__all__ = ["COLOURS", "DriveMark", "LineTrace", "Octet", "Series", "Span", "Story", "clock_text", "story_of"]

COLOURS = {
    "focus_position": "#1d5fa8",
    "focus_distance_m": "#1c8471",
    "aperture_f": "#b4531f",
    "zoom_step": "#74489d",
}
"""One hue for each quantity, dark enough for white paper."""


TARGETS_WITHIN = 1.0
"""Targets that are farther away than this share of the range that the lens told are out of it: scans aim nowhere."""


@dataclass(slots=True)
class Series:
    """A quantity over time.

    Attributes:
        quantity: which.
        times_s: when the lens told it, seconds.
        values: what it told; infinity is none of them.
        infinite_s: when it told infinity.
        targets: where drives sent it: (since when in s, until when in s, value).
    """

    quantity: Quantity
    times_s: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    infinite_s: list[float] = field(default_factory=list)
    targets: list[tuple[float, float, float]] = field(default_factory=list)

    @property
    def extent(self) -> tuple[float, float]:
        """What its axis shows: all values, and the targets that are not too far away; never less than one unit."""
        known = [value for value in self.values if not math.isnan(value)]
        low, high = (min(known), max(known)) if known else (0.0, 0.0)
        reach = TARGETS_WITHIN * max(high - low, 1.0)
        near = [value for _, _, value in self.targets if low - reach <= value <= high + reach]
        low, high = min([low, *near]), max([high, *near])
        room = max((high - low) * 0.2, (1.0 - (high - low)) / 2)
        return low - room, high + room

    @property
    def label(self) -> str:
        """Name, unit and evidence of the quantity."""
        return f"{self.quantity.name}\n{self.quantity.unit} · {self.quantity.declared.evidence}"


@dataclass(frozen=True, slots=True)
class DriveMark:
    """A drive: when in seconds, and what it asks for in words."""

    t_s: float
    words: str


@dataclass(frozen=True, slots=True)
class LineTrace:
    """A line within the window: its name, and its level from each time on; the last pair ends it."""

    name: str
    times_ns: list[int]
    levels: list[int]


@dataclass(frozen=True, slots=True)
class Octet:
    """A byte within the window."""

    t_ns: int
    end_ns: int
    value: int
    sender: Role | None


@dataclass(frozen=True, slots=True)
class Span:
    """A transaction within the window."""

    t_ns: int
    end_ns: int
    name: str
    sound: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that a picture shows.

    Attributes:
        title: of the picture.
        note: what a reader has to know of where the capture comes from.
        end_s: length of the capture, seconds.
        series: the quantities that the lens told at least once.
        drives: the drives.
        window_ns: the window of the waveform, or None without one.
        lines: the lines in it.
        octets: the bytes in it.
        spans: the transactions in it.
    """

    title: str
    note: str
    end_s: float
    series: tuple[Series, ...]
    drives: tuple[DriveMark, ...]
    window_ns: tuple[int, int] | None
    lines: tuple[LineTrace, ...]
    octets: tuple[Octet, ...]
    spans: tuple[Span, ...]

    @property
    def motion_s(self) -> tuple[float, float]:
        """From the first thing that the lens told to the last, seconds; with some room, and never nothing."""
        times = [t_s for series in self.series for t_s in (series.times_s[0], series.times_s[-1])]
        room = max(max(times) - min(times), 1e-3) * 0.02
        return min(times) - room, max(times) + room


def clock_text(t_ns: float) -> str:
    """Return a time as pictures write it."""
    return f"{t_ns / 1e9:.6f} s"


def story_of(
    events: Iterable[Event],
    end_ns: int,
    *,
    title: str,
    note: str = "",
    window_ns: tuple[int, int] | None = None,
    mapping: Mapping[Line, Channel] | None = None,
) -> Story:
    """Gather what a picture tells.

    Args:
        events: of the whole capture.
        end_ns: its length.
        title: of the picture.
        note: what a reader has to know of where the capture comes from.
        window_ns: the window of the waveform, or None without one.
        mapping: the lines of the capture; needed for a waveform.
    """
    teller = _Teller(window_ns)
    for event in events:
        teller.take(event)
    lines = _traces(mapping or {}, window_ns) if window_ns else ()
    return Story(
        title=title,
        note=note,
        end_s=end_ns / 1e9,
        series=teller.series(end_ns / 1e9),
        drives=tuple(teller.drives),
        window_ns=window_ns,
        lines=lines,
        octets=tuple(teller.octets),
        spans=tuple(teller.spans),
    )


class _Teller:
    """Takes events, and keeps what a picture shows of them."""

    def __init__(self, window_ns: tuple[int, int] | None) -> None:
        self.drives: list[DriveMark] = []
        self.octets: list[Octet] = []
        self.spans: list[Span] = []
        self._window_ns = window_ns
        self._series = {quantity.field: Series(quantity) for quantity in QUANTITIES}
        self._goals: dict[str, list[tuple[float, float]]] = {quantity.field: [] for quantity in QUANTITIES}

    def take(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, ByteSeen):
            if self._shown(event):
                self.octets.append(Octet(event.t_ns, event.end_ns, event.value, event.sender))
        elif isinstance(event, MessageSeen):
            self._take_message(event)

    def _shown(self, event: Event) -> bool:
        return self._window_ns is not None and event.end_ns > self._window_ns[0] and event.t_ns < self._window_ns[1]

    def _take_message(self, event: MessageSeen) -> None:
        if self._shown(event):
            self.spans.append(Span(event.t_ns, event.end_ns, event.name, event.transaction.sums_ok))
        for quantity in QUANTITIES:
            value = reading_of(event, quantity)
            if value is not None:
                self._add(self._series[quantity.field], event.end_ns / 1e9, value)
        if event.kind is Drive:
            for key, value in commands_of(event).items():
                self._goals[key].append((event.end_ns / 1e9, value))
            self.drives.append(DriveMark(event.end_ns / 1e9, goal_text(event)))

    def _add(self, series: Series, t_s: float, value: float) -> None:
        if math.isinf(value):
            series.infinite_s.append(t_s)
            value = math.nan
        series.times_s.append(t_s)
        series.values.append(value)

    def series(self, end_s: float) -> tuple[Series, ...]:
        """Return the quantities that the lens told, with the targets between one drive and the next."""
        for key, goals in self._goals.items():
            ends = [*(t_s for t_s, _ in goals), end_s][1:]
            self._series[key].targets = [(t_s, until, value) for (t_s, value), until in zip(goals, ends, strict=True)]
        return tuple(series for series in self._series.values() if series.times_s)


def _traces(mapping: Mapping[Line, Channel], window_ns: tuple[int, int]) -> tuple[LineTrace, ...]:
    return tuple(_trace(line, mapping[line], window_ns) for line in LINES if line in mapping)


def _trace(line: Line, channel: Channel, window_ns: tuple[int, int]) -> LineTrace:
    start, stop = window_ns
    first, last = (int(at) for at in np.searchsorted(channel.edges_ns, [start, stop], "right"))
    inside = channel.edges_ns[first:last].tolist()
    level = channel.initial ^ (first & 1)
    levels = [level ^ (at & 1) for at in range(len(inside) + 1)]
    return LineTrace(str(line), [start, *inside, stop], [*levels, levels[-1]])
