"""What a capture holds in figures: counts, wrong sums, poll rate, identity, gaps."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from m43proto.events import MessageSeen, PinEventSeen, Violation
from m43proto.messages import Identify, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from m43proto.events import Event
    from m43proto.evidence import Evidence

__all__ = ["GAPS_SHOWN", "Gap", "Polling", "Summary"]

GAPS_SHOWN = 3
"""How many of the shortest and of the longest gaps are kept."""


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """The rest between two transactions.

    Attributes:
        length_ns: from the end of the one to the start of the other.
        t_ns: when it began.
        before: the message before it.
        after: the message behind it.
    """

    length_ns: int
    t_ns: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Polling:
    """The pace of the status polls; None of it exists for fewer than two polls.

    Attributes:
        rate_hz: one over the median period.
        shortest_ns: shortest period.
        longest_ns: longest period.
    """

    rate_hz: float
    shortest_ns: int
    longest_ns: int


@dataclass(slots=True)
class Summary:
    """Figures of the events that it has watched.

    Attributes:
        end_ns: length of the capture.
        messages: transactions by message name.
        evidence: how sure each of these messages is.
        wrong: transactions with a wrong sum, by message name.
        command_sums_wrong: how many sums of commands were wrong.
        data_sums_wrong: how many sums of blocks were wrong.
        incomplete: transactions that broke off.
        violations: violations by cause.
        pin_events: pin events by name.
        identities: the identities that lenses gave, in order, without repetition.
        busy_ns: time within transactions.
        shortest_gaps: where the bus was busiest, shortest first.
        longest_gaps: where it rested, longest first.
    """

    end_ns: int
    messages: Counter[str] = field(default_factory=Counter)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    command_sums_wrong: int = 0
    data_sums_wrong: int = 0
    incomplete: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    pin_events: Counter[str] = field(default_factory=Counter)
    identities: list[MessageSeen] = field(default_factory=list)
    busy_ns: int = 0
    shortest_gaps: list[Gap] = field(default_factory=list)
    longest_gaps: list[Gap] = field(default_factory=list)
    _polls_ns: list[int] = field(default_factory=list)
    _previous: MessageSeen | None = None

    @property
    def findings(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.command_sums_wrong or self.data_sums_wrong or self.violations)

    @property
    def polling(self) -> Polling | None:
        """The pace of the status polls, or None."""
        periods = [later - earlier for earlier, later in pairwise(self._polls_ns)]
        return Polling(1e9 / median(periods), min(periods), max(periods)) if periods else None

    def watch(self, events: Iterable[Event]) -> Iterator[Event]:
        """Yield the events, and count them as they pass."""
        for event in events:
            self.add(event)
            yield event

    def add(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, MessageSeen):
            self._add_message(event)
        elif isinstance(event, Violation):
            self.violations[event.cause] += 1
        elif isinstance(event, PinEventSeen):
            self.pin_events[event.event] += 1

    def _add_message(self, event: MessageSeen) -> None:
        transaction = event.transaction
        self.messages[event.name] += 1
        self.evidence[event.name] = event.evidence
        self.command_sums_wrong += transaction.command_sum_ok is False
        self.data_sums_wrong += transaction.data_sum_ok is False
        self.wrong[event.name] += not transaction.sums_ok
        self.incomplete += not transaction.complete
        self.busy_ns += event.end_ns - event.t_ns
        if transaction.command[:2] == Status.spec.opcode:
            self._polls_ns.append(event.t_ns)
        if transaction.command[:2] == Identify.spec.opcode and self._is_news(event):
            self.identities.append(event)
        if self._previous is not None:
            self._add_gap(self._previous, event)
        self._previous = event

    def _is_news(self, event: MessageSeen) -> bool:
        known = self.identities[-1].transaction.data if self.identities else None
        return event.transaction.complete and event.transaction.sums_ok and event.transaction.data != known

    def _add_gap(self, before: MessageSeen, after: MessageSeen) -> None:
        gap = Gap(after.t_ns - before.end_ns, before.end_ns, before.name, after.name)
        self.shortest_gaps = heapq.nsmallest(GAPS_SHOWN, [*self.shortest_gaps, gap])
        self.longest_gaps = heapq.nlargest(GAPS_SHOWN, [*self.longest_gaps, gap])
