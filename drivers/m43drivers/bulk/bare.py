"""Rows of levels -> what body and lens said, where BODY_ACK was not recorded (specs/3-framing.md §3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m43drivers.bulk.decoder import End
from m43drivers.capture.times import ticks_to_ns
from m43proto.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from m43drivers.bulk.decoder import Found
    from m43proto.catalogue import Catalogue
    from m43proto.pins import Line

__all__ = ["BareDecoder"]


class BareDecoder:
    def __init__(self, lines: tuple[Line, ...], catalogue: Catalogue, tick_ns: Fraction) -> None:
        self._connection = Connection(catalogue=catalogue, lines=lines)
        self._tick_ns = tick_ns

    def take(self, ticks: NDArray[np.int64], levels: NDArray[np.uint8]) -> Iterator[Found]:
        for t_ns, word in zip(ticks_to_ns(ticks, self._tick_ns).tolist(), levels.tolist(), strict=True):
            self._connection.receive_levels(t_ns, word)
        if events := list(self._connection.events()):
            yield events

    def finish(self, end_ns: int) -> Iterator[Found]:
        self._connection.receive_end(end_ns)
        if events := list(self._connection.events()):
            yield events
        yield End(end_ns)
