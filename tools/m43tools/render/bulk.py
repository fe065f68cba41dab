"""Stretches of regular traffic -> lines, by templates that whole columns fill in.

The keys and their order are those of `m43tools.render.records`, and a value's text comes from the same functions, once
per distinct value; what is rare goes through them as it is.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from m43drivers.bulk.columns import PIN_EVENTS, SHAPE_CODES, SUM_AT
from m43drivers.bulk.fields import columns_of
from m43proto.connection import UNKNOWN
from m43proto.events import ByteSeen
from m43proto.evidence import Evidence
from m43proto.pins import Role
from m43proto.records import record
from m43proto.shapes import COMMAND_SIZE
from m43tools.render.records import IDENTITY, plain, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from m43drivers.bulk.columns import Stretch
    from m43drivers.bulk.fields import Column
    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43proto.schema import Message

__all__ = ["Form", "Shown", "Slot", "StretchRenderer", "everything", "in_order"]

_SENDERS = (Role.BODY, Role.LENS)
"""Who sent a byte, by whether the lens did."""

MOST_TEXTS = 1 << 13
"""Texts of values that are kept at most, per field."""

MOST_KEPT = 1 << 22
"""Characters of lines that are kept at most: all in a line but its times follows from the bytes of its transaction, and
a lens at rest says the same at each poll."""

_TIME = "\0"
"""Stands for a time in a line that is kept; no text in front of the times holds it."""

_HEX_BEFORE_DATA = 2 * (COMMAND_SIZE + 3)


@record(frozen=True, slots=True, eq=False)
class Shown:
    """What of a stretch is to be shown.

    Attributes:
        stretch: all of it.
        transactions: indices of the transactions.
        pins: indices of the pin events.
        octets: indices of the bytes.
    """

    stretch: Stretch
    transactions: NDArray[np.int64]
    pins: NDArray[np.int64]
    octets: NDArray[np.int64]


def in_order(shown: Shown, transactions: list[str], pins: list[str]) -> list[str]:
    """Merge the lines of the transactions and of the pin events that are shown, in the order in which they ended."""
    if not pins:
        return transactions
    stretch = shown.stretch
    before = np.searchsorted(stretch.lasts, stretch.pins.before_byte[shown.pins], "right")
    is_pin = np.zeros(len(transactions) + len(pins), bool)
    is_pin[np.searchsorted(shown.transactions, before) + np.arange(len(pins))] = True
    merged = np.empty(len(is_pin), object)
    merged[is_pin] = pins
    merged[~is_pin] = transactions
    return merged.tolist()


def everything(stretch: Stretch) -> Shown:
    """Show all of a stretch."""
    sizes = (len(stretch), len(stretch.pins.ticks), len(stretch.values))
    return Shown(stretch, *(np.arange(size) for size in sizes))


@record(frozen=True, slots=True, eq=False)
class Slot:
    """A value of a record that differs from line to line.

    Attributes:
        values: one for each line.
        place: what stands for it in a template: ``"%d"``, or ``"%s"`` for text as the form gives it.
        is_hex: whether the values are hexadecimal digits.
    """

    values: Sequence[object]
    place: str = "%s"
    is_hex: bool = False


class Form(Protocol):
    """How records become lines."""

    def text(self, value: object) -> str:
        """Return a value as it stands in a line."""

    def filled(self, record: dict[str, object]) -> list[str]:
        """Return the lines of records that differ in their `Slot` values only."""

    def line(self, event: Event) -> str:
        """Return the line of one event."""


class _Texts(dict[Any, str]):
    """Texts of the wire values of a field, made when asked for."""

    def __init__(self, column: Column, form: Form) -> None:
        self._column = column
        self._form = form

    def __missing__(self, wire: Any) -> str:
        if len(self) >= MOST_TEXTS:
            self.clear()
        text = self[wire] = self._form.text(plain(self._column.value(wire)))
        return text


class StretchRenderer:
    """Renders stretches.

    Args:
        form: how.
        layer: what to show of them.
        catalogue: the messages to know.
    """

    def __init__(self, form: Form, layer: str, catalogue: Catalogue) -> None:
        self._form = form
        self._layer = layer
        self._catalogue = catalogue
        self._texts: dict[Column, _Texts] = {}
        self._known: dict[bytes, tuple[str, str, str]] = {}
        self._kept = 0

    def lines(self, shown: Shown) -> list[str]:
        """Return the lines of what is shown, in the order in which what they tell ended."""
        if self._layer == "bytes":
            return self._octets(shown)
        return in_order(shown, self._transactions(shown), self._pins(shown))

    def event_lines(self, events: Sequence[Event]) -> list[str]:
        """Return the lines of events; bytes, of which there may be many, as columns, too."""
        lines: list[str] = []
        for kind, group in groupby(events, type):
            some = list(group)
            lines += self._seen_octets(some) if kind is ByteSeen else map(self._form.line, some)
        return lines

    def _seen_octets(self, events: Iterable[Any]) -> list[str]:
        rows = [(event.t_ns, event.end_ns, event.sender, event.value) for event in events]
        t_ns, end_ns, senders, values = map(list, zip(*rows, strict=True))
        return self._octet_lines(t_ns, end_ns, senders, values)

    def _octets(self, shown: Shown) -> list[str]:
        stretch, some = shown.stretch, shown.octets
        senders = [_SENDERS[lens] for lens in stretch.lens[some].tolist()]
        columns = (stretch.ns(stretch.ticks[some]), stretch.ns(stretch.end_ticks[some]), stretch.values[some])
        t_ns, end_ns, values = (column.tolist() for column in columns)
        return self._octet_lines(t_ns, end_ns, senders, values) if some.size else []

    def _octet_lines(
        self, t_ns: list[int], end_ns: list[int], senders: Sequence[Role | None], values: list[int]
    ) -> list[str]:
        texts = {sender: self._form.text(sender) for sender in (*Role, None)}
        record: dict[str, object] = {
            "t_ns": Slot(t_ns, "%d"),
            "end_ns": Slot(end_ns, "%d"),
            "from": Slot([texts[sender] for sender in senders]),
            "value": Slot(values, "%d"),
        }
        return self._form.filled(record)

    def _pins(self, shown: Shown) -> list[str]:
        pins, ns = shown.stretch.pins, shown.stretch.ns
        lines = np.empty(len(shown.pins), object)
        kinds = pins.kinds[shown.pins]
        for kind, event in enumerate(PIN_EVENTS):
            some = shown.pins[kinds == kind]
            if not some.size:
                continue
            record: dict[str, object] = {
                "event": event,
                "t_ns": _numbers(ns(pins.ticks[some])),
                "end_ns": _numbers(ns(pins.end_ticks[some])),
            }
            if pins.levels[some[0]] >= 0:
                record["level"] = _numbers(pins.levels[some])
            lines[kinds == kind] = self._form.filled(record)
        return lines.tolist()

    def _transactions(self, shown: Shown) -> list[str]:
        stretch, some = shown.stretch, shown.transactions
        if self._kept > MOST_KEPT:
            self._known.clear()
            self._kept = 0
        octets, known = stretch.values.tobytes(), self._known
        spans = zip(stretch.firsts[some].tolist(), stretch.lasts[some].tolist(), strict=True)
        said = [octets[first:last] for first, last in spans]
        news = {one: at for at, one in enumerate(said) if one not in known}
        if news:
            self._learn(stretch, some[list(news.values())], list(news))
        times = zip(stretch.t_ns[some].tolist(), stretch.end_ns[some].tolist(), strict=True)
        lines = zip(times, map(known.__getitem__, said), strict=True)
        return [f"{lead}{t_ns}{middle}{end_ns}{rest}" for (t_ns, end_ns), (lead, middle, rest) in lines]

    def _learn(self, stretch: Stretch, some: NDArray[np.int64], said: list[bytes]) -> None:
        """Render transactions, none of which has been rendered before, and keep their lines."""
        alike = stretch.opcodes[some].astype(np.int64) << 32 | stretch.sizes[some]
        kinds, which = np.unique(alike, return_inverse=True)
        for number in range(len(kinds)):
            places = np.flatnonzero(which == number)
            for place, line in zip(places.tolist(), self._group(stretch, some[places]), strict=True):
                lead, middle, rest = line.split(_TIME, 2)
                self._known[said[place]] = lead, middle, rest
                self._kept += len(line)

    def _group(self, stretch: Stretch, some: NDArray[np.int64]) -> list[str]:
        """Render transactions of one opcode and one size, with marks for their times."""
        first = int(some[0])
        total = int(stretch.lasts[first] - stretch.firsts[first])
        rows = stretch.values[stretch.firsts[some][:, None] + np.arange(total)]
        digits, width = rows.tobytes().hex(), 2 * total
        texts = [digits[at : at + width] for at in range(0, len(digits), width)]
        record = self._record(stretch, some, rows, texts)
        if self._layer == "messages":
            kind = self._catalogue.find(rows[0, :2].tobytes())
            fields = self._fields(kind, int(stretch.sizes[first]), rows, texts)
            if fields is None:
                return [self._line_of_message(stretch, index) for index in some.tolist()]
            record["name"] = kind.spec.name if kind else UNKNOWN
            record["fields"] = fields
            record["evidence"] = kind.spec.evidence if kind else Evidence.UNKNOWN
        return self._form.filled(record)

    def _line_of_message(self, stretch: Stretch, index: int) -> str:
        record = record_of(stretch.outline_at(index, self._catalogue))
        (line,) = self._form.filled({**record, "t_ns": Slot([_TIME]), "end_ns": Slot([_TIME])})
        return line

    def _record(
        self, stretch: Stretch, some: NDArray[np.int64], rows: NDArray[np.uint8], texts: list[str]
    ) -> dict[str, object]:
        verdicts = [self._form.text(verdict) for verdict in (False, True)]
        block = bool(stretch.has_block[some[0]])
        size = int(stretch.sizes[some[0]])
        return {
            "t_ns": Slot([_TIME] * len(some)),
            "end_ns": Slot([_TIME] * len(some)),
            "command": Slot([text[: 2 * COMMAND_SIZE] for text in texts], is_hex=True),
            "shape": SHAPE_CODES[stretch.shapes[some[0]]],
            "command_sum": _numbers(rows[:, SUM_AT]),
            "command_sum_ok": Slot([verdicts[good] for good in stretch.command_sums_ok[some].tolist()]),
            "length": size + 1 if block else None,
            "data": Slot([text[_HEX_BEFORE_DATA:-2] for text in texts], is_hex=True) if block else "",
            "data_sum": _numbers(rows[:, -1]) if block else None,
            "data_sum_ok": Slot([verdicts[good] for good in stretch.data_sums_ok[some].tolist()]) if block else None,
            "status": None,
            "complete": True,
        }

    def _fields(
        self, kind: type[Message] | None, size: int, rows: NDArray[np.uint8], texts: list[str]
    ) -> dict[str, object] | None:
        """Return the fields of a message as slots, or None where they must be read one by one."""
        if kind is None:
            return {"rest": Slot([text[_HEX_BEFORE_DATA:-2] for text in texts], is_hex=True)} if size else {}
        columns = columns_of(kind, size)
        if columns is None or {column.field.name for column in columns} >= set(IDENTITY):
            return None
        return {column.field.name: self._slot(column, rows, texts) for column in columns}

    def _slot(self, column: Column, rows: NDArray[np.uint8], texts: list[str]) -> Slot:
        if column.raw:
            start, stop = 2 * column.start, 2 * column.stop
            return Slot([text[start:stop] for text in texts], is_hex=True)
        known = self._texts.setdefault(column, _Texts(column, self._form))
        return Slot([known[wire] for wire in column.wires(rows)])


def _numbers(values: NDArray[Any]) -> Slot:
    return Slot(values.tolist(), "%d")
