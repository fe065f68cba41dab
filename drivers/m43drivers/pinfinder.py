"""Finds the lines of the mount among unnamed channels, from the traffic alone (``--pins auto``).

CLK is one of the busiest channels; DATA is the one that, clocked by it, gives commands whose sums are right; BODY_ACK
is the one whose highs cut the same bytes into the same transactions. The engine itself is the judge of that, so a
finding says how many sums were right. LENS_ACK is the one that is high before each lone byte of the lens, and low
before the body speaks. SHUTTER, FOCUS and SLEEP say nothing that could be checked: they go by their patterns, and are
called likely at best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.model import Capture, CaptureError, Channel
from m43drivers.observe import bursts_of, observe
from m43proto.events import TransactionSeen, Violation
from m43proto.messages import PUBLIC
from m43proto.pins import Line, Role
from m43proto.records import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from m43proto.events import Event

__all__ = ["Finding", "find_lines"]

CLOCK_CANDIDATES = 4
"""How many of the busiest channels are tried as CLK."""

SURE_SUMS = 4
"""Right sums that make a finding sure: one byte that fits by accident has odds of 1 to 256, four of 1 to 4 billion."""

_JUDGED_CLOCKS = 16_000
_JUDGED_TRANSACTIONS = 40
_WRONG_WEIGHT = 4
_ALIKE = 0.9
_CHECKED = (Line.CLK, Line.DATA, Line.BODY_ACK, Line.LENS_ACK)


@record(frozen=True, slots=True)
class Finding:
    """Which channel is which line, and how sure that is.

    Attributes:
        mapping: the lines that were found.
        right: sums that came out right in the part of the capture that was judged.
        wrong: sums and transactions that did not.
        likely: the lines that were told by their pattern only.
    """

    mapping: Mapping[Line, Channel]
    right: int
    wrong: int
    likely: tuple[Line, ...]

    @property
    def sure(self) -> bool:
        """Whether accident is ruled out for the lines that sums can check."""
        return self.right >= SURE_SUMS and self.right > _WRONG_WEIGHT * self.wrong

    @property
    def request(self) -> str:
        """The finding as an argument of ``--pins``."""
        return ",".join(f"{line}={channel.name}" for line, channel in self.mapping.items())

    def __str__(self) -> str:
        """One line for a person."""
        checked = ", ".join(line for line in _CHECKED if line in self.mapping)
        missing = ", ".join(line for line in _CHECKED if line not in self.mapping)
        verdict = "sure" if self.sure else "NOT sure"
        parts = [f"{self.request} - {checked}: {verdict}, {self.right} of {self.right + self.wrong} sums right"]
        parts += [f"{', '.join(self.likely)}: likely, by pattern"] if self.likely else []
        parts += [f"{missing}: not found"] if missing else []
        return "; ".join(parts)


@record(frozen=True, slots=True)
class _Trial:
    """One mapping under judgement; trials compare by their score."""

    mapping: dict[Line, Channel]
    right: int
    wrong: int
    transactions: int
    end_ns: int

    @property
    def score(self) -> int:
        return self.right - _WRONG_WEIGHT * self.wrong


def find_lines(capture: Capture) -> Finding:
    """Find the lines of the mount among the channels of a capture, whatever they are called.

    Raises:
        CaptureError: no two channels carry traffic of the mount.
    """
    active = [channel for channel in capture.channels if channel.edges_ns.size]
    bare = _best(_bare_trials(capture, active))
    if bare is None or not bare.right:
        raise CaptureError(
            capture.provenance.path,
            f"--pins auto: no two of its {len(active)} active channels carry traffic of the mount (no sum is right)",
        )
    acked = _best(_acked_trials(capture, bare, _others(active, bare.mapping)))
    found = acked if acked is not None and acked.score >= _ALIKE * bare.score else bare
    answering = _lens_ack(found, _others(active, found.mapping)) if found is acked else {}
    mapping = {**found.mapping, **answering}
    frame = _frame_lines(_others(active, mapping), found)
    return Finding({**mapping, **frame}, found.right, found.wrong, tuple(frame))


def _best(trials: Iterable[_Trial]) -> _Trial | None:
    return max(trials, key=lambda trial: trial.score, default=None)


def _others(channels: Sequence[Channel], mapping: Mapping[Line, Channel]) -> list[Channel]:
    used = {id(channel) for channel in mapping.values()}
    return [channel for channel in channels if id(channel) not in used]


def _bare_trials(capture: Capture, active: Sequence[Channel]) -> Iterable[_Trial]:
    busiest = sorted(active, key=lambda channel: channel.edges_ns.size, reverse=True)[:CLOCK_CANDIDATES]
    for clock in busiest:
        edges = clock.edges_ns
        end_ns = int(edges[min(_JUDGED_CLOCKS, edges.size) - 1])
        for data in active:
            if data is not clock:
                yield _judge(capture, {Line.CLK: clock, Line.DATA: data}, end_ns)


def _acked_trials(capture: Capture, bare: _Trial, rest: Sequence[Channel]) -> Iterable[_Trial]:
    for body_ack in rest:
        yield _judge(capture, {**bare.mapping, Line.BODY_ACK: body_ack}, bare.end_ns)


def _lens_ack(found: _Trial, rest: Sequence[Channel]) -> dict[Line, Channel]:
    """Find LENS_ACK by who opens each burst: the lens those of one byte, the body the longer ones."""
    agreeing = {index: _openings(found, channel) for index, channel in enumerate(rest)}
    best = max(agreeing, key=lambda index: agreeing[index], default=None)
    return {} if best is None or agreeing[best] < _ALIKE else {Line.LENS_ACK: rest[best]}


def _openings(found: _Trial, lens_ack: Channel) -> float:
    """Return the share of bursts that this channel, as LENS_ACK, lets the right side open: the worse of both sides."""
    mapping = {line: _until(channel, found.end_ns) for line, channel in found.mapping.items()}
    mapping[Line.LENS_ACK] = _until(lens_ack, found.end_ns)
    bursts = [burst for burst in bursts_of(mapping) if burst.bytes]
    lone = [burst.opened_by is Role.LENS for burst in bursts if len(burst.bytes) == 1]
    long = [burst.opened_by is Role.BODY for burst in bursts if len(burst.bytes) > 1]
    return min(sum(right) / max(len(right), 1) for right in (lone, long))


def _judge(capture: Capture, mapping: dict[Line, Channel], end_ns: int) -> _Trial:
    """Let the engine decode the beginning of a capture and count its verdicts."""
    beginning = {line: _until(channel, end_ns) for line, channel in mapping.items()}
    cut = Capture(tuple(beginning.values()), end_ns, capture.sample_rate_hz, capture.provenance)
    right = wrong = transactions = 0
    for event in observe(cut, beginning, PUBLIC):
        good, bad = _verdicts(event)
        right, wrong = right + good, wrong + bad
        transactions += isinstance(event, TransactionSeen)
        if transactions == _JUDGED_TRANSACTIONS:
            return _Trial(mapping, right, wrong, transactions, min(end_ns, event.end_ns))
    return _Trial(mapping, right, wrong, transactions, end_ns)


def _verdicts(event: Event) -> tuple[int, int]:
    if isinstance(event, TransactionSeen):
        verdicts = (event.command_sum_ok, event.data_sum_ok)
        return verdicts.count(True), verdicts.count(False)
    return 0, int(isinstance(event, Violation))


def _until(channel: Channel, end_ns: int) -> Channel:
    kept = int(np.searchsorted(channel.edges_ns, end_ns, side="right"))
    return Channel(channel.name, channel.initial, channel.edges_ns[:kept], channel.aliases)


def _frame_lines(rest: Sequence[Channel], found: _Trial) -> dict[Line, Channel]:
    """Tell SLEEP, FOCUS and SHUTTER by their patterns; a pattern that two channels show tells nothing."""
    slow = [channel for channel in rest if _until(channel, found.end_ns).edges_ns.size <= 4 * found.transactions]
    fitting = {line: [channel for channel in slow if fits(channel)] for line, fits in _PATTERNS.items()}
    return {line: channels[0] for line, channels in fitting.items() if len(channels) == 1}


def _high_share(channel: Channel) -> float:
    """Return the share of the time between its first and last edge that a channel is high."""
    spans = np.diff(channel.edges_ns)
    first_high = 0 if channel.initial == 0 else 1
    return float(spans[first_high::2].sum() / spans.sum()) if spans.size else 0.0


def _like_sleep(channel: Channel) -> bool:
    """Rises once, and falls at most once more."""
    return channel.initial == 0 and channel.edges_ns.size <= 2


def _like_focus(channel: Channel) -> bool:
    """Toggles at a steady pace."""
    return channel.edges_ns.size >= 3 and 0.3 < _high_share(channel) < 0.7


def _like_shutter(channel: Channel) -> bool:
    """Is low but for short pulses."""
    return channel.edges_ns.size >= 4 and _high_share(channel) < 0.2


_PATTERNS = {Line.SLEEP: _like_sleep, Line.FOCUS: _like_focus, Line.SHUTTER: _like_shutter}
