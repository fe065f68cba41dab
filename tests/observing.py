"""Runs the observing engine over what a test has drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from m43proto.connection import Connection
from m43proto.messages import PUBLIC
from m43proto.pins import LINES, Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event

E = TypeVar("E")

BARE = (Line.CLK, Line.DATA)


def observed(
    changes: Iterable[tuple[int, int]],
    *,
    lines: tuple[Line, ...] = LINES,
    catalogue: Catalogue = PUBLIC,
    end_ns: int | None = None,
) -> list[Event]:
    """Return the events of these changes; lines that are not given are hidden from the engine."""
    mask = sum(line.mask for line in lines)
    connection = Connection(catalogue=catalogue, lines=lines)
    last_ns = 0
    for t_ns, levels in changes:
        connection.receive_levels(t_ns, levels & mask)
        last_ns = t_ns
    connection.receive_end(last_ns if end_ns is None else end_ns)
    return list(connection.events())


def of(kind: type[E], events: Iterable[Event]) -> list[E]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]
