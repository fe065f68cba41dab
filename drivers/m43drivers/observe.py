"""A capture through the observing engine: channels in, events out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.merge import merged_changes
from m43drivers.capture.model import Channel
from m43proto.connection import Connection
from m43proto.phy import Burst, PinDecoder
from m43proto.pins import LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from m43drivers.capture.model import Capture
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43proto.pins import Line

__all__ = ["bursts_of", "changes_of", "observe"]

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
    times, states = _levels(mapping)
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


def bursts_of(mapping: Mapping[Line, Channel]) -> list[Burst]:
    """Return the bursts of a capture: what was clocked under each high of BODY_ACK, before any grammar."""
    decoder = PinDecoder(tuple(mapping))
    times, states = _levels(mapping)
    found: list[Burst] = []
    for t_ns, levels in zip(times.tolist(), states.tolist(), strict=True):
        found += [signal for signal in decoder.receive(t_ns, levels) if isinstance(signal, Burst)]
    return found


def changes_of(mapping: Mapping[Line, Channel]) -> tuple[tuple[int, int], ...]:
    """Return every change of a capture's lines: time, and the levels from then on."""
    times, states = _levels(mapping)
    return tuple(zip(times.tolist(), states.tolist(), strict=True))


def _levels(mapping: Mapping[Line, Channel]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    return merged_changes([mapping.get(line, _SILENT) for line in LINES])
