"""What a case judges: the traffic of a stimulus, or of a capture, as the observing engine tells it."""

from __future__ import annotations

import bisect
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from m43proto.connection import Connection
from m43proto.events import ByteSeen, MessageSeen, PinEvent, PinEventSeen, TransactionSeen, Violation
from m43proto.messages import PUBLIC, Drive, Identify, Status
from m43proto.pins import LINES, Line
from m43tools.conformance.body_timings import body_spans_of
from m43tools.conformance.model import Edge, Exchange, Moment
from m43tools.conformance.operations import PowerUp
from m43tools.conformance.timings import spans_of
from m43tools.render.glyphs import ASCII
from m43tools.render.records import event_name, record_of
from m43tools.render.values import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43proto.schema import Message
    from m43proto.shapes import Shape
    from m43tools.conformance.operations import Operation, Recording, Step
    from m43tools.conformance.timings import Span

__all__ = ["MOST_EDGES", "Ask", "Trace"]

T = TypeVar("T")

MOST_EDGES = 600
"""Edges that an exchange keeps; more than a whole status transaction has."""

_KINDS: dict[type, str] = {
    MessageSeen: "message",
    PinEventSeen: "pin",
    Violation: "violation",
}


class Ask:
    """A message with the drive that was sent last before it.

    Attributes:
        seen: the drive.
        drive: its fields.
        statuses: the statuses behind it, up to the next drive.
    """

    def __init__(self, seen: MessageSeen, drive: Drive, statuses: Sequence[MessageSeen]) -> None:
        self.seen = seen
        self.drive = drive
        self.statuses = statuses


class Trace:
    """Traffic to judge.

    Args:
        recording: the changes of the lines, and what the bench did.
        catalogue: the messages to know.
    """

    def __init__(self, recording: Recording, catalogue: Catalogue = PUBLIC) -> None:
        self.catalogue = catalogue
        self.changes = recording.changes
        self.end_ns = recording.end_ns
        self.lines = frozenset(recording.lines)
        self.steps: Sequence[Step] = recording.steps
        self.live = bool(recording.steps)
        self.gaps_ns = recording.gaps_ns
        connection = Connection(catalogue=catalogue, lines=recording.lines)
        for t_ns, levels in recording.changes:
            connection.receive_levels(t_ns, levels)
        connection.receive_end(recording.end_ns)
        self.events: tuple[Event, ...] = tuple(
            event for event in connection.events() if not isinstance(event, ByteSeen)
        )

    def of(self, kind: type[T]) -> list[T]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @cached_property
    def messages(self) -> list[MessageSeen]:
        """Return every transaction, named and decoded."""
        return self.of(MessageSeen)

    @cached_property
    def whole(self) -> list[MessageSeen]:
        """Return the transactions that came to their end."""
        return [event for event in self.messages if event.transaction.complete]

    @cached_property
    def violations(self) -> list[Violation]:
        """Return what fits no transaction."""
        return self.of(Violation)

    def named(self, *kinds: type[Message]) -> list[MessageSeen]:
        """Return the whole transactions of some messages, whatever they hold."""
        return [event for event in self.whole if event.kind in kinds]

    @cached_property
    def statuses(self) -> list[MessageSeen]:
        """Return the statuses that could be read."""
        return [event for event in self.named(Status) if isinstance(event.message, Status)]

    @cached_property
    def identities(self) -> list[MessageSeen]:
        """Return the identities that could be read."""
        return [event for event in self.named(Identify) if isinstance(event.message, Identify)]

    @cached_property
    def drives(self) -> list[Ask]:
        """Return the drives, with the statuses behind each."""
        sent = [(event, event.message) for event in self.named(Drive) if isinstance(event.message, Drive)]
        asks = []
        for index, (seen, drive) in enumerate(sent):
            until_ns = sent[index + 1][0].t_ns if index + 1 < len(sent) else self.end_ns + 1
            behind = [status for status in self.statuses if seen.end_ns < status.t_ns < until_ns]
            asks.append(Ask(seen, drive, behind))
        return asks

    def shaped(self, *shapes: Shape) -> list[TransactionSeen]:
        """Return the whole transactions of some shapes."""
        return [event.transaction for event in self.whole if event.transaction.shape in shapes]

    def pins(self, event: PinEvent) -> list[PinEventSeen]:
        """Return what happened on single lines."""
        return [seen for seen in self.of(PinEventSeen) if seen.event is event]

    @cached_property
    def spans(self) -> Mapping[str, Sequence[Span]]:
        """Return the delays of the handshake by name; nothing where an ack line was not recorded."""
        return spans_of(self.changes, self.end_ns) if {Line.BODY_ACK, Line.LENS_ACK} <= self.lines else {}

    @cached_property
    def body_spans(self) -> Mapping[str, Sequence[Span]]:
        """Return what the body did at each step by name; nothing where an ack line was not recorded."""
        return body_spans_of(self.changes) if {Line.BODY_ACK, Line.LENS_ACK} <= self.lines else {}

    def did(self, *kinds: type[Operation]) -> list[Step]:
        """Return what the bench did of some kinds; nothing in a capture."""
        return [step for step in self.steps if isinstance(step.operation, kinds)]

    @cached_property
    def sessions(self) -> list[tuple[int, int]]:
        """Return from when to when the lens was awake, by SLEEP, or by the whole where SLEEP was not recorded."""
        ups = [seen.t_ns for seen in self.pins(PinEvent.POWER_UP)]
        downs = [seen.t_ns for seen in self.pins(PinEvent.POWER_DOWN)]
        return [(up, next((down for down in downs if down > up), self.end_ns)) for up in ups]

    @cached_property
    def _times(self) -> list[int]:
        return [t_ns for t_ns, _ in self.changes]

    def levels_at(self, t_ns: int) -> int:
        """Return the levels of all lines just behind a time."""
        at = bisect.bisect_right(self._times, t_ns) - 1
        return self.changes[max(at, 0)][1]

    def edges_between(self, start_ns: int, end_ns: int) -> Iterator[Edge]:
        """Yield the changes of single lines behind the first time, up to the second."""
        first = max(bisect.bisect_right(self._times, start_ns), 1)
        last = bisect.bisect_right(self._times, end_ns)
        for (_, before), (t_ns, levels) in pairwise(self.changes[first - 1 : last]):
            for line in LINES:
                if (before ^ levels) & line.mask and line in self.lines:
                    yield Edge(t_ns, str(line), int(bool(levels & line.mask)))

    def exchange(self, start_ns: int, end_ns: int) -> Exchange:
        """Return what was said and how the lines moved from one time to another."""
        moments = [
            _moment(event)
            for event in self.events
            if event.end_ns >= start_ns and event.t_ns <= end_ns and _told(event)
        ]
        moments += [
            Moment(step.t_ns, step.end_ns, "bench", type(step.operation).__name__, str(step.operation))
            for step in self.steps
            if step.end_ns >= start_ns and step.t_ns <= end_ns
        ]
        edges = list(self.edges_between(start_ns, end_ns))
        levels = self.levels_at(start_ns)
        initial = {str(line): int(bool(levels & line.mask)) for line in LINES if line in self.lines}
        ordered = tuple(sorted(moments, key=lambda moment: (moment.t_ns, moment.end_ns)))
        kept = tuple(edges[:MOST_EDGES])
        return Exchange(start_ns, end_ns, ordered, initial, kept, len(edges) - len(kept))

    @cached_property
    def _edges(self) -> Mapping[tuple[Line, bool], list[int]]:
        """Return the times at which each ack line, and SLEEP, rose and fell."""
        found: dict[tuple[Line, bool], list[int]] = {
            (line, high): [] for line in (Line.BODY_ACK, Line.LENS_ACK, Line.SLEEP) for high in (True, False)
        }
        for (_, before), (t_ns, levels) in pairwise(self.changes):
            for line in (Line.BODY_ACK, Line.LENS_ACK, Line.SLEEP):
                if (before ^ levels) & line.mask:
                    found[line, bool(levels & line.mask)].append(t_ns)
        return found

    def next_edge(self, line: Line, t_ns: int, *, high: bool) -> int:
        """Return when an ack line, or SLEEP, next rose or fell behind a time; behind the end where it did not."""
        times = self._edges[line, high]
        at = bisect.bisect_right(times, t_ns)
        return times[at] if at < len(times) else self.end_ns + 1

    def offers_more(self, transaction: TransactionSeen) -> bool:
        """Tell whether LENS_ACK rose behind a transaction before the body asked for attention again."""
        if not {Line.BODY_ACK, Line.LENS_ACK} <= self.lines:
            return False
        down_ns = self.next_edge(Line.BODY_ACK, transaction.end_ns, high=False)
        up_ns = self.next_edge(Line.BODY_ACK, down_ns, high=True)
        said_ns = self.next_edge(Line.LENS_ACK, down_ns, high=True)
        return said_ns < up_ns and said_ns < self.asleep_ns(down_ns)

    def asleep_ns(self, t_ns: int) -> int:
        """Return when SLEEP next fell behind a time."""
        return self.next_edge(Line.SLEEP, t_ns, high=False)

    @property
    def woke(self) -> bool:
        """Whether the bench saw a wake pulse each time it looked for one."""
        return all(step.done for step in self.did(PowerUp))


def _told(event: Event) -> bool:
    """Tell whether an exchange shows an event: a transaction stands there as the message that it is."""
    return not isinstance(event, TransactionSeen)


def _moment(event: Event) -> Moment:
    kind = _KINDS.get(type(event), "fragment")
    name = str(event.cause) if isinstance(event, Violation) else event_name(event) or kind
    return Moment(event.t_ns, event.end_ns, kind, name, _text(event), record_of(event))


def _text(event: Event) -> str:
    if isinstance(event, MessageSeen):
        return "  ".join(decoded(event, ASCII, raw=False))
    return event.detail if isinstance(event, Violation) else ""
