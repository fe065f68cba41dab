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

__all__ = ["CsvWriter", "JsonWriter", "Writer", "columns_of", "flat_record"]


class Writer(Protocol):
    """Takes events one by one."""

    def write(self, event: Event) -> None:
        """Write one event."""

    def close(self) -> None:
        """Write what stands behind the last event; the stream stays open."""


class JsonWriter:
    """One JSON object per line.

    Args:
        stream: where to.
        capture: what stands under the key ``capture`` in each; None for no such key.
    """

    def __init__(self, stream: TextIO, capture: str | None = None) -> None:
        self._stream = stream
        self._leading = {} if capture is None else {"capture": capture}

    def write(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(json.dumps({**self._leading, **record_of(event)}, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Write nothing more."""


_LEADING = ("event", "name", "t_ns", "end_ns", "level", "cause", "detail")


class CsvWriter:
    """One row per event, with a column per field of every message of the catalogue.

    Args:
        stream: where to.
        layer: what the events are.
        catalogue: the messages that may come.
        capture: what stands in the column ``capture``; None for no such column.
    """

    def __init__(self, stream: TextIO, layer: str, catalogue: Catalogue, capture: str | None = None) -> None:
        self._leading = {} if capture is None else {"capture": capture}
        self._writer = csv.DictWriter(
            stream,
            [*self._leading, *columns_of(layer, catalogue)],
            restval="",
            extrasaction="ignore",
            lineterminator="\n",
        )
        self._writer.writeheader()

    def write(self, event: Event) -> None:
        """Write one event."""
        self._writer.writerow(self._leading | {key: _cell(value) for key, value in flat_record(event).items()})

    def close(self) -> None:
        """Write nothing more."""


def flat_record(event: Event) -> dict[str, object]:
    """Return the record of an event with its fields beside its other keys."""
    record = record_of(event)
    fields = record.get("fields")
    return {**fields, **record} if isinstance(fields, dict) else record


def columns_of(layer: str, catalogue: Catalogue) -> list[str]:
    """Return the keys that the flat records of a layer may have."""
    return [*_COLUMNS[layer], *(_field_names(catalogue) if layer == "messages" else ())]


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
