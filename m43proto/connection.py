"""The engine: levels of the lines in, events out; no I/O, no clock.

``Connection`` observes: it takes part in nothing and names what body and lens say to each other. Feed it every change
of the lines with `receive_levels` and take what it saw with `next_event`::

    connection = Connection(catalogue=PUBLIC | PROVISIONAL)
    for t_ns, levels in changes:
        connection.receive_levels(t_ns, levels)
    connection.receive_end(t_ns)
    for event in connection.events():
        ...
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from m43proto.bare import BareFramer
from m43proto.events import Event, MessageSeen, TransactionSeen
from m43proto.evidence import Evidence
from m43proto.framing import Framer
from m43proto.messages import PUBLIC
from m43proto.phy import PinDecoder
from m43proto.pins import LINES, Line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from m43proto.catalogue import Catalogue

__all__ = ["UNKNOWN", "Connection", "read_message"]

UNKNOWN = "Unknown"
"""The name of a message whose opcode the catalogue has not."""


class Connection:
    """An observer of one mount.

    Args:
        catalogue: the messages that it knows.
        lines: the lines that the levels really hold. CLK and DATA are needed. BODY_ACK tells who speaks and where a
            command begins; without it, the message table and the sums must. LENS_ACK tells where clocks went astray.

    Raises:
        ValueError: CLK or DATA is not among the lines.
    """

    def __init__(self, *, catalogue: Catalogue = PUBLIC, lines: Collection[Line] = LINES) -> None:
        if not {Line.CLK, Line.DATA} <= set(lines):
            raise ValueError("an observer needs CLK and DATA")
        self.catalogue = catalogue
        self._decoder = PinDecoder(lines)
        framer = Framer if self._decoder.in_bursts else BareFramer
        self._framer = framer(catalogue.shape_of)
        self._events: deque[Event] = deque()

    def receive_levels(self, t_ns: int, levels: int) -> None:
        """Take the levels of all lines from `t_ns` on.

        Args:
            t_ns: nanoseconds from the start of the traffic; never decreasing.
            levels: one bit per line, in the order of `LINES`; simultaneous changes in one call.
        """
        for signal in self._decoder.receive(t_ns, levels):
            self._report(self._framer.receive(signal))

    def receive_end(self, t_ns: int) -> None:
        """Take the end of the traffic at `t_ns`; what was still open is reported."""
        self._report(self._framer.finish(self._decoder.finish(t_ns), t_ns))

    def next_event(self) -> Event | None:
        """Return the next event, or None when more traffic is needed."""
        return self._events.popleft() if self._events else None

    def events(self) -> Iterator[Event]:
        """Yield the events that are ready."""
        while self._events:
            yield self._events.popleft()

    def _report(self, events: list[Event]) -> None:
        for event in events:
            self._events.append(event)
            if isinstance(event, TransactionSeen):
                self._events.append(read_message(event, self.catalogue))


def read_message(transaction: TransactionSeen, catalogue: Catalogue) -> MessageSeen:
    """Name a transaction and decode its fields by a catalogue; an unknown opcode is data, never an error."""
    kind = catalogue.find(transaction.command)
    arguments = transaction.command[2:]
    if kind is None:
        return MessageSeen(transaction, UNKNOWN, {}, transaction.data, Evidence.UNKNOWN, None, None)
    spec = kind.spec
    reading = spec.read(arguments, transaction.data, transaction.status)
    status = b"" if transaction.status is None else bytes([transaction.status])
    canonical = arguments + transaction.data + status
    typed = transaction.complete and spec.size in (None, len(canonical))
    message = kind.parse(canonical) if typed else None
    return MessageSeen(transaction, spec.name, reading.values, reading.rest, spec.evidence, message, kind)
