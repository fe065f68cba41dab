"""How long each end took for each step of the handshake, read off the edges of the lines (specs/2-link.md)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from m43proto.phy import BITS_PER_BYTE
from m43proto.pins import Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["DELAYS", "GIVEN_UP_NS", "EdgeReader", "Span", "read_edges", "spans_of"]

_CLK, _DATA, _BODY_ACK = Line.CLK.mask, Line.DATA.mask, Line.BODY_ACK.mask
_LENS_ACK, _SLEEP = Line.LENS_ACK.mask, Line.SLEEP.mask

GIVEN_UP_NS = 20_000_000
"""LENS_ACK that falls together with BODY_ACK is what the body waited for, unless it had waited longer than this."""

DELAYS = {
    "wake": "BODY_ACK rises behind SLEEP to LENS_ACK rises for the wake pulse",
    "wake pulse": "LENS_ACK high for the wake pulse",
    "early": "LENS_ACK rises behind SLEEP before BODY_ACK does",
    "attention": "BODY_ACK rises to LENS_ACK rises: ready for a byte of the body",
    "acknowledge": "last CLK rise of a byte of the body to LENS_ACK falls",
    "acknowledge low": "LENS_ACK low between two bytes of the body",
    "acknowledge over": "last CLK rise of a byte of the body to LENS_ACK rises again",
    "unacknowledged": "last CLK rise of a byte of the body to the next byte, or BODY_ACK falls: no acknowledge came",
    "unanswered": "BODY_ACK rises to BODY_ACK falls: LENS_ACK never rose",
    "no wake pulse": "BODY_ACK rises behind SLEEP to BODY_ACK falls: LENS_ACK never rose",
    "too few clocks": "LENS_ACK falls in the middle of a byte of the body",
    "hand-over": "LENS_ACK falls behind the last byte of the body to BODY_ACK falls",
    "hand-over undone": "LENS_ACK falls behind a byte of the body to BODY_ACK falls with LENS_ACK high",
    "ready": "BODY_ACK falls behind a turn of the body to LENS_ACK rises: a byte of the lens is ready",
    "release": "BODY_ACK falls behind a byte of the lens to LENS_ACK falls",
    "too early": "LENS_ACK falls in a byte of the lens before BODY_ACK does",
    "reply": "LENS_ACK falls to LENS_ACK rises: the next byte of the lens is ready",
    "busy": "LENS_ACK high for the work of a completion",
    "set-up": "DATA changes to CLK rises, in a byte of the lens",
    "late data": "CLK rises to DATA changes, in a byte of the lens, before CLK falls again",
    "asleep": "SLEEP falls to LENS_ACK is low",
}
"""What is read off the edges: name -> from where to where."""


class Span(NamedTuple):
    """One delay: how long it was, and when it began."""

    value_ns: int
    t_ns: int

    @property
    def end_ns(self) -> int:
        """When it ended."""
        return self.t_ns + self.value_ns


class EdgeReader(ABC):
    """Walks the edges.

    Args:
        levels: those at the start.

    Attributes:
        found: the delays by their names.
        levels: those at the moment.
    """

    def __init__(self, levels: int) -> None:
        self.found: dict[str, list[Span]] = defaultdict(list)
        self.levels = levels

    def note(self, name: str, start_ns: int | None, t_ns: int) -> None:
        """Note a delay that ends now, if its start was seen."""
        if start_ns is not None:
            self.found[name].append(Span(t_ns - start_ns, start_ns))

    @abstractmethod
    def take(self, t_ns: int, levels: int) -> None:
        """Take new levels."""

    @abstractmethod
    def finish(self, end_ns: int) -> None:
        """Take the end of the recording."""


def read_edges(kind: type[EdgeReader], changes: Iterable[tuple[int, int]], end_ns: int) -> Mapping[str, Sequence[Span]]:
    """Return every delay that a reader finds, by its name.

    Args:
        kind: the reader.
        changes: time and new levels of all lines; the first tells the levels at the start.
        end_ns: when the recording ends.
    """
    rest = iter(changes)
    first = next(rest, None)
    if first is None:
        return {}
    reader = kind(first[1])
    for t_ns, levels in rest:
        reader.take(t_ns, levels)
    reader.finish(end_ns)
    return dict(reader.found)


class _LensReader(EdgeReader):
    """Finds the delays of `DELAYS`."""

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        self.by_lens = False
        self.clocks = 0
        self.waking = False
        self.slept_ns: int | None = None
        self.body_up_ns: int | None = None
        self.body_down_ns: int | None = None
        self.lens_up_ns: int | None = None
        self.lens_down_ns: int | None = None
        self.rise_ns = 0
        self.acknowledged = False
        self.data_ns: int | None = None

    def take(self, t_ns: int, levels: int) -> None:
        before, self.levels = self.levels, levels
        changed = before ^ levels
        if changed & _SLEEP:
            self._sleep(t_ns, levels)
        if changed & _DATA and self.by_lens and levels & _BODY_ACK and not changed & levels & _CLK:
            self._data(t_ns, levels)
        if changed & levels & _CLK and levels & _BODY_ACK:
            self._clock(t_ns)
        if changed & ~levels & _BODY_ACK:
            if changed & ~levels & _LENS_ACK and not self.by_lens and t_ns - self.rise_ns < GIVEN_UP_NS:
                self._lens_falls(t_ns, levels | _BODY_ACK)
                changed, before = changed & ~_LENS_ACK, before & ~_LENS_ACK
            self._body_falls(t_ns, before)
        if changed & _LENS_ACK:
            (self._lens_rises if levels & _LENS_ACK else self._lens_falls)(t_ns, levels)
        if changed & levels & _BODY_ACK:
            self._body_rises(t_ns, before)

    def _sleep(self, t_ns: int, levels: int) -> None:
        self.waking = bool(levels & _SLEEP)
        self.slept_ns = None if self.waking else t_ns
        if not self.waking and not levels & _LENS_ACK:
            self.note("asleep", t_ns, t_ns)
            self.slept_ns = None
        self.body_up_ns = self.body_down_ns = self.lens_up_ns = self.lens_down_ns = None

    def _data(self, t_ns: int, levels: int) -> None:
        """Take a change of DATA; one in the same sample as an edge of CLK may have come on its right side."""
        if not levels & _CLK:
            self.data_ns = t_ns
        elif 0 < self.clocks < BITS_PER_BYTE:
            self.note("late data", self.rise_ns, t_ns)

    def _clock(self, t_ns: int) -> None:
        self.clocks += 1
        if not self.by_lens and self.clocks > 1 and self.clocks % BITS_PER_BYTE == 1 and not self.acknowledged:
            self.note("unacknowledged", self.rise_ns, t_ns)
        self.acknowledged = False
        self.rise_ns = t_ns
        self.lens_down_ns = None if not self.by_lens else self.lens_down_ns
        if self.by_lens and self.data_ns is not None:
            self.note("set-up", self.data_ns, t_ns)
        self.data_ns = None

    def _body_rises(self, t_ns: int, before: int) -> None:
        self.by_lens = bool(before & _LENS_ACK)
        self.body_up_ns, self.clocks, self.data_ns = t_ns, 0, None
        self.body_down_ns = None
        if not self.by_lens:
            self.lens_up_ns = self.lens_down_ns = None

    def _body_falls(self, t_ns: int, before: int) -> None:
        if not self.by_lens and not self.clocks and self.lens_up_ns is None:
            self.note("no wake pulse" if self.waking else "unanswered", self.body_up_ns, t_ns)
        elif not self.by_lens and self.clocks and not self.clocks % BITS_PER_BYTE and not self.acknowledged:
            self.note("unacknowledged", self.rise_ns, t_ns)
        if not self.by_lens and self.clocks and not before & _LENS_ACK:
            self.note("hand-over", self.lens_down_ns, t_ns)
        elif not self.by_lens and self.acknowledged:
            self.note("hand-over undone", self.rise_ns, t_ns)
        self.body_down_ns = t_ns
        self.waking = self.waking and self.body_up_ns is None
        self.lens_down_ns = None

    def _lens_rises(self, t_ns: int, levels: int) -> None:
        self.lens_up_ns = t_ns
        if not levels & _BODY_ACK:
            self._lens_rises_alone(t_ns, levels)
        elif not self.by_lens and not self.clocks:
            self.note("wake" if self.waking else "attention", self.body_up_ns, t_ns)
        elif not self.by_lens and self.lens_down_ns is not None:
            self.note("acknowledge low", self.lens_down_ns, t_ns)
            self.note("acknowledge over", self.rise_ns, t_ns)

    def _lens_rises_alone(self, t_ns: int, levels: int) -> None:
        if self.waking and levels & _SLEEP:
            self.note("early", t_ns, t_ns)
        elif self.lens_down_ns is not None:
            self.note("reply", self.lens_down_ns, t_ns)
        else:
            self.note("ready", self.body_down_ns, t_ns)
        self.lens_down_ns = None

    def _lens_falls(self, t_ns: int, levels: int) -> None:
        self.lens_down_ns = t_ns
        if not levels & _SLEEP:
            self.note("asleep", self.slept_ns, t_ns)
            self.slept_ns = None
        elif not levels & _BODY_ACK:
            self.note("release", self.body_down_ns if self.by_lens else None, t_ns)
        elif self.by_lens:
            self.note("too early", t_ns, t_ns)
        elif not self.clocks:
            self.note("wake pulse" if self.waking else "busy", self.lens_up_ns, t_ns)
        elif self.clocks % BITS_PER_BYTE:
            self.note("too few clocks", t_ns, t_ns)
            self.clocks += -self.clocks % BITS_PER_BYTE
            self.acknowledged = True
        else:
            self.note("acknowledge", self.rise_ns, t_ns)
            self.acknowledged = True

    def finish(self, end_ns: int) -> None:
        """Tell what a body waits for in vain to the end of a recording."""
        if not self.levels & _BODY_ACK or self.by_lens or self.body_up_ns is None:
            return
        whole = self.clocks and not self.clocks % BITS_PER_BYTE
        if not self.clocks and self.lens_up_ns is None and end_ns - self.body_up_ns > GIVEN_UP_NS:
            self.note("no wake pulse" if self.waking else "unanswered", self.body_up_ns, end_ns)
        elif whole and not self.acknowledged and end_ns - self.rise_ns > GIVEN_UP_NS:
            self.note("unacknowledged", self.rise_ns, end_ns)


def spans_of(changes: Iterable[tuple[int, int]], end_ns: int = 0) -> Mapping[str, Sequence[Span]]:
    """Return every delay by its name in `DELAYS`; a name that did not occur has no entry.

    Args:
        changes: time and new levels of all lines; the first tells the levels at the start.
        end_ns: when the recording ends.
    """
    return read_edges(_LensReader, changes, end_ns)
