"""What the bulk decoder gives: whole transactions as columns, and the pin events between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from m43drivers.capture.times import ticks_to_ns
from m43proto.connection import read_message
from m43proto.events import ByteSeen, MessageSeen, PinEvent, PinEventSeen, TransactionSeen
from m43proto.pins import Role
from m43proto.records import record
from m43proto.shapes import COMMAND_SIZE, LENGTH_SIZE, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from numpy.typing import NDArray

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event

__all__ = ["DATA_AT", "LENGTH_AT", "PIN_EVENTS", "SHAPE_CODES", "SUM_AT", "Pins", "Stretch"]

SHAPE_CODES: tuple[Shape, ...] = tuple(Shape)
"""Shapes by their number in `Stretch.shapes`."""

PIN_EVENTS = (PinEvent.FOCUS_TOGGLE, PinEvent.FRAME_SYNC)
"""Pin events by their number in `Pins.kinds`."""

SUM_AT = COMMAND_SIZE
"""Where in a transaction the sum of its command stands."""

LENGTH_AT = SUM_AT + 1
"""Where in a transaction with a block its length word stands."""

DATA_AT = LENGTH_AT + LENGTH_SIZE
"""Where in a transaction with a block its data begin."""

_WRITE = SHAPE_CODES.index(Shape.WRITE)
_BLOCKS = tuple(index for index, shape in enumerate(SHAPE_CODES) if shape in (Shape.READ, Shape.WRITE))


@record(frozen=True, slots=True, eq=False)
class Pins:
    """Events on FOCUS and SHUTTER, in order.

    Attributes:
        kinds: numbers in `PIN_EVENTS`.
        ticks: when each began.
        end_ticks: when it ended.
        levels: the new level for a single edge, else -1.
        before_byte: how many bytes of the stretch were reported before it.
    """

    kinds: NDArray[np.uint8]
    ticks: NDArray[np.int64]
    end_ticks: NDArray[np.int64]
    levels: NDArray[np.int8]
    before_byte: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stretch:
    """A stretch of whole transactions without anything odd in it.

    Attributes:
        tick_ns: length of a tick in nanoseconds.
        values: the bytes, transaction after transaction.
        ticks: the first falling CLK edge of each byte.
        end_ticks: its eighth rising edge.
        firsts: for each transaction the index of its first byte.
        lasts: for each transaction the index behind its last byte.
        shapes: for each transaction the number of its shape in `SHAPE_CODES`.
        pins: what happened on FOCUS and SHUTTER meanwhile.
    """

    tick_ns: Fraction
    values: NDArray[np.uint8]
    ticks: NDArray[np.int64]
    end_ticks: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lasts: NDArray[np.int64]
    shapes: NDArray[np.uint8]
    pins: Pins

    def __len__(self) -> int:
        return len(self.firsts)

    def ns(self, ticks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Convert ticks to nanoseconds."""
        return ticks_to_ns(ticks, self.tick_ns)

    @cached_property
    def t_ns(self) -> NDArray[np.int64]:
        """Start of each transaction."""
        return self.ns(self.ticks[self.firsts])

    @cached_property
    def end_ns(self) -> NDArray[np.int64]:
        """End of each transaction."""
        return self.ns(self.end_ticks[self.lasts - 1])

    @cached_property
    def opcodes(self) -> NDArray[np.uint16]:
        """The first two bytes of each command, big-endian."""
        high, low = self.values[self.firsts].astype(np.uint16), self.values[self.firsts + 1]
        return (high << np.uint16(8) | low).astype(np.uint16)

    @cached_property
    def has_block(self) -> NDArray[np.bool_]:
        """Whether each transaction has a block."""
        return np.isin(self.shapes, _BLOCKS)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Bytes of data in the block of each transaction, without its length and its sum; 0 without a block."""
        return np.where(self.has_block, self.lasts - self.firsts - DATA_AT - 1, 0)

    @cached_property
    def command_sums_ok(self) -> NDArray[np.bool_]:
        """Whether the sum of each command is right."""
        ends = self._sums_before
        total = ends[self.firsts + COMMAND_SIZE] - ends[self.firsts]
        return np.asarray(total & 0xFF == self.values[self.firsts + SUM_AT], np.bool_)

    @cached_property
    def data_sums_ok(self) -> NDArray[np.bool_]:
        """Whether the sum of each block is right; True without a block."""
        ends = self._sums_before
        starts = np.minimum(self.firsts + DATA_AT, self.lasts - 1)
        total = ends[self.lasts - 1] - ends[starts]
        return np.asarray(~self.has_block | (total & 0xFF == self.values[self.lasts - 1]), np.bool_)

    @cached_property
    def _sums_before(self) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(self.values, dtype=np.int64)])

    @cached_property
    def lens(self) -> NDArray[np.bool_]:
        """Whether each byte came from the lens."""
        steps = np.zeros(len(self.values) + 1, np.int8)
        np.subtract.at(steps, self.firsts, 1)
        np.add.at(steps, self.firsts + SUM_AT, 1)
        writes = self.shapes == _WRITE
        np.subtract.at(steps, self.firsts[writes] + LENGTH_AT, 1)
        np.add.at(steps, self.lasts[writes] - 1, 1)
        return np.equal(np.cumsum(steps[:-1], dtype=np.int8), 0)

    def events(self, catalogue: Catalogue) -> Iterator[Event]:
        """Yield it as the events that the observing engine reports, one by one."""
        pins = list(zip(self.pins.before_byte.tolist(), self.pin_events(), strict=True))[::-1]
        wire = self.bytes_seen()
        spans = zip(self.firsts.tolist(), self.lasts.tolist(), self.shapes.tolist(), strict=True)
        for first, last, shape in spans:
            for at in range(first, last):
                while pins and pins[-1][0] <= at:
                    yield pins.pop()[1]
                yield wire[at]
            transaction = _with_bytes(wire[first:last], SHAPE_CODES[shape])
            yield transaction
            yield read_message(transaction, catalogue)
        while pins:
            yield pins.pop()[1]

    def bytes_seen(self) -> list[ByteSeen]:
        """Return its bytes as events."""
        columns = (self.ns(self.ticks), self.ns(self.end_ticks), self.lens, self.values)
        return [
            ByteSeen(t_ns, end_ns, Role.LENS if lens else Role.BODY, value)
            for t_ns, end_ns, lens, value in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def pin_events(self) -> list[PinEventSeen]:
        """Return its pin events as events."""
        pins = self.pins
        columns = (self.ns(pins.ticks), self.ns(pins.end_ticks), pins.kinds, pins.levels)
        return [
            PinEventSeen(t_ns, end_ns, PIN_EVENTS[kind], None if level < 0 else level)
            for t_ns, end_ns, kind, level in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def outline_at(self, index: int, catalogue: Catalogue) -> MessageSeen:
        """Return one transaction, named and decoded, without its single bytes."""
        said = self.values[int(self.firsts[index]) : int(self.lasts[index])].tobytes()
        shape = SHAPE_CODES[int(self.shapes[index])]
        return read_message(_transaction(said, shape, int(self.t_ns[index]), int(self.end_ns[index])), catalogue)

    def message_at(self, index: int, catalogue: Catalogue) -> MessageSeen:
        """Return one transaction, named and decoded, with its bytes."""
        first, last = int(self.firsts[index]), int(self.lasts[index])
        columns = (self.ns(self.ticks[first:last]), self.ns(self.end_ticks[first:last]), self.values[first:last])
        wire = [ByteSeen(*row) for row in _with_sender(columns)]
        return read_message(_with_bytes(wire, SHAPE_CODES[int(self.shapes[index])]), catalogue)


def _with_sender(
    columns: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
) -> Iterator[tuple[int, int, None, int]]:
    for t_ns, end_ns, value in zip(*(column.tolist() for column in columns), strict=True):
        yield t_ns, end_ns, None, value


def _with_bytes(wire: list[ByteSeen], shape: Shape) -> TransactionSeen:
    said = bytes([byte.value for byte in wire])
    return _transaction(said, shape, wire[0].t_ns, wire[-1].end_ns, tuple(wire))


def _transaction(said: bytes, shape: Shape, t_ns: int, end_ns: int, wire: tuple[ByteSeen, ...] = ()) -> TransactionSeen:
    block = shape in (Shape.READ, Shape.WRITE)
    return TransactionSeen(
        t_ns=t_ns,
        end_ns=end_ns,
        command=said[:COMMAND_SIZE],
        shape=shape,
        command_sum=said[SUM_AT],
        length=int.from_bytes(said[LENGTH_AT:DATA_AT], "little") if block else None,
        data=said[DATA_AT:-1] if block else b"",
        data_sum=said[-1] if block else None,
        status=None,
        complete=True,
        wire=wire,
    )
