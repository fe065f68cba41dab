"""Finds the lines of the mount among unnamed channels, from the traffic alone (``--pins auto``).

CLK is one of the busiest channels; DATA is the one that, clocked by it, gives commands whose sums are right; the two
ack lines are the pair under whose handshake the same transactions come out whole and every byte has the sender that
its turn demands. The engine itself is the judge of all that, so a finding says how many sums were right. SHUTTER,
FOCUS and SLEEP say nothing that a sum could check: they go by their patterns, and are called likely at best.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.model import Capture, CaptureError, Channel
from m43drivers.observe import observe
from m43proto.events import TransactionSeen, Violation
from m43proto.messages import PUBLIC
from m43proto.pins import Line

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


@dataclass(frozen=True, slots=True)
class Finding:
    """Which channel is which line, and how sure that is.

    Attributes:
        mapping: the lines that were found.
        right: sums that came out right in the part of the capture that was judged.
        wrong: sums and transactions that did not.
        handshaken: whether the ack lines were found.
        likely: the lines that were told by their pattern only.
    """

    mapping: Mapping[Line, Channel]
    right: int
    wrong: int
    handshaken: bool
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
        checked = "CLK, DATA and the ack lines" if self.handshaken else "CLK and DATA (no ack lines found)"
        verdict = "sure" if self.sure else "NOT sure"
        text = f"{self.request} - {checked}: {verdict}, {self.right} of {self.right + self.wrong} sums right"
        return f"{text}; {', '.join(self.likely)}: likely, by pattern" if self.likely else text


@dataclass(frozen=True, slots=True)
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
    rest = _others(active, bare.mapping)
    acked = _best(_acked_trials(capture, bare, rest))
    found = acked if acked is not None and acked.score >= bare.score * 0.9 else bare
    frame = _frame_lines(_others(active, found.mapping), found)
    return Finding({**found.mapping, **frame}, found.right, found.wrong, found is acked, tuple(frame))


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
    for body_ack, lens_ack in permutations(rest, 2):
        mapping = {**bare.mapping, Line.BODY_ACK: body_ack, Line.LENS_ACK: lens_ack}
        yield _judge(capture, mapping, bare.end_ns)


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
