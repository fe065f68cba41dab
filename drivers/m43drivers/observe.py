"""A capture through the observing engine: channels in, events out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.merge import merged_changes
from m43drivers.capture.model import Channel
from m43proto.connection import Connection
from m43proto.pins import LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from m43drivers.capture.model import Capture
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43proto.pins import Line

__all__ = ["observe"]

_BATCH = 65536
_SILENT = Channel("", 0, np.empty(0, np.int64))


def observe(
    capture: Capture,
    mapping: Mapping[Line, Channel],
    catalogue: Catalogue,
    *,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Event]:
    """Yield what body and lens said in a capture.

    Args:
        capture: the recording.
        mapping: which of its channels is which line.
        catalogue: the messages to know.
        progress: called now and then with the fraction that is done.
    """
    connection = Connection(catalogue=catalogue, lines=tuple(mapping))
    times, states = merged_changes([mapping.get(line, _SILENT) for line in LINES])
    total = len(times)
    for start in range(0, total, _BATCH):
        end = start + _BATCH
        for t_ns, levels in zip(times[start:end].tolist(), states[start:end].tolist(), strict=True):
            connection.receive_levels(t_ns, levels)
        yield from connection.events()
        if progress is not None:
            progress(min(end, total) / total)
    connection.receive_end(capture.end_ns)
    yield from connection.events()
