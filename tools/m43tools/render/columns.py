"""Records -> JSON lines and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Protocol

from m43proto.events import ByteSeen, MessageSeen, TransactionSeen
from m43proto.evidence import Evidence
from m43proto.shapes import Shape
from m43tools.render.bulk import Slot, StretchRenderer
from m43tools.render.records import record_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TextIO

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event
    from m43tools.render.bulk import Shown
    from m43tools.render.remarks import Remark

__all__ = ["CsvWriter", "JsonWriter", "Writer"]


class Writer(Protocol):
    """Takes what was seen, bit by bit."""

    def write(self, event: Event) -> None:
        """Write one event."""

    def write_events(self, events: Sequence[Event]) -> None:
        """Write several."""

    def write_stretch(self, shown: Shown) -> None:
        """Write what is shown of a stretch of regular traffic."""

    def write_remark(self, remark: Remark) -> None:
        """Write what is no event of the mount."""

    def finish(self) -> None:
        """Write what stands below everything, if anything does."""


_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def _float_text(value: float) -> str:
    return repr(value) if math.isfinite(value) else _ENCODE(value)


_TEXTS: dict[type, Callable[[Any], str]] = {
    int: repr,
    float: _float_text,
    str: encode_basestring,
    bool: {False: "false", True: "true"}.__getitem__,
    type(None): lambda _: "null",
}
"""How values of these very types stand in JSON; an encoder, which others take, sets out for each value anew."""


class _RowWriter:
    """What JSON lines and CSV have in common: rows, and nothing but rows."""

    def __init__(self, stream: TextIO, layer: str, catalogue: Catalogue) -> None:
        self._stream = stream
        self._renderer = StretchRenderer(self, layer, catalogue)

    def write(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(self.line(event))

    def write_events(self, events: Sequence[Event]) -> None:
        """Write several."""
        self._stream.write("".join(self._renderer.event_lines(events)))

    def write_stretch(self, shown: Shown) -> None:
        """Write what is shown of a stretch of regular traffic."""
        self._stream.write(self.rows(shown))

    def finish(self) -> None:
        """Write nothing: there are only rows."""

    def rows(self, shown: Shown) -> str:
        """Return the rows of what is shown of a stretch."""
        return "".join(self._renderer.lines(shown))

    def write_remark(self, remark: Remark) -> None:
        """Write what is no event of the mount."""
        self._stream.write(self._line_of(remark.record))

    def text(self, value: object) -> str:
        """Return a value as it stands in a row."""
        raise NotImplementedError

    def line(self, event: Event) -> str:
        """Return the row of one event."""
        return self._line_of(record_of(event))

    def filled(self, record: dict[str, object]) -> list[str]:
        """Return the rows of records that differ in their `Slot` values only."""
        raise NotImplementedError

    def _line_of(self, record: dict[str, object]) -> str:
        raise NotImplementedError


class JsonWriter(_RowWriter):
    """One JSON object per line."""

    def text(self, value: object) -> str:
        """Return a value as it stands in a line."""
        known = _TEXTS.get(type(value))
        return known(value) if known else _ENCODE(value)

    def _line_of(self, record: dict[str, object]) -> str:
        return "{" + ", ".join([f"{self.text(key)}: {self.text(value)}" for key, value in record.items()]) + "}\n"

    def filled(self, record: dict[str, object]) -> list[str]:
        """Return the lines of records that differ in their `Slot` values only."""
        slots: list[Slot] = []
        template = self._template(record, slots) + "\n"
        return [template % row for row in zip(*(slot.values for slot in slots), strict=True)]

    def _template(self, value: object, slots: list[Slot]) -> str:
        if isinstance(value, Slot):
            slots.append(value)
            return f'"{value.place}"' if value.is_hex else value.place
        if isinstance(value, dict):
            return (
                "{" + ", ".join(f"{self.text(key)}: {self._template(one, slots)}" for key, one in value.items()) + "}"
            )
        return self.text(value).replace("%", "%%")


_LEADING = ("event", "name", "t_ns", "end_ns", "level", "cause", "detail")


class CsvWriter(_RowWriter):
    """One row per event, with a column per field of every message of the catalogue."""

    def __init__(self, stream: TextIO, layer: str, catalogue: Catalogue) -> None:
        columns = _COLUMNS[layer]
        fields = _field_names(catalogue) if layer == "messages" else []
        super().__init__(stream, layer, catalogue)
        self._names = [*columns, *fields]
        self._stream.write(_row(self._names))

    def text(self, value: object) -> str:
        """Return a value as it stands in a row."""
        return _row([_cell(value), ""])[:-2]

    def _line_of(self, record: dict[str, object]) -> str:
        flat = _flat(record)
        return _row([_cell(flat.get(name)) for name in self._names])

    def filled(self, record: dict[str, object]) -> list[str]:
        """Return the rows of records that differ in their `Slot` values only."""
        flat = _flat(record)
        cells = [flat.get(name) for name in self._names]
        slots = [cell for cell in cells if isinstance(cell, Slot)]
        places = (cell.place if isinstance(cell, Slot) else self.text(cell).replace("%", "%%") for cell in cells)
        template = ",".join(places) + "\n"
        return [template % row for row in zip(*(slot.values for slot in slots), strict=True)]


def _flat(record: dict[str, object]) -> dict[str, object]:
    fields = record.get("fields")
    return {**fields, **record} if isinstance(fields, dict) else record


def _row(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _columns(*examples: Mapping[str, object]) -> list[str]:
    rest = dict.fromkeys(key for example in examples for key in example if key not in _LEADING and key != "fields")
    return [*_LEADING, *rest]


def _example_columns() -> dict[str, list[str]]:
    transaction = TransactionSeen(0, 0, b"", Shape.SET, None, None, b"", None, None, complete=False)
    message = MessageSeen(transaction, "", {}, b"", Evidence.UNKNOWN, None, None)
    return {
        "bytes": _columns(record_of(ByteSeen(0, 0, None, 0)), {"data": ""}),
        "transactions": _columns(record_of(transaction)),
        "messages": _columns(record_of(message)),
    }


_COLUMNS = _example_columns()


def _field_names(catalogue: Catalogue) -> list[str]:
    names = dict.fromkeys(field.name for kind in catalogue for field in kind.spec.fields)
    return [name for name in [*names, "lens", "rest"] if name not in _COLUMNS["messages"]]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    return "" if value is None else value
