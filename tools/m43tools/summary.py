"""What a capture holds in figures: counts, wrong sums, poll rate, identity, gaps."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from m43drivers.bulk.columns import PIN_EVENTS
from m43proto.connection import UNKNOWN
from m43proto.events import MessageSeen, PinEventSeen, Violation
from m43proto.evidence import Evidence
from m43proto.messages import Identify, Status
from m43proto.records import record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from m43drivers.bulk.columns import Stretch
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43tools.render.bulk import Shown

__all__ = ["GAPS_SHOWN", "Gap", "Polling", "Summary"]

GAPS_SHOWN = 3
"""How many of the shortest and of the longest gaps are kept."""

POLLS_KEPT = 1 << 14
"""How many polls the pace of a live source is taken from."""

_STATUS, _IDENTIFY = (int.from_bytes(kind.spec.opcode, "big") for kind in (Status, Identify))


class Gap(NamedTuple):
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


@record(frozen=True, slots=True)
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
        detailed: whether polls, gaps and the time within transactions are wanted of stretches, too.
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

    end_ns: int = 0
    detailed: bool = True
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
    _polls_ns: array[int] = field(default_factory=lambda: array("q"))
    _first: tuple[int, str] | None = None
    _previous: tuple[int, str] | None = None

    @property
    def findings(self) -> bool:
        """Whether anything was wrong."""
        return bool(self.command_sums_wrong or self.data_sums_wrong or self.violations)

    @property
    def polling(self) -> Polling | None:
        """The pace of the status polls, or None."""
        from statistics import median

        periods = [later - earlier for earlier, later in pairwise(self._polls_ns)]
        return Polling(1e9 / median(periods), min(periods), max(periods)) if periods else None

    def forget_polls(self, most: int = POLLS_KEPT) -> None:
        """Keep the times of the last polls only, so that a stream without an end takes no more and more memory."""
        if len(self._polls_ns) > 2 * most:
            del self._polls_ns[:-most]

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
        self._add_rest(event.t_ns, event.name)
        self._previous = (event.end_ns, event.name)

    def add_stretch(self, shown: Shown, catalogue: Catalogue) -> None:
        """Count what is shown of a stretch of regular traffic."""
        stretch, some = shown.stretch, shown.transactions
        for number, count in zip(*_counted(stretch.pins.kinds[shown.pins]), strict=True):
            self.pin_events[PIN_EVENTS[number]] += count
        if not some.size:
            return
        opcodes = stretch.opcodes[some]
        command_ok, data_ok = stretch.command_sums_ok[some], stretch.data_sums_ok[some]
        self.command_sums_wrong += int((~command_ok).sum())
        self.data_sums_wrong += int((~data_ok).sum())
        names: dict[int, str] = {}
        for opcode, count in zip(*_counted(opcodes), strict=True):
            kind = catalogue.find(opcode.to_bytes(2, "big"))
            name = names[opcode] = kind.spec.name if kind else UNKNOWN
            self.messages[name] += count
            self.evidence[name] = kind.spec.evidence if kind else Evidence.UNKNOWN
            self.wrong[name] += int((~(command_ok & data_ok) & (opcodes == opcode)).sum())
        if self.detailed:
            self._add_columns(stretch, some, opcodes, names)
        for index in some[opcodes == _IDENTIFY].tolist():
            if self._is_news(message := stretch.message_at(index, catalogue)):
                self.identities.append(message)

    def _add_columns(
        self, stretch: Stretch, some: NDArray[np.int64], opcodes: NDArray[np.uint16], names: dict[int, str]
    ) -> None:
        starts, ends = stretch.t_ns[some], stretch.end_ns[some]
        self.busy_ns += int((ends - starts).sum())
        self._polls_ns.extend(starts[opcodes == _STATUS].tolist())
        if self._first is None:
            self._first = (int(starts[0]), names[int(opcodes[0])])
        before_ns, before = self._previous or (int(starts[0]), "")
        rests = starts - np.concatenate([[before_ns], ends[:-1]])
        order = np.argsort(rests, kind="stable")
        order = order if self._previous else order[order != 0]
        for at in sorted({*order[:GAPS_SHOWN].tolist(), *order[-GAPS_SHOWN:].tolist()}):
            end_ns, name = (int(ends[at - 1]), names[int(opcodes[at - 1])]) if at else (before_ns, before)
            self._add_gap(Gap(int(rests[at]), end_ns, name, names[int(opcodes[at])]))
        self._previous = (int(ends[-1]), names[int(opcodes[-1])])

    def join(self, later: Summary) -> None:
        """Take the figures of the part of the capture that follows."""
        for mine, its in (
            (self.messages, later.messages),
            (self.wrong, later.wrong),
            (self.violations, later.violations),
            (self.pin_events, later.pin_events),
        ):
            mine.update(its)
        self.evidence.update(later.evidence)
        self.command_sums_wrong += later.command_sums_wrong
        self.data_sums_wrong += later.data_sums_wrong
        self.incomplete += later.incomplete
        self.busy_ns += later.busy_ns
        self.identities += [one for one in later.identities if self._is_news(one)]
        self._polls_ns.extend(later._polls_ns)
        if later._first is not None:
            self._add_rest(*later._first)
        for gap in dict.fromkeys([*later.shortest_gaps, *later.longest_gaps]):
            self._add_gap(gap)
        self._previous = later._previous or self._previous
        self.end_ns = max(self.end_ns, later.end_ns)

    def _is_news(self, event: MessageSeen) -> bool:
        known = self.identities[-1].transaction.data if self.identities else None
        return event.transaction.complete and event.transaction.sums_ok and event.transaction.data != known

    def _add_rest(self, t_ns: int, name: str) -> None:
        """Take note of the gap before a transaction, or that it is the first."""
        if self._previous is None:
            self._first = (t_ns, name)
        else:
            end_ns, before = self._previous
            self._add_gap(Gap(t_ns - end_ns, end_ns, before, name))

    def _add_gap(self, gap: Gap) -> None:
        self.shortest_gaps = heapq.nsmallest(GAPS_SHOWN, [*self.shortest_gaps, gap])
        self.longest_gaps = heapq.nlargest(GAPS_SHOWN, [*self.longest_gaps, gap])


def _counted(numbers: NDArray[Any]) -> tuple[list[int], list[int]]:
    """Return the distinct numbers in the order in which they first come, and how often each does."""
    found, first, counts = np.unique(numbers, return_index=True, return_counts=True)
    order = np.argsort(first)
    return found[order].tolist(), counts[order].tolist()
