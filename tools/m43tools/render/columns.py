"""Records -> JSON lines and CSV."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Protocol

from m43proto.events import ByteSeen, MessageSeen, TransactionSeen
from m43proto.evidence import Evidence
from m43proto.shapes import Shape
from m43tools.render.records import record_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from m43proto.catalogue import Catalogue
    from m43proto.events import Event

__all__ = ["CsvWriter", "JsonWriter", "Writer"]


class Writer(Protocol):
    """Takes events one by one."""

    def write(self, event: Event) -> None:
        """Write one event."""


class JsonWriter:
    """One JSON object per line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(json.dumps(record_of(event), ensure_ascii=False) + "\n")


_LEADING = ("event", "name", "t_ns", "end_ns", "level", "cause", "detail")


class CsvWriter:
    """One row per event, with a column per field of every message of the catalogue."""

    def __init__(self, stream: TextIO, layer: str, catalogue: Catalogue) -> None:
        columns = _COLUMNS[layer]
        fields = _field_names(catalogue) if layer == "messages" else []
        self._writer = csv.DictWriter(
            stream, [*columns, *fields], restval="", extrasaction="ignore", lineterminator="\n"
        )
        self._writer.writeheader()

    def write(self, event: Event) -> None:
        """Write one event."""
        record = record_of(event)
        fields = record.get("fields")
        flat = {**fields, **record} if isinstance(fields, dict) else record
        self._writer.writerow({key: _cell(value) for key, value in flat.items()})


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
